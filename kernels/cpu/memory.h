/* memory.h - memory of the cpu backend: zeroed, committed where touched, in huge pages.
 *
 * A run that keeps every site has thousands of buffers, and touching fresh pages of 4 KiB one by
 * one costs as much as computing what goes into them.  So buffers are cut one after the other from
 * slabs that the kernel may back with pages of 2 MiB.  A released buffer gives its place to the
 * next one that fits: the kernel fills holes in huge pages again in its own time, so that holes
 * left alone would become memory that grows.  Its pages stay for that next one, since clearing new
 * ones takes the kernel five times as long as clearing these, but never more of them than are in
 * use, and at most kept_max; beyond that they go back at once, and a slab with the last of its
 * buffers. One thread at a time.  Tested in tests/kernels/test_memory.c.
 */
#ifndef KN_CPU_MEMORY_H
#define KN_CPU_MEMORY_H

#include <stddef.h>

struct slab;

/* Zero-initialised but for kept_max: none. */
struct memory {
    struct slab *slabs;  /* the first is the one that is cut from */
    size_t in_use, kept; /* bytes of buffers, and of the pages that stay of released ones */
    size_t kept_max;
};

/* Page-aligned and zeroed; NULL when there is none left. */
void *memory_alloc(struct memory *m, size_t bytes);
/* What memory_alloc gave for as many bytes, or NULL. */
void memory_release(struct memory *m, void *mem, size_t bytes);
/* Everything that was not released. */
void memory_free(struct memory *m);

#endif
