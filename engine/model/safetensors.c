/* safetensors.c - opening .safetensors files and sharded sets of them (see safetensors.h).
 *
 * Invariant: a checkpoint is handed out only after all of its files and its index have passed. */
#include "model/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limit.h"
#include "base/nearest.h"
#include "model/safetensors_parts.h"
#include "base/strmap.h"

/* ---- files
 * ------------------------------------------------------------------------------------------- */

static int map_shard(struct shard *sh, struct err *e)
{
    int rc = 0;
    int fd = open(sh->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &sh->id) < 0)
        rc = err_set(e, ERR_BAD_INPUT, "%s · cannot open: %s", sh->path, strerror(errno));
    else if (!S_ISREG(sh->id.st_mode))
        rc = err_set(e, ERR_BAD_INPUT, "%s · is not a regular file", sh->path);
    else if (sh->id.st_size < 8)
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · is %jd bytes long, a safetensors file begins with an 8-byte length",
                     sh->path, (intmax_t)sh->id.st_size);
    if (!rc) {
        void *map = mmap(NULL, (size_t)sh->id.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            rc = err_set(e, ERR_SYSTEM, "%s · cannot map its %jd bytes: %s", sh->path,
                         (intmax_t)sh->id.st_size, strerror(errno));
        else {
            sh->base = map;
            sh->len = (size_t)sh->id.st_size;
            sh->mapping = mapping_add(map, sh->len);
            if (!sh->mapping) {
                munmap(map, sh->len);
                rc = err_set(e, ERR_SYSTEM, "%s · out of memory", sh->path);
            }
        }
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static bool shard_changed(const struct shard *sh)
{
    struct stat now;
    if (!sh->mapping)
        return false;
    return mapping_lost(sh->mapping) || stat(sh->path, &now) < 0 || now.st_size != sh->id.st_size ||
           now.st_ino != sh->id.st_ino || now.st_dev != sh->id.st_dev ||
           now.st_mtim.tv_sec != sh->id.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != sh->id.st_mtim.tv_nsec;
}

static struct shard *add_shard(struct safetensors *st, char *path)
{
    struct shard *grown = path ? realloc(st->shard, (st->n_shards + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(path);
        return NULL;
    }
    st->shard = grown;
    struct shard *sh = &grown[st->n_shards++];
    char *slash = strrchr(path, '/');
    *sh = (struct shard){.path = path, .file = slash ? slash + 1 : path};
    return sh;
}

/* Map, read and index every shard. */
static int load_shards(struct safetensors *st, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < st->n_shards && !rc; i++) {
        struct shard *sh = &st->shard[i];
        if (!sh->base)
            rc = map_shard(sh, e);
        if (!rc)
            rc = shard_read(st, sh, e);
        if (!rc && shard_changed(sh))
            rc = err_set(e, ERR_SYSTEM, "%s · changed while it was read · try again", sh->path);
    }
    if (rc)
        return rc;
    if (strmap_init(&st->by_name, st->n_tensors))
        return err_set(e, ERR_SYSTEM, "%s · out of memory for %zu tensors", st->shard[0].file,
                       st->n_tensors);
    for (size_t i = 0; i < st->n_tensors; i++) {
        const struct st_tensor *t = &st->tensor[i];
        size_t first = strmap_put(&st->by_name, t->name, strlen(t->name), (uint32_t)i);
        if (first != i)
            return err_set(e, ERR_BAD_INPUT, "%s · tensor \"%.100s\" · is also in %s", t->file,
                           t->name, st->tensor[first].file);
    }
    return 0;
}

/* ---- the sharded index
 * ------------------------------------------------------------------------------- */

/* A shard's name is a plain file name: nothing that could lead out of the folder. */
static int check_shard_name(struct js_node node, const char *name, struct err *e)
{
    if (!name[0] || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return js_expected(node, "the name of a file in the same folder", e);
    return 0;
}

/* One struct shard per file named in the weight map, in order of first mention; found through
 * `seen`. */
static int list_shards(struct safetensors *st, const char *index_path, struct js_node map,
                       struct strmap *seen, struct err *e)
{
    const char *slash = strrchr(index_path, '/');
    int folder = slash ? (int)(slash - index_path) + 1 : 0;
    for (struct js_iter it = js_members(map); js_next(&it);) {
        const char *name;
        int rc = js_string(it.value, &name, NULL, e);
        if (rc || (rc = check_shard_name(it.value, name, e)))
            return rc;
        if (strmap_put(seen, name, strlen(name), (uint32_t)st->n_shards) != st->n_shards)
            continue;
        if (st->n_shards == LIMIT_SHARDS)
            return err_set(e, ERR_BAD_INPUT, "%s · names more than %d files", index_path,
                           LIMIT_SHARDS);
        char *path;
        if (asprintf(&path, "%.*s%s", folder, index_path, name) < 0)
            path = NULL;
        if (!add_shard(st, path))
            return err_set(e, ERR_SYSTEM, "%s · out of memory", index_path);
    }
    return 0;
}

/* Index and shards must name the same tensors in the same files. */
static int check_index(const struct safetensors *st, struct js_node map, struct err *e)
{
    for (struct js_iter it = js_members(map); js_next(&it);) {
        const char *file;
        int rc = js_string(it.value, &file, NULL, e);
        if (rc)
            return rc;
        const struct st_tensor *t = safetensors_find(st, it.key);
        if (!t)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · tensor \"%.100s\" · is not in %s as the index says",
                           js_name(map.doc), it.key, file);
        if (strcmp(t->file, file) != 0)
            return err_set(e, ERR_BAD_INPUT, "%s · tensor \"%.100s\" · index says %s, it is in %s",
                           js_name(map.doc), it.key, file, t->file);
    }
    if (js_count(map) == st->n_tensors)
        return 0;
    for (size_t i = 0; i < st->n_tensors; i++)
        if (!js_get(map, st->tensor[i].name).value)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · tensor \"%.100s\" · is in %s but not in the index",
                           js_name(map.doc), st->tensor[i].name, st->tensor[i].file);
    return 0;
}

static int open_index(struct safetensors *st, const char *path, struct err *e)
{
    struct js_doc *doc = js_open(path, e);
    if (!doc)
        return err_code(e);
    struct strmap seen = {0};
    struct js_node map = js_get(js_root(doc), "weight_map");
    int rc;
    if (!js_is_object(map) || js_count(map) == 0)
        rc = js_expected(map, "an object of tensor names and files", e);
    else if (strmap_init(&seen, js_count(map)))
        rc = err_set(e, ERR_SYSTEM, "%s · out of memory", path);
    else
        rc = list_shards(st, path, map, &seen, e);
    if (!rc)
        rc = load_shards(st, e);
    if (!rc)
        rc = check_index(st, map, e);
    strmap_free(&seen);
    js_close(doc);
    return rc;
}

/* ---- the public side
 * --------------------------------------------------------------------------------- */

struct safetensors *safetensors_open(const char *path, struct err *e)
{
    static const char index_ending[] = ".json";
    size_t len = strlen(path);
    struct safetensors *st = calloc(1, sizeof *st);
    int rc;
    if (!st)
        rc = err_set(e, ERR_SYSTEM, "%s · out of memory", path);
    else if (len >= sizeof index_ending - 1 &&
             strcmp(path + len - (sizeof index_ending - 1), index_ending) == 0)
        rc = open_index(st, path, e);
    else if (!add_shard(st, strdup(path)))
        rc = err_set(e, ERR_SYSTEM, "%s · out of memory", path);
    else
        rc = load_shards(st, e);
    if (!rc)
        return st;
    safetensors_close(st);
    return NULL;
}

struct safetensors *safetensors_parse(const char *name, const void *bytes, size_t len,
                                      struct err *e)
{
    struct safetensors *st = calloc(1, sizeof *st);
    struct shard *sh = st ? add_shard(st, strdup(name)) : NULL;
    int rc = 0;
    if (!sh)
        rc = err_set(e, ERR_SYSTEM, "%s · out of memory", name);
    else {
        sh->base = bytes;
        sh->len = len;
        rc = load_shards(st, e);
    }
    if (!rc)
        return st;
    safetensors_close(st);
    return NULL;
}

void safetensors_close(struct safetensors *st)
{
    if (!st)
        return;
    for (size_t i = 0; i < st->n_shards; i++) {
        struct shard *sh = &st->shard[i];
        if (sh->mapping) {
            mapping_remove(sh->mapping);
            munmap((void *)(uintptr_t)sh->base, sh->len);
        }
        if (sh->copy)
            munmap(sh->copy, sh->copy_len);
        free(sh->names);
        free(sh->path);
    }
    for (size_t i = 0; i < st->n_meta; i++) {
        free(st->meta[i].key);
        free(st->meta[i].value);
    }
    strmap_free(&st->by_name);
    free(st->meta);
    free(st->tensor);
    free(st->shard);
    free(st);
}

size_t safetensors_count(const struct safetensors *st)
{
    return st->n_tensors;
}

const struct st_tensor *safetensors_at(const struct safetensors *st, size_t i)
{
    assert(i < st->n_tensors);
    return &st->tensor[i];
}

const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    uint32_t i = strmap_get(&st->by_name, name, strlen(name));
    return i == STRMAP_NONE ? NULL : &st->tensor[i];
}

const char *safetensors_nearest(const struct safetensors *st, const char *name)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < st->n_tensors; i++)
        if (nearest_is(name, st->tensor[i].name, &least))
            best = st->tensor[i].name;
    return best;
}

const char *safetensors_metadata(const struct safetensors *st, const char *key)
{
    for (size_t i = 0; i < st->n_meta; i++)
        if (strcmp(st->meta[i].key, key) == 0)
            return st->meta[i].value;
    return NULL;
}

uint64_t safetensors_nbytes(const struct safetensors *st)
{
    return st->nbytes;
}

uint64_t safetensors_copied(const struct safetensors *st)
{
    uint64_t n = 0;
    for (size_t i = 0; i < st->n_shards; i++)
        n += st->shard[i].copy_len;
    return n;
}

bool safetensors_changed(const struct safetensors *st, const char **file)
{
    for (size_t i = 0; i < st->n_shards; i++)
        if (shard_changed(&st->shard[i])) {
            if (file)
                *file = st->shard[i].file;
            return true;
        }
    return false;
}

uint64_t safetensors_stamp(const struct safetensors *st)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a over numbers */
    for (size_t i = 0; i < st->n_shards; i++) {
        const struct stat *s = &st->shard[i].id;
        const uint64_t parts[] = {(uint64_t)s->st_size, (uint64_t)s->st_mtim.tv_sec,
                                  (uint64_t)s->st_mtim.tv_nsec, s->st_ino, s->st_dev};
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
            h = (h ^ parts[k]) * UINT64_C(0x100000001b3);
    }
    return h;
}
