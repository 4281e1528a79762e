/* test_token_align.c - pairs of positions of two prompts. */
#include "token/token_align.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAIRS(how, a, b, ...) \
    check(how, a, sizeof a / sizeof *a, b, sizeof b / sizeof *b, (const int32_t[]){__VA_ARGS__})

static void check(enum token_align how, const int32_t *a, size_t n, const int32_t *b, size_t m,
                  const int32_t *want)
{
    int32_t to[16];
    struct err e = {0};
    assert_int_equal(token_align(a, (int32_t)n, b, (int32_t)m, how, to, &e), 0);
    for (size_t i = 0; i < n; i++)
        if (to[i] != want[i])
            fail_msg("position %zu: %d, expected %d", i, to[i], want[i]);
}

static void test_ways(void **state)
{
    (void)state;
    static const int32_t a[] = {1, 2, 3, 4, 9}, b[] = {1, 7, 2, 3, 5, 9}, one[] = {9};
    PAIRS(TOKEN_ALIGN_INDEX, a, b, 0, 1, 2, 3, 4);
    PAIRS(TOKEN_ALIGN_INDEX, b, a, 0, 1, 2, 3, 4, -1);
    PAIRS(TOKEN_ALIGN_END, a, b, 1, 2, 3, 4, 5);
    PAIRS(TOKEN_ALIGN_END, b, a, -1, 0, 1, 2, 3, 4);
    PAIRS(TOKEN_ALIGN_TOKEN, a, b, 0, 2, 3, 4, 5);     /* 4 and 5 stand for each other */
    PAIRS(TOKEN_ALIGN_TOKEN, b, a, 0, -1, 1, 2, 3, 4); /* 7 is new */
    PAIRS(TOKEN_ALIGN_TOKEN, a, one, -1, -1, -1, -1, 0);
    PAIRS(TOKEN_ALIGN_TOKEN, one, a, 4);
}

/* A swapped name, at one place and at both. */
static void test_substitution(void **state)
{
    (void)state;
    static const int32_t a[] = {1, 5, 2, 6, 3, 6}, b[] = {1, 5, 2, 6, 3, 5},
                         c[] = {1, 6, 2, 5, 3, 6};
    PAIRS(TOKEN_ALIGN_TOKEN, a, b, 0, 1, 2, 3, 4, 5);
    PAIRS(TOKEN_ALIGN_TOKEN, a, c, 0, 1, 2, 3, 4, 5);
}

/* What holds for all prompts: partners increase, are in range, and equal prompts pair throughout.
 */
static void test_properties(void **state)
{
    (void)state;
    int32_t a[16], b[16], to[16];
    struct err e = {0};
    for (int t = 0; t < 20000; t++) {
        int32_t n = 1 + rand() % 16, m = 1 + rand() % 16, last = -1;
        for (int i = 0; i < 16; i++)
            a[i] = rand() % 4, b[i] = rand() % 4;
        for (int how = 0; how < TOKEN_ALIGN_COUNT; how++) {
            assert_int_equal(token_align(a, n, b, m, (enum token_align)how, to, &e), 0);
            last = -1;
            for (int32_t i = 0; i < n; i++) {
                assert_true(to[i] < m && (to[i] < 0 || to[i] > last));
                last = to[i] < 0 ? last : to[i];
            }
        }
        assert_int_equal(token_align(a, n, a, n, TOKEN_ALIGN_TOKEN, to, &e), 0);
        for (int32_t i = 0; i < n; i++)
            assert_int_equal(to[i], i);
    }
}

/* Beyond the bound it says so, with the middle paired by index where it is as long. */
static void test_long(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct err e = {0};
    int32_t *a = malloc(N * sizeof *a), *b = malloc(N * sizeof *b), *to = malloc(N * sizeof *to);
    assert_true(a && b && to);
    for (int32_t i = 0; i < N; i++)
        a[i] = i, b[i] = i < 3 || i > N - 3 ? i : N + i;
    assert_int_equal(token_align(a, N, b, N, TOKEN_ALIGN_TOKEN, to, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "4995 and 4995 tokens differ"));
    for (int32_t i = 0; i < N; i++)
        assert_int_equal(to[i], i);
    assert_int_equal(token_align(a, N, b, N - 1, TOKEN_ALIGN_TOKEN, to, &e), ERR_BAD_INPUT);
    assert_int_equal(to[0], 0);
    assert_int_equal(to[100], -1);
    free(a), free(b), free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways), cmocka_unit_test(test_substitution),
        cmocka_unit_test(test_properties), cmocka_unit_test(test_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
