/* test_sweeping.c - a sweep beside the worker: its order, and what is there before anything is
 * computed, and that other questions at any moment change nothing of what it finds. */
#include "session_ask.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "measure/attribute.h"
#include "session/sweeping.h"

struct first {
    struct sweeping *w;
    const struct sweep_map *m;
};

static int after_one(void *user, struct err *e)
{
    struct first *f = user;
    sweep_map_release(f->m);
    f->m = sweeping_map(f->w);
    assert_non_null(f->m->guess); /* there before the first cell is */
    return !f->m->done ? 0 : err_set(e, ERR_CANCELLED, "cancelled");
}

/* The cell that attribution thinks most of is the first one; its estimates are there at once. */
static void likely_cells_come_first(void **state)
{
    (void)state;
    static const char *const kinds[][2] = {
        {"z_all_pos", ""}, {"resid_pre", ""}, {"edge", "layer=1"}, {"mlp_out", "pos=3"}};
    struct fixture f = fixture_open("llama");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct first first = {NULL, NULL};
        struct session_sweep sweep = {.id = 1, .with = "zero", .metric = "logit[-1, 5]"};
        struct session_want want = {.target.input = run_ids(f.tokens, f.n)};
        struct err e = {0};
        snprintf(sweep.kind, sizeof sweep.kind, "%s", kinds[k][0]);
        snprintf(sweep.over[0], sizeof sweep.over[0], "%s", kinds[k][1]);
        want.sweep = &sweep;
        assert_int_equal(sweeping_open(&first.w, f.m, 1 << 24, &e), 0);
        sweeping_ask(first.w, &want);
        assert_true(sweeping_waits(first.w));
        assert_int_equal(sweeping_step(first.w, after_one, &first), ERR_CANCELLED);
        const struct sweep_map *m = first.m;
        assert_int_equal(m->done, 1);
        int32_t at = 0;
        for (int32_t i = 0; i < m->cells; i++)
            at = m->has[i] ? i : at;
        for (int32_t i = 0; i < m->cells; i++)
            assert_true(isnan(m->guess[i]) || fabsf(m->guess[i]) <= fabsf(m->guess[at]));
        sweep_map_release(m);
        sweeping_close(first.w);
    }
    fixture_close(&f);
}

static int no_stop(void *user, struct err *e)
{
    (void)user, (void)e;
    return 0;
}

static int after_estimates(void *user, struct err *e)
{
    struct first *f = user;
    f->m = sweeping_map(f->w);
    return err_set(e, ERR_CANCELLED, "cancelled");
}

/* Estimates of a sweep with a prompt of another length are attribution with its positions paired
 * as the sweep pairs them, in the edits of every cell too; a position without a pair changes
 * nothing in either. */
static void estimates_are_aligned(void **state)
{
    (void)state;
    static const int32_t longer[] = {3, 5, 17, 11, 8, 26, 29, 44, 17, 2, 42};
    struct fixture f = fixture_open("llama");
    const struct pair_prompt prompt = {"other", longer, 11, NULL};
    struct edit *edit = NULL;
    struct err e = {0};
    assert_int_equal(edit_parse(&edit, "blocks.0.hook_mlp_out = from(other)", &e), 0);
    struct session_sweep sweep = {.id = 1,
                                  .kind = "resid_pre",
                                  .with = "from(other)",
                                  .metric = "logit[-1, 5]",
                                  .align = TOKEN_ALIGN_TOKEN};
    struct session_want want = {.target = {.input = run_ids(f.tokens, f.n),
                                           .prompts = &prompt,
                                           .n_prompts = 1,
                                           .edits = &edit,
                                           .n_edits = 1},
                                .sweep = &sweep};
    struct first first = {NULL, NULL};
    assert_int_equal(sweeping_open(&first.w, f.m, 1 << 24, &e), 0);
    sweeping_ask(first.w, &want);
    assert_int_equal(sweeping_step(first.w, after_estimates, &first), ERR_CANCELLED);
    assert_non_null(first.m->guess);
    struct pair_target t = want.target;
    struct pair *pair;
    struct metric metric;
    struct attribution a;
    const struct attribute_options o = {
        .method = ATTRIBUTE_ATP, .kind = sweep_kind_find("resid_pre", &e), .with = "from(other)"};
    t.align = TOKEN_ALIGN_TOKEN;
    assert_int_equal(metric_parse(&metric, sweep.metric, f.m->tok, f.m->cfg.d_vocab, &e), 0);
    assert_int_equal(pair_open(&pair, f.m, 1 << 24, &e), 0);
    assert_int_equal(pair_sync(pair, &t, NULL, &e), 0);
    assert_int_equal(attribute(&a, pair, &t, &metric, &o, &e), 0);
    assert_int_equal(attribution_count(&a), first.m->cells);
    for (int32_t i = 0; i < first.m->cells; i++)
        assert_true(first.m->guess[i] == a.values[i]);
    sweep_map_release(first.m);
    while (sweeping_waits(first.w) && !sweeping_step(first.w, no_stop, NULL))
        ;
    first.m = sweeping_map(first.w);
    assert_true(first.m->done == first.m->cells);
    assert_true(fabs(first.m->base - a.metric) <= 1e-5); /* of the same edited run */
    int none = 0;
    for (int32_t i = 0; i < first.m->cells; i++) /* no position of the other stands for it */
        if (first.m->value[i] == (float)first.m->base)
            none++, assert_true(a.values[i] == 0);
    assert_true(none > 0);
    sweep_map_release(first.m);
    attribution_free(&a);
    pair_close(pair);
    sweeping_close(first.w);
    edit_free(edit);
    fixture_close(&f);
}

/* ---- beside other questions ---- */

static bool has_begun(struct session *s, uint64_t id)
{
    const struct snapshot *snap = session_latest(s);
    bool begun = snap && snap->sweep && snap->sweep->of.id == id;
    snapshot_release(snap);
    return begun;
}

/* Whatever is there has the bits of the whole. */
static void check_part(const struct sweep_map *m, const struct sweep_map *whole)
{
    assert_int_equal(m->cells, whole->cells);
    for (int32_t i = 0; i < m->cells; i++)
        assert_true(!m->has[i] || !memcmp(&m->value[i], &whole->value[i], sizeof *m->value));
}

/* Interrupted at any moment by questions of other prompts, stopped and resumed, it comes to the
 * same bits. */
static void interruptions_change_nothing(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    const int32_t clean[] = {3, 17, 11, 8, 26, 29, 44, 17, 2};
    const struct pair_prompt prompt = {"other", clean, 9, NULL};
    struct session_sweep sweep = {
        .id = 1, .kind = "z", .with = "from(other)", .metric = "logit[-1, 5] - logit[-1, 11]"};
    struct session_want want = {
        .target = {.input = run_ids(f.tokens, f.n), .prompts = &prompt, .n_prompts = 1},
        .sweep = &sweep};
    struct session_want others = want; /* shorter prompts */
    struct session *s = NULL;
    struct err e = {0};
    uint32_t seed = 5;
    assert_int_equal(session_open(&s, f.m, 1 << 20, &e), 0);
    const struct snapshot *whole = ask(s, &want), *snap;
    assert_true(!whole->err.code && !whole->sweeping);
    assert_true(whole->sweep->done == whole->sweep->cells && whole->sweep->cells == 81);
    for (int i = 0; i < 200; i++) {
        sweep.id += i % 5 == 0; /* anew */
        sweep.paused = fixture_random(&seed) % 4 == 0;
        others.target.input.n = 2 + (int32_t)(fixture_random(&seed) % 7);
        session_request(s, i % 5 ? &others : &want);
        while (i % 5 == 0 && !has_begun(s, sweep.id))
            sched_yield();
        for (uint32_t wait = fixture_random(&seed) % 40000; wait > 0; wait--)
            atomic_signal_fence(memory_order_seq_cst);
        snap = session_latest(s);
        if (snap && snap->sweep && snap->sweep->of.id == sweep.id)
            check_part(snap->sweep, whole->sweep);
        snapshot_release(snap);
        if (i % 5 != 4)
            continue;
        sweep.paused = false;
        snap = ask(s, &others);
        assert_true(snap->sweep->done == snap->sweep->cells);
        check_part(snap->sweep, whole->sweep);
        snapshot_release(snap);
    }
    sweep.id++;
    snprintf(sweep.metric, sizeof sweep.metric, "logprob[-1, 5]"); /* of what is there already */
    const struct snapshot *again = ask(s, &want);
    assert_true(again->sweep->done == 81 && !strcmp(again->sweep->of.metric, sweep.metric));
    sweep.id++;
    want.target.input.n--; /* another sweep in between: nothing is kept */
    snapshot_release(ask(s, &want));
    sweep.id++;
    want.target.input.n++;
    snap = ask(s, &want);
    check_part(again->sweep, snap->sweep);
    assert_true(again->sweep->base == snap->sweep->base);
    snapshot_release(snap), snapshot_release(again);
    sweep.id++;
    snprintf(sweep.kind, sizeof sweep.kind, "neurons");
    snap = ask(s, &want); /* the rest is answered */
    assert_int_equal(snap->err.code, 0);
    assert_non_null(strstr(snap->sweep->err.text, "no kind \"neurons\""));
    snapshot_release(snap);
    want.sweep = NULL;
    snap = ask(s, &want);
    assert_null(snap->sweep);
    snapshot_release(snap), snapshot_release(whole);
    session_close(s);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(likely_cells_come_first),
                                       cmocka_unit_test(estimates_are_aligned),
                                       cmocka_unit_test(interruptions_change_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
