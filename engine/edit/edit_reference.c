/* edit_reference.c - reference sets in edits (edit_parts.h).  Tested in
 * tests/engine/test_reference.c. */
#include "edit/edit_parts.h"

#include "edit/reference.h"

/* The program keeps every set that it uses once. */
static int hold(struct edit_program *prog, const struct reference_set *set,
                const struct edit_context *ctx, struct edit_chunk **chunks, struct err *e)
{
    for (int32_t i = 0; i < prog->n_sets; i++)
        if (prog->sets[i] == set)
            return 0;
    if (!prog->sets)
        prog->sets = edit_chunk_alloc(chunks, (size_t)ctx->n_sets * sizeof(struct reference_set *));
    if (!prog->sets)
        return err_set(e, ERR_SYSTEM, "out of memory for edits");
    prog->sets[prog->n_sets++] = reference_hold(set);
    return 0;
}

void edit_reference_free(struct edit_program *prog)
{
    for (int32_t i = 0; i < prog->n_sets; i++)
        reference_free(prog->sets[i]);
}

/* How many positions a prompt must have. */
static int32_t positions_needed(const struct edit_instr *instr)
{
    int32_t pos = instr->source_pos;
    if (pos == EDIT_ALL_POS)
        return 1;
    if (pos == EDIT_SAME_POS)
        return edit_axis_max(&instr->axis[site_row_axis(instr->site.id)]) + 1;
    return pos < 0 ? -pos : pos + 1;
}

int edit_reference_resolve(struct edit_program *prog, struct edit_instr *instr,
                           const struct edit *ed, const struct edit_context *ctx,
                           struct edit_chunk **chunks, struct err *e)
{
    if (instr->value != EDIT_MEAN_REF && instr->value != EDIT_RESAMPLE)
        return 0;
    const char *word = edit_value_words[instr->value].word;
    char name[LIMIT_NAME];
    bool attention = instr->site.id == SITE_ATTN_SCORES || instr->site.id == SITE_PATTERN;
    const struct reference_set *set = reference_find(ctx->sets, ctx->n_sets, ed->text[0], e);
    int rc = set ? hold(prog, set, ctx, chunks, e) : ERR_BAD_INPUT;
    if (rc)
        return rc;
    if (instr->value == EDIT_MEAN_REF && attention && instr->source_pos != EDIT_SAME_POS)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s has two positions, dest and src · mean(%s, pos=same) takes the mean at each",
            site_name(instr->site, name), set->name);
    int32_t need = positions_needed(instr);
    if (need > set->longest)
        return err_set(e, ERR_BAD_INPUT,
                       "%s(%s) · position %d is asked for, the longest prompt of %s has 0..%d",
                       word, set->name,
                       (int)(instr->source_pos < 0 && instr->source_pos > EDIT_ALL_POS
                                 ? instr->source_pos
                                 : need - 1),
                       set->name, (int)set->longest - 1);
    instr->set = set;
    if (instr->value == EDIT_RESAMPLE)
        instr->source_prompt = reference_draw(set, ed->seed, need);
    else
        prog->needs_means = true;
    return 0;
}
