/* test_library_score.c - bore_score_run: taker's numbers through the public header, cancelled,
 * refused. */
#include "library.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PROMPTS "tests/fixtures/prompts/"
enum { ROOM = 1024 };

static struct bore_score both(const char *unit)
{
    return (struct bore_score){.focus = {.path = PROMPTS "score_focus.txt"},
                               .cripple = {.path = PROMPTS "score_cripple.txt"},
                               .unit = unit};
}

static int stops(void *user, int64_t tokens, double share)
{
    (void)tokens, (void)share;
    return ++*(int *)user >= 1;
}

static void as_taker(void **state)
{
    (void)state;
    static const char *const units[] = {"neurons", "dims"};
    struct library l = library_open("gpt2", 1 << 24);
    struct checkpoint *ref = fixture_file("gpt2", "score.safetensors");
    for (int u = 0; u < 2; u++) {
        struct bore_score w = both(units[u]);
        struct bore_error e;
        char name[40];
        double x[ROOM];
        int64_t n = 0, asked = 0;
        library_ok(bore_score_run(l.m, &w, NULL, 0, &asked, NULL, NULL, &e), &e);
        library_ok(bore_score_run(l.m, &w, x, ROOM, &n, NULL, NULL, &e), &e);
        snprintf(name, sizeof name, "%s.abs", units[u]);
        const struct st_tensor *t = checkpoint_find(ref, name);
        assert_non_null(t);
        assert_true(n == st_count(t) && n == asked);
        for (int64_t i = 0; i < n; i++) {
            double want = ((const double *)t->data)[i];
            assert_true(fabs(x[i] - want) <= 2e-5 * fabs(want) + 3e-7);
        }
    }
    checkpoint_close(ref);
    library_close(&l);
}

static void refused(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 24);
    struct bore_score w = both("heads");
    struct bore_error e;
    double x[ROOM];
    int64_t n;
    int calls = 0;
    assert_int_equal(bore_score_run(l.m, &w, x, 3, &n, NULL, NULL, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "room for 3 values · there are 9"));
    assert_int_equal(bore_score_run(l.m, &w, x, ROOM, &n, stops, &calls, &e), BORE_CANCELLED);
    assert_int_equal(calls, 1);
    w.cripple.path = NULL;
    assert_int_equal(bore_score_run(l.m, &w, x, ROOM, &n, NULL, NULL, &e), BORE_BAD_INPUT);
    w.score = "rand";
    library_ok(bore_score_run(l.m, &w, x, ROOM, &n, NULL, NULL, &e), &e);
    w.score = "norm";
    assert_int_not_equal(bore_score_run(l.m, &w, x, ROOM, &n, NULL, NULL, &e), 0);
    assert_non_null(strstr(e.text, "no score \"norm\""));
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_taker),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
