/* test_attribute_set.c - the mean of an attribution over prompts is that of its prompts one by one,
 * their positions paired as sweeps pair them. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/attribute_set.h"

enum { CACHE = 1 << 22, PROMPTS = 3, LONG = 9 };
static const int32_t ids[PROMPTS][LONG] = {{3, 17, 42, 8, 8, 29, 3, 17, 42},
                                           {3, 17, 11, 8, 26, 29, 44, 17, 2},
                                           {5, 17, 42, 26, 29, 3, 1, 2, 4}};
static const char *const metrics[PROMPTS] = {"logit[-1, 5]", "logprob[-1, 11] - logit[0, 2]",
                                             "2 * logit[-2, 7]"};

/* Three prompts, each with the next one as its further run; the last one may be shorter. */
struct set {
    struct fixture f;
    struct pair_prompt run[PROMPTS];
    struct sweep_prompt prompt[PROMPTS];
    struct pair_target shared;
};

static void set_begin(struct set *s, const char *model, int32_t last)
{
    const int32_t lengths[PROMPTS] = {LONG, LONG, last};
    *s = (struct set){.f = fixture_open(model)};
    for (int k = 0; k < PROMPTS; k++) {
        int next = (k + 1) % PROMPTS;
        s->run[k] = (struct pair_prompt){"clean", ids[next], lengths[next], NULL};
        s->prompt[k] = (struct sweep_prompt){run_ids(ids[k], lengths[k]), &s->run[k], 1,
                                             metrics[k]};
    }
}

static struct attribution alone(const struct set *s, int k, const struct attribute_options *o)
{
    struct pair_target t = s->shared;
    struct pair *p = NULL;
    struct metric m;
    struct attribution a = {0};
    struct err e = {0};
    t.input = s->prompt[k].input, t.prompts = &s->run[k], t.n_prompts = 1;
    if (metric_parse(&m, metrics[k], s->f.m->tok, s->f.m->cfg.d_vocab, &e) ||
        pair_open(&p, s->f.m, CACHE, &e) || pair_sync(p, &t, NULL, &e) ||
        attribute(&a, p, &t, &m, o, &e))
        fail_msg("%s", e.text);
    pair_close(p);
    return a;
}

/* The position of prompt k that a column means, by hand. */
static int32_t position(const struct set *s, int k, int32_t column, int32_t columns)
{
    int32_t map[LONG], n = s->prompt[k].input.n;
    if (s->shared.align != TOKEN_ALIGN_TOKEN)
        return s->shared.align == TOKEN_ALIGN_END ? n - columns + column : column;
    assert_true(token_align(ids[0], LONG, ids[k], n, TOKEN_ALIGN_TOKEN, map, NULL) >= 0);
    return map[column];
}

static void check(const struct set *s, const struct attribute_options *o)
{
    struct attribution mean = {0}, each[PROMPTS];
    float *errors = NULL;
    struct err e = {0};
    if (attribute_set(&mean, &errors, s->f.m, &s->shared, s->prompt, PROMPTS, o, CACHE, &e))
        fail_msg("%s", e.text);
    double base = 0;
    for (int k = 0; k < PROMPTS; k++) {
        each[k] = alone(s, k, o);
        base += each[k].metric / PROMPTS;
        assert_int_equal(each[k].rank, mean.rank);
    }
    assert_true(fabs(mean.metric - base) < 1e-9);
    int64_t n = attribution_count(&mean);
    for (int64_t i = 0; i < n; i++) {
        double v[PROMPTS], sum = 0, square = 0;
        int count = 0;
        for (int k = 0; k < PROMPTS; k++) {
            int64_t at = 0, step = 1, rest = i;
            bool gone = false;
            for (int x = mean.rank; x-- > 0; rest /= mean.axis[x].size) {
                int32_t c = (int32_t)(rest % mean.axis[x].size);
                if (!strcmp(mean.axis[x].name, "pos") || !strcmp(mean.axis[x].name, "dest") ||
                    !strcmp(mean.axis[x].name, "src"))
                    c = position(s, k, c, mean.axis[x].size);
                gone |= c < 0;
                at += c * step, step *= each[k].axis[x].size;
            }
            if (!gone && (!each[k].there || each[k].there[at]))
                sum += v[count++] = (double)each[k].values[at];
        }
        assert_int_equal(mean.there[i], count > 0);
        for (int k = 0; k < count; k++)
            square += (v[k] - sum / count) * (v[k] - sum / count);
        double scale = 1e-6 * (1 + fabs(sum));
        assert_true(!count || fabs((double)mean.values[i] - sum / count) <= scale);
        double error = count > 1 ? sqrt(square / (count - 1) / count) : 0;
        assert_true(fabs((double)errors[i] - error) <= scale);
    }
    for (int k = 0; k < PROMPTS; k++)
        attribution_free(&each[k]);
    attribution_free(&mean);
    free(errors);
}

static void test_means(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama"};
    struct err e = {0};
    for (int i = 0; i < 2; i++)
        for (int how = 0; how < TOKEN_ALIGN_COUNT; how++) {
            struct set s;
            set_begin(&s, models[i], how == TOKEN_ALIGN_INDEX ? LONG : 6);
            s.shared.align = (enum token_align)how;
            struct attribute_options o = {.method = ATTRIBUTE_ATP,
                                          .kind = sweep_kind_find("k", &e),
                                          .with = "from(clean)",
                                          .cache_bytes = CACHE};
            check(&s, &o);
            o.method = ATTRIBUTE_IG, o.steps = 2;
            check(&s, &o);
            o.method = ATTRIBUTE_EAP;
            check(&s, &o);
            o = (struct attribute_options){.method = ATTRIBUTE_GRAD,
                                           .kind = sweep_kind_find("score", &e)};
            check(&s, &o);
            fixture_close(&s.f);
        }
}

static void test_refused(void **state)
{
    (void)state;
    struct set s;
    struct attribution a = {.rank = 7};
    float *errors = NULL;
    struct err e = {0};
    struct attribute_options o = {
        .method = ATTRIBUTE_ATP, .kind = sweep_kind_find("z", &e), .with = "from(clean)"};
    set_begin(&s, "gpt2", 6);
    assert_int_equal(attribute_set(&a, &errors, s.f.m, &s.shared, s.prompt, PROMPTS, &o, CACHE, &e),
                     ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "prompt 3 has 6 tokens, the first one 9 · --align"));
    s.shared.align = TOKEN_ALIGN_END;
    s.prompt[1].metric = "logit[7, 99]";
    assert_int_equal(attribute_set(&a, &errors, s.f.m, &s.shared, s.prompt, PROMPTS, &o, CACHE, &e),
                     ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "prompt 2 · metric"));
    assert_int_equal(attribute_set(&a, &errors, s.f.m, &s.shared, s.prompt, 0, &o, CACHE, &e),
                     ERR_BAD_INPUT);
    assert_true(a.rank == 7 && !errors);
    fixture_close(&s.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_means),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
