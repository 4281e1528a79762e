/* figure_kinds.h - one function for each row of want.def: session-internal.
 * Tested in tests/engine/test_session.c. */
#ifndef FIGURE_KINDS_H
#define FIGURE_KINDS_H

#include "session/session.h"

/* One element to compute. */
struct figure_unit {
    const struct want *want;
    int32_t row;
    void *to;         /* elements of neighbouring rows of a want lie one after the other */
    const void *base; /* the base's element if this is the edited face's; NULL: not there */
};

/* Elements of one face to compute: of one kind, they differ in site and row alone. */
struct figure_ask {
    struct pair *pair;
    struct run *run; /* of the face */
    enum face face;
    const struct figure_unit *unit;
    int32_t n; /* 1 .. the kind's `piece` */
};

#define WANT(id, per, piece, function, bytes, fits, what) \
    int function(const struct figure_ask *a, struct err *e);
#include "session/want.def"

#endif
