/* edit.h - the edit language: text <-> struct edit, and edits made concrete for one run.
 *
 *     blocks.9.attn.hook_z[-1, 9] = 0
 *     blocks.{4..7}.hook_mlp_out[2:5, {1,4}] *= 0.5
 *     blocks.3.hook_resid_pre[pos=2] = from(corrupt)
 *
 * Printing a parsed edit gives text that parses to the same edit.  Parsing needs no model; names,
 * index ranges and token anchors are checked by edit_resolve.  Thread-safe; nothing is kept between
 * calls. The language for users: docs/edits.md.  Tested in tests/engine/test_edit*.c and
 * tests/fuzz/fuzz_edit.c. */
#ifndef EDIT_H
#define EDIT_H

#include "model/plan.h"

struct model;
struct reference_set;

enum {
    EDIT_SAME_POS = INT32_MIN,   /* from(), resample() without pos=; mean(REF, pos=same) */
    EDIT_ALL_POS = INT32_MIN + 1 /* mean(REF) without pos= */
};

enum edit_op { /* EDIT_SET = EDIT_ADD += EDIT_SUB -= EDIT_MUL *= */
#define EDIT_OP(id, text, help) EDIT_##id,
#include "edit/edit.def"
               EDIT_OP_COUNT
};

enum edit_value_kind { /* EDIT_NUMBER 0.5  EDIT_FROM from(RUN)  EDIT_MEAN mean() ... */
#define EDIT_VALUE(id, word, names, form, help) EDIT_##id,
#include "edit/edit.def"
                       EDIT_VALUE_COUNT
};

/* One row of edit.def, for help, completion and documentation. */
struct edit_word {
    const char *word; /* "from", "+="; NULL for numbers */
    const char *form; /* "from(RUN)" */
    const char *help;
    enum edit_names { EDIT_NAMES_NONE, EDIT_NAMES_FILE } names; /* is an argument a path? */
};
extern const struct edit_word edit_op_words[EDIT_OP_COUNT];
extern const struct edit_word edit_value_words[EDIT_VALUE_COUNT];

enum edit_mask_fn {
    EDIT_MASK_STEP,
    EDIT_MASK_SIGMOID,
    EDIT_MASK_TANH,
    EDIT_MASK_RELU,
    EDIT_MASK_COUNT
};
extern const char *const edit_mask_fn_names[EDIT_MASK_COUNT];

/* Is an instruction of this value more than its operator?  mask() is not: its instructions multiply
 * and add. */
bool edit_changes_itself(enum edit_value_kind v);

struct edit; /* one parsed edit; opaque, immutable */

/* Would making it concrete read a file: file(), rows(), project_out(file()) ...? */
bool edit_names_file(const struct edit *ed);
/* Its path, which lives as long as the edit; NULL where it names none. */
const char *edit_file_path(const struct edit *ed);

/* Parse one edit.  The caller frees *out with edit_free.  Errors name the column and what would
 * work. */
int edit_parse(struct edit **out, const char *text, struct err *e);
/* Another reference to the same edit, to be freed like the first.  Never fails. */
struct edit *edit_copy(const struct edit *ed);
void edit_free(struct edit *ed);
/* Write the canonical text; returns its length as snprintf does. */
int edit_print(const struct edit *ed, char *buf, size_t size);

/* The integers that one axis of an index selects, ascending without repeats. */
struct edit_axis {
    int32_t lo, n;       /* n values lo, lo+1, ... when list is NULL */
    const int32_t *list; /* else n values in here */
};

/* A weight that instructions change, under the name and in the shape of a library (named_weight.h).
 * Element i of axis a lies i * (step_n[a], step_k[a]) further in the stored weight: n is what it
 * gives (a row of a Linear's weight), k what it reads. */
struct edit_weight {
    char name[LIMIT_NAME];
    enum weight_id id;
    int32_t layer;  /* its row (weight.h); SITE_ROOT for root weights */
    int32_t repeat; /* heads per stored head on axis 0: keys and values of grouped heads by their
                       repeated name */
    struct weight_form form; /* as named: stored * factor + offset */
    bool shared; /* of a norm that attention and MLP share, by the name of its module: this is one
                    of both weights that the edit acts on */
    int rank;
    int64_t shape[SITE_RANK_MAX];      /* as named */
    enum site_dim dims[SITE_RANK_MAX]; /* DIM_NONE: heads joined */
    const char *words[SITE_RANK_MAX];  /* what the axes are called */
    int64_t step_n[SITE_RANK_MAX], step_k[SITE_RANK_MAX];
    int64_t first_n; /* element 0 lies at this row n */
};

/* One edit on one site of one run, or on one weight: everything resolved to numbers. */
struct edit_instr {
    struct site_ref site;             /* id SITE_COUNT where `weight` is given */
    const struct edit_weight *weight; /* NULL for hooks; axis 0 counts stored heads */
    enum edit_op op;
    enum edit_value_kind value;
    float number;   /* EDIT_NUMBER; else the factor before the word, 1 if there is none */
    int32_t source; /* EDIT_FROM, EDIT_RESAMPLE: index into edit_program.sources, else -1 */
    const char *source_name; /* EDIT_FROM: that name; of a reference set its name; else NULL */
    int32_t source_prompt;   /* EDIT_RESAMPLE: which prompt of the set, else -1 */
    int32_t source_pos; /* of the source: read this position, negative from its end; EDIT_SAME_POS;
                           EDIT_ALL_POS */
    const struct reference_set *set; /* EDIT_MEAN_REF, EDIT_RESAMPLE */
    float lo, hi;                    /* EDIT_CLAMP */
    float sigma; /* EDIT_NOISE: element [i, j, k] of a site is the same whatever rows are computed
                    together */
    int32_t seed;
    const float *vec; /* EDIT_DIR, EDIT_FILE, EDIT_PROJECT_OUT, EDIT_MEAN_REF (reference_mean.h
                       * fills it), EDIT_ROWS, EDIT_MASK: vec_n values; the i-th selected.
                       * EDIT_WHITEN, EDIT_UNWHITEN: edit_whiten.h */
    int64_t vec_n, vec_stride[SITE_RANK_MAX]; /* element of axis a is i * vec_stride[a] further */
    bool renormalize; /* hook_pattern: then divide each touched [head, dest] row by its sum */
    int32_t rank;
    struct edit_axis axis[SITE_RANK_MAX]; /* outer product of these, canonical order */
    int32_t row_min; /* first row whose values change (0 where attention is `full`) */
    bool full;       /* attention sees later positions in this layer, see below */
    bool backward;   /* of a name that ends in _grad: changes the gradient, not the value */
    int32_t
        expert; /* of a [pos, slot, d] site: 1 + the expert whose slots alone it changes, 0: all */
    int32_t edit;  /* which edit of the list this came from */
    int32_t part;  /* which of its instructions on this site: mask() multiplies, then adds */
    int32_t width; /* EDIT_WHITEN, EDIT_UNWHITEN */
};

/* `full`: a position sees later ones after this edit.  Scores are computed with their mask as ever
 * (-inf where src > dest); what follows them in the layer must run unmasked.  Set on an instruction
 * that selects some src > dest, where its value is not sure to hide it:
 *
 *   hook_attn_scores   = unless the number is -inf; += and -= where -inf and the number make NaN;
 *                      *= by a factor <= 0 or NaN; clamp() with a lower bound above -inf
 *   hook_pattern       =, += and -= unless the number is 0, and of mean(), which is not 0 there;
 *                      *= by an inf or NaN; clamp() with bounds that exclude 0
 *   both               noise() and file(), whatever they hold
 *
 * and then on every instruction on either site of that layer.  from() and frozen alone never set
 * it. Without it elements with src > dest are outside every edit: they keep -inf and 0.
 * Instructions on gradients, which exist for every src, always have it. */

/* A run that instructions read. */
struct edit_source {
    const char *name;                /* of a run; with `set`: the set's */
    const struct reference_set *set; /* NULL for from(RUN) */
    int32_t prompt;                  /* of the set */
};

struct edit_program {
    struct edit_instr *instrs; /* sorted by (stage, site) in list order within a site */
    int32_t n_instrs;
    const struct edit_instr *back; /* those on gradients, sorted in the same way: grad.h */
    int32_t n_back;
    struct edit_instr *weights; /* on weights, sorted by (layer, weight) in list order within a
                                   weight; row_min: first row they reach */
    int32_t n_weights;
    struct edit_source *sources;
    int32_t n_sources;
    bool needs_means;            /* instructions await reference_means_fill */
    struct reference_set **sets; /* held, n_sets of them */
    int32_t n_sets;
    bool needs_base; /* mean() and frozen read the run without edits */
    void *arena;     /* owns all of the above */
};

/* What an edit list is resolved against. */
struct edit_context {
    const struct config *cfg;
    int32_t n_pos;
    const struct model *model; /* for what reads weights, files or the vocabulary; NULL: refused */
    bool gradients; /* a backward pass will follow; if not, edits of gradients are refused */
    /* Bytes of token `pos` for anchors such as pos="John"#2; NULL when there is no tokenizer.
     * Returns the length and points *text at bytes that live as long as the context. */
    int32_t (*token_text)(void *user, int32_t pos, const char **text);
    void *user;
    struct reference_set *const
        *sets; /* for mean(REF) and resample(REF); the program holds those it uses */
    int32_t n_sets;
};

/* Make a list concrete: patterns become sites as alias_select says, negative and named indices
 * become numbers, anchors positions.  Edits that are off are left out (on == NULL: all are on).
 * *out is freed with edit_program_free.  A pattern that matches no hook, a hook that is refused, an
 * index out of range, an empty selection or an anchor that is not in the prompt is an error that
 * names the edit and the nearest valid choice.  hook_tokens takes only = with a token id,
 * = from(RUN) or = resample(REF). */
int edit_resolve(struct edit_program **out, struct edit *const *edits, const bool *on, int32_t n,
                 const struct edit_context *ctx, struct err *e);
/* `p` (NULL: none) after an edit of hook_tokens that puts tokens[n] where they differ from now[n]:
 * a new program, which refers to memory of `p` and must not outlive it.  NULL when memory is out.
 */
struct edit_program *edit_program_tokens(const struct edit_program *p, const struct config *cfg,
                                         const int32_t *tokens, const int32_t *now, int32_t n);
/* Another reference to the same, immutable program, to be freed like the first.  Never fails. */
struct edit_program *edit_program_copy(const struct edit_program *p);
void edit_program_free(struct edit_program *p);
/* Memory that lives as long as the program; NULL when there is none left. */
float *edit_program_floats(struct edit_program *p, int64_t n);
/* Do two instructions on weights change the same stored weight? */
bool edit_same_weight(const struct edit_instr *a, const struct edit_instr *b);
/* Do two instructions, perhaps of different programs, change the same elements in the same way?
 * Sources are compared by name. */
bool edit_instr_equal(const struct edit_instr *a, const struct edit_instr *b);

/* Does applying an instruction (run_apply.h) read other values of its site? */
bool edit_reads_source(enum edit_value_kind v);
/* Is it applied by the host: noise(), whiten(), unwhiten()? */
bool edit_is_hosted(enum edit_value_kind v);
/* noise() on rows [row0, row0 + rows of v) of its site: v is an f32 view of host memory in
 * canonical axis order, strides free. */
void edit_noise_apply(const struct edit_instr *instr, const struct kn_view *v, int32_t row0);

#endif
