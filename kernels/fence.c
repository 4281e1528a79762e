/* fence.c - "fence:INNER": a backend behind memory that the host cannot touch.
 *
 * What an engine meets on a device, without one: a proof that it follows no pointer into device
 * memory, hands no host memory to an operation and waits before it looks at what it read.  A piece
 * of memory is mapped twice: without access at the address that is given out, and where the inner
 * backend works.  Everything is queued until sync.  What breaks the rules stops the program with
 * a message.  Tested in tests/kernels/test_wrap.c. */
#include "wrap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum work_kind { WORK_CALL, WORK_READ, WORK_WRITE, WORK_FILL, WORK_RELEASE };

struct work {
    enum work_kind kind;
    struct kn_call call; /* operands where the inner backend works, like v */
    struct kn_view v;
    void *host; /* read: the caller's; write: an own copy; release: the address given out */
    float x;
};

struct fence {
    struct kn_backend base;
    struct kn_backend *inner;
    struct regions memory; /* at: as given out, other: where the inner backend works */
    struct work *queue;
    int n, room;
};

static enum kn_status queue_add(struct fence *f, struct work w)
{
    if (f->n == f->room) {
        int room = f->room ? 2 * f->room : 64;
        struct work *more = realloc(f->queue, (size_t)room * sizeof *more);
        if (!more)
            return KN_OUT_OF_MEMORY;
        f->queue = more, f->room = room;
    }
    f->queue[f->n++] = w;
    return KN_OK;
}

/* The view where the inner backend works. */
static struct kn_view inside(const struct fence *f, const struct kn_view *v, const char *op,
                             const char *operand)
{
    if (v->ndim == 0 || kn_count(v) == 0)
        return *v;
    struct region *r = regions_find(&f->memory, v);
    if (!r)
        wrap_fail("fence", "not device memory", op, operand);
    return region_other(r, v);
}

static bool map_twice(struct region *r)
{
    int fd = memfd_create("borescope-fence", MFD_CLOEXEC);
    if (fd < 0)
        return false;
    r->at = r->other = MAP_FAILED;
    if (!ftruncate(fd, (off_t)r->bytes)) {
        r->at = mmap(NULL, r->bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        r->other = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    }
    close(fd);
    if (r->at != MAP_FAILED && r->other != MAP_FAILED)
        return true;
    if (r->at != MAP_FAILED)
        munmap(r->at, r->bytes);
    if (r->other != MAP_FAILED)
        munmap(r->other, r->bytes);
    return false;
}

static void unmap(struct fence *f, struct region *r)
{
    munmap(r->at, r->bytes);
    munmap(r->other, r->bytes);
    regions_remove(&f->memory, r);
}

static struct region *region_new(struct fence *f, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes > f->base.alloc_max)
        return NULL;
    struct region r = {.bytes = bytes ? (bytes + page - 1) / page * page : page};
    if (!map_twice(&r))
        return NULL;
    if (regions_add(&f->memory, r))
        return regions_at(&f->memory, r.at);
    munmap(r.at, r.bytes);
    munmap(r.other, r.bytes);
    return NULL;
}

static void *fence_alloc(struct kn_backend *be, size_t bytes)
{
    struct region *r = region_new((struct fence *)be, bytes);
    return r ? r->at : NULL;
}

static void fence_release(struct kn_backend *be, void *mem, size_t bytes)
{
    struct fence *f = (struct fence *)be;
    (void)bytes;
    if (!mem)
        return;
    struct region *r = regions_at(&f->memory, mem);
    if (!r)
        wrap_fail("fence", "not device memory", "release", "mem");
    /* What is queued may still want it. */
    if (f->n == 0 || queue_add(f, (struct work){.kind = WORK_RELEASE, .host = mem}))
        unmap(f, r);
    else
        r->gone = true;
}

static enum kn_status fence_import(struct kn_backend *be, const struct kn_view *host,
                                   struct kn_view *device)
{
    struct kn_view v = *host;
    if (v.ndim) {
        size_t span = wrap_span(host);
        struct region *r = region_new((struct fence *)be, span);
        if (!r)
            return KN_OUT_OF_MEMORY;
        memcpy(r->other, kn_at(host, 0), span);
        v.data = r->at, v.first %= kn_dtype_block(v.dtype);
    }
    *device = v;
    return KN_OK;
}

static void fence_forget(struct kn_backend *be, struct kn_view *device)
{
    fence_release(be, device->ndim ? device->data : NULL, 0);
    *device = (struct kn_view){0};
}

static enum kn_status fence_run(struct kn_backend *be, const struct kn_call *call)
{
    const struct fence *f = (struct fence *)be;
    struct work w = {.kind = WORK_CALL, .call = *call};
    if ((unsigned)call->op >= KN_OP_COUNT)
        return KN_BAD_CALL;
    if (be->cancel && atomic_load_explicit(be->cancel, memory_order_relaxed))
        return KN_CANCELLED;
    for (int i = 0; i < KN_OUT_MAX; i++)
        w.call.out[i] = inside(f, &call->out[i], kn_op_name(call->op), wrap_out_name[i]);
    for (int i = 0; i < KN_IN_MAX; i++)
        w.call.in[i] = inside(f, &call->in[i], kn_op_name(call->op), wrap_in_name[i]);
    return queue_add((struct fence *)be, w);
}

static enum kn_status fence_read(struct kn_backend *be, const struct kn_view *v, void *host)
{
    struct fence *f = (struct fence *)be;
    struct kn_view in = inside(f, v, "read", "v");
    memset(host, 0xff,
           kn_row_bytes(v->dtype, kn_count(v))); /* a NaN until it has been waited for */
    return queue_add(f, (struct work){.kind = WORK_READ, .v = in, .host = host});
}

static enum kn_status fence_write(struct kn_backend *be, const struct kn_view *v, const void *host)
{
    struct fence *f = (struct fence *)be;
    struct kn_view in = inside(f, v, "write", "v");
    size_t bytes = kn_row_bytes(v->dtype, kn_count(v));
    void *own = malloc(bytes + 1);
    if (!own)
        return KN_OUT_OF_MEMORY;
    if (bytes)
        memcpy(own, host, bytes);
    enum kn_status st = queue_add(f, (struct work){.kind = WORK_WRITE, .v = in, .host = own});
    if (st)
        free(own);
    return st;
}

static enum kn_status fence_fill(struct kn_backend *be, const struct kn_view *v, float x)
{
    struct fence *f = (struct fence *)be;
    if (v->dtype != KN_F32)
        return KN_BAD_CALL;
    struct kn_view in = inside(f, v, "fill", "v");
    return queue_add(f, (struct work){.kind = WORK_FILL, .v = in, .x = x});
}

static enum kn_status work_do(struct fence *f, struct work *w, bool failed)
{
    const struct kn_backend_type *type = f->inner->type;
    enum kn_status st = KN_OK;
    switch (w->kind) {
    case WORK_CALL: st = failed ? KN_OK : type->run(f->inner, &w->call); break;
    case WORK_READ: st = type->read(f->inner, &w->v, w->host); break;
    case WORK_WRITE:
        st = type->write(f->inner, &w->v, w->host);
        free(w->host);
        break;
    case WORK_FILL: st = type->fill(f->inner, &w->v, w->x); break;
    case WORK_RELEASE:
        for (int i = 0; i < f->memory.n; i++)
            if (f->memory.list[i].at == w->host)
                unmap(f, &f->memory.list[i]);
        break;
    }
    return st;
}

/* After a failure no further operation runs; memory that was written, filled or read still is. */
static enum kn_status fence_sync(struct kn_backend *be)
{
    struct fence *f = (struct fence *)be;
    enum kn_status first = KN_OK;
    f->inner->cancel = be->cancel;
    for (int i = 0; i < f->n; i++) {
        enum kn_status st = work_do(f, &f->queue[i], first != KN_OK);
        first = first ? first : st;
    }
    f->n = 0;
    enum kn_status st = f->inner->type->sync(f->inner);
    return first ? first : st;
}

static void fence_memory(struct kn_backend *be, size_t *total, size_t *available)
{
    struct kn_backend *inner = ((struct fence *)be)->inner;
    inner->type->memory(inner, total, available);
}

static void fence_close(struct kn_backend *be)
{
    struct fence *f = (struct fence *)be;
    for (int i = 0; i < f->n; i++)
        if (f->queue[i].kind == WORK_WRITE)
            free(f->queue[i].host);
    while (f->memory.n)
        unmap(f, &f->memory.list[0]);
    kn_close(f->inner);
    free(f->memory.list);
    free(f->queue);
    free(f);
}

static const struct kn_backend_type FENCE_TYPE = {
    .name = "fence",
    .alloc = fence_alloc,
    .release = fence_release,
    .import = fence_import,
    .forget = fence_forget,
    .run = fence_run,
    .sync = fence_sync,
    .read = fence_read,
    .write = fence_write,
    .fill = fence_fill,
    .memory = fence_memory,
    .close = fence_close,
};

struct kn_backend *fence_open(const struct kn_options *opt, const char *inner, char *why,
                              size_t why_size)
{
    struct kn_backend *in = wrap_inner(opt, inner, why, why_size);
    if (!in)
        return NULL;
    struct fence *f = in->unified ? calloc(1, sizeof *f) : NULL;
    if (!f) {
        int error = in->unified ? ENOMEM : EINVAL;
        snprintf(why, why_size, "%s",
                 in->unified ? "out of memory · opening fence"
                             : "fence · wraps a backend that works in host memory, such as cpu");
        kn_close(in);
        errno = error;
        return NULL;
    }
    f->inner = in;
    f->base.type = &FENCE_TYPE;
    wrap_promise(&f->base, in, "fence");
    f->base.unified = false;
    return &f->base;
}
