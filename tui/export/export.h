/* export.h - the edits and captures of a run as a Python program for another library.
 *
 * The program loads the same model, runs exactly these tokens, applies exactly these edits as hooks
 * and writes the captured tensors under the same names, so that its file can be compared with that
 * of `borescope run -o`.  What the other library cannot do is refused in one line that names the
 * edit or the capture; nothing is left out silently. Writes into memory only.  Tested in
 * tests/tui/test_export.c, against the libraries in tests/tui/test_export.py. */
#ifndef EXPORT_H
#define EXPORT_H

#include "bytes.h"
#include "model/model.h"
#include "run/pair.h"

enum export_to { EXPORT_TRANSFORMER_LENS, EXPORT_NNSIGHT, EXPORT_COUNT };
extern const char *const export_names[EXPORT_COUNT];

struct export
{
    const struct model *m;
    const int32_t *tokens;
    int32_t n;
    struct edit *const *edits;
    const bool *on; /* NULL = all on */
    int32_t n_edits;
    const struct edit_program *program; /* those that are on, resolved; NULL: not yet */
    const struct pair_prompt *prompts;  /* what from(NAME) reads */
    int32_t n_prompts;
    enum token_align align; /* how the program, if it is not given, pairs their positions */
    struct reference_set *const *sets; /* what mean(REF) and resample(REF) read */
    int32_t n_sets;
    const char *const *captures; /* names and patterns, as -c */
    int n_captures;
    const char *grad; /* a metric (metric.h) whose gradients are captured besides, or NULL */
};

/* "transformer_lens" or "nnsight"; refuses others. */
int export_find(const char *name, enum export_to *to, struct err *e);
/* The program, appended to *out. */
int export_program(struct bytes *out, enum export_to to, const struct export *x, struct err *e);

#endif
