/* arch.h - an architecture as data: fixed properties, config keys, weight names.
 *
 * One architecture is one `const struct arch` in arch_<family>.c and one row of arch.def.  Nothing
 * outside arch*.c may test its name: what differs is a property in struct config, which plan.c
 * reads. Config keys and defaults are those of Hugging Face's configuration classes of the same
 * model_type. Tested in tests/engine/test_run.c against activations of the reference libraries. */
#ifndef ARCH_H
#define ARCH_H

#include "model/arch_names.h"
#include "model/plan.h"

/* How a config value is read.  The target is the field of struct config at `offset`. */
enum key_type { KEY_INT, KEY_NUMBER, KEY_BOOL, KEY_ACT };

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

enum weight_layout {
    LAYOUT_VECTOR, /* [n] */
    LAYOUT_NK,     /* stored [n,k]: HF Linear, Embedding */
    LAYOUT_KN      /* stored [k,n]: GPT-2's Conv1D */
};
enum weight_fuse {
    FUSE_NONE,
    FUSE_THIRDS, /* q | k | v one after the other along n (GPT-2) */
    FUSE_HEADS   /* per head q, k, v along n (GPT-NeoX) */
};
enum weight_if { IF_ALWAYS, IF_ATTN_BIAS, IF_MLP_BIAS, IF_UNTIED };

struct arch_weight {
    enum weight_id id;
    const char *name; /* alternatives, separated by '|'; "%d" is the layer; tried with and without
                         `prefix` */
    enum weight_layout layout;
    enum site_dim n, k; /* logical size: DIM_HEAD stands for n_heads*d_head, DIM_KV_HEAD for
                           n_kv_heads*d_head, DIM_POS for n_ctx */
    enum weight_fuse fuse;
    int part; /* of a fused tensor: 0 q, 1 k, 2 v */
    enum weight_if when;
};

/* How TransformerLens reads such a model, for programs that are exported: Python. */
struct arch_lens {
    const char *convert; /* its function of weight_conversions */
    bool grouped;        /* that function wants n_key_value_heads always */
    const char *before;  /* lines before the call, or NULL */
    const char *biases;  /* lines after it that put attention biases back which it drops, or NULL */
};

struct arch {
    const char *model_type;
    const char *class_name; /* the entry of "architectures", when model_type is missing */
    const char *prefix;     /* "transformer." */
    bool norm_center, gated, prepend_bos;
    enum pos_kind pos;
    const struct arch_key *keys;
    const struct arch_must *must;
    const struct arch_weight *weights; /* ends with id W_NONE */
    const struct alias_row *names;     /* Hugging Face's module paths, taker's points */
    struct arch_lens lens;
};

#define KEY_REQUIRED (-1e300)
#define KEY_END                   \
    {                             \
        NULL, KEY_INT, 0, 0, 0, 0 \
    }

/* All architectures, in arch.def's order; NULL-terminated. */
extern const struct arch *const arch_table[];

#endif
