/* norms.c - `borescope norms`: the size of activations at each position. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "lens.h"

struct norm_list {
    struct site_ref *site; /* [n] */
    float *value;          /* [n][positions] */
    int n;
};

/* A pattern leaves out what has no positions of its own (scores, patterns); a name of one is refused by lens_norms. */
static int choose(struct cli *c, struct norm_list *l)
{
    const char *what = c->opt->what ? c->opt->what : "blocks.*.hook_resid_post";
    l->site = calloc(((size_t)c->m->cfg.n_layers + 1) * SITE_COUNT, sizeof *l->site);
    if (!l->site)
        return cli_memory(c);
    int n = site_select(&c->m->cfg, what, l->site, &c->err);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++)
        if (!site_is_pattern(what) || site_row_axis(l->site[i].id) == 0)
            l->site[l->n++] = l->site[i];
    if (!l->n)
        return err_set(&c->err, ERR_BAD_INPUT, "--what \"%s\" · it matches only [head, dest, src] sites, which have no norm "
                       "per position", what);
    l->value = calloc((size_t)l->n * (size_t)c->n, sizeof *l->value);
    return l->value ? 0 : cli_memory(c);
}

static void print_json(struct cli *c, const struct norm_list *l)
{
    struct json_out j;
    char name[LIMIT_NAME];
    json_out_begin(&j, &c->out);
    json_out_object(&j);
    cli_json_head(c, &j);
    cli_json_tokens(c, &j);
    json_out_key(&j, "sites");
    json_out_array(&j);
    for (int i = 0; i < l->n; i++) {
        json_out_object(&j);
        json_out_key(&j, "name");
        json_out_string(&j, site_name(l->site[i], name));
        json_out_key(&j, "norms");
        json_out_floats(&j, l->value + (size_t)i * (size_t)c->n, (size_t)c->n);
        json_out_close(&j);
    }
    json_out_close(&j);
    json_out_close(&j);
    json_out_end(&j);
}

/* Positions down, sites across. */
static int print_table(struct cli *c, const struct norm_list *l)
{
    size_t columns_n = (size_t)l->n + 2, len;
    struct table_column *columns = calloc(columns_n, sizeof *columns);
    char(*names)[LIMIT_NAME] = calloc(columns_n, LIMIT_NAME);
    struct table *t = NULL;
    if (columns && names) {
        columns[0] = (struct table_column){"pos", TABLE_INT, 0, 0, 0};
        columns[1] = (struct table_column){"token", TABLE_TEXT, 0, 16, TEXT_TOKEN};
        for (int i = 0; i < l->n; i++)
            columns[i + 2] = (struct table_column){site_name(l->site[i], names[i]), TABLE_NUMBER, 2, 0, 0};
        cli_head(c);
        t = table_new(columns, (int)columns_n);
    }
    for (int32_t p = 0; p < c->n && t; p++) {
        const char *text = cli_token_text(c, c->tokens[p], &len);
        table_int(t, p);
        table_text(t, text, len);
        for (int i = 0; i < l->n; i++)
            table_number(t, l->value[(size_t)i * (size_t)c->n + (size_t)p]);
    }
    int err = cli_table(c, t);
    free(columns);
    free(names);
    return err;
}

int cli_norms(struct cli *c)
{
    struct norm_list l = {0};
    int err = cli_model(c, true);
    if (!err)
        err = cli_prompt(c, false);
    if (!err)
        err = choose(c, &l);
    if (!err)
        err = cli_sync(c);
    for (int i = 0; i < l.n && !err; i++)
        err = lens_norms(cli_run_shown(c), l.site[i], 0, c->n, l.value + (size_t)i * (size_t)c->n, &c->err);
    if (!err && c->opt->json)
        print_json(c, &l);
    else if (!err)
        err = print_table(c, &l);
    free(l.site);
    free(l.value);
    return err;
}
