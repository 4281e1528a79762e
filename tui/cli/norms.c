/* norms.c - `borescope norms`: the size of activations at each position. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "names/alias.h"
#include "cli.h"
#include "measure/capture.h"
#include "measure/lens.h"

struct norm_list {
    struct alias_pick *what; /* [n] */
    float *value;            /* [n][positions] */
    int n;
};

/* A pattern leaves out what has no positions of its own (scores, patterns); a name of one is
 * refused by lens_norms. */
static int choose(struct cli *c, struct norm_list *l)
{
    const char *what = c->opt->what ? c->opt->what : "blocks.*.hook_resid_post";
    int n = alias_select(&c->m->cfg, what, &l->what, &c->err);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++)
        if (n == 1 || alias_row_axis(&l->what[i].value) == 0)
            l->what[l->n++] = l->what[i];
    if (!l->n)
        return err_set(
            &c->err, ERR_BAD_INPUT,
            "--what \"%s\" · it matches only [head, dest, src] sites, which have no norm "
            "per position",
            what);
    l->value = calloc((size_t)l->n * (size_t)c->n, sizeof *l->value);
    return l->value ? 0 : cli_memory(c);
}

/* One norm per position of a tensor; lens_norms knows those of a site. */
static int norms_of(struct cli *c, const struct alias_pick *what, float *out)
{
    struct run *r = cli_run_shown(c);
    struct capture_list l = {.m = c->m, .run = r, .columns = c->n};
    if (what->value.n_sites == 1) /* the same numbers, whatever their order */
        return lens_norms(r, what->value.site[0], 0, c->n, out, &c->err);
    int rc = captures_add(&l, what->name, what->name, -1, &c->err);
    if (!rc)
        rc = captures_load(&l, 0, &c->err);
    int64_t width = rc ? 0 : capture_count(&l, l.item) / c->n;
    for (int32_t p = 0; p < c->n && !rc; p++) {
        const float *row = l.item->values + p * width;
        double sum = 0;
        for (int64_t k = 0; k < width; k++)
            sum += (double)row[k] * row[k];
        out[p] = (float)sqrt(sum);
    }
    captures_close(&l);
    return rc;
}

static int print_json(struct cli *c, const struct norm_list *l)
{
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "sites"));
    for (int i = 0; i < l->n; i++) {
        json_out_object(&j);
        json_out_string(json_out_key(&j, "name"), l->what[i].name);
        json_out_floats(json_out_key(&j, "norms"), l->value + (size_t)i * (size_t)c->n,
                        (size_t)c->n);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

/* Positions down, sites across. */
static int print_table(struct cli *c, const struct norm_list *l)
{
    size_t columns_n = (size_t)l->n + 2;
    struct table_column *columns = calloc(columns_n, sizeof *columns);
    struct table *t = NULL;
    if (columns) {
        columns[0] = (struct table_column)COLUMN_INT("pos");
        columns[1] = (struct table_column)COLUMN_TOKEN("token");
        for (int i = 0; i < l->n; i++)
            columns[i + 2] = (struct table_column)COLUMN_NUMBER(l->what[i].name, 2);
        cli_head(c);
        t = table_new(columns, (int)columns_n);
    }
    for (int32_t p = 0; p < c->n && t; p++) {
        table_int(t, p);
        cli_table_input(c, t, p);
        for (int i = 0; i < l->n; i++)
            table_number(t, l->value[(size_t)i * (size_t)c->n + (size_t)p]);
    }
    int rc = cli_table(c, t);
    free(columns);
    return rc;
}

int cli_norms(struct cli *c)
{
    struct norm_list l = {0};
    int rc = cli_open(c, CLI_PROMPT);
    if (!rc)
        rc = choose(c, &l);
    if (!rc)
        rc = cli_sync(c);
    for (int i = 0; i < l.n && !rc; i++)
        rc = norms_of(c, &l.what[i], l.value + (size_t)i * (size_t)c->n);
    if (!rc)
        rc = c->opt->json ? print_json(c, &l) : print_table(c, &l);
    free(l.what);
    free(l.value);
    return rc;
}
