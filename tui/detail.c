/* detail.c - one lens cell in full (see detail.h). */
#include "detail.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "list/experts.h"
#include "run/run.h"
#include "say.h"
#include "spark.h"

enum {
    BEST_WIDTH = 40, /* columns of the screen for a column of best tokens */
    BAR_MIN = 7,     /* for a bar of the target through the layers that has its number below */
    BAR_MAX = 9,
    CHART_MAX = 12, /* lines of those beyond one */
    TOPS_MIN = 6,   /* lines of best tokens, with their heading, before anything else */
    FLAT_X = 42     /* of the second half of the figures where they are one line */
};

void detail_name(const struct app *a, char buf[LIMIT_NAME + 24])
{
    char name[LIMIT_NAME];
    snprintf(buf, LIMIT_NAME + 24, "%s[%d]", site_name(run_lens_site(a->m, a->cur.column), name),
             (int)a->cur.row);
}

struct want detail_cell(const struct app *a, int32_t column, int32_t row0, int32_t row1)
{
    struct want w = want_make(WANT_CELL, run_lens_site(a->m, column), row0, row1);
    w.id[0] = app_target(a);
    return w;
}

/* Sites whose norms stand beside the cell: its own, and what the block added. */
static int norm_sites(struct site_ref cell, struct site_ref sites[3])
{
    sites[0] = cell;
    sites[1] = (struct site_ref){SITE_ATTN_OUT, cell.layer};
    sites[2] = (struct site_ref){SITE_MLP_OUT, cell.layer};
    return site_table[cell.id].scope == SCOPE_BLOCK && cell.id != SITE_RESID_PRE ? 3 : 1;
}

/* Does the cell stand behind a mixture? */
static bool has_experts(const struct app *a, struct site_ref cell)
{
    return site_table[cell.id].scope == SCOPE_BLOCK && cell.id != SITE_RESID_PRE &&
           layer_in(&a->m->cfg.moe, cell.layer);
}

void detail_want(const struct app *a, struct want_list *l, int k)
{
    struct site_ref site = run_lens_site(a->m, a->cur.column), sites[3];
    int32_t row = a->cur.row, vocab = a->m->cfg.d_vocab;
    struct want best = want_make(WANT_BEST, site, row, row + 1);
    best.k = k > LENS_TOP_MAX ? LENS_TOP_MAX : k < 2 ? 2 : k;
    best.k = best.k > vocab ? vocab : best.k;
    want_add(l, best);
    for (int i = 0, n = norm_sites(site, sites); i < n; i++)
        want_add(l, want_make(WANT_NORM, sites[i], row, row + 1));
    if (has_experts(a, site)) {
        want_add(l, experts_want(SITE_EXPERT_INDICES, site.layer, row, row + 1));
        want_add(l, experts_want(SITE_ROUTER_SCORES, site.layer, row, row + 1));
    }
    for (int32_t c = 0; c <= a->m->cfg.n_layers; c++)
        want_add(l, detail_cell(a, c, row, row + 1));
}

/* The cell that an answer is about: its row, and lens cells of that row, for the target of then. */
struct shown {
    struct answer at;
    int32_t row, target;
    const struct want_best *best[FACE_COUNT];
    const struct want_cell *cell[FACE_COUNT]; /* NULL: not there yet */
};

static const struct want_cell *cell_at(const struct shown *d, enum face face, struct site_ref site)
{
    struct want w = want_make(WANT_CELL, site, d->row, d->row + 1);
    w.id[0] = d->target;
    return snapshot_at(d->at.s, face, &w, d->row);
}

static bool show_open(struct shown *d, const struct app *a)
{
    *d = (struct shown){.target = -1};
    if (a->m->cfg.headless) { /* norms alone */
        d->row = a->cur.row;
        return app_answer(a, WANT_NORM, run_lens_site(a->m, a->cur.column).id, &d->at);
    }
    if (!app_answer(a, WANT_BEST, SITE_COUNT, &d->at))
        return false;
    const struct want *target = snapshot_want(d->at.s, WANT_CELL, SITE_COUNT);
    d->row = d->at.w->row0;
    d->target = target ? target->id[0] : -1;
    for (int f = 0; f < FACE_COUNT; f++) {
        d->best[f] = snapshot_at(d->at.s, (enum face)f, d->at.w, d->row);
        d->cell[f] = cell_at(d, (enum face)f, d->at.w->site);
    }
    return true;
}

static enum face face_of(enum show show)
{
    return show == SHOW_BASE ? FACE_BASE : FACE_EDITED;
}

float detail_rank(const struct lens_cell *c)
{
    return isnan(c->target_logit) ? NAN : (float)c->target_rank;
}

/* Where rows are dear and columns are not, the two lines of figures are one. */
static bool is_flat(struct rect r)
{
    enum { COLUMNS = 76, ROWS = 16 };
    return r.w >= COLUMNS && r.h < ROWS;
}

static void draw_figures(struct app *a, struct canvas *c, struct rect r, const struct shown *d)
{
    static const char *const names[] = {"norm ", "   +attn ", "   +mlp "};
    enum face face = face_of(d->at.show);
    const struct want_cell *cell = d->cell[face];
    struct site_ref sites[3];
    int known = norm_sites(d->at.w->site, sites), x = 1;
    for (int i = 0; i < 3; i++) {
        struct want w = want_make(WANT_NORM, sites[i], d->row, d->row + 1);
        const float *norm = i < known ? snapshot_at(d->at.s, face, &w, d->row) : NULL;
        x += canvas_put(c, r, x, 1, canvas_plain(0), names[i]);
        x += norm ? draw_number(c, r, x, 1, canvas_plain(0), (double)*norm, 6, 1, NUMBER_LEFT)
                  : canvas_put(c, r, x, 1, canvas_plain(0), i < known ? "…" : "–");
    }
    if (a->m->cfg.headless)
        return;
    int y = is_flat(r) ? 1 : 2;
    x = is_flat(r) ? FLAT_X : 1;
    x += canvas_put(c, r, x, y, canvas_plain(0), "entropy ");
    x += cell ? draw_number(c, r, x, y, canvas_plain(0), (double)cell->cell.entropy, 6, 2,
                            NUMBER_LEFT)
              : canvas_put(c, r, x, y, canvas_plain(0), "…");
    if (d->target < 0)
        return;
    struct bytes b = {0};
    bytes_add_string(&b, "   rank of \"");
    draw_add_token(a, d->target, &b);
    bytes_add_string(&b, cell ? "\" " : "\" …");
    if (!b.failed)
        x += canvas_put_text(c, r, x, y, canvas_plain(0), b.data, b.len, TEXT_PLAIN);
    if (cell)
        draw_number(c, r, x, y, canvas_plain(0), (double)detail_rank(&cell->cell), 8, 0,
                    NUMBER_LEFT);
    bytes_free(&b);
}

/* "experts 2 0.75  0 0.25": where the position goes in the cell's layer, and with which weights. */
static void draw_experts(const struct app *a, struct canvas *c, struct rect r,
                         const struct shown *d)
{
    struct experts x = experts_at(a, d->at.s, face_of(d->at.show), d->at.w->site.layer, d->row);
    int y = is_flat(r) ? 2 : 3,
        at = 1 + canvas_put(c, r, 1, y, canvas_plain(0), x.index ? "experts" : "experts …");
    for (int32_t i = 0; x.index && i < x.n && at + 10 < r.w; i++) {
        char n[NUMBER_BYTES];
        at += canvas_putf(c, r, at, y, canvas_plain(0), "  %d %s", (int)x.index[i],
                          number_fit(n, (double)x.weight[i], 4, 2, NUMBER_LEFT));
    }
}

/* A probability from its logit; "…" while the cell is not there. */
static void draw_probability(struct canvas *c, struct rect r, int x, int y,
                             const struct want_cell *cell, float logit, int width)
{
    if (cell && isnan(logit) && !isnan(cell->cell.lse)) /* not among the best of the other prompt */
        canvas_put(c, r, x + width - 1, y, canvas_plain(CANVAS_DIM), "–");
    else if (cell)
        draw_number(c, r, x, y, canvas_plain(0), exp((double)logit - (double)cell->cell.lse), width,
                    3, NUMBER_SMALL);
    else
        canvas_put(c, r, x, y, canvas_plain(0), "    …");
}

/* ---- the best tokens, in as many columns as there is room for ---- */

int detail_columns(int w)
{
    return w < 2 * BEST_WIDTH ? 1 : w / BEST_WIDTH;
}

/* Where the i-th line of a list with its heading stands, `rows` of them in each column. */
static struct rect place_of(struct rect r, int i, int rows)
{
    int width = detail_columns(r.w) == 1 ? r.w : BEST_WIDTH;
    struct rect at = {r.x + i / rows * width, r.y + 1 + i % rows, width, 1};
    return rect_intersect(at, r);
}

static void draw_heading(struct canvas *c, struct rect r, int columns, const char *what, int x,
                         const char *figures)
{
    for (int i = 0; i < columns; i++) {
        canvas_put(c, r, i * BEST_WIDTH + 1, 0, canvas_plain(CANVAS_BOLD), what);
        canvas_put(c, r, i * BEST_WIDTH + x, 0, canvas_plain(CANVAS_BOLD), figures);
    }
}

static void draw_top_one(struct app *a, struct canvas *c, struct rect r, const struct shown *d)
{
    const struct want_cell *cell = d->cell[FACE_BASE];
    int rows = r.h - 1, columns = detail_columns(r.w);
    draw_heading(c, r, columns, "top", 17, "    p   log p   logit");
    for (int i = 0; i < d->at.w->k && i < rows * columns; i++) {
        const struct want_best *t = &d->best[FACE_BASE][i];
        struct rect line = place_of(r, i, rows);
        canvas_putf(c, line, 0, 0, canvas_plain(0), "%3d", i);
        draw_token(a, c, line, 4, 0, canvas_plain(0), t->id, 12);
        draw_probability(c, line, 17, 0, cell, t->logit, 5);
        if (cell)
            draw_number(c, line, 23, 0, canvas_plain(0), (double)t->logit - (double)cell->cell.lse,
                        7, 2, 0);
        draw_number(c, line, 31, 0, canvas_plain(0), (double)t->logit, 7, 2, 0);
    }
}

/* Base, edited and difference beside each other: the best of both, in turn. */
static void draw_top_both(struct app *a, struct canvas *c, struct rect r, const struct shown *d)
{
    const struct want_best *base = d->best[FACE_BASE], *edited = d->best[FACE_EDITED];
    const struct want_cell *before = d->cell[FACE_BASE], *after = d->cell[FACE_EDITED];
    int rows = r.h - 1, columns = detail_columns(r.w), n = 0;
    draw_heading(c, r, columns, "p of", 18,
                 a->comparing ? "    A      B    B−A" : " base edited   diff");
    for (int i = 0; i < 2 * d->at.w->k && n < rows * columns; i++) {
        int32_t id = (i % 2 ? edited : base)[i / 2].id;
        bool seen = false;
        for (int j = 0; j < i && !seen; j++)
            seen = (j % 2 ? edited : base)[j / 2].id == id;
        if (seen)
            continue;
        struct rect line = place_of(r, n++, rows);
        float lb = i % 2 ? edited[i / 2].base : base[i / 2].logit,
              le = i % 2 ? edited[i / 2].logit : edited[i / 2].of_base;
        draw_token(a, c, line, 1, 0, canvas_plain(0), id, 16);
        draw_probability(c, line, 18, 0, before, lb, 5);
        draw_probability(c, line, 24, 0, after, le, 6);
        bool known = !(isnan(lb) || isnan(le)) || (before && isnan(before->cell.lse)) ||
                     (after && isnan(after->cell.lse));
        if (before && after && known)
            draw_number(c, line, 31, 0, canvas_plain(0),
                        exp((double)le - (double)after->cell.lse) -
                            exp((double)lb - (double)before->cell.lse),
                        6, 3, NUMBER_SIGN | NUMBER_SMALL);
    }
}

/* The target's logit in a column; false while it is not there. */
static bool through(const struct shown *d, const struct app *a, int32_t column, float *v)
{
    struct site_ref site = run_lens_site(a->m, column);
    const struct want_cell *base = cell_at(d, FACE_BASE, site),
                           *edited = cell_at(d, FACE_EDITED, site);
    if (!base || (d->at.show != SHOW_BASE && !edited))
        return false;
    *v = show_value(d->at.show, base->cell.target_logit, edited ? edited->cell.target_logit : 0);
    return true;
}

/* "first 3.2   here −0.4   last 8.2" */
static void draw_ends(const struct app *a, struct canvas *c, struct rect r, int y,
                      const struct shown *d, const float *v, const bool *there, int n)
{
    const struct {
        const char *name;
        int at;
    } ends[] = {{"first ", 0}, {"   here ", a->cur.column}, {"   last ", n - 1}};
    unsigned sign = d->at.show == SHOW_DIFFERENCE ? NUMBER_SIGN : 0;
    int x = 1;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct canvas_style st = canvas_plain(i == 1 ? CANVAS_BOLD : 0);
        x += canvas_put(c, r, x, y, canvas_plain(CANVAS_DIM), ends[i].name);
        x += there[ends[i].at]
                 ? draw_number(c, r, x, y, st, (double)v[ends[i].at], 6, 1, NUMBER_LEFT | sign)
                 : canvas_put(c, r, x, y, st, "…");
    }
}

/* Under bars that have the room: which column of the grid each is, and how much. */
static void draw_axis(const struct app *a, struct canvas *c, struct rect r, const float *v, int n,
                      int width, unsigned flags)
{
    for (int i = 0; i < n; i++) {
        struct canvas_style st = canvas_plain(i == a->cur.column ? CANVAS_BOLD : CANVAS_DIM);
        char name[16] = "emb";
        if (i)
            snprintf(name, sizeof name, "%d", i - 1);
        canvas_put(c, r, 1 + i * width, 0, st, name);
        draw_number(c, r, 1 + i * width, 1, st, (double)v[i], width - 1, 1, flags | NUMBER_LEFT);
    }
}

/* Where the embedding is far beyond all blocks, as a tied one's logit of its own token is, of the
 * blocks alone, which would be one height. */
static struct scale through_scale(const float *v, int n)
{
    enum { FAR = 4 };
    struct scale all = scale_fit(SCALE_LINEAR, v, (size_t)n);
    if (n < 6) /* so few have no shape of their own */
        return all;
    struct scale blocks = scale_fit(SCALE_LINEAR, v + 1, (size_t)n - 1);
    return all.hi - all.lo > FAR * (blocks.hi - blocks.lo) ? blocks : all;
}

/* What, a bar for each column of the grid, as high as r has room, figures. */
static void draw_through(struct app *a, struct canvas *c, struct rect r, const struct shown *d)
{
    int n = a->m->cfg.n_layers + 1, found = 0, bars = n < r.w - 2 ? n : r.w - 2,
        width = r.w / n < BAR_MIN || r.h < 6 ? 1
                : r.w / n < BAR_MAX          ? r.w / n
                                             : BAR_MAX,
        high = r.h - 2 - 2 * (width > 1);
    float *v = calloc((size_t)n, sizeof *v), *shown = calloc((size_t)n, sizeof *v);
    bool *there = calloc((size_t)n, sizeof *there);
    if (v && shown && there && d->target >= 0 && bars > 0 && high > 0) {
        for (int i = 0; i < n; i++)
            found += there[i] = through(d, a, i, &v[i]);
        for (int i = 0; i < bars; i++) /* more columns than bars: one of several */
            shown[i] = v[i * n / bars];
        struct bytes b = {0};
        bytes_add_string(&b, "\"");
        draw_add_token(a, d->target, &b);
        bytes_add_string(&b, "\" through the layers (logit)");
        if (!b.failed)
            canvas_put_text(c, r, 1, 0, canvas_plain(0), b.data, b.len, TEXT_PLAIN);
        bytes_free(&b);
        if (found == n) { /* the cursor's brighter: reversed, a full bar would be an empty one */
            struct scale sc = through_scale(v, n);
            int here = a->cur.column * bars / n, thick = width > 1 ? width - 1 : 1;
            for (int i = 0; i < bars; i++)
                spark_bar(c, (struct rect){r.x + 1 + i * width, r.y + 1, thick, high},
                          canvas_plain(i == here ? CANVAS_BOLD : CANVAS_DIM), shown[i], sc);
        } else {
            canvas_put(c, r, 1, 1, canvas_plain(CANVAS_DIM), "…");
        }
        if (width > 1 && found == n)
            draw_axis(a, c, (struct rect){r.x, r.y + r.h - 3, r.w, 2}, v, n, width,
                      d->at.show == SHOW_DIFFERENCE ? NUMBER_SIGN : 0);
        draw_ends(a, c, r, r.h - 1, d, v, there, n);
    }
    free(v), free(shown), free(there);
}

/* The best tokens, and the target through the layers below them. */
static void draw_lens(struct app *a, struct canvas *c, struct rect rest, const struct shown *d)
{
    int columns = detail_columns(rest.w), lines = (d->at.w->k + columns - 1) / columns + 1;
    /* the lens view has the target's figures of all layers above: tokens before a picture of them
     */
    bool drawn = a->cur.view != VIEW_LENS || rest.h >= TOPS_MIN + 3;
    struct rect below = rect_cut_bottom(&rest, drawn ? 3 : 0);
    if (rest.h > lines) { /* keep it together */
        int spare = rest.h - lines - 1;
        below.y = rest.y + lines + 1;
        below.h += columns == 1 ? 0 : spare < CHART_MAX ? spare : CHART_MAX;
        rest.h = lines;
    }
    if (d->at.show == SHOW_BASE)
        draw_top_one(a, c, rest, d);
    else
        draw_top_both(a, c, rest, d);
    if (drawn)
        draw_through(a, c, below, d);
}

void detail_head(const struct app *a, struct canvas *c, struct rect r, const char *name)
{
    int x = canvas_put(c, r, 0, 0, canvas_plain(CANVAS_BOLD), name) + 2;
    x = x < 26 ? 26 : x;
    x += canvas_putf(c, r, x, 0, canvas_plain(0), "%d ", (int)a->cur.row);
    struct bytes b = {0};
    size_t len;
    const char *text = model_input_text(a->m, a->tokens[a->cur.row], &len);
    bytes_add_string(&b, "\"");
    text_add(&b, text, len, TEXT_TOKEN);
    bytes_add_string(&b, "\"");
    if (!b.failed)
        canvas_put_field(c, r, x, 0, canvas_plain(0), b.data, b.len, TEXT_PLAIN, r.w - x, false);
    bytes_free(&b);
}

struct rect detail_cut_edits(const struct app *a, struct rect *r)
{
    int lines = draw_edits(a, NULL, *r), most = r->h / 3 < 6 ? 6 : r->h / 3;
    return rect_cut_bottom(r, lines ? (lines < most ? lines : most) + 1 : 0);
}

void detail_edits(const struct app *a, struct canvas *c, struct rect r)
{
    if (!a->edits.n)
        return;
    canvas_put(c, r, 1, 0, canvas_plain(CANVAS_BOLD), "edits");
    rect_cut_top(&r, 1);
    draw_edits(a, c, r);
}

void detail_draw(struct app *a, struct frame *f, struct rect r)
{
    struct canvas *c = f->canvas;
    char name[LIMIT_NAME + 24];
    detail_name(a, name);
    detail_head(a, c, r, name);
    struct shown d;
    if (!show_open(&d, a)) {
        canvas_put(c, r, 1, 1, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    struct site_ref site = run_lens_site(a->m, a->cur.column);
    bool moved = !site_same(d.at.w->site, site) || d.row != a->cur.row,
         old = moved || d.at.stale || a->panel_waits;
    draw_figures(a, c, r, &d);
    bool experts = has_experts(a, d.at.w->site);
    if (experts)
        draw_experts(a, c, r, &d);
    struct rect rest = r;
    rect_cut_top(&rest, (experts ? 5 : 4) - is_flat(r));
    struct rect bottom = detail_cut_edits(a, &rest);
    if (!a->m->cfg.headless)
        draw_lens(a, c, rest, &d);
    f->panel = (struct rect){r.x, r.y + 1, r.w, r.h - 1};
    f->panel_old = old;
    f->panel_waits = a->panel_waits;
    if (d.at.stale || (moved && a->late))
        canvas_restyle(c, f->panel, canvas_plain(CANVAS_DIM));
    if (old) /* at once, in few bytes; what is there may be about to change */
        canvas_put(c, r, r.w - 1, 0, canvas_plain(0), "…");
    detail_edits(a, c, bottom);
}

void detail_say(const struct app *a, struct bytes *b)
{
    struct shown d;
    char name[LIMIT_NAME + 24];
    detail_name(a, name);
    bytes_addf(b, "%s, ", name);
    say_position(a, b, a->cur.row);
    say_line(b);
    if (!show_open(&d, a) || a->m->cfg.headless)
        return;
    enum face face = face_of(d.at.show);
    const struct want_cell *cell = d.cell[face];
    if (!cell)
        return;
    bytes_add_string(b, "entropy ");
    say_number(b, (double)cell->cell.entropy, 2, 0);
    bytes_add_string(b, " nats\n");
    if (d.target >= 0) {
        say_token(a, b, d.target);
        bytes_add_string(b, " has rank ");
        say_number(b, (double)detail_rank(&cell->cell), 0, 0);
        bytes_add_string(b, ", log probability ");
        say_number(b, (double)cell->cell.target_logit - (double)cell->cell.lse, 2, 0);
        say_line(b);
    }
    for (int i = 0; i < d.at.w->k && i < 10 && d.best[face]; i++) {
        bytes_addf(b, "%d: ", i);
        say_token(a, b, d.best[face][i].id);
        bytes_add_string(b, ", probability ");
        say_number(b, exp((double)d.best[face][i].logit - (double)cell->cell.lse), 3, NUMBER_SMALL);
        bytes_add_string(b, ", logit ");
        say_number(b, (double)d.best[face][i].logit, 2, 0);
        say_line(b);
    }
}
