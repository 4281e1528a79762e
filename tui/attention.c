/* attention.c - the numbers of the attention view (see attention.h). */
#include "attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PART_FLOATS = 1 << 22, PART_ROWS = 16 };

/* Rows of some heads: all, or as many around the cursor as PART_FLOATS hold. */
static struct want part_want(const struct app *a, int32_t head, int32_t heads)
{
    struct site_ref site = {a->scores ? SITE_ATTN_SCORES : SITE_PATTERN, app_layer(a)};
    struct want w = want_make(WANT_VALUES, site, 0, a->n);
    w.head0 = head;
    w.head1 = head + heads;
    int32_t room = (int32_t)(PART_FLOATS / ((int64_t)heads * a->n)) / PART_ROWS * PART_ROWS;
    room = room < 2 * PART_ROWS ? 2 * PART_ROWS : room;
    if (room < a->n) {
        w.row0 = (a->cur.row - room / 2) / PART_ROWS * PART_ROWS;
        w.row0 = w.row0 < 0 ? 0 : w.row0 > a->n - room ? a->n - room : w.row0;
        w.row1 = w.row0 + room;
    }
    return w;
}

/* The norms of what the pattern mixes. */
static struct want values_want(const struct app *a, int32_t layer, int32_t n)
{
    return want_make(WANT_HEAD_NORM, (struct site_ref){site_mixed(&a->m->cfg), layer}, 0, n);
}

/* The scores of the cursor's row beside its pattern, or the other way round. */
static struct want beside_want(const struct app *a, bool scores, int32_t layer)
{
    struct want w = want_make(WANT_VALUES,
                              (struct site_ref){scores ? SITE_PATTERN : SITE_ATTN_SCORES, layer},
                              a->cur.row, a->cur.row + 1);
    w.head0 = a->cur.head;
    w.head1 = a->cur.head + 1;
    return w;
}

bool attention_slope_want(const struct app *a, struct want *w)
{
    const struct config *cfg = &a->m->cfg;
    if (cfg->headless || a->pair[0] < 0)
        return false;
    *w = want_whole(WANT_SLOPE, (struct site_ref){site_logits(cfg), SITE_ROOT});
    w->k = app_layer(a) * cfg->n_heads + a->cur.head;
    w->pos = a->cur.row;
    w->id[0] = a->pair[0], w->id[1] = a->pair[1];
    return true;
}

void attention_want(const struct app *a, struct want_list *l, int32_t head, int32_t heads)
{
    struct want small = part_want(a, head, heads), large = part_want(a, a->cur.head, 1);
    want_add(l, small);
    if (large.row1 - large.row0 > small.row1 - small.row0)
        want_add(l, large);
    want_add(l, want_whole(WANT_HEADS, (struct site_ref){SITE_PATTERN, app_layer(a)}));
    want_add(l, values_want(a, app_layer(a), a->n));
    struct want slope;
    if (a->cur.map)
        want_add(l, beside_want(a, a->scores, app_layer(a)));
    if (a->cur.map && attention_slope_want(a, &slope))
        want_add(l, slope);
}

static bool part_open(struct attention_part *p, const struct snapshot *s, const struct want *w)
{
    *p = (struct attention_part){.w = w};
    for (int f = 0; f < FACE_COUNT; f++)
        p->v[f] = snapshot_rows(s, (enum face)f, w);
    return p->v[FACE_BASE] && (p->v[FACE_EDITED] || !s->edited);
}

/* An answer that has a map of that site, not the one row of beside_want. */
static bool whole_answer(const struct app *a, enum site_id id, struct answer *out)
{
    return app_answer(a, WANT_VALUES, id, out) &&
           (out->w->row1 - out->w->row0 > 1 || out->s->n == 1);
}

bool attention_open(struct attention *at, const struct app *a, bool *stale)
{
    static const enum site_id sites[] = {SITE_PATTERN, SITE_ATTN_SCORES};
    struct answer from;
    if (!whole_answer(a, sites[a->scores], &from) && !whole_answer(a, sites[!a->scores], &from))
        return false;
    const struct snapshot *s = from.s;
    *at = (struct attention){.a = a,
                             .s = s,
                             .show = from.show,
                             .scores = from.w->site.id == SITE_ATTN_SCORES,
                             .n = s->n < a->n ? s->n : a->n};
    bool there = part_open(&at->small, s, from.w);
    at->large = at->small;
    const struct want *last = from.w; /* the large one stands behind the small ones */
    for (const struct want *w = from.w; w < s->wants + s->n_wants; w++)
        if (w->kind == WANT_VALUES && site_same(w->site, from.w->site))
            last = w;
    struct attention_part large;
    if (last != from.w && part_open(&large, s, last))
        at->large = large;
    struct want heads = want_whole(WANT_HEADS, (struct site_ref){SITE_PATTERN, from.w->site.layer}),
                norms = values_want(a, from.w->site.layer, s->n);
    for (int f = 0; f < FACE_COUNT; f++) {
        at->heads[f] = snapshot_at(s, (enum face)f, &heads, 0);
        at->norm[f] = snapshot_rows(s, (enum face)f, &norms);
    }
    *stale = from.stale || from.w->site.layer != app_layer(a) || at->scores != a->scores;
    return there;
}

bool attention_has(const struct attention_part *p, int32_t head)
{
    return head >= p->w->head0 && head < p->w->head1;
}

const float *attention_value_norm(const struct attention *at, enum face face, int32_t head,
                                  int32_t src)
{
    const struct config *cfg = &at->a->m->cfg;
    const float *v = at->norm[face];
    return v ? v + (size_t)src * (size_t)cfg->n_kv_heads +
                   (size_t)(head / (cfg->n_heads / cfg->n_kv_heads))
             : NULL;
}

bool attention_beside(const struct attention *at, float *out)
{
    struct want w = beside_want(at->a, at->scores, at->small.w->site.layer);
    int32_t row = at->a->cur.row, src = at->a->cur.src;
    const float *v[FACE_COUNT];
    for (int f = 0; f < FACE_COUNT; f++)
        v[f] = row < at->s->n ? snapshot_at(at->s, (enum face)f, &w, row) : NULL;
    if (!v[FACE_BASE] || src >= at->s->n || (at->show != SHOW_BASE && !v[FACE_EDITED]))
        return false;
    *out = at->show == SHOW_BASE ? v[FACE_BASE][src]
                                 : show_value(at->show, v[FACE_BASE][src], v[FACE_EDITED][src]);
    return true;
}

/* The row's divisor under the mask. */
static float row_divisor(const struct attention *at, const float *row)
{
    float sum = 0, max = 0;
    if (at->a->mask != MASK_RENORMALISED && at->a->mask != MASK_ROW_MAX)
        return 1;
    for (int32_t j = 0; j < at->n; j++) {
        if (j && isfinite(row[j]))
            sum += row[j];
        max = isfinite(row[j]) && fabsf(row[j]) > max ? fabsf(row[j]) : max;
    }
    switch (at->a->mask) {
    case MASK_RENORMALISED: return sum > 0 ? sum : 1;
    case MASK_ROW_MAX: return max > 0 ? max : 1;
    default: return 1;
    }
}

static bool row_open(const struct attention *at, const struct attention_part *p, int32_t head,
                     int32_t dest, struct attention_row *out)
{
    const struct want *w = p->w;
    if (!attention_has(p, head) || dest < w->row0 || dest >= w->row1)
        return false;
    size_t from = ((size_t)(dest - w->row0) * (size_t)(w->head1 - w->head0) +
                   (size_t)(head - w->head0)) *
                  (size_t)at->s->n;
    *out = (struct attention_row){.head = head, .dest = dest};
    for (int f = 0; f < FACE_COUNT && p->v[f]; f++) {
        out->v[f] = p->v[f] + from;
        out->divisor[f] = row_divisor(at, out->v[f]);
    }
    return true;
}

bool attention_row(const struct attention *at, int32_t head, int32_t dest,
                   struct attention_row *out)
{
    return row_open(at, &at->large, head, dest, out) || row_open(at, &at->small, head, dest, out);
}

static float face_value(const struct attention *at, const struct attention_row *row, enum face face,
                        int32_t src)
{
    enum mask mask = at->a->mask;
    if ((mask == MASK_NO_FIRST || mask == MASK_RENORMALISED) && src == 0)
        return 0;
    float v = row->v[face][src];
    const float *norm = attention_value_norm(at, face, row->head, src);
    return mask == MASK_VALUE ? (norm ? v * *norm : v) : v / row->divisor[face];
}

float attention_value(const struct attention *at, const struct attention_row *row, int32_t src)
{
    float base = face_value(at, row, FACE_BASE, src);
    if (at->show == SHOW_BASE)
        return base;
    float edited = face_value(at, row, FACE_EDITED, src);
    if (at->show == SHOW_DIFFERENCE && base == edited) /* also -inf beside -inf */
        return 0;
    return show_value(at->show, base, edited);
}

int32_t attention_seen(const struct attention *at, const struct attention_row *row)
{
    int32_t own = config_seen_from(&at->a->m->cfg, row->dest, at->n), seen = at->n;
    float hidden = at->scores ? -INFINITY : 0;
    const float *edited = at->show == SHOW_BASE ? NULL : row->v[FACE_EDITED];
    while (seen > own && row->v[FACE_BASE][seen - 1] == hidden &&
           (!edited || edited[seen - 1] == hidden))
        seen--;
    return seen;
}

int32_t attention_reach(const struct app *a)
{
    struct attention at;
    struct attention_row row;
    bool stale;
    int32_t own = config_seen_from(&a->m->cfg, a->cur.row, a->n);
    if (!attention_open(&at, a, &stale) || a->cur.row >= at.n ||
        !attention_row(&at, a->cur.head, a->cur.row, &row))
        return own;
    int32_t seen = attention_seen(&at, &row);
    return seen > own ? seen : own;
}

float *attention_matrix(const struct attention *at, const struct attention_part *p, int32_t head)
{
    size_t n = (size_t)at->n, rows = (size_t)(p->w->row1 - p->w->row0);
    float *v = calloc(n * rows + 1, sizeof *v), *to = v;
    float ahead = at->scores && at->show != SHOW_DIFFERENCE ? -INFINITY : 0;
    bool as_is = at->show == SHOW_BASE && (at->a->mask == MASK_RAW || at->a->mask == MASK_LOG);
    for (int32_t i = p->w->row0; v && i < p->w->row1; i++) {
        struct attention_row row;
        bool there = row_open(at, p, head, i, &row);
        int32_t seen = there ? attention_seen(at, &row) : 0;
        if (as_is && there)
            memcpy(to, row.v[FACE_BASE], (size_t)seen * sizeof *to);
        for (int32_t j = 0; j < seen && !as_is; j++)
            to[j] = attention_value(at, &row, j);
        for (int32_t j = seen; j < at->n && ahead < 0; j++) /* else they are 0 already */
            to[j] = ahead;
        to += at->n;
    }
    return v;
}

struct scale attention_scale(const struct attention *at, const float *matrix, size_t count)
{
    if (at->show == SHOW_DIFFERENCE)
        return scale_fit(SCALE_SYMMETRIC, matrix, count);
    if (at->scores || at->a->mask == MASK_VALUE)
        return scale_fit(SCALE_LINEAR, matrix, count);
    return at->a->attn_log || at->a->mask == MASK_LOG ? scale_make(SCALE_LOG, 1e-3f, 1)
                                                      : scale_make(SCALE_LINEAR, 0, 1);
}

enum colormap attention_map(const struct attention *at)
{
    return at->show == SHOW_DIFFERENCE ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL;
}

int attention_top(const struct attention *at, const struct attention_row *row, int32_t *src,
                  int max)
{
    int n = 0;
    bool diff = at->show == SHOW_DIFFERENCE;
    for (int32_t j = 0, seen = attention_seen(at, row); j < seen; j++) {
        float v = attention_value(at, row, j);
        int at_place = n;
        while (at_place > 0) {
            float other = attention_value(at, row, src[at_place - 1]);
            if (diff ? fabsf(v) > fabsf(other) : v > other)
                at_place--;
            else
                break;
        }
        if (at_place == max)
            continue;
        for (int k = n < max ? n : max - 1; k > at_place; k--)
            src[k] = src[k - 1];
        src[at_place] = j;
        n += n < max;
    }
    return n;
}
