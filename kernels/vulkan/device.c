/* device.c - opening the loader, an instance, a device and its pipelines.  See vk.h. */
#include "vk.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool load_failed(char *why, size_t why_size, const char *what, int result)
{
    snprintf(why, why_size, "vulkan · %s failed (%d) · is the driver whole?", what, result);
    return false;
}

static bool load_missing(char *why, size_t why_size, const char *name)
{
    snprintf(why, why_size, "vulkan · the driver has no vk%s · wants Vulkan 1.2", name);
    return false;
}

/* One function, or the end of loading. */
#define LOAD(name, value)                \
    v->api.name = (PFN_vk##name)(value); \
    if (!v->api.name)                    \
        return load_missing(why, why_size, #name);

/* dlsym's result is no function pointer by C's rules, but by POSIX'. */
static PFN_vkVoidFunction load_export(struct vk *v, const char *name)
{
    void *symbol = dlsym(v->loader, name);
    PFN_vkVoidFunction f;
    memcpy(&f, &symbol, sizeof f);
    return f;
}

static bool load_global(struct vk *v, char *why, size_t why_size)
{
#define VK_CALL(level, name) VK_##level(name)
#define VK_EXPORT(name) LOAD(name, load_export(v, "vk" #name))
#define VK_GLOBAL(name) LOAD(name, v->api.GetInstanceProcAddr(NULL, "vk" #name))
#define VK_INSTANCE(name)
#define VK_DEVICE(name)
#include "api.def"
    return true;
}

static bool load_instance(struct vk *v, char *why, size_t why_size)
{
#define VK_CALL(level, name) VK_##level(name)
#define VK_EXPORT(name)
#define VK_GLOBAL(name)
#define VK_INSTANCE(name) LOAD(name, v->api.GetInstanceProcAddr(v->instance, "vk" #name))
#define VK_DEVICE(name)
#include "api.def"
    return true;
}

static bool load_device(struct vk *v, char *why, size_t why_size)
{
#define VK_CALL(level, name) VK_##level(name)
#define VK_EXPORT(name)
#define VK_GLOBAL(name)
#define VK_INSTANCE(name)
#define VK_DEVICE(name) LOAD(name, v->api.GetDeviceProcAddr(v->device, "vk" #name))
#include "api.def"
    LOAD(GetBufferDeviceAddress,
         v->api.GetDeviceProcAddr(v->device, v->found.extensions ? "vkGetBufferDeviceAddressKHR"
                                                                 : "vkGetBufferDeviceAddress"))
    return true;
}

bool vk_load(struct vk *v, char *why, size_t why_size)
{
    if (!(v->loader = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL))) {
        snprintf(why, why_size,
                 "vulkan · no libvulkan.so.1 · it comes with the driver, or as the "
                 "package libvulkan1");
        return false;
    }
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                             .pApplicationName = "borescope",
                             .apiVersion = VK_API_VERSION_1_2};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &app};
    if (!load_global(v, why, why_size))
        return false;
    VkResult r = v->api.CreateInstance(&info, NULL, &v->instance);
    if (r) {
        v->instance = NULL;
        if (r == VK_ERROR_INCOMPATIBLE_DRIVER)
            return vk_choose(NULL, 0, NULL, why, why_size) >= 0;
        return load_failed(why, why_size, "vkCreateInstance", r);
    }
    return load_instance(v, why, why_size);
}

static VkResult create_device(struct vk *v)
{
    static const float priority = 1;
    VkPhysicalDeviceBufferDeviceAddressFeatures address = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES,
        .bufferDeviceAddress = VK_TRUE};
    VkPhysicalDevice16BitStorageFeatures storage = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
        .pNext = &address,
        .storageBuffer16BitAccess = VK_TRUE};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &storage,
                                          .features = {.shaderInt64 = VK_TRUE}};
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = v->found.family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &features,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = v->found.extensions ? VK_EXTENSIONS : 0,
                               .ppEnabledExtensionNames = vk_extensions};
    return v->api.CreateDevice(v->found.device, &info, NULL, &v->device);
}

/* The type of memory, among those of `allowed`, with all of `flags`, of two the one with `liked`
 * too, of the largest heap; none that wants a feature of AMD's that is not asked for. */
static bool choose_type(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed,
                        VkMemoryPropertyFlags flags, VkMemoryPropertyFlags liked, uint32_t *ret)
{
    bool any = false, best_liked = false;
    VkDeviceSize best = 0;
    for (uint32_t i = 0; i < m->memoryTypeCount; i++) {
        VkMemoryPropertyFlags has = m->memoryTypes[i].propertyFlags;
        VkDeviceSize heap = m->memoryHeaps[m->memoryTypes[i].heapIndex].size;
        bool is_liked = (has & liked) == liked;
        if (!(allowed >> i & 1) || has & VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD ||
            (has & flags) != flags || (any && best_liked > is_liked) ||
            (any && best_liked == is_liked && heap <= best))
            continue;
        any = true, best_liked = is_liked, best = heap;
        *ret = i;
    }
    return any;
}

static bool start_memory(struct vk *v, char *why, size_t why_size)
{
    VkPhysicalDeviceMemoryProperties2 p = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    v->api.GetPhysicalDeviceMemoryProperties2(v->found.device, &p);
    const VkPhysicalDeviceMemoryProperties *m = &p.memoryProperties;
    VkBuffer buffer;
    VkMemoryRequirements needs;
    VkResult r = vk_buffer(v, VK_ALIGN, &buffer, &needs);
    if (r)
        return load_failed(why, why_size, "vkCreateBuffer", r);
    v->api.DestroyBuffer(v->device, buffer, NULL);
    uint32_t may = needs.memoryTypeBits; /* the same for every buffer of that usage */
    if (choose_type(m, may, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0, &v->device_type) &&
        choose_type(m, may,
                    VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                    VK_MEMORY_PROPERTY_HOST_CACHED_BIT, &v->stage_type))
        return true;
    snprintf(why, why_size, "vulkan · %.60s has no memory that both it and the host see",
             v->found.of.deviceName);
    return false;
}

/* One pipeline of a module. */
static VkResult create_pipeline(struct vk *v, const struct vk_module *m, VkPipeline *ret)
{
    VkShaderModuleCreateInfo code = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = m->bytes,
                                     .pCode = m->words};
    VkShaderModule module;
    VkResult r = v->api.CreateShaderModule(v->device, &code, NULL, &module);
    if (r)
        return r;
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .layout = v->layout,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main"}};
    r = v->api.CreateComputePipelines(v->device, VK_NULL_HANDLE, 1, &info, NULL, ret);
    v->api.DestroyShaderModule(v->device, module, NULL);
    if (r)
        *ret = VK_NULL_HANDLE;
    return r;
}

VkResult vk_pipeline(struct vk *v, int module, VkPipeline *ret)
{
    VkResult r = VK_SUCCESS;
    if (!v->pipelines[module])
        r = create_pipeline(v, &v->modules[module], &v->pipelines[module]);
    *ret = v->pipelines[module];
    return r;
}

static VkResult start_layout(struct vk *v)
{
    VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, VK_PARAMS_MAX};
    VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                       .pushConstantRangeCount = 1,
                                       .pPushConstantRanges = &range};
    return v->api.CreatePipelineLayout(v->device, &info, NULL, &v->layout);
}

bool vk_start(struct vk *v, const struct vk_module *modules, int n, char *why, size_t why_size)
{
    VkResult r = create_device(v);
    if (r) {
        v->device = NULL;
        return load_failed(why, why_size, "vkCreateDevice", r);
    }
    if (!load_device(v, why, why_size) || !start_memory(v, why, why_size))
        return false;
    v->api.GetDeviceQueue(v->device, v->found.family, 0, &v->queue);
    v->modules = modules, v->n_modules = n;
    v->pipelines = calloc((size_t)n, sizeof *v->pipelines);
    if (!v->pipelines || start_layout(v) || !vk_queue_start(v)) {
        snprintf(why, why_size, "vulkan · out of memory · opening %.60s", v->found.of.deviceName);
        return false;
    }
    return true;
}

void vk_stop(struct vk *v)
{
    if (v->device) {
        if (v->queue) {
            vk_wait(v);
            v->api.DeviceWaitIdle(v->device); /* also where a wait failed */
        }
        vk_queue_stop(v);
        for (int i = 0; v->pipelines && i < v->n_modules; i++)
            v->api.DestroyPipeline(v->device, v->pipelines[i], NULL);
        if (v->layout)
            v->api.DestroyPipelineLayout(v->device, v->layout, NULL);
        for (int i = 0; i < v->n_chunks; i++)
            vk_chunk_free(v, &v->chunks[i]);
        v->api.DestroyDevice(v->device, NULL);
    }
    if (v->instance)
        v->api.DestroyInstance(v->instance, NULL);
    if (v->loader)
        dlclose(v->loader);
    free(v->chunks);
    free(v->pipelines);
    *v = (struct vk){0};
}
