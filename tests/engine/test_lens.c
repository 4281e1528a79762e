/* test_lens.c - the lens and the metrics against plain double-precision sums, on the fixture
 * models. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/lens.h"

enum { K = 4 };

static double weight(const struct kn_view *w, int64_t i, int64_t j)
{
    return kn_load(w, i * w->stride[0] + (w->ndim > 1 ? j * w->stride[1] : 0));
}

/* The layer of a masked language model's head, with GELU. */
static void plain_dense(const struct model *m, const float *x, double *out)
{
    const struct kn_view *w = model_weight(m, 0, W_MLM), *b = model_weight(m, 0, B_MLM);
    for (int i = 0; i < m->cfg.d_model; i++) {
        double sum = weight(b, i, 0);
        for (int k = 0; k < m->cfg.d_model; k++)
            sum += x[k] * weight(w, i, k);
        out[i] = 0.5 * sum * erfc(-sum / sqrt(2));
    }
}

/* Final norm and unembedding of one residual row, in double. */
static void plain_lens(const struct model *m, const float *resid, double *logits)
{
    const struct config *c = &m->cfg;
    bool mlm = c->mlm_head;
    const struct kn_view *w = model_weight(m, 0, mlm ? W_MLM_LN : W_LNF),
                         *b = model_weight(m, 0, mlm ? B_MLM_LN : B_LNF),
                         *u = model_weight(m, 0, W_U), *bu = model_weight(m, 0, B_U),
                         *out = model_weight(m, 0, W_PROJECT_OUT);
    double mean = 0, square = 0, *y = malloc(2 * (size_t)c->d_model * sizeof *y),
           *x = y + c->d_model;
    for (int i = 0; i < c->d_model; i++)
        x[i] = resid[i];
    if (mlm)
        plain_dense(m, resid, x);
    for (int i = 0; i < c->d_model && c->norm_center; i++)
        mean += x[i] / (double)c->d_model;
    for (int i = 0; i < c->d_model; i++)
        square += (x[i] - mean) * (x[i] - mean) / c->d_model;
    for (int i = 0; i < c->d_model; i++)
        y[i] = !w->ndim ? x[i]
                        : (x[i] - mean) / sqrt(square + c->norm_eps) *
                                  (weight(w, i, 0) + c->norm_offset) +
                              (b->ndim ? weight(b, i, 0) : 0);
    for (int i = 0; i < c->d_embed && out->ndim; i++) {
        x[i] = 0;
        for (int k = 0; k < c->d_model; k++)
            x[i] += y[k] * weight(out, i, k);
    }
    const double *given = out->ndim ? x : y;
    for (int v = 0; v < c->d_vocab; v++) {
        logits[v] = bu->ndim ? weight(bu, v, 0) : 0;
        for (int i = 0; i < c->d_embed; i++)
            logits[v] += given[i] * weight(u, v, i);
        if (c->final_softcap > 0)
            logits[v] = c->final_softcap * tanh(logits[v] / c->final_softcap);
    }
    free(y);
}

static double plain_lse(const double *x, int n)
{
    double max = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

static double plain_entropy(const double *x, int n)
{
    double lse = plain_lse(x, n), h = 0;
    for (int i = 0; i < n; i++)
        h -= exp(x[i] - lse) * (x[i] - lse);
    return h;
}

static void near(double got, double expected, double limit, const char *what)
{
    if (!(fabs(got - expected) <= limit * (1 + fabs(expected))))
        fail_msg("%s: %.9g, expected %.9g", what, got, expected);
}

/* One cell against double precision.  Ranks and order are compared where no near tie decides them.
 */
static void check_cell(const double *x, int n, int target, const struct lens_cell *c,
                       const struct lens_top *top)
{
    near(c->lse, plain_lse(x, n), 2e-6, "log-sum-exp");
    near(c->entropy, plain_entropy(x, n), 5e-6, "entropy");
    near(c->target_logit, x[target], 2e-5, "target logit");
    int above = 0, close = 0;
    for (int v = 0; v < n; v++) {
        above += v != target && x[v] > x[target];
        close += v != target && fabs(x[v] - x[target]) < 1e-5;
    }
    if (!close)
        assert_int_equal(c->target_rank, above);
    for (int k = 0; k < K; k++) {
        near(top[k].logit, x[top[k].id], 2e-5, "top logit");
        assert_true(k == 0 || top[k].logit <= top[k - 1].logit);
        int better = 0;
        for (int v = 0; v < n; v++)
            better += x[v] > x[top[k].id] + 1e-5;
        assert_true(better <= k);
    }
}

static void lens_of_model(const char *name)
{
    struct fixture f = fixture_open(name);
    struct run *r = fixture_run(&f, NULL, NULL, 1 << 20);
    int vocab = f.m->cfg.d_vocab, target = vocab / 2;
    size_t n = (size_t)f.n;
    double *x = malloc((size_t)vocab * sizeof *x);
    float *resid = malloc(n * (size_t)f.m->cfg.d_model * sizeof *resid);
    struct lens_cell *cells = malloc(n * sizeof *cells), one;
    struct lens_top *top = malloc(n * K * sizeof *top), one_top[K];
    for (int32_t c = 0; c <= f.m->cfg.n_layers; c++) {
        assert_int_equal(lens_column(r, c, 0, f.n, K, target, cells, top, NULL), 0);
        assert_int_equal(run_read(r, run_lens_site(f.m, c), 0, f.n, resid, NULL, NULL), 0);
        for (int32_t p = 0; p < f.n; p++) {
            plain_lens(f.m, resid + p * f.m->cfg.d_model, x);
            check_cell(x, vocab, target, &cells[p], top + p * K);
            /* A cell asked for alone has the same bits. */
            assert_int_equal(
                lens_cells(r, &(struct lens_at){c, p}, 1, K, target, &one, one_top, NULL), 0);
            assert_memory_equal(&one, &cells[p], sizeof one);
            assert_memory_equal(one_top, top + p * K, sizeof one_top);
        }
    }
    /* The last column is what the model says. */
    struct lens_cell *out = malloc(n * sizeof *out);
    struct lens_top *out_top = malloc(n * K * sizeof *out_top);
    assert_int_equal(lens_output(r, 0, f.n, K, target, out, out_top, NULL), 0);
    assert_memory_equal(out, cells, n * sizeof *out);
    assert_memory_equal(out_top, top, n * K * sizeof *out_top);
    free(x), free(resid), free(cells), free(top), free(out), free(out_top);
    run_free(r);
    fixture_close(&f);
}

/* Loss and KL against sums over the reference's own logits. */
static void metrics_of_model(const char *name)
{
    struct fixture f = fixture_open(name);
    struct run *r = fixture_run(&f, NULL, NULL, 1 << 20);
    int vocab = f.m->cfg.d_vocab;
    bool encoder = f.m->cfg.bidirectional;
    const float *ref = checkpoint_find(f.ref, "logits")->data;
    double *x = malloc((size_t)vocab * sizeof *x), sum = 0, loss, kl;
    float *per_token = malloc((size_t)f.n * sizeof *per_token);
    assert_int_equal(lens_loss(r, &loss, per_token, NULL), encoder ? ERR_BAD_INPUT : 0);
    for (int32_t p = 0; p + 1 < f.n && !encoder; p++) {
        for (int v = 0; v < vocab; v++)
            x[v] = ref[p * vocab + v];
        double expected = plain_lse(x, vocab) - x[f.tokens[p + 1]];
        near(per_token[p], expected, 1e-5, "loss of a token");
        sum += expected;
    }
    if (!encoder)
        near(loss, sum / (f.n - 1), 1e-5, "loss");

    const char *const edit = "blocks.0.hook_resid_post[-1, 0] += 3";
    struct edit_program *prog = fixture_program(f.m, f.n, &edit, 1);
    struct run *fork = fixture_run(&f, r, prog, 0);
    float *a = malloc(2 * (size_t)vocab * sizeof *a), *b = a + vocab;
    assert_int_equal(lens_logits(r, f.n - 1, a, NULL), 0);
    assert_int_equal(lens_logits(fork, f.n - 1, b, NULL), 0);
    double *y = malloc((size_t)vocab * sizeof *y), expected = 0;
    for (int v = 0; v < vocab; v++)
        x[v] = a[v], y[v] = b[v];
    double lx = plain_lse(x, vocab), ly = plain_lse(y, vocab);
    for (int v = 0; v < vocab; v++)
        expected += exp(x[v] - lx) * (x[v] - lx - (y[v] - ly));
    assert_int_equal(lens_kl(r, fork, f.n - 1, &kl, NULL), 0);
    near(kl, expected, 1e-12, "KL");
    assert_true(kl > 0);
    assert_int_equal(lens_kl(r, fork, 0, &kl, NULL), 0); /* the edit cannot reach row 0 */
    assert_true((kl == 0) != encoder);
    edit_program_free(prog);
    run_free(fork);
    run_free(r);
    free(x), free(y), free(a), free(per_token);
    fixture_close(&f);
}

static void norms_of_model(const char *name)
{
    static const enum site_id sites[] = {SITE_RESID_POST, SITE_Z,      SITE_V,
                                         SITE_POST,       SITE_RESULT, SITE_LN1_SCALE};
    struct fixture f = fixture_open(name);
    struct run *r = fixture_run(&f, NULL, NULL, 1 << 20);
    float *norm = malloc((size_t)f.n * sizeof *norm);
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        struct site_ref s = {sites[i], f.m->cfg.n_layers - 1};
        int64_t shape[SITE_RANK_MAX], d = 1;
        if (s.id == SITE_POST && f.m->cfg.n_moe)
            s.id = SITE_EXPERT_POST;
        int rank = site_shape(&f.m->cfg, s.id, f.n, shape);
        for (int k = 1; k < rank; k++)
            d *= shape[k];
        float *v = malloc((size_t)(f.n * d) * sizeof *v);
        assert_int_equal(run_read(r, s, 0, f.n, v, NULL, NULL), 0);
        assert_int_equal(lens_norms(r, s, 1, f.n, norm, NULL), 0);
        for (int32_t p = 1; p < f.n; p++) {
            double square = 0;
            for (int64_t k = 0; k < d; k++)
                square += (double)v[p * d + k] * v[p * d + k];
            near(norm[p - 1], sqrt(square), 1e-6, "norm");
        }
        free(v);
    }
    struct err e = {0};
    assert_int_equal(lens_norms(r, (struct site_ref){SITE_PATTERN, 0}, 0, f.n, norm, &e),
                     ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "blocks.0.attn.hook_pattern"));
    free(norm);
    run_free(r);
    fixture_close(&f);
}

static void on_every_family(void (*test)(const char *name))
{
    char **names = fixture_names_with("weight_edits.safetensors");
    assert_non_null(names[0]);
    for (int i = 0; names[i]; i++)
        test(names[i]);
    fixture_names_free(names);
}

static void lens_is_norm_and_unembedding(void **state)
{
    (void)state;
    on_every_family(lens_of_model);
}

static void loss_and_kl_are_the_reference_s(void **state)
{
    (void)state;
    on_every_family(metrics_of_model);
}

static void norms_are_euclidean(void **state)
{
    (void)state;
    on_every_family(norms_of_model);
}

static void statistics_leave_out_what_is_not_finite(void **state)
{
    (void)state;
    const float v[] = {1, 2, NAN, 6, INFINITY, -INFINITY, -INFINITY};
    struct lens_stats s;
    lens_stats_values(v, 7, false, &s);
    assert_true(s.n == 7 && s.n_nan == 1 && s.n_inf == 3);
    near(s.mean, 3, 1e-15, "mean");
    near(s.std, sqrt(14.0 / 3), 1e-15, "std");
    assert_true(s.min == -INFINITY && s.max == INFINITY);
    lens_stats_values(v, 7, true, &s); /* masked scores are no alarm */
    assert_true(s.n_inf == 1 && s.min == -INFINITY);
    lens_stats_values(v + 5, 2, true, &s);
    assert_true(isnan(s.mean) && isnan(s.std) && isnan(s.max) && s.n_inf == 0);
    /* A large mean does not eat the spread. */
    const float far[] = {16777214, 16777216};
    lens_stats_values(far, 2, false, &s);
    near(s.std, 1, 1e-12, "std far from zero");
}

static void statistics_of_a_site_are_those_of_its_values(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct run *r = fixture_run(&f, NULL, NULL, 1 << 20);
    struct lens_stats a, b;
    size_t n = (size_t)f.m->cfg.n_heads * (size_t)f.n * (size_t)f.n;
    float *v = malloc(n * sizeof *v);
    struct site_ref s = {SITE_ATTN_SCORES, 1};
    assert_int_equal(run_read(r, s, 0, f.n, v, NULL, NULL), 0);
    lens_stats_values(v, (int64_t)n, true, &a);
    assert_int_equal(lens_stats(r, s, 0, f.n, &b, NULL), 0);
    assert_true(a.n == b.n && a.min == -INFINITY && b.min == -INFINITY && b.n_inf == 0);
    near(b.mean, a.mean, 1e-12, "mean");
    near(b.std, a.std, 1e-12, "std");
    free(v);
    run_free(r);
    fixture_close(&f);
}

static void head_scores_are_means_of_mass(void **state)
{
    (void)state;
    /* tokens a b a b: duplicates at 2 (->0) and 3 (->1); what follows them is 1 and 2. */
    const int32_t tokens[] = {7, 8, 7, 8};
    const float p[16] = {1, 0, 0, 0, .25f, .75f, 0, 0, .5f, .25f, .25f, 0, .125f, .25f, .5f, .125f};
    struct lens_head s;
    lens_head_scores(p, 4, tokens, 4, &s);
    near(s.previous, (.25 + .25 + .5) / 3, 1e-6, "previous");
    near(s.duplicate, (.5 + .25) / 2, 1e-6, "duplicate");
    near(s.induction, (.25 + .5) / 2, 1e-6, "induction");
    near(s.first, (.25 + .5 + .125) / 3, 1e-6, "first");
    near(s.self, (1 + .75 + .25 + .125) / 4, 1e-6, "self");
    assert_int_equal(s.n_repeats, 2);
    double h1 = -(.25 * log(.25) + .75 * log(.75)), h2 = -(.5 * log(.5) + 2 * .25 * log(.25)),
           h3 = -(2 * .125 * log(.125) + .25 * log(.25) + .5 * log(.5));
    near(s.entropy, (h1 + h2 + h3) / 4, 1e-6, "entropy");
    lens_head_scores(p, 4, tokens, 1, &s);
    assert_true(isnan(s.previous) && isnan(s.duplicate) && isnan(s.induction) && isnan(s.first) &&
                s.entropy == 0 && s.n_repeats == 0);
    const float broken[4] = {1, 0, NAN, NAN};
    lens_head_scores(broken, 2, tokens, 2, &s);
    assert_true(isnan(s.previous) && isnan(s.first) && isnan(s.self) && isnan(s.entropy));
    assert_true(s.n_repeats == 0 && isnan(s.duplicate));
}

/* Divergence and cosine of every column, from the logits and the rows themselves. */
static void columns_against_the_last(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct run *r = fixture_run(&f, NULL, NULL, 1 << 20);
    int32_t vocab = f.m->cfg.d_vocab, layers = f.m->cfg.n_layers, d = f.m->cfg.d_model;
    int32_t *ids = malloc((size_t)vocab * sizeof *ids);
    float *lens = malloc(2 * (size_t)vocab * sizeof *lens), *own = lens + vocab,
          *x = malloc(2 * (size_t)d * sizeof *x), *last = x + d,
          *kl = malloc((size_t)f.n * sizeof *kl), *cosine = malloc((size_t)f.n * sizeof *cosine);
    for (int32_t i = 0; i < vocab; i++)
        ids[i] = i;
    for (int32_t c = 0; c <= layers; c++) {
        assert_int_equal(lens_kl_final(r, c, 0, f.n, kl, NULL), 0);
        assert_int_equal(lens_cosines(r, c, 0, f.n, cosine, NULL), 0);
        for (int32_t row = 0; row < f.n; row++) {
            double xy = 0, xx = 0, yy = 0;
            assert_int_equal(lens_pick(r, (struct lens_at){c, row}, ids, vocab, lens, NULL), 0);
            assert_int_equal(lens_logits(r, row, own, NULL), 0);
            near((double)kl[row], lens_kl_logits(own, lens, vocab), 1e-5, "KL");
            assert_true(c < layers ? kl[row] > 0 : kl[row] < 1e-6f);
            assert_int_equal(run_read(r, run_lens_site(f.m, c), row, row + 1, x, NULL, NULL), 0);
            assert_int_equal(
                run_read(r, run_lens_site(f.m, layers), row, row + 1, last, NULL, NULL), 0);
            for (int32_t k = 0; k < d; k++)
                xy += (double)x[k] * (double)last[k], xx += (double)x[k] * (double)x[k],
                    yy += (double)last[k] * (double)last[k];
            near((double)cosine[row], xy / sqrt(xx * yy), 1e-6, "cosine");
        }
    }
    free(ids), free(lens), free(x), free(kl), free(cosine);
    run_free(r);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lens_is_norm_and_unembedding),
        cmocka_unit_test(loss_and_kl_are_the_reference_s),
        cmocka_unit_test(norms_are_euclidean),
        cmocka_unit_test(statistics_leave_out_what_is_not_finite),
        cmocka_unit_test(statistics_of_a_site_are_those_of_its_values),
        cmocka_unit_test(head_scores_are_means_of_mass),
        cmocka_unit_test(columns_against_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
