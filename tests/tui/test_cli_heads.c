/* test_cli_heads.c - `heads` and `neurons` against what other commands print of the same run. */
#include "command.h"

#include <math.h>
#include <string.h>

#define GPT2 "tests/fixtures/models/gpt2"
#define PROMPT "--tokens", "0,5,9,5,9,13,21,5"
#define EDIT "-e", "blocks.0.attn.hook_z[:, 1] = 0"

enum { LAYERS = 3, HEADS = 3 };

/* Each score is that of `attn`, edits and all; sorted, each is at most the one before. */
static void heads_are_those_of_every_layer(void **state)
{
    (void)state;
    static const char *const scores[] = {"previous", "duplicate", "induction", "first", "entropy"};
    struct js_doc *all = RUN_JSON("heads", GPT2, PROMPT, EDIT, "--json");
    struct js_node list = js_get(js_root(all), "heads");
    assert_int_equal((int)js_count(list), LAYERS * HEADS);
    for (size_t l = 0; l < LAYERS; l++) {
        struct js_doc *one = RUN_JSON("attn", GPT2, PROMPT, EDIT, "-l",
                                      l == 0   ? "0"
                                      : l == 1 ? "1"
                                               : "2",
                                      "--json");
        for (size_t h = 0; h < HEADS; h++) {
            struct js_node got = js_at(list, l * HEADS + h),
                           want = js_get(js_at(js_get(js_root(one), "heads"), h), "scores");
            assert_int_equal(json_int(got, "layer"), l);
            assert_int_equal(json_int(got, "head"), h);
            for (size_t k = 0; k < sizeof scores / sizeof *scores; k++)
                assert_true(json_number(got, scores[k]) == json_number(want, scores[k]));
        }
        js_close(one);
    }
    js_close(all);
    static const char *const by[] = {"previous", "self", "copying"};
    for (size_t k = 0; k < sizeof by / sizeof *by; k++) {
        all = RUN_JSON("heads", GPT2, PROMPT, "--sort", by[k], "--json");
        list = js_get(js_root(all), "heads");
        for (size_t i = 1; i < (size_t)LAYERS * HEADS; i++)
            assert_true(json_number(js_at(list, i), by[k]) <=
                        json_number(js_at(list, i - 1), by[k]));
        js_close(all);
    }
    assert_refused(RUN("heads", GPT2, PROMPT, "--sort", "size"), 2, "previous, duplicate");
}

/* The copying score is that of `weights --eigenvalues`. */
static void copying_is_that_of_the_eigenvalues(void **state)
{
    (void)state;
    struct js_doc *all = RUN_JSON("heads", GPT2, PROMPT, "--sort", "copying", "--json"),
                  *values = RUN_JSON("weights", GPT2, "--eigenvalues", "--json");
    struct js_node heads = js_get(js_root(all), "heads"), list = js_root(values);
    int checked = 0;
    for (size_t i = 0; i < js_count(heads); i++)
        for (size_t k = 0; k < js_count(list); k++) {
            struct js_node h = js_at(heads, i), v = js_at(list, k);
            if (strcmp(json_string(v, "product"), "W_E OV W_U") != 0 ||
                json_int(v, "layer") != json_int(h, "layer") ||
                json_int(v, "head") != json_int(h, "head"))
                continue;
            assert_true(fabs(json_number(v, "score") - json_number(h, "copying")) < 1e-5);
            checked++;
        }
    assert_int_equal(checked, LAYERS * HEADS);
    js_close(all);
    js_close(values);
}

/* Magnitudes fall; of the chosen positions alone. */
static void neurons_are_the_largest(void **state)
{
    (void)state;
    struct js_doc *doc = RUN_JSON("neurons", GPT2, PROMPT, "-l", "1", "--pos", "2:4", "-k", "9",
                                  "--json");
    struct js_node list = js_get(js_root(doc), "neurons");
    assert_int_equal(js_count(list), 9);
    for (size_t i = 0; i < 9; i++) {
        struct js_node n = js_at(list, i);
        assert_in_range(json_int(n, "position"), 2, 3);
        assert_int_equal(js_count(js_get(n, "most")), 4);
        assert_true(json_number(js_at(js_get(n, "most"), 0), "value") >
                    json_number(js_at(js_get(n, "least"), 0), "value"));
        if (i)
            assert_true(fabs(json_number(n, "activation")) <=
                        fabs(json_number(js_at(list, i - 1), "activation")));
    }
    js_close(doc);
    assert_refused(RUN("neurons", "tests/fixtures/models/mixtral", "--tokens", "1,2"), 1,
                   "they belong to its experts");
    assert_refused(RUN("neurons", GPT2, PROMPT, "--pos", "0,2"), 2, "neighbours");
    assert_refused(RUN("neurons", GPT2, PROMPT, "-l", "9"), 1, "layer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(heads_are_those_of_every_layer),
                                       cmocka_unit_test(copying_is_that_of_the_eigenvalues),
                                       cmocka_unit_test(neurons_are_the_largest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
