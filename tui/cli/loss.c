/* loss.c - `borescope loss` and `borescope test_prompt`: how well the model expects what comes next. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int loss_json(struct cli *c, double mean, const float *each)
{
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_double(json_out_key(&j, "loss"), mean);
    json_out_floats(json_out_key(&j, "per_token"), each, (size_t)c->n - 1);
    return cli_json_end(c, &j);
}

static int loss_table(struct cli *c, double mean, const float *each)
{
    static const struct table_column columns[] = {COLUMN_INT("pos"), COLUMN_TOKEN("token"), COLUMN_TOKEN("next"), COLUMN_NUMBER("loss", 4)};
    cli_head(c);
    if (!c->opt->tsv)
        bytes_addf(&c->out, "# mean %.4f nats\n", mean);
    struct table *t = table_new(columns, 4);
    for (int32_t i = 0; i + 1 < c->n && t; i++) {
        table_int(t, i);
        cli_table_token(c, t, c->tokens[i]);
        cli_table_token(c, t, c->tokens[i + 1]);
        table_number(t, each[i]);
    }
    return cli_table(c, t);
}

int cli_loss(struct cli *c)
{
    double mean = 0;
    int err = cli_open(c, CLI_PROMPT);
    if (!err && c->n < 2)
        err = err_set(&c->err, ERR_BAD_INPUT, "loss · needs two tokens or more, the prompt has %d", (int)c->n);
    if (!err)
        err = cli_sync(c);
    float *each = err ? NULL : malloc((size_t)c->n * sizeof *each);
    if (!err && !each)
        err = cli_memory(c);
    if (!err)
        err = lens_loss(cli_run_shown(c), &mean, each, &c->err);
    if (!err)
        err = c->opt->json ? loss_json(c, mean, each) : loss_table(c, mean, each);
    free(each);
    return err;
}

/* The prompt with the tokens of the answer behind it: an id, or text, which may be several tokens. */
static int append_answer(struct cli *c, int32_t *n_prompt)
{
    const char *answer = c->opt->answer;
    *n_prompt = c->n;
    if (!answer)
        return err_set(&c->err, ERR_USAGE, "test_prompt needs the expected answer · --answer ' Mary'");
    int32_t *ids = NULL, n = 0;
    int err;
    if (*answer && strspn(answer, "0123456789") == strlen(answer)) {
        err = cli_ids(answer, &ids, &n, &c->err);
    } else {
        bool space = !c->opt->no_space && *answer != ' '; /* prepend_space_to_answer */
        char *text = malloc(strlen(answer) + 2);
        if (!text)
            return cli_memory(c);
        text[0] = ' ';
        memcpy(text + space, answer, strlen(answer) + 1);
        err = model_tokens(c->m, text, strlen(text), 0, &ids, &n, &c->err);
        free(text);
    }
    int32_t *all = err ? NULL : realloc(c->tokens, ((size_t)c->n + (size_t)n) * sizeof *all);
    if (!err && !all)
        err = cli_memory(c);
    if (!err) {
        memcpy(all + c->n, ids, (size_t)n * sizeof *all);
        c->tokens = all;
        c->n += n;
        err = model_check_tokens(c->m, all, c->n, NULL, &c->err);
    }
    free(ids);
    return err;
}

struct answer {
    int32_t n_prompt, k;
    struct lens_cell *cell; /* [answer tokens] */
    struct lens_top *top;   /* [answer tokens][k] */
};

static int rank_answer(struct cli *c, struct answer *a)
{
    int err = 0;
    for (int32_t i = a->n_prompt; i < c->n && !err; i++)
        err = lens_output(cli_run_shown(c), i - 1, i, a->k, c->tokens[i], &a->cell[i - a->n_prompt],
                          &a->top[(i - a->n_prompt) * a->k], &c->err);
    return err;
}

static int answer_json(struct cli *c, const struct answer *a)
{
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "answer"));
    for (int32_t i = a->n_prompt; i < c->n; i++) {
        const struct lens_cell *cell = &a->cell[i - a->n_prompt];
        cli_json_token(c, &j, c->tokens[i]);
        json_out_int(json_out_key(&j, "position"), i);
        json_out_int(json_out_key(&j, "rank"), cell->target_rank);
        json_out_float(json_out_key(&j, "logit"), cell->target_logit);
        json_out_float(json_out_key(&j, "logprob"), cell->target_logit - cell->lse);
        cli_json_top(c, json_out_key(&j, "top"), cell, &a->top[(i - a->n_prompt) * a->k], a->k);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

static int answer_table(struct cli *c, const struct answer *a)
{
    static const struct table_column columns[] = {COLUMN_INT("pos"), COLUMN_TOKEN("answer"), COLUMN_INT("rank"), COLUMN_NUMBER("logit", 2),
                                                  COLUMN_NUMBER("p", 4), COLUMN_INT("top"), COLUMN_TOKEN("token"), COLUMN_NUMBER("logit", 2),
                                                  COLUMN_NUMBER("p", 4)};
    cli_head(c);
    struct table *t = table_new(columns, 9);
    for (int32_t i = a->n_prompt; i < c->n && t; i++)
        for (int32_t k = 0; k < a->k; k++) {
            const struct lens_cell *cell = &a->cell[i - a->n_prompt];
            const struct lens_top *top = &a->top[(i - a->n_prompt) * a->k + k];
            table_int(t, i);
            cli_table_token(c, t, c->tokens[i]);
            table_int(t, cell->target_rank);
            table_number(t, cell->target_logit);
            table_number(t, expf(cell->target_logit - cell->lse));
            table_int(t, k);
            cli_table_token(c, t, top->id);
            table_number(t, top->logit);
            table_number(t, expf(top->logit - cell->lse));
        }
    return cli_table(c, t);
}

int cli_test_prompt(struct cli *c)
{
    struct answer a = {0};
    int err = cli_open(c, CLI_PROMPT);
    if (!err)
        err = append_answer(c, &a.n_prompt);
    if (!err)
        err = cli_sync(c);
    if (err)
        return err;
    a.k = cli_top(c);
    a.cell = calloc((size_t)(c->n - a.n_prompt), sizeof *a.cell);
    a.top = calloc((size_t)(c->n - a.n_prompt) * (size_t)a.k, sizeof *a.top);
    err = a.cell && a.top ? rank_answer(c, &a) : cli_memory(c);
    if (!err)
        err = c->opt->json ? answer_json(c, &a) : answer_table(c, &a);
    free(a.cell);
    free(a.top);
    return err;
}
