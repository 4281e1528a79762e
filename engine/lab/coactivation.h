/* coactivation.h - how often chosen elements of hooks are above 0 together, over tokens.
 * Tested in tests/engine/test_stats.c. */
#ifndef COACTIVATION_H
#define COACTIVATION_H

#include "edit/edit.h"

enum { COACTIVATION_MAX = 256, COACTIVATION_NAME = LIMIT_NAME + 32 };

/* Zero-initialised: of none. */
struct coactivation {
    int32_t n;
    struct chosen {
        struct site_ref site;
        int64_t element;              /* of a row */
        char name[COACTIVATION_NAME]; /* "blocks.3.mlp.hook_post[:, 12]" */
    } * of;                           /* [n] */
    int64_t tokens;                   /* where all of them are finite */
    int64_t *count;                   /* [n, n] of these, where both are above 0 */
    double *product, *mean;           /* [n, n], [n]: means of x_i x_j and of x_i */
};

/* Elements in the edit language's words, "blocks.3.mlp.hook_post[:, {12, 40}]", all positions of
 * them.  Freed with coactivation_free, also on failure. */
int coactivation_choose(struct coactivation *c, const struct config *cfg, const char *const *texts,
                        int n, struct err *e);
/* Room for n elements, which the caller fills. */
int coactivation_alloc(struct coactivation *c, int32_t n, struct err *e);
void coactivation_free(struct coactivation *c);
bool coactivation_alike(const struct coactivation *a, const struct coactivation *b);

/* Chosen elements of one site at row[n] of a host view, to x[n][c->n]. */
void coactivation_take(const struct coactivation *c, struct site_ref s, const struct kn_view *v,
                       const int32_t *row, int32_t n, float *x);
/* Add n tokens, x[n][c->n]. */
void coactivation_add(struct coactivation *c, const float *x, int32_t n);
/* All of `from`, which is alike. */
void coactivation_merge(struct coactivation *to, const struct coactivation *from);

#endif
