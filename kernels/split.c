/* split.c - "split:A,B,...": memory and work spread over several backends.
 *
 * A piece of memory lies in one part.  A call runs where its first result lies; an operand that
 * lies elsewhere is copied there, and the copy serves until its source changes.
 * Devices may use the same addresses, so those given out are split's own: reserved, never mapped.
 * Tested in tests/kernels/test_wrap.c. */
#include "wrap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { NAME_MAX_BYTES = 64, COPIES_BYTES = 256 << 20 };

/* The whole, as seen from one part: memory that it gives is that one's. */
struct lane {
    struct kn_backend base;
    struct kn_backend *inner;
    struct split *of;
    double upto; /* share of the work that falls to this part and those before it */
};

/* An operand where it does not lie. */
struct copy {
    struct kn_view source, there; /* as given out; on `part` */
    int part;
    size_t bytes;
    uint64_t used; /* the call that used it last */
    bool stale;    /* its memory waits for the next one of that size */
};

struct split {
    struct lane lane[KN_SPLIT_MAX];
    int n;
    struct regions memory; /* at: as given out, other: on the part */
    struct copy *copies;
    int n_copies, room;
    size_t copied, copies_bytes;        /* bytes of all copies, and how many there may be */
    uint64_t call;                      /* how many there were */
    struct kn_seen seen[KN_SEEN_COUNT]; /* what split_seen gave */
};

static struct split *split_of(struct kn_backend *be)
{
    return ((struct lane *)be)->of;
}

/* A part, ready for a call. */
static struct kn_backend *part_of(struct split *s, int part)
{
    struct kn_backend *inner = s->lane[part].inner;
    inner->cancel = s->lane[0].base.cancel;
    return inner;
}

/* ---- copies ---- */

static void copy_drop(struct split *s, int i)
{
    struct copy *c = &s->copies[i];
    struct kn_backend *be = part_of(s, c->part);
    be->type->release(be, c->there.data, c->bytes);
    s->copied -= c->bytes;
    *c = s->copies[--s->n_copies];
}

/* The region holds other values from now on, or is no more.  Calls that are queued may still read
 * the copies: they run before what is written there next. */
static void region_changed(struct split *s, const struct region *r)
{
    for (int i = 0; i < s->n_copies; i++) {
        const char *at = kn_at(&s->copies[i].source, 0);
        s->copies[i].stale |= at >= r->at && at < r->at + r->bytes;
    }
}

/* A place for one more, with memory: that of a stale one, or a new piece, for which the longest
 * unused ones go where they are too much together.  NULL: there is none. */
static struct copy *copy_place(struct split *s, int part, size_t bytes)
{
    for (int i = 0; i < s->n_copies; i++)
        if (s->copies[i].stale && s->copies[i].part == part && s->copies[i].bytes == bytes)
            return &s->copies[i];
    for (int oldest = 0; oldest >= 0 && s->copied + bytes > s->copies_bytes;) {
        oldest = -1;
        for (int i = 0; i < s->n_copies; i++)
            if (s->copies[i].used < s->call &&
                (oldest < 0 || s->copies[i].used < s->copies[oldest].used))
                oldest = i;
        if (oldest >= 0)
            copy_drop(s, oldest);
    }
    if (s->n_copies == s->room) {
        int room = s->room ? 2 * s->room : 16;
        struct copy *more = realloc(s->copies, (size_t)room * sizeof *more);
        if (!more)
            return NULL;
        s->copies = more, s->room = room;
    }
    struct copy c = {.part = part, .bytes = bytes, .stale = true};
    struct kn_backend *be = part_of(s, part);
    if (!(c.there.data = be->type->alloc(be, bytes)))
        return NULL;
    s->copied += bytes;
    s->copies[s->n_copies] = c;
    return &s->copies[s->n_copies++];
}

static bool same_view(const struct kn_view *a, const struct kn_view *b)
{
    bool same = a->data == b->data && a->first == b->first && a->dtype == b->dtype &&
                a->ndim == b->ndim;
    for (int i = 0; same && i < a->ndim; i++)
        same = a->shape[i] == b->shape[i] && a->stride[i] == b->stride[i];
    return same;
}

/* What has to be read of a view so that a copy of it can lie as it does, for operations take their
 * way by that: repeated axes once, whole blocks, axes in falling order of their strides (axis[]:
 * which of the view's).  *packed: the copy, still without memory. */
static struct kn_view lying(const struct kn_view *v, struct kn_view *packed, int axis[KN_DIM_MAX])
{
    struct kn_view whole = *v, sorted;
    int64_t block = kn_dtype_block(v->dtype), shift = v->first % block;
    whole.first -= shift;
    for (int i = 0; i < v->ndim; i++) {
        if (v->stride[i] == 0)
            whole.shape[i] = 1;
        else if (v->stride[i] == 1 && block > 1)
            whole.shape[i] = (shift + v->shape[i] + block - 1) / block * block;
    }
    sorted = whole;
    for (int i = 0; i < v->ndim; i++) {
        int at = i;
        for (; at > 0 && whole.stride[axis[at - 1]] < whole.stride[i]; at--)
            axis[at] = axis[at - 1];
        axis[at] = i;
    }
    for (int i = 0; i < v->ndim; i++)
        sorted.shape[i] = whole.shape[axis[i]], sorted.stride[i] = whole.stride[axis[i]];
    *packed = kn_packed(NULL, v->dtype, v->ndim, sorted.shape);
    return sorted;
}

/* Do its blocks lie as those of a view have to (kn.h)? */
static bool blocks_lie_well(const struct kn_view *v)
{
    int64_t block = kn_dtype_block(v->dtype);
    bool side_by_side = block == 1;
    for (int i = 0; i < v->ndim; i++) {
        if (v->stride[i] != 1 && v->stride[i] % block)
            return false;
        side_by_side |= v->stride[i] == 1;
    }
    return side_by_side;
}

/* The elements of `from` on one part to `to` on another, through the host where they know no
 * shorter way. */
static enum kn_status carry(struct kn_backend *a, const struct kn_view *from, struct kn_backend *b,
                            const struct kn_view *to, size_t bytes)
{
    if (a->type == b->type && b->type->carry)
        return b->type->carry(b, to, a, from);
    void *host = malloc(bytes);
    if (!host)
        return KN_OUT_OF_MEMORY;
    enum kn_status st = a->type->read(a, from, host), waited = a->type->sync(a);
    st = st ? st : waited;
    if (!st)
        st = b->type->write(b, to, host);
    free(host);
    return st;
}

/* A view in r becomes that of a copy on `part`. */
static enum kn_status copy_make(struct split *s, const struct region *r, int part,
                                struct kn_view *v)
{
    int axis[KN_DIM_MAX];
    if (!blocks_lie_well(v))
        return KN_BAD_CALL;
    struct kn_view to, read = lying(v, &to, axis);
    size_t bytes = kn_row_bytes(v->dtype, kn_count(&to));
    struct copy *c = copy_place(s, part, bytes);
    if (!c) { /* a lost part has no memory either */
        enum kn_status st = part_of(s, part)->type->sync(s->lane[part].inner);
        return st ? st : KN_OUT_OF_MEMORY;
    }
    to.data = c->there.data;
    read = region_other(r, &read);
    enum kn_status st = carry(part_of(s, r->part), &read, part_of(s, part), &to, bytes);
    if (st)
        return st;
    *c = (struct copy){*v, *v, part, bytes, s->call, false};
    c->there.data = to.data, c->there.first = v->first % kn_dtype_block(v->dtype);
    for (int i = 0; i < v->ndim; i++)
        c->there.stride[axis[i]] = v->stride[axis[i]] ? to.stride[i] : 0;
    *v = c->there;
    return KN_OK;
}

static struct region *region_of(struct split *s, const struct kn_view *v, const char *op,
                                const char *operand)
{
    struct region *r = regions_find(&s->memory, v);
    if (!r)
        wrap_fail("split", "not device memory", op, operand);
    return r;
}

static bool is_empty(const struct kn_view *v)
{
    return v->ndim == 0 || kn_count(v) == 0;
}

/* An operand as `part` can read it. */
static enum kn_status bring(struct split *s, int part, const char *op, const char *operand,
                            struct kn_view *v)
{
    if (is_empty(v))
        return KN_OK;
    struct region *r = region_of(s, v, op, operand);
    if (r->part == part) {
        *v = region_other(r, v);
        return KN_OK;
    }
    for (int i = 0; i < s->n_copies; i++) {
        struct copy *c = &s->copies[i];
        if (!c->stale && c->part == part && same_view(&c->source, v)) {
            *v = c->there, c->used = s->call;
            return KN_OK;
        }
    }
    return copy_make(s, r, part, v);
}

/* ---- the vtable ---- */

/* Addresses for memory of a part. */
static void *region_new(struct split *s, struct region r)
{
    size_t reserved = r.bytes ? r.bytes : 1;
    r.at = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r.at == MAP_FAILED)
        return NULL;
    if (regions_add(&s->memory, r))
        return r.at;
    munmap(r.at, reserved);
    return NULL;
}

static void region_free(struct split *s, struct region *r)
{
    struct kn_backend *be = part_of(s, r->part);
    region_changed(s, r);
    if (r->import.ndim)
        be->type->forget(be, &r->import);
    else
        be->type->release(be, r->other, r->bytes);
    munmap(r->at, r->bytes ? r->bytes : 1);
    regions_remove(&s->memory, r);
}

static void *split_alloc(struct kn_backend *be, size_t bytes)
{
    struct split *s = split_of(be);
    int part = (int)((struct lane *)be - s->lane);
    struct kn_backend *inner = part_of(s, part);
    void *mem = inner->type->alloc(inner, bytes);
    void *at = mem ? region_new(s, (struct region){.bytes = bytes, .other = mem, .part = part})
                   : NULL;
    if (mem && !at)
        inner->type->release(inner, mem, bytes);
    return at;
}

static void split_release(struct kn_backend *be, void *mem, size_t bytes)
{
    struct split *s = split_of(be);
    struct region *r = mem ? regions_at(&s->memory, mem) : NULL;
    (void)bytes;
    if (mem && !r)
        wrap_fail("split", "not device memory", "release", "mem");
    if (r)
        region_free(s, r);
}

static enum kn_status split_import(struct kn_backend *be, const struct kn_view *host,
                                   struct kn_view *device)
{
    struct split *s = split_of(be);
    int part = (int)((struct lane *)be - s->lane);
    struct kn_backend *inner = part_of(s, part);
    struct region r = {.part = part};
    enum kn_status st = inner->type->import(inner, host, &r.import);
    if (st)
        return st;
    struct kn_view v = r.import;
    if (v.ndim) {
        r.bytes = wrap_span(&v), r.other = kn_at(&v, 0);
        if (!(v.data = region_new(s, r))) {
            inner->type->forget(inner, &r.import);
            return KN_OUT_OF_MEMORY;
        }
        v.first %= kn_dtype_block(v.dtype);
    }
    *device = v;
    return KN_OK;
}

static void split_forget(struct kn_backend *be, struct kn_view *device)
{
    if (device->ndim)
        split_release(be, device->data, 0);
    *device = (struct kn_view){0};
}

static enum kn_status split_run(struct kn_backend *be, const struct kn_call *call)
{
    struct split *s = split_of(be);
    struct kn_call c = *call;
    int part = -1;
    if ((unsigned)call->op >= KN_OP_COUNT)
        return KN_BAD_CALL;
    s->call++;
    for (int i = 0; i < KN_OUT_MAX; i++) {
        if (is_empty(&c.out[i]))
            continue;
        struct region *r = region_of(s, &c.out[i], kn_op_name(c.op), wrap_out_name[i]);
        if (part >= 0 && r->part != part)
            return KN_BAD_CALL;
        part = r->part;
        c.out[i] = region_other(r, &c.out[i]);
    }
    part = part < 0 ? 0 : part;
    enum kn_status st = KN_OK;
    for (int i = 0; !st && i < KN_IN_MAX; i++)
        st = bring(s, part, kn_op_name(c.op), wrap_in_name[i], &c.in[i]);
    if (!st)
        st = part_of(s, part)->type->run(s->lane[part].inner, &c);
    for (int i = 0; i < KN_OUT_MAX; i++)
        if (!is_empty(&call->out[i]))
            region_changed(s, regions_find(&s->memory, &call->out[i]));
    return st;
}

static enum kn_status split_sync(struct kn_backend *be)
{
    struct split *s = split_of(be);
    enum kn_status first = KN_OK;
    for (int i = 0; i < s->n; i++) {
        enum kn_status st = part_of(s, i)->type->sync(s->lane[i].inner);
        first = first ? first : st;
    }
    for (int i = 0; first && i < s->n_copies; i++)
        s->copies[i].stale = true; /* how much of it was written is not known */
    return first;
}

/* The part that a view lies on, and the view there; for one that is written: its copies go. */
static struct kn_backend *at_home(struct kn_backend *be, struct kn_view *v, const char *method,
                                  bool written)
{
    struct split *s = split_of(be);
    struct region *r = is_empty(v) ? NULL : region_of(s, v, method, "v");
    if (!r)
        return part_of(s, 0);
    if (written)
        region_changed(s, r);
    *v = region_other(r, v);
    return part_of(s, r->part);
}

static enum kn_status split_read(struct kn_backend *be, const struct kn_view *v, void *host)
{
    struct kn_view there = *v;
    struct kn_backend *home = at_home(be, &there, "read", false);
    return home->type->read(home, &there, host);
}

static enum kn_status split_write(struct kn_backend *be, const struct kn_view *v, const void *host)
{
    struct kn_view there = *v;
    struct kn_backend *home = at_home(be, &there, "write", true);
    return home->type->write(home, &there, host);
}

static enum kn_status split_fill(struct kn_backend *be, const struct kn_view *v, float x)
{
    struct kn_view there = *v;
    struct kn_backend *home = at_home(be, &there, "fill", true);
    return home->type->fill(home, &there, x);
}

/* The host's memory counts once, however many parts work in it. */
static void split_memory(struct kn_backend *be, size_t *total, size_t *available)
{
    struct split *s = split_of(be);
    bool host = false;
    *total = *available = 0;
    for (int i = 0; i < s->n; i++) {
        size_t has, left;
        struct kn_backend *in = s->lane[i].inner;
        if (in->unified && host)
            continue;
        in->type->memory(in, &has, &left);
        *total += has, *available += left;
        host |= in->unified;
    }
}

/* Of parts that watch others: what they saw together, and the first departure. */
static const struct kn_seen *split_seen(const struct kn_backend *be, int kind)
{
    struct split *s = ((const struct lane *)be)->of;
    struct kn_seen sum = {0};
    bool any = false;
    for (int i = 0; i < s->n; i++) {
        const struct kn_seen *x = kn_seen(s->lane[i].inner, kind);
        if (!x)
            continue;
        any = true;
        sum.calls += x->calls, sum.seconds += x->seconds, sum.bytes += x->bytes;
        sum.worst = x->worst > sum.worst ? x->worst : sum.worst;
    }
    s->seen[kind] = sum;
    return any ? &s->seen[kind] : NULL;
}

static const char *split_departure(const struct kn_backend *be)
{
    const struct split *s = ((const struct lane *)be)->of;
    const char *line = NULL;
    for (int i = 0; !line && i < s->n; i++)
        line = kn_departure(s->lane[i].inner);
    return line;
}

static struct kn_backend *split_part(struct kn_backend *be, int64_t i, int64_t n)
{
    struct split *s = split_of(be);
    int at = 0;
    while (at < s->n - 1 && ((double)i + 0.5) / (double)n >= s->lane[at].upto)
        at++;
    return &s->lane[at].base;
}

static struct kn_backend *split_device_at(const struct kn_backend *be, int i)
{
    const struct split *s = ((const struct lane *)be)->of;
    return i < s->n ? s->lane[i].inner : NULL;
}

static void split_spread(struct kn_backend *be, const int64_t *upto, int64_t n)
{
    struct split *s = split_of(be);
    for (int i = 0; i < s->n; i++)
        s->lane[i].upto = (double)upto[i] / (double)n;
}

static void split_close(struct kn_backend *be)
{
    struct split *s = split_of(be);
    while (s->n_copies)
        copy_drop(s, s->n_copies - 1);
    while (s->memory.n)
        region_free(s, &s->memory.list[s->memory.n - 1]);
    for (int i = 0; i < s->n; i++)
        kn_close(s->lane[i].inner);
    free(s->memory.list);
    free(s->copies);
    free(s);
}

static const struct kn_backend_type SPLIT_TYPE = {
    .name = "split",
    .alloc = split_alloc,
    .release = split_release,
    .import = split_import,
    .forget = split_forget,
    .run = split_run,
    .sync = split_sync,
    .read = split_read,
    .write = split_write,
    .fill = split_fill,
    .memory = split_memory,
    .seen = split_seen,
    .departure = split_departure,
    .part = split_part,
    .device_at = split_device_at,
    .spread = split_spread,
    .close = split_close,
};

/* ---- opening ---- */

/* Shares of the work, and what all parts can promise. */
static void lanes_finish(struct split *s)
{
    struct kn_backend all = {.type = &SPLIT_TYPE, .exact_rows = true, .alloc_max = SIZE_MAX};
    size_t size[KN_SPLIT_MAX], sum = 0, total;
    bool known = true;
    for (int i = 0; i < s->n; i++) {
        struct kn_backend *in = s->lane[i].inner;
        size_t used = strlen(all.describe);
        snprintf(all.describe + used, sizeof all.describe - used, "%s%s",
                 i ? "," : "split:", in->describe);
        all.exact_rows &= in->exact_rows;
        all.blas |= in->blas;
        if (in->alloc_max < all.alloc_max)
            all.alloc_max = in->alloc_max;
        if (in->rows_preferred > all.rows_preferred)
            all.rows_preferred = in->rows_preferred;
        in->type->memory(in, &total, &size[i]);
        known &= size[i] > 0, sum += size[i];
    }
    double upto = 0;
    for (int i = 0; i < s->n; i++) {
        upto += known ? (double)size[i] / (double)sum : 1.0 / s->n;
        s->lane[i].base = all, s->lane[i].of = s, s->lane[i].upto = upto;
    }
}

struct kn_backend *split_new(struct kn_backend *const *parts, int n, size_t copies_bytes)
{
    struct split *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->n = n, s->copies_bytes = copies_bytes;
    for (int i = 0; i < n; i++)
        s->lane[i].inner = parts[i];
    lanes_finish(s);
    return &s->lane[0].base;
}

struct kn_backend *kn_split(struct kn_backend *const *parts, int n)
{
    return split_new(parts, n, COPIES_BYTES);
}

/* The next name of a list and what is after it; false: it is too long. */
static bool name_next(const char **list, char name[NAME_MAX_BYTES])
{
    size_t n = strcspn(*list, ",");
    if (n >= NAME_MAX_BYTES)
        return false;
    snprintf(name, NAME_MAX_BYTES, "%.*s", (int)n, *list);
    *list += n + ((*list)[n] == ',');
    return true;
}

struct kn_backend *split_open(const struct kn_options *opt, const char *inner, char *why,
                              size_t why_size)
{
    struct kn_backend *parts[KN_SPLIT_MAX], *be = NULL;
    char name[NAME_MAX_BYTES];
    struct kn_options each = *opt;
    int n = 0, error = 0;
    while (!error && *inner) {
        if (n == KN_SPLIT_MAX || !name_next(&inner, name)) {
            snprintf(why, why_size, "split · at most %d backends", KN_SPLIT_MAX);
            error = EINVAL;
            continue;
        }
        each.blas = opt->blas && strcmp(name, "cpu") != 0; /* a device beside it may have one */
        if (!(parts[n] = wrap_inner(&each, name, why, why_size)))
            error = errno;
        else
            n++;
    }
    if (!error && n < 2) {
        snprintf(why, why_size, "split · spreads over two backends or more, as in split:cpu,cpu");
        error = EINVAL;
    }
    if (!error && !(be = kn_split(parts, n))) {
        snprintf(why, why_size, "out of memory · opening split");
        error = ENOMEM;
    }
    for (int i = 0; !be && i < n; i++)
        kn_close(parts[i]);
    errno = error;
    return be;
}
