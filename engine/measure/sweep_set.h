/* sweep_set.h - edits with holes, and the axes that their holes make.
 *
 *     blocks.{layer}.attn.hook_z[{pos}, {head}] = 0
 *     blocks.{at=0.hook_mlp_out|3.attn.hook_z[:, 2]} = 0
 *     blocks.3.hook_resid_post[-1] += {times=1,2,4..8} * dir(" Paris", " Rome")
 *
 * A hole is {NAME} or {NAME=CHOICES}: a name that begins with a letter, so that a set of the edit
 * language ({4..7}, {mlp_out,attn_out}) is none.  Choices are texts between |, or, where there is
 * no |, between commas, in which A..B stands for the whole numbers from A to B.  Without choices a
 * hole in a hook's name counts layers, and one in its index the elements of that axis.  In quotes
 * only a hole with choices is one.  Holes of one name are one axis; axes stand in the order of
 * their first holes.  Knows no run.  Tested in tests/engine/test_sweep.c, fuzzed in
 * tests/fuzz/fuzz_sweep_set.c. */
#ifndef SWEEP_SET_H
#define SWEEP_SET_H

#include "edit/edit.h"

enum {
    SWEEP_AXES_MAX = 6,
    SWEEP_HOLES_MAX = 16, /* of one edit */
    SWEEP_EDITS_MAX = 16, /* made together */
    SWEEP_NAME = 24
};

enum sweep_role {
    SWEEP_CHOICE, /* texts */
    SWEEP_LAYER,
    SWEEP_POS,   /* positions of the prompt: pos, dest, src */
    SWEEP_INDEX, /* of another axis: head, d_mlp, ... */
    SWEEP_TYPE   /* parts of a bundle */
};

struct sweep_axis {
    char name[SWEEP_NAME];
    enum sweep_role role;
    int32_t size;
    char **choice; /* [size] as written, or NULL: 0..size-1 */
};

/* One edit: `text` without its holes, which stand before text[at]. */
struct sweep_text {
    char *text;
    int32_t n;
    struct sweep_hole {
        int32_t at, axis;
    } hole[SWEEP_HOLES_MAX];
};

/* What one cell does: all edits of one part. */
struct sweep_part {
    struct sweep_text edit[SWEEP_EDITS_MAX];
    int32_t n;
    int32_t size[SWEEP_AXES_MAX]; /* of its own axes: keys and values may have fewer heads */
};

struct sweep_set {
    struct sweep_axis axis[SWEEP_AXES_MAX];
    struct sweep_part *part;
    int32_t n_axes, n_parts;
};

/* `choose`: NAME=CHOICES for holes that have none; a single one fills the hole, which is no axis
 * then (so does a hole's own single choice). */
struct sweep_choose {
    const char *const *item;
    int32_t n;
};

/* Begin a further part; n_parts > 1 have a first axis `type`, which the caller labels.  Negative
 * when memory is out. */
int sweep_set_part(struct sweep_set *s, struct err *e);
/* Add an edit with holes to the last part, and the axes of its holes.  A later part has no axes but
 * those of the first.  ctx: the model and the prompt that axes are sized by. */
int sweep_set_add(struct sweep_set *s, const char *text, const struct sweep_choose *choose,
                  const struct edit_context *ctx, struct err *e);
/* The axis `type` before all others; label[n_parts] are copied. */
int sweep_set_types(struct sweep_set *s, const char *const *label, struct err *e);
void sweep_set_free(struct sweep_set *s);

/* The i-th value of an axis as it is filled in. */
const char *sweep_axis_text(const struct sweep_axis *a, int32_t i, char buf[16]);
/* As a whole number; false where a choice is none. */
bool sweep_axis_number(const struct sweep_axis *a, int32_t i, int32_t *out);
/* The edit with its holes filled: value[axis]. */
int sweep_text_fill(const struct sweep_text *t, const char *const *value, char buf[LIMIT_EDIT_TEXT],
                    struct err *e);

#endif
