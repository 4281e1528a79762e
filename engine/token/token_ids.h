/* token_ids.h - token ids that somebody typed: "1,2,3", with commas or blanks between them.
 * Tested in tests/engine/test_token_ids.c; fuzzed in tests/fuzz/fuzz_token_ids.c. */
#ifndef TOKEN_IDS_H
#define TOKEN_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Whole numbers from 0 on; a comma stands between two of them, never alone.  No text is no ids.
 * *ids is malloc'ed, also then.  Errors say where it is something else; ids are not compared with
 * any vocabulary. */
int token_ids_read(const char *text, size_t len, int32_t **ids, int32_t *n, struct err *e);

#endif
