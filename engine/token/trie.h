/* trie.h - a fixed set of byte strings, walked byte by byte along a text: which of them begin here?
 *
 * Nodes are laid out level by level, the children of one side by side in the order of their bytes,
 * so a step is a search among at most 256 neighbours.  12 bytes per different beginning of a key.
 * Read-only after trie_make.  Tested in tests/engine/test_trie.c. */
#ifndef TRIE_H
#define TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { TRIE_ROOT = 0 };
#define TRIE_NONE UINT32_MAX

struct trie_key {
    const char *text;
    uint32_t len;
    int32_t value; /* not negative */
};

struct trie_node {
    uint32_t first; /* its children: node[first .. first + count) */
    int32_t value;  /* of the key that ends here, -1: none does */
    uint16_t count;
    unsigned char byte;
};

struct trie {
    struct trie_node *node;
    size_t count;
};

/* Build from keys, which are sorted in place and not needed afterwards.  Of equal keys the largest
 * value holds.  ERR_BAD_INPUT: more than LIMIT_TRIE_NODES; ERR_SYSTEM: out of memory. */
int trie_make(struct trie *t, struct trie_key *key, size_t n, struct err *e);
void trie_free(struct trie *t);
/* The node that `byte` leads to, or TRIE_NONE.  `at` is a node of a trie with at least the root. */
uint32_t trie_step(const struct trie *t, uint32_t at, unsigned char byte);
/* The node that n bytes lead to from the root, or TRIE_NONE. */
uint32_t trie_walk(const struct trie *t, const char *text, size_t n);
/* The value of exactly this key, or -1. */
int32_t trie_get(const struct trie *t, const char *text, size_t n);
/* The value of the longest key, not empty, that text begins with below the node `from`, and the
 * bytes matched; -1 if there is none. */
int32_t trie_longest(const struct trie *t, uint32_t from, const char *text, size_t n,
                     size_t *matched);

#endif
