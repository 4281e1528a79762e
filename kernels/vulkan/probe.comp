/* probe.comp - where a lane of a group of 256 finds itself: its subgroup, its place there and how
 * many there are, three words a lane.  vulkan.c reads them when a device opens. */
#version 460 core
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_KHR_shader_subgroup_basic : require
layout(buffer_reference, std430, buffer_reference_align = 4) buffer words { uint at[]; };
layout(push_constant) uniform push_block { uint64_t y; };
layout(local_size_x = 256) in;

void main()
{
    uint at = gl_LocalInvocationID.x * 3;
    words(y).at[at] = gl_SubgroupID;
    words(y).at[at + 1] = gl_SubgroupInvocationID;
    words(y).at[at + 2] = gl_SubgroupSize;
}
