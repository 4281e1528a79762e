/* run_device.c - see run_device.h. */
#include "run/run_device.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limit.h"
#include "base/list.h"

int run_status(enum kn_status st, struct err *e)
{
    switch (st) {
    case KN_OK: return 0;
    case KN_CANCELLED: return err_set(e, ERR_CANCELLED, "cancelled");
    case KN_OUT_OF_MEMORY:
        return err_set(e, ERR_DEVICE, "out of memory in a kernel · a shorter prompt needs less");
    case KN_DEVICE_LOST:
        return err_set(e, ERR_DEVICE, "the device was lost · start again, or use --backend cpu");
    default:
        assert(st != KN_BAD_CALL && "a kernel refused a call that the plan made");
        return ERR_SYSTEM;
    }
}

int run_no_room(struct kn_backend *be, struct err *e, const char *fmt, ...)
{
    char what[sizeof e->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (be->unified)
        return err_memory(e, "%s", what);
    return be->type->sync(be) == KN_DEVICE_LOST
               ? run_status(KN_DEVICE_LOST, e)
               : err_set(e, ERR_DEVICE, "out of memory on %s · %s", be->describe, what);
}

int run_wait(struct kn_backend *be, struct err *e)
{
    return run_status(be->type->sync(be), e);
}

int run_write(struct kn_backend *be, const struct kn_view *to, const void *from, struct err *e)
{
    return run_status(be->type->write(be, to, from), e);
}

int run_copy(struct kn_backend *be, const struct kn_view *to, const struct kn_view *from,
             struct err *e)
{
    struct kn_call c = {.op = KN_OP_COPY, .out = {*to}, .in = {*from}};
    return run_status(kn_run(be, &c), e);
}

int run_fill(struct kn_backend *be, const struct kn_view *v, float x, struct err *e)
{
    return run_status(be->type->fill(be, v, x), e);
}

int run_fetch(struct kn_backend *be, const struct kn_view *from, void *to, struct err *e)
{
    int rc = run_status(be->type->read(be, from, to), e);
    return rc ? rc : run_wait(be, e);
}

/* The values are there from run_wait on. */
static int view_queue(struct host_view *h, struct kn_backend *be, const struct kn_view *device,
                      struct err *e)
{
    *h = (struct host_view){.v = *device, .device = *device};
    if (be->unified)
        return 0;
    if (!(h->own = malloc((size_t)kn_count(device) * sizeof(float) + 1)))
        return err_memory(e, "values on their way from the device");
    h->v = kn_packed(h->own, device->dtype, device->ndim, device->shape);
    return run_status(be->type->read(be, device, h->own), e);
}

int host_view_get(struct host_view *h, struct kn_backend *be, const struct kn_view *device,
                  struct err *e)
{
    int rc = view_queue(h, be, device, e);
    if (rc)
        be->type->sync(be); /* no read is left waiting */
    else
        rc = run_wait(be, e);
    if (rc)
        host_view_drop(h);
    return rc;
}

int host_view_end(struct host_view *h, struct kn_backend *be, int rc, struct err *e)
{
    if (!rc && h->own)
        rc = run_write(be, &h->device, h->own, e);
    host_view_drop(h);
    return rc;
}

void host_view_drop(struct host_view *h)
{
    free(h->own);
    *h = (struct host_view){0};
}

struct host_item {
    struct host_view h;
    void *to;
    int part;
    int32_t r0, r1;
};

int host_queue_add(struct host_queue *q, const struct kn_view *device, void *to, int part,
                   int32_t r0, int32_t r1, struct err *e)
{
    struct host_item x = {.to = to, .part = part, .r0 = r0, .r1 = r1};
    int rc = 0;
    if (q->be->unified) {
        if (!(rc = host_view_get(&x.h, q->be, device, e)))
            q->take(q->user, to, part, &x.h.v, r0, r1);
        return rc;
    }
    if (q->bytes > LIMIT_CAPTURE_BYTES && (rc = host_queue_end(q, 0, e)))
        return rc;
    if (!list_room(&q->item, (size_t)q->n, sizeof x))
        return err_memory(e, "values on their way from the device");
    rc = view_queue(&x.h, q->be, device, e);
    q->item[q->n++] = x;
    q->bytes += (size_t)kn_count(device) * sizeof(float);
    return rc;
}

int host_queue_end(struct host_queue *q, int rc, struct err *e)
{
    if (rc)
        q->be->type->sync(q->be); /* no read is left waiting */
    else if (q->n)
        rc = run_wait(q->be, e);
    for (int i = 0; i < q->n; i++) {
        struct host_item *x = &q->item[i];
        if (!rc)
            q->take(q->user, x->to, x->part, &x->h.v, x->r0, x->r1);
        host_view_drop(&x->h);
    }
    free(q->item);
    q->item = NULL, q->n = 0, q->bytes = 0;
    return rc;
}
