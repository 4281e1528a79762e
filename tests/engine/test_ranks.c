/* test_ranks.c - ranks.h for a process alone, and what it says where a launcher's other processes
 * cannot be met.  Several ranks: tests/tui/test_ranks.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/ranks.h"

static void launched(const char *size, const char *rank)
{
    static const char *const names[][2] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                           {"PMI_SIZE", "PMI_RANK"},
                                           {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};
    for (size_t i = 0; i < 3; i++)
        unsetenv(names[i][0]), unsetenv(names[i][1]);
    if (size)
        setenv("PMI_SIZE", size, 1);
    if (rank)
        setenv("PMI_RANK", rank, 1);
}

struct seen {
    char text[64];
    size_t len;
    int fail_at, n;
};

static int merge(void *user, const void *bytes, size_t len, struct err *e)
{
    struct seen *s = user;
    if (s->n++ == s->fail_at)
        return err_set(e, ERR_BAD_INPUT, "no more");
    assert_true(s->len + len < sizeof s->text);
    memcpy(s->text + s->len, bytes, len);
    s->len += len;
    return 0;
}

/* Every unit is its own, and merged as it comes. */
static void alone(void **state)
{
    (void)state;
    static const char *const plugin[] = {NULL};
    struct ranks *r;
    struct err e = {0};
    struct seen s = {.fail_at = 3};
    struct gather g = {.merge = merge, .user = &s};
    struct gather_news news;
    const char *const not_launched[][2] = {{NULL, NULL}, {"1", "0"}, {"4", NULL}, {"x", "0"}};
    for (size_t i = 0; i < 4; i++) {
        launched(not_launched[i][0], not_launched[i][1]);
        assert_int_equal(ranks_open(&r, plugin, &e), 0);
        assert_null(r);
        assert_int_equal(ranks_started(), -1);
    }
    assert_true(ranks_rank(r) == 0 && ranks_size(r) == 1 && ranks_threads(r) == 0);
    assert_true(ranks_mine(r, 0) && ranks_mine(r, 7));
    assert_int_equal(ranks_agree(r, ERR_USAGE, "a", 1, NULL, 0, &e), ERR_USAGE);
    assert_int_equal(ranks_agree(r, 0, "a", 1, NULL, 0, &e), 0);
    assert_int_equal(ranks_share(r, ERR_USAGE, NULL, 0, &e), ERR_USAGE);
    assert_int_equal(ranks_share(r, 0, NULL, 0, &e), 0);
    assert_int_equal(gather_give(&g, 0, "one ", 4, &e), 0);
    assert_int_equal(gather_give(&g, 1, "two ", 4, &e), 0);
    assert_int_equal(gather_poll(&g, 12, 0.5, &news, &e), 0);
    assert_true(news.done == 12 && news.share == 0.5 && news.least == 0.5 && news.silent == -1);
    assert_int_equal(gather_give(&g, 2, "three", 5, &e), 0);
    assert_string_equal(s.text, "one two three");
    assert_int_equal(gather_give(&g, 3, "four", 4, &e), ERR_BAD_INPUT);
    assert_int_equal(g.merged, 3);
    assert_int_equal(gather_end(&g, 3, NULL, NULL, &e), 0);
    gather_free(&g);
    ranks_close(r, NULL);
}

/* Started as several that cannot meet: an error, not the work several times over. */
static void cannot_meet(void **state)
{
    (void)state;
    static const char *const none[] = {NULL}, *const absent[] = {"/nowhere/borescope-mpi.so", NULL};
    struct ranks *r;
    struct err e = {0};
    launched("3", "2");
    assert_int_equal(ranks_started(), 2);
    assert_int_equal(ranks_open(&r, none, &e), ERR_SYSTEM);
    assert_null(r);
    assert_non_null(strstr(e.text, "started as 3 ranks"));
    assert_non_null(strstr(e.text, "built without MPI"));
    assert_int_equal(ranks_open(&r, absent, &e), ERR_SYSTEM);
    assert_non_null(strstr(e.text, "/nowhere/borescope-mpi.so"));
    assert_null(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(alone), cmocka_unit_test(cannot_meet)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
