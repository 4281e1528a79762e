/* neurons.c - `borescope neurons`: the most active ones of a layer, as the view of this name. */
#include <stdlib.h>

#include "cli.h"
#include "measure/neurons.h"
#include "slice.h"

static void json_tops(const struct cli *c, struct json_out *j, const char *key,
                      const struct lens_top *top)
{
    json_out_array(json_out_key(j, key));
    for (int t = 0; t < NEURON_TOKENS && top[t].id >= 0; t++) {
        cli_json_token(c, j, top[t].id);
        json_out_float(json_out_key(j, "value"), top[t].logit);
        json_out_close(j);
    }
    json_out_close(j);
}

static int neurons_json(struct cli *c, const struct lens_neuron *list, int32_t k)
{
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_int(json_out_key(&j, "layer"), c->opt->layer);
    json_out_array(json_out_key(&j, "neurons"));
    for (int32_t i = 0; i < k; i++) {
        json_out_object(&j);
        json_out_int(json_out_key(&j, "neuron"), list[i].neuron);
        json_out_float(json_out_key(&j, "activation"), list[i].value);
        json_out_int(json_out_key(&j, "position"), list[i].row);
        json_tops(c, &j, "most", list[i].says);
        json_tops(c, &j, "least", list[i].against);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

static int neurons_table(struct cli *c, const struct lens_neuron *list, int32_t k)
{
    static const struct table_column columns[] = {
        COLUMN_INT("neuron"),  COLUMN_NUMBER("activation", 3), COLUMN_INT("pos"),
        COLUMN_TOKEN("token"), COLUMN_TOKEN("most"),           COLUMN_TOKEN("second"),
        COLUMN_TOKEN("least"), COLUMN_TOKEN("second least")};
    cli_head(c);
    struct table *t = table_new(columns, list[0].says[0].id < 0 ? 4 : 8);
    for (int32_t i = 0; i < k && t; i++) {
        table_int(t, list[i].neuron);
        table_number(t, list[i].value);
        table_int(t, list[i].row);
        cli_table_input(c, t, list[i].row);
        for (int s = 0; s < 2 && list[i].says[0].id >= 0; s++)
            cli_table_token(c, t, list[i].says[s].id);
        for (int s = 0; s < 2 && list[i].says[0].id >= 0; s++)
            cli_table_token(c, t, list[i].against[s].id);
    }
    return cli_table(c, t);
}

/* The positions asked for, one or neighbours; all if none is. */
static int rows_of(struct cli *c, int32_t *row0, int32_t *row1)
{
    struct capture_slice s = {0};
    *row0 = 0, *row1 = c->n;
    if (!c->opt->pos)
        return 0;
    int rc = slice_parse(&s, c->opt->pos, c->n, &c->err);
    for (int32_t i = 0; i < s.n && !rc; i++)
        if (s.index[i] != s.index[0] + i)
            rc = err_set(&c->err, ERR_USAGE, "--pos %.40s · one position or neighbours",
                         c->opt->pos);
    if (!rc && s.n)
        *row0 = s.index[0], *row1 = s.index[s.n - 1] + 1;
    free(s.index);
    return rc;
}

int cli_neurons(struct cli *c)
{
    int32_t row0 = 0, row1 = 0, k = c->opt->top;
    int rc = cli_open(c, CLI_PROMPT);
    if (!rc)
        rc = cli_check_index(c, "layer", c->opt->layer, c->m->cfg.n_layers);
    const struct site_ref site = {SITE_POST, c->opt->layer};
    if (!rc && !site_is_there(&c->m->cfg, site))
        rc = err_set(&c->err, ERR_BAD_INPUT,
                     "layer %d has no neurons of its own, they belong to its experts · capture "
                     "blocks.%d.mlp.experts.*.hook_post",
                     (int)c->opt->layer, (int)c->opt->layer);
    if (!rc)
        rc = rows_of(c, &row0, &row1);
    if (!rc)
        rc = cli_sync(c);
    int64_t width = rc ? 1 : site_row_size(&c->m->cfg, SITE_POST, c->n);
    k = k < width ? k : (int32_t)width;
    struct lens_neuron *list = rc ? NULL : malloc((size_t)k * sizeof *list);
    if (!rc)
        rc = list ? lens_neurons(cli_run_shown(c), c->opt->layer, row0, row1, k, list, &c->err)
                  : cli_memory(c);
    if (!rc)
        rc = c->opt->json ? neurons_json(c, list, k) : neurons_table(c, list, k);
    free(list);
    return rc;
}
