/* scale.h - which value stands where between the ends of a colour map, and how its ends are
 * written.
 *
 * Linear: lo..hi.  Log: lo..hi, both > 0; everything <= lo stands at 0.  Symmetric: -hi..hi with 0
 * exactly in the middle (diverging maps).  Pure.  Tested in tests/render/test_scale.c. */
#ifndef SCALE_H
#define SCALE_H

#include <stddef.h>

enum scale_kind { SCALE_LINEAR, SCALE_LOG, SCALE_SYMMETRIC, SCALE_KIND_COUNT };

struct scale {
    enum scale_kind kind;
    float lo, hi; /* lo < hi; symmetric: lo == -hi */
};

const char *scale_name(enum scale_kind kind); /* "linear", "log", "symmetric" */
/* Ends from the finite values (log: the positive ones).  With nothing to go by, or all values
 * equal, a range around it that is not empty, e.g. 0..1. */
struct scale scale_fit(enum scale_kind kind, const float *v, size_t n);
struct scale scale_make(enum scale_kind kind, float lo, float hi);
/* 0..1, clamped (-inf is 0, +inf is 1); NaN for NaN. */
double scale_at(struct scale s, float value);
/* 0..n_levels-1, or -1 for NaN. */
int scale_level(struct scale s, float value, int n_levels);

#endif
