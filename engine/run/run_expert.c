/* run_expert.c - rows that go to experts: which ones, and the product of each expert with its rows.
 *
 * The indices of a pass come to the host, where the rows of an expert are gathered into one
 * product; an expert that no row goes to is not touched.  A row has the bits that it has alone
 * (ops.def), whatever rows stand beside it.  Tested in tests/engine/test_run.c, test_incremental.c.
 */
#include "run/run_parts.h"

#include <stdlib.h>

int run_expert_numbers(const struct run *r, int32_t stage, int32_t r0, const float *x, int32_t *out,
                       int64_t n, struct err *e)
{
    int32_t k = r->m->cfg.n_active, experts = r->m->cfg.n_experts;
    for (int64_t i = 0; i < n; i++) {
        out[i] = x[i] >= 0 && x[i] < (float)experts ? (int32_t)x[i] : -1;
        if ((float)out[i] != x[i])
            return err_set(e, ERR_BAD_INPUT,
                           "blocks.%d.mlp.hook_expert_indices[%d, %d] = %g · not an expert · 0..%d",
                           stage - 1, r0 + (int32_t)(i / k), (int32_t)(i % k), (double)x[i],
                           experts - 1);
    }
    return 0;
}

int run_routes(struct run *r, const struct frame *f, int32_t stage, int32_t r0, int32_t r1,
               const int32_t **out, struct err *e)
{
    struct routes *t = &r->routes;
    uint64_t base = r->base ? r->base->version : 0;
    int64_t n = (int64_t)(r1 - r0) * r->m->cfg.n_active;
    *out = t->expert;
    if (f && t->of == f && t->stage == stage && t->r0 == r0 && t->r1 == r1 &&
        t->version == r->version && t->base_version == base)
        return 0;
    t->of = NULL;
    int32_t *more = realloc(t->expert, (size_t)n * 2 * sizeof *more);
    if (!more)
        return err_memory(e, "where rows go");
    *out = t->expert = more;
    float *x = (float *)(more + n);
    struct kn_view v;
    int rc = 0;
    if (f)
        v = run_rows(r, f, stage, SITE_EXPERT_INDICES, r0, r1 - r0, 0);
    else
        rc = run_view(r, (struct site_ref){SITE_EXPERT_INDICES, stage - 1}, r0, r1, &v, e);
    if (rc || (rc = run_fetch(stage_backend(r, stage), &v, x, e)) ||
        (rc = run_expert_numbers(r, stage, r0, x, more, n, e)))
        return rc;
    *t = (struct routes){more, f, stage, r0, r1, r->version, base};
    return 0;
}

int run_layer_experts(struct run *r, int32_t layer, int32_t row0, int32_t row1, const int32_t **out,
                      struct err *e)
{
    return run_routes(r, NULL, layer + 1, row0, row1, out, e);
}

/* Rows by expert: where each one's begin, and from which row to which they go. */
struct sorted {
    int32_t *from, *to;     /* [n] */
    int32_t *first;         /* [n_experts + 1] */
    struct kn_view list[2]; /* from and to, for operations */
};

static int sort_rows(struct run *r, int32_t stage, const struct expert_product *p, struct sorted *s,
                     struct err *e)
{
    int32_t n = p->rows * r->m->cfg.n_active, experts = r->m->cfg.n_experts;
    struct kn_backend *be = stage_backend(r, stage);
    *s = (struct sorted){.from = calloc((size_t)n * 2 + (size_t)experts + 2, sizeof *s->from)};
    if (!s->from)
        return err_memory(e, "where rows go");
    s->to = s->from + n, s->first = s->to + n;
    for (int32_t i = 0; i < n; i++)
        s->first[p->expert[i] + 1]++;
    for (int32_t i = 0; i < experts; i++)
        s->first[i + 1] += s->first[i];
    for (int32_t i = 0; i < n; i++) { /* first[] moves on to the next expert's place */
        int32_t at = s->first[p->expert[i]]++;
        s->from[at] = p->x.shape[0] == n ? i : i / r->m->cfg.n_active, s->to[at] = i;
    }
    for (int32_t i = experts; i > 0; i--)
        s->first[i] = s->first[i - 1];
    s->first[0] = 0;
    struct kn_view host[2] = {kn_view1(s->from, KN_I32, n), kn_view1(s->to, KN_I32, n)};
    enum kn_status st = be->type->import(be, &host[0], &s->list[0]);
    return run_status(st ? st : be->type->import(be, &host[1], &s->list[1]), e);
}

static void sorted_free(struct run *r, int32_t stage, struct sorted *s)
{
    struct kn_backend *be = stage_backend(r, stage);
    for (int i = 0; i < 2; i++)
        be->type->forget(be, &s->list[i]);
    free(s->from);
}

/* The product of one expert with its rows, in one call: gathered and put back where they are more
 * than one. */
static int expert_multiply(struct run *r, int32_t stage, const struct expert_product *p,
                           const struct sorted *s, int32_t expert, struct err *e)
{
    struct kn_backend *be = stage_backend(r, stage);
    int32_t row = weight_row(&r->m->cfg, stage - 1, expert), lo = s->first[expert],
            hi = s->first[expert + 1];
    int rc = run_status(model_import_weight(r->m, row, p->weight), e);
    if (!rc && p->bias)
        rc = run_status(model_import_weight(r->m, row, p->bias), e);
    if (rc)
        return rc;
    struct kn_view w = *run_device_weight(r, row, p->weight);
    struct kn_call c = {.op = KN_OP_LINEAR};
    c.in[1] = p->back ? kn_swap(w, w.ndim - 2, w.ndim - 1) : w;
    if (p->bias)
        c.in[2] = *run_device_weight(r, row, p->bias);
    if (hi - lo == 1) {
        c.in[0] = kn_slice(p->x, 0, s->from[lo], s->from[lo] + 1);
        c.out[0] = kn_slice(p->out, 0, s->to[lo], s->to[lo] + 1);
        return run_status(kn_run(be, &c), e);
    }
    int64_t k = p->x.shape[1], n = p->out.shape[1];
    if ((rc = run_reserve(be, &r->shared[0], (hi - lo) * k, e)) ||
        (rc = run_reserve(be, &r->shared[1], (hi - lo) * n, e)))
        return rc;
    c.in[0] = kn_view2(r->shared[0].mem, KN_F32, hi - lo, k);
    c.out[0] = kn_view2(r->shared[1].mem, KN_F32, hi - lo, n);
    struct kn_call gather = {.op = KN_OP_EMBED, .p = {.scale = 1}, .out = {c.in[0]}},
                   place = {.op = KN_OP_PLACE, .out = {p->out}};
    gather.in[0] = kn_slice(s->list[0], 0, lo, hi), gather.in[1] = p->x;
    place.in[0] = kn_slice(s->list[1], 0, lo, hi), place.in[1] = c.out[0];
    if (!(rc = run_status(kn_run(be, &gather), e)) && !(rc = run_status(kn_run(be, &c), e)))
        rc = run_status(kn_run(be, &place), e);
    return rc;
}

int run_experts(struct run *r, int32_t stage, const struct expert_product *p, struct err *e)
{
    struct sorted s;
    int rc = sort_rows(r, stage, p, &s, e);
    for (int32_t i = 0; !rc && i < r->m->cfg.n_experts; i++)
        if (s.first[i + 1] > s.first[i])
            rc = expert_multiply(r, stage, p, &s, i, e);
    sorted_free(r, stage, &s);
    return rc;
}
