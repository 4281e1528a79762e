/* queue.c - what is recorded, submitted and waited for.  See vk.h.
 *
 * Batches take turns; each has a part of the stage, which is the one memory that host and device
 * both touch: what goes up lies there until its batch is done, what comes down is copied on then.
 */
#include "vk.h"

#include <stdlib.h>
#include <string.h>

enum kn_status vk_status(VkResult r)
{
    return r >= 0 ? KN_OK
           : r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_HOST_MEMORY
               ? KN_OUT_OF_MEMORY
               : KN_DEVICE_LOST;
}

/* Keep a failure for vk_sync. */
static enum kn_status queue_failed(struct vk *v, enum kn_status st)
{
    v->lost |= st == KN_DEVICE_LOST;
    v->failed = v->failed ? v->failed : st;
    return st;
}

static enum kn_status queue_result(struct vk *v, VkResult r)
{
    return r < 0 ? queue_failed(v, vk_status(r)) : KN_OK;
}

static VkResult batch_new(struct vk *v, struct vk_batch *b, int i)
{
    VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = v->pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    b->up = 2 * (uint64_t)i * VK_STAGE_BYTES;
    b->down = b->up + VK_STAGE_BYTES;
    VkResult r = v->api.AllocateCommandBuffers(v->device, &commands, &b->commands);
    if (!r && (r = v->api.CreateFence(v->device, &fence, NULL, &b->fence)))
        b->fence = VK_NULL_HANDLE;
    return r;
}

bool vk_queue_start(struct vk *v)
{
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = v->found.family};
    void *host = NULL;
    if (!vk_chunk_new(v, &v->stage, 2 * VK_BATCHES * (uint64_t)VK_STAGE_BYTES, v->stage_type) ||
        v->api.MapMemory(v->device, v->stage.memory, 0, VK_WHOLE_SIZE, 0, &host))
        return false;
    v->stage_host = host;
    if (v->api.CreateCommandPool(v->device, &pool, NULL, &v->pool)) {
        v->pool = VK_NULL_HANDLE;
        return false;
    }
    for (int i = 0; i < VK_BATCHES; i++)
        if (batch_new(v, &v->batches[i], i))
            return false;
    return true;
}

void vk_queue_stop(struct vk *v)
{
    for (int i = 0; i < VK_BATCHES; i++) {
        if (v->batches[i].fence)
            v->api.DestroyFence(v->device, v->batches[i].fence, NULL);
        free(v->batches[i].readings);
    }
    if (v->pool)
        v->api.DestroyCommandPool(v->device, v->pool, NULL);
    vk_chunk_free(v, &v->stage);
}

/* ---- batches ---- */

static void batch_reset(struct vk_batch *b)
{
    b->state = VK_BATCH_EMPTY;
    b->n = b->n_readings = 0;
    b->up_used = b->down_used = 0;
}

static const VkPipelineStageFlags WORK = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT |
                                         VK_PIPELINE_STAGE_TRANSFER_BIT;

/* What was written before is there for what follows. */
static void record_barrier(struct vk *v, struct vk_batch *b, VkPipelineStageFlags stage,
                           VkAccessFlags access)
{
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT |
                                                VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = access};
    v->api.CmdPipelineBarrier(b->commands, WORK, stage, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static void batch_submit(struct vk *v, struct vk_batch *b)
{
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .commandBufferCount = 1,
                         .pCommandBuffers = &b->commands};
    if (b->n_readings)
        record_barrier(v, b, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    VkResult r = v->api.EndCommandBuffer(b->commands);
    if (!r && !v->lost)
        r = v->api.QueueSubmit(v->queue, 1, &info, b->fence);
    if (queue_result(v, r) || v->lost)
        batch_reset(b), v->dropped++; /* nothing of it happens */
    else
        b->state = VK_BATCH_SUBMITTED;
    v->current = (v->current + 1) % VK_BATCHES;
}

/* What it read goes to the host. */
static void batch_wait(struct vk *v, struct vk_batch *b)
{
    if (b->state != VK_BATCH_SUBMITTED)
        return;
    VkResult r = v->lost ? VK_ERROR_DEVICE_LOST
                         : v->api.WaitForFences(v->device, 1, &b->fence, VK_TRUE, UINT64_MAX);
    if (!r)
        r = v->api.ResetFences(v->device, 1, &b->fence);
    /* Without a fence that tells when, nothing of the batch may be used again. */
    if (r) {
        queue_failed(v, KN_DEVICE_LOST);
    } else {
        for (int i = 0; i < b->n_readings; i++)
            memcpy(b->readings[i].host, v->stage_host + b->readings[i].at, b->readings[i].bytes);
    }
    batch_reset(b);
}

enum kn_status vk_flush(struct vk *v, long dropped)
{
    if (v->batches[v->current].state == VK_BATCH_RECORDING)
        batch_submit(v, &v->batches[v->current]);
    return v->lost ? KN_DEVICE_LOST : v->dropped > dropped ? KN_OUT_OF_MEMORY : KN_OK;
}

void vk_wait(struct vk *v)
{
    (void)vk_flush(v, v->dropped);
    for (int i = 0; i < VK_BATCHES; i++)
        batch_wait(v, &v->batches[(v->current + i) % VK_BATCHES]);
}

enum kn_status vk_sync(struct vk *v)
{
    vk_wait(v);
    enum kn_status st = v->lost ? KN_DEVICE_LOST : v->failed;
    v->failed = KN_OK;
    return st;
}

/* The batch to record one more command in, behind a barrier; NULL: v->failed. */
static struct vk_batch *record(struct vk *v)
{
    /* one that is on its way already is as full, and must not go twice */
    if (v->batches[v->current].state == VK_BATCH_RECORDING &&
        v->batches[v->current].n >= VK_BATCH_COMMANDS)
        batch_submit(v, &v->batches[v->current]);
    struct vk_batch *b = &v->batches[v->current];
    batch_wait(v, b);
    if (v->lost)
        return NULL;
    if (b->state == VK_BATCH_EMPTY) {
        VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                          .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
        if (queue_result(v, v->api.BeginCommandBuffer(b->commands, &begin)))
            return NULL;
        b->state = VK_BATCH_RECORDING;
    }
    record_barrier(v, b, WORK,
                   VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                       VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
    b->n++;
    return b;
}

static enum kn_status record_failed(const struct vk *v)
{
    return v->lost ? KN_DEVICE_LOST : v->failed;
}

/* ---- commands ---- */

enum kn_status vk_launch(struct vk *v, int module, const void *params, size_t bytes, uint32_t x,
                         uint32_t y, uint32_t z)
{
    VkPipeline pipeline;
    VkResult r = v->lost ? VK_ERROR_DEVICE_LOST : vk_pipeline(v, module, &pipeline);
    if (r)
        return queue_result(v, r);
    struct vk_batch *b = record(v);
    if (!b)
        return record_failed(v);
    v->api.CmdBindPipeline(b->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    v->api.CmdPushConstants(b->commands, v->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, (uint32_t)bytes,
                            params);
    v->api.CmdDispatch(b->commands, x, y, z);
    return KN_OK;
}

enum kn_status vk_fill(struct vk *v, VkDeviceAddress at, uint64_t bytes, uint32_t word)
{
    uint64_t offset;
    const struct vk_chunk *c = vk_where(v, at, &offset);
    if (!c)
        return KN_BAD_CALL;
    struct vk_batch *b = bytes ? record(v) : NULL;
    if (!b)
        return bytes ? record_failed(v) : KN_OK;
    v->api.CmdFillBuffer(b->commands, c->buffer, offset, bytes, word);
    return KN_OK;
}

/* A copy between two buffers. */
static void record_copy(struct vk *v, struct vk_batch *b, VkBuffer to, uint64_t to_at,
                        VkBuffer from, uint64_t from_at, uint64_t bytes)
{
    VkBufferCopy part = {.srcOffset = from_at, .dstOffset = to_at, .size = bytes};
    v->api.CmdCopyBuffer(b->commands, from, to, 1, &part);
}

/* The next batch where this one has no room left in a stage. */
static void stage_room(struct vk *v, bool up)
{
    struct vk_batch *b = &v->batches[v->current];
    if (b->state == VK_BATCH_RECORDING && (up ? b->up_used : b->down_used) >= VK_STAGE_BYTES)
        batch_submit(v, b);
}

static uint64_t stage_part(uint64_t used, uint64_t bytes)
{
    return bytes < VK_STAGE_BYTES - used ? bytes : VK_STAGE_BYTES - used;
}

enum kn_status vk_upload(struct vk *v, VkDeviceAddress at, const void *host, uint64_t bytes)
{
    uint64_t offset, done = 0;
    const struct vk_chunk *c = vk_where(v, at, &offset);
    if (!c)
        return KN_BAD_CALL;
    while (done < bytes) {
        stage_room(v, true);
        struct vk_batch *b = record(v);
        if (!b)
            return record_failed(v);
        uint64_t part = stage_part(b->up_used, bytes - done);
        memcpy(v->stage_host + b->up + b->up_used, (const char *)host + done, part);
        record_copy(v, b, c->buffer, offset + done, v->stage.buffer, b->up + b->up_used, part);
        b->up_used += (part + VK_ALIGN - 1) / VK_ALIGN * VK_ALIGN;
        done += part;
    }
    return KN_OK;
}

static bool reading_add(struct vk_batch *b, struct vk_reading r)
{
    if (b->n_readings == b->room) {
        int room = b->room ? 2 * b->room : 16;
        struct vk_reading *more = realloc(b->readings, (size_t)room * sizeof *more);
        if (!more)
            return false;
        b->readings = more, b->room = room;
    }
    b->readings[b->n_readings++] = r;
    return true;
}

enum kn_status vk_download(struct vk *v, VkDeviceAddress at, void *host, uint64_t bytes)
{
    uint64_t offset, done = 0;
    const struct vk_chunk *c = vk_where(v, at, &offset);
    if (!c)
        return KN_BAD_CALL;
    while (done < bytes) {
        stage_room(v, false);
        struct vk_batch *b = record(v);
        if (!b)
            return record_failed(v);
        uint64_t part = stage_part(b->down_used, bytes - done), to = b->down + b->down_used;
        if (!reading_add(b, (struct vk_reading){(char *)host + done, to, part}))
            return queue_failed(v, KN_OUT_OF_MEMORY);
        record_copy(v, b, v->stage.buffer, to, c->buffer, offset + done, part);
        b->down_used += (part + VK_ALIGN - 1) / VK_ALIGN * VK_ALIGN;
        done += part;
    }
    return KN_OK;
}

enum kn_status vk_copy(struct vk *v, VkDeviceAddress to, VkDeviceAddress from, uint64_t bytes)
{
    uint64_t to_at, from_at;
    const struct vk_chunk *t = vk_where(v, to, &to_at), *f = vk_where(v, from, &from_at);
    if (!t || !f)
        return KN_BAD_CALL;
    struct vk_batch *b = bytes ? record(v) : NULL;
    if (!b)
        return bytes ? record_failed(v) : KN_OK;
    record_copy(v, b, t->buffer, to_at, f->buffer, from_at, bytes);
    return KN_OK;
}
