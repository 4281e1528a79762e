/* test_grad_wide.c - gradients at every site of every family against central differences in double
 * precision: the block program computed a second time (wide.c) with the site nudged along random
 * directions.
 *
 * The same under edits of sites and of weights, on processed weights, and for on-request sites. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../host_apply.h"
#include "edit/edit.h"
#include "measure/grad.h"
#include "model/process.h"
#include "wide.h"

static const double VALUE_ERROR_MAX = 2e-5;    /* of the site's largest value */
static const double GRADIENT_ERROR_MAX = 1e-4; /* of the length of the site's gradient */
enum { DIRECTIONS = 3 };                       /* without edits; one with them */

static const char *const METRIC = "2 * logprob[-1, 3] - logit[2, 5] + 0.5 * loss + 3 * kl",
                         *const MASKED = "2 * logprob[-1, 3] - logit[2, 5] + 3 * kl"; /* no loss */

/* Edits, and one site moved along a direction after them. */
struct bend {
    const struct model *m;
    int32_t n;
    const struct edit_program *edits;
    struct wide *base;
    struct site_ref at;
    const double *direction; /* NULL: none */
    double step;
};

static bool has_edits(const struct bend *b, struct site_ref s)
{
    for (int32_t i = 0; b->edits && i < b->edits->n_instrs; i++)
        if (site_same(b->edits->instrs[i].site, s))
            return true;
    return false;
}

static bool changes(void *user, struct site_ref s)
{
    const struct bend *b = user;
    return (b->direction && site_same(b->at, s)) || has_edits(b, s);
}

static struct kn_view view_of(float *x, const struct config *cfg, enum site_id s, int32_t n)
{
    int64_t d[SITE_RANK_MAX];
    int rank = site_shape(cfg, s, n, d);
    return rank == 1   ? kn_view1(x, KN_F32, d[0])
           : rank == 2 ? kn_view2(x, KN_F32, d[0], d[1])
                       : kn_view3(x, KN_F32, d[0], d[1], d[2]);
}

static int32_t axis_at(const struct edit_axis *a, int32_t i)
{
    return a->list ? a->list[i] : a->lo + i;
}

static void project_out(const struct bend *b, const struct edit_instr *a, double *v)
{
    int64_t d = b->m->cfg.d_model;
    assert_int_equal(a->rank, 2);
    for (int32_t i = 0; i < a->axis[0].n; i++) {
        double *x = v + axis_at(&a->axis[0], i) * d, along = 0;
        for (int64_t k = 0; k < d; k++)
            along += x[k] * (double)a->vec[k];
        for (int64_t k = 0; k < d; k++)
            x[k] -= along * (double)a->vec[k];
    }
}

static void renormalize(const struct bend *b, const struct edit_instr *a, double *v)
{
    for (int32_t i = 0; i < a->axis[0].n; i++)
        for (int32_t j = 0; j < a->axis[1].n; j++) {
            double *row = v + ((int64_t)axis_at(&a->axis[0], i) * b->n + axis_at(&a->axis[1], j)) *
                                  b->n,
                   sum = 0;
            for (int32_t k = 0; k < b->n; k++)
                sum += row[k];
            for (int32_t k = 0; k < b->n; k++)
                row[k] /= sum;
        }
}

/* All other edits are y = slope * x + shift, element by element: what the engine's edit makes of 0,
 * 1 and 2. */
static void linear_edit(const struct bend *b, const struct edit_instr *a, double *v)
{
    assert_true(a->value != EDIT_CLAMP && a->value != EDIT_FROM && a->value != EDIT_MEAN);
    int64_t count = wide_count(b->base, a->site.id);
    float *probe[3], *frozen = malloc((size_t)count * sizeof *frozen);
    const double *base = wide_value(b->base, a->site);
    struct edit_instr plain = *a;
    plain.renormalize = false;
    for (int64_t k = 0; k < count; k++)
        frozen[k] = (float)base[k];
    struct kn_view src = view_of(frozen, &b->m->cfg, a->site.id, b->n);
    for (int i = 0; i < 3; i++) {
        probe[i] = malloc((size_t)count * sizeof *probe[i]);
        for (int64_t k = 0; k < count; k++)
            probe[i][k] = (float)i;
        struct kn_view x = view_of(probe[i], &b->m->cfg, a->site.id, b->n);
        host_apply(&plain, &x, 0, a->value == EDIT_FROZEN ? &src : NULL);
    }
    for (int64_t k = 0; k < count; k++) {
        double slope = (double)probe[2][k] - (double)probe[1][k];
        v[k] = (slope != 0 ? slope * v[k] : 0) + (double)probe[0][k];
    }
    for (int i = 0; i < 3; i++)
        free(probe[i]);
    free(frozen);
}

static void bend_site(void *user, struct site_ref s, double *v)
{
    const struct bend *b = user;
    for (int32_t i = 0; b->edits && i < b->edits->n_instrs; i++) {
        const struct edit_instr *a = &b->edits->instrs[i];
        if (!site_same(a->site, s))
            continue;
        (a->value == EDIT_PROJECT_OUT ? project_out : linear_edit)(b, a, v);
        if (a->renormalize)
            renormalize(b, a, v);
    }
    int64_t count = b->direction && site_same(b->at, s) ? wide_count(b->base, s.id) : 0;
    for (int64_t k = 0; k < count; k++)
        v[k] += b->step * b->direction[k];
}

/* ---- one model under one list of edits
 * ------------------------------------------------------------- */

struct site_grad {
    struct site_ref s;
    int32_t order; /* plan_order */
    double *g;
    double length;
};
struct scene {
    struct model *m;
    int32_t *tokens, n;
    struct run *base, *fork;
    struct wide *wide_base, *wide;
    struct metric metric;
    struct bend bend;
    struct wide_hook hook;
    struct site_grad *grads;
    int32_t n_grads;
};

static int keep(void *user, struct site_ref s, int32_t row0, int32_t row1, const struct kn_view *g,
                struct err *e)
{
    (void)e;
    struct scene *c = user;
    double *to = NULL;
    for (int32_t i = 0; i < c->n_grads; i++)
        if (site_same(c->grads[i].s, s))
            to = c->grads[i].g;
    assert_non_null(to);
    int axis = site_row_axis(s.id);
    int64_t d[3] = {1, 1, 1}, st[3] = {0}, full[3] = {1, 1, 1};
    int rank = site_shape(&c->m->cfg, s.id, c->n, full);
    for (int k = 0; k < rank; k++)
        d[k] = g->shape[k], st[k] = g->stride[k];
    assert_int_equal(d[axis], row1 - row0);
    for (int64_t i = 0; i < d[0] * d[1] * d[2]; i++) {
        int64_t at[3] = {i / (d[1] * d[2]), i / d[2] % d[1], i % d[2]};
        double x = (double)kn_f32(g)[at[0] * st[0] + at[1] * st[1] + at[2] * st[2]];
        at[axis] += row0;
        to[(at[0] * full[1] + at[1]) * full[2] + at[2]] = x;
    }
    return 0;
}

/* The engine's values under these edits are those of the double computation. */
static void check_values(struct scene *c, const char *where)
{
    for (int32_t i = 0; i < c->n_grads; i++) {
        struct site_ref s = c->grads[i].s;
        struct err e = {0};
        char name[LIMIT_NAME];
        int64_t count = wide_count(c->wide, s.id);
        float *x = malloc((size_t)count * sizeof *x), *y = malloc((size_t)count * sizeof *y);
        assert_int_equal(run_read(c->fork, s, 0, c->n, x, NULL, &e), 0);
        for (int64_t k = 0; k < count; k++)
            y[k] = (float)wide_value(c->wide, s)[k];
        double error = fixture_error(x, y, (size_t)count);
        if (!(error <= VALUE_ERROR_MAX))
            fail_msg("%s: %s differs by %g of its largest value", where, site_name(s, name), error);
        free(x), free(y);
    }
}

static double metric_at(struct scene *c, double step)
{
    c->bend.step = step;
    wide_run(c->wide, plan_order(c->m->plan, c->bend.at), &c->hook);
    return wide_metric(c->wide, c->wide_base, &c->metric);
}

static double length_of(const struct scene *c, const struct site_grad *sg)
{
    double sum = 0;
    for (int64_t k = 0; k < wide_count(c->wide, sg->s.id); k++)
        sum += sg->g[k] * sg->g[k];
    return sqrt(sum);
}

/* The longest gradient of a site with the same axes. */
static double family_length(const struct scene *c, enum site_id id)
{
    double most = 0;
    for (int32_t i = 0; i < c->n_grads; i++) {
        const struct site_grad *sg = &c->grads[i];
        if (!memcmp(site_table[sg->s.id].dims, site_table[id].dims, sizeof site_table[id].dims))
            most = fmax(most, sg->length);
    }
    return most;
}

/* Slopes along random corners of a cube, each element moved up or down.  Leaves the site and what
 * follows it moved. */
static double check_site(struct scene *c, const struct site_grad *sg, const char *where)
{
    static uint64_t seed = 1;
    int64_t count = wide_count(c->wide, sg->s.id);
    double *direction = malloc((size_t)count * sizeof *direction), worst = 0,
           family = family_length(c, sg->s.id);
    /* what is nearly zero is a difference of values on the scale of its family */
    double length = sg->length < 1e-4 * family ? family : sg->length;
    c->bend.at = sg->s;
    c->bend.direction = direction;
    for (int i = 0; i < (c->bend.edits ? 1 : DIRECTIONS); i++) {
        double mine = 0, slope = 0, error = INFINITY, most = GRADIENT_ERROR_MAX * length + 1e-8;
        for (int64_t k = 0; k < count; k++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            direction[k] = seed >> 63 ? 1 : -1;
            mine += direction[k] * sg->g[k];
        }
        /* the shorter step where a corner of a ReLU lies on the longer one */
        for (double h = 1e-5; h > 1e-8 && !(error <= most); h /= 100) {
            slope = (metric_at(c, h) - metric_at(c, -h)) / (2 * h);
            error = fabs(slope - mine);
        }
        char name[LIMIT_NAME];
        if (!(error <= most))
            fail_msg(
                "%s: d/d %s along direction %d is %.9g, the difference quotient %.9g, the gradient %g long",
                where, site_name(sg->s, name), i, mine, slope, length);
        worst = length > 0 ? fmax(worst, error / length) : worst;
    }
    c->bend.direction = NULL;
    free(direction);
    return worst;
}

/* A per-head input beside an edit of what it would replace: refused, not guessed. */
static bool is_hidden(const struct scene *c, struct site_ref s)
{
    bool per_head = s.id == SITE_ATTN_IN || s.id == SITE_Q_INPUT || s.id == SITE_K_INPUT ||
                    s.id == SITE_V_INPUT;
    for (int32_t i = 0; per_head && c->bend.edits && i < c->bend.edits->n_instrs; i++) {
        struct site_ref other = c->bend.edits->instrs[i].site;
        if (other.layer == s.layer && run_model(c->fork)->plan->conflicts[s.id][other.id]) {
            struct err e = {0};
            assert_int_equal(grad_run(c->fork, c->base, &c->metric, &s, 1, keep, NULL, &e),
                             ERR_BAD_INPUT);
            assert_non_null(strstr(e.text, "is edited"));
            return true;
        }
    }
    return false;
}

static void grads_collect(struct scene *c)
{
    struct err e = {0};
    struct site_ref *all = malloc((size_t)(c->m->cfg.n_layers + 1) * SITE_COUNT * sizeof *all);
    int n = site_list(&c->m->cfg, all), kept = 0;
    for (int i = 0; i < n; i++)
        if (!site_holds_ids(all[i].id) && !site_refusal(&c->m->cfg, all[i].id) &&
            !is_hidden(c, all[i]))
            all[kept++] = all[i];
    c->grads = malloc((size_t)kept * sizeof *c->grads);
    for (c->n_grads = 0; c->n_grads < kept; c->n_grads++)
        c->grads[c->n_grads] = (struct site_grad){
            .s = all[c->n_grads],
            .order = plan_order(c->m->plan, all[c->n_grads]),
            .g = calloc((size_t)wide_count(c->wide, all[c->n_grads].id), sizeof(double))};
    if (grad_run(c->fork, c->base, &c->metric, all, kept, keep, c, &e))
        fail_msg("%s", e.text);
    free(all);
}

static struct run *run_of(const struct model *m, struct run *base, const struct scene *c,
                          const struct edit_program *p, size_t cache)
{
    struct err e = {0};
    struct run *r = run_create(m, base, &(struct run_options){.cache_bytes = cache}, &e);
    if (!r ||
        run_sync(r, base ? (struct run_input){0} : run_ids(c->tokens, c->n), p, NULL, NULL, &e))
        fail_msg("%s", e.text);
    return r;
}

static int later_first(const void *a, const void *b)
{
    return ((const struct site_grad *)b)->order - ((const struct site_grad *)a)->order;
}

/* Every site, the last one first, so that what a check leaves moved is computed anew in the next;
 * returns how many, *worst the largest error. */
static int check_changed(const char *name, void (*change)(struct config *), unsigned process,
                         const char *const *edits, size_t cache, double *worst)
{
    struct fixture f = fixture_open(name);
    if (change)
        fixture_change(&f, change);
    struct scene c = {.m = f.m, .tokens = f.tokens, .n = f.n};
    struct err e = {0};
    char where[256];
    int32_t n_edits = 0;
    while (edits && edits[n_edits])
        n_edits++;
    snprintf(where, sizeof where, "%s, processing %u, %s", name, process,
             n_edits ? edits[0] : "no edits");
    if (process && process_model(f.m, process, &e))
        fail_msg("%s", e.text);
    assert_int_equal(
        metric_parse(&c.metric, f.m->cfg.n_types ? MASKED : METRIC, f.m->tok, f.m->cfg.d_vocab, &e),
        0);
    struct edit_program *p = n_edits ? fixture_program(f.m, f.n, edits, n_edits) : NULL;
    c.base = run_of(f.m, NULL, &c, NULL, cache), c.fork = run_of(f.m, c.base, &c, p, cache);
    c.wide_base = wide_create(f.m, f.tokens, f.n, NULL),
    c.wide = wide_create(f.m, f.tokens, f.n, p);
    c.bend = (struct bend){.m = f.m, .n = f.n, .edits = p, .base = c.wide_base};
    c.hook = (struct wide_hook){changes, bend_site, &c.bend};
    wide_run(c.wide_base, 0, NULL);
    wide_run(c.wide, 0, &c.hook);
    grads_collect(&c);
    check_values(&c, where);
    for (int32_t i = 0; i < c.n_grads; i++)
        c.grads[i].length = length_of(&c, &c.grads[i]);
    qsort(c.grads, (size_t)c.n_grads, sizeof *c.grads, later_first);
    for (int32_t i = 0; i < c.n_grads; i++) {
        *worst = fmax(*worst, check_site(&c, &c.grads[i], where));
        free(c.grads[i].g);
    }
    free(c.grads);
    run_free(c.fork), run_free(c.base);
    wide_free(c.wide), wide_free(c.wide_base);
    edit_program_free(p);
    fixture_close(&f);
    return c.n_grads;
}

static int check_scene(const char *name, unsigned process, const char *const *edits, size_t cache,
                       double *worst)
{
    return check_changed(name, NULL, process, edits, cache, worst);
}

/* ---- the scenes
 * ------------------------------------------------------------------------------------ */

static const char *const LISTS[][6] = {
    {NULL},
    {"blocks.0.attn.hook_z[:, 1] *= 0.5", "blocks.1.hook_mlp_in[1:] += 0.125"},
    {"blocks.0.hook_attn_out = project_out(dir(3, 4))",
     "blocks.1.mlp.hook_post *= noise(1, seed=2)"},
    {"blocks.0.hook_resid_pre += dir(1, 2)", "blocks.1.hook_mlp_out[1:] *= 3 * dir(5, 6)"},
    {"blocks.0.attn.hook_pattern[:, 1:, 0] *= 3, renormalize",
     "blocks.1.attn.hook_pattern[0, 2:, 1] = 0.5, renormalize"},
    {"blocks.1.attn.hook_pattern[:, 2] += 0.25 * frozen, renormalize",
     "blocks.0.hook_attn_out[1:] -= 0.5 * frozen"},
    {"blocks.0.hook_q_input[2:, 1] += 0.25", "blocks.1.hook_v_input[:, 0] *= 0.5",
     "blocks.1.attn.hook_result[1:, 0] *= 0.5"},
    {"blocks.0.attn.q.hook_in[1:] *= 1.5", "blocks.1.ln1.hook_scale *= 1.25",
     "blocks.0.ln2.hook_normalized[2:] += 0.1"},
    {"blocks.1.attn.hook_attn_scores[:, 3:, 1] = 0.5", "ln_final.hook_scale *= 1.1",
     "hook_embed[2] *= 0.5"},
    {"blocks.0.attn.hook_attn_scores[1, 2, 5] = 0.5",
     "blocks.1.attn.hook_pattern[0, 1, 4] += 0.25"}, /* later positions are seen */
};
/* Edits of weights, fused and grouped ones among them, alone and below edits of what they feed. */
static const char *const WEIGHTS[][6] = {
    {"blocks.0.attn.W_Q[1] *= 2", "blocks.1.attn.W_O[0, :, 3] -= 0.25", "blocks.0.ln1.w *= 1.5",
     "blocks.1.attn.W_Q[0, 3] += 0.25", "unembed.W_U[3] *= 2"},
    {"embed.W_E[:, 2] += 0.5", "blocks.1.mlp.W_in[2] = 0.125", "blocks.0.ln2.w[:4] *= -1",
     "ln_final.w[2:5] *= 3", "blocks.0.attn.W_V *= -0.5"},
    {"blocks.0.mlp.W_out = project_out(dir(3, 4))", "blocks.1.mlp.W_out = clamp(-0.05, 0.05)",
     "blocks.0.attn.W_K *= 1.5", "blocks.1.attn.b_Q += 0.5",
     "blocks.0.attn.W_O += 0.5 * dir(1, 2)"},
    {"blocks.0.attn.W_Q[1] *= 2", "blocks.0.ln1.w[:4] *= 1.5",
     "blocks.0.hook_q_input[2:, 1] += 0.25", "blocks.1.attn.W_O[0] *= -1",
     "blocks.1.attn.hook_result[1:, 0] *= 0.5"},
    {"blocks.0.attn.b_K -= 0.25", "blocks.{0,1}.attn.b_V += 0.25", "blocks.1.attn.b_O += 0.25",
     "blocks.{0,1}.mlp.b_out -= 0.5", "blocks.1.attn.hook_pattern[:, 1:, 0] *= 3, renormalize"},
};
static const char *const LEARNED_WEIGHTS[] = {
    "pos_embed.W_pos[4] += 0.5", "pos_embed.W_pos[5:, 2] *= 2", "hook_embed[2] *= 0.5", NULL};
static const char *const CENTRED_WEIGHTS[] = {"blocks.1.ln1.b[3] += 1", "blocks.0.mlp.b_in[5] += 2",
                                              "ln_final.b += 0.1", "unembed.b_U[7] += 5", NULL};
static const char *const GATED_WEIGHTS[] = {"blocks.0.mlp.W_gate[:, 4] *= -1",
                                            "blocks.1.mlp.W_gate *= 2",
                                            "blocks.1.mlp.gate.hook_in[2] = 0.25", NULL};
static const char *const ROTARY[] = {"rotary_emb.hook_cos[2:, 1] *= 0.5",
                                     "rotary_emb.hook_sin[4] = 0.25",
                                     "blocks.1.attn.hook_rot_k[:, 0] *= 2", NULL};
static const char *const GATED[] = {"blocks.0.mlp.act.hook_out[1:, 3:9] *= -0.5",
                                    "blocks.1.mlp.gate.hook_in[2] = 0.25",
                                    "blocks.1.mlp.in.hook_in[:, 2] -= 1", NULL};

/* Routers and experts; what the router decides is the same on both sides of a step. */
static const char *const MIXTURES[][6] = {
    {NULL},
    {"blocks.0.attn.hook_z[:, 1] *= 0.5", "blocks.1.hook_mlp_in[1:] += 0.125"},
    {"blocks.0.mlp.gate.hook_out[2:] *= 1.5", "blocks.1.mlp.hook_expert_weights[:, 1] *= 3"},
    {"blocks.0.mlp.hook_router_scores[3:] *= 0.5",
     "blocks.1.mlp.experts.hook_gate[:, 0, 2:] += 0.25"},
    {"blocks.0.mlp.experts.hook_pre[1:, 1] *= -1", "blocks.1.mlp.experts.hook_post *= 0.75",
     "blocks.0.mlp.experts.hook_out[-1] += 0.5"},
    {"blocks.0.mlp.W_gate[2] *= 0.5", "blocks.1.mlp.experts.3.W_in[:, 4] *= 2",
     "blocks.0.mlp.experts.1.W_out *= -1", "blocks.1.mlp.experts.{0..4}.W_gate += 0.125"},
};
static const char *const ENCODERS[][6] = {
    {NULL},
    {"blocks.0.attn.hook_z[:, 1] *= 0.5", "blocks.1.hook_mlp_in[1:] += 0.125"},
    {"hook_full_embed[2] *= 0.5", "blocks.0.attn.hook_pattern[:, :, 0] *= 3, renormalize",
     "blocks.1.hook_normalized_resid_post[3:] += 0.25"},
    {"blocks.0.hook_q_input[2:, 1] += 0.25", "blocks.1.attn.hook_result[1:, 0] *= 0.5",
     "mlm_head.hook_post *= 1.5"},
    {"blocks.0.ln1.w *= 1.5", "embed.ln.b += 0.25", "mlm_head.W[:, 3] *= 2",
     "blocks.1.mlp.W_in[2] = 0.125"},
};

/* Families whose blocks are others: each has its own scenes. */
static void test_others(void **state)
{
    (void)state;
    double worst = 0;
    int n = 0;
    for (size_t i = 0; i < sizeof MIXTURES / sizeof *MIXTURES; i++)
        n += check_scene("mixtral", 0, MIXTURES[i], i % 2 ? SIZE_MAX / 2 : 0, &worst) +
             check_scene("gpt_oss", 0, MIXTURES[i], i % 2 ? 0 : SIZE_MAX / 2, &worst);
    n += check_scene("qwen3_moe", 0, MIXTURES[0], 0, &worst);
    n += check_scene("olmoe", 0, MIXTURES[0], 0, &worst);
    for (size_t i = 0; i < sizeof ENCODERS / sizeof *ENCODERS; i++)
        n += check_scene("bert", 0, ENCODERS[i], i % 2 ? SIZE_MAX / 2 : 0, &worst);
    print_message("%d gradients, largest error: %.2g of their length\n", n, worst);
}

static void test_families(void **state)
{
    (void)state;
    char **names = fixture_names(true);
    double worst = 0;
    int n = 0;
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        bool rotary = f.m->cfg.pos == POS_ROTARY, learned = f.m->cfg.pos == POS_LEARNED,
             gated = f.m->cfg.gated,
             centred = f.m->cfg.norm_center && !gated; /* a gated MLP has no b_in of its own */
        fixture_close(&f);
        for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++)
            n += check_scene(*name, 0, LISTS[i], i % 2 ? SIZE_MAX / 2 : 0, &worst);
        n += rotary ? check_scene(*name, 0, ROTARY, 0, &worst) : 0;
        n += gated ? check_scene(*name, 0, GATED, 0, &worst) : 0;
        for (size_t i = 0; i < sizeof WEIGHTS / sizeof *WEIGHTS; i++)
            n += check_scene(*name, 0, WEIGHTS[i], i % 2 ? SIZE_MAX / 2 : 0, &worst);
        n += learned ? check_scene(*name, 0, LEARNED_WEIGHTS, 0, &worst) : 0;
        n += centred ? check_scene(*name, 0, CENTRED_WEIGHTS, SIZE_MAX / 2, &worst) : 0;
        n += gated ? check_scene(*name, 0, GATED_WEIGHTS, 0, &worst) : 0;
    }
    fixture_names_free(names);
    print_message("%d gradients, largest error: %.2g of their length\n", n, worst);
    assert_true(n > 4900);
}

static void test_processed(void **state)
{
    (void)state;
    char **names = fixture_names(true);
    double worst = 0;
    int n = 0;
    for (char **name = names; *name; name++) {
        n += check_scene(*name, PROCESS_USUAL, LISTS[0], 0, &worst);
        n += check_scene(*name, PROCESS_USUAL, LISTS[1], SIZE_MAX / 2, &worst);
        n += check_scene(*name, PROCESS_USUAL, WEIGHTS[0], 0, &worst);
    }
    n += check_scene("gpt2", PROCESS_USUAL | PROCESS_REFACTOR, LISTS[1], 0, &worst);
    fixture_names_free(names);
    print_message("%d gradients, largest error: %.2g of their length\n", n, worst);
}

static void look_both_ways(struct config *cfg)
{
    cfg->bidirectional = true;
}

static void cap_scores(struct config *cfg)
{
    cfg->softcap = 0.25;
}

/* What no family of the fixtures has yet. */
static void test_properties(void **state)
{
    (void)state;
    char **names = fixture_names(true);
    double worst = 0;
    int n = 0;
    for (char **name = names; *name; name++)
        for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) {
            size_t cache = i % 2 ? SIZE_MAX / 2 : 0;
            n += check_changed(*name, look_both_ways, 0, LISTS[i], cache, &worst);
            n += check_changed(*name, cap_scores, 0, LISTS[i], cache, &worst);
        }
    fixture_names_free(names);
    print_message("%d gradients, largest error: %.2g of their length\n", n, worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_processed),
        cmocka_unit_test(test_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
