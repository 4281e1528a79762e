/* edit_alias.h - an index on an alias -> indices on the sites that it is made of; private to edit_resolve.c. */
#ifndef EDIT_ALIAS_H
#define EDIT_ALIAS_H

#include "alias.h"
#include "edit_axis.h"

/* A part of the selection: an outer product on one site. */
struct edit_part {
    struct site_ref site;
    struct edit_axis axis[SITE_RANK_MAX];
};

/* Split the selection in[pos, column] on an alias whose sites have another shape (heads joined, q, k and v
 * fused, or spread over heads) into disjoint parts.  *out is malloc'ed, lists go to the chunks; returns how many
 * (at least one) or negative when memory is out. */
int edit_alias_split(const struct config *cfg, const struct alias_value *v, const struct edit_axis in[2],
                     struct edit_chunk **chunks, struct edit_part **out, struct err *e);

#endif
