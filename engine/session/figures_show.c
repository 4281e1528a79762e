/* figures_show.c - copying what is there into a snapshot (see figures.h). */
#include <math.h>
#include <string.h>

#include "session/figures_parts.h"

static const struct lens_cell no_cell = {NAN, NAN, NAN, -1};

/* One cell into place, or the mark of one that is not computed yet. */
static void show_cell(const struct figures *f, const struct face_figures *g, int32_t column,
                      int32_t row, struct lens_cell *cell, struct lens_top *top)
{
    size_t at = (size_t)column * (size_t)f->cap + (size_t)row;
    *cell = g->cell_done[at] ? g->cells[at] : no_cell;
    if (top)
        *top = g->cell_done[at] ? g->top[at] : (struct lens_top){-1, NAN};
}

static void show_lens(const struct figures *f, const struct face_figures *g,
                      const struct session_want *want, struct snapshot *s,
                      struct snapshot_face *out)
{
    int32_t n = want->row1 - want->row0, columns = f->m->cfg.n_layers + 1;
    if (!want->lens || n <= 0)
        return;
    out->cells = snapshot_part(s, (size_t)columns * (size_t)n, sizeof *out->cells);
    out->top = snapshot_part(s, (size_t)columns * (size_t)n, sizeof *out->top);
    for (int32_t c = 0; c < columns && out->cells && out->top; c++)
        for (int32_t i = 0; i < n; i++)
            show_cell(f, g, c, want->row0 + i, &out->cells[(int64_t)c * n + i],
                      &out->top[(int64_t)c * n + i]);
}

static void show_norms(const struct figures *f, const struct face_figures *g,
                       const struct session_want *want, struct snapshot *s,
                       struct snapshot_face *out)
{
    int32_t n = want->row1 - want->row0, layers = f->m->cfg.n_layers;
    float **to[NORM_COUNT] = {&out->norms.pre, &out->norms.mid, &out->norms.post, &out->norms.attn,
                              &out->norms.mlp};
    for (int i = 0; i < NORM_COUNT && want->norms && n > 0; i++) {
        if (!figures_norm_exists(f, i))
            continue;
        float *v = *to[i] = snapshot_part(s, (size_t)layers * (size_t)n, sizeof *v);
        for (int32_t l = 0; l < layers && v; l++)
            for (int32_t r = 0; r < n; r++) {
                size_t at = (size_t)l * (size_t)f->cap + (size_t)(want->row0 + r);
                v[(int64_t)l * n + r] = g->norm_done[at] ? g->norm[i][at] : NAN;
            }
    }
}

static void show_detail(const struct figures *f, const struct face_figures *g,
                        const struct session_want *want, struct snapshot *s,
                        struct snapshot_face *out)
{
    if (want->cell_column < 0)
        return;
    int32_t columns = f->m->cfg.n_layers + 1;
    out->detail_columns = snapshot_part(s, (size_t)columns, sizeof *out->detail_columns);
    for (int32_t c = 0; c < columns && out->detail_columns; c++)
        show_cell(f, g, c, want->cell_row, &out->detail_columns[c], NULL);
    out->detail = no_cell;
    out->detail_norm = out->detail_attn = out->detail_mlp = NAN;
    if (g->detail_k < 0 || g->detail_column != want->cell_column || g->detail_row != want->cell_row)
        return;
    out->detail = g->detail;
    out->detail_norm = g->detail_norm[0];
    out->detail_attn = g->detail_norm[1];
    out->detail_mlp = g->detail_norm[2];
    out->detail_top = snapshot_part(s, (size_t)g->detail_k + 1, sizeof *out->detail_top);
    if (out->detail_top)
        memcpy(out->detail_top, g->detail_top, (size_t)g->detail_k * sizeof *out->detail_top);
    if (!s->edited)
        return;
    out->detail_cross = snapshot_part(s, (size_t)g->detail_k + 1, sizeof *out->detail_cross);
    if (out->detail_cross)
        memcpy(out->detail_cross, g->detail_cross, (size_t)g->detail_k * sizeof *out->detail_cross);
}

static void show_attn(const struct figures *f, const struct face_figures *g,
                      const struct session_want *want, struct snapshot *s,
                      struct snapshot_face *out)
{
    const struct picture *p = want->attn_scores ? &g->scores : &g->pattern;
    if (want->attn_layer < 0 || !g->pattern.blob || g->pattern.site.layer != want->attn_layer)
        return;
    size_t n = (size_t)f->m->cfg.n_heads;
    out->heads = snapshot_part(s, n, sizeof *out->heads);
    if (out->heads)
        memcpy(out->heads, g->heads, n * sizeof *out->heads);
    if (p->site.layer == want->attn_layer)
        out->pattern = snapshot_share(s, p->blob);
}

static void show_tensor(const struct face_figures *g, const struct session_want *want,
                        struct snapshot *s, struct snapshot_face *out)
{
    const struct picture *p = &g->tensor;
    if (want->tensor.id != SITE_COUNT && p->site.id == want->tensor.id &&
        p->site.layer == want->tensor.layer && p->row0 == want->tensor_row0 &&
        p->row1 == want->tensor_row1)
        out->tensor = snapshot_share(s, p->blob);
}

static void show_face(const struct figures *f, enum face face, const struct session_want *want,
                      struct snapshot *s)
{
    const struct face_figures *g = &f->face[face];
    struct snapshot_face *out = &s->face[face];
    show_lens(f, g, want, s, out);
    show_norms(f, g, want, s, out);
    show_detail(f, g, want, s, out);
    show_attn(f, g, want, s, out);
    show_tensor(g, want, s, out);
    out->stats = want->n_stats ? snapshot_part(s, (size_t)want->n_stats, sizeof *out->stats) : NULL;
    for (int32_t i = 0; i < want->n_stats && out->stats; i++)
        out->stats[i] = g->stats[figures_site(want->stats[i])];
    bool pair = g->pair_done && g->pair[0] == want->pair[0] && g->pair[1] == want->pair[1];
    out->pair = pair ? g->pair_logits[0] - g->pair_logits[1] : NAN;
    double loss = 0;
    for (int32_t i = 0; i < f->n - 1; i++)
        loss += g->losses[i];
    out->loss = f->n > 1 && g->losses_done >= f->n - 1 ? loss / (f->n - 1) : NAN;
}

/* What was asked for, so that a snapshot explains itself. */
static void show_question(const struct figures *f, const struct session_want *want,
                          struct snapshot *s)
{
    s->n = want->n;
    s->n_columns = f->m->cfg.n_layers + 1;
    s->tokens = snapshot_part(s, (size_t)want->n + 1, sizeof *s->tokens);
    if (s->tokens)
        memcpy(s->tokens, want->tokens, (size_t)want->n * sizeof *s->tokens);
    s->row0 = want->row0;
    s->row1 = want->row1;
    s->cell_column = want->cell_column;
    s->cell_row = want->cell_row;
    s->detail_k = f->face[FACE_BASE].detail_k > 0 ? f->face[FACE_BASE].detail_k : 0;
    s->attn_layer = want->attn_layer;
    s->attn_scores = want->attn_scores;
    s->target = want->target;
    s->tensor = want->tensor;
    s->tensor_row0 = want->tensor_row0;
    s->tensor_row1 = want->tensor_row1;
    if (want->tensor.id != SITE_COUNT) {
        s->tensor_rank = site_shape(&f->m->cfg, want->tensor.id, want->n, s->tensor_shape);
        s->tensor_shape[site_row_axis(want->tensor.id)] = want->tensor_row1 - want->tensor_row0;
    }
    s->n_stats = want->n_stats;
    s->stats = want->n_stats ? snapshot_part(s, (size_t)want->n_stats, sizeof *s->stats) : NULL;
    if (s->stats)
        memcpy(s->stats, want->stats, (size_t)want->n_stats * sizeof *s->stats);
}

struct snapshot *figures_snapshot(const struct figures *f, const struct session_want *want,
                                  struct err *e)
{
    struct snapshot *s = snapshot_new();
    if (s) {
        show_question(f, want, s);
        s->edited = f->edited;
        s->kl = f->edited && f->kl_done ? f->kl : NAN;
        for (int i = 0; i < (f->edited ? FACE_COUNT : 1); i++)
            show_face(f, (enum face)i, want, s);
    }
    if (s && !snapshot_broken(s))
        return s;
    snapshot_release(s);
    err_set(e, ERR_SYSTEM, "out of memory · views");
    return NULL;
}

struct snapshot *snapshot_failed(void)
{
    struct snapshot *s = snapshot_new();
    if (s) {
        s->complete = true;
        s->kl = NAN;
    }
    return s;
}
