/* session.h - the worker thread between an interface and the runs.
 *
 * The interface says what it wants to see (a target and the data its views need); the worker syncs
 * the runs and publishes immutable snapshots.  Every request has a generation: a newer one cancels
 * the older between steps, and the newest snapshot wins.  Whatever is quick and on screen is
 * published first; a snapshot is `complete` when all that was asked for is in it.
 *
 * session_request, session_latest and snapshot_release may be called from the interface thread
 * only; none of them waits for the engine.  Tested in tests/engine/test_session.c. */
#ifndef SESSION_H
#define SESSION_H

#include "measure/lens.h"
#include "run/pair.h"

struct session;

/* What to compute and what to show.  Everything is copied by session_request. */
struct session_want {
    const int32_t *tokens;
    int32_t n;
    struct edit *const *edits;
    const bool *on;
    int32_t n_edits;
    const struct pair_prompt *prompts;
    int32_t n_prompts;
    struct reference_set *const *sets;
    int32_t n_sets;
    int32_t target;     /* token of the lens and of the rank; -1 = none */
    int32_t pair[2];    /* logit difference pair[0] - pair[1] at the last position; -1 = none */
    bool lens;          /* grid: lens cells of rows [row0, row1), all columns */
    bool norms;         /* grid: norms of rows [row0, row1), all layers */
    int32_t row0, row1; /* rows on screen */
    int32_t cell_column, cell_row, cell_k; /* lens detail of one cell; column -1 = none */
    int32_t attn_layer;                    /* patterns and head scores of a layer, -1 = none */
    bool attn_scores;       /* hook_attn_scores instead of hook_pattern as the values */
    struct site_ref tensor; /* values of a site; id SITE_COUNT = none */
    int32_t tensor_row0, tensor_row1;
    const struct site_ref *stats; /* statistics of these sites (the hook list on screen) */
    int32_t n_stats;
};

/* Norms per (layer, row), each [n_layers * (row1 - row0)]; mid is NULL in parallel blocks. */
struct snapshot_norms {
    float *pre, *mid, *post, *attn, *mlp;
};

/* One face of what was asked for.  Parts that were not asked for, or are not computed yet, are
 * NULL; inside a part, a cell that is not computed yet has top.id -1 and NaN figures, a norm NaN.
 * Without active edits the edited face is all NULL.  Exact zeros in edited - base mean that the
 * edit cannot reach there. */
struct snapshot_face {
    struct lens_cell *cells; /* [(n_layers + 1) * rows], column-major: [column][row] */
    struct lens_top *top;    /* best token of each cell, same order */
    struct snapshot_norms norms;
    struct lens_cell detail;     /* the cell asked for, once detail_top is there */
    struct lens_top *detail_top; /* [detail_k] */
    float *detail_cross; /* [detail_k]: this face's logits of the other face's detail_top; NULL with
                            one face */
    struct lens_cell *detail_columns; /* its row through all columns, [n_layers + 1] */
    float detail_norm, detail_attn,
        detail_mlp;           /* norms of that residual and of what the block added */
    float *pattern;           /* [n_heads][n][n] of attn_layer */
    struct lens_head *heads;  /* [n_heads] */
    float *tensor;            /* rows [tensor_row0, tensor_row1) in canonical order */
    struct lens_stats *stats; /* [n_stats]; n < 0 where it failed or is not computed yet */
    double pair;              /* logit difference, NaN without a pair */
    double loss;              /* NaN for one token, or not computed yet */
};

struct snapshot {
    uint64_t generation;
    bool complete;
    struct err err; /* code != 0: the request failed (a bad edit, say); the rest is empty */
    int32_t n, n_columns;
    int32_t *tokens; /* [n] */
    int32_t row0, row1, cell_column, cell_row, detail_k, attn_layer;
    bool attn_scores;
    int32_t target;
    struct site_ref tensor;
    int32_t tensor_row0, tensor_row1;
    int64_t tensor_shape[SITE_RANK_MAX];
    int tensor_rank;
    struct site_ref *stats;
    int32_t n_stats;
    bool edited;     /* the edited face is there */
    double kl;       /* KL(base || edited) at the last position, NaN without edits */
    int64_t time_us; /* of the last sync of the run on show */
    double share;    /* share of the blocks x rows that it computed */
    bool changed;    /* the model file is not what it was when opened: no figure can be trusted */
    struct snapshot_face face[FACE_COUNT];
};

/* Start the worker.  The model must outlive the session.  cache_bytes as in run.h (for all runs).
 */
int session_open(struct session **out, const struct model *m, size_t cache_bytes, struct err *e);
/* Cancel, join, free.  Snapshots that are still held stay valid. */
void session_close(struct session *s);
/* Ask; returns the generation.  Replaces whatever was asked before. */
uint64_t session_request(struct session *s, const struct session_want *want);
/* Becomes readable when a newer snapshot is there; session_latest drains it. */
int session_fd(const struct session *s);
/* The newest snapshot (a reference to release), or NULL before the first. */
const struct snapshot *session_latest(struct session *s);
void snapshot_release(const struct snapshot *snap);
/* Block until the snapshot of `generation` or a newer one is complete or failed: tests, play,
 * headless.  (When even the memory for saying so is out: the failed one before it.) */
const struct snapshot *session_wait(struct session *s, uint64_t generation);

#endif
