/* edit_target.c - names, axes and sizes that an index is read against (edit_parts.h).  Tested in
 * tests/engine/test_edit_resolve.c. */
#include "edit/edit_parts.h"

#include <stdio.h>
#include <string.h>

struct edit_target edit_target_site(const struct edit_context *ctx, struct site_ref site)
{
    struct edit_target t = {.rank = site_shape(ctx->cfg, site.id, ctx->n_pos, t.shape)};
    site_name(site, t.name);
    for (int i = 0; i < t.rank; i++) {
        t.dims[i] = site_table[site.id].dims[i];
        t.words[i] = site_dim_name(t.dims[i]);
    }
    return t;
}

struct edit_target edit_target_alias(const struct edit_context *ctx, const struct alias_pick *pick)
{
    if (pick->value.form == FORM_SITE) {
        struct edit_target t = edit_target_site(ctx, pick->value.site[0]);
        memcpy(t.name, pick->name, sizeof t.name);
        return t;
    }
    struct edit_target t = {
        .rank = alias_shape(ctx->cfg, &pick->value, ctx->n_pos, t.shape, t.words),
        .dims = {DIM_POS}};
    memcpy(t.name, pick->name, sizeof t.name);
    return t;
}

/* The axis that a selection names, or -1. */
static int axis_of(const struct config *cfg, const struct edit_target *t, enum site_dim dim)
{
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] == dim ||
            (t->dims[i] == DIM_KV_HEAD && dim == DIM_HEAD && cfg->n_kv_heads == cfg->n_heads))
            return i;
    return -1;
}

/* "pos 7, head 12, d_head 64" */
static const char *axes_text(const struct edit_target *t, char buf[120])
{
    int at = 0;
    for (int i = 0; i < t->rank; i++)
        at += snprintf(buf + at, 120 - (size_t)at, "%s%s %lld", i ? ", " : "", t->words[i],
                       (long long)t->shape[i]);
    return buf;
}

/* Which selection belongs to which axis; NULL selects all. */
static int match_axes(const struct edit_target *t, const struct edit *ed, const struct config *cfg,
                      const struct edit_sel *map[SITE_RANK_MAX], struct err *e)
{
    char axes[120];
    for (int i = 0; i < SITE_RANK_MAX; i++)
        map[i] = NULL;
    for (int i = 0; i < ed->n_sels; i++) {
        const struct edit_sel *sel = &ed->sels[i];
        int axis = sel->dim == DIM_NONE ? i : axis_of(cfg, t, sel->dim);
        if (sel->dim != DIM_NONE && axis < 0)
            return err_set(e, ERR_BAD_INPUT, "no axis %s · %s has %s", site_dim_name(sel->dim),
                           t->name, axes_text(t, axes));
        if (axis >= t->rank)
            return err_set(e, ERR_BAD_INPUT, "%d indices · %s has %s", (int)ed->n_sels, t->name,
                           axes_text(t, axes));
        if (map[axis])
            return err_set(e, ERR_BAD_INPUT, "axis %s is given twice · %s has %s",
                           site_dim_name(sel->dim), t->name, axes_text(t, axes));
        map[axis] = sel;
    }
    return 0;
}

int edit_target_axes(const struct edit_target *t, const struct edit *ed,
                     const struct edit_context *ctx, struct edit_chunk **chunks,
                     struct edit_axis axis[SITE_RANK_MAX], struct err *e)
{
    const struct edit_sel *map[SITE_RANK_MAX];
    if (match_axes(t, ed, ctx->cfg, map, e))
        return ERR_BAD_INPUT;
    for (int i = 0; i < t->rank; i++) {
        struct edit_axis_at at = {ctx,   t->name, t->dims[i], t->words[i], (int32_t)t->shape[i],
                                  chunks};
        int rc = edit_axis_resolve(&axis[i], map[i], &at, e);
        if (rc)
            return rc;
    }
    return 0;
}
