/* process.c - see process.h.  The steps stand in the library's order. */
#include "model/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    unsigned flag;
    const char *name;
} steps[] = {
    {PROCESS_FOLD_LN, "fold_ln"},
    {PROCESS_CENTER_WRITING, "center_writing_weights"},
    {PROCESS_CENTER_UNEMBED, "center_unembed"},
    {PROCESS_FOLD_VALUE_BIASES, "fold_value_biases"},
    {PROCESS_REFACTOR, "refactor_factored_attn_matrices"},
};
enum { STEP_COUNT = sizeof steps / sizeof *steps };

int process_parse(const char *text, unsigned *flags, struct err *e)
{
    if (!strcmp(text, "none") || !strcmp(text, "raw") || !strcmp(text, "usual")) {
        *flags = text[0] == 'u' ? PROCESS_USUAL : 0;
        return 0;
    }
    unsigned out = 0;
    for (const char *p = text; *p; p += strcspn(p, ","), p += *p == ',') {
        size_t len = strcspn(p, ",");
        unsigned found = 0;
        for (int i = 0; i < STEP_COUNT; i++)
            if (strlen(steps[i].name) == len && !strncmp(steps[i].name, p, len))
                found = steps[i].flag;
        if (!found)
            return err_set(
                e, ERR_USAGE,
                "--process · \"%.*s\" is not a step · none, usual, fold_ln, center_writing_weights, center_unembed, "
                "fold_value_biases, refactor_factored_attn_matrices",
                (int)len, p);
        out |= found;
    }
    if (!out)
        return err_set(e, ERR_USAGE, "--process · empty · none, usual or a list of steps");
    *flags = out;
    return 0;
}

const char *process_text(unsigned flags, char *buf, size_t size)
{
    snprintf(buf, size, "%s", !flags ? "raw" : flags == PROCESS_USUAL ? "usual" : "");
    if (flags && flags != PROCESS_USUAL)
        for (int i = 0, n = 0; i < STEP_COUNT; i++)
            if (flags & steps[i].flag) {
                size_t at = strlen(buf);
                snprintf(buf + at, size - at, "%s%s", n++ ? "," : "", steps[i].name);
            }
    return buf;
}

/* One weight as an own f32 matrix [n, k] (k = 1 for vectors). */
struct mat {
    float *p;
    int64_t n, k;
};

static struct mat mat(struct model *m, int32_t l, enum weight_id w)
{
    const struct kn_view *v = model_weight(m, l, w);
    return (struct mat){v->ndim ? kn_f32(v) : NULL, v->ndim ? weight_n(&m->cfg, w) : 0,
                        weight_k(&m->cfg, w)};
}

/* Replace a view by an f32 copy of its own, [n, k] whatever it was; an absent bias becomes zeros.
 */
static int own(struct model *m, int32_t l, enum weight_id w, struct err *e)
{
    const struct kn_view *v = model_weight(m, l, w);
    int64_t n = weight_n(&m->cfg, w), k = weight_k(&m->cfg, w);
    float *p = calloc((size_t)(n * k) + 1, sizeof *p);
    if (!p)
        return err_memory(e, "an f32 copy of the weights for --process");
    if (v->ndim)
        kn_decode_rows(v, 0, v->shape[0], p);
    bool vector = weight_table[w].k == DIM_NONE;
    struct kn_view copy = vector ? kn_view1(p, KN_F32, n) : kn_view2(p, KN_F32, n, k);
    int rc = model_own_weight(m, l, w, copy, e);
    if (rc)
        free(p);
    return rc;
}

/* Every weight that such a model can have. */
static int own_all(struct model *m, struct err *e)
{
    int rc = 0;
    for (int32_t l = 0; l <= m->cfg.n_layers; l++)
        for (int w = W_NONE + 1; !rc && w < WEIGHT_COUNT; w++)
            if (weight_is_root((enum weight_id)w) == (l == m->cfg.n_layers) &&
                !weight_is_expert((enum weight_id)w) && /* as they are: they write no LayerNorm */
                config_layer_has(&m->cfg, weight_table[w].when, l < m->cfg.n_layers ? l : -1))
                rc = own(m, l, (enum weight_id)w, e);
    return rc;
}

/* Weights as the model uses them; the plan then has nothing to add to them. */
static int own_form(struct model *m, struct err *e)
{
    for (int32_t l = 0; l <= m->cfg.n_layers; l++)
        for (int w = W_NONE + 1; w < WEIGHT_COUNT; w++) {
            struct weight_form f = weight_form(&m->cfg, (enum weight_id)w);
            bool root = weight_is_root((enum weight_id)w);
            struct mat a = root == (l == m->cfg.n_layers) ? mat(m, l, (enum weight_id)w)
                                                          : (struct mat){0};
            for (int64_t i = 0; a.p && i < a.n * a.k; i++)
                a.p[i] = a.p[i] * f.factor + f.offset;
        }
    m->cfg.embed_scale = 0, m->cfg.norm_offset = 0;
    plan_free(m->plan);
    return (m->plan = plan_build(&m->cfg)) ? 0 : err_memory(e, "the plan");
}

/* W reads a normed stream: b += W . ln.b, then W *= ln.w, then (LayerNorm) every row of W loses its
 * mean, which the library leaves to gates. */
static void fold_into(struct model *m, int32_t l, enum weight_id w, enum weight_id b,
                      enum weight_id lnw, enum weight_id lnb)
{
    struct mat a = mat(m, l, w), bias = mat(m, l, b), scale = mat(m, l, lnw),
               shift = mat(m, l, lnb);
    if (!a.p)
        return;
    for (int64_t i = 0; i < a.n; i++) {
        float *row = a.p + i * a.k;
        double sum = 0, mean = 0;
        for (int64_t k = 0; k < a.k; k++) {
            sum += m->cfg.norm_center ? (double)row[k] * (double)shift.p[k] : 0;
            row[k] *= scale.p[k];
            mean += (double)row[k] / (double)a.k;
        }
        if (!m->cfg.norm_center)
            continue;
        bias.p[i] += (float)sum;
        for (int64_t k = 0; k < a.k && w != W_GATE; k++)
            row[k] = (float)((double)row[k] - mean);
    }
}

static void norm_clear(struct model *m, int32_t l, enum weight_id w, enum weight_id b)
{
    struct mat scale = mat(m, l, w), shift = mat(m, l, b);
    for (int64_t i = 0; i < scale.n; i++) {
        scale.p[i] = 1;
        if (shift.p)
            shift.p[i] = 0;
    }
}

static void fold_ln(struct model *m)
{
    for (int32_t l = 0; l < m->cfg.n_layers; l++) {
        fold_into(m, l, W_Q, B_Q, W_LN1, B_LN1);
        fold_into(m, l, W_K, B_K, W_LN1, B_LN1);
        fold_into(m, l, W_V, B_V, W_LN1, B_LN1);
        fold_into(m, l, W_IN, B_IN, W_LN2, B_LN2);
        fold_into(m, l, W_GATE, B_GATE, W_LN2, B_LN2);
        norm_clear(m, l, W_LN1, B_LN1);
        norm_clear(m, l, W_LN2, B_LN2);
    }
    if (m->cfg.headless)
        return;
    fold_into(m, 0, W_U, B_U, W_LNF, B_LNF);
    norm_clear(m, 0, W_LNF, B_LNF);
}

/* Subtract from every column k of [n, k] its mean over n. */
static void center_columns(struct mat a)
{
    for (int64_t k = 0; k < a.k && a.p; k++) {
        double mean = 0;
        for (int64_t i = 0; i < a.n; i++)
            mean += (double)a.p[i * a.k + k] / (double)a.n;
        for (int64_t i = 0; i < a.n; i++)
            a.p[i * a.k + k] = (float)((double)a.p[i * a.k + k] - mean);
    }
}

/* The same for every row. */
static void center_rows(struct mat a)
{
    for (int64_t i = 0; i < a.n && a.p; i++)
        center_columns((struct mat){a.p + i * a.k, a.k, 1});
}

/* Everything that writes to the residual stream writes mean zero.  W_E, W_cls and W_pos lie
 * [row, d]; W_O, W_out and W_patch [d, in]. */
static void center_writing(struct model *m)
{
    center_rows(mat(m, 0, W_E));
    center_columns(mat(m, 0, W_PATCH));
    center_columns(mat(m, 0, B_PATCH));
    center_rows(mat(m, 0, W_CLS));
    center_rows(mat(m, 0, W_POS));
    for (int32_t l = 0; l < m->cfg.n_layers; l++) {
        center_columns(mat(m, l, W_O));
        center_columns(mat(m, l, B_O));
        center_columns(mat(m, l, W_OUT));
        center_columns(mat(m, l, B_OUT));
    }
}

/* b_O += sum over heads of b_V . W_O; b_V = 0. */
static void fold_value_biases(struct model *m)
{
    int64_t dh = m->cfg.d_head, share = m->cfg.n_heads / m->cfg.n_kv_heads;
    for (int32_t l = 0; l < m->cfg.n_layers; l++) {
        struct mat o = mat(m, l, W_O), bo = mat(m, l, B_O), bv = mat(m, l, B_V);
        for (int64_t i = 0; i < o.n; i++) {
            double sum = 0;
            for (int64_t k = 0; k < o.k; k++)
                sum += (double)o.p[i * o.k + k] * (double)bv.p[k / dh / share * dh + k % dh];
            bo.p[i] = (float)((double)bo.p[i] + sum);
        }
        memset(bv.p, 0, (size_t)bv.n * sizeof *bv.p);
    }
}

/* Steps that the library leaves out, with a warning. */
static const struct left_out {
    unsigned flags;
    const char *why;
} no_fold =
    {PROCESS_FOLD_LN | PROCESS_CENTER_WRITING,
     "fold_ln and center_writing_weights are left out: norms stand behind attention and MLP"},
  no_center = {PROCESS_CENTER_UNEMBED,
               "center_unembed is left out: capped logits are not free up to a constant"},
  none = {0, NULL};

static const struct left_out *left_out(const struct config *cfg)
{
    return cfg->norm_place == NORM_AFTER ? &no_fold : cfg->final_softcap > 0 ? &no_center : &none;
}

const char *process_left_out(const struct config *cfg, unsigned flags)
{
    const struct left_out *l = left_out(cfg);
    return flags & l->flags ? l->why : NULL;
}

int process_model(struct model *m, unsigned flags, struct err *e)
{
    flags &= ~left_out(&m->cfg)->flags;
    if (!flags)
        return 0;
    if (m->cfg.norm_place == NORM_RESIDUAL || config_has(&m->cfg, PROPERTY_PROJECTED))
        return err_set(e, ERR_BAD_INPUT,
                       "processing · its steps are of models that normalize before their branches, "
                       "here the sum of both is normalized · leave it out");
    if (flags & PROCESS_REFACTOR && m->cfg.pos == POS_ROTARY)
        return err_set(
            e, ERR_BAD_INPUT,
            "refactor_factored_attn_matrices · not with rotary positions · leave it out");
    if (flags & PROCESS_REFACTOR && m->cfg.n_kv_heads != m->cfg.n_heads)
        return err_set(e, ERR_BAD_INPUT,
                       "refactor_factored_attn_matrices · not where heads share keys and values · "
                       "leave it out");
    int rc = own_all(m, e);
    if (rc || (rc = own_form(m, e)))
        return rc;
    if (flags & PROCESS_FOLD_LN && !m->cfg.n_moe) /* the library leaves mixtures of experts alone */
        fold_ln(m);
    if (flags & PROCESS_CENTER_WRITING && m->cfg.norm_center)
        center_writing(m);
    if (flags & PROCESS_CENTER_UNEMBED) {
        center_columns(mat(m, 0, W_U));
        center_columns(mat(m, 0, B_U));
    }
    if (flags & PROCESS_FOLD_VALUE_BIASES)
        fold_value_biases(m);
    if (flags & PROCESS_REFACTOR)
        rc = process_refactor(m, e);
    m->process = flags;
    return rc;
}
