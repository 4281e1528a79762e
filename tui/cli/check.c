/* check.c - `borescope check`: runs the identities and says how well each holds. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct check_info check_table[] = {
#define CHECK(function, per_block, limit, name) {function, per_block, limit, name},
#include "checks.def"
};
const int check_count = sizeof check_table / sizeof *check_table;

const float *check_values(struct check *k, enum site_id id, int32_t layer)
{
    size_t count = (size_t)(site_row_size(&k->c->m->cfg, id, k->n) * k->n);
    float **more = realloc(k->buffers, (size_t)(k->n_buffers + 1) * sizeof *more);
    k->buffers = more ? more : k->buffers;
    float *v = more ? malloc(count * sizeof *v) : NULL;
    if (!v) {
        cli_memory(k->c);
        return NULL;
    }
    k->buffers[k->n_buffers++] = v;
    return run_read(k->r, (struct site_ref){id, layer}, 0, k->n, v, NULL, &k->c->err) ? NULL : v;
}

static void check_reset(struct check *k)
{
    for (int i = 0; i < k->n_buffers; i++)
        free(k->buffers[i]);
    k->n_buffers = 0;
}

void check_compare(struct check *k, double got, double expected)
{
    double d = fabs(got - expected), s = fabs(expected);
    if (got == expected || (isnan(got) && isnan(expected)))
        d = 0;
    if (!(d <= k->worst)) /* NaN counts as the worst */
        k->worst = isnan(d) ? INFINITY : d;
    if (isfinite(s) && s > k->scale)
        k->scale = s;
}

/* What one identity came to. */
struct finding {
    double deviation;      /* relative to the largest value */
    int32_t layer;         /* where it was worst; -1 = not per block */
    struct site_ref first; /* check.first */
    bool applies, holds;
};

static int test(struct check *k, const struct check_info *info, struct finding *out)
{
    int32_t layers = info->per_block ? k->c->m->cfg.n_layers : 1;
    *out = (struct finding){.layer = -1};
    k->first = (struct site_ref){SITE_COUNT, SITE_ROOT};
    for (int32_t l = 0; l < layers; l++) {
        k->worst = 0;
        k->scale = -1; /* still -1: nothing to compare in this model */
        int rc = info->test(k, l);
        check_reset(k);
        if (rc)
            return rc;
        double d = k->scale > 0 ? k->worst / k->scale : k->worst;
        out->applies = out->applies || k->scale >= 0;
        if (d > out->deviation || (l == 0 && info->per_block)) {
            out->deviation = d;
            out->layer = info->per_block ? l : -1;
        }
    }
    out->first = k->first;
    if (out->first.id != SITE_COUNT && out->first.layer != SITE_ROOT)
        out->layer = out->first.layer;
    out->holds = out->deviation <= info->limit;
    return 0;
}

/* What a backend that watches another one saw of the operations: trace:, check:. */
static void json_seen(struct cli *c, struct json_out *j)
{
    json_out_array(json_out_key(j, "operations"));
    for (int i = 0; i < KN_SEEN_COUNT; i++) {
        const struct kn_seen *s = kn_seen(c->be, i);
        if (!s || !s->calls)
            continue;
        json_out_object(j);
        json_out_string(json_out_key(j, "name"), kn_seen_name(i));
        json_out_int(json_out_key(j, "calls"), s->calls);
        if (s->seconds > 0) {
            json_out_double(json_out_key(j, "seconds"), s->seconds);
            json_out_double(json_out_key(j, "bytes"), s->bytes);
        } else {
            json_out_double(json_out_key(j, "difference"), s->worst);
        }
        json_out_close(j);
    }
    json_out_close(j);
    json_out_key(j, "departure");
    if (kn_departure(c->be))
        json_out_string(j, kn_departure(c->be));
    else
        json_out_null(j);
}

static int table_seen(struct cli *c)
{
    static const struct table_column columns[] = {COLUMN_TEXT("operation"), COLUMN_TEXT("calls"),
                                                  COLUMN_TEXT("ms"), COLUMN_TEXT("MB"),
                                                  COLUMN_TEXT("difference")};
    struct table *t = table_new(columns, 5);
    char text[LIMIT_NAME];
    for (int i = 0; i < KN_SEEN_COUNT && t; i++) {
        const struct kn_seen *s = kn_seen(c->be, i);
        if (!s->calls)
            continue;
        table_string(t, kn_seen_name(i));
        snprintf(text, sizeof text, "%lld", (long long)s->calls);
        table_string(t, text);
        const double figures[] = {s->seconds * 1e3, s->bytes * 1e-6, s->worst};
        bool timed = s->seconds > 0; /* by trace:, which compares nothing */
        for (int k = 0; k < 3; k++) {
            text[0] = 0;
            if (timed == (k < 2))
                snprintf(text, sizeof text, "%.3g", figures[k]);
            table_string(t, text);
        }
    }
    return cli_table(c, t);
}

static int json_findings(struct cli *c, const struct finding *f)
{
    struct json_out j;
    char name[LIMIT_NAME];
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "checks"));
    for (int i = 0; i < check_count; i++) {
        if (!f[i].applies)
            continue;
        json_out_object(&j);
        json_out_string(json_out_key(&j, "name"), check_table[i].name);
        json_out_double(json_out_key(&j, "deviation"), f[i].deviation);
        json_out_double(json_out_key(&j, "limit"), check_table[i].limit);
        json_out_key(&j, "layer");
        if (f[i].layer < 0)
            json_out_null(&j);
        else
            json_out_int(&j, f[i].layer);
        json_out_key(&j, "hook");
        if (f[i].first.id == SITE_COUNT)
            json_out_null(&j);
        else
            json_out_string(&j, site_name(f[i].first, name));
        json_out_bool(json_out_key(&j, "holds"), f[i].holds);
        json_out_close(&j);
    }
    json_out_close(&j);
    if (kn_seen(c->be, 0))
        json_seen(c, &j);
    return cli_json_end(c, &j);
}

static int table_findings(struct cli *c, const struct finding *f)
{
    static const struct table_column columns[] = {COLUMN_TEXT("holds"), COLUMN_TEXT("deviation"),
                                                  COLUMN_TEXT("limit"), COLUMN_TEXT("worst"),
                                                  COLUMN_TEXT("identity")};
    struct table *t = table_new(columns, 5);
    char text[LIMIT_NAME];
    cli_head(c);
    for (int i = 0; i < check_count && t; i++) {
        if (!f[i].applies)
            continue;
        table_string(t, f[i].holds ? "yes" : "NO");
        snprintf(text, sizeof text, "%.2g", f[i].deviation);
        table_string(t, text);
        if (check_table[i].limit > 0)
            snprintf(text, sizeof text, "%.0e", check_table[i].limit);
        else
            snprintf(text, sizeof text, "exact");
        table_string(t, text);
        snprintf(text, sizeof text, "block %d", (int)f[i].layer);
        if (f[i].first.id != SITE_COUNT)
            site_name(f[i].first, text);
        else if (f[i].layer < 0)
            text[0] = 0;
        table_string(t, text);
        table_string(t, check_table[i].name);
    }
    int rc = cli_table(c, t);
    return rc || !kn_seen(c->be, 0) ? rc : table_seen(c);
}

/* Without an image: waves of colour. */
static int default_image(struct cli *c)
{
    int32_t side = c->m->cfg.image_size;
    size_t n = (size_t)c->m->cfg.n_channels * (size_t)side * (size_t)side;
    float *values = malloc(n * sizeof *values);
    if (!values)
        return cli_memory(c);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)sin((double)i * 0.7 / side + (double)(i % (size_t)side) * 0.3);
    struct image_input *im;
    int rc = image_from_values(&im, &c->m->cfg, &c->m->image, values, &c->err);
    free(values);
    return rc ? rc : cli_image_take(c, im);
}

static int default_prompt(struct cli *c)
{
    char *text = NULL;
    int rc = model_sample(c->m, cli_bos(c->opt), &text, &c->tokens, &c->n, &c->err);
    free(text);
    return rc ? rc : model_check_tokens(c->m, c->tokens, c->n, NULL, &c->err);
}

int cli_check(struct cli *c)
{
    int rc = cli_model(c, true);
    if (!rc)
        rc = cli_prompt(c, true);
    if (!rc && !c->n)
        rc = c->m->cfg.patch_size ? default_image(c) : default_prompt(c);
    if (!rc)
        rc = cli_sync(c);
    struct finding *f = calloc((size_t)check_count, sizeof *f);
    struct check k = {.c = c, .n = c->n};
    int failed = 0, applied = 0;
    if (!rc && !f)
        rc = cli_memory(c);
    k.r = rc ? NULL : pair_run(c->pair, FACE_BASE);
    for (int i = 0; i < check_count && !rc; i++) {
        rc = test(&k, &check_table[i], &f[i]);
        applied += !rc && f[i].applies;
        failed += !rc && f[i].applies && !f[i].holds;
    }
    if (!rc)
        rc = c->opt->json ? json_findings(c, f) : table_findings(c, f);
    if (!rc && failed) {
        c->show_anyway = true;
        rc = err_set(&c->err, ERR_BAD_INPUT,
                     "%d of %d identities fail · %s · see the lines that say NO", failed, applied,
                     c->m->name);
    }
    if (!rc && kn_departure(c->be)) {
        c->show_anyway = true;
        rc = err_set(&c->err, ERR_BAD_INPUT, "backends depart · %s", kn_departure(c->be));
    }
    free(k.buffers);
    free(f);
    return rc;
}
