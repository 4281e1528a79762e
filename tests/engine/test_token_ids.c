/* test_token_ids.c - token ids as text, wherever one types them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "token/token_ids.h"

static void test_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t n, ids[4];
    } good[] = {{"1,2,3", 3, {1, 2, 3}},
                {" 5 7\t8 , 9\r\n", 4, {5, 7, 8, 9}},
                {"2147483647", 1, {INT32_MAX}},
                {"007", 1, {7}},
                {"", 0, {0}},
                {" \n", 0, {0}}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct err e = {0};
        int32_t *ids = NULL, n = -1;
        assert_int_equal(token_ids_read(good[i].text, strlen(good[i].text), &ids, &n, &e), 0);
        assert_int_equal(n, good[i].n);
        assert_memory_equal(ids, good[i].ids, (size_t)n * sizeof *ids);
        free(ids);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *says;
    } bad[] = {{"1,,2", 4, "at \",2\""},
               {"1,", 2, "nothing follows the last comma"},
               {",1", 2, "at \",1\""},
               {" , ", 3, "at \", \""},
               {"1 -2", 4, "at \"-2\""},
               {"+1", 2, "at \"+1\""},
               {"1.5", 3, "at \"1.5\""},
               {"1x", 2, "at \"1x\""},
               {"2147483648", 10, "at \"2147483648\""},
               {"99999999999999999999", 20, "whole numbers"},
               {"1\0002", 3, "at \"1"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        int32_t *ids = NULL, n = 77;
        assert_int_equal(token_ids_read(bad[i].text, bad[i].len, &ids, &n, &e), ERR_BAD_INPUT);
        assert_true(!ids && n == 77);
        if (!strstr(e.text, bad[i].says))
            fail_msg("\"%s\" says nothing of %s", e.text, bad[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
