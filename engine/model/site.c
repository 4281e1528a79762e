/* site.c - the table of hook points and the questions asked of it (see site.h).
 *
 * Everything is read from site.def; which sites a model has follows from the properties in its
 * config, never from an architecture's name.  Patterns are matched in glob.c.  Tested in
 * tests/engine/test_site.c. */
#include "model/site.h"

#include "base/ends_with.h"
#include "base/nearest.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define DIMS1(a)                    \
    1,                              \
    {                               \
        DIM_##a, DIM_NONE, DIM_NONE \
    }
#define DIMS2(a, b)                \
    2,                             \
    {                              \
        DIM_##a, DIM_##b, DIM_NONE \
    }
#define DIMS3(a, b, c)            \
    3,                            \
    {                             \
        DIM_##a, DIM_##b, DIM_##c \
    }

const struct site_info site_table[SITE_COUNT] = {
#define SITE(id, scope, name, dims, when, needs) \
    [SITE_##id] = {name, SCOPE_##scope, dims, PROPERTY_##when, needs},
#include "model/site.def"
#undef SITE
};

/* Names of TransformerLens that no model of this program has, and what has them. */
static const struct {
    const char *part, *why;
} elsewhere[] = {
    {"attn.hook_attn_input", "only shortformer attention has it"},
    {"mlp.hook_mid", "only SoLU models have it"},
    {"mlp.ln.", "only SoLU models have it"},
};

bool site_is_attention(enum site_id id)
{
    return id == SITE_ATTN_SCORES || id == SITE_PATTERN;
}

bool site_same(struct site_ref a, struct site_ref b)
{
    return a.id == b.id && a.layer == b.layer;
}

bool site_exists(const struct config *cfg, enum site_id id)
{
    return config_has(cfg, site_table[id].when);
}

bool site_is_there(const struct config *cfg, struct site_ref s)
{
    return config_layer_has(cfg, site_table[s.id].when, s.layer);
}

bool site_holds_ids(enum site_id id)
{
    return id == SITE_TOKENS || id == SITE_EXPERT_INDICES;
}

bool site_fires(const struct config *cfg, enum site_id id)
{
    return !site_table[id].needs && site_exists(cfg, id);
}

bool site_is_module_port(enum site_id id)
{
    const char *needs = site_table[id].needs;
    return needs && needs[0] == '-';
}

enum site_id site_copied(const struct config *cfg, enum site_id id)
{
    switch (id) {
    case SITE_MLP_IN: return cfg->parallel ? SITE_RESID_PRE : SITE_RESID_MID;
    case SITE_Q_IN:
    case SITE_K_IN:
    case SITE_V_IN: return config_norm_before(cfg) ? SITE_LN1_OUT : SITE_RESID_PRE;
    case SITE_GATE_IN:
    case SITE_UP_IN:
        return config_norm_before(cfg)            ? SITE_LN2_OUT
               : cfg->norm_place == NORM_RESIDUAL ? SITE_LN1_OUT
                                                  : SITE_MLP_IN;
    default: return id;
    }
}

enum site_id site_origin(const struct config *cfg, enum site_id id)
{
    enum site_id from = site_copied(cfg, id);
    return from == id ? id : site_origin(cfg, from);
}

enum site_id site_ln1_input(const struct config *cfg)
{
    return config_norm_before(cfg)         ? SITE_RESID_PRE
           : cfg->norm_place == NORM_AFTER ? SITE_ATTN_OUT
                                           : SITE_RESID_MID;
}

enum site_id site_ln2_input(const struct config *cfg)
{
    return config_norm_before(cfg)         ? SITE_MLP_IN
           : cfg->norm_place == NORM_AFTER ? SITE_MLP_OUT
                                           : SITE_RESID_POST;
}

enum site_id site_attn_made(const struct config *cfg)
{
    return cfg->norm_place == NORM_BOTH ? SITE_ATTN_LINEAR : SITE_ATTN_OUT;
}

enum site_id site_mlp_made(const struct config *cfg)
{
    return cfg->norm_place == NORM_BOTH ? SITE_MLP_LINEAR : SITE_MLP_OUT;
}

enum site_id site_attn_added(const struct config *cfg)
{
    return cfg->norm_place == NORM_AFTER ? SITE_LN1_OUT : SITE_ATTN_OUT;
}

enum site_id site_mlp_added(const struct config *cfg)
{
    return cfg->norm_place == NORM_AFTER ? SITE_LN2_OUT : SITE_MLP_OUT;
}

enum site_id site_mixed(const struct config *cfg)
{
    return cfg->clip_qkv > 0 ? SITE_V_CLIPPED : SITE_V;
}

enum site_id site_stream(const struct config *cfg, int32_t layer)
{
    if (layer < 0)
        return site_exists(cfg, SITE_FULL_EMBED) ? SITE_FULL_EMBED : SITE_EMBED;
    return cfg->norm_place == NORM_RESIDUAL ? SITE_NORMALIZED_RESID_POST : SITE_RESID_POST;
}

enum site_id site_logits(const struct config *cfg)
{
    return cfg->final_softcap > 0 ? SITE_LOGITS : SITE_UNEMBED_OUT;
}

const char *site_refusal(const struct config *cfg, enum site_id id)
{
    if (id == SITE_ATTN_IN && cfg->n_kv_heads != cfg->n_heads)
        return "hook_attn_in has one head axis for q, k and v, but key/value heads are grouped here · "
               "use hook_q_input, hook_k_input, hook_v_input";
    return NULL;
}

char *site_name(struct site_ref s, char buf[LIMIT_NAME])
{
    if (site_table[s.id].scope == SCOPE_BLOCK)
        snprintf(buf, LIMIT_NAME, "blocks.%d.%s", (int)s.layer, site_table[s.id].name);
    else
        snprintf(buf, LIMIT_NAME, "%s", site_table[s.id].name);
    return buf;
}

int64_t site_dim_size(const struct config *cfg, enum site_dim d, int32_t n_pos)
{
    const int64_t sizes[] = {
#define DIM(id, word, size) size,
#include "model/dim.def"
    };
    return sizes[d];
}

int site_shape(const struct config *cfg, enum site_id id, int32_t n_pos,
               int64_t shape[SITE_RANK_MAX])
{
    const struct site_info *info = &site_table[id];
    for (int i = 0; i < info->rank; i++)
        shape[i] = site_dim_size(cfg, info->dims[i], n_pos);
    return info->rank;
}

int64_t site_row_size(const struct config *cfg, enum site_id id, int32_t n_pos)
{
    int64_t shape[SITE_RANK_MAX], n = 1;
    int rank = site_shape(cfg, id, n_pos, shape), row = site_row_axis(id);
    for (int i = 0; i < rank; i++)
        n *= i == row ? 1 : shape[i];
    return n;
}

int site_row_axis(enum site_id id)
{
    for (int i = 0; i < site_table[id].rank; i++)
        if (site_table[id].dims[i] == DIM_POS || site_table[id].dims[i] == DIM_DEST)
            return i;
    assert(false && "a site without rows");
    return 0;
}

bool site_dim_is_position(enum site_dim d)
{
    return d == DIM_POS || d == DIM_DEST || d == DIM_SRC;
}

const char *site_dim_name(enum site_dim d)
{
    static const char *const name[] = {
#define DIM(id, word, size) word,
#include "model/dim.def"
    };
    return name[d];
}

/* Where a site stands among those of its scope: norms that do not stand before their branch fire
 * after what they read. */
static int turn_of(const struct config *cfg, enum site_id id)
{
    bool ln1 = id == SITE_LN1_SCALE || id == SITE_LN1_NORMALIZED || id == SITE_LN1_OUT,
         ln2 = id == SITE_LN2_SCALE || id == SITE_LN2_NORMALIZED || id == SITE_LN2_OUT,
         sum = cfg->norm_place == NORM_RESIDUAL;
    if (config_norm_before(cfg) || !(ln1 || ln2))
        return 2 * (int)id;
    return 1 + 2 * (int)(ln1   ? sum ? SITE_MLP_IN : SITE_ATTN_OUT
                         : sum ? SITE_RESID_POST
                               : SITE_MLP_OUT);
}

static int list_scope(const struct config *cfg, enum site_scope scope, int32_t layer,
                      struct site_ref *out, int n)
{
    int first = n;
    for (int id = 0; id < SITE_COUNT; id++) {
        if (site_table[id].scope != scope ||
            !site_is_there(cfg, (struct site_ref){(enum site_id)id, layer}))
            continue;
        int at = n++, turn = turn_of(cfg, (enum site_id)id);
        for (; at > first && turn_of(cfg, out[at - 1].id) > turn; at--)
            out[at] = out[at - 1];
        out[at] = (struct site_ref){(enum site_id)id, layer};
    }
    return n;
}

int site_list(const struct config *cfg, struct site_ref *out)
{
    int n = list_scope(cfg, SCOPE_EMBED, SITE_ROOT, out, 0);
    for (int32_t l = 0; l < cfg->n_layers; l++)
        n = list_scope(cfg, SCOPE_BLOCK, l, out, n);
    return list_scope(cfg, SCOPE_FINAL, SITE_ROOT, out, n);
}

/* ---- names -> sites ---- */

/* "blocks.12.rest" -> layer and rest; anything else is a root name.  A layer that no int32_t holds
 * is INT32_MAX. */
static int32_t split(const char *name, const char **rest)
{
    *rest = name;
    if (strncmp(name, "blocks.", 7) != 0)
        return SITE_ROOT;
    const char *p = name + 7;
    int64_t layer = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        layer = layer > INT32_MAX / 10 ? INT32_MAX : layer * 10 + (*p - '0');
    if (p == name + 7 || *p != '.' || (name[7] == '0' && p != name + 8))
        return SITE_ROOT;
    *rest = p + 1;
    return layer > INT32_MAX ? INT32_MAX : (int32_t)layer;
}

/* Of sites of one name the one that the model has. */
static int id_of(const struct config *cfg, const char *rest, bool block)
{
    int found = -1;
    for (int id = 0; id < SITE_COUNT; id++)
        if ((site_table[id].scope == SCOPE_BLOCK) == block &&
            strcmp(site_table[id].name, rest) == 0 &&
            (found < 0 || site_exists(cfg, (enum site_id)id)))
            found = id;
    return found;
}

/* nearest_is, where a name given without its beginning ("hook_z", "z") is nearer than any
 * misspelling, and one without its end ("ln_final", "hook_resid") as near as the least
 * misspelling. */
static bool is_nearest(const char *asked, const char *name, size_t *least)
{
    size_t n = strlen(asked);
    bool end = *least > 0 && n && ends_with(name, asked);
    bool begin = *least > 1 && n > 2 && strncmp(name, asked, n) == 0;
    if (end || begin)
        *least = !end;
    return end || begin || nearest_is(asked, name, least);
}

/* The existing site whose name is nearest to what was asked for. */
static struct site_ref nearest(const struct config *cfg, const char *name)
{
    const char *rest;
    int32_t layer = split(name, &rest);
    if (layer >= cfg->n_layers)
        layer = cfg->n_layers - 1;
    struct site_ref best = {SITE_EMBED, SITE_ROOT};
    size_t least = SIZE_MAX;
    for (int id = 0; id < SITE_COUNT; id++) {
        bool block = site_table[id].scope == SCOPE_BLOCK;
        struct site_ref s = {(enum site_id)id, !block ? SITE_ROOT : layer == SITE_ROOT ? 0 : layer};
        if (!site_is_there(cfg, s) || (block && cfg->n_layers == 0))
            continue;
        char full[LIMIT_NAME];
        bool in_layer = block && layer != SITE_ROOT; /* whichever it is */
        if (in_layer ? is_nearest(rest, site_table[id].name, &least)
                     : is_nearest(name, site_name(s, full), &least))
            best = s;
    }
    return best;
}

static const char *absence(const struct config *cfg, const char *rest, int32_t layer, int id)
{
    bool there = id >= 0 && (layer < cfg->n_layers
                                 ? site_is_there(cfg, (struct site_ref){(enum site_id)id, layer})
                                 : site_exists(cfg, (enum site_id)id));
    if (id >= 0)
        return there ? NULL : config_lack(cfg, site_table[id].when);
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (strncmp(rest, elsewhere[i].part, strlen(elsewhere[i].part)) == 0)
            return elsewhere[i].why;
    return NULL;
}

const char *site_absence(const struct config *cfg, const char *name)
{
    const char *rest;
    int32_t layer = split(name, &rest);
    return absence(cfg, rest, layer, id_of(cfg, rest, layer != SITE_ROOT));
}

int site_find(const struct config *cfg, const char *name, struct site_ref *out, struct err *e)
{
    const char *rest;
    int32_t layer = split(name, &rest);
    int id = id_of(cfg, rest, layer != SITE_ROOT);
    if (id >= 0 && layer < cfg->n_layers &&
        site_is_there(cfg, (struct site_ref){(enum site_id)id, layer})) {
        *out = (struct site_ref){(enum site_id)id, layer};
        return 0;
    }
    const char *why = absence(cfg, rest, layer, id);
    if (why)
        return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" in this model · %s", name, why);
    if (layer >= cfg->n_layers)
        return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" · this model has layers 0..%d", name,
                       (int)cfg->n_layers - 1);
    char near[LIMIT_NAME];
    return err_set(e, ERR_BAD_INPUT, "no hook \"%.100s\" · the nearest is %s", name,
                   site_name(nearest(cfg, name), near));
}
