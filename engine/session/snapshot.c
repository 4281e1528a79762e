/* snapshot.c - memory of answers, and finding figures in them (see snapshot.h, session.h). */
#include "session/snapshot.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct blob *blob_new(int32_t row0, int32_t row1, size_t bytes)
{
    size_t rows = (size_t)(row1 - row0), head = (sizeof(struct blob) + 15) & ~(size_t)15;
    if (bytes && rows > (SIZE_MAX - head) / (bytes + 1))
        return NULL;
    struct blob *b = malloc(head + rows * (bytes + sizeof *b->there));
    if (!b)
        return NULL;
    char *data = (char *)b + head;
    *b = (struct blob){.row0 = row0,
                       .row1 = row1,
                       .bytes = bytes,
                       .data = data,
                       .there = (bool *)(data + rows * bytes)};
    atomic_init(&b->refs, 1);
    memset(b->there, 0, rows * sizeof *b->there);
    return b;
}

struct blob *blob_copy(const struct blob *b, int32_t row0, int32_t row1)
{
    struct blob *to = blob_new(row0, row1, b->bytes);
    int32_t first = row0 > b->row0 ? row0 : b->row0, last = row1 < b->row1 ? row1 : b->row1;
    if (to && first < last) {
        memcpy(blob_at(to, first), blob_at(b, first), (size_t)(last - first) * b->bytes);
        memcpy(to->there + (first - row0), b->there + (first - b->row0),
               (size_t)(last - first) * sizeof *b->there);
    }
    return to;
}

static struct blob *blob_hold(struct blob *b) /* NULL stays NULL */
{
    if (b)
        atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void blob_release(struct blob *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}

bool blob_is_shared(const struct blob *b)
{
    return atomic_load_explicit(&b->refs, memory_order_acquire) > 1;
}

void *blob_at(const struct blob *b, int32_t row)
{
    return b->data + (size_t)(row - b->row0) * b->bytes;
}

bool blob_has(const struct blob *b, int32_t row)
{
    return b && row >= b->row0 && row < b->row1 && b->there[row - b->row0];
}

struct figure {
    struct want want;
    struct blob *face[FACE_COUNT];
};

struct box {
    struct snapshot snap; /* first: a snapshot's address is its box's */
    atomic_int refs;
    int32_t n_figures;
    struct figure figure[]; /* [snap.n_wants], sorted by want_order */
};

static struct box *box_of(const struct snapshot *s)
{
    return (struct box *)(void *)(uintptr_t)s;
}

static struct box *box_new(int32_t figures)
{
    struct box *b = calloc(1, sizeof *b + (size_t)figures * sizeof *b->figure);
    if (b)
        atomic_init(&b->refs, 1);
    return b;
}

struct snapshot *snapshot_new(const struct session_want *want)
{
    struct box *b = box_new(want->n_wants);
    struct want *wants = malloc(((size_t)want->n_wants + 1) * sizeof *wants);
    if (!b || !wants) {
        free(b), free(wants);
        return NULL;
    }
    memcpy(wants, want->wants, (size_t)want->n_wants * sizeof *wants);
    b->snap.n = want->target.input.n;
    b->snap.wants = wants;
    b->snap.n_wants = want->n_wants;
    return &b->snap;
}

struct snapshot *snapshot_like(const struct snapshot *a)
{
    struct box *b = box_new(a->n_wants);
    struct want *wants = malloc(((size_t)a->n_wants + 1) * sizeof *wants);
    if (!b || !wants) {
        free(b), free(wants);
        return NULL;
    }
    memcpy(wants, a->wants, (size_t)a->n_wants * sizeof *wants);
    b->snap = *a;
    b->snap.wants = wants;
    b->snap.program = NULL;
    b->snap.sweep = NULL;
    b->snap.sides = NULL;
    b->snap.n_sides = 0;
    b->snap.edited = true;
    return &b->snap;
}

int32_t snapshot_figures(const struct snapshot *s)
{
    return box_of(s)->n_figures;
}

void snapshot_figure(const struct snapshot *s, int32_t i, struct want *want,
                     struct blob *face[FACE_COUNT])
{
    const struct figure *f = &box_of(s)->figure[i];
    *want = f->want; /* the key's rows mean nothing */
    want->row0 = INT32_MAX, want->row1 = 0;
    for (int k = 0; k < s->n_wants; k++) {
        const struct want *w = &s->wants[k];
        if (!want_same(w, want))
            continue;
        want->row0 = w->row0 < want->row0 ? w->row0 : want->row0;
        want->row1 = w->row1 > want->row1 ? w->row1 : want->row1;
    }
    for (int k = 0; k < FACE_COUNT; k++)
        face[k] = f->face[k];
}

struct snapshot *snapshot_failed(void)
{
    struct box *b = box_new(0);
    if (!b)
        return NULL;
    b->snap.complete = true;
    return &b->snap;
}

void snapshot_show(struct snapshot *s, const struct want *want, struct blob *const face[FACE_COUNT])
{
    struct box *b = box_of(s);
    struct figure *f = &b->figure[b->n_figures++];
    assert(b->n_figures <= s->n_wants);
    f->want = *want;
    for (int i = 0; i < FACE_COUNT; i++)
        f->face[i] = blob_hold(face[i]);
}

bool snapshot_sides(struct snapshot *s, const struct snapshot *const *sides, int32_t n)
{
    const struct snapshot **held = n ? calloc((size_t)n, sizeof *held) : NULL;
    for (int32_t i = 0; held && i < n; i++) {
        snapshot_hold(sides[i]);
        held[i] = sides[i];
    }
    s->sides = held;
    s->n_sides = held ? n : 0;
    return held || !n;
}

void snapshot_hold(const struct snapshot *s)
{
    atomic_fetch_add_explicit(&box_of(s)->refs, 1, memory_order_relaxed);
}

void snapshot_release(const struct snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&box_of(s)->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct box *b = box_of(s);
    for (int32_t i = 0; i < b->n_figures; i++)
        for (int f = 0; f < FACE_COUNT; f++)
            blob_release(b->figure[i].face[f]);
    edit_program_free((struct edit_program *)(uintptr_t)s->program);
    sweep_map_release(s->sweep);
    for (int32_t i = 0; i < s->n_sides; i++)
        snapshot_release(s->sides[i]);
    free((void *)(uintptr_t)s->sides);
    free((void *)(uintptr_t)s->wants);
    free(b);
}

static int by_want(const void *a, const void *b)
{
    return want_order(&((const struct figure *)a)->want, &((const struct figure *)b)->want);
}

static const struct blob *find(const struct snapshot *s, enum face face, const struct want *want)
{
    const struct box *b = box_of(s);
    const struct figure key = {.want = *want},
                        *f = bsearch(&key, b->figure, (size_t)b->n_figures, sizeof *f, by_want);
    return f ? f->face[face] : NULL;
}

const void *snapshot_at(const struct snapshot *s, enum face face, const struct want *want,
                        int32_t row)
{
    const struct blob *b = find(s, face, want);
    return blob_has(b, row) ? blob_at(b, row) : NULL;
}

const void *snapshot_rows(const struct snapshot *s, enum face face, const struct want *want)
{
    const struct blob *b = find(s, face, want);
    for (int32_t row = want->row0; row < want->row1; row++)
        if (!blob_has(b, row))
            return NULL;
    return b && want->row0 < want->row1 ? blob_at(b, want->row0) : NULL;
}

const struct want *snapshot_want(const struct snapshot *s, enum want_kind kind, enum site_id id)
{
    for (int32_t i = 0; i < s->n_wants; i++)
        if (s->wants[i].kind == kind && (id == SITE_COUNT || s->wants[i].site.id == id))
            return &s->wants[i];
    return NULL;
}

bool snapshot_answers(const struct snapshot *s, const struct want *want)
{
    for (int f = 0; f < (s->edited ? FACE_COUNT : 1); f++)
        if (!snapshot_rows(s, (enum face)f, want))
            return false;
    return true;
}
