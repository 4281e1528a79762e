/* analysis.c - `borescope logit_attrs` and `borescope detect_head`: where an answer comes from
 * (engine/measure/analysis.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/analysis.h"
#include "cli.h"
#include "slice.h"
#include "stack.h"

/* One attribution: of logit[a], or of logit[a] - logit[b], at one position. */
struct attribution {
    struct stack_options of;
    int32_t pair[2], row;
    struct stack stack;
    float *value; /* [stack.n] */
    double constant, sum, logit;
};

/* --pair, --target, or the model's own first choice at that position. */
static int choose_tokens(struct cli *c, struct attribution *a)
{
    struct lens_cell cell;
    struct lens_top top;
    int rc = cli_pair(c, a->pair);
    if (!rc && a->pair[0] < 0)
        rc = cli_token(c, c->opt->target, &a->pair[0]);
    if (!rc && a->pair[0] < 0) {
        rc = lens_output(cli_run_shown(c), a->row, a->row + 1, 1, -1, &cell, &top, &c->err);
        a->pair[0] = top.id;
    }
    return rc;
}

static int choose_row(struct cli *c, struct attribution *a)
{
    struct capture_slice s = {0};
    if (!c->opt->pos) {
        a->row = model_answer_row(c->m, c->tokens, c->n);
        return 0;
    }
    int rc = slice_parse(&s, c->opt->pos, c->n, &c->err);
    if (!rc && s.n != 1)
        rc = err_set(&c->err, ERR_USAGE, "--pos \"%s\" · logit_attrs looks at one position",
                     c->opt->pos);
    a->row = rc ? 0 : s.index[0];
    free(s.index);
    return rc;
}

static int attribute(struct cli *c, struct attribution *a)
{
    static const struct site_ref uncapped = {SITE_UNEMBED_OUT, SITE_ROOT};
    struct run *r = cli_run_shown(c);
    float *logits = malloc((size_t)c->m->cfg.d_vocab * sizeof *logits);
    int rc = logits ? stack_make(&a->stack, r, &a->of, &a->row, 1, &c->err) : cli_memory(c);
    a->value = rc ? NULL : malloc((size_t)a->stack.n * sizeof *a->value);
    if (!rc && !a->value)
        rc = cli_memory(c);
    if (!rc)
        rc = stack_logit_attrs(&a->stack, r, &a->row, a->pair[0], a->pair[1], a->value,
                               &a->constant, &c->err);
    if (!rc)
        rc = run_read(r, uncapped, a->row, a->row + 1, logits, NULL, &c->err);
    if (!rc) {
        a->logit = (double)logits[a->pair[0]] - (a->pair[1] < 0 ? 0 : (double)logits[a->pair[1]]);
        a->sum = a->constant;
        for (int32_t i = 0; i < a->stack.n; i++)
            a->sum += (double)a->value[i];
    }
    free(logits);
    return rc;
}

static int attrs_json(struct cli *c, const struct attribution *a)
{
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_int(json_out_key(&j, "position"), a->row);
    static const char *const keys[2] = {"answer", "wrong"};
    for (int k = 0; k < 2; k++) {
        json_out_key(&j, keys[k]);
        if (a->pair[k] < 0) {
            json_out_null(&j);
            continue;
        }
        cli_json_token(c, &j, a->pair[k]);
        json_out_close(&j);
    }
    json_out_string(json_out_key(&j, "stack"), stack_kind_name(a->of.kind));
    json_out_array(json_out_key(&j, "components"));
    for (int32_t i = 0; i < a->stack.n; i++) {
        json_out_object(&j);
        json_out_string(json_out_key(&j, "label"), a->stack.label[i]);
        json_out_float(json_out_key(&j, "value"), a->value[i]);
        json_out_close(&j);
    }
    json_out_close(&j);
    json_out_double(json_out_key(&j, "constant"), a->constant);
    json_out_double(json_out_key(&j, "sum"), a->sum);
    json_out_double(json_out_key(&j, "logit"), a->logit);
    return cli_json_end(c, &j);
}

static int attrs_table(struct cli *c, const struct attribution *a)
{
    static const struct table_column columns[] = {COLUMN_TEXT("component"),
                                                  COLUMN_NUMBER("logit", 4)};
    cli_head(c);
    if (!c->opt->tsv) {
        bytes_addf(&c->out, "# %s at position %d: ", stack_kind_name(a->of.kind), (int)a->row);
        cli_plain_token(c, a->pair[0]);
        if (a->pair[1] >= 0) {
            bytes_add_string(&c->out, " - ");
            cli_plain_token(c, a->pair[1]);
        }
        bytes_addf(&c->out, " = %.4f", a->logit);
        if (a->of.kind != STACK_ACCUMULATED)
            bytes_addf(&c->out, "; components and the constant %.4f sum to %.4f", a->constant,
                       a->sum);
        bytes_add_char(&c->out, '\n');
    }
    struct table *t = table_new(columns, 2);
    for (int32_t i = 0; i < a->stack.n && t; i++) {
        table_string(t, a->stack.label[i]);
        table_number(t, a->value[i]);
    }
    return cli_table(c, t);
}

int stack_choose(struct cli *c, struct stack_options *of)
{
    const struct options *o = c->opt;
    *of = (struct stack_options){.kind = STACK_DECOMPOSED,
                                 .layer = o->given[ON(layer)] ? o->layer : -1};
    int rc = o->stack ? stack_kind_parse(o->stack, &of->kind, &c->err) : 0;
    return rc || !o->with ? rc : stack_flags_parse(o->with, &of->flags, &c->err);
}

int cli_logit_attrs(struct cli *c)
{
    struct attribution a = {.row = 0};
    int rc = stack_choose(c, &a.of);
    if (!rc && a.of.flags & STACK_APPLY_LN)
        rc = err_set(&c->err, ERR_USAGE,
                     "logit_attrs applies the final norm itself · leave apply_ln out");
    if (!rc)
        rc = cli_open(c, CLI_PROMPT);
    if (!rc)
        rc = choose_row(c, &a);
    if (!rc)
        rc = cli_sync(c);
    if (!rc)
        rc = choose_tokens(c, &a);
    if (!rc)
        rc = attribute(c, &a);
    if (!rc)
        rc = c->opt->json ? attrs_json(c, &a) : attrs_table(c, &a);
    stack_free(&a.stack);
    free(a.value);
    return rc;
}

/* ------------------------------------------------------------------ detect_head */

/* Scores of all heads for each pattern. */
struct detection {
    const char *name[HEAD_PATTERN_COUNT]; /* a name, or where the pattern lies */
    int n;
    bool file;
    float *pattern, *scores; /* [dest][src]; [n][layer][head] */
};

static int detect_json(struct cli *c, const struct detection *d)
{
    size_t heads = (size_t)c->m->cfg.n_heads, layers = (size_t)c->m->cfg.n_layers;
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "patterns"));
    for (int p = 0; p < d->n; p++) {
        json_out_object(&j);
        json_out_string(json_out_key(&j, "pattern"), d->name[p]);
        json_out_array(json_out_key(&j, "scores"));
        for (size_t l = 0; l < layers; l++)
            json_out_floats(&j, d->scores + ((size_t)p * layers + l) * heads, heads);
        json_out_close(&j);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

static int detect_table(struct cli *c, const struct detection *d)
{
    int32_t heads = c->m->cfg.n_heads, n = heads * c->m->cfg.n_layers;
    struct table_column columns[1 + HEAD_PATTERN_COUNT] = {COLUMN_TEXT("head")};
    for (int p = 0; p < d->n; p++)
        columns[1 + p] = (struct table_column)COLUMN_NUMBER(d->file ? "score" : d->name[p], 3);
    cli_head(c);
    struct table *t = table_new(columns, 1 + d->n);
    for (int32_t i = 0; i < n && t; i++) {
        cli_table_head(t, i / heads, i % heads);
        for (int p = 0; p < d->n; p++)
            table_number(t, d->scores[(size_t)p * (size_t)n + (size_t)i]);
    }
    return cli_table(c, t);
}

/* One of the names, all of them, or a file. */
static int choose_patterns(struct cli *c, struct detection *d)
{
    enum head_pattern only;
    const char *asked = c->opt->pattern;
    for (d->n = 0; !asked && d->n < HEAD_PATTERN_COUNT; d->n++)
        d->name[d->n] = head_pattern_name((enum head_pattern)d->n);
    if (!asked)
        return 0;
    d->name[d->n++] = asked;
    d->file = strpbrk(asked, "./:") != NULL;
    return d->file ? 0 : head_pattern_parse(asked, &only, &c->err);
}

static int detect(struct cli *c, struct detection *d)
{
    const struct options *o = c->opt;
    const struct detect_options opt = {o->exclude_bos, o->exclude_current, o->abs_error};
    size_t heads = (size_t)c->m->cfg.n_heads * (size_t)c->m->cfg.n_layers,
           cells = (size_t)c->n * (size_t)c->n;
    d->pattern = malloc(cells * sizeof *d->pattern);
    d->scores = malloc((size_t)d->n * heads * sizeof *d->scores);
    int rc = d->pattern && d->scores ? 0 : cli_memory(c);
    for (int p = 0; p < d->n && !rc; p++) {
        enum head_pattern named;
        if (d->file)
            rc = head_pattern_read(d->name[p], c->n, d->pattern, &c->err);
        else if (!(rc = head_pattern_parse(d->name[p], &named, &c->err)))
            head_pattern_fill(named, c->tokens, c->n, d->pattern);
        if (!rc)
            rc = detect_head(cli_run_shown(c), d->pattern, &opt, d->scores + (size_t)p * heads,
                             &c->err);
    }
    for (size_t i = 0; i < cells && d->file && !rc && !opt.abs; i++)
        if (d->pattern[i] != 0 && d->pattern[i] != 1)
            snprintf(
                c->note, sizeof c->note,
                "note: the pattern has other values than 0 and 1 · attention there is weighted by them · --abs compares");
    return rc;
}

int cli_detect_head(struct cli *c)
{
    struct detection d = {.n = 0};
    int rc = choose_patterns(c, &d);
    if (!rc)
        rc = cli_open_text(c, CLI_RUN);
    if (!rc)
        rc = detect(c, &d);
    if (!rc)
        rc = c->opt->json ? detect_json(c, &d) : detect_table(c, &d);
    free(d.pattern);
    free(d.scores);
    return rc;
}
