/* eval.c - `borescope eval`: how well the model expects the tokens of a set of texts, without and
 * with edits. */
#include "lab/eval_choices.h"

#include <math.h>
#include <stdlib.h>

#include "progress.h"
#include "texts.h"

static int rest(void *user, int64_t counted, double share, struct err *e)
{
    (void)e;
    progress_tell(user, share, counted);
    return 0;
}

/* The columns of a value, those of edits only with them. */
static int columns_of(const struct eval *v, const struct eval_value *x, double out[6])
{
    const double all[] = {x->base,         x->base_error, x->edited,
                          x->edited_error, x->difference, x->difference_error};
    int n = v->edited ? 6 : 2;
    for (int i = 0; i < n; i++)
        out[i] = all[i];
    return n;
}

static int print_json(struct cli *c, const struct eval *v)
{
    static const char *const keys[] = {"base",         "base_error", "edited",
                                       "edited_error", "difference", "difference_error"};
    struct eval_value values[EVAL_MEASURES];
    int n = eval_values(v, values);
    struct json_out j;
    cli_json_begin(c, &j);
    json_out_int(json_out_key(&j, v->choices ? "questions" : "texts"), v->texts);
    if (!v->choices) {
        json_out_int(json_out_key(&j, "expected"), (int64_t)v->sum[EVAL_TOKENS]);
        json_out_bool(json_out_key(&j, "masked"), v->masked);
        json_out_int(json_out_key(&j, "bytes"), (int64_t)v->sum[EVAL_BYTES]);
    }
    json_out_array(json_out_key(&j, "measures"));
    for (int i = 0; i < n; i++) {
        double x[6];
        int columns = columns_of(v, &values[i], x);
        json_out_object(&j);
        json_out_string(json_out_key(&j, "name"), values[i].name);
        for (int k = 0; k < columns; k++)
            json_out_double(json_out_key(&j, keys[k]), x[k]);
        json_out_close(&j);
    }
    json_out_close(&j);
    return cli_json_end(c, &j);
}

static int print_table(struct cli *c, const struct eval *v)
{
    static const struct table_column columns[] = {
        COLUMN_TEXT("measure"),       COLUMN_NUMBER("base", 5),  COLUMN_NUMBER("error", 5),
        COLUMN_NUMBER("edited", 5),   COLUMN_NUMBER("error", 5), COLUMN_NUMBER("difference", 5),
        COLUMN_NUMBER("its error", 5)};
    struct eval_value values[EVAL_MEASURES];
    int n = eval_values(v, values);
    cli_head(c);
    if (!c->opt->tsv && v->choices)
        bytes_addf(&c->out, "# %lld questions; error: standard error\n", (long long)v->texts);
    else if (!c->opt->tsv)
        bytes_addf(&c->out, "# %lld texts, %lld tokens %s; error: standard error\n",
                   (long long)v->texts, (long long)v->sum[EVAL_TOKENS],
                   v->masked ? "masked in turn" : "expected");
    struct table *t = table_new(columns, v->edited ? 7 : 3);
    for (int i = 0; i < n && t; i++) {
        double x[6];
        int of = columns_of(v, &values[i], x);
        table_string(t, values[i].name);
        for (int k = 0; k < of; k++)
            if (isnan(x[k]))
                table_blank(t);
            else
                table_number(t, (float)x[k]);
    }
    return cli_table(c, t);
}

static int eval_texts(struct cli *c, struct eval *v, struct eval_work *w)
{
    struct token_filter filter;
    int32_t *ids = NULL;
    struct texts *t = NULL;
    int rc = texts_filter(c, &filter, &ids);
    if (!rc)
        rc = texts_open_named(c, &t);
    w->filter = &filter;
    if (!rc)
        rc = eval_run(v, t, w, &c->err);
    texts_close(t);
    free(ids);
    return rc;
}

static int eval_choices(struct cli *c, struct eval *v, const struct eval_work *w)
{
    static const uint8_t of_texts[] = {ON(paragraphs), ON(format),       ON(field),  ON(label),
                                       ON(window),     ON(stride),       ON(sample), ON(seed),
                                       ON(pos),        ON(limit_tokens), ON(top),    ON(only_token),
                                       ON(skip_token)};
    const struct options *o = c->opt;
    const struct choices_options how = {.skip = o->skip, .limit = o->limit, .bos = cli_bos(o)};
    for (size_t i = 0; i < sizeof of_texts; i++)
        if (o->given[of_texts[i]])
            return err_set(&c->err, ERR_USAGE, "--%s · is of texts, not of questions (--choices)",
                           option_table[of_texts[i]].name);
    return o->n_words ? eval_choices_run(v, o->words[0], &how, w, &c->err)
                      : err_set(&c->err, ERR_USAGE,
                                "eval · which questions? · a .jsonl file, or - for standard input");
}

int cli_eval(struct cli *c)
{
    struct eval v = {0};
    struct pair_target target;
    struct progress progress;
    int rc = cli_model(c, true);
    if (!rc)
        rc = cli_target(c, &target);
    progress_begin(&progress, c->opt->choices ? "questions" : "tokens", 0);
    if (!rc) {
        struct eval_work work = {.m = c->m,
                                 .target = &target,
                                 .top = c->opt->top,
                                 .cache_bytes = target.n_edits ? cli_cache_bytes(c) : 0,
                                 .rest = rest,
                                 .user = &progress};
        rc = c->opt->choices ? eval_choices(c, &v, &work) : eval_texts(c, &v, &work);
    }
    progress_end(&progress);
    if (!rc)
        rc = c->opt->json ? print_json(c, &v) : print_table(c, &v);
    return rc;
}
