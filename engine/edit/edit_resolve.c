/* edit_resolve.c - edits made concrete for one model and prompt: patterns become sites, indices
 * become numbers, and what an edit can reach (row_min, full) is decided.
 *
 * Knows no run and no value.  What an index means is in edit_index.c.  Tested in
 * tests/engine/test_edit_resolve.c, tests/engine/test_alias_edit.c and tests/fuzz/fuzz_edit.c. */
#include "edit/edit_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "edit/reference.h"

struct resolver {
    const struct edit_context *ctx;
    struct edit_program *prog;
    struct edit_chunk **chunks; /* of prog */
    int32_t edit;               /* the edit at hand */
    const struct edit *ed;
    bool spread; /* the site at hand is one of several copies, with a head axis more than its name
                    has */
    struct err *e;
    bool backward;  /* the edit is of a gradient */
    int32_t expert; /* as in struct edit_instr */
};

/* ---- one edit on one hook ---- */

/* hook_tokens and hook_expert_indices hold ids: no arithmetic, and only those that there are. */
static int check_ids(struct resolver *r, enum site_id site)
{
    const struct edit *ed = r->ed;
    int32_t n = site == SITE_TOKENS ? r->ctx->cfg->d_vocab : r->ctx->cfg->n_experts;
    float x = ed->number;
    bool id = ed->value == EDIT_NUMBER && x >= 0.0f && x < (float)n && x == floorf(x);
    bool other = (ed->value == EDIT_FROM || ed->value == EDIT_RESAMPLE ||
                  (ed->value == EDIT_FROZEN && site != SITE_TOKENS)) &&
                 ed->number == 1.0f;
    if (ed->op == EDIT_SET && (id || other))
        return 0;
    if (site != SITE_TOKENS)
        return err_set(
            r->e, ERR_BAD_INPUT,
            "mlp.hook_expert_indices holds numbers of experts · "
            "give it = N, a whole number 0..%d, = from(RUN), = resample(REF) or = frozen",
            (int)n - 1);
    return err_set(r->e, ERR_BAD_INPUT,
                   "hook_tokens holds token ids · "
                   "give it = ID, a whole number 0..%d, = from(RUN) or = resample(REF)",
                   (int)n - 1);
}

/* Does the number make something visible that the mask hides?  (edit.h, `full`.) */
static bool unmasks(const struct edit *ed, enum site_id id)
{
    float x = ed->number;
    bool number = ed->value == EDIT_NUMBER, set = ed->op == EDIT_SET, mul = ed->op == EDIT_MUL;
    if (ed->value == EDIT_NOISE || ed->value == EDIT_FILE)
        return site_is_attention(id);
    if (ed->value == EDIT_CLAMP)
        return id == SITE_ATTN_SCORES ? ed->lo > -INFINITY
                                      : id == SITE_PATTERN && (ed->lo > 0.0f || ed->hi < 0.0f);
    if (id == SITE_ATTN_SCORES && number) {
        if (mul)
            return !(x > 0.0f);
        float hidden = set ? x : ed->op == EDIT_ADD ? -INFINITY + x : -INFINITY - x;
        return !(hidden == -INFINITY);
    }
    if (id == SITE_PATTERN && number)
        return mul ? !isfinite(x) : x != 0.0f;
    return id == SITE_PATTERN && ed->value == EDIT_MEAN && !mul;
}

/* The instruction that was added last, if it is of the same edit and site. */
static const struct edit_instr *instr_before(const struct resolver *r, enum site_id id)
{
    int32_t n = r->prog->n_instrs;
    const struct edit_instr *last = n ? &r->prog->instrs[n - 1] : NULL;
    return last && last->edit == r->edit && last->site.id == id ? last : NULL;
}

/* dir(), file(): read once for all layers of a pattern. */
static int brings_vector(struct resolver *r, struct edit_instr *instr)
{
    if (instr->value != EDIT_DIR && instr->value != EDIT_FILE && instr->value != EDIT_PROJECT_OUT)
        return 0;
    const struct edit_instr *prev = instr_before(r, instr->site.id);
    if (!prev)
        return edit_vector_resolve(instr, r->ed, r->ctx, r->chunks, r->e);
    instr->vec = prev->vec, instr->vec_n = prev->vec_n;
    memcpy(instr->vec_stride, prev->vec_stride, sizeof instr->vec_stride);
    return 0;
}

/* Gradients: their pass has no other run to read from. */
static int check_backward(const struct resolver *r, struct site_ref site)
{
    char name[LIMIT_NAME];
    site_name(site, name);
    if (site.id == SITE_TOKENS)
        return err_set(r->e, ERR_BAD_INPUT,
                       "%s_grad · token ids have no gradient · hook_embed_grad has", name);
    if (site_holds_ids(site.id))
        return err_set(
            r->e, ERR_BAD_INPUT,
            "%s_grad · indices of experts have no gradient · mlp.hook_expert_weights_grad has",
            name);
    if (!r->ctx->gradients)
        return err_set(
            r->e, ERR_BAD_INPUT,
            "%s_grad · there is no backward pass here · borescope run --grad METRIC has one", name);
    if (edit_reads_source(r->ed->value) || r->ed->value == EDIT_MEAN_REF ||
        edit_hook_is(r->ed->value) || r->ed->renormalize)
        return err_set(
            r->e, ERR_BAD_INPUT,
            "%s_grad · a gradient takes numbers, clamp, noise, dir, file and project_out, not %s",
            name, r->ed->renormalize ? "renormalize" : edit_value_words[r->ed->value].form);
    return 0;
}

/* A tensor without a head axis on copies of it that have one: the same for all heads. */
static void fold(struct edit_instr *a)
{
    a->axis[1] = a->axis[2];
    a->rank = 2;
    a->site.id = SITE_RESID_PRE;
}

static void unfold(struct edit_instr *a, const struct edit_instr *given)
{
    a->site = given->site;
    a->rank = given->rank;
    a->axis[1] = given->axis[1], a->axis[2] = given->axis[2];
    a->vec_stride[2] = a->vec_stride[1], a->vec_stride[1] = 0;
}

/* How many positions a prompt must have. */
static int32_t positions_needed(const struct edit_instr *instr)
{
    int32_t pos = instr->source_pos;
    if (pos == EDIT_ALL_POS)
        return 1;
    if (pos == EDIT_SAME_POS)
        return edit_axis_max(&instr->axis[site_row_axis(instr->site.id)]) + 1;
    return pos < 0 ? -pos : pos + 1;
}

/* mean(REF) of a file of statistics. */
static int refers_to_means(struct resolver *r, struct edit_instr *instr,
                           const struct reference_set *set)
{
    char name[LIMIT_NAME];
    const struct config *cfg = r->ctx->cfg;
    if (site_is_attention(instr->site.id))
        return err_set(r->e, ERR_BAD_INPUT,
                       "mean(%s) · %s has the shape of its prompt, and a file of statistics has no "
                       "means of that · --ref NAME=TEXTS has",
                       set->name, site_name(instr->site, name));
    if (instr->value == EDIT_RESAMPLE || instr->source_pos != EDIT_ALL_POS)
        return err_set(r->e, ERR_BAD_INPUT,
                       "%s(%s) · it is a file of statistics, which has no prompts and positions · "
                       "mean(%s) takes its means",
                       edit_value_words[instr->value].word, set->name, set->name);
    if (!reference_means_of(set, site_name(instr->site, name),
                            site_row_size(cfg, instr->site.id, 1), r->e))
        return ERR_BAD_INPUT;
    instr->set = set;
    r->prog->needs_means = true;
    return 0;
}

/* What mean(REF) and resample(REF) refer to: the set, which the program holds, and the prompt that
 * is drawn. */
static int refers_to_set(struct resolver *r, struct edit_instr *instr)
{
    const struct reference_set *set = reference_find(r->ctx->sets, r->ctx->n_sets, r->ed->text[0],
                                                     r->e);
    char name[LIMIT_NAME];
    int rc = set ? edit_program_hold(r->prog, set, r->e) : ERR_BAD_INPUT;
    if (rc)
        return rc;
    if (instr->value == EDIT_MEAN_REF && site_is_attention(instr->site.id) &&
        instr->source_pos != EDIT_SAME_POS)
        return err_set(
            r->e, ERR_BAD_INPUT,
            "%s has two positions, dest and src · mean(%s, pos=same) takes the mean at each",
            site_name(instr->site, name), set->name);
    if (set->means)
        return refers_to_means(r, instr, set);
    int32_t need = positions_needed(instr), asked = instr->source_pos;
    if (need > set->longest)
        return err_set(r->e, ERR_BAD_INPUT,
                       "%s(%s) · position %d is asked for, the longest prompt of %s has 0..%d",
                       edit_value_words[instr->value].word, set->name,
                       (int)(asked < 0 && asked > EDIT_ALL_POS ? asked : need - 1), set->name,
                       (int)set->longest - 1);
    instr->set = set;
    if (instr->value == EDIT_RESAMPLE)
        instr->source_prompt = reference_draw(set, r->ed->seed, need);
    else
        r->prog->needs_means = true;
    return 0;
}

/* The run that from() and resample() read. */
static int refers_to_run(struct resolver *r, struct edit_instr *instr)
{
    const struct edit *ed = r->ed;
    char name[LIMIT_NAME];
    struct edit_source source = {ed->text[0], instr->set, instr->source_prompt};
    int rc = edit_program_source(r->prog, source, &instr->source, r->e);
    if (rc)
        return rc;
    instr->source_name = r->prog->sources[instr->source].name;
    if (ed->source_pos != EDIT_SAME_POS && site_is_attention(instr->site.id))
        return err_set(r->e, ERR_BAD_INPUT,
                       "%s(…, pos=N) · %s has two positions, dest and src · leave pos out",
                       edit_value_words[ed->value].word, site_name(instr->site, name));
    return 0;
}

/* Sets and runs that the value names. */
static int refers(struct resolver *r, struct edit_instr *instr)
{
    enum edit_value_kind v = instr->value;
    int rc = v == EDIT_MEAN_REF || v == EDIT_RESAMPLE ? refers_to_set(r, instr) : 0;
    if (!rc && (v == EDIT_FROM || v == EDIT_RESAMPLE))
        rc = refers_to_run(r, instr);
    return rc;
}

/* What an edit reads from files and weights; it may be several instructions, or none
 * (edit_parts.h). */
static int brings_numbers(struct resolver *r, struct edit_instr instrs[EDIT_HOOK_INSTRS], int *n)
{
    struct edit_instr given = instrs[0];
    if (r->spread)
        fold(&instrs[0]);
    int rc = edit_hook_resolve(instrs, n, r->ed, r->ctx, r->chunks, r->e);
    if (!rc && instrs[0].value == given.value && r->ed->value != EDIT_MASK &&
        r->ed->value != EDIT_ROWS)
        rc = brings_vector(r, &instrs[0]);
    for (int i = 0; i < *n && r->spread; i++)
        unfold(&instrs[i], &given);
    return rc;
}

/* The edit on one site, its axes known. */
static int finish_instr(struct resolver *r, struct site_ref site,
                        const struct edit_axis axis[SITE_RANK_MAX])
{
    const struct edit *ed = r->ed;
    char name[LIMIT_NAME];
    if (ed->renormalize && site.id != SITE_PATTERN)
        return err_set(r->e, ERR_BAD_INPUT, "%s has no rows to renormalize · hook_pattern has",
                       site_name(site, name));
    struct edit_instr instr = edit_instr_of(ed, r->edit, site, site_table[site.id].rank);
    memcpy(instr.axis, axis, sizeof instr.axis);
    instr.expert = r->expert;
    int rc = r->backward ? check_backward(r, site) : 0;
    if (rc || (rc = refers(r, &instr)))
        return rc;
    int n;
    struct edit_instr instrs[EDIT_HOOK_INSTRS] = {instr};
    rc = brings_numbers(r, instrs, &n);
    r->prog->needs_base |= ed->value == EDIT_MEAN || ed->value == EDIT_FROZEN;
    for (int i = 0; i < n && !rc; i++) {
        struct edit_instr *a = &instrs[i];
        a->backward = r->backward;
        a->full = r->backward ||
                  (unmasks(ed, site.id) && edit_axis_max(&a->axis[2]) > edit_axis_min(&a->axis[1]));
        a->row_min = config_first_reached_row(r->ctx->cfg,
                                              edit_axis_min(&a->axis[site_row_axis(site.id)]));
        rc = edit_program_add(r->prog, a, r->e);
    }
    return rc;
}

static int resolve_site(struct resolver *r, struct site_ref site)
{
    const char *refusal = site_refusal(r->ctx->cfg, site.id);
    char name[LIMIT_NAME];
    if (refusal)
        return err_set(r->e, ERR_BAD_INPUT, "%s is not available · %s", site_name(site, name),
                       refusal);
    if (site_holds_ids(site.id) && !r->backward && check_ids(r, site.id))
        return ERR_BAD_INPUT;
    struct edit_axis axis[SITE_RANK_MAX] = {{0}};
    /* the sites of a pattern mostly have the same axes: share the lists with the instruction before
     */
    const struct edit_instr *prev = instr_before(r, site.id);
    if (prev) {
        memcpy(axis, prev->axis, sizeof axis);
    } else {
        struct edit_target t = edit_target_site(r->ctx, site);
        int rc = edit_target_axes(&t, r->ed, r->ctx, r->chunks, axis, r->e);
        if (rc)
            return rc;
    }
    return finish_instr(r, site, axis);
}

/* Numbers that belong to places: of another shape they would be other places'. */
static bool alias_brings_numbers(const struct edit *ed)
{
    switch (ed->value) {
    case EDIT_FILE:
    case EDIT_NOISE:
    case EDIT_ROWS:
    case EDIT_MASK:
    case EDIT_WHITEN:
    case EDIT_UNWHITEN: return true;
    default: return false;
    }
}

/* An alias with other axes than the sites it is made of. */
static int resolve_alias(struct resolver *r, const struct alias_pick *pick)
{
    struct edit_target t = edit_target_alias(r->ctx, pick);
    struct edit_axis axis[SITE_RANK_MAX] = {{0}};
    struct edit_part *parts = NULL;
    if (pick->value.n_edits == 0)
        return err_set(r->e, ERR_BAD_INPUT, "%s cannot be edited · %s", pick->name,
                       pick->value.why);
    if (r->backward && pick->value.spread)
        return err_set(
            r->e, ERR_BAD_INPUT,
            "%s_grad is a sum over heads · edit hook_q_input_grad, hook_k_input_grad, hook_v_input_grad",
            pick->name);
    if (alias_brings_numbers(r->ed) && !(pick->value.spread && r->ed->value != EDIT_NOISE))
        return err_set(r->e, ERR_BAD_INPUT,
                       "%s · %s joins or splits axes · use TransformerLens' name of the hook",
                       edit_value_words[r->ed->value].form, pick->name);
    bool expert = pick->value.form == FORM_EXPERT;
    if (expert && (r->ed->value == EDIT_MEAN || r->ed->value == EDIT_MEAN_REF))
        return err_set(r->e, ERR_BAD_INPUT,
                       "%s · other positions went to %s, in every prompt · = 0 switches it off",
                       edit_value_words[r->ed->value].form, pick->name);
    int rc = edit_target_axes(&t, r->ed, r->ctx, r->chunks, axis, r->e);
    int n = rc ? rc : edit_alias_split(r->ctx->cfg, &pick->value, axis, r->chunks, &parts, r->e);
    rc = n < 0 ? n : 0;
    r->expert = expert ? pick->value.expert + 1 : 0;
    for (int i = 0; i < n && !rc; i++) {
        r->spread = pick->value.spread && site_table[parts[i].site.id].rank == 3;
        rc = finish_instr(r, parts[i].site, parts[i].axis);
    }
    r->spread = false, r->expert = 0;
    free(parts);
    return rc;
}

/* Same axes next to each other. */
static int by_id(const void *a, const void *b)
{
    const struct alias_value *v = &((const struct alias_pick *)a)->value,
                             *w = &((const struct alias_pick *)b)->value;
    struct site_ref x = v->site[0], y = w->site[0];
    return x.id != y.id ? (x.id > y.id) - (x.id < y.id) : (x.layer > y.layer) - (x.layer < y.layer);
}

static int resolve_weights(struct resolver *r)
{
    struct edit_weight *list = NULL;
    int n = edit_weight_select(r->ctx, r->ed->pattern, &list, r->e), rc = n < 0 ? n : 0;
    for (int i = 0; i < n && !rc; i++) {
        struct edit_instr instr;
        rc = edit_weight_instr(&instr, r->ed, r->edit, &list[i], r->ctx, r->chunks, r->e);
        if (!rc)
            rc = edit_program_add(r->prog, &instr, r->e);
    }
    free(list);
    return rc;
}

static int resolve_hooks(struct resolver *r)
{
    char pattern[LIMIT_PATTERN];
    struct alias_pick *picks = NULL;
    r->backward = edit_hook_pattern(r->ed, pattern);
    int n = alias_select(r->ctx->cfg, pattern, &picks, r->e), rc = n < 0 ? n : 0;
    if (n > 1)
        qsort(picks, (size_t)n, sizeof *picks, by_id);
    for (int i = 0; i < n && !rc; i++)
        rc = alias_is_site(&picks[i].value) && picks[i].value.n_edits
                 ? resolve_site(r, picks[i].value.edit[0])
                 : resolve_alias(r, &picks[i]);
    free(picks);
    return rc;
}

static int resolve_edit(struct resolver *r)
{
    char text[100];
    int rc = edit_is_weight(r->ed->pattern) ? resolve_weights(r) : resolve_hooks(r);
    if (rc) {
        bool cut = edit_print(r->ed, text, sizeof text) >= (int)sizeof text;
        err_prefix(r->e, "edit %d: %s%s", (int)r->edit + 1, text, cut ? "…" : "");
    }
    return rc;
}

int edit_resolve(struct edit_program **out, struct edit *const *edits, const bool *on, int32_t n,
                 const struct edit_context *ctx, struct err *e)
{
    if (n > LIMIT_EDITS)
        return err_set(e, ERR_BAD_INPUT, "%d edits · at most %d", (int)n, LIMIT_EDITS);
    if (n > 0 && ctx->n_pos < 1)
        return err_set(e, ERR_BAD_INPUT, "edits on an empty prompt · give it a token");
    struct edit_program *p = edit_program_new();
    if (!p)
        return err_memory(e, "edits");
    struct resolver r = {.ctx = ctx, .prog = p, .chunks = edit_program_chunks(p), .e = e};
    int rc = 0;
    for (int32_t i = 0; i < n && !rc; i++) {
        if (on && !on[i])
            continue;
        r.edit = i;
        r.ed = edits[i];
        rc = resolve_edit(&r);
    }
    if (rc) {
        edit_program_free(p);
        return rc;
    }
    edit_program_order(p, ctx->cfg);
    *out = p;
    return 0;
}
