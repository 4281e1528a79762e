/* edit_scan.c - the small parts of the edit language: words, whole numbers, quoted texts
 * (edit_scan.h).  Tested in tests/engine/test_edit.c. */
#include "edit/edit_scan.h"

#include <string.h>

int scan_fail_at(struct scan *s, const char *at, const char *what, const char *would_work)
{
    int column = 1;
    for (const char *p = s->text; p < at; p++)
        column += (*p & 0xC0) != 0x80;
    return err_set(s->e, ERR_BAD_INPUT, "%s · column %d · %s", what, column, would_work);
}

int scan_fail(struct scan *s, const char *what, const char *would_work)
{
    return scan_fail_at(s, s->p, what, would_work);
}

bool scan_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool scan_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool scan_is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || scan_is_digit(c) || c == '_';
}

void scan_blanks(struct scan *s)
{
    while (scan_is_blank(*s->p))
        s->p++;
}

void scan_comments(struct scan *s)
{
    for (;;) {
        scan_blanks(s);
        if (*s->p != '#')
            return;
        s->p += strcspn(s->p, "\n");
    }
}

bool scan_take(struct scan *s, const char *text)
{
    scan_blanks(s);
    size_t n = strlen(text);
    if (strncmp(s->p, text, n) != 0)
        return false;
    s->p += n;
    return true;
}

size_t scan_word_len(const char *p)
{
    size_t n = 0;
    while (!scan_is_digit(*p) && scan_is_word(p[n]))
        n++;
    return n;
}

bool scan_word_is(const char *p, size_t n, const char *word)
{
    return word && strlen(word) == n && memcmp(p, word, n) == 0;
}

int scan_int(struct scan *s, int32_t *out)
{
    scan_blanks(s);
    const char *at = s->p, *p = at + (*at == '-' || *at == '+');
    int64_t v = 0;
    if (!scan_is_digit(*p))
        return scan_fail(s, "expected a whole number", "such as 0, 12 or -1");
    for (; scan_is_digit(*p); p++)
        if ((v = v * 10 + (*p - '0')) > INT32_MAX)
            return scan_fail(s, "index too large", "indices are below 2147483648");
    *out = (int32_t)(*at == '-' ? -v : v);
    s->p = p;
    return 0;
}

static int hex_value(char c)
{
    return scan_is_digit(c)       ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int scan_quoted(struct scan *s, const char **text, int32_t *len)
{
    const char *open = s->p++;
    char *out = s->bytes;
    for (; *s->p != '"'; s->p++) {
        if (*s->p == '\0')
            return scan_fail_at(s, open, "unclosed quote", "end the text with \"");
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
            return scan_fail_at(s, s->p - 1, "unknown escape", "these are \\\" \\\\ \\n \\xNN");
        }
    }
    s->p++;
    *text = s->bytes;
    *len = (int32_t)(out - s->bytes);
    *out++ = '\0';
    s->bytes = out;
    return 0;
}
