/* process_refactor.c - TransformerLens' refactor_factored_attn_matrices (see process.h): the
 * query-key and value-output products of every head in the basis of their singular vectors.  Biases
 * ride along as an extra input. */
#include "base/factored.h"
#include "model/process.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct head {
    double *a, *b, *u, *s, *v;
};

static int head_alloc(struct head *h, int64_t d, int64_t r, struct err *e)
{
    double *p = calloc((size_t)(4 * (d + 1) * r + r), sizeof *p);
    if (!p)
        return err_memory(e, "refactoring a head");
    *h = (struct head){p, p + (d + 1) * r, p + 2 * (d + 1) * r, p + 4 * (d + 1) * r,
                       p + 3 * (d + 1) * r};
    return 0;
}

static float *data(const struct model *m, int32_t l, enum weight_id w)
{
    return kn_f32(model_weight(m, l, w));
}

/* [W; b] of one head as [d+1, r] from the joint [heads*r, d] and [heads*r]. */
static void head_load(double *x, const float *w, const float *b, int64_t d, int64_t r)
{
    for (int64_t j = 0; j < r; j++) {
        for (int64_t k = 0; k < d; k++)
            x[k * r + j] = (double)w[j * d + k];
        x[d * r + j] = (double)b[j];
    }
}

/* The same back, column j scaled by f[j]. */
static void head_store(float *w, float *b, const double *x, const double *s, int64_t d, int64_t r)
{
    for (int64_t j = 0; j < r; j++) {
        for (int64_t k = 0; k < d; k++)
            w[j * d + k] = (float)(x[k * r + j] * sqrt(s[j]));
        b[j] = (float)(x[d * r + j] * sqrt(s[j]));
    }
}

static int query_key(const struct model *m, int32_t l, int64_t i, struct head *h, struct err *e)
{
    int64_t d = m->cfg.d_model, r = m->cfg.d_head;
    float *q = data(m, l, W_Q) + i * r * d, *bq = data(m, l, B_Q) + i * r,
          *k = data(m, l, W_K) + i * r * d, *bk = data(m, l, B_K) + i * r;
    head_load(h->a, q, bq, d, r);
    head_load(h->b, k, bk, d, r);
    int rc = factored_svd(h->a, d + 1, h->b, d + 1, r, h->u, h->s, h->v, e);
    if (!rc) {
        head_store(q, bq, h->u, h->s, d, r);
        head_store(k, bk, h->v, h->s, d, r);
    }
    return rc;
}

/* W_V = U S, W_O = V^T; what b_V gave the output moves into b_O first. */
static int value_output(const struct model *m, int32_t l, int64_t i, struct head *h, struct err *e)
{
    int64_t d = m->cfg.d_model, r = m->cfg.d_head, all = m->cfg.n_heads * r;
    float *wv = data(m, l, W_V) + i * r * d, *bv = data(m, l, B_V) + i * r,
          *wo = data(m, l, W_O) + i * r, *bo = data(m, l, B_O);
    for (int64_t k = 0; k < d; k++) {
        double sum = 0;
        for (int64_t j = 0; j < r; j++) {
            h->a[k * r + j] = (double)wv[j * d + k];
            h->b[k * r + j] = (double)wo[k * all + j];
            sum += (double)bv[j] * (double)wo[k * all + j];
        }
        bo[k] = (float)((double)bo[k] + sum);
    }
    int rc = factored_svd(h->a, d, h->b, d, r, h->u, h->s, h->v, e);
    for (int64_t k = 0; !rc && k < d; k++)
        for (int64_t j = 0; j < r; j++) {
            wv[j * d + k] = (float)(h->u[k * r + j] * h->s[j]);
            wo[k * all + j] = (float)h->v[k * r + j];
        }
    memset(bv, 0, (size_t)r * sizeof *bv);
    return rc;
}

int process_refactor(struct model *m, struct err *e)
{
    if (m->cfg.n_kv_heads != m->cfg.n_heads)
        return err_set(
            e, ERR_BAD_INPUT,
            "refactor_factored_attn_matrices · not with grouped key/value heads · leave it out");
    struct head h = {0};
    int rc = head_alloc(&h, m->cfg.d_model, m->cfg.d_head, e);
    if (rc)
        return rc;
    for (int32_t l = 0; !rc && l < m->cfg.n_layers; l++)
        for (int64_t i = 0; !rc && i < m->cfg.n_heads; i++)
            if (!(rc = query_key(m, l, i, &h, e)))
                rc = value_output(m, l, i, &h, e);
    free(h.a);
    return rc;
}
