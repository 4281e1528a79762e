/* test_sweep_metric.c - another metric for a sweep that is there: the bits of a sweep of its own,
 * and where it is refused the old one whole. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "measure/sweep.h"
#include "session/session.h"

enum { CACHE = 1 << 24, N_OTHER = 7 };
static const int32_t other[N_OTHER] = {3, 17, 11, 8, 26, 29, 44};
static const char LOGIT[] = "logit[-1, 5]";

/* The fixture's prompt and a shorter one, each the other's further run. */
struct prompts {
    struct fixture f;
    struct pair_prompt runs[2];
    struct sweep_prompt list[2];
    struct sweep_want want;
};

static void prompts_begin(struct prompts *p, const char *model)
{
    *p = (struct prompts){.f = fixture_open(model)};
    p->runs[0] = (struct pair_prompt){.name = "clean", .tokens = other, .n = N_OTHER};
    p->runs[1] = (struct pair_prompt){.name = "clean", .tokens = p->f.tokens, .n = p->f.n};
    p->list[0] = (struct sweep_prompt){run_ids(p->f.tokens, p->f.n), &p->runs[0], 1, LOGIT};
    p->list[1] = (struct sweep_prompt){run_ids(other, N_OTHER), &p->runs[1], 1, LOGIT};
    p->want = (struct sweep_want){.kind = "z_all_pos",
                                  .with = "zero",
                                  .align = TOKEN_ALIGN_END,
                                  .prompts = p->list,
                                  .n_prompts = 2,
                                  .cache_bytes = CACHE};
}

static struct sweep *swept(const struct prompts *p)
{
    struct sweep *s = NULL;
    struct err e = {0};
    if (sweep_open(&s, p->f.m, &p->want, &e) || sweep_step(s, SWEEP_CELLS_MAX, NULL, NULL, &e))
        fail_msg("%s", e.text);
    assert_int_equal(sweep_done(s), sweep_cells(s));
    return s;
}

/* Values, errors and sides, bit for bit. */
static void check_same(const struct sweep *a, const struct sweep *b)
{
    double x[3], y[3];
    assert_int_equal(sweep_done(a), sweep_done(b));
    for (int32_t i = 0; i < sweep_cells(a); i++) {
        x[0] = sweep_value(a, i, &x[1]), y[0] = sweep_value(b, i, &y[1]);
        assert_memory_equal(x, y, 2 * sizeof *x);
    }
    sweep_sides(a, &x[0], &x[1]), sweep_sides(b, &y[0], &y[1]);
    x[2] = sweep_base(a), y[2] = sweep_base(b);
    assert_memory_equal(x, y, sizeof x);
}

/* From any metric to any other, those of few tokens too, from what is kept: no cell is run again.
 */
static void test_bits(void **state)
{
    (void)state;
    static const char *const metrics[] = {"logprob[-1, 5]", "logit[-1, 5]",
                                          "2 * logit[-1, 11] - logit[-1, 5]", "kl", "rank[-1, 5]"};
    enum { N = sizeof metrics / sizeof *metrics };
    static const char *const models[] = {"gpt2", "gemma2"};
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        struct prompts p;
        prompts_begin(&p, models[k]);
        for (int i = 0; i < N * N; i++) {
            struct err e = {0};
            p.list[0].metric = p.list[1].metric = metrics[i / N];
            struct sweep *s = swept(&p);
            assert_int_equal(
                sweep_metric(s, (const char *const[]){metrics[i % N], metrics[i % N]}, &e), 0);
            assert_int_equal(sweep_done(s), sweep_cells(s));
            p.list[0].metric = p.list[1].metric = metrics[i % N];
            struct sweep *fresh = swept(&p);
            check_same(s, fresh);
            sweep_close(s), sweep_close(fresh);
        }
        fixture_close(&p.f);
    }
}

/* What a metric takes of the device at most. */
static size_t bytes_of(struct sweep *s, const char *metric)
{
    struct err e = {0};
    size_t before = fixture_bytes();
    fixture_bytes_most();
    assert_int_equal(sweep_metric(s, (const char *const[]){metric, metric}, &e), 0);
    return fixture_bytes_most() - before;
}

/* Of a few tokens only their logits are computed. */
static void test_few(void **state)
{
    (void)state;
    struct prompts p;
    prompts_begin(&p, "gpt2");
    fixture_count(p.f.m->be);
    struct sweep *s = swept(&p);
    size_t all = bytes_of(s, "logprob[-1, 5]"), few = bytes_of(s, LOGIT);
    assert_true(few < all / 2);
    sweep_close(s);
    fixture_count(NULL);
    fixture_close(&p.f);
}

/* Refused for the second prompt alone, whose position it has not; or because the two runs that
 * scores are counted between are the same in it. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *metric[2], *normalize, *message;
    } bad[] = {{{"logprob[8, 5]", "logprob[8, 5]"}, NULL, "prompt 2 · metric · position 8"},
               {{"kl", "nonsense"}, NULL, "prompt 2 · metric \"nonsense\""},
               {{"0 * logprob[-1, 5]", "logit[-1, 5]"}, "clean", "no way from 0 to 1"},
               {{"logit[-1, 5]", "0 * logprob[-1, 5]"}, "clean", "no way from 0 to 1"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct prompts p;
        struct err e = {0};
        prompts_begin(&p, "gpt2");
        p.want.normalize = bad[i].normalize;
        struct sweep *s = swept(&p), *same = swept(&p);
        assert_int_equal(sweep_metric(s, bad[i].metric, &e), ERR_BAD_INPUT);
        if (!strstr(e.text, bad[i].message))
            fail_msg("%s", e.text);
        check_same(s, same);
        assert_int_equal(sweep_step(s, 1, NULL, NULL, &e), 0); /* and another one is taken */
        assert_int_equal(
            sweep_metric(s, (const char *const[]){"logprob[-1, 5]", "logprob[-1, 5]"}, &e), 0);
        p.list[0].metric = p.list[1].metric = "logprob[-1, 5]";
        struct sweep *fresh = swept(&p);
        check_same(s, fresh);
        sweep_close(s), sweep_close(same), sweep_close(fresh);
        fixture_close(&p.f);
    }
}

/* A session says why, beside the values that it still has, and goes on from them. */
static void test_session(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session_sweep sweep = {.id = 1, .kind = "z_all_pos", .with = "zero"};
    struct session_want want = {.target.input = run_ids(f.tokens, f.n), .sweep = &sweep};
    struct session *s = NULL;
    struct err e = {0};
    const struct snapshot *snap[3];
    static const char *const metrics[] = {"logit[-1, 5]", "logit[99, 5]", "logprob[-1, 5]"};
    assert_int_equal(session_open(&s, f.m, CACHE, &e), 0);
    for (int i = 0; i < 3; i++) {
        sweep.id++;
        memcpy(sweep.metric, metrics[i], strlen(metrics[i]) + 1);
        snap[i] = session_wait(s, session_request(s, &want));
        assert_int_equal(snap[i]->sweep->done, snap[i]->sweep->cells);
    }
    const struct sweep_map *first = snap[0]->sweep, *refused = snap[1]->sweep,
                           *third = snap[2]->sweep;
    assert_int_equal(refused->err.code, ERR_BAD_INPUT);
    assert_non_null(strstr(refused->err.text, "position 99"));
    assert_string_equal(refused->of.metric, "logit[-1, 5]"); /* what the values are of */
    assert_memory_equal(refused->value, first->value, (size_t)first->cells * sizeof *first->value);
    assert_true(refused->base == first->base && !third->err.code);
    assert_string_equal(third->of.metric, "logprob[-1, 5]");
    assert_true(third->base != first->base);
    for (int i = 0; i < 3; i++)
        snapshot_release(snap[i]);
    session_close(s);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits), cmocka_unit_test(test_few),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_session)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
