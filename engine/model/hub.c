/* hub.c - finding the files of a model (see hub.h).
 *
 * Only names and folders are looked at; a name typed by the user never leads out of the cache
 * folder. Tested in tests/engine/test_hub.c on folders made for it. */
#include "model/hub.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ends_with.h"
#include "base/nearest.h"

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

/* printf; a path that is too long for the system becomes "", which is nowhere. */
static bool path_make(char path[PATH_MAX], const char *format, ...) ERR_PRINTF(2, 3);
static bool path_make(char path[PATH_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(path, PATH_MAX, format, args);
    va_end(args);
    if (n >= 0 && n < PATH_MAX)
        return true;
    path[0] = '\0';
    return false;
}

static bool path_join(char path[PATH_MAX], const char *folder, const char *name)
{
    size_t n = strlen(folder);
    return path_make(path, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
}

/* FOLDER/NAME to path if there is anything of that name, else "": what is no file is refused by
 * whoever opens it. */
static bool file_in(const char *folder, const char *name, char path[PATH_MAX])
{
    if (path_join(path, folder, name) && access(path, F_OK) == 0)
        return true;
    path[0] = '\0';
    return false;
}

static bool has_config(const char *folder)
{
    char path[PATH_MAX];
    return file_in(folder, "config.json", path);
}

/* The first entry of a folder that `keep` likes; false if none or (with `only`) if there are two.
 */
static bool entry_in(const char *folder, bool (*keep)(const char *name), bool only,
                     char name[NAME_MAX + 1])
{
    int found = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *d; dir && (d = readdir(dir)) && found < 1 + only;)
        if (keep(d->d_name)) {
            found++;
            snprintf(name, NAME_MAX + 1, "%s", d->d_name);
        }
    if (dir)
        closedir(dir);
    return found == 1;
}

static bool is_safetensors(const char *name)
{
    return ends_with(name, ".safetensors");
}

/* One that is a model: no vision tower, and of a set of files the first. */
static bool is_gguf(const char *name)
{
    int part = 1;
    const char *set = strstr(name, "-of-");
    if (set && set - name >= 6)
        (void)sscanf(set - 6, "-%5d-of-", &part);
    return ends_with(name, ".gguf") && part == 1 && strncmp(name, "mmproj", 6) != 0;
}

static bool is_pickle(const char *name)
{
    return ends_with(name, ".bin") || ends_with(name, ".pt") || ends_with(name, ".pth");
}

#define CONVERT                                                                    \
    "a pickle is a program, which is not run · convert it: AutoModelForCausalLM." \
    "from_pretrained(FOLDER).save_pretrained(NEW_FOLDER), which writes .safetensors"

static bool is_other_weights(const char *name)
{
    static const char *const endings[] = {".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(name, endings[i]))
            return true;
    return false;
}

static bool is_visible(const char *name)
{
    return name[0] != '.';
}

/* ---- a folder ---- */

static const char cached_prefix[] = "models--";

/* "models--org--name" of the cache as "org/name", from behind its "models--". */
static void name_from_cache(char *name, size_t size, const char *cached, size_t len)
{
    snprintf(name, size, "%.*s", (int)len, cached);
    char *dashes = strstr(name, "--");
    if (dashes) {
        *dashes = '/';
        memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
    }
}

/* "org/name" for a folder inside the cache, else its base name. */
static void folder_name(const char *folder, char name[PATH_MAX])
{
    char real[PATH_MAX];
    const char *full = realpath(folder, real) ? real : folder, *base = strrchr(full, '/');
    const char *cached = strstr(full, "/models--"),
               *end = cached ? strstr(cached, "/snapshots/") : NULL;
    if (end) {
        cached += strlen("/models--");
        name_from_cache(name, PATH_MAX, cached, (size_t)(end - cached));
    } else
        snprintf(name, PATH_MAX, "%s", base && base[1] ? base + 1 : full);
}

/* model.safetensors, its sharded index, the only .safetensors there is, or the only .gguf. */
static void weights_in(const char *folder, char path[PATH_MAX])
{
    char name[NAME_MAX + 1];
    if (has_config(folder) && (file_in(folder, "model.safetensors", path) ||
                               file_in(folder, "model.safetensors.index.json", path)))
        return;
    if ((has_config(folder) && entry_in(folder, is_safetensors, true, name)) ||
        entry_in(folder, is_gguf, true, name))
        file_in(folder, name, path);
}

/* config.json, or a file that needs none. */
static bool is_model(const char *folder)
{
    char name[NAME_MAX + 1];
    return has_config(folder) || entry_in(folder, is_gguf, true, name);
}

/* Fill *out from a folder known to hold a model.  `weights` NULL: look for them. */
static int take_folder(const char *folder, const char *name, const char *weights,
                       struct hub_model *out)
{
    path_make(out->folder, "%s", folder);
    if (name)
        path_make(out->name, "%s", name);
    else
        folder_name(folder, out->name);
    if (weights)
        path_make(out->weights, "%s", weights);
    else
        weights_in(folder, out->weights);
    if (ends_with(out->weights, ".gguf")) /* all is in it */
        return 0;
    file_in(folder, "config.json", out->config);
    file_in(folder, "tokenizer.json", out->tokenizer);
    return 0;
}

int hub_need_weights(const struct hub_model *m, struct err *e)
{
    char name[NAME_MAX + 1];
    if (m->weights[0])
        return 0;
    if (entry_in(m->folder, is_safetensors, false, name))
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · no model.safetensors or model.safetensors.index.json, but several .safetensors (%s, …) · "
            "name the file",
            m->folder, name);
    if (entry_in(m->folder, is_gguf, false, name))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · weights missing: several .gguf (%s, …) · name the file", m->folder,
                       name);
    if (entry_in(m->folder, is_other_weights, false, name))
        return err_set(e, ERR_BAD_INPUT, "%s · weights missing: only %s, which is not read%s",
                       m->folder, name, is_pickle(name) ? " · " CONVERT : "");
    return err_set(e, ERR_BAD_INPUT,
                   "%s · weights missing: no model.safetensors or model.safetensors.index.json",
                   m->folder);
}

static int take_file(const char *path, struct hub_model *out, struct err *e)
{
    bool gguf = ends_with(path, ".gguf");
    if (!gguf && !is_safetensors(path) && !ends_with(path, ".safetensors.index.json")) {
        if (is_pickle(path))
            return err_set(e, ERR_BAD_INPUT, "%s · " CONVERT, path);
        return err_set(e, ERR_BAD_INPUT,
                       "%s · is not a model · expected a folder, a .safetensors or .gguf file or a "
                       "hub name",
                       path);
    }
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    path_make(folder, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1,
              slash ? path : ".");
    if (!gguf && !has_config(folder))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · no config.json beside it · put the model's config.json into %s", path,
                       folder);
    return take_folder(folder, slash ? slash + 1 : path, path, out);
}

/* ---- the built-in model ---- */

const char hub_builtin[] = "teach";

/* Where the built-in model may lie, best first; false: there is no such place. */
static bool builtin_candidate(int i, char path[PATH_MAX])
{
    char exe[PATH_MAX];
    const char *data = getenv("BORESCOPE_DATA");
    switch (i) {
    case 0: return data && data[0] && path_make(path, "%s/models/%s", data, hub_builtin);
    case 1: {
        ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
        exe[n < 0 ? 0 : n] = '\0';
        char *slash = strrchr(exe, '/');
        return slash && path_make(path, "%.*s/../share/borescope/models/%s", (int)(slash - exe),
                                  exe, hub_builtin);
    }
    default: return path_make(path, "%s/models/%s", BORE_SOURCE_DIR, hub_builtin);
    }
}

static int resolve_builtin(struct hub_model *out, struct err *e)
{
    char folder[PATH_MAX] = "its place";
    for (int i = 0; i < 3; i++)
        if (builtin_candidate(i, folder) && has_config(folder))
            return take_folder(folder, hub_builtin, NULL, out);
    return err_set(
        e, ERR_BAD_INPUT,
        "%s · the built-in model is not at %s · set BORESCOPE_DATA to the folder that holds models/%s",
        hub_builtin, folder, hub_builtin);
}

/* ---- the local cache of the hub ---- */

/* $VAR/tail with a leading ~ replaced; false if VAR is unset or empty. */
static bool path_from_env(const char *var, const char *tail, char path[PATH_MAX])
{
    const char *value = getenv(var), *home = "";
    if (!value || !value[0])
        return false;
    if (value[0] == '~' && (value[1] == '/' || !value[1])) {
        home = getenv("HOME");
        value++;
    }
    return path_make(path, "%s%s%s", home ? home : "", value, tail);
}

void hub_home(const char *name, char path[PATH_MAX])
{
    static const char *const places[][2] = {
        {"HF_HOME", ""}, {"XDG_CACHE_HOME", "/huggingface"}, {"HOME", "/.cache/huggingface"}};
    char home[PATH_MAX];
    struct passwd *pw = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (path_from_env(places[i][0], places[i][1], home)) {
            path_join(path, home, name);
            return;
        }
    pw = getpwuid(getuid());
    path_make(path, "%s%s/%s", pw ? pw->pw_dir : "", places[2][1], name);
}

void hub_cache(char path[PATH_MAX])
{
    if (!path_from_env("HF_HUB_CACHE", "", path) &&
        !path_from_env("HUGGINGFACE_HUB_CACHE", "", path))
        hub_home("hub", path);
}

/* Parts of letters, digits, '.', '_' and '-', none beginning with '.', with '/' between them: at
 * most `parts`. */
static bool is_name(const char *s, int parts)
{
    for (const char *p = s; *p; p++) {
        bool first = p == s || p[-1] == '/';
        if (*p == '/' && !first && p[1])
            parts--;
        else if (!isalnum((unsigned char)*p) && !(strchr("._-", *p) && !(first && *p == '.')))
            return false;
    }
    return s[0] && parts > 0;
}

/* First line of refs/REVISION if it could be a commit. */
static bool read_ref(const char *repo, const char *revision, char *commit, size_t size)
{
    char path[PATH_MAX];
    FILE *f = path_make(path, "%s/refs/%s", repo, revision) && is_file(path) ? fopen(path, "re")
                                                                             : NULL;
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

/* The snapshot folder of a repository in the cache. */
static bool find_snapshot(const char *repo, const char *revision, char path[PATH_MAX])
{
    char commit[NAME_MAX + 1], snapshots[PATH_MAX];
    bool found = path_join(snapshots, repo, "snapshots");
    if (read_ref(repo, revision ? revision : "main", commit, sizeof commit))
        revision = commit;
    else if (!revision && (found = entry_in(snapshots, is_visible, true,
                                            commit))) /* fetched by commit only: no choice */
        revision = commit;
    return found && path_join(path, snapshots, revision) && is_folder(path);
}

bool hub_cached_name(const char *folder, char name[NAME_MAX + 1])
{
    size_t n = strlen(cached_prefix);
    if (strncmp(folder, cached_prefix, n) != 0)
        return false;
    name_from_cache(name, NAME_MAX + 1, folder + n, strlen(folder + n));
    return true;
}

/* How badly a cached model's name fits what was typed; the part after the org counts as well. */
static size_t misfit(const char *typed, const char *cached)
{
    const char *base = strchr(cached, '/');
    size_t whole = nearest_distance(typed, cached),
           part = base ? nearest_distance(typed, base + 1) : whole;
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
        if (!hub_cached_name(d->d_name, shown))
            continue;
        size_t s = misfit(typed, shown);
        int at = n;
        while (at > 0 &&
               (score[at - 1] > s || (score[at - 1] == s && strcmp(name[at - 1], shown) > 0)))
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
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · neither a folder, a file nor in the cache %s · to fetch it: borescope pull %s · there: %s",
            name, root, name, near);
    return err_set(
        e, ERR_BAD_INPUT,
        "%s · neither a folder, a file nor in the cache %s, which is empty · to fetch it: borescope pull %s · "
        "or try the built-in model: %s",
        name, root, name, hub_builtin);
}

void hub_repo(const char *root, const char *name, char path[PATH_MAX])
{
    const char *slash = strchr(name, '/');
    path_make(path, "%s/%s%.*s%s%s", root, cached_prefix, slash ? (int)(slash - name) : 0, name,
              slash ? "--" : "", slash ? slash + 1 : name);
}

/* Why a folder of the cache is no model: nothing that says its shape, or too much of it. */
static int no_model(const char *folder, const char *name, const char *revision, struct err *e)
{
    char file[NAME_MAX + 1];
    if (entry_in(folder, is_gguf, false, file))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · several .gguf (%s, …) and no config.json · name the file, in %s", name,
                       file, folder);
    return err_set(e, ERR_BAD_INPUT,
                   "%s · no config.json · in %s · to fetch it: borescope pull %s%s%s", name, folder,
                   name, revision ? "@" : "", revision ? revision : "");
}

/* One repository of the cache; `name` is org/name. */
static int take_repo(const char *root, const char *name, const char *revision,
                     struct hub_model *out, struct err *e)
{
    char repo[PATH_MAX], folder[PATH_MAX];
    hub_repo(root, name, repo);
    if (!is_folder(repo))
        return not_cached(root, name, e);
    if (!find_snapshot(repo, revision, folder))
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · no snapshot of revision %s · in %s · to fetch it: borescope pull %s%s%s", name,
            revision ? revision : "main", repo, name, revision ? "@" : "",
            revision ? revision : "");
    if (!is_model(folder))
        return no_model(folder, name, revision, e);
    return take_folder(folder, name, NULL, out);
}

bool hub_split(const char *arg, char name[PATH_MAX], char **revision)
{
    bool fits = path_make(name, "%s", arg);
    char *at = strchr(name, '@');
    if (at)
        *at++ = '\0';
    *revision = at;
    return fits && is_name(name, 2) && (!at || is_name(at, INT_MAX));
}

static int resolve_cached(const char *arg, struct hub_model *out, struct err *e)
{
    char name[PATH_MAX], root[PATH_MAX], *revision;
    if (!hub_split(arg, name, &revision))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · no such file or folder, and not a name like org/name@revision", arg);
    hub_cache(root);
    return take_repo(root, name, revision, out, e);
}

/* What a folder that is no model has instead. */
static int folder_without(const char *folder, struct err *e)
{
    char name[NAME_MAX + 1];
    if (entry_in(folder, is_gguf, false, name))
        return err_set(e, ERR_BAD_INPUT, "%s · holds several .gguf files (%s, …) · name the file",
                       folder, name);
    if (entry_in(folder, is_other_weights, false, name))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · no config.json in this folder · weights are read from .safetensors "
                       "and .gguf files, there is %s",
                       folder, name);
    return err_set(e, ERR_BAD_INPUT, "%s · neither config.json nor a .gguf file in this folder",
                   folder);
}

/* ---- the public side ---- */

int hub_resolve(const char *arg, struct hub_model *out, struct err *e)
{
    if (!arg[0])
        return err_set(
            e, ERR_BAD_INPUT,
            "no model named · expected a folder, a .safetensors or .gguf file, a hub name or %s",
            hub_builtin);
    struct hub_model m = {0};
    struct err why = {0};
    int rc;
    if (is_folder(arg) && is_model(arg))
        rc = take_folder(arg, NULL, NULL, &m);
    else if (is_file(arg))
        rc = take_file(arg, &m, &why);
    else if (strcmp(arg, hub_builtin) == 0)
        rc = resolve_builtin(&m, &why);
    else
        rc = resolve_cached(arg, &m, &why);
    if (rc && is_folder(arg)) /* a folder that is no model, and no model of that name elsewhere */
        return folder_without(arg, e);
    if (rc && !is_folder(arg) && !is_file(arg) && access(arg, F_OK) == 0)
        return err_set(e, ERR_BAD_INPUT, "%s · is neither a folder nor a regular file", arg);
    if (rc && e)
        *e = why;
    if (!rc)
        *out = m;
    return rc;
}
