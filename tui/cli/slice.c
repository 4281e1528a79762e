/* slice.c - parsing `--pos` (see slice.h). */
#include "slice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A whole number at *p, or `fallback` where there is none; false if it is too large. */
static bool number(const char **p, int64_t fallback, int64_t *out, bool *found)
{
    char *end;
    errno = 0;
    long v = strtol(*p, &end, 10);
    *found = end != *p;
    *out = *found ? v : fallback;
    *p = end;
    return !errno && v > INT32_MIN && v < INT32_MAX;
}

static int malformed(const char *text, struct err *e)
{
    return err_set(e, ERR_USAGE,
                   "--pos \"%s\" · a position, a range or a list: 3, -1, 2:5, ::2, 0,2,-1", text);
}

static int64_t clamp(int64_t v, int64_t n)
{
    v = v < 0 ? v + n : v;
    return v < 0 ? 0 : v > n ? n : v;
}

/* lo:hi:step with Python's meaning, step > 0. */
static int parse_range(struct capture_slice *s, const char *text, int32_t n, struct err *e)
{
    int64_t part[3] = {0, n, 1};
    const char *p = text;
    for (int i = 0; i < 3; i++) {
        bool found;
        if (!number(&p, part[i], &part[i], &found))
            return malformed(text, e);
        if (*p == '\0')
            break;
        if (*p != ':' || i == 2)
            return malformed(text, e);
        p++;
    }
    if (part[2] <= 0)
        return err_set(e, ERR_USAGE, "--pos \"%s\" · the step must be at least 1", text);
    for (int64_t i = clamp(part[0], n); i < clamp(part[1], n); i += part[2])
        s->index[s->n++] = (int32_t)i;
    if (!s->n)
        return err_set(e, ERR_BAD_INPUT,
                       "--pos \"%s\" · it holds none of the prompt's positions 0..%d", text,
                       (int)n - 1);
    return 0;
}

static int parse_list(struct capture_slice *s, const char *text, int32_t n, struct err *e)
{
    for (const char *p = text;; p++) {
        int64_t v;
        bool found;
        if (!number(&p, 0, &v, &found) || !found || (*p && *p != ','))
            return malformed(text, e);
        if (v < -(int64_t)n || v >= n)
            return err_set(e, ERR_BAD_INPUT, "--pos %lld · the prompt has positions 0..%d",
                           (long long)v, (int)n - 1);
        s->index[s->n++] = (int32_t)(v < 0 ? v + n : v);
        s->drop = !*p && s->n == 1;
        if (!*p)
            return 0;
    }
}

int slice_parse(struct capture_slice *out, const char *text, int32_t n, struct err *e)
{
    const char *t = text ? text : ":";
    struct capture_slice s = {malloc((strlen(t) + (size_t)n) * sizeof *s.index), 0, false};
    if (!s.index)
        return err_memory(e, "--pos");
    int rc = strchr(t, ':') ? parse_range(&s, t, n, e) : parse_list(&s, t, n, e);
    if (rc)
        free(s.index);
    else
        *out = s;
    return rc;
}
