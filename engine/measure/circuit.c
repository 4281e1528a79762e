/* circuit.c - see circuit.h.
 *
 * Composition: with A1^T A1 = L1 L1^T and B2^T B2 = L2 L2^T, |A1 B1^T A2 B2^T| = |(L1^T B1^T) (A2
 * L2)|, so every head is collapsed to d_head rows once and a pair of layers is one matrix product.
 */
#include "measure/circuit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/factored.h"
#include "names/named_weight.h"
#include "run/run_device.h"

static int memory_out(struct err *e)
{
    return err_memory(e, "weights of heads");
}

/* One layer's weight of all heads as rows [head * d_head][d_model]. */
static int head_rows(const struct model *m, const char *which, int32_t layer, float *out,
                     struct err *e)
{
    char name[LIMIT_NAME];
    struct named_weight w;
    snprintf(name, sizeof name, "blocks.%d.attn.%s", (int)layer, which);
    int rc = named_weight_find(m, name, &w, e);
    if (rc)
        return rc;
    int64_t heads = w.shape[0], d = m->cfg.d_model, dh = m->cfg.d_head;
    if (w.shape[1] == dh && !strcmp(which, "W_O")) {
        named_weight_read(m, &w, out);
        return 0;
    }
    float *turned = malloc((size_t)(heads * d * dh) * sizeof *turned);
    if (!turned)
        return memory_out(e);
    named_weight_read(m, &w, turned);
    struct kn_view rows = kn_swap(kn_view3(turned, KN_F32, heads, d, dh), 1, 2);
    kn_pack(&rows, out);
    free(turned);
    return 0;
}

int circuit_head(const struct model *m, enum circuit_kind kind, int32_t layer, int32_t head,
                 double *a, double *b, struct err *e)
{
    static const char *const names[2][2] = {{"W_Q", "W_K"}, {"W_V", "W_O"}};
    const struct config *c = &m->cfg;
    if (layer < 0 || layer >= c->n_layers || head < 0 || head >= c->n_heads)
        return err_set(e, ERR_BAD_INPUT, "L%dH%d · this model has layers 0..%d and heads 0..%d",
                       (int)layer, (int)head, c->n_layers - 1, c->n_heads - 1);
    int64_t d = c->d_model, r = c->d_head;
    const int64_t one[WEIGHT_RANK_MAX] = {1};
    float *x = malloc((size_t)(d * r) * sizeof *x);
    int rc = x ? 0 : memory_out(e);
    for (int f = 0; !rc && f < 2; f++) {
        char name[LIMIT_NAME];
        struct named_weight w;
        snprintf(name, sizeof name, "blocks.%d.attn.%s", (int)layer, names[kind][f]);
        if ((rc = named_weight_find(m, name, &w, e)))
            break;
        bool turned = kind == CIRCUIT_OV && f == 1; /* W_O lies [head, d_head, d_model] */
        named_weight_cut(m, &w, (const int32_t *[WEIGHT_RANK_MAX]){&head}, one, x);
        for (int64_t k = 0; k < d; k++)
            for (int64_t i = 0; i < r; i++)
                (f ? b : a)[k * r + i] = (double)(turned ? x[i * d + k] : x[k * r + i]);
    }
    free(x);
    return rc;
}

/* out[rows, n] = x[rows, k] . w[n, k]^T on the backend; x and out in host memory, w an operand. */
static int product(struct kn_backend *be, const float *x, int64_t rows, const struct kn_view *w,
                   float *out, struct err *e)
{
    int64_t k = w->shape[1], n = w->shape[0];
    size_t bytes = (size_t)(rows * (k + n)) * sizeof *x;
    float *mem = be->type->alloc(be, bytes);
    if (!mem)
        return memory_out(e);
    struct kn_call call = {.op = KN_OP_LINEAR,
                           .out = {kn_moved(kn_view2(mem, KN_F32, rows, n), rows * k)},
                           .in = {kn_view2(mem, KN_F32, rows, k), *w}};
    int rc = run_write(be, &call.in[0], x, e);
    if (!rc)
        rc = run_status(kn_run(be, &call), e);
    if (!rc)
        rc = run_fetch(be, &call.out[0], out, e);
    be->type->release(be, mem, bytes);
    return rc;
}

/* The same with contiguous f32 w[n, k] in host memory. */
static int product_host(const struct model *m, const float *x, int64_t rows, const float *w,
                        int64_t n, int64_t k, float *out, struct err *e)
{
    struct kn_view host = kn_view2((void *)(uintptr_t)w, KN_F32, n, k), there = {0};
    int rc = run_status(m->be->type->import(m->be, &host, &there), e);
    if (!rc)
        rc = product(m->be, x, rows, &there, out, e);
    m->be->type->forget(m->be, &there);
    return rc;
}

/* ---- composition ---- */

/* Every head of a layer collapsed: rows L^T X with Y Y^T = L L^T; x, y, out [heads *
 * d_head][d_model]. */
static int collapse(const struct config *c, const float *x, const float *y, float *out,
                    struct err *e)
{
    int64_t d = c->d_model, r = c->d_head;
    double *g = malloc((size_t)(2 * r * r) * sizeof *g), *l = g ? g + r * r : NULL;
    if (!g)
        return memory_out(e);
    for (int64_t h = 0; h < c->n_heads; h++) {
        const float *yh = y + h * r * d, *xh = x + h * r * d;
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j <= i; j++) {
                double sum = 0;
                for (int64_t k = 0; k < d; k++)
                    sum += (double)yh[i * d + k] * (double)yh[j * d + k];
                g[i * r + j] = g[j * r + i] = sum;
            }
        factored_cholesky(g, r, l);
        for (int64_t i = 0; i < r; i++)
            for (int64_t k = 0; k < d; k++) {
                double sum = 0;
                for (int64_t j = i; j < r; j++)
                    sum += l[j * r + i] * (double)xh[j * d + k];
                out[(h * r + i) * d + k] = (float)sum;
            }
    }
    free(g);
    return 0;
}

/* The collapsed rows of one layer: x and y are names of its factors; scratch has room for two
 * layers. */
static int collapsed(const struct model *m, int32_t layer, const char *x, const char *y,
                     float *scratch, float *out, struct err *e)
{
    int64_t n = (int64_t)m->cfg.n_heads * m->cfg.d_head * m->cfg.d_model;
    int rc = head_rows(m, x, layer, scratch, e);
    if (!rc)
        rc = head_rows(m, y, layer, scratch + n, e);
    return rc ? rc : collapse(&m->cfg, scratch, scratch + n, out, e);
}

/* Frobenius norm of rows [r0, r0 + n) and columns [c0, c0 + cols) of x[., width]. */
static double block_norm(const float *x, int64_t width, int64_t r0, int64_t n, int64_t c0,
                         int64_t cols)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < cols; k++) {
            double v = (double)x[(r0 + i) * width + c0 + k];
            sum += v * v;
        }
    return sqrt(sum);
}

/* Buffers of a composition: a layer is `rows` rows of d_model. */
struct compose {
    const struct model *m;
    int64_t rows, d, r;
    float *left, *right, *scratch, *block; /* all layers; one; two; [rows, rows] */
};

static int pair_scores(const struct compose *c, int32_t l1, int32_t l2, float *out, struct err *e)
{
    int64_t heads = c->m->cfg.n_heads, layers = c->m->cfg.n_layers, r = c->r;
    const float *left = c->left + l1 * c->rows * c->d;
    int rc = product_host(c->m, left, c->rows, c->right, c->rows, c->d, c->block, e);
    for (int64_t h1 = 0; !rc && h1 < heads; h1++)
        for (int64_t h2 = 0; h2 < heads; h2++) {
            double both = block_norm(c->block, c->rows, h1 * r, r, h2 * r, r);
            double one = block_norm(left, c->d, h1 * r, r, 0, c->d),
                   two = block_norm(c->right, c->d, h2 * r, r, 0, c->d);
            out[((l1 * heads + h1) * layers + l2) * heads + h2] = (float)(both / two / one);
        }
    return rc;
}

int circuit_composition(const struct model *m, enum composition kind, float *out, struct err *e)
{
    static const char *const right[COMPOSITION_COUNT][2] = {
        {"W_Q", "W_K"}, {"W_K", "W_Q"}, {"W_V", "W_O"}};
    int64_t layers = m->cfg.n_layers, heads = m->cfg.n_heads;
    struct compose c = {
        .m = m, .rows = heads * m->cfg.d_head, .d = m->cfg.d_model, .r = m->cfg.d_head};
    size_t layer = (size_t)(c.rows * c.d);
    memset(out, 0, (size_t)(layers * heads * layers * heads) * sizeof *out);
    c.left = malloc(layer * (size_t)layers * sizeof *c.left);
    c.right = malloc(layer * sizeof *c.right);
    c.scratch = malloc(2 * layer * sizeof *c.scratch);
    c.block = malloc((size_t)(c.rows * c.rows) * sizeof *c.block);
    int rc = c.left && c.right && c.scratch && c.block ? 0 : memory_out(e);
    for (int32_t l = 0; !rc && l + 1 < layers; l++)
        rc = collapsed(m, l, "W_O", "W_V", c.scratch, c.left + layer * (size_t)l, e);
    for (int32_t l2 = 1; !rc && l2 < layers; l2++) {
        rc = collapsed(m, l2, right[kind][0], right[kind][1], c.scratch, c.right, e);
        for (int32_t l1 = 0; !rc && l1 < l2; l1++)
            rc = pair_scores(&c, l1, l2, out, e);
    }
    free(c.left), free(c.right), free(c.scratch), free(c.block);
    return rc;
}

/* ---- tokens ---- */

/* Not every model has both an embedding of tokens and an unembedding. */
static int need_table(const struct model *m, enum weight_id w, struct err *e)
{
    return model_weight(m, 0, w)->ndim ? 0
                                       : err_set(e, ERR_BAD_INPUT, "%s · %s", weight_table[w].name,
                                                 config_lack(&m->cfg, weight_table[w].when));
}

int circuit_tokens(const struct model *m, double *out, struct err *e)
{
    enum { TOKENS = 1024 }; /* at a time, summed in double */
    int64_t d = m->cfg.d_model, n_vocab = m->cfg.d_vocab;
    if (config_has(&m->cfg, PROPERTY_PROJECTED))
        return err_set(e, ERR_BAD_INPUT,
                       "W_E OV W_U · embeddings of %d elements are projected to %d here · use OV "
                       "alone",
                       (int)m->cfg.d_embed, (int)d);
    const struct kn_view *u = model_weight(m, 0, W_U), *t = model_weight(m, 0, W_E);
    float *x = malloc((size_t)(3 * d * TOKENS + d * d) * sizeof *x), *w = x ? x + d * TOKENS : NULL,
          *rows = x ? w + d * TOKENS : NULL, *part = x ? rows + d * TOKENS : NULL;
    int rc = x ? need_table(m, W_E, e) : memory_out(e);
    rc = rc ? rc : need_table(m, W_U, e);
    for (int64_t i = 0; !rc && i < d * d; i++)
        out[i] = 0;
    for (int64_t v0 = 0; !rc && v0 < n_vocab; v0 += TOKENS) {
        int64_t n = n_vocab - v0 < TOKENS ? n_vocab - v0 : TOKENS;
        struct kn_view columns = kn_swap(kn_view2(rows, KN_F32, n, d), 0, 1);
        kn_decode_rows(u, v0, n, rows);
        kn_pack(&columns, x);
        kn_decode_rows(t, v0, n, rows);
        kn_pack(&columns, w);
        rc = product_host(m, x, d, w, d, n, part, e);
        for (int64_t i = 0; !rc && i < d * d; i++)
            out[i] += (double)part[i] * (double)weight_form(&m->cfg, W_E).factor;
    }
    free(x);
    return rc;
}

void circuit_through_tokens(const double *tokens, const double *b, int64_t d_model, int64_t d_head,
                            double *out)
{
    factored_gram(tokens, d_model, b, d_head, d_model, out); /* B^T -> B^T P, so B -> P^T B */
}

/* Put a candidate into a list of k by falling sign * value, equal ones by rising id. */
static void insert(struct lens_top *list, int32_t k, int32_t *n, struct lens_top x, float sign)
{
    int32_t at = *n;
    if (isnan(x.logit) || (at == k && !(sign * x.logit > sign * list[k - 1].logit)))
        return;
    *n = at < k ? at + 1 : k;
    for (at = *n - 1; at > 0 && sign * x.logit > sign * list[at - 1].logit; at--)
        list[at] = list[at - 1];
    list[at] = x;
}

/* Rows x[rows, d_model] as the unembedding reads them, or as embeddings: [rows, d_embed]. */
static int narrowed(const struct model *m, enum circuit_side side, const float *x, int64_t rows,
                    float *out, struct err *e)
{
    enum weight_id id = side == CIRCUIT_EMBED ? W_PROJECT_IN : W_PROJECT_OUT;
    if (!config_has(&m->cfg, PROPERTY_PROJECTED)) {
        memcpy(out, x, (size_t)(rows * m->cfg.d_model) * sizeof *x);
        return 0;
    }
    int rc = run_status(model_import_weight(m, 0, id), e);
    struct kn_view w = *model_device_weight(m, 0, id);
    if (side == CIRCUIT_EMBED)
        w = kn_swap(w, 0, 1);
    return rc ? rc : product(model_weight_backend(m, 0, id), x, rows, &w, out, e);
}

int circuit_read(const struct model *m, enum circuit_side side, const float *x, int64_t n,
                 int32_t k, struct lens_top *top, struct lens_top *bottom, struct err *e)
{
    enum { ROWS = 32 };
    int64_t d = m->cfg.d_model, n_vocab = m->cfg.d_vocab;
    enum weight_id id = side == CIRCUIT_EMBED ? W_E : W_U;
    float factor = weight_form(&m->cfg, id).factor;
    float *values = malloc((size_t)(ROWS * (n_vocab + m->cfg.d_embed)) * sizeof *values),
          *narrow = values ? values + ROWS * n_vocab : NULL;
    int rc = need_table(m, id, e);
    if (!rc && (k < 1 || k > LENS_TOP_MAX || k > n_vocab))
        rc = err_set(e, ERR_BAD_INPUT, "%d top tokens · 1..%d of %lld can be shown", (int)k,
                     LENS_TOP_MAX, (long long)n_vocab);
    if (!rc)
        rc = values ? run_status(model_import_weight(m, 0, id), e) : memory_out(e);
    for (int64_t i0 = 0; !rc && i0 < n; i0 += ROWS) {
        int64_t rows = n - i0 < ROWS ? n - i0 : ROWS;
        rc = narrowed(m, side, x + i0 * d, rows, narrow, e);
        if (!rc)
            rc = product(model_weight_backend(m, 0, id), narrow, rows,
                         model_device_weight(m, 0, id), values, e);
        for (int64_t i = 0; !rc && i < rows; i++) {
            int32_t n_top = 0, n_bottom = 0;
            for (int32_t v = 0; v < n_vocab; v++) {
                struct lens_top one = {v, values[i * n_vocab + v] * factor};
                insert(top + (i0 + i) * k, k, &n_top, one, 1);
                insert(bottom + (i0 + i) * k, k, &n_bottom, one, -1);
            }
            if (n_top < k) /* NaN */
                rc = err_set(e, ERR_BAD_INPUT, "a direction that is no number · it has no tokens");
        }
    }
    free(values);
    return rc;
}

int circuit_says(const struct model *m, float *x, int64_t n, int32_t k, struct lens_top *top,
                 struct lens_top *bottom, struct err *e)
{
    int64_t d = m->cfg.d_model;
    bool *none = calloc((size_t)n, sizeof *none);
    int rc = none ? 0 : memory_out(e);
    for (int64_t i = 0; !rc && i < n * d; i++)
        none[i / d] |= !isfinite(x[i]);
    for (int64_t i = 0; !rc && i < n * d; i++)
        x[i] = none[i / d] ? 0 : x[i];
    if (!rc)
        rc = circuit_read(m, CIRCUIT_UNEMBED, x, n, k, top, bottom, e);
    for (int64_t i = 0; !rc && i < n * k; i++)
        if (none[i / k])
            top[i] = bottom[i] = (struct lens_top){(int32_t)(i % k), NAN};
    free(none);
    return rc;
}
