/* edit_target.h - what an edit's index is read against: a name, axes, sizes; private to edit_resolve.c, edit_weight.c. */
#ifndef EDIT_TARGET_H
#define EDIT_TARGET_H

#include "alias.h"
#include "edit_axis.h"

/* The axes of a site, of a weight, or of an alias that has others than its sites. */
struct edit_target {
    char name[LIMIT_NAME];
    int rank;
    enum site_dim dims[SITE_RANK_MAX]; /* DIM_NONE: heads joined, an axis without a name */
    const char *words[SITE_RANK_MAX];
    int64_t shape[SITE_RANK_MAX];
};

struct edit_target edit_target_site(const struct edit_context *ctx, struct site_ref site);
struct edit_target edit_target_alias(const struct edit_context *ctx, const struct alias_pick *pick);
/* The values that each axis selects; lists go to the chunks. */
int edit_target_axes(const struct edit_target *t, const struct edit *ed, const struct edit_context *ctx, struct edit_chunk **chunks,
                     struct edit_axis axis[SITE_RANK_MAX], struct err *e);

#endif
