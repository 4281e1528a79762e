/* prune.c - see prune.h. */
#include "lab/prune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "model/tensor_write.h"

const enum site_id prune_sites[PRUNE_PARTS] = {SITE_POST, SITE_Z};

int pruned_init(struct pruned *p, const struct config *cfg, struct err *e)
{
    *p = (struct pruned){.n_layers = cfg->n_layers};
    for (int k = 0; k < PRUNE_PARTS; k++) {
        struct pruned_part *q = &p->part[k];
        if (!site_exists(cfg, prune_sites[k]))
            continue;
        q->n = site_row_size(cfg, prune_sites[k], 1);
        q->group = k == PRUNE_DIMS ? cfg->d_head : 1;
        q->gone = calloc((size_t)cfg->n_layers * (size_t)q->n + 1, sizeof *q->gone);
        q->there = calloc((size_t)cfg->n_layers + 1, sizeof *q->there);
        if (!q->gone || !q->there)
            return err_memory(e, "what is pruned");
        for (int32_t l = 0; l < cfg->n_layers; l++)
            q->there[l] = site_is_there(cfg, (struct site_ref){prune_sites[k], l});
    }
    return 0;
}

void pruned_free(struct pruned *p)
{
    for (int k = 0; k < PRUNE_PARTS; k++)
        free(p->part[k].gone), free(p->part[k].there);
    *p = (struct pruned){0};
}

void pruned_clear(struct pruned *p)
{
    for (int k = 0; k < PRUNE_PARTS; k++) {
        struct pruned_part *q = &p->part[k];
        if (q->gone)
            memset(q->gone, 0, (size_t)p->n_layers * (size_t)q->n * sizeof *q->gone);
        q->count = 0;
    }
}

int64_t pruned_in(const struct pruned_part *p, int32_t layer)
{
    int64_t count = 0;
    for (int64_t i = 0; p->gone && i < p->n; i++)
        count += p->gone[layer * p->n + i];
    return count;
}

/* ---- choosing ---- */

static bool is_gone(const struct pruned_part *p, int64_t unit, int32_t size)
{
    for (int32_t i = 0; i < size; i++)
        if (!p->gone[unit * size + i])
            return false;
    return true;
}

static void take_away(struct pruned_part *p, int64_t unit, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        p->count += !p->gone[unit * size + i];
        p->gone[unit * size + i] = true;
    }
}

int prune_choose(struct pruned *p, const struct scores *s, double share, bool per_layer,
                 int64_t each, struct prune_choice *out, struct err *e)
{
    struct pruned_part *q = &p->part[s->unit == SCORE_NEURONS ? PRUNE_NEURONS : PRUNE_DIMS];
    int32_t size = s->unit == SCORE_HEADS ? q->group : 1;
    int64_t all = s->n_layers * s->n, most = (int64_t)(share * (double)(per_layer ? s->n : all));
    most -= most % each;
    int64_t *order = malloc(((size_t)all + 1) * sizeof *order),
            *left = malloc(((size_t)s->n_layers + 1) * sizeof *left);
    int rc = order && left ? scores_rank(s, order, e) : err_memory(e, "scores");
    struct prune_choice c = {.unit = s->unit, .threshold = NAN};
    if (!rc && most < 1)
        rc = err_set(e, ERR_BAD_INPUT, "--%s %g · that is none of %lld%s · the least share is %.3g",
                     score_unit_names[s->unit], share, (long long)(per_layer ? s->n : all),
                     per_layer ? " of a layer" : "",
                     (double)each / (double)(per_layer ? s->n : all));
    for (int32_t l = 0; !rc && l < s->n_layers; l++)
        left[l] = most;
    for (int64_t i = 0; !rc && i < all && !isnan(s->value[order[i]]); i++) {
        int64_t *room = per_layer ? &left[order[i] / s->n] : &left[0];
        if (!*room || is_gone(q, order[i], size))
            continue;
        --*room;
        take_away(q, order[i], size);
        c.units++, c.threshold = s->value[order[i]];
    }
    free(order), free(left);
    if (!rc)
        *out = c;
    return rc;
}

/* ---- edits ---- */

struct writing {
    char **text;
    int32_t n;
    const char *value;
    char line[LIMIT_EDIT_TEXT], head[LIMIT_NAME + 32];
    size_t used, room; /* room: what a set may take of the line */
    struct err *e;
};

static int line_end(struct writing *w)
{
    if (!w->used)
        return 0;
    if (w->n == LIMIT_EDITS)
        return err_set(w->e, ERR_BAD_INPUT, "more than %d edits · take away fewer at once",
                       LIMIT_EDITS);
    size_t at = strlen(w->line);
    snprintf(w->line + at, sizeof w->line - at, "}] = %s", w->value);
    char *own = malloc(strlen(w->line) + 1);
    if (!own || !list_room(&w->text, (size_t)w->n, sizeof *w->text)) {
        free(own);
        return err_memory(w->e, "edits");
    }
    memcpy(own, w->line, strlen(w->line) + 1);
    w->text[w->n++] = own;
    w->used = 0;
    return 0;
}

/* Elements [a, b] more of the axis that the head of the line ends before. */
static int line_add(struct writing *w, int64_t a, int64_t b)
{
    char span[64];
    int n = a == b ? snprintf(span, sizeof span, "%lld", (long long)a)
                   : snprintf(span, sizeof span, "%lld..%lld", (long long)a, (long long)b);
    if (w->used && w->used + (size_t)n + 1 > w->room) {
        int rc = line_end(w);
        if (rc)
            return rc;
    }
    if (!w->used)
        w->used = (size_t)snprintf(w->line, sizeof w->line, "%s{", w->head);
    else
        w->used += (size_t)snprintf(w->line + w->used, sizeof w->line - w->used, ",");
    w->used += (size_t)snprintf(w->line + w->used, sizeof w->line - w->used, "%s", span);
    return 0;
}

/* Those of gone[n], every `step` of them one, for which all are gone (whole) or as they are. */
static int line_set(struct writing *w, const bool *gone, int64_t n, int32_t step)
{
    int rc = 0;
    const struct pruned_part p = {.gone = (bool *)(uintptr_t)gone};
    for (int64_t i = 0; i < n && !rc; i++) {
        int64_t first = i;
        while (i < n && is_gone(&p, i, step))
            i++;
        if (i > first)
            rc = line_add(w, first, i - 1);
    }
    return rc ? rc : line_end(w);
}

static bool any_gone(const bool *gone, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (gone[i])
            return true;
    return false;
}

static int layer_edits(struct writing *w, const struct pruned_part *q, int k, int32_t l)
{
    char hook[LIMIT_NAME];
    const bool *gone = q->gone + l * q->n;
    site_name((struct site_ref){prune_sites[k], l}, hook);
    snprintf(w->head, sizeof w->head, "%s[:, ", hook);
    int rc = line_set(w, gone, q->n / q->group, q->group); /* heads, or neurons */
    for (int64_t h = 0; q->group > 1 && h < q->n / q->group && !rc; h++) {
        const bool *of = gone + h * q->group;
        if (is_gone(&(struct pruned_part){.gone = (bool *)(uintptr_t)of}, 0, q->group) ||
            !any_gone(of, q->group))
            continue;
        snprintf(w->head, sizeof w->head, "%s[:, %d, ", hook, (int)h);
        rc = line_set(w, of, q->group, 1);
    }
    return rc;
}

int prune_edits(const struct pruned *p, const char *value, char ***texts, int32_t *n, struct err *e)
{
    struct writing *w = calloc(1, sizeof *w);
    int rc = w ? 0 : err_memory(e, "edits");
    if (rc)
        return rc;
    w->value = value, w->e = e;
    w->room = sizeof w->line - strlen(value) - 16;
    for (int k = 0; k < PRUNE_PARTS; k++)
        for (int32_t l = 0; l < p->n_layers && p->part[k].count && !rc; l++)
            rc = layer_edits(w, &p->part[k], k, l);
    if (rc)
        prune_edits_free(w->text, w->n);
    else
        *texts = w->text, *n = w->n;
    free(w);
    return rc;
}

void prune_edits_free(char **texts, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        free(texts[i]);
    free(texts);
}

/* ---- masks ---- */

char *prune_mask_name(enum prune_part k, int32_t layer, char buf[64])
{
    snprintf(buf, 64, "mask.layer_%d_%s", (int)layer,
             k == PRUNE_NEURONS ? "mlp_pre_out" : "attn_pre_out");
    return buf;
}

int prune_masks_write(const struct pruned *p, const struct prune_masks *masks, const char *fn,
                      const char *path, struct err *e)
{
    const struct tensor_meta meta[] = {{"mask_fn", fn}};
    size_t most = (size_t)p->n_layers * PRUNE_PARTS * 2, n = 0;
    struct tensor_out *t = calloc(most + 1, sizeof *t);
    char(*name)[80] = calloc(most + 1, sizeof *name), buf[64];
    int rc = t && name ? 0 : err_memory(e, "%s", path);
    for (size_t i = 0; !rc && i < most; i++) {
        int k = (int)(i / 2 % PRUNE_PARTS);
        const struct pruned_part *q = &p->part[k];
        int32_t l = (int32_t)(i / 2 / PRUNE_PARTS);
        const float *data = i % 2 ? masks->offset[k] : masks->param[k];
        if (!data || !q->there[l])
            continue;
        snprintf(name[n], sizeof *name, "%s.%s", prune_mask_name((enum prune_part)k, l, buf),
                 i % 2 ? "offset" : "param");
        t[n] = (struct tensor_out){
            .name = name[n], .dtype = ST_F32, .rank = 1, .shape = {q->n}, .data = data + l * q->n};
        if (k == PRUNE_DIMS)
            t[n].rank = 2, t[n].shape[0] = q->n / q->group, t[n].shape[1] = q->group;
        n++;
    }
    if (!rc)
        rc = tensor_write(path, t, n, meta, 1, e);
    free(t), free(name);
    return rc;
}

int prune_write(const struct pruned *p, const float *const put[PRUNE_PARTS], const char *path,
                struct err *e)
{
    struct prune_masks masks = {{NULL}, {NULL}};
    float *param[PRUNE_PARTS] = {NULL}, *offset[PRUNE_PARTS] = {NULL};
    int rc = 0;
    for (int k = 0; k < PRUNE_PARTS && !rc; k++) {
        const struct pruned_part *q = &p->part[k];
        size_t all = (size_t)p->n_layers * (size_t)q->n;
        if (!q->count)
            continue;
        param[k] = malloc((all + 1) * sizeof **param);
        offset[k] = calloc(all + 1, sizeof **offset);
        if (!param[k] || !offset[k])
            rc = err_memory(e, "%s", path);
        for (size_t i = 0; i < all && !rc; i++) {
            param[k][i] = q->gone[i] ? 0 : 1;
            offset[k][i] = q->gone[i] && put[k] ? put[k][i] : 0;
        }
        masks.param[k] = param[k], masks.offset[k] = put[k] ? offset[k] : NULL;
    }
    if (!rc)
        rc = prune_masks_write(p, &masks, "step", path, e);
    for (int k = 0; k < PRUNE_PARTS; k++)
        free(param[k]), free(offset[k]);
    return rc;
}
