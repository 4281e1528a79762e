/* attn.c - `borescope attn`: attention patterns of a layer, as numbers and as pictures. */
#include <stdlib.h>
#include <string.h>

#include "attn_draw.h"
#include "cli.h"
#include "lens.h"

/* Patterns of heads [first, first + n_heads) of a layer, each [n][n]. */
struct attention {
    float *pattern;
    struct lens_head *scores;
    int32_t first, n_heads;
};

static const float *head_pattern(const struct cli *c, const struct attention *a, int32_t i)
{
    return a->pattern + (size_t)(a->first + i) * (size_t)c->n * (size_t)c->n;
}

static int compute(struct cli *c, struct attention *a)
{
    size_t n = (size_t)c->n, heads = (size_t)c->m->cfg.n_heads;
    a->first = c->opt->head < 0 ? 0 : c->opt->head;
    a->n_heads = c->opt->head < 0 ? c->m->cfg.n_heads : 1;
    a->pattern = malloc(heads * n * n * sizeof *a->pattern);
    a->scores = malloc(heads * sizeof *a->scores);
    if (!a->pattern || !a->scores)
        return cli_memory(c);
    int err = run_read(cli_run_shown(c), (struct site_ref){SITE_PATTERN, c->opt->layer}, 0, c->n, a->pattern, NULL, &c->err);
    for (int32_t i = 0; i < a->n_heads && !err; i++)
        lens_head_scores(head_pattern(c, a, i), c->n, c->tokens, c->n, &a->scores[i]);
    return err;
}

static void json_head_scores(struct json_out *j, const struct lens_head *s)
{
    const struct {
        const char *key;
        float value;
    } field[] = {{"previous", s->previous}, {"duplicate", s->duplicate}, {"induction", s->induction},
                 {"first", s->first}, {"entropy", s->entropy}};
    json_out_key(j, "scores");
    json_out_object(j);
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        json_out_key(j, field[i].key);
        json_out_float(j, field[i].value);
    }
    json_out_close(j);
}

static void print_json(struct cli *c, const struct attention *a)
{
    struct json_out j;
    json_out_begin(&j, &c->out);
    json_out_object(&j);
    cli_json_head(c, &j);
    cli_json_tokens(c, &j);
    json_out_key(&j, "layer");
    json_out_int(&j, c->opt->layer);
    json_out_key(&j, "heads");
    json_out_array(&j);
    for (int32_t i = 0; i < a->n_heads; i++) {
        json_out_object(&j);
        json_out_key(&j, "head");
        json_out_int(&j, a->first + i);
        json_out_key(&j, "pattern");
        json_out_array(&j);
        for (int32_t d = 0; d < c->n; d++)
            json_out_floats(&j, head_pattern(c, a, i) + (size_t)d * (size_t)c->n, (size_t)c->n);
        json_out_close(&j);
        json_head_scores(&j, &a->scores[i]);
        json_out_close(&j);
    }
    json_out_close(&j);
    json_out_close(&j);
    json_out_end(&j);
}

/* One row per edge that a causal model can have. */
static int print_tsv(struct cli *c, const struct attention *a)
{
    static const struct table_column columns[] = {{"head", TABLE_INT, 0, 0, 0}, {"dest", TABLE_INT, 0, 0, 0},
                                                  {"src", TABLE_INT, 0, 0, 0}, {"dest_token", TABLE_TEXT, 0, 0, 0},
                                                  {"src_token", TABLE_TEXT, 0, 0, 0}, {"pattern", TABLE_NUMBER, 0, 0, 0}};
    struct table *t = table_new(columns, 6);
    size_t len;
    for (int32_t i = 0; i < a->n_heads && t; i++)
        for (int32_t d = 0; d < c->n; d++)
            for (int32_t s = 0; s <= d; s++) {
                table_int(t, a->first + i);
                table_int(t, d);
                table_int(t, s);
                const char *text = cli_token_text(c, c->tokens[d], &len);
                table_text(t, text, len);
                text = cli_token_text(c, c->tokens[s], &len);
                table_text(t, text, len);
                table_number(t, head_pattern(c, a, i)[(size_t)d * (size_t)c->n + (size_t)s]);
            }
    return cli_table(c, t);
}

static int print_scores(struct cli *c, const struct attention *a)
{
    static const struct table_column columns[] = {{"head", TABLE_INT, 0, 0, 0}, {"previous", TABLE_NUMBER, 3, 0, 0},
                                                  {"duplicate", TABLE_NUMBER, 3, 0, 0}, {"induction", TABLE_NUMBER, 3, 0, 0},
                                                  {"first", TABLE_NUMBER, 3, 0, 0}, {"entropy", TABLE_NUMBER, 3, 0, 0}};
    struct table *t = table_new(columns, 6);
    cli_head(c);
    for (int32_t i = 0; i < a->n_heads && t; i++) {
        const struct lens_head *s = &a->scores[i];
        table_int(t, a->first + i);
        table_number(t, s->previous);
        table_number(t, s->duplicate);
        table_number(t, s->induction);
        table_number(t, s->first);
        table_number(t, s->entropy);
    }
    return cli_table(c, t);
}

static int print(struct cli *c, const struct attention *a)
{
    const struct options *o = c->opt;
    const struct attn_maps maps = {a->pattern + (size_t)a->first * (size_t)c->n * (size_t)c->n, a->n_heads, c->n, a->first,
                                   o->layer};
    if (o->json) {
        print_json(c, a);
        return 0;
    }
    if (o->tsv)
        return print_tsv(c, a);
    if (o->png)
        return attn_png(c, &maps, o->png);
    if (o->sixel)
        return attn_sixel(c, &maps);
    if (o->ansi)
        return attn_ansi(c, &maps);
    int err = print_scores(c, a);
    return !err && a->n_heads == 1 ? attn_glyphs(c, &maps) : err;
}

int cli_attn(struct cli *c)
{
    struct attention a = {0};
    int err = cli_model(c, true);
    if (!err)
        err = cli_check_index(c, "layer", c->opt->layer, c->m->cfg.n_layers);
    if (!err)
        err = cli_check_index(c, "head", c->opt->head, c->m->cfg.n_heads);
    if (!err)
        err = cli_prompt(c, false);
    if (!err)
        err = cli_sync(c);
    if (!err)
        err = compute(c, &a);
    if (!err)
        err = print(c, &a);
    free(a.pattern);
    free(a.scores);
    return err;
}
