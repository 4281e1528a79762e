/* loss.c - `borescope loss`: how well the model expects each next token. */
#include <stdlib.h>

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
    static const struct table_column columns[] = {COLUMN_INT("pos"), COLUMN_TOKEN("token"),
                                                  COLUMN_TOKEN("next"), COLUMN_NUMBER("loss", 4)};
    cli_head(c);
    if (!c->opt->tsv)
        bytes_addf(&c->out, "# mean %.4f nats\n", mean);
    struct table *t = table_new(columns, 4);
    for (int32_t i = 0; i + 1 < c->n && t; i++) {
        table_int(t, i);
        cli_table_input(c, t, i);
        cli_table_input(c, t, i + 1);
        table_number(t, each[i]);
    }
    return cli_table(c, t);
}

int cli_loss(struct cli *c)
{
    double mean = 0;
    int rc = cli_open_text(c, CLI_PROMPT);
    if (!rc && c->m->cfg.bidirectional)
        rc = err_set(&c->err, ERR_BAD_INPUT, "loss · %s", LENS_NO_LOSS);
    if (!rc && c->n < 2)
        rc = err_set(&c->err, ERR_BAD_INPUT, "loss · needs two tokens or more, the prompt has %d",
                     (int)c->n);
    if (!rc)
        rc = cli_sync(c);
    float *each = rc ? NULL : malloc((size_t)c->n * sizeof *each);
    if (!rc && !each)
        rc = cli_memory(c);
    if (!rc)
        rc = lens_loss(cli_run_shown(c), &mean, each, &c->err);
    if (!rc)
        rc = c->opt->json ? loss_json(c, mean, each) : loss_table(c, mean, each);
    free(each);
    return rc;
}
