/* run_device.h - device memory as the engine meets it: the words of a kernel's status, values
 * written, and values that the host looks at or changes.
 *
 * Nothing else follows a pointer into device memory.  Where the device's memory is the host's
 * (kn_backend.unified) a host view is the memory itself and nothing is copied; elsewhere it is a
 * packed copy.  Called on the thread that owns the runs.  Tested in tests/engine/test_device.c. */
#ifndef RUN_DEVICE_H
#define RUN_DEVICE_H

#include "base/err.h"
#include "kn.h"

/* 0, or the error that a status means. */
int run_status(enum kn_status st, struct err *e);
/* What to say where alloc gave nothing: that the device is lost, or what the memory was for. */
int run_no_room(struct kn_backend *be, struct err *e, const char *fmt, ...) ERR_PRINTF(3, 4);

/* Wait for everything queued: what failed of it fails here at the latest. */
int run_wait(struct kn_backend *be, struct err *e);
/* Host values without gaps into the elements of a view, ordered with the calls; taken at once. */
int run_write(struct kn_backend *be, const struct kn_view *to, const void *from, struct err *e);
/* Every element of an f32 view, ordered with the calls. */
int run_fill(struct kn_backend *be, const struct kn_view *v, float x, struct err *e);
/* One value to another's place: strides free, 0 repeats. */
int run_copy(struct kn_backend *be, const struct kn_view *to, const struct kn_view *from,
             struct err *e);

/* The elements of a view, in its order and without gaps, to the host, and wait for them. */
int run_fetch(struct kn_backend *be, const struct kn_view *from, void *to, struct err *e);

/* A view whose elements the host can read and change.  Zero-initialised is none. */
struct host_view {
    struct kn_view v;      /* the elements, f32 */
    struct kn_view device; /* where they came from */
    void *own;             /* the copy, or NULL */
};
/* Bring a view's present values; what is got must be given to host_view_end.  On failure it holds
 * nothing. */
int host_view_get(struct host_view *h, struct kn_backend *be, const struct kn_view *device,
                  struct err *e);
/* Let go of it, after putting the values back, which the host changed, if rc is 0: rc, or what that
 * said. */
int host_view_end(struct host_view *h, struct kn_backend *be, int rc, struct err *e);
/* Let go of what was only read. */
void host_view_drop(struct host_view *h);

/* Values of several views that the host takes with one wait for all of them.  Of each: where to,
 * a number, and rows [r0, r1), in the caller's words.  `be`, `take` and `user` are the caller's,
 * the rest begins as 0. */
typedef void host_take_fn(void *user, void *to, int part, const struct kn_view *v, int32_t r0,
                          int32_t r1);
struct host_queue {
    struct kn_backend *be;
    host_take_fn *take;
    void *user;
    struct host_item *item;
    int n;
    size_t bytes;
};
/* Queue one; taken at once where the memory is the host's. */
int host_queue_add(struct host_queue *q, const struct kn_view *device, void *to, int part,
                   int32_t r0, int32_t r1, struct err *e);
/* Wait and, if rc is 0, take all of them: rc, or what that said.  The queue is empty then. */
int host_queue_end(struct host_queue *q, int rc, struct err *e);

#endif
