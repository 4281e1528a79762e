/* hooks.c - `borescope hooks`: every hook point of a model, from its config alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "names.h"

/* A module's output, computed in every run, that TransformerLens' transformers have no hook on: listed with --names. */
static bool is_module_output(enum site_id id)
{
    const char *needs = site_table[id].needs;
    return needs && !strncmp(needs, "--", 2);
}

static const char *needs(enum site_id id)
{
    return is_module_output(id) ? NULL : site_table[id].needs;
}

static bool fires(const struct cli *c, enum site_id id)
{
    return site_fires(&c->m->cfg, id) || is_module_output(id);
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

static void json_site(const struct cli *c, struct json_out *j, struct site_ref s, unsigned tongues)
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
    json_out_bool(j, fires(c, s.id));
    json_out_key(j, "needs");
    json_out_string(j, needs(s.id));
    if (refusal) {
        json_out_key(j, "refused");
        json_out_string(j, refusal);
    }
    if (tongues) {
        struct alias_value v;
        json_out_key(j, "names");
        if (!alias_find(&c->m->cfg, name, &v, NULL))
            names_json(&c->m->cfg, j, &v, tongues & ~(1u << TONGUE_LENS));
    }
    json_out_close(j);
}

static void table_site(const struct cli *c, struct table *t, struct site_ref s, unsigned tongues)
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
    table_string(t, fires(c, s.id) ? "yes" : "no");
    table_string(t, site_refusal(&c->m->cfg, s.id) ? "refused" : needs(s.id) ? needs(s.id) : "");
    for (int k = TONGUE_LENS + 1; k < TONGUE_COUNT; k++)
        if (tongues & 1u << k)
            table_string(t, alias_name(&c->m->cfg, s, (enum alias_tongue)k, 0, name) ? name : "");
}

/* Does one of the site's names match?  Other tongues are asked only where they are shown. */
static bool is_wanted(const struct cli *c, struct site_ref s, unsigned tongues)
{
    char name[LIMIT_NAME];
    if (is_module_output(s.id) && !tongues)
        return false;
    if (!c->opt->filter || site_glob(c->opt->filter, site_name(s, name)))
        return true;
    for (int t = TONGUE_LENS + 1; t < TONGUE_COUNT; t++)
        for (int k = 0; tongues & 1u << t && alias_name(&c->m->cfg, s, (enum alias_tongue)t, k, name); k++)
            if (site_glob(c->opt->filter, name))
                return true;
    return false;
}

static int keep_matching(struct cli *c, struct site_ref *sites, int n, unsigned tongues)
{
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (is_wanted(c, sites[i], tongues))
            sites[kept++] = sites[i];
    if (!kept)
        return err_set(&c->err, ERR_BAD_INPUT, "no hook matches \"%s\" · --filter · try '*attn*' or 'blocks.0.*'",
                       c->opt->filter);
    return kept;
}

static void print_json(struct cli *c, const struct site_ref *sites, int n, unsigned tongues)
{
    struct json_out j;
    json_out_begin(&j, &c->out);
    json_out_array(&j);
    for (int i = 0; i < n; i++)
        json_site(c, &j, sites[i], tongues);
    json_out_close(&j);
    json_out_end(&j);
}

static int print_table(struct cli *c, const struct site_ref *sites, int n, unsigned tongues)
{
    struct table_column columns[5 + TONGUE_COUNT] = {{"name", TABLE_TEXT, 0, 0, 0}, {"shape", TABLE_TEXT, 0, 0, 0},
                                                     {"dtype", TABLE_TEXT, 0, 0, 0}, {"fires", TABLE_TEXT, 0, 0, 0},
                                                     {"needs", TABLE_TEXT, 0, 0, 0}};
    int n_columns = 5;
    for (int t = TONGUE_LENS + 1; t < TONGUE_COUNT; t++)
        if (tongues & 1u << t)
            columns[n_columns++] = (struct table_column){alias_tongue_name((enum alias_tongue)t), TABLE_TEXT, 0, 0, 0};
    struct table *t = table_new(columns, n_columns);
    cli_head(c);
    for (int i = 0; i < n && t; i++)
        table_site(c, t, sites[i], tongues);
    return cli_table(c, t);
}

int cli_hooks(struct cli *c)
{
    unsigned tongues;
    int err = names_tongues(c, &tongues);
    if (!err)
        err = cli_open(c, CLI_SHAPE);
    if (err)
        return err;
    struct site_ref *sites = calloc(((size_t)c->m->cfg.n_layers + 1) * SITE_COUNT, sizeof *sites);
    if (!sites)
        return cli_memory(c);
    int n = keep_matching(c, sites, site_list(&c->m->cfg, sites), tongues);
    if (n < 0)
        err = n;
    else if (c->opt->json)
        print_json(c, sites, n, tongues);
    else
        err = print_table(c, sites, n, tongues);
    free(sites);
    return err;
}
