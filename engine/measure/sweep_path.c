/* sweep_path.c - path patching: the runs in which a cell's edits take the direct path
 * (sweep_parts.h).
 *
 * In such a run what attention gives (and MLPs, where they are frozen) is that of the run without
 * the cell's edits, but for what these edits set themselves: they act through the residual stream
 * alone, and through MLPs.  The receivers' values in it are what a second run, in which nothing
 * else is changed, is given. */
#include "measure/sweep_parts.h"

#include <stdlib.h>

/* One run of them on its way: aimed. */
static int path_aim(struct sweep *s, struct sweep_side *d, int32_t cell, struct run **r,
                    struct err *e)
{
    struct run_options opt = {.cache_bytes = s->cache_bytes /
                                             (size_t)(4 * s->n_sides * SWEEP_PATHS)};
    struct edit_program *p = NULL;
    int rc = sweep_cell_program(s, d, cell, SWEEP_SENDERS, &p, e);
    if (rc)
        return rc;
    struct run **reads = calloc((size_t)p->n_sources + 1, sizeof(struct run *));
    if (!reads)
        rc = err_memory(e, "runs");
    if (!rc)
        rc = sweep_side_sources(s, d, p, NULL, reads, e);
    if (!rc && !*r && !(*r = run_create(s->m, d->base, &opt, e)))
        rc = err_code(e);
    if (!rc)
        rc = run_target(*r, (struct run_input){0}, p, reads, e);
    free(reads);
    edit_program_free(p);
    return rc;
}

int sweep_paths(struct sweep *s, struct sweep_side *d, const int32_t *list, int32_t n,
                struct err *e)
{
    struct run_cost costs[SWEEP_PATHS];
    int rc = 0;
    for (int32_t i = 0; i < n && !rc; i++)
        rc = path_aim(s, d, list[i], &d->path[i], e);
    return rc ? rc : run_compute(d->path, n, costs, e);
}

int sweep_path_check(const struct edit_program *p, int32_t n_edits, struct err *e)
{
    static const enum site_id hidden[] = {SITE_Q,       SITE_K,       SITE_V,      SITE_ATTN_SCORES,
                                          SITE_PATTERN, SITE_ROT_Q,   SITE_ROT_K,  SITE_Q_INPUT,
                                          SITE_K_INPUT, SITE_V_INPUT, SITE_ATTN_IN};
    char name[LIMIT_NAME];
    if (p->n_weights)
        return err_set(e, ERR_BAD_INPUT, "path patching · edits of weights act on every path");
    for (int32_t i = 0; i < p->n_instrs; i++)
        for (size_t k = 0; k < sizeof hidden / sizeof *hidden; k++)
            if (p->instrs[i].edit >= n_edits && p->instrs[i].site.id == hidden[k])
                return err_set(e, ERR_BAD_INPUT,
                               "path patching · %s acts through attention, which is held · senders "
                               "are hook_z, hook_attn_out, hook_mlp_out and the residual stream",
                               site_name(p->instrs[i].site, name));
    return 0;
}
