/* Tests of bytes.h: growth, formatting, the sticky failure. */
#include "bytes.h"
#include "unit.h"

#include <limits.h>

static void adds(void **state)
{
    (void)state;
    struct bytes b = {0};
    bytes_add(&b, "abc", 3);
    bytes_add_char(&b, '-');
    bytes_add_string(&b, "de");
    bytes_add_repeat(&b, '.', 3);
    bytes_addf(&b, "%d%s", 42, "x");
    bytes_add(&b, NULL, 0);
    assert_string_equal(b.data, "abc-de...42x");
    assert_int_equal(b.len, 12);
    bytes_clear(&b);
    assert_string_equal(b.data, "");
    bytes_free(&b);
    assert_null(b.data);
}

static void grows(void **state)
{
    (void)state;
    struct bytes b = {0};
    for (int i = 0; i < 100000; i++)
        bytes_add_char(&b, (char)('a' + i % 26));
    assert_int_equal(b.len, 100000);
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(b.data[i], 'a' + (int)(i % 26));
    assert_int_equal(b.data[b.len], 0);
    bytes_free(&b);
}

static void failure_sticks(void **state)
{
    (void)state;
    struct bytes b = {0};
    bytes_add_string(&b, "kept");
    assert_null(bytes_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    bytes_add_string(&b, "lost");
    bytes_addf(&b, "%d", 1);
    bytes_add_repeat(&b, 'x', 2);
    assert_string_equal(b.data, "kept");
    assert_int_equal(b.len, 4);
    bytes_clear(&b);
    assert_true(b.failed);
    bytes_free(&b);
    bytes_add_string(&b, "again");
    assert_string_equal(b.data, "again");
    bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adds), cmocka_unit_test(grows),
                                       cmocka_unit_test(failure_sticks)};
    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
