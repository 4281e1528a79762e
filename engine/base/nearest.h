/* nearest.h - "did you mean": how far apart two names are.
 * Tested through the messages in tests/engine/test_site.c and test_safetensors.c. */
#ifndef NEAREST_H
#define NEAREST_H

#include <stdbool.h>
#include <stddef.h>

/* Edit distance (insert, delete, replace: 1 each) of two names, ASCII case ignored.  Only the first
 * NEAREST_LEN_MAX bytes count, so the cost is bounded. */
enum { NEAREST_LEN_MAX = 128 };
size_t nearest_distance(const char *a, const char *b);
/* Is `candidate` nearer to what was wanted than *least?  Then that is its distance.  The nearest of
 * a list: begin with SIZE_MAX, keep the last for which it is true.  Cheaper than nearest_distance:
 * it stops when the answer is no. */
bool nearest_is(const char *wanted, const char *candidate, size_t *least);

#endif
