/* tiled.h - products by tiles: rows packed once per call, and what is not finite made anew.
 *
 * Only linear.c asks for them.  Tested in tests/kernels/test_amx.c.
 */
#ifndef KN_CPU_TILED_H
#define KN_CPU_TILED_H

#include "cpu.h"

/* Make room for `bytes` of packed rows; KN_OUT_OF_MEMORY. */
enum kn_status tiled_reserve(struct cpu *c, size_t bytes);
/* What g->terms, g->tile_rows are of these rows, and the bytes that one group of columns takes,
 * each with its own part of x. */
size_t tiled_plan(const struct isa *isa, struct gemm *g);
/* Pack the rows, x_group elements from the part of a group to the next one's, to `to`. */
enum kn_status tiled_pack(struct cpu *c, const struct gemm *g, bool nk, int64_t groups,
                          int64_t x_group, char *to);
/* The bytes to row `row`, a multiple of 16. */
int64_t tiled_row(const struct gemm *g, int64_t row);

/* The product; an element that is not finite is the instruction set's, so that Inf and NaN are
 * those of f32 and no sum overflows before theirs would. */
void tiled_gemm(const struct isa *isa, const struct gemm *g, bool nk);

#endif
