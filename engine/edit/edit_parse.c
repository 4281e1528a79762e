/* edit_parse.c - text -> struct edit: a recursive descent over the grammar in edit_form.h; here the
 * hook and the whole.
 *
 * Knows no model: whether names, axes and indices fit is edit_resolve.c's question.  Each parse_*
 * function, here and in edit_parse_*.c, stands on the first byte of its part, skips the blanks
 * before it, and returns 0 or, with the error filled, a negative code.  Tested in
 * tests/engine/test_edit.c and tests/fuzz/fuzz_edit.c. */
#include "edit/edit_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the hook ---- */

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

/* ---- the whole ---- */

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
        return err_memory(e, "edits");
    atomic_init(&ed->refs, 1);
    ed->source_pos = EDIT_SAME_POS;
    struct scan s = {.text = text, .p = text, .ed = ed, .bytes = (char *)ed + head, .e = e};
    int rc = parse_pattern(&s);
    rc = rc ? rc : edit_parse_index(&s);
    rc = rc ? rc : edit_parse_action(&s);
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
