/* named_weight.c - names of weights and what they mean in a model (see named_weight.h): rows of
 * named_weight.def and arch.h spelled out. */
#include "names/named_weight.h"

#include "names/alias.h"
#include "model/arch.h"
#include "model/weights.h"
#include "base/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum word { AXIS_NONE, AXIS_N, AXIS_K, AXIS_HEAD_N, AXIS_D_N, AXIS_HEAD_K, AXIS_D_K };

static const struct row {
    enum alias_library library;
    enum weight_id id;
    const char *name;
    enum word axis[3];
    enum property when;
} rows[] = {
#define NAMED_IF(when, id, library, name, a, b, c) \
    {LIBRARY_##library, id, name, {AXIS_##a, AXIS_##b, AXIS_##c}, PROPERTY_##when},
#define NAMED(id, library, name, a, b, c) NAMED_IF(ALWAYS, id, library, name, a, b, c)
#include "names/named_weight.def"
};
static const struct {
    enum weight_id id;
    const char *name;
} modules[] = {
#define TAKER_MODULE(id, name) {id, name},
#include "names/named_weight.def"
};
static const struct {
    const char *name, *why;
} refused[] = {
#define NAMED_REFUSED(name, why) {name, why},
#include "names/named_weight.def"
};
enum {
    ROW_COUNT = sizeof rows / sizeof *rows,
    MODULE_COUNT = sizeof modules / sizeof *modules,
    REFUSED_COUNT = sizeof refused / sizeof *refused
};

/* Root weights that come after the blocks. */
static bool is_last(enum weight_id id)
{
    return weight_table[id].scope == SCOPE_FINAL;
}

/* Why this kind of model, or one layer of it, cannot have it; NULL: it has, perhaps as zeros. */
static const char *absence(const struct config *c, enum weight_id id, int32_t layer)
{
    enum property p = weight_table[id].when;
    layer = weight_is_root(id) || layer >= c->n_layers ? -1 : layer;
    return config_layer_has(c, p, layer) ? NULL : config_lack(c, p);
}

/* The same under one name. */
static const char *row_absence(const struct config *c, const struct row *r, int32_t layer)
{
    return config_has(c, r->when) ? absence(c, r->id, layer) : config_lack(c, r->when);
}

/* Are its heads those of keys and values, and fewer than the model's? */
static bool is_grouped(const struct config *c, enum weight_id id)
{
    return weight_table[id].n == DIM_KV_HEADS && !weight_is_norm(id) && c->n_kv_heads != c->n_heads;
}

static void run_add(struct weight_axis *a, enum weight_over over, int64_t size, int64_t step)
{
    a->run[a->n].size = size, a->run[a->n].step = step;
    a->run[a->n++].over = over;
}

/* Close an axis whose runs are there. */
static void axis_end(struct named_weight *w, const char *word)
{
    const struct weight_axis *a = &w->axis[w->rank];
    w->dims[w->rank] = word;
    w->shape[w->rank] = 1;
    for (int i = 0; i < a->n; i++)
        w->shape[w->rank] *= a->run[i].size;
    w->rank++;
}

/* Add an axis to a tensor. */
static void axis_add(const struct config *c, struct named_weight *w, enum word word, bool stored)
{
    bool k = word == AXIS_K || word == AXIS_HEAD_K || word == AXIS_D_K;
    enum weight_id id = w->part[0];
    enum site_dim d = k ? weight_table[id].k : weight_table[id].n;
    if (d == DIM_D_EMBED && c->d_embed == c->d_model) /* the same axis */
        d = DIM_D_MODEL;
    int64_t size = site_dim_size(c, d, 0),
            repeat = is_grouped(c, id) && !stored ? c->n_heads / c->n_kv_heads : 1;
    enum weight_over over = k ? RUN_K : RUN_N;
    struct weight_axis *a = &w->axis[w->rank];
    *a = (struct weight_axis){0};
    switch (word) {
    case AXIS_N:
    case AXIS_K:
        if (id == W_POS && !k && w->library == LIBRARY_LENS) /* its rows are positions */
            w->first_n = c->pos_row0;
        run_add(a, over, size - (k ? 0 : w->first_n), 1);
        axis_end(w, site_dim_name(d));
        break;
    case AXIS_HEAD_N:
    case AXIS_HEAD_K:
        run_add(a, over, size / c->d_head, c->d_head);
        if (repeat > 1)
            run_add(a, RUN_REPEAT, repeat, 0);
        axis_end(w, site_dim_name(d == DIM_KV_HEADS && size / c->d_head * repeat != c->n_heads
                                      ? DIM_KV_HEAD
                                      : DIM_HEAD));
        break;
    case AXIS_D_N:
    case AXIS_D_K:
        run_add(a, over, c->d_head, 1);
        axis_end(w, site_dim_name(DIM_D_HEAD));
        break;
    case AXIS_NONE: break;
    }
}

static struct named_weight begin(enum alias_library t, enum weight_id id, int32_t layer)
{
    return (struct named_weight){.library = t,
                                 .layer = weight_is_root(id) ? SITE_ROOT : layer,
                                 .form = {1, 0},
                                 .n_parts = 1,
                                 .part = {id}};
}

/* Its name, with "%d" for layer and expert. */
static char *row_pattern(const struct row *r, bool stored, char buf[LIMIT_NAME])
{
    const char *dot = strrchr(r->name, '.') + 1;
    snprintf(buf, LIMIT_NAME, "%s%.*s%s%s",
             weight_is_root(r->id)        ? ""
             : r->library == LIBRARY_LENS ? "blocks.%d."
                                          : "layers.%d.",
             (int)(dot - r->name), r->name, stored ? "_" : "", dot);
    return buf;
}

/* A row of named_weight.def.  stored: keys and values of grouped heads as they lie. */
static struct named_weight row_weight(const struct config *c, const struct row *r, int32_t layer,
                                      int32_t expert, bool stored)
{
    struct named_weight w = begin(r->library, r->id, weight_row(c, layer, expert));
    char pattern[LIMIT_NAME];
    if (r->library == LIBRARY_LENS)
        w.form = weight_form(c, r->id);
    arch_name_spell(row_pattern(r, stored, pattern), layer, expert, w.name);
    for (int i = 0; i < 3; i++)
        axis_add(c, &w, r->axis[i], stored);
    return w;
}

/* ---- Hugging Face's names: the architecture's rows ---- */

static bool is_merged(const struct model *m)
{
    return m->files && weights_merged(&m->cfg, m->files);
}

static bool is_there(const struct model *m, const struct arch_tensor *a, int32_t layer)
{
    layer = weight_is_root(a->part[0]) || layer >= m->cfg.n_layers ? -1 : layer;
    bool bias = a->when == PROPERTY_UNTIED ||
                config_layer_has(&m->cfg, a->when, layer); /* a tied head has a name */
    if (weight_is_expert(a->part[0]))                      /* one tensor for all, or one for each */
        return bias && a->merged == is_merged(m);
    if (a->when != PROPERTY_ATTN_BIAS && a->when != PROPERTY_MLP_BIAS)
        return bias;
    return bias || (m->weights && model_weight(m, layer < 0 ? 0 : layer, a->part[0])
                                      ->ndim); /* processing may have made one */
}

/* The n axis of a tensor that joins weights. */
static void joined_axis(const struct config *c, const struct arch_tensor *a, struct named_weight *w)
{
    struct weight_axis *x = &w->axis[w->rank];
    *x = (struct weight_axis){0};
    for (int i = 0; i <= w->n_parts; i++)
        w->part_first[i] = arch_part_first(c, a, i);
    run_add(x, RUN_GROUP, arch_groups(c, a), 1);
    run_add(x, RUN_PART, w->part_first[w->n_parts], 1);
    axis_end(w, a->axis);
}

/* How many tensors a row has in a layer: one, or one for each expert or for each of row->each. */
static int32_t arch_tensors(const struct config *c, const struct arch_tensor *a)
{
    const char *layer = strstr(a->name, "%d");
    bool numbered = layer && strstr(layer + 1, "%d");
    return a->each ? numbered ? (int32_t)site_dim_size(c, a->each, 0) : 1
           : weight_is_expert(a->part[0]) && !a->merged ? c->n_experts
                                                        : 1;
}

/* The tensor of one alternative of a row's names; `pattern` is that alternative, with its prefix;
 * number: its second one. */
static struct named_weight arch_weight(const struct config *c, const struct arch_tensor *a,
                                       const char *pattern, int32_t layer, int32_t number)
{
    bool experts = weight_is_expert(a->part[0]);
    struct named_weight w = begin(LIBRARY_HF, a->part[0],
                                  weight_row(c, layer, experts ? number : -1));
    int rank = weight_table[a->part[0]].k == DIM_NONE ? 1 : 2;
    arch_name_spell(pattern, layer, number, w.name);
    if (a->each) {
        int64_t n = weight_n(c, a->part[0]) / site_dim_size(c, a->each, 0);
        number += a->number;
        run_add(&w.axis[0], RUN_N, n, 1);
        axis_end(&w, site_dim_name(rank == 1 ? DIM_D_HEAD : weight_table[a->part[0]].n));
        if (rank == 2)
            axis_add(c, &w, AXIS_K, true);
        w.first_n = number * n;
        return w;
    }
    if (a->merged) {
        w.axis[0] = (struct weight_axis){0};
        run_add(&w.axis[0], RUN_EXPERT, c->n_experts, 1);
        axis_end(&w, site_dim_name(DIM_EXPERT));
    }
    w.n_parts = arch_parts(a);
    memcpy(w.part, a->part, sizeof w.part);
    for (int i = 0; i < rank; i++) {
        bool k = (i == 1) != a->turned;
        if (!k && w.n_parts > 1)
            joined_axis(c, a, &w);
        else
            axis_add(c, &w, k ? AXIS_K : AXIS_N, true);
    }
    return w;
}

/* ---- listing ---- */

struct lister {
    const struct model *m;
    enum alias_library t;
    struct named_weight *out;
    int n;
};

static void list_add(struct lister *l, struct named_weight w)
{
    if (l->t == LIBRARY_NNSIGHT) { /* "model." and brackets */
        char hf[LIMIT_NAME], number[16];
        memcpy(hf, w.name, sizeof hf);
        int32_t layer = weight_row_layer(&l->m->cfg, w.layer);
        snprintf(number, sizeof number, ".%d.", (int)layer);
        char *at = w.layer < 0 ? NULL : strstr(hf, number);
        if (at)
            snprintf(w.name, sizeof w.name, "model.%.*s[%d]%s", (int)(at - hf), hf, (int)layer,
                     at + strlen(number) - 1);
        else
            snprintf(w.name, sizeof w.name, "model.%.*s", LIMIT_NAME - 8, hf);
        w.library = LIBRARY_NNSIGHT;
    }
    l->out[l->n++] = w;
}

/* Rows before the blocks, of one block, or after them. */
static void list_stretch(struct lister *l, bool root, bool last, int32_t layer)
{
    const struct config *c = &l->m->cfg;
    bool hf = l->t == LIBRARY_HF || l->t == LIBRARY_NNSIGHT;
    for (int i = 0; i < ROW_COUNT; i++) {
        const struct row *r = &rows[i];
        if (r->library != l->t || weight_is_root(r->id) != root || is_last(r->id) != last ||
            row_absence(c, r, layer))
            continue;
        bool kv = is_grouped(c, r->id);
        if (kv && l->t == LIBRARY_TAKER)
            continue;
        int32_t experts = weight_is_expert(r->id) ? c->n_experts : 1;
        for (int32_t x = 0; x < experts; x++)
            for (int stored = 0; stored < 1 + kv; stored++)
                list_add(l, row_weight(c, r, layer, experts > 1 ? x : -1, stored));
    }
    for (const struct arch_tensor *a = hf ? c->arch->tensors : NULL; a && a->name; a++) {
        char pattern[LIMIT_NAME];
        enum weight_id id = a->part[0];
        if (weight_is_root(id) != root || is_last(id) != last || !is_there(l->m, a, layer))
            continue;
        /* files with a tensor for all experts have the router's second name, if there is one */
        if (id != W_ROUTER || !is_merged(l->m) || !arch_tensor_name(c->arch, a, 1, pattern))
            arch_tensor_name(c->arch, a, 0, pattern);
        for (int32_t x = 0; x < arch_tensors(c, a); x++)
            list_add(l, arch_weight(c, a, pattern, layer, x));
    }
}

int named_weight_list(const struct model *m, enum alias_library t, struct named_weight **out,
                      struct err *e)
{
    size_t most = ((size_t)m->cfg.n_layers + 2) * (ROW_COUNT + WEIGHT_COUNT) +
                  weight_places(&m->cfg);
    struct lister l = {m, t, malloc(most * sizeof *l.out), 0};
    if (!l.out)
        return err_memory(e, "names of weights");
    list_stretch(&l, true, false, 0);
    for (int32_t layer = 0; layer < m->cfg.n_layers; layer++)
        list_stretch(&l, false, false, layer);
    list_stretch(&l, true, true, 0);
    *out = l.out;
    return l.n;
}

/* ---- finding ---- */

/* What became of a name. */
enum found { FOUND_NOTHING, FOUND_IT, FOUND_REFUSED };

static enum found refuse(const char *name, const char *why, struct err *e)
{
    err_set(e, ERR_BAD_INPUT, "no weight \"%.100s\" · %s", name, why);
    return FOUND_REFUSED;
}

/* each: what the second number counts, or DIM_NONE: experts */
static enum found check_number(const struct model *m, const char *name, const int32_t number[2],
                               enum site_dim each, struct err *e)
{
    char why[64];
    bool layer = number[0] >= m->cfg.n_layers;
    int32_t n = each ? (int32_t)site_dim_size(&m->cfg, each, 0) : m->cfg.n_experts;
    snprintf(why, sizeof why, "this model has %s 0..%d",
             layer  ? "layers"
             : each ? "heads"
                    : "experts",
             (int)(layer ? m->cfg.n_layers : n) - 1);
    return layer || (number[1] >= 0 && number[1] >= n) ? refuse(name, why, e) : FOUND_IT;
}

/* "W_in.weight" -> "W_in", "W_in.bias" -> "b_in". */
void named_weight_plain(const char *text, char buf[LIMIT_PATTERN])
{
    const char *dot = strrchr(text, '.');
    bool bias = dot && !strcmp(dot, ".bias");
    snprintf(buf, LIMIT_PATTERN, "%.*s", LIMIT_PATTERN - 1, text);
    if (strncmp(text, "blocks.", 7) || !(bias || (dot && !strcmp(dot, ".weight"))))
        return;
    buf[dot - text] = '\0';
    char *last = strrchr(buf, '.') + 1;
    if (bias && last[0] == 'W')
        *last = 'b';
}

/* "blocks.2.attn.W_Q", "attn._W_K" of it, taker's "layers.2.attn.W_Q". */
static enum found find_row(const struct model *m, const char *name, const char *text,
                           struct named_weight *out, struct err *e)
{
    const struct config *c = &m->cfg;
    const char *why = NULL; /* of a name that another kind of layer has */
    char plain[LIMIT_PATTERN];
    named_weight_plain(text, plain);
    for (int i = 0; i < ROW_COUNT; i++)
        for (int stored = 0; stored < 2; stored++) {
            const struct row *r = &rows[i];
            bool kv = is_grouped(c, r->id);
            char pattern[LIMIT_NAME];
            int32_t number[2];
            if ((stored && !(kv && r->library == LIBRARY_LENS)) ||
                !alias_spells(row_pattern(r, stored, pattern), plain, number))
                continue;
            int32_t layer = number[0];
            if (row_absence(c, r, layer)) {
                why = row_absence(c, r, layer);
                continue;
            }
            if (kv && r->library == LIBRARY_TAKER)
                return refuse(
                    name,
                    "taker cannot split grouped heads · read attn.k_proj.weight, attn.v_proj.weight, or TransformerLens' _W_K, _W_V",
                    e);
            if (check_number(m, name, number, DIM_NONE, e) == FOUND_REFUSED)
                return FOUND_REFUSED;
            *out = row_weight(c, r, layer, number[1], stored);
            return FOUND_IT;
        }
    return why ? refuse(name, why, e) : FOUND_NOTHING;
}

/* "W_Q": over layers; "W_E", "b_U": as in the root. */
static enum found find_stack(const struct model *m, const char *name, struct named_weight *out,
                             struct err *e)
{
    const char *why = NULL; /* of a name that other layers have */
    for (int i = 0; i < ROW_COUNT && rows[i].library == LIBRARY_LENS; i++) {
        if (strcmp(strrchr(rows[i].name, '.') + 1, name) || strchr(name, '.') || name[1] != '_' ||
            !config_has(&m->cfg, rows[i].when))
            continue;
        if (weight_is_expert(rows[i].id))
            continue;
        if (absence(&m->cfg, rows[i].id, -1)) {
            why = absence(&m->cfg, rows[i].id, -1);
            continue;
        }
        *out = row_weight(&m->cfg, &rows[i], 0, -1, false);
        if (weight_is_root(rows[i].id))
            return FOUND_IT;
        for (int d = out->rank++; d > 0; d--)
            out->shape[d] = out->shape[d - 1], out->dims[d] = out->dims[d - 1],
            out->axis[d] = out->axis[d - 1];
        out->axis[0] = (struct weight_axis){0};
        run_add(&out->axis[0], RUN_LAYER, m->cfg.n_layers, 1);
        out->shape[0] = m->cfg.n_layers, out->dims[0] = "layer", out->layer = SITE_ROOT;
        snprintf(out->name, sizeof out->name, "%s", name);
        return FOUND_IT;
    }
    return why ? refuse(name, why, e) : FOUND_NOTHING;
}

/* A name of the checkpoint, or (id not W_NONE) the tensor of that weight whatever its name. */
static enum found find_arch(const struct model *m, const char *name, const char *text,
                            enum weight_id id, int32_t layer, struct named_weight *out,
                            struct err *e)
{
    for (const struct arch_tensor *a = m->cfg.arch->tensors; a->name; a++) {
        char pattern[LIMIT_NAME];
        for (int i = 0; arch_tensor_name(m->cfg.arch, a, i, pattern); i++) {
            int32_t at[2] = {layer, -1};
            if (id != W_NONE ? a->part[0] != id : !alias_spells(pattern, text, at))
                continue;
            if (id != W_NONE && arch_parts(a) > 1)
                return refuse(
                    name,
                    "q, k and v are one tensor here, the map has no such module · read attn.W_Q, attn.W_K, attn.W_V",
                    e);
            /* experts are found in either form, whichever the file has */
            if (weight_is_expert(a->part[0]) ? absence(&m->cfg, a->part[0], at[0]) != NULL
                                             : !is_there(m, a, at[0]))
                return refuse(name,
                              absence(&m->cfg, a->part[0], at[0])
                                  ? absence(&m->cfg, a->part[0], at[0])
                                  : "this model has no such bias",
                              e);
            if (check_number(m, name, at, a->each, e) == FOUND_REFUSED)
                return FOUND_REFUSED;
            *out = arch_weight(&m->cfg, a, pattern, at[0], at[1] < 0 ? 0 : at[1]);
            return FOUND_IT;
        }
    }
    return id == W_NONE ? FOUND_NOTHING
                        : refuse(name,
                                 absence(&m->cfg, id, layer) ? absence(&m->cfg, id, layer)
                                                             : "this model has no such weight",
                                 e);
}

static enum found find_module(const struct model *m, const char *name, const char *text,
                              struct named_weight *out, struct err *e)
{
    for (int i = 0; i < MODULE_COUNT; i++) {
        char pattern[LIMIT_NAME];
        int32_t number[2];
        snprintf(pattern, sizeof pattern, "layers.%%d.%s", modules[i].name);
        if (!alias_spells(pattern, text, number))
            continue;
        enum found f = number[0] < m->cfg.n_layers
                           ? find_arch(m, name, text, modules[i].id, number[0], out, e)
                           : check_number(m, name, number, DIM_NONE, e);
        if (f == FOUND_IT)
            out->library = LIBRARY_TAKER,
            snprintf(out->name, sizeof out->name, "%.*s", LIMIT_NAME - 1, text);
        return f;
    }
    for (int i = 0; i < REFUSED_COUNT; i++) {
        int32_t number[2];
        if (alias_spells(refused[i].name, text, number))
            return refuse(name, refused[i].why, e);
    }
    return FOUND_NOTHING;
}

static int fail_unknown(const struct model *m, const char *name, struct err *e)
{
    static const enum alias_library libraries[] = {LIBRARY_LENS, LIBRARY_HF, LIBRARY_NNSIGHT,
                                                   LIBRARY_TAKER};
    char best[LIMIT_NAME] = "";
    const char *digit = strpbrk(name, "0123456789");
    long layer = digit ? strtol(digit, NULL, 10) : 0;
    size_t best_d = SIZE_MAX;
    struct lister l = {
        .m = m,
        .out = malloc((2 * (size_t)(ROW_COUNT + WEIGHT_COUNT) + 16 * (size_t)m->cfg.n_experts) *
                      sizeof *l.out)};
    if (!l.out)
        return err_memory(e, "names of weights");
    for (size_t t = 0; t < sizeof libraries / sizeof *libraries; t++) {
        l.t = libraries[t], l.n = 0;
        list_stretch(&l, true, false, 0);
        list_stretch(&l, false, false,
                     layer < m->cfg.n_layers ? (int32_t)layer : 0); /* names of one layer will do */
        list_stretch(&l, true, true, 0);
        for (int i = 0; i < l.n; i++)
            if (nearest_is(name, l.out[i].name, &best_d))
                memcpy(best, l.out[i].name, sizeof best);
    }
    free(l.out);
    return err_set(e, ERR_BAD_INPUT, "no weight \"%.100s\" · the nearest is %s", name, best);
}

int named_weight_find(const struct model *m, const char *name, struct named_weight *out,
                      struct err *e)
{
    char text[ALIAS_VARIANTS][LIMIT_PATTERN];
    int n = strlen(name) < LIMIT_NAME ? alias_variants(&m->cfg, name, text) : 0;
    struct named_weight w = {0};
    enum found f = find_stack(m, name, &w, e);
    for (int i = 0; f == FOUND_NOTHING && i < n; i++)
        f = find_row(m, name, text[i], &w, e);
    for (int i = 0; f == FOUND_NOTHING && i < n; i++)
        f = find_arch(m, name, text[i], W_NONE, 0, &w, e);
    for (int i = 0; f == FOUND_NOTHING && i < n; i++)
        f = find_module(m, name, text[i], &w, e);
    if (f != FOUND_IT)
        return f == FOUND_NOTHING ? fail_unknown(m, name, e) : ERR_BAD_INPUT;
    if (w.library == LIBRARY_HF && strchr(name, '['))
        w.library = LIBRARY_NNSIGHT;
    *out = w;
    return 0;
}
