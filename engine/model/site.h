/* site.h - hook points: names, shapes, lookup; what exists in a given model.
 *
 * A site is named by (enum site_id, layer).  Root sites have layer SITE_ROOT.
 * Knows nothing of runs and values.  Tested in tests/engine/test_site.c. */
#ifndef SITE_H
#define SITE_H

#include "model/config.h"
#include "base/limit.h"

enum site_id {
#define SITE(id, scope, name, dims, when, needs) SITE_##id,
#include "model/site.def"
#undef SITE
    SITE_COUNT
};

enum site_scope { SCOPE_EMBED, SCOPE_BLOCK, SCOPE_FINAL };
enum site_dim {
#define DIM(id, word, size) DIM_##id,
#include "model/dim.def"
    DIM_COUNT
};
enum { DIM_NAMED = DIM_HEADS }; /* those before it are axes that an edit can name */

enum { SITE_ROOT = -1, SITE_RANK_MAX = 3 };

struct site_info {
    const char *name; /* without "blocks.{l}." */
    enum site_scope scope;
    int rank;
    enum site_dim dims[SITE_RANK_MAX];
    enum property when;
    const char *needs; /* NULL = computed in every run */
};

struct site_ref {
    enum site_id id;
    int32_t layer; /* SITE_ROOT or 0..n_layers-1 */
};

extern const struct site_info site_table[SITE_COUNT];

/* One site of one layer? */
bool site_same(struct site_ref a, struct site_ref b);
/* Has the site two positions, dest and src: the attention scores or the pattern? */
bool site_is_attention(enum site_id id);
/* Does this site exist in this model, in some layer? */
bool site_exists(const struct config *cfg, enum site_id id);
/* In this very layer? */
bool site_is_there(const struct config *cfg, struct site_ref s);
/* Does it hold whole numbers: token ids, indices of experts?  They have no gradient. */
bool site_holds_ids(enum site_id id);
/* Does it fire in every run, as a TransformerLens name? */
bool site_fires(const struct config *cfg, enum site_id id);
/* Why an existing on-request site cannot be switched on in this model, or NULL. */
const char *site_refusal(const struct config *cfg, enum site_id id);
/* Is it what a module takes or returns, with no hook in TransformerLens?  Such sites are listed
 * with other libraries' names. */
bool site_is_module_port(enum site_id id);
/* An on-request copy, which plan.c emits from it, has unless it is edited the value of this site
 * (hook_mlp_in: the residual stream); others: itself. */
enum site_id site_copied(const struct config *cfg, enum site_id id);
/* What is copied in the end: a copy may be that of a copy. */
enum site_id site_origin(const struct config *cfg, enum site_id id);
/* What the norms that every block has read. */
enum site_id site_ln1_input(const struct config *cfg);
enum site_id site_ln2_input(const struct config *cfg);
/* What attention and the MLP give, as their last products make it; what of it is added to the
 * stream. */
enum site_id site_attn_made(const struct config *cfg);
enum site_id site_mlp_made(const struct config *cfg);
enum site_id site_attn_added(const struct config *cfg);
enum site_id site_mlp_added(const struct config *cfg);
/* The values that the pattern mixes. */
enum site_id site_mixed(const struct config *cfg);
/* The residual stream as a layer hands it on; layer < 0: as the embedding does, learned positions
 * of their own not yet added. */
enum site_id site_stream(const struct config *cfg, int32_t layer);
/* The site whose values are the model's logits. */
enum site_id site_logits(const struct config *cfg);
/* Write the full name ("blocks.3.attn.hook_z"); returns buf. */
char *site_name(struct site_ref s, char buf[LIMIT_NAME]);
/* Shape without the batch for n positions; returns the rank. */
int site_shape(const struct config *cfg, enum site_id id, int32_t n_pos,
               int64_t shape[SITE_RANK_MAX]);
/* Elements of one row (site_row_axis); the site has n_pos of them. */
int64_t site_row_size(const struct config *cfg, enum site_id id, int32_t n_pos);
/* The axis that runs over computed rows: pos, or dest. */
int site_row_axis(enum site_id id);
/* Word for an axis as the edit language and --json spell it: "pos", "head", "d_head", "src", ... */
const char *site_dim_name(enum site_dim d);
/* Does an axis run over positions of the prompt: pos, dest, src? */
bool site_dim_is_position(enum site_dim d);
/* Elements along an axis in a model, for n_pos positions. */
int64_t site_dim_size(const struct config *cfg, enum site_dim d, int32_t n_pos);
/* All sites of the model in TransformerLens' firing order; out has room for
 * n_layers * SITE_COUNT + SITE_COUNT entries; returns how many. */
int site_list(const struct config *cfg, struct site_ref *out);
/* Exact name -> site.  On failure one line that names the nearest existing name. */
int site_find(const struct config *cfg, const char *name, struct site_ref *out, struct err *e);
/* Why a name that TransformerLens knows is not in this model; NULL if it is there or unknown. */
const char *site_absence(const struct config *cfg, const char *name);
/* Does `name` match a pattern?  * any run of characters, dots included; ? one; [abc] [a-z] [!abc]
 * one of (none of) these; {a,b} one of these; {1..4} a whole number in this range, also {0,2..5}.
 * Blanks in a pattern mean nothing; an unclosed [ or { stands for itself.  Time is at most length x
 * length. */
bool site_glob(const char *pattern, const char *name);
/* A layer that a set or range after "blocks." asks for and the model lacks, or -1: the rest of the
 * set would otherwise hide that it did nothing there. */
int32_t site_missing_layer(const struct config *cfg, const char *pattern);
/* Has the text anything that makes it a pattern rather than a name? */
bool site_is_pattern(const char *text);
/* The sites that a name or a pattern means, in firing order; returns how many (at least one) or
 * negative with one line that says what would work (*out is then undefined).  `out` has room as for
 * site_list.  A name means its site.  A pattern means the sites that fire in every run; those on
 * request too if the hook is spelled out, that is if nothing after the last dot outside braces is *
 * ? or [: "blocks.*.attn.hook_result" and "blocks.0.hook_{mlp_in,mlp_out}" switch hooks on,
 * "blocks.0.*" does not; of module ports the part before must be spelled out too
 * ("blocks.*.ln1.hook_out", not "blocks.*.hook_out"). A pattern that matches nothing else means
 * sites on request, never module ports ("*_input"). A set or range of layers must lie within the
 * model: "blocks.{2..9}..." is an error where there are four. Sites with a site_refusal are
 * returned: the caller refuses them. */
int site_select(const struct config *cfg, const char *pattern, struct site_ref *out, struct err *e);

#endif
