/* test_session_device.c - a device fails under a session, at every call in turn, for want of memory
 * or for good: the answer is the cpu's, it says why, and so does each after it. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "session/session.h"

/* A backend behind the fence whose n-th call fails, all later ones too if it is lost. */
static struct {
    const struct kn_backend_type *right;
    enum kn_status failure;
    long left; /* calls that still succeed */
} device;

static enum kn_status next(void)
{
    if (device.left > 0) {
        device.left--;
        return KN_OK;
    }
    if (device.left == 0 || device.failure == KN_DEVICE_LOST) {
        device.left = -1;
        return device.failure;
    }
    return KN_OK;
}

static void *flaky_alloc(struct kn_backend *be, size_t bytes)
{
    return next() ? NULL : device.right->alloc(be, bytes);
}

static enum kn_status flaky_import(struct kn_backend *be, const struct kn_view *host,
                                   struct kn_view *to)
{
    enum kn_status st = next();
    return st ? st : device.right->import(be, host, to);
}

static enum kn_status flaky_run(struct kn_backend *be, const struct kn_call *call)
{
    enum kn_status st = next();
    return st ? st : device.right->run(be, call);
}

static enum kn_status flaky_read(struct kn_backend *be, const struct kn_view *v, void *host)
{
    enum kn_status st = next();
    return st ? st : device.right->read(be, v, host);
}

static enum kn_status flaky_write(struct kn_backend *be, const struct kn_view *v, const void *host)
{
    enum kn_status st = next();
    return st ? st : device.right->write(be, v, host);
}

static enum kn_status flaky_fill(struct kn_backend *be, const struct kn_view *v, float x)
{
    enum kn_status st = next();
    return st ? st : device.right->fill(be, v, x);
}

static enum kn_status flaky_sync(struct kn_backend *be)
{
    enum kn_status st = next(), inner = device.right->sync(be);
    return st ? st : inner;
}

struct question {
    struct edit *edit;
    struct want want[2];
    struct session_want ask;
    struct session_sweep sweep;
};

static void question_open(struct question *q, const struct fixture *f)
{
    struct err e = {0};
    if (edit_parse(&q->edit, "blocks.0.attn.hook_z[-1, 0] = 0", &e))
        fail_msg("%s", e.text);
    q->want[0] = want_make(WANT_NORM, run_lens_site(f->m, 1), 0, f->n);
    q->want[1] = want_make(WANT_CELL, run_lens_site(f->m, f->m->cfg.n_layers), 0, f->n);
    q->sweep = (struct session_sweep){.id = 1, .kind = "z", .with = "zero", .metric = "loss"};
    q->ask = (struct session_want){.target.input = fixture_input(f),
                                   .target.edits = &q->edit,
                                   .target.n_edits = 1,
                                   .wants = q->want,
                                   .n_wants = 2,
                                   .sweep = &q->sweep};
}

static const struct snapshot *answer(struct session *s, const struct question *q)
{
    const struct snapshot *snap = session_wait(s, session_request(s, &q->ask));
    if (snap->err.code)
        fail_msg("%s", snap->err.text);
    assert_true(snap->complete && snap->edited);
    return snap;
}

static void assert_equal(const struct snapshot *a, const struct snapshot *b,
                         const struct question *q, const struct config *cfg)
{
    for (int i = 0; i < 2; i++)
        for (int face = 0; face < FACE_COUNT; face++)
            for (int32_t row = q->want[i].row0; row < q->want[i].row1; row++)
                assert_memory_equal(snapshot_at(a, (enum face)face, &q->want[i], row),
                                    snapshot_at(b, (enum face)face, &q->want[i], row),
                                    want_bytes(cfg, &q->want[i], a->n));
    assert_true(a->sweep && b->sweep && a->sweep->done == a->sweep->cells);
    assert_int_equal(a->sweep->cells, b->sweep->cells);
    assert_memory_equal(a->sweep->value, b->sweep->value,
                        (size_t)a->sweep->cells * sizeof *a->sweep->value);
}

/* false: the n-th call never came. */
static bool survives(const char *name, long n, enum kn_status failure, const struct question *q,
                     const struct snapshot *right, long *n_moved)
{
    struct err e = {0};
    struct model *m = NULL;
    struct session *s = NULL;
    char why[160] = "";
    struct kn_backend *be = kn_open(
        &(struct kn_options){.backend = "fence:cpu", .threads = 1, .cpu = -1}, why, sizeof why);
    assert_non_null(be);
    struct kn_backend_type type = *be->type;
    device.right = be->type, device.left = n, device.failure = failure;
    type.alloc = flaky_alloc, type.import = flaky_import, type.run = flaky_run;
    type.read = flaky_read, type.write = flaky_write, type.fill = flaky_fill;
    type.sync = flaky_sync;
    be->type = &type;
    if (model_open(&m, name, be, &e) || session_open(&s, m, 1 << 20, &e))
        fail_msg("%s", e.text);
    bool failed = false;
    for (int again = 0; again < 2; again++) { /* it may fail in the second answer */
        const struct snapshot *snap = answer(s, q);
        assert_equal(snap, right, q, &m->cfg);
        failed = device.left < 0;
        bool moved = *snap->moved;
        if (moved ? strncmp(snap->device, "cpu", 3) != 0 || !strstr(snap->moved, "fence:cpu") ||
                        !strstr(snap->moved, failure == KN_DEVICE_LOST ? "lost" : "memory")
                  : strncmp(snap->device, "fence:", 6) != 0)
            fail_msg("call %ld: on '%s' because '%s'", n, snap->device, snap->moved);
        /* An order of the sweep's cells that found no memory is done without. */
        assert_true(moved == failed || (failed && failure == KN_OUT_OF_MEMORY));
        *n_moved += moved;
        snapshot_release(snap);
    }
    session_close(s);
    model_close(m);
    kn_close(be);
    return failed;
}

static void test_every_call(void **state)
{
    (void)state;
    static const enum kn_status failures[] = {KN_OUT_OF_MEMORY, KN_DEVICE_LOST};
    struct fixture f = fixture_open("gpt2");
    char name[512];
    struct question q;
    struct session *s = NULL;
    struct err e = {0};
    snprintf(name, sizeof name, "%s", f.m->folder);
    question_open(&q, &f);
    if (session_open(&s, f.m, 1 << 20, &e))
        fail_msg("%s", e.text);
    const struct snapshot *right = answer(s, &q);
    for (int i = 0; i < 2; i++) {
        long n = 0, moved = 0, step = 1;
        for (; survives(name, n, failures[i], &q, right, &moved); n += step)
            step = n < 120 ? 1 : 53; /* where a sweep repeats itself */
        assert_true(n > 300 && moved > 120);
    }
    snapshot_release(right);
    session_close(s);
    edit_free(q.edit);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_call)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
