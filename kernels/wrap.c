/* wrap.c - see wrap.h. */
#include "wrap.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kn_backend *wrap_inner(const struct kn_options *opt, const char *name, char *why,
                              size_t why_size)
{
    struct kn_options inner = *opt;
    inner.backend = name;
    if (strncmp(name, "split:", 6) == 0) { /* what is around it would give it memory of one part */
        snprintf(why, why_size, "%s · split stands outside, as in split:trace:cpu,trace:cpu", name);
        errno = EINVAL;
        return NULL;
    }
    return kn_open(&inner, why, why_size);
}

void wrap_promise(struct kn_backend *be, const struct kn_backend *inner, const char *prefix)
{
    be->unified = inner->unified;
    be->exact_rows = inner->exact_rows;
    be->blas = inner->blas;
    be->alloc_max = inner->alloc_max;
    be->rows_preferred = inner->rows_preferred;
    snprintf(be->describe, sizeof be->describe, "%s:%.*s", prefix, (int)(sizeof be->describe - 8),
             inner->describe);
}

size_t wrap_span(const struct kn_view *v)
{
    int64_t last = 0;
    for (int i = 0; i < v->ndim; i++) {
        if (v->shape[i] == 0)
            return 0;
        last += (v->shape[i] - 1) * v->stride[i];
    }
    int64_t block = kn_dtype_block(v->dtype), end = v->first % block + last + 1;
    return v->ndim ? kn_row_bytes(v->dtype, (end + block - 1) / block * block) : 0;
}

/* How many begin at `at` or before. */
static int regions_upto(const struct regions *rs, const char *at)
{
    int lo = 0, hi = rs->n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (rs->list[mid].at <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool regions_add(struct regions *rs, struct region r)
{
    if (rs->n == rs->room) {
        int room = rs->room ? 2 * rs->room : 64;
        struct region *more = realloc(rs->list, (size_t)room * sizeof *more);
        if (!more)
            return false;
        rs->list = more, rs->room = room;
    }
    int i = regions_upto(rs, r.at);
    memmove(rs->list + i + 1, rs->list + i, (size_t)(rs->n++ - i) * sizeof r);
    rs->list[i] = r;
    return true;
}

struct region *regions_find(const struct regions *rs, const struct kn_view *v)
{
    const char *at = kn_at(v, 0);
    size_t span = wrap_span(v);
    for (int i = regions_upto(rs, at) - 1; i >= 0; i--) {
        struct region *r = &rs->list[i];
        if (at + span <= r->at + r->bytes && !r->gone)
            return r;
    }
    return NULL;
}

struct region *regions_at(const struct regions *rs, const void *at)
{
    for (int i = regions_upto(rs, at) - 1; i >= 0 && rs->list[i].at == at; i--)
        if (!rs->list[i].gone)
            return &rs->list[i];
    return NULL;
}

void regions_remove(struct regions *rs, struct region *r)
{
    int i = (int)(r - rs->list);
    memmove(r, r + 1, (size_t)(--rs->n - i) * sizeof *r);
}

struct kn_view region_other(const struct region *r, const struct kn_view *v)
{
    struct kn_view other = *v;
    other.data = r->other + ((const char *)kn_at(v, 0) - r->at);
    other.first %= kn_dtype_block(v->dtype);
    return other;
}

const char *const wrap_out_name[KN_OUT_MAX] = {"out0", "out1", "out2"};
const char *const wrap_in_name[KN_IN_MAX] = {"in0", "in1", "in2", "in3", "in4", "in5", "in6"};

void wrap_fail(const char *who, const char *what, const char *op, const char *operand)
{
    char text[160];
    snprintf(text, sizeof text, "%s: %s: %s of %s", who, what, operand, op);
    __assert_fail(text, __FILE__, __LINE__, __func__); /* assert() takes no text of its own */
}
