/* eval.c - `borescope eval`: how well the model expects the tokens of a set of texts, without and
 * with edits. */
#include "lab/eval_choices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image_set.h"
#include "long_work.h"
#include "texts.h"

static int rest(void *user, const struct eval *v, const struct gather_news *news, struct err *e)
{
    struct long_work *w = user;
    long_work_tell(w, news);
    if (!long_work_due(w, &v->place))
        return 0;
    return long_work_saved(w, &v->place, eval_write(v, w->c->opt->state, e));
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

static const char *counted(const struct eval *v)
{
    return v->choices ? "questions" : v->images ? "images" : "texts";
}

static int print_json(struct cli *c, const struct eval *v)
{
    static const char *const keys[] = {"base",         "base_error", "edited",
                                       "edited_error", "difference", "difference_error"};
    struct eval_value values[EVAL_MEASURES];
    int n = eval_values(v, values);
    struct json_out j;
    cli_json_begin(c, &j);
    json_out_int(json_out_key(&j, counted(v)), v->texts);
    if (!v->choices && !v->images) {
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
    if (!c->opt->tsv && (v->choices || v->images))
        bytes_addf(&c->out, "# %lld %s; error: standard error\n", (long long)v->texts, counted(v));
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

/* What is evaluated. */
struct asked {
    struct eval v;
    struct eval_work work;
    struct pair_target target;
    struct token_filter filter;
    int32_t *ids; /* of the filter */
    struct texts_options options;
    struct texts *texts;
    const char *questions; /* a path */
    struct image_set *images;
};

static int open_texts(struct cli *c, struct asked *a)
{
    int rc = texts_filter(c, &a->filter, &a->ids);
    if (!rc)
        rc = texts_open_named(c, &a->texts);
    a->work.filter = &a->filter, a->work.options = &a->options;
    return rc ? rc : texts_options(c, &a->options);
}

/* Options that are of texts alone. */
static int only_of(struct cli *c, const uint8_t *of_texts, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (c->opt->given[of_texts[i]])
            return err_set(&c->err, ERR_USAGE, "--%s · is of texts, not of %s",
                           option_table[of_texts[i]].name, what);
    return 0;
}

#define OF_TEXTS                                                                       \
    ON(paragraphs), ON(format), ON(window), ON(stride), ON(sample), ON(seed), ON(pos), \
        ON(limit_tokens), ON(only_token), ON(skip_token), ON(next_token)

static int open_choices(struct cli *c, struct asked *a)
{
    static const uint8_t of_texts[] = {OF_TEXTS, ON(field), ON(label), ON(top)};
    int rc = only_of(c, of_texts, sizeof of_texts, "questions (--choices)");
    a->options.bos = cli_bos(c->opt), a->work.options = &a->options;
    return rc ? rc : texts_path(c, "questions", "a .jsonl file", &a->questions);
}

static int open_images(struct cli *c, struct asked *a)
{
    static const uint8_t of_texts[] = {OF_TEXTS, ON(bos), ON(no_bos), ON(choices)};
    const char *path = NULL;
    int rc = only_of(c, of_texts, sizeof of_texts, "images");
    if (!rc && !c->opt->n_words)
        rc = err_set(&c->err, ERR_USAGE,
                     "eval · which images? · a folder of classes, or a .csv, .tsv or .jsonl file");
    if (!rc)
        rc = texts_path(c, "images", "a folder of classes", &path);
    return rc ? rc : image_set_open(c, path, &a->images);
}

/* An evaluation of nothing yet, or what --resume has of it. */
static int state_open(struct cli *c, struct asked *a)
{
    struct eval kept = {0};
    int rc = eval_about(&a->v, &a->work, c->opt->choices, &c->err);
    if (rc || !long_work_goes_on(c))
        return rc;
    rc = eval_read(&kept, c->opt->state, &c->err);
    if (!rc && kept.about.a == a->v.about.a && kept.about.b != a->v.about.b)
        rc = long_work_read_differs(c);
    if (!rc && memcmp(&kept.about, &a->v.about, sizeof kept.about) != 0)
        rc = err_set(&c->err, ERR_BAD_INPUT,
                     "%.200s · is of another model, other edits, windows or filters · give the "
                     "command that it was made by, or another file",
                     c->opt->state);
    if (rc)
        err_prefix(&c->err, "--resume");
    else
        a->v = kept;
    return rc;
}

static int open_all(struct cli *c, struct asked *a, struct long_work *w)
{
    int rc = long_work_check(c);
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = cli_target(c, &a->target);
    a->work = (struct eval_work){.m = c->m,
                                 .target = &a->target,
                                 .top = c->opt->top,
                                 .cache_bytes = rc || !a->target.n_edits ? 0 : cli_cache_bytes(c),
                                 .ranks = c->ranks,
                                 .rest = rest,
                                 .user = w};
    if (!rc)
        rc = c->m->cfg.patch_size ? open_images(c, a)
             : c->opt->choices    ? open_choices(c, a)
                                  : open_texts(c, a);
    return rc ? rc : state_open(c, a);
}

static int evaluate(struct cli *c, struct asked *a)
{
    const struct options *o = c->opt;
    const struct choices_options how = {.skip = o->skip, .limit = o->limit, .bos = cli_bos(o)};
    if (a->images) {
        const struct images_source images = image_set_source(a->images);
        return eval_images_run(&a->v, &images, &a->work, &c->err);
    }
    return o->choices ? eval_choices_run(&a->v, a->questions, &how, &a->work, &c->err)
                      : eval_run(&a->v, a->texts, &a->work, &c->err);
}

int cli_eval(struct cli *c)
{
    struct asked a = {.questions = NULL};
    struct long_work w;
    int rc = open_all(c, &a, &w);
    rc = long_work_agree(c, rc, &a.v.about, sizeof a.v.about, &a.v.place, sizeof a.v.place);
    if (!rc) {
        long_work_begin(&w, c,
                        a.images          ? "images"
                        : c->opt->choices ? "questions"
                                          : "tokens",
                        (int64_t)(a.v.sum[EVAL_TOKENS] + a.v.text[EVAL_TOKENS]));
        rc = evaluate(c, &a);
        long_work_end(&w);
    }
    if (!rc && !ranks_rank(c->ranks)) {
        rc = c->opt->json ? print_json(c, &a.v) : print_table(c, &a.v);
        if (!rc)
            long_work_forget(c);
    }
    texts_close(a.texts);
    image_set_close(a.images);
    free(a.ids);
    return rc;
}
