/* attention.h - the numbers of the attention view: patterns of one layer, masked and normalised, by
 * face.  The rows and heads that are asked for: all heads on screen, and the large one, which may
 * have more rows.  Pure reading of a snapshot.  Tested in tests/tui/test_play.c through its
 * screens. */
#ifndef ATTENTION_H
#define ATTENTION_H

#include "app.h"

/* Rows of some heads as they lie in a snapshot. */
struct attention_part {
    const struct want *w;
    const float *v[FACE_COUNT]; /* [row1 - row0][head1 - head0][n] */
};

struct attention {
    const struct app *a;
    const struct snapshot *s;
    enum show show;
    bool scores;
    int32_t n;                                 /* sources */
    struct attention_part small, large;        /* the same where one has all rows */
    const float *norm[FACE_COUNT];             /* [n][n_kv_heads] of the values, NULL: not there */
    const struct lens_head *heads[FACE_COUNT]; /* [n_heads] scores, NULL: not there */
};

/* Ask for it: `heads` heads from `head` on small, and the one of the cursor large. */
void attention_want(const struct app *a, struct want_list *l, int32_t head, int32_t heads);
/* False: no pattern yet.  *stale: of another question or layer. */
bool attention_open(struct attention *at, const struct app *a, bool *stale);
/* Has the part that head? */
bool attention_has(const struct attention_part *p, int32_t head);
/* One row of a head: value and divisor of the mask for each face.  False: that row is not there. */
struct attention_row {
    int32_t head, dest;
    const float *v[FACE_COUNT];
    float divisor[FACE_COUNT];
};
bool attention_row(const struct attention *at, int32_t head, int32_t dest,
                   struct attention_row *out);
/* Sources up to the last one that the row sees: its own position in causal models, a later one
 * where an edit shows it. */
int32_t attention_seen(const struct attention *at, const struct attention_row *row);
/* Sources that the cursor may stand on in its row: those that it sees are edges. */
int32_t attention_reach(const struct app *a);
/* One value under the mask and the face. */
float attention_value(const struct attention *at, const struct attention_row *row, int32_t src);
/* All of a part's rows, [row1 - row0][n]; to free; NULL when out of memory. */
float *attention_matrix(const struct attention *at, const struct attention_part *p, int32_t head);
struct scale attention_scale(const struct attention *at, const float *matrix, size_t count);
enum colormap attention_map(const struct attention *at);
/* Euclidean norm of the value vector that src gives; NULL while it is not there. */
const float *attention_value_norm(const struct attention *at, enum face face, int32_t head,
                                  int32_t src);
/* At the cursor's edge: the score where the view shows the pattern, the weight of the pattern where
 * it shows scores.  False: not there yet. */
bool attention_beside(const struct attention *at, float *out);
/* The sources of the largest values (magnitudes in a difference) of a row, best first; how many. */
int attention_top(const struct attention *at, const struct attention_row *row, int32_t *src,
                  int max);

/* What is wanted of the slopes of the pair's logit difference along the scores of the cursor's row;
 * false: there is no pair, or no logits. */
bool attention_slope_want(const struct app *a, struct want *w);

#endif
