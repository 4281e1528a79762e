/* stats.c - which hooks have statistics, their memory, their merging (see stats.h). */
#include "lab/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "lab/about.h"
#include "lab/pattern_stats.h"
#include "names/alias.h"

const size_t stat_widths[STAT_COUNT] = {
#define I64 sizeof(int64_t)
#define F64 sizeof(double)
#define F32 sizeof(float)
#define STAT(name, type, help) [STAT_##name] = type,
#define DERIVED(name, help)
#include "lab/stats.def"
#undef I64
#undef F64
#undef F32
};

/* Zeros, of at least one byte. */
static void *zeros(int64_t n, size_t size)
{
    return calloc((size_t)n + !n, size);
}

static void site_free(struct stats_site *s)
{
    for (int k = 0; k < STAT_COUNT; k++)
        free(s->of[k]);
    free(s->histogram), free(s->top_value), free(s->top_text), free(s->top_pos),
        free(s->top_tokens);
}

void stats_site_clear(struct stats_site *s)
{
    int64_t places = s->units * s->top;
    for (int64_t i = 0; i < s->n; i++)
        stat_bound(s, STAT_min)[i] = INFINITY, stat_bound(s, STAT_max)[i] = -INFINITY;
    for (int64_t i = 0; i < places; i++)
        s->top_value[i] = -INFINITY, s->top_text[i] = s->top_pos[i] = -1;
    for (int64_t i = 0; i < places * STATS_CONTEXT; i++)
        s->top_tokens[i] = -1;
}

static int site_alloc(struct stats_site *s, struct err *e)
{
    int64_t places = s->units * s->top;
    bool there = true;
    for (int k = 0; k < STAT_COUNT; k++)
        there &= (s->of[k] = zeros(s->n, stat_widths[k])) != NULL;
    s->histogram = zeros(s->n * STATS_BINS, sizeof *s->histogram);
    s->top_value = zeros(places, sizeof *s->top_value);
    s->top_text = zeros(places, sizeof *s->top_text);
    s->top_pos = zeros(places, sizeof *s->top_pos);
    s->top_tokens = zeros(places * STATS_CONTEXT, sizeof *s->top_tokens);
    if (!there || !s->histogram || !s->top_value || !s->top_text || !s->top_pos || !s->top_tokens) {
        site_free(s);
        return err_memory(e, "statistics of %s", s->name);
    }
    stats_site_clear(s);
    return 0;
}

int stats_add_site(struct stats *s, struct site_ref site, const char *name, int rank,
                   const int64_t *shape, int64_t units, int64_t top, struct err *e)
{
    struct stats_site x = {.site = site, .rank = rank, .n = 1, .units = units, .top = top};
    size_t len = strlen(name);
    if (len >= sizeof x.name)
        return err_set(e, ERR_BAD_INPUT, "\"%.60s…\" · the name is too long", name);
    memcpy(x.name, name, len + 1);
    for (int i = 0; i < rank; i++)
        x.shape[i] = shape[i], x.n *= shape[i];
    int rc = site_alloc(&x, e);
    if (rc)
        return rc;
    if (!list_room(&s->site, (size_t)s->n, sizeof x)) {
        site_free(&x);
        return err_memory(e, "statistics");
    }
    s->site[s->n++] = x;
    return 0;
}

void stats_free(struct stats *s)
{
    for (int i = 0; i < s->n; i++)
        site_free(&s->site[i]);
    coactivation_free(&s->together);
    free(s->site), free(s->about);
    *s = (struct stats){0};
}

const struct stats_site *stats_find(const struct stats *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->site[i].name, name))
            return &s->site[i];
    return NULL;
}

/* Why a name has no statistics, or NULL. */
static const char *lack(const struct config *cfg, const struct alias_value *v)
{
    enum site_id id = v->site[0].id;
    return !alias_is_site(v)
               ? "it is made of several hooks, or of a part of one · name the hook itself"
           : site_is_attention(id) && id != SITE_PATTERN
               ? "its shape is the prompt's, and scores of two rows have no common zero · name "
                 "attn.hook_pattern, whose shares by distance have some"
           : site_holds_ids(id) ? "it holds whole numbers"
                                : site_refusal(cfg, id);
}

static int add_pick(struct stats *s, const struct config *cfg, const struct alias_pick *pick,
                    int32_t top, struct err *e)
{
    struct site_ref site = pick->value.site[0];
    char name[LIMIT_NAME];
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(cfg, site.id, 1, shape);
    if (stats_find(s, site_name(site, name)))
        return 0;
    const int64_t numbers[] = {cfg->n_heads, pattern_numbers(cfg)};
    return site.id == SITE_PATTERN
               ? stats_add_site(s, site, name, 2, numbers, numbers[0] * numbers[1], top, e)
               : stats_add_site(s, site, name, rank - 1, shape + 1, shape[1], top, e);
}

int stats_init(struct stats *s, const struct config *cfg, const char *const *names, int n_names,
               int32_t top, struct err *e)
{
    *s = (struct stats){0};
    int rc = n_names ? 0 : err_set(e, ERR_USAGE, "stats · of which hooks? · name some with -c");
    for (int i = 0; i < n_names && !rc; i++) {
        struct alias_pick *pick = NULL;
        int n = alias_select(cfg, names[i], &pick, e), before = s->n;
        rc = n < 0 ? n : 0;
        const char *why = NULL;
        for (int k = 0; k < n && !rc; k++) {
            const char *now = lack(cfg, &pick[k].value);
            why = now ? now : why;
            rc = now ? 0 : add_pick(s, cfg, &pick[k], top, e);
        }
        if (!rc && why && s->n == before)
            rc = err_set(e, ERR_BAD_INPUT, "%s · it has no statistics · %s", names[i], why);
        free(pick);
    }
    return rc;
}

int stats_together(struct stats *s, const struct config *cfg, const char *const *texts, int n,
                   struct err *e)
{
    int rc = coactivation_choose(&s->together, cfg, texts, n, e);
    for (int32_t i = 0; i < s->together.n && !rc; i++) {
        char name[LIMIT_NAME];
        if (!stats_find(s, site_name(s->together.of[i].site, name)))
            rc = err_set(e, ERR_BAD_INPUT, "coactivation of %s · name the hook with -c, too",
                         s->together.of[i].name);
    }
    return rc;
}

/* ---- merging ---- */

static double mixed(double a, double na, double b, double nb)
{
    return a + (b - a) * (nb / (na + nb));
}

static void moments_merge(struct stats_site *to, const struct stats_site *from, int64_t i)
{
    static const enum stat means[] = {STAT_sqrt_abs_mean, STAT_pos_mass, STAT_neg_mass};
    double na = (double)stat_count(to, STAT_count)[i], nb = (double)stat_count(from, STAT_count)[i];
    if (nb == 0)
        return;
    double *mean = &stat_mean(to, STAT_mean)[i], *var = &stat_mean(to, STAT_variance)[i],
           d = stat_mean(from, STAT_mean)[i] - *mean, share = nb / (na + nb);
    *mean += d * share;
    *var = mixed(*var, na, stat_mean(from, STAT_variance)[i], nb) + d * d * share * (1 - share);
    for (size_t k = 0; k < sizeof means / sizeof *means; k++)
        stat_mean(to, means[k])[i] = mixed(stat_mean(to, means[k])[i], na,
                                           stat_mean(from, means[k])[i], nb);
    stat_count(to, STAT_count)[i] += stat_count(from, STAT_count)[i];
    stat_count(to, STAT_pos_count)[i] += stat_count(from, STAT_pos_count)[i];
    stat_bound(to, STAT_min)[i] = fminf(stat_bound(to, STAT_min)[i], stat_bound(from, STAT_min)[i]);
    stat_bound(to, STAT_max)[i] = fmaxf(stat_bound(to, STAT_max)[i], stat_bound(from, STAT_max)[i]);
}

void stats_site_merge(struct stats_site *to, const struct stats_site *from, int64_t texts)
{
    for (int64_t i = 0; i < to->n; i++)
        moments_merge(to, from, i);
    for (int64_t i = 0; i < to->n * STATS_BINS; i++)
        to->histogram[i] += from->histogram[i];
    for (int64_t u = 0; u < to->units; u++)
        for (int64_t k = 0; k < from->top; k++) {
            int64_t at = u * from->top + k;
            if (from->top_text[at] >= 0)
                stats_context(to, u, from->top_value[at], from->top_text[at] + texts,
                              from->top_pos[at], from->top_tokens + at * STATS_CONTEXT);
        }
}

/* Hooks of the same shapes and contexts, in any order? */
static bool is_alike(const struct stats *a, const struct stats *b)
{
    bool same = a->n == b->n;
    for (int i = 0; i < a->n && same; i++) {
        const struct stats_site *x = &a->site[i], *y = stats_find(b, x->name);
        same = y && x->rank == y->rank && x->units == y->units && x->top == y->top;
        for (int k = 0; same && k < x->rank; k++)
            same = x->shape[k] == y->shape[k];
    }
    return same && coactivation_alike(&a->together, &b->together);
}

static int alike_check(const struct stats *a, const struct stats *b, struct err *e)
{
    if (!is_alike(a, b))
        return err_set(e, ERR_BAD_INPUT,
                       "statistics of other hooks, or with other contexts or coactivations · take "
                       "the same -c, --top and --coactivation");
    if (about_read_differs(a->about, b->about))
        return err_set(e, ERR_BAD_INPUT,
                       "a file, reference set or prompt that edits read, or tokenizer.json, holds "
                       "something else than it did · put it back, or begin anew");
    return strcmp(a->about, b->about)
               ? err_set(e, ERR_BAD_INPUT, "made otherwise: \"%s\" · here \"%s\"", a->about,
                         b->about)
               : 0;
}

int stats_continue(struct stats *s, const struct stats *now, struct err *e)
{
    int rc = alike_check(s, now, e);
    for (int i = 0; i < s->n && !rc; i++)
        s->site[i].site = stats_find(now, s->site[i].name)->site;
    for (int32_t i = 0; i < s->together.n && !rc; i++)
        s->together.of[i] = now->together.of[i];
    return rc;
}

int stats_merge(struct stats *to, const struct stats *from, struct err *e)
{
    int rc = alike_check(to, from, e);
    if (rc)
        return rc;
    for (int i = 0; i < to->n; i++)
        stats_site_merge(&to->site[i], stats_find(from, to->site[i].name), to->place.text);
    coactivation_merge(&to->together, &from->together);
    to->tokens += from->tokens;
    to->place.text += from->place.text, to->place.start = 0;
    to->place.seen = (struct fingerprint){0, 0}; /* of no set that work could go on in */
    to->place.texts += from->place.texts, to->place.tokens += from->place.tokens;
    return 0;
}
