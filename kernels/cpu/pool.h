/* pool.h - the threads that share the work of one call.
 *
 * A job is `chunks` calls of fn(ctx, chunk, scratch), handed out in rising order from one queue, so
 * that a thread that lost its core costs one chunk and not its share.  The calling thread works
 * too. A thread that runs out of work spins for a few tens of microseconds (the next operation of a
 * forward pass comes that soon) and then sleeps; one that notices that its core is shared does not
 * spin. One job at a time, always from the same thread.
 */
#ifndef KN_CPU_POOL_H
#define KN_CPU_POOL_H

#include "../kn.h"

struct pool;

typedef void pool_fn(void *ctx, int64_t chunk, void *scratch);

/* At most `threads` threads, the caller among them; fewer where no more can be started.
 * NULL without memory. */
struct pool *pool_new(int threads);
void pool_free(struct pool *p);
int pool_threads(const struct pool *p);

/* At least `bytes` of 64-byte aligned memory for each thread's chunks, until a larger request. */
bool pool_reserve(struct pool *p, size_t bytes);

/* Run chunks 0 .. chunks-1; returns when all have returned.  `cancel` (or NULL) is looked at before
 * each chunk: once it is true no further chunk starts, and the result is KN_CANCELLED. */
enum kn_status pool_run(struct pool *p, const atomic_bool *cancel, int64_t chunks, pool_fn *fn,
                        void *ctx);

#endif
