/* test_driver_faults.c - a model spread over the cpu and a device, whose driver fails at its n-th
 * call: weights on their way up, a run, its fork with an edit, logits, a sweep that is cancelled
 * and goes on.  A want of memory is one line, and asking again gives the bits that were to come; a
 * lost device says so from then on; nothing of the driver is left.
 *
 *   test_driver_faults [all]     some calls of each kind of failure, or each one
 *
 * Built once for each driver: Vulkan's behind a shim (tests/kernels/vkshim.h), CUDA's that needs no
 * device (tests/fake). */
#include "fixture.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/sweep.h"
#include "run/placement.h"

#ifdef DRIVER_VULKAN
#include "vkshim.h"
#define BACKEND "split:cpu,vulkan:llvmpipe"
enum { OUT_OF_MEMORY = VK_ERROR_OUT_OF_DEVICE_MEMORY, LOST = VK_ERROR_DEVICE_LOST };

static void driver_fail(long n, int code)
{
    vkshim.calls = 0, vkshim.fail_at = n, vkshim.failure = (VkResult)code;
}
static long driver_calls(void)
{
    return vkshim.calls;
}
static long driver_left(void)
{
    return vkshim.live;
}
#else
#include "fake.h"
#define BACKEND "split:cpu,cuda"
enum { OUT_OF_MEMORY = 2, LOST = 700 };

static void driver_fail(long n, int code)
{
    fake_cuda_fail(n, code);
}
static long driver_calls(void)
{
    return fake_cuda_calls();
}
static long driver_left(void)
{
    return fake_cuda_left();
}
#endif

enum { N = 6, VOCAB = 51, CELLS = 12, TRIES = 40 };

static const int32_t tokens[N] = {3, 1, 4, 1, 5, 9};
static atomic_bool cancel;
static bool every;

struct numbers {
    float logits[VOCAB];
    double cell[CELLS];
};

/* What a session holds; NULL: not there yet. */
struct session {
    struct kn_backend *be;
    struct model *m;
    struct run *base, *fork;
    struct edit_program *edits;
    struct sweep *sweep;
    bool cancelled;
    struct numbers have;
};

static int session_run(struct session *s, struct err *e)
{
    return run_sync(s->base, run_ids(tokens, N), NULL, NULL, NULL, e);
}

static int session_fork(struct session *s, struct err *e)
{
    return run_sync(s->fork, (struct run_input){0}, s->edits, NULL, NULL, e);
}

static int session_logits(struct session *s, struct err *e)
{
    return run_logits(s->fork, (int32_t[]){N - 1}, 1, NULL, 0, s->have.logits, e);
}

/* In the middle the flag rises, once. */
static int cancels(void *user, struct err *e)
{
    struct session *s = user;
    (void)e;
    if (!s->cancelled && sweep_done(s->sweep) > CELLS / 3)
        atomic_store(&cancel, true), s->cancelled = true;
    return 0;
}

static int session_sweep(struct session *s, struct err *e)
{
    struct sweep_prompt prompt = {run_ids(tokens, N), NULL, 0, "logit[-1, 5]"};
    struct sweep_want w = {.kind = "z_all_pos",
                           .with = "zero",
                           .prompts = &prompt,
                           .n_prompts = 1,
                           .cache_bytes = 1 << 20};
    int rc = s->sweep ? 0 : sweep_open(&s->sweep, s->m, &w, e);
    while (!rc && sweep_done(s->sweep) < CELLS) {
        assert_int_equal(sweep_cells(s->sweep), CELLS);
        rc = sweep_step(s->sweep, 5, cancels, s, e);
        rc = rc == ERR_CANCELLED && atomic_exchange(&cancel, false) ? 0 : rc;
    }
    for (int i = 0; i < CELLS && !rc; i++)
        s->have.cell[i] = sweep_value(s->sweep, i, NULL);
    return rc;
}

static int (*const parts[])(struct session *, struct err *) = {session_run, session_fork,
                                                               session_logits, session_sweep};
enum { PARTS = sizeof parts / sizeof *parts };

/* The last layer and the unembedding on the device, the rest on the cpu. */
static void session_open(struct session *s)
{
    static const char *const text = "blocks.0.attn.hook_z[2:, 1] *= 0.5";
    struct kn_options opt = {.backend = BACKEND, .threads = 1, .cpu = -1};
    struct placement_room room[KN_SPLIT_MAX];
    struct placement place;
    struct err e = {0};
    char why[256];
    if (!(s->be = kn_open(&opt, why, sizeof why)))
        fail_msg("%s", why);
    if (model_open(&s->m, "tests/fixtures/models/llama", s->be, &e))
        fail_msg("%s", e.text);
    placement_make(&place, s->m, room, placement_rooms(s->be, room), 1);
    assert_true(place.fits && place.n == 2 && place.part[1].layers == 1);
    placement_use(&place, s->m);
    s->be->cancel = &cancel;
    s->base = fixture_run_new(s->m, NULL, 0), s->fork = fixture_run_new(s->m, s->base, 0);
    s->edits = fixture_program(s->m, N, &text, 1);
}

static void session_close(struct session *s)
{
    sweep_close(s->sweep);
    edit_program_free(s->edits);
    run_free(s->fork), run_free(s->base);
    model_close(s->m);
    kn_close(s->be);
    if (driver_left())
        fail_msg("%ld objects of the driver are left", driver_left());
}

/* Calls of the driver between opening and closing. */
static long clean(struct numbers *want)
{
    struct session s = {0};
    struct err e = {0};
    session_open(&s);
    driver_fail(0, OUT_OF_MEMORY);
    for (int i = 0; i < PARTS; i++)
        if (parts[i](&s, &e))
            fail_msg("%s", e.text);
    assert_true(s.cancelled);
    *want = s.have;
    long calls = driver_calls();
    session_close(&s);
    return calls;
}

static void failing(long n, int code, const struct numbers *want)
{
    struct session s = {0};
    bool lost = false;
    int failures = 0;
    session_open(&s);
    driver_fail(n, code);
    for (int i = 0; i < PARTS && !lost; i++) {
        struct err e = {0};
        if (!parts[i](&s, &e))
            continue;
        failures++;
        if (!e.text[0] || strchr(e.text, '\n'))
            fail_msg("call %ld fails with %d: \"%s\"", n, code, e.text);
        /* of a wait that has no memory nobody knows when it is over */
        lost = strstr(e.text, "was lost") != NULL;
        assert_true(lost || code == OUT_OF_MEMORY);
        if (lost || !parts[i](&s, &e))
            continue;
        fail_msg("call %ld fails with %d once, part %d twice: %s", n, code, i, e.text);
    }
    if (lost) {
        struct err e = {0};
        struct run *r = fixture_run_new(s.m, NULL, 0);
        assert_int_not_equal(run_sync(r, run_ids(tokens, N), NULL, NULL, NULL, &e), 0);
        run_free(r);
    } else if (memcmp(&s.have, want, sizeof *want)) {
        fail_msg("call %ld fails with %d, %d parts told: other numbers", n, code, failures);
    }
    atomic_store(&cancel, false);
    driver_fail(0, OUT_OF_MEMORY);
    session_close(&s);
}

static int is_there(void **state)
{
    struct kn_options opt = {.backend = BACKEND, .threads = 1, .cpu = -1};
    static bool there;
    char why[256];
    struct kn_backend *be = kn_open(&opt, why, sizeof why);
    there = be != NULL;
    if (!be)
        print_message("SKIP %s\n", why);
    kn_close(be);
    *state = &there;
    return 0;
}

static void test_faults(void **state)
{
    static const int codes[] = {OUT_OF_MEMORY, LOST};
    struct numbers want, again;
    if (!*(const bool *)*state)
        skip();
    long calls = clean(&want), done = 0;
    assert_int_equal(clean(&again), calls);
    assert_memory_equal(&want, &again, sizeof want);
    for (int c = 0; c < 2; c++)
        for (long i = 0; i < (every ? calls : TRIES); i++, done++)
            failing(every ? 1 + i : 1 + i * calls / TRIES + i % 5, codes[c], &want);
    print_message("%ld of %ld calls, each with two failures\n", done / 2, calls);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults)};
    every = argc > 1 && !strcmp(argv[1], "all");
    return cmocka_run_group_tests(tests, is_there, NULL);
}
