/* sweeps.h - the explorer's sweep: what is asked, what is there, and its cells as a map or a list.
 * Tested in tests/tui/test_sweep_view.c. */
#ifndef SWEEPS_H
#define SWEEPS_H

#include "app.h"

/* How the cells lie on the screen: the last two axes, positions below each other; the others are
 * planes. */
struct sweep_grid {
    const struct sweep_map *m;
    int32_t rows, columns, planes;
    bool turned;                                /* rows are the last axis */
    const struct sweep_map_axis *down, *across; /* down NULL: one row */
};

/* The newest map of the sweep that was asked for last; NULL: none yet. */
const struct sweep_map *sweeps_map(const struct app *a);
struct sweep_grid sweeps_grid(const struct sweep_map *m);
int32_t sweeps_cell(const struct sweep_grid *g, int32_t plane, int32_t row, int32_t column);
void sweeps_place(const struct sweep_grid *g, int32_t cell, int32_t *plane, int32_t *row,
                  int32_t *column);
/* The value of a cell on an axis. */
int32_t sweeps_at(const struct sweep_map *m, int32_t cell, int32_t axis);
/* A number for the prompt, the edits and the pair of now: equal for equal ones. */
uint64_t sweeps_question(const struct app *a);
/* Is more to come? */
bool sweeps_run(const struct app *a, const struct sweep_map *m);

/* Does the map say what the cursor's cell does? */
bool sweeps_settled(const struct app *a);
/* "3", of the parts of a bundle "mlp_out". */
const char *sweeps_text(const struct sweep_map *m, int32_t axis, int32_t at, char buf[16]);

/* The pair comes with the first answer of a prompt, and a sweep is of the pair: true where it is
 * still awaited, and the command is given again when it is there. */
bool sweeps_wait(struct app *a, const char *args);
/* Begin a sweep of this kind. */
void sweeps_begin(struct app *a, const struct session_sweep *of);
void sweeps_end(struct app *a);
/* Esc: keep what is there.  False: nothing runs. */
bool sweeps_pause(struct app *a);
/* A snapshot came: go into the cell that Enter waits for, and sort anew. */
void sweeps_took(struct app *a);
/* Into the cell of the cursor, with its edits as candidates. */
bool sweeps_enter(struct app *a);
/* Take the candidates back, when one comes back from them. */
void sweeps_back(struct app *a);
/* Cells by their change, the largest first; those without a value last.  NULL: none. */
const int32_t *sweeps_sorted(const struct app *a);

#endif
