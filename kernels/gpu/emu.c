/* emu.c - see emu.h.  Tested in tests/kernels. */
#include "emu.h"

#include "../wrap.h"
#include "dialect_host.h"

#undef min
#undef max
#undef abs
#undef sqrt

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef __x86_64__
#include <ucontext.h>
#endif
#if defined(__SANITIZE_THREAD__)
#define EMU_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EMU_TSAN
#endif
#endif

enum { STACK_BYTES = (64 << 10) + 320 }; /* no power of two: all tops would share a cache set */

_Thread_local struct emu_where emu;

/* The kernels, as the build compiles them. */
#define GPU_KERNEL(name, lanes, params, text, defines) void emu_##name(const void *params_);
#include "kernels.def"
#undef GPU_KERNEL
static void (*const ENTRY[GPU_KERNEL_COUNT])(const void *) = {
#define GPU_KERNEL(name, lanes, params, text, defines) emu_##name,
#include "kernels.def"
#undef GPU_KERNEL
};

/* ---- fibers ---- */

#ifdef __x86_64__
typedef void *fiber;
/* Keep what a function must preserve on this stack, which is left, and go on with the other. */
void emu_switch(fiber *save, const fiber *to);
__asm__(".text\n.globl emu_switch\nemu_switch:\n"
        " push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        " mov %rsp,(%rdi)\n mov (%rsi),%rsp\n"
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

static void fiber_start(fiber *f, char *stack, void (*entry)(void))
{
    void **top = (void **)(void *)(stack + STACK_BYTES);
    *--top = NULL; /* the alignment of a stack that a call has pushed its return address on */
    *--top = (void *)(uintptr_t)entry;
    *f = top - 6;
}
#else
typedef ucontext_t fiber;
static void emu_switch(fiber *save, const fiber *to)
{
    swapcontext(save, to);
}

static void fiber_start(fiber *f, char *stack, void (*entry)(void))
{
    getcontext(f);
    f->uc_stack.ss_sp = stack, f->uc_stack.ss_size = STACK_BYTES, f->uc_link = NULL;
    makecontext(f, entry, 0);
}
#endif

enum emu_order { EMU_RISING, EMU_FALLING, EMU_MIXED, EMU_ORDER_COUNT };

struct emu_device {
    struct gpu g; /* first */
    enum emu_order order;
};

/* One group at a time runs in a thread. */
static _Thread_local struct group {
    char *stacks;
    fiber lane[GPU_LANES_MAX], scheduler;
    bool done[GPU_LANES_MAX];
    int barriers[GPU_LANES_MAX];
    void (*kernel)(const void *);
    const void *params;
    union {
        float real;
        int whole;
    } fold[2][GPU_LANES_MAX]; /* in turn, so that one barrier serves */
    int folds[GPU_LANES_MAX];
    struct fold_result {
        int turn; /* counted from 1 */
        float real;
        int whole;
    } result[GPU_LANES_MAX]; /* of the team that begins at a lane */
    bool plain; /* lanes run as calls: the first one passed no barrier, so that none may */
    enum emu_order order;
} group;

#ifdef EMU_TSAN
/* Lanes are threads to ThreadSanitizer, ordered by barriers and by the ends of groups alone. */
void *__tsan_create_fiber(unsigned flags);
void *__tsan_get_current_fiber(void);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *at);
void __tsan_release(void *at);
static _Thread_local struct {
    void *lane[GPU_LANES_MAX], *scheduler;
    char barrier, start, end[2];
    int turn;
} tsan;
#define TSAN(...) __VA_ARGS__
enum { FIBERS_ONLY = 1 };
#else
#define TSAN(...)
enum { FIBERS_ONLY = 0 };
#endif

static void to_scheduler(void)
{
    TSAN(__tsan_switch_to_fiber(tsan.scheduler, 1);)
    emu_switch(&group.lane[emu.lane], &group.scheduler);
}

static void to_lane(int lane)
{
    emu.lane = lane;
    TSAN(__tsan_switch_to_fiber(tsan.lane[lane], 1);)
    emu_switch(&group.scheduler, &group.lane[lane]);
}

static void lane_main(void)
{
    TSAN(__tsan_acquire(&tsan.start); __tsan_acquire(&tsan.end[1 - tsan.turn]);)
    group.kernel(group.params);
    group.done[emu.lane] = true;
    TSAN(__tsan_release(&tsan.end[tsan.turn]);)
    to_scheduler();
}

_Noreturn static void barriers_differ(void)
{
    wrap_fail("emu", "lanes passed different numbers of barriers", "a kernel", "");
}

void emu_barrier(void)
{
    if (group.plain)
        barriers_differ();
    group.barriers[emu.lane]++;
    TSAN(__tsan_release(&tsan.barrier);)
    to_scheduler();
    TSAN(__tsan_acquire(&tsan.barrier);)
}

/* Of `width` lanes from `first` on: once for all of them, but under a sanitizer that would take it
 * for a race. */
float emu_fold(float x, bool sum, int width)
{
    int w = width ? width : emu.lanes, first = emu.lane / w * w, turn = group.folds[emu.lane]++;
    float t[GPU_LANES_MAX];
    group.fold[turn % 2][emu.lane].real = x;
    emu_barrier();
    struct fold_result *r = &group.result[first];
    if (!FIBERS_ONLY && r->turn == turn + 1)
        return r->real;
    for (int i = 0; i < w; i++)
        t[i] = group.fold[turn % 2][first + i].real;
    for (int o = 1; o < w; o *= 2)
        for (int i = 0; i + o < w; i += 2 * o)
            t[i] = sum ? t[i] + t[i + o] : t[i] > t[i + o] ? t[i] : t[i + o];
    if (!FIBERS_ONLY)
        *r = (struct fold_result){turn + 1, t[0], 0};
    return t[0];
}

int emu_fold_int(int x, bool sum)
{
    int turn = group.folds[emu.lane]++;
    group.fold[turn % 2][emu.lane].whole = x;
    emu_barrier();
    struct fold_result *r = &group.result[0];
    if (!FIBERS_ONLY && r->turn == turn + 1)
        return r->whole;
    int t = group.fold[turn % 2][0].whole;
    for (int i = 1; i < emu.lanes; i++) {
        int y = group.fold[turn % 2][i].whole;
        t = sum ? t + y : y < t ? y : t;
    }
    if (!FIBERS_ONLY)
        *r = (struct fold_result){turn + 1, 0, t};
    return t;
}

static int lane_at(int turn)
{
    enum { APART = 37 }; /* no factor of a number of lanes */
    switch (group.order) {
    case EMU_FALLING: return emu.lanes - 1 - turn;
    case EMU_MIXED: return turn * APART % emu.lanes;
    default: return turn;
    }
}

/* The lanes but the first as calls on this stack. */
static void lanes_call(void)
{
    group.plain = true;
    for (int turn = 1; turn < emu.lanes; turn++) {
        emu.lane = lane_at(turn);
        group.kernel(group.params);
    }
    group.plain = false;
}

/* All lanes that are not done, up to their next barrier or their end. */
static int lanes_step(int left)
{
    for (int turn = 0; turn < emu.lanes; turn++) {
        int lane = lane_at(turn);
        if (group.done[lane])
            continue;
        if (!group.barriers[lane] && turn > 0)
            fiber_start(&group.lane[lane], group.stacks + (size_t)lane * STACK_BYTES, lane_main);
        to_lane(lane);
        left -= group.done[lane];
        if (turn == 0 && group.done[lane] && group.barriers[lane] == 0 && FIBERS_ONLY == 0) {
            lanes_call();
            return 0;
        }
    }
    for (int i = 1; i < emu.lanes; i++)
        if (group.barriers[i] != group.barriers[0])
            barriers_differ();
    return left;
}

static void group_run(void)
{
    int first = lane_at(0);
    TSAN(tsan.turn = 1 - tsan.turn;)
    memset(group.done, 0, sizeof group.done);
    memset(group.barriers, 0, sizeof group.barriers);
    memset(group.folds, 0, sizeof group.folds);
    memset(group.result, 0, sizeof group.result);
    fiber_start(&group.lane[first], group.stacks + (size_t)first * STACK_BYTES, lane_main);
    for (int left = emu.lanes; left > 0;)
        left = lanes_step(left);
}

static bool group_ready(void)
{
    if (group.stacks)
        return true;
    void *stacks = mmap(NULL, (size_t)GPU_LANES_MAX * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED)
        return false;
    group.stacks = stacks;
    TSAN(tsan.scheduler = __tsan_get_current_fiber();
         for (int i = 0; i < GPU_LANES_MAX; i++) tsan.lane[i] = __tsan_create_fiber(0);)
    return true;
}

/* ---- the device ---- */

static enum kn_status launch(struct gpu *g, enum gpu_kernel k, const void *params, size_t bytes,
                             int64_t x, int64_t y, int64_t z)
{
    assert(bytes == (size_t)gpu_kernels[k].param_bytes && bytes <= GPU_PARAM_BYTES);
    assert(x > 0 && y > 0 && z > 0 && x <= GPU_GRID_MAX && y <= GPU_GRID_MAX && z <= GPU_GRID_MAX);
    if (!group_ready())
        return KN_OUT_OF_MEMORY;
    group.kernel = ENTRY[k], group.params = params, group.order = ((struct emu_device *)g)->order;
    emu.lanes = gpu_kernels[k].lanes, emu.groups_x = (int)x;
    TSAN(__tsan_release(&tsan.start);)
    for (emu.group_z = 0; emu.group_z < z; emu.group_z++)
        for (emu.group_y = 0; emu.group_y < y; emu.group_y++)
            for (emu.group_x = 0; emu.group_x < x; emu.group_x++)
                group_run();
    TSAN(__tsan_acquire(&tsan.end[tsan.turn]);)
    return KN_OK;
}

static enum kn_status upload(struct gpu *g, void *device, const void *host, size_t bytes)
{
    (void)g;
    memcpy(device, host, bytes);
    return KN_OK;
}

static enum kn_status download(struct gpu *g, void *host, const void *device, size_t bytes)
{
    (void)g;
    memcpy(host, device, bytes);
    return KN_OK;
}

static enum kn_status wait_all(struct gpu *g)
{
    (void)g;
    return KN_OK;
}

/* Zero pages come from the system untouched; what calloc gave lies before what is handed out. */
enum { ALIGNMENT = 64 };

static void *backend_alloc(struct kn_backend *be, size_t bytes)
{
    char *all = bytes <= be->alloc_max ? calloc(1, bytes + 2 * ALIGNMENT) : NULL;
    if (!all)
        return NULL;
    char *mem = all + 2 * ALIGNMENT - (uintptr_t)all % ALIGNMENT;
    memcpy(mem - sizeof all, &all, sizeof all);
    return mem;
}

static void backend_release(struct kn_backend *be, void *mem, size_t bytes)
{
    (void)be, (void)bytes;
    char *all = NULL;
    if (mem)
        memcpy(&all, (char *)mem - sizeof all, sizeof all);
    free(all);
}

static void backend_memory(struct kn_backend *be, size_t *total, size_t *available)
{
    (void)be;
    *total = *available = 0;
}

static void backend_close(struct kn_backend *be)
{
    gpu_close((struct gpu *)be);
    free(be);
}

static const struct kn_backend_type EMU_TYPE = {
    .name = "emu",
    .alloc = backend_alloc,
    .release = backend_release,
    .import = gpu_import,
    .forget = gpu_forget,
    .run = gpu_run,
    .sync = gpu_sync,
    .read = gpu_read,
    .write = gpu_write,
    .fill = gpu_fill,
    .memory = backend_memory,
    .close = backend_close,
};

struct kn_backend *emu_open(const struct kn_options *opt, char *why, size_t why_size)
{
    enum { ROWS_PREFERRED = 256 };
    static const char *const NAMES[EMU_ORDER_COUNT] = {"emu", "emu:falling", "emu:mixed"};
    int order = 0;
    while (order < EMU_ORDER_COUNT && strcmp(opt->backend, NAMES[order]) != 0)
        order++;
    struct emu_device *d = order < EMU_ORDER_COUNT ? calloc(1, sizeof *d) : NULL;
    if (!d) {
        bool known = order < EMU_ORDER_COUNT;
        snprintf(why, why_size,
                 known ? "out of memory · opening %s"
                       : "%s · emu runs lanes as emu, emu:falling or emu:mixed",
                 opt->backend);
        errno = known ? ENOMEM : EINVAL;
        return NULL;
    }
    struct gpu *g = &d->g;
    d->order = (enum emu_order)order;
    g->base.type = &EMU_TYPE;
    g->base.exact_rows = true;
    g->base.alloc_max = PTRDIFF_MAX / 2;
    g->base.rows_preferred = ROWS_PREFERRED;
    snprintf(g->base.describe, sizeof g->base.describe, "%s", NAMES[order]);
    g->launch = launch, g->upload = upload, g->download = download, g->wait = wait_all;
    return &g->base;
}

__attribute__((constructor)) static void emu_offer(void)
{
    kn_offer("emu", emu_open);
}
