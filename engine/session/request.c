/* request.c - deep copies of requests (see request.h). */
#include "session/request.h"

#include "edit/reference.h"

#include <stdlib.h>
#include <string.h>

/* A copy of n elements, never NULL for n = 0. */
static void *copy_array(const void *from, int32_t n, size_t size)
{
    void *to = calloc((size_t)n + 1, size);
    if (to && n)
        memcpy(to, from, (size_t)n * size);
    return to;
}

static int32_t fit_wants(struct want *to, const struct session_want *from, const struct config *cfg)
{
    size_t room = LIMIT_FIGURES;
    int32_t n = 0;
    for (int32_t i = 0; i < from->n_wants; i++) {
        struct want w = from->wants[i];
        if (!want_fit(cfg, &w, from->n))
            continue;
        size_t bytes = want_bytes(cfg, &w, from->n), rows = (size_t)(w.row1 - w.row0);
        rows = bytes && rows > room / bytes ? room / bytes : rows;
        if (!rows)
            continue;
        room -= rows * bytes;
        w.row1 = w.row0 + (int32_t)rows;
        to[n++] = w;
    }
    return n;
}

static struct pair_prompt *copy_prompts(const struct pair_prompt *from, int32_t n)
{
    struct pair_prompt *to = calloc((size_t)n + 1, sizeof *to);
    bool ok = to;
    for (int32_t i = 0; i < n && to; i++) {
        to[i] = (struct pair_prompt){strdup(from[i].name),
                                     copy_array(from[i].tokens, from[i].n, sizeof(int32_t)),
                                     from[i].n};
        ok = ok && to[i].name && to[i].tokens;
    }
    if (ok)
        return to;
    for (int32_t i = 0; i < n && to; i++) {
        free((void *)(uintptr_t)to[i].name);
        free((void *)(uintptr_t)to[i].tokens);
    }
    free(to);
    return NULL;
}

struct session_want *request_copy(const struct session_want *from, const struct config *cfg)
{
    struct session_want *w = malloc(sizeof *w);
    if (!w)
        return NULL;
    *w = *from;
    struct edit **edits = calloc((size_t)from->n_edits + 1, sizeof(struct edit *));
    bool *on = calloc((size_t)from->n_edits + 1, sizeof *on);
    for (int32_t i = 0; i < from->n_edits && edits; i++)
        edits[i] = edit_copy(from->edits[i]);
    for (int32_t i = 0; i < from->n_edits && on; i++)
        on[i] = !from->on || from->on[i];
    w->tokens = copy_array(from->tokens, from->n, sizeof *from->tokens);
    w->edits = edits;
    w->on = on;
    w->n_edits = edits ? from->n_edits : 0;
    w->prompts = copy_prompts(from->prompts, from->n_prompts);
    w->n_prompts = w->prompts ? from->n_prompts : 0;
    struct reference_set **sets = calloc((size_t)from->n_sets + 1, sizeof(struct reference_set *));
    for (int32_t i = 0; i < from->n_sets && sets; i++)
        sets[i] = reference_hold(from->sets[i]);
    w->sets = sets;
    w->n_sets = sets ? from->n_sets : 0;
    struct want *wants = calloc((size_t)from->n_wants + 1, sizeof *wants);
    w->wants = wants;
    if (w->tokens && edits && on && w->prompts && sets && wants) {
        w->n_wants = fit_wants(wants, from, cfg);
        return w;
    }
    request_free(w);
    return NULL;
}

void request_free(struct session_want *w)
{
    if (!w)
        return;
    for (int32_t i = 0; i < w->n_edits; i++)
        edit_free(w->edits[i]);
    for (int32_t i = 0; i < w->n_prompts; i++) {
        free((void *)(uintptr_t)w->prompts[i].name);
        free((void *)(uintptr_t)w->prompts[i].tokens);
    }
    for (int32_t i = 0; i < w->n_sets; i++)
        reference_free(w->sets[i]);
    free((void *)(uintptr_t)w->sets);
    free((void *)(uintptr_t)w->edits);
    free((void *)(uintptr_t)w->on);
    free((void *)(uintptr_t)w->tokens);
    free((void *)(uintptr_t)w->prompts);
    free((void *)(uintptr_t)w->wants);
    free(w);
}
