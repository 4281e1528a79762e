/* test_eval.c - evaluations over texts: against sums over runs of single windows, their errors,
 * filters, edits that change nothing or one row, what is refused. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/eval.h"
#include "measure/lens.h"

static char path[] = "/tmp/bore-eval-XXXXXX";
enum { TEXTS = 50, LONGEST = 40, TOP = 3 };

static int set_up(void **state)
{
    (void)state;
    uint32_t seed = 19;
    FILE *f = fdopen(mkstemp(path), "w");
    assert_non_null(f);
    for (int i = 0; i < TEXTS; i++) {
        uint32_t n = 1 + fixture_random(&seed) % (i % 4 ? 9 : LONGEST);
        for (uint32_t k = 0; k < n; k++)
            fprintf(f, "%d ", (int)(fixture_random(&seed) % 40));
        fputc('\n', f);
    }
    fclose(f);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

struct edits {
    struct edit *of[2];
    int32_t n;
};

static struct edits edits_of(const char *text)
{
    struct edits e = {.n = text ? 1 : 0};
    if (text)
        assert_int_equal(edit_parse(&e.of[0], text, NULL), 0);
    return e;
}

static int evaluate(const struct model *m, struct texts_options o, const struct edits *edits,
                    const struct token_filter *filter, struct eval *v, struct err *e)
{
    static const struct token_filter all = {0};
    const struct pair_target target = {.edits = edits->of, .n_edits = edits->n};
    const struct eval_work w = {.m = m,
                                .target = &target,
                                .filter = filter ? filter : &all,
                                .top = TOP,
                                .cache_bytes = (size_t)16 << 20};
    struct texts *t;
    *v = (struct eval){0};
    int rc = texts_open(&t, m, path, &o, e);
    assert_int_equal(rc, 0);
    rc = eval_run(v, t, &w, e);
    texts_close(t);
    return rc;
}

/* What a row of logits says of a token, the plain way. */
struct said {
    double loss;
    int above, best;
};

static struct said say(const float *x, int32_t n, int32_t token)
{
    struct said s = {0};
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += exp((double)x[i]);
        s.above += x[i] > x[token];
        s.best = x[i] > x[s.best] ? i : s.best;
    }
    s.loss = log(sum) - (double)x[token];
    return s;
}

static double kl_of(const float *p, const float *q, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double a = -say(p, n, i).loss;
        sum += exp(a) * (a + say(q, n, i).loss);
    }
    return sum;
}

static void add_window(double x[EVAL_SUMS], const struct text_piece *p, struct run *base,
                       struct run *edited, const struct token_filter *filter)
{
    int32_t d = run_model(base)->cfg.d_vocab, from = p->fresh > 1 ? p->fresh : 1;
    float *a = malloc(2 * (size_t)d * sizeof *a), *b = a + d;
    assert_non_null(a);
    for (int32_t t = from; t < p->n; t++) {
        if (filter && (p->tokens[t] == filter->ids[0]) == filter->without)
            continue;
        int32_t row = t - 1, token = p->tokens[t];
        assert_int_equal(run_logits(base, &row, 1, NULL, 0, a, NULL), 0);
        assert_int_equal(run_logits(edited, &row, 1, NULL, 0, b, NULL), 0);
        struct said s = say(a, d, token), with = say(b, d, token);
        x[EVAL_TOKENS]++;
        x[EVAL_LOSS] += s.loss, x[EVAL_LOSS_CHANGE] += with.loss - s.loss;
        x[EVAL_TOP1] += s.best == token;
        x[EVAL_TOP1_CHANGE] += (with.best == token) - (s.best == token);
        x[EVAL_TOPK] += s.above < TOP;
        x[EVAL_TOPK_CHANGE] += (with.above < TOP) - (s.above < TOP);
        x[EVAL_KL] += kl_of(a, b, d), x[EVAL_AGREE] += s.best == with.best;
    }
    free(a);
}

/* Sums of each text by windows that are run alone; how many texts have a token. */
static int plain(const struct model *m, struct texts_options o, const struct edits *edits,
                 const struct token_filter *filter, double x[TEXTS][EVAL_SUMS])
{
    struct texts *t;
    struct text_piece p;
    struct pair *pair;
    int n = 0;
    memset(x, 0, TEXTS * sizeof x[0]);
    assert_int_equal(pair_open(&pair, m, (size_t)16 << 20, NULL), 0);
    assert_int_equal(texts_open(&t, m, path, &o, NULL), 0);
    while (texts_next(t, &p, NULL) > 0) {
        const struct pair_target target = {
            .input = run_ids(p.tokens, p.n), .edits = edits->of, .n_edits = edits->n};
        assert_int_equal(pair_sync(pair, &target, NULL, NULL), 0);
        add_window(x[p.text], &p, pair_run(pair, FACE_BASE), pair_shown(pair), filter);
    }
    for (int i = 0; i < TEXTS; i++)
        n += x[i][EVAL_TOKENS] > 0;
    texts_close(t);
    pair_close(pair);
    return n;
}

static void near(double a, double b, double limit)
{
    if (!(fabs(a - b) <= limit * (1 + fabs(b))))
        fail_msg("%.12g instead of %.12g", a, b);
}

/* A sum over tokens, its standard error from each text's share of it. */
static void ratio_is(double value, double error, double x[TEXTS][EVAL_SUMS], int n, int sum,
                     int more)
{
    double all = 0, tokens = 0, squares = 0;
    for (int i = 0; i < TEXTS; i++) {
        all += x[i][sum] + (more ? x[i][more] : 0);
        tokens += x[i][EVAL_TOKENS];
    }
    for (int i = 0; i < TEXTS; i++) {
        double add = x[i][sum] + (more ? x[i][more] : 0) - all / tokens * x[i][EVAL_TOKENS];
        squares += add * add / tokens / tokens;
    }
    near(value, all / tokens, 2e-6);
    near(error, sqrt(squares * n / (n - 1)), 2e-6);
}

static void compare(const struct model *m, struct texts_options o, const char *edit,
                    const struct token_filter *filter)
{
    static double x[TEXTS][EVAL_SUMS];
    static const int sums[] = {EVAL_LOSS, 0, 0, EVAL_TOP1, EVAL_TOPK};
    struct edits edits = edits_of(edit);
    struct eval v;
    struct err e = {0};
    struct eval_value value[EVAL_MEASURES];
    if (evaluate(m, o, &edits, filter, &v, &e))
        fail_msg("%s", e.text);
    int n = plain(m, o, &edits, filter, x), count = eval_values(&v, value);
    assert_int_equal(count, edit ? 7 : 5);
    assert_int_equal(v.texts, n);
    assert_string_equal(value[MEASURE_top_K_accuracy].name, "top_3_accuracy");
    assert_true(isnan(value[MEASURE_bits_per_byte].base)); /* these models have no tokenizer */
    for (int i = 0; i <= MEASURE_top_K_accuracy; i++) {
        if (!sums[i])
            continue;
        ratio_is(value[i].base, value[i].base_error, x, n, sums[i], 0);
        if (!edit)
            continue;
        ratio_is(value[i].edited, value[i].edited_error, x, n, sums[i], sums[i] + EVAL_CHANGE);
        ratio_is(value[i].difference, value[i].difference_error, x, n, sums[i] + EVAL_CHANGE, 0);
    }
    const struct eval_value *loss = &value[MEASURE_loss], *power = &value[MEASURE_perplexity];
    near(power->base, exp(loss->base), 1e-12);
    near(power->base_error, exp(loss->base) * loss->base_error, 1e-9);
    if (edit) {
        assert_true(value[5].is == MEASURE_kl && value[6].is == MEASURE_agreement);
        ratio_is(value[5].edited, value[5].edited_error, x, n, EVAL_KL, 0);
        ratio_is(value[6].edited, value[6].edited_error, x, n, EVAL_AGREE, 0);
        edit_free(edits.of[0]);
    }
}

static void against_plain_sums(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama", "gemma2", "gpt_neox", "mixtral", "opt"};
    const int32_t some[] = {7};
    const struct token_filter only = {.ids = some, .n = 1},
                              without = {.ids = some, .n = 1, .without = true};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct fixture f = fixture_open(models[i]);
        compare(f.m, (struct texts_options){.window = 7, .stride = 3}, NULL, NULL);
        compare(f.m, (struct texts_options){.window = 7, .stride = 7}, "blocks.0.hook_attn_out = 0",
                NULL);
        compare(f.m, (struct texts_options){.window = 6, .stride = 2},
                "blocks.1.hook_resid_post[-1] *= 3", &without);
        compare(f.m, (struct texts_options){.window = 7}, "blocks.0.hook_resid_pre *= 0.5", &only);
        fixture_close(&f);
    }
}

/* An edit that changes nothing: differences of exactly 0, without a doubt. */
static void nothing_changes(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct edits edits = edits_of("blocks.0.hook_mlp_out *= 1");
    struct eval v;
    struct eval_value x[EVAL_MEASURES];
    assert_int_equal(
        evaluate(f.m, (struct texts_options){.window = 8}, &edits, NULL, &v, &(struct err){0}), 0);
    assert_int_equal(eval_values(&v, x), 7);
    for (int i = 0; i < 7; i++)
        if (x[i].is == MEASURE_kl || x[i].is == MEASURE_agreement)
            assert_true(x[i].edited == (x[i].is == MEASURE_agreement) && x[i].edited_error == 0);
        else if (x[i].is != MEASURE_bits_per_byte)
            assert_true(x[i].edited == x[i].base && x[i].difference == 0 &&
                        x[i].difference_error == 0 && x[i].edited_error == x[i].base_error);
    edit_free(edits.of[0]);
    fixture_close(&f);
}

static void one_text_has_no_error(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct edits none = {.n = 0};
    struct eval v;
    struct eval_value x[EVAL_MEASURES];
    const struct texts_options one = {.window = 8, .limit = 1};
    assert_int_equal(evaluate(f.m, one, &none, NULL, &v, &(struct err){0}), 0);
    eval_values(&v, x);
    assert_true(v.texts == 1 && isfinite(x[0].base) && isnan(x[0].base_error));
    fixture_close(&f);
}

static void refusals(void **state)
{
    (void)state;
    struct fixture f = fixture_open("bert");
    struct edits none = {.n = 0};
    struct eval v;
    struct err e = {0};
    const struct texts_options o = {.window = 6};
    const int32_t absent[] = {41};
    const struct token_filter only = {.ids = absent, .n = 1};
    assert_int_equal(evaluate(f.m, o, &none, NULL, &v, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "[MASK]"));
    fixture_close(&f);
    f = fixture_open("gpt2");
    assert_int_equal(evaluate(f.m, o, &none, &only, &v, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "no token counts"));
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_plain_sums), cmocka_unit_test(nothing_changes),
        cmocka_unit_test(one_text_has_no_error), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
