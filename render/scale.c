/* scale.c - values to positions between 0 and 1.  Tested in tests/render/test_scale.c. */
#include "scale.h"

#include <assert.h>
#include <float.h>
#include <math.h>

const char *scale_name(enum scale_kind kind)
{
    static const char *const name[SCALE_KIND_COUNT] = {"linear", "log", "symmetric"};
    assert((unsigned)kind < SCALE_KIND_COUNT);
    return name[kind];
}

struct scale scale_make(enum scale_kind kind, float lo, float hi)
{
    assert(lo < hi);
    assert(kind != SCALE_LOG || lo > 0);
    assert(kind != SCALE_SYMMETRIC || lo == -hi);
    return (struct scale){kind, lo, hi};
}

static struct scale fit_log(float lo, float hi)
{
    if (lo > hi)
        return scale_make(SCALE_LOG, 0.1F, 1);
    if (lo == hi && lo / 10 > 0)
        lo /= 10;
    else if (lo == hi)
        hi *= 10;
    return scale_make(SCALE_LOG, lo, hi);
}

struct scale scale_fit(enum scale_kind kind, const float *v, size_t n)
{
    float lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(v[i]) || (kind == SCALE_LOG && v[i] <= 0))
            continue;
        float x = kind == SCALE_SYMMETRIC ? fabsf(v[i]) : v[i];
        lo = x < lo ? x : lo;
        hi = x > hi ? x : hi;
    }
    if (kind == SCALE_LOG)
        return fit_log(lo, hi);
    if (kind == SCALE_SYMMETRIC) {
        float end = hi > 0 ? hi : 1;
        return scale_make(kind, -end, end);
    }
    if (lo > hi || (lo == 0 && hi == 0))
        return scale_make(kind, 0, 1);
    if (lo == hi) /* one value: from it to zero */
        return lo > 0 ? scale_make(kind, 0, lo) : scale_make(kind, lo, 0);
    return scale_make(kind, lo, hi);
}

double scale_at(struct scale s, float value)
{
    double lo = s.lo, hi = s.hi, v = value;
    if (isnan(v))
        return v;
    if (v <= lo)
        return 0;
    if (v >= hi)
        return 1;
    if (s.kind == SCALE_LOG)
        return (log(v) - log(lo)) / (log(hi) - log(lo));
    return (v - lo) / (hi - lo);
}

int scale_level(struct scale s, float value, int n_levels)
{
    double at = scale_at(s, value);
    if (isnan(at))
        return -1;
    int level = (int)(at * n_levels);
    return level < n_levels ? level : n_levels - 1;
}
