/* sweep_kind.h - what maps are made of: TransformerLens' patching.py's sets as left sides of edits
 * with holes, for sweeps (sweep.h) and attributions.  Tested in tests/engine/test_sweep.c. */
#ifndef SWEEP_KIND_H
#define SWEEP_KIND_H

#include <stddef.h>

#include "base/err.h"

enum { SWEEP_PARTS_MAX = 5 };

struct sweep_kind {
    const char *name;     /* "z" */
    const char *patching; /* patching.py's get_act_patch_...; NULL: it has none */
    const char *help;
    /* "blocks.{layer}.attn.hook_z[{pos}, {head}]".  Of bundles several, stacked along a first axis
     * `type` that these labels name; the axes are those of the first. */
    const char *set[SWEEP_PARTS_MAX], *label[SWEEP_PARTS_MAX];
};
extern const struct sweep_kind sweep_kinds[];
extern const int sweep_kind_count;

/* How many left sides it has. */
int sweep_kind_parts(const struct sweep_kind *k);
/* By its name, or patching.py's with or without "get_act_patch_"; NULL with a line that names the
 * nearest. */
const struct sweep_kind *sweep_kind_find(const char *name, struct err *e);
/* What stands behind a kind's left side, from " = 0" on, for what is put there: "zero", "freeze", a
 * value of the edit language, or an operator and a value. */
int sweep_kind_right(const char *with, char *text, size_t size, struct err *e);

#endif
