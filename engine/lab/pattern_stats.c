/* pattern_stats.c - see pattern_stats.h. */
#include "lab/pattern_stats.h"

#include <math.h>
#include <stdio.h>

enum { FIRST, BY_DISTANCE };                /* from the front */
enum { FURTHER, ENTROPY, DISTANCE, AFTER }; /* behind those by distance */

int pattern_numbers(const struct config *cfg)
{
    return BY_DISTANCE + PATTERN_DISTANCES + (cfg->bidirectional ? PATTERN_DISTANCES - 1 : 0) +
           AFTER;
}

void pattern_names(int n, char *out, size_t size)
{
    static const char *const last[AFTER] = {"further", "entropy", "distance"};
    int by_distance = n - BY_DISTANCE - AFTER, len = snprintf(out, size, "[\"first\"");
    for (int d = 0; d < by_distance && (size_t)len < size; d++) {
        const char *word = d == 0                  ? "self"
                           : d == 1                ? "previous"
                           : d < PATTERN_DISTANCES ? "back"
                                                   : "ahead";
        int at = d < PATTERN_DISTANCES ? d : d - PATTERN_DISTANCES + 1;
        len += d < 2 ? snprintf(out + len, size - (size_t)len, ", \"%s\"", word)
                     : snprintf(out + len, size - (size_t)len, ", \"%s_%d\"", word, at);
    }
    for (int i = 0; i < AFTER && (size_t)len < size; i++)
        len += snprintf(out + len, size - (size_t)len, ", \"%s\"%s", last[i],
                        i < AFTER - 1 ? "" : "]");
}

/* One row of n sources, the share of source s at p[s * stride]. */
static void row_take(const float *p, int64_t stride, int64_t n, int64_t dest, int by_distance,
                     float *out)
{
    double further = 0, entropy = 0, distance = 0;
    bool far = false;
    out[FIRST] = p[0];
    for (int d = 0; d < by_distance; d++) {
        int64_t s = d < PATTERN_DISTANCES ? dest - d : dest + d - PATTERN_DISTANCES + 1;
        out[BY_DISTANCE + d] = s >= 0 && s < n ? p[s * stride] : NAN;
    }
    for (int64_t s = 0; s < n; s++) {
        double share = (double)p[s * stride];
        int64_t away = s < dest ? dest - s : s - dest;
        far |= away >= PATTERN_DISTANCES;
        further += away >= PATTERN_DISTANCES ? share : 0;
        entropy -= share > 0 ? share * log(share) : 0;
        distance += share * (double)away;
    }
    out += BY_DISTANCE + by_distance;
    out[FURTHER] = far ? (float)further : NAN;
    out[ENTROPY] = (float)entropy;
    out[DISTANCE] = (float)distance;
}

void pattern_take(const struct config *cfg, const struct kn_view *v, int32_t row0, float *out)
{
    int numbers = pattern_numbers(cfg);
    for (int64_t r = 0; r < v->shape[1]; r++)
        for (int64_t h = 0; h < v->shape[0]; h++, out += numbers) {
            const float *p = kn_f32(v) + h * v->stride[0] + r * v->stride[1];
            int64_t dest = row0 + r, seen = cfg->bidirectional ? v->shape[2] : dest + 1;
            row_take(p, v->stride[2], seen, dest, numbers - BY_DISTANCE - AFTER, out);
        }
}
