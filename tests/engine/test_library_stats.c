/* test_library_stats.c - bore_stats_run: a file of statistics through the public header, stopped
 * and gone on with, cancelled, refused. */
#include "library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char top[] = "/tmp/bore-libstats-XXXXXX", texts[64], out[64], part[64], whole[64];
static const char *const hooks[] = {"blocks.*.mlp.hook_post", "transformer.h.1.output"};

static int set_up(void **state)
{
    (void)state;
    uint32_t seed = 5;
    assert_non_null(mkdtemp(top));
    snprintf(texts, sizeof texts, "%s/t.txt", top);
    snprintf(out, sizeof out, "%s/o.safetensors", top);
    snprintf(part, sizeof part, "%s/p.safetensors", top);
    snprintf(whole, sizeof whole, "%s/w.safetensors", top);
    FILE *f = fopen(texts, "w");
    assert_non_null(f);
    for (int i = 0; i < 70; i++, fputc('\n', f))
        for (uint32_t k = 0, n = 1 + fixture_random(&seed) % 9; k < n; k++)
            fprintf(f, "%d ", (int)(fixture_random(&seed) % 40));
    fclose(f);
    return 0;
}

static int tear_down(void **state)
{
    char command[80];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", top);
    return system(command);
}

static void same(const char *a, const char *b)
{
    char command[200];
    snprintf(command, sizeof command, "cmp %s %s", a, b);
    assert_int_equal(system(command), 0);
}

struct ear {
    int calls, stop_at;
    int64_t last;
    struct bore_model *cancel;
};

static enum bore_stats_answer hear(void *user, int64_t tokens, double share)
{
    struct ear *x = user;
    assert_true(tokens > x->last && share > 0 && share <= 1);
    x->last = tokens;
    if (x->cancel)
        bore_cancel(x->cancel);
    return ++x->calls == x->stop_at ? BORE_STATS_STOP : BORE_STATS_SAVE;
}

static void goes_on(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 24);
    struct bore_stats w = {
        .texts = {.path = texts}, .hooks = hooks, .n_hooks = 2, .top = 3, .output = whole};
    struct bore_error e;
    library_ok(bore_stats_run(l.m, &w, NULL, NULL, &e), &e);
    w.output = out, w.resume = part;
    struct ear ear = {.stop_at = 3};
    assert_int_equal(bore_stats_run(l.m, &w, hear, &ear, &e), BORE_CANCELLED);
    assert_non_null(strstr(e.text, "stopped by their caller"));
    assert_int_not_equal(access(out, F_OK), 0);
    assert_int_equal(access(part, F_OK), 0);
    ear.stop_at = 0, ear.last = 0, ear.cancel = l.m;
    assert_int_equal(bore_stats_run(l.m, &w, hear, &ear, &e), BORE_CANCELLED);
    ear.last = 0, ear.cancel = NULL;
    library_ok(bore_stats_run(l.m, &w, hear, &ear, &e), &e);
    same(out, whole);
    library_close(&l);
}

static void edits_and_refusals(void **state)
{
    (void)state;
    static const char *const edits[] = {"blocks.0.mlp.hook_post[:, 2] = 1.5"};
    struct library l = library_open("gpt2", 1 << 24);
    struct bore_stats w = {.texts = {.path = texts},
                           .hooks = hooks,
                           .n_hooks = 1,
                           .edits = edits,
                           .n_edits = 1,
                           .output = out};
    struct bore_error e;
    library_ok(bore_stats_run(l.m, &w, NULL, NULL, &e), &e);
    struct checkpoint *st = checkpoint_open(out, NULL);
    const struct st_tensor *t = checkpoint_find(st, "blocks.0.mlp.hook_post.mean");
    assert_true(((const double *)t->data)[2] == 1.5);
    checkpoint_close(st);
    w.n_edits = 0, w.resume = out;
    assert_int_equal(bore_stats_run(l.m, &w, NULL, NULL, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "made otherwise"));
    w.resume = NULL, w.n_hooks = 0;
    assert_true(bore_stats_run(l.m, &w, NULL, NULL, &e) < 0);
    w.n_hooks = 1, w.texts.path = NULL;
    assert_int_equal(bore_stats_run(l.m, &w, NULL, NULL, &e), BORE_BAD_INPUT);
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(goes_on),
                                       cmocka_unit_test(edits_and_refusals)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
