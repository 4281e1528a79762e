/* attention.c - all heads of a layer small, one head large with its axes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention_map.h"
#include "draw.h"
#include "keybar.h"
#include "list/patches.h"
#include "say.h"

enum { SCORE_LABEL = 11, HEAD_MIN = 8, HEAD_MAX = 20, SCORES = 5, SOURCES_MAX = 40 };

/* How the body is shared out; a pure function of its size. */
struct parts {
    struct rect header, thumbs, scores, map;
    int head_width, heads; /* columns of one head, heads shown */
};

static struct parts share_out(const struct app *a, struct rect body)
{
    struct parts p = {.header = rect_cut_top(&body, 1)};
    int32_t n = a->m->cfg.n_heads;
    int width = (body.w - SCORE_LABEL) / (n < 1 ? 1 : n);
    p.head_width = width < HEAD_MIN ? HEAD_MIN : width > HEAD_MAX ? HEAD_MAX : width;
    p.heads = (body.w - SCORE_LABEL) / p.head_width;
    p.heads = p.heads > n ? n : p.heads < 1 ? 1 : p.heads;
    bool cramped = a->cur.map && a->map_face != MAP_TEXT &&
                   body.h <
                       a->n + 18; /* inside the map, rows of tokens matter more than small maps */
    if (cramped) {
        p.thumbs = p.scores = (struct rect){body.x, body.y, 0, 0};
        p.map = body;
        return p;
    }
    int square = p.head_width / 2 < body.h / 5 ? p.head_width / 2 : body.h / 5;
    p.thumbs = rect_cut_top(&body, body.h > 26   ? square < 6 ? 6 : square
                                   : body.h > 18 ? 4
                                   : body.h > 12 ? 3
                                                 : 0);
    p.scores = rect_cut_top(&body, body.h > 18 ? SCORES + 1 : body.h > 12 ? 3 : 0);
    p.map = body;
    return p;
}

static void attention_layout(struct app *a, struct rect body)
{
    struct parts p = share_out(a, body);
    a->head_left = draw_scroll(a->head_left, a->cur.head, a->m->cfg.n_heads, p.heads);
    a->page = 10;
    a->column_width = p.head_width;
    if (!a->cur.column)
        a->cur.column = 1; /* the embedding has no attention */
    attention_map_layout(a, p.map);
}

static void want(const struct app *a, struct want_list *l)
{
    attention_want(a, l, a->head_left, share_out(a, a->body).heads);
}

/* ---- small maps and scores ---- */

static void draw_heads(const struct app *a, struct canvas *c, const struct parts *p)
{
    canvas_putf(c, p->header, 1, 0, canvas_plain(CANVAS_BOLD), "layer %d", (int)app_layer(a));
    for (int i = 0; i < p->heads; i++) {
        int32_t h = a->head_left + i;
        bool on = h == a->cur.head;
        bool edited = draw_is_edited(a, (struct site_ref){SITE_Z, app_layer(a)}, 1, h) ||
                      draw_is_edited(a, (struct site_ref){SITE_PATTERN, app_layer(a)}, 0, h);
        canvas_putf(c, p->header, SCORE_LABEL + i * p->head_width, 0,
                    canvas_plain(on ? CANVAS_BOLD : 0), on ? "[%d]%s" : " %d %s", (int)h,
                    edited ? "*" : "");
    }
    if (a->head_left + p->heads < a->m->cfg.n_heads)
        canvas_put(c, p->header, p->header.w - 1, 0, canvas_plain(0), "›");
    if (a->head_left)
        canvas_put(c, p->header, SCORE_LABEL - 1, 0, canvas_plain(0), "‹");
}

static void draw_thumbs(const struct app *a, struct frame *f, const struct parts *p,
                        const struct attention *at)
{
    for (int i = 0; i < p->heads && p->thumbs.h > 0; i++) {
        struct rect r = {p->thumbs.x + SCORE_LABEL + i * p->head_width, p->thumbs.y,
                         p->head_width - 1, p->thumbs.h};
        int32_t rows = at->small.w->row1 - at->small.w->row0;
        float *v = attention_matrix(at, &at->small, a->head_left + i);
        if (!v)
            continue;
        struct heat m = {v,
                         rows,
                         at->n,
                         at->n,
                         attention_scale(at, v, (size_t)rows * (size_t)at->n),
                         attention_map(at)};
        frame_heat(f, r, &m);
        free(v);
    }
}

static float score_of(const struct lens_head *h, int which)
{
    const float v[SCORES] = {h->previous, h->duplicate, h->induction, h->first, h->entropy};
    return v[which];
}

static void draw_scores(const struct app *a, struct canvas *c, const struct parts *p,
                        const struct attention *at, bool stale)
{
    static const char *const names[SCORES] = {"previous", "duplicate", "induction", "first tok",
                                              "entropy"};
    for (int k = 0; k < SCORES && k < p->scores.h; k++) {
        canvas_put(c, p->scores, 1, k, canvas_plain(CANVAS_DIM), names[k]);
        for (int i = 0; i < p->heads; i++) {
            int32_t h = a->head_left + i;
            const struct lens_head *const *heads = at->heads;
            if (!heads[FACE_BASE] || (at->show != SHOW_BASE && !heads[FACE_EDITED])) {
                canvas_put(c, p->scores, SCORE_LABEL + i * p->head_width, k,
                           canvas_plain(CANVAS_DIM), "    …");
                continue;
            }
            float base = score_of(&heads[FACE_BASE][h], k);
            float v = at->show == SHOW_BASE
                          ? base
                          : show_value(at->show, base, score_of(&heads[FACE_EDITED][h], k));
            bool mostly = k < 4 && at->show != SHOW_DIFFERENCE && v >= 0.5f;
            struct canvas_style st = canvas_plain((mostly ? CANVAS_BOLD | CANVAS_UNDERLINE : 0) |
                                                  (stale ? CANVAS_DIM : 0));
            int x = SCORE_LABEL + i * p->head_width;
            if ((k == 1 || k == 2) && !heads[FACE_BASE][h].n_repeats) /* no token stands twice */
                canvas_put(c, p->scores, x, k, st, "    –");
            else if (at->show != SHOW_DIFFERENCE || v != 0)
                draw_number(c, p->scores, x, k, st, (double)v, 5, 2,
                            at->show == SHOW_DIFFERENCE ? NUMBER_SIGN : 0);
        }
    }
}

static void attention_draw(struct app *a, struct frame *f, struct rect body)
{
    struct parts p = share_out(a, body);
    draw_heads(a, f->canvas, &p);
    bool stale;
    struct attention at;
    if (!attention_open(&at, a, &stale)) {
        canvas_put(f->canvas, p.map, 1, 1, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    draw_thumbs(a, f, &p, &at);
    draw_scores(a, f->canvas, &p, &at, stale);
    attention_map_draw(a, f, p.map, &at);
    if (stale)
        canvas_restyle(f->canvas, p.map, canvas_plain(CANVAS_DIM));
}

/* What the head takes from each patch, seen from the cursor's. */
static void draw_patches(const struct app *a, struct frame *f, struct rect r)
{
    bool stale;
    struct attention at;
    struct attention_row row;
    char name[32];
    float *v = NULL;
    bool there = !rect_is_empty(r) && attention_open(&at, a, &stale) && at.n == a->n &&
                 attention_row(&at, a->cur.head, a->cur.row, &row);
    if (there)
        v = malloc((size_t)a->n * sizeof *v);
    for (int32_t j = 0; v && j < a->n; j++)
        v[j] = attention_value(&at, &row, j);
    snprintf(name, sizeof name, "from here, L%dH%d", (int)app_layer(a), (int)a->cur.head);
    patches_draw(a, f, r, v,
                 v ? attention_scale(&at, v + 1, (size_t)a->n - 1) : scale_make(SCALE_LINEAR, 0, 1),
                 v ? attention_map(&at) : COLORMAP_SEQUENTIAL, name);
    free(v);
}

/* The slope of the pair's difference along the edge's score. */
static void draw_slope(const struct app *a, struct canvas *c, struct rect r, int x,
                       struct canvas_style st, enum show show)
{
    struct want w;
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    if (!s || !attention_slope_want(a, &w))
        return;
    const float *base = snapshot_at(s, FACE_BASE, &w, 0),
                *edited = snapshot_at(s, FACE_EDITED, &w, 0);
    x += canvas_put(c, r, x, 3, st, a->ascii ? "slope of diff " : "∂Δ/∂score ");
    if (!base || (show != SHOW_BASE && !edited)) {
        canvas_put(c, r, x, 3, st, "…");
        return;
    }
    double v = (double)base[a->cur.src];
    if (show != SHOW_BASE)
        v = (double)show_value(show, base[a->cur.src], edited[a->cur.src]);
    draw_number(c, r, x, 3, st, v, 8, 3, NUMBER_SIGN | NUMBER_SMALL | NUMBER_LEFT);
}

/* The edge under the cursor: its value under the mask, rank, norm of the value, score. */
static void draw_edge(const struct app *a, struct canvas *c, struct rect r,
                      const struct attention *at, const struct attention_row *row,
                      struct canvas_style st)
{
    unsigned sign = at->show == SHOW_DIFFERENCE ? NUMBER_SIGN : 0;
    float v = attention_value(at, row, a->cur.src), beside;
    char n[NUMBER_BYTES], other[NUMBER_BYTES] = "…";
    int x = canvas_putf(c, r, 0, 1, canvas_plain(CANVAS_BOLD), "to    %d ", (int)a->cur.src);
    draw_input(a, c, r, x, 1, st, a->cur.src, 16);
    draw_number(c, r, 30, 1, st, (double)v, 9, 3, sign);
    int rank = 0;
    int32_t seen = attention_seen(at, row);
    for (int32_t j = 0; j < seen; j++)
        rank += attention_value(at, row, j) > v;
    const float *norm = attention_value_norm(at, at->show == SHOW_BASE ? FACE_BASE : FACE_EDITED,
                                             a->cur.head, a->cur.src);
    if (attention_beside(at, &beside))
        number_fit(other, (double)beside, 8, at->scores ? 3 : 2, NUMBER_LEFT | sign);
    canvas_putf(c, r, 0, 2, st, "%s %s   value norm %s", at->scores ? "weight" : "score", other,
                norm ? number_fit(n, (double)*norm, 8, 2, NUMBER_LEFT) : "…");
    x = canvas_putf(c, r, 0, 3, st, "rank %d of %d", rank, (int)seen);
    draw_slope(a, c, r, x + 3, st, at->show);
}

/* In its place, while the cursor stands on a head: what a verb acts on. */
static void draw_whole_head(const struct app *a, struct canvas *c, struct rect r)
{
    char noun[256];
    if (app_noun_text(a, false, noun))
        canvas_put(c, r, 0, 1, canvas_plain(0), noun);
    keybar_put(a, c, r, 0, 2, canvas_plain(CANVAS_DIM),
               "{zero} zeroes this head here, {zero-all} everywhere");
    keybar_put(a, c, r, 0, 3, canvas_plain(CANVAS_DIM), "{enter} goes to its edges");
}

static void attention_side(struct app *a, struct frame *f, struct rect r)
{
    struct canvas *c = f->canvas;
    bool stale;
    struct attention at;
    draw_patches(a, f, patches_cut(a, &r));
    struct canvas_style st = canvas_plain(0);
    int x = canvas_putf(c, r, 0, 0, canvas_plain(CANVAS_BOLD), "from  %d ", (int)a->cur.row);
    draw_input(a, c, r, x, 0, st, a->cur.row, 16);
    struct attention_row row;
    if (!attention_open(&at, a, &stale) || a->cur.row >= at.n ||
        !attention_row(&at, a->cur.head, a->cur.row, &row)) {
        canvas_put(c, r, 1, 1, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    st.attr = stale ? CANVAS_DIM : 0;
    if (a->cur.map)
        draw_edge(a, c, r, &at, &row, st);
    else
        draw_whole_head(a, c, r);
    canvas_put(c, r, 0, 5, canvas_plain(CANVAS_BOLD), "top sources");
    int32_t best[SOURCES_MAX];
    int edits = a->edits.n < 6 ? a->edits.n : 6, room = r.h - 6 - (edits ? edits + 2 : 0);
    int found = attention_top(&at, &row, best,
                              room > SOURCES_MAX ? SOURCES_MAX
                              : room < 4         ? 4
                                                 : room);
    for (int i = 0; i < found; i++) {
        float v = attention_value(&at, &row, best[i]);
        if (at.show == SHOW_DIFFERENCE && v == 0)
            break; /* no change from here on */
        canvas_putf(c, r, 0, 6 + i, st, "%4d ", (int)best[i]);
        draw_input(a, c, r, 5, 6 + i, st, best[i], 16);
        draw_number(c, r, 22, 6 + i, st, (double)v, 8, 3,
                    at.show == SHOW_DIFFERENCE ? NUMBER_SIGN : NUMBER_SMALL);
    }
    struct rect bottom = r;
    bottom = rect_cut_bottom(&bottom, edits ? edits + 1 : 0);
    if (a->edits.n) {
        canvas_put(c, bottom, 0, 0, canvas_plain(CANVAS_BOLD), "edits");
        rect_cut_top(&bottom, 1);
        draw_edits(a, c, bottom);
    }
}

static void attention_title(const struct app *a, struct bytes *out)
{
    bytes_addf(out, "blocks.%d.attn.%s [%d heads, %d, %d]", (int)app_layer(a),
               a->scores ? "hook_attn_scores" : "hook_pattern", (int)a->m->cfg.n_heads, (int)a->n,
               (int)a->n);
}

/* ---- moving ---- */

static void attention_move(struct app *a, enum move m, int count)
{
    struct place *p = &a->cur;
    int32_t *across = p->map ? &p->src : &p->head;
    draw_move_cursor(m, count, &p->row, a->n, 10, across,
                     p->map ? attention_reach(a) : a->m->cfg.n_heads);
    p->src = draw_clamp(p->src, attention_reach(a));
    p->head = draw_clamp(p->head, a->m->cfg.n_heads);
}

static bool attention_noun(const struct app *a, struct noun *n)
{
    int32_t l = app_layer(a);
    if (a->cur.map) {
        n->site = (struct site_ref){a->scores ? SITE_ATTN_SCORES : SITE_PATTERN, l};
        snprintf(n->here, sizeof n->here, "[%d, %d, %d]", (int)a->cur.head,
                 (int)draw_row_index(a, a->cur.row), (int)a->cur.src);
        snprintf(n->all, sizeof n->all, "[%d, :, %d]", (int)a->cur.head, (int)a->cur.src);
        return true;
    }
    n->site = (struct site_ref){SITE_Z, l};
    snprintf(n->here, sizeof n->here, "[%d, %d]", (int)draw_row_index(a, a->cur.row),
             (int)a->cur.head);
    snprintf(n->all, sizeof n->all, "[:, %d]", (int)a->cur.head);
    return true;
}

static bool attention_enter(struct app *a)
{
    if (!a->cur.map) {
        a->cur.map = true;
        struct attention at;
        struct attention_row row;
        bool stale;
        int32_t best;
        if (attention_open(&at, a, &stale) && a->cur.row < at.n &&
            attention_row(&at, a->cur.head, a->cur.row, &row) &&
            attention_top(&at, &row, &best, 1) == 1)
            a->cur.src = best; /* where this head looks from here */
        return true;
    }
    bool side;
    app_body(a, &side);
    if (side || a->side_open)
        return false;
    a->side_open = true;
    return true;
}

static void attention_say(const struct app *a, struct bytes *b)
{
    struct attention at;
    struct attention_row row;
    bool stale;
    bytes_addf(b, "layer %d, head %d, from ", (int)app_layer(a), (int)a->cur.head);
    say_position(a, b, a->cur.row);
    say_line(b);
    if (!attention_open(&at, a, &stale) || a->cur.row >= at.n ||
        !attention_row(&at, a->cur.head, a->cur.row, &row))
        return;
    static const char *const names[SCORES] = {"previous", "duplicate", "induction", "first token",
                                              "entropy"};
    const struct lens_head *head = at.heads[at.show == SHOW_BASE ? FACE_BASE : FACE_EDITED];
    for (int k = 0; k < SCORES && head; k++) {
        bytes_addf(b, "%s%s ", k ? ", " : "scores: ", names[k]);
        if ((k == 1 || k == 2) && !head[a->cur.head].n_repeats)
            bytes_add_string(b, "none");
        else
            say_number(b, (double)score_of(&head[a->cur.head], k), 2, 0);
    }
    if (head)
        say_line(b);
    unsigned sign = at.show == SHOW_DIFFERENCE ? NUMBER_SIGN : NUMBER_SMALL;
    int32_t best[8];
    int found = attention_top(&at, &row, best, 8);
    for (int i = 0; i < found; i++) {
        bytes_add_string(b, "to ");
        say_position(a, b, best[i]);
        bytes_addf(b, ": %s ", at.scores ? "score" : "weight");
        say_number(b, (double)attention_value(&at, &row, best[i]), 3, sign);
        bytes_addf(b, "%s\n", a->cur.map && best[i] == a->cur.src ? ", the cursor" : "");
    }
    float beside;
    if (!a->cur.map || !attention_beside(&at, &beside))
        return;
    bytes_add_string(b, "at the cursor, to ");
    say_position(a, b, a->cur.src);
    bytes_addf(b, ": %s ", at.scores ? "score" : "weight");
    say_number(b, (double)attention_value(&at, &row, a->cur.src), 3, sign);
    bytes_addf(b, ", %s ", at.scores ? "weight" : "score");
    say_number(b, (double)beside, 3, 0);
    say_line(b);
}

static bool attention_click(struct app *a, int x, int y)
{
    struct parts p = share_out(a, a->body);
    if (y < p.map.y) {
        int32_t h = a->head_left + (x - SCORE_LABEL) / p.head_width;
        if (x < SCORE_LABEL || h >= a->m->cfg.n_heads || h >= a->head_left + p.heads)
            return false;
        a->cur.head = h;
        a->cur.map = false;
        return true;
    }
    int32_t dest, src;
    if (!attention_map_at(a, p.map, x, y, &dest, &src))
        return false;
    if (dest >= 0)
        a->cur.row = dest;
    if (src >= 0) {
        a->cur.map = true;
        a->cur.src = draw_clamp(src, attention_reach(a));
    }
    return true;
}

const struct view view_attention = {
    .help = "heads of a layer; {move left} and {move right} choose one, {enter} goes into "
            "its map, {layer next} and {layer previous} change the layer, {mask} masks",
    .layout = attention_layout,
    .want = want,
    .draw = attention_draw,
    .side = attention_side,
    .title = attention_title,
    .move = attention_move,
    .noun = attention_noun,
    .enter = attention_enter,
    .say = attention_say,
    .click = attention_click};
