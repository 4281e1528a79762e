/* run.c - `borescope run`: activations of a prompt into a file, or as statistics. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "measure/capture.h"
#include "model/process.h"
#include "slice.h"

/* What is said of one run besides its activations. */
struct outcome {
    double loss, kl;
    struct lens_cell cell;
    struct lens_top top[LENS_TOP_MAX];
};

static int outcome(struct cli *c, struct run *r, struct outcome *out)
{
    struct run *base = pair_run(c->pair, FACE_BASE);
    int32_t last = model_answer_row(c->m, c->tokens, c->n);
    *out = (struct outcome){.loss = NAN};
    if (!site_exists(&c->m->cfg, SITE_UNEMBED_OUT))
        return 0;
    int rc = c->m->cfg.bidirectional ? 0 : lens_loss(r, &out->loss, NULL, &c->err);
    if (!rc)
        rc = lens_output(r, last, last + 1, c->opt->top, -1, &out->cell, out->top, &c->err);
    if (!rc && r != base)
        rc = lens_kl(base, r, last, &out->kl, &c->err);
    return rc;
}

static void json_outcome(const struct cli *c, struct json_out *j, const char *key,
                         const struct outcome *o)
{
    json_out_key(j, key);
    if (!o) {
        json_out_null(j);
        return;
    }
    json_out_object(j);
    json_out_double(json_out_key(j, "loss"), o->loss);
    json_out_double(json_out_key(j, "kl"), o->kl);
    if (!site_exists(&c->m->cfg, SITE_UNEMBED_OUT))
        json_out_null(json_out_key(j, "top"));
    else
        cli_json_top(c, json_out_key(j, "top"), &o->cell, o->top, cli_top(c));
    json_out_close(j);
}

/* What is said of one tensor, which is read for it; shape[0]: the batch. */
struct shown {
    const char *name;
    int rank;
    int64_t shape[ALIAS_RANK_MAX + 1];
    struct lens_stats stats;
};

static int look_at(struct capture_list *l, int i, struct shown *out, struct err *e)
{
    struct capture *k = &l->item[i];
    struct site_ref site = k->value.site[0];
    int64_t n = capture_count(l, k);
    *out = (struct shown){.name = k->name, .shape = {1}};
    out->rank = 1 + capture_shape(l, k, false, out->shape + 1);
    if (!k->cut && n * (int64_t)sizeof(float) > LIMIT_CAPTURE_BYTES) /* logits, a block at a time */
        return lens_stats(l->run, site, 0, l->columns, &out->stats, e);
    int rc = captures_load(l, i, e);
    if (rc)
        return rc;
    lens_stats_values(k->values, n, site.id == SITE_ATTN_SCORES, &out->stats);
    capture_drop(k);
    return 0;
}

static void json_capture(struct json_out *j, const struct shown *k)
{
    json_out_object(j);
    json_out_string(json_out_key(j, "name"), k->name);
    json_out_ints(json_out_key(j, "shape"), k->shape, (size_t)k->rank);
    cli_json_stats(j, &k->stats);
    json_out_int(json_out_key(j, "nan"), k->stats.n_nan);
    json_out_int(json_out_key(j, "inf"), k->stats.n_inf);
    json_out_close(j);
}

static int print_json(struct cli *c, struct capture_list *l, const struct outcome *base,
                      const struct outcome *edited)
{
    struct json_out j;
    int rc = 0;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "sites"));
    for (int i = 0; i < l->n && !rc; i++) {
        struct shown k;
        if ((rc = look_at(l, i, &k, &c->err)))
            return rc;
        json_capture(&j, &k);
    }
    json_out_close(&j);
    if (c->opt->grad) {
        json_out_object(json_out_key(&j, "grad"));
        json_out_string(json_out_key(&j, "metric"), c->opt->grad);
        json_out_double(json_out_key(&j, "value"), c->metric);
        json_out_close(&j);
    }
    json_outcome(c, &j, "base", base);
    json_outcome(c, &j, "edited", edited);
    return cli_json_end(c, &j);
}

static void plain_outcome(struct cli *c, const char *name, const struct outcome *o)
{
    if (c->opt->tsv || !site_exists(&c->m->cfg, SITE_UNEMBED_OUT))
        return;
    bytes_addf(&c->out, "# %-6s", name);
    if (!isnan(o->loss))
        bytes_addf(&c->out, " loss %.4f", o->loss);
    bytes_addf(&c->out, "  KL %.4f  %s", o->kl,
               c->image                  ? "class"
               : c->m->cfg.bidirectional ? "here"
                                         : "next");
    for (int32_t i = 0; i < cli_top(c); i++) {
        bytes_add_string(&c->out, "  ");
        cli_plain_token(c, o->top[i].id);
        bytes_addf(&c->out, " %.3f", exp((double)o->top[i].logit - (double)o->cell.lse));
    }
    bytes_add_char(&c->out, '\n');
}

static int print_table(struct cli *c, struct capture_list *l, const struct outcome *base,
                       const struct outcome *edited)
{
    static const struct table_column columns[] = {COLUMN_TEXT("name"),      COLUMN_TEXT("shape"),
                                                  COLUMN_NUMBER("mean", 4), COLUMN_NUMBER("std", 4),
                                                  COLUMN_NUMBER("min", 4),  COLUMN_NUMBER("max", 4),
                                                  COLUMN_INT("NaN"),        COLUMN_INT("inf")};
    cli_head(c);
    plain_outcome(c, edited ? "base" : "", base);
    if (edited)
        plain_outcome(c, "edited", edited);
    if (c->opt->grad && !c->opt->tsv) {
        bytes_add_string(&c->out, "# grad   ");
        cli_plain_text(&c->out, c->opt->grad, strlen(c->opt->grad));
        bytes_addf(&c->out, " = %.6g\n", c->metric);
    }
    struct table *t = table_new(columns, 8);
    for (int i = 0; i < l->n && t; i++) {
        struct shown k;
        char shape[96];
        int n = snprintf(shape, sizeof shape, "["), rc = look_at(l, i, &k, &c->err);
        if (rc) {
            table_free(t);
            return rc;
        }
        for (int d = 0; d < k.rank; d++)
            n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%lld", d ? ", " : "",
                          (long long)k.shape[d]);
        snprintf(shape + n, sizeof shape - (size_t)n, "]");
        table_string(t, k.name);
        table_string(t, shape);
        cli_table_stats(t, &k.stats);
        table_int(t, k.stats.n_nan);
        table_int(t, k.stats.n_inf);
    }
    return cli_table(c, t);
}

/* JSON text of the token ids and of the edits, for the file's metadata. */
static void meta_lists(const struct cli *c, struct bytes *tokens, struct bytes *edits)
{
    struct json_out j;
    json_out_begin(&j, tokens);
    j.one_line = true;
    json_out_array(&j);
    for (int32_t i = 0; i < c->n; i++)
        json_out_int(&j, c->tokens[i]);
    json_out_end(&j);
    json_out_begin(&j, edits);
    j.one_line = true;
    cli_json_edits(c, &j, NULL);
    json_out_end(&j);
}

static int write_file(struct cli *c, struct capture_list *l)
{
    struct bytes tokens = {0}, edits = {0};
    char process[PROCESS_TEXT_MAX];
    meta_lists(c, &tokens, &edits);
    const struct tensor_meta meta[] = {
        {"program", "borescope " BORE_VERSION},
        {"model", c->m->name},
        {"tokens", tokens.data},
        {"edits", edits.data},
        {"processing", process_text(c->m->process, process, sizeof process)},
        {"metric", c->opt->grad ? c->opt->grad : ""},
        {"bos", cli_has_bos(c) ? "true" : "false"},
        {"pos", c->opt->pos ? c->opt->pos : ":"}};
    int rc = tokens.failed || edits.failed
                 ? cli_memory(c)
                 : captures_write(l, c->opt->output, meta, sizeof meta / sizeof *meta, &c->err);
    if (!rc && !c->opt->json && !c->opt->tsv) {
        int64_t count = 0;
        for (int i = 0; i < l->n; i++)
            count += capture_count(l, &l->item[i]);
        cli_head(c);
        bytes_addf(&c->out, "# %d tensors, %.1f MB, written to ", l->n, (double)count * 4e-6);
        cli_plain_text(&c->out, c->opt->output, strlen(c->opt->output));
        bytes_add_char(&c->out, '\n');
    }
    bytes_free(&tokens);
    bytes_free(&edits);
    return rc;
}

/* --grad: the metric's value, and NAME_grad for every captured name. */
static int gradients(struct cli *c, struct capture_list *l, double *value)
{
    struct metric m;
    struct run *base = pair_run(c->pair, FACE_BASE), *shown = cli_run_shown(c);
    if (l->n < 2)
        return err_set(&c->err, ERR_USAGE,
                       "--grad adds the gradients of captured names · name some with -c");
    int rc = metric_parse(&m, c->opt->grad, c->m->tok, c->m->cfg.d_vocab, &c->err);
    rc = rc ? rc : metric_check_gradient(&m, c->m, &c->err);
    if (!rc)
        rc = metric_value(&m, shown, base, value, &c->err);
    if (!rc)
        rc = captures_add_gradients(l, l->n - 1, &c->err); /* of all but the logits */
    return rc ? rc : captures_differentiate(l, base, &m, &c->err);
}

static int with_captures(struct cli *c, struct capture_list *l)
{
    const struct options *o = c->opt;
    struct run *edited = pair_run(c->pair, FACE_EDITED);
    int rc = o->grad ? gradients(c, l, &c->metric) : 0;
    if (!rc && o->output)
        rc = write_file(c, l);
    if (rc || (o->output && !o->json && !o->tsv))
        return rc;
    struct outcome *out = calloc(FACE_COUNT, sizeof *out);
    if (!out)
        return cli_memory(c);
    rc = outcome(c, pair_run(c->pair, FACE_BASE), &out[FACE_BASE]);
    if (!rc && edited)
        rc = outcome(c, edited, &out[FACE_EDITED]);
    const struct outcome *e = edited ? &out[FACE_EDITED] : NULL;
    if (!rc)
        rc = o->json ? print_json(c, l, out, e) : print_table(c, l, out, e);
    free(out);
    return rc;
}

/* What -c names, what taker collects, and the logits, which are never cut. */
static int choose(struct cli *c, struct capture_list *l, struct capture_slice *pos)
{
    const struct capture_want want = {
        .names = c->opt->capture.item, .n_names = c->opt->capture.n, .end = INT32_MAX};
    *l = (struct capture_list){.m = c->m, .run = cli_run_shown(c), .columns = c->n};
    int rc = slice_parse(pos, c->opt->pos, c->n, &c->err);
    if (!rc && want.n_names)
        rc = captures_select(l, &want, &c->err);
    for (int32_t i = 0; !rc && i < c->taker.n_collects; i++)
        rc = captures_add(l, c->taker.collect[i].name, c->taker.collect[i].name,
                          c->taker.collect[i].edits, &c->err);
    for (int i = 0; i < l->n; i++)
        l->item[i].cut = pos;
    if (rc || !site_exists(&c->m->cfg, SITE_UNEMBED_OUT))
        return rc;
    return captures_add(l, site_table[site_logits(&c->m->cfg)].name, "logits", -1, &c->err);
}

int cli_run(struct cli *c)
{
    struct capture_list l = {0};
    struct capture_slice pos = {0};
    int rc = c->opt->output ? tensor_write_check(c->opt->output, &c->err) : 0;
    if (!rc)
        rc = cli_open(c, CLI_RUN);
    if (!rc)
        rc = choose(c, &l, &pos);
    if (!rc)
        rc = with_captures(c, &l);
    captures_close(&l);
    free(pos.index);
    return rc;
}
