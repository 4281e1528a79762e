/* checkpoint.c - opening the files of a checkpoint, finding its tensors (see checkpoint.h).
 *
 * Invariant: a checkpoint is handed out only after all of its files have passed. */
#include "model/checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ends_with.h"
#include "base/list.h"
#include "base/nearest.h"
#include "model/checkpoint_parts.h"
#include "base/strmap.h"

/* ---- tensors
 */

static const struct {
    const char *name;
    size_t size;
} dtypes[ST_DTYPE_COUNT] = {
    [ST_BOOL] = {"BOOL", 1},       [ST_U8] = {"U8", 1},           [ST_I8] = {"I8", 1},
    [ST_F8_E5M2] = {"F8_E5M2", 1}, [ST_F8_E4M3] = {"F8_E4M3", 1}, [ST_F8_E8M0] = {"F8_E8M0", 1},
    [ST_I16] = {"I16", 2},         [ST_U16] = {"U16", 2},         [ST_F16] = {"F16", 2},
    [ST_BF16] = {"BF16", 2},       [ST_I32] = {"I32", 4},         [ST_U32] = {"U32", 4},
    [ST_F32] = {"F32", 4},         [ST_C64] = {"C64", 8},         [ST_F64] = {"F64", 8},
    [ST_I64] = {"I64", 8},         [ST_U64] = {"U64", 8},
#define KN_BLOCKS(id, name, elements, bytes) [ST_##id] = {#id, bytes},
#include "dtype.def"
};

const char *st_dtype_name(enum st_dtype d)
{
    return dtypes[d].name;
}

size_t st_dtype_size(enum st_dtype d)
{
    return dtypes[d].size;
}

int64_t st_dtype_block(enum st_dtype d)
{
    enum kn_dtype t;
    return st_kernel_type(d, &t) ? kn_dtype_block(t) : 1;
}

const char *st_shape_text(char *buf, size_t size, const int64_t *shape, int rank)
{
    size_t used = (size_t)snprintf(buf, size, "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    if (used < size)
        snprintf(buf + used, size - used, "]");
    return buf;
}

int64_t st_count(const struct st_tensor *t)
{
    return (int64_t)(t->nbytes / st_dtype_size(t->dtype)) * st_dtype_block(t->dtype);
}

bool st_kernel_type(enum st_dtype d, enum kn_dtype *out)
{
    static const struct {
        enum st_dtype stored;
        enum kn_dtype type;
    } pairs[] = {
        {ST_F32, KN_F32},
        {ST_F16, KN_F16},
        {ST_BF16, KN_BF16},
#define KN_BLOCKS(id, name, elements, bytes) {ST_##id, KN_##id},
#include "dtype.def"
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i].stored == d) {
            *out = pairs[i].type;
            return true;
        }
    return false;
}

bool st_decode(const struct st_tensor *t, int64_t first, int64_t n, float *out)
{
    enum kn_dtype type;
    if (st_kernel_type(t->dtype, &type)) {
        struct kn_view v = kn_view2((void *)(uintptr_t)t->data, type, 1, n);
        v.first = first;
        if (n)
            kn_decode_rows(&v, 0, 1, out);
        return true;
    }
    for (int64_t i = 0; t->dtype == ST_F64 && i < n; i++)
        out[i] = (float)((const double *)t->data)[first + i];
    return t->dtype == ST_F64;
}

/* ---- files ---- */

static int map_shard(struct shard *sh, struct err *e)
{
    int rc = 0;
    int fd = open(sh->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &sh->id) < 0)
        rc = err_set(e, ERR_BAD_INPUT, "%s · cannot open: %s", sh->path, strerror(errno));
    else if (!S_ISREG(sh->id.st_mode))
        rc = err_set(e, ERR_BAD_INPUT, "%s · is not a regular file", sh->path);
    else if (sh->id.st_size < 8)
        rc = err_set(e, ERR_BAD_INPUT, "%s · is %jd bytes long, too short for a checkpoint",
                     sh->path, (intmax_t)sh->id.st_size);
    if (!rc) {
        void *map = mmap(NULL, (size_t)sh->id.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            rc = err_set(e, ERR_SYSTEM, "%s · cannot map its %jd bytes: %s", sh->path,
                         (intmax_t)sh->id.st_size, strerror(errno));
        else {
            /* Where the page cache can have them, huge pages: read sooner, mapped sooner, and a
             * product that goes down columns looks up an address for each 2 MiB, not each 4 KiB. */
            (void)madvise(map, (size_t)sh->id.st_size, MADV_HUGEPAGE);
            sh->base = map;
            sh->len = (size_t)sh->id.st_size;
            sh->mapping = mapping_add(map, sh->len);
            if (!sh->mapping) {
                munmap(map, sh->len);
                rc = err_memory(e, "%s", sh->path);
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

struct shard *checkpoint_add(struct checkpoint *st, char *path)
{
    if (!path || !list_room(&st->shard, st->n_shards, sizeof *st->shard)) {
        free(path);
        return NULL;
    }
    struct shard *sh = &st->shard[st->n_shards++];
    char *slash = strrchr(path, '/');
    *sh = (struct shard){.path = path, .file = slash ? slash + 1 : path};
    return sh;
}

int checkpoint_load(struct checkpoint *st, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < st->n_shards && !rc; i++) {
        struct shard *sh = &st->shard[i];
        if (!sh->base)
            rc = map_shard(sh, e);
        if (!rc)
            rc = ends_with(sh->path, ".gguf") ? gguf_read(st, sh, e) : safetensors_read(st, sh, e);
        if (!rc && shard_changed(sh))
            rc = err_set(e, ERR_SYSTEM, "%s · changed while it was read · try again", sh->path);
    }
    if (rc)
        return rc;
    if (strmap_init(&st->by_name, st->n_tensors))
        return err_memory(e, "%s, %zu tensors", st->shard[0].file, st->n_tensors);
    for (size_t i = 0; i < st->n_tensors; i++) {
        const struct st_tensor *t = &st->tensor[i];
        size_t first = strmap_put(&st->by_name, t->name, strlen(t->name), (uint32_t)i);
        if (first != i)
            return err_set(e, ERR_BAD_INPUT, "%s · tensor \"%.100s\" · is also in %s", t->file,
                           t->name, st->tensor[first].file);
    }
    return 0;
}

/* ---- the public side ---- */

static struct checkpoint *opened(struct checkpoint *st, int rc)
{
    if (!rc)
        return st;
    checkpoint_close(st);
    return NULL;
}

struct checkpoint *checkpoint_open(const char *path, struct err *e)
{
    struct checkpoint *st = calloc(1, sizeof *st);
    int rc = st ? 0 : err_memory(e, "%s", path);
    if (!rc && ends_with(path, ".json"))
        rc = safetensors_open_index(st, path, e);
    else if (!rc) {
        if (ends_with(path, ".gguf"))
            rc = gguf_add_parts(st, path, e);
        else if (!checkpoint_add(st, strdup(path)))
            rc = err_memory(e, "%s", path);
        if (!rc)
            rc = checkpoint_load(st, e);
    }
    return opened(st, rc);
}

struct checkpoint *checkpoint_parse(const char *name, const void *bytes, size_t len, struct err *e)
{
    struct checkpoint *st = calloc(1, sizeof *st);
    struct shard *sh = st ? checkpoint_add(st, strdup(name)) : NULL;
    int rc = 0;
    if (!sh)
        rc = err_memory(e, "%s", name);
    else {
        sh->base = bytes;
        sh->len = len;
        rc = checkpoint_load(st, e);
    }
    return opened(st, rc);
}

void checkpoint_close(struct checkpoint *st)
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
    for (size_t i = 0; i < st->n_made; i++) {
        free((void *)(uintptr_t)st->made[i].name);
        free((void *)(uintptr_t)st->made[i].data);
    }
    free(st->made);
    strmap_free(&st->by_name);
    gguf_free(st->gguf);
    free(st->meta);
    free(st->tensor);
    free(st->shard);
    free(st);
}

size_t checkpoint_count(const struct checkpoint *st)
{
    return st->n_tensors;
}

const struct st_tensor *checkpoint_at(const struct checkpoint *st, size_t i)
{
    assert(i < st->n_tensors);
    return &st->tensor[i];
}

const struct st_tensor *checkpoint_find(const struct checkpoint *st, const char *name)
{
    uint32_t i = strmap_get(&st->by_name, name, strlen(name));
    return i == STRMAP_NONE ? NULL : &st->tensor[i];
}

const char *checkpoint_nearest(const struct checkpoint *st, const char *name)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < st->n_tensors; i++)
        if (nearest_is(name, st->tensor[i].name, &least))
            best = st->tensor[i].name;
    return best;
}

const char *checkpoint_metadata(const struct checkpoint *st, const char *key)
{
    for (size_t i = 0; i < st->n_meta; i++)
        if (strcmp(st->meta[i].key, key) == 0)
            return st->meta[i].value;
    return NULL;
}

uint64_t checkpoint_nbytes(const struct checkpoint *st)
{
    return st->nbytes;
}

bool checkpoint_changed(const struct checkpoint *st, const char **file)
{
    for (size_t i = 0; i < st->n_shards; i++)
        if (shard_changed(&st->shard[i])) {
            if (file)
                *file = st->shard[i].file;
            return true;
        }
    return false;
}

uint64_t checkpoint_stamp(const struct checkpoint *st)
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
