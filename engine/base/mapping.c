/* mapping.c - mapped files that may change under us (see mapping.h).
 *
 * Invariant: a handler may walk the list at any moment on any thread, so nodes are never unlinked
 * or freed: a removed one has length 0 and is used again. */
#include "base/mapping.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct mapping {
    struct mapping *next;
    _Atomic(uintptr_t) base;
    atomic_size_t len; /* 0: not in use */
    atomic_bool lost;
};

static _Atomic(struct mapping *) first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of adding and removing */
static uintptr_t page;

struct mapping *mapping_add(const void *base, size_t len)
{
    pthread_mutex_lock(&lock);
    page = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct mapping *m = atomic_load(&first);
    while (m && atomic_load(&m->len))
        m = m->next;
    bool is_new = !m;
    if (is_new)
        m = calloc(1, sizeof *m);
    if (m) {
        atomic_store(&m->lost, false);
        atomic_store(&m->base, (uintptr_t)base);
        atomic_store(&m->len,
                     (len + page - 1) &
                         ~(page - 1)); /* a fault may be reported anywhere in the last page */
        if (is_new) {
            m->next = atomic_load(&first);
            atomic_store(&first, m);
        }
    }
    pthread_mutex_unlock(&lock);
    return m;
}

void mapping_remove(struct mapping *m)
{
    if (m)
        atomic_store(&m->len, 0);
}

bool mapping_lost(const struct mapping *m)
{
    return m && atomic_load(&m->lost);
}

bool mapping_repair(const void *address)
{
    uintptr_t at = (uintptr_t)address;
    for (struct mapping *m = atomic_load(&first); m; m = m->next) {
        uintptr_t base = atomic_load(&m->base);
        size_t len = atomic_load(&m->len);
        if (at < base || at - base >= len)
            continue;
        uintptr_t begin = at & ~(page - 1);
        atomic_store(&m->lost, true);
        return mmap((void *)begin, base + len - begin, PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    }
    return false;
}
