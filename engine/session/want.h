/* want.h - what a view wants to see, as data: one list of wants over one cache of figures.
 *
 * A view appends wants and finds their elements by the same wants in the answer (session.h); a new
 * quantity is a row of want.def with its function.  Tested in tests/engine/test_session.c. */
#ifndef WANT_H
#define WANT_H

#include "measure/attribute.h"
#include "measure/check.h"
#include "measure/heads.h"
#include "measure/lens.h"
#include "measure/neurons.h"
#include "measure/nonfinite.h"

enum want_kind {
#define WANT(id, per, piece, function, bytes, fits, what) WANT_##id,
#include "session/want.def"
    WANT_COUNT
};

/* All but the rows is the key of a figure; fields that a kind does not use stay as want_make leaves
 * them. */
struct want {
    enum want_kind kind;
    struct site_ref site; /* CELL, BEST, PICK, KL_FINAL, COSINE: run_lens_site's */
    /* BEST, HEAD_SAYS: tokens, NEURONS, LAYER_NEURONS: neurons, up to LENS_TOP_MAX; THUMBS: side,
     * up to HEADS_SMALL_MAX; of what there is; DIRECT: an enum attribute_part; SLOPE:
     * layer * n_heads + head; CHECK: an identity */
    int32_t k;
    /* SLOPE: the destination; DIRECT: 1: heads and neurons too are all told, in their order */
    int32_t pos;
    int32_t id[2];        /* tokens; -1 = none */
    int32_t head0, head1; /* of sites with heads: [head0, head1), head1 0 = all */
    int32_t row0, row1;
};

/* Rows [row0, row1) of a site. */
static inline struct want want_make(enum want_kind kind, struct site_ref site, int32_t row0,
                                    int32_t row1)
{
    return (struct want){.kind = kind, .site = site, .id = {-1, -1}, .row0 = row0, .row1 = row1};
}
/* What a site stands for as a whole, or at the last position. */
static inline struct want want_whole(enum want_kind kind, struct site_ref site)
{
    return want_make(kind, site, 0, 1);
}
/* A lens cell of one row. */
struct want_cell {
    struct lens_cell cell;
    struct lens_top top; /* its best token */
};
/* The i-th best token of a face, and what the faces say of it and of the base's i-th best. */
struct want_best {
    int32_t id;
    float logit;
    float base;    /* the base's logit of id */
    float of_base; /* this face's logit of the base's i-th best */
};

/* Direct effects on logit id[0], less that of id[1] (>= 0), at the position that answers. */
struct want_direct {
    double metric, constant, sum; /* as struct attribution has them */
    int32_t n;                    /* want_shares */
    struct want_share {
        int32_t index; /* into the values of the attribution */
        float value;
    } share[]; /* layers and positions in their order, heads and neurons largest first in the base
                */
};
/* How many of a part are told: all, of heads and neurons at most so many. */
enum { WANT_SHARES_MAX = 256 };
int32_t want_shares(const struct config *cfg, const struct want *w, int32_t n);

/* The same but for the rows? */
bool want_same(const struct want *a, const struct want *b);
/* Less than, equal to or greater than 0, by all but the rows. */
int want_order(const struct want *a, const struct want *b);
bool want_is_whole(enum want_kind kind);
/* Heads that a want takes of its site, 1 where it has none; floats of one row of them: [heads][d]
 * or, of attention scores and patterns, [heads][src]. */
size_t want_heads(const struct config *cfg, const struct want *w);
size_t want_floats(const struct config *cfg, const struct want *w, int32_t n);
/* Bytes of one element. */
size_t want_bytes(const struct config *cfg, const struct want *w, int32_t n);
/* Cut to what a prompt of n tokens has; false: nothing is left, or this model has no such thing. */
bool want_fit(const struct config *cfg, struct want *w, int32_t n);

/* A list that grows.  {0} is empty; freed with want_list_free. */
struct want_list {
    struct want *item;
    int32_t n;
    bool failed; /* memory was out: something is missing */
};
void want_add(struct want_list *l, struct want w);
void want_list_free(struct want_list *l);

#endif
