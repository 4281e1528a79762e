/* analysis.c - residual stacks and direct logit attribution (see analysis.h).
 * Formulas: TransformerLens 3.5.1, ActivationCache.py. */
#include "measure/analysis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[STACK_KIND_COUNT] = {
    "accumulated_resid",
    "decompose_resid",
    "stack_head_results",
    "stack_neuron_results",
    "get_full_resid_decomposition",
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
    return err_set(
        e, ERR_USAGE,
        "no stack \"%s\" · accumulated_resid, decompose_resid, stack_head_results, stack_neuron_results or "
        "get_full_resid_decomposition",
        name);
}

/* Each flag, its word, the kinds that have it as bits. */
enum {
    ALL_KINDS = (1 << STACK_KIND_COUNT) - 1,
    OF_HEADS = 1 << STACK_HEADS,
    OF_NEURONS = 1 << STACK_NEURONS,
    OF_FULL = 1 << STACK_FULL,
    OF_ACCUMULATED = 1 << STACK_ACCUMULATED,
    OF_DECOMPOSED = 1 << STACK_DECOMPOSED
};
static const struct {
    const char *word;
    enum stack_flag flag;
    int kinds;
} flag_words[] = {
    {"mlp_input", STACK_MLP_INPUT, OF_ACCUMULATED | OF_DECOMPOSED | OF_FULL},
    {"incl_mid", STACK_INCL_MID, OF_ACCUMULATED},
    {"apply_ln", STACK_APPLY_LN, ALL_KINDS},
    {"expand_neurons", STACK_EXPAND_NEURONS, OF_FULL},
    {"no_embeds", STACK_NO_EMBEDS, OF_DECOMPOSED},
    {"no_attn", STACK_NO_ATTN, OF_DECOMPOSED},
    {"no_mlp", STACK_NO_MLP, OF_DECOMPOSED},
    {"no_remainder", STACK_NO_REMAINDER, OF_HEADS | OF_NEURONS},
    {"one_layer", STACK_ONE_LAYER, OF_NEURONS},
};
enum { FLAG_WORDS = sizeof flag_words / sizeof *flag_words, FLAG_TEXT = 160 };

/* The words that any of these kinds has. */
static const char *flag_list(int kinds, char list[FLAG_TEXT])
{
    size_t n = 0;
    for (int i = 0; i < FLAG_WORDS; i++)
        if (flag_words[i].kinds & kinds)
            n += (size_t)snprintf(list + n, FLAG_TEXT - n, "%s%s", n ? ", " : "",
                                  flag_words[i].word);
    return list;
}

int stack_flags_parse(const char *text, unsigned *flags, struct err *e)
{
    unsigned all = 0;
    char words[FLAG_TEXT];
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        int i = 0;
        while (i < FLAG_WORDS &&
               (strlen(flag_words[i].word) != len || strncmp(flag_words[i].word, at, len) != 0))
            i++;
        if (i == FLAG_WORDS)
            return err_set(e, ERR_USAGE, "no \"%.*s\" · %s", (int)(len < 40 ? len : 40), at,
                           flag_list(ALL_KINDS, words));
        all |= flag_words[i].flag;
        at += len;
        if (!*at)
            break;
    }
    *flags = all;
    return 0;
}

void stack_free(struct stack *s)
{
    free(s->label);
    free(s->values);
    *s = (struct stack){0};
}

/* A stack while it is filled. */
struct builder {
    struct stack s;
    struct run *r;
    struct stack_options o; /* layer: 0..n_layers */
    const int32_t *rows;    /* [s.rows] */
    struct err *e;
};

/* The site's values at the given rows, [row, ...]; rows that follow each other are read at once. */
static int read_rows(struct run *r, struct site_ref s, const int32_t *rows, int32_t n, float *dst,
                     struct err *e)
{
    int rc = 0;
    int64_t count;
    for (int32_t i = 0, k; !rc && i < n; i = k) {
        for (k = i + 1; k < n && rows[k] == rows[k - 1] + 1;)
            k++;
        if (!(rc = run_read(r, s, rows[i], rows[k - 1] + 1, dst, &count, e)))
            dst += count;
    }
    return rc;
}

static int read_site(const struct builder *b, enum site_id id, int32_t layer, float *dst)
{
    return read_rows(b->r, (struct site_ref){id, layer}, b->rows, b->s.rows, dst, b->e);
}

static bool has(const struct builder *b, enum stack_flag f)
{
    return b->o.flags & f;
}

/* Room for the next component.  `#` in its label stands for l, the second one for i. */
static float *next(struct builder *b, const char *label, int32_t l, int32_t i)
{
    char *to = b->s.label[b->s.n];
    size_t n = 0;
    for (int32_t number = l; *label; label++) {
        n += (size_t)(*label == '#' ? snprintf(to + n, STACK_LABEL_MAX - n, "%d", number)
                                    : snprintf(to + n, STACK_LABEL_MAX - n, "%c", *label));
        number = *label == '#' ? i : number;
    }
    return b->s.values + (size_t)b->s.n++ * (size_t)b->s.rows * (size_t)b->s.d_model;
}

/* Room for n components whose second number counts them. */
static float *next_each(struct builder *b, const char *label, int32_t l, int32_t n)
{
    float *first = next(b, label, l, 0);
    for (int32_t i = 1; i < n; i++)
        next(b, label, l, i);
    return first;
}

/* A component that is one site as it is; `#` in the label is the layer. */
static int add_site(struct builder *b, enum site_id id, int32_t layer, const char *label)
{
    return read_site(b, id, layer, next(b, label, layer, 0));
}

/* A vector of a layer as the model uses it; zeros where the model has none. */
static void vector_read(const struct run *r, int32_t layer, enum weight_id w, float *out)
{
    const struct config *cfg = &run_model(r)->cfg;
    const struct kn_view *v = run_weight(r, layer, w);
    int64_t n = weight_n(cfg, w);
    if (v->ndim)
        kn_decode_rows(v, 0, n, out);
    else
        memset(out, 0, (size_t)n * sizeof *out);
    struct weight_form f = weight_form(cfg, w);
    for (int64_t i = 0; i < n; i++)
        out[i] = out[i] * f.factor + f.offset;
}

int stack_as_added(struct run *r, int32_t layer, bool mlp, const int32_t *at, int32_t n_at,
                   float *x, int32_t n, struct err *e)
{
    const struct config *cfg = &run_model(r)->cfg;
    bool both = cfg->norm_place == NORM_BOTH;
    size_t d = (size_t)cfg->d_model, rows = (size_t)n_at;
    if (!both && cfg->norm_place != NORM_AFTER)
        return 0;
    enum site_id site = both  ? mlp ? SITE_LN2_POST_SCALE : SITE_LN1_POST_SCALE
                        : mlp ? SITE_LN2_SCALE
                              : SITE_LN1_SCALE;
    float *scale = malloc((rows + d) * sizeof *scale), *w = scale + rows;
    if (!scale)
        return err_memory(e, "a norm's scale");
    int rc = read_rows(r, (struct site_ref){site, layer}, at, n_at, scale, e);
    vector_read(r, layer, both ? mlp ? W_LN2_POST : W_LN1_POST : mlp ? W_LN2 : W_LN1, w);
    for (size_t i = 0; !rc && i < (size_t)n * rows; i++)
        for (size_t j = 0; j < d; j++)
            x[i * d + j] = (float)((double)x[i * d + j] * (double)w[j] / (double)scale[i % rows]);
    free(scale);
    return rc;
}

static int as_added(struct builder *b, int32_t layer, bool mlp, float *x, int32_t n)
{
    return stack_as_added(b->r, layer, mlp, b->rows, b->s.rows, x, n, b->e);
}

/* All heads of a layer, from hook_result. */
static int add_heads(struct builder *b, int32_t layer)
{
    int32_t heads = run_model(b->r)->cfg.n_heads;
    float *all = malloc((size_t)(b->s.rows * heads) * (size_t)b->s.d_model * sizeof *all);
    if (!all)
        return err_memory(b->e, "head results");
    int rc = read_site(b, SITE_RESULT, layer, all);
    if (!rc) {
        struct kn_view by_head = kn_swap(kn_view3(all, KN_F32, b->s.rows, heads, b->s.d_model), 0,
                                         1);
        float *to = next_each(b, "L#H#", layer, heads);
        kn_pack(&by_head, to);
        rc = as_added(b, layer, false, to, heads);
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
    float *post = malloc((rows + 1) * n * sizeof *post), *out = post ? post + rows * n : NULL;
    if (!post)
        return err_memory(b->e, "neuron results");
    int rc = read_site(b, SITE_POST, layer, post);
    float *to = rc ? NULL : next_each(b, "L#N#", layer, m->cfg.d_mlp);
    for (size_t j = 0; !rc && j < d; j++) {
        kn_decode_rows(w, (int64_t)j, 1, out);
        for (size_t i = 0; i < rows; i++)
            for (size_t k = 0; k < n; k++)
                to[(k * rows + i) * d + j] = post[i * n + k] * out[k];
    }
    free(post);
    return rc ? rc : as_added(b, layer, true, to, m->cfg.d_mlp);
}

/* The stream that is taken apart. */
static struct site_ref stream_site(const struct builder *b)
{
    int32_t n_layers = run_model(b->r)->cfg.n_layers;
    if (b->o.layer == n_layers)
        return (struct site_ref){SITE_RESID_POST, n_layers - 1};
    return (struct site_ref){has(b, STACK_MLP_INPUT) ? SITE_RESID_MID : SITE_RESID_PRE, b->o.layer};
}

/* What is left of the stream after everything so far. */
static int add_remainder(struct builder *b)
{
    size_t count = (size_t)b->s.rows * (size_t)b->s.d_model;
    int32_t n = b->s.n;
    float *to = next(b, "remainder", 0, 0);
    struct site_ref stream = stream_site(b);
    int rc = read_site(b, stream.id, stream.layer, to);
    for (size_t k = 0; !rc && k < count; k++) {
        double sum = 0;
        for (int32_t i = 0; i < n; i++)
            sum += (double)b->s.values[(size_t)i * count + k];
        to[k] = (float)((double)to[k] - sum);
    }
    return rc;
}

/* A bias of the layers [0, n) as it is added at every row; the sum goes to `to`, scratch has room
 * for as much. */
static int bias_sum(struct builder *b, bool mlp, int32_t n, float *scratch, double *to)
{
    size_t d = (size_t)b->s.d_model, rows = (size_t)b->s.rows;
    int rc = 0;
    for (int32_t l = 0; !rc && l < n; l++) {
        vector_read(b->r, l, mlp ? B_OUT : B_O, scratch);
        for (size_t i = 1; i < rows; i++)
            memcpy(scratch + i * d, scratch, d * sizeof *scratch);
        rc = as_added(b, l, mlp, scratch, 1);
        for (size_t i = 0; i < rows * d; i++)
            to[i] += (double)scratch[i];
    }
    return rc;
}

/* The attention biases of all layers together; MLP biases are in their outputs, unless these are
 * taken apart. */
static int add_bias(struct builder *b)
{
    size_t count = (size_t)b->s.d_model * (size_t)b->s.rows;
    double *sum = calloc(count, sizeof *sum);
    float *to = next(b, "bias", 0, 0);
    if (!sum)
        return err_memory(b->e, "a bias");
    int rc = bias_sum(b, false, b->o.layer + has(b, STACK_MLP_INPUT), to, sum);
    if (!rc && has(b, STACK_EXPAND_NEURONS))
        rc = bias_sum(b, true, b->o.layer, to, sum);
    for (size_t i = 0; i < count; i++)
        to[i] = (float)sum[i];
    free(sum);
    return rc;
}

static int add_embeddings(struct builder *b)
{
    int rc = add_site(b, SITE_EMBED, SITE_ROOT, "embed");
    if (!rc && run_model(b->r)->cfg.pos == POS_LEARNED)
        rc = add_site(b, SITE_POS_EMBED, SITE_ROOT, "pos_embed");
    return rc;
}

static int fill_accumulated(struct builder *b)
{
    int32_t n_layers = run_model(b->r)->cfg.n_layers;
    int rc = 0;
    for (int32_t l = 0; !rc && l <= b->o.layer && l < n_layers; l++) {
        rc = add_site(b, SITE_RESID_PRE, l, "#_pre");
        if (!rc && ((has(b, STACK_INCL_MID) && l < b->o.layer) ||
                    (has(b, STACK_MLP_INPUT) && l == b->o.layer)))
            rc = add_site(b, SITE_RESID_MID, l, "#_mid");
    }
    return rc || b->o.layer < n_layers ? rc
                                       : add_site(b, SITE_RESID_POST, n_layers - 1, "final_post");
}

static int fill_decomposed(struct builder *b)
{
    int rc = has(b, STACK_NO_EMBEDS) ? 0 : add_embeddings(b);
    for (int32_t l = 0; !rc && l < b->o.layer + has(b, STACK_MLP_INPUT); l++) {
        if (!has(b, STACK_NO_ATTN))
            rc = add_site(b, site_attn_added(&run_model(b->r)->cfg), l, "#_attn_out");
        if (!rc && !has(b, STACK_NO_MLP) && l < b->o.layer)
            rc = add_site(b, site_mlp_added(&run_model(b->r)->cfg), l, "#_mlp_out");
    }
    return rc;
}

/* Heads, neurons, or both with the rest. */
static int fill_parts(struct builder *b)
{
    bool full = b->o.kind == STACK_FULL,
         neurons = b->o.kind == STACK_NEURONS || has(b, STACK_EXPAND_NEURONS);
    int rc = 0;
    for (int32_t l = 0;
         !rc && b->o.kind != STACK_NEURONS && l < b->o.layer + has(b, STACK_MLP_INPUT); l++)
        rc = add_heads(b, l);
    for (int32_t l = has(b, STACK_ONE_LAYER) ? b->o.layer - 1 : 0; !rc && neurons && l < b->o.layer;
         l++)
        rc = add_neurons(b, l);
    for (int32_t l = 0; !rc && full && !neurons && l < b->o.layer; l++)
        rc = add_site(b, site_mlp_added(&run_model(b->r)->cfg), l, "#_mlp_out");
    if (!rc && !full && !has(b, STACK_NO_REMAINDER))
        rc = add_remainder(b);
    if (!rc && full && !(rc = add_embeddings(b)))
        rc = add_bias(b);
    return rc;
}

static double mean_of(const float *x, size_t d)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += (double)x[j];
    return sum / (double)d;
}

/* Each component through the norm that reads the stream, its scale held at the run's own. */
static int apply_norm(struct builder *b)
{
    const struct config *cfg = &run_model(b->r)->cfg;
    size_t d = (size_t)b->s.d_model, rows = (size_t)b->s.rows;
    bool last = b->o.layer == cfg->n_layers;
    struct site_ref at = {last                      ? SITE_LNF_SCALE
                          : has(b, STACK_MLP_INPUT) ? SITE_LN2_SCALE
                                                    : SITE_LN1_SCALE,
                          last ? SITE_ROOT : b->o.layer};
    float *scale = malloc(rows * sizeof *scale);
    if (!scale)
        return err_memory(b->e, "a norm's scale");
    int rc = read_site(b, at.id, at.layer, scale);
    for (size_t i = 0; !rc && i < (size_t)b->s.n * rows; i++) {
        float *x = b->s.values + i * d;
        double mean = cfg->norm_center ? mean_of(x, d) : 0;
        for (size_t j = 0; j < d; j++)
            x[j] = (float)(((double)x[j] - mean) / (double)scale[i % rows]);
    }
    free(scale);
    return rc;
}

static int fill(struct builder *b)
{
    int rc = b->o.kind == STACK_ACCUMULATED  ? fill_accumulated(b)
             : b->o.kind == STACK_DECOMPOSED ? fill_decomposed(b)
                                             : fill_parts(b);
    if (rc || !has(b, STACK_APPLY_LN))
        return rc;
    if (b->o.kind != STACK_ACCUMULATED || b->o.layer < run_model(b->r)->cfg.n_layers)
        return apply_norm(b);
    /* each component as if it were the stream: the logit lens */
    return run_final_norm(b->r, b->s.values, b->s.n * (int64_t)b->s.rows, b->e);
}

static int check_where(const struct run *r, const struct stack_options *o, const int32_t *rows,
                       int32_t n, struct err *e)
{
    int32_t layers = run_model(r)->cfg.n_layers;
    bool fits = n > 0 && o->layer >= -1 && o->layer <= layers;
    for (int32_t i = 0; fits && i < n; i++)
        fits = rows[i] >= 0 && rows[i] < run_length(r);
    if (fits)
        return 0;
    return err_set(
        e, ERR_BAD_INPUT,
        "%s · rows %d..%d, layer %d · the prompt has 0..%d, layers go to %d (the stream that leaves the last)",
        kind_names[o->kind], n > 0 ? rows[0] : 0, n > 0 ? rows[n - 1] : -1, o->layer,
        run_length(r) - 1, layers);
}

int stack_check(const struct config *c, const char *what, struct err *e)
{
    if (c->norm_place != NORM_RESIDUAL)
        return 0;
    return err_set(e, ERR_BAD_INPUT,
                   "%s · the stream is normalized after every branch here: it is no sum of what "
                   "layers give · read hook_attn_out, hook_mlp_out and the norms",
                   what);
}

static int check(const struct run *r, const struct stack_options *o, struct err *e)
{
    const struct config *c = &run_model(r)->cfg;
    const char *kind = kind_names[o->kind];
    char words[FLAG_TEXT];
    int rc = stack_check(c, kind, e);
    if (rc)
        return rc;
    for (int i = 0; i < FLAG_WORDS; i++)
        if (o->flags & flag_words[i].flag && !(flag_words[i].kinds >> o->kind & 1))
            return err_set(e, ERR_BAD_INPUT, "%s has no %s · it has %s", kind, flag_words[i].word,
                           flag_list(1 << o->kind, words));
    if (o->flags & (STACK_MLP_INPUT | STACK_INCL_MID) && c->parallel)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · mlp_input and incl_mid · attention and MLP are parallel here: both read resid_pre",
            kind);
    if (o->flags & STACK_MLP_INPUT && (o->layer < 0 || o->layer == c->n_layers))
        return err_set(e, ERR_BAD_INPUT, "%s · mlp_input is of a layer 0..%d · name it", kind,
                       c->n_layers - 1);
    if (o->flags & STACK_NO_ATTN && o->flags & STACK_NO_MLP)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · no_attn and no_mlp leave no layer's output · one of them", kind);
    if (o->flags & STACK_ONE_LAYER && o->layer == 0)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · one_layer · no layer is before layer 0 · layers 1..%d", kind,
                       c->n_layers);
    return 0;
}

/* At most so many components. */
static int64_t count_most(const struct config *c, const struct stack_options *o)
{
    bool neurons = o->kind == STACK_NEURONS || o->flags & STACK_EXPAND_NEURONS,
         heads = o->kind == STACK_HEADS || o->kind == STACK_FULL;
    int64_t layers = o->flags & STACK_ONE_LAYER ? 1 : o->layer + 1;
    return 4 + layers * (2 + (neurons ? c->d_mlp : 0) + (heads ? c->n_heads : 0));
}

int stack_make(struct stack *out, struct run *r, const struct stack_options *o, const int32_t *rows,
               int32_t n_rows, struct err *e)
{
    const struct config *c = &run_model(r)->cfg;
    struct builder b = {
        .s = {.rows = n_rows, .d_model = c->d_model}, .r = r, .o = *o, .rows = rows, .e = e};
    const char *kind = kind_names[o->kind];
    int rc = check_where(r, o, rows, n_rows, e);
    if (rc || (rc = check(r, o, e)))
        return rc;
    b.o.layer = o->layer < 0 ? c->n_layers : o->layer;
    int64_t n = count_most(c, &b.o), bytes = n * n_rows * c->d_model * (int64_t)sizeof(float);
    if (bytes > LIMIT_STACK_BYTES)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · %lld vectors take %.1f GB, at most %.1f · fewer layers or positions, or one_layer",
            kind, (long long)(n * n_rows), (double)bytes * 1e-9, LIMIT_STACK_BYTES * 1e-9);
    b.s.label = calloc((size_t)n, sizeof *b.s.label);
    b.s.values = malloc((size_t)bytes);
    rc = b.s.label && b.s.values ? fill(&b) : err_memory(e, "%s", kind);
    if (rc)
        stack_free(&b.s);
    else
        *out = b.s;
    return rc;
}

int stack_direction(const struct run *r, int32_t a, int32_t b, double *dir, double *constant,
                    struct err *e)
{
    const struct kn_view *u = run_weight(r, 0, W_U), *bu = run_weight(r, 0, B_U);
    int64_t d = run_model(r)->cfg.d_model;
    float *plus = calloc((size_t)(4 * d), sizeof *plus), bias[2] = {0};
    if (!plus)
        return err_memory(e, "logit_attrs");
    float *minus = plus + d, *w = plus + 2 * d, *shift = plus + 3 * d;
    kn_decode_rows(u, a, 1, plus);
    if (b >= 0)
        kn_decode_rows(u, b, 1, minus);
    vector_read(r, 0, W_LNF, w);
    vector_read(r, 0, B_LNF, shift);
    double sum = 0;
    for (int64_t j = 0; j < d; j++) {
        double x = (double)plus[j] - (double)minus[j];
        sum += x * (double)shift[j];
        dir[j] = x * (double)w[j];
    }
    if (bu->ndim)
        kn_decode_rows(bu, a, 1, &bias[0]);
    if (bu->ndim && b >= 0)
        kn_decode_rows(bu, b, 1, &bias[1]);
    *constant = sum + ((double)bias[0] - (double)bias[1]);
    free(plus);
    return 0;
}

int stack_logit_attrs(const struct stack *s, struct run *r, const int32_t *rows, int32_t a,
                      int32_t b, float *out, double *constant, struct err *e)
{
    const struct model *m = run_model(r);
    size_t d = (size_t)s->d_model, n_rows = (size_t)s->rows;
    float *scale = malloc(n_rows * sizeof *scale);
    double *dir = malloc(d * sizeof *dir);
    int rc = scale && dir ? 0 : err_memory(e, "logit_attrs");
    if (!rc)
        rc = read_rows(r, (struct site_ref){SITE_LNF_SCALE, SITE_ROOT}, rows, s->rows, scale, e);
    if (!rc)
        rc = stack_direction(r, a, b, dir, constant, e);
    for (size_t i = 0; !rc && i < (size_t)s->n * n_rows; i++) {
        const float *x = s->values + i * d;
        double mean = 0, dot = 0;
        for (size_t j = 0; j < d && m->cfg.norm_center; j++)
            mean += (double)x[j] / (double)d;
        for (size_t j = 0; j < d; j++)
            dot += ((double)x[j] - mean) * dir[j];
        out[i] = (float)(dot / (double)scale[i % n_rows]);
    }
    free(scale);
    free(dir);
    return rc;
}
