/* sides.c - see sides.h. */
#include "session/sides.h"

#include <assert.h>
#include <stdlib.h>

#include "session/figures.h"
#include "session/request.h"
#include "session/snapshot.h"

struct sides {
    const struct model *m;
    size_t cache_bytes;
    struct lane {
        const struct model *m; /* that its runs are of */
        struct pair *pair;     /* NULL: never asked */
        struct figures *figures;
    } lane[SESSION_LANES];
};

struct sides *sides_open(const struct model *m, size_t cache_bytes)
{
    struct sides *s = calloc(1, sizeof *s);
    if (s)
        *s = (struct sides){.m = m, .cache_bytes = cache_bytes};
    return s;
}

static void lane_close(struct lane *l)
{
    figures_close(l->figures);
    pair_close(l->pair);
    *l = (struct lane){.m = NULL};
}

void sides_close(struct sides *s)
{
    for (int i = 0; s && i < SESSION_LANES; i++)
        lane_close(&s->lane[i]);
    free(s);
}

static int lane_open(struct sides *s, struct lane *l, const struct model *m, struct err *e)
{
    if (l->m && l->m != m)
        lane_close(l);
    l->m = m;
    int rc = l->pair ? 0 : pair_open(&l->pair, m, s->cache_bytes, e);
    return rc || l->figures ? rc : figures_open(&l->figures, m, e);
}

int sides_answer(struct sides *s, const struct session_want *side, const struct snapshot **out,
                 int (*between)(void *user, struct err *e), void *user, struct err *e)
{
    assert(side->lane >= 0 && side->lane < SESSION_LANES);
    struct lane *l = &s->lane[side->lane];
    const struct model *m = side->model ? side->model : s->m;
    struct snapshot *answer = NULL;
    int rc = request_check(m, &side->target, e);
    *out = NULL;
    if (!rc)
        rc = lane_open(s, l, m, e);
    if (!rc)
        rc = pair_sync(l->pair, &side->target, NULL, e);
    if (!rc)
        rc = figures_settle(l->figures, l->pair, side, e);
    if (!rc)
        rc = figures_work(l->figures, l->pair, side, INT32_MAX, between, user, e);
    if (rc == ERR_CANCELLED || (rc == ERR_DEVICE && m == s->m))
        return rc; /* another model's device is told with its side: this one's goes on */
    if (!rc && !(answer = figures_snapshot(l->figures, l->pair, side, e)))
        rc = ERR_SYSTEM;
    if (rc && (answer = snapshot_failed()))
        answer->err = *e;
    if (!answer)
        return rc;
    answer->complete = true;
    *out = answer;
    return 0;
}
