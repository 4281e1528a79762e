/* memory.h - memory of the cpu backend: zeroed, committed where touched, in huge pages.
 *
 * A run that keeps every site has thousands of buffers, and touching fresh pages of 4 KiB one by
 * one costs as much as computing what goes into them.  So buffers are cut one after the other from
 * slabs that the kernel may back with pages of 2 MiB.  A released buffer gives its pages back at
 * once, which leaves zeros, and its place to the next one that fits: the kernel fills holes in huge
 * pages again in its own time, so that holes left alone would become memory that grows.  A slab
 * goes with the last of its buffers.  One thread at a time.  Tested in tests/kernels/test_memory.c.
 */
#ifndef KN_CPU_MEMORY_H
#define KN_CPU_MEMORY_H

#include <stddef.h>

struct slab;

/* Zero-initialised: none. */
struct memory {
    struct slab *slabs; /* the first is the one that is cut from */
};

/* Page-aligned and zeroed; NULL when there is none left. */
void *memory_alloc(struct memory *m, size_t bytes);
/* What memory_alloc gave for as many bytes, or NULL. */
void memory_release(struct memory *m, void *mem, size_t bytes);
/* Everything that was not released. */
void memory_free(struct memory *m);

#endif
