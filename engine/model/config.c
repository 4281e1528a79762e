/* config.c - config.json -> struct config, driven by the architecture's key table (arch.h).
 * Knows no architecture by name.  Tested in tests/engine/test_config.c, tests/fuzz/fuzz_config.c.
 */
#include "model/config.h"

#include "model/arch.h"
#include "model/site.h"
#include "base/json.h"
#include "base/nearest.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

bool layer_in(const struct layer_set *set, int32_t layer)
{
    return layer < LIMIT_LAYERS && set->bits[layer / 64] >> layer % 64 & 1;
}

void layer_put(struct layer_set *set, int32_t layer, bool in)
{
    uint64_t bit = (uint64_t)1 << layer % 64, *at = &set->bits[layer / 64];
    *at = in ? *at | bit : *at & ~bit;
}

bool config_layer_has(const struct config *cfg, enum property p, int32_t layer)
{
#define PROPERTY(id, holds, lack) \
    if (p == PROPERTY_##id)       \
        return holds;
#include "model/property.def"
    return false;
}

bool config_has(const struct config *cfg, enum property p)
{
    return config_layer_has(cfg, p, -1);
}

const char *config_lack(const struct config *cfg, enum property p)
{
#define PROPERTY(id, holds, lack) \
    if (p == PROPERTY_##id)       \
        return lack;
#include "model/property.def"
    return "";
}

/* The first of "a|b.c" that is there, null included; else an absent node. */
static struct js_node key_find(struct js_node root, const char *names)
{
    struct js_node node = {.doc = root.doc};
    for (const char *p = names; *p; p += strcspn(p, "|"), p += *p == '|') {
        char name[96];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, "|"), p);
        char *dot = strchr(name, '.');
        if (dot)
            *dot = '\0';
        node = js_get(root, name);
        if (dot)
            node = js_get(node, dot + 1);
        if (node.value)
            break;
    }
    return node;
}

static int act_parse(struct js_node node, enum kn_act *out, struct err *e)
{
    static const struct {
        const char *name;
        enum kn_act act;
    } table[] = {
        {"gelu", KN_ACT_GELU},
        {"gelu_new", KN_ACT_GELU_NEW},
        {"gelu_pytorch_tanh", KN_ACT_GELU_NEW},
        {"gelu_fast", KN_ACT_GELU_NEW},
        {"relu", KN_ACT_RELU},
        {"silu", KN_ACT_SILU},
        {"swish", KN_ACT_SILU},
        {"quick_gelu", KN_ACT_QUICK_GELU},
    };
    const char *s;
    int rc = js_string(node, &s, NULL, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(s, table[i].name)) {
            *out = table[i].act;
            return 0;
        }
    return js_expected(node,
                       "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu, silu or quick_gelu", e);
}

static int key_read(struct config *cfg, const struct arch_key *k, struct js_node root,
                    struct err *e)
{
    struct js_node node = key_find(root, k->names);
    void *at = (char *)cfg + k->offset;
    bool is_set = js_is_set(node);
    if (!is_set && k->fallback <= KEY_REQUIRED) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(k->names, "|"), k->names);
        return err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · missing; a %s model needs it",
                       js_name(root.doc), name, cfg->arch->model_type);
    }
    int64_t i = k->fallback > KEY_REQUIRED ? (int64_t)k->fallback
                                           : 0; /* the mark for "required" fits no integer */
    double d = k->fallback;
    bool b = k->fallback != 0;
    enum kn_act act = (enum kn_act)i;
    int rc = 0;
    switch (k->type) {
    case KEY_INT:
        /* A number left open by null ("sliding_window": null) is "none", whatever its absence
         * means. */
        if (node.value && !is_set)
            i = 0;
        else if (is_set)
            rc = js_int(node, (int64_t)k->min, (int64_t)k->max, &i, e);
        *(int32_t *)at = (int32_t)i;
        break;
    case KEY_OPTIONAL:
        if (node.value && !is_set)
            d = 0; /* fall through */
    case KEY_NUMBER:
        if (is_set)
            rc = js_number(node, k->min, k->max, &d, e);
        *(double *)at = d;
        break;
    case KEY_BOOL:
        if (is_set)
            rc = js_bool(node, &b, e);
        *(bool *)at = b;
        break;
    case KEY_COUNT:
        if (is_set &&
            (!js_is_object(node) || js_count(node) < 1 || js_count(node) > (size_t)k->max))
            return js_expected(node, "an object with a member or more", e);
        *(int32_t *)at = is_set ? (int32_t)js_count(node) : (int32_t)i;
        break;
    case KEY_ACT:
    case KEY_ACT_TANH:
        if (is_set)
            rc = act_parse(node, &act, e);
        if (k->type == KEY_ACT_TANH && act == KN_ACT_GELU)
            act = KN_ACT_GELU_NEW;
        *(enum kn_act *)at = act;
        break;
    }
    return rc;
}

/* A list, where there is one, of something for each layer. */
static int each_layer_check(const struct config *cfg, struct js_node list, struct err *e)
{
    char want[64];
    if (!js_is_set(list) || (js_is_array(list) && js_count(list) == (size_t)cfg->n_layers))
        return 0;
    snprintf(want, sizeof want, "an array of %d, one for each layer", cfg->n_layers);
    return js_expected(list, want, e);
}

/* Layers that have no rotary positions, as no_rope_layers says (0) or by the pattern. */
static int unrotated_read(struct config *cfg, struct js_node root, struct err *e)
{
    struct js_node list = js_get(root, "no_rope_layers");
    int rc = cfg->unrotated_pattern ? each_layer_check(cfg, list, e) : 0;
    for (int32_t l = 0; !rc && cfg->unrotated_pattern && l < cfg->n_layers; l++) {
        int64_t rotated = (l + 1) % cfg->unrotated_pattern != 0;
        rc = js_is_set(list) ? js_int(js_at(list, (size_t)l), 0, 1, &rotated, e) : 0;
        layer_put(&cfg->unrotated, l, !rotated);
    }
    return rc;
}

/* The kind of a layer by its name; false: no such kind. */
static bool layer_kind(const char *type, bool *windowed)
{
    *windowed = !strcmp(type, "sliding_attention") || !strcmp(type, "local");
    return *windowed || !strcmp(type, "full_attention") || !strcmp(type, "global");
}

/* GPT-Neo's short form: [[[kinds], times], ...], which layer l's kind is taken from. */
static struct js_node attention_type(struct js_node types, int32_t l)
{
    struct js_node kinds = {.doc = types.doc};
    for (size_t i = 0; i < js_count(types); i++) {
        struct js_node group = js_at(types, i);
        int64_t times = 0, n = (int64_t)js_count(kinds = js_at(group, 0));
        if (js_int(js_at(group, 1), 1, LIMIT_LAYERS, &times, NULL) || n < 1)
            break;
        if (l < times * n)
            return js_at(kinds, (size_t)(l % n));
        l -= (int32_t)(times * n);
    }
    return (struct js_node){.doc = types.doc};
}

/* Layers that have a window: as layer_types, attention_layers or attention_types says, else by the
 * pattern. */
static int layers_read(struct config *cfg, struct js_node root, struct err *e)
{
    struct js_node types = key_find(root, "layer_types|attention_layers"),
                   groups = js_get(root, "attention_types");
    bool each = js_is_set(types), grouped = !each && js_is_set(groups);
    int rc = each_layer_check(cfg, types, e);
    for (int32_t l = 0; !rc && l < cfg->n_layers; l++) {
        struct js_node node = each ? js_at(types, (size_t)l) : attention_type(groups, l);
        bool windowed = l >= cfg->window_layer0 &&
                        !(cfg->window_pattern &&
                          (l - cfg->window_layer0 + 1) % cfg->window_pattern == 0) &&
                        (!cfg->unrotated_pattern || layer_in(&cfg->unrotated, l));
        const char *type;
        if (grouped && !js_is_set(node))
            return js_expected(groups, "[[[\"global\", \"local\"], 12], ...] for all layers", e);
        if ((each || grouped) && (rc = js_string(node, &type, NULL, e)))
            return rc;
        if ((each || grouped) && !layer_kind(type, &windowed))
            return js_expected(node, "sliding_attention, full_attention, local or global", e);
        layer_put(&cfg->windowed, l, windowed);
    }
    return rc;
}

/* Layers that have experts: all, or in a family that knows another MLP, all but those that
 * mlp_only_layers names and those between two steps of decoder_sparse_step. */
static int experts_read(struct config *cfg, struct js_node root, struct err *e)
{
    struct js_node dense = js_get(root, "mlp_only_layers");
    int64_t step = 1;
    int part, rc = 0;
    if (!cfg->n_experts)
        return 0;
    if (cfg->n_active > cfg->n_experts)
        return err_set(e, ERR_BAD_INPUT, "%s · %d experts per token · there are %d",
                       js_name(root.doc), cfg->n_active, cfg->n_experts);
    bool mixed = arch_tensor_of(cfg, W_IN, &part) != NULL;
    if (mixed)
        rc = js_int_or(js_get(root, "decoder_sparse_step"), 1, INT32_MAX, 1, &step, e);
    for (int32_t l = 0; l < cfg->n_layers; l++)
        layer_put(&cfg->moe, l, (l + 1) % step == 0);
    if (!rc && mixed && js_is_set(dense) && !js_is_array(dense))
        rc = js_expected(dense, "an array of layers", e);
    for (size_t i = 0; !rc && mixed && js_is_set(dense) && i < js_count(dense); i++) {
        int64_t layer = 0;
        rc = js_int(js_at(dense, i), 0, LIMIT_LAYERS - 1, &layer, e);
        if (!rc)
            layer_put(&cfg->moe, (int32_t)layer, false);
    }
    for (int32_t l = 0; l < cfg->n_layers; l++)
        cfg->n_moe += layer_in(&cfg->moe, l);
    return rc;
}

/* Rows of a model that takes images: a class token, perhaps another one, and the patches that fit
 * whole. */
static int image_check(struct config *cfg, const char *file, struct err *e)
{
    if (!cfg->patch_size)
        return 0;
    int64_t side = cfg->image_size / cfg->patch_size, size = cfg->image_size,
            pixels = site_dim_size(cfg, DIM_PATCH, 0);
    if (side < 1)
        return err_set(e, ERR_BAD_INPUT, "%s · patches of %d pixels do not fit an image of %d",
                       file, cfg->patch_size, cfg->image_size);
    if (side * side > LIMIT_TOKENS - cfg->n_prefix || pixels > LIMIT_D_MLP ||
        size * size * cfg->n_channels > LIMIT_IMAGE_PIXELS)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · %lld patches of %lld values are above the limits (%d, %d, %d together)", file,
            (long long)(side * side), (long long)pixels, LIMIT_TOKENS - cfg->n_prefix, LIMIT_D_MLP,
            LIMIT_IMAGE_PIXELS);
    cfg->n_ctx = (int32_t)(side * side) + cfg->n_prefix;
    return 0;
}

/* Derived sizes, and the relations between them. */
static int sizes_check(struct config *cfg, const char *file, struct err *e)
{
    if (!cfg->d_head) {
        if (cfg->d_model % cfg->n_heads)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · hidden size %d is not a multiple of %d attention heads", file,
                           cfg->d_model, cfg->n_heads);
        cfg->d_head = cfg->d_model / cfg->n_heads;
    }
    if (!cfg->n_kv_heads)
        cfg->n_kv_heads = cfg->n_heads;
    if (!cfg->d_embed)
        cfg->d_embed = cfg->d_model;
    if (cfg->n_heads % cfg->n_kv_heads)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · %d attention heads are not a multiple of %d key/value heads", file,
                       cfg->n_heads, cfg->n_kv_heads);
    if (!cfg->d_mlp) {
        if (cfg->d_model > LIMIT_D_MLP / 4)
            return err_set(e, ERR_BAD_INPUT, "%s · MLP of 4 x %d is above the limit %d", file,
                           cfg->d_model, LIMIT_D_MLP);
        cfg->d_mlp = 4 * cfg->d_model;
    }
    if (cfg->d_head > LIMIT_D_HEAD || (int64_t)cfg->d_head * cfg->n_heads > LIMIT_D_MODEL)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · %d heads of %d are above the limits (%d per head, %d together)", file,
                       cfg->n_heads, cfg->d_head, LIMIT_D_HEAD, LIMIT_D_MODEL);
    if (cfg->pos_after_pad) {
        cfg->pos_row0 = cfg->pos_pad + 1;
        if (cfg->n_ctx <= cfg->pos_row0)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · %d positions of which the first %d are not used · none is left",
                           file, cfg->n_ctx, cfg->pos_row0);
        cfg->n_ctx -= cfg->pos_row0;
    }
    return image_check(cfg, file, e);
}

static int token_id(struct js_node node, int32_t *out, struct err *e)
{
    if (js_is_array(node)) /* several ends of text: the first is the usual one */
        node = js_at(node, 0);
    int64_t id = -1;
    int rc = js_int_or(node, -1, INT32_MAX, -1, &id, e);
    *out = (int32_t)id;
    return rc;
}

/* Of the whole file, else of the object that has the other keys. */
static struct js_node token_node(struct js_node file, struct js_node inner, const char *key)
{
    struct js_node node = js_get(file, key);
    return js_is_set(node) ? node : js_get(inner, key);
}

/* "model_type", or the class where that is missing. */
static int family_read(struct js_node root, const char **type, struct err *e)
{
    struct js_node node = js_get(root, "model_type");
    struct js_node classes = js_at(js_get(root, "architectures"), 0);
    return js_is_set(node) ? js_string(node, type, NULL, e) : js_string_or(classes, "", type, e);
}

static const struct arch *arch_find(struct js_node root, struct err *e)
{
    const char *type = NULL, *near = "";
    size_t least = SIZE_MAX;
    if (family_read(root, &type, e))
        return NULL;
    for (const struct arch *const *a = arch_table; *a; a++) {
        if (!strcmp(type, (*a)->model_type) || !strcmp(type, (*a)->class_name))
            return *a;
        if (nearest_is(type, (*a)->model_type, &least))
            near = (*a)->model_type;
    }
    err_set(e, ERR_BAD_INPUT,
            "%s · model_type \"%s\" is not supported, nearest %s · docs/models.md lists all",
            js_name(root.doc), type, near);
    return NULL;
}

int config_family(const char *path, char *buf, size_t size, struct err *e)
{
    const char *type = "";
    struct js_doc *doc = js_open_texts(path, e);
    if (!doc)
        return err_code(e);
    int rc = family_read(js_root(doc), &type, e);
    if (!rc)
        snprintf(buf, size, "%s", type);
    js_close(doc);
    return rc;
}

static int word_must(struct js_node node, const char *text, struct err *e)
{
    char want[64];
    const char *s;
    int rc = js_string_or(node, text, &s, e);
    snprintf(want, sizeof want, "\"%s\" (nothing else is supported)", text);
    return rc || !strcmp(s, text) ? rc : js_expected(node, want, e);
}

static bool word_in(const char *list, const char *word)
{
    for (const char *p = list; *p; p += strcspn(p, "|"), p += *p == '|')
        if (strcspn(p, "|") == strlen(word) && !strncmp(p, word, strlen(word)))
            return true;
    return false;
}

/* A class of the family without the unembedding? */
static int head_read(struct config *cfg, struct js_node root, struct err *e)
{
    struct js_node classes = js_at(js_get(root, "architectures"), 0);
    const char *name;
    int rc = js_string_or(classes, cfg->arch->class_name, &name, e);
    if (rc || !cfg->arch->heads || word_in(cfg->arch->heads, name))
        return rc;
    cfg->headless = true, cfg->mlm_head = false;
    return 0;
}

static int config_read(struct config *cfg, struct js_node root, struct err *e)
{
    if (!js_is_object(root))
        return js_expected(root, "an object", e);
    const struct arch *arch = arch_find(root, e);
    if (!arch)
        return ERR_BAD_INPUT;
    *cfg = arch->base;
    cfg->arch = arch;
    int rc;
    struct js_node file = root;
    if (arch->within && !js_is_object(root = js_get(root, arch->within)))
        return js_expected(root, "an object", e);
    for (const struct arch_key *k = arch->keys; k->names; k++)
        if ((rc = key_read(cfg, k, root, e)))
            return rc;
    for (const struct arch_must *m = arch->must; m->name; m++) {
        bool b = m->value;
        if ((rc = js_bool_or(js_get(root, m->name), b, &b, e)))
            return rc;
        if (b != m->value)
            return js_expected(
                js_get(root, m->name),
                m->value ? "true (false is not supported)" : "false (true is not supported)", e);
    }
    for (const struct arch_word *w = arch->words; w && w->name; w++)
        if ((rc = word_must(js_get(root, w->name), w->value, e)))
            return rc;
    if ((arch->settle && (rc = arch->settle(cfg, root, e))) || (rc = head_read(cfg, root, e)) ||
        (rc = unrotated_read(cfg, root, e)) || (rc = layers_read(cfg, root, e)) ||
        (rc = experts_read(cfg, root, e)) || (rc = sizes_check(cfg, js_name(root.doc), e)) ||
        (rc = cfg->pos == POS_ROTARY ? rope_read(cfg, root, e) : 0) ||
        (rc = token_id(token_node(file, root, "bos_token_id"), &cfg->bos_id, e)) ||
        (rc = token_id(token_node(file, root, "eos_token_id"), &cfg->eos_id, e)) ||
        (rc = token_id(token_node(file, root, "sep_token_id"), &cfg->sep_id, e)) ||
        (rc = token_id(token_node(file, root, "mask_token_id"), &cfg->mask_id, e)))
        return rc;
    if (!cfg->window_on)
        cfg->window = 0;
    if (cfg->embed_scaled)
        cfg->embed_scale = sqrt((double)cfg->d_model);
    if (!cfg->window && !cfg->rope_by_window) { /* which layers would have one says nothing then */
        cfg->window_layer0 = 0;
        cfg->windowed = (struct layer_set){0};
    }
    int32_t *const ids[] = {&cfg->bos_id, &cfg->eos_id, &cfg->sep_id, &cfg->mask_id};
    for (int i = 0; i < 4; i++)
        if (*ids[i] >= cfg->d_vocab)
            *ids[i] = -1;
    return 0;
}

int config_from(struct config *cfg, struct js_doc *doc, struct err *e)
{
    if (!doc)
        return err_code(e);
    struct config c;
    int rc = config_read(&c, js_root(doc), e);
    js_close(doc);
    if (!rc)
        *cfg = c;
    return rc;
}

int32_t config_first_reached_row(const struct config *cfg, int32_t row)
{
    return cfg->bidirectional ? 0 : row;
}

int config_parse(struct config *cfg, const char *bytes, size_t len, const char *file, struct err *e)
{
    return config_from(cfg, js_parse(file, bytes, len, e), e);
}

int config_load(struct config *cfg, const char *path, struct err *e)
{
    return config_from(cfg, js_open(path, e), e);
}

int config_usual(struct config *cfg, const struct arch *arch, int32_t n_layers, struct err *e)
{
    char json[1024];
    int n = snprintf(json, sizeof json, "{\"model_type\": \"%s\"", arch->model_type);
    if (arch->within)
        n += snprintf(json + n, sizeof json - (size_t)n, ", \"%s\": {\"\": 0", arch->within);
    for (const struct arch_key *k = arch->keys; k->names; k++) {
        if (k->fallback > KEY_REQUIRED && k->offset != offsetof(struct config, n_layers))
            continue;
        int32_t v = k->offset == offsetof(struct config, n_layers)  ? n_layers
                    : k->offset == offsetof(struct config, n_heads) ? 32
                                                                    : 2048;
        n += snprintf(json + n, sizeof json - (size_t)n, ", \"%.*s\": %d",
                      (int)strcspn(k->names, "|"), k->names, (int)v);
        assert(n < (int)sizeof json - 1);
    }
    n += snprintf(json + n, sizeof json - (size_t)n, arch->within ? "}}" : "}");
    return config_parse(cfg, json, (size_t)n, arch->model_type, e);
}
