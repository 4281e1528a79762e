/* test_process.c - weight processing and named weights against TransformerLens' own (the fixtures);
 * singular values. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/factored.h"
#include "names/named_weight.h"
#include "model/process.h"

static double weight_error(const struct model *m, const struct st_tensor *t)
{
    struct named_weight w;
    struct err e = {0};
    if (named_weight_find(m, t->name, &w, &e))
        fail_msg("%s", e.text);
    assert_int_equal(w.rank, t->rank);
    for (int i = 0; i < w.rank; i++)
        assert_int_equal(w.shape[i], t->shape[i]);
    float *mine = malloc(t->nbytes + 1);
    named_weight_read(m, &w, mine);
    double d = fixture_error(mine, t->data, t->nbytes / sizeof(float));
    free(mine);
    return d;
}

static double site_error(struct run *r, const char *name, const struct st_tensor *t)
{
    struct site_ref s;
    struct err e = {0};
    if (site_find(&run_model(r)->cfg,
                  strcmp(name, "logits") ? name : site_table[site_logits(&run_model(r)->cfg)].name,
                  &s, &e))
        fail_msg("%s", e.text);
    float *mine = malloc(t->nbytes + 1);
    assert_int_equal(run_read(r, s, 0, run_length(r), mine, NULL, &e), 0);
    double d = fixture_error(mine, t->data, t->nbytes / sizeof(float));
    free(mine);
    return d;
}

/* Everything that one file of processed values holds.  products: weights are defined up to sign,
 * compare activations only. */
static double check_file(const char *name, const char *file, unsigned flags, bool products)
{
    struct fixture f = fixture_open(name);
    struct checkpoint *st = fixture_file(name, file);
    struct err e = {0};
    double worst = 0;
    if (process_model(f.m, flags, &e))
        fail_msg("%s", e.text);
    struct run *r = fixture_run(&f, NULL, NULL, 0);
    for (size_t i = 0; i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        bool weight = !strstr(t->name, "hook_") && strcmp(t->name, "logits");
        if (weight && products &&
            (strstr(t->name, "attn.W_") || strstr(t->name, "attn.b_Q") ||
             strstr(t->name, "attn.b_K")))
            continue;
        double d = weight ? weight_error(f.m, t) : site_error(r, t->name, t);
        worst = fmax(worst, d);
        if (!(d <= 1e-5))
            fail_msg("%s %s: %s differs by %g of its largest value", name, file, t->name, d);
    }
    run_free(r);
    checkpoint_close(st);
    fixture_close(&f);
    return worst;
}

static void test_usual(void **state)
{
    (void)state;
    char **names = fixture_names_with("processed.safetensors");
    double worst = 0;
    for (char **name = names; *name; name++)
        worst = fmax(worst, check_file(*name, "processed.safetensors", PROCESS_USUAL, false));
    fixture_names_free(names);
    print_message("largest error of a processed weight or activation: %.2g\n", worst);
}

static void test_steps(void **state)
{
    (void)state;
    static const char *const names[] = {"fold_ln", "center_writing_weights", "center_unembed",
                                        "fold_value_biases", "refactor_factored_attn_matrices"};
    for (int i = 0; i < 5; i++) {
        char file[100], text[100];
        unsigned flags;
        snprintf(file, sizeof file, "processed.%s.safetensors", names[i]);
        assert_int_equal(process_parse(names[i], &flags, NULL), 0);
        assert_string_equal(process_text(flags, text, sizeof text), names[i]);
        check_file("gpt2_bare", file, flags, flags == PROCESS_REFACTOR);
    }
}

/* Raw weights read where they lie: those that centring the unembedding leaves alone. */
static void test_raw_weights(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2_bare");
    struct checkpoint *st = fixture_file("gpt2_bare", "processed.center_unembed.safetensors");
    for (size_t i = 0; i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        if (strstr(t->name, "unembed") || !strcmp(t->name, "logits"))
            continue;
        if (weight_error(f.m, t) > 0)
            fail_msg("%s differs by %g", t->name, weight_error(f.m, t));
    }
    checkpoint_close(st);
    fixture_close(&f);
}

/* Refactored heads keep their query-key and value-output products. */
static void test_refactor_products(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2_bare"), g = fixture_open("gpt2_bare");
    struct err e = {0};
    assert_int_equal(process_model(g.m, PROCESS_REFACTOR, &e), 0);
    static const char *const pairs[2][2] = {{"blocks.0.attn.W_Q", "blocks.0.attn.W_K"},
                                            {"blocks.0.attn.W_V", "blocks.0.attn.W_O"}};
    int64_t d = f.m->cfg.d_model, r = f.m->cfg.d_head, n = f.m->cfg.n_heads * d * r;
    for (int p = 0; p < 2; p++) {
        float *x[2][2];
        for (int k = 0; k < 4; k++) {
            struct named_weight w;
            const struct model *m = k / 2 ? g.m : f.m;
            assert_int_equal(named_weight_find(m, pairs[p][k % 2], &w, &e), 0);
            x[k / 2][k % 2] = malloc((size_t)n * sizeof(float));
            named_weight_read(m, &w, x[k / 2][k % 2]);
        }
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j < d; j++) {
                double sum[2] = {0};
                for (int k = 0; k < 2; k++)
                    for (int64_t q = 0; q < r; q++)
                        sum[k] += (double)x[k][0][i * r + q] *
                                  (double)(p ? x[k][1][q * d + j] : x[k][1][j * r + q]);
                if (!(fabs(sum[0] - sum[1]) <= 1e-5))
                    fail_msg("product %d [%d,%d]: %g before, %g after", p, (int)i, (int)j, sum[0],
                             sum[1]);
            }
        for (int k = 0; k < 4; k++)
            free(x[k / 2][k % 2]);
    }
    fixture_close(&f), fixture_close(&g);
}

static void test_factored(void **state)
{
    (void)state;
    enum { M = 9, N = 7, R = 4 };
    double a[M * R], b[N * R], u[M * R], s[R], v[N * R];
    for (int i = 0; i < M * R; i++)
        a[i] = sin(i * i * 1.7 + 0.3);
    for (int i = 0; i < N * R; i++)
        b[i] = cos(i * i * 0.9 + 0.1);
    assert_int_equal(factored_svd(a, M, b, N, R, u, s, v, NULL), 0);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double x = 0, y = 0;
            for (int k = 0; k < R; k++)
                x += a[i * R + k] * b[j * R + k], y += u[i * R + k] * s[k] * v[j * R + k];
            assert_true(fabs(x - y) < 1e-12);
        }
    for (int k = 0; k < R; k++)
        for (int l = 0; l < R; l++) {
            double x = 0;
            for (int i = 0; i < M; i++)
                x += u[i * R + k] * u[i * R + l];
            if (!(fabs(x - (k == l)) < 1e-12))
                fail_msg("columns %d and %d: %g", k, l, x);
            assert_true(k == 0 || s[k - 1] >= s[k]);
        }
    struct err e = {0};
    assert_int_equal(factored_svd(a, 3, b, N, R, u, s, v, &e), ERR_BAD_INPUT);
}

static void test_refusals(void **state)
{
    (void)state;
    unsigned flags;
    struct err e = {0};
    assert_int_equal(process_parse("fold", &flags, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "fold_ln"));
    assert_int_equal(process_parse("", &flags, &e), ERR_USAGE);
    assert_int_equal(process_parse("fold_ln,center_unembed", &flags, &e), 0);
    assert_int_equal(flags, PROCESS_FOLD_LN | PROCESS_CENTER_UNEMBED);
    struct fixture f = fixture_open("llama");
    assert_int_equal(process_model(f.m, PROCESS_REFACTOR, &e), ERR_BAD_INPUT);
    struct named_weight w;
    assert_int_equal(named_weight_find(f.m, "blocks.0.attn.W_X", &w, &e), ERR_BAD_INPUT);
    assert_int_equal(named_weight_find(f.m, "pos_embed.W_pos", &w, &e), ERR_BAD_INPUT);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual),       cmocka_unit_test(test_steps),
        cmocka_unit_test(test_raw_weights), cmocka_unit_test(test_refactor_products),
        cmocka_unit_test(test_factored),    cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
