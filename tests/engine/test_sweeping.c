/* test_sweeping.c - a sweep beside the worker: its order, and what is there before anything is
 * computed.  Interruptions: test_session.c. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>

#include "session/session.h"
#include "session/sweeping.h"

struct first {
    struct sweeping *w;
    const struct sweep_map *m;
};

static int after_one(void *user, struct err *e)
{
    struct first *f = user;
    f->m = sweeping_map(f->w);
    return err_set(e, ERR_CANCELLED, "cancelled");
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
        assert_non_null(m->guess);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(likely_cells_come_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
