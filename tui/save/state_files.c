/* state_files.c - see state_files.h. */
#include "save/state_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file_read.h"
#include "base/file_write.h"
#include "save/saved.h"

#define SESSIONS "sessions"
#define ENDING ".session"
#define AUTO "auto-"
enum { STATE_PATH_MAX = 3700 }; /* of the folder: names follow */

/* Make a folder and those above it; private, as all state is. */
static bool make_folder(char *path)
{
    for (char *s = path + 1; *s; s++) {
        if (*s != '/')
            continue;
        *s = 0;
        mkdir(path, 0700);
        *s = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

const char *state_folder(char buf[PATH_MAX], struct err *e)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = state && *state == '/' ? snprintf(buf, PATH_MAX, "%s/borescope/" SESSIONS, state)
            : home && *home == '/'
                ? snprintf(buf, PATH_MAX, "%s/.local/state/borescope/" SESSIONS, home)
                : 0;
    struct err why;
    int rc = n <= 0 ? err_set(&why, ERR_SYSTEM, "neither XDG_STATE_HOME nor HOME is a path")
             : n > STATE_PATH_MAX
                 ? err_set(&why, ERR_SYSTEM, "a path of %d bytes · %d at most", n, STATE_PATH_MAX)
             : !make_folder(buf) ? err_set(&why, ERR_SYSTEM, "%s · %s", buf, strerror(errno))
                                 : 0;
    buf[rc ? 0 : n - (int)sizeof SESSIONS] = 0;
    if (rc)
        err_set(e, ERR_SYSTEM, "the session is not kept: %.300s · set XDG_STATE_HOME", why.text);
    return buf;
}

int state_session_path(const char *folder, const char *name, char buf[PATH_MAX], struct err *e)
{
    size_t n = strlen(name), end = sizeof ENDING - 1;
    int used;
    if (strchr(name, '/') || (n > end && strcmp(name + n - end, ENDING) == 0))
        used = snprintf(buf, PATH_MAX, "%s", name);
    else if (!saved_is_name(name))
        return err_set(e, ERR_BAD_INPUT,
                       "\"%.60s\" · a session's name is of letters, digits, _ - and . · or a path",
                       name);
    else if (!*folder)
        return err_set(e, ERR_SYSTEM,
                       "no folder for sessions · set XDG_STATE_HOME, or give a path");
    else
        used = snprintf(buf, PATH_MAX, "%s/" SESSIONS "/%s" ENDING, folder, name);
    return used < PATH_MAX ? 0 : err_set(e, ERR_BAD_INPUT, "the path is too long");
}

void state_auto_path(const char *folder, char buf[PATH_MAX])
{
    time_t now = time(NULL);
    struct tm t;
    char when[32] = "";
    if (localtime_r(&now, &t))
        strftime(when, sizeof when, "%Y%m%d-%H%M%S", &t);
    buf[0] = 0;
    if (*folder && strlen(folder) < PATH_MAX - 100)
        snprintf(buf, PATH_MAX, "%.3900s/" SESSIONS "/" AUTO "%s-%ld" ENDING, folder, when,
                 (long)getpid());
}

/* ---- the folder ---- */

struct entry {
    char *path;
    struct timespec when;
};

static bool is_auto(const char *name)
{
    size_t n = strlen(name), end = sizeof ENDING - 1;
    return strncmp(name, AUTO, sizeof AUTO - 1) == 0 && n > end &&
           strcmp(name + n - end, ENDING) == 0;
}

static int newer_first(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    if (a->when.tv_sec != b->when.tv_sec)
        return a->when.tv_sec < b->when.tv_sec ? 1 : -1;
    if (a->when.tv_nsec != b->when.tv_nsec)
        return a->when.tv_nsec < b->when.tv_nsec ? 1 : -1;
    return strcmp(b->path, a->path);
}

/* All sessions that were saved as they went, the newest first; *list is malloc'ed. */
static int list_auto(const char *folder, struct entry **list)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.3900s/" SESSIONS, folder);
    DIR *dir = *folder ? opendir(path) : NULL;
    int n = 0;
    *list = NULL;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        struct stat st;
        struct entry *more;
        if (!is_auto(d->d_name))
            continue;
        snprintf(path, sizeof path, "%.3700s/" SESSIONS "/%s", folder, d->d_name);
        if (stat(path, &st) || !S_ISREG(st.st_mode) ||
            !(more = realloc(*list, ((size_t)n + 1) * sizeof *more)))
            continue;
        *list = more;
        char *copy = strdup(path);
        if (copy)
            more[n++] = (struct entry){copy, st.st_mtim};
    }
    if (dir)
        closedir(dir);
    if (n)
        qsort(*list, (size_t)n, sizeof **list, newer_first);
    return n;
}

static bool is_of(const char *path, const char *model)
{
    char *text = NULL;
    size_t n;
    struct err e;
    struct saved s = {0};
    struct bytes warnings = {0};
    bool same = false;
    if (file_read_all(path, SAVED_BYTES_MAX, &text, &n, &e) == 0 &&
        saved_parse(&s, path, text, n, &warnings) >= 0) {
        char real[PATH_MAX];
        const char *of = saved_get(&s, NULL, SAVED_MODEL);
        same = of && (strcmp(of, model) == 0 || (realpath(model, real) && !strcmp(of, real)));
    }
    free(text);
    saved_free(&s);
    bytes_free(&warnings);
    return same;
}

int state_newest(const char *folder, const char *model, char buf[PATH_MAX], struct err *e)
{
    struct entry *list;
    int n = list_auto(folder, &list);
    bool found = false;
    for (int i = 0; i < n; i++) {
        if (!found && (!model || is_of(list[i].path, model))) {
            snprintf(buf, PATH_MAX, "%s", list[i].path);
            found = true;
        }
        free(list[i].path);
    }
    free(list);
    return found
               ? 0
               : err_set(e, ERR_BAD_INPUT, "no session%s%.100s to go on with · they lie in %.200s",
                         model ? " of " : "", model ? model : "", *folder ? folder : "no folder");
}

static void remove_unfinished(const char *folder)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.3900s/" SESSIONS, folder);
    DIR *dir = *folder ? opendir(path) : NULL;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        size_t n = strlen(d->d_name);
        struct stat st;
        if (n < 4 || strcmp(d->d_name + n - 4, ".tmp") != 0)
            continue;
        snprintf(path, sizeof path, "%.3700s/" SESSIONS "/%s", folder, d->d_name);
        if (stat(path, &st) == 0 && st.st_mtim.tv_sec < time(NULL) - 3600)
            unlink(path); /* of a program that was killed while it wrote */
    }
    if (dir)
        closedir(dir);
}

void state_prune(const char *folder)
{
    struct entry *list;
    int n = list_auto(folder, &list);
    for (int i = 0; i < n; i++) {
        if (i >= STATE_AUTO_MAX)
            unlink(list[i].path);
        free(list[i].path);
    }
    free(list);
    remove_unfinished(folder);
}

/* ---- the history: a line "KIND "TEXT"" each ---- */

void state_history_parse(const char *text, size_t len, struct line_history *h, int n)
{
    for (size_t at = 0; at < len;) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t size = newline ? (size_t)(newline - (text + at)) : len - at;
        char *line = strndup(text + at, size), *end = line;
        at += size + 1;
        if (!line)
            return;
        long kind = strtol(line, &end, 10);
        if (end > line && end[0] == ' ' && end[1] == '"' && kind >= 0 && kind < n) {
            const char *s = end + 1;
            char *typed = saved_unquote(&s);
            if (typed && !*s)
                line_history_add(&h[kind], typed);
            free(typed);
        }
        free(line);
    }
}

static const char *history_path(const char *folder, char buf[PATH_MAX])
{
    snprintf(buf, PATH_MAX, "%.3900s/history", folder);
    return buf;
}

/* A file that has grown long keeps its second half. */
static void cut_history(const char *path, const char *text, size_t n)
{
    const char *half = memchr(text + n / 2, '\n', n - n / 2);
    if (half)
        (void)file_write_all(path, half + 1, (size_t)(text + n - half - 1), NULL);
}

/* The last bytes of a file, from the beginning of a line on; NULL: none. */
static char *read_end(const char *path, size_t most, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    char *text = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? malloc(most) : NULL;
    off_t from = text && st.st_size > (off_t)most ? st.st_size - (off_t)most : 0;
    size_t n = 0;
    for (ssize_t got; text && n < most; n += (size_t)got)
        if ((got = pread(fd, text + n, most - n, from + (off_t)n)) <= 0)
            break;
    const char *line = from ? memchr(text, '\n', n) : text; /* the first one may be cut */
    size_t skip = line && from ? (size_t)(line + 1 - text) : 0;
    if (fd >= 0)
        close(fd);
    if (!line) {
        free(text);
        return NULL;
    }
    memmove(text, text + skip, n - skip);
    *len = n - skip;
    return text;
}

void state_history_read(const char *folder, struct line_history *h, int n)
{
    char path[PATH_MAX];
    size_t len;
    char *text = *folder ? read_end(history_path(folder, path), STATE_HISTORY_BYTES_MAX, &len)
                         : NULL;
    if (!text)
        return;
    state_history_parse(text, len, h, n);
    if (len > STATE_HISTORY_BYTES_MAX / 4)
        cut_history(path, text, len);
    free(text);
}

void state_history_add(const char *folder, int kind, const char *text)
{
    char path[PATH_MAX];
    struct bytes b = {0};
    if (!*folder || !*text)
        return;
    bytes_addf(&b, "%d ", kind);
    saved_quote(&b, text);
    bytes_add_char(&b, '\n');
    int fd = b.failed ? -1
                      : open(history_path(folder, path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                             0600);
    if (fd >= 0) {
        ssize_t did = write(fd, b.data, b.len); /* one write: runs at the same time do not mix */
        (void)did;
        close(fd);
    }
    bytes_free(&b);
}
