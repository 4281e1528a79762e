/* test_library_eval.c - bore_eval_run: measures through the public header against bore_run's loss,
 * stopped by its caller, refused. */
#include "library.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/bore-libeval-XXXXXX";
static const char *const lines[] = {"3 17 5 9 22", "8 8 1 30 2 11", "19 4 4"};
static const int32_t ids[3][6] = {{3, 17, 5, 9, 22}, {8, 8, 1, 30, 2, 11}, {19, 4, 4}};
static const int counts[] = {5, 6, 3};

static int set_up(void **state)
{
    (void)state;
    FILE *f = fdopen(mkstemp(path), "w");
    assert_non_null(f);
    for (int i = 0; i < 3; i++)
        fprintf(f, "%s\n", lines[i]);
    fclose(f);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

/* The mean over all tokens of a pass for each text. */
static double plain_loss(struct bore_model *m, const char *edit)
{
    double sum = 0, n = 0;
    for (int i = 0; i < 3; i++) {
        float each[8];
        double mean;
        struct bore_error e;
        const struct bore_pass p = {.tokens = ids[i],
                                    .rows = 1,
                                    .cols = counts[i],
                                    .edits = &edit,
                                    .n_edits = edit != NULL};
        library_ok(bore_loss(m, &p, &mean, each, &e), &e);
        for (int k = 0; k < counts[i] - 1; k++, n++)
            sum += (double)each[k];
    }
    return sum / n;
}

static int hear(void *user, int64_t tokens, double share)
{
    int64_t *calls = user;
    assert_true(tokens > 0 && share >= 0 && share <= 1);
    return ++*calls > 0 ? 0 : 1;
}

static void as_single_passes(void **state)
{
    (void)state;
    static const char *const edit[] = {"blocks.1.attn.hook_z[:, 1] = 0"};
    struct library l = library_open("gpt2", 1 << 24);
    struct bore_eval w = {
        .texts = {.path = path, .window = 6, .bos = 0}, .edits = edit, .n_edits = 1, .top = 3};
    struct bore_evaluation x;
    struct bore_error e;
    int64_t calls = 0;
    library_ok(bore_eval_run(l.m, &w, &x, hear, &calls, &e), &e);
    assert_true(x.texts == 3 && x.tokens == 11 && x.n_measures == 7 && calls == 1);
    assert_string_equal(x.measures[0].name, "loss");
    assert_string_equal(x.measures[4].name, "top_3_accuracy");
    assert_string_equal(x.measures[5].name, "kl");
    assert_true(fabs(x.measures[0].base - plain_loss(l.m, NULL)) < 1e-12);
    assert_true(fabs(x.measures[0].edited - plain_loss(l.m, edit[0])) < 1e-12);
    assert_true(x.measures[0].difference_error > 0 && x.measures[5].edited > 0);
    w.n_edits = 0, w.top = 0;
    library_ok(bore_eval_run(l.m, &w, &x, NULL, NULL, &e), &e);
    assert_true(x.n_measures == 5 && isnan(x.measures[0].edited));
    assert_string_equal(x.measures[4].name, "top_5_accuracy");
    library_close(&l);
}

static void questions(void **state)
{
    (void)state;
    struct bore_eval w = {.choices = true,
                          .texts = {.path = "tests/fixtures/prompts/questions.jsonl", .bos = 1}};
    struct bore_evaluation x;
    struct bore_error e;
    struct bore_model *m;
    int64_t calls = 0;
    library_ok(bore_open(&m, "tests/fixtures/prompts/gpt2", NULL, &e), &e);
    library_ok(bore_eval_run(m, &w, &x, hear, &calls, &e), &e);
    assert_true(x.texts == 7 && x.n_measures == 4 && calls > 0);
    assert_string_equal(x.measures[0].name, "acc");
    assert_true(fabs(x.measures[0].base - 2.0 / 7) < 1e-15);
    w.texts.limit = 2;
    library_ok(bore_eval_run(m, &w, &x, NULL, NULL, &e), &e);
    assert_int_equal(x.texts, 2);
    bore_close(m);
}

static void refusals(void **state)
{
    (void)state;
    static const char *const edit[] = {"blocks.9.hook_mlp_out = 0"};
    struct library l = library_open("gpt2", 1 << 24);
    struct bore_eval w = {.texts = {.path = path}};
    struct bore_evaluation x;
    struct bore_error e;
    int64_t stop = -9;
    assert_int_equal(bore_eval_run(l.m, &w, &x, hear, &stop, &e), BORE_CANCELLED);
    assert_non_null(strstr(e.text, "stopped by its caller"));
    w.edits = edit, w.n_edits = 1;
    assert_int_equal(bore_eval_run(l.m, &w, &x, NULL, NULL, &e), BORE_BAD_INPUT);
    w.n_edits = 0, w.top = -1;
    assert_int_equal(bore_eval_run(l.m, &w, &x, NULL, NULL, &e), BORE_BAD_INPUT);
    w.texts.path = NULL;
    assert_int_equal(bore_eval_run(l.m, &w, &x, NULL, NULL, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "texts"));
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_single_passes),
                                       cmocka_unit_test(questions), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
