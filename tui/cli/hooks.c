/* hooks.c - `borescope hooks`: every hook point of a model, from its config alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "edit/edit_reach.h"
#include "names.h"

/* What is listed, and what edits do to it. */
struct hook_list {
    struct site_ref *sites;
    int n;
    unsigned libraries;
    struct edit_reach *reach;
    int32_t n_reach;
    bool *on; /* [n_edits] scratch */
};

/* Which edits act at a site: list.on; false: none. */
static bool edits_at(const struct cli *c, const struct hook_list *l, struct site_ref s)
{
    bool any = false;
    for (int32_t i = 0; i < c->n_edits; i++)
        l->on[i] = false;
    for (int32_t i = 0; i < l->n_reach; i++)
        if (site_same(l->reach[i].site, s))
            l->on[l->reach[i].edit] = any = true;
    return any;
}

/* A module's output, computed in every run, that TransformerLens' transformers have no hook on:
 * listed with --names. */
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

static void json_site(const struct cli *c, struct json_out *j, const struct hook_list *l,
                      struct site_ref s)
{
    const struct site_info *info = &site_table[s.id];
    const char *refusal = site_refusal(&c->m->cfg, s.id);
    char name[LIMIT_NAME];
    int64_t shape[SITE_RANK_MAX];
    site_shape(&c->m->cfg, s.id, c->n, shape);
    json_out_object(j);
    json_out_string(json_out_key(j, "name"), site_name(s, name));
    json_out_array(json_out_key(j, "shape"));
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
    json_out_array(json_out_key(j, "dims"));
    json_out_string(j, "batch");
    for (int i = 0; i < info->rank; i++)
        json_out_string(j, dim_word(info->dims[i]));
    json_out_close(j);
    json_out_string(json_out_key(j, "dtype"), dtype(s.id));
    json_out_bool(json_out_key(j, "fires"), fires(c, s.id));
    json_out_string(json_out_key(j, "needs"), needs(s.id));
    if (refusal)
        json_out_string(json_out_key(j, "refused"), refusal);
    if (c->n_edits) {
        edits_at(c, l, s);
        cli_json_edits(c, json_out_key(j, "edits"), l->on);
    }
    if (l->libraries) {
        struct alias_value v;
        json_out_key(j, "names");
        if (!alias_find(&c->m->cfg, name, &v, NULL))
            names_json(&c->m->cfg, j, &v, l->libraries & ~(1u << LIBRARY_LENS));
    }
    json_out_close(j);
}

static void table_site(const struct cli *c, struct table *t, const struct hook_list *l,
                       struct site_ref s)
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
    if (c->n_edits) {
        edits_at(c, l, s);
        cli_table_edits(c, t, l->on);
    }
    for (int k = LIBRARY_LENS + 1; k < LIBRARY_COUNT; k++)
        if (l->libraries & 1u << k)
            table_string(t, alias_name(&c->m->cfg, s, (enum alias_library)k, 0, name) ? name : "");
}

/* Is it listed, under its own name? */
static bool is_wanted(const struct cli *c, const struct hook_list *l, struct site_ref s)
{
    char name[LIMIT_NAME];
    if (is_module_output(s.id) && !l->libraries && !edits_at(c, l, s))
        return false;
    return !c->opt->filter || site_glob(c->opt->filter, site_name(s, name));
}

/* Does another library's name of the site match the filter? */
static bool is_wanted_elsewhere(const struct cli *c, struct site_ref s)
{
    char name[LIMIT_NAME];
    for (int t = LIBRARY_LENS + 1; t < LIBRARY_COUNT; t++)
        for (int k = 0; alias_name(&c->m->cfg, s, (enum alias_library)t, k, name); k++)
            if (site_glob(c->opt->filter, name))
                return true;
    return false;
}

/* Is the site among what one name shows? */
static bool is_shown(const struct alias_value *v, struct site_ref s)
{
    for (int i = 0; i < v->n_sites; i++)
        if (site_same(v->site[i], s))
            return true;
    return false;
}

/* The filter's own meaning comes first: TransformerLens' names, then one name of any library, then
 * patterns over the others'. */
static int keep_matching(struct cli *c, struct hook_list *l)
{
    struct alias_value v;
    int n = site_list(&c->m->cfg, l->sites);
    for (int i = 0; i < n; i++)
        if (is_wanted(c, l, l->sites[i]))
            l->sites[l->n++] = l->sites[i];
    if (l->n)
        return 0;
    bool one = alias_find(&c->m->cfg, c->opt->filter, &v, NULL) == 0;
    for (int i = 0; i < n; i++)
        if (one ? is_shown(&v, l->sites[i]) : is_wanted_elsewhere(c, l->sites[i]))
            l->sites[l->n++] = l->sites[i];
    return l->n ? 0
                : err_set(&c->err, ERR_BAD_INPUT,
                          "no hook matches \"%s\" · --filter · try '*attn*' or 'blocks.0.*'",
                          c->opt->filter);
}

static int print_json(struct cli *c, const struct hook_list *l)
{
    struct json_out j;
    json_out_begin(&j, &c->out);
    json_out_array(&j);
    for (int i = 0; i < l->n; i++)
        json_site(c, &j, l, l->sites[i]);
    return cli_json_end(c, &j);
}

static int print_table(struct cli *c, const struct hook_list *l)
{
    struct table_column columns[6 + LIBRARY_COUNT] = {COLUMN_TEXT("name"),  COLUMN_TEXT("shape"),
                                                      COLUMN_TEXT("dtype"), COLUMN_TEXT("fires"),
                                                      COLUMN_TEXT("needs"), COLUMN_TEXT("edits")};
    int n_columns = c->n_edits ? 6 : 5;
    for (int t = LIBRARY_LENS + 1; t < LIBRARY_COUNT; t++)
        if (l->libraries & 1u << t)
            columns[n_columns++] = (struct table_column)COLUMN_TEXT(
                alias_library_name((enum alias_library)t));
    struct table *t = table_new(columns, n_columns);
    cli_head(c);
    for (int i = 0; i < l->n && t; i++)
        table_site(c, t, l, l->sites[i]);
    return cli_table(c, t);
}

int cli_hooks(struct cli *c)
{
    struct hook_list l = {0};
    struct pair_target t;
    int rc = names_libraries(c, &l.libraries);
    if (!rc)
        rc = cli_open(c, CLI_SHAPE);
    if (!rc)
        rc = cli_target(c, &t);
    if (rc)
        return rc;
    l.sites = calloc(((size_t)c->m->cfg.n_layers + 1) * SITE_COUNT, sizeof *l.sites);
    l.on = calloc((size_t)c->n_edits + 1, sizeof *l.on);
    rc = l.sites && l.on ? 0 : cli_memory(c);
    if (!rc && (l.n_reach = edit_reach(c->edits, c->n_edits, c->m, &l.reach, &c->err)) < 0)
        rc = l.n_reach;
    if (!rc)
        rc = keep_matching(c, &l);
    if (!rc)
        rc = c->opt->json ? print_json(c, &l) : print_table(c, &l);
    free(l.sites);
    free(l.on);
    free(l.reach);
    return rc;
}
