/* test_device.c - a run on a device that queues: what its statuses are called, and that nothing
 * counts as computed that a wait then says was not. */
#include "fixture.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "run/run_device.h"

static void statuses(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(run_status(KN_OK, &e), 0);
    assert_int_equal(run_status(KN_CANCELLED, &e), ERR_CANCELLED);
    assert_int_equal(run_status(KN_OUT_OF_MEMORY, &e), ERR_DEVICE);
    assert_non_null(strstr(e.text, "out of memory"));
    assert_int_equal(run_status(KN_DEVICE_LOST, &e), ERR_DEVICE);
    assert_non_null(strstr(e.text, "the device was lost"));
}

/* A device whose n-th wait is cancelled: what is queued by then is not done. */
static const struct kn_backend_type *fence;
static atomic_bool cancel;
static int waits;

static enum kn_status cancelled_sync(struct kn_backend *be)
{
    atomic_store(&cancel, --waits == 0);
    enum kn_status st = fence->sync(be);
    atomic_store(&cancel, false);
    return st;
}

static const struct site_ref shown[] = {
    {SITE_RESID_POST, 0}, {SITE_PATTERN, 1}, {SITE_POST, 1}, {SITE_UNEMBED_OUT, SITE_ROOT}};
enum { SHOWN = sizeof shown / sizeof *shown };

/* A pass and its values, of which each may be cancelled once and is then asked for again. */
static int attempts(const struct model *m, const int32_t *tokens, int32_t n,
                    const struct edit_program *p, float *out[SHOWN])
{
    struct run *base = fixture_run_new(m, NULL, 0), *fork = fixture_run_new(m, base, 0);
    struct err e = {0};
    int cancelled = 0, rc;
    while ((rc = run_sync(base, run_ids(tokens, n), NULL, NULL, NULL, &e)))
        assert_int_equal(rc, ERR_CANCELLED), cancelled++;
    while ((rc = run_sync(fork, (struct run_input){0}, p, NULL, NULL, &e)))
        assert_int_equal(rc, ERR_CANCELLED), cancelled++;
    for (int i = 0; i < SHOWN; i++) {
        out[i] = malloc((size_t)(n * site_row_size(&m->cfg, shown[i].id, n)) * sizeof(float));
        while ((rc = run_read(fork, shown[i], 0, n, out[i], NULL, &e)))
            assert_int_equal(rc, ERR_CANCELLED), cancelled++;
    }
    run_free(fork), run_free(base);
    return cancelled;
}

static void cancelled_waits(void **state)
{
    (void)state;
    enum { N = 24 }; /* few enough for a pass to be queued as a whole */
    char why[200];
    struct kn_options opt = {.backend = "fence:cpu", .threads = 1, .cpu = -1};
    struct kn_backend *be = kn_open(&opt, why, sizeof why);
    struct model *m = NULL;
    struct err e = {0};
    int32_t tokens[N];
    for (int i = 0; i < N; i++)
        tokens[i] = i * 7 % 47;
    if (!be || model_open(&m, "tests/fixtures/models/llama", be, &e))
        fail_msg("%s%s", why, e.text);
    const char *text = "blocks.0.attn.hook_z[3:, 1] *= 0.5";
    struct edit_program *p = fixture_program(m, N, &text, 1);
    float *want[SHOWN], *have[SHOWN];
    assert_int_equal(attempts(m, tokens, N, p, want), 0);
    struct kn_backend_type type = *be->type;
    fence = be->type;
    type.sync = cancelled_sync;
    be->type = &type, be->cancel = &cancel;
    int at = 0, cancelled;
    do {
        waits = ++at;
        cancelled = attempts(m, tokens, N, p, have);
        for (int i = 0; i < SHOWN; i++) {
            size_t row = (size_t)site_row_size(&m->cfg, shown[i].id, N);
            assert_memory_equal(have[i], want[i], N * row * sizeof(float));
            free(have[i]);
        }
    } while (waits <= 0);
    assert_true(at > 8 && !cancelled);
    for (int i = 0; i < SHOWN; i++)
        free(want[i]);
    edit_program_free(p);
    be->type = fence;
    model_close(m);
    kn_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),
        cmocka_unit_test(cancelled_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
