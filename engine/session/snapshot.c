/* snapshot.c - memory of snapshots (see snapshot.h). */
#include "session/snapshot.h"

#include <stdlib.h>

struct blob {
    atomic_int refs;
    float data[];
};

struct blob *blob_new(size_t floats)
{
    struct blob *b = malloc(sizeof *b + floats * sizeof *b->data);
    if (b)
        atomic_init(&b->refs, 1);
    return b;
}

float *blob_data(struct blob *b)
{
    return b->data;
}

struct blob *blob_hold(struct blob *b)
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

enum { BLOB_MAX = 2 * FACE_COUNT };

struct part {
    struct part *next;
};

struct box {
    struct snapshot snap; /* first: a snapshot's address is its box's */
    atomic_int refs;
    struct part *parts;
    struct blob *blobs[BLOB_MAX];
    int n_blobs;
    bool broken;
};

struct snapshot *snapshot_new(void)
{
    struct box *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    return &b->snap;
}

static struct box *box_of(const struct snapshot *s)
{
    return (struct box *)(void *)(uintptr_t)s;
}

void *snapshot_part(struct snapshot *s, size_t count, size_t size)
{
    struct box *b = box_of(s);
    size_t head = (sizeof(struct part) + 15) & ~(size_t)15;
    struct part *p = calloc(1, head + count * size);
    if (!p) {
        b->broken = true;
        return NULL;
    }
    p->next = b->parts;
    b->parts = p;
    return (char *)p + head;
}

float *snapshot_share(struct snapshot *s, struct blob *blob)
{
    struct box *b = box_of(s);
    if (!blob)
        return NULL;
    b->blobs[b->n_blobs++] = blob_hold(blob);
    return blob->data;
}

bool snapshot_broken(const struct snapshot *s)
{
    return box_of(s)->broken;
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
    for (struct part *p = b->parts, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    for (int i = 0; i < b->n_blobs; i++)
        blob_release(b->blobs[i]);
    free(b);
}
