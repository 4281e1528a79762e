/* callback.c - the list of callbacks (see callback.h). */
#include "run/callback.h"

#include <stdlib.h>
#include <string.h>

static int list_reserve(struct callbacks *c, int32_t n, struct err *e)
{
    if (n <= c->cap)
        return 0;
    int32_t cap = c->cap ? c->cap * 2 : 16;
    cap = cap < n ? n : cap;
    struct callback *more = realloc(c->list, (size_t)cap * sizeof *more);
    if (!more)
        return err_memory(e, "%d callbacks", n);
    c->list = more, c->cap = cap;
    return 0;
}

int callbacks_add(struct callbacks *c, const struct callback *add, struct err *e)
{
    int rc = list_reserve(c, c->n + 1, e);
    if (rc)
        return rc;
    int32_t at = add->flags & CALLBACK_PREPEND ? 0 : c->n;
    memmove(c->list + at + 1, c->list + at, (size_t)(c->n - at) * sizeof *c->list);
    c->list[at] = *add;
    c->n++;
    return 0;
}

void callbacks_remove(struct callbacks *c, enum callback_dir dir, callback_test *meant,
                      const void *user, bool including_permanent, int32_t level)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < c->n; i++) {
        const struct callback *cb = &c->list[i];
        bool here = (cb->dir & dir) && (!meant || meant(cb, user));
        bool owned = !(cb->flags & CALLBACK_PERMANENT) &&
                     (level == CALLBACK_ANY_LEVEL || cb->level == level);
        if (!(here && (including_permanent || owned)))
            c->list[kept++] = *cb;
    }
    c->n = kept;
}

bool callbacks_any(const struct callbacks *c, enum callback_dir dir, callback_test *meant,
                   const void *user, bool including_permanent, int32_t level)
{
    for (int32_t i = 0; i < c->n; i++) {
        const struct callback *cb = &c->list[i];
        if ((cb->dir & dir) && (!meant || meant(cb, user)) &&
            (including_permanent || !(cb->flags & CALLBACK_PERMANENT)) &&
            (level == CALLBACK_ANY_LEVEL || cb->level == level))
            return true;
    }
    return false;
}

int callbacks_copy(struct callbacks *to, const struct callbacks *from, struct err *e)
{
    int32_t n = from ? from->n : 0;
    int rc = list_reserve(to, n, e);
    if (rc)
        return rc;
    if (n)
        memcpy(to->list, from->list, (size_t)n * sizeof *to->list);
    to->n = n;
    return 0;
}

void callbacks_free(struct callbacks *c)
{
    free(c->list);
    *c = (struct callbacks){0};
}

const struct callback *callbacks_next(const struct callbacks *c, enum callback_dir dir,
                                      struct site_ref s, int32_t *i)
{
    while (*i < c->n) {
        const struct callback *cb = &c->list[(*i)++];
        if (cb->dir == dir && site_same(cb->site, s))
            return cb;
    }
    return NULL;
}
