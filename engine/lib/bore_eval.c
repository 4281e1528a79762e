/* bore_eval.c - the library's evaluation over texts (see borescope.h).  Tested in
 * tests/engine/test_library_eval.c. */
#include "lib/bore_parts.h"

#include <stdlib.h>
#include <string.h>

#include "lab/eval_choices.h"

_Static_assert((int)EVAL_MEASURES <= (int)BORE_MEASURES_MAX, "room for all measures");
_Static_assert(sizeof((struct eval_value *)0)->name ==
                   sizeof((struct bore_evaluation *)0)->measures[0].name,
               "names are as long");

/* The caller's ear. */
struct ear {
    int (*progress)(void *user, int64_t tokens, double share);
    void *user;
};

static int hear(void *user, const struct eval *v, const struct gather_news *news, struct err *e)
{
    const struct ear *x = user;
    (void)v;
    return x->progress && x->progress(x->user, news->done, news->share)
               ? err_set(e, ERR_CANCELLED, "eval · stopped by its caller")
               : 0;
}

static void give(const struct eval *v, struct bore_evaluation *out)
{
    struct eval_value x[EVAL_MEASURES];
    *out = (struct bore_evaluation){
        .texts = v->texts, .tokens = (int64_t)v->sum[EVAL_TOKENS], .n_measures = eval_values(v, x)};
    for (int i = 0; i < out->n_measures; i++) {
        memcpy(out->measures[i].name, x[i].name, sizeof x[i].name);
        out->measures[i].base = x[i].base, out->measures[i].base_error = x[i].base_error;
        out->measures[i].edited = x[i].edited, out->measures[i].edited_error = x[i].edited_error;
        out->measures[i].difference = x[i].difference;
        out->measures[i].difference_error = x[i].difference_error;
    }
}

static int run(struct bore_model *m, const struct bore_eval *w, const struct pair_target *target,
               struct ear *ear, struct bore_evaluation *out, struct err *e)
{
    const struct token_filter all = {0};
    const struct texts_options o = bore_texts_options(&w->texts);
    const struct eval_work work = {.m = m->m,
                                   .target = target,
                                   .filter = &all,
                                   .top = w->top ? w->top : 5,
                                   .cache_bytes = w->n_edits ? m->cache_bytes : 0,
                                   .rest = hear,
                                   .user = ear};
    struct eval v = {0};
    struct texts *t = NULL;
    const struct choices_options choices = {.skip = o.skip, .limit = o.limit, .bos = o.bos};
    int rc = w->choices ? eval_choices_run(&v, w->texts.path, &choices, &work, e)
                        : texts_open(&t, m->m, w->texts.path, &o, e);
    if (!rc && !w->choices)
        rc = eval_run(&v, t, &work, e);
    if (!rc)
        give(&v, out);
    texts_close(t);
    return rc;
}

int bore_eval_run(struct bore_model *m, const struct bore_eval *eval, struct bore_evaluation *out,
                  int (*progress)(void *user, int64_t tokens, double share), void *user,
                  struct bore_error *error)
{
    struct err e = {0};
    struct ear ear = {progress, user};
    struct pair_target target = {0};
    int rc = bore_begin(m, &e);
    if (!rc && (!eval->texts.path || eval->top < 0))
        rc = err_set(&e, ERR_BAD_INPUT, "eval · expected `texts.path` and `top` >= 0, found %s",
                     eval->texts.path ? "top < 0" : "texts.path = NULL");
    if (!rc)
        rc = bore_target_of(m, eval->edits, eval->n_edits, &target, &e);
    if (!rc)
        rc = run(m, eval, &target, &ear, out, &e);
    bore_target_free(&target);
    return bore_end(m, rc, &e, error);
}
