/* bore_generate.c - the library's generation and modules out of order (see borescope.h).
 * Tested in tests/engine/test_library.c. */
#include "lib/bore_parts.h"

#include <stdlib.h>

#include "measure/generate.h"
#include "run/run_module.h"

/* Columns of the tokens to come: they follow the prompt's. */
static int columns_extend(struct bore_row *row, int cols, int more, struct err *e)
{
    int32_t *columns = realloc(row->columns, ((size_t)row->n + (size_t)more) * sizeof *columns);
    if (!columns)
        return err_memory(e, "%d tokens", more);
    row->columns = columns;
    for (int i = 0; i < more; i++)
        columns[row->n + i] = cols + i;
    return 0;
}

/* The rows of a batch. */
struct batch {
    struct bore_model *m;
    struct bore_row *rows;
    struct pair_target *targets;
    int n, cols, *emitted;
    bool (*emit)(void *user, const struct bore_new_token *token);
    void *user;
};

static bool emit_token(void *user, int32_t row, int32_t id, const float *logits)
{
    struct batch *b = user;
    struct bore_new_token token = {
        .row = row, .column = b->cols + b->emitted[row]++, .id = id, .logits = logits};
    return b->emit(b->user, &token);
}

/* Whose hooks are about to be called. */
static void turn(void *user, int32_t row)
{
    struct batch *b = user;
    b->m->work->row = row, b->m->work->columns = b->rows[row].columns;
}

static int options_check(const struct bore_model *m, const struct bore_pass *p,
                         const struct bore_generate_options *o, struct err *e)
{
    int rc = bore_pass_check(m, p, e);
    if (!rc && (p->residual || p->stops || p->metric))
        rc = err_set(e, ERR_BAD_INPUT,
                     "generation · prompts of tokens, without residual, stop_at_layer and metric");
    if (!rc && (o->max_new_tokens < 0 || o->max_new_tokens > LIMIT_TOKENS))
        rc = err_set(e, ERR_BAD_INPUT, "max_new_tokens %d · 0..%d can be asked for",
                     o->max_new_tokens, LIMIT_TOKENS);
    if (!rc && (o->n_stop < 0 || (o->n_stop > 0 && !o->stop_ids)))
        rc = err_set(e, ERR_BAD_INPUT, "generation · %d stop tokens, but no array of them",
                     o->n_stop);
    for (int i = 0; !rc && i < p->rows; i++) { /* all rows before the first is heard of */
        struct bore_row row = {0};
        if (!(rc = bore_pass_row(m, p, i, &row, e)))
            rc = model_check_tokens(m->m, row.tokens, row.n, NULL, e);
        bore_row_free(&row);
        if (rc && p->rows > 1)
            err_prefix(e, "row %d of the batch", i);
    }
    return rc;
}

static int batch_open(struct batch *b, const struct bore_pass *p, int more, struct err *e)
{
    b->n = p->rows, b->cols = p->cols;
    b->rows = calloc((size_t)p->rows, sizeof *b->rows);
    b->targets = calloc((size_t)p->rows, sizeof *b->targets);
    b->emitted = calloc((size_t)p->rows, sizeof *b->emitted);
    int rc = b->rows && b->targets && b->emitted ? 0 : err_memory(e, "a batch of %d rows", p->rows);
    for (int i = 0; !rc && i < p->rows; i++) {
        if (!(rc = bore_pass_row(b->m, p, i, &b->rows[i], e)) &&
            !(rc = columns_extend(&b->rows[i], p->cols, more, e)))
            rc = bore_target(b->m, p, &b->rows[i], &b->targets[i], e);
        if (rc && p->rows > 1)
            err_prefix(e, "row %d of the batch", i);
    }
    return rc;
}

static void batch_close(struct batch *b)
{
    for (int i = 0; i < b->n && b->rows && b->targets; i++) {
        bore_target_free(&b->targets[i]);
        bore_row_free(&b->rows[i]);
    }
    free(b->rows), free(b->targets), free(b->emitted);
}

int bore_generate(struct bore_model *m, const struct bore_pass *pass,
                  const struct bore_generate_options *options,
                  bool (*emit)(void *user, const struct bore_new_token *token), void *user,
                  struct bore_error *error)
{
    const struct bore_generate_options *o = options;
    struct err e = {0};
    struct batch b = {.m = m, .emit = emit, .user = user};
    struct callbacks hooks = {0};
    int rc = bore_begin(m, &e);
    if (!rc && !(rc = options_check(m, pass, o, &e)) &&
        !(rc = batch_open(&b, pass, o->max_new_tokens, &e)))
        rc = callbacks_copy(&hooks, &m->hooks, &e);
    struct generate_options opt = {
        .temperature = o->temperature,
        .top_k = o->top_k,
        .top_p = o->top_p > 0 ? o->top_p : 1,
        .seed = o->seed,
        .repetition_penalty = o->repetition_penalty,
        .freq_penalty = o->freq_penalty,
        .stop_ids = o->stop_ids,
        .n_stop = o->n_stop,
        .callbacks = hooks.n ? &hooks : NULL,
        .turn = turn,
    };
    if (!rc)
        m->work->rows = pass->rows;
    if (!rc)
        rc = generate(m->m, b.targets, pass->rows, o->max_new_tokens, &opt,
                      o->ignore_eos ? -1 : m->m->cfg.eos_id, m->cache_bytes, emit_token, &b, &e);
    callbacks_free(&hooks);
    batch_close(&b);
    return bore_end(m, rc, &e, error);
}

int bore_call(struct bore_model *m, const char *name, const float *in, int n,
              struct bore_tensor *out, struct bore_error *error)
{
    struct err e = {0};
    struct run_module module;
    struct bore_tensor t = {.rank = 2, .shape = {n}};
    int rc = bore_begin(m, &e);
    if (!rc && !(rc = run_module_find(&m->m->cfg, name, &module, &e))) {
        t.shape[1] = run_module_width(&m->m->cfg, &module, true);
        rc = bore_tensor_alloc(&t, name, &e);
    }
    if (!rc)
        rc = run_module_call(m->m, &module, in, n, t.data, &e);
    if (rc)
        bore_tensor_free(&t);
    else
        *out = t;
    return bore_end(m, rc, &e, error);
}
