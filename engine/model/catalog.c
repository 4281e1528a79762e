/* catalog.c - listing the cache, and looking at one model of it (see catalog.h). */
#include "model/catalog.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/list.h"
#include "model/arch.h"
#include "model/hub.h"
#include "model/model.h"

static int add(struct catalog *c, const char *name, const char *revision, struct err *e)
{
    if (c->n == LIMIT_CATALOG)
        return 0;
    char *text = NULL;
    if (!list_room(&c->entry, (size_t)c->n, sizeof *c->entry) ||
        asprintf(&text, "%s%s%s", name, revision ? "@" : "", revision ? revision : "") < 0)
        return err_memory(e, "the list of models");
    c->entry[c->n++] = (struct catalog_entry){.name = text};
    return 0;
}

/* The snapshot folder that "name" or "name@revision" opens: *id; false: none. */
static bool snapshot_of(const char *repo, const char *revision, struct stat *id)
{
    char path[PATH_MAX], commit[NAME_MAX + 1] = "";
    if (snprintf(path, sizeof path, "%s/refs/%s", repo, revision) >= (int)sizeof path)
        return false;
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%99[0-9a-fA-F]", commit) != 1)
            commit[0] = '\0';
        fclose(f);
    }
    return commit[0] &&
           snprintf(path, sizeof path, "%s/snapshots/%s", repo, commit) < (int)sizeof path &&
           stat(path, id) == 0 && S_ISDIR(id->st_mode);
}

/* What is being listed of one repository. */
struct repo {
    struct catalog *c;
    const char *path, *name;
    struct stat shown[LIMIT_SNAPSHOTS]; /* snapshots that have a name already */
    int n_shown;
};

static bool is_shown(const struct repo *r, const struct stat *id)
{
    for (int i = 0; i < r->n_shown; i++)
        if (r->shown[i].st_ino == id->st_ino && r->shown[i].st_dev == id->st_dev)
            return true;
    return false;
}

static int show(struct repo *r, const char *revision, const struct stat *id, struct err *e)
{
    if (r->n_shown == LIMIT_SNAPSHOTS || is_shown(r, id))
        return 0;
    r->shown[r->n_shown++] = *id;
    return add(r->c, r->name, revision, e);
}

/* Branches and tags below refs/WITHIN, which may hold folders: refs/refs/pr/1. */
static int list_refs(struct repo *r, const char *within, int depth, struct err *e)
{
    char path[PATH_MAX], ref[PATH_MAX];
    struct stat id;
    int rc = 0;
    if (snprintf(path, sizeof path, "%s/refs/%s", r->path, within) >= (int)sizeof path)
        return 0;
    DIR *dir = opendir(path);
    for (struct dirent *d; !rc && dir && (d = readdir(dir));) {
        if (d->d_name[0] == '.' || snprintf(ref, sizeof ref, "%s%s%s", within, *within ? "/" : "",
                                            d->d_name) >= (int)sizeof ref)
            continue;
        if (snapshot_of(r->path, ref, &id))
            rc = show(r, ref, &id, e);
        else if (depth < 4)
            rc = list_refs(r, ref, depth + 1, e);
    }
    if (dir)
        closedir(dir);
    return rc;
}

/* Snapshots that no ref leads to.  A single one is what the name alone opens, if there is no main.
 */
static int list_commits(struct repo *r, bool main_named, struct err *e)
{
    char path[PATH_MAX], last[NAME_MAX + 1] = "";
    struct stat id = {0}, last_id = {0};
    int rc = 0, n = 0;
    if (snprintf(path, sizeof path, "%s/snapshots", r->path) >= (int)sizeof path)
        return 0;
    DIR *dir = opendir(path);
    for (struct dirent *d; !rc && dir && (d = readdir(dir));) {
        if (d->d_name[0] == '.' || fstatat(dirfd(dir), d->d_name, &id, 0) || !S_ISDIR(id.st_mode))
            continue;
        if (n++ > 0 && last[0])
            rc = show(r, last, &last_id, e);
        last[0] = '\0';
        if (!is_shown(r, &id)) {
            snprintf(last, sizeof last, "%s", d->d_name);
            last_id = id;
        }
    }
    if (dir)
        closedir(dir);
    if (!rc && last[0])
        rc = show(r, n == 1 && !main_named ? NULL : last, &last_id, e);
    return rc;
}

static int list_repo(struct catalog *c, const char *root, const char *folder, struct err *e)
{
    char path[PATH_MAX], ref[PATH_MAX], name[NAME_MAX + 1];
    struct stat id;
    if (!hub_cached_name(folder, name) ||
        snprintf(path, sizeof path, "%s/%s", root, folder) >= (int)sizeof path || stat(path, &id) ||
        !S_ISDIR(id.st_mode))
        return 0;
    struct repo *r = calloc(1, sizeof *r);
    if (!r)
        return err_memory(e, "the list of models");
    *r = (struct repo){.c = c, .path = path, .name = name};
    int rc = snapshot_of(path, "main", &id) ? show(r, NULL, &id, e) : 0;
    bool main_named = snprintf(ref, sizeof ref, "%s/refs/main", path) < (int)sizeof ref &&
                      access(ref, F_OK) == 0;
    if (!rc)
        rc = list_refs(r, "", 0, e);
    if (!rc)
        rc = list_commits(r, main_named, e);
    if (!rc && !r->n_shown) /* something is there that does not open: say so */
        rc = add(c, name, NULL, e);
    free(r);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    const struct catalog_entry *x = a, *y = b;
    int order = strcasecmp(x->name, y->name);
    return order ? order : strcmp(x->name, y->name);
}

int catalog_list(struct catalog *c, struct err *e)
{
    char root[PATH_MAX];
    *c = (struct catalog){0};
    hub_cache(root);
    int rc = add(c, hub_builtin, NULL, e);
    DIR *dir = opendir(root);
    for (struct dirent *d; !rc && dir && (d = readdir(dir));)
        rc = list_repo(c, root, d->d_name, e);
    if (dir)
        closedir(dir);
    if (rc)
        catalog_free(c);
    else
        qsort(c->entry + 1, (size_t)c->n - 1, sizeof *c->entry, by_name);
    return rc;
}

void catalog_free(struct catalog *c)
{
    for (int i = 0; i < c->n; i++)
        free(c->entry[i].name);
    free(c->entry);
    *c = (struct catalog){0};
}

/* ---- one model ---- */

static uint64_t folder_bytes(const char *path)
{
    uint64_t sum = 0;
    struct stat st;
    DIR *dir = opendir(path);
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (fstatat(dirfd(dir), d->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    if (dir)
        closedir(dir);
    return sum;
}

void catalog_look(struct catalog_entry *x)
{
    struct model *m = NULL;
    struct hub_model h;
    if (x->looked)
        return;
    x->looked = true;
    if (hub_resolve(x->name, &h, &x->error))
        return;
    if (h.config[0])
        config_family(h.config, x->family, sizeof x->family, NULL);
    if (model_look(&m, x->name, &x->error)) {
        x->bytes = folder_bytes(h.folder);
        return;
    }
    x->opens = true;
    snprintf(x->family, sizeof x->family, "%s", m->cfg.arch->model_type);
    snprintf(x->dtype, sizeof x->dtype, "%s", m->dtype);
    x->params = m->params;
    x->bytes = m->bytes;
    model_close(m);
}

const char *catalog_why(const struct catalog_entry *x, char *buf, size_t size)
{
    static const char mark[] = " · ";
    const char *what = strstr(x->error.text, mark);
    what = what ? what + strlen(mark) : x->error.text;
    const char *end = strstr(what, mark);
    static const char *const places[] = {"tensor ", "key ", "byte ", "line "};
    for (size_t i = 0; end && i < sizeof places / sizeof *places; i++)
        if (!strncmp(what, places[i], strlen(places[i]))) {
            end = strstr(end + 1, mark); /* and what is wrong there */
            break;
        }
    snprintf(buf, size, "%.*s", (int)(end ? (size_t)(end - what) : strlen(what)), what);
    return buf;
}
