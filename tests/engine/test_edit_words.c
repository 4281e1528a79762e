/* test_edit_words.c - the words that bring numbers of their own: dir, file, project_out, noise,
 * from(RUN, pos=). */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../host_apply.h"
#include "names/named_weight.h"
#include "model/tensor_write.h"

enum { N = 9 };

static struct fixture f;

static int open_model(void **state)
{
    (void)state;
    f = fixture_open("gpt2");
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    fixture_close(&f);
    return 0;
}

/* One edit on a matrix [rows, columns] (or rank 3) of the site's shape for N positions. */
static void apply(const char *text, float *x, int32_t row0, int32_t row1)
{
    struct edit_program *p = fixture_program(f.m, N, &text, 1);
    int64_t shape[SITE_RANK_MAX], inner = 1;
    int rank = site_shape(&f.m->cfg, p->instrs[0].site.id, N, shape);
    for (int i = 1; i < rank; i++)
        inner *= shape[i];
    float *at = x + row0 * inner;
    struct kn_view v = rank == 2 ? kn_view2(at, KN_F32, row1 - row0, shape[1])
                                 : kn_view3(at, KN_F32, row1 - row0, shape[1], shape[2]);
    host_apply(&p->instrs[0], &v, row0, NULL);
    edit_program_free(p);
}

static void refused(const char *text, const char *want)
{
    struct edit *ed = NULL;
    struct edit_program *p = NULL;
    struct err e = {0};
    struct edit_context ctx = {.cfg = &f.m->cfg, .n_pos = N, .model = f.m};
    if (edit_parse(&ed, text, &e))
        fail_msg("%s: %s", text, e.text);
    assert_int_equal(edit_resolve(&p, &ed, NULL, 1, &ctx, &e), ERR_BAD_INPUT);
    if (!strstr(e.text, want))
        fail_msg("%s\n  said   %s\n  wanted %s", text, e.text, want);
    edit_free(ed);
}

/* W_U[:, a] - W_U[:, b] over its length, from the whole matrix. */
static double *direction(int a, int b)
{
    struct named_weight w;
    assert_int_equal(named_weight_find(f.m, "unembed.W_U", &w, NULL), 0);
    int64_t d = f.m->cfg.d_model, vocab = f.m->cfg.d_vocab;
    float *all = malloc((size_t)(d * vocab) * sizeof *all);
    double *out = malloc((size_t)d * sizeof *out), sum = 0;
    named_weight_read(f.m, &w, all);
    for (int64_t i = 0; i < d; i++) {
        out[i] = (double)all[i * vocab + a] - (double)all[i * vocab + b];
        sum += out[i] * out[i];
    }
    for (int64_t i = 0; i < d; i++)
        out[i] /= sqrt(sum);
    free(all);
    return out;
}

static void dir_is_a_unit_difference(void **state)
{
    (void)state;
    int32_t d = f.m->cfg.d_model;
    float *x = calloc((size_t)(N * d), sizeof *x), *y = calloc((size_t)(N * d), sizeof *y);
    double *u = direction(5, 7);
    apply("blocks.0.hook_resid_post[4:] += 3 * dir(5, 7)", x, 0, N);
    apply("blocks.0.hook_resid_post[:, {1,4}] -= dir(7, 5)", y, 0, N);
    for (int32_t i = 0; i < N * d; i++) {
        bool some = i % d == 1 || i % d == 4;
        assert_true(fabs((double)x[i] - (i / d >= 4 ? 3 * u[i % d] : 0)) < 1e-6);
        assert_true(fabs((double)y[i] - (some ? u[i % d] : 0)) < 1e-6);
    }
    free(x), free(y), free(u);
    refused("blocks.0.attn.hook_z += dir(5, 7)",
            "blocks.0.attn.hook_z has no d_model axis · use a hook of the residual stream");
    refused("blocks.0.hook_resid_pre += dir(5, 5)",
            "dir() · both tokens are 5 · give two different ones");
    refused("blocks.0.hook_resid_pre += dir(5, 99999)",
            "dir() · token 99999 · this model's vocabulary is 0..");
    refused("blocks.0.hook_resid_pre += dir(\"no such token\", 5)",
            "\"no such token\" is not one token of this model");
}

static void project_out_leaves_nothing_along(void **state)
{
    (void)state;
    int32_t d = f.m->cfg.d_model;
    float *x = calloc((size_t)(N * d), sizeof *x), *y = calloc((size_t)(N * d), sizeof *y);
    double *u = direction(1, 2);
    for (int32_t i = 0; i < N * d; i++)
        x[i] = y[i] = (float)(i % 13) - 5.5f;
    apply("blocks.1.hook_resid_pre[2:] = project_out(dir(1, 2))", x, 0, N);
    for (int32_t row = 0; row < N; row++) {
        double before = 0;
        for (int32_t i = 0; i < d; i++)
            before += (double)y[row * d + i] * u[i];
        for (int32_t i = 0; i < d; i++)
            assert_true(fabs((double)x[row * d + i] -
                             ((double)y[row * d + i] - (row < 2 ? 0 : before * u[i]))) < 1e-5);
    }
    free(x), free(y), free(u);
    refused("blocks.0.hook_resid_pre[:, 1:] = project_out(dir(1, 2))", "it needs the whole axis");
}

/* Deterministic, whatever rows go together; Gaussian; other seeds, hooks and layers give other
 * numbers. */
static void noise_is_a_function_of_the_place(void **state)
{
    (void)state;
    int32_t inner = f.m->cfg.n_heads * f.m->cfg.d_head;
    size_t bytes = (size_t)(N * inner) * sizeof(float);
    float *all = calloc(1, bytes), *rows = calloc(1, bytes), *other = calloc(1, bytes);
    apply("blocks.0.attn.hook_z += noise(2, seed=7)", all, 0, N);
    for (int32_t row = 0; row < N; row += 2)
        apply("blocks.0.attn.hook_z += noise(2, seed=7)", rows, row, row + 2 < N ? row + 2 : N);
    assert_memory_equal(all, rows, bytes);
    static const char *const others[] = {"blocks.0.attn.hook_z = noise(2, seed=8)",
                                         "blocks.1.attn.hook_z = noise(2, seed=7)",
                                         "blocks.0.attn.hook_v = noise(2, seed=7)"};
    double sum = 0, square = 0, fourth = 0, n = 0;
    for (int k = 0; k < 3; k++) {
        apply(others[k], other, 0, N);
        for (int32_t i = 0; i < N * inner; i++)
            assert_true(other[i] < all[i] || other[i] > all[i]);
    }
    for (int seed = 0; seed < 60; seed++) {
        char text[80];
        snprintf(text, sizeof text, "blocks.0.attn.hook_z = noise(2, seed=%d)", seed);
        apply(text, all, 0, N);
        for (int32_t i = 0; i < N * inner; i++, n++) {
            double x = (double)all[i] / 2;
            sum += x, square += x * x, fourth += x * x * x * x;
        }
    }
    assert_true(fabs(sum / n) < 5 / sqrt(n)); /* five deviations each */
    assert_true(fabs(square / n - 1) < 5 * sqrt(2 / n));
    assert_true(fabs(fourth / n - 3) < 5 * sqrt(96 / n));
    free(all), free(rows), free(other);
}

static char path[] = "/tmp/bore-words-XXXXXX.safetensors";

static void file_fits_the_selection(void **state)
{
    (void)state;
    int32_t d = f.m->cfg.d_head, heads = f.m->cfg.n_heads;
    int fd = mkstemps(path, 12);
    assert_true(fd >= 0);
    close(fd);
    float *t = malloc((size_t)(N * heads * d) * sizeof *t);
    for (int32_t i = 0; i < N * heads * d; i++)
        t[i] = (float)i + 0.5f;
    int32_t ids[2] = {1, 2};
    struct tensor_out out[] = {
        {.name = "v", .dtype = ST_F32, .rank = 1, .shape = {d}, .data = t},
        {.name = "pos",
         .dtype = ST_F32,
         .rank = 3,
         .shape = {1, 3, d},
         .data = t}, /* a batch axis of 1 in front */
        {.name = "one", .dtype = ST_F32, .rank = 3, .shape = {N, 1, 1}, .data = t},
        {.name = "ids", .dtype = ST_I32, .rank = 1, .shape = {2}, .data = ids},
        {.name = "flat", .dtype = ST_F32, .rank = 1, .shape = {heads * d}, .data = t},
    };
    assert_int_equal(tensor_write(path, out, 5, NULL, 0, NULL), 0);
    float *x = calloc((size_t)(N * heads * d), sizeof *x);
    char text[200];
    static const char *const edits[] = {"blocks.0.attn.hook_z[2:, 1] += 2 * file(\"%s\", \"v\")",
                                        "blocks.0.attn.hook_z[{1,4,7}, 0] = file(\"%s\", \"pos\")",
                                        "blocks.0.attn.hook_z[:, 2] = file(\"%s\", \"one\")"};
    for (int k = 0; k < 3; k++) {
        snprintf(text, sizeof text, edits[k], path);
        for (int32_t row = 0; row < N; row += 3) /* parts: places in the selection, not in these */
            apply(text, x, row, row + 3);
    }
    for (int32_t pos = 0; pos < N; pos++)
        for (int32_t h = 0; h < heads; h++)
            for (int32_t i = 0; i < d; i++) {
                bool hit = pos == 1 || pos == 4 || pos == 7;
                float want = h == 1   ? (pos >= 2 ? 2 * t[i] : 0)
                             : h == 0 ? (hit ? t[pos / 3 * d + i] : 0)
                             : h == 2 ? t[pos]
                                      : 0;
                assert_true(fabsf(x[(pos * heads + h) * d + i] - want) == 0.0f);
            }
    /* heads joined: one number for each element at a position, in the hook's order */
    memset(x, 0, (size_t)(N * heads * d) * sizeof *x);
    snprintf(text, sizeof text, "blocks.0.attn.hook_z[2:] = unoffset(file(\"%s\", \"flat\"))",
             path);
    apply(text, x, 0, N);
    for (int32_t i = 0; i < N * heads * d; i++)
        assert_true(x[i] == (i / (heads * d) >= 2 ? -t[i % (heads * d)] : 0));
    free(x), free(t);
    static const struct {
        const char *edit, *want;
    } bad[] = {
        {"blocks.0.attn.hook_z[2:, 1] = file(\"%s\", \"pos\")",
         "pos is [1, 3, 5] · the selection is [7, 1, 5]"},
        {"blocks.0.attn.hook_z[2:, 1, 1:] = file(\"%s\", \"v\")",
         "v is [5] · the selection is [7, 1, 4]"},
        {"blocks.0.attn.hook_z = file(\"%s\", \"w\")", "no tensor \"w\" in "},
        {"blocks.0.attn.hook_z = file(\"%s\", \"ids\")",
         "ids holds I32 · F32, F16, BF16 and F64 can be read"},
        {"blocks.0.attn.hook_z = file(\"%s.no\", \"v\")", ".no"},
        {"blocks.0.hook_resid_pre = project_out(file(\"%s\", \"v\"))",
         "v is [5] · the selection is [9, 15]"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, bad[i].edit, path);
        refused(text, bad[i].want);
    }
    unlink(path);
}

/* Every selected position takes the one that is asked for. */
static void from_a_position(void **state)
{
    (void)state;
    struct run_options opt = {.cache_bytes = SIZE_MAX / 2};
    struct err e = {0};
    struct run *base = run_create(f.m, NULL, &opt, NULL), *fork = run_create(f.m, base, &opt, NULL),
               *other = run_create(f.m, NULL, &opt, NULL);
    int32_t ids[4] = {3, 1, 4, 1}, d = f.m->cfg.d_model;
    assert_int_equal(run_sync(base, run_ids(f.tokens, f.n), NULL, NULL, NULL, &e), 0);
    assert_int_equal(run_sync(other, run_ids(ids, 4), NULL, NULL, NULL, &e), 0);
    const char *text = "blocks.1.hook_resid_pre[{1,5..6}] = from(other, pos=-2)";
    struct edit_program *p = fixture_program(f.m, f.n, &text, 1);
    if (run_sync(fork, (struct run_input){0}, p, &other, NULL, &e))
        fail_msg("%s", e.text);
    edit_program_free(p);
    struct site_ref s = {SITE_RESID_PRE, 1};
    struct kn_view a, b;
    for (int32_t row = 0; row < f.n; row++) {
        bool hit = row == 1 || row == 5 || row == 6;
        assert_int_equal(run_view(fork, s, row, row + 1, &a, &e), 0);
        float *have = fixture_values(&a);
        assert_int_equal(
            hit ? run_view(other, s, 2, 3, &b, &e) : run_view(base, s, row, row + 1, &b, &e), 0);
        float *want = fixture_values(&b);
        assert_memory_equal(have, want, (size_t)d * sizeof *have);
        free(have), free(want);
    }
    text = "blocks.1.hook_resid_pre = from(other, pos=4)";
    p = fixture_program(f.m, f.n, &text, 1);
    assert_int_equal(run_sync(fork, (struct run_input){0}, p, &other, NULL, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "position 4 is asked for, that run has 0..3"));
    edit_program_free(p);
    /* a run need not be longer than the last dest that reads it: later sources are masked */
    text = "blocks.1.attn.hook_pattern[1, 3] = from(other)";
    p = fixture_program(f.m, f.n, &text, 1);
    if (run_sync(fork, (struct run_input){0}, p, &other, NULL, &e))
        fail_msg("%s", e.text);
    s.id = SITE_PATTERN;
    assert_int_equal(run_view(fork, s, 3, 4, &a, &e), 0);
    assert_int_equal(run_view(other, s, 3, 4, &b, &e), 0);
    float *have = fixture_values(&a), *want = fixture_values(&b);
    assert_memory_equal(have + a.shape[2], want + b.shape[2], 4 * sizeof *have);
    free(have), free(want);
    edit_program_free(p);
    refused("blocks.1.attn.hook_pattern = from(other, pos=0)",
            "has two positions, dest and src · leave pos out");
    run_free(fork), run_free(base), run_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dir_is_a_unit_difference),
        cmocka_unit_test(project_out_leaves_nothing_along),
        cmocka_unit_test(noise_is_a_function_of_the_place),
        cmocka_unit_test(file_fits_the_selection),
        cmocka_unit_test(from_a_position),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
