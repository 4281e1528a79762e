/* edit_resolve.c - edits made concrete for one model and prompt: patterns become sites, indices
 * become numbers, and what an edit can reach (row_min, full) is decided.
 *
 * Knows no run and no value.  What a selection means on one axis is in edit_axis.c.  Tested in
 * tests/engine/test_edit_resolve.c, tests/engine/test_alias_edit.c and tests/fuzz/fuzz_edit.c. */
#include "edit/edit_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The owner of a program's memory, shared by its copies. */
struct arena {
    atomic_int refs;
    struct edit_program *program;
    struct edit_chunk *chunks;
};

struct resolver {
    const struct edit_context *ctx;
    struct edit_program *prog;
    struct arena *arena;
    int32_t cap, cap_weights; /* of prog->instrs, prog->weights */
    int32_t cap_sources;
    int32_t edit; /* the edit at hand */
    const struct edit *ed;
    bool spread; /* the site at hand is one of several copies, with a head axis more than its name
                    has */
    struct err *e;
    bool backward; /* the edit is of a gradient */
};

struct edit_chunk {
    struct edit_chunk *next;
    max_align_t bytes[];
};

void *edit_chunk_alloc(struct edit_chunk **chunks, size_t bytes)
{
    struct edit_chunk *c = malloc(sizeof *c + bytes);
    if (!c)
        return NULL;
    c->next = *chunks;
    *chunks = c;
    return c->bytes;
}

struct edit_program *edit_program_copy(const struct edit_program *p)
{
    struct arena *a = p->arena;
    atomic_fetch_add(&a->refs, 1);
    return a->program;
}

void edit_program_free(struct edit_program *p)
{
    struct arena *a = p ? p->arena : NULL;
    if (!a || atomic_fetch_sub(&a->refs, 1) != 1)
        return;
    edit_reference_free(p);
    for (struct edit_chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(p->instrs);
    free(p->weights);
    free(p);
    free(a);
}

float *edit_program_floats(struct edit_program *p, int64_t n)
{
    struct arena *a = p->arena;
    return edit_chunk_alloc(&a->chunks, (size_t)n * sizeof(float));
}

/* ---- one edit on one hook
 * --------------------------------------------------------------------------- */

/* hook_tokens holds ids: no arithmetic, and only ids that the embedding has. */
static int check_tokens(struct resolver *r)
{
    const struct edit *ed = r->ed;
    int32_t n = r->ctx->cfg->d_vocab;
    float x = ed->number;
    bool id = ed->value == EDIT_NUMBER && x >= 0.0f && x < (float)n && x == floorf(x);
    bool other = (ed->value == EDIT_FROM || ed->value == EDIT_RESAMPLE) && ed->number == 1.0f;
    if (ed->op == EDIT_SET && (id || other))
        return 0;
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
        return id == SITE_ATTN_SCORES || id == SITE_PATTERN;
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

/* The index of a source, added when new. */
static int source_index(struct resolver *r, struct edit_source want, int32_t *out)
{
    struct edit_program *p = r->prog;
    for (int32_t i = 0; i < p->n_sources; i++)
        if (strcmp(p->sources[i].name, want.name) == 0 && p->sources[i].set == want.set &&
            p->sources[i].prompt == want.prompt) {
            *out = i;
            return 0;
        }
    size_t size = strlen(want.name) + 1;
    char *name = edit_chunk_alloc(&r->arena->chunks, size);
    bool full = p->n_sources == r->cap_sources;
    struct edit_source *more = full ? edit_chunk_alloc(&r->arena->chunks,
                                                       (size_t)(2 * r->cap_sources + 1) *
                                                           sizeof *more)
                                    : p->sources;
    if (!name || !more)
        return err_set(r->e, ERR_SYSTEM, "out of memory for edits");
    if (full) {
        memcpy(more, p->sources, (size_t)p->n_sources * sizeof *more);
        p->sources = more;
        r->cap_sources = 2 * r->cap_sources + 1;
    }
    want.name = memcpy(name, want.name, size);
    p->sources[p->n_sources] = want;
    *out = p->n_sources++;
    return 0;
}

static int add_instr(struct resolver *r, const struct edit_instr *instr)
{
    struct edit_program *p = r->prog;
    struct edit_instr **list = instr->weight ? &p->weights : &p->instrs;
    int32_t *n = instr->weight ? &p->n_weights : &p->n_instrs,
            *cap = instr->weight ? &r->cap_weights : &r->cap;
    if (*n == LIMIT_INSTRS)
        return err_set(r->e, ERR_BAD_INPUT,
                       "edits on more than %d hooks in all · "
                       "use fewer edits or narrower patterns",
                       LIMIT_INSTRS);
    if (*n == *cap) {
        int32_t more = *cap ? 2 * *cap : 16;
        struct edit_instr *instrs = realloc(*list, (size_t)more * sizeof *instrs);
        if (!instrs)
            return err_set(r->e, ERR_SYSTEM, "out of memory for edits");
        *list = instrs;
        *cap = more;
    }
    (*list)[(*n)++] = *instr;
    return 0;
}

/* dir(), file(): read once for all layers of a pattern. */
static int brings_vector(struct resolver *r, struct edit_instr *instr)
{
    if (instr->value != EDIT_DIR && instr->value != EDIT_FILE && instr->value != EDIT_PROJECT_OUT)
        return 0;
    const struct edit_instr *prev = r->prog->n_instrs ? &r->prog->instrs[r->prog->n_instrs - 1]
                                                      : NULL;
    if (!prev || prev->edit != instr->edit || prev->site.id != instr->site.id)
        return edit_vector_resolve(instr, r->ed, r->ctx, &r->arena->chunks, r->e);
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

/* What an edit reads from files and weights; it may be several instructions, or none
 * (edit_parts.h). */
static int brings_numbers(struct resolver *r, struct edit_instr instrs[EDIT_HOOK_INSTRS], int *n)
{
    struct edit_instr given = instrs[0];
    if (r->spread)
        fold(&instrs[0]);
    int rc = edit_hook_resolve(instrs, n, r->ed, r->ctx, &r->arena->chunks, r->e);
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
    struct edit_instr instr = {.site = site,
                               .op = ed->op,
                               .value = ed->value,
                               .number = ed->number,
                               .source = -1,
                               .source_prompt = -1,
                               .source_pos = ed->source_pos,
                               .lo = ed->lo,
                               .hi = ed->hi,
                               .sigma = ed->sigma,
                               .seed = ed->seed,
                               .renormalize = ed->renormalize,
                               .rank = site_table[site.id].rank,
                               .edit = r->edit};
    memcpy(instr.axis, axis, sizeof instr.axis);
    struct edit_source source = {ed->text[0], NULL, -1};
    int rc = r->backward ? check_backward(r, site) : 0;
    if (rc || (rc = edit_reference_resolve(r->prog, &instr, ed, r->ctx, &r->arena->chunks, r->e)))
        return rc;
    if (ed->value == EDIT_RESAMPLE)
        source = (struct edit_source){ed->text[0], instr.set, instr.source_prompt};
    if (ed->value == EDIT_FROM || ed->value == EDIT_RESAMPLE) {
        if ((rc = source_index(r, source, &instr.source)))
            return rc;
        instr.source_name = r->prog->sources[instr.source].name;
        if (ed->source_pos != EDIT_SAME_POS &&
            (site.id == SITE_ATTN_SCORES || site.id == SITE_PATTERN))
            return err_set(r->e, ERR_BAD_INPUT,
                           "%s(…, pos=N) · %s has two positions, dest and src · leave pos out",
                           edit_value_words[ed->value].word, site_name(site, name));
    }
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
        rc = add_instr(r, a);
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
    if (site.id == SITE_TOKENS && !r->backward && check_tokens(r))
        return ERR_BAD_INPUT;
    struct edit_axis axis[SITE_RANK_MAX] = {{0}};
    /* the sites of a pattern mostly have the same axes: share the lists with the instruction before
     */
    const struct edit_instr *prev = r->prog->n_instrs ? &r->prog->instrs[r->prog->n_instrs - 1]
                                                      : NULL;
    if (prev && prev->edit == r->edit && prev->site.id == site.id) {
        memcpy(axis, prev->axis, sizeof axis);
    } else {
        struct edit_target t = edit_target_site(r->ctx, site);
        int rc = edit_target_axes(&t, r->ed, r->ctx, &r->arena->chunks, axis, r->e);
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
    int rc = edit_target_axes(&t, r->ed, r->ctx, &r->arena->chunks, axis, r->e);
    int n = rc ? rc
               : edit_alias_split(r->ctx->cfg, &pick->value, axis, &r->arena->chunks, &parts, r->e);
    rc = n < 0 ? n : 0;
    r->spread = pick->value.spread;
    for (int i = 0; i < n && !rc; i++)
        rc = finish_instr(r, parts[i].site, parts[i].axis);
    r->spread = false;
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
        rc = edit_weight_instr(&instr, r->ed, r->edit, &list[i], r->ctx, &r->arena->chunks, r->e);
        if (!rc)
            rc = add_instr(r, &instr);
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

/* ---- the program
 * ----------------------------------------------------------------------------------- */

static int64_t stage_of(struct site_ref s)
{
    switch (site_table[s.id].scope) {
    case SCOPE_EMBED: return 0;
    case SCOPE_BLOCK: return (int64_t)s.layer + 1;
    case SCOPE_FINAL: break;
    }
    return INT64_MAX;
}

static int by_stage(const void *a, const void *b)
{
    const struct edit_instr *x = a, *y = b;
    if (x->backward != y->backward)
        return x->backward ? 1 : -1;
    int64_t sx = stage_of(x->site), sy = stage_of(y->site);
    if (sx != sy)
        return sx < sy ? -1 : 1;
    if (x->site.id != y->site.id)
        return x->site.id < y->site.id ? -1 : 1;
    if (x->edit != y->edit)
        return x->edit < y->edit ? -1 : 1;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    /* parts of one edit are disjoint; any order will do, but the same every time */
    for (int i = 1; i < SITE_RANK_MAX; i++)
        if (edit_axis_min(&x->axis[i]) != edit_axis_min(&y->axis[i]))
            return edit_axis_min(&x->axis[i]) < edit_axis_min(&y->axis[i]) ? -1 : 1;
    return 0;
}

static int by_weight(const void *a, const void *b)
{
    const struct edit_instr *x = a, *y = b;
    const struct edit_weight *v = x->weight, *w = y->weight;
    if (v->layer != w->layer)
        return v->layer < w->layer ? -1 : 1;
    return v->id != w->id ? (v->id < w->id ? -1 : 1) : x->edit < y->edit ? -1 : x->edit > y->edit;
}

static bool is_attention(const struct edit_instr *instr)
{
    return instr->site.id == SITE_ATTN_SCORES || instr->site.id == SITE_PATTERN;
}

/* What one edit unmasks in a layer, every other edit of its scores and pattern sees; where nothing
 * is masked they all do.  Instructions of a layer stand together. */
static void spread_full(struct edit_program *p, bool all)
{
    for (int32_t i = 0, end; i < p->n_instrs; i = end) {
        bool full = all;
        for (end = i;
             end < p->n_instrs && stage_of(p->instrs[end].site) == stage_of(p->instrs[i].site);
             end++)
            full |= p->instrs[end].full;
        for (int32_t k = i; full && k < end; k++)
            if (is_attention(&p->instrs[k])) {
                p->instrs[k].full = true;
                p->instrs[k].row_min = 0;
            }
    }
}

static struct edit_program *program_new(int32_t n_edits)
{
    struct edit_program *p = calloc(1, sizeof *p);
    struct arena *a = calloc(1, sizeof *a);
    struct edit_source *sources = a ? edit_chunk_alloc(&a->chunks,
                                                       ((size_t)n_edits + 1) * sizeof *sources)
                                    : NULL;
    if (!p || !sources) {
        free(p);
        free(a ? a->chunks : NULL);
        free(a);
        return NULL;
    }
    atomic_init(&a->refs, 1);
    a->program = p;
    p->arena = a;
    p->sources = sources;
    return p;
}

int edit_resolve(struct edit_program **out, struct edit *const *edits, const bool *on, int32_t n,
                 const struct edit_context *ctx, struct err *e)
{
    if (n > LIMIT_EDITS)
        return err_set(e, ERR_BAD_INPUT, "%d edits · at most %d", (int)n, LIMIT_EDITS);
    if (n > 0 && ctx->n_pos < 1)
        return err_set(e, ERR_BAD_INPUT, "edits on an empty prompt · give it a token");
    struct edit_program *p = program_new(n);
    int rc = p ? 0 : err_set(e, ERR_SYSTEM, "out of memory for edits");
    struct resolver r = {
        .ctx = ctx, .prog = p, .arena = p ? p->arena : NULL, .cap_sources = n + 1, .e = e};
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
    if (p->n_instrs > 0)
        qsort(p->instrs, (size_t)p->n_instrs, sizeof *p->instrs, by_stage);
    for (; p->n_instrs > 0 && p->instrs[p->n_instrs - 1].backward; p->n_instrs--)
        p->n_back++;
    p->back = p->instrs ? p->instrs + p->n_instrs : NULL;
    if (p->n_weights > 0)
        qsort(p->weights, (size_t)p->n_weights, sizeof *p->weights, by_weight);
    spread_full(p, ctx->cfg->bidirectional);
    *out = p;
    return 0;
}

static bool axis_equal(const struct edit_axis *a, const struct edit_axis *b)
{
    if (a->n != b->n || !a->list != !b->list)
        return false;
    return a->list ? memcmp(a->list, b->list, (size_t)a->n * sizeof *a->list) == 0 : a->lo == b->lo;
}

bool edit_same_weight(const struct edit_instr *a, const struct edit_instr *b)
{
    return a->weight->id == b->weight->id && a->weight->layer == b->weight->layer;
}

bool edit_instr_equal(const struct edit_instr *a, const struct edit_instr *b)
{
    if (!a->weight != !b->weight ||
        (a->weight && (!edit_same_weight(a, b) || strcmp(a->weight->name, b->weight->name) != 0)))
        return false;
    if (a->site.id != b->site.id || a->site.layer != b->site.layer || a->op != b->op ||
        a->value != b->value || a->full != b->full || a->renormalize != b->renormalize ||
        memcmp(&a->number, &b->number, sizeof a->number) != 0)
        return false;
    if (memcmp(&a->lo, &b->lo, sizeof a->lo) != 0 || memcmp(&a->hi, &b->hi, sizeof a->hi) != 0)
        return false;
    if (memcmp(&a->sigma, &b->sigma, sizeof a->sigma) != 0 || a->seed != b->seed ||
        a->source_pos != b->source_pos || a->vec_n != b->vec_n ||
        memcmp(a->vec_stride, b->vec_stride, sizeof a->vec_stride) != 0 ||
        (a->vec_n && memcmp(a->vec, b->vec, (size_t)a->vec_n * sizeof *a->vec) != 0))
        return false;
    if ((a->value == EDIT_FROM || a->value == EDIT_RESAMPLE) &&
        (strcmp(a->source_name, b->source_name) != 0 || a->source_prompt != b->source_prompt))
        return false;
    for (int i = 0; i < a->rank; i++)
        if (!axis_equal(&a->axis[i], &b->axis[i]))
            return false;
    return true;
}
