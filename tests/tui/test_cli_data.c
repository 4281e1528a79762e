/* test_cli_data.c - real models, a real tokenizer: skipped where ../shared/data is absent (ctest:
 * exit status 77). */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define DATA "../shared/data/"
#define STORIES DATA "models/stories260K"

static void greedy_text_is_the_reference_s(void **state)
{
    (void)state;
    size_t len;
    char *want = file_read(DATA "conformance/stories260K/greedy_200_tokens.txt", &len);
    struct result r = RUN("generate", STORIES, "-p", "Once upon a time", "-n",
                          "196"); /* 200 with the prompt's 4 */
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, want);
    result_free(&r);
    r = RUN("generate", STORIES, "-p", "Once upon a time", "-n", "200", "--cpu", "portable",
            "--cache-mb", "0");
    assert_int_equal(strncmp(r.out, want, len), 0);
    result_free(&r);
    free(want);
}

/* Every name that the golden file shares with ours, to 1e-4. */
static void golden(const char *name)
{
    char model[128], path[128];
    snprintf(model, sizeof model, DATA "models/%s", name);
    snprintf(path, sizeof path, DATA "golden/%s.cache.safetensors", name);
    struct checkpoint *ref = fixture_tensors(path), *st;
    char *ids = fixture_prompt(ref), *folder = folder_make(),
         *file = folder_path(folder, "a.safetensors");
    struct result r = RUN("run", model, "--tokens", ids, "-c", "*", "-o", file);
    assert_int_equal(r.status, 0);
    result_free(&r);
    st = fixture_tensors(file);
    int shared = 0;
    for (size_t i = 0; i < checkpoint_count(ref); i++) {
        const struct st_tensor *want = checkpoint_at(ref, i),
                               *got = checkpoint_find(st, want->name);
        if (!got)
            continue;
        assert_int_equal(got->nbytes, want->nbytes);
        assert_int_equal(got->shape[0], 1); /* the batch comes first */
        const float *a = got->data, *b = want->data;
        for (size_t k = 0; k < want->nbytes / sizeof *a; k++)
            if (!(fabsf(a[k] - b[k]) <= 1e-4f))
                fail_msg("%s %s[%zu]: %g, expected %g", name, want->name, k, (double)a[k],
                         (double)b[k]);
        shared++;
    }
    assert_true(shared >= 39 && checkpoint_find(st, "logits"));
    checkpoint_close(ref);
    checkpoint_close(st);
    free(ids), free(file);
    folder_remove(folder);
}

static void caches_are_the_golden_ones(void **state)
{
    (void)state;
    golden("stories260K");
    golden("atome-vanilla-1M-byte");
}

/* ---- evaluations ---- */

/* What borescope prints of a case against Hugging Face's, to 1e-4. */
static void evaluated(struct js_doc *doc, struct js_node c)
{
    struct js_node all = js_get(js_root(doc), "measures");
    for (struct js_iter it = js_members(js_get(c, "measures")); js_next(&it);) {
        const char *point = strchr(it.key, '.'), *face = point ? point + 1 : "base";
        size_t len = point ? (size_t)(point - it.key) : strlen(it.key), i = 0;
        char error[40];
        while (strlen(json_string(js_at(all, i), "name")) != len ||
               memcmp(json_string(js_at(all, i), "name"), it.key, len) != 0)
            if (++i == js_count(all))
                fail_msg("no measure %s", it.key);
        snprintf(error, sizeof error, "%s_error", face);
        double got[] = {json_number(js_at(all, i), face), json_number(js_at(all, i), error)};
        for (size_t k = 0; k < 2; k++) {
            double want = json_number_at(it.value, k);
            if (!(fabs(got[k] - want) <= 1e-4 * (1 + fabs(want))))
                fail_msg("%s: %.9g, expected %.9g", it.key, got[k], want);
        }
    }
}

/* The first word with a capital that is there twice, and is not the answer. */
static void other_name(const char *prompt, const char *answer, char name[40])
{
    for (const char *p = prompt, *end; *p; p = end) {
        size_t n = 0;
        end = p + 1;
        if (*p < 'A' || *p > 'Z')
            continue;
        while (*end >= 'a' && *end <= 'z')
            end++;
        n = (size_t)(end - p);
        assert_true(n < 40);
        memcpy(name, p, n);
        name[n] = '\0';
        const char *first = n > 1 ? strstr(prompt, name) : NULL;
        if (first && strstr(first + 1, name) && strcmp(name, answer) != 0)
            return;
    }
    fail_msg("no other name: %s", prompt);
}

static void write_questions(const char *path, int64_t n)
{
    struct js_doc *ioi = js_open(DATA "texts/ioi.json", NULL);
    FILE *f = fopen(path, "wb");
    assert_true(ioi && f);
    for (int64_t i = 0; i < n; i++) {
        struct js_node item = js_at(js_root(ioi), (size_t)i);
        const char *prompt = json_string(item, "prompt"), *answer = json_string(item, "answer");
        char other[40];
        other_name(prompt, answer, other);
        bool first = strcmp(answer, other) < 0;
        fprintf(f, "{\"question\": \"%s\", \"choices\": [\"%s\", \"%s\"], \"answer\": %d}\n",
                prompt, first ? answer : other, first ? other : answer, !first);
    }
    fclose(f);
    js_close(ioi);
}

static void evaluations_are_hugging_face_s(void **state)
{
    (void)state;
    struct js_doc *cases = js_open("tests/fixtures/eval_data.json", NULL);
    char *folder = folder_make(), *questions = folder_path(folder, "q.jsonl");
    assert_non_null(cases);
    assert_int_equal(js_count(js_root(cases)), 5);
    for (size_t k = 0; k < 5; k++) {
        struct js_node c = js_at(js_root(cases), k);
        const char *args[24] = {"eval", STORIES, NULL, "--json",
                                json_bool(c, "bos") ? "--bos" : "--no-bos"};
        char path[200], window[16], stride[16], limit[16];
        int n = 5;
        snprintf(path, sizeof path, DATA "texts/%s", json_string(c, "file"));
        if (js_is_set(js_get(c, "questions"))) {
            write_questions(questions, json_int(c, "questions"));
            args[2] = questions, args[n++] = "--choices";
        } else {
            snprintf(window, sizeof window, "%d", (int)json_int(c, "window"));
            snprintf(stride, sizeof stride, "%d", (int)json_int(c, "stride"));
            args[2] = path, args[n++] = "-k", args[n++] = "3", args[n++] = "--window";
            args[n++] = window, args[n++] = "--stride", args[n++] = stride;
        }
        if (js_is_set(js_get(c, "paragraphs"))) {
            snprintf(limit, sizeof limit, "%d", (int)json_int(c, "limit"));
            args[n++] = "--paragraphs", args[n++] = "--limit", args[n++] = limit;
        }
        if (js_is_set(js_get(c, "edit")))
            args[n++] = "-e", args[n++] = json_string(c, "edit");
        struct js_doc *doc = command_json(args);
        evaluated(doc, c);
        js_close(doc);
    }
    js_close(cases);
    free(questions);
    folder_remove(folder);
}

/* Cases separated by a mark; one line of ids for each. */
static void gpt2_tokens_are_the_reference_s(void **state)
{
    (void)state;
    static const char mark[] = "\n__ggml_vocab_test__\n";
    size_t len;
    char *texts = file_read(DATA "conformance/llama.cpp/ggml-vocab-gpt-2.gguf.inp", &len);
    char *lines = file_read(DATA "conformance/llama.cpp/ggml-vocab-gpt-2.gguf.out", &len);
    int cases = 0;
    for (char *text = texts, *line = lines, *end; text; text = end, cases++) {
        if ((end = strstr(text, mark)) != NULL) {
            *end = '\0';
            end += sizeof mark - 1;
        }
        struct result r = command_run(
            text, (const char *const[]){"tokens", DATA "tokenizers/gpt2/tokenizer.json", "--stdin",
                                        "--json", NULL});
        assert_int_equal(r.status, 0);
        struct js_doc *doc = js_parse("out", r.out, r.out_len, NULL);
        struct js_node ids = js_get(js_root(doc), "ids");
        size_t n = 0;
        char *stop = line + strcspn(line, "\n");
        for (char *p = line; p < stop;) {
            char *after;
            long id = strtol(p, &after, 10);
            if (after == p || after > stop)
                break;
            assert_true(n < js_count(ids) && json_number_at(ids, n) == (double)id);
            n++;
            p = after;
        }
        assert_int_equal(n, js_count(ids));
        line = *stop ? stop + 1 : stop;
        js_close(doc);
        result_free(&r);
    }
    assert_int_equal(cases, 47);
    free(texts), free(lines);
}

static void real_models_pass_the_check(void **state)
{
    (void)state;
    static const char *const models[] = {STORIES, DATA "models/atome-vanilla-1M-byte"};
    for (int i = 0; i < 2; i++) {
        struct result r = RUN("check", models[i]);
        if (r.status)
            fail_msg("%s", r.out);
        result_free(&r);
    }
}

int main(void)
{
    if (access(DATA, R_OK)) {
        puts("SKIP: " DATA " is not there (real models and conformance data)");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_text_is_the_reference_s),
        cmocka_unit_test(caches_are_the_golden_ones),
        cmocka_unit_test(evaluations_are_hugging_face_s),
        cmocka_unit_test(gpt2_tokens_are_the_reference_s),
        cmocka_unit_test(real_models_pass_the_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
