/* token_align.h - which position of one prompt stands for which of another, of any lengths.
 * Tested in tests/engine/test_token_align.c. */
#ifndef TOKEN_ALIGN_H
#define TOKEN_ALIGN_H

#include <stdint.h>

#include "base/err.h"

enum token_align {
    TOKEN_ALIGN_INDEX, /* the same position; those beyond the other prompt have none */
    TOKEN_ALIGN_END,   /* counted from the end */
    TOKEN_ALIGN_TOKEN, /* the longest common subsequence; between its tokens, stretches that are as
                    long in both */
    TOKEN_ALIGN_COUNT
};

/* What options, `:align` and messages call them: "index", "end", "token". */
extern const char *const token_align_names[TOKEN_ALIGN_COUNT];
int token_align_parse(const char *text, enum token_align *out, struct err *e);

/* map[i], i < na: the position in b[nb] that stands for i, or -1; increasing where not -1.
 * TOKEN_ALIGN_TOKEN takes time and memory na nb without what both begin and end with: an error,
 * with map filled by these ends alone, where that is too much or memory is out. */
int token_align(const int32_t *a, int32_t na, const int32_t *b, int32_t nb, enum token_align how,
                int32_t *map, struct err *e);

#endif
