/* transfer.c - bytes to and from the host, and views from one device to another.
 *
 * Uploads take the host's bytes at once into a half of pinned memory, while the device may still
 * read the other half; what is read lands in pinned memory, too, and goes where it is wanted once
 * it has been waited for.  Tested in tests/kernels/test_cuda.c. */
#include "cuda.h"

#include "../wrap.h"

#include <stdlib.h>
#include <string.h>

/* At 50 GB/s a half takes 0.3 ms on its way, against some 10 us for asking; more would only take
 * longer to pin. */
enum { HALF_BYTES = 16 << 20, DOWN_BYTES = 16 << 20, ALIGN = 64 };

static cu_address address_of(const struct kn_view *v)
{
    return (cu_address)(uintptr_t)kn_at(v, 0);
}

static size_t bytes_of(const struct kn_view *v)
{
    return kn_row_bytes(v->dtype, kn_count(v));
}

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static bool is_empty(const struct kn_view *v)
{
    return v->ndim == 0 || kn_count(v) == 0;
}

static bool lies_packed(const struct kn_view *v)
{
    int64_t expect = 1;
    for (int i = v->ndim - 1; i >= 0; expect *= v->shape[i--])
        if (v->shape[i] != 1 && v->stride[i] != expect)
            return false;
    return true;
}

static bool has_words(const struct kn_view *v)
{
    return v->dtype == KN_F32 || v->dtype == KN_I32;
}

static enum kn_status pin(struct cuda *c, struct pinned *p, size_t bytes)
{
    return p->mem ? KN_OK : cuda_status(c, c->cu->pinned_alloc((void **)&p->mem, bytes, 0));
}

/* ---- bytes ---- */

/* The other half, once the device has read it. */
static enum kn_status half_next(struct cuda *c, struct lift *l)
{
    enum kn_status st = cuda_status(c, c->cu->event_record(l->sent[l->side], l->stream));
    l->side ^= 1, l->up.used = 0;
    return st ? st : cuda_status(c, c->cu->event_sync(l->sent[l->side]));
}

static enum kn_status lift(struct cuda *c, struct lift *l, cu_address to, const char *from,
                           size_t bytes)
{
    enum kn_status st = pin(c, &l->up, 2 * (size_t)HALF_BYTES);
    while (!st && bytes) {
        if (l->up.used == HALF_BYTES && (st = half_next(c, l)))
            break;
        size_t room = HALF_BYTES - l->up.used, n = bytes < room ? bytes : room;
        char *at = l->up.mem + (size_t)l->side * HALF_BYTES + l->up.used;
        memcpy(at, from, n);
        st = cuda_status(c, c->cu->upload(to, at, n, l->stream));
        l->up.used = rounded(l->up.used + n);
        to += n, from += n, bytes -= n;
    }
    return st;
}

enum kn_status cuda_upload(struct gpu *g, void *device, const void *host, size_t bytes)
{
    struct cuda *c = (struct cuda *)g;
    enum kn_status st = cuda_enter(c);
    return st ? st : lift(c, &c->writes, (cu_address)(uintptr_t)device, host, bytes);
}

/* What is queued from here on waits for it, what was queued before does not. */
static enum kn_status import_bytes(struct cuda *c, cu_address to, const char *from, size_t bytes)
{
    enum kn_status st = lift(c, &c->imports, to, from, bytes);
    st = st ? st : cuda_status(c, c->cu->event_record(c->loaded, c->imports.stream));
    return st ? st : cuda_status(c, c->cu->stream_wait(c->stream, c->loaded, 0));
}

enum kn_status cuda_import(struct kn_backend *be, const struct kn_view *host,
                           struct kn_view *device)
{
    struct cuda *c = (struct cuda *)be;
    struct kn_view v = *host;
    size_t span = wrap_span(host);
    if (v.ndim && span) {
        enum kn_status st = cuda_enter(c);
        if (st)
            return st;
        cu_address p = cuda_take(c, span, c->imports.stream);
        if (!p)
            return c->failed ? c->failed : KN_OUT_OF_MEMORY;
        if ((st = import_bytes(c, p, kn_at(host, 0), span))) {
            c->cu->memory_free(p, c->imports.stream);
            return st;
        }
        v.data = (void *)(uintptr_t)p, v.first %= kn_dtype_block(v.dtype);
    } else if (v.ndim) {
        return gpu_import(be, host, device);
    }
    *device = v;
    return KN_OK;
}

/* To the host what has come down. */
static void land(struct cuda *c)
{
    for (int i = 0; i < c->landings; i++)
        memcpy(c->landing[i].host, c->down.mem + c->landing[i].at, c->landing[i].bytes);
}

static enum kn_status wait_all(struct cuda *c)
{
    enum kn_status st = cuda_status(c, c->cu->stream_sync(c->stream));
    cuda_queue_waited(c);
    if (!st) {
        land(c);
        c->writes.up.used = c->imports.up.used = 0; /* it waited for the imports, too */
    }
    c->landings = 0, c->down.used = 0;
    return st;
}

enum kn_status cuda_wait(struct gpu *g)
{
    struct cuda *c = (struct cuda *)g;
    enum kn_status st = cuda_enter(c), owed = c->owed;
    c->owed = KN_OK;
    st = st && st != KN_OUT_OF_MEMORY ? st : wait_all(c);
    return st ? st : owed;
}

static bool landing_room(struct cuda *c)
{
    if (c->landings < c->landings_room)
        return true;
    int room = c->landings_room ? 2 * c->landings_room : 64;
    struct landing *more = realloc(c->landing, (size_t)room * sizeof *more);
    if (more)
        c->landing = more, c->landings_room = room;
    return more != NULL;
}

enum kn_status cuda_download(struct gpu *g, void *host, const void *device, size_t bytes)
{
    struct cuda *c = (struct cuda *)g;
    cu_address from = (cu_address)(uintptr_t)device;
    char *to = host;
    enum kn_status st = cuda_enter(c);
    st = st ? st : pin(c, &c->down, DOWN_BYTES);
    while (!st && bytes) {
        if (c->down.used == DOWN_BYTES && (st = wait_all(c)))
            break;
        if (!landing_room(c))
            return KN_OUT_OF_MEMORY;
        size_t room = DOWN_BYTES - c->down.used, n = bytes < room ? bytes : room;
        st = cuda_status(c, c->cu->download(c->down.mem + c->down.used, from, n, c->stream));
        if (!st)
            c->landing[c->landings++] = (struct landing){to, c->down.used, n};
        c->down.used = rounded(c->down.used + n);
        to += n, from += n, bytes -= n;
    }
    return st;
}

/* ---- views ---- */

/* The operation copy, which no cancel flag stops here; words are words. */
static enum kn_status copy(struct cuda *c, struct kn_view to, struct kn_view from)
{
    const atomic_bool *cancel = c->gpu.base.cancel;
    to.dtype = from.dtype = KN_F32;
    struct kn_call call = {.op = KN_OP_COPY, .out = {to}, .in = {from}};
    c->gpu.base.cancel = NULL;
    enum kn_status st = gpu_run(&c->gpu.base, &call);
    c->gpu.base.cancel = cancel;
    return st;
}

/* A packed view of the same elements in memory of its own, to be given back. */
static enum kn_status packed_take(struct cuda *c, const struct kn_view *v, struct kn_view *packed)
{
    cu_address p = cuda_take(c, bytes_of(v), c->stream);
    *packed = kn_packed((void *)(uintptr_t)p, v->dtype, v->ndim, v->shape);
    return p ? KN_OK : c->failed ? c->failed : KN_OUT_OF_MEMORY;
}

/* ---- devices ---- */

/* `from`'s memory may be read by `to` without the host in between, where the machine can; where it
 * cannot the driver finds a way for the copy. */
static void reach(struct cuda *from, const struct cuda *to)
{
    int can = 0;
    uint64_t bit = (uint64_t)1 << (to->ordinal & 63);
    if (from->reached & bit)
        return;
    cu_result r = from->cu->device_reaches(&can, to->device, from->device);
    struct cu_access who = {CU_LOCATION_DEVICE, to->device, CU_ACCESS_READ_WRITE};
    if (!r && can)
        from->cu->pool_access(from->pool, &who, 1);
    from->reached |= bit;
}

/* What is queued on either device keeps its order with the copy. */
static enum kn_status peer_copy(struct cuda *c, cu_address to, struct cuda *o, cu_address from,
                                size_t bytes)
{
    const struct cuda_driver *cu = c->cu;
    reach(o, c);
    enum kn_status st = cuda_enter(o);
    st = st ? st : cuda_status(o, cu->event_record(o->handed, o->stream));
    if (st || (st = cuda_enter(c)))
        return st;
    st = cuda_status(c, cu->stream_wait(c->stream, o->handed, 0));
    if (!st)
        st = cuda_status(c, cu->peer_copy(to, c->context, from, o->context, bytes, c->stream));
    if (!st)
        st = cuda_status(c, cu->event_record(c->handed, c->stream));
    if (st || (st = cuda_enter(o)))
        return st;
    return cuda_status(o, cu->stream_wait(o->stream, c->handed, 0));
}

static enum kn_status carry(struct cuda *c, struct kn_view to, struct cuda *o, struct kn_view from)
{
    enum kn_status st = KN_OK;
    if (is_empty(&from))
        return KN_OK;
    if (lies_packed(&from))
        return peer_copy(c, address_of(&to), o, address_of(&from), bytes_of(&from));
    if (has_words(&from)) {
        struct kn_view packed;
        st = packed_take(o, &from, &packed);
        if (st)
            return st;
        st = copy(o, packed, from);
        if (!st)
            st = peer_copy(c, address_of(&to), o, address_of(&packed), bytes_of(&from));
        cuda_give(o, address_of(&packed));
        return st;
    }
    for (int64_t i = 0; !st && i < from.shape[0]; i++)
        st = carry(c, kn_index(to, 0, i), o, kn_index(from, 0, i));
    return st;
}

enum kn_status cuda_carry(struct kn_backend *be, const struct kn_view *to, struct kn_backend *other,
                          const struct kn_view *from)
{
    struct cuda *c = (struct cuda *)be, *o = (struct cuda *)other;
    enum kn_status st = c->failed ? c->failed : cuda_enter(o);
    return st ? st : carry(c, *to, o, *from);
}

void cuda_transfer_close(struct cuda *c)
{
    const struct pinned pieces[] = {c->writes.up, c->imports.up, c->down};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        if (pieces[i].mem)
            c->cu->pinned_free(pieces[i].mem);
    free(c->landing);
}
