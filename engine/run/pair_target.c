/* pair_target.c - deep copies of targets (see pair.h). */
#include "run/pair.h"

#include <stdlib.h>
#include <string.h>

#include "edit/reference.h"

/* A copy of n elements, never NULL for n = 0. */
static void *copy_array(const void *from, int32_t n, size_t size)
{
    void *to = calloc((size_t)n + 1, size);
    if (to && from && n)
        memcpy(to, from, (size_t)n * size);
    return to;
}

/* What a target holds is const for its readers. */
static void release(const void *p)
{
    free((void *)(uintptr_t)p);
}

void pair_target_free(struct pair_target *t)
{
    for (int32_t i = 0; i < t->n_edits && t->edits; i++)
        edit_free(t->edits[i]);
    for (int32_t i = 0; i < t->n_sets && t->sets; i++)
        reference_free(t->sets[i]);
    for (int32_t i = 0; i < t->n_prompts && t->prompts; i++) {
        release(t->prompts[i].name), release(t->prompts[i].tokens);
        image_drop(t->prompts[i].image);
    }
    image_drop(t->input.image);
    release(t->input.tokens), release(t->input.types), release(t->edits), release(t->on),
        release(t->prompts);
    release(t->sets);
    *t = (struct pair_target){0};
}

int pair_target_copy(struct pair_target *to, const struct pair_target *from, struct err *e)
{
    struct edit **edits = calloc((size_t)from->n_edits + 1, sizeof(struct edit *));
    struct reference_set **sets = calloc((size_t)from->n_sets + 1, sizeof(struct reference_set *));
    struct pair_prompt *prompts = calloc((size_t)from->n_prompts + 1, sizeof *prompts);
    bool *on = calloc((size_t)from->n_edits + 1, sizeof *on);
    int32_t *tokens = copy_array(from->input.tokens, from->input.n, sizeof *tokens),
            *types = from->input.types ? copy_array(from->input.types, from->input.n, sizeof *types)
                                       : NULL;
    bool ok = edits && sets && prompts && on && tokens && (types || !from->input.types);
    for (int32_t i = 0; i < from->n_edits && ok; i++) {
        edits[i] = edit_copy(from->edits[i]);
        on[i] = !from->on || from->on[i];
    }
    for (int32_t i = 0; i < from->n_sets && ok; i++)
        sets[i] = reference_hold(from->sets[i]);
    for (int32_t i = 0; i < from->n_prompts && ok; i++) {
        const struct pair_prompt *p = &from->prompts[i];
        prompts[i] = (struct pair_prompt){strdup(p->name),
                                          copy_array(p->tokens, p->n, sizeof *p->tokens), p->n,
                                          image_hold(p->image)};
    }
    for (int32_t i = 0; i < from->n_prompts && ok; i++)
        ok = prompts[i].name && prompts[i].tokens;
    *to = (struct pair_target){.input = {.tokens = tokens,
                                         .types = types,
                                         .n = from->input.n,
                                         .image = image_hold(from->input.image)},
                               .edits = edits,
                               .on = on,
                               .n_edits = from->n_edits,
                               .prompts = prompts,
                               .n_prompts = from->n_prompts,
                               .sets = sets,
                               .n_sets = from->n_sets,
                               .align = from->align,
                               .paired = from->paired};
    return ok ? 0 : err_memory(e, "edits and prompts");
}

bool pair_prompts_same(const struct pair_target *a, const struct pair_target *b)
{
    if (a->n_prompts != b->n_prompts)
        return false;
    for (int32_t i = 0; i < a->n_prompts; i++) {
        const struct pair_prompt *p = &a->prompts[i], *q = &b->prompts[i];
        if (strcmp(p->name, q->name) != 0 || p->n != q->n || p->image != q->image ||
            memcmp(p->tokens, q->tokens, (size_t)p->n * sizeof *p->tokens) != 0)
            return false;
    }
    return true;
}
