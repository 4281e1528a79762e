/* kn.c - names, sizes and views; opening a backend by name.
 *
 * Knows which backends are compiled in and nothing about how one works.  Tested in tests/kernels.
 */
#include "kn.h"

#include "cpu/cpu.h"
#include "half.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One row per backend; "auto" takes the first. */
static const struct {
    const char *name;
    struct kn_backend *(*open)(const struct kn_options *opt, char *why, size_t why_size);
} BACKENDS[] = {
    {"cpu", cpu_open},
};
enum { BACKEND_COUNT = sizeof BACKENDS / sizeof *BACKENDS };

struct kn_backend *kn_open(const struct kn_options *opt, char *why, size_t why_size)
{
    static const struct kn_options plain = {.backend = "auto", .cpu = -1};
    if (!opt)
        opt = &plain;
    const char *name = opt->backend ? opt->backend : "auto";
    if (strcmp(name, "auto") == 0)
        return BACKENDS[0].open(opt, why, why_size);
    for (int i = 0; i < BACKEND_COUNT; i++)
        if (strcmp(name, BACKENDS[i].name) == 0)
            return BACKENDS[i].open(opt, why, why_size);

    char there[128] = "auto";
    errno = EINVAL;
    for (int i = 0; i < BACKEND_COUNT; i++) {
        size_t used = strlen(there);
        snprintf(there + used, sizeof there - used, ", %s", BACKENDS[i].name);
    }
    if (why_size > 0)
        snprintf(why, why_size, "unknown backend · %s · there is %s", name, there);
    return NULL;
}

void kn_close(struct kn_backend *be)
{
    if (be)
        be->type->close(be);
}

static const char *const OP_NAMES[KN_OP_COUNT] = {
#define KN_OP(id, name, n_out, n_in) name,
#include "ops.def"
#undef KN_OP
};

static const struct {
    const char *name;
    size_t size;
} DTYPES[KN_DTYPE_COUNT] = {
    [KN_F32] = {"f32", 4},
    [KN_F16] = {"f16", 2},
    [KN_BF16] = {"bf16", 2},
    [KN_I32] = {"i32", 4},
};

const char *kn_op_name(enum kn_op op)
{
    assert((unsigned)op < KN_OP_COUNT);
    return OP_NAMES[op];
}

const char *kn_dtype_name(enum kn_dtype t)
{
    assert((unsigned)t < KN_DTYPE_COUNT);
    return DTYPES[t].name;
}

size_t kn_dtype_size(enum kn_dtype t)
{
    assert((unsigned)t < KN_DTYPE_COUNT);
    return DTYPES[t].size;
}

struct kn_view kn_view3(void *data, enum kn_dtype t, int64_t a, int64_t b, int64_t c)
{
    return (struct kn_view){data, t, 3, {a, b, c}, {b * c, c, 1}};
}

struct kn_view kn_view2(void *data, enum kn_dtype t, int64_t a, int64_t b)
{
    return (struct kn_view){data, t, 2, {a, b}, {b, 1}};
}

struct kn_view kn_view1(void *data, enum kn_dtype t, int64_t a)
{
    return (struct kn_view){data, t, 1, {a}, {1}};
}

struct kn_view kn_slice(struct kn_view v, int dim, int64_t lo, int64_t hi)
{
    assert(dim >= 0 && dim < v.ndim && 0 <= lo && lo <= hi && hi <= v.shape[dim]);
    v.data = (char *)v.data + lo * v.stride[dim] * (int64_t)kn_dtype_size(v.dtype);
    v.shape[dim] = hi - lo;
    return v;
}

float kn_load(enum kn_dtype t, const void *data, int64_t index)
{
    switch (t) {
    case KN_F32: return ((const float *)data)[index];
    case KN_F16: return half_from_f16(((const uint16_t *)data)[index]);
    case KN_BF16: return half_from_bf16(((const uint16_t *)data)[index]);
    case KN_I32: return (float)((const int32_t *)data)[index];
    case KN_DTYPE_COUNT: break;
    }
    assert(false && "kn_load: no such dtype");
    return 0;
}
