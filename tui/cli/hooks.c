/* hooks.c - `borescope hooks`: every hook point of a model, from its config alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "edit/edit_reach.h"
#include "names.h"

/* What is listed, and what edits do to it. */
struct hook_list {
    struct alias_pick *items; /* TransformerLens' names */
    int n;
    unsigned libraries;
    struct edit_reach *reach;
    int32_t n_reach;
    bool *on;     /* [2 n_edits] scratch */
    bool *folded; /* [n] an expert's that stands in the line of another one */
};

/* Which edits act at a hook: on[n_edits]; false: none. */
static bool edits_at(const struct cli *c, const struct hook_list *l, const struct alias_value *v,
                     bool *on)
{
    int32_t expert = v->form == FORM_EXPERT ? v->expert + 1 : 0;
    bool any = false;
    for (int32_t i = 0; i < c->n_edits; i++)
        on[i] = false;
    for (int32_t i = 0; i < l->n_reach; i++)
        if (site_same(l->reach[i].site, v->site[0]) &&
            (!expert || !l->reach[i].expert || l->reach[i].expert == expert))
            on[l->reach[i].edit] = any = true;
    return any;
}

/* A module's output, computed in every run, that TransformerLens' transformers have no hook on:
 * listed with --names. */
static bool is_module_output(const struct alias_value *v)
{
    const char *needs = site_table[v->site[0].id].needs;
    return v->form == FORM_SITE && needs && !strncmp(needs, "--", 2);
}

static const char *needs(const struct alias_value *v)
{
    return v->form != FORM_SITE || is_module_output(v) ? NULL : site_table[v->site[0].id].needs;
}

static bool fires(const struct cli *c, const struct alias_value *v)
{
    return alias_fires(&c->m->cfg, v) || is_module_output(v);
}

static const char *dtype(const struct alias_value *v)
{
    return site_holds_ids(v->site[0].id) ? "i64" : "f32";
}

/* "batch", "pos", "head", ...: a head axis of keys is "head", as the edit language has it. */
static const char *dim_word(const char *dim)
{
    return strcmp(dim, site_dim_name(DIM_KV_HEAD)) ? dim : site_dim_name(DIM_HEAD);
}

static bool is_symbolic(const struct cli *c, const char *dim)
{
    return !c->n && (!strcmp(dim, "pos") || !strcmp(dim, "dest") || !strcmp(dim, "src"));
}

static void json_site(const struct cli *c, struct json_out *j, const struct hook_list *l,
                      const struct alias_pick *p)
{
    const struct alias_value *v = &p->value;
    const char *refusal = site_refusal(&c->m->cfg, v->site[0].id), *dims[ALIAS_RANK_MAX];
    int64_t shape[ALIAS_RANK_MAX];
    int rank = alias_shape(&c->m->cfg, v, c->n, shape, dims);
    json_out_object(j);
    json_out_string(json_out_key(j, "name"), p->name);
    json_out_array(json_out_key(j, "shape"));
    if (c->n)
        json_out_int(j, 1);
    else
        json_out_string(j, "batch");
    for (int i = 0; i < rank; i++) {
        if (is_symbolic(c, dims[i]))
            json_out_string(j, "pos");
        else
            json_out_int(j, shape[i]);
    }
    json_out_close(j);
    json_out_array(json_out_key(j, "dims"));
    json_out_string(j, "batch");
    for (int i = 0; i < rank; i++)
        json_out_string(j, dim_word(dims[i]));
    json_out_close(j);
    json_out_string(json_out_key(j, "dtype"), dtype(v));
    json_out_bool(json_out_key(j, "fires"), fires(c, v));
    json_out_string(json_out_key(j, "needs"), needs(v));
    if (refusal)
        json_out_string(json_out_key(j, "refused"), refusal);
    if (c->n_edits) {
        edits_at(c, l, v, l->on);
        cli_json_edits(c, json_out_key(j, "edits"), l->on);
    }
    if (l->libraries) {
        json_out_key(j, "names");
        names_json(&c->m->cfg, j, v, l->libraries & ~(1u << LIBRARY_LENS));
    }
    json_out_close(j);
}

/* The index-th name of a whole site in another library. */
static bool shown_name(const struct cli *c, const struct alias_pick *p, enum alias_library t,
                       int index, char buf[LIMIT_NAME])
{
    return p->value.form == FORM_SITE && alias_name(&c->m->cfg, p->value.site[0], t, index, buf);
}

/* The last of the experts that the line of item i tells of: the same hook of one layer with the
 * same edits.  Marks what is folded into it. */
static int32_t last_expert(const struct cli *c, struct hook_list *l, int i)
{
    const struct alias_value *v = &l->items[i].value;
    int32_t last = v->expert;
    if (v->form != FORM_EXPERT || c->opt->tsv)
        return last;
    edits_at(c, l, v, l->on);
    for (int k = i + 1; k < l->n && l->items[k].value.site[0].layer == v->site[0].layer; k++) {
        const struct alias_value *w = &l->items[k].value;
        if (w->form != FORM_EXPERT || !site_same(w->site[0], v->site[0]) || w->expert != last + 1)
            continue;
        edits_at(c, l, w, l->on + c->n_edits);
        if (memcmp(l->on, l->on + c->n_edits, (size_t)c->n_edits * sizeof *l->on))
            break;
        l->folded[k] = true;
        last++;
    }
    return last;
}

static void table_site(const struct cli *c, struct table *t, struct hook_list *l, int i)
{
    const struct alias_pick *p = &l->items[i];
    const struct alias_value *v = &p->value;
    int32_t last = last_expert(c, l, i);
    const char *dims[ALIAS_RANK_MAX];
    char name[LIMIT_NAME], shape[96];
    int64_t size[ALIAS_RANK_MAX];
    int n = snprintf(shape, sizeof shape, "[%s", c->n ? "1" : "batch");
    int rank = alias_shape(&c->m->cfg, v, c->n, size, dims);
    for (int d = 0; d < rank; d++) {
        if (is_symbolic(c, dims[d]))
            n += snprintf(shape + n, sizeof shape - (size_t)n, ", pos");
        else
            n += snprintf(shape + n, sizeof shape - (size_t)n, ", %lld", (long long)size[d]);
    }
    snprintf(shape + n, sizeof shape - (size_t)n, "]");
    table_string(t, names_experts(p->name, v->expert, last, name));
    table_string(t, shape);
    table_string(t, dtype(v));
    table_string(t, fires(c, v) ? "yes" : "no");
    table_string(t, site_refusal(&c->m->cfg, v->site[0].id) ? "refused" : needs(v) ? needs(v) : "");
    if (c->n_edits) {
        edits_at(c, l, v, l->on);
        cli_table_edits(c, t, l->on);
    }
    for (int k = LIBRARY_LENS + 1; k < LIBRARY_COUNT; k++)
        if (l->libraries & 1u << k)
            table_string(t, shown_name(c, p, (enum alias_library)k, 0, name) ? name : "");
}

/* Is it listed, under its own name? */
static bool is_wanted(const struct cli *c, const struct hook_list *l, const struct alias_pick *p)
{
    if (is_module_output(&p->value) && !l->libraries && !edits_at(c, l, &p->value, l->on))
        return false;
    return !c->opt->filter || site_glob(c->opt->filter, p->name);
}

/* Does another library's name of the site match the filter? */
static bool is_wanted_elsewhere(const struct cli *c, const struct alias_pick *p)
{
    char name[LIMIT_NAME];
    for (int t = LIBRARY_LENS + 1; t < LIBRARY_COUNT; t++)
        for (int k = 0; shown_name(c, p, (enum alias_library)t, k, name); k++)
            if (site_glob(c->opt->filter, name))
                return true;
    return false;
}

/* Is the site among what one name shows? */
static bool is_shown(const struct alias_value *v, const struct alias_value *item)
{
    for (int i = 0; i < v->n_sites; i++)
        if (site_same(v->site[i], item->site[0]))
            return item->form == FORM_SITE;
    return false;
}

/* The filter's own meaning comes first: TransformerLens' names, then one name of any library, then
 * patterns over the others'. */
static int keep_matching(struct cli *c, struct hook_list *l)
{
    struct alias_value v;
    int n = alias_list(&c->m->cfg, LIBRARY_LENS, &l->items, &c->err);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++)
        if (is_wanted(c, l, &l->items[i]))
            l->items[l->n++] = l->items[i];
    if (l->n)
        return 0;
    bool one = alias_find(&c->m->cfg, c->opt->filter, &v, NULL) == 0;
    for (int i = 0; i < n; i++)
        if (one ? is_shown(&v, &l->items[i].value) : is_wanted_elsewhere(c, &l->items[i]))
            l->items[l->n++] = l->items[i];
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
        json_site(c, &j, l, &l->items[i]);
    return cli_json_end(c, &j);
}

static int print_table(struct cli *c, struct hook_list *l)
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
    l->folded = calloc((size_t)l->n, sizeof *l->folded);
    for (int i = 0; i < l->n && t && l->folded; i++)
        if (!l->folded[i])
            table_site(c, t, l, i);
    if (!l->folded) {
        table_free(t);
        t = NULL;
    }
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
    l.on = calloc(2 * (size_t)c->n_edits + 1, sizeof *l.on);
    rc = l.on ? 0 : cli_memory(c);
    if (!rc && (l.n_reach = edit_reach(c->edits, c->n_edits, c->m, &l.reach, &c->err)) < 0)
        rc = l.n_reach;
    if (!rc)
        rc = keep_matching(c, &l);
    if (!rc)
        rc = c->opt->json ? print_json(c, &l) : print_table(c, &l);
    free(l.items);
    free(l.on);
    free(l.folded);
    free(l.reach);
    return rc;
}
