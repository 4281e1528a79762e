/* test_attribute_align.c - attributions with a prompt of another length: positions are paired as
 * the target says, or the prompt is refused. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/attribute.h"
#include "measure/grad.h"

enum { CACHE = 1 << 24 };

static const int32_t longer[] = {3, 5, 17, 11, 8, 26, 29, 44, 17, 2, 42}; /* the prompts have 9 */

/* A fixture, its pair, and the prompt that is put in. */
struct opened {
    struct fixture f;
    struct pair_prompt prompt;
    struct pair_target target;
    struct pair *pair;
    struct metric metric;
};

static void put_prompt(struct opened *o, const int32_t *tokens, int32_t n, enum token_align align)
{
    struct err e = {0};
    o->prompt = (struct pair_prompt){.name = "clean", .tokens = tokens, .n = n};
    o->target.align = align;
    if (pair_sync(o->pair, &o->target, NULL, &e))
        fail_msg("%s", e.text);
}

static void opened_begin(struct opened *o, const char *name)
{
    struct err e = {0};
    *o = (struct opened){.f = fixture_open(name)};
    o->target = (struct pair_target){
        .input = fixture_input(&o->f), .prompts = &o->prompt, .n_prompts = 1};
    const struct tokenizer *tok = o->f.m->tok;
    assert_int_equal(metric_parse(&o->metric, "logit[-1, 5] - 0.5 * logit[-2, 11]", tok,
                                  o->f.m->cfg.d_vocab, &e),
                     0);
    assert_int_equal(pair_open(&o->pair, o->f.m, CACHE, &e), 0);
}

static void opened_end(struct opened *o)
{
    pair_close(o->pair);
    fixture_close(&o->f);
}

static const struct sweep_kind *kind_of(const char *name)
{
    struct err e = {0};
    const struct sweep_kind *k = sweep_kind_find(name, &e);
    assert_non_null(k);
    return k;
}

static struct attribution attributed(struct opened *o, struct attribute_options opt)
{
    struct attribution a;
    struct err e = {0};
    opt.cache_bytes = CACHE;
    if (attribute(&a, o->pair, &o->target, &o->metric, &opt, &e))
        fail_msg("%s: %s", attribute_method_name(opt.method), e.text);
    return a;
}

/* Slopes along one layer's stream. */
struct slopes {
    int32_t layer;
    float *g; /* [n][d_model] */
};

static int slopes_take(void *user, struct site_ref s, int32_t row0, int32_t row1,
                       const struct kn_view *g, struct err *e)
{
    struct slopes *k = user;
    (void)e;
    assert_int_equal(s.layer, k->layer);
    for (int64_t i = 0; i < row1 - row0; i++)
        for (int64_t j = 0; j < g->shape[1]; j++)
            k->g[(row0 + i) * g->shape[1] + j] = kn_f32(g)[i * g->stride[0] + j * g->stride[1]];
    return 0;
}

/* Slopes times differences of the two runs' values, at the positions that stand for each other. */
static void by_hand(struct opened *o, struct run *other, const int32_t *map, int32_t layer,
                    double *out)
{
    struct err e = {0};
    struct site_ref s = {SITE_RESID_PRE, layer};
    int32_t n = o->f.n, m = run_length(other), d = o->f.m->cfg.d_model;
    float *g = malloc((size_t)(2 * n + m) * (size_t)d * sizeof *g), *x = g + n * d, *y = x + n * d;
    struct slopes k = {layer, g};
    assert_int_equal(
        grad_run(pair_shown(o->pair), pair_shown(o->pair), &o->metric, &s, 1, slopes_take, &k, &e),
        0);
    assert_int_equal(run_read(pair_shown(o->pair), s, 0, n, x, NULL, &e), 0);
    assert_int_equal(run_read(other, s, 0, m, y, NULL, &e), 0);
    for (int32_t p = 0; p < n; p++) {
        out[p] = 0;
        for (int32_t j = 0; j < d && map[p] >= 0; j++)
            out[p] += ((double)y[map[p] * d + j] - (double)x[p * d + j]) * (double)g[p * d + j];
    }
    free(g);
}

static void test_aligned_values(void **state)
{
    (void)state;
    static const enum token_align how[] = {TOKEN_ALIGN_END, TOKEN_ALIGN_TOKEN};
    static const int32_t lengths[] = {11, 5};
    struct opened o;
    opened_begin(&o, "llama");
    for (int i = 0; i < 4; i++) {
        int32_t map[16], n = o.f.n, m = lengths[i / 2];
        struct err e = {0};
        struct run *other = fixture_run_new(o.f.m, NULL, CACHE);
        assert_int_equal(run_sync(other, run_ids(longer, m), NULL, NULL, NULL, &e), 0);
        assert_int_equal(token_align(o.f.tokens, n, longer, m, how[i % 2], map, &e), 0);
        put_prompt(&o, longer, m, how[i % 2]);
        struct attribution a = attributed(
            &o, (struct attribute_options){
                    .method = ATTRIBUTE_ATP, .kind = kind_of("resid_pre"), .with = "from(clean)"});
        for (int32_t l = 0; l < a.axis[0].size; l++) {
            double want[16];
            by_hand(&o, other, map, l, want);
            for (int32_t p = 0; p < n; p++)
                if (!(fabs((double)a.values[l * n + p] - want[p]) <=
                      1e-5 * fmax(0.1, fabs(want[p]))))
                    fail_msg("%d of %d tokens, layer %d, position %d: %g, by hand %g", n, m, l, p,
                             (double)a.values[l * n + p], want[p]);
        }
        assert_true(a.sum != 0);
        attribution_free(&a);
        run_free(other);
    }
    opened_end(&o);
}

static double metric_with(struct opened *o, const char *text)
{
    struct err e = {0};
    struct edit *edit = NULL;
    double value;
    assert_int_equal(edit_parse(&edit, text, &e), 0);
    struct pair_target t = o->target;
    t.edits = &edit, t.n_edits = 1;
    if (pair_sync(o->pair, &t, NULL, &e))
        fail_msg("%s: %s", text, e.text);
    assert_int_equal(
        metric_value(&o->metric, pair_shown(o->pair), pair_run(o->pair, FACE_BASE), &value, &e), 0);
    assert_int_equal(pair_sync(o->pair, &o->target, NULL, &e), 0);
    edit_free(edit);
    return value;
}

/* Whole layers are patched by the same pairs as parts are attributed by; so are edges. */
static void test_aligned_sums(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama", "gemma2", "olmo2"};
    for (size_t i = 0; i < 4; i++) {
        struct opened o;
        opened_begin(&o, models[i]);
        put_prompt(&o, longer, 11, TOKEN_ALIGN_TOKEN);
        int32_t n = o.f.n, last = o.f.m->cfg.n_layers - 1;
        struct attribution a = attributed(&o,
                                          (struct attribute_options){.method = ATTRIBUTE_IG,
                                                                     .kind = kind_of("resid_pre"),
                                                                     .with = "from(clean)",
                                                                     .steps = 250});
        double sum = 0, gain = metric_with(&o, "blocks.1.hook_resid_pre = from(clean)") - a.metric;
        for (int32_t p = 0; p < n; p++)
            sum += (double)a.values[n + p];
        if (!(fabs(sum - gain) <= 5e-4 * fmax(0.1, fabs(gain))))
            fail_msg("%s: %g, patching gains %g", models[i], sum, gain);
        attribution_free(&a);
        struct attribution edges = attributed(
            &o, (struct attribute_options){.method = ATTRIBUTE_EAP, .with = "from(clean)"});
        a = attributed(&o, (struct attribute_options){.method = ATTRIBUTE_ATP,
                                                      .kind = kind_of("resid_post"),
                                                      .with = "from(clean)"});
        double to_logits = 0, want = 0;
        for (int32_t u = 0, v = edges.axis[1].size; u < edges.axis[0].size; u++)
            to_logits += (double)edges.values[u * v + v - 1];
        for (int32_t p = 0; p < n; p++)
            want += (double)a.values[last * n + p];
        if (!(fabs(to_logits - want) <= 1e-4 * fmax(0.1, fabs(want))))
            fail_msg("%s: edges to the logits sum to %g, the stream's gain is %g", models[i],
                     to_logits, want);
        attribution_free(&edges), attribution_free(&a);
        opened_end(&o);
    }
}

static void refuse(struct opened *o, struct attribute_options opt, const char *why)
{
    struct attribution a = {.rank = 7};
    struct err e = {0};
    opt.cache_bytes = CACHE;
    assert_int_not_equal(attribute(&a, o->pair, &o->target, &o->metric, &opt, &e), 0);
    assert_int_equal(a.rank, 7);
    if (!strstr(e.text, why))
        fail_msg("\"%s\" says nothing of \"%s\"", e.text, why);
}

/* Edits of a pair read the new pairs of positions when the other prompt is another one. */
static void test_edits_follow(void **state)
{
    (void)state;
    struct opened o, fresh;
    struct err e = {0};
    struct edit *edit = NULL;
    assert_int_equal(edit_parse(&edit, "blocks.0.hook_mlp_out = from(clean)", &e), 0);
    opened_begin(&o, "gpt2"), opened_begin(&fresh, "gpt2");
    o.target.edits = fresh.target.edits = &edit, o.target.n_edits = fresh.target.n_edits = 1;
    put_prompt(&o, longer, 11, TOKEN_ALIGN_END);
    uint64_t before = fixture_hash(pair_shown(o.pair));
    put_prompt(&o, longer, 5, TOKEN_ALIGN_END);
    put_prompt(&fresh, longer, 5, TOKEN_ALIGN_END);
    assert_true(fixture_hash(pair_shown(o.pair)) == fixture_hash(pair_shown(fresh.pair)));
    assert_true(fixture_hash(pair_shown(o.pair)) != before);
    edit_free(edit);
    opened_end(&o), opened_end(&fresh);
}

/* Of another length and nothing says what belongs together: no method takes index for index. */
static void test_unaligned_refused(void **state)
{
    (void)state;
    static const int32_t lengths[] = {11, 5};
    struct opened o;
    struct err e = {0};
    struct edit *edit = NULL;
    opened_begin(&o, "gpt2");
    for (int i = 0; i < 2; i++) {
        char why[LIMIT_NAME];
        snprintf(why, sizeof why, "run clean has %d tokens, the prompt 9 · --align end or token",
                 (int)lengths[i]);
        put_prompt(&o, longer, lengths[i], TOKEN_ALIGN_INDEX);
        for (int m = ATTRIBUTE_ATP; m <= ATTRIBUTE_EAP_IG; m++)
            refuse(&o,
                   (struct attribute_options){.method = (enum attribute_method)m,
                                              .kind = kind_of("z"),
                                              .with = "from(clean)"},
                   why);
    }
    put_prompt(&o, longer, 11, TOKEN_ALIGN_INDEX);
    assert_int_equal(edit_parse(&edit, "blocks.0.attn.hook_z[3] = from(clean)", &e), 0);
    o.target.edits = &edit, o.target.n_edits = 1;
    assert_int_equal(pair_sync(o.pair, &o.target, NULL, &e), ERR_BAD_INPUT);
    o.target.n_edits = 0;
    put_prompt(&o, longer, 11, TOKEN_ALIGN_END);
    refuse(&o,
           (struct attribute_options){
               .method = ATTRIBUTE_ATP, .kind = kind_of("pattern"), .with = "from(clean)"},
           "patterns have two positions");
    edit_free(edit);
    opened_end(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aligned_values),
        cmocka_unit_test(test_aligned_sums),
        cmocka_unit_test(test_edits_follow),
        cmocka_unit_test(test_unaligned_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
