/* bore_analysis.c - the library's analysis calls: residual stacks, logit attributions, head
 * detection, loss per token (see borescope.h).  Each runs the pass, then reads that run.  Tested in
 * tests/engine/test_library_analysis.c. */
#include "lib/bore_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "measure/analysis.h"

static_assert((int)STACK_LABEL_MAX == (int)sizeof(((struct bore_stack *)0)->labels[0]),
              "labels are the engine's");

/* Run one whole prompt with the hooks that are there; *r: what came of it. */
static int run_one(struct bore_model *m, const struct bore_pass *p, struct run **r, struct err *e)
{
    int rc = 0;
    if (p->rows != 1 || p->mask || p->residual || p->stops)
        rc = err_set(
            e, ERR_BAD_INPUT,
            "an analysis · it looks at one whole prompt · rows = 1, without mask, residual or stops");
    if (!rc)
        rc = bore_pass_run(m, p, NULL, NULL, e);
    if (!rc)
        *r = pair_shown(m->pair);
    return rc;
}

/* Run, and stack the positions of the options' slice; rows: which. */
static int stack_run(struct bore_model *m, const struct bore_pass *p,
                     const struct bore_stack_options *o, struct stack *s,
                     struct capture_slice *rows, struct err *e)
{
    struct stack_options of = {.kind = STACK_DECOMPOSED, .layer = o->ends ? o->layer : -1};
    struct run *r = NULL;
    int rc = o->kind ? stack_kind_parse(o->kind, &of.kind, e) : 0;
    if (!rc && o->with)
        rc = stack_flags_parse(o->with, &of.flags, e);
    if (!rc && o->ends && o->layer < 0)
        rc = err_set(e, ERR_BAD_INPUT, "a stack · layer %d · the stream that enters a layer 0..%d",
                     o->layer, m->m->cfg.n_layers - 1);
    if (!rc)
        rc = run_one(m, p, &r, e);
    if (!rc)
        rc = bore_slice_cut(&o->pos, run_length(r), "position", rows, e);
    return rc ? rc : stack_make(s, r, &of, rows->index, rows->n, e);
}

/* [component, 1, pos, width] of values, and the labels; without pos where that axis goes, without
 * width where it is 1.  Takes values and labels. */
static struct bore_stack stack_shown(struct stack *s, const struct bore_stack_options *o,
                                     float *values, int64_t width)
{
    struct bore_stack out = {
        .n = s->n, .labels = s->label, .values = {.data = values, .rank = 2, .shape = {s->n, 1}}};
    struct bore_tensor *t = &out.values;
    if (o->pos.kind != BORE_ONE)
        t->shape[t->rank++] = s->rows;
    if (width > 1)
        t->shape[t->rank++] = width;
    bore_tensor_pack(t);
    s->label = NULL;
    return out;
}

int bore_stack(struct bore_model *m, const struct bore_pass *pass,
               const struct bore_stack_options *options, struct bore_stack *out,
               struct bore_error *error)
{
    struct err e = {0};
    struct stack s = {0};
    struct capture_slice rows = {0};
    struct bore_stack_options o = options ? *options : (struct bore_stack_options){0};
    int rc = bore_begin(m, &e);
    if (!rc && !(rc = stack_run(m, pass, &o, &s, &rows, &e))) {
        *out = stack_shown(&s, &o, s.values, s.d_model);
        s.values = NULL;
    }
    stack_free(&s);
    free(rows.index);
    return bore_end(m, rc, &e, error);
}

static int check_token(const struct bore_model *m, int32_t id, bool optional, struct err *e)
{
    if ((optional && id < 0) || (id >= 0 && id < m->m->cfg.d_vocab))
        return 0;
    return err_set(e, ERR_BAD_INPUT, "logit_attrs · token %d · this model has 0..%d", (int)id,
                   (int)m->m->cfg.d_vocab - 1);
}

int bore_logit_attrs(struct bore_model *m, const struct bore_pass *pass,
                     const struct bore_stack_options *options, int32_t token, int32_t incorrect,
                     struct bore_stack *out, double *constant, struct bore_error *error)
{
    struct err e = {0};
    struct stack s = {0};
    struct capture_slice rows = {0};
    struct bore_stack_options o = options ? *options : (struct bore_stack_options){0};
    double rest = 0;
    float *each = NULL;
    int rc = bore_begin(m, &e);
    if (!rc && !(rc = check_token(m, token, false, &e)))
        rc = check_token(m, incorrect, true, &e);
    if (!rc && o.with && strstr(o.with, "apply_ln"))
        rc = err_set(&e, ERR_BAD_INPUT,
                     "logit_attrs applies the final norm itself · leave apply_ln out");
    if (!rc)
        rc = stack_run(m, pass, &o, &s, &rows, &e);
    if (!rc && !(each = malloc(((size_t)s.n * (size_t)s.rows + 1) * sizeof *each)))
        rc = err_memory(&e, "logit_attrs");
    if (!rc)
        rc = stack_logit_attrs(&s, pair_shown(m->pair), rows.index, token, incorrect, each, &rest,
                               &e);
    if (!rc) {
        *out = stack_shown(&s, &o, each, 1);
        each = NULL;
    }
    if (!rc && constant)
        *constant = rest;
    stack_free(&s);
    free(rows.index), free(each);
    return bore_end(m, rc, &e, error);
}

void bore_stack_free(struct bore_stack *s)
{
    if (!s)
        return;
    bore_tensor_free(&s->values);
    free(s->labels);
    s->labels = NULL, s->n = 0;
}

/* pattern, or with NULL the one of that name. */
static int detect(struct bore_model *m, const struct bore_pass *pass, const char *name,
                  const float *pattern, unsigned flags, float *scores, struct err *e)
{
    struct run *r = NULL;
    enum head_pattern which = HEAD_PREVIOUS;
    struct detect_options o = {flags & BORE_EXCLUDE_BOS, flags & BORE_EXCLUDE_CURRENT_TOKEN,
                               flags & BORE_ABS};
    int rc = pattern ? 0 : head_pattern_parse(name, &which, e);
    if (!rc)
        rc = run_one(m, pass, &r, e);
    if (rc || pattern)
        return rc ? rc : detect_head(r, pattern, &o, scores, e);
    size_t n = (size_t)run_length(r);
    float *own = malloc(n * n * sizeof *own);
    if (!own)
        return err_memory(e, "detect_head");
    head_pattern_fill(which, run_tokens(r), (int32_t)n, own);
    rc = detect_head(r, own, &o, scores, e);
    free(own);
    return rc;
}

int bore_detect_head(struct bore_model *m, const struct bore_pass *pass, const char *pattern,
                     unsigned flags, float *scores, struct bore_error *error)
{
    struct err e = {0};
    int rc = bore_begin(m, &e);
    if (!rc)
        rc = detect(m, pass, pattern, NULL, flags, scores, &e);
    return bore_end(m, rc, &e, error);
}

int bore_detect_pattern(struct bore_model *m, const struct bore_pass *pass, const float *pattern,
                        unsigned flags, float *scores, struct bore_error *error)
{
    struct err e = {0};
    int rc = bore_begin(m, &e);
    if (!rc)
        rc = detect(m, pass, NULL, pattern, flags, scores, &e);
    return bore_end(m, rc, &e, error);
}

int bore_loss(struct bore_model *m, const struct bore_pass *pass, double *mean, float *per_token,
              struct bore_error *error)
{
    struct err e = {0};
    struct run *r = NULL;
    double loss = 0;
    int rc = bore_begin(m, &e);
    if (!rc)
        rc = run_one(m, pass, &r, &e);
    if (!rc && run_length(r) < 2)
        rc = err_set(&e, ERR_BAD_INPUT, "loss · needs two tokens or more, the prompt has %d",
                     (int)run_length(r));
    if (!rc)
        rc = lens_loss(r, &loss, per_token, &e);
    if (!rc && mean)
        *mean = loss;
    return bore_end(m, rc, &e, error);
}
