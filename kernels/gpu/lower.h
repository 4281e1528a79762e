/* lower.h - what the lowerings of the operations share: the parameters of kernels, and launching.
 *
 * One function per row of ops.def checks its call against the contract there and queues kernels; a
 * family of operations is one file.  Tested in tests/kernels through emu.c. */
#ifndef KN_GPU_LOWER_H
#define KN_GPU_LOWER_H

#include "../call.h"
#include "gpu.h"

typedef int32_t i32;
typedef int64_t i64;
typedef float f32;
typedef char *addr;
/* clang-format off */
#define PARAMS(name, fields) \
    typedef struct { fields } name##_params; \
    _Static_assert(sizeof(name##_params) <= GPU_PARAM_BYTES, "parameters of a launch");
/* clang-format on */
#include "params.h"
#undef PARAMS

/* One function per row of ops.def. */
#define KN_OP(id, name, n_out, n_in) \
    enum kn_status gpu_##id(struct gpu *g, const struct kn_call *call);
#include "../ops.def"
#undef KN_OP

/* Launch so many groups; nothing happens where an axis is 0, KN_BAD_CALL where it is too long. */
enum kn_status gpu_launch_all(struct gpu *g, enum gpu_kernel k, const void *params, size_t bytes,
                              int64_t x, int64_t y, int64_t z);
/* Launch a kernel with EACH.  x: units that there is work for, which fewer groups may share. */
enum kn_status gpu_launch(struct gpu *g, enum gpu_kernel k, const void *params, size_t bytes,
                          int64_t x, int64_t y);
#define GPU_LAUNCH(g, name, p, x, y) gpu_launch(g, GPU_##name, &(p), sizeof(p), x, y)

/* The work of `rows` rows of len elements, in units of 256; false: more than can be counted. */
bool gpu_units(int64_t rows, int64_t len, i32 *units, i32 *per_row);

/* Device memory to work in, at least `bytes`, until the next call that asks for that piece; NULL:
 * there is none left. */
void *gpu_scratch(struct gpu *g, enum gpu_scratch which, size_t bytes);
/* Where kernels say that an index lies outside its bounds, looked at by sync; NULL: no memory. */
void *gpu_bad(struct gpu *g);

/* All of a launch's operands are counted in 32 bits; gpu_run has looked. */
static inline i32 gpu_i32(int64_t x)
{
    return (i32)x;
}

/* The type of an operand as kernels have it. */
static inline i32 gpu_type(const struct kn_view *v)
{
    return v->ndim ? (i32)v->dtype : -1;
}

/* f32 rows of in0 and out0, and in1 where b is given, of one shape. */
bool gpu_rows(const struct kn_call *call, struct call_rows *out, struct call_rows *a,
              struct call_rows *b);
/* A weight vector of this length. */
bool gpu_is_vector(const struct kn_view *v, int64_t len);
/* f32, three axes of these lengths, the last without gaps. */
bool gpu_is3(const struct kn_view *v, int64_t a, int64_t b, int64_t c);

#endif
