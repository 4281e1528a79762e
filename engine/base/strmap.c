/* strmap.c - open addressing with linear probing, at most half full (see strmap.h). */
#include "base/strmap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Each step is a bijection of the state for a fixed word, so which keys collide depends on the
 * seed. */
static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ (h >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ (h >> 29);
}

/* Up to seven bytes: different ones of one length are different words. */
static uint64_t short_word(const char *key, size_t len)
{
    const unsigned char *k = (const unsigned char *)key;
    uint32_t first, last;
    if (len < 4)
        return len ? (uint64_t)k[0] | (uint64_t)k[len / 2] << 8 | (uint64_t)k[len - 1] << 16 : 0;
    memcpy(&first, key, 4);
    memcpy(&last, key + len - 4, 4);
    return first | (uint64_t)last << 32;
}

static uint64_t hash_bytes(uint64_t seed, const char *key, size_t len)
{
    uint64_t h = seed ^ len;
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, key, 8);
        h = mix(h, word);
        key += 8;
        len -= 8;
    }
    return mix(h, short_word(key, len));
}

int strmap_init(struct strmap *m, size_t capacity)
{
    size_t slots = 8;
    while (slots < capacity * 2)
        slots *= 2;
    m->slot = calloc(slots, sizeof *m->slot);
    if (!m->slot)
        return -1;
    m->mask = slots - 1;
    m->count = 0;
    m->seed = 0;
    if (getrandom(&m->seed, sizeof m->seed, GRND_NONBLOCK) != sizeof m->seed)
        m->seed = (uint64_t)(uintptr_t)m->slot; /* early boot: the address is random enough */
    return 0;
}

void strmap_free(struct strmap *m)
{
    free(m->slot);
    *m = (struct strmap){0};
}

/* The slot that holds the key, or the free one where it would go. */
static struct strmap_slot *slot_of(const struct strmap *m, uint64_t h, const char *key, size_t len)
{
    for (size_t i = (size_t)h & m->mask;; i = (i + 1) & m->mask) {
        struct strmap_slot *s = &m->slot[i];
        if (!s->key ||
            (s->hash == (uint32_t)(h >> 32) && s->len == len && memcmp(s->key, key, len) == 0))
            return s;
    }
}

uint32_t strmap_put(struct strmap *m, const char *key, size_t len, uint32_t value)
{
    assert(value != STRMAP_NONE && len <= UINT32_MAX);
    uint64_t h = hash_bytes(m->seed, key, len);
    struct strmap_slot *s = slot_of(m, h, key, len);
    if (!s->key) {
        assert(m->count * 2 <= m->mask);
        *s = (struct strmap_slot){
            .key = key, .len = (uint32_t)len, .value = value, .hash = (uint32_t)(h >> 32)};
        m->count++;
    }
    return s->value;
}

uint64_t strmap_hash(const struct strmap *m, const char *key, size_t len)
{
    uint64_t h = hash_bytes(m->seed, key, len);
    __builtin_prefetch(&m->slot[(size_t)h & m->mask]);
    return h;
}

uint32_t strmap_find(const struct strmap *m, uint64_t hash, const char *key, size_t len)
{
    const struct strmap_slot *s = slot_of(m, hash, key, len);
    return s->key ? s->value : STRMAP_NONE;
}

uint32_t strmap_get(const struct strmap *m, const char *key, size_t len)
{
    return m->slot ? strmap_find(m, hash_bytes(m->seed, key, len), key, len) : STRMAP_NONE;
}
