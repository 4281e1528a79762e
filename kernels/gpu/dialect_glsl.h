/* dialect_glsl.h - the dialect as GLSL 4.60 for Vulkan 1.2: addresses are buffer references. */
#ifndef KN_GPU_DIALECT_GLSL_H
#define KN_GPU_DIALECT_GLSL_H

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require
/* clang-format off */
#define i32 int
#define u32 uint
#define f32 float
#define i64 int64_t
#define u64 uint64_t
#define addr uint64_t
#define f32x4 vec4
#define u32x4 uvec4
#define FN
#define EXACT precise
#define UNROLL [[unroll]]
#define UNROLL4
layout(buffer_reference, std430, buffer_reference_align = 4) buffer f32s { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer i32s { int at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer u32s { uint at[]; };
layout(buffer_reference, std430, buffer_reference_align = 2) buffer u16s { uint16_t at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer f32x4s { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer u32x4s { uvec4 at[]; };
#define f32_at(a, i) f32s((a) + u64(i64(i) * 4))
#define i32_at(a, i) i32s((a) + u64(i64(i) * 4))
#define u16_at(a, i) u16s((a) + u64(i64(i) * 2))
#define f32x4_at(a, i) f32x4s((a) + u64(i64(i) * 4))
#define u32x4_at(a, i) u32x4s((a) + u64(i64(i) * 4))
#define AT(x, i) (x).at[i]
#define U16(u) uint16_t(u)
#define SHARED(t, name, n) shared t name[n]
#define TABLE(name, n) const float name[n]
#define GROUP_X int(gl_WorkGroupID.x)
#define GROUP_Y int(gl_WorkGroupID.y)
#define GROUP_Z int(gl_WorkGroupID.z)
#define GROUPS_X int(gl_NumWorkGroups.x)
#define LANE int(gl_LocalInvocationID.x)
#define BARRIER() barrier()
#define bits_f32(u) uintBitsToFloat(u)
#define f32_bits(x) floatBitsToUint(x)
#define half_f32(u) unpackHalf2x16(u).x
#define INF uintBitsToFloat(0x7f800000u)
#define QNAN uintBitsToFloat(0x7fc00000u)
#define isnan_(x) ((floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u)
#define ROUND_EVEN(x) roundEven(x)
#define PARAMS(name, fields) struct name##_params { fields };
#define STRUCT(name, fields) struct name { fields };
#define KERNEL_OF_(name, params, n) \
    const uint name##_size = n; \
    void name##_main(const params##_params P)
#define KERNEL_OF(name, params, n) KERNEL_OF_(name, params, n)
#define KERNEL(name, n) KERNEL_OF_(name, name, n)
/* What a module ends with: the one kernel that is its entry. */
#define MAIN(name, params) \
    layout(push_constant, std430) uniform push_block { params##_params push; }; \
    layout(local_size_x = name##_size) in; \
    void main() { name##_main(push); }
/* clang-format on */

/* Bytes by words: storage of 8 bits is not asked of a device. */
uint BYTE(addr a, int i)
{
    addr at = a + u64(i64(i));
    return u32s(at & ~3ul).at[0] >> (uint(at & 3ul) * 8) & 255u;
}

/* A device may round the product in fma (llvmpipe does): T. J. Dekker's, of halves of 12 digits
 * (Numerische Mathematik 18, 1971).  A large number has no half of its own; its error is nothing
 * here. */
float product_error(float x, float y, float p)
{
    precise float cx = 4097.0 * x, cy = 4097.0 * y;
    precise float xh = cx - (cx - x), yh = cy - (cy - y);
    precise float xl = x - xh, yl = y - yh;
    precise float e = ((xh * yh - p) + xh * yl + xl * yh) + xl * yl;
    return max(abs(x), abs(y)) < 1e34 ? e : 0.0;
}

/* Over a subgroup as the device does it, then the subgroups in their order. */
shared float group_part[64];
shared int group_ipart[64];

float group_sum(float x)
{
    x = subgroupAdd(x);
    barrier();
    if (subgroupElect())
        group_part[gl_SubgroupID] = x;
    barrier();
    float s = 0;
    for (uint i = 0; i < gl_NumSubgroups; i++)
        s += group_part[i];
    return s;
}

float group_max(float x)
{
    x = subgroupMax(x);
    barrier();
    if (subgroupElect())
        group_part[gl_SubgroupID] = x;
    barrier();
    float s = group_part[0];
    for (uint i = 1; i < gl_NumSubgroups; i++)
        s = max(s, group_part[i]);
    return s;
}

int group_imin(int x)
{
    x = subgroupMin(x);
    barrier();
    if (subgroupElect())
        group_ipart[gl_SubgroupID] = x;
    barrier();
    int s = group_ipart[0];
    for (uint i = 1; i < gl_NumSubgroups; i++)
        s = min(s, group_ipart[i]);
    return s;
}

int group_isum(int x)
{
    x = subgroupAdd(x);
    barrier();
    if (subgroupElect())
        group_ipart[gl_SubgroupID] = x;
    barrier();
    int s = 0;
    for (uint i = 0; i < gl_NumSubgroups; i++)
        s += group_ipart[i];
    return s;
}

float team_sum(float x)
{
    x += subgroupShuffleXor(x, 1);
    x += subgroupShuffleXor(x, 2);
    return x + subgroupShuffleXor(x, 4);
}

#endif
