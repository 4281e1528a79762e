/* bore_attribute.c - the library's attributions (see borescope.h).  Tested in
 * tests/engine/test_library_attribute.c. */
#include "lib/bore_parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/attribute.h"

static_assert((int)BORE_AXES_MAX >= (int)ATTRIBUTE_RANK_MAX &&
                  (int)ATTRIBUTE_LABEL_MAX ==
                      (int)sizeof(((struct bore_attribution *)0)->axes[0].labels[0]),
              "axes are the engine's");

/* What is asked, and what holds it. */
struct asked {
    struct attribute_options of;
    struct metric metric;
    char from[LIMIT_NAME];
};

static int ask(const struct bore_model *m, const struct bore_pass *p,
               const struct bore_attribute *how, struct asked *a, struct err *e)
{
    const struct bore_attribute none = {0}, *h = how ? how : &none;
    struct attribute_options *of = &a->of;
    *a = (struct asked){.of = {.method = ATTRIBUTE_ATP,
                               .steps = h->steps,
                               .with = h->with,
                               .cache_bytes = m->cache_bytes / 5}};
    if (p->rows != 1 || p->mask || p->residual || p->stops)
        return err_set(e, ERR_BAD_INPUT,
                       "an attribution · it looks at one whole prompt · rows = 1, without mask, "
                       "residual or stops");
    if (!p->metric)
        return err_set(e, ERR_BAD_INPUT, "an attribution · of what · set pass.metric");
    if (!h->with && p->n_prompts > 1)
        return err_set(e, ERR_BAD_INPUT,
                       "an attribution · %d prompts · `with` says which, from(%s)", p->n_prompts,
                       p->prompts[0].name);
    if (!h->with && p->n_prompts == 1) {
        snprintf(a->from, sizeof a->from, "from(%.100s)", p->prompts[0].name);
        of->with = a->from;
    }
    int rc = h->method ? attribute_method_parse(h->method, &of->method, e) : 0;
    if (!rc && of->method == ATTRIBUTE_DLA && h->kind)
        rc = attribute_part_parse(h->kind, &of->part, e);
    const char *kind = h->kind ? h->kind : of->method == ATTRIBUTE_GRAD ? "score" : "resid_pre";
    if (!rc && of->method <= ATTRIBUTE_IG && !(of->kind = sweep_kind_find(kind, e)))
        rc = err_code(e);
    rc = rc ? rc : metric_parse(&a->metric, p->metric, m->m->tok, m->m->cfg.d_vocab, e);
    return rc ? rc : metric_check_gradient(&a->metric, m->m, e);
}

/* In a pair of its own: the model's has hooks. */
static int attribute_row(const struct bore_model *m, const struct bore_pass *p,
                         const struct asked *a, struct attribution *out, struct err *e)
{
    struct bore_row row = {0};
    struct pair_target t = {0};
    struct pair *pair = NULL;
    int rc = bore_pass_row(m, p, 0, &row, e);
    if (!rc)
        rc = model_check_tokens(m->m, row.tokens, row.n, NULL, e);
    if (!rc)
        rc = bore_target(m, p, &row, &t, e);
    if (!rc)
        rc = pair_open(&pair, m->m, m->cache_bytes, e);
    if (!rc)
        rc = pair_sync(pair, &t, NULL, e);
    if (!rc)
        rc = attribute(out, pair, &t, &a->metric, &a->of, e);
    pair_close(pair);
    bore_target_free(&t);
    bore_row_free(&row);
    return rc;
}

/* Takes what is in f over. */
static int result_make(struct attribution *f, struct bore_attribution *out, struct err *e)
{
    struct bore_attribution r = {.n_axes = f->rank,
                                 .cells = attribution_count(f),
                                 .base = f->metric,
                                 .sum = f->sum,
                                 .constant = f->constant};
    if (!(r.has = malloc((size_t)r.cells + 1)))
        return err_memory(e, "an attribution");
    for (int64_t i = 0; i < r.cells; i++)
        r.has[i] = !f->there || f->there[i];
    for (int i = 0; i < f->rank; i++) {
        snprintf(r.axes[i].name, sizeof r.axes[i].name, "%s", f->axis[i].name);
        r.axes[i].size = f->axis[i].size;
        r.axes[i].labels = f->axis[i].label;
        f->axis[i].label = NULL;
    }
    r.values = f->values;
    f->values = NULL;
    *out = r;
    return 0;
}

int bore_attribute(struct bore_model *m, const struct bore_pass *pass,
                   const struct bore_attribute *how, struct bore_attribution *out,
                   struct bore_error *error)
{
    struct err e = {0};
    struct asked a;
    struct attribution found = {0};
    int rc = bore_begin(m, &e);
    if (!rc)
        rc = bore_pass_check(m, pass, &e);
    if (!rc)
        rc = ask(m, pass, how, &a, &e);
    if (!rc)
        rc = attribute_row(m, pass, &a, &found, &e);
    if (!rc)
        rc = result_make(&found, out, &e);
    attribution_free(&found);
    return bore_end(m, rc, &e, error);
}

void bore_attribution_free(struct bore_attribution *a)
{
    if (!a)
        return;
    for (int i = 0; i < a->n_axes; i++)
        free(a->axes[i].labels);
    free(a->values), free(a->has);
    *a = (struct bore_attribution){0};
}
