/* rope.c - see rope.h.  Keys, defaults and the formulas of attention_factor are those of Hugging
 * Face's modeling_rope_utils and of its configuration classes. */
#include "model/rope.h"

#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONTEXT "original_max_position_embeddings"

/* The bounds between which a scaling mixes, and their defaults; 0: the key must be there. */
static const struct scaling {
    const char *name, *low, *high;
    double low_default, high_default;
} scalings[ROPE_SCALINGS] = {
    [ROPE_PLAIN] = {"default", NULL, NULL, 0, 0},
    [ROPE_LINEAR] = {"linear", NULL, NULL, 0, 0},
    [ROPE_DYNAMIC] = {"dynamic", NULL, NULL, 0, 0},
    [ROPE_LLAMA3] = {"llama3", "low_freq_factor", "high_freq_factor", 0, 0},
    [ROPE_YARN] = {"yarn", "beta_slow", "beta_fast", 1, 32},
    [ROPE_LONGROPE] = {"longrope", NULL, NULL, 0, 0},
};

const char *rope_scaling_name(int32_t scaling)
{
    return scalings[scaling].name;
}

const char *rope_text(const struct rope *rope, char buf[ROPE_TEXT_MAX])
{
    const struct scaling *s = &scalings[rope->scaling];
    const struct {
        const char *key;
        double value, unsaid;
    } list[] = {
        {"factor", rope->factor, 0},
        {CONTEXT, rope->n_ctx, 0},
        {s->low, rope->low_freq, 0},
        {s->high, rope->high_freq, 0},
        {"attention_factor", rope->attention_factor, 1},
    };
    int n = snprintf(buf, ROPE_TEXT_MAX, "rope_theta %.6g", rope->theta);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].value != list[i].unsaid)
            n += snprintf(buf + n, (size_t)(ROPE_TEXT_MAX - n), ", %s %.6g", list[i].key,
                          list[i].value);
    return buf;
}

int32_t rope_length(const struct config *cfg, int32_t n)
{
    int32_t original = cfg->rope.n_ctx;
    switch (cfg->rope.scaling) {
    case ROPE_DYNAMIC: return n > cfg->n_ctx ? n : cfg->n_ctx;
    case ROPE_LONGROPE: return n > original ? original + 1 : original;
    default: return cfg->n_ctx;
    }
}

/* A number that may be left out; `fallback` 0: it may not. */
static int number_read(struct js_node node, double fallback, double *out, struct err *e)
{
    *out = fallback;
    return fallback > 0 && !js_is_set(node) ? 0 : js_number(node, 1e-6, 1e12, out, e);
}

static int scaling_find(struct js_node rope, int32_t *out, struct err *e)
{
    struct js_node kind = js_get(rope, "rope_type");
    if (!js_is_set(kind))
        kind = js_get(rope, "type");
    const char *type;
    int rc = js_string_or(kind, "default", &type, e);
    if (rc)
        return rc;
    /* The first files of Phi-3 call it so. */
    if (!strcmp(type, "su") || (!strcmp(type, "yarn") && js_is_set(js_get(rope, "long_factor"))))
        type = "longrope";
    for (*out = 0; *out < ROPE_SCALINGS; ++*out)
        if (!strcmp(type, scalings[*out].name))
            return 0;
    return js_expected(kind, "default, linear, dynamic, llama3, yarn or longrope", e);
}

/* A factor for each pair of elements. */
static int factors_read(struct js_node list, int32_t n, float out[LIMIT_ROPE_FACTORS],
                        struct err *e)
{
    if (!js_is_array(list) || js_count(list) != (size_t)n) {
        char want[80];
        snprintf(want, sizeof want, "an array of %d numbers, one for each rotated pair", n);
        return js_expected(list, want, e);
    }
    for (int32_t i = 0; i < n; i++) {
        double f;
        int rc = js_number(js_at(list, (size_t)i), 1e-6, 1e12, &f, e);
        if (rc)
            return rc;
        out[i] = (float)f;
    }
    return 0;
}

static int longrope_read(struct rope *out, struct js_node rope, int32_t n_rot, struct err *e)
{
    if (n_rot / 2 > LIMIT_ROPE_FACTORS)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · longrope of %d rotated pairs is above the limit of %d",
                       js_name(rope.doc), n_rot / 2, LIMIT_ROPE_FACTORS);
    out->n_factors = n_rot / 2;
    int rc = factors_read(js_get(rope, "short_factor"), n_rot / 2, out->short_factor, e);
    if (!rc)
        rc = factors_read(js_get(rope, "long_factor"), n_rot / 2, out->long_factor, e);
    if (!rc && out->factor > 1)
        out->attention_factor = sqrt(1 + log(out->factor) / log(out->n_ctx));
    return rc;
}

static double yarn_attention(double factor, double scale)
{
    return factor > 1 ? 0.1 * scale * log(factor) + 1 : 1;
}

static int yarn_read(struct rope *out, struct js_node rope, struct err *e)
{
    bool truncate = true;
    struct js_node over = js_get(rope, "mscale"), under = js_get(rope, "mscale_all_dim");
    double a = 0, b = 0;
    int rc = js_bool_or(js_get(rope, "truncate"), true, &truncate, e);
    if (!rc && js_is_set(over))
        rc = js_number(over, 0, 1e6, &a, e);
    if (!rc && js_is_set(under))
        rc = js_number(under, 0, 1e6, &b, e);
    out->truncate = truncate;
    out->attention_factor = yarn_attention(out->factor, 1);
    if (a > 0 && b > 0)
        out->attention_factor = yarn_attention(out->factor, a) / yarn_attention(out->factor, b);
    return rc;
}

/* Where the original context stands; Phi-3 has it at the top, and that counts first. */
static int context_read(const struct config *cfg, struct rope *out, struct js_node root,
                        struct js_node rope, struct err *e)
{
    struct js_node node = js_get(root, CONTEXT);
    int64_t ctx;
    int rc = js_int_or(js_is_set(node) ? node : js_get(rope, CONTEXT), 2, INT32_MAX, cfg->n_ctx,
                       &ctx, e);
    out->n_ctx = rc ? 0 : (int32_t)ctx;
    return rc;
}

/* What the scalings have that know an original context. */
static int extension_read(const struct config *cfg, struct rope *out, struct js_node root,
                          struct js_node rope, struct err *e)
{
    const struct scaling *s = &scalings[out->scaling];
    bool llama3 = out->scaling == ROPE_LLAMA3;
    int rc = context_read(cfg, out, root, rope, e);
    if (!rc)
        rc = number_read(js_get(rope, "factor"), llama3 ? 0 : (double)cfg->n_ctx / out->n_ctx,
                         &out->factor, e);
    if (!rc && s->low)
        rc = number_read(js_get(rope, s->low), s->low_default, &out->low_freq, e);
    if (!rc && s->low)
        rc = number_read(js_get(rope, s->high), s->high_default, &out->high_freq, e);
    if (!rc && s->low && out->high_freq <= out->low_freq)
        rc = err_set(e, ERR_BAD_INPUT, "%s · rope scaling %s · %s %g must be above %s %g",
                     js_name(rope.doc), s->name, s->high, out->high_freq, s->low, out->low_freq);
    if (rc || llama3)
        return rc;
    rc = out->scaling == ROPE_YARN ? yarn_read(out, rope, e)
                                   : longrope_read(out, rope, cfg->n_rot, e);
    return rc ? rc
              : number_read(js_get(rope, "attention_factor"), out->attention_factor,
                            &out->attention_factor, e);
}

/* One table: what the file says of its scaling, and of its base where that stands beside it. */
static int table_read(const struct config *cfg, struct rope *out, struct js_node root,
                      struct js_node rope, struct err *e)
{
    *out = (struct rope){.theta = out->theta, .attention_factor = 1};
    int rc = number_read(js_get(rope, "rope_theta"), out->theta, &out->theta, e);
    if (!rc)
        rc = scaling_find(rope, &out->scaling, e);
    if (rc || out->scaling == ROPE_PLAIN)
        return rc;
    return out->scaling == ROPE_LINEAR || out->scaling == ROPE_DYNAMIC
               ? number_read(js_get(rope, "factor"), 0, &out->factor, e)
               : extension_read(cfg, out, root, rope, e);
}

/* How many elements of a head are rotated: an architecture's own key says it, or their share. */
static int share_read(struct config *cfg, struct js_node rope, struct err *e)
{
    struct js_node share = js_get(rope, "partial_rotary_factor");
    int rc = js_is_set(share) ? js_number(share, 1e-6, 1, &cfg->rotary_share, e) : 0;
    if (!rc && !cfg->n_rot)
        cfg->n_rot = (int32_t)(cfg->rotary_share * cfg->d_head);
    if (!rc && (cfg->n_rot < 2 || cfg->n_rot % 2 || cfg->n_rot > cfg->d_head))
        rc = err_set(
            e, ERR_BAD_INPUT,
            "%s · rotary share %g of head size %d · must give an even number >= 2, gives %d",
            js_name(rope.doc), cfg->rotary_share, cfg->d_head, cfg->n_rot);
    return rc;
}

int rope_read(struct config *cfg, struct js_node root, struct err *e)
{
    struct js_node rope = js_get(root, "rope_scaling");
    if (!js_is_set(rope))
        rope = js_get(root, "rope_parameters");
    if (js_is_set(rope) && !js_is_object(rope))
        return js_expected(rope, "an object", e);
    struct js_node full = js_get(rope, "full_attention"), local = js_get(rope, "sliding_attention");
    bool split = cfg->rope_by_window && (js_is_set(full) || js_is_set(local));
    int rc = share_read(cfg, split ? full : rope, e);
    /* an architecture may scale where the file is silent */
    cfg->rope.attention_factor = yarn_attention(cfg->rope.factor, 1);
    cfg->rope_local.attention_factor = 1;
    if (!rc && js_is_set(rope))
        rc = table_read(cfg, &cfg->rope, root, split ? full : rope, e);
    if (!rc && split)
        rc = table_read(cfg, &cfg->rope_local, root, local, e);
    if (!rc &&
        (cfg->rope_local.scaling == ROPE_DYNAMIC || cfg->rope_local.scaling == ROPE_LONGROPE))
        rc = js_expected(js_get(local, "rope_type"), "a scaling that does not depend on the length",
                         e);
    return rc;
}
