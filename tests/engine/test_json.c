/* Tests of json.h: what is refused, what the messages say, and the JSONTestSuite where it is at
 * hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limit.h"

static const char suite[] = "../shared/data/formats/JSONTestSuite";

static struct js_doc *parse(const char *text, struct err *e)
{
    memset(e, 0, sizeof *e);
    return js_parse("config.json", text, strlen(text), e);
}

static void refuse(const char *text, const char *message_part)
{
    struct err e;
    struct js_doc *doc = parse(text, &e);
    assert_null(doc);
    assert_int_equal(e.code, ERR_BAD_INPUT);
    if (!strstr(e.text, message_part))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, message_part);
}

static void damage_is_refused_with_its_place(void **state)
{
    (void)state;
    refuse("", "config.json · line 1");
    refuse("{\"a\": 1,\n \"b\": }", "line 2");
    refuse("{\"a\": 1, \"a\": 2}", "duplicate");
    refuse("{\"a\": 1} x", "byte ");
    refuse("{\"a\\u0000b\": 1}", "NUL byte in object key");
    refuse("[\"\xff\"]", "unable to decode byte 0xff");
    struct err e;
    assert_null(js_parse("x", "123", 4, &e));
    assert_string_equal(e.text, "x · byte 3 · not valid JSON: NUL byte");
    refuse("[1e999]", "real number overflow");
    refuse("[123456789012345678901234567890]", "too big integer");
}

static char *nested(int depth)
{
    char *text = malloc((size_t)depth * 2 + 1);
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    text[depth * 2] = '\0';
    return text;
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct err e;
    char *ok = nested(LIMIT_JSON_DEPTH), *deep = nested(LIMIT_JSON_DEPTH + 1),
         *abyss = nested(1000000);
    struct js_doc *doc = parse(ok, &e);
    assert_non_null(doc);
    js_close(doc);
    refuse(deep, "byte 64 · nested deeper than 64");
    refuse(abyss, "byte 64 · nested deeper than 64");
    free(ok);
    free(deep);
    free(abyss);
    /* Brackets inside strings do not count. */
    doc = parse(
        "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[\"]",
        &e);
    assert_non_null(doc);
    js_close(doc);
}

static void number_of_values_is_bounded(void **state)
{
    (void)state;
    size_t n = LIMIT_JSON_VALUES;
    char *text = malloc(2 * n + 8);
    size_t at = 0;
    text[at++] = '[';
    for (size_t i = 0; i < n; i++) {
        text[at++] = '0';
        text[at++] = ',';
    }
    text[at - 1] = ']';
    struct err e;
    assert_null(js_parse("x", text, at, &e));
    assert_non_null(strstr(e.text, "values"));
    text[at - 3] = ']'; /* one element less: its comma becomes the end */
    struct js_doc *doc = js_parse("x", text, at - 2, &e);
    assert_non_null(doc);
    assert_int_equal(js_count(js_root(doc)), n - 1);
    js_close(doc);
    free(text);
}

static void a_file_that_is_too_long_is_refused_unread(void **state)
{
    (void)state;
    char path[] = "/tmp/bore-json-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(ftruncate(fd, (off_t)LIMIT_JSON_BYTES + 1), 0);
    struct err e;
    assert_null(js_open(path, &e));
    assert_non_null(strstr(e.text, "268435457"));
    close(fd);
    unlink(path);
    assert_null(js_open(path, &e));
    assert_non_null(strstr(e.text, "cannot open"));
    assert_null(js_open("/tmp", &e));
    assert_non_null(strstr(e.text, "regular file"));
}

static void expect_message(int rc, const struct err *e, const char *text)
{
    assert_int_equal(rc, ERR_BAD_INPUT);
    assert_string_equal(e->text, text);
}

static void getters_check_type_and_range(void **state)
{
    (void)state;
    struct err e;
    struct js_doc *doc = parse(
        "{\"n_head\": \"abc\", \"n_layer\": 5, \"eps\": 1e-5, \"tie\": true, \"none\": null,"
        "\"rope\": {\"factor\": [8, \"x\"]}, \"nul\": \"a\\u0000b\", \"one\": 1.0}",
        &e);
    struct js_node root = js_root(doc);
    int64_t i = -7;
    double d = -7;
    bool b = false;
    const char *s = "old";
    expect_message(js_int(js_get(root, "n_head"), 1, 1024, &i, &e), &e,
                   "config.json · key \"n_head\" · expected an integer 1..1024, found \"abc\"");
    expect_message(js_int(js_get(root, "n_layer"), 6, 9, &i, &e), &e,
                   "config.json · key \"n_layer\" · expected an integer 6..9, found 5");
    expect_message(js_int(js_get(root, "one"), 1, 1, &i, &e), &e,
                   "config.json · key \"one\" · expected an integer 1..1, found 1.0");
    expect_message(js_int(js_get(root, "absent"), 1, 1, &i, &e), &e,
                   "config.json · key \"absent\" · expected an integer 1..1, found nothing");
    expect_message(js_int(js_at(js_get(js_get(root, "rope"), "factor"), 1), 1, 2, &i, &e), &e,
                   "config.json · key \"rope.factor[1]\" · expected an integer 1..2, found \"x\"");
    expect_message(js_number(js_get(root, "tie"), 0, 1, &d, &e), &e,
                   "config.json · key \"tie\" · expected a number 0..1, found true");
    expect_message(js_bool(js_get(root, "n_layer"), &b, &e), &e,
                   "config.json · key \"n_layer\" · expected true or false, found 5");
    expect_message(js_string(js_get(root, "nul"), &s, NULL, &e), &e,
                   "config.json · key \"nul\" · expected a string without NUL, found \"a\"");
    expect_message(js_int_or(js_get(root, "tie"), 0, 9, 3, &i, &e), &e,
                   "config.json · key \"tie\" · expected an integer 0..9, found true");
    assert_int_equal(i, -7); /* untouched by failures */
    assert_string_equal(s, "old");
    size_t len;
    assert_int_equal(js_string(js_get(root, "nul"), &s, &len, &e), 0);
    assert_int_equal(len, 3);
    assert_int_equal(js_int(js_get(root, "n_layer"), 5, 5, &i, &e), 0);
    assert_int_equal(i, 5);
    assert_int_equal(js_number(js_get(root, "n_layer"), 0, 9, &d, &e), 0);
    assert_true(d == 5);
    assert_int_equal(js_int_or(js_get(root, "none"), 0, 9, 3, &i, &e), 0);
    assert_int_equal(i, 3);
    assert_int_equal(js_number(js_get(root, "eps"), 0, 9, &d, &e), 0);
    assert_true(d == 1e-5);
    assert_int_equal(js_bool_or(js_get(root, "tie"), false, &b, &e), 0);
    assert_true(b);
    assert_int_equal(js_string_or(js_get(root, "absent"), "z", &s, &e), 0);
    assert_string_equal(s, "z");
    js_close(doc);
}

static void a_long_path_is_cut_not_overrun(void **state)
{
    (void)state;
    struct err e;
    struct js_doc *doc = parse("[]", &e);
    struct js_node n = js_root(doc);
    for (int i = 0; i < 100; i++)
        n = i & 1 ? js_at(n, 123456) : js_get(n, "abcdefghijklm");
    assert_true(strlen(n.path) < sizeof n.path);
    assert_string_equal(n.path + strlen(n.path) - strlen("…"), "…");
    js_close(doc);
}

static void members_come_in_file_order(void **state)
{
    (void)state;
    struct err e;
    struct js_doc *doc = parse("{\"z\": 0, \"a\": 1, \"m\": 2}", &e);
    char order[4] = "";
    size_t n = 0;
    for (struct js_iter it = js_members(js_root(doc)); n < 3 && js_next(&it);)
        order[n++] = it.key[0];
    assert_string_equal(order, "zam");
    struct js_iter none = js_members(js_get(js_root(doc), "z"));
    assert_false(js_next(&none));
    js_close(doc);
}

/* Files of the suite that must be accepted as JSON and that we refuse on purpose. */
static bool refused_on_purpose(const char *file)
{
    return strstr(file, "y_object_duplicated_key") ||
           strcmp(file, "y_object_escaped_null_in_key.json") == 0;
}

static void the_json_test_suite_passes(void **state)
{
    (void)state;
    DIR *dir = opendir(suite);
    if (!dir) {
        print_message("SKIP: no %s\n", suite);
        skip();
    }
    int n = 0, wrong = 0;
    for (struct dirent *d; (d = readdir(dir));) {
        char path[512];
        struct err e;
        if (d->d_name[0] != 'y' && d->d_name[0] != 'n' && d->d_name[0] != 'i')
            continue;
        snprintf(path, sizeof path, "%s/%s", suite, d->d_name);
        struct js_doc *doc = js_open(path, &e);
        bool expected = d->d_name[0] == 'y' && !refused_on_purpose(d->d_name);
        if (d->d_name[0] != 'i' && (doc != NULL) != expected) {
            print_error("%s: %s\n", d->d_name, doc ? "accepted" : e.text);
            wrong++;
        }
        js_close(doc);
        n++;
    }
    closedir(dir);
    assert_true(n > 200);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_is_refused_with_its_place),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(number_of_values_is_bounded),
        cmocka_unit_test(a_file_that_is_too_long_is_refused_unread),
        cmocka_unit_test(getters_check_type_and_range),
        cmocka_unit_test(a_long_path_is_cut_not_overrun),
        cmocka_unit_test(members_come_in_file_order),
        cmocka_unit_test(the_json_test_suite_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
