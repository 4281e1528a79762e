/* prune.h - units that are taken away: which, as edits, as taker's masks.
 *
 * Neurons of mlp.hook_post and elements of attn.hook_z; heads are all their elements.  Nothing is
 * done to weights here (checkpoint_prune.h).  Tested in tests/engine/test_prune.c against taker. */
#ifndef PRUNE_H
#define PRUNE_H

#include "lab/score.h"

enum prune_part { PRUNE_NEURONS, PRUNE_DIMS, PRUNE_PARTS };
extern const enum site_id prune_sites[PRUNE_PARTS]; /* where they lie */

/* Zero-initialised: of no model. */
struct pruned {
    int32_t n_layers;
    struct pruned_part {
        int64_t n;     /* of a layer */
        int32_t group; /* elements that are chosen as heads: d_head; of neurons 1 */
        bool *gone;    /* [n_layers, n]; NULL: the model has no such units */
        bool *there;   /* [n_layers]: the layer has such units */
        int64_t count; /* that are gone */
    } part[PRUNE_PARTS];
};
int pruned_init(struct pruned *p, const struct config *cfg, struct err *e);
void pruned_free(struct pruned *p);
void pruned_clear(struct pruned *p);
/* Those gone of a layer. */
int64_t pruned_in(const struct pruned_part *p, int32_t layer);

/* What one choice took. */
struct prune_choice {
    enum score_unit unit;
    int64_t units;    /* of that kind, which were all there */
    double threshold; /* the least score among them */
};
/* Take away the units of the greatest scores, of equal ones the first: share * how many the model
 * (per_layer: each layer) has, rounded down as taker's get_top_frac does, among those that are
 * still there.  `each`: that many neighbours go together (scores_share), else 1.  ERR_BAD_INPUT
 * where that is none. */
int prune_choose(struct pruned *p, const struct scores *s, double share, bool per_layer,
                 int64_t each, struct prune_choice *out, struct err *e);

/* Edits that put `value` ("0", "mean(REF)") there, a few for each layer: *texts is malloc'ed, as
 * each of its *n is.  Freed with prune_edits_free.  ERR_BAD_INPUT where they are more than a run
 * takes. */
int prune_edits(const struct pruned *p, const char *value, char ***texts, int32_t *n,
                struct err *e);
void prune_edits_free(char **texts, int32_t n);

/* Masks of a model's layers as parameters of taker's, "mask.layer_L_mlp_pre_out.param" and
 * ".offset" (edit/taker.h), fn "step" or "sigmoid", to a .safetensors file. */
struct prune_masks {
    const float *param[PRUNE_PARTS];  /* [n_layers, n]; NULL: none of this part */
    const float *offset[PRUNE_PARTS]; /* NULL: zeros */
};
int prune_masks_write(const struct pruned *p, const struct prune_masks *masks, const char *fn,
                      const char *path, struct err *e);
/* The same of what is gone: param 1, and 0 of what is; `put` as offset, what is put there. */
int prune_write(const struct pruned *p, const float *const put[PRUNE_PARTS], const char *path,
                struct err *e);
/* The name of a layer's mask there: "mask.layer_3_mlp_pre_out"; returns buf. */
char *prune_mask_name(enum prune_part k, int32_t layer, char buf[64]);

#endif
