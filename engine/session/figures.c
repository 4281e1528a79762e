/* figures.c - keeping derived figures and dropping those that changed (see figures.h). */
#include "session/figures_parts.h"

#include <stdlib.h>
#include <string.h>

const enum site_id figures_norm_sites[NORM_COUNT] = {SITE_RESID_PRE, SITE_RESID_MID,
                                                     SITE_RESID_POST, SITE_ATTN_OUT, SITE_MLP_OUT};

static size_t columns(const struct figures *f)
{
    return (size_t)f->m->cfg.n_layers + 1;
}

static size_t site_count(const struct figures *f)
{
    return columns(f) * SITE_COUNT;
}

size_t figures_site(struct site_ref s)
{
    return (size_t)(s.layer + 1) * SITE_COUNT + s.id;
}

static int memory_out(struct err *e)
{
    return err_set(e, ERR_SYSTEM, "out of memory · views");
}

static void face_free_rows(struct face_figures *g)
{
    free(g->cells);
    free(g->top);
    free(g->cell_done);
    for (int i = 0; i < NORM_COUNT; i++)
        free(g->norm[i]);
    free(g->norm_done);
    free(g->losses);
}

static void picture_drop(struct picture *p)
{
    blob_release(p->blob);
    p->blob = NULL;
}

void figures_close(struct figures *f)
{
    if (!f)
        return;
    for (int i = 0; i < FACE_COUNT; i++) {
        struct face_figures *g = &f->face[i];
        face_free_rows(g);
        picture_drop(&g->pattern);
        picture_drop(&g->scores);
        picture_drop(&g->tensor);
        free(g->stats);
        free(g->heads);
    }
    free(f);
}

int figures_open(struct figures **out, const struct model *m, struct err *e)
{
    struct figures *f = calloc(1, sizeof *f);
    if (!f)
        return memory_out(e);
    *f = (struct figures){.m = m, .target = -1};
    for (int i = 0; i < FACE_COUNT; i++) {
        struct face_figures *g = &f->face[i];
        g->detail_k = -1;
        g->stats = calloc(site_count(f), sizeof *g->stats);
        g->heads = calloc((size_t)m->cfg.n_heads, sizeof *g->heads);
        if (!g->stats || !g->heads) {
            figures_close(f);
            return memory_out(e);
        }
        for (size_t s = 0; s < site_count(f); s++)
            g->stats[s].n = -1;
    }
    *out = f;
    return 0;
}

/* ------------------------------------------------------------------ what stays true */

/* Room for n rows; growing forgets what per-row arrays held. */
static int reserve(struct figures *f, int32_t n, struct err *e)
{
    if (n <= f->cap)
        return 0;
    size_t cap = (size_t)n + (size_t)n / 2 + 64;
    bool ok = true;
    f->cap = 0;
    for (int i = 0; i < FACE_COUNT; i++) {
        struct face_figures *g = &f->face[i];
        size_t cells = columns(f) * cap, norms = (size_t)f->m->cfg.n_layers * cap;
        face_free_rows(g);
        g->cells = calloc(cells, sizeof *g->cells);
        g->top = calloc(cells, sizeof *g->top);
        g->cell_done = calloc(cells, sizeof *g->cell_done);
        ok = ok && g->cells && g->top && g->cell_done;
        for (int k = 0; k < NORM_COUNT; k++)
            ok = (g->norm[k] = calloc(norms, sizeof *g->norm[k])) != NULL && ok;
        g->norm_done = calloc(norms, sizeof *g->norm_done);
        g->losses = calloc(cap, sizeof *g->losses);
        g->losses_done = 0;
        ok = ok && g->norm_done && g->losses;
    }
    if (!ok)
        return memory_out(e);
    f->cap = (int32_t)cap;
    return 0;
}

int32_t figures_column_stage(const struct figures *f, int32_t column)
{
    return plan_stage_of(f->m->plan, run_lens_site(f->m, column));
}

bool figures_norm_exists(const struct figures *f, int i)
{
    return site_exists(&f->m->cfg, figures_norm_sites[i]);
}

static void forget_rows(bool *done, int32_t cap, size_t line, int32_t row)
{
    if (row < cap)
        memset(done + line * (size_t)cap + row, 0, (size_t)(cap - row) * sizeof *done);
}

/* Drop a picture that rows >= row of its site no longer look like. */
static void forget_picture(struct picture *p, int32_t row, int32_t n)
{
    bool wide = site_row_axis(p->site.id) != 0; /* [head, dest, src]: as wide as the run is long */
    if (p->blob && (row < p->row1 || (wide && p->n != n)))
        picture_drop(p);
}

static void forget_changed(struct figures *f, const struct pair *p, enum face face, int32_t n)
{
    struct face_figures *g = &f->face[face];
    struct plan *plan = f->m->plan;
    int32_t last = plan_stages(plan) - 1;
    for (int32_t c = 0; c <= f->m->cfg.n_layers; c++)
        forget_rows(g->cell_done, f->cap, (size_t)c,
                    pair_changed(p, face, figures_column_stage(f, c)));
    for (int32_t l = 0; l < f->m->cfg.n_layers; l++)
        forget_rows(g->norm_done, f->cap, (size_t)l, pair_changed(p, face, l + 1));
    /* The loss of a row also depends on the next token. */
    int32_t row = pair_changed(p, face, last);
    row = row > 0 ? row - 1 : 0;
    g->losses_done = row < g->losses_done ? row : g->losses_done;
    for (size_t s = 0; s < site_count(f); s++) {
        struct site_ref site = {(enum site_id)(s % SITE_COUNT), (int32_t)(s / SITE_COUNT) - 1};
        if (g->stats[s].n >= 0 &&
            (n != f->n || pair_changed(p, face, plan_stage_of(plan, site)) < n))
            g->stats[s].n = -1;
    }
    struct picture *pictures[] = {&g->pattern, &g->scores, &g->tensor};
    for (int i = 0; i < 3; i++)
        if (pictures[i]->blob)
            forget_picture(pictures[i],
                           pair_changed(p, face, plan_stage_of(plan, pictures[i]->site)), n);
    if (g->detail_k >= 0 &&
        pair_changed(p, face, figures_column_stage(f, g->detail_column)) <= g->detail_row)
        g->detail_k = -1;
    if (n != f->n || pair_changed(p, face, last) < n)
        g->pair_done = f->kl_done = false;
}

int figures_settle(struct figures *f, struct pair *p, const struct session_want *want,
                   struct err *e)
{
    int rc = reserve(f, want->n, e);
    if (rc)
        return rc;
    bool edited = pair_run(p, FACE_EDITED) != NULL;
    for (int i = 0; i < FACE_COUNT; i++) {
        forget_changed(f, p, (enum face)i, want->n);
        if (want->target != f->target) {
            memset(f->face[i].cell_done, 0, columns(f) * (size_t)f->cap * sizeof(bool));
            f->face[i].detail_k = -1;
        }
    }
    if (edited != f->edited)
        f->kl_done = false;
    f->edited = edited;
    f->n = want->n;
    f->target = want->target;
    pair_settle(p);
    return 0;
}
