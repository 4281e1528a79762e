/* edit_axis.h - what one selection means on one axis of one hook; private to edit_resolve.c, edit_alias.c. */
#ifndef EDIT_AXIS_H
#define EDIT_AXIS_H

#include "edit_form.h"

struct edit_chunk;

/* Memory that lives as long as the chunk list; NULL when there is none left. */
void *edit_chunk_alloc(struct edit_chunk **chunks, size_t bytes);

/* The i-th value of a resolved axis; its least and its greatest. */
static inline int32_t edit_axis_value(const struct edit_axis *a, int32_t i)
{
    return a->list ? a->list[i] : a->lo + i;
}

static inline int32_t edit_axis_min(const struct edit_axis *a)
{
    return edit_axis_value(a, 0);
}

static inline int32_t edit_axis_max(const struct edit_axis *a)
{
    return edit_axis_value(a, a->n - 1);
}

struct edit_axis_at {
    const struct edit_context *ctx;
    const char *name;   /* of the hook, for messages */
    enum site_dim dim;  /* DIM_NONE: heads joined into columns */
    const char *word;   /* what the axis is called */
    int32_t size;       /* of the axis, >= 1 */
    struct edit_chunk **chunks;
};

/* The values that `sel` (NULL = all) selects, ascending without repeats, at least one.  Lists go to the
 * chunks.  A single index or an end of a {a..b} outside the axis, an empty selection, and a token that
 * is not in the prompt are errors; the ends of a range a:b are clipped to the axis. */
int edit_axis_resolve(struct edit_axis *out, const struct edit_sel *sel, const struct edit_axis_at *at, struct err *e);

#endif
