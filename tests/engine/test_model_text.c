/* Tests of a model's texts: which token begins them, and what differing sizes mean.  Models without
 * weights, written here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/model.h"
#include "token/tokenizer.h"

static char folder[64];

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    FILE *f = text ? fopen(path, "w") : NULL;
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/bore_text_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "tokenizer.json", "tokenizer_config.json"};
    for (size_t i = 0; i < 3; i++)
        write_file(names[i], NULL);
    return rmdir(folder);
}

/* A GPT-2 of some vocabulary and bos_token_id; five tokens a, b, ab, <s>, </s> as ids 0..4, and
 * what the post-processor adds. */
static struct model *open_model(int n_vocab, const char *bos, const char *processor,
                                const char *tokenizer_config)
{
    char text[1024];
    struct err e = {0};
    struct model *m;
    snprintf(text, sizeof text,
             "{\"model_type\":\"gpt2\",\"vocab_size\":%d,\"n_layer\":1,\"n_head\":2,\"n_embd\":8,"
             "\"n_positions\":16,\"bos_token_id\":%s}",
             n_vocab, bos);
    write_file("config.json", text);
    snprintf(
        text, sizeof text,
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]},"
        "\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true},"
        "{\"id\":4,\"content\":\"</s>\",\"special\":true}],\"post_processor\":%s}",
        processor);
    write_file("tokenizer.json", text);
    write_file("tokenizer_config.json", tokenizer_config);
    if (model_open(&m, folder, NULL, &e))
        fail_msg("%s", e.text);
    return m;
}

static const char
    around[] = "{\"type\":\"BertProcessing\",\"cls\":[\"<s>\",3],\"sep\":[\"</s>\",4]}";

static void the_first_source_that_names_a_beginning_holds(void **state)
{
    (void)state;
    static const struct {
        const char *config, *processor, *tokenizer_config;
        int32_t want;
    } cases[] = {
        {"2", "null", NULL, 2},
        {"null", "null", NULL, -1},
        {"null", around, NULL, 3},
        {"2", around, NULL, 2},
        {"2", around, "{\"bos_token\":\"</s>\"}", 4},
        {"2", "null", "{\"bos_token\":{\"content\":\"<s>\",\"lstrip\":false}}", 3},
        {"2", "null", "{\"bos_token\":null,\"eos_token\":\"</s>\"}", 4},
        {"2", "null", "{\"bos_token\":null,\"eos_token\":null}", 2},
        {"2", "null", "{\"eos_token\":\"</s>\"}", 2},
        {"2", "null", "{\"bos_token\":\"<none>\"}", 2},
        {"2", "null",
         "{\"bos_token\":\"</s>\",\"model_max_length\":1000000000000000019884624838656}", 4},
        {"2", "null", "not JSON", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model *m = open_model(5, cases[i].config, cases[i].processor,
                                     cases[i].tokenizer_config);
        if (m->cfg.bos_id != cases[i].want)
            fail_msg("case %zu: token %d, expected %d", i, (int)m->cfg.bos_id, (int)cases[i].want);
        model_close(m);
    }
}

static void check(const struct model *m, int bos, const int32_t *want, int32_t n)
{
    struct err e = {0};
    int32_t *ids, got;
    assert_int_equal(model_tokens(m, "ab", 2, bos, &ids, &got, &e), 0);
    assert_int_equal(got, n);
    assert_memory_equal(ids, want, (size_t)n * sizeof *want);
    free(ids);
}

static void a_beginning_of_the_post_processor_brings_its_end(void **state)
{
    (void)state;
    struct model *m = open_model(5, "null", around, NULL);
    check(m, -1, (int32_t[]){3, 2, 4}, 3); /* GPT-2 begins with one by default */
    check(m, 1, (int32_t[]){3, 2, 4}, 3);
    check(m, 0, (int32_t[]){2}, 1);
    model_close(m);
}

static void sizes_that_differ_are_told(void **state)
{
    (void)state;
    static const struct {
        int n_vocab;
        const char *want;
    } cases[] = {
        {5, NULL},
        {8, "the tokenizer has 5 tokens, the model 8 · ids 5..7 have no text"},
        {3, "the tokenizer has 5 tokens, the model 3 · ids 3..4 cannot be run"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char note[160];
        struct model *m = open_model(cases[i].n_vocab, "null", "null", NULL);
        const char *got = model_vocabulary_note(m, note, sizeof note);
        if (cases[i].want)
            assert_string_equal(got, cases[i].want);
        else
            assert_null(got);
        model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_source_that_names_a_beginning_holds),
        cmocka_unit_test(a_beginning_of_the_post_processor_brings_its_end),
        cmocka_unit_test(sizes_that_differ_are_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
