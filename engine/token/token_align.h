/* token_align.h - which position of one prompt stands for which of another, of any lengths.
 * Tested in tests/engine/test_sweep.c. */
#ifndef TOKEN_ALIGN_H
#define TOKEN_ALIGN_H

#include <stdint.h>

#include "base/err.h"

enum token_align {
    TOKEN_ALIGN_INDEX, /* the same position; those beyond the other prompt have none */
    TOKEN_ALIGN_END,   /* counted from the end */
    TOKEN_ALIGN_TOKEN  /* a longest common subsequence of tokens; of what lies between two common
                    tokens,  the positions from its end: all of them where there are as many on both
                    sides */
};
/* "index", "end", "token". */
int token_align_parse(const char *text, enum token_align *out, struct err *e);
/* map[na]: positions of b, -1 for those that have none; ascending.  TOKEN_ALIGN_TOKEN takes time
 * and memory na * nb beyond what begins and ends alike; an error where that is too much. */
int token_align(const int32_t *a, int32_t na, const int32_t *b, int32_t nb, enum token_align how,
                int32_t *map, struct err *e);

#endif
