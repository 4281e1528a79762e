/* score.c - `borescope score`: neurons, head dimensions or heads, ranked by what they do on one set
 * of texts and not on another. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/tensor_write.h"
#include "scoring.h"

enum { SHOWN = 20 };

/* What tells a unit: layer and neuron, or layer, head and dimension. */
struct place {
    int64_t layer, at, dim;
};

static struct place place_of(const struct scores *s, int64_t i)
{
    struct place p = {i / s->n, i % s->n, -1};
    if (s->unit == SCORE_DIMS)
        p.dim = p.at % s->d_head, p.at /= s->d_head;
    return p;
}

static const char *number_name(const struct scores *s)
{
    return s->unit == SCORE_NEURONS ? "neuron" : "head";
}

static int print_json(struct scoring *w, const struct scores *s, const int64_t *order, int64_t n)
{
    struct json_out j;
    const struct score_info *info = &score_table[w->run.id];
    cli_json_begin(w->c, &j);
    json_out_string(json_out_key(&j, "score"), info->name);
    json_out_string(json_out_key(&j, "formula"), info->formula);
    json_out_string(json_out_key(&j, "unit"), score_unit_names[s->unit]);
    json_out_array(json_out_key(&j, "ranked"));
    for (int64_t i = 0; i < n; i++) {
        struct place p = place_of(s, order[i]);
        json_out_object(&j);
        json_out_int(json_out_key(&j, "layer"), p.layer);
        json_out_int(json_out_key(&j, number_name(s)), p.at);
        if (p.dim >= 0)
            json_out_int(json_out_key(&j, "dim"), p.dim);
        json_out_double(json_out_key(&j, "score"), s->value[order[i]]);
        json_out_double(json_out_key(&j, "focus"), s->focus[order[i]]);
        json_out_double(json_out_key(&j, "cripple"), s->cripple[order[i]]);
        json_out_close(&j);
    }
    json_out_close(&j);
    return cli_json_end(w->c, &j);
}

static void table_value(struct table *t, double x)
{
    if (isnan(x))
        table_blank(t);
    else
        table_number(t, (float)x);
}

static int print_table(struct scoring *w, const struct scores *s, const int64_t *order, int64_t n)
{
    static const struct table_column columns[] = {
        COLUMN_TEXT("unit"), COLUMN_TEXT("hook"), COLUMN_NUMBER("score", 5),
        COLUMN_NUMBER("focus", 6), COLUMN_NUMBER("cripple", 6)};
    struct cli *c = w->c;
    cli_head(c);
    if (!c->opt->tsv)
        bytes_addf(&c->out, "# %s = %s\n# %" PRId64 " %s of %" PRId64 "\n",
                   score_table[w->run.id].name, score_table[w->run.id].formula, n,
                   score_unit_names[s->unit], s->n_layers * s->n);
    struct table *t = table_new(columns, sizeof columns / sizeof *columns);
    for (int64_t i = 0; i < n && t; i++) {
        char label[32], hook[LIMIT_NAME], text[LIMIT_NAME + 48];
        struct place p = place_of(s, order[i]);
        score_label(s, order[i], label);
        score_hook(s->unit, (int32_t)p.layer, hook);
        snprintf(text, sizeof text, p.dim < 0 ? "%s[:, %d]" : "%s[:, %d, %d]", hook, (int)p.at,
                 (int)p.dim);
        table_string(t, label);
        table_string(t, text);
        table_value(t, s->value[order[i]]);
        table_value(t, s->focus[order[i]]);
        table_value(t, s->cripple[order[i]]);
    }
    return cli_table(c, t);
}

static int write_file(struct scoring *w, const struct scores *s)
{
    const struct options *o = w->c->opt;
    char eps[40];
    snprintf(eps, sizeof eps, "%g", w->run.eps < 0 ? score_eps(s->unit) : w->run.eps);
    const struct tensor_meta meta[] = {{"program", "borescope " BORE_VERSION},
                                       {"model", w->c->m->name},
                                       {"score", score_table[w->run.id].name},
                                       {"formula", score_table[w->run.id].formula},
                                       {"eps", eps},
                                       {"focus", o->focus ? o->focus : ""},
                                       {"cripple", o->cripple ? o->cripple : ""}};
    return scores_write(s, o->output, meta, sizeof meta / sizeof *meta, &w->c->err);
}

/* All of them as data, those that fit a screen as a table. */
static int result(struct scoring *w, const struct scores *s)
{
    const struct options *o = w->c->opt;
    int64_t n = s->n_layers * s->n,
            most = o->given[ON(top)]   ? o->top
                   : o->json || o->tsv ? n
                                       : SHOWN,
            *order = malloc(((size_t)n + 1) * sizeof *order);
    int rc = order ? scores_rank(s, order, &w->c->err) : cli_memory(w->c);
    most = most < n ? most : n;
    if (!rc && o->output)
        rc = write_file(w, s);
    if (!rc)
        rc = o->json ? print_json(w, s, order, most) : print_table(w, s, order, most);
    free(order);
    return rc;
}

int cli_score(struct cli *c)
{
    struct scoring w = {.c = c};
    struct scores s = {0}, *all = &s;
    enum score_unit unit = SCORE_NEURONS;
    bool first = !ranks_rank(c->ranks);
    int rc = c->opt->output && first ? tensor_write_check(c->opt->output, &c->err) : 0;
    if (!rc && c->opt->unit)
        rc = score_unit_find(c->opt->unit, &unit, &c->err);
    rc = scoring_open(&w, c, rc);
    if (!rc)
        rc = scores_init(&s, &c->m->cfg, unit, &c->err);
    if (!rc)
        rc = score_run(&all, 1, &w.run, &c->err);
    scoring_close(&w);
    if (!rc && first)
        rc = result(&w, &s);
    scores_free(&s);
    return rc;
}
