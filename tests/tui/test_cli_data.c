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
        cmocka_unit_test(gpt2_tokens_are_the_reference_s),
        cmocka_unit_test(real_models_pass_the_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
