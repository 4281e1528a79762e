/* dialect.h - one kernel text (*.k) for GLSL, CUDA C++ and plain C.
 *
 * A text speaks only these words:
 *   i32 u32 f32 i64 u64    numbers; conversions are written as calls, i64(x)
 *   addr                   an address in device memory
 *   f32s i32s u16s f32x4s u32x4s   arrays there: f32_at(a, i) is the array at element i of address
 *                          a (of the last two: i in elements of 4 bytes, 16-byte aligned)
 *   AT(array, i)           its element, to read or to write
 *   BYTE(a, i)             byte i of address a as a u32
 *   FN                     before a function
 *   PARAMS, STRUCT         a struct: name, and fields each ended by ';'
 *   KERNEL(name, lanes)    the head of a kernel with parameters P of type name_params;
 *   KERNEL_OF(name, params, lanes)   with those of another
 *   SHARED(type, name, n)  an array that the lanes of a group share
 *   TABLE(name, n) = {...};   constants
 *   GROUP_X GROUP_Y GROUP_Z GROUPS_X LANE   where a lane is
 *   EACH(u, units)         a loop over work that may be more than there are groups
 *   BARRIER()              and group_sum, group_max, group_imin, group_isum over the lanes of a
 *                          group, team_sum over 8 neighbouring ones in one fixed tree: only where
 *                          all lanes pass
 *   EXACT                  before a f32 whose operations round one by one
 *   MMA_BF16(d, a0, a1, a2, a3, b0, b1)   GPU_MMA's alone: d[4] += a . b over the 32 lanes of a
 *                          warp, operands as mma.m16n8k16 of the PTX manual has them
 *   UNROLL UNROLL4         before a loop
 *   product_error(x, y, p)   x * y - p exactly, p being x * y rounded; fma need not round once
 *   bits_f32 f32_bits half_f32 isnan_ ROUND_EVEN INF QNAN U16, fma sqrt abs min max
 * There is no log and no exp but those of common.h: devices differ in theirs.  No atomics, no
 * double. */
#ifndef KN_GPU_DIALECT_H
#define KN_GPU_DIALECT_H

#if defined(GL_core_profile) || defined(VULKAN)
#include "dialect_glsl.h"
#elif defined(__CUDA__) || defined(__CUDACC__)
#include "dialect_cuda.h"
#else
#include "dialect_host.h"
#endif
#define EACH(u, units) for (i32 u = GROUP_X; u < (units); u += GROUPS_X)
#include "params.h"
#include "common.h"

#endif
