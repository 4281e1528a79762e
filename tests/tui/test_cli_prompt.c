/* test_cli_prompt.c - `borescope test_prompt` against what TransformerLens' test_prompt prints
 * (tests/fixtures/make_test_prompt.py). */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define FOLDER "tests/fixtures/prompts/"

/* The case's arguments as ours; how many. */
static int arguments(struct js_node row, const char *folder, const char **args, char *top)
{
    bool yes;
    int64_t k;
    int n = 0;
    struct js_node answer = js_get(row, "answer");
    args[n++] = "test_prompt", args[n++] = folder;
    args[n++] = "-p", args[n++] = json_string(row, "prompt");
    size_t several = js_is_array(answer) ? js_count(answer) : 0;
    for (size_t i = 0; i < (several ? several : 1); i++) {
        args[n++] = "--answer";
        assert_int_equal(js_string(several ? js_at(answer, i) : answer, &args[n++], NULL, NULL), 0);
    }
    if (!js_int(js_get(row, "top_k"), 0, 64, &k, NULL)) {
        snprintf(top, 8, "%d", (int)k);
        args[n++] = "-k", args[n++] = top;
    }
    if (!js_bool(js_get(row, "prepend_space_to_answer"), &yes, NULL) && !yes)
        args[n++] = "--no-space";
    if (!js_bool(js_get(row, "prepend_bos"), &yes, NULL))
        args[n++] = yes ? "--bos" : "--no-bos";
    args[n] = NULL;
    return n;
}

/* Line by line; a line differs from the library's only where that would send the terminal something
 * else than text: there it is the library's, cleaned.  Our head stands before. */
static int compare(const char *out, struct js_node lines, int *cleaned)
{
    while (!strncmp(out, "# ", 2))
        out = strchr(out, '\n') + 1;
    size_t n = js_count(lines);
    for (size_t i = 0; i < n; i++) {
        const char *want;
        size_t len, line = strcspn(out, "\n");
        struct bytes clean = {0};
        assert_int_equal(js_string(js_at(lines, i), &want, &len, NULL), 0);
        text_add(&clean, want, len, TEXT_PLAIN);
        if (line != clean.len || memcmp(out, clean.data, line))
            fail_msg("line %zu is\n  %.*s\nand there\n  %s", i, (int)line, out, clean.data);
        *cleaned += clean.len != len || memcmp(clean.data, want, len);
        bytes_free(&clean);
        assert_int_equal(out[line], '\n');
        out += line + 1;
    }
    assert_string_equal(out, "");
    return (int)n;
}

static void test_library(void **state)
{
    (void)state;
    static const char *const folders[] = {FOLDER "gpt2", FOLDER "llama2"};
    int n = 0, cleaned = 0;
    for (int f = 0; f < 2; f++) {
        char path[128], top[8];
        struct err e = {0};
        snprintf(path, sizeof path, "%s/cases.json", folders[f]);
        struct js_doc *d = js_open(path, &e);
        if (!d)
            fail_msg("%s", e.text);
        for (size_t i = 0; i < js_count(js_root(d)); i++) {
            struct js_node row = js_at(js_root(d), i);
            const char *args[24];
            arguments(row, folders[f], args, top);
            if (!strcmp(args[5], "8"))
                args[5] = "\"8\""; /* without quotes it is an id here */
            struct result r = command_run(NULL, args);
            if (r.status)
                fail_msg("%s", r.err);
            assert_printable(r.out, r.out_len);
            n += compare(r.out, js_get(row, "lines"), &cleaned);
            result_free(&r);
        }
        js_close(d);
    }
    print_message("%d lines, %d of them with characters that are shown instead of sent\n", n,
                  cleaned);
    assert_true(n > 400 && cleaned > 10 && cleaned < n / 10);
}

/* The same figures as JSON and as a table; several answers. */
static void test_forms(void **state)
{
    (void)state;
    struct js_doc *d = RUN_JSON("test_prompt", FOLDER "gpt2", "-p", "He's", "--answer", "\xc3\xa9",
                                "-k", "1", "--json");
    struct js_node a = js_get(js_root(d), "answer");
    assert_int_equal(js_count(a), 2);
    assert_int_equal(json_int(js_at(a, 0), "rank"), 74);
    assert_int_equal(json_int(js_at(a, 0), "position"), 4);
    assert_int_equal(json_int(js_at(a, 1), "position"), 5);
    assert_string_equal(json_string(js_at(a, 1), "text"), "\xc3\xa9");
    assert_int_equal(js_count(js_get(js_root(d), "tokens")),
                     5); /* what was run: nothing is expected after the last */
    js_close(d);
    d = RUN_JSON("test_prompt", FOLDER "gpt2", "-p", "He's", "--answer", "\xc3\xa9", "--answer",
                 "John", "--answer", "3", "--json");
    a = js_get(js_root(d), "answer");
    assert_int_equal(js_count(a), 3);
    assert_int_equal(json_int(js_at(a, 0), "rank"), 74);
    assert_int_equal(json_int(js_at(a, 2), "id"), 3);
    assert_int_equal(json_int(js_at(a, 2), "position"), 4);
    assert_int_equal(js_count(js_get(js_at(a, 2), "top")), 10);
    js_close(d);
    struct result r = RUN("test_prompt", FOLDER "gpt2", "-p", "He's", "--answer", "\xc3\xa9", "-k",
                          "2", "--tsv");
    int lines = 0;
    for (const char *p = r.out; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 1 + 2 * 2);
    result_free(&r);
    assert_refused(RUN("test_prompt", FOLDER "gpt2", "-p", "He's", "--answer", "John", "--answer",
                       "", "--no-space"),
                   1, "--answer 2");
}

/* An edit at the last position is one where the answer is expected. */
static void test_edit(void **state)
{
    (void)state;
    struct js_doc *d = RUN_JSON("test_prompt", FOLDER "gpt2", "-p", "He's", "--answer", "3", "-e",
                                "unembed.hook_out[-1, 3] = 99", "--json");
    struct js_node one = js_at(js_get(js_root(d), "answer"), 0);
    assert_int_equal(json_int(one, "rank"), 0);
    assert_true(json_number(one, "logit") == 99);
    js_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_library), cmocka_unit_test(test_forms),
                                       cmocka_unit_test(test_edit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
