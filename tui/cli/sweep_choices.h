/* sweep_choices.h - which cells sweep and attribute are asked for: --set, --over, -l and -H. Tested
 * in tests/tui/test_cli_sweep.c and test_cli_attribute.c. */
#ifndef SWEEP_CHOICES_H
#define SWEEP_CHOICES_H

#include "cli.h"

enum { SWEEP_CHOICES_MAX = 64 };

struct sweep_choices {
    const char *item[SWEEP_CHOICES_MAX]; /* "layer=0..3" */
    char layer[32], head[32];            /* -l and -H as such */
    int32_t n;
};

/* In place: the items point into *out and the options. */
int sweep_choices_make(struct cli *c, struct sweep_choices *out);
/* The edits of --set as one text, in *buf. */
const char *sweep_edits_text(const struct cli *c, struct bytes *buf);

#endif
