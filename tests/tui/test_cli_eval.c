/* test_cli_eval.c - `borescope eval`: against Hugging Face's losses by windows, lm-eval's scores of
 * choices, `borescope loss`, its filters, what it prints, what it refuses. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Questions with choices: the reference scores them as lm-eval does. */
static void choices_are(const char *model, struct js_node c)
{
    const char *edit = js_is_string(js_get(c, "edit")) ? json_string(c, "edit") : NULL;
    struct js_doc *doc = RUN_JSON("eval", model, "tests/fixtures/prompts/questions.jsonl",
                                  "--choices", "--json", json_bool(c, "bos") ? "--bos" : "--no-bos",
                                  edit ? "-e" : NULL, edit);
    assert_int_equal(json_int(js_root(doc), "questions"), json_int(c, "questions"));
    for (struct js_iter it = js_members(js_get(c, "measures")); js_next(&it);)
        measure_is(doc, it.key, it.value);
    js_close(doc);
}

static void each_case(const char *model, const char *file, size_t least,
                      void (*is)(const char *, struct js_node))
{
    char folder[80], path[100];
    snprintf(folder, sizeof folder, "tests/fixtures/prompts/%s", model);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    struct js_doc *cases = js_open(path, NULL);
    assert_non_null(cases);
    size_t n = js_count(js_root(cases));
    assert_true(n >= least);
    for (size_t k = 0; k < n; k++)
        is(folder, js_at(js_root(cases), k));
    js_close(cases);
}

static void as_hugging_face(void **state)
{
    (void)state;
    each_case("gpt2", "eval.json", 6, case_is);
    each_case("llama2", "eval.json", 6, case_is);
}

/* Each token behind a mask of its own. */
static void masked_as_hugging_face(void **state)
{
    (void)state;
    each_case("bert", "eval.json", 2, case_is);
    each_case("roberta", "eval.json", 2, case_is);
    struct result r = RUN("eval", "tests/fixtures/prompts/bert", "tests/fixtures/prompts/eval.txt",
                          "--limit", "2");
    assert_non_null(strstr(r.out, " tokens masked in turn; "));
    result_free(&r);
}

static void as_lm_eval(void **state)
{
    (void)state;
    each_case("gpt2", "choices.json", 3, choices_are);
    each_case("llama2", "choices.json", 3, choices_are);
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

/* Many questions, more than share a product, against each by itself. */
static void questions_in_batches(void **state)
{
    (void)state;
    enum { N = 24 };
    static const char *const names[] = {"Mary", "John", "Tom", "Anna", "Dan"};
    static const char *const measures[] = {"acc", "acc_norm", "brier_score", "kl", "agreement"};
    char *folder = folder_make(), *path = folder_path(folder, "q.jsonl");
    double sum[5] = {0};
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < N; i++)
        fprintf(f,
                "{\"question\": \"When %s and %s went to the store, %s gave a bag to\", "
                "\"choices\": [\"%s\", \"the %s\", \"%s\"], \"answer\": %d, \"id\": %d}\n\n",
                names[i % 5], names[(i + 1 + i / 5) % 5], names[i % 5], names[i % 5],
                names[i * 3 % 5], names[(i + 1 + i / 5) % 5], i % 3, i);
    fclose(f);
    for (int i = 0; i < N; i++) {
        char skip[8];
        snprintf(skip, sizeof skip, "%d", i);
        struct js_doc *one = RUN_JSON("eval", "teach", path, "--choices", "--json", "--skip", skip,
                                      "--limit", "1", "-e", "blocks.2.hook_attn_out *= 0.3");
        assert_int_equal(json_int(js_root(one), "questions"), 1);
        for (int k = 0; k < 5; k++)
            sum[k] += json_number(measure(one, measures[k]), k < 3 ? "base" : "edited");
        js_close(one);
    }
    struct js_doc *all = RUN_JSON("eval", "teach", path, "--choices", "--json", "-e",
                                  "blocks.2.hook_attn_out *= 0.3");
    assert_int_equal(json_int(js_root(all), "questions"), N);
    for (int k = 0; k < 5; k++) {
        double got = json_number(measure(all, measures[k]), k < 3 ? "base" : "edited");
        assert_true(fabs(got - sum[k] / N) < 1e-14);
    }
    assert_true(sum[0] > 0 && sum[0] < N && sum[3] > 0);
    js_close(all);
    free(path);
    folder_remove(folder);
}

/* Texts of several units of work, and questions; NULL: none. */
static void write_lines(const char *texts, const char *questions)
{
    FILE *t = fopen(texts, "wb"), *q = fopen(questions ? questions : "/dev/null", "wb");
    assert_true(t && q);
    for (int i = 0; i < 260; i++) {
        for (int k = 0; k < 3 + i * 7 % 29; k++)
            fprintf(t, "%s ", (i + k * k) % 3 ? "one two" : "three");
        fputc('\n', t);
        fprintf(q,
                "{\"question\": \"One %d\", \"choices\": [\"two\", \"three\"], \"answer\": %d}\n",
                i % 17, i % 2);
    }
    fclose(t), fclose(q);
}

static void killed(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* minutes; the release build kills */
#endif
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt"),
         *questions = folder_path(folder, "q.jsonl");
    write_lines(texts, questions);
    const char *const of_texts[] = {"eval",     "teach", texts, "--window",          "40",
                                    "--stride", "30",    "-e",  "hook_embed *= 0.9", "--json"},
                      *const of_questions[] = {"eval", "teach", questions, "--choices", "--json"};
    command_killed_prints(of_texts, 10, folder, 3);
    command_killed_prints(of_questions, 5, folder, 4);
    free(texts), free(questions);
    folder_remove(folder);
}

/* A state is of one command; what is none is refused, and stays. */
static void states(void **state)
{
    (void)state;
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt"),
         *part = folder_path(folder, "p.safetensors");
    write_lines(texts, NULL);
    const char *const args[] = {"borescope", "eval",    "teach", texts, "--resume",
                                part,        "--every", "0",     NULL};
    assert_false(command_killed(args, "/dev/null", part, 0));
    assert_refused(RUN("eval", "teach", texts, "--resume", part, "-e", "hook_embed *= 2"), 1,
                   "another model, other edits");
    assert_refused(RUN("eval", "teach", "tests/fixtures/prompts/eval.txt", "--resume", part), 1,
                   "not the texts that were read before");
    write_file(part, "nothing");
    assert_refused(RUN("eval", "teach", texts, "--resume", part), 1, "p.safetensors");
    assert_int_equal(access(part, F_OK), 0);
    struct result r = RUN("stats", "teach", texts, "--limit", "2", "-c", "hook_embed", "-o", part);
    assert_int_equal(r.status, 0);
    result_free(&r);
    assert_refused(RUN("eval", "teach", texts, "--resume", part), 1, "no state of an evaluation");
    free(texts), free(part);
    folder_remove(folder);
}

/* A file that edits read is known by what it holds, not by its name. */
static void state_of_files(void **state)
{
    (void)state;
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt"),
         *ref = folder_path(folder, "ref.txt"), *part = folder_path(folder, "p.safetensors"),
         *vectors = folder_path(folder, "v.safetensors"), set[600], edit[600];
    write_lines(texts, NULL);
    write_file(ref, "When Mary and John went to the store\n");
    snprintf(set, sizeof set, "r=%s", ref);
    const char *const of_set[] = {"borescope", "eval", "teach",   texts,
                                  "--ref",     set,    "-e",      "blocks.1.hook_mlp_out = mean(r)",
                                  "--resume",  part,   "--every", "0",
                                  NULL};
    assert_false(command_killed(of_set, "/dev/null", part, 0));
    write_file(ref, "When Mary and John went to the house\n");
    assert_refused(RUN("eval", "teach", texts, "--ref", set, "-e",
                       "blocks.1.hook_mlp_out = mean(r)", "--resume", part),
                   1, "holds something else than it did");
    write_file(ref, "When Mary and John went to the store\n");
    struct result r = RUN("eval", "teach", texts, "--ref", set, "-e",
                          "blocks.1.hook_mlp_out = mean(r)", "--resume", part);
    assert_int_equal(r.status, 0);
    result_free(&r);

    r = RUN("stats", "teach", texts, "--limit", "2", "-c", "hook_embed", "-o", vectors);
    assert_int_equal(r.status, 0);
    result_free(&r);
    snprintf(edit, sizeof edit, "hook_embed += file(\"%s\", \"hook_embed.max\")", vectors);
    const char *const of_file[] = {"borescope", "eval", "teach",   texts, "-e", edit,
                                   "--resume",  part,   "--every", "0",   NULL};
    assert_false(command_killed(of_file, "/dev/null", part, 0));
    assert_int_equal(remove(vectors), 0);
    r = RUN("stats", "teach", texts, "--limit", "3", "-c", "hook_embed", "-o", vectors);
    assert_int_equal(r.status, 0);
    result_free(&r);
    assert_refused(RUN("eval", "teach", texts, "-e", edit, "--resume", part), 1,
                   "holds something else than it did");
    free(texts), free(ref), free(part), free(vectors);
    folder_remove(folder);
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
    r = RUN("eval", "teach", "tests/fixtures/prompts/questions.jsonl", "--choices");
    assert_non_null(strstr(r.out, "\n# 7 questions; "));
    assert_non_null(strstr(r.out, "\nacc_bytes "));
    assert_null(strstr(r.out, "perplexity"));
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
    assert_refused(RUN("eval", "tests/fixtures/models/bert", texts), 1, "[MASK]");
    assert_refused(RUN("eval", "tests/fixtures/prompts/bert", path, "--choices"), 1, "causal");
    assert_refused(RUN("eval", "tests/fixtures/models/vit", texts), 1, "image");
    write_file(path, "{\"question\": \"One\", \"choices\": [\"two\", \"three\"], \"answer\": 0}\n"
                     "{\"question\": \"One\", \"choices\": [\"two\", \"three\"], \"answer\": 2}\n");
    assert_refused(RUN("eval", "teach", path, "--choices"), 1, "t.jsonl · line 2 · key \"answer\"");
    write_file(path, "\n{\"question\": \"One\", \"choices\": \"two\", \"answer\": 0}\n");
    assert_refused(RUN("eval", "teach", path, "--choices"), 1, "line 2 · key \"choices\"");
    write_file(path, "{\"question\": \"\", \"choices\": [\"two\", \"three\"], \"answer\": 0}\n");
    assert_refused(RUN("eval", "teach", path, "--choices", "--no-bos"), 1,
                   "line 1 · nothing stands before the choices");
    assert_refused(RUN("eval", "teach", texts, "--choices"), 1, "eval.txt · line 1");
    assert_refused(RUN("eval", "teach", path, "--choices", "--limit", "1", "--skip", "1"), 1,
                   "no question");
    assert_refused(RUN("eval", "teach", "--choices"), 2, "which questions?");
    assert_refused(RUN("eval", "teach", path, "--choices", "--window", "8"), 2, "--window");
    free(path);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_hugging_face), cmocka_unit_test(masked_as_hugging_face),
        cmocka_unit_test(as_lm_eval),      cmocka_unit_test(questions_in_batches),
        cmocka_unit_test(killed),          cmocka_unit_test(states),
        cmocka_unit_test(state_of_files),  cmocka_unit_test(as_loss),
        cmocka_unit_test(filters),         cmocka_unit_test(prints),
        cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
