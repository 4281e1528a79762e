/* trie.c - building and walking (see trie.h). */
#include "token/trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/limit.h"

static int order(const void *pa, const void *pb)
{
    const struct trie_key *a = pa, *b = pb;
    uint32_t n = a->len < b->len ? a->len : b->len;
    int c = memcmp(a->text, b->text, n);
    if (!c)
        c = (a->len > b->len) - (a->len < b->len);
    return c ? c : (a->value > b->value) - (a->value < b->value);
}

/* Nodes of a trie of sorted keys: one per byte that a key does not share with the one before. */
static size_t count_nodes(const struct trie_key *key, size_t n)
{
    size_t count = 1;
    for (size_t i = 0; i < n; i++) {
        uint32_t shared = 0;
        while (i && shared < key[i].len && shared < key[i - 1].len &&
               key[i].text[shared] == key[i - 1].text[shared])
            shared++;
        count += key[i].len - shared;
    }
    return count;
}

struct range {
    uint32_t begin, end; /* keys below a node */
};

/* Give node `at` its value and its children, appended behind *count. */
static void open_node(struct trie *t, struct range *below, uint32_t at, uint32_t depth,
                      const struct trie_key *key)
{
    struct trie_node *node = &t->node[at];
    uint32_t i = below[at].begin, end = below[at].end;
    while (i < end && key[i].len == depth) /* equal keys lie in the order of their values */
        node->value = key[i++].value;
    node->first = (uint32_t)t->count;
    while (i < end) {
        unsigned char byte = (unsigned char)key[i].text[depth];
        uint32_t begin = i;
        while (i < end && (unsigned char)key[i].text[depth] == byte)
            i++;
        below[t->count] = (struct range){begin, i};
        t->node[t->count++] = (struct trie_node){.value = -1, .byte = byte};
        node->count++;
    }
}

int trie_make(struct trie *t, struct trie_key *key, size_t n, struct err *e)
{
    if (n)
        qsort(key, n, sizeof *key, order);
    size_t nodes = count_nodes(key, n);
    if (nodes > LIMIT_TRIE_NODES)
        return err_set(e, ERR_BAD_INPUT,
                       "the tokens have more than %d different beginnings together",
                       LIMIT_TRIE_NODES);
    t->node = malloc(nodes * sizeof *t->node);
    struct range *below = malloc(nodes * sizeof *below);
    if (!t->node || !below) {
        free(below);
        return err_memory(e, "%zu tokens", n);
    }
    t->node[TRIE_ROOT] = (struct trie_node){.value = -1};
    below[TRIE_ROOT] = (struct range){0, (uint32_t)n};
    t->count = 1;
    uint32_t at = 0;
    for (uint32_t depth = 0; at < t->count; depth++)
        for (size_t level_end = t->count; at < level_end; at++)
            open_node(t, below, at, depth, key);
    free(below);
    return 0;
}

void trie_free(struct trie *t)
{
    free(t->node);
    *t = (struct trie){0};
}

uint32_t trie_step(const struct trie *t, uint32_t at, unsigned char byte)
{
    uint32_t lo = t->node[at].first, hi = lo + t->node[at].count;
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        if (t->node[middle].byte == byte)
            return middle;
        if (t->node[middle].byte < byte)
            lo = middle + 1;
        else
            hi = middle;
    }
    return TRIE_NONE;
}

uint32_t trie_walk(const struct trie *t, const char *text, size_t n)
{
    uint32_t at = t->count ? TRIE_ROOT : TRIE_NONE;
    for (size_t i = 0; i < n && at != TRIE_NONE; i++)
        at = trie_step(t, at, (unsigned char)text[i]);
    return at;
}

int32_t trie_get(const struct trie *t, const char *text, size_t n)
{
    uint32_t at = trie_walk(t, text, n);
    return at == TRIE_NONE ? -1 : t->node[at].value;
}

int32_t trie_longest(const struct trie *t, uint32_t from, const char *text, size_t n,
                     size_t *matched)
{
    int32_t best = -1;
    uint32_t at = from;
    for (size_t i = 0; i < n; i++) {
        at = trie_step(t, at, (unsigned char)text[i]);
        if (at == TRIE_NONE)
            break;
        if (t->node[at].value >= 0) {
            best = t->node[at].value;
            *matched = i + 1;
        }
    }
    return best;
}
