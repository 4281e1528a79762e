/* Tests of trie.h against plain searching, and its limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "token/trie.h"

enum { KEYS = 300, KEY_LEN = 6 };

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* The largest value of an equal key, or -1. */
static int32_t plain_get(const struct trie_key *key, const char *text, size_t n)
{
    int32_t best = -1;
    for (size_t i = 0; i < KEYS; i++)
        if (key[i].len == n && memcmp(key[i].text, text, n) == 0 && key[i].value > best)
            best = key[i].value;
    return best;
}

static void it_finds_what_plain_searching_finds(void **state)
{
    (void)state;
    static char text[KEYS][KEY_LEN];
    struct trie_key key[KEYS];
    struct trie t = {0};
    uint32_t seed = 7;
    for (size_t i = 0; i < KEYS; i++) {
        for (size_t k = 0; k < KEY_LEN; k++)
            text[i][k] = (char)(unsigned char)("ab\0\xff"[next(&seed) % 4]);
        key[i] = (struct trie_key){text[i], next(&seed) % (KEY_LEN + 1), (int32_t)i};
    }
    assert_int_equal(trie_make(&t, key, KEYS, NULL), 0);
    for (int round = 0; round < 2000; round++) {
        char s[KEY_LEN];
        size_t matched = 0;
        int32_t longest = -1;
        for (size_t k = 0; k < KEY_LEN; k++)
            s[k] = (char)(unsigned char)("ab\0\xff"[next(&seed) % 4]);
        for (size_t n = 0; n <= KEY_LEN; n++) {
            assert_int_equal(trie_get(&t, s, n), plain_get(key, s, n));
            if (n && plain_get(key, s, n) >= 0)
                longest = plain_get(key, s, n);
        }
        assert_int_equal(trie_longest(&t, TRIE_ROOT, s, KEY_LEN, &matched), longest);
        if (longest >= 0)
            assert_int_equal(trie_get(&t, s, matched), longest);
    }
    trie_free(&t);
}

static void an_empty_trie_has_nothing(void **state)
{
    (void)state;
    struct trie t = {0};
    assert_int_equal(trie_walk(&t, "a", 1), TRIE_NONE);
    assert_int_equal(trie_make(&t, NULL, 0, NULL), 0);
    assert_int_equal(trie_get(&t, "", 0), -1);
    assert_int_equal(trie_get(&t, "a", 1), -1);
    trie_free(&t);
}

/* One key has as many beginnings as bytes, and the root is one more. */
static void the_limit_holds(void **state)
{
    (void)state;
    struct err e = {0};
    char *text = calloc(LIMIT_TRIE_NODES, 1);
    for (uint32_t len = LIMIT_TRIE_NODES - 1; len <= LIMIT_TRIE_NODES; len++) {
        struct trie t = {0};
        struct trie_key key = {text, len, 5};
        assert_int_equal(trie_make(&t, &key, 1, &e), len < LIMIT_TRIE_NODES ? 0 : ERR_BAD_INPUT);
        if (len < LIMIT_TRIE_NODES)
            assert_int_equal(trie_get(&t, text, len), 5);
        trie_free(&t);
    }
    assert_non_null(strstr(e.text, "different beginnings"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_what_plain_searching_finds),
        cmocka_unit_test(an_empty_trie_has_nothing),
        cmocka_unit_test(the_limit_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
