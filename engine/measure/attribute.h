/* attribute.h - what each part of a run does to a metric, for the price of a few passes.
 *
 * A sweep reruns the model for each part; these estimates take one backward pass, or some:
 *
 *   grad    d metric / d value itself, of kinds that keep every axis: ∂metric/∂score of an edge
 *   atp     attribution patching (Nanda 2023, "Attribution Patching"): (put - value) · d metric /
 *           d value, summed over the axes that a kind does not keep.  To first order what the
 *           metric gains when `put` stands there instead of the value
 *   ig      integrated gradients (Sundararajan et al. 2017) of a layer's values: the gradient is a
 *           mean over points between value and put, the whole site of that layer moved together.
 *           What one layer's parts get adds up to what putting all of them does
 *   eap     edge attribution patching (Syed et al. 2023): (put - value) of what a sender adds to
 *           the stream · d metric / d what a receiver reads of it, summed over positions
 *   eap-ig  the same, the gradient a mean over points between the two runs' embeddings (Hanna et
 *           al. 2024)
 *   dla     direct logit attribution: what each part's own output in the stream adds to the
 *           metric's logits, the final norm held fixed; nothing is put anywhere, and it is exact
 *           for that path
 *
 * Values are changes of the metric (dla: shares of it).  One thread, the one that owns the runs.
 * Tested in tests/engine/test_attribute.c and tests/engine/test_attribute_align.c. */
#ifndef ATTRIBUTE_H
#define ATTRIBUTE_H

#include "measure/metric.h"
#include "measure/sweep_kind.h"
#include "run/pair.h"

enum attribute_method {
    ATTRIBUTE_GRAD,
    ATTRIBUTE_ATP,
    ATTRIBUTE_IG,
    ATTRIBUTE_EAP,
    ATTRIBUTE_EAP_IG,
    ATTRIBUTE_DLA,
    ATTRIBUTE_METHOD_COUNT
};
/* What dla tells apart. */
enum attribute_part {
    ATTRIBUTE_BY_LAYER,    /* embed, pos_embed, 0_attn_out, 0_mlp_out, ... as decompose_resid */
    ATTRIBUTE_BY_HEAD,     /* [layer, head]; what is no head's is the remainder */
    ATTRIBUTE_BY_HEAD_POS, /* [layer, head, src]: by the position whose value the head took */
    ATTRIBUTE_BY_NEURON,   /* [layer, neuron] of mlp.hook_post */
    ATTRIBUTE_BY_POS,      /* [pos]: what all heads took from there; what is no head's stands at the
                              position that answers */
    ATTRIBUTE_PART_COUNT
};

enum {
    ATTRIBUTE_LABEL_MAX = 32,
    ATTRIBUTE_RANK_MAX = 5,
    ATTRIBUTE_STEPS = 5,
    ATTRIBUTE_STEPS_MAX = 1000
};

struct attribute_options {
    enum attribute_method method;
    const struct sweep_kind *kind; /* grad, atp, ig */
    enum attribute_part part;      /* dla */
    const char *with;   /* what is put there, as the right side of an edit: "zero", "from(clean)",
                           "mean(REF)", "*= 0.5"; NULL = "zero" */
    int32_t steps;      /* ig, eap-ig: points; 0 = ATTRIBUTE_STEPS */
    size_t cache_bytes; /* for the run that `with` reads (run.h) */
};

struct attribute_axis {
    const char *name; /* "type", "layer", "pos", "head", "neuron", "dest", "src", "component",
                         "sender", "receiver" */
    int32_t size;
    bool position;                      /* it runs over positions of the prompt */
    char (*label)[ATTRIBUTE_LABEL_MAX]; /* [size], or NULL: numbers */
};

/* What an attribution finds.  Freed with attribution_free. */
struct attribution {
    int rank;
    struct attribute_axis axis[ATTRIBUTE_RANK_MAX];
    float *values; /* in the order of the axes */
    bool *there;   /* the same, or NULL: all are; false: no such edge, position or hook (value 0) */
    double metric; /* of the run; dla: before a cap of the logits */
    double constant; /* dla: what the final norm's bias and b_U give */
    double sum;      /* of all values */
};

const char *attribute_method_name(enum attribute_method m);
int attribute_method_parse(const char *name, enum attribute_method *out, struct err *e);
/* One line: what its values are an estimate of. */
const char *attribute_method_meaning(enum attribute_method m);
const char *attribute_part_name(enum attribute_part p); /* "layer", "head", ... */
int attribute_part_parse(const char *name, enum attribute_part *out, struct err *e);

/* Attribute metric m on the edited run of a pair (the base where there are no edits), which has
 * been brought to t; t's prompts and sets are what `with` can name.  Positions of a prompt of
 * another length are paired as t->align says; nothing is put at those without one.  ig and eap-ig
 * move the pair and bring it back.  Refused, in one line: kinds that the model does not have,
 * prompts of other lengths with TOKEN_ALIGN_INDEX, metrics that dla cannot take apart, streams that
 * are no sum (stack_check). */
int attribute(struct attribution *out, struct pair *p, const struct pair_target *t,
              const struct metric *m, const struct attribute_options *o, struct err *e);
/* dla alone, of a run on its own. */
int attribute_direct(struct attribution *out, struct run *r, const struct metric *m,
                     enum attribute_part part, struct err *e);
/* Components before those of the layers, by_layer: embed, or embed and pos_embed.  Then attention
 * and MLP of each layer take turns. */
int32_t attribute_embeds(const struct config *cfg);
/* z · d metric / d z of every head, all positions together: what attribution patching says that the
 * head gives, in one backward pass.  out[n_layers * n_heads]; base: what kl compares with. */
int attribute_heads(struct run *r, struct run *base, const struct metric *m, float *out,
                    struct err *e);
void attribution_free(struct attribution *a);
int64_t attribution_count(const struct attribution *a);
/* dla: the metric less constant and sum: what is none of the parts'. */
double attribution_remainder(const struct attribution *a);

/* Pearson's and Spearman's correlation of n values, where `there` (NULL: everywhere); NaN where
 * one of them has a single value. */
int attribute_correlation(const float *a, const float *b, const bool *there, int64_t n,
                          double *pearson, double *spearman, struct err *e);

#endif
