/* composition.c - `borescope composition`: TransformerLens' all_composition_scores. */
#include <stdlib.h>
#include <string.h>

#include "measure/circuit.h"
#include "cli.h"

static const char *const kind_names[COMPOSITION_COUNT] = {"Q", "K", "V"};

struct pair_score {
    int64_t at;
    float score;
};

static int by_score(const void *a, const void *b)
{
    const struct pair_score *x = a, *y = b;
    return x->score < y->score ? 1 : x->score > y->score ? -1 : x->at < y->at ? -1 : 1;
}

/* The best pairs of one kind as rows. */
static int add_rows(struct cli *c, struct table *t, int kind, const float *scores)
{
    int64_t layers = c->m->cfg.n_layers, heads = c->m->cfg.n_heads,
            n = layers * heads * layers * heads, found = 0;
    struct pair_score *list = malloc((size_t)n * sizeof *list);
    if (!list)
        return cli_memory(c);
    for (int64_t i = 0; i < n; i++)
        if (i / (heads * layers * heads) < i / heads % layers)
            list[found++] = (struct pair_score){i, scores[i]};
    qsort(list, (size_t)found, sizeof *list, by_score);
    for (int64_t i = 0; i < found && i < c->opt->top; i++) {
        int64_t at = list[i].at;
        table_string(t, kind_names[kind]);
        cli_table_head(t, at / (heads * layers * heads), at / (layers * heads) % heads);
        cli_table_head(t, at / heads % layers, at % heads);
        table_number(t, list[i].score);
    }
    free(list);
    return 0;
}

/* scores[layer][head][layer][head] as nested arrays. */
static void add_json(struct cli *c, struct json_out *j, int kind, const float *scores)
{
    int64_t layers = c->m->cfg.n_layers, heads = c->m->cfg.n_heads;
    json_out_object(j);
    json_out_string(json_out_key(j, "kind"), kind_names[kind]);
    json_out_array(json_out_key(j, "scores"));
    for (int64_t l1 = 0; l1 < layers; l1++) {
        json_out_array(j);
        for (int64_t h1 = 0; h1 < heads; h1++) {
            json_out_array(j);
            for (int64_t l2 = 0; l2 < layers; l2++, scores += heads)
                json_out_floats(j, scores, (size_t)heads);
            json_out_close(j);
        }
        json_out_close(j);
    }
    json_out_close(j);
    json_out_close(j);
}

static int kind_chosen(struct cli *c, int *only)
{
    *only = -1;
    for (int k = 0; c->opt->kind && k < COMPOSITION_COUNT; k++)
        if (!strcmp(c->opt->kind, kind_names[k]))
            *only = k;
    return c->opt->kind && *only < 0
               ? err_set(&c->err, ERR_USAGE, "--kind \"%.20s\" · Q, K or V", c->opt->kind)
               : 0;
}

int cli_composition(struct cli *c)
{
    static const struct table_column columns[] = {COLUMN_TEXT("kind"), COLUMN_TEXT("from"),
                                                  COLUMN_TEXT("to"), COLUMN_NUMBER("score", 4)};
    struct cli_rows rows = {0};
    int only, err = kind_chosen(c, &only);
    if (!err)
        err = cli_model(c, true);
    if (!err)
        err = cli_edit_weights(c);
    int64_t n = err ? 0 : (int64_t)c->m->cfg.n_layers * c->m->cfg.n_heads;
    float *scores = err ? NULL : malloc((size_t)(n * n) * sizeof *scores);
    if (!err)
        err = scores ? cli_rows_open(c, &rows, columns, 4) : cli_memory(c);
    for (int k = 0; k < COMPOSITION_COUNT && !err; k++) {
        if (only >= 0 && only != k)
            continue;
        err = circuit_composition(c->m, (enum composition)k, scores, &c->err);
        if (!err && rows.t)
            err = add_rows(c, rows.t, k, scores);
        else if (!err)
            add_json(c, &rows.j, k, scores);
    }
    free(scores);
    return cli_rows_close(c, &rows, err);
}
