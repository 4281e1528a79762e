/* test_cli_texts.c - `borescope texts`: sets of texts from the command line. */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_file(void **state)
{
    (void)state;
    char *folder = folder_make(), *path = folder_path(folder, "a.jsonl");
    write_text(path, "{\"body\": \"the store\", \"kind\": \"shop\"}\n{\"body\": \"a bag to Mary\", "
                     "\"kind\": 7}\n{\"body\": \"third\", \"kind\": 8}\n");
    struct js_doc *doc = RUN_JSON("texts", "teach", path, "--field", "body", "--label", "kind",
                                  "--no-bos", "--window", "3", "--stride", "2", "--limit", "2",
                                  "--json");
    const int64_t want[][4] = {{0, 0, 0, 2}, {1, 0, 0, 3}, {1, 2, 1, 2}};
    assert_int_equal(js_count(js_root(doc)), 3);
    for (size_t i = 0; i < 3; i++) {
        struct js_node row = js_at(js_root(doc), i);
        assert_int_equal(json_int(row, "text"), want[i][0]);
        assert_int_equal(json_int(row, "start"), want[i][1]);
        assert_int_equal(json_int(row, "fresh"), want[i][2]);
        assert_int_equal(js_count(js_get(row, "tokens")), want[i][3]);
        assert_string_equal(json_string(row, "label"), i ? "7" : "shop");
    }
    js_close(doc);
    struct result r = RUN("texts", "teach", path, "--field", "body", "--skip", "1", "--tsv");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\n1\t0\t5\t5\t\t<|endoftext|>a bag to Mary\n2\t0\t"));
    result_free(&r);
    assert_refused(RUN("texts", "teach", path), 1, "a.jsonl · line 1 · key \"text\"");
    free(path);
    folder_remove(folder);
}

static void standard_input(void **state)
{
    (void)state;
    struct result r = command_run(
        "one\ntwo\n\nthree",
        (const char *[]){"texts", "teach", "-", "--paragraphs", "--no-bos", "--tsv", NULL});
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\n1\t0\t"));
    assert_null(strstr(r.out, "\n2\t0\t"));
    result_free(&r);
    r = command_run("text,y\na,b\n",
                    (const char *[]){"texts", "teach", "-", "--format", "csv", "--tsv", NULL});
    assert_non_null(strstr(r.out, "<|endoftext|>a\n"));
    result_free(&r);
}

static void refused(void **state)
{
    (void)state;
    assert_refused(RUN("texts", "teach"), 2, "which texts?");
    assert_refused(RUN("texts", "teach", "/nowhere.txt"), 1, "/nowhere.txt · cannot open");
    assert_refused(RUN("texts", "teach", "-", "--format", "xml"), 2, "expected jsonl, csv or tsv");
    assert_refused(RUN("texts", "teach", "-", "--window", "4", "--stride", "5"), 1,
                   "would be left out");
    assert_refused(RUN("texts", "tests/fixtures/models/vit", "-"), 1, "takes images");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_file), cmocka_unit_test(standard_input),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
