/* ktest.h - one harness for every operation: build a call, say what each element should be, and it
 * is run on every instruction set of this machine, with one, two and three threads, whole and in
 * pieces of rows; then on backends with memory of their own (fence:, check:, trace:, and the kernel
 * text of devices on emu), where every operand is copied to and from.
 *
 * All tensors end at a page that may not be touched, so a read or write past the end is a crash,
 * and most start at an address that is aligned for one element only.
 */
#ifndef KTEST_H
#define KTEST_H

#include "kn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Memory of a test; all of it goes with kt_free. */
void *kt_alloc(size_t bytes);
void kt_free(void);
struct kt_block {
    void *base;
    size_t size;
    char *start; /* of what was asked for, to the end of which it reaches */
    size_t bytes;
};
const struct kt_block *kt_block_of(const struct kn_view *v); /* that holds it all, or NULL */

/* Random numbers, the same in every run. */
uint32_t kt_random(void);
float kt_uniform(float lo, float hi);

/* Tensors, filled with random numbers in [-1, 1] where not said otherwise; `pad` is added to the
 * strides of the leading axis.  Shapes end with 0. */
struct kn_view kt_tensor(enum kn_dtype t, int64_t pad, const int64_t *shape);
#define KT(t, pad, ...) kt_tensor(t, pad, (const int64_t[]){__VA_ARGS__, 0})
struct kn_view kt_transposed(enum kn_dtype t, int64_t pad, int64_t rows,
                             int64_t cols); /* [rows, cols], column-major */
/* [n,k] of a type in blocks, rows `pad` blocks apart; scales are about 1/64. */
struct kn_view kt_blocks(enum kn_dtype t, int64_t pad, int64_t n, int64_t k);
void kt_fill(const struct kn_view *v, float lo, float hi);
void kt_set(const struct kn_view *v, float x, int64_t a, int64_t b, int64_t c);
double kt_at(const struct kn_view *v, int64_t a, int64_t b, int64_t c); /* missing axes: 0 */
void *kt_element(const struct kn_view *v, int64_t a, int64_t b, int64_t c);
static inline int64_t kt_extent(const struct kn_view *v, int i)
{
    return i < v->ndim ? v->shape[i] : 1;
}
#define KT_EACH(v, a, b, c)                           \
    for (int64_t a = 0; a < kt_extent(v, 0); a++)     \
        for (int64_t b = 0; b < kt_extent(v, 1); b++) \
            for (int64_t c = 0; c < kt_extent(v, 2); c++)

/* What out[o] at [a, b, c] should be.  *size: the magnitude that rounding errors are relative to
 * (0: the value's own).  The call's outputs hold what they held before the run. */
typedef double kt_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                            double *size);

/* Run everywhere; every element within `tolerance` of the reference, NaN and Inf exactly; all
 * thread counts and all pieces of rows the same bits. */
void kt_check(const struct kn_call *call, kt_reference *reference, double tolerance);

/* The second part of kt_check alone: on all backends with memory of their own the bits of the best
 * instruction set, or on a device about its results.  The outputs hold those of the cpu. */
void kt_staged(const struct kn_call *call);

/* Two calls whose first outputs are the same bits also on a device, whatever they are.  The outputs
 * stay as they are. */
void kt_staged_twins(const struct kn_call *a, const struct kn_call *b);

/* The calls in turn and the one that stands for them: the last one's first output and its own are
 * the same bits, on every instruction set and on devices.  The outputs may change. */
void kt_chain(const struct kn_call *parts, int n, const struct kn_call *one);
/* The n calls and the one that stands for them, whose outputs are theirs in turn: the same bits
 * everywhere.  The outputs may change. */
void kt_beside(const struct kn_call *each, int n, const struct kn_call *all);

/* One backend per instruction set and number of threads (1 to 3), opened once. */
enum { KT_THREADS_MAX = 3 };
struct kn_backend *kt_backend(enum kn_cpu cpu, int threads);
void kt_close(void);

/* Every instruction set must refuse the call. */
void kt_refused(const struct kn_call *call);

/* The elements of both views (f32 or i32) are the same bits, or both NaN. */
void kt_same_bits(const struct kn_view *a, const struct kn_view *b, const char *what);

#endif
