/* hub.c - finding the files of a model (see hub.h).
 *
 * Only names and folders are looked at; a name typed by the user never leads out of the cache folder.
 * Tested in tests/engine/test_hub.c on folders made for it. */
#include "hub.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nearest.h"

#ifndef BORE_SOURCE_DIR
#define BORE_SOURCE_DIR "."
#endif

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool ends_with(const char *s, const char *ending)
{
    size_t n = strlen(s), m = strlen(ending);
    return n > m && strcmp(s + n - m, ending) == 0;
}

static char *joined(const char *folder, const char *name)
{
    char *path;
    size_t n = strlen(folder);
    return asprintf(&path, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name) < 0 ? NULL : path;
}

/* FOLDER/NAME if it is there, else NULL. */
static char *file_in(const char *folder, const char *name)
{
    char *path = joined(folder, name);
    if (path && !is_file(path)) {
        free(path);
        path = NULL;
    }
    return path;
}

static bool folder_has(const char *folder, const char *name)
{
    char *path = file_in(folder, name);
    free(path);
    return path != NULL;
}

/* The first entry of a folder that `keep` likes, NULL if none or (with `only`) if there are two. */
static char *entry_in(const char *folder, bool (*keep)(const char *name), bool only)
{
    char *found = NULL;
    DIR *dir = opendir(folder);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (!keep(d->d_name))
            continue;
        if (found) {
            free(found);
            found = NULL;
            break;
        }
        found = strdup(d->d_name);
        if (!only)
            break;
    }
    if (dir)
        closedir(dir);
    return found;
}

static bool is_safetensors(const char *name)
{
    return ends_with(name, ".safetensors");
}

static bool is_other_weights(const char *name)
{
    static const char *const endings[] = {".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(name, endings[i]))
            return true;
    return false;
}

static bool is_visible(const char *name)
{
    return name[0] != '.';
}

/* ---- a folder ---------------------------------------------------------------------------------------- */

/* "org/name" for a folder inside the cache, else its base name. */
static char *folder_name(const char *folder)
{
    char *real = realpath(folder, NULL);
    const char *full = real ? real : folder, *name = strrchr(full, '/');
    char *out = NULL;
    const char *cached = strstr(full, "/models--"), *end = cached ? strstr(cached, "/snapshots/") : NULL;
    if (end) {
        cached += strlen("/models--");
        out = strndup(cached, (size_t)(end - cached));
        char *dashes = out ? strstr(out, "--") : NULL;
        if (dashes) {
            *dashes = '/';
            memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
        }
    } else {
        out = strdup(name && name[1] ? name + 1 : full);
    }
    free(real);
    return out;
}

/* model.safetensors, its sharded index, or the only .safetensors there is. */
static char *weights_in(const char *folder)
{
    char *path = file_in(folder, "model.safetensors");
    if (!path)
        path = file_in(folder, "model.safetensors.index.json");
    if (!path) {
        char *name = entry_in(folder, is_safetensors, true);
        path = name ? file_in(folder, name) : NULL;
        free(name);
    }
    return path;
}

/* Fill *out from a folder known to hold config.json.  `weights` NULL: look for them. */
static int take_folder(const char *folder, const char *name, const char *weights, struct hub_model *out, struct err *e)
{
    struct hub_model m = {
        .name = name ? strdup(name) : folder_name(folder),
        .folder = strdup(folder),
        .config = joined(folder, "config.json"),
        .weights = weights ? strdup(weights) : weights_in(folder),
        .tokenizer = file_in(folder, "tokenizer.json"),
    };
    if (!m.name || !m.folder || !m.config || (weights && !m.weights)) {
        hub_model_free(&m);
        return err_set(e, ERR_SYSTEM, "%s · out of memory", folder);
    }
    *out = m;
    return 0;
}

void hub_model_free(struct hub_model *m)
{
    free(m->name);
    free(m->folder);
    free(m->config);
    free(m->weights);
    free(m->tokenizer);
    *m = (struct hub_model){0};
}

int hub_need_weights(const struct hub_model *m, struct err *e)
{
    if (m->weights)
        return 0;
    char *shard = entry_in(m->folder, is_safetensors, false);
    char *other = entry_in(m->folder, is_other_weights, false);
    int rc;
    if (shard)
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · no model.safetensors or model.safetensors.index.json, but several .safetensors (%s, …) · "
                     "name the file",
                     m->folder, shard);
    else if (other)
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · no model.safetensors or model.safetensors.index.json, only %s, which is not read · "
                     "save the model with save_pretrained(…, safe_serialization=True)",
                     m->folder, other);
    else
        rc = err_set(e, ERR_BAD_INPUT, "%s · no model.safetensors or model.safetensors.index.json", m->folder);
    free(shard);
    free(other);
    return rc;
}

static int take_file(const char *path, struct hub_model *out, struct err *e)
{
    if (!is_safetensors(path) && !ends_with(path, ".safetensors.index.json")) {
        if (is_other_weights(path))
            return err_set(e, ERR_BAD_INPUT, "%s · weights are read from .safetensors files only", path);
        return err_set(e, ERR_BAD_INPUT, "%s · is not a model · expected a folder, a .safetensors file or a hub name",
                       path);
    }
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + (slash == path)) : strdup(".");
    int rc;
    if (!folder)
        rc = err_set(e, ERR_SYSTEM, "%s · out of memory", path);
    else if (!folder_has(folder, "config.json"))
        rc = err_set(e, ERR_BAD_INPUT, "%s · no config.json beside it · put the model's config.json into %s", path,
                     folder);
    else
        rc = take_folder(folder, slash ? slash + 1 : path, path, out, e);
    free(folder);
    return rc;
}

/* ---- the built-in model ------------------------------------------------------------------------------ */

static const char builtin_name[] = "teach";

/* Where the built-in model may lie, best first; malloc'ed or NULL. */
static char *builtin_candidate(int i)
{
    char *path = NULL, exe[PATH_MAX];
    const char *data = getenv("BORESCOPE_DATA");
    switch (i) {
    case 0:
        return data && data[0] && asprintf(&path, "%s/models/%s", data, builtin_name) >= 0 ? path : NULL;
    case 1: {
        ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
        exe[n < 0 ? 0 : n] = '\0';
        char *slash = strrchr(exe, '/');
        if (!slash)
            return NULL;
        *slash = '\0';
        return asprintf(&path, "%s/../share/borescope/models/%s", exe, builtin_name) >= 0 ? path : NULL;
    }
    default: return asprintf(&path, "%s/models/%s", BORE_SOURCE_DIR, builtin_name) >= 0 ? path : NULL;
    }
}

static int resolve_builtin(struct hub_model *out, struct err *e)
{
    char *folder = NULL;
    for (int i = 0; i < 3; i++) {
        free(folder);
        folder = builtin_candidate(i);
        if (folder && folder_has(folder, "config.json")) {
            int rc = take_folder(folder, builtin_name, NULL, out, e);
            free(folder);
            return rc;
        }
    }
    int rc = err_set(e, ERR_BAD_INPUT,
                     "%s · the built-in model is not at %s · set BORESCOPE_DATA to the folder that holds models/%s",
                     builtin_name, folder ? folder : "its place", builtin_name);
    free(folder);
    return rc;
}

/* ---- the local cache of the hub ---------------------------------------------------------------------- */

/* $VAR/tail with a leading ~ replaced; NULL if VAR is unset or empty. */
static char *path_from_env(const char *var, const char *tail)
{
    const char *value = getenv(var);
    if (!value || !value[0])
        return NULL;
    const char *home = "";
    if (value[0] == '~' && (value[1] == '/' || !value[1])) {
        home = getenv("HOME");
        value++;
    }
    char *path;
    return asprintf(&path, "%s%s%s", home ? home : "", value, tail) < 0 ? NULL : path;
}

static char *cache_root(void)
{
    static const char *const places[][2] = {{"HF_HUB_CACHE", ""},
                                            {"HUGGINGFACE_HUB_CACHE", ""},
                                            {"HF_HOME", "/hub"},
                                            {"XDG_CACHE_HOME", "/huggingface/hub"},
                                            {"HOME", "/.cache/huggingface/hub"}};
    char *path = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places && !path; i++)
        path = path_from_env(places[i][0], places[i][1]);
    struct passwd *pw = path ? NULL : getpwuid(getuid());
    if (pw && asprintf(&path, "%s/.cache/huggingface/hub", pw->pw_dir) < 0)
        path = NULL;
    return path;
}

/* `name` or `org/name`, each of letters, digits, '.', '_' and '-', none beginning with '.'. */
static bool is_hub_name(const char *s)
{
    int slashes = 0;
    for (const char *p = s; *p; p++) {
        bool first = p == s || p[-1] == '/';
        if (*p == '/' && !first && p[1])
            slashes++;
        else if (!isalnum((unsigned char)*p) && !(strchr("._-", *p) && !(first && *p == '.')))
            return false;
    }
    return s[0] && slashes <= 1;
}

/* A branch, tag, "refs/pr/1" or commit: the same letters, any number of parts, no part beginning with '.'. */
static bool is_revision(const char *s)
{
    for (const char *p = s; *p; p++) {
        bool first = p == s || p[-1] == '/';
        if (*p == '/' ? first || !p[1] : !isalnum((unsigned char)*p) && !(strchr("._-", *p) && !(first && *p == '.')))
            return false;
    }
    return s[0] != '\0';
}

/* First line of refs/REVISION if it could be a commit. */
static bool read_ref(const char *repo, const char *revision, char *commit, size_t size)
{
    char *path;
    if (asprintf(&path, "%s/refs/%s", repo, revision) < 0)
        return false;
    FILE *f = is_file(path) ? fopen(path, "re") : NULL;
    free(path);
    if (!f)
        return false;
    size_t n = fread(commit, 1, size - 1, f);
    fclose(f);
    while (n && isspace((unsigned char)commit[n - 1]))
        n--;
    commit[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (!isxdigit((unsigned char)commit[i]))
            return false;
    return n > 0;
}

/* The snapshot folder of a repository in the cache, malloc'ed, or NULL. */
static char *find_snapshot(const char *repo, const char *revision)
{
    char commit[80], *snapshots = joined(repo, "snapshots"), *path = NULL;
    if (!snapshots)
        return NULL;
    if (read_ref(repo, revision ? revision : "main", commit, sizeof commit))
        path = joined(snapshots, commit);
    else if (revision)
        path = joined(snapshots, revision);
    else { /* fetched by commit only: take it if there is no choice */
        char *only = entry_in(snapshots, is_visible, true);
        path = only ? joined(snapshots, only) : NULL;
        free(only);
    }
    free(snapshots);
    if (path && !is_folder(path)) {
        free(path);
        path = NULL;
    }
    return path;
}

/* How badly a cached model's name fits what was typed; the part after the org counts as well. */
static size_t misfit(const char *typed, const char *cached)
{
    const char *base = strchr(cached, '/');
    size_t whole = nearest_distance(typed, cached), part = base ? nearest_distance(typed, base + 1) : whole;
    return strcasestr(cached, typed) ? 0 : whole < part ? whole : part;
}

enum { NEAR_MAX = 3 };

/* "a, b, c": the cached models nearest to `typed`; "" when the cache is empty. */
static void list_near(const char *root, const char *typed, char *buf, size_t size)
{
    char name[NEAR_MAX][NAME_MAX + 1];
    size_t score[NEAR_MAX];
    int n = 0;
    DIR *dir = opendir(root);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        char shown[NAME_MAX + 1];
        if (strncmp(d->d_name, "models--", 8) != 0)
            continue;
        snprintf(shown, sizeof shown, "%s", d->d_name + 8);
        char *dashes = strstr(shown, "--");
        if (dashes) {
            *dashes = '/';
            memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
        }
        size_t s = misfit(typed, shown);
        int at = n;
        while (at > 0 && (score[at - 1] > s || (score[at - 1] == s && strcmp(name[at - 1], shown) > 0)))
            at--;
        if (at == NEAR_MAX)
            continue;
        n += n < NEAR_MAX;
        for (int i = n - 1; i > at; i--) {
            score[i] = score[i - 1];
            memcpy(name[i], name[i - 1], sizeof name[i]);
        }
        score[at] = s;
        memcpy(name[at], shown, sizeof shown);
    }
    if (dir)
        closedir(dir);
    buf[0] = '\0';
    for (int i = 0; i < n; i++)
        snprintf(buf + strlen(buf), size - strlen(buf), "%s%s", i ? ", " : "", name[i]);
}

static int not_cached(const char *root, const char *name, struct err *e)
{
    char near[200];
    list_near(root, name, near, sizeof near);
    if (near[0])
        return err_set(e, ERR_BAD_INPUT, "%s · neither a folder, a file nor in the cache %s · there: %s", name, root,
                       near);
    return err_set(e, ERR_BAD_INPUT,
                   "%s · neither a folder, a file nor in the cache %s, which is empty · try the built-in model: %s", name,
                   root, builtin_name);
}

/* One repository of the cache; `name` is org/name. */
static int take_repo(const char *root, const char *name, const char *revision, struct hub_model *out, struct err *e)
{
    const char *slash = strchr(name, '/');
    int org = slash ? (int)(slash - name) : 0;
    char *repo = NULL, *folder = NULL;
    int rc;
    if (asprintf(&repo, "%s/models--%.*s%s%s", root, org, name, slash ? "--" : "", slash ? slash + 1 : name) < 0) {
        repo = NULL;
        rc = err_set(e, ERR_SYSTEM, "%s · out of memory", name);
    } else if (!is_folder(repo))
        rc = not_cached(root, name, e);
    else if (!(folder = find_snapshot(repo, revision)))
        rc = err_set(e, ERR_BAD_INPUT, "%s · %s has no snapshot of revision %s", name, repo, revision ? revision : "main");
    else if (!folder_has(folder, "config.json"))
        rc = err_set(e, ERR_BAD_INPUT, "%s · %s holds no config.json · fetch the whole model into the cache", name,
                     folder);
    else
        rc = take_folder(folder, name, NULL, out, e);
    free(repo);
    free(folder);
    return rc;
}

static int resolve_cached(const char *arg, struct hub_model *out, struct err *e)
{
    char *name = strdup(arg), *root = cache_root();
    char *revision = name ? strchr(name, '@') : NULL;
    int rc;
    if (revision)
        *revision++ = '\0';
    if (!name || !root)
        rc = err_set(e, ERR_SYSTEM, "%s · out of memory", arg);
    else if (!is_hub_name(name) || (revision && !is_revision(revision)))
        rc = err_set(e, ERR_BAD_INPUT, "%s · no such file or folder, and not a name like org/name@revision", arg);
    else
        rc = take_repo(root, name, revision, out, e);
    free(name);
    free(root);
    return rc;
}

/* ---- the public side --------------------------------------------------------------------------------- */

int hub_resolve(const char *arg, struct hub_model *out, struct err *e)
{
    if (!arg[0])
        return err_set(e, ERR_BAD_INPUT, "no model named · expected a folder, a .safetensors file, a hub name or %s",
                       builtin_name);
    if (is_folder(arg) && folder_has(arg, "config.json"))
        return take_folder(arg, NULL, NULL, out, e);
    if (is_file(arg))
        return take_file(arg, out, e);
    if (strcmp(arg, builtin_name) == 0)
        return resolve_builtin(out, e);
    struct err why = {0};
    int rc = resolve_cached(arg, out, &why);
    if (rc && is_folder(arg)) { /* a folder that is no model, and no model of that name elsewhere */
        char *other = entry_in(arg, is_other_weights, false);
        rc = err_set(e, ERR_BAD_INPUT, "%s · no config.json in this folder%s%s", arg,
                     other ? " · weights are read from .safetensors files only, there is " : "", other ? other : "");
        free(other);
    } else if (rc && e) {
        *e = why;
    }
    return rc;
}

int hub_resolve_tokenizer(const char *arg, char **path, struct err *e)
{
    if (is_file(arg) && ends_with(arg, ".json") && !ends_with(arg, ".index.json")) {
        char *copy = strdup(arg);
        if (!copy)
            return err_set(e, ERR_SYSTEM, "%s · out of memory", arg);
        *path = copy;
        return 0;
    }
    struct hub_model m = {0};
    int rc = hub_resolve(arg, &m, e);
    if (!rc && !m.tokenizer)
        rc = err_set(e, ERR_BAD_INPUT, "%s · no tokenizer.json in %s", arg, m.folder);
    if (!rc) {
        *path = m.tokenizer;
        m.tokenizer = NULL;
    }
    hub_model_free(&m);
    return rc;
}
