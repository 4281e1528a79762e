/* pair_edits.c - see pair_edits.h. */
#include "run/pair_edits.h"

#include "run/prompt_align.h"

/* What edit anchors see of the prompt. */
struct text_source {
    const struct model *m;
    const int32_t *tokens;
};

static int32_t token_text(void *user, int32_t pos, const char **text)
{
    const struct text_source *src = user;
    size_t len;
    *text = model_input_text(src->m, src->tokens[pos], &len);
    return (int32_t)len;
}

static bool is_answer(const struct pair_edits *p, const struct pair_target *t, bool gradients)
{
    const struct pair_target *was = &p->from;
    if (!p->program || p->gradients != gradients || was->input.n != t->input.n ||
        was->n_edits != t->n_edits || was->n_sets != t->n_sets || was->align != t->align ||
        was->paired != t->paired || !pair_prompts_same(was, t))
        return false;
    for (int32_t i = 0; i < t->input.n; i++)
        if (was->input.tokens[i] != (t->input.tokens ? t->input.tokens[i] : 0))
            return false;
    for (int32_t i = 0; i < t->n_edits; i++)
        if (was->edits[i] != t->edits[i] || was->on[i] != (!t->on || t->on[i]))
            return false;
    for (int32_t i = 0; i < t->n_sets; i++)
        if (was->sets[i] != t->sets[i])
            return false;
    return true;
}

void pair_edits_free(struct pair_edits *p)
{
    edit_program_free(p->program);
    pair_target_free(&p->from);
    *p = (struct pair_edits){0};
}

int pair_edits_resolve(struct pair_edits *p, const struct model *m, const struct pair_target *t,
                       bool gradients, struct edit_program **out, struct err *e)
{
    if (!is_answer(p, t, gradients)) {
        struct pair_edits fresh = {.gradients = gradients, .unlisted = p->unlisted};
        const struct pair_target *f = &fresh.from;
        int rc = pair_target_copy(&fresh.from, t, e);
        struct text_source src = {m, f->input.tokens};
        struct edit_context ctx = {.cfg = &m->cfg,
                                   .n_pos = t->input.n,
                                   .model = m,
                                   .token_text = token_text,
                                   .user = &src,
                                   .sets = t->sets,
                                   .n_sets = t->n_sets,
                                   .gradients = gradients};
        if (!rc)
            rc = edit_resolve(&fresh.program, f->edits, f->on, f->n_edits, &ctx, e);
        struct prompt_maps maps = {0};
        if (!rc)
            rc = prompt_align(&maps, f, fresh.program, p->unlisted ? 0 : f->n_edits, e);
        prompt_maps_free(&maps);
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
