/* request.c - deep copies of requests (see request.h). */
#include "session/request.h"

#include <stdlib.h>

static int32_t fit_wants(struct want *to, const struct session_want *from, const struct config *cfg)
{
    size_t room = LIMIT_FIGURES;
    int32_t n = 0, length = from->target.input.n;
    for (int32_t i = 0; i < from->n_wants; i++) {
        struct want w = from->wants[i];
        if (!want_fit(cfg, &w, length))
            continue;
        size_t bytes = want_bytes(cfg, &w, length), rows = (size_t)(w.row1 - w.row0);
        rows = bytes && rows > room / bytes ? room / bytes : rows;
        if (!rows)
            continue;
        room -= rows * bytes;
        w.row1 = w.row0 + (int32_t)rows;
        to[n++] = w;
    }
    return n;
}

struct session_want *request_copy(const struct session_want *from, const struct config *cfg)
{
    struct session_want *w = calloc(1, sizeof *w);
    struct want *wants = calloc((size_t)from->n_wants + 1, sizeof *wants);
    if (!w || !wants || pair_target_copy(&w->target, &from->target, NULL)) {
        free(wants);
        request_free(w);
        return NULL;
    }
    w->wants = wants;
    w->n_wants = fit_wants(wants, from, cfg);
    w->task = from->task;
    if (from->sweep) {
        struct session_sweep *sweep = malloc(sizeof *sweep);
        if (!sweep) {
            request_free(w);
            return NULL;
        }
        *sweep = *from->sweep;
        w->sweep = sweep;
    }
    return w;
}

void request_free(struct session_want *w)
{
    if (!w)
        return;
    pair_target_free(&w->target);
    free((void *)(uintptr_t)w->wants);
    free((void *)(uintptr_t)w->sweep);
    free(w);
}
