/* memory.c - see memory.h. */
#include "memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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
    bool kept; /* its pages are there, with what was in them; else it is zeros */
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
            if (h->kept)
                memset(mem, 0, size), m->kept -= size;
            if (!h->size)
                *at = h->next, free(h);
            s->buffers++;
            return mem;
        }
    return NULL;
}

/* Its pages go back to the system, and zeros are in their place. */
static void hole_empty(struct memory *m, struct hole *h)
{
    if (h->kept)
        m->kept -= h->size;
    h->kept = false;
    madvise(h->at, h->size, MADV_DONTNEED);
}

/* h->next lies beside h: one hole of both, kept where both are. */
static void hole_join(struct memory *m, struct hole *h)
{
    struct hole *after = h->next;
    if (h->kept != after->kept)
        hole_empty(m, h->kept ? h : after);
    h->size += after->size, h->next = after->next;
    free(after);
}

/* One more, together with those beside it.  Without memory for it its addresses are lost until the
 * slab goes. */
static void hole_add(struct memory *m, struct slab *s, char *mem, size_t size, bool keep)
{
    struct hole **at = &s->holes, *before = NULL, *h = malloc(sizeof *h);
    if (!h) {
        madvise(mem, size, MADV_DONTNEED);
        return;
    }
    while (*at && (*at)->at < mem)
        before = *at, at = &before->next;
    *h = (struct hole){*at, mem, size, keep};
    *at = h;
    if (keep)
        m->kept += size;
    else
        hole_empty(m, h);
    if (h->next && mem + size == h->next->at)
        hole_join(m, h);
    if (before && before->at + before->size == mem)
        hole_join(m, before);
}

void *memory_alloc(struct memory *m, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t size = rounded(bytes ? bytes : 1, PAGE);
    struct slab *s = m->slabs;
    void *mem = size > ALONE ? NULL : hole_take(m, size);
    if (mem) {
        m->in_use += size;
        return mem;
    }
    if (size > ALONE)
        s = slab_new(m, rounded(size, HUGE));
    else if (!s || s->size - s->used < size)
        s = slab_new(m, SLAB);
    if (!s)
        return NULL;
    mem = s->at + s->used;
    s->used += size;
    s->buffers++;
    m->in_use += size;
    return mem;
}

static void slab_drop(struct memory *m, struct slab **at)
{
    struct slab *s = *at;
    *at = s->next;
    for (struct hole *h; (h = s->holes); free(h)) {
        s->holes = h->next;
        m->kept -= h->kept ? h->size : 0;
    }
    munmap(s->at, s->size);
    free(s);
}

static bool slab_keeps(const struct slab *s)
{
    for (const struct hole *h = s->holes; h; h = h->next)
        if (h->kept)
            return true;
    return false;
}

/* Nothing is kept any more. */
static void give_back(struct memory *m)
{
    for (struct slab **at = &m->slabs; *at;) {
        if ((*at)->buffers == 0) {
            slab_drop(m, at);
            continue;
        }
        for (struct hole *h = (*at)->holes; h; h = h->next)
            if (h->kept)
                hole_empty(m, h);
        at = &(*at)->next;
    }
}

void memory_release(struct memory *m, void *mem, size_t bytes)
{
    struct slab **at = &m->slabs;
    size_t size = rounded(bytes ? bytes : 1, PAGE);
    if (!mem)
        return;
    while ((char *)mem < (*at)->at || (char *)mem >= (*at)->at + (*at)->size)
        at = &(*at)->next;
    m->in_use -= size;
    size_t most = m->in_use < m->kept_max ? m->in_use : m->kept_max;
    bool keep = size <= ALONE && m->kept + size <= most;
    hole_add(m, *at, mem, size, keep);
    if (--(*at)->buffers == 0 && !slab_keeps(*at))
        slab_drop(m, at);
    if (m->kept > m->in_use)
        give_back(m);
}

void memory_free(struct memory *m)
{
    while (m->slabs)
        slab_drop(m, &m->slabs);
    m->in_use = 0;
}
