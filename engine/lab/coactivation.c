/* coactivation.c - see coactivation.h. */
#include "lab/coactivation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edit/edit_parts.h"

int coactivation_alloc(struct coactivation *c, int32_t n, struct err *e)
{
    size_t pairs = (size_t)n * (size_t)n;
    *c = (struct coactivation){.n = n,
                               .of = calloc((size_t)n + 1, sizeof *c->of),
                               .count = calloc(pairs + 1, sizeof *c->count),
                               .product = calloc(pairs + 1, sizeof *c->product),
                               .mean = calloc((size_t)n + 1, sizeof *c->mean)};
    return c->of && c->count && c->product && c->mean ? 0 : err_memory(e, "coactivation");
}

void coactivation_free(struct coactivation *c)
{
    free(c->of), free(c->count), free(c->product), free(c->mean);
    *c = (struct coactivation){0};
}

bool coactivation_alike(const struct coactivation *a, const struct coactivation *b)
{
    bool same = a->n == b->n;
    for (int32_t i = 0; i < a->n && same; i++)
        same = !strcmp(a->of[i].name, b->of[i].name);
    return same;
}

/* ---- choosing ---- */

static int choose(struct chosen *list, int32_t *n, struct site_ref s, int rank, const int64_t *at,
                  const int64_t *shape, struct err *e)
{
    char site[LIMIT_NAME];
    if (*n == COACTIVATION_MAX)
        return err_set(e, ERR_BAD_INPUT, "coactivation · more than %d elements · choose fewer",
                       COACTIVATION_MAX);
    struct chosen *x = &list[(*n)++];
    x->site = s;
    x->element = rank == 3 ? at[0] * shape[2] + at[1] : at[0];
    if (rank == 3)
        snprintf(x->name, sizeof x->name, "%s[:, %d, %d]", site_name(s, site), (int)at[0],
                 (int)at[1]);
    else
        snprintf(x->name, sizeof x->name, "%s[:, %d]", site_name(s, site), (int)at[0]);
    return 0;
}

static int choose_instr(struct chosen *list, int32_t *n, const struct config *cfg,
                        const struct edit_instr *a, struct err *e)
{
    int64_t shape[SITE_RANK_MAX], at[2];
    char site[LIMIT_NAME];
    if (site_is_attention(a->site.id) || site_holds_ids(a->site.id) || a->rank < 2)
        return err_set(e, ERR_BAD_INPUT, "coactivation · %s has no neurons",
                       site_name(a->site, site));
    site_shape(cfg, a->site.id, 1, shape);
    int rc = 0;
    for (int32_t i = 0; i < a->axis[1].n && !rc; i++)
        for (int32_t k = 0; k < (a->rank == 3 ? a->axis[2].n : 1) && !rc; k++) {
            at[0] = edit_axis_value(&a->axis[1], i);
            at[1] = a->rank == 3 ? edit_axis_value(&a->axis[2], k) : 0;
            rc = choose(list, n, a->site, a->rank, at, shape, e);
        }
    return rc;
}

/* An index means what it means in an edit: the text becomes one, is resolved, and dropped. */
static int choose_text(struct chosen *list, int32_t *n, const struct config *cfg, const char *text,
                       struct err *e)
{
    char line[LIMIT_EDIT_TEXT];
    struct edit *ed = NULL;
    struct edit_program *p = NULL;
    const struct edit_context ctx = {.cfg = cfg, .n_pos = 1};
    int k = snprintf(line, sizeof line, "%s = 0", text);
    int rc = k < (int)sizeof line ? edit_parse(&ed, line, e)
                                  : err_set(e, ERR_BAD_INPUT, "the text is too long");
    if (!rc)
        rc = edit_resolve(&p, &ed, NULL, 1, &ctx, e);
    if (rc)
        err_prefix(e, "coactivation of %.100s", text);
    for (int32_t i = 0; !rc && i < p->n_instrs; i++)
        rc = choose_instr(list, n, cfg, &p->instrs[i], e);
    edit_program_free(p);
    edit_free(ed);
    return rc;
}

int coactivation_choose(struct coactivation *c, const struct config *cfg, const char *const *texts,
                        int n, struct err *e)
{
    struct chosen *list = calloc(COACTIVATION_MAX, sizeof *list);
    int32_t count = 0;
    *c = (struct coactivation){0};
    int rc = list ? 0 : err_memory(e, "coactivation");
    for (int i = 0; i < n && !rc; i++)
        rc = choose_text(list, &count, cfg, texts[i], e);
    if (!rc && count && !(rc = coactivation_alloc(c, count, e)))
        memcpy(c->of, list, (size_t)count * sizeof *list);
    free(list);
    return rc;
}

/* ---- adding ---- */

void coactivation_take(const struct coactivation *c, struct site_ref s, const struct kn_view *v,
                       const int32_t *row, int32_t n, float *x)
{
    for (int32_t i = 0; i < c->n; i++) {
        int64_t at = c->of[i].element;
        if (!site_same(c->of[i].site, s))
            continue;
        at = v->ndim == 3 ? at / v->shape[2] * v->stride[1] + at % v->shape[2] * v->stride[2]
                          : at * v->stride[1];
        for (int32_t r = 0; r < n; r++)
            x[(int64_t)r * c->n + i] = kn_f32(v)[row[r] * v->stride[0] + at];
    }
}

void coactivation_add(struct coactivation *c, const float *x, int32_t n)
{
    for (const float *end = x + (int64_t)n * c->n; x < end; x += c->n) {
        bool finite = true;
        for (int32_t i = 0; i < c->n; i++)
            finite = finite && isfinite(x[i]);
        if (!finite)
            continue;
        double share = 1 / (double)++c->tokens;
        for (int32_t i = 0; i < c->n; i++) {
            double *product = c->product + (int64_t)i * c->n;
            int64_t *count = c->count + (int64_t)i * c->n;
            c->mean[i] += ((double)x[i] - c->mean[i]) * share;
            for (int32_t k = 0; k < c->n; k++) {
                product[k] += ((double)x[i] * (double)x[k] - product[k]) * share;
                count[k] += x[i] > 0 && x[k] > 0;
            }
        }
    }
}

void coactivation_merge(struct coactivation *to, const struct coactivation *from)
{
    int64_t pairs = (int64_t)to->n * to->n;
    if (!from->tokens)
        return;
    double share = (double)from->tokens / (double)(to->tokens + from->tokens);
    for (int64_t i = 0; i < pairs; i++) {
        to->product[i] += (from->product[i] - to->product[i]) * share;
        to->count[i] += from->count[i];
    }
    for (int32_t i = 0; i < to->n; i++)
        to->mean[i] += (from->mean[i] - to->mean[i]) * share;
    to->tokens += from->tokens;
}
