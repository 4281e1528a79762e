/* test_cli_eval.c - `borescope eval`: against Hugging Face's losses by windows, against `borescope
 * loss`, its filters, what it prints, what it refuses. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct js_node measure(struct js_doc *doc, const char *name)
{
    struct js_node all = js_get(js_root(doc), "measures");
    for (size_t i = 0; i < js_count(all); i++)
        if (!strcmp(json_string(js_at(all, i), "name"), name))
            return js_at(all, i);
    fail_msg("no measure %s", name);
    return all;
}

/* As far as `size` is known. */
static void near(double a, double b, double size, const char *what)
{
    if (!(fabs(a - b) <= 1e-6 * (1 + fabs(size))))
        fail_msg("%s: %.10g instead of %.10g", what, a, b);
}

/* "loss": [value, error], "loss.edited", "loss.difference": one of a reference. */
static void measure_is(struct js_doc *doc, const char *key, struct js_node want)
{
    char name[64], error[40];
    const char *point = strchr(key, '.'), *face = point ? point + 1 : "base";
    snprintf(name, sizeof name, "%.*s", point ? (int)(point - key) : (int)strlen(key), key);
    snprintf(error, sizeof error, "%s_error", face);
    struct js_node m = measure(doc, name);
    double size = json_number(m, js_is_set(js_get(m, "base")) ? "base" : "edited");
    near(json_number(m, face), json_number_at(want, 0), size, key);
    near(json_number(m, error), json_number_at(want, 1), size, key);
}

static void case_is(const char *model, struct js_node c)
{
    char window[16], stride[16];
    const char *edit = js_is_string(js_get(c, "edit")) ? json_string(c, "edit") : NULL;
    snprintf(window, sizeof window, "%d", (int)json_int(c, "window"));
    snprintf(stride, sizeof stride, "%d", (int)json_int(c, "stride"));
    struct js_doc *doc = RUN_JSON(
        "eval", model, "tests/fixtures/prompts/eval.txt", "--json", "-k", "3", "--window", window,
        "--stride", stride, json_bool(c, "bos") ? "--bos" : "--no-bos", edit ? "-e" : NULL, edit);
    assert_int_equal(json_int(js_root(doc), "texts"), json_int(c, "texts"));
    assert_int_equal(json_int(js_root(doc), "expected"), json_int(c, "tokens"));
    assert_int_equal(json_int(js_root(doc), "bytes"), json_int(c, "bytes"));
    for (struct js_iter it = js_members(js_get(c, "measures")); js_next(&it);)
        measure_is(doc, it.key, it.value);
    js_close(doc);
}

static void as_hugging_face(void **state)
{
    (void)state;
    static const char *const models[] = {"tests/fixtures/prompts/gpt2",
                                         "tests/fixtures/prompts/llama2"};
    for (int i = 0; i < 2; i++) {
        char path[80];
        snprintf(path, sizeof path, "%s/eval.json", models[i]);
        struct js_doc *cases = js_open(path, NULL);
        assert_non_null(cases);
        size_t n = js_count(js_root(cases));
        assert_true(n >= 6);
        for (size_t k = 0; k < n; k++)
            case_is(models[i], js_at(js_root(cases), k));
        js_close(cases);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Texts one by one through `borescope loss`. */
static void as_loss(void **state)
{
    (void)state;
    static const char *const lines[] = {"When Mary and John went to the store", "One two three",
                                        "John gave a bag to Mary"};
    char *folder = folder_make(), *path = folder_path(folder, "t.txt"), text[200];
    double sum = 0, n = 0;
    snprintf(text, sizeof text, "%s\n%s\n%s\n", lines[0], lines[1], lines[2]);
    write_file(path, text);
    for (int i = 0; i < 3; i++) {
        struct js_doc *one = RUN_JSON("loss", "teach", "-p", lines[i], "--json", "-e",
                                      "blocks.1.hook_attn_out = 0");
        struct js_node each = js_get(js_root(one), "per_token");
        for (size_t k = 0; k < js_count(each); k++, n++)
            sum += json_number_at(each, k);
        js_close(one);
    }
    struct js_doc *doc = RUN_JSON("eval", "teach", path, "--json", "-e",
                                  "blocks.1.hook_attn_out = 0");
    assert_int_equal(json_int(js_root(doc), "expected"), (int64_t)n);
    assert_true(fabs(json_number(measure(doc, "loss"), "edited") - sum / n) < 1e-6);
    js_close(doc);
    free(path);
    folder_remove(folder);
}

/* Tokens that a filter takes and those that it leaves out make up all. */
static void filters(void **state)
{
    (void)state;
    static const char *const texts = "tests/fixtures/prompts/eval.txt";
    struct js_doc *all = RUN_JSON("eval", "teach", texts, "--json"),
                  *with = RUN_JSON("eval", "teach", texts, "--json", "--only-token", " the"),
                  *without = RUN_JSON("eval", "teach", texts, "--json", "--skip-token", " the"),
                  *later = RUN_JSON("eval", "teach", texts, "--json", "--pos", "4:");
    struct js_doc *parts[] = {with, without};
    double sum = 0, n = 0;
    for (int i = 0; i < 2; i++) {
        double tokens = (double)json_int(js_root(parts[i]), "expected");
        assert_true(tokens > 3);
        sum += json_number(measure(parts[i], "loss"), "base") * tokens, n += tokens;
    }
    assert_int_equal((int64_t)n, json_int(js_root(all), "expected"));
    near(sum / n, json_number(measure(all, "loss"), "base"), 0, "loss");
    assert_int_equal(json_int(js_root(with), "bytes"), 4 * json_int(js_root(with), "expected"));
    assert_true(json_int(js_root(later), "expected") < json_int(js_root(all), "expected"));
    js_close(all), js_close(with), js_close(without), js_close(later);
}

static void prints(void **state)
{
    (void)state;
    static const char *const texts = "tests/fixtures/prompts/eval.txt";
    struct result r = RUN("eval", "teach", texts, "--tsv", "--limit", "1");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "measure\tbase\terror\n"));
    assert_non_null(strstr(r.out, "\ntop_5_accuracy\t"));
    assert_null(strstr(r.out, "agreement"));
    assert_null(strstr(r.out, "nan"));
    result_free(&r);
    r = RUN("eval", "teach", texts, "-e", "hook_embed *= 2");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "difference  its error"));
    assert_non_null(strstr(r.out, "\nagreement "));
    assert_string_equal(r.err, "");
    result_free(&r);
}

static void refuses(void **state)
{
    (void)state;
    static const char *const texts = "tests/fixtures/prompts/eval.txt";
    char *folder = folder_make(), *path = folder_path(folder, "t.jsonl");
    write_file(path, "{\"text\": \"One two\"}\n{\"text\": 5}\n");
    assert_refused(RUN("eval", "teach"), 2, "which texts?");
    assert_refused(RUN("eval", "teach", path), 1, "t.jsonl · line 2");
    assert_refused(RUN("eval", "teach", texts, "--only-token", " the", "--skip-token", " a"), 2,
                   "give one of them");
    assert_refused(RUN("eval", "teach", texts, "--pos", "90:"), 1, "no token counts");
    assert_refused(RUN("eval", "teach", texts, "-e", "blocks.99.hook_mlp_out = 0"), 1, "99");
    assert_refused(RUN("eval", "tests/fixtures/models/bert", texts), 1, "causal");
    free(path);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_hugging_face), cmocka_unit_test(as_loss),
                                       cmocka_unit_test(filters), cmocka_unit_test(prints),
                                       cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
