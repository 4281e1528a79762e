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

struct slab {
    struct slab *next;
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

void *memory_alloc(struct memory *m, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t size = rounded(bytes ? bytes : 1, PAGE);
    struct slab *s = m->slabs;
    if (size > ALONE)
        s = slab_new(m, rounded(size, HUGE));
    else if (!s || s->size - s->used < size)
        s = slab_new(m, SLAB);
    if (!s)
        return NULL;
    void *mem = s->at + s->used;
    s->used += size;
    s->buffers++;
    return mem;
}

static void slab_drop(struct slab **at)
{
    struct slab *s = *at;
    *at = s->next;
    munmap(s->at, s->size);
    free(s);
}

void memory_release(struct memory *m, void *mem, size_t bytes)
{
    struct slab **at = &m->slabs;
    if (!mem)
        return;
    while ((char *)mem < (*at)->at || (char *)mem >= (*at)->at + (*at)->size)
        at = &(*at)->next;
    if (--(*at)->buffers == 0)
        slab_drop(at);
    else
        madvise(mem, rounded(bytes ? bytes : 1, PAGE), MADV_DONTNEED);
}

void memory_free(struct memory *m)
{
    while (m->slabs)
        slab_drop(&m->slabs);
}
