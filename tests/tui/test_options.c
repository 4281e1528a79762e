/* test_options.c - the command line's own grammar; positions as --pos takes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli_device.h"
#include "cpu/cpu.h"
#include "options.h"
#include "slice.h"

enum { MOST = 12 };

static int parse(struct options *o, const uint8_t *set, int words, struct err *e,
                 const char *const *args)
{
    char *argv[MOST] = {NULL};
    int n = 0;
    for (; args[n]; n++)
        argv[n] = (char *)(uintptr_t)args[n];
    return options_parse(o, set, words, n, argv, e);
}
#define PARSE(o, e, ...) parse(o, every(), 2, e, (const char *const[]){__VA_ARGS__, NULL})

static const uint8_t *every(void)
{
    static uint8_t all[OPTION_COUNT + 1];
    for (int i = 0; i <= OPTION_COUNT; i++)
        all[i] = (uint8_t)i;
    return all;
}

static int given(const struct options *o)
{
    int n = 0;
    for (int i = 0; i < OPTION_COUNT; i++)
        n += o->given[i];
    return n;
}

static void every_way_to_write_a_value(void **state)
{
    (void)state;
    struct options o;
    assert_int_equal(PARSE(&o, NULL, "M", "--prompt=a=b", "-k7", "--temperature", "-0.0", "-e",
                           "x = 1", "-ey = 2", "--edit=z"),
                     0);
    assert_string_equal(o.model, "M");
    assert_string_equal(o.prompt, "a=b");
    assert_int_equal(o.top, 7);
    assert_true(o.temperature == 0);
    assert_int_equal(o.edits.n, 3);
    assert_string_equal(o.edits.item[0], "x = 1");
    assert_string_equal(o.edits.item[1], "y = 2");
    assert_string_equal(o.edits.item[2], "z");
    assert_true(given(&o) == 4 && o.given[ON(prompt)] && o.given[ON(top)] &&
                o.given[ON(temperature)] && o.given[ON(edits)]);
    options_free(&o);
}

static void values_may_look_like_options(void **state)
{
    (void)state;
    struct options o;
    assert_int_equal(PARSE(&o, NULL, "-p", "--json", "--", "-M", "--tsv"), 0);
    assert_string_equal(o.prompt, "--json");
    assert_false(o.json);
    assert_string_equal(o.model, "-M");
    assert_string_equal(o.words[0], "--tsv");
    options_free(&o);
    assert_int_equal(PARSE(&o, NULL, "-", "--pos", "-1", "-p", ""), 0); /* a lone - is a word */
    assert_string_equal(o.model, "-");
    assert_string_equal(o.pos, "-1");
    assert_string_equal(o.prompt, "");
    options_free(&o);
}

static void numbers_are_checked_at_their_bounds(void **state)
{
    (void)state;
    struct options o;
    struct err e = {0};
    assert_int_equal(PARSE(&o, NULL, "-k", "64"), 0);
    options_free(&o);
    static const char *const bad[] = {"65", "0",  "-1",  "1.5", "x",   "",
                                      " ",  "1x", "nan", "inf", "1e99"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(PARSE(&o, &e, "-k", bad[i]), ERR_USAGE);
        assert_non_null(strstr(e.text, "1..64"));
        options_free(&o);
    }
}

static void fallbacks_are_the_table_s(void **state)
{
    (void)state;
    struct options o;
    assert_int_equal(
        parse(&o, (const uint8_t[]){OPTION_COUNT}, 0, NULL, (const char *const[]){NULL}), 0);
    assert_true(o.top == 5 && o.head == -1 && o.cache_mb == -1 && o.top_p == 1 && given(&o) == 0 &&
                !o.model);
    options_free(&o);
}

/* What the cpu holds back of released buffers is little beside --cache-mb, too. */
static void a_small_cache_is_all_that_is_kept(void **state)
{
    (void)state;
    enum { EACH = 1 << 20, MANY = 320 };
    static const struct {
        int32_t cache_mb;
        size_t kept;
    } rows[] = {{0, 0}, {64, 8}, {1 << 20, 256}, {-1, 256}};
    static void *b[2 * MANY];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o = {.backend = "cpu", .cache_mb = rows[i].cache_mb};
        struct cli c = {.opt = &o, .model_name = "teach"};
        if (cli_open_device(&c))
            fail_msg("%s", c.err.text);
        for (int k = 0; k < 2 * MANY; k++)
            assert_non_null(b[k] = c.be->type->alloc(c.be, EACH));
        size_t most = 0, now;
        for (int k = 0; k < MANY; k++) {
            c.be->type->release(c.be, b[k], EACH);
            now = ((struct cpu *)c.be)->memory.kept;
            most = now > most ? now : most;
        }
        assert_int_equal(most, rows[i].kept * EACH);
        for (int k = MANY; k < 2 * MANY; k++)
            c.be->type->release(c.be, b[k], EACH);
        cli_close(&c);
    }
}

static void only_the_set_is_known(void **state)
{
    (void)state;
    struct options o;
    struct err e = {0};
    assert_int_equal(parse(&o, OPTION_SET(ON(json)), 1, &e, (const char *const[]){"--tsv", NULL}),
                     ERR_USAGE);
    options_free(&o);
    assert_int_equal(parse(&o, OPTION_SET(ON(json)), 0, &e, (const char *const[]){"word", NULL}),
                     ERR_USAGE);
    options_free(&o);
    assert_int_equal(parse(&o, OPTION_SET(ON(json)), 1, &e, (const char *const[]){"--jsom", NULL}),
                     ERR_USAGE);
    assert_non_null(strstr(e.text, "--json"));
    options_free(&o);
}

static void assert_slice(const char *text, int32_t n, bool drop, const int32_t *rows,
                         int32_t n_rows)
{
    struct capture_slice s;
    assert_int_equal(slice_parse(&s, text, n, NULL), 0);
    assert_int_equal(s.n, n_rows);
    assert_int_equal(s.drop, drop);
    assert_memory_equal(s.index, rows, (size_t)n_rows * sizeof *rows);
    free(s.index);
}

static void slices_are_python_s(void **state)
{
    (void)state;
    assert_slice(NULL, 3, false, (const int32_t[]){0, 1, 2}, 3);
    assert_slice(":", 3, false, (const int32_t[]){0, 1, 2}, 3);
    assert_slice("1", 3, true, (const int32_t[]){1}, 1);
    assert_slice("-3", 3, true, (const int32_t[]){0}, 1);
    assert_slice("1:2", 3, false, (const int32_t[]){1}, 1);
    assert_slice("-2:", 3, false, (const int32_t[]){1, 2}, 2);
    assert_slice(":-1", 3, false, (const int32_t[]){0, 1}, 2);
    assert_slice("-9:99", 3, false, (const int32_t[]){0, 1, 2}, 3);
    assert_slice("::2", 5, false, (const int32_t[]){0, 2, 4}, 3);
    assert_slice("1:5:3", 5, false, (const int32_t[]){1, 4}, 2);
    assert_slice("2,0,2,-1", 3, false, (const int32_t[]){2, 0, 2, 2}, 4);
    static const char *const bad[] = {"",
                                      "3",
                                      "-4",
                                      "a",
                                      "1,",
                                      ",1",
                                      "1:2:0",
                                      "1:2:-1",
                                      "1:2:3:4",
                                      "2:1",
                                      "1 2",
                                      "99999999999",
                                      "1::99999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct capture_slice s;
        struct err e = {0};
        assert_true(slice_parse(&s, bad[i], 3, &e) < 0);
        assert_non_null(strstr(e.text, "--pos"));
    }
}

/* A value that may be left out: glued to its option, or not there. */
static void a_value_may_be_left_out(void **state)
{
    (void)state;
    struct options o;
    struct err e = {0};
    const uint8_t *set = OPTION_SET(ON(present), ON(head));
    char *alone[] = {"--present", "teach"}, *glued[] = {"--present=locked"};
    assert_int_equal(options_parse(&o, set, 1, 2, alone, &e), 0);
    assert_string_equal(o.present, "");
    assert_string_equal(o.model, "teach");
    options_free(&o);
    assert_int_equal(options_parse(&o, set, 1, 1, glued, &e), 0);
    assert_string_equal(o.present, "locked");
    options_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_write_a_value),
        cmocka_unit_test(values_may_look_like_options),
        cmocka_unit_test(numbers_are_checked_at_their_bounds),
        cmocka_unit_test(fallbacks_are_the_table_s),
        cmocka_unit_test(a_small_cache_is_all_that_is_kept),
        cmocka_unit_test(only_the_set_is_known),
        cmocka_unit_test(slices_are_python_s),
        cmocka_unit_test(a_value_may_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
