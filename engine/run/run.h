/* run.h - values of one model on one prompt: computing, recomputing, reading.
 *
 * A run holds the values of every site for its tokens and edits, or can recompute them: the
 * residual stream of every block and the keys and values are always kept; all other sites of as
 * many layers as the memory budget allows; the rest is rematerialised from the layer's input when
 * somebody reads it.
 *
 * run_sync is given the target (tokens + edits) and computes the smallest delta: steps from the
 * first dirty one on, rows from the first dirty one on.  Prefill, one new token, a rerun after an
 * edit and a changed tail of the prompt are the same call.  A fork is a run with edits on top of a
 * base run: values that its edits cannot reach are the base's own, shared, so differences there are
 * exact zeros. Incremental and full computation agree bit for bit.
 *
 * One thread at a time (the session's worker) uses the runs of a model.  Tested in
 * tests/engine/test_run*.c. */
#ifndef RUN_H
#define RUN_H

#include "edit/edit.h"
#include "model/model.h"

struct run;
struct callbacks;

struct run_options {
    /* Budget for the sites that need not be kept; 0 = none are kept.  A fork keeps those of no
     * more layers than its base does, whatever its own budget. */
    size_t cache_bytes;
    size_t
        frame_bytes; /* what one pass through a stage may hold beside them; 0 = LIMIT_FRAME_BYTES */
};

/* What one run_sync did, for the status line and tests. */
struct run_cost {
    int32_t row;   /* first row computed (n_pos if nothing was) */
    int32_t stage; /* first stage computed */
    double share;  /* block-rows computed / (n_layers * n_pos) */
};

/* What a run starts from, for n positions: token ids, an image, or in place of all that the stages
 * before block `start` compute, rows of the residual stream.  Those are read while the run computes
 * and taken as new by every sync; sites before block `start` have no value. */
struct run_input {
    const int32_t *tokens; /* [n] ids; NULL beside rows: zeros */
    int32_t n;
    const int32_t *types; /* [n] token types of models that have them; NULL: model_types */
    const float *rows;    /* NULL, or [n, d_model] */
    int32_t start;
    const struct image_input *image; /* of models that take images; held.  NULL beside rows */
};
static inline struct run_input run_ids(const int32_t *tokens, int32_t n)
{
    return (struct run_input){.tokens = tokens, .n = n};
}
static inline struct run_input run_of_image(const struct image_input *im)
{
    return (struct run_input){.tokens = im->ids, .n = im->rows, .image = im};
}

/* Bytes that a run of n positions keeps whatever its budget, and that one layer's values take. */
void run_memory(const struct model *m, int32_t n, size_t *kept, size_t *live);

/* A base run (base == NULL) or a fork of `base`, which must outlive it.  NULL + *e when memory is
 * out. */
struct run *run_create(const struct model *m, struct run *base, const struct run_options *opt,
                       struct err *e);
void run_free(struct run *r);

/* Bring a run to an input (a base run; a fork takes its base's: pass {0}) and to the edits of
 * `prog` (referred to; NULL = none; resolved against the same n; prog->sources[i] is read from
 * sources[i], which must be synced and long enough, and for mean() the base run).  On ERR_CANCELLED
 * the run remembers what is dirty and the next call completes it.  cost may be NULL.
 */
int run_sync(struct run *r, struct run_input in, const struct edit_program *prog,
             struct run *const *sources, struct run_cost *cost, struct err *e);

/* run_sync in two parts, for several runs of one model (at most RUN_TOGETHER_MAX): aim each, then
 * compute all of them, where products of a few rows each are shared: weights are read once.  Every
 * value has the bits that run_sync gives it.  A fork is aimed when its base is computed.  costs[n].
 */
enum { RUN_TOGETHER_MAX = 16 };
int run_target(struct run *r, struct run_input in, const struct edit_program *prog,
               struct run *const *sources, struct err *e);
int run_compute(struct run *const *runs, int32_t n, struct run_cost *costs, struct err *e);
/* Compute a site of the final stage at the last position of each run together, for run_view of it
 * to find. */
int run_look_all(struct run *const *runs, int32_t n, struct site_ref s, struct err *e);

/* The callbacks (callback.h) of the next run_sync calls; copied; NULL = none.  A forward callback
 * is called once per site and pass, right after the site's edits, with rows [row0, n) in one view;
 * what may change a value makes everything from its site on computed again.  row0 > 0: rows before
 * it have been through the same list (one new token).  To be called before every run_sync that
 * should fire.  A callback that fails fails the pass; the rest stays dirty. Backward ones are
 * called by grad_run. */
int run_callbacks(struct run *r, const struct callbacks *c, int32_t row0, struct err *e);
/* The next passes will be differentiated: remember what callbacks change. */
void run_differentiate(struct run *r, bool on);
/* Compute only blocks before `stop`; sites from there on have no value.  n_layers + 1 or more: all.
 * What waits behind `stop` is computed by a run_sync with a later one. */
void run_stop(struct run *r, int32_t stop);
/* The same behind the last of n sites: nothing that comes after it is computed. */
void run_stop_after(struct run *r, const struct site_ref *sites, int32_t n);
int32_t run_length(const struct run *r);                  /* positions */
const int32_t *run_tokens(const struct run *r);           /* borrowed until the next run_sync */
const int32_t *run_types(const struct run *r);            /* their token types, likewise */
const struct image_input *run_image(const struct run *r); /* the same; NULL: none */
const struct model *run_model(const struct run *r);

/* A weight as this run uses it: the model's, or the copy that its edits made, in host memory.  As
 * model_weight; good until the next run_sync. */
const struct kn_view *run_weight(const struct run *r, int32_t layer, enum weight_id w);

/* Rows [row0, row1) of a site as a view in canonical axis order ([pos, head, d_head]; [head, dest,
 * src] with src up to the run's length), f32 (hook_tokens too), strides free; rematerialised if
 * needed.  Valid until the next call on this run.  Values are what TransformerLens caches: after
 * this site's own edits, masked scores -inf.  Refuses a site that this model does not have or
 * refuses. */
int run_view(struct run *r, struct site_ref s, int32_t row0, int32_t row1, struct kn_view *out,
             struct err *e);
/* One row of it after the first `edit` edits of the list alone; what comes before this site is
 * edited by all of them. */
int run_view_between(struct run *r, struct site_ref s, int32_t edit, int32_t row,
                     struct kn_view *out, struct err *e);
/* The same copied to contiguous host memory; returns the count of floats through *count (may be
 * NULL). */
int run_read(struct run *r, struct site_ref s, int32_t row0, int32_t row1, float *dst,
             int64_t *count, struct err *e);

/* Rows of some heads [head0, head1) of a site that has heads (head1 0: all of it), as
 * [row][head][d] or [row][head][src] in contiguous host memory. */
int run_read_heads(struct run *r, struct site_ref s, int32_t row0, int32_t row1, int32_t head0,
                   int32_t head1, float *dst, struct err *e);

/* The experts that rows [row0, row1) of a layer go to, [row][slot], in host memory; good until the
 * next such call on this run. */
int run_layer_experts(struct run *r, int32_t layer, int32_t row0, int32_t row1, const int32_t **out,
                      struct err *e);

/* Logits of some positions, every edit included: out[n_rows][n] of the tokens ids[n], or [n_rows]
 * [d_vocab] where n is 0, in host memory.  Of a few tokens only their part of the unembedding is
 * computed, unless an edit or a callback is on its output.  The model has logits. */
int run_logits(struct run *r, const int32_t *rows, int32_t n_rows, const int32_t *ids, int32_t n,
               float *out, struct err *e);

/* Final norm and unembedding of arbitrary residual rows x[rows, d_model] (the logit lens): logits
 * [rows, d_vocab] into `logits`, both in backend memory.  With the weights of this run; no edits of
 * activations act here. */
int run_unembed(struct run *r, const struct kn_view *x, struct kn_view *logits, struct err *e);

/* The same of a few tokens: logits [rows, n] of ids[n]; the bits are those of run_unembed. */
int run_unembed_tokens(struct run *r, const struct kn_view *x, const int32_t *ids, int32_t n,
                       const struct kn_view *logits, struct err *e);

/* The final norm of n residual rows [n, d_model] of the host, in place; as run_unembed.  On failure
 * some are done. */
int run_final_norm(struct run *r, float *x, int64_t n, struct err *e);

/* The residual column c of the lens: 0 = before block 0 (hook_embed for rotary models, the first
 * hook_resid_pre where positions are learned), c = 1..n_layers: hook_resid_post of block c-1. */
struct site_ref run_lens_site(const struct model *m, int32_t column);

#endif
