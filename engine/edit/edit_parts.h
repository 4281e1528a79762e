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

/* ---- edit_axis.c ----
 * What one selection means on one axis of one hook. */

/* Memory that lives as long as the chunk list; NULL when there is none left. */
void *edit_chunk_alloc(struct edit_chunk **chunks, size_t bytes);

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

struct edit_axis_at {
    const struct edit_context *ctx;
    const char *name;  /* of the hook, for messages */
    enum site_dim dim; /* DIM_NONE: heads joined into columns */
    const char *word;  /* what the axis is called */
    int32_t size;      /* of the axis, >= 1 */
    struct edit_chunk **chunks;
};

/* The values that `sel` (NULL = all) selects, ascending without repeats, at least one.  Lists go to
 * the chunks.  A single index or an end of a {a..b} outside the axis, an empty selection, and a
 * token that is not in the prompt are errors; the ends of a range a:b are clipped to the axis. */
int edit_axis_resolve(struct edit_axis *out, const struct edit_sel *sel,
                      const struct edit_axis_at *at, struct err *e);

/* ---- edit_target.c ----
 * What an edit's index is read against: a name, axes, sizes. */

/* The axes of a site, of a weight, or of an alias that has others than its sites. */
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

/* ---- edit_reference.c ----
 * What mean(REF) and resample(REF) refer to. */

/* Fill instr->set (held by the program) and, for EDIT_RESAMPLE, instr->source_prompt; the axes of
 * the instruction are known.  Nothing for other values.  Errors are one line: a set that is not
 * there, a position that no prompt of it has. */
int edit_reference_resolve(struct edit_program *prog, struct edit_instr *instr,
                           const struct edit *ed, const struct edit_context *ctx,
                           struct edit_chunk **chunks, struct err *e);
/* Let go of the sets. */
void edit_reference_free(struct edit_program *prog);

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
