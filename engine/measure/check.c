/* check.c - testing an identity (see check.h). */
#include <math.h>
#include <stdlib.h>

#include "measure/check_parts.h"

const struct check_info check_table[CHECK_COUNT] = {
#define CHECK(function, per_block, limit, name) {name, limit},
#include "measure/check.def"
};

static const struct identity {
    int (*test)(struct check *k, int32_t layer);
    bool per_block;
} identities[CHECK_COUNT] = {
#define CHECK(function, per_block, limit, name) {function, per_block},
#include "measure/check.def"
};

const float *check_values(struct check *k, enum site_id id, int32_t layer)
{
    size_t count = (size_t)(site_row_size(&k->m->cfg, id, k->n) * k->n);
    float **more = realloc(k->buffers, (size_t)(k->n_buffers + 1) * sizeof *more);
    k->buffers = more ? more : k->buffers;
    float *v = more ? malloc(count * sizeof *v) : NULL;
    if (!v) {
        err_memory(k->err, "check");
        return NULL;
    }
    k->buffers[k->n_buffers++] = v;
    return run_read(k->r, (struct site_ref){id, layer}, 0, k->n, v, NULL, k->err) ? NULL : v;
}

static void forget_values(struct check *k)
{
    for (int i = 0; i < k->n_buffers; i++)
        free(k->buffers[i]);
    free(k->buffers);
    k->buffers = NULL, k->n_buffers = 0;
}

void check_compare(struct check *k, double got, double expected)
{
    double d = fabs(got - expected), s = fabs(expected);
    if (got == expected || (isnan(got) && isnan(expected)))
        d = 0;
    if (!(d <= k->worst)) /* NaN counts as the worst */
        k->worst = isnan(d) ? INFINITY : d;
    s = isfinite(s) ? s : 0;
    k->scale = s > k->scale ? s : k->scale;
}

int check_identity(struct run *base, int i, size_t cache_bytes, struct check_finding *out,
                   struct err *e)
{
    const struct identity *what = &identities[i];
    struct check k = {.r = base,
                      .m = run_model(base),
                      .n = run_length(base),
                      .cache_bytes = cache_bytes,
                      .first = {SITE_COUNT, SITE_ROOT},
                      .err = e};
    struct check_finding f = {.layer = -1};
    bool compared = false;
    int32_t layers = what->per_block ? k.m->cfg.n_layers : 1;
    for (int32_t l = 0; l < layers; l++) {
        const atomic_bool *cancel = k.m->be->cancel;
        k.worst = 0;
        k.scale = -1; /* still -1: nothing to compare in this model */
        int rc = cancel && atomic_load_explicit(cancel, memory_order_relaxed)
                     ? err_set(e, ERR_CANCELLED, "cancelled")
                     : what->test(&k, l);
        forget_values(&k);
        if (rc)
            return rc;
        double d = k.scale > 0 ? k.worst / k.scale : k.worst;
        compared = compared || k.scale >= 0;
        if (d > f.deviation || (l == 0 && what->per_block)) {
            f.deviation = d;
            f.layer = what->per_block ? l : -1;
        }
    }
    f.first = k.first;
    if (f.first.id != SITE_COUNT && f.first.layer != SITE_ROOT)
        f.layer = f.first.layer;
    f.result = !compared                             ? CHECK_ABSENT
               : f.deviation <= check_table[i].limit ? CHECK_HOLDS
                                                     : CHECK_FAILS;
    *out = f;
    return 0;
}
