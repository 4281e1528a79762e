/* analysis.c - residual stacks and direct logit attribution (see analysis.h).
 * Formulas: TransformerLens 3.5.1, ActivationCache.py. */
#include "analysis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[STACK_KIND_COUNT] = {
    "accumulated_resid", "decompose_resid", "stack_head_results", "stack_neuron_results", "get_full_resid_decomposition",
};

const char *stack_kind_name(enum stack_kind k)
{
    return kind_names[k];
}

int stack_kind_parse(const char *name, enum stack_kind *out, struct err *e)
{
    for (int i = 0; i < STACK_KIND_COUNT; i++)
        if (!strcmp(name, kind_names[i])) {
            *out = (enum stack_kind)i;
            return 0;
        }
    return err_set(e, ERR_USAGE, "no stack \"%s\" · accumulated_resid, decompose_resid, stack_head_results, stack_neuron_results or "
                   "get_full_resid_decomposition", name);
}

void stack_free(struct stack *s)
{
    free(s->label);
    free(s->values);
    *s = (struct stack){ 0 };
}

/* A stack while it is filled. */
struct builder {
    struct stack s;
    struct run *r;
    int32_t row0;
    struct err *e;
};

/* Room for the next component.  `#` in its label stands for l, the second one for i. */
static float *next(struct builder *b, const char *label, int32_t l, int32_t i)
{
    char *to = b->s.label[b->s.n];
    size_t n = 0;
    for (int32_t number = l; *label; label++) {
        n += (size_t)(*label == '#' ? snprintf(to + n, STACK_LABEL_MAX - n, "%d", number) : snprintf(to + n, STACK_LABEL_MAX - n, "%c", *label));
        number = *label == '#' ? i : number;
    }
    return b->s.values + (size_t)b->s.n++ * (size_t)b->s.rows * (size_t)b->s.d_model;
}

/* A component that is one site as it is; `#` in the label is the layer. */
static int add_site(struct builder *b, enum site_id id, int32_t layer, const char *label)
{
    return run_read(b->r, (struct site_ref){ id, layer }, b->row0, b->row0 + b->s.rows, next(b, label, layer, 0), NULL, b->e);
}

/* All heads of a layer, from hook_result. */
static int add_heads(struct builder *b, int32_t layer)
{
    int32_t heads = run_model(b->r)->cfg.n_heads;
    size_t d = (size_t)b->s.d_model, rows = (size_t)b->s.rows;
    float *all = malloc(rows * (size_t)heads * d * sizeof *all);
    if (!all)
        return err_set(b->e, ERR_SYSTEM, "out of memory · head results");
    int rc = run_read(b->r, (struct site_ref){ SITE_RESULT, layer }, b->row0, b->row0 + b->s.rows, all, NULL, b->e);
    for (int32_t h = 0; !rc && h < heads; h++) {
        float *to = next(b, "L#H#", layer, h);
        for (size_t i = 0; i < rows; i++)
            memcpy(to + i * d, all + (i * (size_t)heads + (size_t)h) * d, d * sizeof *to);
    }
    free(all);
    return rc;
}

/* All neurons of a layer: post[n] * W_out[n, :]. */
static int add_neurons(struct builder *b, int32_t layer)
{
    const struct model *m = run_model(b->r);
    const struct kn_view *w = run_weight(b->r, layer, W_OUT);
    size_t n = (size_t)m->cfg.d_mlp, d = (size_t)b->s.d_model, rows = (size_t)b->s.rows;
    float *post = malloc(rows * n * sizeof *post);
    if (!post)
        return err_set(b->e, ERR_SYSTEM, "out of memory · neuron results");
    int rc = run_read(b->r, (struct site_ref){ SITE_POST, layer }, b->row0, b->row0 + b->s.rows, post, NULL, b->e);
    for (size_t k = 0; !rc && k < n; k++) {
        float *to = next(b, "L#N#", layer, (int32_t)k);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < d; j++)
                to[i * d + j] = post[i * n + k] * kn_load(w->dtype, w->data, (int64_t)j * w->stride[0] + (int64_t)k * w->stride[1]);
    }
    free(post);
    return rc;
}

/* What is left of the last residual stream after everything so far. */
static int add_remainder(struct builder *b)
{
    size_t count = (size_t)b->s.rows * (size_t)b->s.d_model;
    int32_t n = b->s.n;
    float *to = next(b, "remainder", 0, 0);
    int rc = run_read(b->r, (struct site_ref){ SITE_RESID_POST, run_model(b->r)->cfg.n_layers - 1 }, b->row0, b->row0 + b->s.rows, to, NULL, b->e);
    for (size_t k = 0; !rc && k < count; k++) {
        double sum = 0;
        for (int32_t i = 0; i < n; i++)
            sum += (double)b->s.values[(size_t)i * count + k];
        to[k] = (float)((double)to[k] - sum);
    }
    return rc;
}

/* The attention biases of all layers together; MLP biases are in their outputs. */
static void add_bias(struct builder *b)
{
    const struct model *m = run_model(b->r);
    size_t d = (size_t)b->s.d_model;
    float *to = next(b, "bias", 0, 0);
    for (size_t j = 0; j < d; j++) {
        double sum = 0;
        for (int32_t l = 0; l < m->cfg.n_layers; l++) {
            const struct kn_view *bo = run_weight(b->r, l, B_O);
            sum += bo->ndim ? (double)kn_load(bo->dtype, bo->data, (int64_t)j) : 0;
        }
        for (size_t i = 0; i < (size_t)b->s.rows; i++)
            to[i * d + j] = (float)sum;
    }
}

static int add_embeddings(struct builder *b)
{
    int rc = add_site(b, SITE_EMBED, SITE_ROOT, "embed");
    if (!rc && run_model(b->r)->cfg.pos == POS_LEARNED)
        rc = add_site(b, SITE_POS_EMBED, SITE_ROOT, "pos_embed");
    return rc;
}

static int fill(struct builder *b, enum stack_kind kind, int32_t layer)
{
    int32_t n_layers = run_model(b->r)->cfg.n_layers;
    int rc = kind == STACK_DECOMPOSED ? add_embeddings(b) : 0;
    for (int32_t l = 0; !rc && l < n_layers; l++) {
        if (kind == STACK_ACCUMULATED)
            rc = add_site(b, SITE_RESID_PRE, l, "#_pre");
        if (kind == STACK_DECOMPOSED && !(rc = add_site(b, SITE_ATTN_OUT, l, "#_attn_out")))
            rc = add_site(b, SITE_MLP_OUT, l, "#_mlp_out");
        if (kind == STACK_HEADS || kind == STACK_FULL)
            rc = add_heads(b, l);
        if (kind == STACK_NEURONS && (layer < 0 || layer == l))
            rc = add_neurons(b, l);
    }
    for (int32_t l = 0; !rc && kind == STACK_FULL && l < n_layers; l++)
        rc = add_site(b, SITE_MLP_OUT, l, "#_mlp_out");
    if (!rc && kind == STACK_ACCUMULATED)
        rc = add_site(b, SITE_RESID_POST, n_layers - 1, "final_post");
    if (!rc && (kind == STACK_HEADS || kind == STACK_NEURONS))
        rc = add_remainder(b);
    if (!rc && kind == STACK_FULL && !(rc = add_embeddings(b)))
        add_bias(b);
    return rc;
}

int stack_make(struct stack *out, struct run *r, enum stack_kind kind, int32_t layer, int32_t row0, int32_t row1, struct err *e)
{
    const struct config *c = &run_model(r)->cfg;
    if (row0 < 0 || row0 >= row1 || row1 > run_length(r) || layer >= c->n_layers)
        return err_set(e, ERR_BAD_INPUT, "%s · rows %d..%d, layer %d · the prompt has 0..%d, the model 0..%d", kind_names[kind], row0,
                       row1 - 1, layer, run_length(r) - 1, c->n_layers - 1);
    int64_t layers = kind == STACK_NEURONS && layer >= 0 ? 1 : c->n_layers;
    int64_t each = kind == STACK_NEURONS ? c->d_mlp : kind == STACK_HEADS || kind == STACK_FULL ? c->n_heads + 1 : 2;
    int64_t n = 3 + layers * each;
    struct builder b = { .s = { .rows = row1 - row0, .d_model = c->d_model }, .r = r, .row0 = row0, .e = e };
    int64_t bytes = n * (row1 - row0) * c->d_model * (int64_t)sizeof(float);
    if (bytes > LIMIT_STACK_BYTES)
        return err_set(e, ERR_BAD_INPUT, "%s · %lld vectors take %.1f GB, at most %.1f · name one layer or fewer positions", kind_names[kind],
                       (long long)(n * (row1 - row0)), (double)bytes * 1e-9, LIMIT_STACK_BYTES * 1e-9);
    b.s.label = calloc((size_t)n, sizeof *b.s.label);
    b.s.values = malloc((size_t)bytes);
    int rc = b.s.label && b.s.values ? fill(&b, kind, layer) : err_set(e, ERR_SYSTEM, "out of memory · %s", kind_names[kind]);
    if (rc)
        stack_free(&b.s);
    else
        *out = b.s;
    return rc;
}

/* w_lnf * (W_U[:, a] - W_U[:, b]), and what the norm's bias and b_U add. */
static double direction(const struct run *r, int32_t a, int32_t b, double *dir)
{
    const struct model *m = run_model(r);
    const struct kn_view *u = run_weight(r, 0, W_U), *w = run_weight(r, 0, W_LNF), *shift = run_weight(r, 0, B_LNF),
                         *bu = run_weight(r, 0, B_U);
    double constant = 0;
    for (int64_t j = 0; j < m->cfg.d_model; j++) {
        double d = (double)kn_load(u->dtype, u->data, a * u->stride[0] + j * u->stride[1]);
        if (b >= 0)
            d -= (double)kn_load(u->dtype, u->data, b * u->stride[0] + j * u->stride[1]);
        constant += shift->ndim ? d * (double)kn_load(shift->dtype, shift->data, j) : 0;
        dir[j] = d * (double)kn_load(w->dtype, w->data, j);
    }
    if (bu->ndim)
        constant += (double)kn_load(bu->dtype, bu->data, a) - (b >= 0 ? (double)kn_load(bu->dtype, bu->data, b) : 0);
    return constant;
}

int stack_logit_attrs(const struct stack *s, struct run *r, int32_t row0, int32_t a, int32_t b, float *out, double *constant, struct err *e)
{
    const struct model *m = run_model(r);
    size_t d = (size_t)s->d_model, rows = (size_t)s->rows;
    float *scale = malloc(rows * sizeof *scale);
    double *dir = malloc(d * sizeof *dir);
    int rc = scale && dir ? 0 : err_set(e, ERR_SYSTEM, "out of memory · logit_attrs");
    if (!rc)
        rc = run_read(r, (struct site_ref){ SITE_LNF_SCALE, SITE_ROOT }, row0, row0 + s->rows, scale, NULL, e);
    if (!rc)
        *constant = direction(r, a, b, dir);
    for (size_t i = 0; !rc && i < (size_t)s->n * rows; i++) {
        const float *x = s->values + i * d;
        double mean = 0, dot = 0;
        for (size_t j = 0; j < d && m->cfg.norm_center; j++)
            mean += (double)x[j] / (double)d;
        for (size_t j = 0; j < d; j++)
            dot += ((double)x[j] - mean) * dir[j];
        out[i] = (float)(dot / (double)scale[i % rows]);
    }
    free(scale);
    free(dir);
    return rc;
}
