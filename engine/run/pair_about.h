/* pair_about.h - what the runs of a target depend on beside the model and its own input, as a
 * fingerprint: for states of long work, which go on with the same question alone.
 * Tested in tests/engine/test_pair.c and tests/tui/test_cli_eval.c. */
#ifndef PAIR_ABOUT_H
#define PAIR_ABOUT_H

#include "model/fingerprint.h"
#include "run/pair.h"

/* What edits say, as text: *f goes on. */
void pair_about_edits(struct fingerprint *f, const struct pair_target *t);
/* What they read: the contents of files that they name and of reference sets, and further prompts.
 * *f goes on; unchanged where they read nothing.  Files are read through, in pieces; one that is
 * not there is an error. */
int pair_about_read(struct fingerprint *f, const struct pair_target *t, struct err *e);

/* What tokenizer.json beside the weights holds, which makes tokens of texts; a GGUF file has its
 * own within. ERR_BAD_INPUT where it cannot be read. */
int pair_about_tokenizer(struct fingerprint *f, const struct model *m, struct err *e);

#endif
