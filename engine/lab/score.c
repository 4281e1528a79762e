/* score.c - scores from statistics, draws, heads, ranks, files (see score.h). */
#include "lab/score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/splitmix.h"
#include "lab/stats.h"
#include "model/tensor_write.h"

const struct score_info score_table[SCORE_COUNT] = {
#define SCORE(id, from, formula, help) {#id, SCORE_FROM_##from, formula, help},
#include "lab/score.def"
};

const char *const score_unit_names[SCORE_UNITS] = {"neurons", "dims", "heads"};

static const enum site_id sites[SCORE_UNITS] = {SITE_POST, SITE_Z, SITE_Z};

int score_find(const char *name, enum score_id *out, struct err *e)
{
    size_t least = SIZE_MAX;
    int near = 0;
    for (int i = 0; i < SCORE_COUNT; i++) {
        if (!strcmp(name, score_table[i].name)) {
            *out = (enum score_id)i;
            return 0;
        }
        near = nearest_is(name, score_table[i].name, &least) ? i : near;
    }
    return err_set(e, ERR_USAGE,
                   "no score \"%.40s\" · did you mean %s? · borescope score --help lists them",
                   name, score_table[near].name);
}

int score_unit_find(const char *name, enum score_unit *out, struct err *e)
{
    for (int i = 0; i < SCORE_UNITS; i++)
        if (!strcmp(name, score_unit_names[i])) {
            *out = (enum score_unit)i;
            return 0;
        }
    return err_set(e, ERR_USAGE, "\"%.40s\" · expected neurons, dims or heads", name);
}

double score_eps(enum score_unit u)
{
    return u == SCORE_NEURONS ? 1e-3 : 1e-4;
}

char *score_hook(enum score_unit unit, int32_t layer, char buf[LIMIT_NAME])
{
    return site_name((struct site_ref){sites[unit], layer}, buf);
}

void score_label(const struct scores *s, int64_t i, char buf[32])
{
    int layer = (int)(i / s->n), at = (int)(i % s->n);
    if (s->unit == SCORE_NEURONS)
        snprintf(buf, 32, "L%d N%d", layer, at);
    else if (s->unit == SCORE_HEADS)
        snprintf(buf, 32, "L%dH%d", layer, at);
    else
        snprintf(buf, 32, "L%dH%d D%d", layer, at / (int)s->d_head, at % (int)s->d_head);
}

int scores_init(struct scores *s, const struct config *cfg, enum score_unit unit, struct err *e)
{
    bool any = false;
    *s = (struct scores){.unit = unit, .n_layers = cfg->n_layers, .d_head = cfg->d_head};
    s->n = unit == SCORE_HEADS ? cfg->n_heads : site_row_size(cfg, sites[unit], 1);
    size_t all = (size_t)s->n_layers * (size_t)s->n;
    s->there = calloc((size_t)s->n_layers, sizeof *s->there);
    s->focus = malloc((all + 1) * sizeof *s->focus);
    s->cripple = malloc((all + 1) * sizeof *s->cripple);
    s->value = malloc((all + 1) * sizeof *s->value);
    if (!s->there || !s->focus || !s->cripple || !s->value)
        return err_memory(e, "scores");
    for (size_t i = 0; i < all; i++)
        s->focus[i] = s->cripple[i] = s->value[i] = NAN;
    for (int32_t l = 0; l < s->n_layers; l++)
        any |= s->there[l] = site_is_there(cfg, (struct site_ref){sites[unit], l});
    return any ? 0
               : err_set(e, ERR_BAD_INPUT,
                         "%s · no layer of this model has %s: its MLPs are mixtures of experts",
                         score_unit_names[unit], site_table[sites[unit]].name);
}

void scores_free(struct scores *s)
{
    free(s->focus), free(s->cripple), free(s->value), free(s->there);
    *s = (struct scores){0};
}

/* ---- from statistics ---- */

static double square(double x)
{
    return x * x;
}

/* What a score compares of one element; NaN where no finite value was seen. */
static double figure(enum score_id id, const struct stats_site *s, int64_t i)
{
    double n = (double)stat_count(s, STAT_count)[i], mean = stat_mean(s, STAT_mean)[i],
           variance = stat_mean(s, STAT_variance)[i], sample = variance * n / (n - 1);
    if (n < 1)
        return NAN;
    switch (id) {
    case SCORE_freq: return (double)stat_count(s, STAT_pos_count)[i] / n;
    case SCORE_sqrt: return stat_mean(s, STAT_sqrt_abs_mean)[i];
    case SCORE_abs: return stat_mean(s, STAT_pos_mass)[i] - stat_mean(s, STAT_neg_mass)[i];
    case SCORE_std: return sqrt(variance);
    case SCORE_rms: return sqrt(variance + square(mean));
    case SCORE_mean: return mean;
    case SCORE_taker_std: return sample;
    default: return sqrt(square(sample) + square(mean));
    }
}

static int both_have(const struct scores *s, int32_t layer, const struct stats *st,
                     const char *which, const struct stats_site **out, struct err *e)
{
    char hook[LIMIT_NAME];
    int64_t n = s->n;
    *out = stats_find(st, score_hook(s->unit, layer, hook));
    if (*out && (*out)->n == n)
        return 0;
    return err_set(e, ERR_BAD_INPUT,
                   "%s · %s · expected statistics of %lld elements, found %s · borescope stats -c "
                   "'%s' makes them, on the same model",
                   which, hook, (long long)n, *out ? "others" : "none",
                   s->unit == SCORE_NEURONS ? "blocks.*.mlp.hook_post" : "blocks.*.attn.hook_z");
}

int scores_of_stats(struct scores *s, enum score_id id, const struct stats *focus,
                    const struct stats *cripple, double eps, struct err *e)
{
    const struct stats_site *f, *c;
    for (int32_t l = 0; l < s->n_layers; l++) {
        double *a = s->focus + l * s->n, *b = s->cripple + l * s->n, *out = s->value + l * s->n;
        if (!s->there[l])
            continue;
        int rc = both_have(s, l, focus, "focus", &f, e);
        if (rc || (rc = both_have(s, l, cripple, "cripple", &c, e)))
            return rc;
        for (int64_t i = 0; i < s->n; i++) {
            a[i] = figure(id, f, i), b[i] = figure(id, c, i);
            out[i] = id == SCORE_mean ? fabs(b[i] - a[i]) : b[i] / (a[i] + eps);
        }
    }
    return 0;
}

/* ---- from nothing, from the units of heads, from both losses ---- */

void scores_draw(struct scores *s, uint64_t seed)
{
    for (int32_t l = 0; l < s->n_layers; l++)
        for (int64_t i = 0; s->there[l] && i < s->n; i++) {
            uint64_t key = splitmix64(splitmix64(seed) ^ (uint64_t)s->unit);
            s->value[l * s->n + i] = splitmix_normal(splitmix64(key ^ (uint64_t)l) ^ (uint64_t)i);
        }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of x[n]; NaN where one of them is. */
static double join(const double *x, int32_t n, enum score_heads how)
{
    double sum = 0, sorted[LIMIT_D_HEAD];
    for (int32_t i = 0; i < n; i++)
        sum += sorted[i] = x[i];
    if (how == SCORE_BY_MEAN || isnan(sum))
        return sum / n;
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

void scores_join(struct scores *heads, const struct scores *dims, enum score_heads how)
{
    int32_t d = dims->d_head;
    for (int64_t i = 0; i < heads->n_layers * heads->n; i++) {
        heads->focus[i] = join(dims->focus + i * d, d, how);
        heads->cripple[i] = join(dims->cripple + i * d, d, how);
        heads->value[i] = join(dims->value + i * d, d, how);
    }
}

void scores_difference(struct scores *s)
{
    for (int64_t i = 0; i < s->n_layers * s->n; i++)
        s->value[i] = s->cripple[i] - s->focus[i];
}

void scores_share(struct scores *s, int64_t each)
{
    for (int64_t i = 0; i + each <= s->n_layers * s->n; i += each) {
        double sum = 0;
        for (int64_t k = i; k < i + each; k++)
            sum += s->value[k];
        for (int64_t k = i; k < i + each; k++)
            s->value[k] = sum / (double)each;
    }
}

/* ---- ranks, files ---- */

struct ranked {
    double value;
    int64_t at;
};

static int greater_first(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (isnan(x->value) != isnan(y->value))
        return isnan(x->value) ? 1 : -1;
    return x->value > y->value ? -1 : x->value < y->value ? 1 : (x->at > y->at) - (x->at < y->at);
}

int scores_rank(const struct scores *s, int64_t *order, struct err *e)
{
    int64_t n = s->n_layers * s->n;
    struct ranked *r = malloc(((size_t)n + 1) * sizeof *r);
    if (!r)
        return err_memory(e, "scores");
    for (int64_t i = 0; i < n; i++)
        r[i] = (struct ranked){s->value[i], i};
    qsort(r, (size_t)n, sizeof *r, greater_first);
    for (int64_t i = 0; i < n; i++)
        order[i] = r[i].at;
    free(r);
    return 0;
}

int scores_write(const struct scores *s, const char *path, const struct tensor_meta *meta,
                 size_t n_meta, struct err *e)
{
    static const char *const parts[] = {"", ".focus", ".cripple"};
    const double *const data[] = {s->value, s->focus, s->cripple};
    struct tensor_out t[3];
    char names[3][32];
    bool dims = s->unit == SCORE_DIMS;
    for (int i = 0; i < 3; i++) {
        snprintf(names[i], sizeof names[i], "%s%s", score_unit_names[s->unit], parts[i]);
        t[i] = (struct tensor_out){
            .name = names[i],
            .dtype = ST_F64,
            .rank = dims ? 3 : 2,
            .shape = {s->n_layers, dims ? s->n / s->d_head : s->n, dims ? s->d_head : 0},
            .data = data[i]};
    }
    return tensor_write(path, t, 3, meta, n_meta, e);
}
