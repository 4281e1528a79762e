/* attention.h - the numbers of the attention view: patterns of one layer, masked and normalised, by
 * face. Pure reading of a snapshot.  Tested in tests/tui/test_play.c through its screens. */
#ifndef ATTENTION_H
#define ATTENTION_H

#include "app.h"

struct attention {
    const struct app *a;
    const struct snapshot *s;
    enum show show;
    int32_t n;
};

/* False: no pattern yet.  *stale: of another question or layer. */
bool attention_open(struct attention *at, const struct app *a, bool *stale);
/* One value under the mask and the face; 0 where src > dest. */
float attention_value(const struct attention *at, int32_t head, int32_t dest, int32_t src);
/* All of them, [n * n]; to free; NULL when out of memory. */
float *attention_matrix(const struct attention *at, int32_t head);
struct scale attention_scale(const struct attention *at, const float *matrix);
enum colormap attention_map(const struct attention *at);
/* Euclidean norm of the value vector that src gives; NaN while it is not there. */
float attention_value_norm(const struct attention *at, int32_t head, int32_t src);
/* The sources of the largest values (magnitudes in a difference) of a row, best first; how many. */
int attention_top(const struct attention *at, int32_t head, int32_t dest, int32_t *src, int max);

#endif
