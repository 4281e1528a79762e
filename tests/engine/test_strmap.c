/* Tests of strmap.h: what goes in comes out, also when the table is full, and the earlier value
 * wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/strmap.h"

enum { KEYS = 10000, KEY_SIZE = 24 };

static void every_key_is_found_in_a_full_table(void **state)
{
    (void)state;
    char(*key)[KEY_SIZE] = malloc(KEYS * sizeof *key);
    struct strmap m;
    assert_int_equal(strmap_init(&m, KEYS), 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        int n = snprintf(key[i], KEY_SIZE, "%u.layers.%u", i * 7919, i);
        assert_int_equal(strmap_put(&m, key[i], (size_t)n, i), i);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        char copy[KEY_SIZE];
        int n = snprintf(copy, sizeof copy, "%s", key[i]);
        assert_int_equal(strmap_get(&m, copy, (size_t)n), i);
        assert_int_equal(strmap_get(&m, copy, (size_t)n - 1), STRMAP_NONE);
    }
    strmap_free(&m);
    free(key);
}

static void the_first_value_stays(void **state)
{
    (void)state;
    struct strmap m;
    assert_int_equal(strmap_init(&m, 2), 0);
    assert_int_equal(strmap_put(&m, "a\0b", 3, 5), 5);
    assert_int_equal(strmap_put(&m, "a\0b", 3, 6), 5);
    assert_int_equal(strmap_put(&m, "", 0, 7), 7);
    assert_int_equal(strmap_get(&m, "a", 1), STRMAP_NONE);
    assert_int_equal(strmap_get(&m, "", 0), 7);
    assert_int_equal(m.count, 2);
    strmap_free(&m);
    assert_int_equal(strmap_get(&m, "", 0), STRMAP_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_found_in_a_full_table),
        cmocka_unit_test(the_first_value_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
