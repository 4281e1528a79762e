/* stack.c - `borescope stack`: the components of a residual stream, their sizes, or they themselves
 * in a file. */
#include "stack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/process.h"
#include "slice.h"
#include "model/tensor_write.h"

/* The stack at the positions asked for. */
struct stacked {
    struct stack_options of;
    struct capture_slice slice;
    struct stack s; /* rows: those of the slice */
};

/* Of component k at the i-th position. */
static double norm(const struct stack *s, int32_t k, int32_t i)
{
    const float *x = s->values + ((int64_t)k * s->rows + i) * s->d_model;
    double sum = 0;
    for (int32_t j = 0; j < s->d_model; j++)
        sum += (double)x[j] * (double)x[j];
    return sqrt(sum);
}

static int print_json(struct cli *c, const struct stacked *s)
{
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_string(json_out_key(&j, "stack"), stack_kind_name(s->of.kind));
    json_out_array(json_out_key(&j, "positions"));
    for (int32_t i = 0; i < s->slice.n; i++)
        json_out_int(&j, s->slice.index[i]);
    json_out_close(&j);
    json_out_array(json_out_key(&j, "components"));
    for (int32_t k = 0; k < s->s.n; k++) {
        json_out_object(&j);
        json_out_string(json_out_key(&j, "label"), s->s.label[k]);
        json_out_array(json_out_key(&j, "norms"));
        for (int32_t i = 0; i < s->slice.n; i++)
            json_out_double(&j, norm(&s->s, k, i));
        json_out_close(&j);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

/* Components down, positions across. */
static int print_table(struct cli *c, const struct stacked *s)
{
    size_t n = (size_t)s->slice.n + 1;
    struct table_column *columns = calloc(n, sizeof *columns);
    char(*heads)[16] = calloc(n, sizeof *heads);
    struct table *t = NULL;
    if (columns && heads) {
        columns[0] = (struct table_column)COLUMN_TEXT("component");
        for (int32_t i = 0; i < s->slice.n; i++) {
            snprintf(heads[i], sizeof heads[i], "at %d", (int)s->slice.index[i]);
            columns[i + 1] = (struct table_column)COLUMN_NUMBER(heads[i], 4);
        }
        cli_head(c);
        if (!c->opt->tsv)
            bytes_addf(&c->out, "# %s: the size of each component\n", stack_kind_name(s->of.kind));
        t = table_new(columns, (int)n);
    }
    for (int32_t k = 0; t && k < s->s.n; k++) {
        table_string(t, s->s.label[k]);
        for (int32_t i = 0; i < s->slice.n; i++)
            table_number(t, (float)norm(&s->s, k, i));
    }
    int rc = cli_table(c, t);
    free(columns);
    free(heads);
    return rc;
}

/* The labels and the token ids as JSON. */
static void meta_lists(const struct cli *c, const struct stacked *s, struct bytes *labels,
                       struct bytes *tokens)
{
    struct json_out j;
    json_out_begin(&j, labels);
    json_out_array(&j);
    for (int32_t k = 0; k < s->s.n; k++)
        json_out_string(&j, s->s.label[k]);
    json_out_close(&j);
    json_out_begin(&j, tokens);
    json_out_array(&j);
    for (int32_t i = 0; i < c->n; i++)
        json_out_int(&j, c->tokens[i]);
    json_out_close(&j);
}

/* [component, batch, pos, d_model], as the library stacks them; a single position drops its axis.
 */
static int write_file(struct cli *c, const struct stacked *s)
{
    struct bytes labels = {0}, tokens = {0};
    char process[PROCESS_TEXT_MAX];
    meta_lists(c, s, &labels, &tokens);
    struct tensor_out t = {
        .name = stack_kind_name(s->of.kind),
        .dtype = ST_F32,
        .rank = s->slice.drop ? 3 : 4,
        .shape = {s->s.n, 1, s->slice.drop ? s->s.d_model : s->s.rows, s->s.d_model},
        .data = s->s.values};
    const struct tensor_meta meta[] = {
        {"program", "borescope " BORE_VERSION},
        {"model", c->m->name},
        {"tokens", tokens.data},
        {"labels", labels.data},
        {"with", c->opt->with ? c->opt->with : ""},
        {"processing", process_text(c->m->process, process, sizeof process)}};
    int rc = labels.failed || tokens.failed
                 ? cli_memory(c)
                 : tensor_write(c->opt->output, &t, 1, meta, sizeof meta / sizeof *meta, &c->err);
    bytes_free(&labels);
    bytes_free(&tokens);
    return rc;
}

int cli_stack(struct cli *c)
{
    struct stacked s = {.s = {0}};
    int rc = stack_choose(c, &s.of);
    if (!rc && c->opt->output)
        rc = tensor_write_check(c->opt->output, &c->err);
    if (!rc)
        rc = cli_open(c, CLI_PROMPT);
    if (!rc)
        rc = slice_parse(&s.slice, c->opt->pos, c->n, &c->err);
    if (!rc)
        rc = cli_sync(c);
    if (!rc)
        rc = stack_make(&s.s, cli_run_shown(c), &s.of, s.slice.index, s.slice.n, &c->err);
    if (!rc && s.s.n == 0)
        rc = err_set(&c->err, ERR_BAD_INPUT, "%s of layer 0 has no components · layers 1..%d",
                     stack_kind_name(s.of.kind), (int)c->m->cfg.n_layers);
    if (!rc && c->opt->output)
        rc = write_file(c, &s);
    if (!rc && (c->opt->json || !c->opt->output))
        rc = c->opt->json ? print_json(c, &s) : print_table(c, &s);
    stack_free(&s.s);
    free(s.slice.index);
    return rc;
}
