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
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef __x86_64__
#include <ucontext.h>
#endif
enum { STACK_BYTES = (64 << 10) + 320 }; /* no power of two: all tops would share a cache set */

_Thread_local struct emu_where emu;

/* The kernels, as the build compiles them. */
#define DECLARE(name, lanes, params, text, defines) void emu_##name(const void *params_);
#define GPU_KERNEL DECLARE
#define GPU_MMA DECLARE
#include "kernels.def"
#undef GPU_KERNEL
#define ROW(name, lanes, params, text, defines) [GPU_##name] = emu_##name,
static void (*const ENTRY[GPU_ALL_COUNT])(const void *) = {
#define GPU_KERNEL ROW
#define GPU_MMA ROW
#include "kernels.def"
#undef GPU_KERNEL
};
#undef ROW

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

enum { MMA_LANES = 32, MMA_K = 16 };

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
    int barriers[GPU_LANES_MAX], passed; /* of each lane, and of all of them */
    int steps[GPU_LANES_MAX];            /* of matrix units */
    void (*kernel)(const void *);
    const void *params;
    union {
        float real;
        int whole;
    } fold[2][GPU_LANES_MAX]; /* in turn, so that one barrier serves */
    int folds[GPU_LANES_MAX];
    struct mma_operands {
        uint32_t a[4], b[2];
    } mma[2][GPU_LANES_MAX]; /* likewise */
    struct fold_result {
        int turn; /* counted from 1 */
        float real;
        int whole;
    } result[GPU_LANES_MAX]; /* of the team that begins at a lane */
    bool plain; /* lanes run as calls: the first one passed no barrier, so that none may */
    enum emu_order order;
} group;

#ifdef EMU_TSAN /* of the build: this file is not instrumented, the kernels are */
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

/* Back when all lanes have come this far: a warp may be ahead of others that a matrix unit holds.
 */
static void all_here(void)
{
    if (group.plain)
        barriers_differ();
    int passed = ++group.barriers[emu.lane];
    TSAN(__tsan_release(&tsan.barrier);)
    do
        to_scheduler();
    while (group.passed < passed);
    TSAN(__tsan_acquire(&tsan.barrier);)
}

/* The barrier that EMU_WITHOUT="attn.k:17" names, which is left out: a test then has to fail. */
static struct {
    char file[32];
    int line;
} without;

__attribute__((constructor)) static void without_take(void)
{
    const char *text = getenv("EMU_WITHOUT");
    if (text && sscanf(text, "%31[^:]:%d", without.file, &without.line) != 2)
        wrap_fail("emu", "EMU_WITHOUT is no FILE:LINE", text, "");
}

void emu_barrier(const char *file, int line)
{
    const char *name = strrchr(file, '/');
    if (line != without.line || strcmp(name ? name + 1 : file, without.file) != 0)
        all_here();
}

/* Of `width` lanes from `first` on: once for all of them, but under a sanitizer that would take it
 * for a race. */
float emu_fold(float x, bool sum, int width)
{
    int w = width ? width : emu.lanes, first = emu.lane / w * w, turn = group.folds[emu.lane]++;
    float t[GPU_LANES_MAX];
    group.fold[turn % 2][emu.lane].real = x;
    all_here();
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
    all_here();
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

/* Products are exact; the 17 summands of an element are cut off 26 binary digits below the first of
 * the greatest, and their sum to 24: so matrix units of that kind are known to work. */
static float mma_element(float d, const double p[MMA_K])
{
    enum { DIGITS = 26, SUM_DIGITS = 24 };
    double sum = 0;
    int top = INT_MIN, e;
    for (int k = 0; k <= MMA_K; k++) {
        double x = k < MMA_K ? p[k] : (double)d;
        if (x != 0 && isfinite(x)) {
            frexp(x, &e);
            top = e > top ? e : top;
        }
    }
    for (int k = 0; k <= MMA_K; k++) {
        double x = k < MMA_K ? p[k] : (double)d;
        sum += x != 0 && isfinite(x) ? ldexp(trunc(ldexp(x, DIGITS - top)), top - DIGITS) : x;
    }
    if (sum == 0 || !isfinite(sum))
        return (float)sum;
    frexp(sum, &e);
    return (float)ldexp(trunc(ldexp(sum, SUM_DIGITS - e)), e - SUM_DIGITS);
}

/* Of a pair of bf16 numbers the low or the high one. */
static double half_of(uint32_t pair, int high)
{
    return (double)half_from_bits(high ? pair & 0xffff0000u : pair << 16);
}

void emu_mma(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    int me = emu.lane, first = me / MMA_LANES * MMA_LANES, turn = group.steps[me]++ % 2;
    memcpy(group.mma[turn][me].a, a, sizeof group.mma[turn][me].a);
    memcpy(group.mma[turn][me].b, b, sizeof group.mma[turn][me].b);
    if (group.plain)
        barriers_differ();
    TSAN(__tsan_release(&tsan.barrier);)
    to_scheduler(); /* the lanes of a warp come here together */
    TSAN(__tsan_acquire(&tsan.barrier);)
    const struct mma_operands *at = &group.mma[turn][first];
    for (int i = 0; i < 4; i++) {
        int row = me % MMA_LANES / 4 + 8 * (i / 2), col = me % 4 * 2 + i % 2;
        double p[MMA_K];
        for (int k = 0; k < MMA_K; k++)
            p[k] = half_of(at[row % 8 * 4 + k % 8 / 2].a[row / 8 + 2 * (k / 8)], k % 2) *
                   half_of(at[col * 4 + k % 8 / 2].b[k / 8], k % 2);
        d[i] = mma_element(d[i], p);
    }
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

/* The barriers that all lanes have passed; a lane that is done passes no more. */
static int lanes_passed(void)
{
    int least = INT_MAX, done = INT_MAX, most = 0;
    for (int i = 0; i < emu.lanes; i++) {
        int n = group.barriers[i];
        least = n < least ? n : least;
        most = n > most ? n : most;
        done = group.done[i] && n < done ? n : done;
    }
    if (done < most)
        barriers_differ();
    return least;
}

/* All lanes that are not done, up to their next barrier or their end; how many are left. */
static int lanes_step(bool first)
{
    int left = 0;
    for (int turn = 0; turn < emu.lanes; turn++) {
        int lane = lane_at(turn);
        if (first)
            fiber_start(&group.lane[lane], group.stacks + (size_t)lane * STACK_BYTES, lane_main);
        else if (group.done[lane])
            continue;
        to_lane(lane);
        left += !group.done[lane];
        if (first && turn == 0 && left == 0 && !FIBERS_ONLY) {
            lanes_call();
            return 0;
        }
    }
    group.passed = lanes_passed();
    return left;
}

static void group_run(void)
{
    TSAN(tsan.turn = 1 - tsan.turn;)
    memset(group.done, 0, sizeof group.done);
    memset(group.barriers, 0, sizeof group.barriers);
    memset(group.steps, 0, sizeof group.steps);
    memset(group.folds, 0, sizeof group.folds);
    memset(group.result, 0, sizeof group.result);
    group.passed = 0;
    for (bool first = true; lanes_step(first); first = false)
        ;
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
    GPU_METHODS,
    .import = gpu_import,
    .memory = backend_memory,
    .close = backend_close,
};

struct kn_backend *emu_open(const struct kn_options *opt, char *why, size_t why_size)
{
    enum { ROWS_PREFERRED = 256 };
    static const char *const NAMES[] = {"emu", "emu:falling", "emu:mixed", "emu:mma"};
    enum { NAME_COUNT = sizeof NAMES / sizeof *NAMES };
    int order = 0;
    while (order < NAME_COUNT && strcmp(opt->backend, NAMES[order]) != 0)
        order++;
    struct emu_device *d = order < NAME_COUNT ? calloc(1, sizeof *d) : NULL;
    if (!d) {
        bool known = order < NAME_COUNT;
        snprintf(why, why_size,
                 known ? "out of memory · opening %s"
                       : "%s · there is emu, emu:falling, emu:mixed and emu:mma",
                 opt->backend);
        errno = known ? ENOMEM : EINVAL;
        return NULL;
    }
    struct gpu *g = &d->g;
    d->order = order < EMU_ORDER_COUNT ? (enum emu_order)order : EMU_RISING;
    g->mma = order == EMU_ORDER_COUNT;
    g->turns_x = order == EMU_MIXED ? 3 : 0;
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
