/* attribute_direct.c - direct logit attribution: what each part's own output adds to the metric's
 * logits (see attribute.h; TransformerLens' logit_attrs, without materialising the parts).
 *
 * With the final norm's scale held at the run's, a sum of logits is a linear function of the stream
 * at the positions that answer: a direction u per position.  u goes back through the norm that may
 * stand behind a branch and through W_O or W_out; a head's share is then its z times that, a
 * neuron's its activation times that, and of a head's z each source's share is pattern times value.
 */
#include "measure/attribute_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/analysis.h"
#include "run/run_parts.h"

struct direct {
    struct attribution *out;
    struct run *r;
    const struct config *cfg;
    int32_t n, n_rows, d;
    int32_t rows[METRIC_TERMS_MAX]; /* positions that answer, each once */
    float *u;                       /* [n_rows][d_model] */
    double *sums;
};

static int memory(struct err *e)
{
    return err_memory(e, "attributions");
}

/* ---- directions ---- */

static int32_t row_of(const struct direct *k, const struct metric_term *t)
{
    return t->pos < 0 ? k->n + t->pos : t->pos;
}

static int rows_set(struct direct *k, const struct metric *m, struct err *e)
{
    int32_t row0, row1;
    int rc = metric_rows(m, k->n, &row0, &row1, e);
    for (int32_t i = 0; !rc && i < m->n; i++) {
        int32_t at = 0;
        if (m->terms[i].kind != METRIC_LOGIT)
            return err_set(
                e, ERR_BAD_INPUT,
                "dla · it takes sums of logit[pos, token] apart: others are no sum of what "
                "is in the stream · atp or ig take any metric");
        while (at < k->n_rows && k->rows[at] != row_of(k, &m->terms[i]))
            at++;
        k->rows[at] = row_of(k, &m->terms[i]);
        k->n_rows += at == k->n_rows;
    }
    return rc;
}

/* Of every row: the terms' directions, less their mean where the norm centres, over the norm's
 * scale; the constants of the terms. */
static int directions_set(struct direct *k, const struct metric *m, struct err *e)
{
    int64_t d = k->d;
    double *dir = malloc((size_t)((k->n_rows + 1) * d) * sizeof *dir), *sum = dir + d, constant = 0;
    if (!dir)
        return memory(e);
    for (int64_t i = 0; i < k->n_rows * d; i++)
        sum[i] = 0;
    int rc = 0;
    for (int32_t i = 0; !rc && i < m->n; i++) {
        const struct metric_term *t = &m->terms[i];
        int32_t at = 0;
        while (k->rows[at] != row_of(k, t))
            at++;
        rc = stack_direction(k->r, t->token, -1, dir, &constant, e);
        k->out->constant += rc ? 0 : t->factor * constant;
        for (int64_t j = 0; !rc && j < d; j++)
            sum[at * d + j] += t->factor * dir[j];
    }
    for (int32_t at = 0; !rc && at < k->n_rows; at++) {
        float scale;
        double mean = 0;
        rc = run_read(k->r, (struct site_ref){SITE_LNF_SCALE, SITE_ROOT}, k->rows[at],
                      k->rows[at] + 1, &scale, NULL, e);
        for (int64_t j = 0; j < d && k->cfg->norm_center; j++)
            mean += sum[at * d + j] / (double)d;
        for (int64_t j = 0; !rc && j < d; j++)
            k->u[at * d + j] = (float)((sum[at * d + j] - mean) / (double)scale);
    }
    free(dir);
    return rc;
}

/* The metric of the logits before their cap. */
static int metric_direct(struct direct *k, const struct metric *m, struct err *e)
{
    struct site_ref s = {SITE_UNEMBED_OUT, SITE_ROOT};
    float *logits = malloc((size_t)k->cfg->d_vocab * sizeof *logits);
    int rc = logits ? 0 : memory(e);
    for (int32_t at = 0; !rc && at < k->n_rows; at++) {
        rc = run_read(k->r, s, k->rows[at], k->rows[at] + 1, logits, NULL, e);
        for (int32_t i = 0; !rc && i < m->n; i++)
            if (row_of(k, &m->terms[i]) == k->rows[at])
                k->out->metric += m->terms[i].factor * (double)logits[m->terms[i].token];
    }
    free(logits);
    return rc;
}

/* The share of a site of the stream at the rows that answer. */
static int site_share(struct direct *k, struct site_ref s, double *out, struct err *e)
{
    float *x = malloc((size_t)k->d * sizeof *x);
    int rc = x ? 0 : memory(e);
    for (int32_t at = 0; !rc && at < k->n_rows; at++) {
        rc = run_read(k->r, s, k->rows[at], k->rows[at] + 1, x, NULL, e);
        for (int32_t j = 0; !rc && j < k->d; j++)
            *out += (double)x[j] * (double)k->u[at * k->d + j];
    }
    free(x);
    return rc;
}

/* Directions on what attention (or the MLP) is made of: back[n_rows][width of W]. */
static int branch_back(struct direct *k, int32_t layer, bool mlp, float **back, struct err *e)
{
    struct kn_view w = *run_device_weight(k->r, layer, mlp ? W_OUT : W_O), in = {0};
    struct kn_backend *be = stage_backend(k->r, layer + 1);
    int64_t width = w.shape[w.ndim - 1];
    struct buffer mem = {0};
    size_t n = (size_t)k->n_rows * (size_t)k->d;
    float *u = malloc((n + 1) * sizeof *u);
    *back = malloc((size_t)(k->n_rows * width) * sizeof **back);
    int rc = u && *back ? 0 : memory(e);
    if (!rc) {
        memcpy(u, k->u, n * sizeof *u);
        rc = stack_as_added(k->r, layer, mlp, k->rows, k->n_rows, u, 1, e);
    }
    struct kn_view host = kn_view2(u, KN_F32, k->n_rows, k->d);
    rc = rc ? rc : run_reserve(be, &mem, k->n_rows * width, e);
    rc = rc ? rc : run_status(be->type->import(be, &host, &in), e);
    struct kn_view to = kn_view2(mem.mem, KN_F32, k->n_rows, width);
    struct kn_call c = {.op = KN_OP_LINEAR, .out = {to}, .in = {in, kn_swap(w, 0, 1)}};
    rc = rc ? rc : run_status(kn_run(be, &c), e);
    rc = rc ? rc : run_fetch(be, &to, *back, e);
    be->type->forget(be, &in);
    run_release(&mem);
    free(u);
    return rc;
}

/* ---- parts ---- */

/* What stands in the stream before the first block. */
static int embed_share(struct direct *k, double *out, struct err *e)
{
    return site_share(k, (struct site_ref){SITE_RESID_PRE, 0}, out, e);
}

int32_t attribute_embeds(const struct config *cfg)
{
    return cfg->pos == POS_LEARNED && site_exists(cfg, SITE_EMBED) &&
                   site_exists(cfg, SITE_POS_EMBED)
               ? 2
               : 1;
}

static int by_layer(struct direct *k, struct err *e)
{
    struct attribute_axis *x = &k->out->axis[0];
    char(*label)[ATTRIBUTE_LABEL_MAX] = x->label;
    double *to = k->sums;
    bool both = attribute_embeds(k->cfg) == 2;
    int rc = both ? site_share(k, (struct site_ref){SITE_EMBED, SITE_ROOT}, to++, e)
                  : embed_share(k, to++, e);
    snprintf(*label++, ATTRIBUTE_LABEL_MAX, "embed");
    if (both && !rc) {
        rc = site_share(k, (struct site_ref){SITE_POS_EMBED, SITE_ROOT}, to++, e);
        snprintf(*label++, ATTRIBUTE_LABEL_MAX, "pos_embed");
    }
    for (int32_t l = 0; !rc && l < k->cfg->n_layers; l++) {
        snprintf(*label++, ATTRIBUTE_LABEL_MAX, "%d_attn_out", l);
        snprintf(*label++, ATTRIBUTE_LABEL_MAX, "%d_mlp_out", l);
        rc = site_share(k, (struct site_ref){site_attn_added(k->cfg), l}, to++, e);
        rc = rc ? rc : site_share(k, (struct site_ref){site_mlp_added(k->cfg), l}, to++, e);
    }
    x->size = (int32_t)(to - k->sums);
    return rc;
}

/* A head's z at one row along its direction, to[head]. */
static int heads_share(struct direct *k, int32_t layer, int32_t at, const float *back, double *to,
                       struct err *e)
{
    int64_t dh = k->cfg->d_head, width = k->cfg->n_heads * dh;
    float *z = malloc((size_t)width * sizeof *z);
    int rc = z ? 0 : memory(e);
    if (!rc)
        rc = run_read(k->r, (struct site_ref){SITE_Z, layer}, k->rows[at], k->rows[at] + 1, z, NULL,
                      e);
    for (int64_t i = 0; !rc && i < width; i++)
        to[i / dh] += (double)z[i] * (double)back[at * width + i];
    free(z);
    return rc;
}

/* The same by where it was taken from, to[head][n]: pattern times value.  Of a head whose z an edit
 * replaced nothing comes from elsewhere: its share stands at the row itself. */
static int sources_share(struct direct *k, int32_t layer, int32_t at, const float *back, double *to,
                         struct err *e)
{
    int64_t dh = k->cfg->d_head, heads = k->cfg->n_heads, n = k->n, kv = k->cfg->n_kv_heads;
    int32_t row = k->rows[at];
    bool edited = run_edited(k->r, layer + 1, SITE_Z);
    float *p = malloc((size_t)(heads * n + n * kv * dh) * sizeof *p), *v = p + heads * n;
    double *share = calloc((size_t)(heads + n), sizeof *share), *taken = share + heads;
    int rc = p && share ? heads_share(k, layer, at, back, share, e) : memory(e);
    if (!rc)
        rc = run_read(k->r, (struct site_ref){SITE_PATTERN, layer}, row, row + 1, p, NULL, e);
    if (!rc)
        rc = run_read(k->r, (struct site_ref){site_mixed(k->cfg), layer}, 0, k->n, v, NULL, e);
    for (int64_t h = 0; !rc && h < heads; h++) {
        const float *q = back + (at * heads + h) * dh;
        double sum = 0, size = 0;
        for (int64_t s = 0; s < n; s++) {
            const float *vs = v + (s * kv + h * kv / heads) * dh;
            double dot = 0;
            for (int64_t i = 0; i < dh; i++)
                dot += (double)vs[i] * (double)q[i];
            taken[s] = dot * (double)p[h * n + s];
            sum += taken[s], size += fabs(taken[s]);
        }
        bool replaced = edited && fabs(sum - share[h]) > 1e-4 * size;
        for (int64_t s = 0; s < n; s++)
            to[h * n + s] += replaced ? 0 : taken[s];
        to[h * n + row] += replaced ? share[h] : 0;
    }
    free(p), free(share);
    return rc;
}

static int by_head(struct direct *k, bool by_src, double *to, struct err *e)
{
    int rc = 0;
    int64_t each = (int64_t)k->cfg->n_heads * (by_src ? k->n : 1);
    for (int32_t l = 0; !rc && l < k->cfg->n_layers; l++) {
        float *back = NULL;
        rc = branch_back(k, l, false, &back, e);
        for (int32_t at = 0; !rc && at < k->n_rows; at++)
            rc = by_src ? sources_share(k, l, at, back, to + l * each, e)
                        : heads_share(k, l, at, back, to + l * each, e);
        free(back);
    }
    return rc;
}

static int by_neuron(struct direct *k, struct err *e)
{
    int64_t width = k->cfg->d_mlp;
    float *post = malloc((size_t)width * sizeof *post);
    int rc = post ? 0 : memory(e);
    for (int32_t l = 0; !rc && l < k->cfg->n_layers; l++) {
        float *back = NULL;
        if (!site_is_there(k->cfg, (struct site_ref){SITE_POST, l}))
            continue;
        rc = branch_back(k, l, true, &back, e);
        for (int32_t at = 0; !rc && at < k->n_rows; at++) {
            rc = run_read(k->r, (struct site_ref){SITE_POST, l}, k->rows[at], k->rows[at] + 1, post,
                          NULL, e);
            for (int64_t i = 0; !rc && i < width; i++)
                k->sums[l * width + i] += (double)post[i] * (double)back[at * width + i];
        }
        free(back);
    }
    free(post);
    return rc;
}

/* What heads took from each position; what is no head's stands where it is read. */
static int by_pos(struct direct *k, struct err *e)
{
    size_t heads = (size_t)k->cfg->n_layers * (size_t)k->cfg->n_heads, n = (size_t)k->n;
    double *each = calloc(heads * n + 1, sizeof *each);
    int rc = each ? by_head(k, true, each, e) : memory(e);
    for (size_t i = 0; !rc && i < heads * n; i++)
        k->sums[i % n] += each[i];
    /* of the whole stream at a row what is no head's: its own share less the heads' there */
    for (int32_t at = 0; !rc && at < k->n_rows; at++) {
        struct direct one = *k;
        double stream = 0, taken = 0;
        one.n_rows = 1, one.rows[0] = k->rows[at], one.u = k->u + at * k->d;
        rc = site_share(&one, (struct site_ref){SITE_RESID_POST, k->cfg->n_layers - 1}, &stream, e);
        memset(each, 0, heads * sizeof *each);
        rc = rc ? rc : by_head(&one, false, each, e);
        for (size_t h = 0; h < heads; h++)
            taken += each[h];
        k->sums[k->rows[at]] += rc ? 0 : stream - taken;
    }
    free(each);
    return rc;
}

static int direct_axes(struct direct *k, enum attribute_part part, struct err *e)
{
    struct attribution *a = k->out;
    struct attribute_axis layer = {.name = "layer", .size = k->cfg->n_layers};
    a->rank = 1;
    a->axis[0] = layer;
    if (part == ATTRIBUTE_BY_LAYER)
        a->axis[0] = (struct attribute_axis){.name = "component", .size = 2 + 2 * layer.size};
    else if (part == ATTRIBUTE_BY_POS)
        a->axis[0] = (struct attribute_axis){.name = "pos", .size = k->n, .position = true};
    else if (part == ATTRIBUTE_BY_NEURON)
        a->axis[a->rank++] = (struct attribute_axis){.name = "neuron", .size = k->cfg->d_mlp};
    else
        a->axis[a->rank++] = (struct attribute_axis){.name = "head", .size = k->cfg->n_heads};
    if (part == ATTRIBUTE_BY_HEAD_POS)
        a->axis[a->rank++] = (struct attribute_axis){.name = "src", .size = k->n, .position = true};
    int rc = part == ATTRIBUTE_BY_LAYER ? attribute_axis_labels(&a->axis[0], e) : 0;
    rc = rc ? rc : attribution_alloc(a, e);
    k->sums = rc ? NULL : calloc((size_t)attribution_count(a) + 1, sizeof *k->sums);
    return rc ? rc : k->sums ? 0 : memory(e);
}

/* A stream that is no sum, a model without logits or neurons, a head behind another layer. */
static int direct_check(const struct direct *k, enum attribute_part part, struct err *e)
{
    int rc = lens_check(run_model(k->r), e);
    if (!rc)
        rc = stack_check(k->cfg, "dla", e);
    if (!rc && !site_exists(k->cfg, SITE_LNF_SCALE))
        rc = err_set(e, ERR_BAD_INPUT, "dla · this model has no final norm to hold fixed");
    if (!rc && part == ATTRIBUTE_BY_NEURON && !site_exists(k->cfg, SITE_POST))
        rc = err_set(e, ERR_BAD_INPUT, "dla neuron · %s · layer tells MLPs apart",
                     config_lack(k->cfg, PROPERTY_DENSE));
    return rc;
}

int attribute_direct(struct attribution *out, struct run *r, const struct metric *m,
                     enum attribute_part part, struct err *e)
{
    struct attribution a = {0};
    const struct config *c = &run_model(r)->cfg;
    struct direct k = {.out = &a, .r = r, .cfg = c, .n = run_length(r), .d = c->d_model};
    int rc = direct_check(&k, part, e);
    if (!rc)
        rc = rows_set(&k, m, e);
    if (!rc && !(k.u = malloc((size_t)(k.n_rows * k.d + 1) * sizeof *k.u)))
        rc = memory(e);
    if (!rc)
        rc = direct_axes(&k, part, e);
    if (!rc)
        rc = directions_set(&k, m, e);
    if (!rc)
        rc = metric_direct(&k, m, e);
    if (!rc)
        rc = part == ATTRIBUTE_BY_LAYER    ? by_layer(&k, e)
             : part == ATTRIBUTE_BY_NEURON ? by_neuron(&k, e)
             : part == ATTRIBUTE_BY_POS    ? by_pos(&k, e)
                                           : by_head(&k, part == ATTRIBUTE_BY_HEAD_POS, k.sums, e);
    for (int64_t i = 0; !rc && i < attribution_count(&a); i++)
        a.values[i] = (float)k.sums[i], a.sum += k.sums[i];
    free(k.u), free(k.sums);
    if (rc)
        attribution_free(&a);
    else
        *out = a;
    return rc;
}
