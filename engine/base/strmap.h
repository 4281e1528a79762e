/* strmap.h - byte strings to 32-bit numbers: a hash table of fixed capacity.
 *
 * Keys are not copied; they must outlive the table.  The hash is seeded per table, so a file cannot
 * be made to collide; nothing may depend on the order of slots (there is no iteration). Tested in
 * tests/engine/test_strmap.c. */
#ifndef STRMAP_H
#define STRMAP_H

#include <stddef.h>
#include <stdint.h>

#define STRMAP_NONE UINT32_MAX

struct strmap_slot {
    const char *key;           /* NULL: free */
    uint32_t len, value, hash; /* hash: its upper half, to skip most comparisons */
};

struct strmap {
    struct strmap_slot *slot;
    size_t mask;  /* slots - 1, a power of two minus one */
    size_t count; /* keys in use, at most the capacity asked for */
    uint64_t seed;
};

/* Room for `capacity` keys.  0, or -1 when memory is out. */
int strmap_init(struct strmap *m, size_t capacity);
void strmap_free(struct strmap *m);
/* Insert unless the key is there.  The value now stored for it: `value`, or the earlier one.
 * len < 2^32; value != STRMAP_NONE. */
uint32_t strmap_put(struct strmap *m, const char *key, size_t len, uint32_t value);
/* STRMAP_NONE if there is no such key.  A zeroed table is empty. */
uint32_t strmap_get(const struct strmap *m, const char *key, size_t len);
/* The same in two parts, for many keys after one another: with the hash, which also brings the
 * key's slot nearer, known some keys ahead, lookups do not wait for memory.  Of a table that is not
 * empty. */
uint64_t strmap_hash(const struct strmap *m, const char *key, size_t len);
uint32_t strmap_find(const struct strmap *m, uint64_t hash, const char *key, size_t len);

#endif
