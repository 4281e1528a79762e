/* check_identities.c - the identities (see check.def).  Sums and functions here are double, so that
 * a deviation is the run's own rounding.  A function that compares nothing says that its identity
 * does not apply. */
#include <math.h>
#include <stdlib.h>

#include "measure/check_parts.h"
#include "measure/lens.h"
#include "run/pair.h"

int check_finite(struct check *k, int32_t layer)
{
    (void)layer;
    struct site_ref *sites = calloc(((size_t)k->m->cfg.n_layers + 1) * SITE_COUNT, sizeof *sites);
    int n = sites ? site_list(&k->m->cfg, sites) : 0, rc = sites ? 0 : err_memory(k->err, "check");
    for (int i = 0; i < n && !rc; i++) { /* in firing order */
        struct lens_stats s;
        if (!site_fires(&k->m->cfg, sites[i].id))
            continue;
        rc = lens_stats(k->r, sites[i], 0, k->n, &s, k->err);
        int64_t bad = rc ? 0 : s.n_nan + s.n_inf;
        if (bad && k->first.id == SITE_COUNT)
            k->first = sites[i];
        check_compare(k, (double)bad, 0);
    }
    free(sites);
    return rc;
}

/* a[i] + b[i] + c[i] == sum[i]; absent terms are NULL. */
static void compare_sum(struct check *k, const float *a, const float *b, const float *c,
                        const float *sum)
{
    size_t count = (size_t)k->n * (size_t)k->m->cfg.d_model;
    for (size_t i = 0; i < count; i++)
        check_compare(k, (double)a[i] + (b ? b[i] : 0) + (c ? c[i] : 0), sum[i]);
}

int check_embed(struct check *k, int32_t layer)
{
    if (site_exists(&k->m->cfg, SITE_FULL_EMBED))
        return 0;
    bool learned = site_exists(&k->m->cfg, SITE_POS_EMBED);
    const float *e = check_values(k, SITE_EMBED, SITE_ROOT);
    const float *p = e && learned ? check_values(k, SITE_POS_EMBED, SITE_ROOT) : NULL;
    const float *r = e && (p || !learned) ? check_values(k, SITE_RESID_PRE, layer) : NULL;
    if (!r)
        return k->err->code;
    compare_sum(k, e, p, NULL, r);
    return 0;
}

/* Where the sums are normalized. */
static int check_sums(struct check *k, int32_t layer)
{
    static const enum site_id sums[][3] = {{SITE_RESID_PRE, SITE_ATTN_OUT, SITE_RESID_MID},
                                           {SITE_LN1_OUT, SITE_MLP_OUT, SITE_RESID_POST}};
    for (int i = 0; i < 2; i++) {
        const float *x = check_values(k, sums[i][0], layer),
                    *y = x ? check_values(k, sums[i][1], layer) : NULL,
                    *sum = y ? check_values(k, sums[i][2], layer) : NULL;
        if (!sum)
            return k->err->code;
        compare_sum(k, x, y, NULL, sum);
    }
    return 0;
}

int check_resid(struct check *k, int32_t layer)
{
    const float *pre = check_values(k, SITE_RESID_PRE, layer);
    const struct config *cfg = &k->m->cfg;
    if (cfg->norm_place == NORM_RESIDUAL)
        return check_sums(k, layer);
    const float *attn = pre ? check_values(k, site_attn_added(cfg), layer) : NULL;
    const float *mlp = attn ? check_values(k, site_mlp_added(cfg), layer) : NULL;
    const float *post = mlp ? check_values(k, SITE_RESID_POST, layer) : NULL;
    if (!post)
        return k->err->code;
    compare_sum(k, pre, attn, mlp, post);
    return 0;
}

int check_chain(struct check *k, int32_t layer)
{
    if (layer + 1 == k->m->cfg.n_layers)
        return 0;
    const float *post = check_values(k, site_stream(&k->m->cfg, layer), layer);
    const float *pre = post ? check_values(k, SITE_RESID_PRE, layer + 1) : NULL;
    if (!pre)
        return k->err->code;
    compare_sum(k, post, NULL, NULL, pre);
    return 0;
}

static double row_mean(const struct check *k, const float *x)
{
    double sum = 0;
    int32_t d = k->m->cfg.d_model;
    for (int32_t i = 0; i < d && k->m->cfg.norm_center; i++)
        sum += x[i];
    return sum / d;
}

static int compare_norm(struct check *k, enum site_id input, enum site_id scale_site,
                        enum site_id normalized_site, int32_t in_layer, int32_t layer)
{
    int32_t d = k->m->cfg.d_model;
    const float *x = check_values(k, input, in_layer);
    const float *scale = x ? check_values(k, scale_site, layer) : NULL;
    const float *normalized = scale ? check_values(k, normalized_site, layer) : NULL;
    if (!normalized)
        return k->err->code;
    for (int32_t p = 0; p < k->n; p++, x += d, normalized += d) {
        double mean = row_mean(k, x);
        for (int32_t i = 0; i < d; i++)
            check_compare(k, (double)normalized[i] * scale[p], x[i] - mean);
    }
    return 0;
}

int check_ln1(struct check *k, int32_t layer)
{
    return compare_norm(k, site_ln1_input(&k->m->cfg), SITE_LN1_SCALE, SITE_LN1_NORMALIZED, layer,
                        layer);
}

int check_ln2(struct check *k, int32_t layer)
{
    return compare_norm(k, site_ln2_input(&k->m->cfg), SITE_LN2_SCALE, SITE_LN2_NORMALIZED, layer,
                        layer);
}

int check_ln1_post(struct check *k, int32_t layer)
{
    if (k->m->cfg.norm_place != NORM_BOTH)
        return 0;
    return compare_norm(k, SITE_ATTN_LINEAR, SITE_LN1_POST_SCALE, SITE_LN1_POST_NORMALIZED, layer,
                        layer);
}

int check_ln2_post(struct check *k, int32_t layer)
{
    if (k->m->cfg.norm_place != NORM_BOTH)
        return 0;
    return compare_norm(k, SITE_MLP_LINEAR, SITE_LN2_POST_SCALE, SITE_LN2_POST_NORMALIZED, layer,
                        layer);
}

int check_ln_final(struct check *k, int32_t layer)
{
    (void)layer;
    if (!site_exists(&k->m->cfg, SITE_LNF_SCALE))
        return 0;
    return compare_norm(k, SITE_RESID_POST, SITE_LNF_SCALE, SITE_LNF_NORMALIZED,
                        k->m->cfg.n_layers - 1, SITE_ROOT);
}

int check_scale(struct check *k, int32_t layer)
{
    int32_t d = k->m->cfg.d_model;
    const float *x = check_values(k, site_ln1_input(&k->m->cfg), layer);
    const float *scale = x ? check_values(k, SITE_LN1_SCALE, layer) : NULL;
    if (!scale)
        return k->err->code;
    for (int32_t p = 0; p < k->n; p++, x += d) {
        double mean = row_mean(k, x), sum = 0;
        for (int32_t i = 0; i < d; i++)
            sum += (x[i] - mean) * (x[i] - mean);
        check_compare(k, (double)scale[p] * scale[p], sum / d + k->m->cfg.norm_eps);
    }
    return 0;
}

/* f(k, scores row, pattern row, the head's sink) on every row of every head. */
static int each_row(struct check *k, int32_t layer,
                    void (*f)(struct check *, const float *, const float *, double))
{
    const float *scores = check_values(k, SITE_ATTN_SCORES, layer);
    const float *pattern = scores ? check_values(k, SITE_PATTERN, layer) : NULL;
    const struct kn_view *sinks = run_weight(k->r, layer, B_SINKS);
    if (!pattern)
        return k->err->code;
    for (int32_t h = 0; h < k->m->cfg.n_heads; h++) {
        float sink = -INFINITY;
        if (sinks->ndim)
            kn_decode_rows(sinks, h, 1, &sink);
        for (int32_t p = 0; p < k->n; p++, scores += k->n, pattern += k->n)
            f(k, scores, pattern, sink);
    }
    return 0;
}

/* The greatest score, and the sum of all scores' exponentials less that. */
static double row_sum(const struct check *k, const float *scores, double sink, double *max)
{
    double sum = 0;
    *max = sink;
    for (int32_t i = 0; i < k->n; i++)
        *max = scores[i] > *max ? scores[i] : *max;
    for (int32_t i = 0; i < k->n; i++)
        sum += exp(scores[i] - *max);
    return sum + exp(sink - *max);
}

static void softmax_row(struct check *k, const float *scores, const float *pattern, double sink)
{
    double max, sum = row_sum(k, scores, sink, &max);
    for (int32_t i = 0; i < k->n; i++)
        check_compare(k, pattern[i], exp(scores[i] - max) / sum);
}

int check_softmax(struct check *k, int32_t layer)
{
    return each_row(k, layer, softmax_row);
}

/* What is missing to 1 is the sink's. */
static void sum_row(struct check *k, const float *scores, const float *pattern, double sink)
{
    double max, all = row_sum(k, scores, sink, &max), sum = exp(sink - max) / all;
    for (int32_t i = 0; i < k->n; i++)
        sum += pattern[i];
    check_compare(k, sum, 1);
}

int check_rows(struct check *k, int32_t layer)
{
    return each_row(k, layer, sum_row);
}

int check_mix(struct check *k, int32_t layer)
{
    const struct config *cfg = &k->m->cfg;
    const float *pattern = check_values(k, SITE_PATTERN, layer);
    const float *v = pattern ? check_values(k, site_mixed(cfg), layer) : NULL;
    const float *z = v ? check_values(k, SITE_Z, layer) : NULL;
    if (!z)
        return k->err->code;
    int64_t n = k->n, dh = cfg->d_head, group = cfg->n_heads / cfg->n_kv_heads;
    for (int64_t p = 0; p < n; p++)
        for (int64_t h = 0; h < cfg->n_heads; h++)
            for (int64_t i = 0; i < dh; i++) {
                double sum = 0;
                for (int64_t s = 0; s < n; s++)
                    sum += (double)pattern[(h * n + p) * n + s] *
                           v[(s * cfg->n_kv_heads + h / group) * dh + i];
                check_compare(k, z[(p * cfg->n_heads + h) * dh + i], sum);
            }
    return 0;
}

int check_result(struct check *k, int32_t layer)
{
    const struct config *cfg = &k->m->cfg;
    const struct kn_view *bias = model_weight(k->m, layer, B_O);
    const float *result = check_values(k, SITE_RESULT, layer);
    const float *out = result ? check_values(k, site_attn_made(cfg), layer) : NULL;
    if (!out)
        return k->err->code;
    float *b = calloc((size_t)cfg->d_model, sizeof *b);
    if (!b)
        return err_memory(k->err, "check");
    if (bias->ndim)
        kn_decode_rows(bias, 0, cfg->d_model, b);
    for (int64_t p = 0; p < k->n; p++)
        for (int64_t i = 0; i < cfg->d_model; i++) {
            double sum = (double)b[i];
            for (int64_t h = 0; h < cfg->n_heads; h++)
                sum += result[(p * cfg->n_heads + h) * cfg->d_model + i];
            check_compare(k, out[p * cfg->d_model + i], sum);
        }
    free(b);
    return 0;
}

/* Activations as PyTorch defines them. */
static double act(enum kn_act a, double x)
{
    switch (a) {
    case KN_ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2));
    case KN_ACT_GELU_NEW:
        return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case KN_ACT_RELU: return x > 0 ? x : 0;
    case KN_ACT_SILU: return x / (1 + exp(-x));
    case KN_ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case KN_ACT_NONE:
    case KN_ACT_COUNT: break;
    }
    return x;
}

int check_act(struct check *k, int32_t layer)
{
    const struct config *cfg = &k->m->cfg;
    bool dense = config_dense(cfg, layer), gated = cfg->gated;
    int64_t width = dense ? cfg->d_mlp : (int64_t)cfg->n_active * cfg->d_expert;
    const float *pre = check_values(k, dense ? SITE_PRE : SITE_EXPERT_GATE, layer),
                *linear = pre && gated
                              ? check_values(k, dense ? SITE_PRE_LINEAR : SITE_EXPERT_PRE, layer)
                              : NULL,
                *post = pre && (linear || !gated)
                            ? check_values(k, dense ? SITE_POST : SITE_EXPERT_POST, layer)
                            : NULL;
    if (!post)
        return k->err->code;
    double limit = cfg->glu_limit > 0 ? cfg->glu_limit : (double)INFINITY;
    for (size_t i = 0; i < (size_t)k->n * (size_t)width; i++)
        check_compare(k, post[i],
                      act(cfg->act, fmin(pre[i], limit)) *
                          (linear ? fmax(fmin(linear[i], limit), -limit) + cfg->glu_offset : 1));
    return 0;
}

int check_lens(struct check *k, int32_t layer)
{
    (void)layer;
    enum { K = 8 };
    if (!site_exists(&k->m->cfg, SITE_UNEMBED_OUT))
        return 0;
    int32_t top_n = k->m->cfg.d_vocab < K ? k->m->cfg.d_vocab : K;
    size_t n = (size_t)k->n;
    struct lens_cell *cells = malloc(2 * n * sizeof *cells);
    struct lens_top *top = malloc(2 * n * K * sizeof *top);
    int rc = cells && top ? 0 : err_memory(k->err, "check");
    if (!rc)
        rc = lens_column(k->r, k->m->cfg.n_layers, 0, k->n, top_n, run_tokens(k->r)[0], cells, top,
                         k->err);
    if (!rc)
        rc = lens_output(k->r, 0, k->n, top_n, run_tokens(k->r)[0], cells + n, top + n * K, k->err);
    for (size_t i = 0; i < n && !rc; i++) {
        check_compare(k, cells[i].lse, cells[n + i].lse);
        check_compare(k, cells[i].entropy, cells[n + i].entropy);
        check_compare(k, cells[i].target_logit, cells[n + i].target_logit);
    }
    for (size_t i = 0; i < n * (size_t)top_n && !rc; i++)
        check_compare(k, top[i].logit, top[n * K + i].logit);
    free(cells);
    free(top);
    return rc;
}

/* What the last block gives, where that is all. */
static int compare_streams(struct check *k, struct run *other, int32_t n)
{
    int32_t last = k->m->cfg.n_layers - 1;
    struct site_ref s = {site_stream(&k->m->cfg, last), last};
    size_t count = (size_t)n * (size_t)k->m->cfg.d_model;
    float *a = malloc(2 * count * sizeof *a);
    int rc = a ? run_read(k->r, s, 0, n, a, NULL, k->err) : err_memory(k->err, "check");
    if (!rc)
        rc = run_read(other, s, 0, n, a + count, NULL, k->err);
    for (size_t i = 0; i < count && !rc; i++)
        check_compare(k, a[count + i], a[i]);
    free(a);
    return rc;
}

/* Logits of rows [0, n) of another run against those of this one. */
static int compare_logits(struct check *k, struct run *other, int32_t n)
{
    size_t vocab = (size_t)k->m->cfg.d_vocab;
    if (!site_exists(&k->m->cfg, SITE_UNEMBED_OUT))
        return compare_streams(k, other, n);
    float *a = malloc(2 * vocab * sizeof *a);
    int rc = a ? 0 : err_memory(k->err, "check");
    for (int32_t p = 0; p < n && !rc; p++) {
        rc = lens_logits(k->r, p, a, k->err);
        if (!rc)
            rc = lens_logits(other, p, a + vocab, k->err);
        for (size_t i = 0; i < vocab && !rc; i++)
            check_compare(k, a[vocab + i], a[i]);
    }
    free(a);
    return rc;
}

static struct run_input input_of(const struct check *k)
{
    struct run_input in = run_image(k->r) ? run_of_image(run_image(k->r))
                                          : run_ids(run_tokens(k->r), k->n);
    in.types = run_types(k->r);
    return in;
}

int check_patch(struct check *k, int32_t layer)
{
    (void)layer;
    struct edit *edit = NULL;
    struct pair *p = NULL;
    int rc = edit_parse(&edit, "blocks.*.hook_resid_post = from(base)", k->err);
    struct pair_target t = {.input = input_of(k), .edits = &edit, .n_edits = 1};
    if (!rc)
        rc = pair_open(&p, k->m, k->cache_bytes, k->err);
    if (!rc)
        rc = pair_sync(p, &t, NULL, k->err);
    if (!rc)
        rc = compare_logits(k, pair_run(p, FACE_EDITED), k->n);
    pair_close(p);
    edit_free(edit);
    return rc;
}

static struct run *fresh_run(struct check *k)
{
    struct run_options opt = {.cache_bytes = k->cache_bytes / 4};
    return run_create(k->m, NULL, &opt, k->err);
}

int check_incremental(struct check *k, int32_t layer)
{
    (void)layer;
    struct run *r = fresh_run(k);
    int rc = r ? 0 : k->err->code;
    struct run_input in = input_of(k);
    for (int32_t n = in.image ? k->n : 1; n <= k->n && !rc; n++) { /* an image has one length */
        in.n = n;
        rc = run_sync(r, in, NULL, NULL, NULL, k->err);
    }
    if (!rc)
        rc = compare_logits(k, r, k->n);
    run_free(r);
    return rc;
}

int check_causal(struct check *k, int32_t layer)
{
    (void)layer;
    const struct config *cfg = &k->m->cfg;
    int32_t n = (k->n + 1) / 2;
    if (k->n < 2 || cfg->bidirectional ||
        rope_length(cfg, n) != rope_length(cfg, k->n)) /* by length: not causal */
        return 0;
    struct run *r = fresh_run(k);
    int rc = r ? run_sync(r, run_ids(run_tokens(k->r), n), NULL, NULL, NULL, k->err) : k->err->code;
    if (!rc)
        rc = compare_logits(k, r, n);
    run_free(r);
    return rc;
}
