/* score.h - neurons, head dimensions and heads ranked by what they do on one set of texts (cripple)
 * and not on another (focus).
 *
 * The formulas are those of score.def.  Scores of dimensions become those of heads by their mean or
 * median; attribution and ablation are of whole heads at once.  Numbers that there are not (no
 * finite value was seen) are NaN and rank behind all others.  Tested in tests/engine/test_score.c
 * against taker. */
#ifndef SCORE_H
#define SCORE_H

#include "base/ranks.h"
#include "lab/texts.h"
#include "run/pair.h"

struct stats;

enum score_id {
#define SCORE(id, from, formula, help) SCORE_##id,
#include "lab/score.def"
    SCORE_COUNT
};
enum score_from { SCORE_FROM_STATS, SCORE_FROM_DRAW, SCORE_FROM_LOSS };
extern const struct score_info {
    const char *name;
    enum score_from from;
    const char *formula, *help;
} score_table[SCORE_COUNT];

/* What is ranked. */
enum score_unit { SCORE_NEURONS, SCORE_DIMS, SCORE_HEADS, SCORE_UNITS };
extern const char *const score_unit_names[SCORE_UNITS]; /* "neurons", "dims", "heads" */
enum score_heads { SCORE_BY_MEAN, SCORE_BY_MEDIAN };

/* By name; ERR_USAGE names the nearest. */
int score_find(const char *name, enum score_id *out, struct err *e);
int score_unit_find(const char *name, enum score_unit *out, struct err *e);
/* taker's: of neurons and of attention (PruningConfig ff_eps, attn_eps). */
double score_eps(enum score_unit u);

/* Of all layers, n units in each: neurons of mlp.hook_post, elements [head, d_head] of attn.hook_z,
 * or heads. */
struct scores {
    enum score_unit unit;
    int32_t n_layers, d_head; /* d_head: of SCORE_DIMS */
    int64_t n;
    double *focus, *cripple; /* [n_layers, n]: what is compared; of a draw NaN */
    double *value;           /* [n_layers, n]: the score */
    bool *there;             /* [n_layers]: the layer has such units */
};

/* Of a model's shape, all NaN.  ERR_BAD_INPUT where it has no such units: its MLPs are mixtures of
 * experts.  Freed with scores_free, also on failure. */
int scores_init(struct scores *s, const struct config *cfg, enum score_unit unit, struct err *e);
void scores_free(struct scores *s);
/* The hook that units lie in: "blocks.3.mlp.hook_post"; returns buf. */
char *score_hook(enum score_unit unit, int32_t layer, char buf[LIMIT_NAME]);
/* "L3 N512", "L2H1 D5", "L2H1" */
void score_label(const struct scores *s, int64_t i, char buf[32]);

/* Fill by a score of SCORE_FROM_STATS, unit neurons or dims.  ERR_BAD_INPUT where a hook is missing
 * in one of both, or of another shape. */
int scores_of_stats(struct scores *s, enum score_id id, const struct stats *focus,
                    const struct stats *cripple, double eps, struct err *e);
/* Numbers of N(0, 1): of each unit the same one for a seed, whatever the model's other layers. */
void scores_draw(struct scores *s, uint64_t seed);
/* Heads from dimensions: both values and the score by their mean or median over a head.  (taker's
 * choose_attn_heads_by: "mean" takes the median there, and "median" the mean.) */
void scores_join(struct scores *heads, const struct scores *dims, enum score_heads how);
/* The score of `each` neighbours, which go together, is the mean of theirs: heads that share keys
 * and values.  n must be a multiple of it. */
void scores_share(struct scores *s, int64_t each);
/* cripple less focus, the score of SCORE_FROM_LOSS. */
void scores_difference(struct scores *s);

/* What SCORE_FROM_LOSS goes over a set with. */
struct score_work {
    const struct model *m;
    const struct pair_target *target; /* edits in force, and the sets that `with` names */
    const char *with;                 /* what is put there: "zero", "mean(REF)" */
    size_t cache_bytes;
    struct ranks *ranks; /* NULL, or those who share the work and have agreed (ranks.h) */
    /* From time to time, on rank 0: tokens of the set, and how far all ranks are.  May be NULL. Not
     * zero ends the work. */
    int (*rest)(void *user, const struct gather_news *news, struct err *e);
    void *user;
};
/* SCORE_attribution or SCORE_ablation of one set into out[n_layers, n] (s->focus or s->cripple).
 * Windows that overlap are refused: the loss is one of whole windows.  Of several ranks all call
 * it, a rank computes some of the windows or, of an ablation, of their cells; the result is rank
 * 0's. */
int score_loss(const struct scores *s, enum score_id id, double *out, struct texts *t,
               const struct score_work *w, struct err *e);

/* Ranks: all units, the greatest score first, of equal ones the first, NaN last; order[n_layers *
 * n]. */
int scores_rank(const struct scores *s, int64_t *order, struct err *e);

/* To a .safetensors file: `NAME` [n_layers, n], or of dims [n_layers, head, d_head], NAME of
 * score_unit_names, and NAME.focus, NAME.cripple beside it.  `meta` as of tensor_write. */
struct tensor_meta;
int scores_write(const struct scores *s, const char *path, const struct tensor_meta *meta,
                 size_t n_meta, struct err *e);

#endif
