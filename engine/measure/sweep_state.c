/* sweep_state.c - see sweep_state.h. */
#include "measure/sweep_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/tensor_write.h"

void sweep_state_free(struct sweep_state *k)
{
    free(k->value), free(k->gone);
    *k = (struct sweep_state){.n = 0};
}

int sweep_state_add(struct sweep_state *k, const struct sweep_unit_cell *cells, size_t n,
                    struct err *e)
{
    size_t all = (size_t)k->n + n;
    double *value = realloc(k->value, (all + 1) * sizeof *value);
    k->value = value ? value : k->value;
    uint8_t *gone = realloc(k->gone, all + 1);
    k->gone = gone ? gone : k->gone;
    if (!value || !gone)
        return err_memory(e, "%zu values of a sweep", all);
    for (size_t i = 0; i < n; i++, k->n++)
        k->value[k->n] = cells[i].value, k->gone[k->n] = cells[i].gone != 0;
    return 0;
}

int sweep_state_take(const struct sweep_state *k, struct sweep *s, int32_t *units, struct err *e)
{
    int64_t at = 0;
    int rc = 0;
    *units = 0;
    for (; at < k->n && *units < sweep_units(s) && !rc; *units += !rc) {
        size_t bytes = sweep_unit_bytes(s, *units);
        int64_t n = (int64_t)(bytes / sizeof(struct sweep_unit_cell));
        struct sweep_unit_cell *cells = malloc(bytes);
        if (n > k->n - at) {
            free(cells);
            break;
        }
        for (int64_t i = 0; cells && i < n; i++, at++)
            cells[i] = (struct sweep_unit_cell){k->value[at], k->gone[at]};
        rc = cells ? sweep_unit_take(s, *units, cells, e) : err_memory(e, "cells of a sweep");
        free(cells);
    }
    return rc || at == k->n
               ? rc
               : err_set(e, ERR_BAD_INPUT, "%" PRId64 " values, not those of units", k->n);
}

/* ---- files ---- */

int sweep_state_write(const struct sweep_state *k, const char *path, struct err *e)
{
    char about[40];
    const struct tensor_meta meta[] = {{"program", "borescope " BORE_VERSION}, {"sweep", about}};
    const struct tensor_out t[] = {
        {.name = "value", .dtype = ST_F64, .rank = 1, .shape = {k->n}, .data = k->value},
        {.name = "gone", .dtype = ST_U8, .rank = 1, .shape = {k->n}, .data = k->gone}};
    snprintf(about, sizeof about, "%016" PRIx64 "%016" PRIx64, k->about.a, k->about.b);
    return tensor_write(path, t, 2, meta, 2, e);
}

/* A tensor of k->n values, or of as many as it has. */
static const struct st_tensor *values_of(const struct checkpoint *st, const char *name,
                                         enum st_dtype dtype)
{
    const struct st_tensor *t = checkpoint_find(st, name);
    return t && t->dtype == dtype && t->rank == 1 ? t : NULL;
}

static int read_all(struct sweep_state *out, struct checkpoint *st, const char *file, struct err *e)
{
    struct sweep_state k = {.n = 0};
    if (!st)
        return err_code(e);
    const char *about = checkpoint_metadata(st, "sweep");
    const struct st_tensor *value = values_of(st, "value", ST_F64),
                           *gone = values_of(st, "gone", ST_U8);
    int rc = 0;
    if (!about || strlen(about) != 32 || !value || !gone || value->shape[0] != gone->shape[0] ||
        sscanf(about, "%16" SCNx64 "%16" SCNx64, &k.about.a, &k.about.b) != 2)
        rc = err_set(e, ERR_BAD_INPUT, "%s · is no state of a sweep", file);
    if (!rc) {
        k.n = value->shape[0];
        k.value = malloc(value->nbytes + 1), k.gone = malloc(gone->nbytes + 1);
        if (!k.value || !k.gone)
            rc = err_memory(e, "a state of a sweep");
    }
    if (!rc && k.n) {
        memcpy(k.value, value->data, value->nbytes);
        memcpy(k.gone, gone->data, gone->nbytes);
    }
    for (int64_t i = 0; i < k.n && !rc; i++)
        if (k.gone[i] > 1)
            rc = err_set(e, ERR_BAD_INPUT, "%s · gone · %d · expected 0 or 1", file, k.gone[i]);
    checkpoint_close(st);
    if (rc)
        sweep_state_free(&k);
    else
        *out = k;
    return rc;
}

int sweep_state_read(struct sweep_state *k, const char *path, struct err *e)
{
    return read_all(k, checkpoint_open(path, e), path, e);
}

int sweep_state_parse(struct sweep_state *k, const char *name, const void *bytes, size_t len,
                      struct err *e)
{
    return read_all(k, checkpoint_parse(name, bytes, len, e), name, e);
}
