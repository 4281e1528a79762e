/* token_word.h - a token as a user names it: the same rule on the command line and in the explorer.
 *
 * Digits are an id; quotes make a text of what could be one.  A text is taken exactly; where that
 * is no single token but with a space in front it is, that one is taken and *spaced says so.  Pure.
 * Tested in tests/tui/test_commands.c and test_cli_hints.c. */
#ifndef TOKEN_WORD_H
#define TOKEN_WORD_H

#include <stdbool.h>

#include "model/model.h"

/* 0 with *id; or ERR_BAD_INPUT with what would work. */
int token_word(const struct model *m, const char *text, size_t len, int32_t *id, bool *spaced,
               struct err *e);

#endif
