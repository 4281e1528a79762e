/* models.c - `borescope models`: what is in the local cache, and whether it opens. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "model/catalog.h"
#include "number.h"

static void json_entry(struct json_out *j, const struct catalog_entry *x, const char *why)
{
    json_out_object(j);
    json_out_string(json_out_key(j, "name"), x->name);
    json_out_string(json_out_key(j, "family"), x->family[0] ? x->family : NULL);
    json_out_key(j, "parameters");
    if (x->opens)
        json_out_int(j, (int64_t)x->params);
    else
        json_out_null(j);
    json_out_int(json_out_key(j, "bytes"), (int64_t)x->bytes);
    json_out_string(json_out_key(j, "dtype"), x->opens ? x->dtype : NULL);
    json_out_bool(json_out_key(j, "opens"), x->opens);
    json_out_string(json_out_key(j, "why"), x->opens ? NULL : why);
    json_out_close(j);
}

/* Numbers are short in the plain table, exact in the other. */
static void table_size(struct table *t, bool exact, uint64_t v,
                       const char *(*form)(char out[NUMBER_BYTES], double v))
{
    char text[NUMBER_BYTES];
    if (exact)
        snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    else
        form(text, (double)v);
    table_string(t, v ? text : "");
}

static void table_entry(struct table *t, const struct catalog_entry *x, const char *why, bool exact)
{
    table_string(t, x->name);
    table_string(t, x->family);
    table_size(t, exact, x->params, number_count);
    table_size(t, exact, x->bytes, number_bytes);
    table_string(t, x->dtype);
    table_string(t, x->opens ? "yes" : why);
}

int cli_models(struct cli *c)
{
    static const struct table_column columns[] = {COLUMN_TEXT("name"),       COLUMN_TEXT("family"),
                                                  COLUMN_TEXT("parameters"), COLUMN_TEXT("size"),
                                                  COLUMN_TEXT("type"),       COLUMN_TEXT("opens")};
    struct catalog list;
    int rc = catalog_list(&list, &c->err);
    if (rc)
        return rc;
    struct table *t = c->opt->json ? NULL : table_new(columns, sizeof columns / sizeof *columns);
    struct json_out j;
    json_out_begin(&j, &c->out);
    if (c->opt->json)
        json_out_array(&j);
    for (int i = 0; i < list.n && (t || c->opt->json); i++) {
        char why[sizeof c->err.text];
        catalog_look(&list.entry[i]);
        catalog_why(&list.entry[i], why, sizeof why);
        if (t)
            table_entry(t, &list.entry[i], why, c->opt->tsv);
        else
            json_entry(&j, &list.entry[i], why);
    }
    catalog_free(&list);
    return c->opt->json ? cli_json_end(c, &j) : cli_table(c, t);
}
