/* bore_cache_parts.h - what the files bore_cache*.c share; nobody else includes it. */
#ifndef BORE_CACHE_PARTS_H
#define BORE_CACHE_PARTS_H

#include "lib/bore_parts.h"

/* One tensor.  Without memory until it is filled where caching hooks fill it. */
struct entry {
    char name[LIMIT_NAME + 8];
    struct alias_value value;
    bool gradient;
    int axis; /* that is sliced, without the batch: positions, or with library_axis heads */
    int64_t *pick, n_pick; /* elements of it that are captured */
    struct bore_tensor t;
    struct bore_cache *cache;
};

struct bore_cache {
    struct config cfg; /* of the model */
    struct entry *list;
    int n;
    int rows, cols;
    bool drops_batch, library_axis;
    struct bore_slice slice; /* caching hooks resolve it at every call */
    int64_t *list_copy;
};

/* Shape of an entry's values for the run's positions; returns how many there are. */
int64_t bore_entry_shape(const struct run *r, const struct entry *x, int64_t shape[ALIAS_RANK_MAX],
                         int *rank);
/* For every column the position of its token, -1 where it is masked; malloc'ed. */
int32_t *bore_real_positions(const struct bore_pass *p, const struct bore_row *row);
/* Values [real positions] of one row to its part of the entry.  real[column]: position, or -1 for
 * padding. */
void bore_entry_place(const struct bore_cache *c, struct entry *x, const struct bore_pass *p,
                      int index, const float *values, const int64_t *shape, int rank,
                      const int32_t *real);

#endif
