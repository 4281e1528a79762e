/* arch.h - an architecture as data: fixed properties, config keys, tensors, names of modules.
 *
 * One architecture is one `const struct arch` in arch_<family>.c and one row of arch.def.  Nothing
 * outside arch*.c may test its name: what differs is a property in struct config, which plan.c
 * reads. Config keys and defaults are those of Hugging Face's configuration classes of the same
 * model_type. Tested in tests/engine/test_run.c against activations of the reference libraries. */
#ifndef ARCH_H
#define ARCH_H

#include "base/json.h"
#include "model/arch_names.h"
#include "model/plan.h"

/* How a config value is read.  The target is the field of struct config at `offset`. */
enum key_type {
    KEY_INT,
    KEY_NUMBER,
    KEY_BOOL,
    KEY_ACT,
    KEY_OPTIONAL, /* a number; null is 0, none, whatever its absence means */
    KEY_ACT_TANH, /* "gelu" means the tanh form: Gemma's first configs */
    KEY_COUNT     /* how many members an object has */
};

struct arch_key {
    const char
        *names; /* alternatives, separated by '|'; "a.b" looks inside an object; first found wins */
    enum key_type type;
    size_t offset;
    double min, max;
    double fallback; /* KEY_REQUIRED: must be there.  KEY_ACT: an enum kn_act */
};

/* A boolean the engine supports in one state only; absent is that state. */
struct arch_must {
    const char *name;
    bool value;
};

/* The same of a word. */
struct arch_word {
    const char *name, *value;
};

enum { ARCH_PARTS_MAX = 3 };

/* How a tensor's axes are written in a file. */
enum tensor_form {
    TENSOR_PLAIN,
    TENSOR_ROWS,   /* [1, n, k] */
    TENSOR_PATCHES /* [n, channel, row, column]: k are the pixels of a patch of an image */
};

/* A tensor of the checkpoint: [n,k] or [n], one weight, or several that share their k joined along
 * n. */
struct arch_tensor {
    const char *name; /* alternatives, separated by '|'; "%d" is the layer, a second one the
                        expert, or which of `each` */
    enum weight_id part[ARCH_PARTS_MAX];
    enum site_dim
        groups;       /* DIM_NONE: the parts one after the other.  Else a share of each for every
                         element of this axis: q, k, v of one head, then those of the next */
    const char *axis; /* word for what the parts are joined along */
    bool turned;      /* stored [k,n]: GPT-2's Conv1D */
    enum tensor_form form;
    bool bare;   /* outside the architecture's prefix */
    bool merged; /* of all experts, one after the other; where a file has no such tensor, a row
                    that follows has one for each of them */
    enum site_dim each; /* DIM_NONE, or there is a tensor for each of these, its number the second
                           "%d"; without one: an axis before n, or with TENSOR_ROWS: */
    int number;         /* which of `each` it is */
    enum property when;
};

/* How TransformerLens reads such a model, for programs that are exported: Python. */
struct arch_lens {
    const char *convert; /* its function of weight_conversions; NULL: it has none */
    bool grouped;        /* that function wants n_key_value_heads always */
    const char *before;  /* lines before the call, or NULL */
    const char *biases;  /* lines after it that put attention biases back which it drops, or NULL */
};

struct arch {
    const char *model_type;
    const char *class_name; /* the entry of "architectures", when model_type is missing */
    const char *heads;  /* NULL, or the classes, separated by '|', that have the unembedding: others
                           of the family end with their last block */
    const char *prefix; /* "transformer." */
    const char *old_prefix; /* the same in files of before, or NULL */
    const char *within;     /* the object of config.json that has the keys, or NULL: the file */
    const char *skipped;    /* beginnings of tensors that are another model's: "a.|b.", or NULL */
    struct config base;     /* its properties: what the keys do not say */
    const struct arch_key *keys;
    /* What several keys say together, read after them; or NULL. */
    int (*settle)(struct config *cfg, struct js_node root, struct err *e);
    const struct arch_must *must;
    const struct arch_word *words;     /* NULL: none */
    const struct arch_tensor *tensors; /* ends with a NULL name */
    const struct alias_row *names;     /* Hugging Face's module paths, taker's points */
    bool closed_attention; /* Hugging Face's module computes scores within: no function of its file
                              that a program could put its own in place of */
    bool adds_in_place;    /* its block adds to what the MLP returned where that lies */
    bool heads_divide;     /* its configuration takes only a number of heads that divides d_model */
    bool flat_mlp;         /* its MLP works on the rows of all texts, [rows, d] */
    const char *early_norm; /* its norm of the MLP that runs before attention does, or NULL */
    struct arch_lens lens;
};

#define KEY_REQUIRED (-1e300)
#define KEY_END                   \
    {                             \
        NULL, KEY_INT, 0, 0, 0, 0 \
    }

/* How many weights a tensor joins. */
int arch_parts(const struct arch_tensor *t);
/* Where part i begins along n, in each group; for i = arch_parts: the size of a group. */
int64_t arch_part_first(const struct config *cfg, const struct arch_tensor *t, int i);
int64_t arch_groups(const struct config *cfg, const struct arch_tensor *t);
/* The tensor that holds a weight in such a model, and which part of it; NULL: no row has it. */
const struct arch_tensor *arch_tensor_of(const struct config *cfg, enum weight_id w, int *part);
/* The index-th alternative of a tensor's names, the usual one first, "%d" for the layer; false when
 * there are no more. */
bool arch_tensor_name(const struct arch *a, const struct arch_tensor *t, int index,
                      char buf[LIMIT_NAME]);
/* "%d" in a pattern -> the layer, a second one -> the expert; returns buf. */
char *arch_name_spell(const char *pattern, int32_t layer, int32_t expert, char buf[LIMIT_NAME]);

/* All architectures, in arch.def's order; NULL-terminated. */
extern const struct arch *const arch_table[];

#endif
