/* ranks.c - meeting, agreeing and parting of the ranks (see ranks.h). */
#include "base/ranks_parts.h"

#include <dlfcn.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* What a launcher tells its processes: Open MPI's mpirun, MPICH's and Intel's, Slurm's srun. */
static const struct {
    const char *size, *rank;
} launchers[] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                 {"PMI_SIZE", "PMI_RANK"},
                 {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};

/* A whole number, or -1. */
static int number_of(const char *text)
{
    char *end = NULL;
    long n = text ? strtol(text, &end, 10) : -1;
    return text && end > text && !*end && n >= 0 && n <= INT_MAX ? (int)n : -1;
}

static int started_size(int *rank)
{
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        int size = number_of(getenv(launchers[i].size));
        *rank = number_of(getenv(launchers[i].rank));
        if (size > 0 && *rank >= 0)
            return size;
    }
    *rank = 0;
    return 1;
}

int ranks_started(void)
{
    int rank = 0;
    return started_size(&rank) > 1 ? rank : -1;
}

int ranks_rank(const struct ranks *r)
{
    return r ? r->rank : 0;
}

int ranks_size(const struct ranks *r)
{
    return r ? r->size : 1;
}

int ranks_of_node(const struct ranks *r)
{
    return r ? r->of_node : 0;
}

int ranks_threads(const struct ranks *r)
{
    return r ? r->threads : 0;
}

int ranks_idle_cores(const struct ranks *r)
{
    return r ? r->idle_cores : 0;
}

bool ranks_mine(const struct ranks *r, int64_t unit)
{
    return !r || unit % r->size == r->rank;
}

/* ---- messages ---- */

const char *ranks_who(const struct ranks *r, int rank, char who[RANKS_NAME + 48])
{
    snprintf(who, RANKS_NAME + 48, "rank %d (process %d on %s)", rank, (int)r->peer[rank].pid,
             r->peer[rank].host);
    return who;
}

int ranks_error(const struct ranks *r, int code, struct err *e)
{
    return err_set(e, ERR_SYSTEM, "%s · error %d between ranks", r->mpi->name(), code);
}

void ranks_nap(void)
{
    nanosleep(&(struct timespec){0, 500000}, NULL);
}

int ranks_sent(struct ranks *r, void **request, struct err *e)
{
    int done = 0, rc = 0;
    while (*request && !(rc = r->mpi->sent(request, &done)) && !done)
        ranks_nap();
    return rc ? ranks_error(r, rc, e) : 0;
}

int ranks_send(struct ranks *r, int to, int tag, const void *bytes, size_t n, struct err *e)
{
    void *request = NULL;
    int rc = r->mpi->send(to, tag, bytes, (int)n, &request);
    return rc ? ranks_error(r, rc, e) : ranks_sent(r, &request, e);
}

int ranks_receive(struct ranks *r, int from, int tag, void **bytes, size_t *n, struct err *e)
{
    int there = 0, len = 0, rc = 0;
    *bytes = NULL;
    while (!(rc = r->mpi->probe(from, tag, &there, &len)) && !there)
        ranks_nap();
    if (rc)
        return ranks_error(r, rc, e);
    if (!(*bytes = malloc((size_t)len + 1)))
        return err_memory(e, "a message of rank %d", from);
    *n = (size_t)len;
    if (!(rc = r->mpi->receive(from, tag, *bytes, len)))
        return 0;
    free(*bytes);
    *bytes = NULL;
    return ranks_error(r, rc, e);
}

int ranks_tell(struct ranks *r, const struct news *news, struct err *e)
{
    int rc = ranks_sent(r, &r->news_request, e);
    if (rc)
        return rc;
    r->news = *news;
    r->news_us = clock_us();
    rc = r->mpi->send(0, TAG_NEWS, &r->news, sizeof r->news, &r->news_request);
    return rc ? ranks_error(r, rc, e) : 0;
}

/* ---- meeting ---- */

struct hello {
    char host[RANKS_NAME];
    int32_t pid;
    cpu_set_t cpus; /* that the process may use */
};

/* A rank's place in its node. */
struct seat {
    int32_t of_node, threads, idle_cores;
};

static void hello_make(struct hello *h)
{
    *h = (struct hello){.pid = (int32_t)getpid()};
    if (gethostname(h->host, sizeof h->host - 1) || !h->host[0])
        snprintf(h->host, sizeof h->host, "?");
    if (sched_getaffinity(0, sizeof h->cpus, &h->cpus))
        CPU_ZERO(&h->cpus);
}

/* Cores that any rank of the node may use are shared out evenly; a rank that is bound to fewer
 * takes those. */
static struct seat seat_of(const struct hello *all, int size, int rank)
{
    struct seat s = {0, 1, 0};
    cpu_set_t cpus;
    int n = 0, own = CPU_COUNT(&all[rank].cpus);
    CPU_ZERO(&cpus);
    for (int i = 0; i < size; i++) {
        if (strcmp(all[i].host, all[rank].host) != 0)
            continue;
        s.of_node += i < rank;
        CPU_OR(&cpus, &cpus, &all[i].cpus);
        n++;
    }
    int cores = CPU_COUNT(&cpus), share = cores / n;
    s.threads = share < own ? share : own;
    s.threads = s.threads < 1 ? 1 : s.threads;
    s.idle_cores = (int)sysconf(_SC_NPROCESSORS_ONLN) - cores;
    s.idle_cores = s.idle_cores < 0 ? 0 : s.idle_cores;
    return s;
}

static void seat_take(struct ranks *r, const struct seat *s)
{
    r->of_node = s->of_node, r->threads = s->threads, r->idle_cores = s->idle_cores;
}

static int meet_as_first(struct ranks *r, struct err *e)
{
    struct hello *all = calloc((size_t)r->size, sizeof *all);
    r->peer = calloc((size_t)r->size, sizeof *r->peer);
    if (!all || !r->peer) {
        free(all);
        return err_memory(e, "%d ranks", r->size);
    }
    hello_make(&all[0]);
    int rc = 0;
    for (int i = 1; i < r->size && !rc; i++) {
        void *bytes;
        size_t n;
        rc = ranks_receive(r, i, TAG_HELLO, &bytes, &n, e);
        if (!rc && n != sizeof *all)
            rc = err_set(e, ERR_SYSTEM, "rank %d runs another borescope · install one everywhere",
                         i);
        if (!rc)
            memcpy(&all[i], bytes, n);
        free(bytes);
    }
    for (int i = 0; i < r->size && !rc; i++) {
        struct seat s = seat_of(all, r->size, i);
        all[i].host[RANKS_NAME - 1] = '\0';
        memcpy(r->peer[i].host, all[i].host, RANKS_NAME);
        r->peer[i].pid = all[i].pid, r->peer[i].share = -1;
        if (i)
            rc = ranks_send(r, i, TAG_HELLO, &s, sizeof s, e);
        else
            seat_take(r, &s);
    }
    free(all);
    return rc;
}

static int meet(struct ranks *r, struct err *e)
{
    struct hello own;
    void *bytes;
    size_t n;
    if (r->rank == 0)
        return meet_as_first(r, e);
    hello_make(&own);
    int rc = ranks_send(r, 0, TAG_HELLO, &own, sizeof own, e);
    if (!rc && !(rc = ranks_receive(r, 0, TAG_HELLO, &bytes, &n, e))) {
        struct seat s = {0, 1, 0};
        memcpy(&s, bytes, n < sizeof s ? n : sizeof s);
        seat_take(r, &s);
        free(bytes);
    }
    return rc;
}

static int plugin_open(struct ranks *r, const char *const *plugin, int size, struct err *e)
{
    char why[200] = "it was built without MPI";
    for (; *plugin && !r->lib; plugin++) {
        /* what MPI opens itself looks for its symbols among all */
        if (!(r->lib = dlopen(*plugin, RTLD_NOW | RTLD_GLOBAL)))
            snprintf(why, sizeof why, "%.190s", dlerror());
    }
    void *symbol = r->lib ? dlsym(r->lib, RANKS_SYMBOL) : NULL;
    const struct ranks_table *(*get)(void) = NULL;
    if (symbol) {
        memcpy(&get, &symbol, sizeof get);
        r->mpi = get();
    }
    if (r->lib && (!r->mpi || r->mpi->version != RANKS_TABLE))
        snprintf(why, sizeof why, "borescope-mpi.so is of another version");
    else if (r->lib)
        return 0;
    return err_set(e, ERR_SYSTEM,
                   "started as %d ranks, but borescope has no MPI: %s · each would do all the work "
                   "· build it with MPI (WITH_MPI=ON), or start it once",
                   size, why);
}

int ranks_open(struct ranks **out, const char *const *plugin, struct err *e)
{
    int rank = 0, size = started_size(&rank), code;
    *out = NULL;
    if (size <= 1)
        return 0;
    struct ranks *r = calloc(1, sizeof *r);
    if (!r)
        return err_memory(e, "ranks");
    int rc = plugin_open(r, plugin, size, e);
    if (rc) { /* MPI itself is never unloaded: its own threads and handlers stay */
        free(r);
        return rc;
    }
    if ((code = r->mpi->open(&r->rank, &r->size)))
        rc = ranks_error(r, code, e);
    else if (r->size != size || r->size > RANKS_MAX)
        rc = err_set(e, ERR_SYSTEM,
                     "started as %d ranks, but %s knows of %d (at most %d) · use that MPI's own "
                     "mpirun, or srun --mpi= what it was built for",
                     size, r->mpi->name(), r->size, RANKS_MAX);
    if (!rc)
        rc = meet(r, e);
    *out = r;
    return rc;
}

/* ---- agreeing ---- */

/* How a rank stands, and what its work is of (bytes behind it). */
struct ready {
    int32_t code;
    char text[sizeof((struct err *)0)->text];
};

/* What rank 0 thinks of the message of another. */
static int ready_check(const struct ranks *r, int rank, const void *bytes, size_t n,
                       const void *about, size_t n_about, struct err *e)
{
    struct ready x;
    char who[RANKS_NAME + 48];
    ranks_who(r, rank, who);
    if (n < sizeof x)
        return err_set(e, ERR_SYSTEM, "%s runs another borescope · install one everywhere", who);
    memcpy(&x, bytes, sizeof x);
    x.text[sizeof x.text - 1] = '\0';
    if (x.code) {
        err_set(e, x.code, "%s", x.text);
        err_prefix(e, "%s", who);
        return x.code;
    }
    if (n - sizeof x != n_about || memcmp((const char *)bytes + sizeof x, about, n_about) != 0)
        return err_set(e, ERR_BAD_INPUT,
                       "%s has another model, other texts or another program than rank 0 · the "
                       "same files, and one version, on all nodes",
                       who);
    return 0;
}

static int agree_as_first(struct ranks *r, int rc, const void *about, size_t n_about,
                          const void *start, size_t n, struct err *e)
{
    struct err own = {0}, *to = e ? e : &own;
    int32_t verdict;
    for (int i = 1; i < r->size; i++) {
        void *bytes;
        size_t len;
        struct err other = {0};
        int code = ranks_receive(r, i, TAG_AGREE, &bytes, &len, &other);
        if (!code)
            code = ready_check(r, i, bytes, len, about, n_about, &other);
        free(bytes);
        if (!rc && code)
            rc = code, *to = other;
        struct ranks_peer *p = &r->peer[i];
        p->heard_us = clock_us(), p->done = 0, p->share = -1, p->finished = false;
    }
    char *answer = malloc(sizeof verdict + n);
    if (!answer)
        return err_memory(e, "ranks");
    verdict = rc;
    memcpy(answer, &verdict, sizeof verdict);
    if (n)
        memcpy(answer + sizeof verdict, start, n);
    for (int i = 1; i < r->size; i++) {
        int code = ranks_send(r, i, TAG_AGREE, answer, sizeof verdict + n, rc ? NULL : to);
        rc = rc ? rc : code;
    }
    free(answer);
    return rc;
}

static int agree_as_other(struct ranks *r, int rc, const void *about, size_t n_about, void *start,
                          size_t n, struct err *e)
{
    struct ready own = {.code = rc};
    char *bytes = malloc(sizeof own + n_about);
    void *answer = NULL;
    size_t len = 0;
    int32_t verdict = 0;
    if (!bytes)
        return err_memory(e, "ranks");
    if (rc && e)
        memcpy(own.text, e->text, sizeof own.text);
    memcpy(bytes, &own, sizeof own);
    if (n_about)
        memcpy(bytes + sizeof own, about, n_about);
    int code = ranks_send(r, 0, TAG_AGREE, bytes, sizeof own + n_about, e);
    if (!code)
        code = ranks_receive(r, 0, TAG_AGREE, &answer, &len, e);
    if (!code && len == sizeof verdict + n) {
        memcpy(&verdict, answer, sizeof verdict);
        if (n)
            memcpy(start, (char *)answer + sizeof verdict, n);
    }
    if (!code && !rc && (verdict || len != sizeof verdict + n))
        rc = err_set(e, verdict ? verdict : ERR_SYSTEM, "another rank cannot begin");
    free(bytes), free(answer);
    return rc ? rc : code;
}

int ranks_agree(struct ranks *r, int rc, const void *about, size_t n_about, void *start, size_t n,
                struct err *e)
{
    if (!r || (rc && r->working))
        return rc;
    rc = r->rank ? agree_as_other(r, rc, about, n_about, start, n, e)
                 : agree_as_first(r, rc, about, n_about, start, n, e);
    r->working = !rc;
    return rc;
}

int ranks_share(struct ranks *r, int rc, void *bytes, size_t n, struct err *e)
{
    bool middle = r && rc && r->working;
    rc = ranks_agree(r, rc, "", 0, bytes, n, e);
    if (r && !middle)
        r->working = false;
    return rc;
}

/* ---- parting ---- */

void ranks_close(struct ranks *r, const struct err *why)
{
    enum { PATIENCE_US = 600 * 1000000 };
    if (!r)
        return;
    if (r->working && r->rank) { /* rank 0 says what went wrong, and ends us */
        struct news news = {.kind = NEWS_FAILED, .code = why ? why->code : ERR_SYSTEM};
        memcpy(news.text, why ? why->text : "", why ? sizeof news.text : 1);
        int64_t begun = clock_us();
        if (!ranks_tell(r, &news, NULL))
            while (clock_us() - begun < PATIENCE_US)
                ranks_nap();
    }
    if (r->working)
        r->mpi->stop(1);
    else if (!ranks_sent(r, &r->news_request, NULL))
        r->mpi->close();
    free(r->unit), free(r->peer);
    free(r);
}
