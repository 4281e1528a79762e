/* figure_kinds.h - one function for each row of want.def: session-internal.
 * Tested in tests/engine/test_session.c. */
#ifndef FIGURE_KINDS_H
#define FIGURE_KINDS_H

#include "session/session.h"

/* Whose elements are computed. */
struct figure_ask {
    struct pair *pair;
    struct run *run; /* of the face */
    enum face face;
};

/* One element to compute.  Those of one call are of one kind and differ in site and row alone;
 * there are at most as many as the row's `piece`. */
struct figure_unit {
    const struct want *want;
    int32_t row;
    void *to;         /* elements of neighbouring rows of a want lie one after the other */
    const void *base; /* the base's element if this is the edited face's; NULL: not there */
};

#define WANT(id, per, piece, function, bytes, what) \
    int function(const struct figure_ask *a, const struct figure_unit *u, int32_t n, struct err *e);
#include "session/want.def"

#endif
