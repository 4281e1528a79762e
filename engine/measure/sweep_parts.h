/* sweep_parts.h - how sweep.c is made: what the files sweep_*.c do for it; nobody else includes it.
 */
#ifndef SWEEP_PARTS_H
#define SWEEP_PARTS_H

#include "measure/sweep.h"
#include "run/prompt_align.h"
#include "run/reference_mean.h"
#include "run/wave.h"

#define SWEEP_EDITED "edited" /* from(): the run with the edits of every cell */
#define SWEEP_PATH "path"     /* from(): the run in which a cell's edits take the direct path */

enum { SWEEP_TOGETHER = 64, SWEEP_PATHS = RUN_TOGETHER_MAX };

/* A run that edits read. */
struct sweep_source {
    const char *name; /* of a prompt; NULL: drawn from a set */
    const struct reference_set *set;
    int32_t prompt;
    struct run *run;
};

enum { CELL_WAITS, CELL_DONE, CELL_KEPT, CELL_GONE /* no such thing in this prompt */ };

/* A metric of a prompt, and what it is without a cell's edits. */
struct sweep_measure {
    struct metric metric;
    struct metric_reads reads;
    float *logits; /* of the base, for kl: [reads.n_rows][n_tokens or d_vocab] */
    double at_base, at_other;
};

/* One prompt of a sweep. */
struct sweep_side {
    const struct model *m;
    struct pair_target target; /* what is run: a copy; its edits are those of every cell */
    struct sweep_measure by;
    int32_t *column;            /* [columns] its position for each that all prompts have, or -1 */
    struct run *base, *edited;  /* edited: a fork with the edits of every cell, or NULL */
    struct edit_program *edits; /* of it */
    struct run **edits_read;    /* its sources */
    struct sweep_source *sources;
    int32_t n_sources;
    struct prompt_maps maps; /* of target */
    double *value;           /* [cells] */
    uint8_t *state;
    float *kept; /* [cells][kept_reads.n_rows][d_model], or NULL: the rows behind the last block */
    struct metric_reads kept_reads;
    struct run *path[SWEEP_PATHS];
    bool ready;
};

struct sweep {
    const struct model *m;
    struct sweep_set set;
    int32_t n_senders; /* edits of a part that are the cell's own; the others are receivers */
    bool paths, freeze_mlp;
    char *normalize;
    enum token_align align;
    int32_t columns; /* values of position axes */
    struct sweep_side *side;
    int32_t n_sides, cells;
    int32_t *order, next, done;
    bool *gone; /* [cells] of no prompt */
    struct reference_means *means;
    size_t cache_bytes;
};

static inline struct run *sweep_side_shown(const struct sweep_side *d)
{
    return d->edited ? d->edited : d->base;
}

/* ---- sweep_side.c: the runs of one prompt ---- */

/* Which position of each prompt a value of a position axis means; s->columns. */
int sweep_columns(struct sweep *s, struct err *e);
struct edit_context sweep_context(const struct sweep *s, struct sweep_side *d);
/* The base, its edits, its logits and values, if they are not there yet. */
int sweep_side_ready(struct sweep *s, struct sweep_side *d, struct err *e);
/* A metric for it, in *out, which is freed with sweep_measure_free whatever comes of it. */
int sweep_side_metric(const struct sweep *s, const struct sweep_side *d, const char *text,
                      struct sweep_measure *out, struct err *e);
/* The metric's values on the runs there are. */
int sweep_side_measure(struct sweep *s, struct sweep_side *d, struct sweep_measure *by,
                       struct err *e);
void sweep_measure_free(struct sweep_measure *by);
/* The sources of a program, brought to their prompts: reads[n_sources]; from() of prompts of other
 * lengths becomes one instruction for each position. */
int sweep_side_sources(struct sweep *s, struct sweep_side *d, struct edit_program *p,
                       struct run *path, struct run **reads, struct err *e);
void sweep_side_free(struct sweep_side *d);

/* ---- sweep_cell.c: the edits of one cell ---- */

enum sweep_half { SWEEP_SENDERS, SWEEP_RECEIVERS, SWEEP_WHOLE, SWEEP_OWN };

/* The filled text of edit i of a cell; false: there is no such thing in this prompt. */
int sweep_cell_edit(const struct sweep *s, const struct sweep_side *d, int32_t cell, int32_t i,
                    char text[LIMIT_EDIT_TEXT], bool *there, struct err *e);
/* Is there such a thing in this prompt? */
bool sweep_cell_there(const struct sweep *s, const struct sweep_side *d, int32_t cell);
/* Its program, with the edits of every cell before it but for SWEEP_OWN; of paths one half. */
int sweep_cell_program(struct sweep *s, struct sweep_side *d, int32_t cell, enum sweep_half half,
                       struct edit_program **out, struct err *e);

/* Does nothing: attention from a position to later ones, which the mask hides. */
bool sweep_masked(const struct edit_program *p);

/* ---- sweep_keep.c: final residual rows, for the next metric ---- */

/* CELL_KEPT, or CELL_DONE where there is no room or they are not what the metric is of. */
uint8_t sweep_keep(struct sweep *s, struct sweep_side *d, int32_t cell,
                   const struct edit_program *p, const struct wave_value *v);
/* Values of a new metric from what is kept; cells for which that does not do wait again. */
int sweep_keep_measure(struct sweep *s, struct sweep_side *d, struct err *e);

/* ---- sweep_path.c: path patching ---- */

/* For cells list[n], n <= SWEEP_PATHS: the runs d->path[] in which their edits take the direct
 * path. */
int sweep_paths(struct sweep *s, struct sweep_side *d, const int32_t *list, int32_t n,
                struct err *e);
/* Refuse senders that the frozen hooks would hide; the first n_edits edits are no senders. */
int sweep_path_check(const struct edit_program *p, int32_t n_edits, struct err *e);

#endif
