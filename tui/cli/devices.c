/* devices.c - `borescope devices`: what can be computed on. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "number.h"

/* What tests and edits may expect of it. */
static const char *promise(const struct kn_device *d)
{
    return !d->there ? "" : d->exact_rows ? "exact rows" : "rows within a tolerance";
}

static void json_device(struct json_out *j, const struct kn_device *d)
{
    json_out_object(j);
    json_out_string(json_out_key(j, "name"), d->name);
    json_out_bool(json_out_key(j, "there"), d->there);
    json_out_string(json_out_key(j, "device"), d->there ? d->describe : NULL);
    json_out_string(json_out_key(j, "why"), d->there ? NULL : d->describe);
    json_out_string(json_out_key(j, "driver"), d->driver[0] ? d->driver : NULL);
    json_out_int(json_out_key(j, "memory"), (int64_t)d->total);
    json_out_int(json_out_key(j, "free"), (int64_t)d->available);
    json_out_bool(json_out_key(j, "host_memory"), d->unified);
    json_out_bool(json_out_key(j, "exact_rows"), d->exact_rows);
    json_out_close(j);
}

/* Numbers are short in the plain table, exact in the other. */
static void table_bytes(struct table *t, size_t bytes, bool exact)
{
    char text[NUMBER_BYTES];
    if (exact)
        snprintf(text, sizeof text, "%zu", bytes);
    else
        number_bytes(text, (double)bytes);
    table_string(t, bytes ? text : "");
}

static void table_device(struct table *t, const struct kn_device *d, bool exact)
{
    table_string(t, d->name);
    table_string(t, d->describe);
    table_string(t, d->driver);
    table_bytes(t, d->total, exact);
    table_bytes(t, d->available, exact);
    table_string(t, promise(d));
}

int cli_devices(struct cli *c)
{
    static const struct table_column columns[] = {COLUMN_TEXT("name"),   COLUMN_TEXT("device"),
                                                  COLUMN_TEXT("driver"), COLUMN_TEXT("memory"),
                                                  COLUMN_TEXT("free"),   COLUMN_TEXT("promises")};
    struct kn_device list[KN_DEVICES_MAX];
    const struct kn_options k = {.threads = c->opt->threads, .cpu = -1};
    int n = kn_devices(&k, list);
    struct table *t = c->opt->json ? NULL : table_new(columns, sizeof columns / sizeof *columns);
    struct json_out j;
    json_out_begin(&j, &c->out);
    if (c->opt->json)
        json_out_array(&j);
    for (int i = 0; i < n && (t || c->opt->json); i++)
        if (t)
            table_device(t, &list[i], c->opt->tsv);
        else
            json_device(&j, &list[i]);
    return c->opt->json ? cli_json_end(c, &j) : cli_table(c, t);
}
