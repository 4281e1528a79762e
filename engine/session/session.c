/* session.c - the worker thread (see session.h).
 *
 * The interface leaves at most one request; the worker takes it, computes, publishes.  `lock`
 * guards the fields marked so and is never held while computing.  While it computes the backend has
 * the cancel flag: kernels look at it between chunks.  Only the worker touches the runs and the
 * figures. */
#include "session/session.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "model/checkpoint.h"
#include "session/figures.h"
#include "run/place_model.h"
#include "session/loading.h"
#include "session/request.h"
#include "session/sides.h"
#include "session/snapshot.h"

enum { PUBLISH_US = 16000 }; /* parts of an answer are shown this often */

struct session {
    struct model *m;
    size_t cache_bytes;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, news;
    atomic_bool cancel;            /* set under the lock, read by kernels */
    struct session_want *next;     /* lock */
    uint64_t generation;           /* lock: of the newest request */
    const struct snapshot *latest; /* lock */
    bool quit;                     /* lock */
    uint64_t untold;        /* lock: this generation failed, and there was no memory to say so */
    struct snapshot *spare; /* lock: so that a failure can be told when memory is out */

    /* the worker's */
    struct pair *pair;
    struct figures *figures;
    struct sweeping *sweeping;
    struct sides *sides;
    struct loading loading, beside; /* of its model, of another one that a side asks */
    int64_t time_us;
    double share;
    char moved[256]; /* why it computes on the cpu, "" where it was so from the beginning */
};

/* One request on its way. */
struct job {
    struct session *s;
    const struct session_want *want;
    uint64_t generation;
    int64_t shown_us;             /* when something was published last */
    const struct snapshot **side; /* [n_sides] answered so far */
    int32_t n_sides;
};

/* Hand a snapshot over, unless a newer request has made it stale.  Takes the reference. */
static void publish(struct job *j, struct snapshot *snap)
{
    struct session *s = j->s;
    const struct snapshot *old = snap;
    snap->generation = j->generation;
    pthread_mutex_lock(&s->lock);
    if (j->generation == s->generation) {
        old = s->latest;
        s->latest = snap;
        pthread_cond_broadcast(&s->news);
        uint64_t one = 1;
        /* The counter can only be full after 2^64 - 2 unread snapshots. */
        ssize_t ignored = write(s->fd, &one, sizeof one);
        (void)ignored;
    }
    pthread_mutex_unlock(&s->lock);
    snapshot_release(old);
    j->shown_us = clock_us();
}

static void publish_failure(struct job *j, const struct err *why)
{
    struct session *s = j->s;
    struct snapshot *more = snapshot_failed();
    pthread_mutex_lock(&s->lock);
    struct snapshot *snap = s->spare ? s->spare : more;
    s->spare = snap == more ? NULL : more;
    if (!snap) { /* the failure before this one is on show, and says the same */
        s->untold = j->generation;
        pthread_cond_broadcast(&s->news);
    }
    pthread_mutex_unlock(&s->lock);
    if (snap) {
        snap->err = *why;
        publish(j, snap);
    }
}

static int publish_figures(struct job *j, bool complete, struct err *e)
{
    struct snapshot *snap = figures_snapshot(j->s->figures, j->s->pair, j->want, e);
    if (!snap)
        return ERR_SYSTEM;
    if (!snapshot_sides(snap, j->side, j->n_sides)) {
        snapshot_release(snap);
        return err_memory(e, "views");
    }
    snap->complete = complete;
    snap->time_us = j->s->time_us;
    snap->share = j->s->share;
    snap->sweep = sweeping_map(j->s->sweeping);
    snap->sweeping = sweeping_waits(j->s->sweeping);
    const struct loading *l = j->s->loading.all ? &j->s->loading : &j->s->beside;
    snap->loaded = l->done, snap->loading = l->all;
    snprintf(snap->device, sizeof snap->device, "%s",
             j->s->m->where[0] ? j->s->m->where : j->s->m->be->describe);
    snprintf(snap->moved, sizeof snap->moved, "%s", j->s->moved);
    snap->changed = checkpoint_changed(j->s->m->files, NULL);
    publish(j, snap);
    return 0;
}

/* Called between pieces of work: stop if it is no longer wanted, show what there is now and then.
 */
static int between(void *user, struct err *e)
{
    struct job *j = user;
    if (atomic_load_explicit(&j->s->cancel, memory_order_relaxed))
        return err_set(e, ERR_CANCELLED, "cancelled");
    return clock_us() - j->shown_us < PUBLISH_US ? 0 : publish_figures(j, false, e);
}

/* A cell of the sweep is there. */
static int sweep_told(void *user, struct err *e)
{
    struct job *j = user;
    if (atomic_load_explicit(&j->s->cancel, memory_order_relaxed))
        return err_set(e, ERR_CANCELLED, "cancelled");
    return !sweeping_waits(j->s->sweeping) || clock_us() - j->shown_us < PUBLISH_US
               ? 0
               : publish_figures(j, true, e);
}

/* The sweep, once all else is there: until it is done or somebody asks again. */
static int sweep_on(struct job *j, struct err *e)
{
    struct session *s = j->s;
    int rc = 0;
    if (!sweeping_waits(s->sweeping))
        return 0;
    rc = sweeping_step(s->sweeping, sweep_told, j);
    s->m->be->cancel = NULL; /* whoever has the answer may use the backend */
    if (rc == ERR_DEVICE)
        return err_set(e, rc, "%s", sweeping_error(s->sweeping));
    return rc == ERR_CANCELLED ? rc : publish_figures(j, true, e);
}

static void do_task(struct session_task *t)
{
    if (!t || atomic_load(&t->done))
        return;
    t->err = (struct err){0};
    t->run(t, &t->err);
    atomic_store(&t->done, true);
}

enum { LOADING_US = 100000 };

/* Another model's weights to its device, told as they come.  What fails but by being cancelled is
 * the side's to say. */
static int load_beside(struct job *j, const struct model *m, struct err *e)
{
    struct loading *l = &j->s->beside;
    int rc = 0;
    while (!rc && loading_left(l, m)) {
        rc = loading_step(l, m, &j->s->cancel, e);
        if (!rc && loading_left(l, m) && clock_us() - j->shown_us >= LOADING_US)
            rc = publish_figures(j, false, e);
    }
    if (rc)
        *l = (struct loading){0};
    return rc == ERR_CANCELLED || rc == ERR_SYSTEM ? rc : 0;
}

/* The further questions, when the first one is on show. */
static int answer_sides(struct job *j, struct err *e)
{
    const struct session_want *w = j->want;
    int rc = 0;
    if (!w->n_sides)
        return 0;
    j->side = calloc((size_t)w->n_sides, sizeof *j->side);
    if (!j->side)
        return err_memory(e, "views");
    rc = publish_figures(j, false, e);
    for (int32_t i = 0; i < w->n_sides && !rc; i++) {
        struct err why = {0}; /* stays with the side */
        if (w->sides[i].model)
            rc = load_beside(j, w->sides[i].model, &why);
        if (!rc)
            rc = sides_answer(j->s->sides, &w->sides[i], &j->side[i], between, j, &why);
        if (rc)
            *e = why;
        else
            j->n_sides++;
    }
    return rc;
}

static void forget_sides(struct job *j)
{
    for (int32_t i = 0; i < j->n_sides; i++)
        snapshot_release(j->side[i]);
    free(j->side);
    j->side = NULL, j->n_sides = 0;
}

/* Weights to their device, and what the layers so far say of the request, now and then. */
static int load(struct job *j, struct err *e)
{
    struct session *s = j->s;
    const struct session_want *w = j->want;
    int rc = 0;
    while (!rc && loading_left(&s->loading, s->m)) {
        rc = loading_step(&s->loading, s->m, &s->cancel, e);
        if (rc || !loading_left(&s->loading, s->m) || clock_us() - j->shown_us < LOADING_US)
            continue;
        pair_stop(s->pair, loading_layers(&s->loading, s->m), true);
        rc = pair_sync(s->pair, &w->target, NULL, e);
        if (!rc)
            rc = figures_settle(s->figures, s->pair, w, e);
        if (!rc)
            rc = figures_work(s->figures, s->pair, w, loading_layers(&s->loading, s->m) + 1,
                              between, j, e);
        if (!rc)
            rc = publish_figures(j, false, e);
    }
    pair_stop(s->pair, INT32_MAX, true);
    return rc;
}

static int compute(struct job *j, struct err *e)
{
    struct session *s = j->s;
    const struct session_want *w = j->want;
    const struct pair_target *t = &w->target;
    struct run_cost cost = {0};
    do_task(w->task);
    int rc = request_check(s->m, t, e);
    if (rc || (rc = load(j, e)))
        return rc;
    int64_t start = clock_us();
    rc = pair_sync(s->pair, t, &cost, e);
    if (!rc &&
        cost.row <
            t->input.n) { /* moving the cursor does not replace the figures of the last rerun */
        s->time_us = clock_us() - start;
        s->share = cost.share;
    }
    if (!rc)
        rc = figures_settle(s->figures, s->pair, w, e);
    if (!rc)
        rc = figures_work(s->figures, s->pair, w, INT32_MAX, between, j, e);
    return rc ? rc : answer_sides(j, e);
}

/* All of a request, its sweep too. */
static int answer(struct job *j, struct err *e)
{
    struct session *s = j->s;
    s->m->be->cancel = &s->cancel;
    int rc = compute(j, e);
    sweeping_ask(s->sweeping, j->want);
    if (rc || !sweeping_waits(s->sweeping))
        s->m->be->cancel = NULL; /* whoever has the answer may use the backend */
    if (!rc)
        rc = publish_figures(j, true, e);
    if (!rc)
        rc = sweep_on(j, e);
    if (rc) /* nobody has the answer yet */
        s->m->be->cancel = NULL;
    forget_sides(j);
    return rc;
}

static void parts_close(struct session *s)
{
    figures_close(s->figures);
    sweeping_close(s->sweeping);
    sides_close(s->sides);
    pair_close(s->pair);
    s->figures = NULL, s->sweeping = NULL, s->sides = NULL, s->pair = NULL;
}

static int parts_open(struct session *s, struct err *e)
{
    int rc = pair_open(&s->pair, s->m, s->cache_bytes, e);
    if (!rc && !(s->sides = sides_open(s->m, s->cache_bytes / 4)))
        rc = err_memory(e, "session");
    if (!rc)
        rc = figures_open(&s->figures, s->m, e);
    if (!rc)
        rc = sweeping_open(&s->sweeping, s->m, s->cache_bytes / 4, e);
    return rc;
}

/* The device failed: everything anew on the cpu, within the memory that the host has free.  *e is
 * why, and on failure the whole story. */
static int move_to_host(struct session *s, struct err *e)
{
    struct err before = *e;
    bool named = strstr(before.text, s->m->be->describe);
    char device[sizeof s->m->be->describe], why[160];
    size_t total, available = 0;
    struct kn_backend *cpu = kn_open(
        &(struct kn_options){.backend = "cpu", .cpu = -1, .kept_max = place_kept(s->cache_bytes)},
        why, sizeof why);
    snprintf(device, sizeof device, "%s", s->m->be->describe);
    parts_close(s);
    if (cpu) {
        model_move(s->m, cpu, true);
        s->loading = (struct loading){0};
        cpu->type->memory(cpu, &total, &available);
        if (s->cache_bytes > available / 4)
            s->cache_bytes = available / 4;
    }
    int rc = cpu ? parts_open(s, e) : err_set(e, ERR_SYSTEM, "%s", why);
    if (rc)
        err_prefix(e, "%.200s · and then", before.text);
    else
        snprintf(s->moved, sizeof s->moved, "%s%s%.160s", named ? "" : device, named ? "" : " · ",
                 before.text);
    return rc;
}

static void *worker(void *user)
{
    struct session *s = user;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->next && !s->quit)
            pthread_cond_wait(&s->work, &s->lock);
        if (s->quit)
            break;
        struct session_want *want = s->next;
        struct job j = {.s = s, .want = want, .generation = s->generation, .shown_us = clock_us()};
        s->next = NULL;
        atomic_store(&s->cancel, false);
        pthread_mutex_unlock(&s->lock);

        struct err e = {0};
        int rc = s->pair ? answer(&j, &e) : err_set(&e, ERR_DEVICE, "there is no backend");
        if (rc == ERR_DEVICE && !(rc = move_to_host(s, &e)))
            rc = answer(&j, &e);
        if (rc && rc != ERR_CANCELLED)
            publish_failure(&j, &e);
        request_free(want);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void session_free(struct session *s)
{
    parts_close(s);
    snapshot_release(s->latest);
    snapshot_release(s->spare);
    request_free(s->next);
    if (s->fd >= 0)
        close(s->fd);
    pthread_cond_destroy(&s->news);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int session_open(struct session **out, struct model *m, size_t cache_bytes, struct err *e)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return err_memory(e, "session");
    s->m = m, s->cache_bytes = cache_bytes;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->news, NULL);
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = s->fd < 0 ? err_set(e, ERR_SYSTEM, "eventfd: %s · session", strerror(errno)) : 0;
    if (!rc && !(s->spare = snapshot_failed()))
        rc = err_memory(e, "session");
    if (!rc && (rc = parts_open(s, e)) == ERR_DEVICE)
        rc = move_to_host(s, e);
    if (!rc) {
        int code = pthread_create(&s->thread, NULL, worker, s);
        if (code)
            rc = err_set(e, ERR_SYSTEM, "cannot start a thread: %s · session", strerror(code));
    }
    if (rc) {
        session_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void session_close(struct session *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    atomic_store(&s->cancel, true);
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    session_free(s);
}

uint64_t session_request(struct session *s, const struct session_want *want)
{
    struct session_want *copy = request_copy(want, &s->m->cfg);
    pthread_mutex_lock(&s->lock);
    struct job j = {.s = s, .generation = ++s->generation};
    struct session_want *old = s->next;
    s->next = copy;
    atomic_store(&s->cancel, true); /* the worker clears it when it takes the request */
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    request_free(old);
    if (!copy) {
        struct err e;
        err_memory(&e, "request");
        publish_failure(&j, &e);
    }
    return j.generation;
}

int session_fd(const struct session *s)
{
    return s->fd;
}

const struct snapshot *session_latest(struct session *s)
{
    uint64_t count;
    ssize_t ignored = read(s->fd, &count, sizeof count);
    (void)ignored; /* EAGAIN: nothing new */
    pthread_mutex_lock(&s->lock);
    const struct snapshot *snap = s->latest;
    if (snap)
        snapshot_hold(snap);
    pthread_mutex_unlock(&s->lock);
    return snap;
}

const struct snapshot *session_wait(struct session *s, uint64_t generation)
{
    pthread_mutex_lock(&s->lock);
    assert(generation <= s->generation);
    while (!s->latest ||
           ((s->latest->generation < generation || !s->latest->complete || s->latest->sweeping) &&
            s->untold < generation))
        pthread_cond_wait(&s->news, &s->lock);
    const struct snapshot *snap = s->latest;
    snapshot_hold(snap);
    pthread_mutex_unlock(&s->lock);
    return snap;
}
