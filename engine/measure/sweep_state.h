/* sweep_state.h - what is computed of a sweep, from its first unit on, and as a file that it goes
 * on from.
 *
 * Tested in tests/tui/test_cli_sweep.c; the reader is fuzzed in tests/fuzz/fuzz_sweep_state.c. */
#ifndef SWEEP_STATE_H
#define SWEEP_STATE_H

#include "measure/sweep.h"
#include "model/fingerprint.h"

/* Zero-initialised: of nothing.  Freed with sweep_state_free. */
struct sweep_state {
    struct fingerprint about; /* of which sweep, as its caller says */
    int64_t n;                /* cells times prompts, in the order of the units */
    double *value;            /* [n] */
    uint8_t *gone;            /* [n] 0 or 1: there is no such thing in this prompt */
};

void sweep_state_free(struct sweep_state *k);
/* The next unit's. */
int sweep_state_add(struct sweep_state *k, const struct sweep_unit_cell *cells, size_t n,
                    struct err *e);
/* All that is kept, to a sweep that has none of it; *units: so many.  ERR_BAD_INPUT where they are
 * no whole units of it. */
int sweep_state_take(const struct sweep_state *k, struct sweep *s, int32_t *units, struct err *e);

/* To a .safetensors file, which appears whole or not at all, and back. */
int sweep_state_write(const struct sweep_state *k, const char *path, struct err *e);
int sweep_state_read(struct sweep_state *k, const char *path, struct err *e);
/* The same of a file in memory, called `name`. */
int sweep_state_parse(struct sweep_state *k, const char *name, const void *bytes, size_t len,
                      struct err *e);

#endif
