/* vkshim.c - see vkshim.h. */
#include "vkshim.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vkshim vkshim;

void *__real_dlopen(const char *name, int mode);
void *__wrap_dlopen(const char *name, int mode);
void *__real_dlsym(void *lib, const char *name);
void *__wrap_dlsym(void *lib, const char *name);

/* What a driver leaks is not ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libvulkan_\nleak:libLLVM\nleak:libVkLayer\nleak:libvulkan.so\n";
}

static PFN_vkGetInstanceProcAddr real_get;
static PFN_vkGetDeviceProcAddr real_get_device;
static PFN_vkCreateInstance real_CreateInstance;
static PFN_vkDestroyInstance real_DestroyInstance;
static PFN_vkDestroyDevice real_DestroyDevice;
static PFN_vkCmdPipelineBarrier real_CmdPipelineBarrier;
static PFN_vkCmdDispatch real_CmdDispatch;
static PFN_vkGetPhysicalDeviceProperties2 real_GetPhysicalDeviceProperties2;
static PFN_vkGetPhysicalDeviceMemoryProperties2 real_GetPhysicalDeviceMemoryProperties2;
static VkDebugUtilsMessengerEXT messenger;

void vkshim_reset(void)
{
    vkshim = (struct vkshim){.failure = VK_ERROR_OUT_OF_DEVICE_MEMORY};
}

static bool fails(void)
{
    return ++vkshim.calls == vkshim.fail_at;
}

/* Functions that give a result, and what they add to the counts where it is good. */
/* clang-format off */
#define MADE const VkAllocationCallbacks *a
#define CALLS \
    CALL(EnumeratePhysicalDevices, (VkInstance i, uint32_t *n, VkPhysicalDevice *d), (i, n, d), 0) \
    CALL(EnumerateDeviceExtensionProperties, (VkPhysicalDevice d, const char *l, uint32_t *n, VkExtensionProperties *p), (d, l, n, p), 0) \
    CALL(CreateDevice, (VkPhysicalDevice d, const VkDeviceCreateInfo *c, MADE, VkDevice *r), (d, c, a, r), 1) \
    CALL(DeviceWaitIdle, (VkDevice d), (d), 0) \
    CALL(CreateBuffer, (VkDevice d, const VkBufferCreateInfo *c, MADE, VkBuffer *r), (d, c, a, r), 1) \
    CALL(AllocateMemory, (VkDevice d, const VkMemoryAllocateInfo *c, MADE, VkDeviceMemory *r), (d, c, a, r), (vkshim.allocations++, 1)) \
    CALL(BindBufferMemory, (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize o), (d, b, m, o), 0) \
    CALL(MapMemory, (VkDevice d, VkDeviceMemory m, VkDeviceSize o, VkDeviceSize n, VkMemoryMapFlags f, void **r), (d, m, o, n, f, r), 0) \
    CALL(CreateShaderModule, (VkDevice d, const VkShaderModuleCreateInfo *c, MADE, VkShaderModule *r), (d, c, a, r), 1) \
    CALL(CreatePipelineLayout, (VkDevice d, const VkPipelineLayoutCreateInfo *c, MADE, VkPipelineLayout *r), (d, c, a, r), 1) \
    CALL(CreateComputePipelines, (VkDevice d, VkPipelineCache p, uint32_t n, const VkComputePipelineCreateInfo *c, MADE, VkPipeline *r), \
         (d, p, n, c, a, r), 1) \
    CALL(CreateCommandPool, (VkDevice d, const VkCommandPoolCreateInfo *c, MADE, VkCommandPool *r), (d, c, a, r), 1) \
    CALL(AllocateCommandBuffers, (VkDevice d, const VkCommandBufferAllocateInfo *c, VkCommandBuffer *r), (d, c, r), 0) \
    CALL(BeginCommandBuffer, (VkCommandBuffer b, const VkCommandBufferBeginInfo *c), (b, c), 0) \
    CALL(EndCommandBuffer, (VkCommandBuffer b), (b), 0) \
    CALL(QueueSubmit, (VkQueue q, uint32_t n, const VkSubmitInfo *s, VkFence f), (q, n, s, f), (vkshim.submits++, 0)) \
    CALL(CreateFence, (VkDevice d, const VkFenceCreateInfo *c, MADE, VkFence *r), (d, c, a, r), 1) \
    CALL(WaitForFences, (VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t t), (d, n, f, all, t), 0) \
    CALL(ResetFences, (VkDevice d, uint32_t n, const VkFence *f), (d, n, f), 0)

/* Functions that end an object. */
#define ENDS \
    END(DestroyBuffer, VkBuffer, (void)0) \
    END(FreeMemory, VkDeviceMemory, vkshim.allocations--) \
    END(DestroyShaderModule, VkShaderModule, (void)0) \
    END(DestroyPipelineLayout, VkPipelineLayout, (void)0) \
    END(DestroyPipeline, VkPipeline, (void)0) \
    END(DestroyCommandPool, VkCommandPool, (void)0) \
    END(DestroyFence, VkFence, (void)0)

#define CALL(name, params, args, made)            \
    static PFN_vk##name real_##name;              \
    static VkResult VKAPI_PTR shim_##name params  \
    {                                             \
        if (fails())                              \
            return vkshim.failure;                \
        VkResult result = real_##name args;            \
        vkshim.live += result < 0 ? 0 : (made);        \
        return result;                                 \
    }
CALLS
#undef CALL
#define END(name, type, also)                                                                  \
    static PFN_vk##name real_##name;                                                           \
    static void VKAPI_PTR shim_##name(VkDevice d, type what, const VkAllocationCallbacks *a)   \
    {                                                                                          \
        if (what)                                                                              \
            vkshim.live--, also;                                                               \
        real_##name(d, what, a);                                                               \
    }
ENDS
#undef END
    /* clang-format on */

    static VkBool32 VKAPI_PTR
    complain(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT type,
             const VkDebugUtilsMessengerCallbackDataEXT *d, void *user)
{
    (void)severity, (void)type, (void)user;
    if (!vkshim.complaints++)
        snprintf(vkshim.complaint, sizeof vkshim.complaint, "%s", d->pMessage);
    return VK_FALSE;
}

/* A library stays: the leak checker can name what it finds in it. */
static int keep_library(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)size, (void)user;
    if (info->dlpi_name && (strstr(info->dlpi_name, "ulkan") || strstr(info->dlpi_name, "LLVM") ||
                            strstr(info->dlpi_name, "VkLayer")))
        __real_dlopen(info->dlpi_name, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
    return 0;
}

static const char *const LAYER = "VK_LAYER_KHRONOS_validation";

/* With the layer, if that is asked for. */
static VkResult create_instance(const VkInstanceCreateInfo *info, VkInstance *ret)
{
    static const char *const EXTENSION = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    VkValidationFeatureEnableEXT on = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                        .enabledValidationFeatureCount = 1,
                                        .pEnabledValidationFeatures = &on};
    VkInstanceCreateInfo own = *info;
    if (!vkshim.layers)
        return real_CreateInstance(info, NULL, ret);
    own.pNext = &features;
    own.enabledLayerCount = own.enabledExtensionCount = 1;
    own.ppEnabledLayerNames = &LAYER;
    own.ppEnabledExtensionNames = &EXTENSION;
    VkResult r = real_CreateInstance(&own, NULL, ret);
    PFN_vkCreateDebugUtilsMessengerEXT create = r ? NULL
                                                  : (PFN_vkCreateDebugUtilsMessengerEXT)real_get(
                                                        *ret, "vkCreateDebugUtilsMessengerEXT");
    VkDebugUtilsMessengerCreateInfoEXT m = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT,
        .pfnUserCallback = complain};
    if (create)
        create(*ret, &m, NULL, &messenger);
    return r;
}

static VkResult VKAPI_PTR shim_CreateInstance(const VkInstanceCreateInfo *info,
                                              const VkAllocationCallbacks *a, VkInstance *ret)
{
    (void)a;
    if (fails())
        return vkshim.failure;
    VkResult r = create_instance(info, ret);
    dl_iterate_phdr(keep_library, NULL);
    vkshim.live += r ? 0 : 1;
    return r;
}

static void VKAPI_PTR shim_DestroyInstance(VkInstance i, const VkAllocationCallbacks *a)
{
    PFN_vkDestroyDebugUtilsMessengerEXT destroy = messenger
                                                      ? (PFN_vkDestroyDebugUtilsMessengerEXT)
                                                            real_get(
                                                                i,
                                                                "vkDestroyDebugUtilsMessengerEXT")
                                                      : NULL;
    if (destroy)
        destroy(i, messenger, NULL);
    messenger = VK_NULL_HANDLE;
    vkshim.live--;
    real_DestroyInstance(i, a);
}

static void VKAPI_PTR shim_DestroyDevice(VkDevice d, const VkAllocationCallbacks *a)
{
    vkshim.live--;
    real_DestroyDevice(d, a);
}

static void VKAPI_PTR shim_CmdPipelineBarrier(VkCommandBuffer b, VkPipelineStageFlags from,
                                              VkPipelineStageFlags to, VkDependencyFlags f,
                                              uint32_t nm, const VkMemoryBarrier *m, uint32_t nb,
                                              const VkBufferMemoryBarrier *bm, uint32_t ni,
                                              const VkImageMemoryBarrier *im)
{
    if (!vkshim.drop_barriers)
        real_CmdPipelineBarrier(b, from, to, f, nm, m, nb, bm, ni, im);
}

static void VKAPI_PTR shim_CmdDispatch(VkCommandBuffer b, uint32_t x, uint32_t y, uint32_t z)
{
    vkshim.launches++;
    real_CmdDispatch(b, x, y, z);
}

static void VKAPI_PTR shim_GetPhysicalDeviceProperties2(VkPhysicalDevice d,
                                                        VkPhysicalDeviceProperties2 *p)
{
    real_GetPhysicalDeviceProperties2(d, p);
    for (VkBaseOutStructure *s = (VkBaseOutStructure *)p; s; s = s->pNext)
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES && vkshim.subgroup)
            ((VkPhysicalDeviceSubgroupProperties *)s)->subgroupSize = (uint32_t)vkshim.subgroup;
}

static void VKAPI_PTR shim_GetPhysicalDeviceMemoryProperties2(VkPhysicalDevice d,
                                                              VkPhysicalDeviceMemoryProperties2 *p)
{
    real_GetPhysicalDeviceMemoryProperties2(d, p);
    for (uint32_t i = 0; i < p->memoryProperties.memoryTypeCount; i++)
        p->memoryProperties.memoryTypes[i].propertyFlags |= vkshim.memory;
}

static PFN_vkVoidFunction VKAPI_PTR shim_get_device(VkDevice d, const char *name);

/* The own function of a name in place of the real one. */
static PFN_vkVoidFunction instead(const char *name, PFN_vkVoidFunction real)
{
#define CALL(f, params, args, made)          \
    if (strcmp(name, "vk" #f) == 0) {        \
        real_##f = (PFN_vk##f)real;          \
        return (PFN_vkVoidFunction)shim_##f; \
    }
#define END(f, type, also) CALL(f, , , )
    CALLS ENDS CALL(CreateInstance, , , ) CALL(DestroyInstance, , , ) CALL(DestroyDevice, , , )
        CALL(CmdPipelineBarrier, , , ) CALL(CmdDispatch, , , )
            CALL(GetPhysicalDeviceProperties2, , , ) CALL(GetPhysicalDeviceMemoryProperties2, , , )
#undef CALL
#undef END
                if (strcmp(name, "vkGetDeviceProcAddr") == 0)
    {
        real_get_device = (PFN_vkGetDeviceProcAddr)real;
        return (PFN_vkVoidFunction)shim_get_device;
    }
    return real;
}

static PFN_vkVoidFunction VKAPI_PTR shim_get_device(VkDevice d, const char *name)
{
    PFN_vkVoidFunction real = fails() ? NULL : real_get_device(d, name);
    return real ? instead(name, real) : NULL;
}

static PFN_vkVoidFunction VKAPI_PTR shim_get(VkInstance i, const char *name)
{
    PFN_vkVoidFunction real = fails() ? NULL : real_get(i, name);
    return real ? instead(name, real) : NULL;
}

void *__wrap_dlopen(const char *name, int mode)
{
    return vkshim.absent || fails() ? NULL : __real_dlopen(name, mode);
}

void *__wrap_dlsym(void *lib, const char *name)
{
    void *symbol = fails() ? NULL : __real_dlsym(lib, name);
    PFN_vkVoidFunction own;
    memcpy(&own, &symbol, sizeof own);
    if (symbol && strcmp(name, "vkGetInstanceProcAddr") == 0) {
        real_get = (PFN_vkGetInstanceProcAddr)own;
        own = (PFN_vkVoidFunction)shim_get;
    } else if (symbol) {
        own = instead(name, own);
    }
    memcpy(&symbol, &own, sizeof symbol);
    return symbol;
}

bool vkshim_has_layers(void)
{
    enum { LAYERS_MAX = 64 };
    static VkLayerProperties list[LAYERS_MAX];
    uint32_t n = LAYERS_MAX;
    bool found = false;
    void *lib = __real_dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    void *symbol = lib ? __real_dlsym(lib, "vkEnumerateInstanceLayerProperties") : NULL;
    PFN_vkEnumerateInstanceLayerProperties get;
    memcpy(&get, &symbol, sizeof get);
    if (!get || get(&n, list) < 0)
        n = 0;
    for (uint32_t i = 0; i < n; i++)
        found |= strcmp(list[i].layerName, LAYER) == 0;
    if (lib)
        dlclose(lib);
    return found;
}
