/* weight_copy.h - a weight as edits of it leave it: an f32 copy; what is mapped is never written.
 *
 * A copy has the axes of the weight as it lies (groups of heads, unit stride on what a Conv1D or a
 * Linear has it on), so that its products take the same way through the kernels.  Tested in
 * tests/engine/test_weight_edit.c and test_edit_reach.c. */
#ifndef WEIGHT_COPY_H
#define WEIGHT_COPY_H

#include "edit/edit.h"
#include "model/model.h"

/* Of the copy that an instruction on a weight changes. */
size_t weight_copy_bytes(const struct model *m, const struct edit_instr *instr);
/* The whole of a weight, f32: in host memory and, lying likewise, as operations take it. */
struct weight_copy {
    struct kn_view host, device;
    size_t bytes;
    struct kn_backend *be;
    void *there; /* memory of `be` for it; NULL: device is the host's own memory */
};

/* instrs[0..n) are on one weight; *out is a new copy once they have acted.  Its host values are
 * queued: there from run_wait on. */
int weight_copy_make(const struct model *m, const struct edit_instr *instrs, int32_t n,
                     struct weight_copy *out, struct err *e);
/* Host values must not be on their way any more. */
void weight_copy_free(struct weight_copy *c);
/* How many of a program's instructions on weights from i on are on the same one. */
int32_t weight_copy_instrs(const struct edit_program *p, int32_t i);
/* The program's edits of weights become the model's own weights, for as long as it is open.  No run
 * may be using it.  On failure some may have. */
int weight_copy_keep(struct model *m, const struct edit_program *p, struct err *e);

#endif
