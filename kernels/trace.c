/* trace.c - "trace:INNER": counts, times and bytes of what a backend does.
 *
 * Each call is waited for, so that its time is its own.  Tested in tests/kernels/test_wrap.c. */
#include "wrap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct trace {
    struct kn_backend base;
    struct kn_backend *inner;
    struct kn_seen seen[KN_SEEN_COUNT];
};

static struct kn_backend *inner_of(struct kn_backend *be)
{
    struct kn_backend *inner = ((struct trace *)be)->inner;
    inner->cancel = be->cancel;
    return inner;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Of the memory that a view touches: a repeated axis counts once. */
static double bytes_of(const struct kn_view *v)
{
    struct kn_view once = *v;
    for (int i = 0; i < v->ndim; i++)
        if (v->stride[i] == 0 && v->shape[i] > 1)
            once.shape[i] = 1;
    return v->ndim ? (double)kn_count(&once) / (double)kn_dtype_block(v->dtype) *
                         (double)kn_dtype_bytes(v->dtype)
                   : 0;
}

/* What happened since `start` is done, and is one more of its kind. */
static enum kn_status finish(struct kn_backend *be, int kind, double start, double bytes,
                             enum kn_status st)
{
    struct kn_seen *s = &((struct trace *)be)->seen[kind];
    struct kn_backend *inner = inner_of(be);
    if (!st)
        st = inner->type->sync(inner);
    s->calls++;
    s->seconds += now() - start;
    s->bytes += bytes;
    return st;
}

static enum kn_status trace_run(struct kn_backend *be, const struct kn_call *call)
{
    struct kn_backend *inner = inner_of(be);
    if ((unsigned)call->op >= KN_OP_COUNT)
        return KN_BAD_CALL;
    double bytes = 0, start = now();
    for (int i = 0; i < KN_OUT_MAX; i++)
        bytes += bytes_of(&call->out[i]);
    for (int i = 0; i < KN_IN_MAX; i++)
        bytes += bytes_of(&call->in[i]);
    return finish(be, (int)call->op, start, bytes, inner->type->run(inner, call));
}

static enum kn_status trace_read(struct kn_backend *be, const struct kn_view *v, void *host)
{
    struct kn_backend *inner = inner_of(be);
    double start = now();
    return finish(be, KN_SEEN_READ, start, bytes_of(v), inner->type->read(inner, v, host));
}

static enum kn_status trace_write(struct kn_backend *be, const struct kn_view *v, const void *host)
{
    struct kn_backend *inner = inner_of(be);
    double start = now();
    return finish(be, KN_SEEN_WRITE, start, bytes_of(v), inner->type->write(inner, v, host));
}

static enum kn_status trace_fill(struct kn_backend *be, const struct kn_view *v, float x)
{
    struct kn_backend *inner = inner_of(be);
    double start = now();
    return finish(be, KN_SEEN_FILL, start, bytes_of(v), inner->type->fill(inner, v, x));
}

static void *trace_alloc(struct kn_backend *be, size_t bytes)
{
    struct kn_backend *inner = inner_of(be);
    return inner->type->alloc(inner, bytes);
}

static void trace_release(struct kn_backend *be, void *mem, size_t bytes)
{
    struct kn_backend *inner = inner_of(be);
    inner->type->release(inner, mem, bytes);
}

static enum kn_status trace_import(struct kn_backend *be, const struct kn_view *host,
                                   struct kn_view *device)
{
    struct kn_backend *inner = inner_of(be);
    return inner->type->import(inner, host, device);
}

static void trace_forget(struct kn_backend *be, struct kn_view *device)
{
    struct kn_backend *inner = inner_of(be);
    inner->type->forget(inner, device);
}

static enum kn_status trace_sync(struct kn_backend *be)
{
    struct kn_backend *inner = inner_of(be);
    return inner->type->sync(inner);
}

static void trace_memory(struct kn_backend *be, size_t *total, size_t *available)
{
    struct kn_backend *inner = inner_of(be);
    inner->type->memory(inner, total, available);
}

static const struct kn_seen *trace_seen(const struct kn_backend *be, int kind)
{
    return &((const struct trace *)be)->seen[kind];
}

static void trace_close(struct kn_backend *be)
{
    kn_close(((struct trace *)be)->inner);
    free(be);
}

static const struct kn_backend_type TRACE_TYPE = {
    .name = "trace",
    .alloc = trace_alloc,
    .release = trace_release,
    .import = trace_import,
    .forget = trace_forget,
    .run = trace_run,
    .sync = trace_sync,
    .read = trace_read,
    .write = trace_write,
    .fill = trace_fill,
    .memory = trace_memory,
    .seen = trace_seen,
    .close = trace_close,
};

struct kn_backend *trace_open(const struct kn_options *opt, const char *inner, char *why,
                              size_t why_size)
{
    struct kn_backend *in = wrap_inner(opt, inner, why, why_size);
    struct trace *t = in ? calloc(1, sizeof *t) : NULL;
    if (in && !t) {
        snprintf(why, why_size, "out of memory · opening trace");
        kn_close(in);
        errno = ENOMEM;
    }
    if (!t)
        return NULL;
    t->inner = in;
    t->base.type = &TRACE_TYPE;
    wrap_promise(&t->base, in, "trace");
    return &t->base;
}
