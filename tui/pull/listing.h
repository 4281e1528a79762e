/* listing.h - what a hub says is in a repository, and which of it makes a model.
 *
 * Names come from a server that is not trusted: a path that is not plain (absolute, "..", control
 * characters, too long) counts as not there, so that nothing is ever written outside the snapshot.
 * Pure.  Tested in tests/tui/test_pull_parts.c, tests/fuzz/fuzz_listing.c. */
#ifndef LISTING_H
#define LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { LISTING_COMMIT = 40 };

struct listing {
    char commit[LISTING_COMMIT + 1]; /* lower-case hexadecimal */
    char **file;                     /* [n] plain relative paths */
    int n;
};

/* Read the answer of /api/models/NAME/revision/REVISION.  `name` is for messages.  0, or negative
 * with *e filled; listing_free in any case. */
int listing_parse(struct listing *l, const char *name, const char *bytes, size_t len,
                  struct err *e);
void listing_free(struct listing *l);
/* Relative, of parts that are neither empty nor "." nor "..", printable, of usual length. */
bool listing_is_plain(const char *path);
bool listing_has(const struct listing *l, const char *path);

/* The files that a model is opened from, as a new list (listing_free): config.json first, those of
 * the tokenizer, weights.  A sharded model's index is among them and its shards are not: only the
 * index knows them (listing_add_shards).  With `gguf` that file alone, or all of its parts if it is
 * one of several.  ERR_BAD_INPUT: there are none, and what is there instead. */
int listing_choose(struct listing *out, const struct listing *l, const char *name, const char *gguf,
                   struct err *e);
/* The index that is among the chosen files, or NULL. */
const char *listing_index(const struct listing *chosen);
/* Append the shards that an index names, each of which `l` must have. */
int listing_add_shards(struct listing *chosen, const struct listing *l, const char *name,
                       const char *bytes, size_t len, struct err *e);

#endif
