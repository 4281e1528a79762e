/* test_library_attribute.c - bore_attribute: the fixtures' values through the public header,
 * defaults, refusals. */
#include "library.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opened {
    struct library l;
    struct checkpoint *ref;
    int32_t *source;
    struct bore_prompt prompt;
};

static void opened_begin(struct opened *o, const char *name)
{
    int32_t n;
    *o = (struct opened){.l = library_open(name, 1 << 24),
                         .ref = fixture_file(name, "attribute.safetensors")};
    o->source = fixture_ids(o->ref, "source", &n);
    o->prompt = (struct bore_prompt){.name = "clean", .tokens = o->source, .n = n};
    o->l.pass.metric = checkpoint_metadata(o->ref, "metric");
    o->l.pass.prompts = &o->prompt, o->l.pass.n_prompts = 1;
}

static void opened_end(struct opened *o)
{
    free(o->source);
    checkpoint_close(o->ref);
    library_close(&o->l);
}

static struct bore_attribution found(struct opened *o, const struct bore_attribute *how)
{
    struct bore_attribution a;
    struct bore_error error;
    library_ok(bore_attribute(o->l.m, &o->l.pass, how, &a, &error), &error);
    return a;
}

static void check(struct opened *o, const struct bore_attribute *how, const char *key)
{
    struct bore_attribution a = found(o, how);
    const struct st_tensor *t = checkpoint_find(o->ref, key);
    assert_int_equal(a.n_axes, t->rank);
    assert_int_equal((size_t)a.cells * sizeof(float), t->nbytes);
    assert_true(fixture_error(a.values, t->data, (size_t)a.cells) <= 1e-4);
    assert_true(fabs(a.base - strtod(checkpoint_metadata(o->ref, "value"), NULL)) < 1e-4);
    bore_attribution_free(&a);
    assert_null(a.values);
}

static void test_values(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "llama");
    /* the only prompt is what is put there, resid_pre the kind, atp the method */
    check(&o, NULL, "atp.resid_pre.from");
    check(&o, &(struct bore_attribute){.kind = "z", .with = "zero"}, "atp.z.zero");
    check(&o, &(struct bore_attribute){.kind = "attn_head_out_all_pos"}, "atp.z_all_pos.from");
    check(&o, &(struct bore_attribute){.method = "grad"}, "grad.score");
    check(&o, &(struct bore_attribute){.method = "ig", .kind = "neuron", .steps = 3}, "ig.neuron");
    check(&o, &(struct bore_attribute){.method = "eap"}, "eap");
    check(&o, &(struct bore_attribute){.method = "eap-ig", .steps = 3}, "eap-ig");
    check(&o, &(struct bore_attribute){.method = "dla", .kind = "head"}, "dla.head");
    opened_end(&o);
}

static void test_labels(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "llama");
    struct bore_attribution a = found(&o, &(struct bore_attribute){.method = "eap"});
    assert_string_equal(a.axes[0].name, "sender");
    assert_string_equal(a.axes[0].labels[0], "input");
    assert_string_equal(a.axes[0].labels[2], "a0.h1");
    assert_string_equal(a.axes[1].labels[7], "a0.h1<k>"); /* behind the queries of six heads */
    assert_string_equal(a.axes[1].labels[a.axes[1].size - 1], "logits");
    assert_true(a.has[a.axes[1].size - 1]);                     /* input -> logits */
    assert_false(a.has[(a.axes[0].size - 1) * a.axes[1].size]); /* the last MLP -> layer 0 */
    bore_attribution_free(&a);
    a = found(&o, &(struct bore_attribute){.method = "dla"});
    assert_string_equal(a.axes[0].labels[1], "0_attn_out");
    assert_true(fabs(a.base - a.sum - a.constant) < 1e-4);
    bore_attribution_free(&a);
    opened_end(&o);
}

/* The stream that enters layer 1, and what its values do to the metric, of one pass. */
static struct bore_cache *stream(struct opened *o, const int32_t *tokens, int n, bool slopes)
{
    static const char *const names[] = {"blocks.1.hook_resid_pre"};
    struct bore_pass pass = {.tokens = tokens, .rows = 1, .cols = n, .metric = o->l.pass.metric};
    struct bore_cache_options options = {.names = names, .n_names = 1, .incl_bwd = slopes};
    struct bore_cache *c;
    struct bore_error error;
    library_ok(bore_run_with_cache(o->l.m, &pass, &options, &c, NULL, &error), &error);
    return c;
}

static struct bore_tensor tensor(const struct bore_cache *c, const char *name)
{
    struct bore_tensor t;
    struct bore_error error;
    library_ok(bore_cache_get(c, name, &t, &error), &error);
    return t;
}

/* A source of another length: from its end, slope times difference of the two caches; nothing in
 * front of it. */
static void test_aligned(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "llama");
    int n = o.l.pass.cols, short_n = n - 3;
    o.prompt.n = short_n;
    o.l.pass.align = "end";
    struct bore_attribution a = found(&o, &(struct bore_attribute){0});
    struct bore_cache *own = stream(&o, o.l.pass.tokens, n, true),
                      *other = stream(&o, o.source, short_n, false);
    struct bore_tensor x = tensor(own, "blocks.1.hook_resid_pre"),
                       g = tensor(own, "blocks.1.hook_resid_pre_grad"),
                       y = tensor(other, "blocks.1.hook_resid_pre");
    assert_true(a.n_axes == 2 && a.axes[1].size == n);
    for (int p = 0; p < n; p++) {
        double want = 0;
        for (int64_t j = 0; j < x.shape[2] && p >= 3; j++)
            want += ((double)library_at(&y, 0, p - 3, j, 0) - (double)library_at(&x, 0, p, j, 0)) *
                    (double)library_at(&g, 0, p, j, 0);
        assert_true(fabs((double)a.values[n + p] - want) <= 1e-5 * fmax(0.1, fabs(want)));
        assert_true((a.values[n + p] == 0) == (p < 3));
    }
    bore_attribution_free(&a);
    bore_cache_free(own), bore_cache_free(other);
    opened_end(&o);
}

static void refused(struct opened *o, const struct bore_attribute *how, const char *why)
{
    struct bore_attribution a = {.n_axes = 77};
    struct bore_error error;
    assert_int_not_equal(bore_attribute(o->l.m, &o->l.pass, how, &a, &error), 0);
    assert_int_equal(a.n_axes, 77);
    if (!strstr(error.text, why))
        fail_msg("\"%s\" says nothing of \"%s\"", error.text, why);
}

static void test_refusals(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "llama");
    refused(&o, &(struct bore_attribute){.method = "magic"}, "eap-ig");
    refused(&o, &(struct bore_attribute){.kind = "zz"}, "nearest");
    refused(&o, &(struct bore_attribute){.method = "dla", .kind = "z"}, "neuron");
    refused(&o, &(struct bore_attribute){.with = "from(nobody)"}, "nobody");
    refused(&o, &(struct bore_attribute){.method = "ig", .steps = 5000}, "1000");
    o.l.pass.align = "middle";
    refused(&o, NULL, "index, end or token");
    o.l.pass.align = NULL;
    o.prompt.n--;
    refused(&o, NULL, "run clean has 8 tokens, the prompt 9 · --align end or token");
    struct bore_prompt two[2] = {o.prompt, o.prompt};
    two[1].name = "other";
    o.l.pass.prompts = two, o.l.pass.n_prompts = 2;
    refused(&o, NULL, "from(clean)");
    o.l.pass.metric = NULL;
    refused(&o, NULL, "pass.metric");
    opened_end(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_labels),
                                       cmocka_unit_test(test_aligned),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
