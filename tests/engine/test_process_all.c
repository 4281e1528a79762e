/* test_process_all.c - every combination of the processing steps on every fixture model, against
 * what TransformerLens makes of it: weights, activations, logits, and which combinations it refuses
 * (fingerprints: tests/fixtures/make_process.py). */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/named_weight.h"
#include "model/process.h"

enum { FOLDS = 2 };

/* +1 or -1, as the script has it. */
static double sign(uint64_t i, uint64_t fold)
{
    uint32_t h = (uint32_t)(i * UINT64_C(2654435761) + (fold + 1) * 40503);
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    return (h ^ h >> 15) & 1 ? -1 : 1;
}

/* Defined up to sign once heads are refactored. */
static bool up_to_sign(const char *name)
{
    static const char *const ends[] = {"attn.W_Q", "attn.W_K", "attn.W_V", "attn.W_O", "attn.b_Q",
                                       "attn.b_K", "hook_q",   "hook_k",   "hook_v",   "hook_z"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strlen(name) >= strlen(ends[i]) &&
            !strcmp(name + strlen(name) - strlen(ends[i]), ends[i]))
            return true;
    return false;
}

/* The values that this program has under that name; malloc'ed. */
static float *values_of(struct run *r, const char *name, size_t *n)
{
    const struct model *m = run_model(r);
    struct err e = {0};
    struct named_weight w;
    *n = 1;
    if (strcmp(name, "logits") && !strstr(name, "hook_")) {
        if (named_weight_find(m, name, &w, &e))
            fail_msg("%s", e.text);
        for (int i = 0; i < w.rank; i++)
            *n *= (size_t)w.shape[i];
        float *v = malloc(*n * sizeof *v);
        named_weight_read(m, &w, v);
        return v;
    }
    int64_t shape[SITE_RANK_MAX];
    int rank;
    float *v = fixture_hook(
        r, strcmp(name, "logits") ? name : site_table[site_logits(&m->cfg)].name, shape, &rank);
    for (int i = 0; i < rank; i++)
        *n *= (size_t)shape[i];
    return v;
}

/* Largest difference of a sum over the tensor's norm. */
static double prints_error(const float *v, size_t n, const float *want, bool absolute)
{
    double sum[FOLDS] = {0}, norm = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double x = isinf(v[i]) ? 0 : absolute ? fabs((double)v[i]) : (double)v[i];
        norm += x * x;
        for (int f = 0; f < FOLDS; f++)
            sum[f] += sign(i, (uint64_t)f) * x;
    }
    double scale = fmax((double)want[FOLDS], 1e-30);
    worst = fabs(sqrt(norm) - (double)want[FOLDS]) / scale;
    for (int f = 0; f < FOLDS; f++)
        worst = fmax(worst, fabs(sum[f] - (double)want[f]) / scale);
    return want[FOLDS] < 1e-6f ? sqrt(norm) : worst; /* what is zero there must be nothing here */
}

static double check_combination(const char *model, unsigned flags, struct js_node names,
                                const float *prints, int *count)
{
    struct fixture f = fixture_open(model);
    struct err e = {0};
    double worst = 0;
    char text[PROCESS_TEXT_MAX];
    if (process_model(f.m, flags, &e))
        fail_msg("%s %s: %s", model, process_text(flags, text, sizeof text), e.text);
    struct run *r = fixture_run(&f, NULL, NULL, 0);
    for (size_t i = 0; i < js_count(names); i++) {
        const char *name;
        const float *want = prints + i * (FOLDS + 1);
        assert_int_equal(js_string(js_at(names, i), &name, NULL, NULL), 0);
        if (isnan(want[FOLDS]))
            continue;
        size_t n;
        float *v = values_of(r, name, &n);
        double d = prints_error(v, n, want, flags & PROCESS_REFACTOR && up_to_sign(name));
        free(v);
        if (!(d <= 1e-5))
            fail_msg("%s %s: %s differs by %g of its norm", model,
                     process_text(flags, text, sizeof text), name, d);
        worst = fmax(worst, d);
        ++*count;
    }
    run_free(r);
    fixture_close(&f);
    return worst;
}

static unsigned flags_of(struct js_node list)
{
    unsigned flags = 0, one;
    for (size_t i = 0; i < js_count(list); i++) {
        const char *step;
        assert_int_equal(js_string(js_at(list, i), &step, NULL, NULL), 0);
        assert_int_equal(process_parse(step, &one, NULL), 0);
        flags |= one;
    }
    return flags;
}

static void test_combinations(void **state)
{
    (void)state;
    char **models = fixture_names_with("process.safetensors");
    int count = 0, combinations = 0;
    double worst = 0;
    for (char **model = models; *model; model++) {
        struct checkpoint *st = fixture_file(*model, "process.safetensors");
        struct js_doc *lists = fixture_json(st, "combinations"), *names = fixture_json(st, "names");
        const float *prints = checkpoint_find(st, "prints")->data;
        size_t n = js_count(js_root(lists)), k = js_count(js_root(names));
        unsigned seen = 0;
        for (size_t i = 0; i < n; i++, combinations++) {
            unsigned flags = flags_of(js_at(js_root(lists), i));
            seen |= 1u << flags;
            worst = fmax(worst, check_combination(*model, flags, js_root(names),
                                                  prints + i * k * (FOLDS + 1), &count));
        }
        /* what is not computed there is refused, there and here */
        for (unsigned flags = 0; flags < 32; flags++)
            if (!(seen >> flags & 1)) {
                char text[PROCESS_TEXT_MAX], key[PROCESS_TEXT_MAX + 4];
                struct fixture f = fixture_open(*model);
                struct err e = {0};
                snprintf(key, sizeof key, "\"%s\"", process_text(flags, text, sizeof text));
                assert_non_null(strstr(checkpoint_metadata(st, "refused"), key));
                assert_int_equal(process_model(f.m, flags, &e), ERR_BAD_INPUT);
                assert_non_null(strstr(
                    e.text, f.m->cfg.pos == POS_ROTARY ? "rotary" : "share keys and values"));
                assert_int_equal(f.m->process, 0);
                fixture_close(&f);
            }
        js_close(lists), js_close(names);
        checkpoint_close(st);
    }
    fixture_names_free(models);
    print_message("%d combinations, %d tensors, largest error %.2g of the norm\n", combinations,
                  count, worst);
    assert_true(combinations > 300 && count > 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_combinations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
