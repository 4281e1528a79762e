/* token_filter.h - which positions of a text count: by their token, by the next one, by where they
 * stand.  Tested in tests/engine/test_token_filter.c. */
#ifndef TOKEN_FILTER_H
#define TOKEN_FILTER_H

#include "lab/texts.h"

/* Zero-initialised: every position. */
struct token_filter {
    const int32_t *ids; /* [n] those that count, or with `without` those that do not; n 0: any */
    int32_t n;
    bool without;
    bool next;           /* of the token that follows; where none does, none is in the list */
    int32_t first, last; /* positions of a window, negative ones from its end; last 0: to the end */
};

/* The fresh positions of a piece that count, ascending, to row[p->n]; how many. */
int32_t token_filter_rows(const struct token_filter *f, const struct text_piece *p, int32_t *row);

#endif
