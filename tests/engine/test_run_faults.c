/* test_run_faults.c - memory fails at every point of a run or a pair on its way to a target: the
 * next call, whatever it is asked for, gives the values of a run that never failed. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "run/pair.h"

enum { SHORT = 5, LONG = 40 }; /* the second is past the capacity of the first */

static const char *const edits[] = {
    "blocks.0.hook_resid_post[2] = 1", /* the same for every length */
    "blocks.1.attn.hook_pattern[1, -1, 0] = 0, renormalize",
    "blocks.1.attn.W_Q[1] *= 0.5",
    "blocks.1.hook_mlp_out[3] *= 0.5",
};
enum { EDITS = sizeof edits / sizeof *edits };

static int32_t prompt[LONG];

struct target {
    int32_t n;
    bool edited;
    struct edit_program *program;
};
/* Each fails on the way from the one before, then it or the one after follows. */
static struct target steps[] = {
    {SHORT, false, NULL}, {LONG, true, NULL},  {SHORT, true, NULL},
    {LONG, true, NULL},   {LONG, false, NULL}, {LONG - 1, true, NULL},
};
enum { STEPS = sizeof steps / sizeof *steps };

/* What is under test: a run with edits of its own, a base run with its fork, or a pair. */
enum kind { ALONE, FORK, PAIR, KIND_COUNT };
static const char *const kind_names[] = {"run", "fork", "pair"};

struct subject {
    enum kind kind;
    const struct model *m;
    size_t cache_bytes;
    struct run *base, *fork;
    struct pair *pair;
};

static void subject_open(struct subject *s)
{
    struct err e = {0};
    if (s->kind == PAIR && pair_open(&s->pair, s->m, s->cache_bytes, &e))
        fail_msg("%s", e.text);
    if (s->kind != PAIR)
        s->base = fixture_run_new(s->m, NULL, s->cache_bytes);
    if (s->kind == FORK)
        s->fork = fixture_run_new(s->m, s->base, s->cache_bytes);
}

static void subject_close(struct subject *s)
{
    pair_close(s->pair);
    run_free(s->fork), run_free(s->base);
    s->pair = NULL, s->fork = NULL, s->base = NULL;
}

static int subject_sync(struct subject *s, struct target t, struct err *e)
{
    if (s->kind == ALONE)
        return run_sync(s->base, run_ids(prompt, t.n), t.program, NULL, NULL, e);
    if (s->kind == PAIR) {
        struct edit *parsed[EDITS] = {0};
        int rc = 0, n = t.edited ? EDITS : 0;
        for (int i = 0; i < n && !rc; i++)
            rc = edit_parse(&parsed[i], edits[i], e);
        struct pair_target target = {
            .input.tokens = prompt, .input.n = t.n, .edits = parsed, .n_edits = n};
        if (!rc)
            rc = pair_sync(s->pair, &target, NULL, e);
        for (int i = 0; i < n; i++)
            edit_free(parsed[i]);
        return rc;
    }
    int rc = run_sync(s->base, run_ids(prompt, t.n), NULL, NULL, NULL, e);
    return rc ? rc : run_sync(s->fork, (struct run_input){0}, t.program, NULL, NULL, e);
}

static uint64_t subject_values(const struct subject *s)
{
    return fixture_hash(s->kind == PAIR    ? pair_shown(s->pair)
                        : s->kind == ALONE ? s->base
                                           : s->fork);
}

/* What a step gives without failures. */
static void wanted_values(struct subject s, uint64_t wanted[STEPS])
{
    for (int i = 0; i < STEPS; i++) {
        struct err e = {0};
        subject_open(&s);
        if (subject_sync(&s, steps[i], &e))
            fail_msg("%s", e.text);
        wanted[i] = subject_values(&s);
        subject_close(&s);
    }
}

/* On the way to step i the n-th allocation fails; then step `next` is asked for.  False: there are
 * fewer allocations. */
static bool fail_once(struct subject s, int i, int next, long n, const uint64_t wanted[STEPS])
{
    struct err e = {0};
    subject_open(&s);
    for (int k = 0; k < i; k++)
        assert_int_equal(subject_sync(&s, steps[k], &e), 0);
    fault_set(FAULT_MEMORY, n, false);
    int rc = subject_sync(&s, steps[i], &e);
    long met = fault_clear();
    assert_true(met || !rc);
    e = (struct err){0};
    if (subject_sync(&s, steps[next], &e))
        fail_msg("%s", e.text);
    if (subject_values(&s) != wanted[next])
        fail_msg("%s of %zu bytes: other values at step %d after allocation %ld of step %d failed",
                 kind_names[s.kind], s.cache_bytes, next, n, i);
    subject_close(&s);
    return met > 0;
}

static void test_next_is_true(void **state)
{
    (void)state;
    static const size_t budgets[] = {SIZE_MAX / 4, 60000, 0};
    struct fixture f = fixture_open("llama");
    struct subject s = {.m = f.m};
    for (int i = 0; i < LONG; i++)
        prompt[i] = (i * 7 + 3) % 11;
    for (int i = 0; i < STEPS; i++)
        steps[i].program = fixture_program(s.m, steps[i].n, edits, steps[i].edited ? EDITS : 0);
    uint64_t wanted[STEPS];
    s.cache_bytes = SIZE_MAX / 4, s.kind = ALONE;
    wanted_values(s, wanted);
    for (int b = 0; b < 3; b++)
        for (int i = 1; i < STEPS; i++)
            for (int k = 0; k < 2 * KIND_COUNT; k++) {
                s.cache_bytes = budgets[b], s.kind = (enum kind)(k / 2);
                long n = 0;
                while (fail_once(s, i, (i + k % 2) % STEPS, n, wanted))
                    n++;
                assert_true(n > 2);
            }
    for (int i = 0; i < STEPS; i++)
        edit_program_free(steps[i].program);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_next_is_true)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
