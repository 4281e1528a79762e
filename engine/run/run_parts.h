/* run_parts.h - the inside of a run: for the files run*.c and, in a backward pass, grad*.c.
 *
 * Where a value lies.  A site of a stage has a row pitch (floats per position; attention scores and
 * patterns lie as [dest][head][src] with src padded to the capacity).  It is either kept, in
 * run.keep[stage * SITE_COUNT + site], for all rows; or it lives in a frame, which holds the sites
 * of one stage for the rows [r0, r1) of one pass.  A fork keeps nothing before its fork point
 * (fork_order, fork_row): there the base's value is the value. */
#ifndef RUN_PARTS_H
#define RUN_PARTS_H

#include "run/callback.h"
#include "run/run.h"
#include "run/run_device.h"
#include "run/weight_copy.h"

enum {
    RUN_CHUNK = 256,     /* rows of one pass through a stage: bounds scratch memory and the time to
                            cancel */
    RUN_SHORT_ROWS = 32, /* rows that are computed sooner than their weights are read */
    RUN_SHARED_ROWS = RUN_CHUNK, /* rows of a run that shares products at most */
    ORDER_NONE = INT32_MAX,      /* an order past every step */
};

/* Memory of a backend; zero-initialised is none. */
struct buffer {
    void *mem;
    size_t floats;
    struct kn_backend *be;
};

/* What the first stage reads besides weights, for every position of the capacity, in device memory.
 */
enum run_operand {
    RUN_IDS,       /* i32 [cap], after edits of hook_tokens */
    RUN_POSITIONS, /* i32 [cap]: rows of W_pos */
    RUN_TYPES,     /* i32 [cap]: token types */
    RUN_COS,       /* f32 [cap][n_rot]: the angles' halves twice */
    RUN_SIN,
    RUN_COS_LOCAL, /* the table of layers with a window, where they have one */
    RUN_SIN_LOCAL,
    RUN_PATCHES, /* f32 [cap][values of a patch] */
    RUN_OPERANDS
};

struct frame {
    int32_t stage, r0, r1;
    int32_t upto;           /* steps of the stage done in this frame */
    bool extra[SITE_COUNT]; /* on-request sites done */
    uint64_t version;       /* of the run when it was filled */
    bool unseen; /* nobody will read its sites, but those that are kept: steps may be fused */
    struct buffer site[SITE_COUNT];
};

/* A weight as this run's edits leave it. */
struct run_weight {
    enum weight_id id;
    int32_t layer; /* SITE_ROOT for root weights */
    struct weight_copy copy;
    int32_t first, n; /* the instructions that made it, in edit_program.weights */
    int32_t row_min;  /* the first row they reach */
    bool kept;        /* taken over from before the last run_weights_set */
};

struct run_weights {
    struct run_weight *list;
    int32_t n;
    size_t bytes; /* of all copies */
};

/* Where rows [r0, r1) of a pass go. */
struct routes {
    int32_t *expert; /* [row][slot] */
    const struct frame *of;
    int32_t stage, r0, r1;
    uint64_t version, base_version;
};

/* The edits in force. */
struct run_instrs {
    struct edit_program *program;  /* a reference, or NULL */
    const struct edit_instr *list; /* its instructions, sorted by stage and site */
    int32_t n;
    int32_t *first; /* [stages * SITE_COUNT] first instruction of a site, -1 */
    struct run **sources;
    uint64_t *version; /* per instruction: version of the run it reads, 0 = reads none */
};

struct run {
    const struct model *m;
    struct run *base;
    size_t cache_bytes, frame_bytes;
    int32_t n, cap;
    int32_t *tokens;           /* [cap] as asked for */
    int32_t *types;            /* [cap] their token types */
    struct image_input *image; /* the image that they are of, or NULL */
    struct buffer operand[RUN_OPERANDS];
    int32_t rope_n;     /* length that the rotary tables were made for (rope_length) */
    int32_t n_resident; /* stages 1..n_resident keep every site */
    void **keep;
    struct run_instrs instrs;
    int32_t instr_stop; /* run_replay: instructions of its site from here on wait; else -1 */
    struct run_weights weights;
    int32_t fork_order, fork_row;
    int32_t dirty_order,
        dirty_row;    /* steps >= order on rows >= row await computing; ORDER_NONE = none */
    uint64_t version; /* rises whenever a value may have changed */
    struct frame work, look;
    struct buffer wide;              /* rows of a site that were looked at in several passes */
    struct buffer aside[SITE_COUNT]; /* run_chain */
    struct buffer gather, mean, replay;
    struct buffer picked;    /* run_logits */
    struct buffer shared[2]; /* operands of a product for several runs, or of one expert */
    struct routes routes;
    const struct frame *passing; /* of the pass under way, or NULL */
    struct callbacks called;     /* own copy */
    int32_t called_row;          /* rows before it have been through them */
    bool *called_full;           /* [stages] a callback let attention see later positions */
    bool keep_marks;             /* a backward pass will follow */
    uint8_t **marks;    /* [stages * SITE_COUNT] elements that callbacks changed; NULL = none */
    int32_t start;      /* the first stage: the residual stream before it is `given` */
    const float *given; /* [n][d_model], the caller's */
    int32_t stop;       /* steps from this order on wait */
};

/* Index of a site of a stage in run.keep and run.instrs.first. */
static inline int32_t run_slot(int32_t stage, enum site_id s)
{
    return stage * (int32_t)SITE_COUNT + (int32_t)s;
}

/* The backend that holds a stage's values and does its steps. */
static inline struct kn_backend *stage_backend(const struct run *r, int32_t stage)
{
    return model_backend(r->m, stage);
}

/* run_mem.c */
int64_t run_pitch(const struct run *r, enum site_id s); /* floats per row */
/* Room for `floats` in memory of `be`; what it held is gone where it has to be another piece. */
int run_reserve(struct kn_backend *be, struct buffer *b, int64_t floats, struct err *e);
void run_release(struct buffer *b);
/* Memory and tables for n positions; what was computed moves along when it grows. */
int run_set_capacity(struct run *r, int32_t n, struct err *e);
int run_keep_stage(struct run *r, int32_t stage, struct err *e);
void run_drop(struct run *r);
void run_release_unkept(struct run *r); /* of sites that need not be kept any more */
/* Nothing of rows [r0, r1) of a stage is done yet. */
void run_frame_start(struct frame *f, int32_t stage, int32_t r0, int32_t r1);
/* Rows that a pass through a stage takes at once, with the on-request site `want` (or SITE_COUNT):
 * RUN_CHUNK, or as few as frame_bytes have room for. */
int32_t run_frame_rows(const struct run *r, int32_t stage, enum site_id want);
/* `rows` rows of a site from row `row` of `mem` on, as a canonical view; src = extent of the source
 * axis of attention sites. */
struct kn_view run_site_view(const struct run *r, enum site_id s, void *mem, int32_t row,
                             int32_t rows, int32_t src);
/* The same of the site as this run sees it, from position `row` on; f = the frame of the current
 * pass, or NULL for kept sites only. */
struct kn_view run_rows(const struct run *r, const struct frame *f, int32_t stage, enum site_id s,
                        int32_t row, int32_t rows, int32_t src);
/* [pos, head, d] as [pos, head * d], and as [pos * head, d]; others as they are. */
static inline struct kn_view run_flat(struct kn_view v)
{
    return v.ndim == 3 ? kn_join(v, 1) : v;
}
static inline struct kn_view run_heads_as_rows(struct kn_view v)
{
    return v.ndim == 3 ? kn_join(v, 0) : v;
}
/* Shape and strides of a view as of rank 3: leading axes of one element. */
void run_axes(const struct kn_view *v, int64_t shape[3], int64_t stride[3]);
bool run_resident(const struct run *r, int32_t stage);

/* Rows [r0, r1) of an operand. */
struct kn_view run_operand_view(const struct run *r, enum run_operand o, int32_t r0, int32_t r1);

/* run_rope.c: the rotary tables for capacity rows as Hugging Face makes them, for a run of n
 * positions. */
int run_rope_fill(struct run *r, int32_t n, struct err *e);
/* Put the tables where blocks read them, for a run that skips the first stage. */
int run_rope_place(struct run *r, struct err *e);

/* run_exec.c: steps [first, last) of a stage for rows [f->r0, f->r1); `want`: an on-request site to
 * compute as well, or SITE_COUNT. */
int run_exec(struct run *r, struct frame *f, int32_t first, int32_t last, enum site_id want,
             struct err *e);
/* The same for n <= RUN_TOGETHER_MAX runs of one model, whose frames are at one stage: products
 * with the same weights are one call for all of their rows, which gives each row the bits that it
 * has alone (ops.def). */
int run_exec_all(struct run *const *runs, struct frame *const *frames, int32_t n, int32_t first,
                 int32_t last, enum site_id want, struct err *e);
/* What a step's views become for its operation. */
void run_step_shape(const struct step *s, struct kn_call *c);
/* Rows x[n, d] repeated along the head axis of site s. */
struct kn_view run_repeat(const struct config *cfg, enum site_id s, struct kn_view x);
/* The call of a step that projects head by head (plan.h). */
int run_per_head(struct run *r, int32_t stage, const struct kn_call *c, struct err *e);
/* Is the flag of the backend up? */
bool run_cancelled(const struct run *r);
/* The ids that values of hook_tokens, of positions from r0 on, stand for; what is none is an error.
 */
int run_token_ids(const struct run *r, int32_t r0, const float *x, int32_t n, int32_t *ids,
                  struct err *e);
/* What the first stage reads of the input, for rows [r0, r1). */
int run_embed_input(struct run *r, int32_t r0, int32_t r1, struct err *e);

/* run_expert.c: the experts of rows [r0, r1), [row][slot], of a pass (or of the values as they are:
 * NULL); good until the next call. */
int run_routes(struct run *r, const struct frame *f, int32_t stage, int32_t r0, int32_t r1,
               const int32_t **out, struct err *e);
/* n values of SITE_EXPERT_INDICES, of rows from r0 on, as numbers of experts; what is none is an
 * error. */
int run_expert_numbers(const struct run *r, int32_t stage, int32_t r0, const float *x, int32_t *out,
                       int64_t n, struct err *e);
/* out[row * slots + slot, N] = x . W^T + b with the weights of expert[row * slots + slot]: x has a
 * row for each of these, or one for all slots of a row. */
struct expert_product {
    const int32_t *expert; /* of run_routes */
    int32_t rows;
    struct kn_view x, out; /* [.., K], [rows * slots, N] */
    enum weight_id weight, bias;
    bool back; /* by W instead of W^T */
};
int run_experts(struct run *r, int32_t stage, const struct expert_product *p, struct err *e);

/* run_chain.c: neighbouring steps of a stage, by the sites that the first and the last one write;
 * what runs only on request is left out. */
struct run_chain {
    int32_t stage;
    const struct step *steps;
    int32_t n;
};
struct run_chain run_chain_of(const struct run *r, int32_t stage, enum site_id first,
                              enum site_id last);
bool run_chain_writes(const struct run_chain *c, enum site_id s);
/* Run it on rows x[r, d_model], which stand for every value that no step of it writes; no edits
 * act.  The last site lies in *out, or if that is NULL where all others do: run_chain_view, good
 * until the next run_chain. */
int run_chain(struct run *r, const struct run_chain *c, const struct kn_view *x,
              const struct kn_view *out, struct err *e);
struct kn_view run_chain_view(const struct run *r, enum site_id s, int64_t rows);
/* Of a block: from residual rows to what queries, keys and values are projected from. */
static inline struct run_chain run_chain_normed(const struct run *r, int32_t stage)
{
    return run_chain_of(r, stage, SITE_LN1_SCALE, SITE_LN1_OUT);
}

/* run_pick.c: rows of the unembedding, of a few tokens, for operations. */
struct run_picked {
    struct kn_backend *be;
    void *mem[2];        /* of the host, which the imports need */
    struct kn_view w[2]; /* [n, K] and, where there is a bias, [n] */
    int32_t n;
};
int run_picked_open(struct run_picked *p, const struct run *r, const int32_t *ids, int32_t n,
                    struct err *e);
void run_picked_close(struct run_picked *p);
/* The site that the unembedding reads; logits out[rows, n] of rows x[rows, K] of it, both in memory
 * of the final stage's backend. */
enum site_id run_unembed_input(const struct run *r);
int run_pick(const struct run_picked *p, const struct run *r, const struct kn_view *x,
             const struct kn_view *out, struct err *e);

/* Rows [row, row + n) of a weight [n, k] (rank 2) or a bias [n] (rank 1), which may lie in groups
 * along n; n does not cross them. */
static inline struct kn_view run_head_rows(struct kn_view w, int rank, int64_t row, int64_t n)
{
    int64_t size = w.ndim > rank ? w.shape[1] : row + n;
    w = w.ndim > rank ? kn_index(w, 0, row / size) : w;
    return kn_slice(w, 0, row % size, row % size + n);
}

/* run.c: steps from `order` on, on rows from `row` on, await computing. */
void run_dirty(struct run *r, int32_t order, int32_t row);

/* run_callbacks.c.  Is there a forward callback on the site; one that may change it; a backward
 * one?
 */
bool run_called(const struct run *r, int32_t stage, enum site_id s);
bool run_changed(const struct run *r, int32_t stage, enum site_id s);
bool run_called_back(const struct run *r, int32_t stage, enum site_id s,
                     unsigned without); /* `without` these flags */
bool run_stage_called(const struct run *r, int32_t stage);
int32_t run_called_order(
    const struct run *r); /* of the first site with a forward callback, ORDER_NONE */
/* Call the forward callbacks of a site that is kept; *full: attention sees later positions, perhaps
 * from now on. */
int run_call(struct run *r, int32_t stage, enum site_id s, int32_t r0, int32_t r1, int32_t n_src,
             bool *full, struct err *e);
/* Zero the gradient where callbacks replaced the value. */
int run_marks_apply(const struct run *r, int32_t stage, enum site_id s, int32_t r0,
                    const struct kn_view *g, struct err *e);
void run_marks_drop(struct run *r);
void run_called_free(struct run *r);

/* run_edits.c */
int run_edits_set(struct run *r, const struct edit_program *prog, struct run *const *sources,
                  struct err *e);
void run_instrs_free(struct run_instrs *l);
int run_edits_apply(struct run *r, int32_t stage, enum site_id s, const struct kn_view *v,
                    int32_t r0, struct err *e);
/* The stage of an instruction; the first and one past the last row that it selects. */
int32_t run_instr_stage(const struct run *r, const struct edit_instr *a);
void run_instr_rows(const struct edit_instr *a, int32_t *lo, int32_t *hi);
/* One instruction on rows of a canonical view whose first row is r0 (values, or in a backward pass
 * gradients). */
int run_instr_apply(struct run *r, const struct edit_instr *a, const struct kn_view *v, int32_t r0,
                    struct err *e);
/* fn on the slots, of rows of a [pos, slot, d] view whose first row is r0, that go to the expert
 * that an instruction means (of any: on all): `src`, NULL or of the same shape, likewise. */
typedef int run_slot_fn(void *ctx, const struct edit_instr *a, const struct kn_view *v, int32_t r0,
                        const struct kn_view *src, struct err *e);
int run_slots(struct run *r, const struct edit_instr *a, const struct kn_view *v, int32_t r0,
              const struct kn_view *src, run_slot_fn *fn, void *ctx, struct err *e);
/* Does the list have edits of this site; may its value be changed by edits or callbacks? */
bool run_has_edits(const struct run *r, int32_t stage, enum site_id s);
bool run_edited(const struct run *r, int32_t stage, enum site_id s);
/* The site whose value an operand has: copies that nothing changes are read through. */
enum site_id run_source(const struct run *r, int32_t stage, enum site_id s);
bool run_stage_full(const struct run *r, int32_t stage);

/* run_weight.c.  A weight as run_weight has it, for operations. */
const struct kn_view *run_device_weight(const struct run *r, int32_t layer, enum weight_id w);
/* Make the copies of `p` (NULL = none) the ones in force and dirty what uses those
 * that changed; `old`: the program before.  On failure nothing has changed. */
int run_weights_set(struct run *r, const struct edit_program *p, const struct edit_program *old,
                    struct err *e);
void run_weights_free(struct run *r);
/* run_mem.c: how many layers are kept follows from what the copies leave of the budget. */
void run_resident_update(struct run *r);

/* run_view.c: rows [r0, r1) of the site of instruction `instr`, as they are right before that
 * instruction; valid until the next call. */
int run_replay(struct run *r, int32_t instr, int32_t r0, int32_t r1, struct kn_view *out,
               struct err *e);

#endif
