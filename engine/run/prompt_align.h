/* prompt_align.h - from() of a prompt of another length: which of its positions stand for the
 * prompt's, as a target's `align` says; and which positions of several prompts belong together.
 *
 * One thread at a time.  Tested in tests/engine/test_prompt_align.c, tests/engine/test_sweep.c and
 * tests/engine/test_attribute_align.c. */
#ifndef PROMPT_ALIGN_H
#define PROMPT_ALIGN_H

#include "run/pair.h"

/* maps[t->n_prompts], each made when an instruction first needs it: for each position of t's input
 * the one of that prompt, or -1 (token_align).  {0} at first; of one target alone. */
struct prompt_maps {
    int32_t **map;
    int32_t n;
};
void prompt_maps_free(struct prompt_maps *maps);

/* Have p, which must be the caller's alone, read the position that stands for each: one instruction
 * for every position, none for those without one.  ERR_BAD_INPUT where p reads, position for
 * position, a prompt of another length than t's prompt and t->align is TOKEN_ALIGN_INDEX; or a
 * pattern of it, which has two positions, however.  One of the first n_edits edits is named by its
 * number. */
int prompt_align(struct prompt_maps *maps, const struct pair_target *t, struct edit_program *p,
                 int32_t n_edits, struct err *e);

/* What the values of a position axis mean in each of n prompts: column[k][*columns], malloc'ed, the
 * position of prompt k, or -1.  TOKEN_ALIGN_INDEX: prompts of one length, others are refused; END:
 * as many as the shortest one has, from the ends; TOKEN: the first prompt's. */
int prompt_columns(const struct run_input *const *in, int32_t n, enum token_align align,
                   int32_t *columns, int32_t **column, struct err *e);

#endif
