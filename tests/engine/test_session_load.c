/* test_session_load.c - a session on a device whose weights take their time: what the layers so far
 * say is shown while others follow, a newer request takes over in between, every weight comes up
 * once, and the end is what it is without waiting. */
#include "session_ask.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"

/* A backend behind the fence that needs a while for each weight; numbers that the worker and the
 * test share. */
static struct {
    const struct kn_backend_type *right;
    atomic_long us;      /* for one */
    atomic_int imported; /* so far */
    atomic_int lost_at;  /* the one that ends the device; 0: none */
    atomic_int ahead;    /* weights that the system was told of so far */
    atomic_int untold;   /* imported ones of which it had not been told */
    atomic_int first;    /* of the stage that comes first: nobody could have told */
} slow;

int __wrap_posix_madvise(void *at, size_t n, int advice);
int __wrap_posix_madvise(void *at, size_t n, int advice)
{
    assert_true(at && n && advice == POSIX_MADV_WILLNEED);
    slow.ahead++;
    return 0;
}

static enum kn_status slow_import(struct kn_backend *be, const struct kn_view *host,
                                  struct kn_view *to)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)slow.us * 1000}, NULL);
    slow.untold += slow.imported >= slow.first + slow.ahead;
    return ++slow.imported == slow.lost_at ? KN_DEVICE_LOST : slow.right->import(be, host, to);
}

/* How many weights a stage has. */
static int stage_weights(const struct model *m, int32_t stage)
{
    int n = 0;
    for (int32_t l = 0; l <= m->cfg.n_layers; l++)
        for (int w = W_NONE + 1; w < WEIGHT_COUNT; w++)
            if (weight_is_root((enum weight_id)w) == (l == m->cfg.n_layers) &&
                model_weight_stage(m, l, (enum weight_id)w) == stage)
                n += model_weight(m, l, (enum weight_id)w)->ndim > 0;
    return n;
}

struct loaded {
    struct fixture f; /* on the backend of the test */
    struct kn_backend *be;
    struct kn_backend_type type;
    struct model *m; /* on the slow one */
    struct session *s;
    struct want want[3];
    struct session_want ask;
};

static void loaded_open(struct loaded *l, long us, int lost_at)
{
    char why[160] = "", name[512];
    struct err e = {0};
    l->f = fixture_open("llama");
    snprintf(name, sizeof name, "%s", l->f.m->folder);
    l->be = kn_open(&(struct kn_options){.backend = "fence:cpu", .threads = 1, .cpu = -1}, why,
                    sizeof why);
    assert_non_null(l->be);
    slow.right = l->be->type;
    slow.us = us;
    slow.imported = 0;
    slow.lost_at = lost_at;
    slow.ahead = 0;
    slow.untold = 0;
    slow.first = 0;
    l->type = *l->be->type;
    l->type.import = slow_import;
    l->be->type = &l->type;
    if (model_open(&l->m, name, l->be, &e) || session_open(&l->s, l->m, 1 << 20, &e))
        fail_msg("%s", e.text);
    assert_int_equal(slow.imported, 0); /* opening waits for none */
    slow.first = stage_weights(l->m, 0);
    int32_t last = l->m->cfg.n_layers;
    l->want[0] = want_make(WANT_CELL, run_lens_site(l->m, 0), 0, l->f.n);
    l->want[1] = want_make(WANT_CELL, run_lens_site(l->m, last), 0, l->f.n);
    l->want[2] = want_whole(WANT_LOGITS, (struct site_ref){site_logits(&l->m->cfg), SITE_ROOT});
    l->want[2].id[0] = 1, l->want[2].id[1] = 2;
    l->ask = ask_plain(l->f.tokens, l->f.n);
    l->ask.wants = l->want, l->ask.n_wants = 3;
}

static void loaded_close(struct loaded *l)
{
    session_close(l->s);
    model_close(l->m);
    kn_close(l->be);
    fixture_close(&l->f);
}

/* The newest snapshot of a generation, once there is one. */
static const struct snapshot *next(struct loaded *l, uint64_t generation)
{
    for (;;) {
        const struct snapshot *snap = session_latest(l->s);
        if (snap && snap->generation >= generation)
            return snap;
        if (snap)
            snapshot_release(snap);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

static int weights_of(const struct model *m)
{
    int n = 0;
    for (size_t i = 0; i < weight_places(&m->cfg); i++)
        n += m->weights[i].ndim > 0;
    return n;
}

/* The answer as a session on the cpu has it. */
static void assert_right(const struct loaded *l, const struct snapshot *snap)
{
    struct session *s = ask_open(&l->f);
    const struct snapshot *right = ask(s, &l->ask);
    assert_int_equal(snap->err.code, 0);
    for (int i = 0; i < 3; i++)
        for (int32_t row = l->want[i].row0; row < l->want[i].row1; row++)
            assert_memory_equal(snapshot_at(snap, FACE_BASE, &l->want[i], row),
                                snapshot_at(right, FACE_BASE, &l->want[i], row),
                                want_bytes(&l->m->cfg, &l->want[i], l->f.n));
    snapshot_release(right);
    session_close(s);
}

static void test_layer_by_layer(void **state)
{
    (void)state;
    struct loaded l = {0};
    loaded_open(&l, 25000, 0);
    uint64_t g = session_request(l.s, &l.ask);
    int early = 0, told = 0;
    for (bool end = false; !end;) {
        const struct snapshot *snap = next(&l, g);
        assert_int_equal(snap->err.code, 0);
        end = snap->complete;
        bool first = snapshot_at(snap, FACE_BASE, &l.want[0], 0),
             last = snapshot_at(snap, FACE_BASE, &l.want[1], 0);
        if (!end && snap->loading) {
            assert_true(snap->loaded < snap->loading && snap->loaded >= told);
            assert_int_equal(snap->loading, l.m->cfg.n_layers + 2);
            assert_null(snapshot_at(snap, FACE_BASE, &l.want[2], 0)); /* of the last layer */
            told = snap->loaded;
            early += first && !last;
        }
        if (end)
            assert_true(first && last && snap->loading == 0);
        snapshot_release(snap);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    assert_true(early > 0 && told > 2);
    const struct snapshot *snap = session_wait(l.s, g);
    assert_right(&l, snap);
    snapshot_release(snap);
    assert_int_equal(slow.imported, weights_of(l.m));
    assert_true(slow.ahead >= slow.imported - slow.first); /* of each during the stage before */
    assert_int_equal(slow.untold, 0);
    loaded_close(&l);
}

/* A run alone does the same. */
static void test_run_reads_ahead(void **state)
{
    (void)state;
    struct loaded l = {0};
    loaded_open(&l, 0, 0);
    session_close(l.s);
    l.s = NULL;
    struct run *r = fixture_run_new(l.m, NULL, 0);
    struct err e = {0};
    assert_int_equal(run_sync(r, run_ids(l.f.tokens, l.f.n), NULL, NULL, NULL, &e), 0);
    assert_true(slow.imported > slow.first && slow.ahead >= slow.imported - slow.first);
    assert_int_equal(slow.untold, 0);
    int ahead = slow.ahead;
    assert_int_equal(run_sync(r, run_ids(l.f.tokens, l.f.n - 1), NULL, NULL, NULL, &e), 0);
    assert_true(slow.ahead - ahead <= stage_weights(l.m, l.m->cfg.n_layers + 1));
    run_free(r);
    loaded_close(&l);
}

/* Requests in between are answered by what is there, and no weight comes up twice. */
static void test_newer_requests(void **state)
{
    (void)state;
    struct loaded l = {0};
    loaded_open(&l, 10000, 0);
    uint64_t g = 0;
    int32_t other[] = {1, 2, 3};
    struct session_want ask_other = ask_plain(other, 3);
    for (int i = 0; i < 6; i++) {
        g = session_request(l.s, i % 2 ? &l.ask : &ask_other);
        nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    }
    assert_true(slow.imported > 0);
    const struct snapshot *snap = session_wait(l.s, g);
    assert_right(&l, snap);
    snapshot_release(snap);
    assert_int_equal(slow.imported, weights_of(l.m));
    loaded_close(&l);
}

static void test_close_in_between(void **state)
{
    (void)state;
    struct loaded l = {0};
    loaded_open(&l, 100000, 0);
    session_request(l.s, &l.ask);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    int64_t begun = clock_us();
    session_close(l.s);
    l.s = NULL;
    assert_true(clock_us() - begun < 5000000); /* after the weight under way, not after all */
    assert_true(slow.imported < weights_of(l.m) / 2);
    loaded_close(&l);
}

/* The device goes at any weight: the answer is the cpu's, and says why. */
static void test_lost(void **state)
{
    (void)state;
    for (int at = 1;; at += 3) {
        struct loaded l = {0};
        loaded_open(&l, 0, at);
        const struct snapshot *snap = session_wait(l.s, session_request(l.s, &l.ask));
        assert_right(&l, snap);
        bool lost = at <= weights_of(l.m);
        assert_int_equal(*snap->moved != 0, lost);
        assert_int_equal(strncmp(snap->device, "cpu", 3) == 0, lost);
        assert_int_equal(snap->loading, 0);
        snapshot_release(snap);
        loaded_close(&l);
        if (!lost)
            break;
    }
}

/* Another model that a side asks comes up as the first one did: told as it does, each weight once.
 */
static void test_beside(void **state)
{
    (void)state;
    struct loaded l = {0};
    struct model *other = NULL;
    struct err e = {0};
    loaded_open(&l, 0, 0);
    assert_int_equal(model_open(&other, l.m->folder, l.be, &e), 0);
    snapshot_release(session_wait(l.s, session_request(l.s, &l.ask)));
    assert_int_equal(slow.imported, weights_of(l.m));
    struct session_want side = l.ask;
    side.model = other;
    l.ask.sides = &side, l.ask.n_sides = 1;
    slow.us = 25000;
    uint64_t g = session_request(l.s, &l.ask);
    int told = 0;
    for (bool end = false; !end;) {
        const struct snapshot *snap = next(&l, g);
        end = snap->complete;
        assert_non_null(snapshot_at(snap, FACE_BASE, &l.want[2], 0)); /* the first one's stay */
        assert_true(snap->loading == 0 || (!end && snap->loaded >= told));
        told = snap->loading ? snap->loaded : told;
        snapshot_release(snap);
    }
    assert_true(told > 1);
    const struct snapshot *snap = session_wait(l.s, g);
    assert_right(&l, snap->sides[0]);
    snapshot_release(snap);
    assert_int_equal(slow.imported, 2 * weights_of(l.m));
    session_close(l.s);
    l.s = NULL;
    model_close(other);
    loaded_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_by_layer), cmocka_unit_test(test_run_reads_ahead),
        cmocka_unit_test(test_newer_requests), cmocka_unit_test(test_close_in_between),
        cmocka_unit_test(test_lost),           cmocka_unit_test(test_beside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
