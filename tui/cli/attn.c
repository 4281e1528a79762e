/* attn.c - `borescope attn`: attention patterns of a layer, as numbers and as pictures. */
#include <stdlib.h>
#include <string.h>

#include "attn_draw.h"
#include "cli.h"
#include "measure/lens.h"

/* Heads [first, first + n_heads) of a layer: scores, and patterns, each [n][n], where they are
 * shown. */
struct attention {
    float *pattern;
    struct lens_head *scores; /* of all heads */
    int32_t first, n_heads;
};

static const float *head_pattern(const struct cli *c, const struct attention *a, int32_t i)
{
    return a->pattern + (size_t)i * (size_t)c->n * (size_t)c->n;
}

static int compute(struct cli *c, struct attention *a)
{
    const struct options *o = c->opt;
    const struct site_ref site = {SITE_PATTERN, o->layer};
    struct run *r = cli_run_shown(c);
    size_t n = (size_t)c->n, heads = (size_t)c->m->cfg.n_heads;
    bool one = o->head >= 0, shown = one || o->json || o->tsv || o->png || o->sixel || o->ansi;
    a->first = one ? o->head : 0;
    a->n_heads = one ? 1 : c->m->cfg.n_heads;
    a->pattern = shown ? malloc((size_t)a->n_heads * n * n * sizeof *a->pattern) : NULL;
    a->scores = malloc(heads * sizeof *a->scores);
    if ((shown && !a->pattern) || !a->scores)
        return cli_memory(c);
    int rc = lens_heads(r, o->layer, a->scores, &c->err);
    if (!rc && one)
        rc = run_read_heads(r, site, 0, c->n, o->head, o->head + 1, a->pattern, &c->err);
    else if (!rc && shown)
        rc = run_read(r, site, 0, c->n, a->pattern, NULL, &c->err);
    return rc;
}

static void json_head_scores(struct json_out *j, const struct lens_head *s)
{
    const struct {
        const char *key;
        float value;
    } field[] = {{"previous", s->previous},
                 {"duplicate", s->duplicate},
                 {"induction", s->induction},
                 {"first", s->first},
                 {"entropy", s->entropy}};
    json_out_object(json_out_key(j, "scores"));
    for (size_t i = 0; i < sizeof field / sizeof *field; i++) {
        json_out_float(json_out_key(j, field[i].key), field[i].value);
    }
    json_out_close(j);
}

static int print_json(struct cli *c, const struct attention *a)
{
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_int(json_out_key(&j, "layer"), c->opt->layer);
    json_out_array(json_out_key(&j, "heads"));
    for (int32_t i = 0; i < a->n_heads; i++) {
        json_out_object(&j);
        json_out_int(json_out_key(&j, "head"), a->first + i);
        json_out_array(json_out_key(&j, "pattern"));
        for (int32_t d = 0; d < c->n; d++)
            json_out_floats(&j, head_pattern(c, a, i) + (size_t)d * (size_t)c->n, (size_t)c->n);
        json_out_close(&j);
        json_head_scores(&j, &a->scores[a->first + i]);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

/* Does the model, or an edit, let that position look there? */
static bool is_edge(const struct cli *c, int32_t dest, int32_t src, float weight)
{
    return src < config_seen_from(&c->m->cfg, dest, c->n) || weight != 0;
}

/* One row per edge that there can be. */
static int print_tsv(struct cli *c, const struct attention *a)
{
    static const struct table_column columns[] = {
        COLUMN_INT("head"),        COLUMN_INT("dest"),       COLUMN_INT("src"),
        COLUMN_TEXT("dest_token"), COLUMN_TEXT("src_token"), COLUMN_NUMBER("pattern", 0)};
    struct table *t = table_new(columns, 6);
    for (int32_t i = 0; i < a->n_heads && t; i++)
        for (int32_t d = 0; d < c->n; d++)
            for (int32_t s = 0; s < c->n; s++) {
                float weight = head_pattern(c, a, i)[(size_t)d * (size_t)c->n + (size_t)s];
                if (!is_edge(c, d, s, weight))
                    continue;
                table_int(t, a->first + i);
                table_int(t, d);
                table_int(t, s);
                cli_table_input(c, t, d);
                cli_table_input(c, t, s);
                table_number(t, weight);
            }
    return cli_table(c, t);
}

static int print_scores(struct cli *c, const struct attention *a)
{
    static const struct table_column columns[] = {COLUMN_INT("head"),
                                                  COLUMN_NUMBER("previous", 3),
                                                  COLUMN_NUMBER("duplicate", 3),
                                                  COLUMN_NUMBER("induction", 3),
                                                  COLUMN_NUMBER("first", 3),
                                                  COLUMN_NUMBER("entropy", 3)};
    struct table *t = table_new(columns, 6);
    cli_head(c);
    for (int32_t i = 0; i < a->n_heads && t; i++) {
        const struct lens_head *s = &a->scores[a->first + i];
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
    const struct attn_maps maps = {a->pattern, a->n_heads, c->n, a->first, o->layer};
    if (o->json)
        return print_json(c, a);
    if (o->tsv)
        return print_tsv(c, a);
    if (o->png)
        return attn_png(c, &maps, o->png);
    if (o->sixel)
        return attn_sixel(c, &maps);
    if (o->ansi)
        return attn_ansi(c, &maps);
    int rc = print_scores(c, a);
    return !rc && a->n_heads == 1 ? attn_glyphs(c, &maps) : rc;
}

int cli_attn(struct cli *c)
{
    struct attention a = {0};
    int rc = cli_open(c, CLI_PROMPT);
    if (!rc)
        rc = cli_check_index(c, "layer", c->opt->layer, c->m->cfg.n_layers);
    if (!rc)
        rc = cli_check_index(c, "head", c->opt->head, c->m->cfg.n_heads);
    if (!rc)
        rc = cli_sync(c);
    if (!rc)
        rc = compute(c, &a);
    if (!rc)
        rc = print(c, &a);
    free(a.pattern);
    free(a.scores);
    return rc;
}
