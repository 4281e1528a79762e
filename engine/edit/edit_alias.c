/* edit_alias.c - an index on an alias as indices on its sites (edit_parts.h).
 *
 * Columns of joined heads need not be an outer product of heads and elements.  Heads that have the
 * same elements selected go together, so that whole heads, and ranges within one head, stay one
 * part.  Tested in tests/engine/test_alias_edit.c. */
#include "edit/edit_parts.h"

#include <stdlib.h>
#include <string.h>

/* The set flags as an axis; a list only where they have gaps. */
static int axis_of_flags(const bool *flags, int32_t size, struct edit_chunk **chunks,
                         struct edit_axis *out)
{
    int32_t first = -1, last = -1, n = 0;
    for (int32_t i = 0; i < size; i++)
        if (flags[i]) {
            first = n ? first : i;
            last = i;
            n++;
        }
    *out = (struct edit_axis){first, n, NULL};
    if (last - first + 1 == n)
        return 0;
    int32_t *list = edit_chunk_alloc(chunks, (size_t)n * sizeof *list), *p = list;
    if (!list)
        return -1;
    for (int32_t i = first; i <= last; i++)
        if (flags[i])
            *p++ = i;
    out->list = list;
    return 0;
}

static int split_spread(const struct alias_value *v, const struct edit_axis in[2],
                        const int32_t *heads, struct edit_part *out)
{
    for (int i = 0; i < v->n_edits; i++)
        if (site_table[v->edit[i].id].rank == 3)
            out[i] = (struct edit_part){v->edit[i], {in[0], {0, heads[i], NULL}, in[1]}};
        else
            out[i] = (struct edit_part){v->edit[i], {in[0], in[1]}};
    return v->n_edits;
}

/* Any slot: which one goes to the expert is known when it runs. */
static int split_slots(const struct config *cfg, const struct alias_value *v,
                       const struct edit_axis in[2], struct edit_part *out)
{
    *out = (struct edit_part){v->edit[0], {in[0], {0, cfg->n_active, NULL}, in[1]}};
    return 1;
}

/* The heads of one site, flags[head][d], as parts; returns how many or -1. */
static int split_heads(struct site_ref site, bool *flags, bool *together, int32_t n_heads,
                       int32_t d_head, const struct edit_axis *rows, struct edit_chunk **chunks,
                       struct edit_part *out)
{
    int n = 0;
    for (int32_t h = 0; h < n_heads; h++) {
        bool *mine = flags + (int64_t)h * d_head;
        if (!memchr(mine, true, (size_t)d_head))
            continue;
        memset(together, 0, (size_t)n_heads);
        together[h] = true;
        for (int32_t k = h + 1; k < n_heads; k++) {
            bool *other = flags + (int64_t)k * d_head;
            if (memcmp(mine, other, (size_t)d_head) == 0) {
                together[k] = true;
                memset(other, 0, (size_t)d_head); /* taken */
            }
        }
        struct edit_part *part = &out[n++];
        part->site = site;
        part->axis[0] = *rows;
        if (axis_of_flags(together, n_heads, chunks, &part->axis[1]) ||
            axis_of_flags(mine, d_head, chunks, &part->axis[2]))
            return -1;
    }
    return n;
}

/* The selected columns of joined heads: one flag for each element of a head of each site. */
static int split_columns(const struct config *cfg, const struct alias_value *v,
                         const struct edit_axis in[2], const int32_t *heads,
                         struct edit_chunk **chunks, struct edit_part *out)
{
    int64_t begin[ALIAS_SITES_MAX + 1] = {0}, most = 0;
    bool flat = v->form == FORM_PAIR; /* no heads: as one */
    for (int s = 0; s < v->n_edits; s++) {
        begin[s + 1] = begin[s] + (int64_t)heads[s] * (flat ? 1 : cfg->d_head);
        most = heads[s] > most ? heads[s] : most;
    }
    bool *flags = calloc((size_t)(begin[v->n_edits] + most), sizeof *flags);
    int n = flags ? 0 : -1;
    for (int32_t i = 0; i < in[1].n && flags; i++) {
        struct alias_at at = alias_map_index(cfg, v, edit_axis_value(&in[1], i));
        flags[begin[at.part] + (int64_t)at.head * cfg->d_head + at.d] = true;
    }
    for (int s = 0; s < v->n_edits && n >= 0; s++) {
        int k = split_heads(v->edit[s], flags + begin[s], flags + begin[v->n_edits],
                            flat ? 1 : heads[s], flat ? heads[s] : cfg->d_head, &in[0], chunks,
                            out + n);
        if (flat && k > 0)
            out[n].axis[1] = out[n].axis[2], out[n].axis[2] = (struct edit_axis){0};
        n = k < 0 ? -1 : n + k;
    }
    free(flags);
    return n;
}

int edit_alias_split(const struct config *cfg, const struct alias_value *v,
                     const struct edit_axis in[2], struct edit_chunk **chunks,
                     struct edit_part **out, struct err *e)
{
    int32_t heads[ALIAS_SITES_MAX], most = 1;
    for (int s = 0; s < v->n_edits; s++) {
        int64_t shape[SITE_RANK_MAX];
        site_shape(cfg, v->edit[s].id, 1, shape);
        heads[s] = (int32_t)shape[1];
        most += heads[s];
    }
    struct edit_part *parts = malloc((size_t)most * sizeof *parts);
    int n = !parts                   ? -1
            : v->form == FORM_EXPERT ? split_slots(cfg, v, in, parts)
            : v->spread              ? split_spread(v, in, heads, parts)
                                     : split_columns(cfg, v, in, heads, chunks, parts);
    if (n < 0) {
        free(parts);
        return err_memory(e, "edits");
    }
    *out = parts;
    return n;
}
