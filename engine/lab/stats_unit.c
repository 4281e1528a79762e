/* stats_unit.c - see stats_unit.h. */
#include "lab/stats_unit.h"

#include <stdlib.h>
#include <string.h>

/* At the beginning of the bytes. */
struct head {
    int64_t tokens, together;
    struct texts_place end;
};

/* The next array: where it lies, if there are bytes, and the way behind it. */
static void *lay(char *bytes, size_t *used, int64_t n, size_t size)
{
    void *at = bytes ? bytes + *used : NULL;
    *used += ((size_t)n * size + 15) / 16 * 16;
    return at;
}

/* All arrays of the statistics over the bytes; how many these are. */
static size_t lay_all(struct stats *s, void *bytes)
{
    struct coactivation *c = &s->together;
    int64_t pairs = (int64_t)c->n * c->n;
    size_t used = 0;
    lay(bytes, &used, 1, sizeof(struct head));
    for (int i = 0; i < s->n; i++) {
        struct stats_site *x = &s->site[i];
        int64_t places = x->units * x->top;
        for (int k = 0; k < STAT_COUNT; k++)
            x->of[k] = lay(bytes, &used, x->n, stat_widths[k]);
        x->histogram = lay(bytes, &used, x->n * STATS_BINS, sizeof *x->histogram);
        x->top_value = lay(bytes, &used, places, sizeof *x->top_value);
        x->top_text = lay(bytes, &used, places, sizeof *x->top_text);
        x->top_pos = lay(bytes, &used, places, sizeof *x->top_pos);
        x->top_tokens = lay(bytes, &used, places * STATS_CONTEXT, sizeof *x->top_tokens);
    }
    c->count = lay(bytes, &used, pairs, sizeof *c->count);
    c->product = lay(bytes, &used, pairs, sizeof *c->product);
    c->mean = lay(bytes, &used, c->n, sizeof *c->mean);
    return used;
}

/* The same hooks, without arrays; site is malloc'ed. */
static int like_make(struct stats *s, const struct stats *like, struct err *e)
{
    *s = *like;
    s->tokens = 0, s->together.tokens = 0;
    if (!(s->site = malloc(((size_t)like->n + 1) * sizeof *s->site)))
        return err_memory(e, "statistics");
    memcpy(s->site, like->site, (size_t)like->n * sizeof *s->site);
    return 0;
}

int stats_unit_open(struct stats_unit *u, const struct stats *like, struct err *e)
{
    *u = (struct stats_unit){0};
    int rc = like_make(&u->s, like, e);
    if (rc)
        return rc;
    u->len = lay_all(&u->s, NULL);
    if (!(u->bytes = malloc(u->len))) {
        stats_unit_close(u);
        return err_memory(e, "statistics");
    }
    lay_all(&u->s, u->bytes);
    stats_unit_clear(u);
    return 0;
}

void stats_unit_close(struct stats_unit *u)
{
    free(u->bytes), free(u->s.site);
    *u = (struct stats_unit){0};
}

void stats_unit_clear(struct stats_unit *u)
{
    memset(u->bytes, 0, u->len);
    u->s.tokens = u->s.together.tokens = 0;
    for (int i = 0; i < u->s.n; i++)
        stats_site_clear(&u->s.site[i]);
}

void stats_unit_end(struct stats_unit *u, const struct texts_place *end)
{
    *(struct head *)u->bytes = (struct head){u->s.tokens, u->s.together.tokens, *end};
}

int stats_unit_merge(struct stats *to, const void *bytes, size_t len, struct err *e)
{
    struct stats from;
    struct head head;
    int rc = like_make(&from, to, e);
    if (rc)
        return rc;
    if (len == lay_all(&from, NULL)) {
        memcpy(&head, bytes, sizeof head);
        lay_all(&from, (void *)(uintptr_t)bytes); /* which are only read */
        from.together.tokens = head.together;
        for (int i = 0; i < to->n; i++)
            stats_site_merge(&to->site[i], &from.site[i], 0);
        coactivation_merge(&to->together, &from.together);
        to->tokens += head.tokens;
        to->place = head.end;
    } else {
        rc = err_set(e, ERR_SYSTEM, "statistics of %zu bytes · found %zu", lay_all(&from, NULL),
                     len);
    }
    free(from.site);
    return rc;
}
