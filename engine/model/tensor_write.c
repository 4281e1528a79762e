/* tensor_write.c - .safetensors and .npz (see tensor_write.h).
 *
 * Everything that can be refused is refused before a file is made.  One table row per format. */
#include "model/tensor_write.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_write.h"
#include "base/strmap.h"
#include "base/zip_write.h"

static const char metadata_key[] = "__metadata__";

enum { PIECE = 1 << 20, NPY_ALIGN = 64 };

struct job {
    const struct tensor_out *t;
    size_t n;
    const struct tensor_meta *meta;
    size_t n_meta;
    struct file_write file;
};

static uint64_t nbytes_of(const struct tensor_out *t)
{
    uint64_t n = st_dtype_size(t->dtype);
    for (int i = 0; i < t->rank; i++)
        n *= (uint64_t)t->shape[i];
    return n;
}

static int out_of_memory(const struct job *j, struct err *e)
{
    return err_memory(e, "%s", j->file.path ? j->file.path : "tensors");
}

/* Hand the tensor's bytes on, from memory or piece by piece. */
static int each_piece(const struct tensor_out *t,
                      int (*take)(void *to, const void *bytes, size_t n, struct err *e), void *to,
                      struct err *e)
{
    uint64_t size = nbytes_of(t);
    if (t->data || size == 0)
        return size ? take(to, t->data, (size_t)size, e) : 0;
    char *piece = malloc(PIECE);
    if (!piece)
        return err_memory(e, "%s", t->name);
    int rc = 0;
    for (uint64_t at = 0; at < size && !rc; at += PIECE) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        rc = t->read(t->ctx, piece, (size_t)at, n, e);
        if (!rc)
            rc = take(to, piece, n, e);
    }
    free(piece);
    return rc;
}

/* ---- safetensors ---- */

static int take_file(void *to, const void *bytes, size_t n, struct err *e)
{
    return file_write_bytes(to, bytes, n, e);
}

/* Large elements first, so that every tensor is aligned; otherwise in the caller's order. */
static int order_by_size(const void *pa, const void *pb)
{
    const struct tensor_out *a = *(const struct tensor_out *const *)pa,
                            *b = *(const struct tensor_out *const *)pb;
    size_t na = st_dtype_size(a->dtype), nb = st_dtype_size(b->dtype);
    return na != nb ? (na < nb ? 1 : -1) : (a > b) - (a < b);
}

static json_t *metadata_json(const struct job *j)
{
    json_t *o = json_object();
    for (size_t i = 0; i < j->n_meta; i++)
        json_object_set_new(o, j->meta[i].key, json_string(j->meta[i].value));
    return o;
}

/* The header's text, malloc'ed. */
static char *safetensors_header(const struct job *j, const struct tensor_out **sorted)
{
    json_t *root = json_object();
    uint64_t at = 0;
    if (j->n_meta)
        json_object_set_new(root, metadata_key, metadata_json(j));
    for (size_t i = 0; i < j->n; i++) {
        const struct tensor_out *t = sorted[i];
        json_t *shape = json_array();
        for (int d = 0; d < t->rank; d++)
            json_array_append_new(shape, json_integer(t->shape[d]));
        uint64_t end = at + nbytes_of(t);
        json_object_set_new(root, t->name,
                            json_pack("{s:s,s:o,s:[I,I]}", "dtype", st_dtype_name(t->dtype),
                                      "shape", shape, "data_offsets", (json_int_t)at,
                                      (json_int_t)end));
        at = end;
    }
    /* jansson drops a member silently when memory is out. */
    bool whole = json_object_size(root) == j->n + (j->n_meta > 0);
    char *text = whole ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static int write_safetensors(struct job *j, struct err *e)
{
    const struct tensor_out **sorted = malloc((j->n + 1) * sizeof *sorted);
    if (!sorted)
        return out_of_memory(j, e);
    for (size_t i = 0; i < j->n; i++)
        sorted[i] = &j->t[i];
    qsort(sorted, j->n, sizeof *sorted, order_by_size);
    char *header = safetensors_header(j, sorted);
    int rc = header ? 0 : out_of_memory(j, e);
    if (!rc) {
        size_t len = strlen(header), padded = (len + 7) / 8 * 8;
        unsigned char prefix[8];
        for (int i = 0; i < 8; i++)
            prefix[i] = (unsigned char)((uint64_t)padded >> (8 * i));
        if (!(rc = file_write_bytes(&j->file, prefix, 8, e)) &&
            !(rc = file_write_bytes(&j->file, header, len, e)))
            rc = file_write_bytes(&j->file, "        ", padded - len, e);
    }
    for (size_t i = 0; i < j->n && !rc; i++)
        rc = each_piece(sorted[i], take_file, &j->file, e);
    free(header);
    free(sorted);
    return rc;
}

/* ---- npz ---- */

static const char *const npy_types[ST_DTYPE_COUNT] = {
    [ST_BOOL] = "|b1", [ST_U8] = "|u1",  [ST_I8] = "|i1",  [ST_I16] = "<i2",
    [ST_U16] = "<u2",  [ST_F16] = "<f2", [ST_I32] = "<i4", [ST_U32] = "<u4",
    [ST_F32] = "<f4",  [ST_F64] = "<f8", [ST_I64] = "<i8", [ST_U64] = "<u8",
};

static int take_zip(void *to, const void *bytes, size_t n, struct err *e)
{
    return zip_member_bytes(to, bytes, n, e);
}

/* numpy's NEP 1 header, version 1.0, padded so that the data is aligned within the member. */
static size_t npy_header(char buf[512], const struct tensor_out *t)
{
    char shape[256] = "";
    for (int i = 0; i < t->rank; i++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%" PRId64 "%s", t->shape[i],
                 i + 1 < t->rank ? ", "
                 : t->rank == 1  ? ","
                                 : "");
    int n = snprintf(buf + 10, 512 - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                     npy_types[t->dtype], shape);
    size_t len = ((size_t)n + 10 + 1 + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN;
    memset(buf + 10 + n, ' ', len - 10 - (size_t)n);
    buf[len - 1] = '\n';
    memcpy(buf, "\x93NUMPY\x01", 8);
    buf[7] = 0;
    buf[8] = (char)((len - 10) & 0xff);
    buf[9] = (char)((len - 10) >> 8);
    return len;
}

static int write_member(struct zip_write *z, const struct tensor_out *t, struct err *e)
{
    char header[512], *name;
    size_t len = npy_header(header, t);
    if (asprintf(&name, "%s.npy", t->name) < 0)
        return err_memory(e, "%s", z->file->path);
    int rc = zip_member_begin(z, name, len + nbytes_of(t), e);
    free(name);
    if (!rc)
        rc = zip_member_bytes(z, header, len, e);
    if (!rc)
        rc = each_piece(t, take_zip, z, e);
    return rc ? rc : zip_member_end(z, e);
}

static int write_npz(struct job *j, struct err *e)
{
    struct zip_write z = {.file = &j->file};
    int rc = 0;
    if (j->n_meta) {
        json_t *o = metadata_json(j);
        char *text = json_object_size(o) == j->n_meta ? json_dumps(o, JSON_INDENT(1)) : NULL;
        json_decref(o);
        rc = text ? zip_member_begin(&z, "metadata.json", strlen(text), e) : out_of_memory(j, e);
        if (!rc)
            rc = zip_member_bytes(&z, text, strlen(text), e);
        if (!rc)
            rc = zip_member_end(&z, e);
        free(text);
    }
    for (size_t i = 0; i < j->n && !rc; i++)
        rc = write_member(&z, &j->t[i], e);
    if (!rc)
        rc = zip_finish(&z, e);
    zip_free(&z);
    return rc;
}

/* ---- the public side ---- */

static const struct format {
    const char *ending;
    int (*write)(struct job *j, struct err *e);
    bool numpy;
} formats[] = {{".safetensors", write_safetensors, false}, {".npz", write_npz, true}};

static const struct format *format_of(const char *path, struct err *e)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        size_t n = strlen(formats[i].ending);
        if (len > n && strcmp(path + len - n, formats[i].ending) == 0)
            return &formats[i];
    }
    err_set(e, ERR_USAGE, "%s · expected a file name that ends in .safetensors or .npz", path);
    return NULL;
}

int tensor_write_check(const char *path, struct err *e)
{
    return format_of(path, e) ? 0 : ERR_USAGE;
}

static bool is_utf8(const char *s)
{
    json_t *text = json_string(s); /* NULL: not UTF-8 */
    json_decref(text);
    return text != NULL;
}

static int check_tensor(const char *path, const struct format *f, const struct tensor_out *t,
                        struct err *e)
{
    uint64_t n = st_dtype_size(t->dtype);
    for (int i = 0; i < t->rank; i++)
        if (t->shape[i] < 0 || __builtin_mul_overflow(n, (uint64_t)t->shape[i], &n) ||
            n > INT64_MAX / 2)
            return err_set(e, ERR_BAD_INPUT, "%s · tensor \"%.100s\" · has an impossible shape",
                           path, t->name);
    if (!t->name[0] || !is_utf8(t->name) || strcmp(t->name, metadata_key) == 0)
        return err_set(e, ERR_BAD_INPUT, "%s · \"%.100s\" cannot be a tensor's name", path,
                       t->name);
    if (f->numpy && (!npy_types[t->dtype] || strlen(t->name) > 60000))
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · tensor \"%.100s\" · an .npz cannot hold %s · write .safetensors instead", path,
            t->name, npy_types[t->dtype] ? "so long a name" : st_dtype_name(t->dtype));
    return 0;
}

static int check_meta(const char *path, const struct job *j, size_t i, struct err *e)
{
    const struct tensor_meta *m = &j->meta[i];
    if (!is_utf8(m->key) || !is_utf8(m->value))
        return err_set(e, ERR_BAD_INPUT, "%s · metadata \"%.100s\" is not UTF-8", path, m->key);
    for (size_t k = 0; k < i; k++)
        if (strcmp(j->meta[k].key, m->key) == 0)
            return err_set(e, ERR_BAD_INPUT, "%s · metadata \"%.100s\" is given twice", path,
                           m->key);
    return 0;
}

static int check_all(const char *path, const struct format *f, const struct job *j, struct err *e)
{
    struct strmap names;
    int rc = strmap_init(&names, j->n) ? out_of_memory(j, e) : 0;
    for (size_t i = 0; i < j->n && !rc; i++) {
        rc = check_tensor(path, f, &j->t[i], e);
        if (!rc && strmap_put(&names, j->t[i].name, strlen(j->t[i].name), (uint32_t)i) != i)
            rc = err_set(e, ERR_BAD_INPUT, "%s · two tensors are called \"%.100s\"", path,
                         j->t[i].name);
    }
    for (size_t i = 0; i < j->n_meta && !rc; i++)
        rc = check_meta(path, j, i, e);
    strmap_free(&names);
    return rc;
}

int tensor_write(const char *path, const struct tensor_out *t, size_t n,
                 const struct tensor_meta *meta, size_t n_meta, struct err *e)
{
    struct job j = {.t = t, .n = n, .meta = meta, .n_meta = n_meta};
    const struct format *f = format_of(path, e);
    if (!f)
        return ERR_USAGE;
    int rc = check_all(path, f, &j, e);
    if (!rc)
        rc = file_write_begin(&j.file, path, e);
    if (rc)
        return rc;
    rc = f->write(&j, e);
    if (!rc)
        return file_write_commit(&j.file, e);
    file_write_abandon(&j.file);
    return rc;
}
