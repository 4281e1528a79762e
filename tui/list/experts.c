/* experts.c - experts of positions, from what the session read of the router's sites (see
 * experts.h). */
#include "list/experts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detail.h"

struct want experts_want(enum site_id id, int32_t layer, int32_t row0, int32_t row1)
{
    return want_make(WANT_VALUES, (struct site_ref){id, layer}, row0, row1);
}

struct experts experts_at(const struct app *a, const struct snapshot *s, enum face face,
                          int32_t layer, int32_t row)
{
    const struct want index = experts_want(SITE_EXPERT_INDICES, layer, row, row + 1),
                      weight = experts_want(SITE_ROUTER_SCORES, layer, row, row + 1);
    struct experts x = {.n = a->m->cfg.n_active,
                        .index = snapshot_at(s, face, &index, row),
                        .weight = snapshot_at(s, face, &weight, row)};
    if (!x.weight)
        x.index = NULL;
    return x;
}

float experts_weight(const struct experts *x, int32_t expert)
{
    float sum = 0; /* an edit of indices may name one twice */
    for (int32_t i = 0; i < x->n; i++)
        sum += (int32_t)x->index[i] == expert ? x->weight[i] : 0;
    return sum;
}

static bool is_before(const struct experts *x, int32_t slot)
{
    for (int32_t i = 0; i < slot; i++)
        if (x->index[i] == x->index[slot])
            return true;
    return false;
}

float experts_moved(const struct experts *base, const struct experts *edited)
{
    float sum = 0;
    for (int32_t i = 0; i < base->n; i++) {
        int32_t b = (int32_t)base->index[i], e = (int32_t)edited->index[i];
        if (!is_before(base, i))
            sum += fabsf(experts_weight(base, b) - experts_weight(edited, b));
        if (!is_before(edited, i) && experts_weight(base, e) == 0)
            sum += fabsf(experts_weight(edited, e));
    }
    return sum / 2;
}

const char *experts_text(const struct experts *x, int columns, char *buf, size_t size)
{
    int used = 0;
    buf[0] = '\0';
    for (int32_t i = 0; i < x->n; i++) {
        char one[16];
        int len = snprintf(one, sizeof one, "%s%d", i ? " " : "", (int)x->index[i]);
        bool last = i + 1 == x->n;
        if (used + len + !last > columns || (size_t)(used + len) + sizeof "…" > size) {
            snprintf(buf + used, size - (size_t)used, "%s", used < columns ? "…" : "");
            break;
        }
        memcpy(buf + used, one, (size_t)len + 1);
        used += len;
    }
    return buf;
}

int32_t experts_chosen(const struct app *a, int32_t layer)
{
    struct answer at;
    if (!app_answer(a, WANT_VALUES, SITE_EXPERT_INDICES, &at))
        return -1;
    struct experts x = experts_at(a, at.s, at.show == SHOW_BASE ? FACE_BASE : FACE_EDITED, layer,
                                  a->cur.row);
    return x.index ? (int32_t)x.index[a->cur.head < x.n ? a->cur.head : x.n - 1] : -1;
}

/* ---- the side panel ---- */

/* The layer of the cursor, -1: none with experts. */
static int32_t layer_of(const struct app *a)
{
    int32_t layer = a->cur.column - 1;
    return layer >= 0 && layer_in(&a->m->cfg.moe, layer) ? layer : -1;
}

void experts_side_want(const struct app *a, struct want_list *l)
{
    int32_t layer = layer_of(a), row = a->cur.row;
    if (layer < 0)
        return;
    want_add(l, experts_want(SITE_EXPERT_INDICES, layer, 0, a->n));
    want_add(l, experts_want(SITE_ROUTER_SCORES, layer, row, row + 1));
    want_add(l, experts_want(SITE_EXPERT_WEIGHTS, layer, row, row + 1));
}

/* One line: its number, its weight in the sum, in the base and the change where two faces are
 * shown, what the router gives it among all experts. */
static void draw_expert(struct canvas *c, struct rect r, int y, struct canvas_style st,
                        int32_t expert, const float *weight, const float *base, const float *all)
{
    char n[NUMBER_BYTES];
    int x = 11;
    canvas_putf(c, r, 3, y, st, "%4d", (int)expert);
    for (int i = 0; i < 2; i++, x += 9) {
        const float *w = i ? base : weight;
        if (w)
            canvas_put(c, r, x, y, st, *w != 0 ? number_fit(n, (double)*w, 6, 3, 0) : "     –");
        else if (i)
            x -= 9;
    }
    canvas_put(c, r, x, y, st, all ? number_fit(n, (double)all[expert], 6, 3, 0) : "     …");
}

/* The experts of the cursor's position; returns the lines used. */
static int draw_slots(const struct app *a, struct canvas *c, struct rect r, const struct answer *at,
                      int32_t layer)
{
    bool two = at->show != SHOW_BASE;
    enum face face = two ? FACE_EDITED : FACE_BASE;
    const struct want want = experts_want(SITE_EXPERT_WEIGHTS, layer, a->cur.row, a->cur.row + 1);
    const float *all = snapshot_at(at->s, face, &want, a->cur.row);
    struct experts x = experts_at(a, at->s, face, layer, a->cur.row),
                   base = experts_at(a, at->s, FACE_BASE, layer, a->cur.row);
    canvas_put(c, r, 1, 0, canvas_plain(CANVAS_BOLD),
               two ? "expert    weight     base    of all" : "expert    weight   of all");
    if (!x.index || !base.index) {
        canvas_put(c, r, 1, 1, canvas_plain(CANVAS_DIM), "…");
        return 2;
    }
    int y = 1;
    for (int32_t i = 0; i < x.n && y < r.h; i++, y++) {
        int32_t e = (int32_t)x.index[i];
        float w = x.weight[i], b = experts_weight(&base, e);
        bool on = i == (a->cur.head < x.n ? a->cur.head : x.n - 1);
        canvas_put(c, r, 1, y, canvas_plain(0), on ? "▶" : " ");
        draw_expert(c, r, y, canvas_plain(on ? CANVAS_BOLD : 0), e, &w, two ? &b : NULL, all);
    }
    for (int32_t i = 0; two && i < base.n && y < r.h; i++) {
        int32_t e = (int32_t)base.index[i];
        float w = experts_weight(&x, e);
        if (w == 0 && !is_before(&base, i))
            draw_expert(c, r, y++, canvas_plain(CANVAS_DIM), e, &w, &base.weight[i], all);
    }
    return y + 1;
}

/* How many positions of the prompt go to each expert of the layer, the most first. */
static void draw_load(const struct app *a, struct canvas *c, struct rect r, const struct answer *at,
                      int32_t layer)
{
    enum face face = at->show == SHOW_BASE ? FACE_BASE : FACE_EDITED;
    int32_t experts = a->m->cfg.n_experts, *count = calloc((size_t)experts, sizeof *count),
            used = 0;
    const struct want all = experts_want(SITE_EXPERT_INDICES, layer, 0, a->n);
    bool there = count != NULL;
    for (int32_t row = 0; there && row < a->n; row++) {
        const float *index = snapshot_at(at->s, face, &all, row);
        there = index != NULL;
        for (int32_t i = 0; there && i < a->m->cfg.n_active; i++)
            used += count[draw_clamp((int32_t)index[i], experts)]++ == 0;
    }
    if (there)
        canvas_putf(c, r, 1, 0, canvas_plain(CANVAS_BOLD),
                    "positions of %d in layer %d: %d of %d used", (int)a->n, (int)layer, (int)used,
                    (int)experts);
    else
        canvas_put(c, r, 1, 0, canvas_plain(CANVAS_DIM), "…");
    for (int y = 1; there && y < r.h; y++) {
        int32_t best = 0, room = r.w - 18 > 1 ? r.w - 18 : 1;
        for (int32_t e = 1; e < experts; e++)
            best = count[e] > count[best] ? e : best;
        if (!count[best])
            break;
        canvas_putf(c, r, 3, y, canvas_plain(0), "%4d   %5d", (int)best, (int)count[best]);
        int32_t length = (count[best] * room + a->n - 1) / a->n;
        for (int32_t i = 0; i < length; i++)
            canvas_put(c, r, 17 + i, y, canvas_plain(0), "█");
        count[best] = 0;
    }
    free(count);
}

void experts_side(struct app *a, struct frame *f, struct rect r)
{
    struct canvas *c = f->canvas;
    int32_t layer = layer_of(a);
    char name[LIMIT_NAME + 24], site[LIMIT_NAME];
    snprintf(name, sizeof name, "%s[%d]",
             site_name((struct site_ref){SITE_EXPERT_INDICES, layer < 0 ? 0 : layer}, site),
             (int)a->cur.row);
    detail_head(a, c, r, layer < 0 ? "no experts here" : name);
    struct answer at;
    if (layer < 0)
        return;
    if (!app_answer(a, WANT_VALUES, SITE_EXPERT_INDICES, &at)) {
        canvas_put(c, r, 1, 1, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    struct rect rest = r, bottom = detail_cut_edits(a, &rest);
    detail_edits(a, c, bottom);
    rect_cut_top(&rest, 2);
    struct rect below = rest;
    rect_cut_top(&below, draw_slots(a, c, rest, &at, layer));
    draw_load(a, c, below, &at, layer);
    if (at.stale)
        canvas_restyle(c, rest, canvas_plain(CANVAS_DIM));
}
