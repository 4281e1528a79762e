/* loading.c - see loading.h. */
#include "session/loading.h"

#include "run/run_device.h"

/* The i-th stage to come. */
static int32_t stage_at(const struct model *m, int32_t i)
{
    return i == 1 ? m->cfg.n_layers + 1 : i > 1 ? i - 1 : 0;
}

bool loading_left(struct loading *l, const struct model *m)
{
    int32_t all = plan_stages(m->plan);
    if (m->be->unified) /* weights are used where they lie */
        l->done = all;
    while (l->done < all && model_stage_is_there(m, stage_at(m, l->done)))
        l->done++;
    l->all = all;
    if (l->done < all)
        return true;
    *l = (struct loading){0};
    return false;
}

int loading_step(struct loading *l, const struct model *m, const atomic_bool *cancel, struct err *e)
{
    if (l->done + 1 < plan_stages(m->plan)) /* from the file while these go to the device */
        model_stage_ahead(m, stage_at(m, l->done + 1));
    int rc = run_status(model_import_stage(m, stage_at(m, l->done), cancel), e);
    l->done += !rc;
    return rc;
}

int32_t loading_layers(const struct loading *l, const struct model *m)
{
    int32_t n = l->done > 2 ? l->done - 2 : 0;
    return n < m->cfg.n_layers ? n : m->cfg.n_layers;
}
