/* pair_edits.c - see pair_edits.h. */
#include "run/pair_edits.h"

#include <stdlib.h>
#include <string.h>

#include "edit/reference.h"

/* What edit anchors see of the prompt. */
struct text_source {
    const struct tokenizer *tok;
    const int32_t *tokens;
};

static int32_t token_text(void *user, int32_t pos, const char **text)
{
    const struct text_source *src = user;
    size_t len;
    *text = tokenizer_text(src->tok, src->tokens[pos], &len);
    return (int32_t)len;
}

static bool is_on(const struct pair_target *t, int32_t i)
{
    return !t->on || t->on[i];
}

static bool is_answer(const struct pair_edits *p, const struct pair_target *t, bool gradients)
{
    if (!p->program || p->gradients != gradients || p->n != t->input.n ||
        p->n_edits != t->n_edits || p->n_sets != t->n_sets ||
        (t->input.n &&
         memcmp(p->tokens, t->input.tokens, (size_t)t->input.n * sizeof *t->input.tokens)))
        return false;
    for (int32_t i = 0; i < t->n_edits; i++)
        if (p->edits[i] != t->edits[i] || p->on[i] != is_on(t, i))
            return false;
    for (int32_t i = 0; i < t->n_sets; i++)
        if (p->sets[i] != t->sets[i])
            return false;
    return true;
}

void pair_edits_free(struct pair_edits *p)
{
    edit_program_free(p->program);
    for (int32_t i = 0; i < p->n_edits; i++)
        edit_free(p->edits[i]);
    for (int32_t i = 0; i < p->n_sets; i++)
        reference_free(p->sets[i]);
    free(p->tokens), free(p->edits), free(p->on), free(p->sets);
    *p = (struct pair_edits){0};
}

/* Hold what the answer is made from, the program itself still to come. */
static int hold(struct pair_edits *p, const struct pair_target *t, bool gradients, struct err *e)
{
    *p = (struct pair_edits){.gradients = gradients,
                             .n = t->input.n,
                             .tokens = calloc((size_t)t->input.n + 1, sizeof *p->tokens),
                             .edits = calloc((size_t)t->n_edits + 1, sizeof(struct edit *)),
                             .on = calloc((size_t)t->n_edits + 1, sizeof *p->on),
                             .sets = calloc((size_t)t->n_sets + 1, sizeof(struct reference_set *))};
    if (!p->tokens || !p->edits || !p->on || !p->sets)
        return err_set(e, ERR_SYSTEM, "out of memory · edits");
    if (t->input.n)
        memcpy(p->tokens, t->input.tokens, (size_t)t->input.n * sizeof *t->input.tokens);
    for (; p->n_edits < t->n_edits; p->n_edits++) {
        p->edits[p->n_edits] = edit_copy(t->edits[p->n_edits]);
        p->on[p->n_edits] = is_on(t, p->n_edits);
    }
    for (; p->n_sets < t->n_sets; p->n_sets++)
        p->sets[p->n_sets] = reference_hold(t->sets[p->n_sets]);
    return 0;
}

int pair_edits_resolve(struct pair_edits *p, const struct model *m, const struct pair_target *t,
                       bool gradients, struct edit_program **out, struct err *e)
{
    if (!is_answer(p, t, gradients)) {
        struct text_source src = {m->tok, t->input.tokens};
        struct edit_context ctx = {.cfg = &m->cfg,
                                   .n_pos = t->input.n,
                                   .model = m,
                                   .token_text = token_text,
                                   .user = &src,
                                   .sets = t->sets,
                                   .n_sets = t->n_sets,
                                   .gradients = gradients};
        struct pair_edits fresh;
        int rc = hold(&fresh, t, gradients, e);
        if (!rc)
            rc = edit_resolve(&fresh.program, fresh.edits, fresh.on, fresh.n_edits, &ctx, e);
        if (rc) {
            pair_edits_free(&fresh);
            return rc;
        }
        pair_edits_free(p);
        *p = fresh;
    }
    *out = edit_program_copy(p->program);
    return 0;
}
