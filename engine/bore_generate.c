/* bore_generate.c - the library's generation and modules out of order (see borescope.h).
 * Tested in tests/engine/test_library.c. */
#include "bore_internal.h"

#include <stdlib.h>

#include "generate.h"
#include "run_module.h"

/* Columns of the tokens to come: they follow the prompt's. */
static int columns_extend(struct bore_row *row, int cols, int more, struct err *e)
{
    int32_t *columns = realloc(row->columns, ((size_t)row->n + (size_t)more) * sizeof *columns);
    if (!columns)
        return err_set(e, ERR_SYSTEM, "out of memory · %d tokens", more);
    row->columns = columns;
    for (int i = 0; i < more; i++)
        columns[row->n + i] = cols + i;
    return 0;
}

/* What a row under way hands on. */
struct emitter {
    bool (*emit)(void *user, const struct bore_new_token *token);
    void *user;
    struct bore_new_token next;
};

static bool emit_token(void *user, int32_t id, const float *logits)
{
    struct emitter *x = user;
    x->next.id = id, x->next.logits = logits;
    bool more = x->emit(x->user, &x->next);
    x->next.column++;
    return more;
}

static int options_check(const struct bore_model *m, const struct bore_pass *p, const struct bore_generate_options *o, struct err *e)
{
    int rc = bore_pass_check(m, p, e);
    if (!rc && (p->residual || p->stops || p->metric))
        rc = err_set(e, ERR_BAD_INPUT, "generation · prompts of tokens, without residual, stop_at_layer and metric");
    if (!rc && (o->max_new_tokens < 0 || o->max_new_tokens > LIMIT_TOKENS))
        rc = err_set(e, ERR_BAD_INPUT, "max_new_tokens %d · 0..%d can be asked for", o->max_new_tokens, LIMIT_TOKENS);
    if (!rc && (o->n_stop < 0 || (o->n_stop > 0 && !o->stop_ids)))
        rc = err_set(e, ERR_BAD_INPUT, "generation · %d stop tokens, but no array of them", o->n_stop);
    for (int i = 0; !rc && i < p->rows; i++) { /* all rows before the first is heard of */
        struct bore_row row = { 0 };
        if (!(rc = bore_pass_row(p, i, &row, e)))
            rc = model_check_tokens(m->m, row.tokens, row.n, NULL, e);
        bore_row_free(&row);
        if (rc && p->rows > 1)
            err_prefix(e, "row %d of the batch", i);
    }
    return rc;
}

static int generate_row(struct bore_model *m, const struct bore_pass *p, int index, const struct bore_generate_options *o, struct emitter *x,
                        struct err *e)
{
    struct bore_row row = { 0 };
    struct pair_target t = { 0 };
    struct callbacks hooks = { 0 };
    int rc = bore_pass_row(p, index, &row, e);
    if (!rc && !(rc = columns_extend(&row, p->cols, o->max_new_tokens, e)))
        rc = bore_target(p, &row, &t, e);
    if (!rc)
        rc = callbacks_copy(&hooks, &m->hooks, e);
    struct generate_options opt = {
        .temperature = o->temperature, .top_k = o->top_k, .top_p = o->top_p > 0 ? o->top_p : 1, .seed = o->seed + (uint64_t)index,
        .repetition_penalty = o->repetition_penalty, .freq_penalty = o->freq_penalty, .stop_ids = o->stop_ids, .n_stop = o->n_stop,
        .callbacks = hooks.n ? &hooks : NULL,
    };
    m->row = index, m->rows = p->rows, m->columns = row.columns;
    x->next = (struct bore_new_token){ .row = index, .column = p->cols };
    if (!rc)
        rc = generate(m->m, &t, o->max_new_tokens, &opt, o->ignore_eos ? -1 : m->m->cfg.eos_id, m->cache_bytes, emit_token, x, e);
    if (rc && p->rows > 1)
        err_prefix(e, "row %d of the batch", index);
    callbacks_free(&hooks);
    bore_target_free(&t);
    bore_row_free(&row);
    return rc;
}

int bore_generate(struct bore_model *m, const struct bore_pass *pass, const struct bore_generate_options *options,
                  bool (*emit)(void *user, const struct bore_new_token *token), void *user, struct bore_error *error)
{
    struct err e = { 0 };
    struct emitter x = { .emit = emit, .user = user };
    int rc = bore_begin(m, &e);
    if (rc)
        return bore_done(rc, &e, error);
    rc = options_check(m, pass, options, &e);
    for (int i = 0; !rc && i < pass->rows; i++)
        rc = generate_row(m, pass, i, options, &x, &e);
    m->columns = NULL;
    m->running = false;
    return bore_done(rc, &e, error);
}

int bore_call(struct bore_model *m, const char *name, const float *in, int n, struct bore_tensor *out, struct bore_error *error)
{
    struct err e = { 0 };
    struct run_module module;
    struct bore_tensor t = { .rank = 2, .shape = { n } };
    int rc = bore_begin(m, &e);
    if (rc)
        return bore_done(rc, &e, error);
    if (!(rc = run_module_find(&m->m->cfg, name, &module, &e))) {
        t.shape[1] = run_module_width(&m->m->cfg, &module, true);
        bore_tensor_pack(&t);
        if (n > 0 && !(t.data = malloc((size_t)bore_tensor_size(&t) * sizeof(float))))
            rc = err_set(&e, ERR_SYSTEM, "out of memory · %d rows", n);
    }
    if (!rc)
        rc = run_module_call(m->m, &module, in, n, t.data, &e);
    if (rc)
        bore_tensor_free(&t);
    else
        *out = t;
    m->running = false;
    return bore_done(rc, &e, error);
}
