/* edit_parse_index.c - the index of an edit: "[-1, pos=end, head={1,4}]" (see edit_parse.c). */
#include "edit/edit_scan.h"

#include <stdio.h>
#include <string.h>

static bool at_place(struct scan *s)
{
    scan_blanks(s);
    return scan_is_digit(*s->p) || strchr("+-\"", *s->p)
               ? *s->p != '\0'
               : scan_word_is(s->p, scan_word_len(s->p), "end");
}

static int parse_place(struct scan *s, struct edit_place *out)
{
    if (!at_place(s))
        return scan_fail(s, "expected an index",
                         "these are 3, -1, 2:5, :, {1,4}, {4..7}, \"token\", end");
    *out = (struct edit_place){.kind = PLACE_INT};
    if (*s->p == 'e') {
        out->kind = PLACE_END;
        s->p += 3;
        return 0;
    }
    if (*s->p != '"')
        return scan_int(s, &out->value);
    const char *open = s->p;
    *out = (struct edit_place){.kind = PLACE_TOKEN, .value = 1};
    if (scan_quoted(s, &out->text, &out->len))
        return ERR_BAD_INPUT;
    if (out->len == 0)
        return scan_fail_at(s, open, "empty token", "write the token's text, as in pos=\"John\"");
    if (!scan_take(s, "#"))
        return 0;
    if (scan_int(s, &out->value))
        return ERR_BAD_INPUT;
    return out->value
               ? 0
               : scan_fail_at(s, open, "occurrence 0", "they count from 1, or from -1 backwards");
}

static int parse_range(struct scan *s, struct edit_sel *sel, struct edit_place lo)
{
    struct edit_span *span = &s->ed->spans[s->n_spans++];
    *span = (struct edit_span){.lo = lo};
    *sel = (struct edit_sel){sel->dim, SEL_RANGE, 1, 1, span};
    if (at_place(s) && parse_place(s, &span->hi))
        return ERR_BAD_INPUT;
    if (!scan_take(s, ":"))
        return 0;
    scan_blanks(s);
    if (*s->p == ',' || *s->p == ']')
        return 0;
    const char *at = s->p;
    if (scan_int(s, &sel->step))
        return ERR_BAD_INPUT;
    return sel->step >= 1 ? 0
                          : scan_fail_at(s, at, "step below 1",
                                         "a selection has no direction: 0:8:2 is 0, 2, 4, 6");
}

static int parse_set(struct scan *s, struct edit_sel *sel)
{
    *sel = (struct edit_sel){sel->dim, SEL_SET, 1, 0, &s->ed->spans[s->n_spans]};
    do {
        struct edit_span *span = &s->ed->spans[s->n_spans++];
        *span = (struct edit_span){.hi = {.kind = PLACE_NONE}};
        sel->n++;
        if (parse_place(s, &span->lo) || (scan_take(s, "..") && parse_place(s, &span->hi)))
            return ERR_BAD_INPUT;
    } while (scan_take(s, ","));
    return scan_take(s, "}") ? 0 : scan_fail(s, "expected , or }", "a set is {1,4} or {4..7}");
}

static enum site_dim dim_named(const char *p, size_t n)
{
    for (int d = DIM_NONE + 1; d < DIM_NAMED; d++)
        if (scan_word_is(p, n, site_dim_name((enum site_dim)d)))
            return (enum site_dim)d;
    return DIM_NONE;
}

/* "pos=" before a selection, if there is one. */
static int parse_dim(struct scan *s, struct edit_sel *sel)
{
    scan_blanks(s);
    const char *start = s->p;
    size_t n = scan_word_len(start);
    sel->dim = DIM_NONE;
    if (n == 0)
        return 0;
    s->p += n;
    if (!scan_take(s, "=")) {
        s->p = start;
        return 0;
    }
    sel->dim = dim_named(start, n);
    if (sel->dim != DIM_NONE)
        return 0;
    char names[200] = "these are";
    for (int d = DIM_NONE + 1, at = (int)strlen(names); d < DIM_NAMED; d++)
        at += snprintf(names + at, sizeof names - (size_t)at, " %s",
                       site_dim_name((enum site_dim)d));
    return scan_fail_at(s, start, "unknown axis", names);
}

static int parse_sel(struct scan *s, struct edit_sel *sel)
{
    const char *start = s->p;
    if (parse_dim(s, sel))
        return ERR_BAD_INPUT;
    for (struct edit_sel *before = s->ed->sels; before < sel; before++) {
        if (sel->dim == DIM_NONE && before->dim != DIM_NONE)
            return scan_fail_at(s, start, "index without a name after a named one",
                                "name this one too");
        if (sel->dim != DIM_NONE && sel->dim == before->dim)
            return scan_fail_at(s, start, "axis given twice", "use a set such as {1,4}");
    }
    if (scan_take(s, ":"))
        return parse_range(s, sel, (struct edit_place){.kind = PLACE_NONE});
    if (scan_take(s, "{"))
        return parse_set(s, sel);
    struct edit_place place;
    if (parse_place(s, &place))
        return ERR_BAD_INPUT;
    if (scan_take(s, ":"))
        return parse_range(s, sel, place);
    *sel = (struct edit_sel){sel->dim, SEL_ONE, 1, 1, &s->ed->spans[s->n_spans]};
    s->ed->spans[s->n_spans++] = (struct edit_span){.lo = place};
    return 0;
}

int edit_parse_index(struct scan *s)
{
    if (!scan_take(s, "["))
        return 0;
    if (scan_take(s, "]"))
        return scan_fail(s, "empty index", "leave the brackets out for all elements");
    do {
        if (s->ed->n_sels == SITE_RANK_MAX)
            return scan_fail(s, "too many indices",
                             "no hook has more than 3 axes (the batch is not one of them)");
        struct edit_sel *sel = &s->ed->sels[s->ed->n_sels];
        if (parse_sel(s, sel))
            return ERR_BAD_INPUT;
        s->ed->n_sels++;
    } while (scan_take(s, ","));
    return scan_take(s, "]")
               ? 0
               : scan_fail(s, "expected , or ]", "an index is [-1, 9] or [pos=-1, head=9]");
}
