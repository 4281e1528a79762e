/* vk.h - a Vulkan device that computes: opening one, its memory, its queue.
 *
 * The loader is opened at run time.  Addresses are the device's (bufferDeviceAddress), so that
 * kernels follow them and the host only counts with them.  Everything that is queued is done in the
 * order of the calls: one queue, and a barrier between any two commands.  That is also why memory
 * that is freed may be given out again at once.  All from one thread.  Tested in
 * tests/kernels/test_vulkan.c. */
#ifndef KN_VULKAN_VK_H
#define KN_VULKAN_VK_H

#include "kn.h"

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

struct vk_api {
#define VK_CALL(level, name) PFN_vk##name name;
#include "api.def"
    PFN_vkGetBufferDeviceAddress GetBufferDeviceAddress; /* or the extension's, before 1.2 */
};

/* A kernel's SPIR-V: entry point main, parameters as push constants. */
struct vk_module {
    const char *name;
    const uint32_t *words;
    size_t bytes;
};
extern const struct vk_module vk_modules[]; /* written by spvexact at build time */
extern const int vk_module_count;

enum {
    VK_DEVICES_MAX = 16,
    VK_PARAMS_MAX = 128,      /* bytes of push constants that every device has */
    VK_GROUPS_MAX = 65535,    /* groups along an axis, likewise */
    VK_ALIGN = 256,           /* of what vk_alloc gives, and its bytes are a multiple of it */
    VK_BATCHES = 3,           /* command buffers: one recorded while others run */
    VK_BATCH_COMMANDS = 32,   /* after so many it is submitted: what a cancelled pass waits for */
    VK_STAGE_BYTES = 4 << 20, /* per batch and direction */
    VK_LANES = 256,           /* of the largest groups that kernels have */
    VK_SUBGROUP_MIN = 8,      /* lanes */
    VK_SUBGROUP_MAX = 64
};

/* What Vulkan 1.2 has of itself and 1.1 as these. */
enum { VK_EXTENSIONS = 2 };
extern const char *const vk_extensions[VK_EXTENSIONS];

/* A device as its driver describes it. */
struct vk_found {
    VkPhysicalDevice device;
    VkPhysicalDeviceProperties of;
    char driver[64];    /* name and version; "" where it is not told */
    char lacks[96];     /* what it cannot do that is needed; "": nothing */
    bool software;      /* a processor that plays the device */
    bool extensions;    /* vk_extensions are what make it do: it is older than 1.2 */
    bool budget;        /* VK_EXT_memory_budget */
    bool buffer_max;    /* VK_KHR_maintenance4: it tells how large a buffer may be */
    uint32_t family;    /* the queue family that computes */
    uint64_t memory;    /* bytes of its own */
    uint64_t alloc_max; /* bytes of one allocation that is one buffer */
    uint32_t subgroup;  /* lanes */
};

/* A part of a chunk. */
struct vk_block {
    uint64_t at, bytes;
    bool used;
};

/* One allocation of the driver's, cut into blocks that lie side by side. */
struct vk_chunk {
    VkBuffer buffer;
    VkDeviceMemory memory;
    VkDeviceAddress address;
    uint64_t bytes;
    struct vk_block *blocks;
    int n, room;
};

/* Bytes that go to `host` when their batch is done. */
struct vk_reading {
    void *host;
    uint64_t at, bytes; /* in the stage */
};

struct vk_batch {
    VkCommandBuffer commands;
    VkFence fence;
    enum { VK_BATCH_EMPTY, VK_BATCH_RECORDING, VK_BATCH_SUBMITTED } state;
    int n;             /* commands */
    uint64_t up, down; /* where its two stages begin */
    uint64_t up_used, down_used;
    struct vk_reading *readings;
    int n_readings, room;
};

struct vk {
    struct vk_api api;
    void *loader;
    VkInstance instance;
    struct vk_found found;
    VkDevice device;
    VkQueue queue;

    struct vk_chunk *chunks;
    int n_chunks, room;
    uint64_t chunk_bytes;             /* of all chunks */
    uint32_t device_type, stage_type; /* types of memory */

    struct vk_chunk stage; /* what the host sees */
    char *stage_host;
    VkCommandPool pool;
    struct vk_batch batches[VK_BATCHES];
    int current;           /* is recorded, or will be next */
    enum kn_status failed; /* first failure since vk_sync; a lost device stays lost */
    long dropped;          /* batches so far of which nothing happened */
    bool lost;

    VkPipelineLayout layout;
    const struct vk_module *modules;
    VkPipeline *pipelines;
    int n_modules;
};

/* ---- opening (device.c, find.c); on failure false and a line in `why` ---- */

/* The loader and an instance.  `v` is all zero before. */
bool vk_load(struct vk *v, char *why, size_t why_size);
/* The devices of the instance, usable or not, at most `max`; how many. */
int vk_find(struct vk *v, struct vk_found *list, int max);
/* The one that is meant: by its number in the list, by a part of its name (in any case), or with
 * NULL the first that is no software, discrete ones first.  -1 and `why` where there is none. */
int vk_choose(const struct vk_found *list, int n, const char *name, char *why, size_t why_size);
/* The device v->found, with pipelines of modules[0, n), which must outlive it. */
bool vk_start(struct vk *v, const struct vk_module *modules, int n, char *why, size_t why_size);
/* Everything again; whatever vk_load and vk_start left. */
void vk_stop(struct vk *v);

/* ---- memory (memory.c) ---- */

/* Not zeroed; 0 when there is none left. */
VkDeviceAddress vk_alloc(struct vk *v, uint64_t bytes);
void vk_free(struct vk *v, VkDeviceAddress at);
/* The chunk and the offset in it; NULL where it is no address of vk_alloc's. */
struct vk_chunk *vk_where(struct vk *v, VkDeviceAddress at, uint64_t *offset);
/* Bytes of the device's memory, and those that are free now as far as the driver tells. */
void vk_memory(struct vk *v, size_t *total, size_t *available);
/* A buffer as all are, and what it needs of memory. */
VkResult vk_buffer(struct vk *v, uint64_t bytes, VkBuffer *ret, VkMemoryRequirements *needs);
/* A chunk of its own of one type of memory; false when there is none left. */
bool vk_chunk_new(struct vk *v, struct vk_chunk *c, uint64_t bytes, uint32_t type);
void vk_chunk_free(struct vk *v, struct vk_chunk *c);

/* ---- the queue (queue.c); failures also by vk_sync ---- */

bool vk_queue_start(struct vk *v);
void vk_queue_stop(struct vk *v);
/* Groups x, y, z (each 1 to VK_GROUPS_MAX) of a module, with up to VK_PARAMS_MAX bytes. */
enum kn_status vk_launch(struct vk *v, int module, const void *params, size_t bytes, uint32_t x,
                         uint32_t y, uint32_t z);
/* Words of 32 bits from `at` on. */
enum kn_status vk_fill(struct vk *v, VkDeviceAddress at, uint64_t bytes, uint32_t word);
/* Taken at once. */
enum kn_status vk_upload(struct vk *v, VkDeviceAddress at, const void *host, uint64_t bytes);
/* There at vk_sync; `host` must live until then. */
enum kn_status vk_download(struct vk *v, VkDeviceAddress at, void *host, uint64_t bytes);
enum kn_status vk_copy(struct vk *v, VkDeviceAddress to, VkDeviceAddress from, uint64_t bytes);
/* Submit and wait for everything. */
void vk_wait(struct vk *v);
/* What was recorded is submitted, and so, unless the device is lost, will happen: all of it since
 * v->dropped was this number, or a status. */
enum kn_status vk_flush(struct vk *v, long dropped);
/* The same; the first failure since the last time. */
enum kn_status vk_sync(struct vk *v);

enum kn_status vk_status(VkResult r);
/* A module's pipeline, made when it is first wanted. */
VkResult vk_pipeline(struct vk *v, int module, VkPipeline *ret);

#endif
