/* heads.c - every head of every layer, as a table that can be sorted and filtered, or as a
 * wall of small pictures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "draw.h"
#include "keybar.h"
#include "list/head_list.h"
#include "save/figure.h"
#include "say.h"

enum { NAME_WIDTH = 10, SMALL = 48, SAYS = 8, WALL_LABEL = 5, WALL_MIN = 5, WALL_MAX = 31 };

/* Columns of a score: these, or up to twice as many where there is room, one of them left before
 * the panel; 0: no room for it, or no sweep that has it. */
static int width_of(const struct app *a, int k)
{
    static const int widths[HEADS_SORT_COUNT] = {0, 9, 10, 10, 6, 7, 8, 8, 11, 9};
    const int spared[] = {a->copying ? HEADS_BY_SELF : HEADS_BY_COPYING,
                          a->copying ? HEADS_BY_FIRST : HEADS_BY_SELF,
                          a->copying ? HEADS_BY_COPYING : HEADS_BY_FIRST};
    bool there[HEADS_SORT_COUNT];
    int room = a->body.w - NAME_WIDTH - 1, least = 0;
    for (int i = 0; i < HEADS_SORT_COUNT; i++) {
        there[i] = i != HEADS_BY_ABLATED || heads_swept(a);
        least += there[i] ? widths[i] : 0;
    }
    for (size_t i = 0; i < sizeof spared / sizeof *spared && room < least; i++)
        if (spared[i] != (int)a->heads_sort) {
            there[spared[i]] = false;
            least -= widths[spared[i]];
        }
    int wide = room < least ? least : room > 2 * least ? 2 * least : room;
    return there[k] ? widths[k] * wide / least : 0;
}

/* ---- layout ---- */

/* Columns and rows of a head's slot on the wall. */
static int wall_width(const struct app *a, struct rect body)
{
    int width = (body.w - WALL_LABEL) / a->m->cfg.n_heads;
    /* all layers at once, if that is not too small */
    int high = (body.h - 1) / a->m->cfg.n_layers - 1;
    width = high > 3 && width > 2 * high ? 2 * high : width;
    /* else a layer more, where much of one would be left blank */
    int room = body.h - 2, rows = room / (width / 2 + 1), more = room / (rows + 1) - 1;
    bool left = rows < a->m->cfg.n_layers && room % (width / 2 + 1) > width / 4;
    width = left && more > 3 ? 2 * more : width;
    return width < WALL_MIN ? WALL_MIN : width > WALL_MAX ? WALL_MAX : width;
}

/* As high as it is wide; higher, up to twice, where that fills a screen that all layers are on. */
static int wall_height(const struct app *a, struct rect body)
{
    int width = wall_width(a, body), high = width / 2,
        share = (body.h - 2) / a->m->cfg.n_layers - 1;
    high = share > high ? share : high;
    return high < 1 ? 1 : high < width ? high : width;
}

static void heads_layout(struct app *a, struct rect body)
{
    int32_t n, at = 0, heads = a->m->cfg.n_heads;
    if (!a->cur.column)
        a->cur.column = 1; /* the embedding has no heads */
    if (a->heads_wall) {
        a->page = (body.h - 2) / (wall_height(a, body) + 1);
        a->page = a->page < 1 ? 1 : a->page;
        a->heads_top = draw_scroll(a->heads_top, app_layer(a), a->m->cfg.n_layers, a->page);
        a->head_left = draw_scroll(a->head_left, a->cur.head, heads,
                                   (body.w - WALL_LABEL) / wall_width(a, body));
        return;
    }
    int32_t *order = heads_order(a, &n, NULL);
    bool found = false;
    for (int32_t i = 0; order && i < n && !found; i++)
        if (order[i] == app_layer(a) * heads + a->cur.head)
            at = i, found = true;
    if (order && n && !found) {
        a->cur.column = order[0] / heads + 1;
        a->cur.head = order[0] % heads;
    }
    free(order);
    a->page = body.h > 3 ? body.h - 2 : 1;
    a->heads_top = draw_scroll(a->heads_top, at, n, a->page);
    a->rows_y = body.y + 1;
}

static struct want small_want(const struct app *a, int32_t layer)
{
    struct want w = want_whole(WANT_THUMBS, (struct site_ref){SITE_PATTERN, layer});
    w.k = a->n < SMALL ? a->n : SMALL;
    return w;
}

static struct want says_want(const struct app *a)
{
    struct want w = want_make(WANT_HEAD_SAYS, (struct site_ref){SITE_Z, app_layer(a)}, a->cur.row,
                              a->cur.row + 1);
    w.head0 = a->cur.head;
    w.head1 = a->cur.head + 1;
    w.k = SAYS < a->m->cfg.d_vocab ? SAYS : a->m->cfg.d_vocab;
    return w;
}

static void heads_want(const struct app *a, struct want_list *l)
{
    int32_t layers = a->m->cfg.n_layers, here = app_layer(a);
    attention_want(a, l, a->cur.head, 1); /* with the scores of this layer */
    want_add(l, small_want(a, here));
    for (int32_t i = 0; i < layers; i++)
        if (i != here)
            want_add(l, want_whole(WANT_HEADS, (struct site_ref){SITE_PATTERN, i}));
    for (int32_t i = a->heads_top; a->heads_wall && i < layers && i < a->heads_top + a->page; i++)
        if (i != here)
            want_add(l, small_want(a, i));
    if (!a->m->cfg.headless)
        want_add(l, says_want(a));
    struct want attributed;
    if (heads_attributed_want(a, &attributed))
        want_add(l, attributed);
}

/* ---- the table ---- */

static void draw_header(const struct app *a, struct canvas *c, struct rect r)
{
    int x = NAME_WIDTH;
    canvas_put(c, r, 3, 0, canvas_plain(a->heads_sort ? CANVAS_DIM : CANVAS_BOLD), "head");
    for (int k = 1; k < HEADS_SORT_COUNT; k++) {
        const char *name = heads_sort_names[k];
        if (!width_of(a, k))
            continue;
        canvas_put(
            c, r, x + width_of(a, k) - (int)strlen(name), 0,
            canvas_plain(k == (int)a->heads_sort ? CANVAS_BOLD | CANVAS_UNDERLINE : CANVAS_DIM),
            name);
        x += width_of(a, k);
    }
}

static void draw_row(const struct app *a, struct frame *f, struct rect r, int y, int32_t layer,
                     int32_t head)
{
    struct canvas *c = f->canvas;
    bool stale, on = layer == app_layer(a) && head == a->cur.head;
    const struct snapshot *s = app_newest(a, &stale);
    bool diff = s && app_show(a, s) == SHOW_DIFFERENCE,
         edited = draw_is_edited(a, (struct site_ref){SITE_Z, layer}, 1, head) ||
                  draw_is_edited(a, (struct site_ref){SITE_PATTERN, layer}, 0, head);
    canvas_putf(c, r, 1, y, canvas_plain(on ? CANVAS_BOLD : 0), "%s L%dH%d%s", on ? "▶" : " ",
                (int)layer, (int)head, edited ? "*" : "");
    int x = NAME_WIDTH;
    for (int k = 1; k < HEADS_SORT_COUNT; x += width_of(a, k++)) {
        float v;
        if (!width_of(a, k))
            continue;
        struct rect cell = {r.x + x + 1, r.y + y, width_of(a, k) - 1, 1};
        bool copying = k == HEADS_BY_COPYING, attributed = k == HEADS_BY_ATTRIBUTED,
             ablated = k == HEADS_BY_ABLATED;
        if (!heads_value(a, layer, head, (enum heads_sort)k, &v)) {
            struct want w;
            bool none = ablated ? false
                        : attributed
                            ? !heads_attributed_want(a, &w)
                            : heads_score(a, layer, head, HEADS_BY_PREVIOUS, FACE_BASE, &v);
            canvas_put(c, cell, cell.w - 1, 0, canvas_plain(CANVAS_DIM), none ? "–" : "…");
            continue;
        }
        if (diff && !copying && !ablated && v == 0)
            continue;
        struct canvas_style st = canvas_plain(0);
        if (k != HEADS_BY_ENTROPY && !attributed && !ablated && (copying || !diff))
            st = draw_value_style(f, copying ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL,
                                  copying ? (double)(v + 1) / 2 : (double)v);
        st.attr |= (stale ? CANVAS_DIM : 0) | (on ? CANVAS_BOLD : 0);
        canvas_fill(c, cell, st, " ");
        draw_number(c, cell, cell.w - 6, 0, st, (double)v, 6, 2,
                    (diff && !copying) || attributed || ablated ? NUMBER_SIGN : 0);
    }
}

static void draw_table(const struct app *a, struct frame *f, struct rect body)
{
    int32_t n, heads = a->m->cfg.n_heads;
    bool bad;
    int32_t *order = heads_order(a, &n, &bad);
    struct rect header = rect_cut_top(&body, 1), legend = rect_cut_bottom(&body, body.h > 1);
    draw_header(a, f->canvas, header);
    for (int32_t i = 0; order && i < body.h && a->heads_top + i < n; i++)
        draw_row(a, f, body, i, order[a->heads_top + i] / heads, order[a->heads_top + i] % heads);
    if (!n)
        keybar_put(a, f->canvas, body, 3, 0, canvas_plain(0),
                   "no head passes the filter · {search} then {accept} lists all");
    struct err e = {0};
    struct heads_filter ignored;
    if (bad) {
        heads_filter_parse(a->head_filter, &ignored, &e);
        canvas_put(f->canvas, legend, 1, 0, canvas_plain(CANVAS_BOLD), e.text);
    } else {
        int x = heat_legend(f->canvas, legend, 1, 0, "mean weight", scale_make(SCALE_LINEAR, 0, 1),
                            COLORMAP_SEQUENTIAL);
        const char *const items[] = {
            "entropy in nats",
            a->ascii ? "attributed z x slope of the diff" : "attributed z · ∂Δ/∂z",
            a->copying ? "copying −1 to 1" : ":sort copying",
            heads_swept(a) ? "ablated: change of the sweep's metric" : "{sweep} ablates"};
        keybar_items(a, f->canvas, legend, x + 3, 0, items, sizeof items / sizeof *items);
    }
    free(order);
}

/* ---- the wall ---- */

static void draw_small(const struct app *a, struct frame *f, struct rect r, int32_t layer,
                       int32_t head)
{
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    struct want w = small_want(a, layer);
    const float *base = s ? snapshot_at(s, FACE_BASE, &w, 0) : NULL,
                *edited = s ? snapshot_at(s, FACE_EDITED, &w, 0) : NULL;
    enum show show = s ? app_show(a, s) : SHOW_BASE;
    size_t count = (size_t)w.k * (size_t)w.k, at = (size_t)head * count;
    float *v = malloc(count * sizeof *v);
    if (!base || !v || (show != SHOW_BASE && !edited)) {
        canvas_put(f->canvas, r, 1, 0, canvas_plain(CANVAS_DIM), "…");
        free(v);
        return;
    }
    bool some = show != SHOW_DIFFERENCE; /* no change: blank */
    for (size_t i = 0; i < count; i++) {
        v[i] = show == SHOW_BASE ? base[at + i] : show_value(show, base[at + i], edited[at + i]);
        some = some || v[i] != 0;
    }
    struct heat m = {v,
                     w.k,
                     w.k,
                     w.k,
                     show == SHOW_DIFFERENCE ? scale_make(SCALE_SYMMETRIC, -1, 1)
                                             : scale_make(SCALE_LINEAR, 0, 1),
                     show == SHOW_DIFFERENCE ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL};
    if (some)
        frame_heat(f, r, &m);
    free(v);
}

static bool passes_filter(const int32_t *order, int32_t n, int32_t at)
{
    for (int32_t i = 0; i < n; i++)
        if (order[i] == at)
            return true;
    return false;
}

static void draw_wall(const struct app *a, struct frame *f, struct rect body)
{
    int w = wall_width(a, body), h = wall_height(a, body);
    int32_t n, heads = a->m->cfg.n_heads, across = (body.w - WALL_LABEL) / w;
    int32_t *order = heads_order(a, &n, NULL);
    struct rect header = rect_cut_top(&body, 1), legend = rect_cut_bottom(&body, body.h > 1);
    for (int32_t j = 0; j < across && a->head_left + j < heads; j++)
        canvas_putf(f->canvas, header, WALL_LABEL + j * w, 0,
                    canvas_plain(a->head_left + j == a->cur.head ? CANVAS_BOLD : CANVAS_DIM), "H%d",
                    (int)(a->head_left + j));
    if (a->head_left + across < heads)
        canvas_put(f->canvas, header, header.w - 1, 0, canvas_plain(0), "›");
    if (a->head_left)
        canvas_put(f->canvas, header, WALL_LABEL - 2, 0, canvas_plain(0), "‹");
    int32_t below = a->m->cfg.n_layers - a->heads_top - a->page;
    if (a->heads_top)
        canvas_put(f->canvas, header, 1, 0, canvas_plain(0), "↑");
    if (below > 0)
        canvas_putf(f->canvas, legend, legend.w - 12, 0, canvas_plain(0), "↓ %d layer%s",
                    (int)below, below > 1 ? "s" : "");
    for (int32_t i = 0; i < a->page && a->heads_top + i < a->m->cfg.n_layers; i++) {
        int32_t layer = a->heads_top + i;
        int y = i * (h + 1);
        canvas_putf(f->canvas, body, 1, y,
                    canvas_plain(layer == app_layer(a) ? CANVAS_BOLD : CANVAS_DIM), "L%d",
                    (int)layer);
        for (int32_t j = 0; j < across && a->head_left + j < heads; j++) {
            int32_t head = a->head_left + j;
            struct rect slot = {body.x + WALL_LABEL + j * w, body.y + y, w - 1, h};
            if (order && passes_filter(order, n, layer * heads + head))
                draw_small(a, f, slot, layer, head);
            else
                canvas_put(f->canvas, slot, 0, 0, canvas_plain(CANVAS_DIM), "·");
            for (int k = 0; layer == app_layer(a) && head == a->cur.head && k < h; k++) {
                canvas_put(f->canvas, canvas_rect(f->canvas), slot.x - 1, slot.y + k,
                           canvas_plain(CANVAS_BOLD), "[");
                canvas_put(f->canvas, canvas_rect(f->canvas), slot.x + slot.w, slot.y + k,
                           canvas_plain(CANVAS_BOLD), "]");
            }
        }
    }
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    bool diff = s && app_show(a, s) == SHOW_DIFFERENCE;
    heat_legend(f->canvas, legend, 1, 0, diff ? "change of weight" : "weight",
                diff ? scale_make(SCALE_SYMMETRIC, -1, 1) : scale_make(SCALE_LINEAR, 0, 1),
                diff ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL);
    free(order);
}

static void heads_draw(struct app *a, struct frame *f, struct rect body)
{
    if (a->heads_wall)
        draw_wall(a, f, body);
    else
        draw_table(a, f, body);
}

/* ---- the panel ---- */

/* Where the head looks from the cursor's position. */
static void draw_sources(const struct app *a, struct canvas *c, struct rect r)
{
    bool stale;
    struct attention at;
    struct attention_row row;
    int32_t best[5];
    int x = canvas_putf(c, r, 0, 0, canvas_plain(CANVAS_BOLD), "from  %d ", (int)a->cur.row);
    draw_input(a, c, r, x, 0, canvas_plain(0), a->cur.row, 16);
    if (!attention_open(&at, a, &stale) || stale || a->cur.row >= at.n ||
        !attention_row(&at, a->cur.head, a->cur.row, &row)) {
        canvas_put(c, r, 1, 1, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    int found = attention_top(&at, &row, best, 5);
    for (int i = 0; i < found; i++) {
        float v = attention_value(&at, &row, best[i]);
        if (at.show == SHOW_DIFFERENCE && v == 0)
            break; /* no change from here on */
        canvas_putf(c, r, 0, 1 + i, canvas_plain(0), "%4d ", (int)best[i]);
        draw_input(a, c, r, 5, 1 + i, canvas_plain(0), best[i], 16);
        draw_number(c, r, 22, 1 + i, canvas_plain(0), (double)v, 8, 3,
                    at.show == SHOW_DIFFERENCE ? NUMBER_SIGN : NUMBER_SMALL);
    }
}

static void draw_says(const struct app *a, struct canvas *c, struct rect r)
{
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    struct want w = says_want(a);
    const struct lens_top *top = s ? snapshot_at(
                                         s, app_show(a, s) == SHOW_BASE ? FACE_BASE : FACE_EDITED,
                                         &w, a->cur.row)
                                   : NULL;
    canvas_put(c, r, 0, 0, canvas_plain(CANVAS_BOLD), "writes there, by W_U");
    if (!top)
        canvas_put(c, r, 1, 1, canvas_plain(CANVAS_DIM), "…");
    for (int i = 0; top && i < w.k; i++) {
        draw_token(a, c, r, 5, 1 + i, canvas_plain(0), top[i].id, 16);
        draw_number(c, r, 22, 1 + i, canvas_plain(0), (double)top[i].logit, 8, 2, NUMBER_SIGN);
    }
}

static void heads_side(struct app *a, struct frame *f, struct rect r)
{
    char name[LIMIT_NAME];
    canvas_putf(f->canvas, r, 0, 0, canvas_plain(CANVAS_BOLD), "L%dH%d   %s[:, %d]",
                (int)app_layer(a), (int)a->cur.head,
                site_name((struct site_ref){SITE_Z, app_layer(a)}, name), (int)a->cur.head);
    rect_cut_top(&r, 2);
    if (!a->heads_wall && r.h > 24) {
        struct rect picture = rect_cut_top(&r, r.h - 16 < 12 ? r.h - 16 : 12);
        picture.w = picture.w < 2 * picture.h ? picture.w : 2 * picture.h;
        draw_small(a, f, picture, app_layer(a), a->cur.head);
        rect_cut_top(&r, 1);
    }
    draw_sources(a, f->canvas, rect_cut_top(&r, 7));
    if (!a->m->cfg.headless)
        draw_says(a, f->canvas, rect_cut_top(&r, SAYS + 2));
    draw_edits(a, f->canvas, r);
}

static void heads_title(const struct app *a, struct bytes *out)
{
    int32_t n, all = a->m->cfg.n_layers * a->m->cfg.n_heads;
    free(heads_order(a, &n, NULL));
    bytes_addf(out, "%d of %d heads, by %s%s", (int)n, (int)all, heads_sort_names[a->heads_sort],
               a->heads_ascending ? ", least first" : "");
    if (a->head_filter[0])
        bytes_addf(out, ", filter %s", a->head_filter);
}

/* ---- moving ---- */

static void heads_move(struct app *a, enum move m, int count)
{
    int32_t n, at = 0, layer = app_layer(a), heads = a->m->cfg.n_heads;
    if (a->heads_wall) {
        draw_move_cursor(m, count, &layer, a->m->cfg.n_layers, a->page, &a->cur.head, heads);
        a->cur.column = layer + 1;
        return;
    }
    int32_t *order = heads_order(a, &n, NULL);
    for (int32_t i = 0; order && i < n; i++)
        if (order[i] == layer * heads + a->cur.head)
            at = i;
    if (m == MOVE_LEFT || m == MOVE_RIGHT) { /* the column to sort by */
        int k = (int)a->heads_sort + (m == MOVE_LEFT ? -1 : 1);
        a->heads_sort = (enum heads_sort)draw_clamp(k, HEADS_SORT_COUNT);
    } else if (order && n) {
        draw_move_cursor(m, count, &at, n, a->page, NULL, 0);
        a->cur.column = order[at] / heads + 1;
        a->cur.head = order[at] % heads;
    }
    free(order);
}

static bool heads_noun(const struct app *a, struct noun *n)
{
    n->site = (struct site_ref){SITE_Z, app_layer(a)};
    snprintf(n->here, sizeof n->here, "[:, %d]", (int)a->cur.head);
    snprintf(n->all, sizeof n->all, "[:, %d]", (int)a->cur.head);
    return true;
}

static bool heads_enter(struct app *a)
{
    app_show_view(a, VIEW_ATTENTION);
    a->cur.map = false;
    return true;
}

static void heads_say(const struct app *a, struct bytes *b)
{
    bytes_addf(b, "layer %d, head %d\n", (int)app_layer(a), (int)a->cur.head);
    for (int k = 1; k < HEADS_SORT_COUNT; k++) {
        float v;
        bytes_addf(b, "%s ", heads_sort_names[k]);
        if (heads_value(a, app_layer(a), a->cur.head, (enum heads_sort)k, &v))
            say_number(b, (double)v, 2, 0);
        else
            bytes_add_string(b, k == HEADS_BY_COPYING   ? "not computed, sort copying does it"
                                : k == HEADS_BY_ABLATED ? "not computed, sweep does it"
                                                        : "none");
        say_line(b);
    }
}

static bool heads_click(struct app *a, int x, int y)
{
    int32_t n, heads = a->m->cfg.n_heads;
    if (a->heads_wall) {
        int32_t layer = a->heads_top + (y - a->body.y - 1) / (wall_height(a, a->body) + 1),
                head = a->head_left + (x - WALL_LABEL) / wall_width(a, a->body);
        if (y <= a->body.y || x < WALL_LABEL || layer >= a->m->cfg.n_layers || head >= heads)
            return false;
        a->cur.column = layer + 1;
        a->cur.head = head;
        return true;
    }
    int32_t *order = heads_order(a, &n, NULL), at = a->heads_top + y - a->rows_y;
    bool hit = order && y >= a->rows_y && at < n;
    if (hit) {
        a->cur.column = order[at] / heads + 1;
        a->cur.head = order[at] % heads;
    }
    free(order);
    int column = NAME_WIDTH;
    for (int k = 1; k < HEADS_SORT_COUNT && y == a->body.y; column += width_of(a, k++))
        if (x >= column && x < column + width_of(a, k))
            a->heads_sort = (enum heads_sort)k, hit = true;
    return hit;
}

/* Scores that belong to the weights, or to a sweep. */
static void heads_figures(const struct app *a, struct figures *to)
{
    static const enum heads_sort more[] = {HEADS_BY_COPYING, HEADS_BY_ABLATED};
    int32_t heads = a->m->cfg.n_heads;
    for (size_t k = 0; k < sizeof more / sizeof *more; k++)
        for (int32_t i = 0; i < a->m->cfg.n_layers * heads; i++) {
            struct figure f = figure_make();
            float v;
            snprintf(f.index, sizeof f.index, "%d,%d", (int)(i / heads), (int)(i % heads));
            if (heads_score(a, i / heads, i % heads, more[k], FACE_BASE, &v))
                figure_number(to, &f, heads_sort_names[more[k]], (double)v, 0);
        }
}

const struct view view_heads = {
    .help = "every head of every layer; {sort next} sorts, {sort reverse} turns it round, "
            "{wall} shows the wall, {search} filters: L2, H3, induction>0.5; {enter} goes to "
            "it, {zero} zeroes it",
    .layout = heads_layout,
    .want = heads_want,
    .draw = heads_draw,
    .side = heads_side,
    .title = heads_title,
    .move = heads_move,
    .noun = heads_noun,
    .enter = heads_enter,
    .say = heads_say,
    .click = heads_click,
    .figures = heads_figures};
