/* test_library_devices.c - the public header on devices, on a driver that needs none (tests/fake):
 * a device too small for all of the model, layers on the cpu beside it, and what a caller sees of
 * one that is lost or full. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "lib/borescope.h"

enum { OUT_OF_MEMORY = 2, LOST = 700, N = 9 };

static const int32_t tokens[N] = {3, 1, 4, 1, 5, 9, 2, 6, 5};
static const struct bore_pass whole = {.tokens = tokens, .rows = 1, .cols = N};

static struct bore_model *opened(const char *backend, const char *layers)
{
    struct bore_options o = {.backend = backend, .threads = 2, .gpu_layers = layers};
    struct bore_error e;
    struct bore_model *m;
    if (bore_open(&m, "teach", &o, &e))
        fail_msg("%s", e.text);
    return m;
}

static struct bore_tensor logits_of(struct bore_model *m)
{
    struct bore_error e;
    struct bore_result out = {0};
    if (bore_run(m, &whole, &out, &e))
        fail_msg("%s", e.text);
    return out.output;
}

static size_t count_of(const struct bore_tensor *t)
{
    return (size_t)(t->shape[0] * t->shape[1] * t->shape[2]);
}

/* Of the cpu, or near it: a device has bits of its own. */
static void same(const struct bore_tensor *a, const struct bore_tensor *cpu, bool exactly)
{
    assert_int_equal(count_of(a), count_of(cpu));
    for (size_t i = 0; i < count_of(a); i++) {
        float d = a->data[i] - cpu->data[i];
        if (exactly ? d != 0 : !(d < 1e-3f && d > -1e-3f))
            fail_msg("logit %zu: %g, on the cpu %g", i, (double)a->data[i], (double)cpu->data[i]);
    }
}

static void layers_go_where_they_fit(void **state)
{
    struct bore_tensor *cpu = *state;
    static const struct {
        const char *backend, *layers;
        int places, first, n;
    } rows[] = {{"auto", NULL, 2, 2, 2},
                {"cuda", "auto", 2, 2, 2},
                {"cuda:0", "1", 2, 3, 1},
                {"cuda", "0", 1, 0, 4},
                {"cpu", NULL, 1, 0, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bore_model *m = opened(rows[i].backend, rows[i].layers);
        struct bore_place last = bore_place_at(m, rows[i].places - 1);
        struct bore_tensor y = logits_of(m);
        assert_int_equal(bore_place_count(m), rows[i].places);
        assert_int_equal(last.first_layer, rows[i].first);
        assert_int_equal(last.n_layers, rows[i].n);
        assert_true(last.unembeds && last.embeds == (rows[i].places == 1));
        assert_true(!strncmp(last.device, "cuda:0", 6) == (rows[i].places == 2));
        assert_true(
            rows[i].places == 1 ||
            (last.total == 12 << 20 && last.weights + last.kept + last.work <= last.available));
        assert_null(bore_moved(m));
        same(&y, cpu, rows[i].places == 1);
        bore_tensor_free(&y);
        bore_close(m);
    }
    assert_int_equal(fake_cuda_left(), 0);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *layers, *says;
    } rows[] = {{"all", "does not fit · cuda:0"},
                {"3", "12.6 MB are free"},
                {"some", "gpu_layers \"some\" · a number of layers"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bore_options o = {.backend = "cuda", .gpu_layers = rows[i].layers};
        struct bore_error e;
        struct bore_model *m = NULL;
        assert_int_equal(bore_open(&m, "teach", &o, &e), BORE_BAD_INPUT);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%s", e.text);
        assert_null(m);
    }
}

/* Calls of a driver that a pass makes, from a model's opening on. */
static long calls_of_a_pass(void)
{
    fake_cuda_fail(0, 0);
    struct bore_model *m = opened("cuda", "2");
    struct bore_tensor y = logits_of(m);
    long n = fake_cuda_calls();
    bore_tensor_free(&y);
    bore_close(m);
    return n;
}

/* Whatever call of the driver fails in a pass, the caller has the logits. */
static void a_pass_goes_on_on_the_cpu(void **state)
{
    struct bore_tensor *cpu = *state;
    static const int codes[] = {LOST, OUT_OF_MEMORY};
    int moved[2] = {0};
    long calls = calls_of_a_pass();
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 5; i++) {
            struct bore_model *m = opened("cuda", "2");
            fake_cuda_fail(1 + calls / 8 * i + i % 3, codes[k]);
            struct bore_tensor y = logits_of(m);
            bool there = bore_moved(m);
            fake_cuda_fail(0, 0);
            same(&y, cpu, there);
            moved[k] += there;
            if (there) {
                assert_int_equal(bore_place_count(m), 1);
                assert_true(strstr(bore_moved(m), "cuda:0"));
                assert_int_equal(bore_place_at(m, 0).n_layers, 4);
            }
            bore_tensor_free(&y);
            y = logits_of(m);
            same(&y, cpu, there);
            bore_tensor_free(&y);
            bore_close(m);
        }
    assert_true(moved[0] > 2 && moved[1] > 0);
}

static int called(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)at, (void)t;
    ++*(int *)user;
    return 0;
}

/* Hooks are not called twice unasked: the call fails, and the model is ready for the next. */
static void hooks_are_told(void **state)
{
    struct bore_tensor *cpu = *state;
    struct bore_model *m = opened("cuda", "2");
    struct bore_error e;
    struct bore_result out = {0};
    int n = 0;
    const struct bore_hook hook = {
        .name = "blocks.0.hook_resid_pre", .fn = called, .user = &n, .flags = BORE_READS};
    assert_int_equal(bore_add_hook(m, BORE_FORWARD, &hook, &e), 0);
    fake_cuda_fail(20, LOST);
    assert_int_equal(bore_run(m, &whole, &out, &e), BORE_SYSTEM);
    fake_cuda_fail(0, 0);
    assert_non_null(strstr(e.text, "on the cpu now: call again"));
    assert_true(n <= 1 && !out.output.data && bore_moved(m));
    n = 0;
    struct bore_tensor y = logits_of(m);
    assert_int_equal(n, 1);
    same(&y, cpu, true);
    bore_tensor_free(&y);
    bore_close(m);
}

int main(void)
{
    setenv("FAKE_CUDA_MB", "12", 1);
    struct bore_model *m = opened("cpu", NULL);
    struct bore_tensor cpu = logits_of(m);
    bore_close(m);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(layers_go_where_they_fit, &cpu),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test_prestate(a_pass_goes_on_on_the_cpu, &cpu),
        cmocka_unit_test_prestate(hooks_are_told, &cpu),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    bore_tensor_free(&cpu);
    return failed;
}
