/* run_device.c - see run_device.h. */
#include "run/run_device.h"

#include <assert.h>
#include <stdlib.h>

int run_status(enum kn_status st, struct err *e)
{
    switch (st) {
    case KN_OK: return 0;
    case KN_CANCELLED: return err_set(e, ERR_CANCELLED, "cancelled");
    case KN_OUT_OF_MEMORY:
        return err_set(e, ERR_SYSTEM, "out of memory in a kernel · a shorter prompt needs less");
    case KN_DEVICE_LOST:
        return err_set(e, ERR_SYSTEM, "the device was lost · start again, or use --backend cpu");
    default:
        assert(st != KN_BAD_CALL && "a kernel refused a call that the plan made");
        return ERR_SYSTEM;
    }
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

int host_view_queue(struct host_view *h, struct kn_backend *be, const struct kn_view *device,
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
    int rc = host_view_queue(h, be, device, e);
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
