/* pull.c - a model into the cache: what is needed, where it lies, what is shown when (see pull.h).
 */
#include "pull/pull_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file_read.h"
#include "base/file_write.h"
#include "base/limit.h"
#include "model/hub.h"

enum { TOKEN_MAX = 512, TIMEOUT_S = 10, WAIT_MS = 500 };

int pull_path(char path[PATH_MAX], struct err *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(path, PATH_MAX, format, args);
    va_end(args);
    return n >= 0 && n < PATH_MAX
               ? 0
               : err_set(e, ERR_BAD_INPUT, "%.100s… · the path is too long", path);
}

int pull_folders(const char *path, struct err *e)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part; (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            return err_set(e, ERR_SYSTEM, "%s · cannot make this folder: %s", part,
                           strerror(errno));
        *slash = '/';
    }
    return 0;
}

int pull_wait(const struct pull *p, int n, struct err *e)
{
    int left = (p->o->wait_ms ? p->o->wait_ms : WAIT_MS) << n;
    for (; left > 0 && !*p->o->cancel; left -= 100)
        poll(NULL, 0, left < 100 ? left : 100);
    return *p->o->cancel ? err_set(e, ERR_CANCELLED, "interrupted") : 0;
}

/* ---- what the environment says ---- */

static bool is_true(const char *name)
{
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *value = getenv(name);
    for (size_t i = 0; value && i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(value, words[i]))
            return true;
    return false;
}

static int take_endpoint(struct pull *p, struct err *e)
{
    const char *value = getenv("HF_ENDPOINT");
    value = value && *value ? value : "https://huggingface.co";
    size_t n = strlen(value);
    while (n && value[n - 1] == '/')
        n--;
    if (n >= sizeof p->endpoint)
        return err_set(e, ERR_BAD_INPUT, "HF_ENDPOINT · %zu bytes · at most %zu", n,
                       sizeof p->endpoint - 1);
    snprintf(p->endpoint, sizeof p->endpoint, "%.*s", (int)n, value);
    return http_same_origin(p->endpoint, p->endpoint)
               ? 0
               : err_set(e, ERR_BAD_INPUT,
                         "HF_ENDPOINT=%.100s · expected an address like https://huggingface.co",
                         value);
}

/* `text` without the blanks around it, if that may stand in a header. */
static int clean_token(struct pull *p, const char *text, const char *whence, struct err *e)
{
    static const char blanks[] = " \t\r\n";
    text += strspn(text, blanks);
    size_t n = strlen(text);
    while (n && strchr(blanks, text[n - 1]))
        n--;
    for (size_t i = 0; i < n; i++)
        if (n > TOKEN_MAX || text[i] <= 0x20 || text[i] == 0x7f)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · this is not a token: at most %d printable characters", whence,
                           TOKEN_MAX);
    if (n && !(p->token = strndup(text, n)))
        return err_memory(e, "a token");
    return 0;
}

static int take_token(struct pull *p, struct err *e)
{
    static const char *const vars[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    char path[PATH_MAX], *text = NULL;
    size_t len;
    for (size_t i = 0; i < 2; i++) {
        const char *value = getenv(vars[i]);
        if (value && *value)
            return clean_token(p, value, vars[i], e);
    }
    const char *file = getenv("HF_TOKEN_PATH");
    if (file && *file)
        snprintf(path, sizeof path, "%s", file);
    else
        hub_home("token", path);
    if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") || access(path, F_OK))
        return 0;
    int rc = file_read_all(path, 1 << 16, &text, &len, e);
    if (!rc)
        rc = clean_token(p, text, path, e);
    free(text);
    return rc;
}

static int timeout_s(void)
{
    const char *value = getenv("HF_HUB_DOWNLOAD_TIMEOUT");
    long v = value ? strtol(value, NULL, 10) : 0;
    return v > 0 && v < 86400 ? (int)v : TIMEOUT_S;
}

static int prepare(struct pull *p, struct err *e)
{
    if (is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE"))
        return err_set(e, ERR_BAD_INPUT, "%s · HF_HUB_OFFLINE is set · nothing is fetched",
                       p->o->name);
    hub_cache(p->root);
    hub_repo(p->root, p->o->name, p->repo);
    const char *folder = strrchr(p->repo, '/');
    int rc = folder ? pull_path(p->locks, e, "%s/.locks%s", p->root, folder) : ERR_BAD_INPUT;
    if (!rc && !(p->http = http_open(p->o->cancel, timeout_s(), e)))
        rc = err_code(e);
    if (!rc)
        rc = take_endpoint(p, e);
    return rc ? rc : take_token(p, e);
}

/* ---- what is to be fetched ---- */

static int pointer_path(const struct pull *p, const char *file, char path[PATH_MAX], struct err *e)
{
    return pull_path(path, e, "%s/snapshots/%s/%s", p->repo, p->listing.commit, file);
}

/* Describe the chosen files from `first` on. */
static int describe(struct pull *p, int first, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    struct remote_file *more = realloc(p->file, ((size_t)p->chosen.n + 1) * sizeof *more);
    int rc = more ? 0 : err_memory(e, "%d files", p->chosen.n);
    p->file = more ? more : p->file;
    for (int i = first; !rc && i < p->chosen.n; i++) {
        struct remote_file *f = &p->file[i];
        *f = (struct remote_file){.path = p->chosen.file[i], .size = -1};
        p->n_files = i + 1;
        rc = pointer_path(p, f->path, path, e);
        f->there = !rc && stat(path, &st) == 0 && S_ISREG(st.st_mode);
        if (!rc && !f->there)
            rc = remote_describe(p, f, e);
    }
    return rc;
}

/* Sizes of what is not there, and room for it. */
static int measure(struct pull *p, struct err *e)
{
    struct statvfs fs;
    uint64_t size = 0, done = 0;
    p->at.n = 0;
    for (int i = 0; i < p->n_files; i++)
        if (!p->file[i].there) {
            p->at.n++;
            size += p->file[i].size > 0 ? (uint64_t)p->file[i].size : 0;
            done += blob_present(p, &p->file[i]);
        }
    p->at.all_size = size;
    p->at.all_done = done;
    int rc = p->at.n ? pull_folders(p->repo, e) : 0;
    if (rc || !p->at.n || statvfs(p->root, &fs) || !fs.f_blocks)
        return rc;
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    return size - done <= room
               ? 0
               : err_set(e, ERR_SYSTEM,
                         "%s · no room: %llu MB are to be fetched, %llu MB are free in %s",
                         p->o->name, (unsigned long long)((size - done) / 1000000 + 1),
                         (unsigned long long)(room / 1000000), p->root);
}

static int fetch_one(struct pull *p, struct remote_file *f, struct err *e)
{
    if (f->there)
        return 0;
    uint64_t before = blob_present(p, f);
    p->at.file = f->path;
    p->at.at++;
    p->at.size = f->size > 0 ? (uint64_t)f->size : 0;
    p->at.done = before;
    p->at.finished = false;
    int rc = blob_fetch(p, f, e);
    if (!rc && p->o->progress) {
        p->at.finished = true;
        p->o->progress(p->o->user, &p->at);
    }
    return rc;
}

/* A sharded model: its shards, which only the index names. */
static int add_shards(struct pull *p, struct err *e)
{
    char path[PATH_MAX], *text = NULL;
    size_t len;
    const char *index = listing_index(&p->chosen);
    struct remote_file *f = p->file;
    int before = p->chosen.n;
    if (!index)
        return 0;
    while (strcmp(f->path, index) != 0)
        f++;
    int rc = f->there ? pointer_path(p, index, path, e)
                      : pull_path(path, e, "%s/blobs/%s", p->repo, f->etag);
    if (!rc && !f->there)
        rc = blob_fetch(p, f, e);
    if (!rc)
        rc = file_read_all(path, LIMIT_LISTING_BYTES, &text, &len, e);
    if (!rc)
        rc = listing_add_shards(&p->chosen, &p->listing, p->o->name, text, len, e);
    free(text);
    for (int i = 0; i < p->n_files; i++) /* the list has moved, its texts have not */
        p->file[i].path = p->chosen.file[i];
    return rc ? rc : describe(p, before, e);
}

/* ---- what becomes visible ---- */

/* snapshots/COMMIT/PATH -> ../../blobs/ETAG, with a step up more for every folder in PATH. */
static int link_one(const struct pull *p, const struct remote_file *f, struct err *e)
{
    char path[PATH_MAX], target[PATH_MAX] = "../..";
    int rc = f->there ? 0 : pointer_path(p, f->path, path, e);
    if (rc || f->there)
        return rc;
    for (const char *s = f->path; (s = strchr(s, '/')); s++)
        snprintf(target + strlen(target), sizeof target - strlen(target), "/..");
    snprintf(target + strlen(target), sizeof target - strlen(target), "/blobs/%s", f->etag);
    if ((rc = pull_folders(path, e)))
        return rc;
    unlink(path); /* a link to a blob that is gone */
    if (symlink(target, path) && errno != EEXIST)
        return err_set(e, ERR_SYSTEM, "%s · cannot make a link: %s", path, strerror(errno));
    return 0;
}

static int write_ref(const struct pull *p, struct err *e)
{
    char path[PATH_MAX], *old = NULL;
    size_t len;
    const char *revision = p->o->revision ? p->o->revision : "main";
    if (!strcmp(revision, p->listing.commit))
        return 0;
    int rc = pull_path(path, e, "%s/refs/%s", p->repo, revision);
    if (rc)
        return rc;
    bool same = access(path, F_OK) == 0 && !file_read_all(path, 1 << 10, &old, &len, NULL) &&
                !strcmp(old, p->listing.commit);
    free(old);
    if (same)
        return 0;
    rc = pull_folders(path, e);
    return rc ? rc : file_write_all(path, p->listing.commit, strlen(p->listing.commit), e);
}

/* What tells backup programs that all this can be fetched again (bford.info/cachedir). */
static void tag_cache(const struct pull *p)
{
    static const char
        text[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                 "# This file is a cache directory tag: what lies here can be fetched again.\n"
                 "# For information about cache directory tags see https://bford.info/cachedir/\n";
    char path[PATH_MAX];
    if (!pull_path(path, NULL, "%s/CACHEDIR.TAG", p->root) && access(path, F_OK) != 0)
        (void)file_write_all(path, text, sizeof text - 1, NULL);
}

/* Links from the last to the first, config.json, without which nothing is opened; then the ref. */
static int publish(const struct pull *p, struct err *e)
{
    int rc = 0;
    for (int i = p->n_files; !rc && i-- > 0;)
        rc = link_one(p, &p->file[i], e);
    if (!rc)
        rc = write_ref(p, e);
    if (!rc)
        tag_cache(p);
    return rc;
}

static int run(struct pull *p, struct err *e)
{
    int rc = remote_listing(p, e);
    if (!rc)
        rc = listing_choose(&p->chosen, &p->listing, p->o->name, p->o->gguf, e);
    if (!rc)
        rc = describe(p, 0, e);
    if (!rc)
        rc = add_shards(p, e);
    if (!rc)
        rc = measure(p, e);
    for (int i = 0; !rc && i < p->n_files; i++)
        rc = fetch_one(p, &p->file[i], e);
    return rc ? rc : publish(p, e);
}

int pull_run(const struct pull_options *o, char path[PATH_MAX], struct err *e)
{
    struct pull *p = calloc(1, sizeof *p);
    if (!p)
        return err_memory(e, "%s", o->name);
    p->o = o;
    int rc = prepare(p, e);
    if (!rc)
        rc = run(p, e);
    if (!rc && o->gguf)
        rc = pointer_path(p, p->chosen.file[0], path, e);
    else if (!rc)
        rc = pull_path(path, e, "%s/snapshots/%s", p->repo, p->listing.commit);
    http_close(p->http);
    listing_free(&p->listing);
    listing_free(&p->chosen);
    free(p->file);
    free(p->token);
    free(p);
    return rc;
}
