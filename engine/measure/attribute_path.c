/* attribute_path.c - gradients on the way from one run's values to others' (see attribute_parts.h).
 */
#include "measure/attribute_parts.h"

#include <stdlib.h>

#include "measure/capture.h"
#include "run/callback.h"

/* The whole site at a point of the path. */
struct point {
    struct kn_view values;
};

static int move(const struct callback *self, int32_t row0, const struct kn_view *v, struct err *e)
{
    const struct point *at = self->user;
    int axis = site_row_axis(self->site.id);
    struct kn_view from = kn_slice(at->values, axis, row0, row0 + v->shape[axis]);
    (void)e;
    capture_move(v, &from);
    return 0;
}

int attribute_path_grad(const struct attribute_path *w, double at, const struct site_ref *sites,
                        int32_t n_sites, grad_fn *fn, void *user, struct err *e)
{
    const struct run *r = pair_shown(w->pair);
    int64_t shape[SITE_RANK_MAX];
    struct point here;
    int rank = site_shape(&run_model(r)->cfg, w->site.id, run_length(r), shape);
    here.values = kn_packed(NULL, KN_F32, rank, shape);
    int64_t n = kn_count(&here.values);
    float *mix = malloc((size_t)n * sizeof *mix);
    if (!mix)
        return err_memory(e, "attributions");
    for (int64_t i = 0; i < n; i++) /* equal infinities are hidden scores */
        mix[i] = w->x[i] == w->put[i]
                     ? w->x[i]
                     : (float)((double)w->x[i] + at * ((double)w->put[i] - (double)w->x[i]));
    here.values.data = mix;
    struct callback c = {.site = w->site, .dir = CALLBACK_FORWARD, .fn = move, .user = &here};
    struct callbacks list = {.list = &c, .n = 1, .cap = 1};
    int rc = pair_callbacks(w->pair, &list, false, 0, e);
    if (!rc)
        rc = pair_sync(w->pair, w->target, NULL, e);
    if (!rc)
        rc = grad_run(pair_shown(w->pair), pair_run(w->pair, FACE_BASE), w->metric, sites, n_sites,
                      fn, user, e);
    free(mix);
    return rc;
}

int attribute_path_end(struct pair *p, const struct pair_target *t, struct err *e)
{
    int rc = pair_callbacks(p, NULL, false, 0, e);
    return rc ? rc : pair_sync(p, t, NULL, e);
}
