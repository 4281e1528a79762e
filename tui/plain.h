/* plain.h - the explorer as linear text: sentences instead of a screen, prompt by prompt, for
 * screen readers, TERM=dumb and pipes.
 *
 * Lines of `in` are commands as after `:`, or one key ("x", "<C-r>"); after each, what changed is
 * said: a fact a line, and what the cursor stands on where it moved.  `in` NULL: the opening alone.
 * Blocks; the caller's thread.  Tested in tests/tui/test_plain.c. */
#ifndef PLAIN_H
#define PLAIN_H

#include <stdio.h>

#include "app.h"

struct plain_options {
    FILE *in, *out;
    bool ask;   /* a prompt in front of each line */
    bool ascii; /* only bytes 20..7E come out */
};
int plain_main(struct app *a, struct session *s, const struct plain_options *o, struct err *e);

#endif
