/* vulkan.h - the Vulkan backend: kernels/gpu/ on any device that a driver offers by Vulkan 1.2, or
 * by 1.1 with VK_KHR_buffer_device_address and VK_KHR_shader_float_controls. */
#ifndef KN_VULKAN_VULKAN_H
#define KN_VULKAN_VULKAN_H

#include "kn.h"

/* As kn_open, of "vulkan": the first device that is real hardware; "vulkan:WHICH", a part of a
 * device's name or its number among all of them, software too; "auto": as "vulkan", but where this
 * machine cannot have real hardware no driver is asked, which takes longer than a program without a
 * device may lose. */
struct kn_backend *vulkan_open(const struct kn_options *opt, char *why, size_t why_size);

/* How many devices there are, software and unusable ones too, each of them "vulkan:N"; 0: why. */
int vulkan_count(char *why, size_t why_size);

#endif
