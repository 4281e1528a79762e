/* token_ids.c - see token_ids.h. */
#include "token/token_ids.h"

#include <stdbool.h>
#include <stdlib.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    return p;
}

/* The number at p, up to its end; NULL: there is none, or it is no id. */
static const char *number_read(const char *p, const char *end, int32_t *out)
{
    int64_t v = 0;
    const char *from = p;
    for (; p < end && *p >= '0' && *p <= '9' && v <= INT32_MAX; p++)
        v = v * 10 + (*p - '0');
    if (p == from || v > INT32_MAX || (p < end && *p != ',' && !is_blank(*p)))
        return NULL;
    *out = (int32_t)v;
    return p;
}

static int clip(const char *from, const char *end, int most)
{
    return end - from < most ? (int)(end - from) : most;
}

int token_ids_read(const char *text, size_t len, int32_t **ids, int32_t *n, struct err *e)
{
    const char *end = text + len, *p = skip_blanks(text, end);
    int32_t *out = malloc((len / 2 + 1) * sizeof *out), count = 0;
    if (!out)
        return err_memory(e, "token ids");
    for (bool comma = false; p < end || comma;) {
        const char *after = number_read(p, end, &out[count]);
        if (!after) {
            free(out);
            return err_set(e, ERR_BAD_INPUT,
                           "token ids \"%.*s\" · expected whole numbers like 1,2,3 · %s\"%.*s\"",
                           clip(text, end, 40), text,
                           p < end ? "at " : "nothing follows the last comma", clip(p, end, 20), p);
        }
        count++;
        p = skip_blanks(after, end);
        comma = p < end && *p == ',';
        p = skip_blanks(p + comma, end);
    }
    *ids = out, *n = count;
    return 0;
}
