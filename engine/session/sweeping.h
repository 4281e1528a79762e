/* sweeping.h - a sweep that goes on while its map is looked at: session-internal but for what is
 * asked and the map.
 *
 * The worker computes it between requests, some cells at a time, and shows what is there; a newer
 * request goes first and the sweep goes on after.  It is of the prompt and the edits of the request
 * that began it, whatever changes later.  Tested in tests/engine/test_session.c and
 * tests/engine/test_sweeping.c. */
#ifndef SWEEPING_H
#define SWEEPING_H

#include <stdatomic.h>

#include "measure/sweep.h"

/* What to sweep, as sweep_want has it.  "" is its default. */
struct session_sweep {
    uint64_t id; /* another number is another sweep */
    bool paused; /* keep what is there, compute no more */
    enum token_align align;
    char kind[32], with[96], metric[3 * LIMIT_NAME];
    char over[2][32]; /* "layer=3" */
    int32_t cell;     /* whose edits the map tells */
};

/* What is there of it: immutable and counted. */
struct sweep_map {
    atomic_int refs;
    struct session_sweep of;
    int32_t n_axes;
    struct sweep_map_axis {
        char name[SWEEP_NAME];
        enum sweep_role role;
        int32_t size;
    } axis[SWEEP_AXES_MAX];
    int32_t cells, done;
    int64_t time_us; /* that computing took so far */
    double base;
    struct err err; /* code != 0: it ended here, and why */
    float *guess;   /* [cells] changes by attribution, NaN where there is none; or NULL */
    bool *has;      /* [cells]; also false for what does not exist */
    float *value;
    int32_t cell; /* this cell's edits as text, "" where there are none */
    char text[LIMIT_EDIT_TEXT];
};

/* References of the caller's own; NULL stays NULL. */
void sweep_map_release(const struct sweep_map *m);
const struct sweep_map *sweep_map_hold(const struct sweep_map *m);

/* The worker's. */
struct sweeping;
struct session_want;

int sweeping_open(struct sweeping **out, const struct model *m, size_t cache_bytes, struct err *e);
void sweeping_close(struct sweeping *w);
/* Take what a request says: begin, go on, pause, forget; where only the metric is another one, keep
 * what was computed.  What does not fit is told by the map. */
void sweeping_ask(struct sweeping *w, const struct session_want *want);
/* Is there something left to compute? */
bool sweeping_waits(const struct sweeping *w);
/* Compute on, the likely cells first, as attribution has them; `fn` after that and after each
 * value: not 0 from it stops.  Errors but ERR_CANCELLED end the sweep and are told by the map. */
int sweeping_step(struct sweeping *w, sweep_fn *fn, void *user);
/* Why it ended, "" where it did not. */
const char *sweeping_error(const struct sweeping *w);
/* What is there now, with a reference of the caller's; NULL: no sweep, or memory is out. */
const struct sweep_map *sweeping_map(const struct sweeping *w);

#endif
