/* weight_index.c - parsing the elements of a weight (see weight_index.h). */
#include "weight_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A whole number at *p, or `open` where there is none. */
static bool number(const char **p, int64_t open, int64_t *out, bool *found)
{
    char *end;
    errno = 0;
    long long v = strtoll(*p, &end, 10);
    *found = end != *p;
    *out = *found ? v : open;
    *p = end + strspn(end, " ");
    return !errno;
}

static int malformed(const char *text, struct err *e)
{
    return err_set(
        e, ERR_USAGE,
        "\"%.60s\" · an index is 3, -1, 2:5, ::2 or {0,2}; one per axis, with commas between",
        text);
}

static int64_t bound(int64_t i, int64_t n)
{
    i = i < 0 ? i + n : i;
    return i < 0 ? 0 : i > n ? n : i;
}

/* One element: "3" or an entry of a set. */
static int element(struct weight_cut *c, int axis, int64_t i, struct err *e)
{
    int64_t size = c->w.shape[axis];
    if (i < -size || i >= size)
        return err_set(e, ERR_BAD_INPUT, "%s · %s %lld is out of range · it has %s 0..%lld",
                       c->w.name, c->w.dims[axis], (long long)i, c->w.dims[axis],
                       (long long)size - 1);
    c->index[axis][c->n[axis]++] = (int32_t)(i < 0 ? i + size : i);
    return 0;
}

static int parse_set(struct weight_cut *c, int axis, const char *p, const char *text, struct err *e)
{
    for (p++;; p++) {
        int64_t i;
        bool found;
        if (!number(&p, 0, &i, &found) || !found || (*p != ',' && *p != '}') ||
            c->n[axis] >= c->w.shape[axis])
            return malformed(text, e);
        int rc = element(c, axis, i, e);
        if (rc || *p == '}')
            return rc;
    }
}

static int parse_range(struct weight_cut *c, int axis, const char *p, const char *text,
                       struct err *e)
{
    int64_t size = c->w.shape[axis], part[3] = {0, size, 1};
    bool found = false;
    int k = 0;
    for (;; k++, p++) {
        if (k == 3 || !number(&p, part[k], &part[k], &found))
            return malformed(text, e);
        if (*p != ':')
            break;
    }
    if (*p)
        return malformed(text, e);
    if (k == 0) {
        c->drop[axis] = true;
        return found ? element(c, axis, part[0], e) : malformed(text, e);
    }
    if (part[2] < 1)
        return err_set(e, ERR_USAGE, "\"%.60s\" · the step must be at least 1", text);
    for (int64_t i = bound(part[0], size); i < bound(part[1], size); i += part[2])
        c->index[axis][c->n[axis]++] = (int32_t)i;
    if (c->n[axis] == size) { /* all of them: the whole axis */
        free(c->index[axis]);
        c->index[axis] = NULL;
    }
    return c->n[axis] ? 0
                      : err_set(e, ERR_BAD_INPUT, "\"%.60s\" · it holds none of %s 0..%lld", text,
                                c->w.dims[axis], (long long)size - 1);
}

static int parse_axis(struct weight_cut *c, int axis, char *text, struct err *e)
{
    const char *p = text + strspn(text, " ");
    if (axis >= c->w.rank)
        return err_set(e, ERR_BAD_INPUT, "%s · it has %d axes, the index more", c->w.name,
                       c->w.rank);
    c->n[axis] = 0;
    c->index[axis] = malloc((size_t)c->w.shape[axis] * sizeof *c->index[axis]);
    if (!c->index[axis])
        return err_memory(e, "an index");
    return *p == '{' ? parse_set(c, axis, p, text, e) : parse_range(c, axis, p, text, e);
}

/* The axes of "3, {1,2}, :5": commas in braces do not part them. */
static int parse_axes(struct weight_cut *c, char *text, struct err *e)
{
    int rc = 0, axis = 0, depth = 0;
    char *begin = text;
    for (char *p = text; !rc; p++) {
        depth += *p == '{' ? 1 : *p == '}' ? -1 : 0;
        bool end = !*p;
        if (!end && (*p != ',' || depth > 0))
            continue;
        *p = '\0';
        rc = parse_axis(c, axis++, begin, e);
        begin = p + 1;
        if (end)
            break;
    }
    return rc;
}

int weight_cut_parse(struct weight_cut *out, const struct model *m, const char *text, struct err *e)
{
    struct weight_cut c = {0};
    size_t len = strlen(text);
    const char *open = len && text[len - 1] == ']' ? strrchr(text, '[') : NULL;
    char *name = strndup(text, open ? (size_t)(open - text) : len),
         *index = open ? strndup(open + 1, (size_t)(text + len - open - 2)) : NULL;
    int rc = name && (index || !open) ? named_weight_find(m, name, &c.w, e)
                                      : err_memory(e, "a name");
    for (int d = 0; !rc && d < c.w.rank; d++)
        c.n[d] = c.w.shape[d];
    if (!rc && index)
        rc = parse_axes(&c, index, e);
    free(name);
    free(index);
    if (rc)
        weight_cut_free(&c);
    else
        *out = c;
    return rc;
}

void weight_cut_free(struct weight_cut *c)
{
    for (int d = 0; d < WEIGHT_RANK_MAX; d++)
        free(c->index[d]);
    *c = (struct weight_cut){0};
}

int64_t weight_cut_size(const struct weight_cut *c)
{
    int64_t n = 1;
    for (int d = 0; d < c->w.rank; d++)
        n *= c->n[d];
    return n;
}

int weight_cut_shape(const struct weight_cut *c, int64_t shape[WEIGHT_RANK_MAX],
                     const char *dims[WEIGHT_RANK_MAX])
{
    int rank = 0;
    for (int d = 0; d < c->w.rank; d++)
        if (!c->drop[d]) {
            dims[rank] = c->w.dims[d];
            shape[rank++] = c->n[d];
        }
    return rank;
}
