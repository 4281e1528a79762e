/* lens.c - `borescope lens`: every position of every layer through the final norm and the
 * unembedding. */
#include "measure/lens.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

/* The whole lens: [column][position], top [column][position][k]. */
struct grid {
    int32_t columns, k, target;
    struct lens_cell *cells;
    struct lens_top *top;
};

static size_t at(const struct cli *c, int32_t column, int32_t pos)
{
    return (size_t)column * (size_t)c->n + (size_t)pos;
}

static int grid_compute(struct cli *c, struct grid *g)
{
    size_t cells = (size_t)g->columns * (size_t)c->n;
    g->cells = malloc(cells * sizeof *g->cells);
    g->top = malloc(cells * (size_t)g->k * sizeof *g->top);
    int rc = g->cells && g->top ? 0 : cli_memory(c);
    for (int32_t i = 0; i < g->columns && !rc; i++)
        rc = lens_column(cli_run_shown(c), i, 0, c->n, g->k, g->target, g->cells + at(c, i, 0),
                         g->top + at(c, i, 0) * (size_t)g->k, &c->err);
    return rc;
}

static void json_cell(const struct cli *c, struct json_out *j, const struct grid *g, size_t i)
{
    const struct lens_cell *cell = &g->cells[i];
    json_out_object(j);
    cli_json_top(c, json_out_key(j, "top"), cell, g->top + i * (size_t)g->k, g->k);
    json_out_float(json_out_key(j, "entropy"), cell->entropy);
    json_out_key(j, "rank");
    if (g->target < 0)
        json_out_null(j);
    else
        json_out_int(j, cell->target_rank);
    json_out_float(json_out_key(j, "target_logprob"), cell->target_logit - cell->lse);
    json_out_close(j);
}

static int print_json(struct cli *c, const struct grid *g)
{
    struct json_out j;
    char name[LIMIT_NAME];
    cli_json_begin(c, &j);
    json_out_key(&j, "target");
    if (g->target < 0) {
        json_out_null(&j);
    } else {
        cli_json_token(c, &j, g->target);
        json_out_close(&j);
    }
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "layers"));
    for (int32_t i = 0; i < g->columns; i++) {
        json_out_object(&j);
        json_out_string(json_out_key(&j, "name"), site_name(run_lens_site(c->m, i), name));
        json_out_array(json_out_key(&j, "cells"));
        for (int32_t p = 0; p < c->n; p++)
            json_cell(c, &j, g, at(c, i, p));
        json_out_close(&j);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

/* One row per candidate. */
static int print_tsv(struct cli *c, const struct grid *g)
{
    static const struct table_column columns[] = {COLUMN_TEXT("name"),
                                                  COLUMN_INT("pos"),
                                                  COLUMN_TEXT("token"),
                                                  COLUMN_INT("place"),
                                                  COLUMN_INT("id"),
                                                  COLUMN_TEXT("text"),
                                                  COLUMN_NUMBER("logit", 0),
                                                  COLUMN_NUMBER("logprob", 0),
                                                  COLUMN_NUMBER("entropy", 0),
                                                  COLUMN_INT("rank"),
                                                  COLUMN_NUMBER("target_logprob", 0)};
    struct table *t = table_new(columns, 11);
    char name[LIMIT_NAME];
    for (int32_t i = 0; i < g->columns && t; i++)
        for (int32_t p = 0; p < c->n; p++)
            for (int32_t k = 0; k < g->k; k++) {
                const struct lens_cell *cell = &g->cells[at(c, i, p)];
                struct lens_top top = g->top[at(c, i, p) * (size_t)g->k + (size_t)k];
                table_string(t, site_name(run_lens_site(c->m, i), name));
                table_int(t, p);
                cli_table_input(c, t, p);
                table_int(t, k);
                table_int(t, top.id);
                cli_table_token(c, t, top.id);
                table_number(t, top.logit);
                table_number(t, top.logit - cell->lse);
                table_number(t, cell->entropy);
                if (g->target < 0) {
                    table_blank(t);
                    table_blank(t);
                } else {
                    table_int(t, cell->target_rank);
                    table_number(t, cell->target_logit - cell->lse);
                }
            }
    return cli_table(c, t);
}

/* Positions down, layers across; with a target its log-probability, else the first candidate. */
static int print_grid(struct cli *c, const struct grid *g)
{
    size_t n = (size_t)g->columns + 2;
    struct table_column *columns = calloc(n, sizeof *columns);
    char(*names)[LIMIT_NAME] = calloc(n, LIMIT_NAME);
    struct table *t = NULL;
    if (columns && names) {
        columns[0] = (struct table_column)COLUMN_INT("pos");
        columns[1] = (struct table_column)COLUMN_TOKEN("token");
        for (int32_t i = 0; i < g->columns; i++) {
            snprintf(names[i], LIMIT_NAME, i ? "%d" : "embed", (int)i - 1);
            columns[i + 2] = (struct table_column){
                names[i], g->target < 0 ? TABLE_TEXT : TABLE_NUMBER, 3, 12, TEXT_TOKEN};
        }
        cli_head(c);
        t = table_new(columns, (int)n);
    }
    for (int32_t p = 0; p < c->n && t; p++) {
        table_int(t, p);
        cli_table_input(c, t, p);
        for (int32_t i = 0; i < g->columns; i++) {
            const struct lens_cell *cell = &g->cells[at(c, i, p)];
            if (g->target >= 0) {
                table_number(t, cell->target_logit - cell->lse);
                continue;
            }
            cli_table_token(c, t, g->top[at(c, i, p) * (size_t)g->k].id);
        }
    }
    int rc = cli_table(c, t);
    free(columns);
    free(names);
    return rc;
}

int cli_lens(struct cli *c)
{
    struct grid g = {0};
    int rc = cli_open(c, CLI_PROMPT);
    if (!rc)
        rc = cli_token(c, c->opt->target, &g.target);
    if (!rc)
        rc = cli_sync(c);
    if (!rc) {
        g.columns = c->m->cfg.n_layers + 1;
        g.k = cli_top(c);
        rc = grid_compute(c, &g);
    }
    if (!rc)
        rc = c->opt->json ? print_json(c, &g) : c->opt->tsv ? print_tsv(c, &g) : print_grid(c, &g);
    free(g.cells);
    free(g.top);
    return rc;
}
