/* test_rope.c - rotary positions in config.json: both forms, defaults, and what is refused.  What
 * the tables hold is tested against Hugging Face's in test_run.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/config.h"

#define LLAMA                                                                                         \
    "{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"num_attention_heads\":4,\"hidden_size\":16," \
    "\"intermediate_size\":20,\"vocab_size\":10,\"max_position_embeddings\":4096,"

static struct config parsed(const char *rest)
{
    char text[2048];
    struct config c;
    struct err e = {0};
    snprintf(text, sizeof text, LLAMA "%s}", rest);
    if (config_parse(&c, text, strlen(text), "config.json", &e))
        fail_msg("%s", e.text);
    return c;
}

static void both_forms_say_the_same(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"\"rope_theta\":5e5,\"rope_scaling\":null",
         "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":500000.0}"},
        {"\"rope_theta\":5e5,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}",
         "\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2.0,\"rope_theta\":500000.0}"},
        {"\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2},\"original_max_position_embeddings\":64",
         "\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":2,\"beta_slow\":1,\"beta_fast\":32,"
         "\"truncate\":true,\"original_max_position_embeddings\":64}"},
        {"\"rope_scaling\":{\"type\":\"su\",\"short_factor\":[1,2],\"long_factor\":[3,4],"
         "\"original_max_position_embeddings\":64}",
         "\"rope_parameters\":{\"rope_type\":\"longrope\",\"short_factor\":[1,2],"
         "\"long_factor\":[3,4]},\"original_max_position_embeddings\":64"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct config a = parsed(pairs[i][0]), b = parsed(pairs[i][1]);
        assert_memory_equal(&a.rope, &b.rope, sizeof a.rope);
        assert_int_equal(a.n_rot, 4);
    }
    struct config c = parsed("\"rope_parameters\":{\"partial_rotary_factor\":0.5}");
    assert_int_equal(c.n_rot, 2);
}

static void attention_factors_are_inferred(void **state)
{
    (void)state;
#define YARN "\"rope_scaling\":{\"type\":\"yarn\",\"original_max_position_embeddings\":512"
    assert_true(fabs(parsed(YARN "}").rope.attention_factor - (0.1 * log(8) + 1)) < 1e-12);
    assert_true(parsed(YARN ",\"factor\":1}").rope.attention_factor == 1);
    assert_true(parsed(YARN ",\"attention_factor\":0.75}").rope.attention_factor == 0.75);
    assert_true(parsed(YARN ",\"mscale\":0.7,\"mscale_all_dim\":0.7}").rope.attention_factor == 1);
    struct config c = parsed("\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,2],"
                             "\"long_factor\":[3,4],\"original_max_position_embeddings\":64}");
    assert_true(fabs(c.rope.attention_factor - sqrt(1 + log(64) / log(64))) < 1e-12);
}

static void tables_depend_on_the_length(void **state)
{
    (void)state;
    struct config c = parsed("\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,2],"
                             "\"long_factor\":[3,4],\"original_max_position_embeddings\":64}");
    assert_int_equal(rope_length(&c, 1), rope_length(&c, 64));
    assert_int_not_equal(rope_length(&c, 64), rope_length(&c, 65));
    assert_int_equal(rope_length(&c, 65), rope_length(&c, 9999));
    c = parsed("\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}");
    assert_int_equal(rope_length(&c, 1), rope_length(&c, 4096));
    assert_int_not_equal(rope_length(&c, 4097), rope_length(&c, 4098));
    c = parsed(YARN "}");
    assert_int_equal(rope_length(&c, 1), rope_length(&c, 9999));
}

/* As many factors as the limit allows, and one more. */
static void longrope_holds_at_the_limit(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        int n = LIMIT_ROPE_FACTORS + over;
        char text[8192];
        int at = snprintf(text, sizeof text,
                          LLAMA "\"head_dim\":%d,\"rope_scaling\":{\"type\":\"longrope\"", 2 * n);
        for (int list = 0; list < 2; list++) {
            at += snprintf(text + at, sizeof text - (size_t)at, ",\"%s_factor\":[1",
                           list ? "long" : "short");
            for (int i = 1; i < n; i++)
                at += snprintf(text + at, sizeof text - (size_t)at, ",%d", i + 1);
            at += snprintf(text + at, sizeof text - (size_t)at, "]");
        }
        at += snprintf(text + at, sizeof text - (size_t)at, "}}");
        struct config c;
        struct err e = {0};
        int rc = config_parse(&c, text, (size_t)at, "config.json", &e);
        assert_int_equal(rc, over ? ERR_BAD_INPUT : 0);
        if (over)
            assert_non_null(strstr(e.text, "above the limit of 256"));
        else
            assert_true(c.rope.long_factor[n - 1] == (float)n);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *rest, *says;
    } rows[] = {
        {"\"rope_scaling\":7", "expected an object"},
        {"\"rope_scaling\":{\"rope_type\":\"ntk\"}",
         "expected default, linear, dynamic, llama3, yarn or longrope, found \"ntk\""},
        {"\"rope_scaling\":{\"rope_type\":\"linear\"}", "factor"},
        {"\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}", "low_freq_factor"},
        {YARN ",\"beta_fast\":1}", "yarn · beta_fast 1 must be above beta_slow 1"},
        {YARN ",\"truncate\":3}", "truncate"},
        {"\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,2,3],\"long_factor\":[1,2]}",
         "\"rope_scaling.short_factor\" · expected an array of 2 numbers"},
        {"\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,2]}", "long_factor"},
        {"\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,0],\"long_factor\":[1,2]}",
         "short_factor[1]"},
        {"\"rope_parameters\":{\"partial_rotary_factor\":0.1}", "must give an even number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[2048];
        struct config c;
        struct err e = {0};
        snprintf(text, sizeof text, LLAMA "%s}", rows[i].rest);
        assert_int_equal(config_parse(&c, text, strlen(text), "config.json", &e), ERR_BAD_INPUT);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%s: says \"%s\", expected \"%s\"", rows[i].rest, e.text, rows[i].says);
    }
}

static void numbers_are_told(void **state)
{
    (void)state;
    char buf[ROPE_TEXT_MAX];
    struct config plain = parsed("\"rope_theta\":5e5"), yarn = parsed(YARN ",\"factor\":1}");
    assert_string_equal(rope_text(&plain.rope, buf), "rope_theta 500000");
    assert_string_equal(rope_text(&yarn.rope, buf),
                        "rope_theta 10000, factor 1, original_max_position_embeddings 512, "
                        "beta_slow 1, beta_fast 32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_say_the_same),
        cmocka_unit_test(attention_factors_are_inferred),
        cmocka_unit_test(tables_depend_on_the_length),
        cmocka_unit_test(longrope_holds_at_the_limit),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(numbers_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
