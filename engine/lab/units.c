/* units.c - see units.h. */
#include "lab/units.h"

int units_next(void *from, struct text_piece *out, struct err *e)
{
    struct units *u = from;
    struct text_piece p;
    int rc;
    while ((rc = texts_next(u->texts, &p, e)) > 0) {
        p.unit = u->n;
        u->tokens += p.n - p.fresh;
        if (u->tokens >= UNIT_TOKENS)
            u->n++, u->tokens = 0;
        if (!ranks_mine(u->ranks, p.unit))
            continue;
        *out = p;
        return 1;
    }
    return rc;
}

void units_place(const void *from, struct texts_place *out)
{
    texts_place(((const struct units *)from)->texts, out);
}

int64_t units_count(const struct units *u)
{
    return u->n + (u->tokens > 0);
}
