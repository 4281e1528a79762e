/* edits.c - the list of edits. */
#include <stdio.h>
#include <string.h>

#include "compare.h"
#include "draw.h"
#include "keybar.h"
#include "save/figure.h"
#include "say.h"

enum { FIGURES = 47 }; /* columns of what each edit does */

static void edits_layout(struct app *a, struct rect body)
{
    a->cur.edit = draw_clamp(a->cur.edit, a->edits.n > 0 ? a->edits.n : 1);
    a->page = body.h > 3 ? body.h - 3 : 1;
    a->edit_top = draw_scroll(a->edit_top, a->cur.edit, a->edits.n, a->page);
    a->rows_y = body.y + 1;
}

static void edits_want(const struct app *a, struct want_list *l)
{
    (void)a;
    (void)l; /* status line alone */
}

/* The edited answer of now: the pair's difference and the divergence; false: not there. */
static bool answer_now(const struct app *a, double *delta, double *kl)
{
    const struct want pair = app_pair_want(a), divergence = app_kl_want(a);
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    const float *logits = s && !stale ? snapshot_at(s, FACE_EDITED, &pair, 0) : NULL;
    const double *nats = s && !stale ? snapshot_at(s, FACE_EDITED, &divergence, 0) : NULL;
    if (!logits || !nats)
        return false;
    *delta = (double)logits[0] - (double)logits[1];
    *kl = *nats;
    return true;
}

/* What is left when this one alone is switched off, and what it makes of that. */
static void draw_effect(const struct app *a, struct canvas *c, struct rect r, int y,
                        struct canvas_style st, int i)
{
    const struct effect *e = effects_at(a, i);
    double delta, kl;
    if (!a->edits.in_force[i])
        return;
    if (!e || !answer_now(a, &delta, &kl)) {
        canvas_put(c, r, 8, y, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    draw_number(c, r, 1, y, st, delta - e->delta, 9, 2, NUMBER_SIGN);
    draw_number(c, r, 11, y, st, e->delta, 10, 2, NUMBER_SIGN);
    draw_number(c, r, 22, y, st, kl - e->kl, 12, 3, NUMBER_SIGN);
    draw_number(c, r, 35, y, st, e->kl, 10, 3, 0);
}

static void edits_draw(struct app *a, struct frame *f, struct rect body)
{
    struct canvas *c = f->canvas;
    struct rect figures = body;
    bool both = body.w >= FIGURES + 40 && !a->m->cfg.headless && !compare_is_on(a);
    rect_cut_left(&figures, both ? body.w - FIGURES : body.w);
    canvas_put(c, body, 3, 0, canvas_plain(CANVAS_DIM), "no  on  edit");
    canvas_put(c, figures, 1, 0, canvas_plain(CANVAS_DIM),
               a->ascii ? "diff by it diff w\'out   KL by it KL without"
                        : "  Δ by it  Δ without     KL by it KL without");
    struct rect list = body;
    list.w -= both ? FIGURES : 0;
    if (!a->edits.n)
        keybar_put(a, c, body, 3, 2, canvas_plain(0),
                   "no edits yet · {zero} zeroes what is under the cursor in the other views, "
                   "{edit} types one");
    for (int i = 0; i + a->edit_top < a->edits.n && i < a->page; i++) {
        int e = i + a->edit_top;
        bool on = e == a->cur.edit;
        const char *why = a->edits.why[e];
        struct canvas_style st = canvas_plain((on ? CANVAS_BOLD : 0) |
                                              (a->edits.in_force[e] ? 0 : CANVAS_DIM));
        canvas_putf(c, list, 1, i + 1, st, "%s %2d  %s   %s%s%s", on ? "▶" : " ", e + 1,
                    draw_edit_mark(a, e), a->edits.text[e], why ? "   ! " : "", why ? why : "");
        if (both)
            draw_effect(a, c, figures, i + 1, st, e);
    }
    int x = 3 + canvas_putf(c, body, 3, body.h - 1, canvas_plain(CANVAS_DIM), "undo %d   redo %d",
                            a->edits.at, a->edits.n_past - 1 - a->edits.at);
    const struct effect *e = both || !a->edits.n ? NULL : effects_at(a, a->cur.edit);
    if (e) {
        x += canvas_putf(c, body, x + 3, body.h - 1, canvas_plain(0), "without %d: %s ",
                         (int)a->cur.edit + 1, draw_delta(a)) +
             3;
        x += draw_number(c, body, x, body.h - 1, canvas_plain(0), e->delta, 8, 2,
                         NUMBER_SIGN | NUMBER_LEFT);
        x += canvas_put(c, body, x, body.h - 1, canvas_plain(0), "   KL ");
        draw_number(c, body, x, body.h - 1, canvas_plain(0), e->kl, 8, 3, NUMBER_LEFT);
    }
}

static void edits_title(const struct app *a, struct bytes *out)
{
    bytes_addf(out, "%d edit%s, %d on", a->edits.n, a->edits.n == 1 ? "" : "s",
               edit_list_count_on(&a->edits));
}

static void edits_move(struct app *a, enum move m, int count)
{
    draw_move_cursor(m, count, &a->cur.edit, a->edits.n > 0 ? a->edits.n : 1, a->page, NULL, 0);
}

/* Into the values of the first hook where the edit acts. */
static bool edits_enter(struct app *a)
{
    if (!a->edits.n)
        return false;
    for (int32_t i = 0; i < a->n_reach; i++)
        if (a->reach[i].edit == a->cur.edit) {
            app_jump_push(a);
            a->cur.site = a->reach[i].site, a->cur.expert = 0;
            a->cur.view = VIEW_TENSOR;
            return true;
        }
    return false;
}

/* The list itself is said with what changed. */
static void edits_say(const struct app *a, struct bytes *b)
{
    if (a->edits.n)
        bytes_addf(b, "edit %d of %d: %s\n", (int)a->cur.edit + 1, a->edits.n,
                   a->edits.text[a->cur.edit]);
    const struct effect *e = a->edits.n ? effects_at(a, a->cur.edit) : NULL;
    if (e) {
        bytes_add_string(b, "without it: logit difference ");
        say_number(b, e->delta, 2, NUMBER_SIGN);
        bytes_add_string(b, ", divergence from the base run ");
        say_number(b, e->kl, 3, 0);
        bytes_add_string(b, " nats\n");
    }
    bytes_addf(b, "%d to undo, %d to redo\n", a->edits.at, a->edits.n_past - 1 - a->edits.at);
}

static bool edits_click(struct app *a, int x, int y)
{
    (void)x;
    int32_t e = a->edit_top + y - a->rows_y;
    if (y < a->rows_y || e >= a->edits.n)
        return false;
    a->cur.edit = e;
    return true;
}

static void edits_copy(const struct app *a, struct bytes *out)
{
    if (a->edits.n)
        bytes_add_string(out, a->edits.text[a->cur.edit]);
}

/* An edit, whether it is on, and pair and divergence without it. */
static void edits_figures(const struct app *a, struct figures *to)
{
    for (int i = 0; i < a->edits.n; i++) {
        const struct effect *x = effects_at(a, i);
        struct figure f = figure_make();
        snprintf(f.index, sizeof f.index, "%d", i + 1);
        figure_text(to, &f, "edit", a->edits.text[i]);
        figure_number(to, &f, "on", a->edits.on[i], 0);
        if (!x || !x->there)
            continue;
        figure_number(to, &f, "delta_without", x->delta, 0);
        figure_number(to, &f, "kl_without", x->kl, 0);
    }
}

const struct view view_edits = {
    .help = "{toggle} switches an edit on or off, {toggle-all} all, {delete} deletes, {edit} "
            "changes it, {nudge up} and {nudge down} its number, {shift down} and {shift up} "
            "move it, {name} names it, {undo} undoes, {enter} shows its hook",
    .layout = edits_layout,
    .want = edits_want,
    .draw = edits_draw,
    .title = edits_title,
    .move = edits_move,
    .enter = edits_enter,
    .say = edits_say,
    .click = edits_click,
    .figures = edits_figures,
    .copy = edits_copy};
