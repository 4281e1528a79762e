/* npy_read.c - see npy_read.h.  The header is the text of a Python dict. */
#include "base/npy_read.h"

#include <stdbool.h>
#include <string.h>

struct header {
    const char *name, *at, *end;
    struct err *e;
    bool seen[3];
};

static int refuse(const struct header *h, const char *expected)
{
    return err_set(h->e, ERR_BAD_INPUT, "%s · header of an .npy array · expected %s", h->name,
                   expected);
}

static void blanks(struct header *h)
{
    while (h->at < h->end && (*h->at == ' ' || *h->at == '\n'))
        h->at++;
}

/* Take the text if it comes next. */
static bool take(struct header *h, const char *text)
{
    size_t n = strlen(text);
    blanks(h);
    bool there = (size_t)(h->end - h->at) >= n && !memcmp(h->at, text, n);
    h->at += there ? n : 0;
    return there;
}

static int take_type(struct header *h, struct npy *a)
{
    static const char *const words[] = {
        [NPY_F32] = "'<f4'", [NPY_F64] = "'<f8'", [NPY_U8] = "'|u1'"};
    for (int i = 0; i < 3; i++)
        if (take(h, words[i])) {
            a->type = i == NPY_F32 ? NPY_F32 : i == NPY_F64 ? NPY_F64 : NPY_U8;
            return 0;
        }
    return refuse(h, "descr '<f4', '<f8' or '|u1' (float32, float64, uint8)");
}

static int take_shape(struct header *h, struct npy *a)
{
    const int64_t most = INT64_C(1) << 62;
    int64_t count = 1;
    if (!take(h, "("))
        return refuse(h, "a shape like (3, 224, 224)");
    for (a->rank = 0; !take(h, ")"); a->rank++) {
        int64_t n = 0;
        const char *digits = h->at;
        for (; h->at < h->end && *h->at >= '0' && *h->at <= '9' && n < most / 10 - 9; h->at++)
            n = n * 10 + (*h->at - '0');
        if (h->at == digits || a->rank == NPY_RANK_MAX || n < 1 || count > most / n)
            return refuse(h, "a shape of 1 to 8 whole numbers above 0");
        a->shape[a->rank] = n;
        count *= n;
        if (!take(h, ",")) {
            a->rank++;
            if (!take(h, ")"))
                return refuse(h, "\")\" after the shape");
            break;
        }
    }
    return a->rank ? 0 : refuse(h, "a shape like (3, 224, 224)");
}

/* One "'key': value". */
static int take_member(struct header *h, struct npy *a)
{
    static const char *const keys[] = {"'descr'", "'fortran_order'", "'shape'"};
    int k = 0;
    while (k < 3 && !take(h, keys[k]))
        k++;
    if (k == 3 || h->seen[k] || !take(h, ":"))
        return refuse(h, "descr, fortran_order and shape, once each");
    h->seen[k] = true;
    if (k == 1)
        return take(h, "False") ? 0 : refuse(h, "fortran_order False (numpy.ascontiguousarray)");
    return k == 0 ? take_type(h, a) : take_shape(h, a);
}

static int take_header(struct header *h, struct npy *a)
{
    int rc = take(h, "{") ? 0 : refuse(h, "\"{\"");
    bool closed = false, more = true;
    while (!rc && more && !(closed = take(h, "}"))) {
        rc = take_member(h, a);
        more = take(h, ",");
    }
    if (!rc && !closed && !take(h, "}"))
        rc = refuse(h, "\",\" or \"}\"");
    blanks(h);
    if (!rc && (!h->seen[0] || !h->seen[1] || !h->seen[2] || h->at < h->end))
        rc = refuse(h, "descr, fortran_order and shape, once each");
    return rc;
}

int npy_read(struct npy *out, const char *name, const void *bytes, size_t len, struct err *e)
{
    static const size_t size_of[] = {[NPY_F32] = 4, [NPY_F64] = 8, [NPY_U8] = 1};
    const unsigned char *b = bytes;
    struct npy a = {0};
    if (len < 10 || memcmp(b, "\x93NUMPY", 6) || b[6] < 1 || b[6] > 3 || (b[6] > 1 && len < 12))
        return err_set(e, ERR_BAD_INPUT, "%s · it is no .npy file of version 1 to 3", name);
    size_t begin = b[6] == 1 ? 10 : 12, text = (size_t)b[8] | (size_t)b[9] << 8;
    if (begin == 12)
        text |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (text > len - begin)
        return err_set(e, ERR_BAD_INPUT, "%s · its header of %zu bytes is cut off", name, text);
    struct header h = {name, (const char *)b + begin, (const char *)b + begin + text, e, {false}};
    int rc = take_header(&h, &a);
    if (rc)
        return rc;
    uint64_t there = len - begin - text, count = 1;
    for (int i = 0; i < a.rank; i++)
        count *= (uint64_t)a.shape[i];
    if (there % size_of[a.type] || there / size_of[a.type] != count)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · %llu bytes of data · its shape says %llu elements of %zu bytes", name,
                       (unsigned long long)there, (unsigned long long)count, size_of[a.type]);
    a.data = b + begin + text;
    *out = a;
    return 0;
}

double npy_at(const struct npy *a, int64_t i)
{
    float f;
    double d;
    switch (a->type) {
    case NPY_F32: memcpy(&f, a->data + i * 4, sizeof f); return (double)f;
    case NPY_F64: memcpy(&d, a->data + i * 8, sizeof d); return d;
    case NPY_U8: break;
    }
    return a->data[i];
}
