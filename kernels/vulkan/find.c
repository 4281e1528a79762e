/* find.c - which devices there are, what each lacks, which one is meant.  See vk.h. */
#include "vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const vk_extensions[VK_EXTENSIONS] = {VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME,
                                                  VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME};

/* A queue family that computes; one that draws nothing holds up no screen. */
static bool find_family(struct vk *v, struct vk_found *f)
{
    enum { FAMILIES_MAX = 32 };
    VkQueueFamilyProperties list[FAMILIES_MAX];
    uint32_t n = FAMILIES_MAX;
    v->api.GetPhysicalDeviceQueueFamilyProperties(f->device, &n, list);
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        VkQueueFlags flags = list[i].queueFlags;
        if (!(flags & VK_QUEUE_COMPUTE_BIT) || (any && flags & VK_QUEUE_GRAPHICS_BIT))
            continue;
        f->family = i;
        any = true;
        if (!(flags & VK_QUEUE_GRAPHICS_BIT))
            break;
    }
    return any;
}

static void find_extensions(struct vk *v, struct vk_found *f)
{
    uint32_t n = 0;
    int found = 0;
    VkExtensionProperties *list = NULL;
    if (!v->api.EnumerateDeviceExtensionProperties(f->device, NULL, &n, NULL))
        list = calloc(n + 1, sizeof *list);
    if (list && v->api.EnumerateDeviceExtensionProperties(f->device, NULL, &n, list) < 0)
        n = 0;
    for (uint32_t i = 0; list && i < n; i++) {
        const char *name = list[i].extensionName;
        for (int e = 0; e < VK_EXTENSIONS; e++)
            found += strcmp(name, vk_extensions[e]) == 0;
        f->budget |= strcmp(name, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME) == 0;
        f->buffer_max |= strcmp(name, VK_KHR_MAINTENANCE_4_EXTENSION_NAME) == 0;
    }
    free(list);
    bool old = f->of.apiVersion < VK_API_VERSION_1_2;
    f->extensions = old && found == VK_EXTENSIONS;
    if (old && !f->extensions)
        snprintf(f->lacks, sizeof f->lacks, "Vulkan 1.2, or %s and %s", vk_extensions[0],
                 vk_extensions[1]);
}

static void find_properties(struct vk *v, struct vk_found *f)
{
    enum { DRIVER_SHORT = 10 };
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceFloatControlsProperties floats = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES,
        .pNext = f->of.apiVersion >= VK_API_VERSION_1_2 ? &driver : NULL};
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, .pNext = &floats};
    VkPhysicalDeviceMaintenance3Properties limits = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = &subgroup};
    VkPhysicalDeviceMaintenance4Properties buffers = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES,
        .pNext = &limits,
        .maxBufferSize = UINT64_MAX};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                     .pNext = f->buffer_max ? (void *)&buffers : &limits};
    v->api.GetPhysicalDeviceProperties2(f->device, &p);
    f->alloc_max = limits.maxMemoryAllocationSize < buffers.maxBufferSize
                       ? limits.maxMemoryAllocationSize
                       : buffers.maxBufferSize;
    f->subgroup = subgroup.subgroupSize;
    /* Mesa's version says which it is; NVIDIA's is a number. */
    bool whole = strlen(driver.driverInfo) >= DRIVER_SHORT;
    snprintf(f->driver, sizeof f->driver, "%.30s%s%.30s", whole ? "" : driver.driverName,
             whole || !driver.driverInfo[0] ? "" : " ", driver.driverInfo);
    VkSubgroupFeatureFlags needed = VK_SUBGROUP_FEATURE_BASIC_BIT |
                                    VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                    VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    if ((subgroup.supportedOperations & needed) != needed ||
        !(subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT))
        snprintf(f->lacks, sizeof f->lacks, "sums and shuffles within a subgroup");
    else if (f->of.limits.maxComputeWorkGroupInvocations < VK_LANES ||
             f->of.limits.maxComputeWorkGroupSize[0] < VK_LANES)
        snprintf(f->lacks, sizeof f->lacks, "groups of %d lanes", VK_LANES);
    else if (!floats.shaderSignedZeroInfNanPreserveFloat32)
        snprintf(f->lacks, sizeof f->lacks, "NaN and infinities that stay what they are");
    else if (f->subgroup < VK_SUBGROUP_MIN || f->subgroup > VK_SUBGROUP_MAX)
        snprintf(f->lacks, sizeof f->lacks, "subgroups of %d to %d lanes, it has %u",
                 VK_SUBGROUP_MIN, VK_SUBGROUP_MAX, f->subgroup);
}

static void find_features(struct vk *v, struct vk_found *f)
{
    VkPhysicalDeviceBufferDeviceAddressFeatures address = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES};
    VkPhysicalDevice16BitStorageFeatures storage = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES, .pNext = &address};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &storage};
    v->api.GetPhysicalDeviceFeatures2(f->device, &features);
    const char *lacks = !address.bufferDeviceAddress        ? "bufferDeviceAddress"
                        : !features.features.shaderInt64    ? "shaderInt64"
                        : !storage.storageBuffer16BitAccess ? "storageBuffer16BitAccess"
                                                            : NULL;
    if (lacks)
        snprintf(f->lacks, sizeof f->lacks, "%s", lacks);
}

static void find_memory(struct vk *v, struct vk_found *f)
{
    VkPhysicalDeviceMemoryProperties2 p = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    v->api.GetPhysicalDeviceMemoryProperties2(f->device, &p);
    for (uint32_t i = 0; i < p.memoryProperties.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &p.memoryProperties.memoryHeaps[i];
        if (heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT && heap->size > f->memory)
            f->memory = heap->size;
    }
}

static struct vk_found find_one(struct vk *v, VkPhysicalDevice device)
{
    struct vk_found f = {.device = device};
    v->api.GetPhysicalDeviceProperties(device, &f.of);
    f.software = f.of.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    if (f.of.apiVersion < VK_API_VERSION_1_1) {
        snprintf(f.lacks, sizeof f.lacks, "Vulkan 1.1");
        return f;
    }
    find_memory(v, &f);
    find_extensions(v, &f);
    if (f.lacks[0])
        return f;
    find_properties(v, &f);
    find_features(v, &f);
    if (!find_family(v, &f))
        snprintf(f.lacks, sizeof f.lacks, "a queue that computes");
    return f;
}

int vk_find(struct vk *v, struct vk_found *list, int max)
{
    VkPhysicalDevice devices[VK_DEVICES_MAX];
    uint32_t n = max < VK_DEVICES_MAX ? (uint32_t)max : VK_DEVICES_MAX;
    if (v->api.EnumeratePhysicalDevices(v->instance, &n, devices) < 0)
        n = 0;
    for (uint32_t i = 0; i < n; i++)
        list[i] = find_one(v, devices[i]);
    return (int)n;
}

/* "0 NAME, 1 NAME (software)" */
static void say_devices(const struct vk_found *list, int n, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < n && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%d %.60s%s", i ? ", " : "", i,
                                 list[i].of.deviceName, list[i].software ? " (software)" : "");
}

/* Whether one is meant by a name; with NULL: by its kind. */
static bool is_meant(const struct vk_found *f, int i, const char *name)
{
    char number[16];
    snprintf(number, sizeof number, "%d", i);
    return strcmp(name, number) == 0 || strcasestr(f->of.deviceName, name);
}

int vk_choose(const struct vk_found *list, int n, const char *name, char *why, size_t why_size)
{
    static const VkPhysicalDeviceType ORDER[] = {
        VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU,
        VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU, VK_PHYSICAL_DEVICE_TYPE_OTHER};
    char there[256];
    int lacking = -1;
    for (size_t o = 0; !name && o < sizeof ORDER / sizeof *ORDER; o++)
        for (int i = 0; i < n; i++)
            if (list[i].of.deviceType == ORDER[o]) {
                if (!list[i].lacks[0])
                    return i;
                lacking = lacking < 0 ? i : lacking;
            }
    for (int i = 0; name && i < n; i++)
        if (is_meant(&list[i], i, name)) {
            if (!list[i].lacks[0])
                return i;
            lacking = lacking < 0 ? i : lacking;
        }
    say_devices(list, n, there, sizeof there);
    if (lacking >= 0)
        snprintf(why, why_size, "vulkan · %.60s lacks %s", list[lacking].of.deviceName,
                 list[lacking].lacks);
    else if (n == 0)
        snprintf(why, why_size, "vulkan · no device · no driver for one is installed");
    else if (name)
        snprintf(why, why_size, "vulkan · no device %.40s · there is %s", name, there);
    else
        snprintf(why, why_size,
                 "vulkan · no device but software · there is %s; by name, as vulkan:llvmpipe",
                 there);
    return -1;
}
