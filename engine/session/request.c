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

static bool copy_sides(struct session_want *to, const struct session_want *from,
                       const struct config *cfg)
{
    struct session_want *sides = from->n_sides ? calloc((size_t)from->n_sides, sizeof *sides)
                                               : NULL;
    to->sides = sides;
    for (int32_t i = 0; sides && i < from->n_sides; i++) {
        struct session_want *side = request_copy(&from->sides[i], cfg);
        if (!side)
            return false;
        sides[to->n_sides++] = *side;
        free(side);
    }
    return sides || !from->n_sides;
}

/* All but the struct itself. */
static void forget(struct session_want *w)
{
    for (int32_t i = 0; i < w->n_sides; i++)
        forget((struct session_want *)(uintptr_t)&w->sides[i]);
    pair_target_free(&w->target);
    free((void *)(uintptr_t)w->wants);
    free((void *)(uintptr_t)w->sweep);
    free((void *)(uintptr_t)w->sides);
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
    w->lane = from->lane;
    w->model = from->model;
    if (!copy_sides(w, from, cfg)) {
        request_free(w);
        return NULL;
    }
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
    forget(w);
    free(w);
}

int request_check(const struct model *m, const struct pair_target *t, struct err *e)
{
    int rc = model_check_tokens(m, t->input.tokens, t->input.n, NULL, e);
    for (int32_t i = 0; i < t->n_prompts && !rc; i++)
        rc = model_check_tokens(m, t->prompts[i].tokens, t->prompts[i].n, NULL, e);
    return rc;
}
