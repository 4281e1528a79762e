/* check.c - `borescope check`: runs the identities and says how well each holds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "measure/check.h"

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

static int json_findings(struct cli *c, const struct check_finding *f)
{
    struct json_out j;
    char name[LIMIT_NAME];
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "checks"));
    for (int i = 0; i < CHECK_COUNT; i++) {
        if (f[i].result == CHECK_ABSENT)
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
        json_out_bool(json_out_key(&j, "holds"), f[i].result == CHECK_HOLDS);
        json_out_close(&j);
    }
    json_out_close(&j);
    if (kn_seen(c->be, 0))
        json_seen(c, &j);
    return cli_json_end(c, &j);
}

static int table_findings(struct cli *c, const struct check_finding *f)
{
    static const struct table_column columns[] = {COLUMN_TEXT("holds"), COLUMN_TEXT("deviation"),
                                                  COLUMN_TEXT("limit"), COLUMN_TEXT("worst"),
                                                  COLUMN_TEXT("identity")};
    struct table *t = table_new(columns, 5);
    char text[LIMIT_NAME];
    cli_head(c);
    for (int i = 0; i < CHECK_COUNT && t; i++) {
        if (f[i].result == CHECK_ABSENT)
            continue;
        table_string(t, f[i].result == CHECK_HOLDS ? "yes" : "NO");
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
    struct check_finding f[CHECK_COUNT];
    int failed = 0, applied = 0;
    for (int i = 0; i < CHECK_COUNT && !rc; i++) {
        rc = check_identity(pair_run(c->pair, FACE_BASE), i, cli_cache_bytes(c), &f[i], &c->err);
        applied += !rc && f[i].result != CHECK_ABSENT;
        failed += !rc && f[i].result == CHECK_FAILS;
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
    return rc;
}
