/* alias.h - hook points under the names of other libraries.
 *
 * Every tensor has a TransformerLens name (site.h).  Other libraries show the same tensor, or one
 * that is made of it, under theirs: TransformerLens 3's bridge ("blocks.2.attn.o.hook_in"), Hugging
 * Face module paths with .input or .output ("transformer.h.2.attn.c_proj.input"), nnsight's
 * expressions
 * ("model.transformer.h[2].attn.c_proj.input") and taker's points ("layer_2_attn_pre_out").  An
 * alias says which sites it is made of, how, and what an edit of it changes; or it is refused with
 * the reason.  Names and meanings stand in model/arch_names.def, model/arch_*.c and alias_bridge.c;
 * for users: docs/names.md.  Knows nothing of values (measure/capture.h) and of the edit
 * language.  Tested in tests/engine/test_alias.c. */
#ifndef ALIAS_H
#define ALIAS_H

#include "kn.h"
#include "model/arch_names.h"
#include "model/site.h"

enum alias_form {
    FORM_SITE,   /* the site as it is */
    FORM_FLAT,   /* a [pos, head, d_head] site as [pos, head*d_head] */
    FORM_THIRDS, /* q, k and v, each flat, one after the other (GPT-2's c_attn); k and v may be
                    narrower */
    FORM_HEADS,  /* q, k and v of head 0, then those of head 1, ... (GPT-NeoX's query_key_value) */
    FORM_PAIR,   /* two [pos, d] sites, one after the other (Phi-3's gate_up_proj) */
    FORM_HEAD_FIRST, /* a [pos, head, d] site as [head, pos, d], a [pos, d] one as [1, pos, d] */
    FORM_EXPERT, /* of a [pos, slot, d] site the rows that go to one expert, [pos, d]: 0 where none
                    does */
    FORM_REFUSED
};

enum { ALIAS_SITES_MAX = 4, ALIAS_RANK_MAX = SITE_RANK_MAX };

/* What a name means in one model. */
struct alias_value {
    enum alias_form form;
    enum alias_library library;
    int32_t expert; /* FORM_EXPERT: which one */
    int n_sites;
    struct site_ref site[ALIAS_SITES_MAX]; /* what is read */
    int n_edits;                           /* 0: read only */
    struct site_ref edit[ALIAS_SITES_MAX]; /* what an edit changes */
    bool spread;      /* the edited sites are copies; some have a head axis after pos that the alias
                         has not */
    const char *why;  /* n_edits == 0: why, and what to edit instead */
    const char *note; /* or NULL */
};

/* A name as it was found by a pattern, or asked for. */
struct alias_pick {
    struct alias_value value;
    char name[LIMIT_NAME];
};

const char *alias_library_name(
    enum alias_library t); /* "transformer_lens", "bridge", "hf", "nnsight", "taker" */

/* A name in any library, exactly, -> what it means.  On failure one line: the reason where the name
 * is known but refused, else the nearest name of the same kind. */
int alias_find(const struct config *cfg, const char *name, struct alias_value *out, struct err *e);
/* How far the nearest name of this model is from one that it has not (nearest.h). */
size_t alias_distance(const struct config *cfg, const char *name);
/* A name or a pattern in any library, in forward order.  Names come first, then TransformerLens'
 * patterns (site_select), then patterns of the others.  *out is malloc'ed; returns how many (at
 * least one), or negative with *out untouched. */
int alias_select(const struct config *cfg, const char *pattern, struct alias_pick **out,
                 struct err *e);
/* All names of one library in forward order, without second ones and refusals.  *out is malloc'ed;
 * how many or negative. */
int alias_list(const struct config *cfg, enum alias_library t, struct alias_pick **out,
               struct err *e);
/* The index-th name of a site in one library (0 = the usual one) to buf; false when there are no
 * more. Names that show the site within something larger (a fused projection) come after those that
 * show it alone. */
bool alias_name(const struct config *cfg, struct site_ref s, enum alias_library t, int index,
                char buf[LIMIT_NAME]);
/* Why alias_name has none at index 0. */
const char *alias_absence(enum site_id id, enum alias_library t);

/* Shape without the batch for n positions; returns the rank.  Axis words go to dims (may be NULL):
 * "pos", "head*d_head", "qkv*head*d_head", "head*qkv*d_head", "gate_up*d_mlp", or site_dim_name's.
 */
int alias_shape(const struct config *cfg, const struct alias_value *v, int32_t n_pos,
                int64_t shape[ALIAS_RANK_MAX], const char *dims[ALIAS_RANK_MAX]);
/* The axis that runs over rows. */
int alias_row_axis(const struct alias_value *v);
/* Does a name of TransformerLens fire in every run? */
bool alias_fires(const struct config *cfg, const struct alias_value *v);
/* Do two names of TransformerLens mean the same? */
bool alias_same(const struct alias_value *a, const struct alias_value *b);
/* Is the tensor the site itself, in its own shape? */
bool alias_is_site(const struct alias_value *v);
/* Is it a site with its axes as they are, or in another order?  Then alias_view gives it from a
 * view of rows of the site. */
bool alias_is_view(const struct alias_value *v);
struct kn_view alias_view(const struct alias_value *v, const struct kn_view *site);
/* One line on how the tensor is made ("columns of q, k and v, one after the other"), or NULL where
 * it is the site. */
const char *alias_form_text(enum alias_form form);

/* Where column k of a FLAT, THIRDS, HEADS or PAIR alias lies: site[part] at [pos, head, d], or at
 * [pos, d]. */
struct alias_at {
    int part;
    int32_t head, d;
};
struct alias_at alias_map_index(const struct config *cfg, const struct alias_value *v, int64_t k);
/* Where the part-th site lies in rows `whole`, [pos, columns], of such an alias, as [pos, head, d].
 * Of one that is spread: where its part-th edited site takes its values from. */
struct kn_view alias_part(const struct config *cfg, const struct alias_value *v, int part,
                          const struct kn_view *whole);

/* ---- spelling, for names of weights too ---- */

/* The bridge's names, in every architecture: alias_bridge_count rows. */
extern const struct alias_row alias_bridge[];
extern const int alias_bridge_count;
/* TransformerLens' own names of what lies in one site with other values. */
extern const struct alias_row alias_lens[];
extern const int alias_lens_count;

/* "layers[2]" -> "layers.2" and "output[0]" -> "output.0"; false where the result is no name. */
bool alias_flatten(const char *name, char buf[LIMIT_PATTERN]);

/* Does the text spell the pattern, in which "%d" stands for a layer and a second one for an expert?
 * number: those there, else SITE_ROOT. */
bool alias_spells(const char *pattern, const char *text, int32_t number[2]);
/* The texts that a name may stand for: itself, without nnsight's "model.", with the outermost
 * module's name.  Returns how many. */
enum { ALIAS_VARIANTS = 4 };
int alias_variants(const struct config *cfg, const char *name,
                   char out[ALIAS_VARIANTS][LIMIT_PATTERN]);

#endif
