/* hooks.c - `borescope hooks`: every hook point of a model, from its config alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* The sites that are TransformerLens' (module outputs of other libraries are aliases). */
static bool is_listed(enum site_id id)
{
    const char *needs = site_table[id].needs;
    return !needs || strncmp(needs, "--", 2);
}

static const char *dtype(enum site_id id)
{
    return id == SITE_TOKENS ? "i64" : "f32";
}

/* "batch", "pos", "head", ...: a head axis of keys is "head", as the edit language has it. */
static const char *dim_word(enum site_dim d)
{
    return d == DIM_KV_HEAD ? "head" : site_dim_name(d);
}

static bool is_symbolic(const struct cli *c, enum site_dim d)
{
    return !c->n && (d == DIM_POS || d == DIM_DEST || d == DIM_SRC);
}

static void json_site(const struct cli *c, struct json_out *j, struct site_ref s)
{
    const struct site_info *info = &site_table[s.id];
    const char *refusal = site_refusal(&c->m->cfg, s.id);
    char name[LIMIT_NAME];
    int64_t shape[SITE_RANK_MAX];
    site_shape(&c->m->cfg, s.id, c->n, shape);
    json_out_object(j);
    json_out_key(j, "name");
    json_out_string(j, site_name(s, name));
    json_out_key(j, "shape");
    json_out_array(j);
    if (c->n)
        json_out_int(j, 1);
    else
        json_out_string(j, "batch");
    for (int i = 0; i < info->rank; i++) {
        if (is_symbolic(c, info->dims[i]))
            json_out_string(j, "pos");
        else
            json_out_int(j, shape[i]);
    }
    json_out_close(j);
    json_out_key(j, "dims");
    json_out_array(j);
    json_out_string(j, "batch");
    for (int i = 0; i < info->rank; i++)
        json_out_string(j, dim_word(info->dims[i]));
    json_out_close(j);
    json_out_key(j, "dtype");
    json_out_string(j, dtype(s.id));
    json_out_key(j, "fires");
    json_out_bool(j, site_fires(&c->m->cfg, s.id));
    json_out_key(j, "needs");
    json_out_string(j, info->needs);
    if (refusal) {
        json_out_key(j, "refused");
        json_out_string(j, refusal);
    }
    json_out_close(j);
}

static void table_site(const struct cli *c, struct table *t, struct site_ref s)
{
    const struct site_info *info = &site_table[s.id];
    char name[LIMIT_NAME], shape[96];
    int64_t size[SITE_RANK_MAX];
    int n = snprintf(shape, sizeof shape, "[%s", c->n ? "1" : "batch");
    site_shape(&c->m->cfg, s.id, c->n, size);
    for (int i = 0; i < info->rank; i++) {
        if (is_symbolic(c, info->dims[i]))
            n += snprintf(shape + n, sizeof shape - (size_t)n, ", pos");
        else
            n += snprintf(shape + n, sizeof shape - (size_t)n, ", %lld", (long long)size[i]);
    }
    snprintf(shape + n, sizeof shape - (size_t)n, "]");
    table_string(t, site_name(s, name));
    table_string(t, shape);
    table_string(t, dtype(s.id));
    table_string(t, site_fires(&c->m->cfg, s.id) ? "yes" : "no");
    table_string(t, site_refusal(&c->m->cfg, s.id) ? "refused" : info->needs ? info->needs : "");
}

static int keep_matching(struct cli *c, struct site_ref *sites, int n)
{
    const char *filter = c->opt->filter;
    char name[LIMIT_NAME];
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (is_listed(sites[i].id) && (!filter || site_glob(filter, site_name(sites[i], name))))
            sites[kept++] = sites[i];
    if (!kept)
        return err_set(&c->err, ERR_BAD_INPUT, "no hook matches \"%s\" · --filter · try '*attn*' or 'blocks.0.*'", filter);
    return kept;
}

int cli_hooks(struct cli *c)
{
    static const struct table_column columns[] = {{"name", TABLE_TEXT, 0, 0, 0}, {"shape", TABLE_TEXT, 0, 0, 0},
                                                  {"dtype", TABLE_TEXT, 0, 0, 0}, {"fires", TABLE_TEXT, 0, 0, 0},
                                                  {"needs", TABLE_TEXT, 0, 0, 0}};
    int err = cli_model(c, false);
    if (!err)
        err = cli_prompt(c, true);
    if (err)
        return err;
    struct site_ref *sites = calloc(((size_t)c->m->cfg.n_layers + 1) * SITE_COUNT, sizeof *sites);
    if (!sites)
        return cli_memory(c);
    int n = keep_matching(c, sites, site_list(&c->m->cfg, sites));
    if (n < 0) {
        err = n;
    } else if (c->opt->json) {
        struct json_out j;
        json_out_begin(&j, &c->out);
        json_out_array(&j);
        for (int i = 0; i < n; i++)
            json_site(c, &j, sites[i]);
        json_out_close(&j);
        json_out_end(&j);
    } else {
        struct table *t = table_new(columns, 5);
        cli_head(c);
        for (int i = 0; i < n && t; i++)
            table_site(c, t, sites[i]);
        err = cli_table(c, t);
    }
    free(sites);
    return err;
}
