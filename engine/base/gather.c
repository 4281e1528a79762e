/* gather.c - what comes of units to rank 0, and news of all ranks (see ranks.h).  Tested in
 * tests/engine/test_ranks.c and tests/tui/test_ranks.sh. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ranks_parts.h"

enum {
    AHEAD = 3, /* units of one rank that may wait for their turn: what rank 0 holds is bounded */
    TELL_US = 250000,
    LOOK_US = 1000000,
    SHOW_US = 100000,
    SILENT_US = 60000000
};

/* A unit before its turn; sent as it stands from `unit` on. */
struct gather_unit {
    struct gather_unit *next;
    size_t len;
    int from;
    struct gather_message {
        int64_t unit, spare; /* what follows is aligned to 16 bytes */
    } * message;
};

static int turn_over(struct gather *g, const void *bytes, size_t len, struct err *e)
{
    int rc = g->merge(g->user, bytes, len, e);
    g->merged += !rc;
    return rc;
}

/* Those whose turn it is. */
static int merge_waiting(struct gather *g, struct err *e)
{
    int rc = 0;
    while (!rc && g->waiting && g->waiting->message->unit == g->merged) {
        struct gather_unit *u = g->waiting;
        rc = turn_over(g, u->message + 1, u->len, e);
        g->ranks->peer[u->from].waiting--;
        g->waiting = u->next;
        free(u->message), free(u);
    }
    return rc;
}

/* Keep a message, which is taken over, until its turn. */
static int wait_turn(struct gather *g, int from, struct gather_message *m, size_t len,
                     struct err *e)
{
    struct gather_unit *u = malloc(sizeof *u), **at = &g->waiting;
    if (!u || len < sizeof *m || m->unit < g->merged) {
        free(u), free(m);
        return u ? err_set(e, ERR_SYSTEM, "rank %d sent what is no unit of this work", from)
                 : err_memory(e, "a unit of rank %d", from);
    }
    while (*at && (*at)->message->unit < m->unit)
        at = &(*at)->next;
    *u = (struct gather_unit){*at, len - sizeof *m, from, m};
    *at = u;
    g->ranks->peer[from].waiting++;
    return 0;
}

static struct gather_message *message_make(int64_t unit, const void *bytes, size_t len)
{
    struct gather_message *m = malloc(sizeof *m + len);
    if (!m)
        return NULL;
    *m = (struct gather_message){.unit = unit};
    if (len)
        memcpy(m + 1, bytes, len);
    return m;
}

int gather_give(struct gather *g, int64_t unit, const void *bytes, size_t len, struct err *e)
{
    struct ranks *r = g->ranks;
    if (ranks_rank(r) == 0 && unit == g->merged) {
        int rc = turn_over(g, bytes, len, e);
        return rc || !r ? rc : merge_waiting(g, e);
    }
    if (len > (size_t)INT_MAX - sizeof(struct gather_message))
        return err_set(e, ERR_BAD_INPUT,
                       "a unit of %zu MB · MPI carries 2047 MB in a message · take fewer hooks at "
                       "a time",
                       len >> 20);
    struct gather_message *m = message_make(unit, bytes, len);
    if (!m)
        return err_memory(e, "a unit of %zu MB", len >> 20);
    if (r->rank == 0)
        return wait_turn(g, 0, m, sizeof *m + len, e);
    int rc = ranks_sent(r, &r->unit_request, e);
    if (rc) {
        free(m);
        return rc;
    }
    free(r->unit);
    r->unit = m;
    rc = r->mpi->send(0, TAG_UNIT, m, (int)(sizeof *m + len), &r->unit_request);
    return rc ? ranks_error(r, rc, e) : 0;
}

/* ---- rank 0 looks around ---- */

static int take_news(struct ranks *r, int from, struct err *e)
{
    struct news *x;
    struct ranks_peer *p = &r->peer[from];
    char who[RANKS_NAME + 48];
    size_t n;
    void *bytes;
    int rc = ranks_receive(r, from, TAG_NEWS, &bytes, &n, e);
    if (rc)
        return rc;
    x = bytes;
    if (n == sizeof *x && x->kind == NEWS_FAILED) {
        x->text[sizeof x->text - 1] = '\0';
        rc = err_set(e, x->code, "%s", x->text);
        err_prefix(e, "%s", ranks_who(r, from, who));
    } else if (n == sizeof *x) {
        p->finished |= x->kind == NEWS_FINISHED;
        p->done = x->done, p->share = x->share, p->heard_us = clock_us();
    }
    free(bytes);
    return rc;
}

static int there(struct ranks *r, int from, int tag, bool *is, struct err *e)
{
    int found = 0, n, rc = r->mpi->probe(from, tag, &found, &n);
    *is = found;
    return rc ? ranks_error(r, rc, e) : 0;
}

static int take_from(struct gather *g, int from, struct err *e)
{
    struct ranks *r = g->ranks;
    bool is;
    int rc;
    while (!(rc = there(r, from, TAG_NEWS, &is, e)) && is)
        if ((rc = take_news(r, from, e)))
            return rc;
    while (!rc && r->peer[from].waiting < AHEAD && !(rc = there(r, from, TAG_UNIT, &is, e)) && is) {
        void *bytes;
        size_t n;
        rc = ranks_receive(r, from, TAG_UNIT, &bytes, &n, e);
        r->peer[from].heard_us = clock_us();
        if (!rc)
            rc = wait_turn(g, from, bytes, n, e);
    }
    return rc;
}

/* A process of this node that is not there, or a zombie. */
static bool is_gone(int32_t pid)
{
    char path[40], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return kill(pid, 0) != 0 && errno == ESRCH;
    const char *end = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
    fclose(f);
    return end && end[1] && (end[2] == 'Z' || end[2] == 'X');
}

static int look(struct ranks *r, struct err *e)
{
    char who[RANKS_NAME + 48];
    int64_t now = clock_us();
    if (now - r->looked_us < LOOK_US)
        return 0;
    r->looked_us = now;
    for (int i = 1; i < r->size; i++)
        if (!r->peer[i].finished && !strcmp(r->peer[i].host, r->peer[0].host) &&
            is_gone(r->peer[i].pid))
            return err_set(e, ERR_SYSTEM, "%s has died", ranks_who(r, i, who));
    return 0;
}

static void news_make(const struct ranks *r, int64_t done, double share, struct gather_news *out)
{
    int64_t now = clock_us();
    *out = (struct gather_news){.done = done, .share = share, .least = share, .silent = -1};
    for (int i = 1; r && i < r->size; i++) {
        const struct ranks_peer *p = &r->peer[i];
        double own = p->finished ? 1 : p->share;
        out->done += p->done;
        out->share = out->share < 0 || own < 0 ? -1 : out->share + own;
        if (own < out->least)
            out->least = own, out->slowest = i;
        if (!p->finished && out->silent < 0 && now - p->heard_us > SILENT_US) {
            out->silent = i;
            ranks_who(r, i, out->who);
        }
    }
    out->share /= out->share < 0 ? 1 : ranks_size(r);
}

int gather_poll(struct gather *g, int64_t done, double share, struct gather_news *news,
                struct err *e)
{
    struct ranks *r = g->ranks;
    int rc = 0, gone = 0;
    if (r && r->rank) {
        const struct news own = {.kind = NEWS_PROGRESS, .done = done, .share = share};
        r->news.done = done, r->news.share = share;
        if (r->news_request)
            rc = r->mpi->sent(&r->news_request, &gone);
        if (!rc && r->unit_request) /* a large message moves only while somebody asks for it */
            rc = r->mpi->sent(&r->unit_request, &gone);
        if (rc)
            return ranks_error(r, rc, e);
        return clock_us() - r->news_us > TELL_US && !r->news_request ? ranks_tell(r, &own, e) : 0;
    }
    for (int i = 1; r && i < r->size && !rc; i++)
        rc = take_from(g, i, e);
    if (!rc && r)
        rc = merge_waiting(g, e);
    if (!rc && r)
        rc = look(r, e);
    if (news)
        news_make(r, done, share, news);
    return rc;
}

/* ---- the end ---- */

static bool all_finished(const struct ranks *r)
{
    for (int i = 1; i < r->size; i++)
        if (!r->peer[i].finished)
            return false;
    return true;
}

static int end_as_first(struct gather *g, int64_t units, int (*wait)(void *user, struct err *e),
                        void *user, struct err *e)
{
    int64_t shown = 0;
    int rc = 0;
    while (!rc && (g->merged < units || !all_finished(g->ranks))) {
        ranks_nap();
        if (wait && clock_us() - shown > SHOW_US) {
            shown = clock_us();
            rc = wait(user, e);
        } else {
            rc = gather_poll(g, 0, -1, NULL, e);
        }
    }
    return rc;
}

int gather_end(struct gather *g, int64_t units, int (*wait)(void *user, struct err *e), void *user,
               struct err *e)
{
    struct ranks *r = g->ranks;
    int rc = 0;
    if (!r)
        return 0;
    if (r->rank) {
        const struct news news = {.kind = NEWS_FINISHED, .done = r->news.done, .share = 1};
        rc = ranks_sent(r, &r->unit_request, e);
        if (!rc)
            rc = ranks_tell(r, &news, e);
        if (!rc)
            rc = ranks_sent(r, &r->news_request, e);
    } else {
        rc = end_as_first(g, units, wait, user, e);
    }
    r->working = rc != 0;
    gather_free(g);
    return rc;
}

void gather_free(struct gather *g)
{
    for (struct gather_unit *u = g->waiting, *next; u; u = next) {
        next = u->next;
        free(u->message), free(u);
    }
    g->waiting = NULL;
}
