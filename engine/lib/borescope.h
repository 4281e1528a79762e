/* borescope.h - looking inside a running transformer, from C.
 *
 *     struct bore_error e;
 *     struct bore_model *m;
 *     if (bore_open(&m, "teach", NULL, &e))
 *         return complain(e.text);
 *     int32_t *ids; int n;
 *     bore_tokens(m, "When Mary and John went to the store, John gave a bag to", -1, &ids, &n, &e);
 *     const char *edits[] = { "blocks.3.attn.hook_z[:, 2] = 0" };
 *     struct bore_pass pass = { .tokens = ids, .rows = 1, .cols = n };
 *     pass.edits = edits, pass.n_edits = 1;
 *     struct bore_result out = { 0 };
 *     bore_run(m, &pass, &out, &e);          // out.output: logits [1, n, d_vocab]
 *
 * Names and values of hook points are TransformerLens 3.5.1's; a hook, a level, a context mean what
 * they mean in its hook_points.py.  Programs: docs/examples.  Prose: docs/library.md.
 *
 * Conventions of this header:
 *  - Functions that can fail return 0, or a negative enum bore_code and one line in *error (may be
 * NULL): what went wrong, where, what would work.  Outputs are untouched on failure.  The library
 * never prints and never exits.
 *  - Tensors are f32, row-major, batch dimension first.  Positions are counted from 0; negative
 * ones from the end.
 *  - What the library allocates is freed by the function named beside it; a zeroed result may be
 * freed; free functions take NULL.
 *  - Structs of options are to be zero-initialised: zero is the default of every field.
 *  - One thread at a time per model (bore_cancel excepted); different models are independent. */
#ifndef BORESCOPE_H
#define BORESCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

enum bore_code {
    BORE_OK = 0,
    BORE_BAD_INPUT = -1,  /* a file, prompt, name, edit or option: the caller can mend it */
    BORE_SYSTEM = -2,     /* memory, i/o, device */
    BORE_CANCELLED = -3,  /* bore_cancel */
    BORE_HOOK_FAILED = -5 /* a hook returned non-zero */
};

struct bore_error {
    int code;       /* enum bore_code */
    char text[480]; /* one line, no newline */
};

enum { BORE_RANK_MAX = 4 };

/* Element (i, j, ...) is data[i * stride[0] + j * stride[1] + ...]; strides in elements. */
struct bore_tensor {
    float *data;
    int rank;
    int64_t shape[BORE_RANK_MAX], stride[BORE_RANK_MAX];
};

const char *bore_version(void); /* "0.1.0" */

/* ---- models ---- */

struct bore_model;

struct bore_options {
    const char *backend;    /* NULL = "auto"; "cpu"; what --backend takes: "cuda:1", or several
                               devices, "split:cuda:0,cuda:1", over which the layers are spread */
    const char *gpu_layers; /* NULL = "auto": where not all layers fit on the devices as many of the
                               last ones as do, with the unembedding, what is before them on the
                               cpu; a number of them, or "all" */
    bool blas;              /* products by the library of the device's vendor */
    int threads;            /* 0 = as many as this process has cores */
    const char *cpu;        /* NULL = "fma", the best here without AMX; what --cpu takes */
    size_t cache_bytes;     /* what may be kept of a pass between calls; 0 = a quarter of what the
                               model leaves free of the device, or of the memory that is free */
    const char *process;    /* NULL = "none", the raw checkpoint; "usual" = as from_pretrained; or a
                               list of fold_ln, center_writing_weights, center_unembed,
                               fold_value_biases, refactor_factored_attn_matrices */
};

/* Open MODEL: a Hugging Face folder, a .safetensors file beside its config.json, a .gguf file, a
 * name in the local hub cache, or "teach", the built-in model.  Weights are mapped, not read
 * (unless processed).  options: NULL = all defaults. */
int bore_open(struct bore_model **out, const char *model, const struct bore_options *options,
              struct bore_error *error);
void bore_close(struct bore_model *m);

struct bore_shape {
    int n_layers, n_heads, n_kv_heads, d_model, d_head, d_mlp, d_vocab;
    int n_ctx;                              /* positions it was trained for */
    int bos_id, eos_id;                     /* -1 = none */
    int image_size, patch_size, n_channels; /* of a model that takes images; 0 = it takes tokens */
};
struct bore_shape bore_model_shape(const struct bore_model *m);

/* A picture for a model that takes images: rgb[height, width, 3] -> values[n_channels, image_size,
 * image_size] as pass.pixels takes them, prepared as the model's preprocessor_config.json says;
 * malloc'ed: free().  Its positions are the class token (DeiT: and that of distillation), then the
 * patches row by row; its "tokens" are classes, by the names of config.json's id2label. */
int bore_pixels(const struct bore_model *m, const uint8_t *rgb, int height, int width,
                float **values, struct bore_error *error);
/* Text -> ids, malloc'ed: free().  bos: 1 prepend, 0 do not, -1 as TransformerLens does for this
 * architecture. */
int bore_tokens(const struct bore_model *m, const char *text, int bos, int32_t **ids, int *n,
                struct bore_error *error);
/* A batch: ids[rows, cols] and mask[rows, cols] (1 = a real token) of `rows` texts, padded with eos
 * (or 0) on the left or the right to the longest; both malloc'ed: free().  As pass.tokens and
 * pass.mask take them. */
int bore_tokens_batch(const struct bore_model *m, const char *const *texts, int rows, int bos,
                      bool pad_left, int32_t **ids, uint8_t **mask, int *cols,
                      struct bore_error *error);
/* The one token that is this text (to_single_token), e.g. " Mary". */
int bore_token(const struct bore_model *m, const char *text, int32_t *id, struct bore_error *error);
/* Ids -> text, malloc'ed, NUL-terminated: free(). */
int bore_text(const struct bore_model *m, const int32_t *ids, int n, char **text,
              struct bore_error *error);

/* ---- devices ---- */

/* What is computed where: the cpu and devices in their order.  bore_open refuses with the numbers
 * what does not fit on a backend that was named; "auto" takes the cpu then. */
struct bore_place {
    const char *device; /* "cuda:0 NVIDIA H200"; lives until bore_close or the next failure */
    int first_layer;    /* -1: it has none */
    int n_layers;
    bool embeds, unembeds;
    size_t weights, kept,
        work;                /* bytes that it takes: weights; keys, values and residual streams of
                                512 positions (or as many as the model has); what is worked in */
    size_t total, available; /* bytes that there are, and were free when it opened; 0: not known */
};
int bore_place_count(const struct bore_model *m);
struct bore_place bore_place_at(const struct bore_model *m, int i);
/* NULL, or why the model is on the cpu though a device was asked for: not a layer fits there, or
 * it failed ("the device was lost", "out of memory").  bore_run, bore_run_with_cache and bore_sweep
 * are then made again on the cpu, unless the model has hooks; any other call ends with BORE_SYSTEM,
 * and may be made again. */
const char *bore_moved(const struct bore_model *m);

/* ---- hook points ---- */

struct bore_point {
    const char *name; /* "blocks.3.attn.hook_z"; lives as long as the model */
    int layer;        /* -1 = none */
    int rank;         /* with the batch */
    int64_t shape[BORE_RANK_MAX];
    const char *dims[BORE_RANK_MAX]; /* "batch", "pos", "head", "d_head", "dest", "src", ... */
    bool fires;          /* in every pass; others are switched on by being asked for by name */
    const char *needs;   /* the option that switches it on in TransformerLens, or NULL */
    const char *refused; /* why it cannot be switched on in this model, or NULL */
};
/* Every hook point in firing order, shapes for `rows` prompts of `cols` positions. */
int bore_point_count(const struct bore_model *m);
struct bore_point bore_point_at(const struct bore_model *m, int i, int rows, int cols);
/* The names of other libraries are taken wherever a hook point is named, in hooks, captures,
 * removals and edits: Hugging Face's module paths with .input or .output
 * ("model.layers.2.self_attn.q_proj.output"), nnsight's ("model.model.layers[2].mlp.output"),
 * TransformerLens 3's bridge ("blocks.2.attn.q.hook_out") and taker's points
 * ("layer_2_attn_pre_out"); see docs/names.md.  A tensor then has the shape that library gives it:
 * heads joined, q, k and v in one. */
enum bore_library {
    BORE_TRANSFORMER_LENS,
    BORE_BRIDGE,
    BORE_HUGGING_FACE,
    BORE_NNSIGHT,
    BORE_TAKER
};
/* The index-th name (0 = the usual one) of point i in a library to buf[size]; false when there are
 * no more. */
bool bore_point_name(const struct bore_model *m, int i, enum bore_library library, int index,
                     char *buf, size_t size);
/* The index of an exact name, in any library where it means this one tensor; negative, with the
 * reason or the nearest name in the error. */
int bore_point_find(const struct bore_model *m, const char *name, struct bore_error *error);

/* ---- hooks ---- */

/* Where a hook is called. */
struct bore_at {
    struct bore_model *model;
    const char *name;
    int layer; /* -1 = none */
    bool backward;
    int row, rows; /* of the batch: rows are computed one after the other */
    int pos0; /* position of the first of the tensor's rows: 0, or in generation the new token's.
                 taker's tokens_seen */
    const int32_t *columns; /* columns[pos]: where in the caller's tokens a position stands (padding
                               left out) */
    void **context; /* this hook point's own pointer: NULL at first, kept from call to call, see
                       bore_clear_contexts */
    struct bore_error *error; /* for a hook's own message when it fails */
};

/* A hook.  t: the value (backward: the gradient of the metric) of one prompt at this point, shape
 * [1, ...] as in TransformerLens but with real tokens only, strides free; for hook_attn_scores and
 * hook_pattern [1, head, dest, src].  Valid during the call. It may be changed in place: what
 * follows is computed from what t then holds.  Called once per point, prompt and pass
 * (TransformerLens calls ln1's three times), with all positions; in generation first with the
 * prompt, then with each new position.  A position may be changed from itself and earlier ones; if
 * it is changed from later ones, or attention is made to see later ones, the pass is computed so,
 * but in generation rows that are done stay. Non-zero stops the pass: it fails with
 * BORE_HOOK_FAILED.  Hooks may add and remove hooks (from the next pass on) and read the model, but
 * not run it. */
typedef int bore_hook_fn(struct bore_tensor *t, const struct bore_at *at, void *user);

enum bore_hook_flag {
    BORE_PERMANENT = 1, /* survives every removal that does not name permanent ones */
    BORE_PREPEND = 2,   /* before the hooks that are there */
    BORE_READS = 4,     /* promises to change nothing */
    BORE_GRAD_PASS = 8  /* gradients pass unchanged through what this hook changes (it adds a
                           constant, or a backward hook at the  same point does the rest).  Without
                           it  elements that it changed count as constants. */
};

/* Hook points by name or pattern (of any library), or those for which match(name) says so, among
 * the points that fire in every pass; a point on request is switched on by its exact name or a
 * pattern that spells its hook ("blocks.*.attn.hook_result"). By another library's name a hook sees
 * that library's tensor, [1, pos, width], and changes go where an edit by that name goes.  A fused
 * projection ("c_attn.output") or the input of a norm has no backward hooks; what cannot be changed
 * takes hooks that say BORE_READS. */
struct bore_hook {
    const char *name;
    bool (*match)(const char *name, void *user); /* where name is NULL */
    bore_hook_fn *fn;
    void *user;     /* handed to fn and match */
    unsigned flags; /* enum bore_hook_flag */
};

enum bore_direction { BORE_FORWARD = 1, BORE_BACKWARD = 2, BORE_BOTH = 3 };
enum { BORE_ANY_LEVEL = -1, BORE_NO_LEVEL = -2 };

/* Add a hook that stays until it is removed.  It belongs to no level. */
int bore_add_hook(struct bore_model *m, enum bore_direction direction, const struct bore_hook *hook,
                  struct bore_error *error);
/* Enter a level (depths count from 1) and add hooks that belong to it; *level = its number.  If one
 * cannot be added none stays and the level is not entered. */
int bore_enter(struct bore_model *m, const struct bore_hook *forward, int n_forward,
               const struct bore_hook *backward, int n_backward, int *level,
               struct bore_error *error);
/* Leave a level and all deeper ones, with their hooks (not permanent ones). */
void bore_leave(struct bore_model *m, int level, bool clear_contexts);
int bore_level(const struct bore_model *m); /* 0 = outside */

/* Remove the hooks of `direction` at `name` (a name or pattern; NULL: everywhere) that are not
 * permanent and of `level` (BORE_ANY_LEVEL: of any).  including_permanent removes all of them
 * whatever their level, as the library does. */
int bore_remove_hooks(struct bore_model *m, const char *name, enum bore_direction direction,
                      bool including_permanent, int level, struct bore_error *error);
/* The same everywhere; TransformerLens' defaults are (true, BORE_BOTH, false, BORE_ANY_LEVEL). */
void bore_reset_hooks(struct bore_model *m, bool clear_contexts, enum bore_direction direction,
                      bool including_permanent, int level);
/* Is there a hook at `name` (exact; NULL: anywhere) of this direction and level? */
bool bore_has_hooks(const struct bore_model *m, const char *name, enum bore_direction direction,
                    bool including_permanent, int level);

struct bore_hook_info {
    const char *name;
    bool backward;
    unsigned flags;
    int level; /* BORE_NO_LEVEL: of none */
    bore_hook_fn *fn;
    void *user;
};
/* The hooks that are there, in firing order within a point and direction. */
int bore_hook_count(const struct bore_model *m);
struct bore_hook_info bore_hook_at(const struct bore_model *m, int i);

/* A hook point's context pointer; NULL for a name that does not exist.  The pointee is the
 * caller's. */
void **bore_context(struct bore_model *m, const char *name);
void bore_clear_contexts(struct bore_model *m);

/* ---- passes ---- */

/* A further prompt that edits read: from(NAME); a prompt of a reference set. */
struct bore_prompt {
    const char *name;
    const int32_t *tokens;
    int n;
    const float *pixels; /* of a model that takes images, in place of tokens: as in a pass */
};

/* What to run.  Each row of a batch is computed on its own, without its padding: positions count
 * from the first real token, padding is attended to by nothing, and a masked token in the middle is
 * as if it were not there (as TransformerLens' positions from the attention mask).  So a row equals
 * the same prompt run alone, bit for bit, on whichever side it is padded.  What the outputs hold at
 * padding: NaN, but hook_tokens the token; scores and pattern of real positions -inf and 0 towards
 * padding; gradients 0. */
struct bore_pass {
    const int32_t *tokens; /* [rows, cols] */
    int rows, cols;
    const float *pixels; /* of a model that takes images, in place of tokens: [rows, n_channels,
                            image_size, image_size]; cols is the model's n_ctx then */
    const int32_t *token_types; /* [rows, cols] of models that have them (token_type_ids); NULL:
                                   another one begins after each separator */
    const uint8_t *mask;        /* [rows, cols], 1 = a real token; NULL = all are */
    const float
        *residual; /* not NULL: [rows, cols, d_model], the input of block start_at_layer; tokens may
                      be NULL (hook points before it have no value, their hooks do not fire) */
    int start_at_layer; /* read with `residual`; inclusive; negative: from the end */
    bool stops;         /* read stop_at_layer */
    int stop_at_layer; /* exclusive; negative: from the end; the output is the residual stream there
                        */
    const char *const
        *edits; /* in the edit language (docs/edits.md), before the hooks of their site; [-1] is a
                   row's last real position; NAME_grad: of gradients, in a pass with a metric */
    int n_edits;
    const struct bore_prompt *prompts;
    int n_prompts;
    /* Which positions of prompts of another length than the row's from(NAME) without pos= reads:
     * "end", "token" (the same tokens), or "index" (NULL), which refuses them. */
    const char *align;
    const struct bore_prompt *references; /* of mean(NAME) and resample(NAME): those of one name are
                                             a set, in their order */
    int n_references;
    const char
        *metric; /* not NULL: differentiate it, e.g. "logit[-1, 5] - logit[-1, 7]", "logprob[3, \"
                    the\"]", "loss", "kl": backward hooks fire; positions as in edits */
};

struct bore_result {
    struct bore_tensor output; /* logits [rows, cols, d_vocab], or with `stops` the residual stream
                                  [rows, cols, d_model] */
    double *metric;            /* [rows], or NULL without one */
};
void bore_result_free(struct bore_result *r);

/* Run with the hooks that are there. */
int bore_run(struct bore_model *m, const struct bore_pass *pass, struct bore_result *out,
             struct bore_error *error);

enum bore_run_flag {
    BORE_KEEP_HOOKS = 1, /* reset_hooks_end=False: this call's hooks stay (at a level that is left:
                            bore_reset_hooks ends them) */
    BORE_CLEAR_CONTEXTS = 2 /* when the hooks are removed */
};
/* Run with further hooks, at a level of their own; they are removed when it ends, also when it
 * fails. */
int bore_run_with_hooks(struct bore_model *m, const struct bore_pass *pass,
                        const struct bore_hook *forward, int n_forward,
                        const struct bore_hook *backward, int n_backward, unsigned flags,
                        struct bore_result *out, struct bore_error *error);
/* Stop the call under way, which then fails with BORE_CANCELLED; without one nothing happens.  From
 * any thread. */
void bore_cancel(struct bore_model *m);

/* ---- caches ---- */

/* Positions: all (zero-initialised); one, which drops the axis; start, stop, step as in Python,
 * BORE_OPEN for what is left out; a list.  Columns of the caller's tokens are meant. */
enum bore_slice_kind { BORE_ALL, BORE_ONE, BORE_RANGE, BORE_LIST };
#define BORE_OPEN INT64_MIN
struct bore_slice {
    enum bore_slice_kind kind;
    int64_t start;       /* BORE_ONE: the position */
    int64_t stop, step;  /* BORE_RANGE; step >= 1 or BORE_OPEN */
    const int64_t *list; /* BORE_LIST */
    int n;
};

struct bore_cache_options {
    const char *const *names; /* names and patterns, of any library; NULL and no match: all that
                                 fire.  TransformerLens' come first, in firing order; others follow
                                 under the name that was asked for, in that library's shape */
    int n_names;
    bool (*match)(const char *name, void *user); /* instead of names */
    void *user;
    struct bore_slice pos; /* on the position axis: dest for scores and pattern */
    bool library_axis;  /* on the axis that TransformerLens slices: -3 of names ending in hook_q, k,
                           v, z, result, -2 of others.  The same,  but of hook_rot_q, hook_rot_k and
                           the per-head inputs it takes heads by these numbers */
    bool remove_batch;  /* needs one row */
    bool incl_bwd;      /* needs pass.metric: NAME_grad beside every NAME (but hook_tokens) */
    size_t bytes_max;   /* refuse to capture more; 0 = no limit */
    const char *device; /* NULL or "cpu": captured values are in host memory */
};

struct bore_cache;
/* Run (with the hooks that are there; what they left is captured) and capture.  out may be NULL: no
 * logits then, unless they are captured. */
int bore_run_with_cache(struct bore_model *m, const struct bore_pass *pass,
                        const struct bore_cache_options *options, struct bore_cache **cache,
                        struct bore_result *out, struct bore_error *error);
/* Hugging Face's output_hidden_states: *out = [n_layers + 1, rows, cols, d_model], hook_resid_pre
 * of every layer and, as it does, what the final norm makes of the last hook_resid_post.  For the
 * whole model: no residual, no stops.  Free with bore_tensor_free. */
int bore_hidden_states(struct bore_model *m, const struct bore_pass *pass, struct bore_tensor *out,
                       struct bore_error *error);
void bore_cache_free(struct bore_cache *c);
int bore_cache_count(const struct bore_cache *c);
/* In firing order, gradients last.  *t (may be NULL) borrows from the cache. */
const char *bore_cache_at(const struct bore_cache *c, int i, struct bore_tensor *t);
/* By the name it was captured under, or another library's name of the same numbers (heads joined or
 * apart as that library has them); an unknown one is an error that names the nearest. */
int bore_cache_get(const struct bore_cache *c, const char *name, struct bore_tensor *t,
                   struct bore_error *error);

/* Caching hooks: every pass from now on fills *cache (it starts empty; each pass replaces what it
 * captures) until the hooks are removed with bore_reset_hooks or bore_remove_hooks.  Batches leave
 * their last row.  Free the cache after that. */
int bore_add_caching_hooks(struct bore_model *m, const struct bore_cache_options *options,
                           struct bore_cache **cache, struct bore_error *error);

/* ---- modules out of order ---- */

/* Call one module on n rows of any activation: no hooks, no edits.  NAME: "blocks.L" (residual in,
 * residual out), "blocks.L.ln1", "blocks.L.ln2" (residual -> normed), "blocks.L.attn",
 * "blocks.L.mlp" (normed -> contribution), their parts "blocks.L.attn.q", ".k", ".v", ".o",
 * "blocks.L.mlp.in", ".gate", ".act", ".out", "ln_final", "unembed" (normed -> logits), or Hugging
 * Face's and nnsight's path of such a module ("model.layers.2.self_attn",
 * "model.transformer.h[0].mlp.c_fc").  in: [n, the module's width], heads joined; rows are
 * positions 0..n-1 of one prompt (attention is causal).  out->data is malloc'ed: bore_tensor_free.
 */
int bore_call(struct bore_model *m, const char *name, const float *in, int n,
              struct bore_tensor *out, struct bore_error *error);
void bore_tensor_free(struct bore_tensor *t);

/* ---- weights ---- */

/* A weight under a library's name and in its layout: TransformerLens' "blocks.0.attn.W_Q" [head,
 * d_model, d_head] ("W_Q": over layers), Hugging Face's "transformer.h.0.attn.c_attn.weight",
 * nnsight's, taker's "layers.0.attn.W_Q" [head, d_head, d_model] (docs/names.md). */
struct bore_weight {
    char name[128];
    enum bore_library library;
    int layer; /* -1 = none */
    int rank;
    int64_t shape[BORE_RANK_MAX];
    const char *dims[BORE_RANK_MAX]; /* "head", "d_model", "head*d_head", "layer", ... */
};
/* All of a library's names (not the bridge's) in the model's order; *list is malloc'ed: free().  No
 * weight is read. */
int bore_weight_list(const struct bore_model *m, enum bore_library library,
                     struct bore_weight **list, int *n, struct bore_error *error);
/* A name of any library. */
int bore_weight_find(const struct bore_model *m, const char *name, struct bore_weight *out,
                     struct bore_error *error);
/* Its values as the model runs with them (processed or not); axes[n_axes]: which elements of the
 * first axes, NULL: all.  Free with bore_tensor_free. */
int bore_weight_read(const struct bore_model *m, const char *name, const struct bore_slice *axes,
                     int n_axes, struct bore_tensor *out, struct bore_error *error);
/* TransformerLens' accumulated_bias(layer, mlp_input, include_mlp_biases): out[d_model], the b_O
 * and b_out before a layer's input. */
int bore_accumulated_bias(const struct bore_model *m, int layer, bool mlp_input,
                          bool include_mlp_biases, float *out, struct bore_error *error);

/* A product A B^T in factors, FactoredMatrix: a [rows, inner], b [cols, inner], row-major.
 * Transposed: the two exchanged.  Free with bore_factored_free. */
struct bore_factored {
    int64_t rows, cols, inner;
    double *a, *b;
};
enum bore_circuit { BORE_QK, BORE_OV };
/* One head's W_Q W_K^T or W_V W_O, [d_model, d_model].  (Rotary positions and the scores' scale are
 * no part of it, there and here.) */
int bore_factored_head(const struct bore_model *m, enum bore_circuit which, int layer, int head,
                       struct bore_factored *out, struct bore_error *error);
/* f g, in factors of f's inner size. */
int bore_factored_product(const struct bore_factored *f, const struct bore_factored *g,
                          struct bore_factored *out, struct bore_error *error);
/* make_even: the same product with both factors' columns orthogonal and of equal lengths. */
int bore_factored_even(const struct bore_factored *f, struct bore_factored *out,
                       struct bore_error *error);
void bore_factored_free(struct bore_factored *f);
/* Singular values s[inner], falling, and vectors u[rows, inner], v[cols, inner]: f = u diag(s) v^T.
 * A pair's sign is free.  Any of them may be NULL.  Needs inner <= rows and cols. */
int bore_factored_svd(const struct bore_factored *f, double *u, double *s, double *v,
                      struct bore_error *error);
/* values[inner][2]: real and imaginary parts by falling magnitude; further eigenvalues are 0. Needs
 * rows == cols. */
int bore_factored_eigenvalues(const struct bore_factored *f, double (*values)[2],
                              struct bore_error *error);
double bore_factored_norm(const struct bore_factored *f); /* Frobenius */
/* Elements [0..n_rows) x [0..n_cols) of the product to out[n_rows, n_cols]: get_corner(k), or all
 * of it (AB). */
void bore_factored_corner(const struct bore_factored *f, int64_t n_rows, int64_t n_cols,
                          double *out);

/* Eigenvalues of the full OV circuit W_E OV W_U of a head, values[d_head][2]; *score (may be NULL)
 * the sum of the real parts over that of the magnitudes: 1 for a head that copies tokens. */
int bore_copying_score(const struct bore_model *m, int layer, int head, double (*values)[2],
                       double *score, struct bore_error *error);
/* all_composition_scores('Q', 'K' or 'V'): [layer, head, layer, head].  Free with bore_tensor_free.
 */
int bore_composition_scores(const struct bore_model *m, char mode, struct bore_tensor *out,
                            struct bore_error *error);
/* Directions x[n, d_model] of the residual stream as tokens, without norm and bias: ids[n, k] and
 * values[n, k] of the k highest of W_U^T x (what a direction says), or with `embedding` of W_E x
 * (which tokens lie along it); `least`: of the k lowest.  k at most 64. */
int bore_direction_tokens(const struct bore_model *m, bool embedding, bool least, const float *x,
                          int n, int k, int32_t *ids, float *values, struct bore_error *error);

/* ---- analysis ---- */

/* ActivationCache's stacks and what they are for, of one whole prompt: pass.rows = 1, no mask,
 * residual or stops.  Edits and hooks act. */

struct bore_stack_options {
    const char *kind; /* "accumulated_resid", "decompose_resid" (NULL), "stack_head_results",
                         "stack_neuron_results", "get_full_resid_decomposition" */
    const char *with; /* their parameters, "mlp_input,apply_ln": incl_mid, expand_neurons, no_embeds
                         (incl_embeds=False), no_attn  (mode="mlp"), no_mlp (mode="attn"),
                         no_remainder (incl_remainder=False), one_layer (neurons of the last  layer
                         alone); NULL = none */
    bool ends;        /* read `layer` */
    int layer; /* components of the stream that enters this layer; without `ends`: of the one that
                  leaves the last */
    struct bore_slice pos; /* pos_slice */
};
struct bore_stack {
    int n;
    char (*labels)[24];        /* the library's: "0_attn_out", "L3H7", "remainder", ... */
    struct bore_tensor values; /* [n, 1, pos, d_model] */
};
/* options: NULL = decompose_resid at all positions.  All vectors together may take 1 GiB.  Free
 * with bore_stack_free. */
int bore_stack(struct bore_model *m, const struct bore_pass *pass,
               const struct bore_stack_options *options, struct bore_stack *out,
               struct bore_error *error);
/* What each component of a stack adds to the logit of a token, or with incorrect >= 0 to the
 * difference, the final norm held at this run's scale: values [n, 1, pos].  *constant (may be
 * NULL): what the final norm's bias and b_U add; with it a stack that sums to the stream sums to
 * the logit. (The library leaves out the final norm's weights where they are not folded; here they
 * are part of the direction.) */
int bore_logit_attrs(struct bore_model *m, const struct bore_pass *pass,
                     const struct bore_stack_options *options, int32_t token, int32_t incorrect,
                     struct bore_stack *out, double *constant, struct bore_error *error);
void bore_stack_free(struct bore_stack *s);

enum bore_detect_flag {
    BORE_EXCLUDE_BOS = 1,
    BORE_EXCLUDE_CURRENT_TOKEN = 2,
    BORE_ABS = 4 /* error_measure="abs" instead of "mul" */
};
/* detect_head: "previous_token_head", "duplicate_token_head" or "induction_head"; scores[n_layers,
 * n_heads]. */
int bore_detect_head(struct bore_model *m, const struct bore_pass *pass, const char *pattern,
                     unsigned flags, float *scores, struct bore_error *error);
/* The same with a pattern of your own, [cols, cols] as [dest, src], lower triangular: the attention
 * that is looked for. */
int bore_detect_pattern(struct bore_model *m, const struct bore_pass *pass, const float *pattern,
                        unsigned flags, float *scores, struct bore_error *error);
/* return_type="loss": the mean next-token cross-entropy in nats, and loss_per_token[cols - 1];
 * either may be NULL. */
int bore_loss(struct bore_model *m, const struct bore_pass *pass, double *mean, float *per_token,
              struct bore_error *error);

/* ---- generation ---- */

struct bore_generate_options {
    int max_new_tokens;
    double temperature;        /* 0 = greedy */
    int top_k;                 /* 0 = all */
    double top_p;              /* 0 or 1 = all */
    uint64_t seed;             /* row r draws as a single row with seed + r would */
    double repetition_penalty; /* 0 or 1 = none; Hugging Face's: logits of tokens that are there
                                  already, the positive ones divided by it, the negative ones
                                  multiplied; also when greedy */
    double freq_penalty;     /* 0 = none; TransformerLens': logit / temperature less this times how
                                often the token is there already; needs a temperature */
    const int32_t *stop_ids; /* tokens that end a row, besides eos */
    int n_stop;
    bool ignore_eos; /* else a row ends at the model's eos token.  Tokens that end a row are not
                        emitted */
};

struct bore_new_token {
    int row,
        column; /* column: where it would stand in the caller's tokens; the first is pass->cols */
    int32_t id;
    const float
        *logits; /* [d_vocab], what the model gave there, before penalties; valid during the call */
};
/* Continue the prompts of a pass (no residual, stop or metric), padded on either side.  emit hears
 * one token of every row, then the next of each, and returns false to end its row; a row comes out
 * as it would alone, bit for bit.  Without hooks the rows' new positions share their products,
 * which is faster.  Keys and values are kept: each new token computes one position.  Edits act at
 * every step, resolved anew for the grown prompt; hooks fire on the prompt once, then on each new
 * position (at->pos0), so a hook that counts tokens as taker does reads its counter there. */
int bore_generate(struct bore_model *m, const struct bore_pass *pass,
                  const struct bore_generate_options *options,
                  bool (*emit)(void *user, const struct bore_new_token *token), void *user,
                  struct bore_error *error);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#include "borescope_stats.h"
#include "borescope_sweep.h"

#endif
