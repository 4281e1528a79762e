/* safetensors.c - the format: a header of names, shapes and ranges, then the data; and the index of
 * a set of such files.
 *
 * 8 bytes little-endian header length n, n bytes of JSON {name: {dtype, shape, data_offsets}}, then
 * the data; https://huggingface.co/docs/safetensors.  Everything the format promises is checked:
 * the header fits the file and the limits, names are printable UTF-8 and unique over all shards,
 * rank <= CHECKPOINT_RANK_MAX, shape x dtype equals the range (no wrap), ranges tile the data
 * section exactly (no overlap, hole or trailing bytes).  Names lie in one block per shard; the JSON
 * tree of the header is gone before the next shard is read; no size from the file is believed
 * before it has been compared with the bytes that are there.  Tested in
 * tests/engine/test_safetensors.c and tests/fuzz/fuzz_safetensors.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/json.h"
#include "base/limit.h"
#include "base/strmap.h"
#include "model/checkpoint_parts.h"

/* ---- one header ---- */

/* Names are shown and typed: no control characters (jansson has already refused what is not UTF-8).
 */
static int check_name(const char *file, const char *name, size_t len, struct err *e)
{
    if (len == 0)
        return err_set(e, ERR_BAD_INPUT, "%s · a tensor has an empty name", file);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i], next = (unsigned char)name[i + 1];
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0))
            return err_set(e, ERR_BAD_INPUT,
                           "%s · tensor \"%.80s\" · control character at byte %zu of its name",
                           file, name, i);
    }
    return 0;
}

static int read_dtype(struct js_node node, enum st_dtype *out, struct err *e)
{
    const char *name;
    int rc = js_string(node, &name, NULL, e);
    if (rc)
        return rc;
    for (int d = 0; d < ST_BLOCKS_FIRST; d++)
        if (strcmp(name, st_dtype_name((enum st_dtype)d)) == 0) {
            *out = (enum st_dtype)d;
            return 0;
        }
    return js_expected(node, "a dtype of the format in whole bytes (F32, F16, BF16, I64, …)", e);
}

static int read_shape(struct js_node node, struct st_tensor *t, size_t *nbytes, struct err *e)
{
    if (!js_is_array(node) || js_count(node) > CHECKPOINT_RANK_MAX)
        return js_expected(node, "a list of at most 8 sizes", e);
    /* A 0 among the sizes must not hide that the others overflow. */
    size_t bytes = st_dtype_size(t->dtype);
    bool empty = false;
    t->rank = (int)js_count(node);
    for (int i = 0; i < t->rank; i++) {
        struct js_node item = js_at(node, (size_t)i);
        int rc = js_int(item, 0, INT64_MAX, &t->shape[i], e);
        if (rc)
            return rc;
        empty |= t->shape[i] == 0;
        if (t->shape[i] && __builtin_mul_overflow(bytes, (size_t)t->shape[i], &bytes))
            return js_expected(item, "a shape whose bytes can be counted in 64 bits", e);
    }
    *nbytes = empty ? 0 : bytes;
    return 0;
}

/* One entry of the header.  t->data and t->nbytes are set from data_offsets, checked against the
 * shape. */
static int read_tensor(struct js_node node, const struct shard *sh, size_t data_at,
                       struct st_tensor *t, struct err *e)
{
    size_t data_len = sh->len - data_at, nbytes = 0;
    if (!js_is_object(node) || js_count(node) != 3)
        return js_expected(node, "an object of dtype, shape and data_offsets", e);
    int rc = read_dtype(js_get(node, "dtype"), &t->dtype, e);
    if (!rc)
        rc = read_shape(js_get(node, "shape"), t, &nbytes, e);
    if (rc)
        return rc;
    struct js_node range = js_get(node, "data_offsets");
    int64_t begin, end;
    if (!js_is_array(range) || js_count(range) != 2)
        return js_expected(range, "a list of two offsets", e);
    if ((rc = js_int(js_at(range, 0), 0, (int64_t)data_len, &begin, e)) ||
        (rc = js_int(js_at(range, 1), begin, (int64_t)data_len, &end, e)))
        return rc;
    if ((size_t)(end - begin) != nbytes) {
        char shape[128];
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor \"%.100s\" · %s %s needs %zu bytes, data_offsets hold %" PRId64,
                       sh->file, t->name, st_dtype_name(t->dtype),
                       st_shape_text(shape, sizeof shape, t->shape, t->rank), nbytes, end - begin);
    }
    t->data = sh->base + data_at + begin;
    t->nbytes = nbytes;
    t->file = sh->file;
    return 0;
}

static int order_by_place(const void *pa, const void *pb)
{
    const struct st_tensor *a = *(const struct st_tensor *const *)pa,
                           *b = *(const struct st_tensor *const *)pb;
    if (a->data != b->data)
        return (uintptr_t)a->data < (uintptr_t)b->data ? -1 : 1;
    return (a->nbytes > b->nbytes) - (a->nbytes < b->nbytes);
}

/* The ranges must tile the data section: each begins where the one before ended. */
static int check_tiling(const struct shard *sh, size_t data_at, const struct st_tensor *t, size_t n,
                        struct err *e)
{
    const struct st_tensor **sorted = malloc((n + 1) * sizeof *sorted);
    if (!sorted)
        return err_memory(e, "%s, %zu tensors", sh->file, n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &t[i];
    qsort(sorted, n, sizeof *sorted, order_by_place);
    const unsigned char *at = sh->base + data_at;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        const unsigned char *begin = sorted[i]->data;
        if (begin < at)
            rc = err_set(e, ERR_BAD_INPUT,
                         "%s · tensor \"%.100s\" · overlaps \"%.100s\" by %zu bytes", sh->file,
                         sorted[i]->name, sorted[i - 1]->name, (size_t)(at - begin));
        else if (begin > at)
            rc = err_set(e, ERR_BAD_INPUT,
                         "%s · tensor \"%.100s\" · %zu bytes in front of it belong to no tensor",
                         sh->file, sorted[i]->name, (size_t)(begin - at));
        at = begin + sorted[i]->nbytes;
    }
    free(sorted);
    size_t rest = rc ? 0 : (size_t)(sh->base + sh->len - at);
    if (rest)
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · %zu bytes after the last tensor (from byte %zu) belong to none",
                     sh->file, rest, sh->len - rest);
    return rc;
}

static int read_metadata(struct checkpoint *st, struct js_node node, struct err *e)
{
    if (!js_is_object(node))
        return js_expected(node, "an object of strings", e);
    if (st->n_meta) /* of a later shard */
        return 0;
    st->meta = calloc(js_count(node) + 1, sizeof *st->meta);
    if (!st->meta)
        return err_memory(e, "%s", js_name(node.doc));
    for (struct js_iter it = js_members(node); js_next(&it);) {
        const char *value;
        int rc = js_string(it.value, &value, NULL, e);
        if (rc)
            return rc;
        struct meta *m = &st->meta[st->n_meta++];
        m->key = strdup(it.key);
        m->value = strdup(value);
        if (!m->key || !m->value)
            return err_memory(e, "%s", js_name(node.doc));
    }
    return 0;
}

/* The header's bytes, checked against the file: *len of them at base + 8. */
static int find_header(const struct shard *sh, size_t *len, struct err *e)
{
    if (sh->len < 8)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · is %zu bytes long, a safetensors file begins with an 8-byte length",
                       sh->file, sh->len);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | sh->base[i];
    if (n > LIMIT_SAFETENSORS_HEADER)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · header length at byte 0 is %" PRIu64 ", at most %d is allowed",
                       sh->file, n, LIMIT_SAFETENSORS_HEADER);
    if (n > sh->len - 8)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · header of %" PRIu64 " bytes ends past the file's %zu · is it cut off?",
                       sh->file, n, sh->len);
    if (n < 2 || sh->base[8] != '{')
        return err_set(e, ERR_BAD_INPUT, "%s · header at byte 8 does not begin with {", sh->file);
    *len = (size_t)n;
    return 0;
}

enum { COPY_ALIGN = 64 };

static bool is_aligned(const struct st_tensor *t)
{
    return (uintptr_t)t->data % st_dtype_size(t->dtype) == 0;
}

/* Early writers did not pad the header (GPT-2's own checkpoint is such a file), and a float must
 * not be read at an odd address.  What is not aligned is copied once, into memory that is. */
static int align_tensors(struct shard *sh, struct st_tensor *t, size_t n, struct err *e)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += is_aligned(&t[i]) ? 0 : (t[i].nbytes + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN;
    if (!len) {
        for (size_t i = 0; i < n;
             i++) /* empty ones have no bytes to read, but a pointer to keep in order */
            if (!is_aligned(&t[i]))
                t[i].data = sh->base;
        return 0;
    }
    char *copy = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return err_set(e, ERR_SYSTEM,
                       "%s · its tensors are not aligned, and there is no memory to copy %zu bytes",
                       sh->file, len);
    sh->copy = copy;
    sh->copy_len = len;
    for (size_t i = 0; i < n; i++) {
        if (is_aligned(&t[i]))
            continue;
        memcpy(copy, t[i].data, t[i].nbytes);
        t[i].data = copy;
        copy += (t[i].nbytes + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN;
    }
    return 0;
}

/* Append the tensors of a mapped shard to st->tensor (which has its final room). */
static int read_entries(struct checkpoint *st, struct shard *sh, struct js_node root,
                        size_t data_at, struct err *e)
{
    size_t name_bytes = 0, n = js_count(root);
    for (struct js_iter it = js_members(root); js_next(&it);)
        name_bytes += it.key_len + 1;
    sh->names = malloc(name_bytes + 1);
    struct st_tensor *grown = realloc(st->tensor, (st->n_tensors + n + 1) * sizeof *grown);
    if (grown)
        st->tensor = grown;
    if (!grown || !sh->names)
        return err_memory(e, "%s, %zu tensors", sh->file, n);
    char *name = sh->names;
    size_t first = st->n_tensors;
    for (struct js_iter it = js_members(root); js_next(&it);) {
        int rc;
        if (strcmp(it.key, "__metadata__") == 0) {
            if ((rc = read_metadata(st, it.value, e)))
                return rc;
            continue;
        }
        struct st_tensor *t = &st->tensor[st->n_tensors];
        *t = (struct st_tensor){.name = name};
        memcpy(name, it.key, it.key_len + 1);
        if ((rc = check_name(sh->file, name, it.key_len, e)) ||
            (rc = read_tensor(it.value, sh, data_at, t, e)))
            return rc;
        name += it.key_len + 1;
        st->nbytes += t->nbytes;
        st->n_tensors++;
    }
    int rc = check_tiling(sh, data_at, st->tensor + first, st->n_tensors - first, e);
    return rc ? rc : align_tensors(sh, st->tensor + first, st->n_tensors - first, e);
}

int safetensors_read(struct checkpoint *st, struct shard *sh, struct err *e)
{
    size_t header_len = 0;
    int rc = find_header(sh, &header_len, e);
    if (rc)
        return rc;
    struct js_doc *doc = js_parse(sh->file, (const char *)sh->base + 8, header_len, e);
    if (!doc)
        return err_code(e);
    struct js_node root = js_root(doc);
    if (st->n_tensors + js_count(root) > LIMIT_TENSORS)
        rc = err_set(e, ERR_BAD_INPUT, "%s · more than %d tensors", sh->file, LIMIT_TENSORS);
    else
        rc = read_entries(st, sh, root, 8 + header_len, e);
    js_close(doc);
    return rc;
}

/* ---- the sharded index ---- */

/* A shard's name is a plain file name: nothing that could lead out of the folder. */
static int check_shard_name(struct js_node node, const char *name, struct err *e)
{
    if (!name[0] || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return js_expected(node, "the name of a file in the same folder", e);
    return 0;
}

/* One struct shard per file named in the weight map, in order of first mention; found through
 * `seen`. */
static int list_shards(struct checkpoint *st, const char *index_path, struct js_node map,
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
        if (!checkpoint_add(st, path))
            return err_memory(e, "%s", index_path);
    }
    return 0;
}

/* Index and shards must name the same tensors in the same files. */
static int check_index(const struct checkpoint *st, struct js_node map, struct err *e)
{
    for (struct js_iter it = js_members(map); js_next(&it);) {
        const char *file;
        int rc = js_string(it.value, &file, NULL, e);
        if (rc)
            return rc;
        const struct st_tensor *t = checkpoint_find(st, it.key);
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

int safetensors_open_index(struct checkpoint *st, const char *path, struct err *e)
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
        rc = err_memory(e, "%s", path);
    else
        rc = list_shards(st, path, map, &seen, e);
    if (!rc)
        rc = checkpoint_load(st, e);
    if (!rc)
        rc = check_index(st, map, e);
    strmap_free(&seen);
    js_close(doc);
    return rc;
}
