/* weights.c - `borescope weights`: the weights under TransformerLens' names and in its shapes; into a file, or as statistics;
 * with --svd the singular values of every head's query-key and value-output products. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "factored.h"
#include "named_weight.h"
#include "process.h"
#include "tensor_write.h"

/* One weight that was asked for. */
struct item {
    char name[LIMIT_NAME];
    struct named_weight w;
    int64_t count;
    float *values; /* while it is used */
    struct cli *c;
};

struct item_list { struct item *item; int32_t n; };

static int items_open(struct cli *c, struct item_list *l)
{
    const char *glob = c->opt->filter ? c->opt->filter : "*";
    int32_t all = named_weight_list(c->m, NULL, 0);
    char(*names)[LIMIT_NAME] = calloc((size_t)all, LIMIT_NAME);
    l->item = calloc((size_t)all, sizeof *l->item);
    int err = names && l->item ? 0 : cli_memory(c);
    if (!err)
        named_weight_list(c->m, names, all);
    for (int32_t i = 0; i < all && !err; i++) {
        struct item *it = &l->item[l->n];
        if (!site_glob(glob, names[i]))
            continue;
        err = named_weight_find(c->m, names[i], &it->w, &c->err);
        memcpy(it->name, names[i], LIMIT_NAME);
        it->c = c;
        it->count = 1;
        for (int d = 0; d < it->w.rank; d++)
            it->count *= it->w.shape[d];
        l->n++;
    }
    free(names);
    if (!err && !l->n)
        err = err_set(&c->err, ERR_BAD_INPUT, "--filter \"%s\" · it matches no weight · e.g. blocks.0.attn.W_Q, *.mlp.W_out", glob);
    return err;
}

static int item_read(struct item *it, struct err *e)
{
    it->values = malloc((size_t)it->count * sizeof *it->values);
    if (!it->values)
        return err_set(e, ERR_SYSTEM, "memory is out · %s", it->name);
    named_weight_read(it->c->m, &it->w, it->values);
    return 0;
}

static void item_drop(struct item *it)
{
    free(it->values);
    it->values = NULL;
}

/* Pieces for the writer: read at the first, dropped after the last. */
static int read_piece(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    struct item *it = ctx;
    int err = offset ? 0 : item_read(it, e);
    if (err)
        return err;
    memcpy(buf, (const char *)it->values + offset, n);
    if (offset + n == (size_t)it->count * sizeof *it->values)
        item_drop(it);
    return 0;
}

static int write_items(struct cli *c, struct item_list *l)
{
    char process[PROCESS_TEXT_MAX];
    struct tensor_out *t = calloc((size_t)l->n, sizeof *t);
    if (!t)
        return cli_memory(c);
    for (int32_t i = 0; i < l->n; i++) {
        struct item *it = &l->item[i];
        t[i] = (struct tensor_out){.name = it->name, .dtype = ST_F32, .rank = it->w.rank, .read = read_piece, .ctx = it};
        memcpy(t[i].shape, it->w.shape, (size_t)it->w.rank * sizeof *it->w.shape);
    }
    const struct tensor_meta meta[] = {{"program", "borescope " BORE_VERSION}, {"model", c->m->name},
                                       {"processing", process_text(c->m->process, process, sizeof process)}};
    int err = tensor_write(c->opt->output, t, (size_t)l->n, meta, sizeof meta / sizeof *meta, &c->err);
    free(t);
    if (!err && !c->opt->json && !c->opt->tsv) {
        cli_head(c);
        bytes_addf(&c->out, "# %d weights, written to ", (int)l->n);
        cli_plain_text(&c->out, c->opt->output, strlen(c->opt->output));
        bytes_add_char(&c->out, '\n');
    }
    return err;
}

static void shape_text(const struct item *it, char *buf, size_t size)
{
    size_t n = (size_t)snprintf(buf, size, "[");
    for (int d = 0; d < it->w.rank; d++)
        n += (size_t)snprintf(buf + n, size - n, "%s%lld", d ? ", " : "", (long long)it->w.shape[d]);
    snprintf(buf + n, size - n, "]");
}

static int print_items(struct cli *c, struct item_list *l)
{
    static const struct table_column columns[] = {{"name", TABLE_TEXT, 0, 0, 0}, {"shape", TABLE_TEXT, 0, 0, 0},
                                                  {"mean", TABLE_NUMBER, 4, 0, 0}, {"std", TABLE_NUMBER, 4, 0, 0},
                                                  {"min", TABLE_NUMBER, 4, 0, 0}, {"max", TABLE_NUMBER, 4, 0, 0}};
    struct json_out j;
    struct table *t = NULL;
    json_out_begin(&j, &c->out);
    if (c->opt->json)
        json_out_array(&j);
    else
        cli_head(c);
    if (!c->opt->json && !(t = table_new(columns, 6)))
        return cli_memory(c);
    int err = 0;
    for (int32_t i = 0; i < l->n && !(err = item_read(&l->item[i], &c->err)); i++) {
        struct item *it = &l->item[i];
        struct lens_stats s;
        char shape[96];
        shape_text(it, shape, sizeof shape);
        lens_stats_values(it->values, it->count, false, &s);
        item_drop(it);
        if (t) {
            table_string(t, it->name);
            table_string(t, shape);
            table_number(t, (float)s.mean);
            table_number(t, (float)s.std);
            table_number(t, s.min);
            table_number(t, s.max);
            continue;
        }
        json_out_object(&j);
        json_out_key(&j, "name");
        json_out_string(&j, it->name);
        json_out_key(&j, "shape");
        json_out_ints(&j, it->w.shape, (size_t)it->w.rank);
        json_out_key(&j, "mean");
        json_out_double(&j, s.mean);
        json_out_key(&j, "std");
        json_out_double(&j, s.std);
        json_out_key(&j, "min");
        json_out_float(&j, s.min);
        json_out_key(&j, "max");
        json_out_float(&j, s.max);
        json_out_close(&j);
    }
    if (t && !err)
        return cli_table(c, t);
    table_free(t);
    if (!err) {
        json_out_close(&j);
        json_out_end(&j);
    }
    return err;
}

/* One head's weight of a layer as doubles [d_model, d_head]; W_O, which lies [d_head, d_model], the other way round. */
static void head_load(const float *w, double *out, int64_t d, int64_t dh, bool turned)
{
    for (int64_t i = 0; i < d; i++)
        for (int64_t k = 0; k < dh; k++)
            out[i * dh + k] = (double)w[turned ? k * d + i : i * dh + k];
}

/* The singular values of both products of one layer's heads, as rows of the table. */
static int layer_svd(struct cli *c, struct table *t, int32_t layer)
{
    static const char *const product[2] = {"QK", "OV"}, *const left[2] = {"W_Q", "W_V"}, *const right[2] = {"W_K", "W_O"};
    const struct config *g = &c->m->cfg;
    int64_t d = g->d_model, dh = g->d_head, n = d * dh;
    float *w[2] = {malloc((size_t)(g->n_heads * n) * sizeof(float)), malloc((size_t)(g->n_heads * n) * sizeof(float))};
    double *m = malloc((size_t)(4 * n + dh) * sizeof *m);
    int err = w[0] && w[1] && m ? 0 : cli_memory(c);
    for (int p = 0; p < 2 && !err; p++) {
        for (int k = 0; k < 2 && !err; k++) {
            char name[LIMIT_NAME];
            struct named_weight nw;
            snprintf(name, sizeof name, "blocks.%d.attn.%s", (int)layer, k ? right[p] : left[p]);
            err = named_weight_find(c->m, name, &nw, &c->err);
            if (!err)
                named_weight_read(c->m, &nw, w[k]);
        }
        for (int32_t h = 0; h < g->n_heads && !err; h++) {
            head_load(w[0] + h * n, m, d, dh, false);
            head_load(w[1] + h * n, m + n, d, dh, p == 1);
            err = factored_svd(m, d, m + n, d, dh, m + 2 * n, m + 4 * n, m + 3 * n, &c->err);
            char label[48];
            snprintf(label, sizeof label, "L%dH%d", (int)layer, (int)h);
            table_string(t, label);
            table_string(t, product[p]);
            for (int32_t i = 0; i < c->opt->top && !err; i++)
                if (i < dh)
                    table_number(t, (float)m[4 * n + i]);
                else
                    table_blank(t);
        }
    }
    free(w[0]);
    free(w[1]);
    free(m);
    return err;
}

static int print_svd(struct cli *c)
{
    struct table_column columns[2 + LENS_TOP_MAX] = {{"head", TABLE_TEXT, 0, 0, 0}, {"product", TABLE_TEXT, 0, 0, 0}};
    char names[LENS_TOP_MAX][16];
    for (int32_t i = 0; i < c->opt->top; i++) {
        snprintf(names[i], sizeof names[i], "s%d", (int)i);
        columns[2 + i] = (struct table_column){names[i], TABLE_NUMBER, 4, 0, 0};
    }
    cli_head(c);
    struct table *t = table_new(columns, 2 + c->opt->top);
    int err = t ? 0 : cli_memory(c);
    for (int32_t l = 0; l < c->m->cfg.n_layers && !err; l++)
        err = layer_svd(c, t, l);
    if (!err)
        return cli_table(c, t);
    table_free(t);
    return err;
}

int cli_weights(struct cli *c)
{
    struct item_list l = {0};
    int err = c->opt->output ? tensor_write_check(c->opt->output, &c->err) : 0;
    if (!err && c->opt->svd && (c->opt->json || c->opt->output))
        err = err_set(&c->err, ERR_USAGE, "--svd prints a table · leave --json and -o out, or take --tsv");
    if (!err)
        err = cli_model(c, true);
    if (!err && c->opt->svd)
        return print_svd(c);
    if (!err)
        err = items_open(c, &l);
    if (!err)
        err = c->opt->output ? write_items(c, &l) : print_items(c, &l);
    for (int32_t i = 0; i < l.n; i++)
        item_drop(&l.item[i]);
    free(l.item);
    return err;
}
