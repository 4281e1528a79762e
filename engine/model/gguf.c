/* gguf.c - the format: a header of typed keys, names, shapes and places of tensors, then the data
 * (see gguf.h).
 *
 * Everything the format promises is checked: counts against the bytes that are left, sums and
 * products before they are made, names printable and unique, types known, sizes whole blocks, each
 * tensor at a multiple of the alignment and right behind the one before it, nothing after the last.
 * No size from the file is believed before it has been compared with the bytes that are there. */
#include "model/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "model/gguf_reader.h"

enum {
    ALIGN_DEFAULT = 32,
    RANK_MAX = 4,
    KEY_BYTES_MIN = 8 + 1 + 4 + 1,           /* length, name, type, value */
    TENSOR_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8 /* length, name, rank, size, type, place */
};

/* ---- tensors ---- */

/* The format's numbers for types; those without a type of ours are named, so that the message can
 * say what is there. */
static const struct {
    const char *name; /* NULL: no such number */
    bool known;
    enum st_dtype type;
} tensor_types[] = {
    [0] = {"F32", true, ST_F32},        [1] = {"F16", true, ST_F16},
    [2] = {"Q4_0", true, ST_Q4_0},      [3] = {"Q4_1", true, ST_Q4_1},
    [6] = {"Q5_0", true, ST_Q5_0},      [7] = {"Q5_1", true, ST_Q5_1},
    [8] = {"Q8_0", true, ST_Q8_0},      [9] = {"Q8_1", false, 0},
    [10] = {"Q2_K", true, ST_Q2_K},     [11] = {"Q3_K", true, ST_Q3_K},
    [12] = {"Q4_K", true, ST_Q4_K},     [13] = {"Q5_K", true, ST_Q5_K},
    [14] = {"Q6_K", true, ST_Q6_K},     [15] = {"Q8_K", false, 0},
    [16] = {"IQ2_XXS", false, 0},       [17] = {"IQ2_XS", false, 0},
    [18] = {"IQ3_XXS", false, 0},       [19] = {"IQ1_S", false, 0},
    [20] = {"IQ4_NL", true, ST_IQ4_NL}, [21] = {"IQ3_S", false, 0},
    [22] = {"IQ2_S", false, 0},         [23] = {"IQ4_XS", true, ST_IQ4_XS},
    [24] = {"I8", true, ST_I8},         [25] = {"I16", true, ST_I16},
    [26] = {"I32", true, ST_I32},       [27] = {"I64", true, ST_I64},
    [28] = {"F64", true, ST_F64},       [29] = {"IQ1_M", false, 0},
    [30] = {"BF16", true, ST_BF16},     [34] = {"TQ1_0", false, 0},
    [35] = {"TQ2_0", false, 0},         [39] = {"MXFP4", true, ST_MXFP4},
    [40] = {"NVFP4", false, 0},         [41] = {"Q1_0", false, 0},
};

enum { TENSOR_TYPES = sizeof tensor_types / sizeof *tensor_types };

static int take_tensor_type(struct gguf_reader *r, const char *name, enum st_dtype *out,
                            struct err *e)
{
    uint64_t t = 0;
    int rc = gguf_take(r, 4, &t, e);
    if (rc)
        return rc;
    if (t >= TENSOR_TYPES || !tensor_types[t].known) {
        const char *known = t < TENSOR_TYPES ? tensor_types[t].name : NULL;
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor \"%s\" · type %" PRIu64
                       "%s%s is not supported; F32, F16, BF16, "
                       "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS and MXFP4 are",
                       r->sh->file, name, t, known ? " " : "", known ? known : "");
    }
    *out = tensor_types[t].type;
    return 0;
}

/* Sizes come last axis first.  The row is made of whole blocks. */
static int take_shape(struct gguf_reader *r, struct st_tensor *t, struct err *e)
{
    uint64_t rank = 0, n = 0;
    int rc = gguf_take(r, 4, &rank, e);
    if (rc)
        return rc;
    if (rank < 1 || rank > RANK_MAX)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor \"%s\" · has %" PRIu64 " axes, 1..%d are allowed", r->sh->file,
                       t->name, rank, RANK_MAX);
    t->rank = (int)rank;
    for (int i = t->rank - 1; i >= 0; i--) {
        if ((rc = gguf_take(r, 8, &n, e)))
            return rc;
        if (n < 1 || n > INT64_MAX)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · tensor \"%s\" · axis %d has %" PRIu64 " elements", r->sh->file,
                           t->name, t->rank - 1 - i, n);
        t->shape[i] = (int64_t)n;
    }
    return 0;
}

static int count_bytes(const struct shard *sh, struct st_tensor *t, struct err *e)
{
    int64_t block = st_dtype_block(t->dtype), row = t->shape[t->rank - 1];
    char shape[128];
    if (row % block)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor \"%s\" · rows of %" PRId64
                       " are not whole blocks of %s, %" PRId64 " elements each",
                       sh->file, t->name, row, st_dtype_name(t->dtype), block);
    bool over = __builtin_mul_overflow((size_t)(row / block), st_dtype_size(t->dtype), &t->nbytes);
    for (int i = 0; i < t->rank - 1; i++)
        over |= __builtin_mul_overflow(t->nbytes, (size_t)t->shape[i], &t->nbytes);
    if (over || t->nbytes > sh->len)
        return err_set(e, ERR_BAD_INPUT, "%s · tensor \"%s\" · %s %s is larger than the file",
                       sh->file, t->name, st_dtype_name(t->dtype),
                       st_shape_text(shape, sizeof shape, t->shape, t->rank));
    return 0;
}

/* One entry; t->data is set to its place counted from the beginning of the data. */
static int read_tensor(struct gguf_reader *r, uint64_t align, struct st_tensor *t, char *names,
                       size_t *place, struct err *e)
{
    const char *name;
    size_t len;
    uint64_t offset = 0;
    int rc = gguf_take_name(r, "a tensor's name", &name, &len, e);
    if (rc)
        return rc;
    memcpy(names, name, len);
    names[len] = '\0';
    *t = (struct st_tensor){.name = names, .file = r->sh->file};
    if ((rc = take_shape(r, t, e)) || (rc = take_tensor_type(r, names, &t->dtype, e)) ||
        (rc = count_bytes(r->sh, t, e)) || (rc = gguf_take(r, 8, &offset, e)))
        return rc;
    if (offset % align || offset > r->sh->len)
        return err_set(e, ERR_BAD_INPUT, "%s · tensor \"%s\" · its place %" PRIu64 " is %s",
                       r->sh->file, names, offset,
                       offset % align ? "not a multiple of the alignment" : "behind the file");
    *place = (size_t)offset;
    return 0;
}

struct placed {
    struct st_tensor *t;
    size_t place;
};

static int order_by_place(const void *pa, const void *pb)
{
    const struct placed *a = pa, *b = pb;
    return (a->place > b->place) - (a->place < b->place);
}

static size_t pad(size_t n, size_t align)
{
    return (n + align - 1) / align * align;
}

/* The tensors must tile the data from byte `data` of the file on, each padded to the alignment;
 * whether the last one is does not matter. */
static int place_all(const struct shard *sh, size_t data, size_t align, struct placed *p, size_t n,
                     struct err *e)
{
    qsort(p, n, sizeof *p, order_by_place);
    size_t at = 0, room = data < sh->len ? sh->len - data : 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i].place != pad(at, align))
            return err_set(e, ERR_BAD_INPUT,
                           "%s · tensor \"%s\" · its place is %zu, the data before it end%s at %zu",
                           sh->file, p[i].t->name, p[i].place, p[i].place < at ? " only" : "", at);
        if (p[i].place > room || p[i].t->nbytes > room - p[i].place)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · tensor \"%s\" · its %zu bytes from %zu end past the file's %zu · "
                           "is it cut off?",
                           sh->file, p[i].t->name, p[i].t->nbytes, data + p[i].place, sh->len);
        p[i].t->data = sh->base + data + p[i].place;
        at = p[i].place + p[i].t->nbytes;
    }
    if (room > pad(at, align))
        return err_set(e, ERR_BAD_INPUT, "%s · %zu bytes after the last tensor belong to none",
                       sh->file, room - at);
    return 0;
}

static int read_tensors(struct checkpoint *st, struct shard *sh, struct gguf_reader *r, uint64_t n,
                        uint64_t align, struct err *e)
{
    struct st_tensor *grown = realloc(st->tensor, (st->n_tensors + n + 1) * sizeof *grown);
    if (grown)
        st->tensor = grown;
    struct placed *p = malloc((n + 1) * sizeof *p);
    /* names lie in the file too, without their NULs */
    sh->names = malloc((n * LIMIT_NAME < gguf_left(r) ? n * LIMIT_NAME : gguf_left(r)) + n + 1);
    int rc = grown && p && sh->names ? 0 : err_memory(e, "%s, %" PRIu64 " tensors", sh->file, n);
    char *names = sh->names;
    for (uint64_t i = 0; i < n && !rc; i++) {
        struct st_tensor *t = &st->tensor[st->n_tensors];
        p[i].t = t;
        if ((rc = read_tensor(r, align, t, names, &p[i].place, e)))
            break;
        names += strlen(names) + 1;
        st->nbytes += t->nbytes;
        st->n_tensors++;
    }
    if (!rc)
        rc = place_all(sh, pad(r->at, (size_t)align), (size_t)align, p, (size_t)n, e);
    free(p);
    return rc;
}

/* ---- a file ---- */

static int read_header(struct gguf_reader *r, uint64_t *tensors, uint64_t *keys, struct err *e)
{
    uint64_t version = 0;
    if (r->sh->len < 4 || memcmp(r->sh->base, "GGUF", 4) != 0)
        return err_set(e, ERR_BAD_INPUT, "%s · byte 0 · a GGUF file begins with GGUF", r->sh->file);
    r->at = 4;
    gguf_expect(r, "version", 7);
    int rc = gguf_take(r, 4, &version, e);
    if (rc)
        return rc;
    if (version != 2 && version != 3)
        return err_set(e, ERR_BAD_INPUT, "%s · byte 4 · version %" PRIu64 "%s, 2 and 3 are read",
                       r->sh->file, version,
                       version && version % 65536 == 0 ? " (is it big-endian?)" : "");
    if ((rc = gguf_take_count(r, "number of tensors", TENSOR_BYTES_MIN, LIMIT_TENSORS, tensors, e)))
        return rc;
    return gguf_take_count(r, "number of keys", KEY_BYTES_MIN, LIMIT_GGUF_KEYS, keys, e);
}

/* Which part of how many it says to be. */
static int check_split(const struct checkpoint *st, const struct shard *sh, const struct gguf *g,
                       struct err *e)
{
    int64_t no = 0, count = 1, i = sh - st->shard;
    int rc;
    if ((rc = gguf_int(g, "split.no", 0, LIMIT_SHARDS, &no, e)) < 0 ||
        (rc = gguf_int(g, "split.count", 0, LIMIT_SHARDS, &count, e)) < 0)
        return rc;
    count += count == 0; /* some say 0 of what was never split */
    if (no != i || count != (int64_t)st->n_shards)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · says to be part %" PRId64 " of %" PRId64
                       " (split.no, split.count), by its name it is %" PRId64
                       " of %zu · parts are called NAME-00001-of-00002.gguf",
                       sh->file, no + 1, count, i + 1, st->n_shards);
    return 0;
}

int gguf_read(struct checkpoint *st, struct shard *sh, struct err *e)
{
    struct gguf_reader r = {.sh = sh};
    uint64_t tensors, keys;
    int64_t align = ALIGN_DEFAULT;
    int rc = read_header(&r, &tensors, &keys, e);
    if (rc)
        return rc;
    struct gguf *g = gguf_read_keys(&r, keys, e);
    if (!g)
        return err_code(e);
    if ((rc = gguf_int(g, "general.alignment", 8, 1 << 16, &align, e)) >= 0)
        rc = align & (align - 1) ? err_set(e, ERR_BAD_INPUT,
                                           "%s · key \"general.alignment\" · expected a power of "
                                           "two, found %" PRId64,
                                           sh->file, align)
                                 : check_split(st, sh, g, e);
    if (!rc && st->n_tensors + tensors > LIMIT_TENSORS)
        rc = err_set(e, ERR_BAD_INPUT, "%s · more than %d tensors", sh->file, LIMIT_TENSORS);
    if (!rc)
        rc = read_tensors(st, sh, &r, tensors, (uint64_t)align, e);
    if (!rc && !st->gguf)
        st->gguf = g;
    else
        gguf_free(g);
    return rc;
}

/* ---- a set of files ---- */

int gguf_add_parts(struct checkpoint *st, const char *path, struct err *e)
{
    static const char shape[] = "-00000-of-00000.gguf";
    enum { N = sizeof shape - 1 };
    size_t len = strlen(path);
    const char *end = len > N ? path + len - N : "";
    int part = 0, parts = 0, used = 0;
    bool is_part = sscanf(end, "-%5d-of-%5d.gguf%n", &part, &parts, &used) == 2 && used == N &&
                   part >= 1 && part <= parts;
    if (!is_part)
        return checkpoint_add(st, strdup(path)) ? 0 : err_memory(e, "%s", path);
    if (parts > LIMIT_SHARDS)
        return err_set(e, ERR_BAD_INPUT, "%s · at most %d files are read", path, LIMIT_SHARDS);
    for (int i = 1; i <= parts; i++) {
        char *name;
        if (asprintf(&name, "%.*s-%05d-of-%05d.gguf", (int)(len - N), path, i, parts) < 0)
            name = NULL;
        if (!checkpoint_add(st, name))
            return err_memory(e, "%s", path);
    }
    return 0;
}
