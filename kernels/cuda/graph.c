/* graph.c - launches given out together: as one graph where the same kernels come again.
 *
 * A launch costs the host some microseconds, a launch of a graph not much more; a pass of a small
 * model is a hundred of them on a device that needs a microsecond for each.  So launches wait until
 * BATCH of them are there or something else wants the stream.  The first time that a batch's
 * kernels are seen it is launched one by one; from the second time on it is a graph, a chain of its
 * kernels, which is kept.  Later batches of the same kernels are that graph with the parameters
 * that differ changed, or it as it is.  One that was launched since the host last waited is a part
 * of the same pass and is not changed: the next pass will want it again.
 *
 * Want of memory for a graph is no failure: its launches are then given out one by one.  Tested in
 * tests/kernels/test_cuda_graph.c. */
#include "cuda.h"

#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 32,      /* launches of a batch: a cancelled pass waits for twice as many */
    BATCH_LEAST = 4, /* fewer are not worth a graph */
    GRAPHS = 64,     /* that are kept */
    SEEN = 256       /* sequences of kernels that are remembered */
};

struct graph {
    cu_graph graph;
    cu_exec exec; /* NULL: this place is free */
    cu_node node[BATCH];
    struct cuda_launch launch[BATCH]; /* as exec has them */
    int n;
    uint64_t kernels;    /* their hash */
    unsigned turn, pass; /* of its last launch */
};

struct cuda_queue {
    struct cuda_launch launch[BATCH]; /* that wait */
    int n;
    unsigned turn, pass; /* batches so far; waits so far */
    uint64_t seen[SEEN]; /* hashes of batches that were launched one by one, in turn */
    unsigned seen_next;
    struct graph graph[GRAPHS];
};

/* The kernels of a batch, in their order (FNV-1a). */
static uint64_t hash_of(const struct cuda_launch *l, int n)
{
    uint64_t h = 14695981039346656037u;
    for (int i = 0; i < n; i++)
        h = (h ^ (uint64_t)l[i].kernel) * 1099511628211u;
    return h;
}

static bool same_kernels(const struct graph *g, const struct cuda_queue *q, uint64_t hash)
{
    bool same = g->exec && g->kernels == hash && g->n == q->n;
    for (int i = 0; same && i < q->n; i++)
        same = g->launch[i].kernel == q->launch[i].kernel;
    return same;
}

static struct cu_node_launch node_of(const struct cuda *c, const struct cuda_launch *l,
                                     void **params)
{
    *params = (void *)(uintptr_t)l->params;
    return (struct cu_node_launch){.f = c->function[l->kernel],
                                   .x = l->x,
                                   .y = l->y,
                                   .z = l->z,
                                   .lanes_x = (unsigned)gpu_kernels[l->kernel].lanes,
                                   .lanes_y = 1,
                                   .lanes_z = 1,
                                   .params = params};
}

static void graph_drop(struct cuda *c, struct graph *g)
{
    if (g->exec)
        c->cu->exec_destroy(g->exec); /* what runs of it runs on */
    if (g->graph)
        c->cu->graph_destroy(g->graph);
    g->exec = NULL, g->graph = NULL, g->n = 0;
}

/* The launches that wait as a graph. */
static cu_result graph_make(struct cuda *c, struct graph *g, uint64_t hash)
{
    struct cuda_queue *q = c->queue;
    cu_result r = c->cu->graph_create(&g->graph, 0);
    for (int i = 0; !r && i < q->n; i++) {
        void *params;
        struct cu_node_launch l = node_of(c, &q->launch[i], &params);
        r = c->cu->graph_add(&g->node[i], g->graph, i ? &g->node[i - 1] : NULL, i ? 1 : 0, &l);
    }
    if (!r)
        r = c->cu->graph_instantiate(&g->exec, g->graph, NULL, NULL, 0);
    if (r) {
        graph_drop(c, g);
        return r;
    }
    memcpy(g->launch, q->launch, (size_t)q->n * sizeof *q->launch);
    g->n = q->n, g->kernels = hash;
    return CU_OK;
}

/* The parameters of the launches that wait into a graph of the same kernels. */
static cu_result graph_change(struct cuda *c, struct graph *g)
{
    const struct cuda_queue *q = c->queue;
    cu_result r = CU_OK;
    for (int i = 0; !r && i < q->n; i++) {
        void *params;
        if (memcmp(&g->launch[i], &q->launch[i], sizeof q->launch[i]) == 0)
            continue;
        struct cu_node_launch l = node_of(c, &q->launch[i], &params);
        r = c->cu->exec_set(g->exec, g->node[i], &l);
        g->launch[i] = q->launch[i];
    }
    if (r)
        graph_drop(c, g); /* what it holds now is not known */
    return r;
}

/* Was such a batch launched before?  From now on it was. */
static bool seen_before(struct cuda_queue *q, uint64_t hash)
{
    for (int i = 0; i < SEEN; i++)
        if (q->seen[i] == hash)
            return true;
    q->seen[q->seen_next++ % SEEN] = hash;
    return false;
}

/* A graph that is what waits, NULL where there is none yet; *r: a call that failed. */
static struct graph *graph_of(struct cuda *c, cu_result *r)
{
    struct cuda_queue *q = c->queue;
    struct graph *same = NULL, *oldest = &q->graph[0];
    uint64_t hash = hash_of(q->launch, q->n);
    *r = CU_OK;
    for (struct graph *g = q->graph; g < q->graph + GRAPHS; g++) {
        bool kernels = same_kernels(g, q, hash);
        if (kernels && memcmp(g->launch, q->launch, (size_t)q->n * sizeof *q->launch) == 0)
            return g;
        if (kernels && g->pass != q->pass && (!same || g->turn < same->turn))
            same = g;
        if (oldest->exec && (!g->exec || g->turn < oldest->turn))
            oldest = g;
    }
    if (same)
        return (*r = graph_change(c, same)) ? NULL : same;
    if (!seen_before(q, hash))
        return NULL;
    graph_drop(c, oldest);
    return (*r = graph_make(c, oldest, hash)) ? NULL : oldest;
}

static cu_result launch_each(struct cuda *c)
{
    const struct cuda_queue *q = c->queue;
    cu_result r = CU_OK;
    for (int i = 0; !r && i < q->n; i++) {
        const struct cuda_launch *l = &q->launch[i];
        void *args[] = {(void *)(uintptr_t)l->params};
        r = c->cu->launch(c->function[l->kernel], l->x, l->y, l->z,
                          (unsigned)gpu_kernels[l->kernel].lanes, 1, 1, 0, c->stream, args, NULL);
    }
    return r;
}

static cu_result launch_all(struct cuda *c)
{
    struct cuda_queue *q = c->queue;
    cu_result r = CU_OK;
    struct graph *g = q->n < BATCH_LEAST ? NULL : graph_of(c, &r);
    if (g) {
        g->turn = ++q->turn, g->pass = q->pass;
        r = c->cu->exec_launch(g->exec, c->stream);
    }
    return (g && !r) || (r && r != CU_OUT_OF_MEMORY) ? r : launch_each(c);
}

enum kn_status cuda_flush(struct cuda *c)
{
    unsigned n = c->queue ? (unsigned)c->queue->n : 0;
    if (!n)
        return KN_OK;
    enum kn_status st = cuda_here(c);
    st = st ? st : cuda_status(c, launch_all(c));
    c->queue->n = 0;
    if (st == KN_OUT_OF_MEMORY)
        c->owed = st;
    return st ? st : cuda_pace(c, n);
}

bool cuda_queue_open(struct cuda *c)
{
    return c->queue || (c->queue = calloc(1, sizeof *c->queue));
}

void cuda_queue_close(struct cuda *c)
{
    for (int i = 0; c->queue && i < GRAPHS; i++)
        graph_drop(c, &c->queue->graph[i]);
    free(c->queue);
}

enum kn_status cuda_queue_add(struct cuda *c, const struct cuda_launch *l)
{
    struct cuda_queue *q = c->queue;
    q->launch[q->n++] = *l;
    return q->n == BATCH ? cuda_flush(c) : KN_OK;
}

void cuda_queue_waited(struct cuda *c)
{
    if (c->queue)
        c->queue->pass++;
}
