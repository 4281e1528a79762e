/* memory.c - memory of the device, cut from a few large allocations.  See vk.h.
 *
 * A driver need not give more than 4,096 allocations.  A chunk is as large as a sixteenth of all
 * there are, so that their number grows with the logarithm of the memory, and little of it lies
 * idle. */
#include "vk.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_MIN = 32 << 20, CHUNK_SHARE = 16, KEEP_SHARE = 4 };

VkResult vk_buffer(struct vk *v, uint64_t bytes, VkBuffer *ret, VkMemoryRequirements *needs)
{
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT};
    VkResult r = v->api.CreateBuffer(v->device, &info, NULL, ret);
    if (!r)
        v->api.GetBufferMemoryRequirements(v->device, *ret, needs);
    return r;
}

bool vk_chunk_new(struct vk *v, struct vk_chunk *c, uint64_t bytes, uint32_t type)
{
    struct vk_chunk new = {.bytes = bytes};
    VkMemoryRequirements needs;
    if (vk_buffer(v, bytes, &new.buffer, &needs))
        return false;
    VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                       .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .pNext = &flags,
                                       .allocationSize = needs.size,
                                       .memoryTypeIndex = type};
    bool none = v->api.AllocateMemory(v->device, &allocation, NULL, &new.memory);
    if (none)
        new.memory = VK_NULL_HANDLE;
    if (none || v->api.BindBufferMemory(v->device, new.buffer, new.memory, 0)) {
        vk_chunk_free(v, &new);
        return false;
    }
    VkBufferDeviceAddressInfo at = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                    .buffer = new.buffer};
    new.address = v->api.GetBufferDeviceAddress(v->device, &at);
    *c = new;
    return true;
}

void vk_chunk_free(struct vk *v, struct vk_chunk *c)
{
    if (c->buffer)
        v->api.DestroyBuffer(v->device, c->buffer, NULL);
    if (c->memory)
        v->api.FreeMemory(v->device, c->memory, NULL);
    free(c->blocks);
    *c = (struct vk_chunk){0};
}

/* Make block i of a chunk two. */
static bool block_split(struct vk_chunk *c, int i, uint64_t bytes)
{
    if (c->n == c->room) {
        int room = c->room ? 2 * c->room : 16;
        struct vk_block *more = realloc(c->blocks, (size_t)room * sizeof *more);
        if (!more)
            return false;
        c->blocks = more, c->room = room;
    }
    struct vk_block *b = &c->blocks[i];
    memmove(b + 1, b, (size_t)(c->n++ - i) * sizeof *b);
    b->bytes = bytes;
    b[1].at += bytes, b[1].bytes -= bytes;
    return true;
}

static void block_remove(struct vk_chunk *c, int i)
{
    struct vk_block *b = &c->blocks[i];
    memmove(b, b + 1, (size_t)(--c->n - i) * sizeof *b);
}

/* The smallest hole that is large enough. */
static VkDeviceAddress chunk_take(struct vk_chunk *c, uint64_t bytes)
{
    int best = -1;
    for (int i = 0; i < c->n; i++)
        if (!c->blocks[i].used && c->blocks[i].bytes >= bytes &&
            (best < 0 || c->blocks[i].bytes < c->blocks[best].bytes))
            best = i;
    if (best < 0 || (c->blocks[best].bytes > bytes && !block_split(c, best, bytes)))
        return 0;
    c->blocks[best].used = true;
    return c->address + c->blocks[best].at;
}

/* One more chunk, which holds `bytes` at least; NULL when there is no memory left. */
static struct vk_chunk *chunk_add(struct vk *v, uint64_t bytes)
{
    if (v->n_chunks == v->room) {
        int room = v->room ? 2 * v->room : 16;
        struct vk_chunk *more = realloc(v->chunks, (size_t)room * sizeof *more);
        if (!more)
            return NULL;
        v->chunks = more, v->room = room;
    }
    uint64_t share = v->chunk_bytes / CHUNK_SHARE / VK_ALIGN * VK_ALIGN,
             large = share > CHUNK_MIN ? share : CHUNK_MIN;
    if (large > v->found.alloc_max)
        large = v->found.alloc_max / VK_ALIGN * VK_ALIGN;
    struct vk_block *blocks = malloc(sizeof *blocks);
    struct vk_chunk *c = &v->chunks[v->n_chunks];
    bool whole = bytes > large / 2; /* a chunk of its own */
    if (!blocks || ((whole || !vk_chunk_new(v, c, large, v->device_type)) &&
                    !vk_chunk_new(v, c, bytes, v->device_type))) {
        free(blocks);
        return NULL;
    }
    *blocks = (struct vk_block){.bytes = c->bytes};
    c->blocks = blocks, c->n = c->room = 1;
    v->chunk_bytes += c->bytes;
    v->n_chunks++;
    return c;
}

struct vk_chunk *vk_where(struct vk *v, VkDeviceAddress at, uint64_t *offset)
{
    for (int i = 0; i < v->n_chunks; i++) {
        struct vk_chunk *c = &v->chunks[i];
        if (at >= c->address && at - c->address < c->bytes) {
            *offset = at - c->address;
            return c;
        }
    }
    return NULL;
}

static bool chunk_empty(const struct vk_chunk *c)
{
    return c->n == 1 && !c->blocks[0].used;
}

/* Empty chunks go back to the driver until no more than `keep` bytes of them are left; what is
 * queued may still want them. */
static void chunks_trim(struct vk *v, uint64_t keep)
{
    uint64_t empty = 0;
    for (int i = 0; i < v->n_chunks; i++)
        empty += chunk_empty(&v->chunks[i]) ? v->chunks[i].bytes : 0;
    if (empty <= keep)
        return;
    vk_wait(v);
    for (int i = v->n_chunks - 1; i >= 0 && empty > keep && !v->lost; i--) {
        struct vk_chunk *c = &v->chunks[i];
        if (!chunk_empty(c))
            continue;
        empty -= c->bytes;
        v->chunk_bytes -= c->bytes;
        vk_chunk_free(v, c);
        *c = v->chunks[--v->n_chunks];
    }
}

VkDeviceAddress vk_alloc(struct vk *v, uint64_t bytes)
{
    if (bytes > v->found.alloc_max || v->lost)
        return 0;
    bytes = bytes ? (bytes + VK_ALIGN - 1) / VK_ALIGN * VK_ALIGN : VK_ALIGN;
    for (int i = 0; i < v->n_chunks; i++) {
        VkDeviceAddress at = chunk_take(&v->chunks[i], bytes);
        if (at)
            return at;
    }
    struct vk_chunk *c = chunk_add(v, bytes);
    if (!c) {
        chunks_trim(v, 0);
        c = chunk_add(v, bytes);
    }
    return c ? chunk_take(c, bytes) : 0;
}

void vk_free(struct vk *v, VkDeviceAddress at)
{
    uint64_t offset;
    struct vk_chunk *c = vk_where(v, at, &offset);
    int i = 0;
    while (c && i < c->n && c->blocks[i].at != offset)
        i++;
    if (!c || i == c->n)
        return;
    c->blocks[i].used = false;
    if (i + 1 < c->n && !c->blocks[i + 1].used) {
        c->blocks[i].bytes += c->blocks[i + 1].bytes;
        block_remove(c, i + 1);
    }
    if (i > 0 && !c->blocks[i - 1].used) {
        c->blocks[i - 1].bytes += c->blocks[i].bytes;
        block_remove(c, i);
    }
    chunks_trim(v, v->chunk_bytes / KEEP_SHARE);
}

void vk_memory(struct vk *v, size_t *total, size_t *available)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 p = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = v->found.budget ? &budget : NULL};
    v->api.GetPhysicalDeviceMemoryProperties2(v->found.device, &p);
    uint32_t heap = p.memoryProperties.memoryTypes[v->device_type].heapIndex;
    uint64_t all = p.memoryProperties.memoryHeaps[heap].size,
             limit = v->found.budget ? budget.heapBudget[heap] : all,
             taken = v->found.budget ? budget.heapUsage[heap] : v->chunk_bytes, idle = 0;
    for (int i = 0; i < v->n_chunks; i++)
        for (int j = 0; j < v->chunks[i].n; j++)
            idle += v->chunks[i].blocks[j].used ? 0 : v->chunks[i].blocks[j].bytes;
    *total = all;
    *available = (limit > taken ? limit - taken : 0) + idle;
}
