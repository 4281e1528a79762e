/* test_token_filter.c - which tokens of a window count: by the token, the one after it, the place.
 */
#include "fixture.h"

#include "lab/token_filter.h"

static void filters(void **state)
{
    (void)state;
    const int32_t tokens[] = {4, 7, 4, 9, 4}, fours[] = {4};
    const struct text_piece p = {.tokens = tokens, .n = 5, .next = 7};
    const struct {
        struct token_filter f;
        int32_t fresh, n, row[5];
    } cases[] = {{{0}, 0, 5, {0, 1, 2, 3, 4}},
                 {{0}, 3, 2, {3, 4}},
                 {{.ids = fours, .n = 1}, 0, 3, {0, 2, 4}},
                 {{.ids = fours, .n = 1, .without = true}, 0, 2, {1, 3}},
                 {{.ids = fours, .n = 1, .next = true}, 0, 2, {1, 3}},
                 {{.ids = fours, .n = 1, .without = true, .next = true}, 0, 3, {0, 2, 4}},
                 {{.first = 1}, 0, 4, {1, 2, 3, 4}},
                 {{.first = -2}, 0, 2, {3, 4}},
                 {{.first = 1, .last = -1}, 2, 2, {2, 3}},
                 {{.first = 2, .last = 3}, 0, 1, {2}},
                 {{.first = 9, .last = 12}, 0, 0, {0}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text_piece q = p;
        int32_t row[5] = {0};
        q.fresh = cases[i].fresh;
        assert_int_equal(token_filter_rows(&cases[i].f, &q, row), cases[i].n);
        assert_memory_equal(row, cases[i].row, (size_t)cases[i].n * sizeof *row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(filters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
