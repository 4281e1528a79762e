/* dialect_host.h - the dialect as plain C: a kernel is a function emu_NAME(params) that one lane
 * runs; emu.c has the lanes. */
#ifndef KN_GPU_DIALECT_HOST_H
#define KN_GPU_DIALECT_HOST_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../half.h"

typedef int32_t i32;
typedef uint32_t u32;
typedef float f32;
typedef int64_t i64;
typedef uint64_t u64;
typedef char *addr;
typedef struct {
    f32 x, y, z, w;
} f32x4;
typedef struct {
    u32 x, y, z, w;
} u32x4;
typedef float *f32s;
typedef int32_t *i32s;
typedef uint16_t *u16s;
typedef f32x4 *f32x4s;
typedef u32x4 *u32x4s;

/* Where a lane is: of the group, of the grid. */
struct emu_where {
    int group_x, group_y, group_z, groups_x, lane, lanes;
};
extern _Thread_local struct emu_where emu;
/* Every other lane of the group comes this far: to this line of a text. */
void emu_barrier(const char *file, int line);
/* Over `width` neighbouring lanes in a tree (0: all lanes); sum or maximum. */
float emu_fold(float x, bool sum, int width);
int emu_fold_int(int x, bool sum); /* sum or minimum of all lanes */

/* A step of a matrix unit of the 32 lanes that this one is among. */
void emu_mma(float d[4], const uint32_t a[4], const uint32_t b[2]);

/* clang-format off */
#define i32(x) ((int32_t)(x))
#define u32(x) ((uint32_t)(x))
#define f32(x) ((float)(x))
#define i64(x) ((int64_t)(x))
#define u64(x) ((uint64_t)(x))
#define FN static inline
#define EXACT
#define UNROLL
#define UNROLL4
#define f32_at(a, i) ((f32s)(void *)((a) + (i64)(i) * 4))
#define i32_at(a, i) ((i32s)(void *)((a) + (i64)(i) * 4))
#define u16_at(a, i) ((u16s)(void *)((a) + (i64)(i) * 2))
#define f32x4_at(a, i) ((f32x4s)(void *)((a) + (i64)(i) * 4))
#define u32x4_at(a, i) ((u32x4s)(void *)((a) + (i64)(i) * 4))
#define AT(x, i) (x)[i]
#define BYTE(a, i) ((u32)((const unsigned char *)(a))[i])
#define U16(u) ((uint16_t)(u))
#define SHARED(t, name, n) static _Thread_local t name[n]
#define TABLE(name, n) static const float name[n]
#define GROUP_X (emu.group_x)
#define GROUP_Y (emu.group_y)
#define GROUP_Z (emu.group_z)
#define GROUPS_X (emu.groups_x)
#define LANE (emu.lane)
#define BARRIER() emu_barrier(__FILE__, __LINE__)
#define bits_f32(u) half_from_bits(u)
#define half_f32(u) half_from_f16((uint16_t)(u))
FN u32 f32_bits(f32 x) { u32 u; memcpy(&u, &x, 4); return u; }
#define INF INFINITY
#define QNAN NAN
#define isnan_(x) ((x) != (x))
#define ROUND_EVEN(x) rintf(x)
#define fma fmaf
#define product_error(x, y, p) fmaf(x, y, -(p))
#define sqrt sqrtf
#define abs(x) fabsf(x)
#define max(a, b) ((a) > (b) ? (a) : (b))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define group_sum(x) emu_fold(x, true, 0)
#define group_max(x) emu_fold(x, false, 0)
#define team_sum(x) emu_fold(x, true, 8)
#define group_imin(x) emu_fold_int(x, false)
#define group_isum(x) emu_fold_int(x, true)
#define MMA_BF16(d, a0, a1, a2, a3, b0, b1) \
    emu_mma(d, (const u32[4]){a0, a1, a2, a3}, (const u32[2]){b0, b1})
#define PARAMS(name, fields) typedef struct { fields } name##_params;
#define STRUCT(name, fields) typedef struct { fields } name;
#define KERNEL_OF_(name, params, n) \
    static void name##_main(params##_params P); \
    void emu_##name(const void *p) { params##_params P; memcpy(&P, p, sizeof P); name##_main(P); } \
    static void name##_main(params##_params P)
#define KERNEL_OF(name, params, n) KERNEL_OF_(name, params, n)
#define KERNEL(name, n) KERNEL_OF_(name, name, n)
/* clang-format on */

#endif
