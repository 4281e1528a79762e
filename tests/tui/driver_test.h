/* driver_test.h - the driver of a program whose tests begin alike: each is opened one, by a setup
 * that is here or the program's own. */
#ifndef DRIVER_TEST_H
#define DRIVER_TEST_H

#include "driver.h"
#include "unit.h"

static struct driver d;

static const int32_t tokens[] = {0, 5, 9, 5, 9, 13, 21, 5};
enum { N_TOKENS = sizeof tokens / sizeof tokens[0] };

static inline int open_driver(void **state)
{
    (void)state;
    driver_open(&d, "tests/fixtures/models/gpt2", tokens, N_TOKENS, 120, 36);
    return 0;
}

static inline int open_teach(void **state)
{
    (void)state;
    driver_teach(&d, 120, 40);
    return 0;
}

static inline int close_driver(void **state)
{
    (void)state;
    driver_close(&d);
    return 0;
}

#define WITH_DRIVER(test, open) cmocka_unit_test_setup_teardown(test, open, close_driver)

#endif
