/* libcuda_graph.c - the functions of the driver for graphs, which are chains of kernels here. */
#include <stdlib.h>

#include "device.h"

/* A chain of launches, and one that can be launched: its nodes have their graph's numbers. */
struct cu_node_s {
    struct cu_graph_s *graph;
    int at;
    struct item launch;
    struct cu_node_s *next;
};
struct cu_graph_s {
    struct cu_node_s *first, **last;
    int n;
};
struct cu_exec_s {
    struct cu_graph_s *graph; /* compared only: it may be gone */
    int n;
    struct item launch[];
};

cu_result cuGraphCreate(cu_graph *g, unsigned flags)
{
    ENTER
    if (flags || !(*g = calloc(1, sizeof **g)))
        return flags ? BAD_VALUE : CU_OUT_OF_MEMORY;
    (*g)->last = &(*g)->first;
    fake_objects++;
    return CU_OK;
}

cu_result cuGraphDestroy(cu_graph g)
{
    while (g->first) {
        struct cu_node_s *next = g->first->next;
        free(g->first);
        g->first = next;
    }
    free(g);
    fake_objects--;
    ENTER
    return CU_OK;
}

/* Only chains: kernels of one stream, each after the one before. */
cu_result cuGraphAddKernelNode(cu_node *node, cu_graph g, const cu_node *after, size_t n,
                               const struct cu_node_launch *l)
{
    ENTER
    struct cu_node_s own = {.graph = g, .at = g->n};
    if (n != (g->n > 0) || (n && (after[0]->graph != g || after[0]->at != g->n - 1)))
        fake_wrong("a kernel of a graph does not wait for the one before it");
    if (!launch_take(l, &own.launch))
        return BAD_VALUE;
    if (!(*node = malloc(sizeof **node)))
        return CU_OUT_OF_MEMORY;
    **node = own;
    *g->last = *node, g->last = &(*node)->next;
    g->n++;
    return CU_OK;
}

cu_result cuGraphInstantiate_v2(cu_exec *exec, cu_graph g, cu_node *bad, char *log, size_t log_size)
{
    ENTER(void) bad, (void)log, (void)log_size;
    struct cu_exec_s *e = malloc(sizeof *e + (size_t)g->n * sizeof *e->launch);
    if (!e)
        return CU_OUT_OF_MEMORY;
    *e = (struct cu_exec_s){g, g->n};
    for (struct cu_node_s *x = g->first; x; x = x->next)
        e->launch[x->at] = x->launch;
    fake_objects++;
    *exec = e;
    return CU_OK;
}

cu_result cuGraphExecDestroy(cu_exec e)
{
    free(e);
    fake_objects--;
    ENTER
    return CU_OK;
}

cu_result cuGraphExecKernelNodeSetParams(cu_exec e, cu_node node, const struct cu_node_launch *l)
{
    ENTER
    struct item i;
    if (node->graph != e->graph)
        fake_wrong("a node of another graph is changed");
    if (!launch_take(l, &i))
        return BAD_VALUE;
    if (i.kernel != e->launch[node->at].kernel)
        fake_wrong("a node becomes another kernel");
    e->launch[node->at] = i;
    fake_launched.changed++;
    return CU_OK;
}

cu_result cuGraphLaunch(cu_exec e, cu_stream s)
{
    ENTER_STREAM(s)
    fake_launched.graphs++;
    for (int i = 0; i < e->n; i++)
        stream_add(s, e->launch[i]);
    return CU_OK;
}
