/* kn.c - opening a backend by name; names of operations.
 *
 * Knows which backends are compiled in and nothing about how one works.  Tested in tests/kernels.
 */
#include "kn.h"

#include "cpu/cpu.h"
#include "vulkan/vulkan.h"
#include "wrap.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One row per backend; "auto" takes the first that opens, the last one always does. */
static const struct {
    const char *name, *form;
    kn_opener *open;
} BACKENDS[] = {
#ifdef KN_VULKAN
    {"vulkan", "vulkan:DEVICE", vulkan_open},
#endif
    {"cpu", "cpu", cpu_open},
};
enum { BACKEND_COUNT = sizeof BACKENDS / sizeof *BACKENDS };

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

/* The one of a test's own. */
static struct {
    const char *name;
    kn_opener *open;
} offered;

void kn_offer(const char *name, kn_opener *open)
{
    offered.name = name, offered.open = open;
}

/* Whether a name is that of a backend, or begins with it and ':'. */
static bool is_named(const char *name, const char *backend)
{
    size_t n = strlen(backend);
    return strncmp(name, backend, n) == 0 && (!name[n] || name[n] == ':');
}

struct kn_backend *kn_open(const struct kn_options *opt, char *why, size_t why_size)
{
    static const struct kn_options plain = {.backend = "auto", .cpu = -1};
    if (!opt)
        opt = &plain;
    const char *name = opt->backend ? opt->backend : "auto";
    bool automatic = strcmp(name, "auto") == 0;
    for (int i = 0; i < BACKEND_COUNT; i++) {
        bool meant = is_named(name, BACKENDS[i].name) &&
                     (strchr(BACKENDS[i].form, ':') || !strchr(name, ':'));
        struct kn_backend *be = meant || automatic ? BACKENDS[i].open(opt, why, why_size) : NULL;
        if (be || meant)
            return be;
    }
    if (automatic)
        return NULL;
    if (offered.name && is_named(name, offered.name))
        return offered.open(opt, why, why_size);
    for (int i = 0; i < WRAP_COUNT; i++)
        if (is_named(name, WRAPS[i].name) && strchr(name, ':'))
            return WRAPS[i].open(opt, strchr(name, ':') + 1, why, why_size);

    char there[128] = "auto";
    errno = EINVAL;
#ifdef KN_NO_VULKAN
    if (is_named(name, "vulkan")) {
        snprintf(why, why_size, "vulkan · this program was built without it · %s", KN_NO_VULKAN);
        return NULL;
    }
#endif
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
#ifdef KN_NO_VULKAN
    if (used < size)
        snprintf(text + used, size - used, "; no vulkan: %s", KN_NO_VULKAN);
#endif
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

struct kn_backend *kn_part(struct kn_backend *be, int64_t i, int64_t n)
{
    assert(0 <= i && i < n);
    return be->type->part ? be->type->part(be, i, n) : be;
}

const char *kn_departure(const struct kn_backend *be)
{
    return be->type->departure ? be->type->departure(be) : NULL;
}
