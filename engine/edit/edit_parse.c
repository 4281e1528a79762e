/* edit_parse.c - text -> struct edit: a recursive descent over the grammar in edit_form.h.
 *
 * Knows no model: whether names, axes and indices fit is edit_resolve.c's question; operators and
 * values are in edit_value.c.  Each parse_* function stands on the first byte of its part, skips
 * the blanks before it, and returns 0 or, with the error filled, a negative code.  Tested in
 * tests/engine/test_edit.c and tests/fuzz/fuzz_edit.c. */
#include "edit/edit_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the hook
 * -------------------------------------------------------------------------------------- */

/* A character of a hook pattern outside braces; "*=" is an operator. */
static bool is_pattern(const char *p)
{
    return scan_is_word(*p) || *p == '.' || *p == '?' || (*p == '*' && p[1] != '=');
}

/* Does the bracket at p belong to the pattern, as in "hook_[qk].x", and not to the index?  It does
 * when the pattern goes on, or an index follows, right behind it.  Returns its length or 0. */
static size_t class_len(const char *p)
{
    size_t n = 1;
    while (scan_is_word(p[n]) || p[n] == '!' || p[n] == '-')
        n++;
    return n > 1 && p[n] == ']' && (is_pattern(p + n + 1) || p[n + 1] == '{' || p[n + 1] == '[')
               ? n + 1
               : 0;
}

/* {…} with what is nested in it, blanks left out. */
static int parse_braces(struct scan *s)
{
    const char *open = s->p;
    int depth = 0;
    do {
        char c = *s->p;
        if (c == '\0')
            return scan_fail_at(s, open, "unclosed {", "a set is {a,b} or {4..7}");
        if (!is_pattern(s->p) && !scan_is_blank(c) && !strchr("{},[]!-*", c))
            return scan_fail(s, "unexpected character in a hook name", "a set is {a,b} or {4..7}");
        depth += (c == '{') - (c == '}');
        if (!scan_is_blank(c))
            *s->bytes++ = c;
        s->p++;
    } while (depth > 0);
    return 0;
}

static int parse_pattern(struct scan *s)
{
    scan_comments(s);
    const char *start = s->p;
    s->ed->pattern = s->bytes;
    for (;;) {
        size_t n = *s->p == '[' ? class_len(s->p) : is_pattern(s->p);
        if (*s->p == '{') {
            if (parse_braces(s))
                return ERR_BAD_INPUT;
        } else if (n > 0) {
            memcpy(s->bytes, s->p, n);
            s->bytes += n;
            s->p += n;
        } else {
            break;
        }
    }
    if (s->p == start)
        return scan_fail(s, *start ? "expected a hook name" : "empty edit",
                         "HOOK[index] = VALUE, as in blocks.0.attn.hook_z[-1, 3] = 0");
    *s->bytes++ = '\0';
    size_t len = strlen(s->ed->pattern);
    if (len >= LIMIT_PATTERN)
        return err_set(s->e, ERR_BAD_INPUT, "hook pattern of %zu bytes · at most %d", len,
                       LIMIT_PATTERN - 1);
    return 0;
}

/* ---- the index
 * ------------------------------------------------------------------------------------- */

static bool at_place(struct scan *s)
{
    scan_blanks(s);
    return scan_is_digit(*s->p) || strchr("+-\"", *s->p)
               ? *s->p != '\0'
               : scan_word_is(s->p, scan_word_len(s->p), "end");
}

/* edit_parse.c: one index. */
static int scan_place(struct scan *s, struct edit_place *out)
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
    if (at_place(s) && scan_place(s, &span->hi))
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
        if (scan_place(s, &span->lo) || (scan_take(s, "..") && scan_place(s, &span->hi)))
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
    if (scan_place(s, &place))
        return ERR_BAD_INPUT;
    if (scan_take(s, ":"))
        return parse_range(s, sel, place);
    *sel = (struct edit_sel){sel->dim, SEL_ONE, 1, 1, &s->ed->spans[s->n_spans]};
    s->ed->spans[s->n_spans++] = (struct edit_span){.lo = place};
    return 0;
}

static int parse_index(struct scan *s)
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

/* ---- the whole
 * ------------------------------------------------------------------------------------- */

int edit_parse(struct edit **out, const char *text, struct err *e)
{
    size_t len = strlen(text), commas = 0;
    if (len >= LIMIT_EDIT_TEXT)
        return err_set(e, ERR_BAD_INPUT, "edit of %zu bytes · at most %d", len,
                       LIMIT_EDIT_TEXT - 1);
    for (size_t i = 0; i < len; i++)
        commas += text[i] == ',';
    /* every span but the first has a comma before it; every text but the pattern has two more bytes
     * of syntax around it than the NUL it needs */
    size_t head = sizeof(struct edit) + (commas + 1) * sizeof(struct edit_span);
    struct edit *ed = calloc(1, head + len + 2);
    if (!ed)
        return err_set(e, ERR_SYSTEM, "out of memory for an edit");
    atomic_init(&ed->refs, 1);
    ed->source_pos = EDIT_SAME_POS;
    struct scan s = {.text = text, .p = text, .ed = ed, .bytes = (char *)ed + head, .e = e};
    int rc = parse_pattern(&s);
    rc = rc ? rc : parse_index(&s);
    rc = rc ? rc : scan_value(&s);
    if (!rc && edit_print(ed, NULL, 0) >= LIMIT_EDIT_TEXT)
        rc = err_set(e, ERR_BAD_INPUT, "edit of %d bytes once printed · at most %d",
                     edit_print(ed, NULL, 0), LIMIT_EDIT_TEXT - 1);
    if (rc) {
        edit_free(ed);
        return rc;
    }
    *out = ed;
    return 0;
}
