/* sweep_set.c - see sweep_set.h.
 *
 * What a hole without choices counts is found by having the edit language parse the edit with a
 * number in each hole that stands nowhere else: where that number is in the parsed edit, there the
 * hole is. */
#include "measure/sweep_set.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "edit/edit_parts.h"

enum { MARK = 1000000 /* + axis: a number no prompt or model has */, CHOICES_MAX = 1 << 16 };

/* One edit on its way. */
struct adder {
    struct sweep_set *s;
    struct sweep_part *part;
    struct sweep_text *t;
    const char *text; /* as given, for messages */
    const struct sweep_choose *choose;
    const struct edit_context *ctx;
    struct err *e;
};

static int complain(const struct adder *a, const char *what)
{
    return err_set(a->e, ERR_BAD_INPUT, "\"%.200s\" · %s", a->text, what);
}

/* ---- choices ---- */

static void axis_free(struct sweep_axis *x)
{
    for (int32_t i = 0; x->choice && i < x->size; i++)
        free(x->choice[i]);
    free(x->choice);
    *x = (struct sweep_axis){0};
}

static int choice_add(const struct adder *a, struct sweep_axis *x, const char *text, size_t len)
{
    if (x->size == CHOICES_MAX)
        return complain(a, "too many choices for one hole");
    char *copy = strndup(text, len);
    if (!copy || !list_room(&x->choice, (size_t)x->size, sizeof *x->choice)) {
        free(copy);
        return err_memory(a->e, "choices of a hole");
    }
    x->choice[x->size++] = copy;
    return 0;
}

/* The whole of text[0..len) as a number. */
static bool whole(const char *text, size_t len, int32_t *out)
{
    char buf[16], *end;
    if (len == 0 || len >= sizeof buf)
        return false;
    snprintf(buf, sizeof buf, "%.*s", (int)len, text);
    errno = 0;
    long v = strtol(buf, &end, 10);
    *out = (int32_t)v;
    return !*end && !errno && v > INT32_MIN && v < INT32_MAX && !isspace((unsigned char)*buf);
}

/* One item: A..B of whole numbers, or a text. */
static int choices_item(const struct adder *a, struct sweep_axis *x, const char *p, size_t len,
                        bool ranges)
{
    int32_t lo, hi;
    const char *dots = ranges ? memmem(p, len, "..", 2) : NULL;
    size_t head = dots ? (size_t)(dots - p) : 0;
    char buf[16];
    if (!dots || !whole(p, head, &lo) || !whole(dots + 2, len - head - 2, &hi))
        return choice_add(a, x, p, len);
    if (hi < lo || (int64_t)hi - lo >= CHOICES_MAX)
        return complain(a, "a range of a hole runs upwards, A..B, over at most 65536 numbers");
    int rc = 0;
    for (int32_t v = lo; v <= hi && !rc; v++)
        rc = choice_add(a, x, buf, (size_t)snprintf(buf, sizeof buf, "%d", (int)v));
    return rc;
}

static int choices_parse(const struct adder *a, struct sweep_axis *x, const char *p, size_t len)
{
    char sep = memchr(p, '|', len) ? '|' : ',';
    int rc = 0;
    for (const char *end = p + len; !rc;) {
        const char *q = memchr(p, sep, (size_t)(end - p));
        q = q ? q : end;
        const char *lo = p, *hi = q;
        while (sep == ',' && lo < hi && *lo == ' ')
            lo++;
        while (sep == ',' && hi > lo && hi[-1] == ' ')
            hi--;
        if (lo == hi)
            return complain(a, "a hole with an empty choice · {NAME=A,B} or {NAME=A|B}");
        rc = choices_item(a, x, lo, (size_t)(hi - lo), sep == ',');
        if (q == end)
            break;
        p = q + 1;
    }
    return rc;
}

/* ---- holes ---- */

/* The brace that closes the one before p; choices may hold sets of the edit language. */
static const char *closing(const char *p)
{
    for (int depth = 1; *p; p++) {
        depth += (*p == '{') - (*p == '}');
        if (!depth)
            return p;
    }
    return NULL;
}

/* The length of a hole at p, 0 if there is none; name[n] and, behind =, its choices. */
static size_t hole_at(const char *p, bool quoted, size_t *n, const char **choices, size_t *len)
{
    size_t i = 1;
    if (*p != '{' || !(isalpha((unsigned char)p[1]) || p[1] == '_'))
        return 0;
    while (isalnum((unsigned char)p[i]) || p[i] == '_')
        i++;
    *n = i - 1, *choices = NULL, *len = 0;
    if (p[i] == '}')
        return quoted ? 0 : i + 1;
    if (p[i] != '=')
        return 0;
    const char *end = closing(p + i);
    *choices = p + i + 1;
    *len = end ? (size_t)(end - *choices) : 0;
    return end ? (size_t)(end - p) + 1 : 0;
}

static int32_t axis_find(const struct sweep_set *s, const char *name, size_t n)
{
    for (int32_t i = 0; i < s->n_axes; i++)
        if (strlen(s->axis[i].name) == n && !strncmp(s->axis[i].name, name, n))
            return i;
    return -1;
}

static const char *chosen_for(const struct sweep_choose *c, const char *name, size_t n)
{
    for (int32_t i = 0; c && i < c->n; i++)
        if (!strncmp(c->item[i], name, n) && c->item[i][n] == '=')
            return c->item[i] + n + 1;
    return NULL;
}

static void text_add(struct sweep_text *t, const char *p, size_t len)
{
    size_t at = strlen(t->text);
    memcpy(t->text + at, p, len);
    t->text[at + len] = '\0';
}

/* A hole for one of the axes there are. */
static int hole_add(const struct adder *a, int32_t axis)
{
    struct sweep_text *t = a->t;
    if (t->n == SWEEP_HOLES_MAX)
        return complain(a, "too many holes in one edit");
    t->hole[t->n++] = (struct sweep_hole){(int32_t)strlen(t->text), axis};
    return 0;
}

/* A hole with a name of its own: a new axis, or a text where it has one choice. */
static int hole_new(struct adder *a, const char *name, size_t n, const char *choices, size_t len)
{
    struct sweep_set *s = a->s;
    struct sweep_axis x = {.role = SWEEP_CHOICE};
    if (n >= SWEEP_NAME)
        return complain(a, "the name of a hole has at most 23 letters");
    if (!choices && (choices = chosen_for(a->choose, name, n)) != NULL)
        len = strlen(choices);
    int rc = choices ? choices_parse(a, &x, choices, len) : 0;
    if (!rc && choices && x.size == 1 && !memmem(choices, len, "..", 2)) {
        if (strlen(a->t->text) + strlen(x.choice[0]) >= LIMIT_EDIT_TEXT)
            rc = complain(a, "the edit is too long");
        else
            text_add(a->t, x.choice[0], strlen(x.choice[0]));
        axis_free(&x);
        return rc;
    }
    if (!rc && s->n_parts > 1)
        rc = complain(a, "a hole that the first part has not");
    if (!rc && s->n_axes == SWEEP_AXES_MAX - 1)
        rc = complain(a, "more than 5 different holes");
    if (rc) {
        axis_free(&x);
        return rc;
    }
    memcpy(x.name, name, n);
    s->axis[s->n_axes++] = x;
    return hole_add(a, s->n_axes - 1);
}

/* Split the text into what stands between the holes, and the holes. */
static int holes_find(struct adder *a)
{
    bool quoted = false;
    int rc = 0;
    for (const char *p = a->text; *p && !rc;) {
        const char *choices;
        size_t n, len, hole = hole_at(p, quoted, &n, &choices, &len);
        if (!hole) {
            size_t take = quoted && *p == '\\' && p[1] ? 2 : 1;
            quoted ^= *p == '"';
            text_add(a->t, p, take);
            p += take;
            continue;
        }
        int32_t axis = axis_find(a->s, p + 1, n);
        if (axis >= 0 && choices)
            rc = complain(a, "a hole whose choices are given twice · once is enough, then {NAME}");
        else
            rc = axis >= 0 ? hole_add(a, axis) : hole_new(a, p + 1, n, choices, len);
        p += hole;
    }
    return rc;
}

/* ---- what holes count ---- */

bool sweep_axis_number(const struct sweep_axis *a, int32_t i, int32_t *out)
{
    *out = i;
    return !a->choice || whole(a->choice[i], strlen(a->choice[i]), out);
}

const char *sweep_axis_text(const struct sweep_axis *a, int32_t i, char buf[16])
{
    if (a->choice)
        return a->choice[i];
    snprintf(buf, 16, "%d", (int)i);
    return buf;
}

int sweep_text_fill(const struct sweep_text *t, const char *const *value, char buf[LIMIT_EDIT_TEXT],
                    struct err *e)
{
    size_t at = 0, from = 0, size = LIMIT_EDIT_TEXT;
    for (int32_t i = 0; i <= t->n; i++) {
        size_t to = i < t->n ? (size_t)t->hole[i].at : strlen(t->text);
        int n = snprintf(buf + at, size - at, "%.*s%s", (int)(to - from), t->text + from,
                         i < t->n ? value[t->hole[i].axis] : "");
        if (n < 0 || (size_t)n >= size - at)
            return err_set(e, ERR_BAD_INPUT, "edit \"%.60s\" · longer than %d bytes once filled",
                           t->text, LIMIT_EDIT_TEXT - 1);
        at += (size_t)n, from = to;
    }
    return 0;
}

/* The edit with a number of its own in each hole that may hold one; `real`: layers that there are.
 */
static int probe(const struct adder *a, bool real, struct edit **out)
{
    char mark[SWEEP_AXES_MAX][16], text[LIMIT_EDIT_TEXT];
    const char *value[SWEEP_AXES_MAX] = {0};
    int32_t v;
    for (int32_t i = 0; i < a->s->n_axes; i++) {
        const struct sweep_axis *x = &a->s->axis[i];
        bool layer = real && x->role == SWEEP_LAYER;
        snprintf(mark[i], sizeof mark[i], "%d", layer ? 0 : MARK + (int)i);
        value[i] = x->choice && (layer || !sweep_axis_number(x, 0, &v)) ? x->choice[0] : mark[i];
    }
    int rc = sweep_text_fill(a->t, value, text, a->e);
    return rc ? rc : edit_parse(out, text, a->e);
}

/* Which axis of the hook an index of the edit names at the place of a hole, or -1. */
static int index_of(const struct edit *ed, int32_t mark, enum site_dim *dim)
{
    for (int k = 0; k < ed->n_sels; k++)
        for (int32_t j = 0; j < ed->sels[k].n; j++) {
            const struct edit_span *s = &ed->sels[k].spans[j];
            if ((s->lo.kind == PLACE_INT && s->lo.value == mark) ||
                (s->hi.kind == PLACE_INT && s->hi.value == mark)) {
                *dim = ed->sels[k].dim;
                return k;
            }
        }
    return -1;
}

/* What an edit's index is read against. */
static int target_of(const struct adder *a, const struct edit *ed, struct edit_target *out)
{
    if (edit_is_weight(ed->pattern)) {
        struct edit_weight *list = NULL;
        int n = edit_weight_select(a->ctx, ed->pattern, &list, a->e);
        if (n < 0)
            return n;
        out->rank = list->rank;
        memcpy(out->dims, list->dims, sizeof out->dims);
        memcpy(out->shape, list->shape, sizeof out->shape);
        free(list);
        return 0;
    }
    struct alias_pick *picks = NULL;
    int n = alias_select(&a->ctx->cfg[0], ed->pattern, &picks, a->e);
    if (n < 0)
        return n;
    *out = alias_is_site(&picks->value) ? edit_target_site(a->ctx, picks->value.site[0])
                                        : edit_target_alias(a->ctx, picks);
    free(picks);
    return 0;
}

static int axis_size(const struct adder *a, struct sweep_axis *x, int at, enum site_dim dim,
                     const struct edit_target *t, int32_t *size)
{
    int k = dim == DIM_NONE ? at : -1;
    for (int i = 0; i < t->rank && dim != DIM_NONE; i++)
        k = t->dims[i] == dim ? i : k;
    if (k < 0 || k >= t->rank)
        return complain(a, "the hook has no such axis");
    x->role = site_dim_is_position(t->dims[k]) ? SWEEP_POS : SWEEP_INDEX;
    *size = (int32_t)t->shape[k];
    return 0;
}

/* The role of an axis in this edit, whose pattern or index may hold it; *size: what it counts
 * there, 0: nothing. */
static int axis_role(const struct adder *a, int32_t i, const struct edit *ed,
                     const struct edit_target *t, int32_t *size)
{
    struct sweep_axis *x = &a->s->axis[i];
    char mark[16];
    enum site_dim dim;
    int at = index_of(ed, MARK + i, &dim);
    snprintf(mark, sizeof mark, "%d", MARK + (int)i);
    *size = 0;
    if (at >= 0)
        return t ? axis_size(a, x, at, dim, t, size) : 0;
    if (strstr(ed->pattern, mark)) {
        x->role = SWEEP_LAYER;
        *size = a->ctx->cfg->n_layers;
    }
    return 0;
}

/* Give the axes of the edit that was split their roles and sizes. */
static int holes_size(struct adder *a)
{
    struct edit *marked = NULL, *real = NULL;
    struct edit_target target = {.rank = 0};
    int32_t size;
    int rc = probe(a, false, &marked);
    for (int32_t i = 0; i < a->s->n_axes && !rc; i++)
        rc = axis_role(a, i, marked, NULL, &size); /* layers first: hooks are looked up in one */
    if (!rc)
        rc = probe(a, true, &real);
    if (!rc)
        rc = target_of(a, real, &target);
    for (int32_t k = 0; k < a->t->n && !rc; k++) {
        int32_t i = a->t->hole[k].axis;
        struct sweep_axis *x = &a->s->axis[i];
        rc = axis_role(a, i, marked, &target, &size);
        if (!rc && !x->choice && !size && !x->size) {
            char what[100];
            snprintf(what, sizeof what, "what {%s} counts is not clear here · say: {%s=1,2,5..8}",
                     x->name, x->name);
            rc = complain(a, what);
        }
        if (!x->choice && size > x->size)
            x->size = size;
        if (x->choice)
            a->part->size[i] = x->size;
        else if (size && (!a->part->size[i] || size < a->part->size[i]))
            a->part->size[i] = size;
    }
    edit_free(marked);
    edit_free(real);
    return rc;
}

/* ---- building ---- */

int sweep_set_part(struct sweep_set *s, struct err *e)
{
    if (!list_room(&s->part, (size_t)s->n_parts, sizeof *s->part))
        return err_memory(e, "a sweep");
    s->part[s->n_parts++] = (struct sweep_part){.n = 0};
    return 0;
}

int sweep_set_add(struct sweep_set *s, const char *text, const struct sweep_choose *choose,
                  const struct edit_context *ctx, struct err *e)
{
    struct sweep_part *part = &s->part[s->n_parts - 1];
    struct adder a = {s, part, &part->edit[part->n], text, choose, ctx, e};
    if (part->n == SWEEP_EDITS_MAX)
        return complain(&a, "more than 16 edits in each cell");
    if (strlen(text) >= LIMIT_EDIT_TEXT)
        return complain(&a, "longer than an edit may be");
    /* each hole may be filled by a text that the choices hold */
    a.t->text = calloc(1, 2 * LIMIT_EDIT_TEXT);
    if (!a.t->text)
        return err_memory(e, "a sweep");
    part->n++;
    int rc = holes_find(&a);
    return rc ? rc : holes_size(&a);
}

int sweep_set_types(struct sweep_set *s, const char *const *label, struct err *e)
{
    struct sweep_axis x = {.name = "type", .role = SWEEP_TYPE};
    x.choice = calloc((size_t)s->n_parts + 1, sizeof *x.choice);
    for (; x.choice && x.size < s->n_parts; x.size++)
        if (!(x.choice[x.size] = strdup(label[x.size])))
            break;
    if (!x.choice || x.size < s->n_parts) {
        axis_free(&x);
        return err_memory(e, "a sweep");
    }
    memmove(s->axis + 1, s->axis, (size_t)s->n_axes * sizeof *s->axis);
    s->axis[0] = x;
    s->n_axes++;
    for (int32_t p = 0; p < s->n_parts; p++) {
        struct sweep_part *part = &s->part[p];
        memmove(part->size + 1, part->size, sizeof part->size - sizeof *part->size);
        part->size[0] = s->n_parts;
        for (int32_t i = 0; i < part->n; i++)
            for (int32_t k = 0; k < part->edit[i].n; k++)
                part->edit[i].hole[k].axis++;
    }
    return 0;
}

void sweep_set_free(struct sweep_set *s)
{
    for (int32_t i = 0; i < s->n_axes; i++)
        axis_free(&s->axis[i]);
    for (int32_t p = 0; p < s->n_parts; p++)
        for (int32_t i = 0; i < s->part[p].n; i++)
            free(s->part[p].edit[i].text);
    free(s->part);
    *s = (struct sweep_set){0};
}
