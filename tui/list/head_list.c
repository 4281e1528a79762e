/* head_list.c - the numbers of the heads view (see head_list.h). */
#include "list/head_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sweeps.h"

const char *const heads_sort_names[HEADS_SORT_COUNT] = {
    "place", "previous", "duplicate", "induction",  "first",
    "self",  "entropy",  "copying",   "attributed", "ablated"};

/* ---- the filter ---- */

static const char *read_place(const char *s, const char *end, char letter, int32_t *out)
{
    int32_t v = 0;
    if (s >= end || (*s | 32) != letter)
        return s;
    const char *digits = ++s;
    for (; s < end && *s >= '0' && *s <= '9' && s - digits < 6; s++)
        v = v * 10 + (*s - '0');
    if (s > digits)
        *out = v;
    return s > digits ? s : digits - 1;
}

/* "induction>0.5"; NULL: it is none. */
static const char *read_score(const char *s, const char *end, struct heads_condition *c)
{
    size_t n = 0;
    while (s + n < end && s[n] >= 'a' && s[n] <= 'z')
        n++;
    for (int i = HEADS_BY_PLACE + 1; i < HEADS_SORT_COUNT && n; i++)
        if (strlen(heads_sort_names[i]) >= n && strncmp(heads_sort_names[i], s, n) == 0)
            c->score = (enum heads_sort)i;
    s += n;
    if (c->score == HEADS_BY_PLACE || s >= end || (*s != '<' && *s != '>'))
        return NULL;
    c->above = *s++ == '>';
    char text[32];
    size_t len = (size_t)(end - s);
    if (!len || len >= sizeof text)
        return NULL;
    memcpy(text, s, len);
    text[len] = 0;
    char *stop;
    c->value = strtof(text, &stop);
    return *stop || !isfinite(c->value) ? NULL : end;
}

int heads_filter_parse(const char *text, struct heads_filter *out, struct err *e)
{
    struct heads_filter f = {0};
    for (const char *s = text, *end; *s; s = end) {
        s += strspn(s, " ,");
        end = s + strcspn(s, " ,");
        if (s == end)
            continue;
        struct heads_condition c = {.layer = -1, .head = -1};
        const char *at = read_place(read_place(s, end, 'l', &c.layer), end, 'h', &c.head);
        if (at != end || at == s)
            at = c.layer < 0 && c.head < 0 ? read_score(s, end, &c) : NULL;
        if (at != end || f.n == HEADS_CONDITIONS_MAX) {
            char word[40];
            text_copy(word, sizeof word, s, (size_t)(end - s), TEXT_PLAIN);
            return err_set(e, ERR_BAD_INPUT,
                           "filter \"%s\" · such as L2, H3, L2H1, induction>0.5, entropy<1", word);
        }
        f.item[f.n++] = c;
    }
    *out = f;
    return 0;
}

/* ---- scores ---- */

/* The newest answer that has a layer's scores. */
static const struct lens_head *scores_of(const struct app *a, int32_t layer, enum face face)
{
    const struct want w = want_whole(WANT_HEADS, (struct site_ref){SITE_PATTERN, layer});
    const struct lens_head *at = a->snap ? snapshot_at(a->snap, face, &w, 0) : NULL;
    return at || !a->old ? at : snapshot_at(a->old, face, &w, 0);
}

bool heads_attributed_want(const struct app *a, struct want *w)
{
    if (a->m->cfg.headless || a->pair[0] < 0)
        return false;
    *w = want_whole(WANT_ATTRIBUTED, (struct site_ref){site_logits(&a->m->cfg), SITE_ROOT});
    w->id[0] = a->pair[0], w->id[1] = a->pair[1];
    return true;
}

/* What heads give to the pair's difference, or NULL. */
static const float *attributed_of(const struct app *a, enum face face)
{
    struct want w;
    if (!heads_attributed_want(a, &w))
        return NULL;
    const float *at = a->snap ? snapshot_at(a->snap, face, &w, 0) : NULL;
    return at || !a->old ? at : snapshot_at(a->old, face, &w, 0);
}

const struct sweep_map *heads_swept(const struct app *a)
{
    const struct sweep_map *m = sweeps_map(a);
    const struct config *cfg = &a->m->cfg;
    return m && a->sweep_question == sweeps_question(a) && m->n_axes == 2 &&
                   m->axis[0].role == SWEEP_LAYER && m->axis[0].size == cfg->n_layers &&
                   m->axis[1].role == SWEEP_INDEX && m->axis[1].size == cfg->n_heads &&
                   strcmp(m->axis[1].name, "head") == 0
               ? m
               : NULL;
}

/* What its ablation changes, of a sweep. */
static bool ablated_of(const struct app *a, int32_t at, float *out)
{
    const struct sweep_map *m = heads_swept(a);
    if (!m || !m->has || !m->has[at])
        return false;
    *out = m->value[at] - (float)m->base;
    return true;
}

bool heads_score(const struct app *a, int32_t layer, int32_t head, enum heads_sort which,
                 enum face face, float *out)
{
    if (which == HEADS_BY_COPYING) {
        if (a->copying)
            *out = a->copying[layer * a->m->cfg.n_heads + head];
        return a->copying != NULL;
    }
    if (which == HEADS_BY_ABLATED)
        return ablated_of(a, layer * a->m->cfg.n_heads + head, out);
    if (which == HEADS_BY_ATTRIBUTED) {
        const float *all = attributed_of(a, face);
        *out = all ? all[layer * a->m->cfg.n_heads + head] : 0;
        return all != NULL;
    }
    const struct lens_head *at = scores_of(a, layer, face);
    if (!at || which == HEADS_BY_PLACE)
        return false;
    at += head;
    const float v[HEADS_BY_COPYING] = {0,         at->previous, at->duplicate, at->induction,
                                       at->first, at->self,     at->entropy};
    *out = v[which];
    return !(which == HEADS_BY_DUPLICATE || which == HEADS_BY_INDUCTION) || at->n_repeats > 0;
}

bool heads_value(const struct app *a, int32_t layer, int32_t head, enum heads_sort which,
                 float *out)
{
    const struct snapshot *s = a->snap ? a->snap : a->old;
    enum show show = s ? app_show(a, s) : SHOW_BASE;
    float base = 0, edited = 0;
    if (!heads_score(a, layer, head, which, FACE_BASE, &base))
        return false;
    if (which == HEADS_BY_COPYING || which == HEADS_BY_ABLATED) { /* of both faces */
        *out = base;
        return true;
    }
    if (show != SHOW_BASE && !heads_score(a, layer, head, which, FACE_EDITED, &edited))
        return false;
    *out = show_value(show, base, edited);
    return true;
}

static bool passes(const struct app *a, const struct heads_filter *f, int32_t layer, int32_t head)
{
    for (int i = 0; i < f->n; i++) {
        const struct heads_condition *c = &f->item[i];
        float v;
        if ((c->layer >= 0 && c->layer != layer) || (c->head >= 0 && c->head != head))
            return false;
        if (c->score != HEADS_BY_PLACE && (!heads_value(a, layer, head, c->score, &v) ||
                                           (c->above ? !(v > c->value) : !(v < c->value))))
            return false;
    }
    return true;
}

struct ranked {
    float value;
    int32_t at;
    bool last; /* no value to sort by */
};

static int by_value(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->last != b->last)
        return a->last - b->last;
    if (!a->last && (a->value < b->value || a->value > b->value))
        return a->value < b->value ? 1 : -1;
    return a->at < b->at ? -1 : a->at > b->at;
}

int32_t *heads_order(const struct app *a, int32_t *n, bool *bad)
{
    int32_t heads = a->m->cfg.n_heads, all = a->m->cfg.n_layers * heads;
    struct heads_filter f = {0};
    int rc = heads_filter_parse(a->head_filter, &f, NULL);
    struct ranked *list = malloc((size_t)all * sizeof *list);
    int32_t *out = malloc((size_t)all * sizeof *out);
    *n = 0;
    if (bad)
        *bad = rc < 0;
    for (int32_t i = 0; list && out && i < all; i++) {
        float v = 0;
        if (!passes(a, &f, i / heads, i % heads))
            continue;
        bool there = heads_value(a, i / heads, i % heads, a->heads_sort, &v);
        if (a->heads_sort > HEADS_BY_COPYING)
            v = fabsf(v); /* for it or against it */
        list[(*n)++] = (struct ranked){a->heads_ascending ? -v : v, i, !there || isnan(v)};
    }
    if (list && out && a->heads_sort != HEADS_BY_PLACE)
        qsort(list, (size_t)*n, sizeof *list, by_value);
    for (int32_t i = 0; list && out && i < *n; i++)
        out[i] = list[i].at;
    if (!list) {
        free(out);
        out = NULL;
    }
    free(list);
    return out;
}
