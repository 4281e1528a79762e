/* model.h - a loaded model: shape, mapped weights, plan, tokenizer, and the backend they run on.
 *
 * Weights stay in the file's type and place; `weights` are views into the mapping.  A model is
 * immutable after model_open and may be shared by any number of runs of the same thread. Tested in
 * tests/engine/test_run.c. */
#ifndef MODEL_H
#define MODEL_H

#include "model/image_input.h"
#include "model/plan.h"
#include "token/tokenizer.h"

struct checkpoint;

struct model {
    char name[LIMIT_NAME]; /* as shown: folder name, hub name, "teach" */
    char *folder;          /* where its files lie, an absolute path */
    struct config cfg;
    struct plan *plan;
    struct kn_view *weights; /* [weight_places]; see model_weight */
    struct kn_view *device;  /* the same for operations; see model_import_stage */
    struct checkpoint *files;
    struct tokenizer *tok;   /* what the unembedding's rows stand for; never NULL: bytes or bare ids
                                when there is no tokenizer.json, the classes of a model of images */
    struct image_prep image; /* of such a model */
    struct kn_backend *be;   /* borrowed, or own_be */
    struct kn_backend *own_be; /* of model_move */
    char where[128];           /* which layers `be` computes where, if not all in one place */
    char dtype[128]; /* stored types, the commonest first, "q4_k (+f32)", and what was made of
                        them in memory */
    uint64_t bytes;  /* of all weights */
    uint64_t copied; /* of those that are used from a copy, because the file has another order */
    uint64_t params;
    uint64_t active;  /* of them, those that one position uses: of a layer's experts n_active */
    unsigned process; /* enum process_flag bits; 0 = the raw checkpoint */
    void **owned;     /* data of weights that are not the file's: model_own_weight */
    int32_t n_owned;
};

/* Open MODEL (see hub.h for what may be named) on `be`, which must outlive it.  Weights are mapped,
 * not read: this takes milliseconds whatever the size.  be == NULL: shape and plan alone, no
 * weights, no tokenizer needed (enough for hook names and shapes).  0 and *out, freed with
 * model_close; else negative with one line in *e (file, tensor, expected and found shape). */
int model_open(struct model **out, const char *name, struct kn_backend *be, struct err *e);
/* Shape and weights, as far as a list of models tells: bound and checked, on no device and without
 * the tokenizer, whose file may be large. */
int model_look(struct model **out, const char *name, struct err *e);
void model_close(struct model *m);

/* The backend whose memory holds what a stage of the plan computes (of several devices one: kn_part
 * in kn.h); the stage that uses a weight, and its backend. */
struct kn_backend *model_backend(const struct model *m, int32_t stage);
int32_t model_weight_stage(const struct model *m, int32_t l, enum weight_id w);
struct kn_backend *model_weight_backend(const struct model *m, int32_t l, enum weight_id w);

/* The weight `w` of row `l` (weight.h: a layer, or an expert of one; root weights: any l) in host
 * memory.  ndim 0 = this model has none. */
const struct kn_view *model_weight(const struct model *m, int32_t l, enum weight_id w);
/* Make one weight, or every weight of a stage but those of experts, usable as an operand; what is
 * so already stays.  On the cpu that is the mapped memory itself, elsewhere a copy, queued. Nothing
 * is imported when a model is opened: a run imports a stage when it comes there, so that the first
 * ones compute while others are on their way.  cancel (may be NULL) is looked at before each. */
enum kn_status model_import_weight(const struct model *m, int32_t l, enum weight_id w);
enum kn_status model_import_stage(const struct model *m, int32_t stage, const atomic_bool *cancel);
/* Weights of this stage, if there is one, will be imported soon: the system may read them from the
 * file meanwhile.  Waits for nothing; those that are there, or used where they lie, are left. */
void model_stage_ahead(const struct model *m, int32_t stage);
/* Is all of that imported? */
bool model_stage_is_there(const struct model *m, int32_t stage);
/* Bytes that the weights of each stage of the plan take, those of experts too, and of its largest
 * one; how many of them the first stage and the last share, which on one device are there once. */
size_t model_stage_bytes(const struct model *m, size_t *bytes, size_t *largest);
/* Are there weights in blocks (kn.h)? */
bool model_in_blocks(const struct model *m);
/* The weight as operations take it, once it is imported. */
const struct kn_view *model_device_weight(const struct model *m, int32_t l, enum weight_id w);
/* Compute on another backend from now on, which is the model's to close if it is `owned` and else
 * must outlive it; weights are imported anew.  No run may be open.  The one before is not used any
 * more. */
void model_move(struct model *m, struct kn_backend *be, bool owned);
/* Put v, whose data is malloc'ed, in the place of that weight; the model frees it.  No run may be
 * using the weight, which has to be imported again.  On failure (memory) nothing changed and the
 * data is still the caller's. */
int model_own_weight(struct model *m, int32_t l, enum weight_id w, struct kn_view v, struct err *e);

/* Set cfg.bos_id to the token that TransformerLens begins texts with: the tokenizer's, where its
 * configuration names one, else config.json's, else the post-processor's; of models with a mask or
 * with token types, cfg.mask_id and cfg.sep_id likewise. */
void model_find_special(struct model *m);
/* The token type of the position after one of `type` that holds `token`: a separator begins the
 * next segment, as the tokenizer's template has it for a pair of texts. */
int32_t model_type_after(const struct model *m, int32_t type, int32_t token);
/* The position to look at first in n tokens: a masked language model's first mask, a classifier's
 * class token, else the last. */
int32_t model_answer_row(const struct model *m, const int32_t *ids, int32_t n);
/* The text of what stands at a position of a prompt: its token, or of an image "[CLS]", "[DIST]"
 * and "3,5", the patch's row and column.  As tokenizer_text. */
const char *model_input_text(const struct model *m, int32_t id, size_t *len);
/* Where the tokenizer and the model differ in the size of their vocabulary, what that means, in
 * buf; else NULL.  160 bytes do. */
const char *model_vocabulary_note(const struct model *m, char *buf, size_t size);
/* Likewise: that the file holds parts of the model that are not read. */
const char *model_skipped_note(const struct model *m, char *buf, size_t size);

/* Has it no tokenizer, so that texts are ids: "1,2,3", with commas or blanks between them? */
bool model_takes_ids(const struct model *m);
/* Those ids (token_ids.h), at least one; *ids is malloc'ed. */
int model_ids(const char *text, size_t len, int32_t **ids, int32_t *n, struct err *e);
/* A prompt that shows something where none was given: a sentence, one with a gap for a model that
 * fills gaps, ids for one that reads no such text.  *text and *ids are malloc'ed. */
int model_sample(const struct model *m, int bos, char **text, int32_t **ids, int32_t *n,
                 struct err *e);
/* Text -> ids, exactly those where model_takes_ids.  bos: 1 prepend, 0 do not, -1 as
 * TransformerLens does for this architecture (never twice when the text or the tokenizer already
 * starts with it).  *ids is malloc'ed.  Refuses an empty result and prompts past LIMIT_TOKENS. */
int model_tokens(const struct model *m, const char *text, size_t len, int bos, int32_t **ids,
                 int32_t *n, struct err *e);
/* The same of a text of any length, whose tokens may be more than one run takes, or none. */
int model_encode(const struct model *m, const char *text, size_t len, int bos, int32_t **ids,
                 int32_t *n, struct err *e);
/* Check n tokens: ids inside the vocabulary; n within the trained context, which is an error for
 * learned positions and only sets *over (may be NULL) for rotary ones. */
int model_check_tokens(const struct model *m, const int32_t *ids, int32_t n, bool *over,
                       struct err *e);
/* Check the types of n tokens. */
int model_check_types(const struct model *m, const int32_t *types, int32_t n, struct err *e);

#endif
