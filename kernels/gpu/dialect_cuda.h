/* dialect_cuda.h - the dialect as CUDA C++, for nvcc, and for clang without any file of NVIDIA's.
 *
 * clang: -x cuda -nocudainc -nocudalib --cuda-device-only -ffp-contract=off; nvcc: -fmad=false.
 */
#ifndef KN_GPU_DIALECT_CUDA_H
#define KN_GPU_DIALECT_CUDA_H

/* clang-format off */
#ifdef __NVCC__
#define TID threadIdx.x
#define NTID blockDim.x
#define GROUP_X ((int)blockIdx.x)
#define GROUP_Y ((int)blockIdx.y)
#define GROUP_Z ((int)blockIdx.z)
#define GROUPS_X ((int)gridDim.x)
#define product_error(x, y, p) fmaf(x, y, -(p))
#else
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __launch_bounds__(n) __attribute__((launch_bounds(n)))
#define __grid_constant__
struct float4 { float x, y, z, w; } __attribute__((aligned(16)));
struct uint4 { unsigned x, y, z, w; } __attribute__((aligned(16)));
#define TID __nvvm_read_ptx_sreg_tid_x()
#define NTID __nvvm_read_ptx_sreg_ntid_x()
#define GROUP_X ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define GROUP_Y ((int)__nvvm_read_ptx_sreg_ctaid_y())
#define GROUP_Z ((int)__nvvm_read_ptx_sreg_ctaid_z())
#define GROUPS_X ((int)__nvvm_read_ptx_sreg_nctaid_x())
__device__ static inline float __uint_as_float(unsigned u)
{
    float f;
    __builtin_memcpy(&f, &u, 4);
    return f;
}
__device__ static inline unsigned __float_as_uint(float f)
{
    unsigned u;
    __builtin_memcpy(&u, &f, 4);
    return u;
}
__device__ static inline int __shfl_xor_sync(unsigned m, int x, int o)
{
    return __nvvm_shfl_sync_bfly_i32(m, x, o, 31);
}
__device__ static inline float __shfl_xor_sync(unsigned m, float x, int o)
{
    return __uint_as_float((unsigned)__shfl_xor_sync(m, (int)__float_as_uint(x), o));
}
#define fma(a, b, c) __builtin_fmaf(a, b, c)
#define product_error(x, y, p) __builtin_fmaf(x, y, -(p))
__device__ static inline float max(float a, float b) { return __builtin_fmaxf(a, b); }
__device__ static inline int min(int a, int b) { return a < b ? a : b; }
__device__ static inline int max(int a, int b) { return a > b ? a : b; }
__device__ static inline float abs(float a) { return __builtin_fabsf(a); }
__device__ static inline float sqrt(float a) { return __nvvm_sqrt_rn_f(a); }
__device__ static inline float rintf(float a) { return __builtin_rintf(a); }
#endif
typedef int i32;
typedef unsigned u32;
typedef float f32;
typedef long long i64;
typedef unsigned long long u64;
typedef char *addr;
typedef float4 f32x4;
typedef uint4 u32x4;
typedef float *f32s;
typedef int *i32s;
typedef unsigned short *u16s;
typedef float4 *f32x4s;
typedef uint4 *u32x4s;
#define FN __device__ static inline
#define EXACT
#define UNROLL _Pragma("unroll")
#define UNROLL4 _Pragma("unroll 4")
#define f32_at(a, i) ((f32s)((a) + (i64)(i) * 4))
#define i32_at(a, i) ((i32s)((a) + (i64)(i) * 4))
#define u16_at(a, i) ((u16s)((a) + (i64)(i) * 2))
#define f32x4_at(a, i) ((f32x4s)((a) + (i64)(i) * 4))
#define u32x4_at(a, i) ((u32x4s)((a) + (i64)(i) * 4))
#define AT(x, i) (x)[i]
#define BYTE(a, i) ((u32)((const unsigned char *)(a))[i])
#define U16(u) ((unsigned short)(u))
#define SHARED(t, name, n) __shared__ t name[n]
#define TABLE(name, n) __constant__ const float name[n]
#define LANE ((int)TID)
#define BARRIER() __syncthreads()
#define bits_f32(u) __uint_as_float(u)
#define f32_bits(x) __float_as_uint(x)
FN f32 half_f32(u32 u)
{
    f32 r;
    asm("{.reg .b16 h; cvt.u16.u32 h, %1; cvt.f32.f16 %0, h;}" : "=f"(r) : "r"(u));
    return r;
}
#define INF __uint_as_float(0x7f800000u)
#define QNAN __uint_as_float(0x7fc00000u)
#define isnan_(x) ((__float_as_uint(x) & 0x7fffffffu) > 0x7f800000u)
#define ROUND_EVEN(x) rintf(x)
__shared__ float group_part[32];
__shared__ int group_ipart[32];
/* Over a warp as a butterfly, then the warps in their order. */
#define GROUP_FOLD(x, part, op) \
    for (int o = 16; o; o >>= 1) { auto y = __shfl_xor_sync(~0u, x, o); x = op; } \
    __syncthreads(); \
    if (TID % 32 == 0) part[TID / 32] = x; \
    __syncthreads(); \
    x = part[0]; \
    for (int i = 1; i < (int)(NTID + 31) / 32; i++) { auto y = part[i]; x = op; } \
    return x;
FN f32 group_sum(f32 x) { GROUP_FOLD(x, group_part, x + y) }
FN f32 group_max(f32 x) { GROUP_FOLD(x, group_part, max(x, y)) }
FN i32 group_imin(i32 x) { GROUP_FOLD(x, group_ipart, min(x, y)) }
FN i32 group_isum(i32 x) { GROUP_FOLD(x, group_ipart, x + y) }
FN f32 team_sum(f32 x)
{
    x += __shfl_xor_sync(~0u, x, 1);
    x += __shfl_xor_sync(~0u, x, 2);
    return x + __shfl_xor_sync(~0u, x, 4);
}
#define MMA_BF16(d, a0, a1, a2, a3, b0, b1) \
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 " \
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) \
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1))
#define PARAMS(name, fields) struct name##_params { fields };
#define STRUCT(name, fields) struct name { fields };
#define KERNEL_OF_(name, params, n) extern "C" __global__ void __launch_bounds__(n) name(const __grid_constant__ params##_params P)
#define KERNEL_OF(name, params, n) KERNEL_OF_(name, params, n)
#define KERNEL(name, n) KERNEL_OF_(name, name, n)
/* clang-format on */

#endif
