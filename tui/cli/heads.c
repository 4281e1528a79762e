/* heads.c - `borescope heads`: every head of every layer, as the view of this name. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "measure/copying.h"

enum { SCORES = 7 };
static const char *const score_names[SCORES] = {"previous", "duplicate", "induction", "first",
                                                "self",     "entropy",   "copying"};

struct head_row {
    int32_t layer, head;
    float score[SCORES];
    bool there[SCORES]; /* the prompt has rows for it; copying: asked for */
    float key;          /* to sort by; NaN comes last */
};

/* The score to sort by, -1: by place. */
static int sort_score(struct cli *c, int *sort)
{
    *sort = -1;
    for (int k = 0; c->opt->sort && k < SCORES; k++)
        if (!strcmp(c->opt->sort, score_names[k]))
            *sort = k;
    return c->opt->sort && *sort < 0
               ? err_set(&c->err, ERR_USAGE,
                         "--sort \"%.20s\" · previous, duplicate, induction, first, self, entropy "
                         "or copying",
                         c->opt->sort)
               : 0;
}

static int compute_heads(struct cli *c, bool copying, struct head_row *rows)
{
    int32_t layers = c->m->cfg.n_layers, heads = c->m->cfg.n_heads;
    struct lens_head *h = malloc((size_t)heads * sizeof *h);
    float *copies = calloc((size_t)layers * (size_t)heads, sizeof *copies);
    int rc = h && copies ? 0 : cli_memory(c);
    if (!rc && copying)
        rc = copying_scores(c->m, copies, &c->err);
    for (int32_t l = 0; l < layers && !rc; l++) {
        rc = lens_heads(cli_run_shown(c), l, h, &c->err);
        for (int32_t i = 0; i < heads && !rc; i++) {
            bool pairs = c->n > 1, repeats = h[i].n_repeats > 0;
            rows[l * heads + i] = (struct head_row){
                l,
                i,
                {h[i].previous, h[i].duplicate, h[i].induction, h[i].first, h[i].self, h[i].entropy,
                 copies[l * heads + i]},
                {pairs, repeats, repeats, pairs, true, true, copying},
                0};
        }
    }
    free(h), free(copies);
    return rc;
}

static int by_key(const void *x, const void *y)
{
    const struct head_row *a = x, *b = y;
    if (isnan(a->key) != isnan(b->key))
        return isnan(a->key) - isnan(b->key);
    if (a->key < b->key || a->key > b->key)
        return a->key < b->key ? 1 : -1;
    return a->layer != b->layer ? a->layer - b->layer : a->head - b->head;
}

static int heads_json(struct cli *c, const struct head_row *rows, int32_t n)
{
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "heads"));
    for (int32_t i = 0; i < n; i++) {
        json_out_object(&j);
        json_out_int(json_out_key(&j, "layer"), rows[i].layer);
        json_out_int(json_out_key(&j, "head"), rows[i].head);
        for (int k = 0; k < SCORES; k++)
            json_out_float(json_out_key(&j, score_names[k]),
                           rows[i].there[k] ? rows[i].score[k] : NAN);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

static int heads_table(struct cli *c, const struct head_row *rows, int32_t n, bool copying)
{
    const struct table_column columns[] = {
        COLUMN_TEXT("head"),           COLUMN_NUMBER("previous", 3), COLUMN_NUMBER("duplicate", 3),
        COLUMN_NUMBER("induction", 3), COLUMN_NUMBER("first", 3),    COLUMN_NUMBER("self", 3),
        COLUMN_NUMBER("entropy", 3),   COLUMN_NUMBER("copying", 3)};
    int shown = copying ? SCORES : SCORES - 1;
    cli_head(c);
    struct table *t = table_new(columns, 1 + shown);
    for (int32_t i = 0; i < n && t; i++) {
        cli_table_head(t, rows[i].layer, rows[i].head);
        for (int k = 0; k < shown; k++)
            table_number(t, rows[i].there[k] ? rows[i].score[k] : NAN);
    }
    return cli_table(c, t);
}

int cli_heads(struct cli *c)
{
    int sort, rc = sort_score(c, &sort);
    if (!rc)
        rc = cli_open(c, CLI_PROMPT);
    if (!rc)
        rc = cli_sync(c);
    int32_t n = rc ? 0 : c->m->cfg.n_layers * c->m->cfg.n_heads;
    struct head_row *rows = rc ? NULL : calloc((size_t)n, sizeof *rows);
    if (!rc)
        rc = rows ? compute_heads(c, sort == SCORES - 1, rows) : cli_memory(c);
    for (int32_t i = 0; i < n && !rc && sort >= 0; i++)
        rows[i].key = rows[i].there[sort] ? rows[i].score[sort] : NAN;
    if (!rc && sort >= 0)
        qsort(rows, (size_t)n, sizeof *rows, by_key);
    if (!rc)
        rc = c->opt->json ? heads_json(c, rows, n) : heads_table(c, rows, n, sort == SCORES - 1);
    free(rows);
    return rc;
}
