/* align.h - which position of one prompt stands for which of another.
 *
 * Pure.  Tested in tests/tui/test_align.c. */
#ifndef ALIGN_H
#define ALIGN_H

#include <stdint.h>

enum align {
    ALIGN_TOKEN, /* the longest common subsequence; between its tokens, stretches of equal length */
    ALIGN_END,   /* the last with the last */
    ALIGN_INDEX,
    ALIGN_COUNT
};

/* What `align` and messages call them: "token", "end", "index". */
extern const char *const align_names[ALIGN_COUNT];

/* to[i], i < n: the position in b[m] that stands for i, or -1.  Increasing where not -1.  0, or -1
 * when memory is out.  Time and memory n m without what both begin and end with; prompts for which
 * that is more than ALIGN_CELLS_MAX are paired by index between these. */
enum { ALIGN_CELLS_MAX = 1 << 24 };
int align_tokens(enum align how, const int32_t *a, int32_t n, const int32_t *b, int32_t m,
                 int32_t *to);

#endif
