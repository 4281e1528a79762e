/* test_generate.c - choosing tokens, and that every step is what a run from scratch would give. */
#include "products.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/generate.h"
#include "measure/lens.h"

static int32_t choose(const float *logits, int32_t n, double temperature, int32_t k, double p,
                      uint64_t *state)
{
    struct generate_options o = {.temperature = temperature, .top_k = k, .top_p = p};
    int32_t id = -1;
    assert_int_equal(generate_choose(logits, n, &o, state, &id, NULL), 0);
    return id;
}

static void greedy_takes_the_highest(void **state)
{
    (void)state;
    uint64_t s = 1;
    assert_int_equal(choose((const float[]){1, 3, 3, 2}, 4, 0, 0, 1, &s),
                     1); /* ties: the lower id */
    assert_int_equal(choose((const float[]){NAN, -INFINITY, NAN, -INFINITY}, 4, 0, 0, 1, &s), 1);
    assert_true(s == 1); /* nothing is drawn */
    struct err e = {0};
    int32_t id = -7;
    assert_int_equal(
        generate_choose((const float[]){NAN, NAN}, 2, &(struct generate_options){0}, &s, &id, &e),
        ERR_BAD_INPUT);
    assert_int_equal(id, -7);
}

/* Frequencies of many draws, against softmax over the tokens that may come. */
static void drawn(const float *logits, int32_t n, double temperature, int32_t k, double p,
                  const double *expected)
{
    enum { DRAWS = 40000 };
    int count[8] = {0};
    uint64_t s = 42;
    for (int i = 0; i < DRAWS; i++)
        count[choose(logits, n, temperature, k, p, &s)]++;
    for (int i = 0; i < n; i++) {
        double sd = sqrt(expected[i] * (1 - expected[i]) / DRAWS);
        if (fabs(count[i] / (double)DRAWS - expected[i]) > 5 * sd)
            fail_msg("token %d: %.4f of the draws, expected %.4f", i, count[i] / (double)DRAWS,
                     expected[i]);
    }
}

static void draws_follow_the_distribution(void **state)
{
    (void)state;
    const float half[] = {0, (float)log(2), (float)log(4), (float)log(1)}; /* 1 2 4 1 of 8 */
    drawn(half, 4, 1, 0, 1, (const double[]){1 / 8., 2 / 8., 4 / 8., 1 / 8.});
    drawn(half, 4, 0.5, 0, 1, (const double[]){1 / 22., 4 / 22., 16 / 22., 1 / 22.});
    drawn(half, 4, 1, 2, 1, (const double[]){0, 2 / 6., 4 / 6., 0});
    drawn(half, 4, 1, 0, 0.5, (const double[]){0, 0, 1, 0});
    drawn(half, 4, 1, 0, 0.6,
          (const double[]){0, 2 / 6., 4 / 6., 0}); /* the one that crosses the share is in */
    drawn(half, 4, 1, 3, 0.7,
          (const double[]){0, 2 / 6., 4 / 6., 0}); /* share of the top three: 6/7 > 0.7 > 4/7 */
    const float odd[] = {NAN, INFINITY, -INFINITY, INFINITY};
    drawn(odd, 4, 1, 0, 1, (const double[]){0, .5, 0, .5});
}

static void same_seed_same_draws(void **state)
{
    (void)state;
    const float flat[8] = {0};
    uint64_t a = 7, b = 7, c = 8;
    int differ = 0;
    for (int i = 0; i < 64; i++) {
        int32_t x = choose(flat, 8, 1, 0, 1, &a);
        assert_int_equal(x, choose(flat, 8, 1, 0, 1, &b));
        differ += x != choose(flat, 8, 1, 0, 1, &c);
    }
    assert_true(differ > 20);
}

struct collected {
    int32_t id[64];
    int n, most;
};

static bool collect(void *user, int32_t row, int32_t id, const float *logits)
{
    assert_non_null(logits);
    assert_int_equal(row, 0);
    struct collected *c = user;
    assert_true(c->n < 64);
    c->id[c->n++] = id;
    return c->n < c->most;
}

/* Every token is the best of a pair that never saw a shorter prompt, with the edits resolved for
 * its length. */
static void steps_equal_runs_from_scratch(const char *name, const char *edit_text)
{
    struct fixture f = fixture_open(name);
    struct edit *ed = NULL;
    struct err e = {0};
    if (edit_text && edit_parse(&ed, edit_text, &e))
        fail_msg("%s", e.text);
    struct pair_target t = {
        .input.tokens = f.tokens, .input.n = f.n, .edits = &ed, .n_edits = ed ? 1 : 0};
    struct generate_options o = {0};
    struct collected got = {.most = 64};
    int count = 10;
    if (generate(f.m, &t, 1, count, &o, -1, 1 << 20, collect, &got, &e))
        fail_msg("%s", e.text);
    assert_int_equal(got.n, count);

    int32_t tokens[64];
    float *logits = malloc((size_t)f.m->cfg.d_vocab * sizeof *logits);
    memcpy(tokens, f.tokens, (size_t)f.n * sizeof *tokens);
    t.input.tokens = tokens;
    for (int i = 0; i < count; i++) {
        struct pair *p = NULL;
        uint64_t s = 0;
        t.input.n = f.n + i;
        assert_int_equal(pair_open(&p, f.m, 0, NULL), 0);
        assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
        struct run *r = pair_run(p, ed ? FACE_EDITED : FACE_BASE);
        assert_int_equal(lens_logits(r, t.input.n - 1, logits, NULL), 0);
        tokens[t.input.n] = choose(logits, f.m->cfg.d_vocab, 0, 0, 1, &s);
        assert_int_equal(tokens[t.input.n], got.id[i]);
        pair_close(p);
    }
    free(logits);
    edit_free(ed);
    fixture_close(&f);
}

static void generation_is_a_run_at_every_length(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "gpt_neox", "llama", "mistral"};
    for (int i = 0; i < 4; i++) {
        steps_equal_runs_from_scratch(names[i], NULL);
        steps_equal_runs_from_scratch(names[i], "blocks.0.attn.hook_z[-1] = 0");
        steps_equal_runs_from_scratch(names[i], "blocks.1.hook_resid_post[2:] *= -1.5");
        steps_equal_runs_from_scratch(names[i], "blocks.1.hook_mlp_out = mean()");
    }
}

/* ---- several prompts together
 * ---------------------------------------------------------------------- */

enum { PROMPTS = 19, EACH = 7 }; /* more than go through the products together */

struct heard {
    int32_t n[PROMPTS], id[PROMPTS][EACH], offset;
    float *logits;           /* [PROMPTS][EACH][vocab] */
    int32_t vocab, stop_row; /* a row that ends after two tokens */
};

static bool hear(void *user, int32_t row, int32_t id, const float *logits)
{
    struct heard *h = user;
    row += h->offset;
    memcpy(h->logits + ((int64_t)row * EACH + h->n[row]) * h->vocab, logits,
           (size_t)h->vocab * sizeof *logits);
    h->id[row][h->n[row]++] = id;
    return !(row == h->stop_row && h->n[row] == 2);
}

static struct heard heard_new(const struct model *m)
{
    return (struct heard){
        .vocab = m->cfg.d_vocab,
        .stop_row = 4,
        .logits = calloc((size_t)PROMPTS * EACH * (size_t)m->cfg.d_vocab, sizeof(float))};
}

/* Of products of the same rows no call is made one by one: of a pass so many as the plan says. */
static void so_many_calls(const struct model *m)
{
    int64_t all = 0, beside = 0;
    for (int32_t stage = 0; stage <= m->cfg.n_layers + 1; stage++) {
        int32_t n;
        const struct step *steps = plan_stage(m->plan, stage, &n);
        for (int32_t i = 0; i < n; i++) {
            all += steps[i].when == STEP_ALWAYS && steps[i].op == KN_OP_LINEAR;
            beside += steps[i].beside > 0;
        }
    }
    if (!beside || products_calls * all != products * (all - beside))
        fail_msg("%s: %d products by %d calls, not %lld by %lld", m->name, products, products_calls,
                 (long long)all, (long long)(all - beside));
}

/* Rows of several lengths, drawn with their own seeds, have alone the bits that they have together;
 * *alone and *together count products. */
static void rows_are_what_they_are_alone(const char *name, const char *const *texts,
                                         int32_t n_edits, size_t cache, int *alone, int *together)
{
    struct fixture f = fixture_open(name);
    struct edit *edits[4];
    struct pair_target t[PROMPTS];
    int32_t tokens[PROMPTS][64];
    struct err e = {0};
    struct heard one = heard_new(f.m), all = heard_new(f.m);
    struct generate_options o = {
        .temperature = 1.2, .top_k = 30, .seed = 11, .repetition_penalty = 1.1};
    struct pair_prompt corrupt = {"corrupt", tokens[0], 15, NULL};
    for (int32_t i = 0; i < n_edits; i++)
        if (edit_parse(&edits[i], texts[i], &e))
            fail_msg("%s", e.text);
    for (int32_t i = 0; i < PROMPTS; i++) {
        for (int32_t k = 0; k < 16; k++)
            tokens[i][k] = (i * 7 + k * k * 3 + f.tokens[k % f.n]) % f.m->cfg.d_vocab;
        t[i] = (struct pair_target){.input.tokens = tokens[i],
                                    .input.n = 4 + i * 5 % 6,
                                    .edits = edits,
                                    .n_edits = n_edits,
                                    .prompts = &corrupt,
                                    .n_prompts = 1,
                                    .align = TOKEN_ALIGN_END};
    }
    products = products_calls = 0;
    if (generate(f.m, t, PROMPTS, EACH, &o, -1, cache * PROMPTS, hear, &all, &e))
        fail_msg("%s: %s", name, e.text);
    *together = products;
    if (!n_edits && !f.m->cfg.n_moe)
        so_many_calls(f.m);
    products = 0;
    for (one.offset = 0; one.offset < PROMPTS; one.offset++, o.seed++)
        assert_int_equal(generate(f.m, &t[one.offset], 1, EACH, &o, -1, cache, hear, &one, NULL),
                         0);
    *alone = products;
    for (int32_t i = 0; i < PROMPTS; i++)
        assert_int_equal(all.n[i], i == all.stop_row ? 2 : EACH);
    assert_memory_equal(all.id, one.id, sizeof all.id);
    assert_memory_equal(all.logits, one.logits,
                        (size_t)PROMPTS * EACH * (size_t)all.vocab * sizeof(float));
    free(one.logits), free(all.logits);
    for (int32_t i = 0; i < n_edits; i++)
        edit_free(edits[i]);
    fixture_close(&f);
}

static void prompts_go_together(void **state)
{
    (void)state;
    static const char *const lists[][3] = {
        {NULL},
        {"blocks.0.attn.hook_z[-1] = 0", "blocks.1.hook_resid_post[2:] *= -1.5"},
        {"blocks.1.hook_mlp_out = mean()", "unembed.hook_out[-1, 3] += 1"},
        {"blocks.0.mlp.W_out *= 0.5", "blocks.1.hook_q_input[:, 0] *= 0.5"},
        {"blocks.0.attn.hook_pattern[:, -1, 0] = 0, renormalize"},
        {"blocks.1.attn.hook_result[1:, 0] *= 2", "blocks.0.hook_resid_pre[1:3] = from(corrupt)"},
        {"blocks.0.attn.hook_pattern[0, 1, 2] = 0.5"}, /* sees ahead */
    };
    char **names = fixture_names(true);
    for (char **name = names; *name; name++)
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
            int32_t n = lists[i][0] ? lists[i][1] ? 2 : 1 : 0;
            int alone, together;
            rows_are_what_they_are_alone(*name, lists[i], n, i % 2 ? 1 << 20 : 0, &alone,
                                         &together);
            assert_true(together * 3 < alone); /* weights that edits changed are each row's own */
        }
    fixture_names_free(names);
}

static void it_stops_where_it_must(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2"); /* learned positions for 32 */
    struct pair_target t = {.input.tokens = f.tokens, .input.n = f.n};
    struct generate_options o = {0};
    struct collected got = {.most = 64}, again = {.most = 64};
    struct err e = {0};
    assert_int_equal(generate(f.m, &t, 1, 64, &o, -1, 0, collect, &got, &e), ERR_BAD_INPUT);
    assert_int_equal(got.n, f.m->cfg.n_ctx - f.n + 1);
    assert_non_null(strstr(e.text, "32"));
    int32_t eos = got.id[got.n - 1]; /* tiny models repeat themselves: find its first place */
    int first = 0;
    while (got.id[first] != eos)
        first++;
    assert_int_equal(generate(f.m, &t, 1, 64, &o, eos, 0, collect, &again, NULL), 0);
    assert_int_equal(again.n, first);
    again = (struct collected){.most = 2};
    assert_int_equal(generate(f.m, &t, 1, 64, &o, -1, 0, collect, &again, NULL), 0);
    assert_int_equal(again.n, 2);
    again = (struct collected){.most = 2};
    assert_int_equal(generate(f.m, &t, 1, 0, &o, -1, 0, collect, &again, NULL), 0);
    assert_int_equal(again.n, 0);
    fixture_close(&f);
}

/* Hugging Face's and TransformerLens' formulas by hand. */
static void penalties(void **state)
{
    (void)state;
    const float logits[5] = {2, -3, 0, 4, -0.5f};
    const int32_t text[] = {0, 1, 0, 3, 0, 2};
    float out[5];
    struct generate_options o = {.repetition_penalty = 1.25};
    generate_penalize(logits, out, 5, text, 6, &o);
    const float hf[5] = {2 / 1.25f, -3 * 1.25f, 0, 4 / 1.25f,
                         -0.5f}; /* once each, however often they are there */
    for (int i = 0; i < 5; i++)
        assert_float_equal(out[i], hf[i], 1e-6f);
    o = (struct generate_options){.freq_penalty = 0.75, .temperature = 0.5};
    generate_penalize(logits, out, 5, text, 6, &o);
    const float count[5] = {3, 1, 1, 1, 0};
    for (int i = 0; i < 5; i++)
        assert_float_equal(out[i] / 0.5f, logits[i] / 0.5f - 0.75f * count[i], 1e-6f);
    o.repetition_penalty = 2; /* the division first */
    generate_penalize(logits, out, 5, text, 6, &o);
    assert_float_equal(out[0] / 0.5f, (2 / 2.0f) / 0.5f - 3 * 0.75f, 1e-6f);
    assert_float_equal(out[1] / 0.5f, (-3 * 2.0f) / 0.5f - 0.75f, 1e-6f);
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct pair_target t = {.input.tokens = f.tokens, .input.n = f.n};
    struct err e = {0};
    const struct {
        struct generate_options o;
        const char *says;
    } bad[] = {
        {{.top_p = 1, .freq_penalty = 1}, "greedy"},
        {{.top_p = 1, .repetition_penalty = -1}, "-1"},
        {{.top_p = 1, .repetition_penalty = NAN}, "nan"},
        {{.top_p = 2}, "top_p 2"},
        {{.top_p = 1, .temperature = NAN}, "temperature"},
        {{.top_p = 1, .temperature = 1, .freq_penalty = INFINITY}, "inf"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct collected got = {.most = 1};
        assert_int_equal(generate(f.m, &t, 1, 1, &bad[i].o, -1, 0, collect, &got, &e),
                         ERR_BAD_INPUT);
        assert_non_null(strstr(e.text, bad[i].says));
        assert_int_equal(got.n, 0);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_highest),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(same_seed_same_draws),
        cmocka_unit_test(generation_is_a_run_at_every_length),
        PRODUCTS_TEST(prompts_go_together),
        cmocka_unit_test(it_stops_where_it_must),
        cmocka_unit_test(penalties),
        cmocka_unit_test(options_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
