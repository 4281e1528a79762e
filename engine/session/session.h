/* session.h - the worker thread between an interface and the runs.
 *
 * The interface says what it wants to see (a target and the data its views need); the worker syncs
 * the runs and publishes immutable snapshots.  Every request has a generation: a newer one cancels
 * the older between a kernel's chunks, and the newest snapshot wins.  Whatever is quick and on
 * screen is published first; a snapshot is `complete` when all that was asked for is in it.
 *
 * session_request, session_latest and snapshot_release may be called from the interface thread
 * only; none of them waits for the engine.  Tested in tests/engine/test_session.c. */
#ifndef SESSION_H
#define SESSION_H

#include <stdatomic.h>

#include "run/pair.h"
#include "session/sweeping.h"
#include "session/want.h"

struct session;

/* Something to do on the worker before it computes, such as reading a file.  The interface keeps it
 * until it is done or the session is closed, and every request until then carries it. */
struct session_task {
    int (*run)(struct session_task *t, struct err *e);
    struct err err;   /* once it is done: what run said */
    atomic_bool done; /* set before the next answer, which may be that of a newer request */
};

/* What to compute and what to show.  Everything but the task is copied by session_request. */
struct session_want {
    struct pair_target target;
    const struct want *wants; /* within a kind, what is wanted first first */
    int32_t n_wants;
    struct session_task *task;         /* NULL = none */
    const struct session_sweep *sweep; /* what to compute when all else is there; NULL = none */
    /* Further questions, answered after this one in their order: other prompts, other edits, the
     * same of another model.  They have no task, sweep or sides of their own. */
    const struct session_want *sides;
    int32_t n_sides;
    int32_t lane; /* of a side: those of one lane share runs, and what two lanes computed is kept */
    const struct model *model; /* of a side: another model, of the session's shape and on its
                                  device, which outlives the session; NULL: the session's */
};

enum { SESSION_LANES = 4 };

struct snapshot {
    uint64_t generation;
    bool complete;
    struct err err; /* code != 0: the request failed (a bad edit, say); the rest is empty */
    int32_t n;      /* tokens */
    const struct want *wants; /* what was asked for, cut to what there is */
    int32_t n_wants;
    const struct edit_program *program;  /* the edits that are on, resolved; NULL = none */
    bool edited;                         /* the edited face is there */
    int64_t time_us;                     /* of the last sync of the run on show */
    double share;                        /* share of the blocks x rows that it computed */
    const struct sweep_map *sweep;       /* what is there of the sweep; NULL: none */
    bool sweeping;                       /* more of it follows, in further snapshots */
    const struct snapshot *const *sides; /* [n_sides] answers so far; one that failed has its err */
    int32_t n_sides;
    int32_t loaded, loading; /* stages whose weights are on their device, of so many; 0 of 0: all,
                                or they need not come there */
    char device[128];        /* that it was computed on, as the backend describes itself, or which
                                layers on which (placement.h) */
    char moved[256]; /* why not on the one that the session began on; "" while it is that one */
    bool changed;    /* the model file is not what it was when opened: no figure can be trusted */
};

/* The element of a row (of a whole prompt: row 0) that answers a want, of the type that want.def
 * says; NULL while it is not there.  Without active edits the edited face has none.  Equal bits in
 * both faces mean that the edit cannot reach there. */
const void *snapshot_at(const struct snapshot *s, enum face face, const struct want *want,
                        int32_t row);
/* All elements of a want's rows, one after the other from row0 on; NULL unless all are there. */
const void *snapshot_rows(const struct snapshot *s, enum face face, const struct want *want);
/* The first want of a kind, of a site if `id` is not SITE_COUNT; NULL: there is none. */
const struct want *snapshot_want(const struct snapshot *s, enum want_kind kind, enum site_id id);
/* Are all of its rows there, in all faces? */
bool snapshot_answers(const struct snapshot *s, const struct want *want);

/* Start the worker.  The model must outlive the session, and is the worker's alone: where a device
 * fails (ERR_DEVICE), it goes on in the host's memory, on the cpu, with what was asked for.
 * cache_bytes as in run.h (for all runs). */
int session_open(struct session **out, struct model *m, size_t cache_bytes, struct err *e);
/* Cancel, join, free.  Snapshots that are still held stay valid. */
void session_close(struct session *s);
/* Ask; returns the generation.  Replaces whatever was asked before. */
uint64_t session_request(struct session *s, const struct session_want *want);
/* Becomes readable when a newer snapshot is there; session_latest drains it. */
int session_fd(const struct session *s);
/* The newest snapshot (a reference to release), or NULL before the first. */
const struct snapshot *session_latest(struct session *s);
void snapshot_release(const struct snapshot *snap);
/* An answer of two prompts: the base face is a's, and in place of the edited one stands the base
 * face of b, paired: position r of a is position partner[r] of b, each once, or -1.  Rows without a
 * partner are a's again: no difference; a source of attention without one has nothing.  Shares of
 * direct effects stand in a's order.  Where b's neurons are most active is told in a's positions,
 * -1 where it has no such one.  What only makes sense in one run is left out: the divergence, and
 * where NaN begins.  A best token's logit in the other prompt is NaN where it is not among the best
 * there.  b was asked for snapshot_want_of_b of a's wants.  A reference of the caller's, NULL when
 * memory is out. */
const struct snapshot *snapshot_compare(const struct snapshot *a, const struct snapshot *b,
                                        const int32_t *partner, const struct config *cfg);
/* What of b answers a want of a prompt of n tokens; false: nothing does. */
bool snapshot_want_of_b(const struct want *w, const int32_t *partner, int32_t n, struct want *out);
/* Block until the snapshot of `generation` or a newer one is complete, its sweep too, or failed:
 * tests, play, headless.  (When even the memory for saying so is out: the failed one before it.) */
const struct snapshot *session_wait(struct session *s, uint64_t generation);

#endif
