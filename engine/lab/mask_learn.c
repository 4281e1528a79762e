/* mask_learn.c - see mask_learn.h. */
#include "lab/mask_learn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "edit/edit_form.h"
#include "measure/grad.h"

/* Beyond it a mask is 0 or 1 in f32, and x could not be had from m x. */
static const double THETA_MAX = 12;

struct learning {
    const struct mask_learn *w;
    struct pruned *p;
    struct texts *t;
    struct pair *pair;
    struct edit **edits; /* those in force, then the masks' */
    int32_t n_edits;
    float *theta[PRUNE_PARTS];
    double *first[PRUNE_PARTS], *second[PRUNE_PARTS];
    /* KL and gradients [parts][n_layers, n], of a window, and of all windows of a step in their
     * order; gradient[] are a window's. */
    double *of_window, *of_step, *gradient[PRUNE_PARTS];
    size_t n_sums;
    struct gather gather;
    int64_t count; /* of all masks */
    struct run *r; /* while a gradient is taken */
    float *value;  /* scratch of it */
    size_t room;
    double weight; /* of a window's mean */
};

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* ---- edits ---- */

int mask_edits(const struct pruned *p, const float *const theta[PRUNE_PARTS], const char *path,
               const char *fn, char ***texts, int32_t *n, struct err *e)
{
    char quoted[LIMIT_EDIT_TEXT / 2], line[LIMIT_EDIT_TEXT], hook[LIMIT_NAME], mask[64];
    char **list = NULL;
    int32_t count = 0;
    int len = edit_token_print(path, (int32_t)strlen(path), quoted, sizeof quoted);
    int rc = len < (int)sizeof quoted
                 ? 0
                 : err_set(e, ERR_BAD_INPUT, "%.80s… · the path is too long", path);
    for (int k = 0; k < PRUNE_PARTS; k++)
        for (int32_t l = 0; l < p->n_layers && theta[k] && !rc; l++) {
            if (!p->part[k].there[l])
                continue;
            snprintf(line, sizeof line, "%s = mask(%s, \"%s\", %s)",
                     site_name((struct site_ref){prune_sites[k], l}, hook), quoted,
                     prune_mask_name((enum prune_part)k, l, mask), fn);
            char *own = malloc(strlen(line) + 1);
            if (!own || !list_room(&list, (size_t)count, sizeof *list)) {
                free(own);
                rc = err_memory(e, "edits");
                break;
            }
            memcpy(own, line, strlen(line) + 1);
            list[count++] = own;
        }
    if (rc)
        prune_edits_free(list, count);
    else
        *texts = list, *n = count;
    return rc;
}

static int masks_write(const struct learning *j, struct err *e)
{
    const struct prune_masks masks = {{j->theta[0], j->theta[1]}, {NULL, NULL}};
    return prune_masks_write(j->p, &masks, "sigmoid", j->w->path, e);
}

static void edits_close(struct learning *j)
{
    for (int32_t i = 0; i < j->n_edits; i++)
        edit_free(j->edits[i]);
    free(j->edits);
    j->edits = NULL, j->n_edits = 0;
}

/* Anew for each step: the same edits on the same text would be those that were resolved before,
 * with the masks that the file had then. */
static int edits_open(struct learning *j, struct err *e)
{
    edits_close(j);
    const struct pair_target *t = j->w->target;
    char **text = NULL;
    int32_t n = 0;
    int rc = mask_edits(j->p, (const float *const *)j->theta, j->w->path, "sigmoid", &text, &n, e);
    if (!rc && !(j->edits = calloc((size_t)(t->n_edits + n) + 1, sizeof(struct edit *))))
        rc = err_memory(e, "edits");
    for (int32_t i = 0; i < t->n_edits && !rc; i++)
        j->edits[j->n_edits++] = edit_copy(t->edits[i]);
    for (int32_t i = 0; i < n && !rc; i++)
        if (!(rc = edit_parse(&j->edits[j->n_edits], text[i], e)))
            j->n_edits++;
    prune_edits_free(text, n);
    return rc;
}

/* ---- gradients ---- */

/* The masked activation is m x: d metric / d theta = sum g x m (1 - m) = sum g (m x) (1 - m). */
static int take(void *user, struct site_ref s, int32_t row0, int32_t row1, const struct kn_view *g,
                struct err *e)
{
    struct learning *j = user;
    int k = s.id == prune_sites[PRUNE_NEURONS] ? PRUNE_NEURONS : PRUNE_DIMS;
    const struct pruned_part *q = &j->p->part[k];
    size_t count = (size_t)kn_count(g);
    if (count > j->room) {
        free(j->value);
        j->value = malloc(count * sizeof *j->value);
        j->room = j->value ? count : 0;
    }
    if (!j->value)
        return err_memory(e, "masks");
    int rc = run_read(j->r, s, row0, row1, j->value, NULL, e);
    int64_t heads = q->n / q->group;
    for (int32_t row = 0; row < row1 - row0 && !rc; row++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t d = 0; d < q->group; d++) {
                int64_t i = h * q->group + d, at = s.layer * q->n + i;
                const float *x = kn_f32(g) + row * g->stride[0] + h * g->stride[1] +
                                 (g->ndim > 2 ? d * g->stride[2] : 0);
                j->gradient[k][at] += j->weight * (double)*x * (double)j->value[row * q->n + i] *
                                      (1 - sigmoid((double)j->theta[k][at]));
            }
    return rc;
}

static int32_t sites_of(const struct learning *j, struct site_ref *out)
{
    int32_t n = 0;
    for (int k = 0; k < PRUNE_PARTS; k++)
        for (int32_t l = 0; l < j->p->n_layers && j->theta[k]; l++)
            if (j->p->part[k].there[l])
                out[n++] = (struct site_ref){prune_sites[k], l};
    return n;
}

static int window(struct learning *j, const struct text_piece *p, const struct site_ref *of,
                  int32_t n, struct err *e)
{
    const struct metric m = {.n = 1,
                             .terms = {{.kind = METRIC_KL, .factor = 1, .pos = METRIC_ALL_POS}}};
    struct pair_target t = *j->w->target;
    double value;
    t.input = run_ids(p->tokens, p->n);
    t.edits = j->edits, t.on = NULL, t.n_edits = j->n_edits;
    int rc = pair_sync(j->pair, &t, NULL, e);
    if (rc)
        return rc;
    j->r = pair_run(j->pair, FACE_EDITED);
    struct run *base = pair_run(j->pair, FACE_BASE);
    rc = metric_value(&m, j->r, base, &value, e);
    memset(j->of_window, 0, j->n_sums * sizeof *j->of_window);
    j->of_window[0] = rc ? 0 : j->weight * value;
    return rc ? rc : grad_run(j->r, base, &m, of, n, take, j, e);
}

/* The next window, from the beginning of the set where it ends. */
static int next(struct learning *j, struct text_piece *p, struct err *e)
{
    for (int turn = 0; turn < 2; turn++) {
        int rc = j->t ? texts_next(j->t, p, e) : 0;
        if (rc)
            return rc < 0 ? rc : 0;
        texts_close(j->t);
        j->t = NULL;
        rc = texts_open(&j->t, j->w->m, j->w->set.path, j->w->set.texts, e);
        if (rc)
            return rc;
    }
    return err_set(e, ERR_BAD_INPUT, "%s · no text has a token", j->w->set.path);
}

/* ---- steps ---- */

static void adam(struct learning *j, int32_t step)
{
    double c1 = 1 - pow(0.9, step), c2 = 1 - pow(0.999, step);
    for (int k = 0; k < PRUNE_PARTS; k++) {
        int64_t n = j->theta[k] ? j->p->n_layers * j->p->part[k].n : 0;
        const double *gradient = n ? j->of_step + (j->gradient[k] - j->of_window) : NULL;
        for (int64_t i = 0; i < n; i++) {
            double m = sigmoid((double)j->theta[k][i]), *a = &j->first[k][i], *b = &j->second[k][i],
                   g = gradient[i] + j->w->l1 / (double)j->count * m * (1 - m);
            *a = 0.9 * *a + 0.1 * g;
            *b = 0.999 * *b + 0.001 * g * g;
            double next = (double)j->theta[k][i] - j->w->rate * *a / c1 / (sqrt(*b / c2) + 1e-8);
            j->theta[k][i] = (float)fmax(-THETA_MAX, fmin(THETA_MAX, next));
        }
    }
}

/* What is gone by now. */
static void settle(struct learning *j, struct mask_step *s)
{
    double sum = 0;
    pruned_clear(j->p);
    for (int k = 0; k < PRUNE_PARTS; k++) {
        struct pruned_part *q = &j->p->part[k];
        for (int32_t l = 0; l < j->p->n_layers && j->theta[k]; l++)
            for (int64_t i = l * q->n; i < (l + 1) * q->n && q->there[l]; i++) {
                sum += sigmoid((double)j->theta[k][i]);
                q->gone[i] = j->theta[k][i] < 0;
                q->count += q->gone[i];
            }
        s->below[k] = q->count;
    }
    s->mean = sum / (double)j->count;
}

/* Windows are units: the sums are the same for every number of ranks. */
static int merge(void *user, const void *bytes, size_t len, struct err *e)
{
    struct learning *j = user;
    const double *x = bytes;
    if (len != j->n_sums * sizeof *x)
        return err_set(e, ERR_SYSTEM, "gradients of masks in %zu bytes", len);
    for (size_t i = 0; i < j->n_sums; i++)
        j->of_step[i] += x[i];
    return 0;
}

static int wait(void *user, struct err *e)
{
    struct learning *j = user;
    struct gather_news news;
    return gather_poll(&j->gather, 0, -1, &news, e);
}

/* A step's gradients, to rank 0. */
static int windows(struct learning *j, const struct site_ref *of, int32_t n, struct err *e)
{
    struct text_piece p;
    int rc = edits_open(j, e);
    memset(j->of_step, 0, j->n_sums * sizeof *j->of_step);
    j->weight = 1.0 / j->w->windows;
    j->gather = (struct gather){.ranks = j->w->ranks, .merge = merge, .user = j};
    rc = ranks_agree(j->w->ranks, rc, "", 0, NULL, 0, e);
    for (int32_t b = 0; b < j->w->windows && !rc; b++) {
        if ((rc = next(j, &p, e)) || !ranks_mine(j->w->ranks, b))
            continue;
        rc = window(j, &p, of, n, e);
        if (!rc)
            rc = gather_give(&j->gather, b, j->of_window, j->n_sums * sizeof *j->of_window, e);
        if (!rc)
            rc = wait(j, e);
    }
    if (!rc)
        rc = gather_end(&j->gather, j->w->windows, wait, j, e);
    gather_free(&j->gather);
    return rc;
}

/* Rank 0 has made the step: its masks are everybody's, each in a file of its own. */
static int masks_share(struct learning *j, struct err *e)
{
    int rc = 0;
    for (int k = 0; k < PRUNE_PARTS; k++)
        if (j->theta[k])
            rc = ranks_share(j->w->ranks, rc, j->theta[k],
                             (size_t)(j->p->n_layers * j->p->part[k].n) * sizeof **j->theta, e);
    return rc ? rc : masks_write(j, e);
}

static int step(struct learning *j, int32_t i, const struct site_ref *of, int32_t n, struct err *e)
{
    struct mask_step s = {.step = i};
    int rc = windows(j, of, n, e);
    if (rc)
        return rc;
    if (!ranks_rank(j->w->ranks))
        adam(j, i);
    s.kl = j->of_step[0];
    rc = masks_share(j, e);
    settle(j, &s);
    if (!rc && j->w->told && !ranks_rank(j->w->ranks))
        rc = j->w->told(j->w->user, &s, e);
    return ranks_share(j->w->ranks, rc, NULL, 0, e);
}

/* A window's sums and a step's. */
static int sums_room(struct learning *j, struct err *e)
{
    size_t at = 1;
    j->n_sums = 1;
    for (int k = 0; k < PRUNE_PARTS; k++)
        j->n_sums += j->theta[k] ? (size_t)(j->p->n_layers * j->p->part[k].n) : 0;
    j->of_window = calloc(j->n_sums, sizeof *j->of_window);
    j->of_step = calloc(j->n_sums, sizeof *j->of_step);
    if (!j->of_window || !j->of_step)
        return err_memory(e, "masks");
    for (int k = 0; k < PRUNE_PARTS; k++) {
        j->gradient[k] = j->theta[k] ? j->of_window + at : NULL;
        at += j->theta[k] ? (size_t)(j->p->n_layers * j->p->part[k].n) : 0;
    }
    return 0;
}

static int room(struct learning *j, struct err *e)
{
    for (int k = 0; k < PRUNE_PARTS; k++) {
        const struct pruned_part *q = &j->p->part[k];
        size_t n = (size_t)j->p->n_layers * (size_t)q->n + 1;
        if (!j->w->theta[k])
            continue;
        j->theta[k] = calloc(n, sizeof **j->theta);
        j->first[k] = calloc(n, sizeof **j->first);
        j->second[k] = calloc(n, sizeof **j->second);
        if (!j->theta[k] || !j->first[k] || !j->second[k])
            return err_memory(e, "masks");
        memcpy(j->theta[k], j->w->theta[k], (n - 1) * sizeof **j->theta);
        for (int32_t l = 0; l < j->p->n_layers; l++)
            j->count += q->there[l] ? q->n : 0;
    }
    return j->count ? sums_room(j, e)
                    : err_set(e, ERR_USAGE, "masks · of what? · neurons, dims or both");
}

int mask_learn(struct pruned *p, const struct mask_learn *w, struct err *e)
{
    struct learning j = {.w = w, .p = p};
    struct site_ref *of = calloc((size_t)p->n_layers * PRUNE_PARTS + 1, sizeof *of);
    int rc = of ? room(&j, e) : err_memory(e, "masks");
    int32_t n = rc ? 0 : sites_of(&j, of);
    rc = ranks_share(w->ranks, rc, NULL, 0, e);
    if (!rc)
        rc = masks_share(&j, e);
    if (!rc)
        rc = pair_open(&j.pair, w->m, w->cache_bytes, e);
    rc = ranks_share(w->ranks, rc, NULL, 0, e);
    for (int32_t i = 1; i <= w->steps && !rc; i++)
        rc = step(&j, i, of, n, e);
    pair_close(j.pair);
    texts_close(j.t);
    edits_close(&j);
    for (int k = 0; k < PRUNE_PARTS; k++)
        free(j.theta[k]), free(j.first[k]), free(j.second[k]);
    free(j.of_window), free(j.of_step), free(j.value), free(of);
    return rc;
}
