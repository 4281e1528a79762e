/* gguf_keys.c - the keys of a GGUF file, and reading its header piece by piece (see gguf.h). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "model/gguf_reader.h"

struct pair {
    const char *key;
    struct gguf_value value;
};

struct gguf {
    const char *file; /* the shard's */
    char *keys;       /* one after the other, NUL-terminated */
    struct pair *pair;
    size_t n;
    struct strmap by_key;
};

/* ---- reading ---- */

size_t gguf_left(const struct gguf_reader *r)
{
    return r->sh->len - r->at;
}

static int cut_off(const struct gguf_reader *r, uint64_t wanted, struct err *e)
{
    return err_set(e, ERR_BAD_INPUT,
                   "%s · byte %zu, %.*s · %" PRIu64
                   " bytes are wanted, %zu are left · is it cut off?",
                   r->sh->file, r->at, (int)r->what_len, r->what, wanted, gguf_left(r));
}

void gguf_expect(struct gguf_reader *r, const char *what, size_t len)
{
    r->what = what;
    r->what_len = len < 100 ? len : 100;
}

static uint64_t little(const unsigned char *p, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

int gguf_take(struct gguf_reader *r, int bytes, uint64_t *out, struct err *e)
{
    if (gguf_left(r) < (size_t)bytes)
        return cut_off(r, (uint64_t)bytes, e);
    *out = little(r->sh->base + r->at, bytes);
    r->at += (size_t)bytes;
    return 0;
}

/* A length and as many bytes. */
static int take_string(struct gguf_reader *r, const char **out, size_t *len, struct err *e)
{
    uint64_t n = 0;
    int rc = gguf_take(r, 8, &n, e);
    if (rc)
        return rc;
    if (n > gguf_left(r))
        return cut_off(r, n, e);
    *out = (const char *)r->sh->base + r->at;
    *len = (size_t)n;
    r->at += (size_t)n;
    return 0;
}

/* A key or a tensor's name: ASCII that can be shown and typed.  *out is not terminated. */
int gguf_take_name(struct gguf_reader *r, const char *kind, const char **out, size_t *len,
                   struct err *e)
{
    size_t at = r->at;
    gguf_expect(r, kind, strlen(kind));
    int rc = take_string(r, out, len, e);
    if (rc)
        return rc;
    if (*len == 0 || *len >= LIMIT_NAME)
        return err_set(e, ERR_BAD_INPUT, "%s · byte %zu, %s · is %zu bytes long, 1..%d are allowed",
                       r->sh->file, at, kind, *len, LIMIT_NAME - 1);
    for (size_t i = 0; i < *len; i++)
        if ((*out)[i] < 0x21 || (*out)[i] > 0x7e)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · byte %zu, %s · byte %zu of it is 0x%02x, not printable ASCII",
                           r->sh->file, at, kind, i, (unsigned char)(*out)[i]);
    gguf_expect(r, *out, *len);
    return 0;
}

/* A number of items; `least` bytes each are needed at the very least. */
int gguf_take_count(struct gguf_reader *r, const char *what, uint64_t least, uint64_t max,
                    uint64_t *out, struct err *e)
{
    size_t at = r->at;
    gguf_expect(r, what, strlen(what));
    int rc = gguf_take(r, 8, out, e);
    if (rc)
        return rc;
    if (*out > max || *out > gguf_left(r) / least)
        return err_set(
            e, ERR_BAD_INPUT, "%s · byte %zu, %s · is %" PRIu64 ", the file has room for %" PRIu64,
            r->sh->file, at, what, *out, gguf_left(r) / least < max ? gguf_left(r) / least : max);
    return 0;
}

/* ---- keys ---- */

static const unsigned char type_bytes[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = 1,     [GGUF_I8] = 1,  [GGUF_U16] = 2,   [GGUF_I16] = 2, [GGUF_U32] = 4,
    [GGUF_I32] = 4,    [GGUF_F32] = 4, [GGUF_BOOL] = 1,  [GGUF_U64] = 8, [GGUF_I64] = 8,
    [GGUF_STRING] = 8, [GGUF_F64] = 8, [GGUF_ARRAY] = 12};

static const char *const type_names[GGUF_TYPE_COUNT] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "list", "u64", "i64", "f64"};

static int take_type(struct gguf_reader *r, enum gguf_type *out, struct err *e)
{
    uint64_t t = 0;
    int rc = gguf_take(r, 4, &t, e);
    if (rc)
        return rc;
    if (t >= GGUF_TYPE_COUNT)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · byte %zu, %.*s · type %" PRIu64 " is unknown, 0..%d are known",
                       r->sh->file, r->at - 4, (int)r->what_len, r->what, t, GGUF_TYPE_COUNT - 1);
    *out = (enum gguf_type)t;
    return 0;
}

/* Pass over n items of a type. */
static int skip_items(struct gguf_reader *r, enum gguf_type type, uint64_t n, struct err *e)
{
    uint64_t size = type_bytes[type];
    if (n > gguf_left(r) / size)
        return cut_off(r, n > UINT64_MAX / size ? UINT64_MAX : n * size, e);
    if (type == GGUF_STRING) {
        int rc = 0;
        const char *text;
        size_t len;
        for (uint64_t i = 0; i < n && !rc; i++)
            rc = take_string(r, &text, &len, e);
        return rc;
    }
    for (uint64_t i = 0; type == GGUF_BOOL && i < n; i++)
        if (r->sh->base[r->at + i] > 1)
            return err_set(e, ERR_BAD_INPUT, "%s · byte %zu, %.*s · a bool is 0 or 1, found %d",
                           r->sh->file, r->at + (size_t)i, (int)r->what_len, r->what,
                           r->sh->base[r->at + i]);
    r->at += (size_t)(n * size);
    return 0;
}

static int take_value(struct gguf_reader *r, struct gguf_value *v, struct err *e)
{
    *v = (struct gguf_value){.n = 1};
    int rc = take_type(r, &v->type, e);
    if (!rc && v->type == GGUF_ARRAY) {
        v->list = true;
        rc = take_type(r, &v->type, e);
        if (!rc && v->type == GGUF_ARRAY)
            rc = err_set(e, ERR_BAD_INPUT, "%s · byte %zu, %.*s · a list of lists, which none is",
                         r->sh->file, r->at - 4, (int)r->what_len, r->what);
        if (!rc)
            rc = gguf_take(r, 8, &v->n, e);
    }
    if (rc)
        return rc;
    v->at = r->sh->base + r->at;
    return skip_items(r, v->type, v->n, e);
}

/* All keys; their names are copied. */
static int read_pairs(struct gguf *g, struct gguf_reader *r, uint64_t n, struct err *e)
{
    size_t begin = r->at, name_bytes = 0;
    int rc = 0;
    for (uint64_t i = 0; i < n && !rc; i++) {
        const char *key;
        size_t len = 0;
        struct gguf_value v;
        if (!(rc = gguf_take_name(r, "a key", &key, &len, e)))
            rc = take_value(r, &v, e);
        name_bytes += len + 1;
    }
    if (rc)
        return rc;
    g->pair = calloc((size_t)n + 1, sizeof *g->pair);
    g->keys = malloc(name_bytes + 1);
    if (!g->pair || !g->keys || strmap_init(&g->by_key, (size_t)n))
        return err_memory(e, "%s, %" PRIu64 " keys", r->sh->file, n);
    char *at = g->keys;
    for (r->at = begin; g->n < n;) {
        struct pair *p = &g->pair[g->n];
        const char *key;
        size_t len;
        if ((rc = gguf_take_name(r, "a key", &key, &len, e)) || (rc = take_value(r, &p->value, e)))
            return rc;
        memcpy(at, key, len);
        at[len] = '\0';
        p->key = at;
        if (strmap_put(&g->by_key, at, len, (uint32_t)g->n) != g->n)
            return err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · is there twice", r->sh->file, at);
        at += len + 1;
        g->n++;
    }
    return 0;
}

struct gguf *gguf_read_keys(struct gguf_reader *r, uint64_t n, struct err *e)
{
    struct gguf *g = calloc(1, sizeof *g);
    if (!g) {
        err_memory(e, "%s", r->sh->file);
        return NULL;
    }
    g->file = r->sh->file;
    if (!read_pairs(g, r, n, e))
        return g;
    gguf_free(g);
    return NULL;
}

void gguf_free(struct gguf *g)
{
    if (!g)
        return;
    strmap_free(&g->by_key);
    free(g->pair);
    free(g->keys);
    free(g);
}

const struct gguf *checkpoint_gguf(const struct checkpoint *st)
{
    return st->gguf;
}

const char *gguf_file(const struct gguf *g)
{
    return g->file;
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    uint32_t i = strmap_get(&g->by_key, key, strlen(key));
    return i == STRMAP_NONE ? NULL : &g->pair[i].value;
}

static int unexpected(const struct gguf *g, const char *key, const char *expected, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    return err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · expected %s, found %s%s", g->file, key,
                   expected, v->list ? "a list of " : "", type_names[v->type]);
}

/* An item as an integer; false: of another type, or too large. */
static bool item_int(const struct gguf_value *v, uint64_t i, int64_t *out)
{
    int size = type_bytes[v->type];
    uint64_t x = little(v->at + i * (uint64_t)size, size);
    switch (v->type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64: *out = (int64_t)x; return x <= INT64_MAX;
    case GGUF_I8: *out = (int8_t)x; return true;
    case GGUF_I16: *out = (int16_t)x; return true;
    case GGUF_I32: *out = (int32_t)x; return true;
    case GGUF_I64: *out = (int64_t)x; return true;
    default: return false;
    }
}

int gguf_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
             struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    int64_t x;
    if (!v)
        return 0;
    if (v->list || !item_int(v, 0, &x))
        return unexpected(g, key, "an integer", e);
    if (x < min || x > max)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · key \"%s\" · expected an integer %" PRId64 "..%" PRId64
                       ", found %" PRId64,
                       g->file, key, min, max, x);
    *out = x;
    return 1;
}

int gguf_number(const struct gguf *g, const char *key, double *out, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    int64_t whole;
    double x = NAN;
    if (!v)
        return 0;
    if (!v->list && v->type == GGUF_F32) {
        x = (double)gguf_list_f32(v, 0);
    } else if (!v->list && v->type == GGUF_F64) {
        uint64_t bits = little(v->at, 8);
        memcpy(&x, &bits, sizeof bits);
    } else if (!v->list && item_int(v, 0, &whole)) {
        x = (double)whole;
    } else {
        return unexpected(g, key, "a number", e);
    }
    if (!isfinite(x))
        return unexpected(g, key, "a finite number", e);
    *out = x;
    return 1;
}

int gguf_bool(const struct gguf *g, const char *key, bool *out, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v)
        return 0;
    if (v->list || v->type != GGUF_BOOL)
        return unexpected(g, key, "a bool", e);
    *out = v->at[0] != 0;
    return 1;
}

int gguf_string(const struct gguf *g, const char *key, const char **out, size_t *len, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v)
        return 0;
    if (v->list || v->type != GGUF_STRING)
        return unexpected(g, key, "a string", e);
    const unsigned char *at = v->at;
    *out = gguf_next_string(&at, len);
    return 1;
}

int gguf_list(const struct gguf *g, const char *key, enum gguf_type type,
              const struct gguf_value **out, struct err *e)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (!v)
        return 0;
    if (!v->list || (v->type != type && !(type == GGUF_I32 && v->type == GGUF_U32))) {
        char expected[32];
        snprintf(expected, sizeof expected, "a list of %s", type_names[type]);
        return unexpected(g, key, expected, e);
    }
    *out = v;
    return 1;
}

int32_t gguf_list_i32(const struct gguf_value *v, uint64_t i)
{
    return (int32_t)little(v->at + i * 4, 4);
}

bool gguf_list_bool(const struct gguf_value *v, uint64_t i)
{
    return v->at[i] != 0;
}

float gguf_list_f32(const struct gguf_value *v, uint64_t i)
{
    uint32_t bits = (uint32_t)little(v->at + i * 4, 4);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

const char *gguf_next_string(const unsigned char **at, size_t *len)
{
    const char *text = (const char *)*at + 8;
    *len = (size_t)little(*at, 8);
    *at += 8 + *len;
    return text;
}
