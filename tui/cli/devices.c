/* devices.c - `borescope devices`: what can be computed on. */
#include <stdio.h>
#include <string.h>

#include "cli_device.h"
#include "number.h"

/* A device, and how much of the model it has room for, if one was named. */
struct listed {
    struct kn_device d;
    struct placement place; /* the last part: the device; n 0: no model, or no device */
};

static const struct placement_part *own_part(const struct listed *x)
{
    return x->place.n ? &x->place.part[x->place.n - 1] : NULL;
}

static void place(const struct cli *c, struct listed *x)
{
    struct placement_room room[2] = {{.describe = "cpu", .unified = true}};
    if (!c->m || !x->d.there)
        return;
    room[1] = placement_room_of(&x->d);
    if (x->d.unified)
        placement_make(&x->place, c->m, room + 1, 1, PLACE_SPREAD);
    else
        placement_make(&x->place, c->m, room, 2, PLACE_FIT);
}

/* What tests and edits may expect of it. */
static const char *promise(const struct kn_device *d)
{
    return !d->there ? "" : d->exact_rows ? "exact rows" : "rows within a tolerance";
}

static void json_device(struct json_out *j, const struct listed *x)
{
    const struct kn_device *d = &x->d;
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
    if (x->place.n) {
        json_out_object(json_out_key(j, "model"));
        cli_json_part(j, &x->place, x->place.n - 1);
        json_out_close(j);
    }
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

static void table_device(struct table *t, const struct listed *x, bool exact, bool model)
{
    const struct kn_device *d = &x->d;
    const struct placement_part *part = own_part(x);
    char layers[32] = "";
    table_string(t, d->name);
    table_string(t, d->describe);
    table_string(t, d->driver);
    table_bytes(t, d->total, exact);
    table_bytes(t, d->available, exact);
    table_string(t, promise(d));
    if (!model)
        return;
    if (part)
        snprintf(layers, sizeof layers, "%d of %d", (int)part->layers, (int)x->place.layers);
    table_string(t, layers);
    table_bytes(t, part ? part->weights : 0, exact);
}

int cli_devices(struct cli *c)
{
    static const struct table_column columns[] = {COLUMN_TEXT("name"),   COLUMN_TEXT("device"),
                                                  COLUMN_TEXT("driver"), COLUMN_TEXT("memory"),
                                                  COLUMN_TEXT("free"),   COLUMN_TEXT("promises"),
                                                  COLUMN_TEXT("layers"), COLUMN_TEXT("weights")};
    enum { COLUMNS = sizeof columns / sizeof *columns, OF_MODEL = 2 };
    struct kn_device list[KN_DEVICES_MAX];
    struct cpu_choice cpu;
    int rc = cli_cpu(c, &cpu);
    const struct kn_options k = {.threads = c->opt->threads, .cpu = cpu.set};
    rc = !rc && c->model_name ? model_look(&c->m, c->model_name, &c->err) : rc;
    if (rc)
        return rc;
    int n = kn_devices(&k, list);
    struct table *t = c->opt->json ? NULL : table_new(columns, c->m ? COLUMNS : COLUMNS - OF_MODEL);
    struct json_out j;
    json_out_begin(&j, &c->out);
    if (c->opt->json)
        json_out_array(&j);
    for (int i = 0; i < n && (t || c->opt->json); i++) {
        struct listed x = {.d = list[i]};
        if (cpu.why[0] && strcmp(x.d.name, "cpu") == 0) {
            size_t used = strlen(x.d.describe);
            snprintf(x.d.describe + used, sizeof x.d.describe - used, " · %s", cpu.why);
        }
        place(c, &x);
        if (t)
            table_device(t, &x, c->opt->tsv, c->m);
        else
            json_device(&j, &x);
    }
    return c->opt->json ? cli_json_end(c, &j) : cli_table(c, t);
}
