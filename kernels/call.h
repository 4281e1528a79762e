/* call.h - what backends check of a call before they carry it out: that it is one at all, and
 * shapes of operands.  Addresses are compared, never followed.  Tested in tests/kernels. */
#ifndef KN_CALL_H
#define KN_CALL_H

#include "kn.h"

/* Make each view's first element its data, for operations know nothing of `first` but where blocks
 * may begin before it; false: they all are so. */
bool call_resolve(const struct kn_call *call, struct kn_call *own);
/* What holds for every operation: views that can be, no output that certainly shares memory with an
 * input but where the operation may replace it. */
bool call_sound(const struct kn_call *call);

/* A view as rows of contiguous elements: axis 0, and the rest as one axis. */
struct call_rows {
    void *data;
    int64_t n, len, stride; /* stride in elements */
};
bool call_rows(const struct kn_view *v, enum kn_dtype t, struct call_rows *ret);
bool call_is(const struct kn_view *v, enum kn_dtype t,
             int ndim);                       /* dtype and rank, last axis contiguous */
bool call_is_weight(const struct kn_view *v); /* f32, f16 or bf16 */
bool call_is_matrix(const struct kn_view *v); /* the same, or a type in blocks: then mind `first` */
bool call_absent(const struct kn_view *v);
bool call_is_sinks(const struct kn_view *v, int64_t heads); /* any[H], or absent */

#endif
