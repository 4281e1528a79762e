/* config.h - the shape of one model: what config.json says, in one flat struct.
 *
 * Which keys are read, and under which names, is the architecture's data (arch.h).  Properties,
 * never architecture names, decide what the plan emits.  Tested in tests/engine/test_config.c. */
#ifndef CONFIG_H
#define CONFIG_H

#include "base/err.h"
#include "base/limit.h"
#include "kn.h"
#include "model/rope.h"

enum pos_kind { POS_LEARNED, POS_ROTARY, POS_ALIBI };

/* Where the norms of a block stand. */
enum norm_place {
    NORM_BEFORE,   /* each branch reads the normalized residual stream */
    NORM_AFTER,    /* what a branch gives is normalized before it is added */
    NORM_BOTH,     /* both */
    NORM_RESIDUAL, /* the sum of stream and branch is normalized, and goes on as the stream */
};

struct layer_set {
    uint64_t bits[LIMIT_LAYERS / 64];
};

/* What models have or lack. */
enum property {
#define PROPERTY(id, holds, lack) PROPERTY_##id,
#include "model/property.def"
    PROPERTY_COUNT
};

struct arch;
struct js_doc;

struct config {
    const struct arch *arch;
#define CONFIG(type, field) type field;
#include "model/config.def"
    bool prepend_bos;                /* TransformerLens' default for this architecture */
    int32_t bos_id, eos_id, mask_id; /* -1 = config.json names none */
};

/* Is a layer >= 0 in the set; put one below LIMIT_LAYERS in or take it out. */
bool layer_in(const struct layer_set *set, int32_t layer);
void layer_put(struct layer_set *set, int32_t layer, bool in);

/* Does a branch read the normalized stream? */
static inline bool config_norm_before(const struct config *cfg)
{
    return cfg->norm_place == NORM_BEFORE || cfg->norm_place == NORM_BOTH;
}
/* Of the model, and of one of its layers (-1: of any). */
bool config_has(const struct config *cfg, enum property p);
bool config_layer_has(const struct config *cfg, enum property p, int32_t layer);
/* Why what needs p is not in a model, or a layer, without it. */
const char *config_lack(const struct config *cfg, enum property p);
/* Has a layer, or for -1 any of them, one MLP for all positions? */
static inline bool config_dense(const struct config *cfg, int32_t layer)
{
    return layer < 0 ? !cfg->n_moe || cfg->n_moe < cfg->n_layers : !layer_in(&cfg->moe, layer);
}
/* Of n positions, those that one can see are [0, this). */
static inline int32_t config_seen_from(const struct config *cfg, int32_t row, int32_t n)
{
    return cfg->bidirectional ? n : row + 1;
}
/* The first row that a change of row `row` can reach. */
int32_t config_first_reached_row(const struct config *cfg, int32_t row);
/* Parse the bytes of a config.json (`file` names it in messages).  0, or negative with *e filled
 * and *cfg untouched.  Thread-safe. */
int config_parse(struct config *cfg, const char *bytes, size_t len, const char *file,
                 struct err *e);
/* What an architecture is when its file says nothing that it need not say: 32 heads of 64 and
 * defaults for all else. For questions that concern no model in particular, such as names.  Errors
 * are those of config_parse. */
int config_usual(struct config *cfg, const struct arch *arch, int32_t n_layers, struct err *e);
/* The same from a document, which is closed; NULL is a failure that *e tells. */
int config_from(struct config *cfg, struct js_doc *doc, struct err *e);
/* The same as config_parse from a file. */
int config_load(struct config *cfg, const char *path, struct err *e);
/* The model_type that a config.json names, supported or not; "" if it names none. */
int config_family(const char *path, char *buf, size_t size, struct err *e);

#endif
