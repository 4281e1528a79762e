/* edit_weight.c - edits of weights: names and patterns -> weights and their axes (edit_parts.h).
 *
 * Names, shapes and what is repeated for grouped heads are named_weight.h's.  Tested in
 * tests/engine/test_weight_edit.c. */
#include "edit/edit_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ends_with.h"
#include "names/named_weight.h"
#include "base/nearest.h"

/* The part after the last dot outside brackets. */
static const char *last_part(const char *pattern)
{
    const char *last = pattern;
    int depth = 0;
    for (const char *p = pattern; *p; p++) {
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        if (*p == '.' && depth == 0)
            last = p + 1;
    }
    return last;
}

bool edit_is_weight(const char *pattern)
{
    const char *p = last_part(pattern);
    static const char *const whole[] = {"sinks", "cls_token", "distillation_token",
                                        "position_embeddings"}; /* parameters of no module */
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (!strcmp(p, whole[i]))
            return true;
    if (!strcmp(p, "w") || !strcmp(p, "W") || !strcmp(p, "b") || !strcmp(p, "{w,b}") ||
        !strcmp(p, "[wb]") || ends_with(pattern, ".weight") || ends_with(pattern, ".bias") ||
        (strstr(pattern, ".experts.") && ends_with(pattern, "_proj"))) /* of all experts */
        return true;
    p += strspn(p, "_{[");
    return (*p == 'W' || *p == 'b') &&
           (p[1] == '_' || p[1] == ',' || (p[1] == 'b' && p[2] == ']') ||
            (p[1] == 'W' && p[2] == ']'));
}

static enum site_dim dim_of(const char *word)
{
    for (int d = DIM_NONE + 1; d < DIM_NAMED; d++)
        if (strcmp(word, site_dim_name((enum site_dim)d)) == 0)
            return (enum site_dim)d;
    return DIM_NONE;
}

/* Each axis must run over one of the weight's own, perhaps repeating. */
static int weight_of(const struct named_weight *from, struct edit_weight *out, struct err *e)
{
    struct edit_weight w = {.id = from->part[0],
                            .layer = from->layer,
                            .repeat = 1,
                            .form = from->form,
                            .rank = from->rank};
    memcpy(w.name, from->name, sizeof w.name);
    if (from->axis[0].n && from->axis[0].run[0].over == RUN_LAYER)
        return err_set(e, ERR_BAD_INPUT,
                       "%s stacks the layers · edit them by a pattern such as blocks.*.attn.W_Q",
                       from->name);
    if (from->axis[0].n && from->axis[0].run[0].over == RUN_EXPERT)
        return err_set(e, ERR_BAD_INPUT,
                       "%s holds all experts · edit them by their numbers, such as "
                       "blocks.*.mlp.experts.{0..1}.W_out",
                       from->name);
    if (from->n_parts > 1)
        return err_set(e, ERR_BAD_INPUT,
                       "%s joins q, k and v · edit blocks.%d.attn.W_Q, W_K, W_V, b_Q, b_K, b_V",
                       from->name, (int)from->layer);
    w.first_n = from->first_n;
    for (int i = 0; i < w.rank; i++) {
        const struct weight_axis *x = &from->axis[i];
        w.shape[i] = from->shape[i];
        w.words[i] = from->dims[i];
        w.dims[i] = dim_of(from->dims[i]);
        w.step_n[i] = x->run[0].over == RUN_N ? x->run[0].step : 0;
        w.step_k[i] = x->run[0].over == RUN_K ? x->run[0].step : 0;
        if (x->n > 1)
            w.repeat = (int32_t)x->run[1].size;
    }
    *out = w;
    return 0;
}

/* The weights that an edit under a name acts on, to out[2]; returns how many.  A module's norm that
 * attention and MLP share is two. */
static int weights_of(const struct config *cfg, const struct named_weight *from,
                      struct edit_weight *out, struct err *e)
{
    int rc = weight_of(from, out, e);
    enum weight_id id = from->part[0], twin = id == W_LN1 ? W_LN2 : B_LN2;
    if (rc || !cfg->norm_shared || from->library == LIBRARY_LENS || (id != W_LN1 && id != B_LN1))
        return rc ? rc : 1;
    out[0].shared = true;
    out[1] = out[0];
    out[1].id = twin;
    return 2;
}

static int fail_unknown(const char *pattern, const struct named_weight *list, int n, struct err *e)
{
    int best = 0;
    size_t least = SIZE_MAX;
    for (int i = 0; i < n; i++)
        if (nearest_is(pattern, list[i].name, &least))
            best = i;
    return err_set(e, ERR_BAD_INPUT, "no weight matches \"%.100s\" · the nearest is %s", pattern,
                   list[best].name);
}

/* Those of one library that match. */
static int select_from(const struct config *cfg, const char *pattern,
                       const struct named_weight *list, int n, struct edit_weight *out,
                       struct err *e)
{
    char plain[LIMIT_PATTERN];
    named_weight_plain(pattern, plain);
    bool stored = last_part(plain)[0] == '_';
    int kept = 0, more = 0;
    for (int i = 0; i < n && more >= 0; i++)
        if ((strrchr(list[i].name, '.')[1] == '_') == stored && site_glob(plain, list[i].name) &&
            (more = weights_of(cfg, &list[i], &out[kept], e)) > 0)
            kept += more;
    return more < 0 ? more : kept;
}

int edit_weight_select(const struct edit_context *ctx, const char *pattern,
                       struct edit_weight **out, struct err *e)
{
    static const enum alias_library libraries[] = {LIBRARY_LENS, LIBRARY_HF, LIBRARY_NNSIGHT,
                                                   LIBRARY_TAKER};
    const struct model *m = ctx->model;
    struct named_weight one;
    if (!m)
        return err_set(e, ERR_BAD_INPUT, "%.100s is a weight · no weights are open here", pattern);
    struct edit_weight *found = calloc(2, sizeof *found);
    int missing = site_missing_layer(&m->cfg, pattern), kept = 0;
    int rc = found ? 0 : err_memory(e, "edits");
    if (!rc && missing >= 0)
        rc = err_set(e, ERR_BAD_INPUT, "no layer %d for \"%.100s\" · this model has layers 0..%d",
                     missing, pattern, (int)m->cfg.n_layers - 1);
    if (!rc && !site_is_pattern(pattern)) {
        rc = named_weight_find(m, pattern, &one, e);
        kept = rc ? rc : weights_of(&m->cfg, &one, found, e);
        rc = kept < 0 ? kept : 0;
    }
    for (size_t t = 0; !rc && !kept && t < sizeof libraries / sizeof *libraries; t++) {
        struct named_weight *list = NULL;
        int n = named_weight_list(m, libraries[t], &list, e);
        struct edit_weight *more = n < 0 ? NULL
                                         : realloc(found, (2 * (size_t)n + 1) * sizeof *found);
        if (more) {
            found = more;
            kept = select_from(&m->cfg, pattern, list, n, found, e);
            rc = kept < 0 ? kept : 0;
        } else {
            rc = n < 0 ? n : err_memory(e, "edits");
        }
        free(list);
    }
    if (!rc && !kept) {
        struct named_weight *list = NULL;
        int n = named_weight_list(m, LIBRARY_LENS, &list, e);
        rc = n < 0 ? n : fail_unknown(pattern, list, n, e);
        free(list);
    }
    if (rc) {
        free(found);
        return rc;
    }
    *out = found;
    return kept;
}

/* ---- one edit on one weight ---- */

static bool value_fits(enum edit_value_kind v)
{
    return v == EDIT_NUMBER || v == EDIT_CLAMP || v == EDIT_NOISE || v == EDIT_DIR ||
           v == EDIT_FILE || v == EDIT_PROJECT_OUT;
}

/* Heads by their repeated name -> stored heads, which must be selected whole. */
static int fold_heads(struct edit_axis *a, const struct edit_weight *w, const struct edit *ed,
                      struct edit_chunk **chunks, struct err *e)
{
    const char *dot = strrchr(w->name, '.');
    char stored[LIMIT_NAME + 1];
    snprintf(stored, sizeof stored, "%.*s._%s", (int)(dot - w->name), w->name, dot + 1);
    if (ed->value == EDIT_FILE || ed->value == EDIT_NOISE)
        return err_set(e, ERR_BAD_INPUT,
                       "%s repeats %s for %d heads each · give %s %d heads' values", w->name,
                       stored, (int)w->repeat, stored, (int)(w->shape[0] / w->repeat));
    int32_t n = 0, *list = edit_chunk_alloc(chunks, (size_t)a->n * sizeof *list);
    if (!list)
        return err_memory(e, "edits");
    for (int32_t i = 0, k; i < a->n; i = k) { /* ascending: heads of a group stand together */
        int32_t group = edit_axis_value(a, i) / w->repeat;
        for (k = i; k < a->n && edit_axis_value(a, k) / w->repeat == group; k++)
            continue;
        if (k - i != w->repeat)
            return err_set(
                e, ERR_BAD_INPUT,
                "%s · heads {%d..%d} share one stored head · select all of them, or edit %s[%d]",
                w->name, (int)(group * w->repeat), (int)((group + 1) * w->repeat - 1), stored,
                (int)group);
        list[n++] = group;
    }
    *a = (struct edit_axis){list[0], n, list};
    return 0;
}

int edit_weight_instr(struct edit_instr *out, const struct edit *ed, int32_t edit,
                      const struct edit_weight *w, const struct edit_context *ctx,
                      struct edit_chunk **chunks, struct err *e)
{
    if (ed->renormalize)
        return err_set(e, ERR_BAD_INPUT, "%s has no rows to renormalize · hook_pattern has",
                       w->name);
    if (!value_fits(ed->value))
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · a weight has no positions and is the same in every run · these fit: a number, %s, %s, %s, %s, %s",
            edit_value_words[ed->value].form, edit_value_words[EDIT_CLAMP].form,
            edit_value_words[EDIT_NOISE].form, edit_value_words[EDIT_DIR].form,
            edit_value_words[EDIT_FILE].form, edit_value_words[EDIT_PROJECT_OUT].form);
    if (w->id == B_IN && ctx->cfg->gated &&
        strncmp(w->name, "blocks.", 7) == 0) /* here it would be the bias of the up projection */
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · TransformerLens adds it behind the gate · the same is blocks.%d.mlp.hook_post += …",
            w->name, (int)w->layer);
    struct edit_weight *own = edit_chunk_alloc(chunks, sizeof *own);
    if (!own)
        return err_memory(e, "edits");
    *own = *w;
    struct edit_instr instr = edit_instr_of(ed, edit, (struct site_ref){SITE_COUNT, w->layer},
                                            w->rank);
    instr.weight = own;
    struct edit_target t = {.rank = w->rank};
    memcpy(t.name, w->name, sizeof t.name);
    for (int i = 0; i < w->rank; i++) {
        t.dims[i] = w->dims[i];
        t.words[i] = w->words[i];
        t.shape[i] = w->shape[i];
    }
    int rc = edit_target_axes(&t, ed, ctx, chunks, instr.axis, e);
    if (!rc && w->repeat > 1)
        rc = fold_heads(&instr.axis[0], w, ed, chunks, e);
    if (!rc && (ed->value == EDIT_DIR || ed->value == EDIT_FILE || ed->value == EDIT_PROJECT_OUT))
        rc = edit_vector_resolve(&instr, ed, ctx, chunks, e);
    if (!rc && w->id == W_POS) { /* its rows are positions; what stands before them reaches none */
        int64_t row = edit_axis_min(&instr.axis[0]) + w->first_n - ctx->cfg->pos_row0;
        instr.row_min = config_first_reached_row(ctx->cfg, row > 0 ? (int32_t)row : 0);
    }
    if (!rc)
        *out = instr;
    return rc;
}
