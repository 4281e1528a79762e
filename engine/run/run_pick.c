/* run_pick.c - logits of a few tokens: the product with their rows of the unembedding alone.
 *
 * The rows are gathered as they are stored, in the layout that the whole weight has, so that each
 * logit is the same sum in the same order (ops.def) and has the same bits. Tested in
 * tests/engine/test_lens.c, tests/engine/test_wave.c. */
#include "run/run_parts.h"

#include <stdlib.h>
#include <string.h>

/* Rows ids[n] of a weight [V, K] or [V] in host memory. */
static int rows_gather(const struct kn_view *w, const int32_t *ids, int32_t n, void **mem,
                       struct kn_view *out, struct err *e)
{
    int64_t k = w->ndim == 2 ? w->shape[1] : 1;
    bool by_row = w->ndim == 1 || w->stride[1] == 1;
    size_t row = kn_row_bytes(w->dtype, k), one = kn_dtype_bytes(w->dtype);
    if (!(*mem = malloc((size_t)n * row)))
        return err_memory(e, "logits of %d tokens", n);
    for (int64_t i = 0; i < n; i++) {
        struct kn_view from = kn_slice(*w, 0, ids[i], ids[i] + 1);
        if (by_row)
            kn_pack(&from, (char *)*mem + (size_t)i * row);
        for (int64_t j = 0; !by_row && j < k; j++)
            memcpy((char *)*mem + (size_t)(j * n + i) * one, kn_at(&from, j * w->stride[1]), one);
    }
    *out = w->ndim == 1 ? kn_view1(*mem, w->dtype, n) : kn_view2(*mem, w->dtype, n, k);
    if (!by_row)
        *out = kn_swap(kn_view2(*mem, w->dtype, k, n), 0, 1);
    return 0;
}

int run_picked_open(struct run_picked *p, const struct run *r, const int32_t *ids, int32_t n,
                    struct err *e)
{
    static const enum weight_id weights[2] = {W_U, B_U};
    *p = (struct run_picked){.be = stage_backend(r, r->m->cfg.n_layers + 1), .n = n};
    int rc = 0;
    for (int i = 0; !rc && i < 2; i++) {
        const struct kn_view *w = run_weight(r, 0, weights[i]);
        struct kn_view host;
        if (w->ndim && !(rc = rows_gather(w, ids, n, &p->mem[i], &host, e)))
            rc = run_status(p->be->type->import(p->be, &host, &p->w[i]), e);
    }
    if (rc)
        run_picked_close(p);
    return rc;
}

void run_picked_close(struct run_picked *p)
{
    for (int i = 0; i < 2 && p->be; i++) {
        if (p->w[i].ndim)
            p->be->type->forget(p->be, &p->w[i]);
        free(p->mem[i]);
    }
    *p = (struct run_picked){0};
}

/* The step that writes a site of the final stage. */
static const struct step *final_step(const struct run *r, enum site_id s)
{
    int32_t n;
    const struct step *steps = plan_stage(r->m->plan, r->m->cfg.n_layers + 1, &n);
    for (int32_t i = 0; i < n; i++)
        if (steps[i].site == s)
            return &steps[i];
    return NULL;
}

enum site_id run_unembed_input(const struct run *r)
{
    return (enum site_id)final_step(r, SITE_UNEMBED_OUT)->in[0].id;
}

int run_pick(const struct run_picked *p, const struct run *r, const struct kn_view *x,
             const struct kn_view *out, struct err *e)
{
    struct kn_call c = {.op = KN_OP_LINEAR, .out = {*out}, .in = {*x, p->w[0], p->w[1]}};
    const struct step *cap = final_step(r, SITE_LOGITS);
    int rc = run_status(kn_run(p->be, &c), e);
    if (rc || !cap)
        return rc;
    c = (struct kn_call){.op = cap->op, .p = cap->p, .out = {*out}, .in = {*out}};
    return run_status(kn_run(p->be, &c), e);
}

/* Logits of a row as they are, of the tokens picked from all of them on the host. */
static int row_read(struct run *r, int32_t row, const int32_t *ids, int32_t n, float *out,
                    struct err *e)
{
    struct site_ref s = {site_logits(&r->m->cfg), SITE_ROOT};
    if (!n)
        return run_read(r, s, row, row + 1, out, NULL, e);
    float *all = malloc((size_t)r->m->cfg.d_vocab * sizeof *all);
    int rc = all ? run_read(r, s, row, row + 1, all, NULL, e) : err_memory(e, "logits");
    for (int32_t i = 0; !rc && i < n; i++)
        out[i] = all[ids[i]];
    free(all);
    return rc;
}

int run_logits(struct run *r, const int32_t *rows, int32_t n_rows, const int32_t *ids, int32_t n,
               float *out, struct err *e)
{
    int32_t stage = r->m->cfg.n_layers + 1;
    struct run_picked p = {0};
    int64_t columns = n ? n : r->m->cfg.d_vocab;
    bool changed = run_edited(r, stage, SITE_UNEMBED_OUT) || run_edited(r, stage, SITE_LOGITS) ||
                   run_called(r, stage, SITE_UNEMBED_OUT) || run_called(r, stage, SITE_LOGITS),
         picks = n && !changed;
    int rc = picks ? run_picked_open(&p, r, ids, n, e) : 0;
    if (!rc && picks)
        rc = run_reserve(p.be, &r->picked, n, e);
    for (int32_t i = 0; !rc && i < n_rows; i++) {
        struct kn_view x, to = kn_view2(r->picked.mem, KN_F32, 1, n);
        struct site_ref s = {picks ? run_unembed_input(r) : site_logits(&r->m->cfg), SITE_ROOT};
        if (!picks)
            rc = row_read(r, rows[i], ids, n, out + i * columns, e);
        else if (!(rc = run_view(r, s, rows[i], rows[i] + 1, &x, e)) &&
                 !(rc = run_pick(&p, r, &x, &to, e)))
            rc = run_fetch(p.be, &to, out + i * columns, e);
    }
    run_picked_close(&p);
    return rc;
}
