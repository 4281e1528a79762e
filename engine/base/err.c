/* err.c - filling struct err (see err.h). */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Quoted file content may hold line ends; a message is one line. */
static void one_line(char *text)
{
    for (; (text = strpbrk(text, "\r\n")) != NULL; text++)
        *text = ' ';
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
        one_line(e->text);
        e->code = code;
    }
    return code;
}

int err_memory(struct err *e, const char *fmt, ...)
{
    char what[sizeof e->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return err_set(e, ERR_SYSTEM, "out of memory · %s", what);
}

int err_code(const struct err *e)
{
    return e ? e->code : ERR_BAD_INPUT;
}

void err_prefix(struct err *e, const char *fmt, ...)
{
    if (!e)
        return;
    char old[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    old[sizeof old - 1] = '\0';
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->text)
        snprintf(e->text + n, sizeof e->text - (size_t)n, " · %.*s",
                 (int)(sizeof e->text - 8 - (size_t)n), old);
    one_line(e->text);
}
