/* test_heads.c - what the views of heads and neurons show, against the values that they are made
 * of.
 */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/copying.h"
#include "measure/heads.h"
#include "measure/neurons.h"
#include "names/named_weight.h"

static void near(float a, float b)
{
    if (!(fabsf(a - b) <= 1e-4f * (1 + fabsf(b))))
        fail_msg("%.9g is not %.9g", (double)a, (double)b);
}

/* Of every size: each element is the largest of its part. */
static void small_patterns_keep_the_largest(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct run *r = fixture_run(&f, NULL, NULL, 1 << 20);
    int32_t n = f.n, heads = f.m->cfg.n_heads;
    float *all = malloc((size_t)(heads * n * n) * sizeof *all),
          *small = malloc((size_t)(heads * n * n) * sizeof *small);
    assert_int_equal(run_read(r, (struct site_ref){SITE_PATTERN, 1}, 0, n, all, NULL, NULL), 0);
    for (int32_t side = 1; side <= n; side++) {
        assert_int_equal(heads_small(r, 1, side, small, NULL), 0);
        for (int32_t h = 0; h < heads; h++)
            for (int32_t i = 0; i < side; i++)
                for (int32_t j = 0; j < side; j++) {
                    float most = 0;
                    for (int32_t d = n * i / side; d < n * (i + 1) / side; d++)
                        for (int32_t s = n * j / side; s < n * (j + 1) / side; s++)
                            most = fmaxf(most, all[(h * n + d) * n + s]);
                    assert_true(fabsf(small[(h * side + i) * side + j] - most) == 0);
                }
    }
    free(all), free(small);
    run_free(r);
    fixture_close(&f);
}

/* z W_O is hook_result. */
static void heads_say_their_result(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "llama", "gpt_neox", "gemma2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct fixture f = fixture_open(names[i]);
        struct run *r = fixture_run(&f, NULL, NULL, 1 << 20);
        int32_t layer = f.m->cfg.n_layers - 1, row = f.n / 2;
        int64_t d = f.m->cfg.d_model;
        float *result = malloc((size_t)(f.m->cfg.n_heads * d) * sizeof *result);
        struct lens_top got[5], want[5], least[5];
        assert_int_equal(
            run_read(r, (struct site_ref){SITE_RESULT, layer}, row, row + 1, result, NULL, NULL),
            0);
        for (int32_t h = 0; h < f.m->cfg.n_heads; h++) {
            assert_int_equal(heads_says(r, layer, h, row, 5, got, NULL), 0);
            assert_int_equal(
                circuit_read(f.m, CIRCUIT_UNEMBED, result + h * d, 1, 5, want, least, NULL), 0);
            for (int k = 0; k < 5; k++) {
                assert_int_equal(got[k].id, want[k].id);
                near(got[k].logit, want[k].logit);
            }
        }
        free(result);
        run_free(r);
        fixture_close(&f);
    }
}

/* Rows [row0, row1) of hook_post, by looking at all of it. */
static void check_neurons(const struct fixture *f, struct run *r, int32_t layer, int32_t row0,
                          int32_t row1)
{
    enum { K = 7 };
    int32_t width = f->m->cfg.d_mlp;
    int64_t d = f->m->cfg.d_model;
    struct lens_neuron got[K];
    struct lens_top top[NEURON_TOKENS], least[NEURON_TOKENS];
    float *v = malloc((size_t)(f->n * width) * sizeof *v),
          *w = malloc((size_t)(width * d) * sizeof *w);
    char name[LIMIT_NAME];
    struct named_weight out;
    snprintf(name, sizeof name, "blocks.%d.mlp.W_out", (int)layer);
    assert_int_equal(named_weight_find(f->m, name, &out, NULL), 0);
    named_weight_read(f->m, &out, w);
    assert_int_equal(run_read(r, (struct site_ref){SITE_POST, layer}, 0, f->n, v, NULL, NULL), 0);
    assert_int_equal(lens_neurons(r, layer, row0, row1, K, got, NULL), 0);
    for (int i = 0; i < K; i++) {
        int better = 0; /* neurons that are as active or more anywhere there */
        for (int32_t k = 0; k < width; k++) {
            float most = 0;
            for (int32_t row = row0; row < row1; row++)
                most = fmaxf(most, fabsf(v[row * width + k]));
            better += most > fabsf(got[i].value);
        }
        assert_int_equal(better, i);
        assert_in_range(got[i].row, row0, row1 - 1);
        assert_true(fabsf(v[got[i].row * width + got[i].neuron] - got[i].value) == 0);
        assert_int_equal(circuit_read(f->m, CIRCUIT_UNEMBED, w + got[i].neuron * d, 1,
                                      NEURON_TOKENS, top, least, NULL),
                         0);
        for (int t = 0; t < NEURON_TOKENS; t++) {
            assert_int_equal(got[i].says[t].id, top[t].id);
            assert_int_equal(got[i].against[t].id, least[t].id);
            near(got[i].says[t].logit, top[t].logit);
        }
    }
    free(v), free(w);
}

static void neurons_are_the_most_active(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "llama", "gpt_neox"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct fixture f = fixture_open(names[i]);
        struct run *r = fixture_run(&f, NULL, NULL, 1 << 20);
        check_neurons(&f, r, 0, 3, 4);
        check_neurons(&f, r, f.m->cfg.n_layers - 1, 0, f.n);
        run_free(r);
        fixture_close(&f);
    }
}

/* One head at a time and all at once; between -1 and 1. */
static void copying_is_of_every_head(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    const struct config *c = &f.m->cfg;
    double *tokens = malloc((size_t)(c->d_model * c->d_model) * sizeof *tokens), score;
    float *all = malloc((size_t)(c->n_layers * c->n_heads) * sizeof *all);
    assert_int_equal(circuit_tokens(f.m, tokens, NULL), 0);
    assert_int_equal(copying_scores(f.m, all, NULL), 0);
    for (int32_t l = 0; l < c->n_layers; l++)
        for (int32_t h = 0; h < c->n_heads; h++) {
            assert_int_equal(copying_head(f.m, tokens, l, h, NULL, &score, NULL), 0);
            assert_true(fabs(score - (double)all[l * c->n_heads + h]) < 1e-6 && fabs(score) <= 1);
        }
    free(tokens), free(all);
    fixture_close(&f);
}

/* A direction that is no number has tokens whose values are none: nothing else is refused for it.
 */
static void what_is_no_number_says_so(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    const struct config *c = &f.m->cfg;
    float *x = calloc((size_t)(2 * c->d_model), sizeof *x);
    struct lens_top top[2][3], bottom[2][3];
    x[0] = NAN;
    x[c->d_model] = 1;
    assert_int_equal(circuit_says(f.m, x, 2, 3, top[0], bottom[0], NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(top[0][i].id == i && isnan(top[0][i].logit));
        assert_true(bottom[0][i].id == i && isnan(bottom[0][i].logit));
        assert_true(isfinite(top[1][i].logit) && isfinite(bottom[1][i].logit));
    }
    free(x);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_patterns_keep_the_largest), cmocka_unit_test(heads_say_their_result),
        cmocka_unit_test(neurons_are_the_most_active), cmocka_unit_test(what_is_no_number_says_so),
        cmocka_unit_test(copying_is_of_every_head)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
