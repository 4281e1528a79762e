/* kn.c - opening a backend by name; names of operations.
 *
 * Knows which backends are compiled in and nothing about how one works.  Tested in tests/kernels.
 */
#include "kn.h"

#include "cpu/cpu.h"
#ifdef KN_CUDA
#include "cuda/cuda.h"
#endif
#include "vulkan/vulkan.h"
#include "wrap.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One row per backend; "auto" takes the first that opens, the last one always does. */
static const struct {
    const char *name, *form; /* "cuda" is the first device, "cuda:1" the second */
    kn_opener *open;
    /* How many devices there are; 0: why.  NULL: one. */
    int (*count)(char *why, size_t why_size);
} BACKENDS[] = {
#ifdef KN_CUDA
    {"cuda", "cuda:N", cuda_open, cuda_count},
#endif
#ifdef KN_VULKAN
    {"vulkan", "vulkan:DEVICE", vulkan_open, vulkan_count},
#endif
    {"cpu", "cpu", cpu_open, NULL},
};
enum { BACKEND_COUNT = sizeof BACKENDS / sizeof *BACKENDS };

/* Those that this program was built without, and why. */
static const struct {
    const char *name, *why;
} LEFT_OUT[] = {
#ifdef KN_NO_CUDA
    {"cuda", KN_NO_CUDA},
#endif
#ifdef KN_NO_VULKAN
    {"vulkan", KN_NO_VULKAN},
#endif
    {NULL, NULL},
};

/* Those that wrap others, which stand after the colon. */
static const struct {
    const char *name, *form;
    wrap_open *open;
} WRAPS[] = {
    {"fence", "fence:B", fence_open},
    {"check", "check:A,B", check_open},
    {"trace", "trace:B", trace_open},
    {"split", "split:A,B", split_open},
};
enum { WRAP_COUNT = sizeof WRAPS / sizeof *WRAPS };

/* Those of a test's own. */
static struct {
    const char *name;
    kn_opener *open;
} offered[4];
static int offered_count;

void kn_offer(const char *name, kn_opener *open)
{
    int i = 0;
    while (i < offered_count && strcmp(offered[i].name, name) != 0)
        i++;
    assert(i < (int)(sizeof offered / sizeof *offered));
    offered[i].name = name, offered[i].open = open;
    offered_count += i == offered_count;
}

/* Whether a name is that of a backend, or begins with it and ':' (a device) or '+' (a way). */
static bool is_named(const char *name, const char *backend)
{
    size_t n = strlen(backend);
    return strncmp(name, backend, n) == 0 && strchr(":+", name[n]); /* or its end */
}

/* One that was opened, if its products are a vendor's library's where that is asked for. */
static struct kn_backend *blas_checked(const struct kn_options *opt, struct kn_backend *be,
                                       char *why, size_t why_size)
{
    if (!be || !opt->blas || be->blas)
        return be;
    snprintf(why, why_size, "%s · its products are its own · --blas is for a device with cuBLAS",
             be->describe);
    kn_close(be);
    errno = EINVAL;
    return NULL;
}

struct kn_backend *kn_open(const struct kn_options *opt, char *why, size_t why_size)
{
    struct kn_options own = opt ? *opt : (struct kn_options){.cpu = -1};
    const char *name = own.backend = own.backend ? own.backend : "auto";
    opt = &own;
    bool automatic = strcmp(name, "auto") == 0;
    for (int i = 0; i < BACKEND_COUNT; i++) {
        bool meant = is_named(name, BACKENDS[i].name) &&
                     (BACKENDS[i].count || strcmp(name, BACKENDS[i].name) == 0);
        struct kn_backend *be = meant || automatic ? BACKENDS[i].open(opt, why, why_size) : NULL;
        be = blas_checked(opt, be, why, why_size);
        if (be || meant)
            return be;
    }
    if (automatic)
        return NULL;
    for (int i = 0; i < offered_count; i++)
        if (is_named(name, offered[i].name))
            return blas_checked(opt, offered[i].open(opt, why, why_size), why, why_size);
    for (int i = 0; i < WRAP_COUNT; i++)
        if (is_named(name, WRAPS[i].name) && strchr(name, ':'))
            return blas_checked(opt, WRAPS[i].open(opt, strchr(name, ':') + 1, why, why_size), why,
                                why_size);

    char there[128] = "auto";
    errno = EINVAL;
    for (int i = 0; LEFT_OUT[i].name; i++)
        if (is_named(name, LEFT_OUT[i].name)) {
            snprintf(why, why_size, "%s · this program was built without it · %s", LEFT_OUT[i].name,
                     LEFT_OUT[i].why);
            return NULL;
        }
    for (int i = 0; i < BACKEND_COUNT + WRAP_COUNT; i++) {
        size_t used = strlen(there);
        snprintf(there + used, sizeof there - used, ", %s",
                 i < BACKEND_COUNT ? BACKENDS[i].form : WRAPS[i - BACKEND_COUNT].form);
    }
    if (why_size > 0)
        snprintf(why, why_size, "unknown backend · %s · there is %s", name, there);
    return NULL;
}

void kn_built(char *text, size_t size)
{
    size_t used = 0;
    for (int i = 0; i < BACKEND_COUNT && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", BACKENDS[i].name);
    for (int i = 0; LEFT_OUT[i].name && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "; no %s: %s", LEFT_OUT[i].name,
                                 LEFT_OUT[i].why);
}

static void device_look(const struct kn_options *opt, struct kn_device *d)
{
    struct kn_options own = *opt;
    own.backend = d->name;
    struct kn_backend *be = kn_open(&own, d->describe, sizeof d->describe);
    if (!be)
        return;
    d->there = true, d->unified = be->unified, d->exact_rows = be->exact_rows;
    d->alloc_max = be->alloc_max;
    snprintf(d->describe, sizeof d->describe, "%s", be->describe);
    snprintf(d->driver, sizeof d->driver, "%s", be->driver);
    be->type->memory(be, &d->total, &d->available);
    kn_close(be);
}

int kn_devices(const struct kn_options *opt, struct kn_device list[KN_DEVICES_MAX])
{
    int n = 0;
    for (int i = 0; i < BACKEND_COUNT; i++) {
        char why[sizeof list->describe] = "";
        int count = BACKENDS[i].count ? BACKENDS[i].count(why, sizeof why) : 1;
        for (int k = 0; n < KN_DEVICES_MAX && k < (count ? count : 1); k++) {
            struct kn_device *d = &list[n++];
            *d = (struct kn_device){0};
            snprintf(d->name, sizeof d->name, BACKENDS[i].count && count ? "%s:%d" : "%s",
                     BACKENDS[i].name, k);
            if (count)
                device_look(opt, d);
            else
                snprintf(d->describe, sizeof d->describe, "%s", why);
        }
    }
    for (int i = 0; n < KN_DEVICES_MAX && LEFT_OUT[i].name; i++) {
        struct kn_device *d = &list[n++];
        *d = (struct kn_device){0};
        snprintf(d->name, sizeof d->name, "%s", LEFT_OUT[i].name);
        snprintf(d->describe, sizeof d->describe, "this program was built without it · %s",
                 LEFT_OUT[i].why);
    }
    return n;
}

void kn_close(struct kn_backend *be)
{
    if (be)
        be->type->close(be);
}

float kn_alibi_slope(int64_t h, int64_t n)
{
    int64_t p = 1;
    while (2 * p <= n)
        p *= 2;
    double rank = h < p ? (double)(h + 1) : (double)(h - p) + 0.5;
    return (float)exp2(-8 * rank / (double)p);
}

double kn_log_sum_exp(const float *x, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, (double)x[i]);
    most = isfinite(most) ? most : 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i] - most);
    return most + log(sum);
}

static const char *const OP_NAMES[KN_OP_COUNT] = {
#define KN_OP(id, name, n_out, n_in) name,
#include "ops.def"
#undef KN_OP
};

const char *kn_op_name(enum kn_op op)
{
    assert((unsigned)op < KN_OP_COUNT);
    return OP_NAMES[op];
}

const char *kn_seen_name(int kind)
{
    static const char *const MORE[] = {"read", "write", "fill"};
    assert(kind >= 0 && kind < KN_SEEN_COUNT);
    return kind < KN_OP_COUNT ? OP_NAMES[kind] : MORE[kind - KN_OP_COUNT];
}

const struct kn_seen *kn_seen(const struct kn_backend *be, int kind)
{
    assert(kind >= 0 && kind < KN_SEEN_COUNT);
    return be->type->seen ? be->type->seen(be, kind) : NULL;
}

void kn_each(struct kn_backend *be, int64_t n, kn_each_fn *fn, void *ctx)
{
    if (be->type->each) {
        be->type->each(be, n, fn, ctx);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        fn(ctx, i);
}

struct kn_backend *kn_part(struct kn_backend *be, int64_t i, int64_t n)
{
    assert(0 <= i && i < n);
    return be->type->part ? be->type->part(be, i, n) : be;
}

struct kn_backend *kn_device_at(struct kn_backend *be, int i)
{
    assert(i >= 0);
    return be->type->device_at ? be->type->device_at(be, i) : i ? NULL : be;
}

void kn_spread(struct kn_backend *be, const int64_t *upto, int64_t n)
{
    if (be->type->spread)
        be->type->spread(be, upto, n);
}

const char *kn_departure(const struct kn_backend *be)
{
    return be->type->departure ? be->type->departure(be) : NULL;
}
