/* edit_index.c - what an index means on the axes of a hook or a weight: negative and clipped
 * places, sets, token anchors -> integers (edit_parts.h).
 *
 * Tested in tests/engine/test_edit_resolve.c. */
#include "edit/edit_parts.h"

#include "model/model.h"
#include "base/nearest.h"
#include "edit/token_nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEAREST_MAX = 3,    /* tokens named when an anchor is not there */
    TOKEN_CMP_MAX = 32, /* bytes of them compared */
    TOKEN_SHOWN = 80    /* bytes of a token in a message */
};

/* One axis, and what messages call it. */
struct axis_at {
    const struct edit_context *ctx;
    const char *name;  /* of the hook, for messages */
    enum site_dim dim; /* DIM_NONE: heads joined into columns */
    const char *word;  /* what the axis is called */
    int32_t size;      /* of the axis, >= 1 */
    struct edit_chunk **chunks;
};

struct interval {
    int32_t lo, hi; /* both included */
};

/* ---- token anchors ---- */

static const char *trimmed(const char *s, int32_t *len)
{
    while (*len > 0 && s[*len - 1] == ' ')
        --*len;
    while (*len > 0 && *s == ' ') {
        s++;
        --*len;
    }
    return s;
}

/* The part of the axis that the prompt has tokens for: W_pos has positions beyond it. */
static int32_t prompt_size(const struct axis_at *at)
{
    return at->size < at->ctx->n_pos ? at->size : at->ctx->n_pos;
}

/* A token is meant by its exact text, or by its text without the blanks around it. */
static bool token_is(const struct axis_at *at, int32_t pos, const struct edit_place *p)
{
    const char *text;
    int32_t len = at->ctx->token_text(at->ctx->user, pos, &text);
    if (len == p->len && memcmp(text, p->text, (size_t)len) == 0)
        return true;
    text = trimmed(text, &len);
    return len == p->len && memcmp(text, p->text, (size_t)len) == 0;
}

/* Edit distance of the first TOKEN_CMP_MAX bytes. */
static size_t distance(const char *a, int32_t n, const char *b, int32_t m)
{
    char x[TOKEN_CMP_MAX + 1], y[TOKEN_CMP_MAX + 1];
    snprintf(x, sizeof x, "%.*s", (int)n, a);
    snprintf(y, sizeof y, "%.*s", (int)m, b);
    return nearest_distance(x, y);
}

static const char *shown(const char *text, int32_t len, char buf[TOKEN_SHOWN])
{
    int32_t n = len > TOKEN_SHOWN / 5 ? TOKEN_SHOWN / 5 : len; /* every byte may become \xNN */
    edit_token_print(text, n, buf, TOKEN_SHOWN);
    return buf;
}

/* The positions of the tokens most like the anchor, each text once; returns how many. */
static int nearest(const struct axis_at *at, const struct edit_place *p, int32_t pos[NEAREST_MAX])
{
    size_t d[NEAREST_MAX];
    int n = 0;
    for (int32_t i = 0; i < prompt_size(at); i++) {
        const char *text, *other;
        int32_t len = at->ctx->token_text(at->ctx->user, i, &text), other_len;
        bool seen = false;
        for (int k = 0; k < n && !seen; k++) {
            other_len = at->ctx->token_text(at->ctx->user, pos[k], &other);
            seen = other_len == len && memcmp(other, text, (size_t)len) == 0;
        }
        if (seen)
            continue;
        text = trimmed(text, &len);
        size_t di = distance(p->text, p->len, text, len);
        int k = n < NEAREST_MAX ? n++ : NEAREST_MAX;
        for (; k > 0 && d[k - 1] > di; k--)
            if (k < NEAREST_MAX) {
                d[k] = d[k - 1];
                pos[k] = pos[k - 1];
            }
        if (k < NEAREST_MAX) {
            d[k] = di;
            pos[k] = i;
        }
    }
    return n;
}

static int fail_token(const struct axis_at *at, const struct edit_place *p, int32_t found,
                      struct err *e)
{
    char list[NEAREST_MAX * (TOKEN_SHOWN + 20)] = "", token[TOKEN_SHOWN], other[TOKEN_SHOWN];
    shown(p->text, p->len, token);
    if (found > 0)
        return err_set(e, ERR_BAD_INPUT, "%s#%d is not in the prompt · it occurs %d time%s", token,
                       (int)p->value, (int)found, found == 1 ? "" : "s");
    int32_t pos[NEAREST_MAX];
    int n = nearest(at, p, pos);
    for (int k = 0, len = 0; k < n; k++) {
        const char *text;
        int32_t text_len = at->ctx->token_text(at->ctx->user, pos[k], &text);
        len += snprintf(list + len, sizeof list - (size_t)len, "%s%s (%d)", k ? ", " : "",
                        shown(text, text_len, other), (int)pos[k]);
    }
    return err_set(e, ERR_BAD_INPUT, "no token %s in the prompt · the nearest are %s", token, list);
}

static int find_token(const struct axis_at *at, const struct edit_place *p, int64_t *out,
                      struct err *e)
{
    enum site_dim d = at->dim;
    char token[TOKEN_SHOWN];
    if (d == DIM_D_VOCAB && at->ctx->model && p->value == 1) {
        *out = tokenizer_find(at->ctx->model->tok, p->text, (size_t)p->len);
        if (*out >= 0)
            return 0;
        char near[TOKEN_NEAREST_MAX];
        return err_set(e, ERR_BAD_INPUT, "%s is not one token of this model · %s · %s goes 0..%d",
                       shown(p->text, p->len, token),
                       token_nearest(at->ctx->model->tok, p->text, (size_t)p->len, near), at->word,
                       (int)at->size - 1);
    }
    if (!site_dim_is_position(d))
        return err_set(e, ERR_BAD_INPUT,
                       "token %s for axis %s · a token stands for a position; %s goes 0..%d",
                       shown(p->text, p->len, token), at->word, at->word, (int)at->size - 1);
    if (!at->ctx->token_text)
        return err_set(e, ERR_BAD_INPUT,
                       "token %s, but there is no tokenizer · use a position 0..%d",
                       shown(p->text, p->len, token), (int)at->size - 1);
    int32_t found = 0, want = p->value > 0 ? p->value : -p->value, step = p->value > 0 ? 1 : -1,
            size = prompt_size(at);
    for (int32_t i = step > 0 ? 0 : size - 1; i >= 0 && i < size; i += step)
        if (token_is(at, i, p) && ++found == want) {
            *out = i;
            return 0;
        }
    return fail_token(at, p, found, e);
}

/* ---- places and selections ---- */

/* A place as a number, counted from the start; it may lie outside the axis. */
static int place_value(const struct axis_at *at, const struct edit_place *p, int64_t *out,
                       struct err *e)
{
    if (p->kind == PLACE_TOKEN)
        return find_token(at, p, out, e);
    *out = p->kind == PLACE_END ? at->size - 1
           : p->value < 0       ? (int64_t)p->value + at->size
                                : p->value;
    return 0;
}

static int place_inside(const struct axis_at *at, const struct edit_place *p, int32_t *out,
                        struct err *e)
{
    int64_t v;
    int rc = place_value(at, p, &v, e);
    if (rc)
        return rc;
    if (v < 0 || v >= at->size) {
        const char *dim = at->word;
        return err_set(e, ERR_BAD_INPUT, "%s %d is out of range · %s has %s 0..%d or -%d..-1", dim,
                       (int)p->value, at->name, dim, (int)at->size - 1, (int)at->size);
    }
    *out = (int32_t)v;
    return 0;
}

static int fail_empty(const struct axis_at *at, int64_t lo, int64_t hi, struct err *e)
{
    const char *dim = at->word;
    return err_set(e, ERR_BAD_INPUT, "%s %lld:%lld selects nothing · it goes 0..%d", dim,
                   (long long)lo, (long long)hi, (int)at->size - 1);
}

/* The values lo, lo+step, ...: contiguous, or a list. */
static int store_steps(struct edit_axis *out, int32_t lo, int32_t n, int32_t step,
                       const struct axis_at *at, struct err *e)
{
    int32_t *list = NULL;
    if (step > 1 && n > 1) {
        list = edit_chunk_alloc(at->chunks, (size_t)n * sizeof *list);
        if (!list)
            return err_memory(e, "edits");
        for (int32_t i = 0; i < n; i++)
            list[i] = lo + i * step;
    }
    *out = (struct edit_axis){lo, n, list};
    return 0;
}

static int resolve_range(struct edit_axis *out, const struct edit_sel *sel,
                         const struct axis_at *at, struct err *e)
{
    const struct edit_span *span = &sel->spans[0];
    int64_t lo = 0, hi = at->size;
    int rc = span->lo.kind == PLACE_NONE ? 0 : place_value(at, &span->lo, &lo, e);
    if (!rc && span->hi.kind != PLACE_NONE)
        rc = place_value(at, &span->hi, &hi, e);
    if (rc)
        return rc;
    int64_t from = lo < 0 ? 0 : lo, to = hi > at->size ? at->size : hi;
    if (from >= to)
        return fail_empty(at, lo, hi, e);
    return store_steps(out, (int32_t)from, (int32_t)((to - from + sel->step - 1) / sel->step),
                       sel->step, at, e);
}

static int by_lo(const void *a, const void *b)
{
    const struct interval *x = a, *y = b;
    return (x->lo > y->lo) - (x->lo < y->lo);
}

/* Sort intervals and join those that touch; returns how many are left. */
static int32_t merge(struct interval *iv, int32_t n)
{
    int32_t kept = 0;
    qsort(iv, (size_t)n, sizeof *iv, by_lo);
    for (int32_t i = 1; i < n; i++) {
        if (iv[i].lo > iv[kept].hi + 1)
            iv[++kept] = iv[i];
        else if (iv[i].hi > iv[kept].hi)
            iv[kept].hi = iv[i].hi;
    }
    return kept + 1;
}

static int store_intervals(struct edit_axis *out, const struct interval *iv, int32_t n_iv,
                           const struct axis_at *at, struct err *e)
{
    int32_t n = 0;
    for (int32_t i = 0; i < n_iv; i++)
        n += iv[i].hi - iv[i].lo + 1;
    if (n_iv == 1) {
        *out = (struct edit_axis){iv[0].lo, n, NULL};
        return 0;
    }
    int32_t *list = edit_chunk_alloc(at->chunks, (size_t)n * sizeof *list), *p = list;
    if (!list)
        return err_memory(e, "edits");
    for (int32_t i = 0; i < n_iv; i++)
        for (int32_t v = iv[i].lo; v <= iv[i].hi; v++)
            *p++ = v;
    *out = (struct edit_axis){iv[0].lo, n, list};
    return 0;
}

static int resolve_set(struct edit_axis *out, const struct edit_sel *sel, const struct axis_at *at,
                       struct err *e)
{
    struct interval *iv = malloc((size_t)sel->n * sizeof *iv);
    if (!iv)
        return err_memory(e, "edits");
    int rc = 0;
    for (int32_t i = 0; i < sel->n && !rc; i++) {
        const struct edit_span *span = &sel->spans[i];
        rc = place_inside(at, &span->lo, &iv[i].lo, e);
        iv[i].hi = iv[i].lo;
        if (!rc && span->hi.kind != PLACE_NONE)
            rc = place_inside(at, &span->hi, &iv[i].hi, e);
        if (!rc && iv[i].hi < iv[i].lo)
            rc = err_set(e, ERR_BAD_INPUT,
                         "%s {%d..%d} runs backwards · write the smaller end first", at->word,
                         (int)iv[i].lo, (int)iv[i].hi);
    }
    if (!rc)
        rc = store_intervals(out, iv, merge(iv, sel->n), at, e);
    free(iv);
    return rc;
}

/* The values that `sel` (NULL = all) selects, ascending without repeats, at least one.  Lists go to
 * the chunks.  A single index or an end of a {a..b} outside the axis, an empty selection, and a
 * token that is not in the prompt are errors; the ends of a range a:b are clipped to the axis. */
static int resolve_axis(struct edit_axis *out, const struct edit_sel *sel, const struct axis_at *at,
                        struct err *e)
{
    if (!sel) {
        *out = (struct edit_axis){0, at->size, NULL};
        return 0;
    }
    return sel->kind == SEL_RANGE ? resolve_range(out, sel, at, e) : resolve_set(out, sel, at, e);
}

/* ---- all axes ---- */

struct edit_target edit_target_site(const struct edit_context *ctx, struct site_ref site)
{
    struct edit_target t = {.rank = site_shape(ctx->cfg, site.id, ctx->n_pos, t.shape)};
    site_name(site, t.name);
    for (int i = 0; i < t.rank; i++) {
        t.dims[i] = site_table[site.id].dims[i];
        t.words[i] = site_dim_name(t.dims[i]);
    }
    return t;
}

struct edit_target edit_target_alias(const struct edit_context *ctx, const struct alias_pick *pick)
{
    if (pick->value.form == FORM_SITE) {
        struct edit_target t = edit_target_site(ctx, pick->value.site[0]);
        memcpy(t.name, pick->name, sizeof t.name);
        return t;
    }
    struct edit_target t = {
        .rank = alias_shape(ctx->cfg, &pick->value, ctx->n_pos, t.shape, t.words),
        .dims = {DIM_POS}};
    if (pick->value.form == FORM_EXPERT)
        t.dims[1] = DIM_D_EXPERT;
    memcpy(t.name, pick->name, sizeof t.name);
    return t;
}

/* The axis that a selection names, or -1. */
static int axis_of(const struct config *cfg, const struct edit_target *t, enum site_dim dim)
{
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] == dim || (t->dims[i] == DIM_D_EXPERT && dim == DIM_D_MLP) ||
            (t->dims[i] == DIM_KV_HEAD && dim == DIM_HEAD && cfg->n_kv_heads == cfg->n_heads))
            return i;
    return -1;
}

/* "pos 7, head 12, d_head 64" */
static const char *axes_text(const struct edit_target *t, char buf[120])
{
    int at = 0;
    for (int i = 0; i < t->rank; i++)
        at += snprintf(buf + at, 120 - (size_t)at, "%s%s %lld", i ? ", " : "", t->words[i],
                       (long long)t->shape[i]);
    return buf;
}

/* Which selection belongs to which axis; NULL selects all. */
static int match_axes(const struct edit_target *t, const struct edit *ed, const struct config *cfg,
                      const struct edit_sel *map[SITE_RANK_MAX], struct err *e)
{
    char axes[120];
    for (int i = 0; i < SITE_RANK_MAX; i++)
        map[i] = NULL;
    for (int i = 0; i < ed->n_sels; i++) {
        const struct edit_sel *sel = &ed->sels[i];
        int axis = sel->dim == DIM_NONE ? i : axis_of(cfg, t, sel->dim);
        if (sel->dim != DIM_NONE && axis < 0)
            return err_set(e, ERR_BAD_INPUT, "no axis %s · %s has %s", site_dim_name(sel->dim),
                           t->name, axes_text(t, axes));
        if (axis >= t->rank)
            return err_set(e, ERR_BAD_INPUT, "%d indices · %s has %s", (int)ed->n_sels, t->name,
                           axes_text(t, axes));
        if (map[axis])
            return err_set(e, ERR_BAD_INPUT, "axis %s is given twice · %s has %s",
                           site_dim_name(sel->dim), t->name, axes_text(t, axes));
        map[axis] = sel;
    }
    return 0;
}

int edit_target_axes(const struct edit_target *t, const struct edit *ed,
                     const struct edit_context *ctx, struct edit_chunk **chunks,
                     struct edit_axis axis[SITE_RANK_MAX], struct err *e)
{
    const struct edit_sel *map[SITE_RANK_MAX];
    if (match_axes(t, ed, ctx->cfg, map, e))
        return ERR_BAD_INPUT;
    for (int i = 0; i < t->rank; i++) {
        struct axis_at at = {ctx, t->name, t->dims[i], t->words[i], (int32_t)t->shape[i], chunks};
        int rc = resolve_axis(&axis[i], map[i], &at, e);
        if (rc)
            return rc;
    }
    return 0;
}
