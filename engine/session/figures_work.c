/* figures_work.c - computing the figures that are wanted and missing (see figures.h).
 *
 * Quick ones first, the lens from its last column down, what needs every logit of the prompt last.
 * A figure of the edited face that no edit reaches is the base's own: copied, so differences are
 * exact zeros. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "session/figures_parts.h"

enum { LENS_PIECE = 64 };

/* One call of figures_work. */
struct work {
    struct figures *f;
    struct pair *p;
    const struct session_want *want;
    int (*between)(void *user, struct err *e);
    void *user;
    struct err *e;
};

/* Does an edit reach (stage, row) of this face? */
static bool reached(const struct work *w, enum face face, int32_t stage, int32_t row)
{
    return face == FACE_BASE || row >= pair_first_changed_row(w->p, stage);
}

static int faces(const struct work *w)
{
    return w->f->edited ? FACE_COUNT : 1;
}

static int work_pair(struct work *w)
{
    struct figures *f = w->f;
    const int32_t *pair = w->want->pair;
    float *logits = malloc((size_t)f->m->cfg.d_vocab * sizeof *logits);
    int rc = logits ? 0 : err_set(w->e, ERR_SYSTEM, "out of memory · logits");
    for (int i = 0; i < faces(w) && !rc && pair[0] >= 0 && pair[1] >= 0; i++) {
        struct face_figures *g = &f->face[i];
        if (g->pair_done && g->pair[0] == pair[0] && g->pair[1] == pair[1])
            continue;
        rc = lens_logits(pair_run(w->p, (enum face)i), f->n - 1, logits, w->e);
        for (int k = 0; !rc && k < 2; k++) {
            g->pair[k] = pair[k];
            g->pair_logits[k] = logits[pair[k]];
        }
        g->pair_done = !rc;
    }
    free(logits);
    if (!rc && f->edited && !f->kl_done) {
        rc = lens_kl(pair_run(w->p, FACE_BASE), pair_run(w->p, FACE_EDITED), f->n - 1, &f->kl,
                     w->e);
        f->kl_done = !rc;
    }
    return rc;
}

/* Norm of one row of a site, NaN where the model has none. */
static int one_norm(struct work *w, enum face face, struct site_ref s, float *out)
{
    int32_t row = w->want->cell_row;
    *out = NAN;
    if (!site_exists(&w->f->m->cfg, s.id))
        return 0;
    return lens_norms(pair_run(w->p, face), s, row, row + 1, out, w->e);
}

/* What each face says of the other one's best tokens, so that both sides of a change can be shown.
 */
static int detail_cross(struct work *w, struct lens_at at)
{
    int rc = 0;
    for (int i = 0; i < FACE_COUNT && !rc; i++) {
        const struct face_figures *other = &w->f->face[1 - i];
        int32_t ids[LENS_TOP_MAX];
        for (int32_t k = 0; k < other->detail_k; k++)
            ids[k] = other->detail_top[k].id;
        rc = lens_pick(pair_run(w->p, (enum face)i), at, ids, other->detail_k,
                       w->f->face[i].detail_cross, w->e);
    }
    return rc;
}

static int work_detail(struct work *w)
{
    const struct session_want *want = w->want;
    int32_t c = want->cell_column, k = want->cell_k < LENS_TOP_MAX ? want->cell_k : LENS_TOP_MAX;
    if (c < 0)
        return 0;
    k = k < w->f->m->cfg.d_vocab ? k : w->f->m->cfg.d_vocab;
    bool fresh = false;
    for (int i = 0; i < faces(w); i++) {
        struct face_figures *g = &w->f->face[i];
        if (g->detail_k == k && g->detail_column == c && g->detail_row == want->cell_row)
            continue;
        struct lens_at at = {c, want->cell_row};
        g->detail_k = -1;
        int rc = lens_cells(pair_run(w->p, (enum face)i), &at, 1, k, want->target, &g->detail,
                            g->detail_top, w->e);
        if (!rc)
            rc = one_norm(w, (enum face)i, run_lens_site(w->f->m, c), &g->detail_norm[0]);
        g->detail_norm[1] = g->detail_norm[2] = NAN;
        if (!rc && c > 0)
            rc = one_norm(w, (enum face)i, (struct site_ref){SITE_ATTN_OUT, c - 1},
                          &g->detail_norm[1]);
        if (!rc && c > 0)
            rc = one_norm(w, (enum face)i, (struct site_ref){SITE_MLP_OUT, c - 1},
                          &g->detail_norm[2]);
        if (rc)
            return rc;
        g->detail_column = c;
        g->detail_row = want->cell_row;
        g->detail_k = k;
        fresh = true;
    }
    int rc = fresh && faces(w) == FACE_COUNT ? detail_cross(w, (struct lens_at){c, want->cell_row})
                                             : 0;
    if (rc) /* half a detail is none */
        w->f->face[FACE_BASE].detail_k = w->f->face[FACE_EDITED].detail_k = -1;
    return rc;
}

/* All norms of one layer for the missing rows among [r0, r1). */
static int layer_norms(struct work *w, enum face face, int32_t layer, int32_t r0, int32_t r1)
{
    struct face_figures *g = &w->f->face[face];
    const struct face_figures *base = &w->f->face[FACE_BASE];
    size_t line = (size_t)layer * (size_t)w->f->cap;
    while (r0 < r1 && g->norm_done[line + (size_t)r0])
        r0++;
    while (r0 < r1 && g->norm_done[line + (size_t)r1 - 1])
        r1--;
    int32_t own = r0;
    while (own < r1 && !reached(w, face, layer + 1, own))
        own++;
    for (int i = 0; i < NORM_COUNT && r0 < r1; i++) {
        if (!figures_norm_exists(w->f, i))
            continue;
        memcpy(g->norm[i] + line + r0, base->norm[i] + line + r0,
               (size_t)(own - r0) * sizeof(float));
        int rc = lens_norms(pair_run(w->p, face), (struct site_ref){figures_norm_sites[i], layer},
                            own, r1, g->norm[i] + line + own, w->e);
        if (rc)
            return rc;
    }
    for (int32_t r = r0; r < r1; r++)
        g->norm_done[line + (size_t)r] = true;
    return 0;
}

static int work_norms(struct work *w)
{
    int rc = 0;
    for (int i = 0; i < faces(w) && w->want->norms; i++)
        for (int32_t l = 0; l < w->f->m->cfg.n_layers && !rc; l++)
            rc = layer_norms(w, (enum face)i, l, w->want->row0, w->want->row1);
    return rc;
}

/* Rows of a site, or the base's picture where no edit reaches them; *fresh is set if it was not
 * there. */
static int take_picture(struct work *w, enum face face, struct picture *p,
                        const struct picture *base, struct site_ref s, int32_t row0, int32_t row1,
                        bool *fresh)
{
    if (p->blob && p->site.id == s.id && p->site.layer == s.layer && p->row0 == row0 &&
        p->row1 == row1)
        return 0;
    *fresh = true;
    blob_release(p->blob);
    *p = (struct picture){s, row0, row1, w->f->n, NULL};
    if (!reached(w, face, plan_stage_of(w->f->m->plan, s), row1 - 1)) {
        p->blob = blob_hold(base->blob);
        return 0;
    }
    struct blob *blob = blob_new(
        (size_t)(site_row_size(&w->f->m->cfg, s.id, w->f->n) * (row1 - row0)));
    if (!blob)
        return err_set(w->e, ERR_SYSTEM, "out of memory · values of a site");
    int rc = run_read(pair_run(w->p, face), s, row0, row1, blob_data(blob), NULL, w->e);
    if (rc)
        blob_release(blob);
    else
        p->blob = blob;
    return rc;
}

static int work_attn(struct work *w)
{
    struct figures *f = w->f;
    int32_t layer = w->want->attn_layer, n = f->n;
    struct face_figures *base = &f->face[FACE_BASE];
    if (layer < 0)
        return 0;
    for (int i = 0; i < faces(w); i++) {
        struct face_figures *g = &f->face[i];
        bool fresh = false, ignored;
        int rc = take_picture(w, (enum face)i, &g->pattern, &base->pattern,
                              (struct site_ref){SITE_PATTERN, layer}, 0, n, &fresh);
        if (!rc && w->want->attn_scores)
            rc = take_picture(w, (enum face)i, &g->scores, &base->scores,
                              (struct site_ref){SITE_ATTN_SCORES, layer}, 0, n, &ignored);
        if (rc)
            return rc;
        for (int32_t h = 0; h < f->m->cfg.n_heads && fresh; h++)
            lens_head_scores(blob_data(g->pattern.blob) + (int64_t)h * n * n, n, w->want->tokens, n,
                             &g->heads[h]);
    }
    return 0;
}

static int work_tensor(struct work *w)
{
    const struct session_want *want = w->want;
    bool fresh;
    int rc = 0;
    for (int i = 0; i < faces(w) && !rc && want->tensor.id != SITE_COUNT; i++)
        rc = take_picture(w, (enum face)i, &w->f->face[i].tensor, &w->f->face[FACE_BASE].tensor,
                          want->tensor, want->tensor_row0, want->tensor_row1, &fresh);
    return rc;
}

/* Lens cells of a face that are missing among at[0..n): copied where no edit reaches, computed
 * elsewhere. */
static int lens_piece(struct work *w, enum face face, const struct lens_at *at, int32_t n)
{
    struct figures *f = w->f;
    struct face_figures *g = &f->face[face];
    const struct face_figures *base = &f->face[FACE_BASE];
    struct lens_at missing[LENS_PIECE];
    struct lens_cell cells[LENS_PIECE];
    struct lens_top top[LENS_PIECE];
    int32_t m = 0;
    for (int32_t i = 0; i < n; i++) {
        size_t cell = (size_t)at[i].column * (size_t)f->cap + (size_t)at[i].row;
        if (g->cell_done[cell])
            continue;
        if (reached(w, face, figures_column_stage(f, at[i].column), at[i].row)) {
            missing[m++] = at[i];
            continue;
        }
        g->cells[cell] = base->cells[cell];
        g->top[cell] = base->top[cell];
        g->cell_done[cell] = true;
    }
    int rc = lens_cells(pair_run(w->p, face), missing, m, 1, w->want->target, cells, top, w->e);
    for (int32_t i = 0; i < m && !rc; i++) {
        size_t cell = (size_t)missing[i].column * (size_t)f->cap + (size_t)missing[i].row;
        g->cells[cell] = cells[i];
        g->top[cell] = top[i];
        g->cell_done[cell] = true;
    }
    return rc ? rc : m ? w->between(w->user, w->e) : 0;
}

/* One column's rows [r0, r1), in pieces, for every face. */
static int lens_rows(struct work *w, int32_t column, int32_t r0, int32_t r1)
{
    for (int32_t r = r0; r < r1; r += LENS_PIECE) {
        struct lens_at at[LENS_PIECE];
        int32_t n = 0;
        for (; n < LENS_PIECE && r + n < r1; n++)
            at[n] = (struct lens_at){column, r + n};
        for (int i = 0; i < faces(w); i++) {
            int rc = lens_piece(w, (enum face)i, at, n);
            if (rc)
                return rc;
        }
    }
    return 0;
}

/* The cursor's row through all columns, all columns of it in few passes over the unembedding. */
static int lens_cursor(struct work *w)
{
    for (int32_t c = 0, last = w->f->m->cfg.n_layers; c <= last; c += LENS_PIECE) {
        struct lens_at at[LENS_PIECE];
        int32_t n = 0;
        for (; n < LENS_PIECE && c + n <= last; n++)
            at[n] = (struct lens_at){c + n, w->want->cell_row};
        for (int i = 0; i < faces(w); i++) {
            int rc = lens_piece(w, (enum face)i, at, n);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int work_lens(struct work *w)
{
    int rc = w->want->cell_column >= 0 ? lens_cursor(w) : 0;
    for (int32_t c = w->f->m->cfg.n_layers; c >= 0 && !rc && w->want->lens; c--)
        rc = lens_rows(w, c, w->want->row0, w->want->row1);
    return rc;
}

static int work_stats(struct work *w)
{
    int32_t n = w->f->n;
    for (int32_t i = 0; i < w->want->n_stats; i++) {
        struct site_ref s = w->want->stats[i];
        for (int face = 0; face < faces(w); face++) {
            struct lens_stats *st = &w->f->face[face].stats[figures_site(s)];
            if (st->n >= 0)
                continue;
            if (!reached(w, (enum face)face, plan_stage_of(w->f->m->plan, s), n - 1)) {
                *st = w->f->face[FACE_BASE].stats[figures_site(s)];
                continue;
            }
            struct err own = {0};
            int rc = lens_stats(pair_run(w->p, (enum face)face), s, 0, n, st, &own);
            if (rc && own.code !=
                          ERR_BAD_INPUT) /* a site that this model refuses stays without figures */
                return err_set(w->e, own.code, "%s", own.text);
            if ((rc = w->between(w->user, w->e)) != 0)
                return rc;
        }
    }
    return 0;
}

static int work_loss(struct work *w)
{
    struct figures *f = w->f;
    int32_t last = f->n - 1, stage = plan_stages(f->m->plan) - 1;
    for (int i = 0; i < faces(w); i++) {
        struct face_figures *g = &f->face[i];
        for (; g->losses_done < last && !reached(w, (enum face)i, stage, g->losses_done);
             g->losses_done++)
            g->losses[g->losses_done] = f->face[FACE_BASE].losses[g->losses_done];
        while (g->losses_done < last) {
            int32_t r0 = g->losses_done, r1 = last - r0 < LENS_PIECE ? last : r0 + LENS_PIECE;
            int rc = lens_losses(pair_run(w->p, (enum face)i), r0, r1, g->losses + r0, w->e);
            if (rc)
                return rc;
            g->losses_done = r1;
            if ((rc = w->between(w->user, w->e)) != 0)
                return rc;
        }
    }
    return 0;
}

int figures_work(struct figures *f, struct pair *p, const struct session_want *want,
                 int (*between)(void *user, struct err *e), void *user, struct err *e)
{
    static int (*const parts[])(struct work *) = {work_pair,   work_detail, work_norms, work_attn,
                                                  work_tensor, work_lens,   work_stats, work_loss};
    struct work w = {f, p, want, between, user, e};
    int rc = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !rc; i++) {
        rc = parts[i](&w);
        if (!rc)
            rc = between(user, e);
    }
    return rc;
}
