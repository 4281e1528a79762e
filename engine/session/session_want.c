/* session_want.c - deep copies of requests (see session_want.h). */
#include "session/session_want.h"

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

static int32_t clamp(int32_t v, int32_t lo, int32_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static void clip(struct session_want *w, const struct config *cfg)
{
    w->row0 = clamp(w->row0, 0, w->n);
    w->row1 = clamp(w->row1, w->row0, w->n);
    w->tensor_row0 = clamp(w->tensor_row0, 0, w->n);
    w->tensor_row1 = clamp(w->tensor_row1, w->tensor_row0, w->n);
    if (w->tensor_row0 == w->tensor_row1 ||
        !site_exists(cfg, w->tensor.id < SITE_COUNT ? w->tensor.id : SITE_EMBED))
        w->tensor.id = SITE_COUNT;
    if (w->cell_column > cfg->n_layers || w->cell_row < 0 || w->cell_row >= w->n)
        w->cell_column = -1;
    w->cell_k = clamp(w->cell_k, 0, LENS_TOP_MAX);
    if (w->attn_layer >= cfg->n_layers)
        w->attn_layer = -1;
    if (w->target >= cfg->d_vocab)
        w->target = -1;
    for (int i = 0; i < 2; i++)
        if (w->pair[i] >= cfg->d_vocab)
            w->pair[i] = -1;
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

struct session_want *session_want_copy(const struct session_want *from, const struct config *cfg)
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
    w->stats = copy_array(from->stats, from->n_stats, sizeof *from->stats);
    if (w->tokens && edits && on && w->prompts && sets && w->stats) {
        clip(w, cfg);
        return w;
    }
    session_want_free(w);
    return NULL;
}

void session_want_free(struct session_want *w)
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
    free((void *)(uintptr_t)w->stats);
    free(w);
}
