/* name.c - `borescope name`: one tensor under all its names (docs/names.md). */
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = (1u << TONGUE_COUNT) - 1 };

int names_tongues(struct cli *c, unsigned *out)
{
    const char *which = c->opt->names;
    *out = 0;
    if (!which)
        return 0;
    if (!strcmp(which, "all"))
        *out = ALL;
    for (int t = TONGUE_LENS + 1; t < TONGUE_COUNT; t++)
        if (!strcmp(which, alias_tongue_name((enum alias_tongue)t)))
            *out = 1u << t;
    return *out ? 0 : err_set(&c->err, ERR_USAGE, "--names \"%s\" · all, bridge, hf, nnsight or taker", which);
}

static bool same_tensor(const struct alias_value *a, const struct alias_value *b)
{
    bool same = a->form == b->form && a->n_sites == b->n_sites;
    for (int i = 0; same && i < a->n_sites; i++)
        same = a->site[i].id == b->site[i].id && a->site[i].layer == b->site[i].layer;
    return same;
}

bool names_get(const struct cli *c, const struct alias_value *v, enum alias_tongue t, int index, char buf[LIMIT_NAME])
{
    if (v->form == FORM_SITE || v->form == FORM_FLAT)
        return alias_name(&c->m->cfg, v->site[0], t, index, buf);
    struct alias_pick *list = NULL;
    int n = alias_list(&c->m->cfg, t, &list, NULL);
    bool found = false;
    for (int i = 0; i < n && !found; i++)
        if (same_tensor(&list[i].value, v) && index-- == 0) {
            memcpy(buf, list[i].name, LIMIT_NAME);
            found = true;
        }
    free(list);
    return found;
}

void names_json(const struct cli *c, struct json_out *j, const struct alias_value *v, unsigned tongues)
{
    char name[LIMIT_NAME];
    json_out_object(j);
    for (int t = 0; t < TONGUE_COUNT; t++) {
        if (!(tongues & 1u << t))
            continue;
        json_out_key(j, alias_tongue_name((enum alias_tongue)t));
        json_out_array(j);
        for (int k = 0; names_get(c, v, (enum alias_tongue)t, k, name); k++)
            json_out_string(j, name);
        json_out_close(j);
    }
    json_out_close(j);
}

static void json_sites(struct json_out *j, const char *key, const struct site_ref *s, int n)
{
    char name[LIMIT_NAME];
    json_out_key(j, key);
    json_out_array(j);
    for (int i = 0; i < n; i++)
        json_out_string(j, site_name(s[i], name));
    json_out_close(j);
}

static void json_text(struct json_out *j, const char *key, const char *text)
{
    json_out_key(j, key);
    json_out_string(j, text);
}

static bool is_symbolic(const struct cli *c, const char *dim)
{
    return !c->n && (!strcmp(dim, "pos") || !strcmp(dim, "dest") || !strcmp(dim, "src"));
}

/* Those of the names by which it cannot be edited. */
static void json_read_only(const struct cli *c, struct json_out *j, const struct alias_value *v)
{
    char name[LIMIT_NAME];
    json_out_key(j, "read_only");
    json_out_array(j);
    for (int t = 0; t < TONGUE_COUNT; t++)
        for (int k = 0; names_get(c, v, (enum alias_tongue)t, k, name); k++) {
            struct alias_value of;
            if (!alias_find(&c->m->cfg, name, &of, NULL) && of.n_edits == 0)
                json_out_string(j, name);
        }
    json_out_close(j);
}

static void print_json(struct cli *c, const char *asked, const struct alias_value *v)
{
    int64_t shape[ALIAS_RANK_MAX];
    const char *dims[ALIAS_RANK_MAX];
    int rank = alias_shape(&c->m->cfg, v, c->n, shape, dims);
    struct json_out j;
    json_out_begin(&j, &c->out);
    json_out_object(&j);
    json_text(&j, "name", asked);
    json_text(&j, "library", alias_tongue_name(v->tongue));
    json_out_key(&j, "shape");
    json_out_array(&j);
    if (c->n)
        json_out_int(&j, 1);
    else
        json_out_string(&j, "batch");
    for (int i = 0; i < rank; i++) {
        if (is_symbolic(c, dims[i]))
            json_out_string(&j, "pos");
        else
            json_out_int(&j, shape[i]);
    }
    json_out_close(&j);
    json_out_key(&j, "dims");
    json_out_array(&j);
    json_out_string(&j, "batch");
    for (int i = 0; i < rank; i++)
        json_out_string(&j, dims[i]);
    json_out_close(&j);
    json_sites(&j, "sites", v->site, v->n_sites);
    json_text(&j, "form", alias_form_text(v->form));
    json_out_key(&j, "editable");
    json_out_bool(&j, v->n_edits > 0);
    json_sites(&j, "edits", v->edit, v->n_edits);
    json_text(&j, "why", v->n_edits ? NULL : v->why);
    json_text(&j, "note", v->note);
    json_out_key(&j, "names");
    names_json(c, &j, v, ALL);
    json_read_only(c, &j, v);
    json_out_close(&j);
    json_out_end(&j);
}

/* "blocks.0.attn.hook_q, blocks.0.attn.hook_k" */
static void add_sites(struct bytes *out, const struct site_ref *s, int n)
{
    char name[LIMIT_NAME];
    for (int i = 0; i < n; i++)
        bytes_addf(out, "%s%s", i ? ", " : "", site_name(s[i], name));
}

/* "[batch, pos, 45]" */
static const char *shape_text(const struct cli *c, const struct alias_value *v, char buf[96])
{
    int64_t shape[ALIAS_RANK_MAX];
    const char *dims[ALIAS_RANK_MAX];
    int rank = alias_shape(&c->m->cfg, v, c->n, shape, dims), n = snprintf(buf, 96, "[%s", c->n ? "1" : "batch");
    for (int i = 0; i < rank; i++)
        n += is_symbolic(c, dims[i]) ? snprintf(buf + n, 96 - (size_t)n, ", pos")
                                     : snprintf(buf + n, 96 - (size_t)n, ", %lld", (long long)shape[i]);
    snprintf(buf + n, 96 - (size_t)n, "]");
    return buf;
}

static void print_facts(struct cli *c, const char *asked, const struct alias_value *v)
{
    int64_t shape[ALIAS_RANK_MAX];
    const char *dims[ALIAS_RANK_MAX], *form = alias_form_text(v->form);
    int rank = alias_shape(&c->m->cfg, v, c->n, shape, dims);
    char text[96];
    bytes_addf(&c->out, "# ");
    text_add(&c->out, asked, strlen(asked), 0);
    bytes_addf(&c->out, "\n# shape   %s   axes: batch", shape_text(c, v, text));
    for (int i = 0; i < rank; i++)
        bytes_addf(&c->out, " %s", dims[i]);
    bytes_addf(&c->out, "\n# is      ");
    add_sites(&c->out, v->site, v->n_sites);
    bytes_addf(&c->out, "%s%s\n# edits   ", form && v->n_sites ? ": " : "", form ? form : "");
    if (v->n_edits == 0)
        bytes_addf(&c->out, "none: %s", v->why);
    else if (v->spread)
        add_sites(&c->out, v->edit, v->n_edits);
    else
        bytes_addf(&c->out, "take effect there");
    if (v->note)
        bytes_addf(&c->out, "\n# note    %s", v->note);
    bytes_addf(&c->out, "\n");
}

/* What an edit by this name does. */
static const char *edit_word(const struct alias_value *v)
{
    return v->n_edits == 0 ? "read only" : v->spread ? "through copies per head" : "yes";
}

static int print_table(struct cli *c, const struct alias_value *v)
{
    static const struct table_column columns[] = {{"library", TABLE_TEXT, 0, 0, 0}, {"name", TABLE_TEXT, 0, 0, 0},
                                                  {"shape", TABLE_TEXT, 0, 0, 0}, {"edit", TABLE_TEXT, 0, 0, 0}};
    struct table *table = table_new(columns, 4);
    char name[LIMIT_NAME + 64], shape[96];
    for (int t = 0; t < TONGUE_COUNT && table; t++) {
        struct alias_value of;
        int k = 0;
        for (; names_get(c, v, (enum alias_tongue)t, k, name); k++) {
            int err = alias_find(&c->m->cfg, name, &of, &c->err);
            if (err) {
                table_free(table);
                return err;
            }
            table_string(table, alias_tongue_name((enum alias_tongue)t));
            table_string(table, name);
            table_string(table, shape_text(c, &of, shape));
            table_string(table, edit_word(&of));
        }
        if (k == 0 && v->n_sites == 1) {
            snprintf(name, sizeof name, "(%s)", alias_absence(v->site[0].id, (enum alias_tongue)t));
            table_string(table, alias_tongue_name((enum alias_tongue)t));
            table_string(table, name);
            table_blank(table);
            table_blank(table);
        }
    }
    return cli_table(c, table);
}

int cli_name(struct cli *c)
{
    struct alias_value v;
    const char *asked = c->opt->n_words ? c->opt->words[0] : NULL;
    if (!asked)
        return err_set(&c->err, ERR_USAGE, "no hook · borescope name MODEL HOOK · in any library's spelling");
    int err = cli_model(c, false);
    if (!err)
        err = cli_prompt(c, true);
    if (!err)
        err = alias_find(&c->m->cfg, asked, &v, &c->err);
    if (err)
        return err;
    if (c->opt->json) {
        print_json(c, asked, &v);
        return 0;
    }
    if (!c->opt->tsv)
        print_facts(c, asked, &v);
    return print_table(c, &v);
}
