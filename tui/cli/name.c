/* name.c - `borescope name`: one tensor under all its names, in one model or in every architecture
 * (docs/names.md). */
#include "names.h"

#include "model/arch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL = (1u << LIBRARY_COUNT) - 1 };

int names_libraries(struct cli *c, unsigned *out)
{
    const char *which = c->opt->names;
    *out = 0;
    if (!which)
        return 0;
    if (!strcmp(which, "all"))
        *out = ALL;
    for (int t = LIBRARY_LENS + 1; t < LIBRARY_COUNT; t++)
        if (!strcmp(which, alias_library_name((enum alias_library)t)))
            *out = 1u << t;
    return *out ? 0
                : err_set(&c->err, ERR_USAGE, "--names \"%s\" · all, bridge, hf, nnsight or taker",
                          which);
}

char *names_experts(const char *name, int32_t first, int32_t last, char buf[LIMIT_NAME])
{
    static const char before[] = "experts.";
    const char *at = strstr(name, before), *number = at ? at + strlen(before) : NULL;
    if (!at || first == last)
        snprintf(buf, LIMIT_NAME, "%s", name);
    else
        snprintf(buf, LIMIT_NAME, "%.*s{%d..%d}%s", (int)(number - name), name, (int)first,
                 (int)last, number + strspn(number, "0123456789"));
    return buf;
}

static bool same_tensor(const struct alias_value *a, const struct alias_value *b)
{
    bool same = a->form == b->form && a->n_sites == b->n_sites;
    for (int i = 0; same && i < a->n_sites; i++)
        same = site_same(a->site[i], b->site[i]);
    return same;
}

/* The index-th name of a tensor in one library: of the site and of what it is part of, or of a
 * tensor made of several. */
static bool name_get(const struct config *cfg, const struct alias_value *v, enum alias_library t,
                     int index, char buf[LIMIT_NAME])
{
    if (v->n_sites == 1)
        return alias_name(cfg, v->site[0], t, index, buf);
    struct alias_pick *list = NULL;
    int n = alias_list(cfg, t, &list, NULL);
    bool found = false;
    for (int i = 0; i < n && !found; i++)
        if (same_tensor(&list[i].value, v) && index-- == 0) {
            memcpy(buf, list[i].name, LIMIT_NAME);
            found = true;
        }
    free(list);
    return found;
}

void names_json(const struct config *cfg, struct json_out *j, const struct alias_value *v,
                unsigned libraries)
{
    char name[LIMIT_NAME];
    json_out_object(j);
    for (int t = 0; t < LIBRARY_COUNT; t++) {
        if (!(libraries & 1u << t))
            continue;
        json_out_array(json_out_key(j, alias_library_name((enum alias_library)t)));
        for (int k = 0; name_get(cfg, v, (enum alias_library)t, k, name); k++)
            json_out_string(j, name);
        json_out_close(j);
    }
    json_out_close(j);
}

/* What was asked for, in one model or architecture. */
struct asked {
    const char *name;
    const struct config *cfg;
    enum {
        SIZES_ALL,
        SIZES_BUT_POS,
        SIZES_NONE
    } sizes; /* which are numbers; the others are words */
    int32_t n;
    struct alias_value v;
};

static void json_sites(struct json_out *j, const char *key, const struct site_ref *s, int n)
{
    char name[LIMIT_NAME];
    json_out_array(json_out_key(j, key));
    for (int i = 0; i < n; i++)
        json_out_string(j, site_name(s[i], name));
    json_out_close(j);
}

static void json_text(struct json_out *j, const char *key, const char *text)
{
    json_out_string(json_out_key(j, key), text);
}

/* The word to show for a size, or NULL where it is the number. */
static const char *size_word(const struct asked *a, const char *dim)
{
    bool pos = !strcmp(dim, "pos") || !strcmp(dim, "dest") || !strcmp(dim, "src");
    if (a->sizes == SIZES_NONE)
        return dim;
    return a->sizes == SIZES_BUT_POS && pos ? "pos" : NULL;
}

/* Those of the names by which it cannot be edited. */
static void json_read_only(struct json_out *j, const struct asked *a)
{
    char name[LIMIT_NAME];
    json_out_array(json_out_key(j, "read_only"));
    for (int t = 0; t < LIBRARY_COUNT; t++)
        for (int k = 0; name_get(a->cfg, &a->v, (enum alias_library)t, k, name); k++) {
            struct alias_value of;
            if (!alias_find(a->cfg, name, &of, NULL) && of.n_edits == 0)
                json_out_string(j, name);
        }
    json_out_close(j);
}

static void json_asked(struct json_out *j, const struct asked *a)
{
    const struct alias_value *v = &a->v;
    int64_t shape[ALIAS_RANK_MAX];
    const char *dims[ALIAS_RANK_MAX];
    int rank = alias_shape(a->cfg, v, a->n, shape, dims);
    json_text(j, "name", a->name);
    json_text(j, "library", alias_library_name(v->library));
    json_out_array(json_out_key(j, "shape"));
    if (a->sizes == SIZES_ALL)
        json_out_int(j, 1);
    else
        json_out_string(j, "batch");
    for (int i = 0; i < rank; i++) {
        if (size_word(a, dims[i]))
            json_out_string(j, size_word(a, dims[i]));
        else
            json_out_int(j, shape[i]);
    }
    json_out_close(j);
    json_out_array(json_out_key(j, "dims"));
    json_out_string(j, "batch");
    for (int i = 0; i < rank; i++)
        json_out_string(j, dims[i]);
    json_out_close(j);
    json_sites(j, "sites", v->site, v->n_sites);
    json_text(j, "form", alias_form_text(v->form));
    json_out_bool(json_out_key(j, "editable"), v->n_edits > 0);
    json_sites(j, "edits", v->edit, v->n_edits);
    json_text(j, "why", v->n_edits ? NULL : v->why);
    json_text(j, "note", v->note);
    json_out_key(j, "names");
    names_json(a->cfg, j, v, ALL);
    json_read_only(j, a);
}

/* "blocks.0.attn.hook_q, blocks.0.attn.hook_k" */
static void add_sites(struct bytes *out, const struct site_ref *s, int n)
{
    char name[LIMIT_NAME];
    for (int i = 0; i < n; i++)
        bytes_addf(out, "%s%s", i ? ", " : "", site_name(s[i], name));
}

/* "[batch, pos, 45]" */
static const char *shape_text(const struct asked *a, const struct alias_value *v, char buf[96])
{
    int64_t shape[ALIAS_RANK_MAX];
    const char *dims[ALIAS_RANK_MAX];
    int rank = alias_shape(a->cfg, v, a->n, shape, dims),
        n = snprintf(buf, 96, "[%s", a->sizes == SIZES_ALL ? "1" : "batch");
    for (int i = 0; i < rank; i++) {
        const char *word = size_word(a, dims[i]);
        n += word ? snprintf(buf + n, 96 - (size_t)n, ", %s", word)
                  : snprintf(buf + n, 96 - (size_t)n, ", %lld", (long long)shape[i]);
    }
    snprintf(buf + n, 96 - (size_t)n, "]");
    return buf;
}

static void print_facts(struct bytes *out, const struct asked *a)
{
    const struct alias_value *v = &a->v;
    int64_t shape[ALIAS_RANK_MAX];
    const char *dims[ALIAS_RANK_MAX], *form = alias_form_text(v->form);
    int rank = alias_shape(a->cfg, v, a->n, shape, dims);
    char text[96];
    bytes_addf(out, "# shape   %s   axes: batch", shape_text(a, v, text));
    for (int i = 0; i < rank; i++)
        bytes_addf(out, " %s", dims[i]);
    bytes_addf(out, "\n# is      ");
    add_sites(out, v->site, v->n_sites);
    bytes_addf(out, "%s%s\n# edits   ", form && v->n_sites ? ": " : "", form ? form : "");
    if (v->n_edits == 0)
        bytes_addf(out, "none: %s", v->why);
    else if (v->spread)
        add_sites(out, v->edit, v->n_edits);
    else
        bytes_addf(out, "take effect there");
    if (v->note)
        bytes_addf(out, "\n# note    %s", v->note);
    bytes_addf(out, "\n");
}

/* What an edit by this name does. */
static const char *edit_word(const struct alias_value *v)
{
    return v->n_edits == 0 ? "read only" : v->spread ? "through copies per head" : "yes";
}

static const struct table_column columns[] = {COLUMN_TEXT("architecture"), COLUMN_TEXT("library"),
                                              COLUMN_TEXT("name"), COLUMN_TEXT("shape"),
                                              COLUMN_TEXT("edit")};

/* Its rows; with a first cell for the architecture where there are several. */
static int add_rows(struct table *table, const struct asked *a, const char *architecture,
                    struct err *e)
{
    char name[LIMIT_NAME + 64], shape[96];
    for (int t = 0; t < LIBRARY_COUNT; t++) {
        struct alias_value of;
        int k = 0;
        for (; name_get(a->cfg, &a->v, (enum alias_library)t, k, name); k++) {
            int rc = alias_find(a->cfg, name, &of, e);
            if (rc)
                return rc;
            if (architecture)
                table_string(table, architecture);
            table_string(table, alias_library_name((enum alias_library)t));
            table_string(table, name);
            table_string(table, shape_text(a, &of, shape));
            table_string(table, edit_word(&of));
        }
        if (k == 0 && a->v.n_sites == 1) {
            snprintf(name, sizeof name, "(%s)",
                     alias_absence(a->v.site[0].id, (enum alias_library)t));
            if (architecture)
                table_string(table, architecture);
            table_string(table, alias_library_name((enum alias_library)t));
            table_string(table, name);
            table_blank(table);
            table_blank(table);
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ in one model */

static int name_in_model(struct cli *c)
{
    struct asked a = {.name = c->opt->words[0]};
    int rc = cli_open(c, CLI_SHAPE);
    if (!rc)
        rc = alias_find(&c->m->cfg, a.name, &a.v, &c->err);
    if (rc)
        return rc;
    a.cfg = &c->m->cfg;
    a.n = c->n;
    a.sizes = c->n ? SIZES_ALL : SIZES_BUT_POS;
    if (c->opt->json) {
        struct json_out j;
        json_out_begin(&j, &c->out);
        json_out_object(&j);
        json_asked(&j, &a);
        return cli_json_end(c, &j);
    }
    if (!c->opt->tsv) {
        bytes_addf(&c->out, "# ");
        text_add(&c->out, a.name, strlen(a.name), 0);
        bytes_addf(&c->out, "\n");
        print_facts(&c->out, &a);
    }
    struct table *table = table_new(columns + 1, 4);
    rc = table ? add_rows(table, &a, NULL, &c->err) : 0;
    if (!rc)
        return cli_table(c, table);
    table_free(table);
    return rc;
}

/* ------------------------------------------------------------------ in every architecture */

/* One layer more than the largest number in the name. */
static int32_t layers_of(const char *name)
{
    int32_t most = 0;
    for (const char *p = name; (p = strpbrk(p, "0123456789")) != NULL;
         p += strspn(p, "0123456789")) {
        long v = strtol(p, NULL, 10);
        most = v > most && v < LIMIT_LAYERS ? (int32_t)v : most;
    }
    return most + 1;
}

/* "llama, mistral, qwen2": the architectures from the i-th on with the same names; false if an
 * earlier one has them. */
static bool family_label(int i, char label[128])
{
    int n = 0;
    for (int k = 0; arch_table[k]; k++) {
        if (arch_table[k]->names != arch_table[i]->names)
            continue;
        if (k < i)
            return false;
        n += snprintf(label + n, 128 - (size_t)n, "%s%s", n ? ", " : "", arch_table[k]->model_type);
        assert(n < 128);
    }
    return true;
}

/* Each family of architectures has its rows, or the reason for having none; a name that none has is
 * an error: that of the family that has the nearest. */
static int name_in_all(struct cli *c)
{
    struct asked a = {.name = c->opt->model, .sizes = SIZES_NONE};
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    struct json_out j;
    struct err nearest;
    size_t distance_min = SIZE_MAX;
    int n_found = 0, rc = table ? 0 : cli_memory(c);
    if (c->opt->json)
        json_out_begin(&j, &c->out), json_out_array(&j);
    for (int i = 0; arch_table[i] && !rc; i++) {
        char label[128];
        struct config cfg;
        struct err why;
        if (!family_label(i, label) ||
            (rc = config_usual(&cfg, arch_table[i], layers_of(a.name), &c->err)))
            continue;
        a.cfg = &cfg;
        if (alias_find(&cfg, a.name, &a.v, &why)) {
            size_t distance = alias_distance(&cfg, a.name);
            if (distance < distance_min)
                nearest = why;
            distance_min = distance < distance_min ? distance : distance_min;
            if (!c->opt->json && !c->opt->tsv) {
                bytes_addf(&c->out, "# %s: ", label);
                text_add(&c->out, why.text, strlen(why.text), 0);
                bytes_addf(&c->out, "\n");
            }
            continue;
        }
        n_found++;
        if (c->opt->json) {
            json_out_object(&j);
            json_text(&j, "architectures", label);
            json_asked(&j, &a);
            json_out_close(&j);
        } else
            rc = add_rows(table, &a, label, &c->err);
    }
    if (!rc && !n_found)
        rc = err_set(&c->err, ERR_BAD_INPUT, "%s · borescope name [MODEL] HOOK", nearest.text);
    if (!rc && !c->opt->json)
        return cli_table(c, table);
    table_free(table);
    return rc ? rc : cli_json_end(c, &j);
}

int cli_name(struct cli *c)
{
    return c->opt->n_words ? name_in_model(c) : name_in_all(c);
}
