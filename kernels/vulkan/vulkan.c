/* vulkan.c - the backend: what kernels/gpu/ wants of a device, done by vk.h.  Tested in
 * tests/kernels on a software device. */
#include "vulkan/vulkan.h"

#include "gpu/gpu.h"
#include "vulkan/vk.h"

#include <assert.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct vulkan {
    struct gpu gpu; /* first */
    struct vk vk;
};

static struct vk *vk_of(void *be)
{
    return &((struct vulkan *)be)->vk;
}

/* ---- methods of the device ---- */

static enum kn_status device_launch(struct gpu *g, enum gpu_kernel k, const void *params,
                                    size_t bytes, int64_t x, int64_t y, int64_t z)
{
    return vk_launch(vk_of(g), (int)k, params, bytes, (uint32_t)x, (uint32_t)y, (uint32_t)z);
}

static enum kn_status device_upload(struct gpu *g, void *device, const void *host, size_t bytes)
{
    return vk_upload(vk_of(g), (VkDeviceAddress)(uintptr_t)device, host, bytes);
}

static enum kn_status device_download(struct gpu *g, void *host, const void *device, size_t bytes)
{
    return vk_download(vk_of(g), (VkDeviceAddress)(uintptr_t)device, host, bytes);
}

static enum kn_status device_wait(struct gpu *g)
{
    return vk_sync(vk_of(g));
}

/* ---- methods of the backend ---- */

/* What is told to be there, zeros and weights, must not go with a batch whose submission fails
 * later: others than who asked for it count on it, and only they do their work again. */
static void *backend_alloc(struct kn_backend *be, size_t bytes)
{
    struct vk *v = vk_of(be);
    long dropped = v->dropped;
    VkDeviceAddress at = vk_alloc(v, bytes);
    if (at && (vk_fill(v, at, (bytes + 3) / 4 * 4, 0) || vk_flush(v, dropped))) {
        vk_free(v, at);
        at = 0;
    }
    return (void *)(uintptr_t)at;
}

static enum kn_status backend_import(struct kn_backend *be, const struct kn_view *host,
                                     struct kn_view *device)
{
    struct vk *v = vk_of(be);
    struct kn_view there;
    long dropped = v->dropped;
    enum kn_status st = gpu_import(be, host, &there);
    if (st)
        return st;
    if ((st = vk_flush(v, dropped)))
        gpu_forget(be, &there);
    else
        *device = there;
    return st;
}

static void backend_release(struct kn_backend *be, void *mem, size_t bytes)
{
    (void)bytes;
    if (mem)
        vk_free(vk_of(be), (VkDeviceAddress)(uintptr_t)mem);
}

static void backend_memory(struct kn_backend *be, size_t *total, size_t *available)
{
    vk_memory(vk_of(be), total, available);
}

static void backend_close(struct kn_backend *be)
{
    struct vulkan *b = (struct vulkan *)be;
    gpu_close(&b->gpu);
    vk_stop(&b->vk);
    free(b);
}

static const struct kn_backend_type VULKAN_TYPE = {
    .name = "vulkan",
    .alloc = backend_alloc,
    .release = backend_release,
    GPU_METHODS,
    .import = backend_import,
    .memory = backend_memory,
    .close = backend_close,
};

/* ---- opening ---- */

/* The kernels take 8 neighbouring lanes for a team that shuffles; whether lanes stand so is the
 * device's affair, and asked of it. */
static bool lanes_in_line(struct vk *v, char *why, size_t why_size)
{
    enum { LANES = 256, WORDS = 3, PROBE = GPU_KERNEL_COUNT };
    uint32_t got[LANES][WORDS] = {{0}};
    VkDeviceAddress at = vk_alloc(v, sizeof got);
    enum kn_status st = at ? vk_launch(v, PROBE, &at, sizeof at, 1, 1, 1) : KN_OUT_OF_MEMORY;
    if (!st)
        st = vk_download(v, at, got, sizeof got);
    enum kn_status later = vk_sync(v);
    if (at)
        vk_free(v, at);
    if (st || later) {
        snprintf(why, why_size, "vulkan · %.60s does not start · %s", v->found.of.deviceName,
                 (st ? st : later) == KN_OUT_OF_MEMORY ? "out of memory" : "the device is lost");
        return false;
    }
    for (uint32_t i = 0; i < LANES; i++) {
        uint32_t size = got[i][2];
        if (size < VK_SUBGROUP_MIN || size > VK_SUBGROUP_MAX || got[i][0] != i / size ||
            got[i][1] != i % size) {
            snprintf(why, why_size,
                     "vulkan · lanes of %.60s do not stand in line · lane %u is %u "
                     "of subgroup %u",
                     v->found.of.deviceName, i, got[i][1], got[i][0]);
            return false;
        }
    }
    return true;
}

static bool open_device(struct vk *v, const char *which, char *why, size_t why_size)
{
    struct vk_found list[VK_DEVICES_MAX];
    if (!vk_load(v, why, why_size))
        return false;
    int n = vk_find(v, list, VK_DEVICES_MAX), i = vk_choose(list, n, which, why, why_size);
    if (i < 0)
        return false;
    v->found = list[i];
    return vk_start(v, vk_modules, vk_module_count, why, why_size) &&
           lanes_in_line(v, why, why_size);
}

static void promise(struct vulkan *b)
{
    enum { ROWS_PREFERRED = 256 };
    assert(vk_module_count == GPU_KERNEL_COUNT + 1); /* the probe is the last */
    struct kn_backend *be = &b->gpu.base;
    be->type = &VULKAN_TYPE;
    be->exact_rows = true;
    be->alloc_max = (size_t)b->vk.found.alloc_max;
    be->rows_preferred = ROWS_PREFERRED;
    snprintf(be->describe, sizeof be->describe, "vulkan %.40s", b->vk.found.of.deviceName);
    snprintf(be->driver, sizeof be->driver, "%.31s", b->vk.found.driver);
    b->gpu.launch = device_launch;
    b->gpu.upload = device_upload;
    b->gpu.download = device_download;
    b->gpu.wait = device_wait;
}

int vulkan_count(char *why, size_t why_size)
{
    struct vk v = {0};
    struct vk_found list[VK_DEVICES_MAX];
    int n = vk_load(&v, why, why_size) ? vk_find(&v, list, VK_DEVICES_MAX) : -1;
    vk_stop(&v);
    if (n == 0)
        vk_choose(list, n, NULL, why, why_size);
    return n < 0 ? 0 : n;
}

/* Whether this machine may have real hardware. */
static bool hardware_likely(void)
{
    glob_t found;
    bool node = glob("/dev/dri/renderD*", GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return node || access("/dev/nvidiactl", F_OK) == 0 || access("/dev/dxg", F_OK) == 0;
}

struct kn_backend *vulkan_open(const struct kn_options *opt, char *why, size_t why_size)
{
    const char *name = opt->backend ? opt->backend : "auto", *colon = strchr(name, ':');
    errno = EINVAL;
    if (strcmp(name, "auto") == 0 && !hardware_likely()) {
        snprintf(why, why_size, "vulkan · no graphics device on this machine");
        return NULL;
    }
    struct vulkan *b = calloc(1, sizeof *b);
    if (!b) {
        snprintf(why, why_size, "out of memory · opening vulkan");
        errno = ENOMEM;
        return NULL;
    }
    if (!open_device(&b->vk, colon ? colon + 1 : NULL, why, why_size)) {
        vk_stop(&b->vk);
        free(b);
        errno = EINVAL;
        return NULL;
    }
    promise(b);
    return &b->gpu.base;
}
