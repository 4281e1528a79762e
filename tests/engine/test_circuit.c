/* test_circuit.c - what follows from weights alone, against TransformerLens on the fixtures
 * (tests/fixtures/make_circuits.py), raw and processed: singular values and vectors, eigenvalues,
 * norms, corners, composition scores, directions read as tokens. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/circuit.h"
#include "base/factored.h"
#include "model/process.h"

enum { DH = 16, D = 64 }; /* at most, in the fixtures */

struct known {
    struct fixture f;
    struct checkpoint *st;
    const char *state; /* "raw" or "usual" */
};

static const float *want(const struct known *k, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", k->state, name);
    const struct st_tensor *t = checkpoint_find(k->st, full);
    assert_non_null(t);
    return t->data;
}

static void close_to(const char *what, const float *mine, const float *ref, size_t n, double limit)
{
    double d = fixture_error(mine, ref, n);
    if (!(d <= limit))
        fail_msg("%s differs by %g", what, d);
}

static void each_model(void (*check)(struct known *))
{
    char **models = fixture_names_with("circuits.safetensors");
    for (char **model = models; *model; model++)
        for (int usual = 0; usual < 2; usual++) {
            struct known k = {.f = fixture_open(*model),
                              .st = fixture_file(*model, "circuits.safetensors"),
                              .state = usual ? "usual" : "raw"};
            struct err e = {0};
            if (usual)
                assert_int_equal(process_model(k.f.m, PROCESS_USUAL, &e), 0);
            check(&k);
            checkpoint_close(k.st);
            fixture_close(&k.f);
        }
    fixture_names_free(models);
}

static void check_composition(struct known *k)
{
    const struct config *c = &k->f.m->cfg;
    size_t n = (size_t)(c->n_layers * c->n_heads) * (size_t)(c->n_layers * c->n_heads);
    float *mine = malloc(n * sizeof *mine);
    for (int mode = 0; mode < COMPOSITION_COUNT; mode++) {
        struct err e = {0};
        char name[32];
        snprintf(name, sizeof name, "composition.%c", "QKV"[mode]);
        assert_int_equal(circuit_composition(k->f.m, (enum composition)mode, mine, &e), 0);
        close_to(name, mine, want(k, name), n, 1e-5);
        int above = 0;
        for (size_t i = 0; i < n; i++)
            above += mine[i] > 0;
        assert_int_equal(above, c->n_heads * c->n_heads * c->n_layers * (c->n_layers - 1) / 2);
    }
    free(mine);
}

static void test_composition(void **state)
{
    (void)state;
    each_model(check_composition);
}

/* Both products of every head. */
static void check_heads(struct known *k)
{
    static const char *const kinds[2] = {"QK", "OV"};
    const struct config *c = &k->f.m->cfg;
    int64_t d = c->d_model, r = c->d_head;
    double a[D * DH], b[D * DH], u[D * DH], s[DH], v[D * DH], re[DH], im[DH];
    assert_true(d <= D && r <= DH);
    for (int kind = 0; kind < 2; kind++)
        for (int32_t l = 0; l < c->n_layers; l++)
            for (int32_t h = 0; h < c->n_heads; h++) {
                struct err e = {0};
                float sf[DH], eig[2 * DH], corner[4] = {0}, norm;
                char name[32];
                int64_t at = l * c->n_heads + h;
                assert_int_equal(circuit_head(k->f.m, (enum circuit_kind)kind, l, h, a, b, &e), 0);
                assert_int_equal(factored_svd(a, d, b, d, r, u, s, v, &e), 0);
                assert_int_equal(factored_eigenvalues(a, b, d, r, re, im, &e), 0);
                for (int i = 0; i < r; i++)
                    sf[i] = (float)s[i], eig[2 * i] = (float)re[i], eig[2 * i + 1] = (float)im[i];
                norm = (float)factored_norm(a, d, b, d, r);
                for (int i = 0; i < 4; i++)
                    for (int64_t x = 0; x < r; x++)
                        corner[i] += (float)(a[i / 2 * r + x] * b[i % 2 * r + x]);
                snprintf(name, sizeof name, "%s.S", kinds[kind]);
                close_to(name, sf, want(k, name) + at * r, (size_t)r, 1e-5);
                snprintf(name, sizeof name, "%s.norm", kinds[kind]);
                close_to(name, &norm, want(k, name) + at, 1, 1e-5);
                snprintf(name, sizeof name, "%s.eig", kinds[kind]);
                close_to(name, eig, want(k, name) + at * r * 2, (size_t)(2 * r), 1e-4);
                snprintf(name, sizeof name, "%s.corner", kinds[kind]);
                close_to(name, corner, want(k, name) + at * 4, 4, 1e-5);
            }
}

static void test_heads(void **state)
{
    (void)state;
    each_model(check_heads);
}

static void check_full(struct known *k)
{
    const struct config *c = &k->f.m->cfg;
    int64_t d = c->d_model, r = c->d_head;
    double tokens[D * D], a[D * DH], b[D * DH], through[D * DH], re[DH], im[DH];
    struct err e = {0};
    assert_int_equal(circuit_tokens(k->f.m, tokens, &e), 0);
    for (int32_t l = 0; l < c->n_layers; l++)
        for (int32_t h = 0; h < c->n_heads; h++) {
            float eig[2 * DH];
            assert_int_equal(circuit_head(k->f.m, CIRCUIT_OV, l, h, a, b, &e), 0);
            circuit_through_tokens(tokens, b, d, r, through);
            assert_int_equal(factored_eigenvalues(a, through, d, r, re, im, &e), 0);
            for (int i = 0; i < r; i++)
                eig[2 * i] = (float)re[i], eig[2 * i + 1] = (float)im[i];
            close_to("full.eig", eig, want(k, "full.eig") + (l * c->n_heads + h) * r * 2,
                     (size_t)(2 * r), 1e-4);
        }
}

static void test_full_circuit(void **state)
{
    (void)state;
    each_model(check_full);
}

/* Singular vectors up to sign, and what the first says in tokens. */
static void check_vectors(struct known *k)
{
    enum { TOP = 5 };
    const struct config *c = &k->f.m->cfg;
    int64_t d = c->d_model, r = c->d_head;
    double a[D * DH], b[D * DH], u[D * DH], s[DH], v[D * DH];
    float uf[D * DH], vf[D * DH], direction[D];
    struct err e = {0};
    struct lens_top top[TOP], bottom[TOP];
    assert_int_equal(circuit_head(k->f.m, CIRCUIT_OV, 0, 0, a, b, &e), 0);
    assert_int_equal(factored_svd(a, d, b, d, r, u, s, v, &e), 0);
    for (int64_t i = 0; i < d * r; i++)
        uf[i] = (float)fabs(u[i]), vf[i] = (float)fabs(v[i]);
    close_to("OV.left", uf, want(k, "OV.left"), (size_t)(d * r), 1e-4);
    close_to("OV.right", vf, want(k, "OV.right"), (size_t)(d * r), 1e-4);
    for (int64_t i = 0; i < d; i++)
        direction[i] = (float)v[i * r];
    assert_int_equal(circuit_read(k->f.m, CIRCUIT_UNEMBED, direction, 1, TOP, top, bottom, &e), 0);
    const float *ref = want(k, "svd_read");
    float most = 0;
    for (int32_t i = 0; i < c->d_vocab; i++)
        most = fmaxf(most, ref[i]);
    for (int i = 0; i < TOP; i++) {
        assert_true(fabsf(fabsf(top[i].logit) - ref[top[i].id]) <= 1e-5f * most);
        assert_true(fabsf(fabsf(bottom[i].logit) - ref[bottom[i].id]) <= 1e-5f * most);
        assert_true(i == 0 ||
                    (top[i].logit <= top[i - 1].logit && bottom[i].logit >= bottom[i - 1].logit));
    }
    /* the largest of all is at one end or the other */
    assert_true(fabsf(fmaxf(fabsf(top[0].logit), fabsf(bottom[0].logit)) - most) <= 1e-5f * most);
}

static void test_vectors(void **state)
{
    (void)state;
    each_model(check_vectors);
}

/* An embedding's own token lies along it most, when embeddings are orthogonal enough; both sides of
 * a basis vector by hand. */
static void test_reading_by_hand(void **state)
{
    (void)state;
    struct fixture f = fixture_open("llama");
    const struct config *c = &f.m->cfg;
    const struct kn_view *w[2] = {model_weight(f.m, 0, W_U), model_weight(f.m, 0, W_E)};
    float x[3 * D] = {0};
    struct err e = {0};
    struct lens_top top[6], bottom[6];
    for (int i = 0; i < 3; i++)
        x[i * c->d_model + 4 * i] = 1;
    for (int side = 0; side < 2; side++) {
        assert_int_equal(circuit_read(f.m, (enum circuit_side)side, x, 3, 2, top, bottom, &e), 0);
        for (int i = 0; i < 3; i++) {
            float best = -INFINITY, least = INFINITY;
            for (int32_t t = 0; t < c->d_vocab; t++) {
                float v = kn_load(w[side], t * w[side]->stride[0] + 4 * i * w[side]->stride[1]);
                best = fmaxf(best, v), least = fminf(least, v);
            }
            assert_float_equal(top[2 * i].logit, best, 1e-6f);
            assert_float_equal(bottom[2 * i].logit, least, 1e-6f);
        }
    }
    assert_int_equal(circuit_read(f.m, CIRCUIT_UNEMBED, x, 1, 0, top, bottom, &e), ERR_BAD_INPUT);
    assert_int_equal(circuit_read(f.m, CIRCUIT_UNEMBED, x, 1, 52, top, bottom, &e), ERR_BAD_INPUT);
    x[0] = NAN;
    assert_int_equal(circuit_read(f.m, CIRCUIT_UNEMBED, x, 1, 2, top, bottom, &e), ERR_BAD_INPUT);
    double a[D * DH];
    assert_int_equal(circuit_head(f.m, CIRCUIT_QK, 2, 0, a, a, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "layers 0..1"));
    fixture_close(&f);
}

/* Token t's row of W_U or W_E as a direction of a stream that is wider, in double: out[d_model]. */
static void widened(const struct model *m, int side, int32_t t, double *out)
{
    const struct config *c = &m->cfg;
    const struct kn_view *w = model_weight(m, 0, side ? W_E : W_U),
                         *p = model_weight(m, 0, side ? W_PROJECT_IN : W_PROJECT_OUT);
    for (int i = 0; i < c->d_model; i++) {
        out[i] = 0;
        for (int k = 0; k < c->d_embed; k++)
            out[i] += (double)kn_load(w, t * w->stride[0] + k * w->stride[1]) *
                      (double)kn_load(p, side ? i * p->stride[0] + k * p->stride[1]
                                              : k * p->stride[0] + i * p->stride[1]);
    }
}

/* Embeddings that are narrower than the stream: both sides, and dir(), go through the projections.
 */
static void test_projected_embeddings(void **state)
{
    (void)state;
    struct fixture f = fixture_open("opt_post_norm");
    const struct config *c = &f.m->cfg;
    struct err e = {0};
    struct lens_top top[2], bottom[2];
    float x[D] = {0};
    double row[D], other[D];
    assert_true(c->d_embed < c->d_model && c->d_model <= D);
    x[4] = 1, x[7] = -0.5f;
    for (int side = 0; side < 2; side++) {
        double best = -INFINITY, least = INFINITY;
        assert_int_equal(circuit_read(f.m, (enum circuit_side)side, x, 1, 2, top, bottom, &e), 0);
        for (int32_t t = 0; t < c->d_vocab; t++) {
            widened(f.m, side, t, row);
            best = fmax(best, row[4] - 0.5 * row[7]), least = fmin(least, row[4] - 0.5 * row[7]);
        }
        assert_float_equal(top[0].logit, (float)best, 1e-5f);
        assert_float_equal(bottom[0].logit, (float)least, 1e-5f);
    }
    double square[D * D];
    assert_int_equal(circuit_tokens(f.m, square, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "use OV alone"));

    const char *edit[] = {"blocks.0.hook_resid_pre = dir(5, 7)"};
    struct edit_program *p = fixture_program(f.m, f.n, edit, 1);
    struct run *base = fixture_run(&f, NULL, NULL, 1 << 20),
               *fork = fixture_run(&f, base, p, 1 << 20);
    assert_int_equal(run_read(fork, (struct site_ref){SITE_RESID_PRE, 0}, 0, 1, x, NULL, &e), 0);
    widened(f.m, 0, 5, row), widened(f.m, 0, 7, other);
    double length = 0;
    for (int i = 0; i < c->d_model; i++)
        length += (row[i] - other[i]) * (row[i] - other[i]);
    for (int i = 0; i < c->d_model; i++)
        assert_float_equal(x[i], (float)((row[i] - other[i]) / sqrt(length)), 1e-6f);
    run_free(fork), run_free(base);
    edit_program_free(p);
    fixture_close(&f);
}

/* A triangle whose product is the matrix, also where it has no full rank. */
static void test_cholesky(void **state)
{
    (void)state;
    enum { R = 4 };
    double x[R][2] = {{1, 2}, {0.5, -1}, {3, 0}, {-2, 1}}, g[R * R], l[R * R];
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            g[i * R + j] = x[i][0] * x[j][0] + x[i][1] * x[j][1];
    factored_cholesky(g, R, l);
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++) {
            double sum = 0;
            for (int k = 0; k < R; k++)
                sum += l[i * R + k] * l[j * R + k];
            assert_true(fabs(sum - g[i * R + j]) < 1e-12);
            assert_true(j <= i || l[i * R + j] == 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_composition),     cmocka_unit_test(test_heads),
        cmocka_unit_test(test_full_circuit),    cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_reading_by_hand), cmocka_unit_test(test_projected_embeddings),
        cmocka_unit_test(test_cholesky),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
