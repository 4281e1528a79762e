/* bore_pass.c - passes: a batch as runs of its rows (see borescope.h, struct bore_pass).
 *
 * A masked token is left out of its row's run: TransformerLens gives real tokens the positions they
 * have without it and lets nothing attend to it, which is the same.  Without edits hooks act on the
 * base run itself, so that nothing is computed twice. Tested in tests/engine/test_library.c. */
#include "lib/bore_parts.h"
#include "edit/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a pass of images may have. */
static int image_check(const struct bore_model *m, const struct bore_pass *p, struct err *e)
{
    const struct config *cfg = &m->m->cfg;
    if (p->tokens || p->mask || p->n_references > 0)
        return err_set(
            e, ERR_BAD_INPUT,
            "a pass · this model takes images: pixels, without tokens, mask and references");
    if (p->cols != cfg->n_ctx)
        return err_set(e, ERR_BAD_INPUT, "a pass · cols %d · an image has %d positions here",
                       p->cols, cfg->n_ctx);
    for (int i = 0; i < p->n_prompts && p->prompts; i++)
        if (!p->prompts[i].pixels)
            return err_set(e, ERR_BAD_INPUT, "a pass · prompt %s · it has no pixels",
                           p->prompts[i].name);
    return 0;
}

static int text_check(const struct bore_model *m, const struct bore_pass *p, struct err *e)
{
    if (p->pixels)
        return err_set(e, ERR_BAD_INPUT, "a pass · pixels · %s takes tokens, no image", m->m->name);
    return 0;
}

int bore_pass_check(const struct bore_model *m, const struct bore_pass *p, struct err *e)
{
    bool image = m->m->cfg.patch_size > 0;
    if (p->rows < 1 || p->cols < 1 ||
        (!(image ? (const void *)p->pixels : p->tokens) && !p->residual))
        return err_set(e, ERR_BAD_INPUT,
                       "a pass · %d rows of %d %s · needs %s, or a residual stream", p->rows,
                       p->cols, image ? "positions" : "tokens", image ? "pixels" : "tokens");
    int rc = image ? image_check(m, p, e) : text_check(m, p, e);
    if (rc)
        return rc;
    if (p->n_references > 0 && !p->references)
        return err_set(e, ERR_BAD_INPUT,
                       "a pass · %d prompts of reference sets, but no array of them",
                       p->n_references);
    for (int i = 0; i < p->n_references; i++)
        if ((rc = model_check_tokens(m->m, p->references[i].tokens, p->references[i].n, NULL, e)))
            return rc;
    if ((p->n_edits > 0 && !p->edits) || (p->n_prompts > 0 && !p->prompts))
        return err_set(e, ERR_BAD_INPUT, "a pass · %d edits and %d prompts, but no array of them",
                       p->n_edits, p->n_prompts);
    if (p->n_edits < 0 || p->n_edits > LIMIT_EDITS)
        return err_set(e, ERR_BAD_INPUT, "a pass · %d edits · 0..%d can be made", p->n_edits,
                       LIMIT_EDITS);
    if (p->stops && p->metric)
        return err_set(
            e, ERR_BAD_INPUT,
            "a pass · a metric needs logits, stop_at_layer %d has none · leave one of them out",
            p->stop_at_layer);
    for (int i = 0; i < p->n_prompts && !image; i++)
        if ((rc = model_check_tokens(m->m, p->prompts[i].tokens, p->prompts[i].n, NULL, e)))
            return rc;
    return 0;
}

int bore_pass_stages(const struct bore_model *m, const struct bore_pass *p, int32_t *first,
                     int32_t *end, struct err *e)
{
    int32_t n = m->m->cfg.n_layers, start = p->start_at_layer, stop = p->stop_at_layer;
    start += start < 0 ? n : 0;
    stop += stop < 0 ? n : 0;
    if (p->residual && (start < 0 || start >= n))
        return err_set(e, ERR_BAD_INPUT, "start_at_layer %d · this model has layers 0..%d",
                       p->start_at_layer, n - 1);
    if (p->stops && (stop < 0 || stop > n))
        return err_set(e, ERR_BAD_INPUT, "stop_at_layer %d · this model has layers 0..%d",
                       p->stop_at_layer, n - 1);
    if (p->residual && p->stops && stop < start)
        return err_set(e, ERR_BAD_INPUT, "stop_at_layer %d · it lies before start_at_layer %d",
                       p->stop_at_layer, p->start_at_layer);
    *first = p->residual ? start + 1 : 0;
    *end = p->stops ? stop + 1 : n + 2;
    return 0;
}

int bore_pass_row(const struct bore_model *m, const struct bore_pass *p, int row,
                  struct bore_row *out, struct err *e)
{
    size_t at = (size_t)row * (size_t)p->cols;
    size_t cols = (size_t)p->cols;
    struct bore_row r = {calloc(cols, sizeof *r.tokens),
                         calloc(cols, sizeof *r.columns),
                         0,
                         calloc(cols, sizeof *r.position),
                         NULL,
                         p->token_types ? calloc(cols, sizeof *r.types) : NULL};
    if (!r.tokens || !r.columns || !r.position || (p->token_types && !r.types)) {
        bore_row_free(&r);
        return err_memory(e, "%d tokens", p->cols);
    }
    for (int i = 0; i < p->cols; i++) {
        bool real = !p->mask || p->mask[at + (size_t)i];
        r.position[i] = real ? r.n : -1;
        if (!real)
            continue;
        r.columns[r.n] = i;
        if (r.types)
            r.types[r.n] = p->token_types[at + (size_t)i];
        r.tokens[r.n++] = p->tokens ? p->tokens[at + (size_t)i] : p->pixels ? i : 0;
    }
    if (!r.n) {
        bore_row_free(&r);
        return err_set(e, ERR_BAD_INPUT,
                       "row %d · its mask leaves no token · a row needs one at least", row);
    }
    const struct config *cfg = &m->m->cfg;
    int rc = p->pixels && !p->residual
                 ? image_from_values(&r.image, cfg, &m->m->image,
                                     p->pixels + (size_t)row * image_values_count(cfg), e)
                 : 0;
    if (rc) {
        bore_row_free(&r);
        return rc;
    }
    *out = r;
    return 0;
}

void bore_row_free(struct bore_row *r)
{
    free(r->tokens), free(r->columns), free(r->position), free(r->types);
    image_drop(r->image);
    *r = (struct bore_row){0};
}

void bore_target_free(struct pair_target *t)
{
    for (int32_t i = 0; t->edits && i < t->n_edits; i++)
        edit_free(t->edits[i]);
    free((void *)t->edits);
    for (int32_t i = 0; t->prompts && i < t->n_prompts; i++)
        image_drop(t->prompts[i].image);
    free((void *)t->prompts);
    for (int32_t i = 0; t->sets && i < t->n_sets; i++)
        reference_free(t->sets[i]);
    free((void *)t->sets);
    *t = (struct pair_target){0};
}

/* The set of the prompts that have the first one's name; NULL where an earlier one has it, or on
 * failure. */
static struct reference_set *set_make(const struct bore_pass *p, int first, struct err *e)
{
    const char *name = p->references[first].name;
    for (int i = 0; i < first; i++)
        if (!strcmp(p->references[i].name, name))
            return NULL;
    const int32_t **tokens = calloc((size_t)p->n_references, sizeof *tokens);
    int32_t *lengths = calloc((size_t)p->n_references, sizeof *lengths), n = 0;
    struct reference_set *set = NULL;
    for (int i = first; tokens && lengths && i < p->n_references; i++)
        if (!strcmp(p->references[i].name, name)) {
            tokens[n] = p->references[i].tokens;
            lengths[n++] = p->references[i].n;
        }
    if (n > 0)
        (void)reference_make(&set, name, tokens, lengths, n, e);
    else
        err_memory(e, "a reference set");
    free(tokens), free(lengths);
    return set;
}

static int sets_make(const struct bore_pass *p, struct pair_target *t, struct err *e)
{
    struct reference_set **sets = calloc((size_t)(p->n_references > 0 ? p->n_references : 0) + 1,
                                         sizeof(struct reference_set *));
    struct err own = {0};
    if (!sets)
        return err_memory(e, "reference sets");
    t->sets = sets;
    for (int i = 0; i < p->n_references && !own.code; i++) {
        struct reference_set *set = set_make(p, i, &own);
        if (set)
            sets[t->n_sets++] = set;
    }
    return own.code ? err_set(e, own.code, "%s", own.text) : 0;
}

/* A further prompt, or image, as a pair wants it. */
static int prompt_make(const struct bore_model *m, const struct bore_prompt *from,
                       struct pair_prompt *to, struct err *e)
{
    struct image_input *im = NULL;
    int rc = from->pixels ? image_from_values(&im, &m->m->cfg, &m->m->image, from->pixels, e) : 0;
    if (!rc)
        *to = im ? (struct pair_prompt){from->name, im->ids, im->rows, im}
                 : (struct pair_prompt){from->name, from->tokens, from->n, NULL};
    return rc;
}

int bore_target(const struct bore_model *m, const struct bore_pass *p, const struct bore_row *row,
                struct pair_target *t, struct err *e)
{
    struct edit **edits = calloc((size_t)p->n_edits + 1, sizeof *edits);
    struct pair_prompt *prompts = calloc((size_t)(p->n_prompts > 0 ? p->n_prompts : 0) + 1,
                                         sizeof *prompts);
    struct pair_target out = {
        .input = {.tokens = row->tokens, .n = row->n, .types = row->types, .image = row->image},
        .edits = edits,
        .prompts = prompts};
    int rc = edits && prompts ? 0 : err_memory(e, "%d edits", p->n_edits);
    if (!rc && p->align)
        rc = token_align_parse(p->align, &out.align, e);
    for (int i = 0; !rc && i < p->n_prompts; i++)
        if (!(rc = prompt_make(m, &p->prompts[i], &prompts[i], e)))
            out.n_prompts++;
    for (int i = 0; !rc && i < p->n_edits; i++)
        if (!(rc = edit_parse(&edits[i], p->edits[i], e)))
            out.n_edits++;
    if (!rc)
        rc = sets_make(p, &out, e);
    if (rc)
        bore_target_free(&out);
    else
        *t = out;
    return rc;
}

int bore_target_of(const struct bore_model *m, const char *const *edits, int n_edits,
                   struct pair_target *t, struct err *e)
{
    const struct bore_pass p = {.edits = edits, .n_edits = n_edits};
    return bore_target(m, &p, &(struct bore_row){0}, t, e);
}

/* What the rows of one pass share. */
struct pass {
    struct bore_model *m;
    const struct bore_pass *p;
    int32_t first, end; /* stages */
    struct callbacks hooks;
    struct metric metric;
    bool alone;               /* hooks act on the base run */
    struct bore_cache *cache; /* or NULL */
    bool wanted;              /* somebody takes the result */
    struct bore_result out;
};

static bool reads_base(const struct pass *s)
{
    for (int32_t i = 0; s->p->metric && i < s->metric.n; i++)
        if (s->metric.terms[i].kind == METRIC_KL)
            return true;
    return s->p->n_edits > 0;
}

/* The hooks whose points this pass computes. */
static int hooks_within(struct pass *s, struct err *e)
{
    int rc = callbacks_copy(&s->hooks, &s->m->hooks, e);
    int32_t kept = 0;
    for (int32_t i = 0; i < s->hooks.n; i++) {
        int32_t stage = plan_stage_of(s->m->m->plan, s->hooks.list[i].site);
        if (stage >= s->first && stage < s->end)
            s->hooks.list[kept++] = s->hooks.list[i];
    }
    s->hooks.n = kept;
    return rc || !s->p->metric ? rc : bore_alias_check_metric(&s->hooks, e);
}

static int output_open(struct pass *s, struct err *e)
{
    const struct config *cfg = &s->m->m->cfg;
    struct bore_tensor *t = &s->out.output;
    *t = (struct bore_tensor){
        .rank = 3, .shape = {s->p->rows, s->p->cols, s->p->stops ? cfg->d_model : cfg->d_vocab}};
    int rc = bore_tensor_alloc(t, "the outputs", e);
    if (rc)
        return rc;
    s->out.metric = s->p->metric ? calloc((size_t)s->p->rows, sizeof(double)) : NULL;
    if (s->p->metric && !s->out.metric)
        return err_memory(e, "the metric of %d rows", s->p->rows);
    for (int64_t i = 0; i < bore_tensor_size(t); i++)
        t->data[i] = NAN;
    return 0;
}

/* A site [pos, width] of a run to the columns of its tokens. */
static int columns_read(const struct pass *s, const struct bore_row *row, struct run *r,
                        enum site_id id, int32_t layer, float *to, struct err *e)
{
    struct capture c = {.value = {.form = FORM_SITE, .n_sites = 1, .site = {{id, layer}}},
                        .collected = -1,
                        .values = to};
    struct capture_list l = {.m = s->m->m,
                             .run = r,
                             .columns = s->p->cols,
                             .position = row->position,
                             .item = &c,
                             .n = 1};
    return captures_read(&l, 0, 1, e);
}

/* What enters the first block, of a pass that stops before it. */
static int embedding_read(const struct pass *s, const struct bore_row *row, struct run *r,
                          float *to, struct err *e)
{
    size_t n = (size_t)s->out.output.stride[0];
    int rc = columns_read(s, row, r, site_stream(&s->m->m->cfg, SITE_ROOT), SITE_ROOT, to, e);
    if (rc || !site_exists(&s->m->m->cfg, SITE_POS_EMBED))
        return rc;
    float *pos = calloc(n, sizeof *pos);
    rc = pos ? columns_read(s, row, r, SITE_POS_EMBED, SITE_ROOT, pos, e)
             : err_memory(e, "the output of %d positions", row->n);
    for (size_t i = 0; !rc && i < n; i++)
        to[i] += pos[i];
    free(pos);
    return rc;
}

/* Logits, or the residual stream before stage `end`. */
static int output_row(struct pass *s, const struct bore_row *row, int index, struct run *r,
                      struct err *e)
{
    const struct bore_tensor *t = &s->out.output;
    float *to = t->data + index * t->stride[0];
    if (!s->p->stops)
        return columns_read(s, row, r, site_logits(&run_model(r)->cfg), SITE_ROOT, to, e);
    if (s->first == s->end) {
        for (int i = 0; i < row->n; i++) {
            int64_t at = row->columns[i] * t->stride[1];
            memcpy(to + at, s->p->residual + index * t->stride[0] + at,
                   (size_t)t->shape[2] * sizeof *to);
        }
        return 0;
    }
    return s->end > 1
               ? columns_read(s, row, r, site_stream(&s->m->m->cfg, s->end - 2), s->end - 2, to, e)
               : embedding_read(s, row, r, to, e);
}

/* The real rows of the residual stream that a pass starts from. */
static float *given_rows(const struct pass *s, const struct bore_row *row, int index)
{
    size_t d = (size_t)s->m->m->cfg.d_model;
    float *x = malloc((size_t)row->n * d * sizeof *x);
    for (int i = 0; x && i < row->n; i++)
        memcpy(x + (size_t)i * d,
               s->p->residual + ((size_t)index * (size_t)s->p->cols + (size_t)row->columns[i]) * d,
               d * sizeof *x);
    return x;
}

static int row_compute(struct pass *s, struct pair *pair, const struct pair_target *t,
                       const struct bore_row *row, int index, struct err *e)
{
    struct bore_model *m = s->m;
    m->work->row = index, m->work->rows = s->p->rows, m->work->columns = row->columns;
    int rc = pair_callbacks(pair, &s->hooks, s->alone, 0, e);
    pair_differentiate(pair, s->p->metric != NULL);
    if (!rc)
        rc = pair_sync(pair, t, NULL, e);
    struct run *base = pair_run(pair, FACE_BASE), *edited = pair_run(pair, FACE_EDITED),
               *r = edited ? edited : base;
    if (!rc && s->wanted)
        rc = output_row(s, row, index, r, e);
    const struct metric *metric = s->p->metric ? &s->metric : NULL;
    base = edited ? base : NULL;
    if (!rc && s->wanted && metric)
        rc = metric_value(metric, r, base, &s->out.metric[index], e);
    if (!rc && (s->cache || metric))
        rc = bore_cache_row(s->cache, s->p, row, index, r, base, metric, e);
    return rc;
}

static int row_run(struct pass *s, int index, struct err *e)
{
    struct bore_model *m = s->m;
    struct bore_row row = {0};
    struct pair_target t = {0};
    struct pair *own = NULL;
    float *x = NULL;
    int rc = bore_pass_row(m, s->p, index, &row, e);
    if (!rc)
        rc = model_check_tokens(m->m, row.tokens, row.n, NULL, e);
    if (!rc && row.types)
        rc = model_check_types(m->m, row.types, row.n, e);
    if (!rc)
        rc = bore_target(m, s->p, &row, &t, e);
    if (!rc && s->p->residual && !(rc = pair_open(&own, m->m, m->cache_bytes, e)) &&
        !(x = given_rows(s, &row, index)))
        rc = err_memory(e, "a residual stream");
    if (!rc) {
        struct pair *pair = own ? own : m->pair;
        t.input.rows = x, t.input.start = s->first - 1;
        pair_stop(pair, s->p->stops ? s->end - 1 : INT32_MAX, s->alone);
        rc = row_compute(s, pair, &t, &row, index, e);
    }
    if (rc && s->p->rows > 1)
        err_prefix(e, "row %d of the batch", index);
    if (own)
        pair_close(own);
    free(x);
    bore_target_free(&t);
    bore_row_free(&row);
    return rc;
}

int bore_pass_run(struct bore_model *m, const struct bore_pass *p, struct bore_cache *cache,
                  struct bore_result *out, struct err *e)
{
    struct pass s = {.m = m, .p = p, .cache = cache, .wanted = out};
    int rc = bore_pass_check(m, p, e);
    if (!rc && !(rc = bore_pass_stages(m, p, &s.first, &s.end, e)) && p->metric)
        rc = metric_parse(&s.metric, p->metric, m->m->tok, m->m->cfg.d_vocab, e);
    if (!rc && p->metric)
        rc = metric_check_gradient(&s.metric, m->m, e);
    if (!rc)
        s.alone = !reads_base(&s);
    if (!rc)
        rc = hooks_within(&s, e);
    if (!rc && s.wanted)
        rc = output_open(&s, e);
    for (int i = 0; !rc && i < p->rows; i++)
        rc = row_run(&s, i, e);
    if (!rc && s.wanted)
        *out = s.out;
    else
        bore_result_free(&s.out);
    callbacks_free(&s.hooks);
    return rc;
}

void bore_result_free(struct bore_result *r)
{
    if (!r)
        return;
    bore_tensor_free(&r->output);
    free(r->metric);
    r->metric = NULL;
}

int bore_run(struct bore_model *m, const struct bore_pass *pass, struct bore_result *out,
             struct bore_error *error)
{
    struct err e = {0};
    int rc;
    do {
        if (!(rc = bore_begin(m, &e)))
            rc = bore_pass_run(m, pass, NULL, out, &e);
    } while (bore_again(m, rc, &e));
    return bore_end(m, rc, &e, error);
}

int bore_run_with_hooks(struct bore_model *m, const struct bore_pass *pass,
                        const struct bore_hook *forward, int n_forward,
                        const struct bore_hook *backward, int n_backward, unsigned flags,
                        struct bore_result *out, struct bore_error *error)
{
    struct err e = {0};
    int rc = 0, level;
    if (n_backward > 0 && !pass->metric)
        rc = err_set(
            &e, ERR_BAD_INPUT,
            "%d backward hooks · they fire when a metric is differentiated · set pass.metric",
            n_backward);
    if (!rc)
        rc = bore_hooks_enter(m, forward, n_forward, backward, n_backward, &e);
    if (rc)
        return bore_done(rc, &e, error);
    level = m->level;
    rc = bore_run(m, pass, out, error);
    if (flags & BORE_KEEP_HOOKS) {
        bore_leave(m, level + 1, false);
        m->level = level - 1;
    } else {
        bore_leave(m, level, flags & BORE_CLEAR_CONTEXTS);
    }
    return rc;
}
