/* neurons.c - the most active neurons of a layer, at a position or anywhere in the prompt, and the
 * tokens that each writes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "say.h"
#include "statistics.h"

enum { LISTED = 32, AT_X = 22, SAYS_X = 40, SAYS_WIDTH = 12 };

static struct site_ref site_of(const struct app *a)
{
    return (struct site_ref){SITE_POST, app_layer(a)};
}

/* Neurons listed; 0: the layer has none of its own (a mixture's belong to its experts). */
static int32_t listed(const struct app *a)
{
    if (!site_is_there(&a->m->cfg, site_of(a)) || site_refusal(&a->m->cfg, SITE_POST))
        return 0;
    int64_t width = site_row_size(&a->m->cfg, SITE_POST, a->n);
    return width < LISTED ? (int32_t)width : LISTED;
}

static struct want list_want(const struct app *a)
{
    struct want w = a->neurons_all
                        ? want_whole(WANT_LAYER_NEURONS, site_of(a))
                        : want_make(WANT_NEURONS, site_of(a), a->cur.row, a->cur.row + 1);
    w.k = listed(a);
    return w;
}

static void neurons_layout(struct app *a, struct rect body)
{
    if (!a->cur.column)
        a->cur.column = 1; /* the embedding has no neurons */
    a->page = body.h > 3 ? body.h - 2 : 1;
    a->neuron_at = draw_clamp(a->neuron_at, listed(a) > 0 ? listed(a) : 1);
    a->neurons_top = draw_scroll(a->neurons_top, a->neuron_at, listed(a), a->page);
    a->rows_y = body.y + 1;
}

static void neurons_want(const struct app *a, struct want_list *l)
{
    if (listed(a))
        want_add(l, list_want(a));
}

/* The list of the face on show (the edited one stands for the difference too, whose values differ
 * beside it), NULL while it is not there. */
static const struct lens_neuron *list_of(const struct app *a, bool *stale)
{
    const struct snapshot *s = app_newest(a, stale);
    const struct want w = list_want(a);
    return s && listed(a)
               ? snapshot_at(s, app_show(a, s) == SHOW_BASE ? FACE_BASE : FACE_EDITED, &w, w.row0)
               : NULL;
}

/* The position where a neuron is most active, of `digits`; one of the other prompt may have no
 * partner here. */
static void draw_row(struct app *a, struct canvas *c, struct rect r, int x, int y,
                     struct canvas_style st, const struct lens_neuron *n, int digits, int width)
{
    if (n->row < 0) {
        canvas_put(c, r, x + digits - 1, y, st, "–");
        return;
    }
    x += canvas_putf(c, r, x, y, st, "%*d ", digits, (int)n->row);
    if (n->row < a->n)
        draw_input(a, c, r, x, y, st, n->row, width);
}

static void draw_tokens(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                        const struct lens_top *top)
{
    for (int t = 0; t < NEURON_TOKENS && top[t].id >= 0; t++, x += SAYS_WIDTH)
        if (x + SAYS_WIDTH <= r.w)
            draw_token(a, c, r, x, y, canvas_plain(0), top[t].id, SAYS_WIDTH - 1);
}

static void neurons_draw(struct app *a, struct frame *f, struct rect body)
{
    struct canvas *c = f->canvas;
    struct rect header = rect_cut_top(&body, 1), legend = rect_cut_bottom(&body, body.h > 1);
    bool stale;
    const struct lens_neuron *list = list_of(a, &stale);
    struct stats_site stats;
    bool known = statistics_of(a, site_of(a), &stats, NULL);
    int says_x = SAYS_X + (known ? STATISTICS_WIDTH : 0),
        lowers_x = says_x + NEURON_TOKENS * SAYS_WIDTH;
    bool lowers = lowers_x + NEURON_TOKENS * SAYS_WIDTH <= body.w;
    canvas_put(c, header, 3, 0, canvas_plain(CANVAS_DIM), "neuron  activation  at");
    canvas_put(c, header, says_x, 0, canvas_plain(CANVAS_DIM), "raises, by W_U");
    if (known)
        statistics_heading(c, header, SAYS_X);
    if (lowers)
        canvas_put(c, header, lowers_x, 0, canvas_plain(CANVAS_DIM), "and lowers");
    if (!list) {
        canvas_put(c, body, 3, 0, canvas_plain(CANVAS_DIM),
                   listed(a) ? "…" : "no dense MLP in this layer: its neurons belong to experts");
        return;
    }
    float most = fabsf(list[0].value);
    struct scale sc = scale_make(SCALE_SYMMETRIC, most > 0 ? -most : -1, most > 0 ? most : 1);
    for (int32_t i = 0; i < body.h && a->neurons_top + i < listed(a); i++) {
        const struct lens_neuron *n = &list[a->neurons_top + i];
        bool on = a->neurons_top + i == a->neuron_at;
        unsigned attr = (on ? CANVAS_BOLD : 0u) | (stale ? CANVAS_DIM : 0u);
        struct canvas_style st = draw_value_style(f, COLORMAP_DIVERGING, scale_at(sc, n->value));
        st.attr |= (uint8_t)attr;
        canvas_putf(c, body, 1, i, canvas_plain(attr), "%s%7d%s", on ? "▶" : " ", (int)n->neuron,
                    draw_is_edited(a, site_of(a), 1, n->neuron) ? "*" : "");
        canvas_fill(c, (struct rect){body.x + 11, body.y + i, 10, 1}, st, " ");
        draw_number(c, body, 12, i, st, (double)n->value, 8, 3, NUMBER_SIGN);
        draw_row(a, c, body, AT_X, i, canvas_plain(attr), n, 4, 12);
        bool down = n->value < 0; /* against its direction */
        if (known)
            statistics_columns(c, body, SAYS_X, i, canvas_plain(attr), &stats, n->neuron, n->value);
        draw_tokens(a, c, body, says_x, i, down ? n->against : n->says);
        if (lowers)
            draw_tokens(a, c, body, lowers_x, i, down ? n->says : n->against);
    }
    heat_legend(c, legend, 1, 0, "activation", sc, COLORMAP_DIVERGING);
}

static const struct lens_neuron *chosen(const struct app *a)
{
    bool stale;
    const struct lens_neuron *list = list_of(a, &stale);
    return list ? &list[a->neuron_at] : NULL;
}

static void neurons_side(struct app *a, struct frame *f, struct rect r)
{
    struct canvas *c = f->canvas;
    const struct lens_neuron *n = chosen(a);
    char name[LIMIT_NAME];
    if (!n) {
        canvas_put(c, r, 1, 0, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    canvas_putf(c, r, 0, 0, canvas_plain(CANVAS_BOLD), "%s[:, %d]", site_name(site_of(a), name),
                (int)n->neuron);
    canvas_put(c, r, 0, 1, canvas_plain(0), "most active at ");
    draw_row(a, c, r, 16, 1, canvas_plain(0), n, 1, 16);
    const struct lens_top *const sides[] = {n->says, n->against};
    static const char *const names[] = {"its direction of W_out raises, by W_U", "and lowers"};
    for (int k = 0, y = 3; k < 2 && n->says[0].id >= 0; k++, y += NEURON_TOKENS + 2) {
        canvas_put(c, r, 0, y, canvas_plain(CANVAS_BOLD), names[k]);
        for (int t = 0; t < NEURON_TOKENS; t++) {
            draw_token(a, c, r, 5, y + 1 + t, canvas_plain(0), sides[k][t].id, 16);
            draw_number(c, r, 22, y + 1 + t, canvas_plain(0), (double)sides[k][t].logit, 8, 3,
                        NUMBER_SIGN);
        }
    }
    rect_cut_top(&r, 5 + 2 * (NEURON_TOKENS + 2) - 2);
    struct stats_site stats;
    const char *of;
    if (statistics_of(a, site_of(a), &stats, &of))
        rect_cut_top(&r, 1 + statistics_draw(a, c, r, &stats, of, n->neuron, n->value));
    rect_cut_top(&r, 2);
    draw_edits(a, c, r);
}

static void neurons_title(const struct app *a, struct bytes *out)
{
    char name[LIMIT_NAME];
    bytes_addf(out, "largest of %s", site_name(site_of(a), name));
    if (a->neurons_all)
        bytes_add_string(out, ", all positions");
    else
        bytes_addf(out, "[%d]", (int)a->cur.row);
}

/* Up and down in the list, left and right through the positions. */
static void neurons_move(struct app *a, enum move m, int count)
{
    int32_t ignored = 0;
    if (m == MOVE_LEFT || m == MOVE_RIGHT)
        draw_move_cursor(m, count, &ignored, 1, 1, &a->cur.row, a->n);
    else
        draw_move_cursor(m, count, &a->neuron_at, listed(a) > 0 ? listed(a) : 1, a->page, NULL, 0);
}

static bool neurons_noun(const struct app *a, struct noun *noun)
{
    const struct lens_neuron *n = chosen(a);
    if (!n)
        return false;
    noun->site = site_of(a);
    if (n->row >= 0)
        snprintf(noun->here, sizeof noun->here, "[%d, %d]", (int)draw_row_index(a, n->row),
                 (int)n->neuron);
    else
        snprintf(noun->here, sizeof noun->here, "[:, %d]", (int)n->neuron);
    snprintf(noun->all, sizeof noun->all, "[:, %d]", (int)n->neuron);
    return true;
}

static bool neurons_enter(struct app *a)
{
    const struct lens_neuron *n = chosen(a);
    if (!n)
        return false;
    app_jump_push(a);
    a->cur.site = site_of(a);
    a->cur.row = n->row < 0 ? a->cur.row : n->row;
    a->cur.element = n->neuron;
    a->cur.view = VIEW_TENSOR;
    return true;
}

static void say_tokens(const struct app *a, struct bytes *b, const struct lens_top *top,
                       const char *what)
{
    for (int t = 0; t < NEURON_TOKENS && top[t].id >= 0; t++) {
        bytes_add_string(b, t ? ", " : what);
        say_token(a, b, top[t].id);
    }
}

static void neurons_say(const struct app *a, struct bytes *b)
{
    bool stale;
    const struct lens_neuron *list = list_of(a, &stale);
    struct stats_site stats;
    bool known = statistics_of(a, site_of(a), &stats, NULL);
    bytes_addf(b, "neurons of layer %d%s", (int)app_layer(a), a->neurons_all ? "\n" : ", ");
    if (!a->neurons_all) {
        say_position(a, b, a->cur.row);
        say_line(b);
    }
    for (int32_t i = 0; list && i < listed(a) && i < 10; i++) {
        bytes_addf(b, "neuron %d: activation ", (int)list[i].neuron);
        say_number(b, (double)list[i].value, 3, NUMBER_SIGN);
        if (known)
            statistics_say(b, &stats, list[i].neuron, list[i].value);
        if (a->neurons_all && list[i].row >= 0 && list[i].row < a->n) {
            bytes_add_string(b, " at ");
            say_position(a, b, list[i].row);
        }
        bool down = list[i].value < 0;
        say_tokens(a, b, down ? list[i].against : list[i].says, ", raises ");
        say_tokens(a, b, down ? list[i].says : list[i].against, ", lowers ");
        bytes_addf(b, "%s\n", i == a->neuron_at ? ", the cursor" : "");
    }
}

static bool neurons_click(struct app *a, int x, int y)
{
    (void)x;
    int32_t at = a->neurons_top + y - a->rows_y;
    if (y < a->rows_y || at >= listed(a))
        return false;
    a->neuron_at = at;
    return true;
}

const struct view view_neurons = {
    .help = "the most active neurons of a layer; {move left} and {move right} change the "
            "position, {layer next} {layer previous} the layer, {quantity next} takes all "
            "positions; {enter} shows its values, {zero} zeroes it",
    .layout = neurons_layout,
    .want = neurons_want,
    .draw = neurons_draw,
    .side = neurons_side,
    .title = neurons_title,
    .move = neurons_move,
    .noun = neurons_noun,
    .enter = neurons_enter,
    .say = neurons_say,
    .click = neurons_click};
