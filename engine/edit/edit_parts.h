/* edit_parts.h - how edit_resolve.c makes edits concrete: what the files edit_*.c do for it, one
 * after the other.
 *
 * Memory that an instruction refers to lives as long as the program's chunks.  Errors are one line.
 * Tested in tests/engine/test_edit_resolve.c, tests/engine/test_alias_edit.c,
 * tests/engine/test_reference.c, tests/engine/test_edit_words.c, tests/engine/test_taker.c and
 * tests/engine/test_weight_edit.c. */
#ifndef EDIT_PARTS_H
#define EDIT_PARTS_H

#include "names/alias.h"
#include "edit/edit_form.h"

struct edit_chunk;
struct reference_set;

/* ---- edit_program.c ----
 * A program while it is made. */

/* What an edit means on a site, without its axes and what it refers to. */
struct edit_instr edit_instr_of(const struct edit *ed, int32_t edit, struct site_ref site,
                                int rank);
/* An empty one; NULL when memory is out. */
struct edit_program *edit_program_new(void);
/* Where its memory is; memory that lives as long as such chunks, or NULL when there is none left.
 */
struct edit_chunk **edit_program_chunks(struct edit_program *p);
void *edit_chunk_alloc(struct edit_chunk **chunks, size_t bytes);
/* One more instruction: a copy. */
int edit_program_add(struct edit_program *p, const struct edit_instr *instr, struct err *e);
/* The index of a source, added with a copy of its name where it is new. */
int edit_program_source(struct edit_program *p, struct edit_source want, int32_t *out,
                        struct err *e);
/* Keep a set as long as the program. */
int edit_program_hold(struct edit_program *p, const struct reference_set *set, struct err *e);
/* All instructions are there: put them in the order that edit.h promises, those on gradients apart,
 * and let every edit of a layer's attention see what one of them, or the model, does not mask. */
void edit_program_order(struct edit_program *p, const struct config *cfg);

/* ---- edit_index.c ----
 * What an edit's index selects on the axes of a hook or a weight. */

/* The i-th value of a resolved axis; its least and its greatest. */
static inline int32_t edit_axis_value(const struct edit_axis *a, int32_t i)
{
    return a->list ? a->list[i] : a->lo + i;
}

static inline int32_t edit_axis_min(const struct edit_axis *a)
{
    return edit_axis_value(a, 0);
}

static inline int32_t edit_axis_max(const struct edit_axis *a)
{
    return edit_axis_value(a, a->n - 1);
}

/* What an index is read against: the axes of a site, of a weight, or of an alias that has others
 * than its sites. */
struct edit_target {
    char name[LIMIT_NAME];
    int rank;
    enum site_dim dims[SITE_RANK_MAX]; /* DIM_NONE: heads joined, an axis without a name */
    const char *words[SITE_RANK_MAX];
    int64_t shape[SITE_RANK_MAX];
};

struct edit_target edit_target_site(const struct edit_context *ctx, struct site_ref site);
struct edit_target edit_target_alias(const struct edit_context *ctx, const struct alias_pick *pick);
/* The values that each axis selects; lists go to the chunks. */
int edit_target_axes(const struct edit_target *t, const struct edit *ed,
                     const struct edit_context *ctx, struct edit_chunk **chunks,
                     struct edit_axis axis[SITE_RANK_MAX], struct err *e);

/* ---- edit_alias.c ----
 * An index on an alias -> indices on the sites that it is made of. */

/* A part of the selection: an outer product on one site. */
struct edit_part {
    struct site_ref site;
    struct edit_axis axis[SITE_RANK_MAX];
};

/* Split the selection in[pos, column] on an alias whose sites have another shape (heads joined, q,
 * k and v fused, or spread over heads) into disjoint parts.  *out is malloc'ed, lists go to the
 * chunks; returns how many (at least one) or negative when memory is out. */
int edit_alias_split(const struct config *cfg, const struct alias_value *v,
                     const struct edit_axis in[2], struct edit_chunk **chunks,
                     struct edit_part **out, struct err *e);

/* ---- edit_vector.c ----
 * The constants that an edit brings along, dir() and file(). */

/* Fill instr->vec, vec_n, vec_stride for EDIT_DIR, EDIT_FILE and EDIT_PROJECT_OUT; the axes of the
 * instruction are known. Memory from the chunks.  Errors are one line: a token or tensor that is
 * not there, a shape that does not fit. */
int edit_vector_resolve(struct edit_instr *instr, const struct edit *ed,
                        const struct edit_context *ctx, struct edit_chunk **chunks, struct err *e);

/* ---- edit_taker.c ----
 * Taker's hooks as words of the edit language: rows(), mask(), whiten() and unwhiten(). */

/* A hook has one number for each selected element at a position (rows(): for each position of its
 * own), which the file holds in the hook's order, whatever the shape it was saved in. */
enum { EDIT_HOOK_INSTRS = 2 };

/* Is it one of these words? */
bool edit_hook_is(enum edit_value_kind v);
/* The instructions that such an edit means on one site: *n of 0..EDIT_HOOK_INSTRS from instrs[0],
 * whose site, axes and operator are known; 1 and unchanged for other words.  None: rows() that
 * belong to later positions than the prompt has. Memory from the chunks.  Errors are one line: a
 * tensor that is not there, a number of elements that does not fit. */
int edit_hook_resolve(struct edit_instr instrs[EDIT_HOOK_INSTRS], int *n, const struct edit *ed,
                      const struct edit_context *ctx, struct edit_chunk **chunks, struct err *e);

/* ---- edit_weight.c ----
 * Which weights an edit means, and where their elements lie. */

/* Does a pattern mean weights?  It does when the part after the last dot is one of W_Q, _W_K, b_in,
 * w, b, ..., perhaps with wildcards after its first letters, "blocks.*.attn.W_[QK]", or `weight` or
 * `bias` as in Hugging Face's names.  Hooks begin "hook_". */
bool edit_is_weight(const char *pattern);

/* The weights that a name of any library, or a pattern over the names of one, means, in the model's
 * order; *out is malloc'ed; how many (at least one), or negative with one line that names the
 * nearest. */
int edit_weight_select(const struct edit_context *ctx, const char *pattern,
                       struct edit_weight **out, struct err *e);

/* The edit on one of them; `w` is copied.  Errors: a value that makes no sense for weights, an
 * index that does not fit, a part of the heads that share one stored head. */
int edit_weight_instr(struct edit_instr *out, const struct edit *ed, int32_t edit,
                      const struct edit_weight *w, const struct edit_context *ctx,
                      struct edit_chunk **chunks, struct err *e);

#endif
