/* edit_parse.c - text -> struct edit: a recursive descent over the grammar in edit_form.h.
 *
 * Knows no model: whether names, axes and indices fit is edit_resolve.c's question.  Each parse_*
 * function stands on the first byte of its part, skips the blanks before it, and returns 0 or, with the
 * error filled, a negative code.  Tested in tests/engine/test_edit.c and tests/fuzz/fuzz_edit.c. */
#include "edit_form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    const char *text, *p;
    struct edit *ed;
    int32_t n_spans;
    char *bytes; /* next free byte of the text pool */
    struct err *e;
};

/* ---- small parts ----------------------------------------------------------------------------------- */

/* "what · column N · what would work"; columns count characters from 1. */
static int fail_at(struct scan *s, const char *at, const char *what, const char *would_work)
{
    int column = 1;
    for (const char *p = s->text; p < at; p++)
        column += (*p & 0xC0) != 0x80;
    return err_set(s->e, ERR_BAD_INPUT, "%s · column %d · %s", what, column, would_work);
}

static int fail(struct scan *s, const char *what, const char *would_work)
{
    return fail_at(s, s->p, what, would_work);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

static void skip_blanks(struct scan *s)
{
    while (is_blank(*s->p))
        s->p++;
}

/* Outside brackets and quotes a '#' begins a comment. */
static void skip_comments(struct scan *s)
{
    for (;;) {
        skip_blanks(s);
        if (*s->p != '#')
            return;
        s->p += strcspn(s->p, "\n");
    }
}

static bool take(struct scan *s, const char *text)
{
    skip_blanks(s);
    size_t n = strlen(text);
    if (strncmp(s->p, text, n) != 0)
        return false;
    s->p += n;
    return true;
}

/* The length of the word at p; 0 where none begins. */
static size_t word_len(const char *p)
{
    size_t n = 0;
    while (!is_digit(*p) && is_word(p[n]))
        n++;
    return n;
}

static bool word_is(const char *p, size_t n, const char *word)
{
    return word && strlen(word) == n && memcmp(p, word, n) == 0;
}

static int parse_int(struct scan *s, int32_t *out)
{
    skip_blanks(s);
    const char *at = s->p, *p = at + (*at == '-' || *at == '+');
    int64_t v = 0;
    if (!is_digit(*p))
        return fail(s, "expected a whole number", "such as 0, 12 or -1");
    for (; is_digit(*p); p++)
        if ((v = v * 10 + (*p - '0')) > INT32_MAX)
            return fail(s, "index too large", "indices are below 2147483648");
    *out = (int32_t)(*at == '-' ? -v : v);
    s->p = p;
    return 0;
}

static int hex_value(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A string in quotes, to the text pool with a NUL behind it. */
static int parse_quoted(struct scan *s, const char **text, int32_t *len)
{
    const char *open = s->p++;
    char *out = s->bytes;
    for (; *s->p != '"'; s->p++) {
        if (*s->p == '\0')
            return fail_at(s, open, "unclosed quote", "end the text with \"");
        if (*s->p != '\\') {
            *out++ = *s->p;
            continue;
        }
        s->p++;
        if (*s->p == '"' || *s->p == '\\') {
            *out++ = *s->p;
        } else if (*s->p == 'n') {
            *out++ = '\n';
        } else if (*s->p == 'x' && hex_value(s->p[1]) >= 0 && hex_value(s->p[2]) >= 0) {
            *out++ = (char)(hex_value(s->p[1]) * 16 + hex_value(s->p[2]));
            s->p += 2;
        } else {
            return fail_at(s, s->p - 1, "unknown escape", "these are \\\" \\\\ \\n \\xNN");
        }
    }
    s->p++;
    *text = s->bytes;
    *len = (int32_t)(out - s->bytes);
    *out++ = '\0';
    s->bytes = out;
    return 0;
}

/* ---- the hook -------------------------------------------------------------------------------------- */

/* A character of a hook pattern outside braces; "*=" is an operator. */
static bool is_pattern(const char *p)
{
    return is_word(*p) || *p == '.' || *p == '?' || (*p == '*' && p[1] != '=');
}

/* Does the bracket at p belong to the pattern, as in "hook_[qk].x", and not to the index?  It does when the
 * pattern goes on, or an index follows, right behind it.  Returns its length or 0. */
static size_t class_len(const char *p)
{
    size_t n = 1;
    while (is_word(p[n]) || p[n] == '!' || p[n] == '-')
        n++;
    return n > 1 && p[n] == ']' && (is_pattern(p + n + 1) || p[n + 1] == '{' || p[n + 1] == '[') ? n + 1 : 0;
}

/* {…} with what is nested in it, blanks left out. */
static int parse_braces(struct scan *s)
{
    const char *open = s->p;
    int depth = 0;
    do {
        char c = *s->p;
        if (c == '\0')
            return fail_at(s, open, "unclosed {", "a set is {a,b} or {4..7}");
        if (!is_pattern(s->p) && !is_blank(c) && !strchr("{},[]!-*", c))
            return fail(s, "unexpected character in a hook name", "a set is {a,b} or {4..7}");
        depth += (c == '{') - (c == '}');
        if (!is_blank(c))
            *s->bytes++ = c;
        s->p++;
    } while (depth > 0);
    return 0;
}

static int parse_pattern(struct scan *s)
{
    skip_comments(s);
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
        return fail(s, *start ? "expected a hook name" : "empty edit",
                    "HOOK[index] = VALUE, as in blocks.0.attn.hook_z[-1, 3] = 0");
    *s->bytes++ = '\0';
    size_t len = strlen(s->ed->pattern);
    if (len >= LIMIT_PATTERN)
        return err_set(s->e, ERR_BAD_INPUT, "hook pattern of %zu bytes · at most %d", len, LIMIT_PATTERN - 1);
    return 0;
}

/* ---- the index ------------------------------------------------------------------------------------- */

static bool at_place(struct scan *s)
{
    skip_blanks(s);
    return is_digit(*s->p) || strchr("+-\"", *s->p) ? *s->p != '\0' : word_is(s->p, word_len(s->p), "end");
}

static int parse_place(struct scan *s, struct edit_place *out)
{
    if (!at_place(s))
        return fail(s, "expected an index", "these are 3, -1, 2:5, :, {1,4}, {4..7}, \"token\", end");
    *out = (struct edit_place){.kind = PLACE_INT};
    if (*s->p == 'e') {
        out->kind = PLACE_END;
        s->p += 3;
        return 0;
    }
    if (*s->p != '"')
        return parse_int(s, &out->value);
    const char *open = s->p;
    *out = (struct edit_place){.kind = PLACE_TOKEN, .value = 1};
    if (parse_quoted(s, &out->text, &out->len))
        return ERR_BAD_INPUT;
    if (out->len == 0)
        return fail_at(s, open, "empty token", "write the token's text, as in pos=\"John\"");
    if (!take(s, "#"))
        return 0;
    if (parse_int(s, &out->value))
        return ERR_BAD_INPUT;
    return out->value ? 0 : fail_at(s, open, "occurrence 0", "they count from 1, or from -1 backwards");
}

static int parse_range(struct scan *s, struct edit_sel *sel, struct edit_place lo)
{
    struct edit_span *span = &s->ed->spans[s->n_spans++];
    *span = (struct edit_span){.lo = lo};
    *sel = (struct edit_sel){sel->dim, SEL_RANGE, 1, 1, span};
    if (at_place(s) && parse_place(s, &span->hi))
        return ERR_BAD_INPUT;
    if (!take(s, ":"))
        return 0;
    skip_blanks(s);
    if (*s->p == ',' || *s->p == ']')
        return 0;
    const char *at = s->p;
    if (parse_int(s, &sel->step))
        return ERR_BAD_INPUT;
    return sel->step >= 1 ? 0 : fail_at(s, at, "step below 1", "a selection has no direction: 0:8:2 is 0, 2, 4, 6");
}

static int parse_set(struct scan *s, struct edit_sel *sel)
{
    *sel = (struct edit_sel){sel->dim, SEL_SET, 1, 0, &s->ed->spans[s->n_spans]};
    do {
        struct edit_span *span = &s->ed->spans[s->n_spans++];
        *span = (struct edit_span){.hi = {.kind = PLACE_NONE}};
        sel->n++;
        if (parse_place(s, &span->lo) || (take(s, "..") && parse_place(s, &span->hi)))
            return ERR_BAD_INPUT;
    } while (take(s, ","));
    return take(s, "}") ? 0 : fail(s, "expected , or }", "a set is {1,4} or {4..7}");
}

static enum site_dim dim_named(const char *p, size_t n)
{
    for (int d = DIM_NONE + 1; d < DIM_COUNT; d++)
        if (word_is(p, n, site_dim_name((enum site_dim)d)))
            return (enum site_dim)d;
    return DIM_NONE;
}

/* "pos=" before a selection, if there is one. */
static int parse_dim(struct scan *s, struct edit_sel *sel)
{
    skip_blanks(s);
    const char *start = s->p;
    size_t n = word_len(start);
    sel->dim = DIM_NONE;
    if (n == 0)
        return 0;
    s->p += n;
    if (!take(s, "=")) {
        s->p = start;
        return 0;
    }
    sel->dim = dim_named(start, n);
    if (sel->dim != DIM_NONE)
        return 0;
    char names[200] = "these are";
    for (int d = DIM_NONE + 1, at = (int)strlen(names); d < DIM_COUNT; d++)
        at += snprintf(names + at, sizeof names - (size_t)at, " %s", site_dim_name((enum site_dim)d));
    return fail_at(s, start, "unknown axis", names);
}

static int parse_sel(struct scan *s, struct edit_sel *sel)
{
    const char *start = s->p;
    if (parse_dim(s, sel))
        return ERR_BAD_INPUT;
    for (struct edit_sel *before = s->ed->sels; before < sel; before++) {
        if (sel->dim == DIM_NONE && before->dim != DIM_NONE)
            return fail_at(s, start, "index without a name after a named one", "name this one too");
        if (sel->dim != DIM_NONE && sel->dim == before->dim)
            return fail_at(s, start, "axis given twice", "use a set such as {1,4}");
    }
    if (take(s, ":"))
        return parse_range(s, sel, (struct edit_place){.kind = PLACE_NONE});
    if (take(s, "{"))
        return parse_set(s, sel);
    struct edit_place place;
    if (parse_place(s, &place))
        return ERR_BAD_INPUT;
    if (take(s, ":"))
        return parse_range(s, sel, place);
    *sel = (struct edit_sel){sel->dim, SEL_ONE, 1, 1, &s->ed->spans[s->n_spans]};
    s->ed->spans[s->n_spans++] = (struct edit_span){.lo = place};
    return 0;
}

static int parse_index(struct scan *s)
{
    if (!take(s, "["))
        return 0;
    if (take(s, "]"))
        return fail(s, "empty index", "leave the brackets out for all elements");
    do {
        if (s->ed->n_sels == SITE_RANK_MAX)
            return fail(s, "too many indices", "no hook has more than 3 axes (the batch is not one of them)");
        struct edit_sel *sel = &s->ed->sels[s->ed->n_sels];
        if (parse_sel(s, sel))
            return ERR_BAD_INPUT;
        s->ed->n_sels++;
    } while (take(s, ","));
    return take(s, "]") ? 0 : fail(s, "expected , or ]", "an index is [-1, 9] or [pos=-1, head=9]");
}

/* ---- operator and value ---------------------------------------------------------------------------- */

static int parse_op(struct scan *s)
{
    skip_comments(s);
    for (int op = 0; op < EDIT_OP_COUNT; op++)
        if (take(s, edit_op_words[op].word)) {
            s->ed->op = (enum edit_op)op;
            return 0;
        }
    return fail(s, "expected an operator", "these are = += -= *=");
}

/* The forms of all values, for messages. */
static const char *value_forms(char buf[200])
{
    size_t n = (size_t)snprintf(buf, 200, "values are ");
    for (int i = 0; i < EDIT_VALUE_COUNT; i++)
        n += (size_t)snprintf(buf + n, 200 - n, "%s%s", i ? ", " : "", edit_value_words[i].form);
    return buf;
}

/* A word that is no value that can stand here. */
static int fail_word(struct scan *s, const char *at, size_t n)
{
    static const struct edit_word reserved[] = {
#define EDIT_RESERVED(word, form, help) {word, form, help},
#include "edit.def"
    };
    char forms[200], what[160];
    snprintf(what, sizeof what, "unknown value \"%.*s\"", n > 60 ? 60 : (int)n, at);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (word_is(at, n, reserved[i].word))
            snprintf(what, sizeof what, "%s is not available in this version", reserved[i].form);
    return fail_at(s, at, what, value_forms(forms));
}

/* RUN: a plain name or a quoted one. */
static int parse_run(struct scan *s)
{
    skip_blanks(s);
    const char *at = s->p;
    if (*at == '"') {
        int32_t len;
        if (parse_quoted(s, &s->ed->run, &len))
            return ERR_BAD_INPUT;
        if (strlen(s->ed->run) != (size_t)len)
            return fail_at(s, at, "zero byte in a run's name", "as in from(corrupt)");
    } else {
        size_t n = 0;
        while (is_word(at[n]) || at[n] == '.' || at[n] == '-')
            n++;
        memcpy(s->bytes, at, n);
        s->bytes[n] = '\0';
        s->ed->run = s->bytes;
        s->bytes += n + 1;
        s->p += n;
    }
    return *s->ed->run ? 0 : fail_at(s, at, "expected the name of a run", "as in from(corrupt)");
}

static int parse_word(struct scan *s)
{
    skip_blanks(s);
    const char *at = s->p;
    size_t n = word_len(at);
    char forms[200];
    if (n == 0)
        return fail(s, "expected a value", value_forms(forms));
    int kind = 0;
    while (kind < EDIT_VALUE_COUNT && !word_is(at, n, edit_value_words[kind].word))
        kind++;
    if (kind == EDIT_VALUE_COUNT)
        return fail_word(s, at, n);
    s->ed->value = (enum edit_value_kind)kind;
    s->p += n;
    if (!take(s, "("))
        return fail(s, "expected (", edit_value_words[kind].form);
    if (kind == EDIT_FROM && parse_run(s))
        return ERR_BAD_INPUT;
    if (take(s, ")"))
        return 0;
    return kind == EDIT_MEAN ? fail_word(s, at, n) : fail(s, "expected )", edit_value_words[kind].form);
}

static int parse_value(struct scan *s)
{
    skip_blanks(s);
    struct edit *ed = s->ed;
    bool over;
    const char *end = edit_number_parse(s->p, &ed->number, &over);
    ed->value = EDIT_NUMBER;
    if (end == s->p) {
        ed->number = 1.0f;
        return parse_word(s);
    }
    if (over)
        return fail(s, "number beyond f32", "the largest is 3.4028235e38; inf is written inf");
    if (is_word(*end) || *end == '.')
        return fail(s, "not a number", "such as 0, -1.5, 1e-3, inf, -inf, nan");
    s->p = end;
    return take(s, "*") ? parse_word(s) : 0;
}

/* Nothing but a comment may follow. */
static int parse_end(struct scan *s)
{
    skip_comments(s);
    if (*s->p == '\0')
        return 0;
    const char *at = s->p;
    if (take(s, ",")) {
        skip_blanks(s);
        if (word_len(s->p) > 0)
            return fail_word(s, s->p, word_len(s->p));
    }
    return fail_at(s, at, "unexpected text after the edit", "one edit is HOOK[index] = VALUE");
}

/* ---- the whole ------------------------------------------------------------------------------------- */

bool edit_is_blank(const char *text)
{
    struct scan s = {.text = text, .p = text};
    skip_comments(&s);
    return *s.p == '\0';
}

int edit_parse(struct edit **out, const char *text, struct err *e)
{
    size_t len = strlen(text), commas = 0;
    if (len >= LIMIT_EDIT_TEXT)
        return err_set(e, ERR_BAD_INPUT, "edit of %zu bytes · at most %d", len, LIMIT_EDIT_TEXT - 1);
    for (size_t i = 0; i < len; i++)
        commas += text[i] == ',';
    /* every span but the first has a comma before it; every text but the pattern has two more bytes of
     * syntax around it than the NUL it needs */
    size_t head = sizeof(struct edit) + (commas + 1) * sizeof(struct edit_span);
    struct edit *ed = calloc(1, head + len + 2);
    if (!ed)
        return err_set(e, ERR_SYSTEM, "out of memory for an edit");
    atomic_init(&ed->refs, 1);
    struct scan s = {.text = text, .p = text, .ed = ed, .bytes = (char *)ed + head, .e = e};
    int rc = parse_pattern(&s);
    rc = rc ? rc : parse_index(&s);
    rc = rc ? rc : parse_op(&s);
    rc = rc ? rc : parse_value(&s);
    rc = rc ? rc : parse_end(&s);
    if (!rc && edit_print(ed, NULL, 0) >= LIMIT_EDIT_TEXT)
        rc = err_set(e, ERR_BAD_INPUT, "edit of %d bytes once printed · at most %d", edit_print(ed, NULL, 0),
                     LIMIT_EDIT_TEXT - 1);
    if (rc) {
        edit_free(ed);
        return rc;
    }
    *out = ed;
    return 0;
}
