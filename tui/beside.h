/* beside.h - questions beside the main one (session.h: sides): what the edits do one by one, the
 * continuations, the other prompt.
 *
 * Collected when the application asks, and handed to whoever asked when they are answered.  Tested
 * in tests/tui/test_generate_view.c, test_compare.c. */
#ifndef BESIDE_H
#define BESIDE_H

#include "session/session.h"

struct app;

enum { BESIDE_MAX = 24 };

enum beside_kind { BESIDE_EFFECT, BESIDE_CLEAN, BESIDE_EDITED, BESIDE_OTHER };

/* Lanes: continuations each keep their runs, and so does the other prompt. */
enum { LANE_CLEAN, LANE_EDITED, LANE_OTHER, LANE_EFFECT };

/* The questions of a request; everything they point to lives until the next one. */
struct beside {
    struct session_want side[BESIDE_MAX];
    struct want_list wants[BESIDE_MAX];
    struct {
        enum beside_kind kind;
        int index; /* of the edit that is off */
    } what[BESIDE_MAX];
    bool *on[BESIDE_MAX]; /* [n_edits] or NULL */
    int n;
    uint64_t key; /* of all that is asked: another one is another question */
};

/* A question like the main one `w`; NULL: no more of them fit.  `on` (may be NULL, then as the main
 * one's) is taken over. */
struct session_want *beside_add(struct beside *b, const struct session_want *w,
                                enum beside_kind kind, int index, bool *on);
/* To the last question that was added. */
void beside_also(struct beside *b, struct want want);
void beside_free(struct beside *b);

/* Collect all of the application's into a->beside and into *w. */
void beside_ask(struct app *a, struct session_want *w);
/* Hand out the answers of a snapshot of the newest request. */
void beside_take(struct app *a, const struct snapshot *s);

#endif
