/* tensor_sum.h - what the tensor view keeps of its slice: sums and a histogram, and an order.
 * Pure.  Tested in tests/tui/test_tensor.c. */
#ifndef TENSOR_SUM_H
#define TENSOR_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_BINS = 512 };
enum slice_axis { SLICE_ROWS, SLICE_COLUMNS, SLICE_AXES };

/* Of n values, `limit`: most of what is finite, but for outliers, is not larger. */
struct tensor_sum {
    int32_t n, nan, inf;
    double mean, std;
    float min, max, limit;
    int32_t bin[TENSOR_BINS]; /* of finite ones, min to max */
};
void tensor_sum(struct tensor_sum *t, const float *v, size_t n);

/* Indices in the order of the screen, and what they were sorted by; at NULL: their own. */
struct tensor_order {
    int32_t *at, n, by;
    bool least;
};

/* A slice in the order of the screen, what it was made of, and its sums. */
enum { TENSOR_KEY = 10 };
struct tensor_kept {
    int64_t key[TENSOR_KEY];
    float *v;
    size_t n;
    struct tensor_sum sum;
};

#endif
