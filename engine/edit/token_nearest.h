/* token_nearest.h - "did you mean" for tokens: which of the vocabulary is most like a text that is
 * none of them. Tested in tests/tui/test_cli_hints.c. */
#ifndef TOKEN_NEAREST_H
#define TOKEN_NEAREST_H

#include "token/tokenizer.h"

enum { TOKEN_NEAREST_MAX = 160 };

/* The nearest token in quotes, or "borescope tokens shows how it splits" where none is near;
 * returns buf. */
const char *token_nearest(const struct tokenizer *t, const char *text, size_t len,
                          char buf[TOKEN_NEAREST_MAX]);

#endif
