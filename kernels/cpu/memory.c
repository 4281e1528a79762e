/* memory.c - see memory.h. */
#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    PAGE = 4096,
    HUGE = 2 << 20,
    SLAB = 32 << 20,
    ALONE = 8 << 20 /* larger buffers have a slab each */
};

struct hole {
    struct hole *next;
    char *at;
    size_t size;
};

struct slab {
    struct slab *next;
    struct hole *holes; /* released, by address, no two of them side by side */
    char *at;
    size_t size, used;
    int buffers;
};

static size_t rounded(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* Addresses for `size` bytes, a multiple of HUGE, on a boundary of HUGE. */
static char *map(size_t size)
{
    char *p = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t before = (HUGE - (uintptr_t)p % HUGE) % HUGE;
    if (before)
        munmap(p, before);
    munmap(p + before + size, HUGE - before);
    (void)madvise(p + before, size, MADV_HUGEPAGE); /* where it cannot be had, small pages do */
    return p + before;
}

static struct slab *slab_new(struct memory *m, size_t size)
{
    struct slab *s = calloc(1, sizeof *s);
    if (!s || !(s->at = map(size))) {
        free(s);
        return NULL;
    }
    s->size = size;
    /* behind the one that is cut from, where this one has no room to cut */
    struct slab **place = m->slabs && size > SLAB ? &m->slabs->next : &m->slabs;
    s->next = *place;
    return *place = s;
}

/* The first hole that is large enough, or its beginning; NULL: there is none. */
static char *hole_take(struct memory *m, size_t size)
{
    for (struct slab *s = m->slabs; s; s = s->next)
        for (struct hole **at = &s->holes, *h; (h = *at); at = &h->next) {
            if (h->size < size)
                continue;
            char *mem = h->at;
            h->at += size, h->size -= size;
            if (!h->size)
                *at = h->next, free(h);
            s->buffers++;
            return mem;
        }
    return NULL;
}

/* One more, together with those beside it.  Without memory for it its addresses are lost until the
 * slab goes. */
static void hole_add(struct slab *s, char *mem, size_t size)
{
    struct hole **at = &s->holes, *before = NULL;
    while (*at && (*at)->at < mem)
        before = *at, at = &before->next;
    struct hole *h = *at;
    if (before && before->at + before->size == mem) {
        before->size += size;
        if (h && mem + size == h->at)
            before->size += h->size, before->next = h->next, free(h);
    } else if (h && mem + size == h->at) {
        h->at = mem, h->size += size;
    } else if ((h = malloc(sizeof *h))) {
        *h = (struct hole){*at, mem, size};
        *at = h;
    }
}

void *memory_alloc(struct memory *m, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t size = rounded(bytes ? bytes : 1, PAGE);
    struct slab *s = m->slabs;
    void *mem = size > ALONE ? NULL : hole_take(m, size);
    if (mem)
        return mem;
    if (size > ALONE)
        s = slab_new(m, rounded(size, HUGE));
    else if (!s || s->size - s->used < size)
        s = slab_new(m, SLAB);
    if (!s)
        return NULL;
    mem = s->at + s->used;
    s->used += size;
    s->buffers++;
    return mem;
}

static void slab_drop(struct slab **at)
{
    struct slab *s = *at;
    *at = s->next;
    for (struct hole *h; (h = s->holes); free(h))
        s->holes = h->next;
    munmap(s->at, s->size);
    free(s);
}

void memory_release(struct memory *m, void *mem, size_t bytes)
{
    struct slab **at = &m->slabs;
    size_t size = rounded(bytes ? bytes : 1, PAGE);
    if (!mem)
        return;
    while ((char *)mem < (*at)->at || (char *)mem >= (*at)->at + (*at)->size)
        at = &(*at)->next;
    if (--(*at)->buffers == 0) {
        slab_drop(at);
        return;
    }
    madvise(mem, size, MADV_DONTNEED); /* zeros when it is handed out again */
    hole_add(*at, mem, size);
}

void memory_free(struct memory *m)
{
    while (m->slabs)
        slab_drop(&m->slabs);
}
