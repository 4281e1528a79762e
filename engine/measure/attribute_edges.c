/* attribute_edges.c - edges of the stream: from what a part adds to it to what a later one reads of
 * it (see attribute.h).
 *
 * Senders: the stream that enters block 0, every head, every MLP, as they are added (norms behind
 * them at the scale of their own run).  Receivers: the queries, keys and values of every head,
 * every MLP, the stream that leaves the last block; each reads the stream before its norm.  Names
 * are EAP-IG's: "input", "a0.h1", "m0", "a1.h2<q>", "logits".  All senders before a receiver add up
 * to what it reads, so their edges add up to attribution patching there. */
#include "measure/attribute_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/analysis.h"
#include "run/run_parts.h"

struct edges {
    struct attribution *out;
    struct pair *pair;
    struct run *r;
    const struct config *cfg;
    int32_t n, senders, receivers;
    float *added; /* [senders][n][d_model]: put - value */
    float *read;  /* gradients of a block of rows, [heads][rows][d_model]; then scores */
    size_t room;  /* floats of it */
    double *sums; /* [senders][receivers] */
    double weight;
    struct attribute_put put;
};

static int32_t sender_of(const struct edges *k, int32_t layer)
{
    return 1 + layer * (k->cfg->n_heads + 1);
}

static int32_t receiver_of(const struct edges *k, int32_t layer)
{
    return layer * (k->cfg->n_heads + 2 * k->cfg->n_kv_heads + 1);
}

/* ---- what is added ---- */

/* z[n][heads][d_head] as heads add it, to x[heads][n][d_model]. */
static int heads_added(struct edges *k, int32_t layer, float *z, float *x, struct err *e)
{
    int64_t n = k->n, d = k->cfg->d_model, dh = k->cfg->d_head, heads = k->cfg->n_heads;
    struct kn_backend *be = stage_backend(k->r, layer + 1);
    struct kn_view host = kn_view3(z, KN_F32, n, heads, dh), in = {0},
                   wo = *run_device_weight(k->r, layer, W_O);
    struct buffer mem = {0};
    int rc = run_reserve(be, &mem, n * d, e);
    if (!rc)
        rc = run_status(be->type->import(be, &host, &in), e);
    struct kn_view one = kn_view2(mem.mem, KN_F32, n, d);
    for (int64_t h = 0; !rc && h < heads; h++) {
        struct kn_call c = {.op = KN_OP_LINEAR,
                            .out = {one},
                            .in = {kn_index(in, 1, h), kn_slice(wo, 1, h * dh, (h + 1) * dh)}};
        rc = run_status(kn_run(be, &c), e);
        rc = rc ? rc : run_fetch(be, &one, x + h * n * d, e);
    }
    be->type->forget(be, &in);
    run_release(&mem);
    return rc;
}

/* What x of the run is of the sum, at the scale of the norm behind it that the run had, or `scale`.
 */
static int norm_behind(struct edges *k, int32_t layer, float *x, const float *scale,
                       const float *own, struct err *e)
{
    int32_t *rows = malloc((size_t)k->n * sizeof *rows);
    size_t d = (size_t)k->cfg->d_model, n = (size_t)k->n, heads = (size_t)k->cfg->n_heads;
    if (!rows)
        return err_memory(e, "attributions");
    for (int32_t i = 0; i < k->n; i++)
        rows[i] = i;
    int rc = stack_as_added(k->r, layer, false, rows, k->n, x, k->cfg->n_heads, e);
    for (size_t i = 0; !rc && i < heads * n && scale; i++)
        for (size_t j = 0; j < d && scale[i % n] != own[i % n]; j++)
            x[i * d + j] *= own[i % n] / scale[i % n];
    free(rows);
    return rc;
}

/* The site whose scale a norm behind attention has, or SITE_COUNT. */
static enum site_id scale_behind(const struct config *cfg)
{
    return cfg->norm_place == NORM_BOTH    ? SITE_LN1_POST_SCALE
           : cfg->norm_place == NORM_AFTER ? SITE_LN1_SCALE
                                           : SITE_COUNT;
}

static int layer_heads(struct edges *k, int32_t layer, struct err *e)
{
    size_t n = (size_t)k->n, d = (size_t)k->cfg->d_model, heads = (size_t)k->cfg->n_heads,
           size = n * heads * (size_t)k->cfg->d_head;
    enum site_id norm = scale_behind(k->cfg);
    float *z = malloc((2 * size + 2 * n + heads * n * d) * sizeof *z), *put = z + size,
          *own = put + size, *scale = own + n, *x = scale + n,
          *to = k->added + (size_t)sender_of(k, layer) * n * d;
    if (!z)
        return err_memory(e, "attributions");
    int rc = attribute_put_values(k->put.fork, k->r, (struct site_ref){SITE_Z, layer}, 0, k->n, z,
                                  put, e);
    if (!rc && norm == SITE_COUNT) { /* linear: once, of the difference */
        for (size_t i = 0; i < size; i++)
            put[i] -= z[i];
        rc = heads_added(k, layer, put, to, e);
    } else if (!rc) {
        rc = attribute_put_values(k->put.fork, k->r, (struct site_ref){norm, layer}, 0, k->n, own,
                                  scale, e);
        rc = rc ? rc : heads_added(k, layer, put, to, e);
        rc = rc ? rc : heads_added(k, layer, z, x, e);
        rc = rc ? rc : norm_behind(k, layer, to, scale, own, e);
        rc = rc ? rc : norm_behind(k, layer, x, NULL, own, e);
        for (size_t i = 0; !rc && i < heads * n * d; i++)
            to[i] -= x[i];
    }
    free(z);
    return rc;
}

/* A sender that is one site. */
static int site_added(struct edges *k, struct site_ref s, int32_t sender, struct err *e)
{
    size_t n = (size_t)k->n * (size_t)k->cfg->d_model;
    float *x = malloc(n * sizeof *x), *to = k->added + (size_t)sender * n;
    int rc = x ? attribute_put_values(k->put.fork, k->r, s, 0, k->n, x, to, e)
               : err_memory(e, "attributions");
    for (size_t i = 0; !rc && i < n; i++)
        to[i] -= x[i];
    free(x);
    return rc;
}

static int senders_fill(struct edges *k, struct err *e)
{
    size_t bytes = (size_t)k->senders * (size_t)k->n * (size_t)k->cfg->d_model * sizeof *k->added;
    if (bytes > LIMIT_STACK_BYTES)
        return err_set(e, ERR_BAD_INPUT,
                       "edges · what %d senders add takes %.1f GB, at most %.1f · a shorter prompt",
                       k->senders, (double)bytes * 1e-9, LIMIT_STACK_BYTES * 1e-9);
    if (!(k->added = malloc(bytes)))
        return err_memory(e, "attributions");
    int rc = site_added(k, (struct site_ref){SITE_RESID_PRE, 0}, 0, e);
    for (int32_t l = 0; !rc && l < k->cfg->n_layers; l++) {
        rc = layer_heads(k, l, e);
        if (!rc)
            rc = site_added(k, (struct site_ref){site_mlp_added(k->cfg), l},
                            sender_of(k, l + 1) - 1, e);
    }
    return rc;
}

/* ---- what is read ---- */

static const enum site_id inputs[] = {SITE_Q_INPUT, SITE_K_INPUT, SITE_V_INPUT, SITE_MLP_IN};
enum { INPUTS = sizeof inputs / sizeof *inputs };

/* Where a site's receivers begin, and how many senders come before them. */
static int32_t receivers_of(const struct edges *k, struct site_ref s, int32_t *before)
{
    int32_t heads = k->cfg->n_heads, kv = k->cfg->n_kv_heads, at = receiver_of(k, s.layer);
    *before = s.id == SITE_RESID_POST                    ? k->senders
              : s.id == SITE_MLP_IN && !k->cfg->parallel ? sender_of(k, s.layer + 1) - 1
                                                         : sender_of(k, s.layer);
    return s.id == SITE_RESID_POST ? k->receivers - 1
           : s.id == SITE_Q_INPUT  ? at
           : s.id == SITE_K_INPUT  ? at + heads
           : s.id == SITE_V_INPUT  ? at + heads + kv
                                   : at + heads + 2 * kv;
}

static int read_room(struct edges *k, size_t floats, struct err *e)
{
    if (floats <= k->room)
        return 0;
    free(k->read);
    k->read = malloc(floats * sizeof *k->read);
    k->room = k->read ? floats : 0;
    return k->read ? 0 : err_memory(e, "attributions");
}

/* Scores of one site's receivers over rows [row0, row1): a product of gradients and differences. */
static int edges_take(void *user, struct site_ref s, int32_t row0, int32_t row1,
                      const struct kn_view *g, struct err *e)
{
    struct edges *k = user;
    int32_t before, first = receivers_of(k, s, &before);
    int64_t rows = row1 - row0, d = k->cfg->d_model, heads = g->ndim == 3 ? g->shape[1] : 1;
    struct kn_backend *be = k->r->m->be;
    struct buffer mem = {0};
    int rc = read_room(k, (size_t)(heads * rows * d + heads * before), e);
    rc = rc ? rc : run_reserve(be, &mem, heads * before, e);
    if (rc)
        return rc;
    float *scores = k->read + heads * rows * d;
    struct kn_view by_head = g->ndim == 3 ? kn_swap(*g, 0, 1) : *g,
                   x = kn_view2(k->read, KN_F32, heads, rows * d),
                   w = kn_slice(kn_view2(k->added, KN_F32, before, k->n * d), 1, row0 * d,
                                row1 * d);
    kn_pack(&by_head, k->read);
    struct kn_call c = {.op = KN_OP_LINEAR, .out = {kn_view2(mem.mem, KN_F32, heads, before)}};
    rc = run_status(be->type->import(be, &x, &c.in[0]), e);
    rc = rc ? rc : run_status(be->type->import(be, &w, &c.in[1]), e);
    rc = rc ? rc : run_status(kn_run(be, &c), e);
    rc = rc ? rc : run_fetch(be, &c.out[0], scores, e);
    be->type->forget(be, &c.in[0]), be->type->forget(be, &c.in[1]);
    run_release(&mem);
    for (int64_t h = 0; !rc && h < heads; h++)
        for (int64_t u = 0; u < before; u++)
            k->sums[u * k->receivers + first + h] += k->weight * (double)scores[h * before + u];
    return rc;
}

static int receivers_fill(struct edges *k, const struct pair_target *t, const struct metric *m,
                          const struct attribute_options *o, struct err *e)
{
    int32_t layers = k->cfg->n_layers, n = 0, steps = o->steps ? o->steps : ATTRIBUTE_STEPS;
    struct site_ref *sites = malloc(((size_t)layers * INPUTS + 1) * sizeof *sites);
    size_t size = (size_t)k->n * (size_t)k->cfg->d_model;
    float *x = malloc(2 * size * sizeof *x);
    struct attribute_path w = {k->pair, t, m, {SITE_RESID_PRE, 0}, x, x ? x + size : NULL};
    int rc = sites && x ? 0 : err_memory(e, "attributions");
    for (int32_t l = 0; !rc && l < layers; l++)
        for (int i = 0; i < INPUTS; i++)
            sites[n++] = (struct site_ref){inputs[i], l};
    if (!rc)
        sites[n++] = (struct site_ref){SITE_RESID_POST, layers - 1};
    if (!rc && o->method == ATTRIBUTE_EAP)
        rc = grad_run(k->r, pair_run(k->pair, FACE_BASE), m, sites, n, edges_take, k, e);
    else if (!rc) {
        k->weight = 1.0 / steps;
        rc = attribute_put_values(k->put.fork, k->r, w.site, 0, k->n, x, x + size, e);
        for (int32_t s = steps; !rc && s > 0; s--) /* from the put to the values, which are met */
            rc = attribute_path_grad(&w, 1 - (double)s / steps, sites, n, edges_take, k, e);
        struct err other;
        int back = attribute_path_end(k->pair, t, rc ? &other : e);
        rc = rc ? rc : back;
    }
    free(sites), free(x);
    return rc;
}

/* ---- all of it ---- */

static int edges_axes(struct edges *k, struct err *e)
{
    struct attribution *a = k->out;
    int32_t heads = k->cfg->n_heads, kv = k->cfg->n_kv_heads;
    a->rank = 2;
    a->axis[0] = (struct attribute_axis){.name = "sender", .size = k->senders};
    a->axis[1] = (struct attribute_axis){.name = "receiver", .size = k->receivers};
    int rc = attribute_axis_labels(&a->axis[0], e);
    if (rc || (rc = attribute_axis_labels(&a->axis[1], e)) || (rc = attribution_alloc(a, e)))
        return rc;
    char(*u)[ATTRIBUTE_LABEL_MAX] = a->axis[0].label, (*v)[ATTRIBUTE_LABEL_MAX] = a->axis[1].label;
    snprintf(*u++, ATTRIBUTE_LABEL_MAX, "input");
    for (int32_t l = 0; l < k->cfg->n_layers; l++) {
        for (int32_t h = 0; h < heads; h++)
            snprintf(*u++, ATTRIBUTE_LABEL_MAX, "a%d.h%d", l, h);
        snprintf(*u++, ATTRIBUTE_LABEL_MAX, "m%d", l);
        for (int32_t i = 0; i < heads + 2 * kv; i++)
            snprintf(*v++, ATTRIBUTE_LABEL_MAX, "a%d.h%d<%c>", l, i < heads ? i : (i - heads) % kv,
                     i < heads        ? 'q'
                     : i < heads + kv ? 'k'
                                      : 'v');
        snprintf(*v++, ATTRIBUTE_LABEL_MAX, "m%d", l);
    }
    snprintf(*v, ATTRIBUTE_LABEL_MAX, "logits");
    return 0;
}

/* A receiver hears the senders before it. */
static int edges_there(struct edges *k, struct err *e)
{
    bool *there = calloc((size_t)attribution_count(k->out), sizeof *there);
    if (!(k->out->there = there))
        return err_memory(e, "attributions");
    for (int32_t l = 0; l < k->cfg->n_layers; l++)
        for (int i = 0; i <= INPUTS; i++) {
            struct site_ref s = {i < INPUTS ? inputs[i] : SITE_RESID_POST, l};
            int64_t shape[SITE_RANK_MAX];
            int rank = site_shape(k->cfg, s.id, 1, shape);
            int32_t before, first = receivers_of(k, s, &before);
            for (int32_t h = 0; h < (rank == 3 ? shape[1] : 1); h++)
                for (int32_t u = 0; u < before; u++)
                    there[u * k->receivers + first + h] = true;
        }
    return 0;
}

static int put_open(struct edges *k, const struct pair_target *t, const struct attribute_options *o,
                    struct err *e)
{
    char mlp[LIMIT_NAME], norm[LIMIT_NAME];
    const char *hooks[] = {"blocks.0.hook_resid_pre", "blocks.*.attn.hook_z", mlp, norm};
    enum site_id behind = scale_behind(k->cfg);
    snprintf(mlp, sizeof mlp, "blocks.*.%s", site_table[site_mlp_added(k->cfg)].name);
    if (behind != SITE_COUNT)
        snprintf(norm, sizeof norm, "blocks.*.%s", site_table[behind].name);
    int rc = attribute_put_open(&k->put, k->pair, t, hooks, 3, o, e);
    /* what another run adds has been through that run's norms */
    if (rc || behind == SITE_COUNT || !attribute_put_reads_run(&k->put))
        return rc;
    attribute_put_close(&k->put);
    return attribute_put_open(&k->put, k->pair, t, hooks, 4, o, e);
}

int attribute_edges(struct attribution *out, struct pair *p, const struct pair_target *t,
                    const struct metric *m, const struct attribute_options *o, struct err *e)
{
    struct run *r = pair_shown(p);
    const struct config *c = &run_model(r)->cfg;
    struct edges k = {.out = out, .pair = p, .r = r, .cfg = c, .n = run_length(r), .weight = 1};
    k.senders = sender_of(&k, c->n_layers);
    k.receivers = receiver_of(&k, c->n_layers) + 1;
    int rc = stack_check(c, attribute_method_name(o->method), e);
    if (!rc)
        rc = edges_axes(&k, e);
    if (!rc)
        rc = edges_there(&k, e);
    if (!rc && !(k.sums = calloc((size_t)attribution_count(out), sizeof *k.sums)))
        rc = err_memory(e, "attributions");
    if (!rc)
        rc = put_open(&k, t, o, e);
    if (!rc)
        rc = senders_fill(&k, e);
    if (!rc)
        rc = receivers_fill(&k, t, m, o, e);
    for (int64_t i = 0; !rc && i < attribution_count(out); i++)
        out->values[i] = (float)k.sums[i], out->sum += k.sums[i];
    attribute_put_close(&k.put);
    free(k.sums), free(k.added), free(k.read);
    return rc;
}
