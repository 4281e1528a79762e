/* sweep_guess.c - see sweep_guess.h. */
#include "session/sweep_guess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/attribute.h"

/* The value of a cell on the axis of that name, or what was chosen of it; -1: it has none. */
static int32_t at_name(const struct sweep *s, const struct session_sweep *of, int32_t cell,
                       const char *name)
{
    const struct sweep_axis *axes;
    int32_t n = sweep_axes(s, &axes), at;
    for (int32_t i = n; i-- > 0; cell /= axes[i].size)
        if (!strcmp(axes[i].name, name))
            return sweep_axis_number(&axes[i], cell % axes[i].size, &at) ? at : cell % axes[i].size;
    for (int i = 0; i < 2; i++) {
        size_t len = strlen(name);
        if (!strncmp(of->over[i], name, len) && of->over[i][len] == '=')
            return (int32_t)strtol(of->over[i] + len + 1, NULL, 10);
    }
    return -1;
}

/* Each cell's place among the estimates, which have all axes of the kind. */
static float *cells_of(const struct sweep *s, const struct session_sweep *of,
                       const struct attribution *a)
{
    int32_t cells = sweep_cells(s);
    float *out = malloc((size_t)cells * sizeof *out);
    for (int32_t cell = 0; out && cell < cells; cell++) {
        int64_t place = 0;
        for (int k = 0; k < a->rank && place >= 0; k++) {
            int32_t at = at_name(s, of, cell, a->axis[k].name);
            place = at < 0 || at >= a->axis[k].size ? -1 : place * a->axis[k].size + at;
        }
        out[cell] = place < 0 || (a->there && !a->there[place]) ? NAN : a->values[place];
    }
    return out;
}

int sweep_guess(float **out, const struct model *m, const struct pair_target *t,
                const struct session_sweep *of, const struct sweep *s, size_t cache_bytes,
                struct err *e)
{
    struct attribution a = {0};
    struct metric metric;
    struct pair *pair = NULL;
    const struct attribute_options o = {.method = ATTRIBUTE_ATP,
                                        .kind = sweep_kind_find(of->kind, e),
                                        .with = *of->with ? of->with : NULL,
                                        .cache_bytes = cache_bytes / 4};
    int rc = o.kind ? metric_parse(&metric, of->metric, m->tok, m->cfg.d_vocab, e) : ERR_BAD_INPUT;
    if (!rc)
        rc = metric_check_gradient(&metric, m, e);
    if (!rc)
        rc = pair_open(&pair, m, cache_bytes / 4, e);
    if (!rc) {
        pair_differentiate(pair, true);
        rc = pair_sync(pair, t, NULL, e);
    }
    if (!rc)
        rc = attribute(&a, pair, t, &metric, &o, e);
    if (!rc && !(*out = cells_of(s, of, &a)))
        rc = err_memory(e, "a sweep");
    pair_close(pair);
    attribution_free(&a);
    return rc;
}
