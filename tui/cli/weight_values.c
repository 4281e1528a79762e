/* weight_values.c - one weight of `borescope weights`: its elements, and its vectors as tokens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights.h"

enum { ROWS_SHOWN = 16, COLUMNS_SHOWN = 8 }; /* of the plain table */

/* What is shown of the axes: their kept elements, single ones included. */
static int64_t kept(const struct weight_cut *cut, int axis, int64_t i)
{
    return cut->index[axis] ? cut->index[axis][i] : i;
}

/* "2, 0" : the element of every axis but `without` that a row stands for. */
static void row_label(const struct weight_cut *cut, int without, int64_t row, char *buf,
                      size_t size)
{
    int64_t at[WEIGHT_RANK_MAX];
    size_t n = 0;
    buf[0] = '\0';
    for (int d = cut->w.rank - 1; d >= 0; d--)
        if (d != without) {
            at[d] = kept(cut, d, row % cut->n[d]);
            row /= cut->n[d];
        }
    for (int d = 0; d < cut->w.rank; d++)
        n += (size_t)snprintf(buf + n, size - n, d == without ? "%s:" : "%s%lld", d ? ", " : "",
                              d == without ? 0LL : (long long)at[d]);
}

static void head(struct cli *c, const struct weight_cut *cut)
{
    cli_head(c);
    bytes_addf(&c->out, "# %s [", cut->w.name);
    for (int d = 0; d < cut->w.rank; d++)
        bytes_addf(&c->out, "%s%s %lld", d ? ", " : "", cut->w.dims[d], (long long)cut->w.shape[d]);
    bytes_addf(&c->out, "]\n");
}

static int values_table(struct cli *c, const struct weight_cut *cut, const float *v)
{
    int last = cut->w.rank - 1;
    int64_t columns = cut->n[last], rows = weight_cut_size(cut) / columns;
    int64_t shown[2] = {rows, columns};
    if (!c->opt->tsv) {
        shown[0] = rows < ROWS_SHOWN ? rows : ROWS_SHOWN;
        shown[1] = columns < COLUMNS_SHOWN ? columns : COLUMNS_SHOWN;
        head(c, cut);
        if (shown[0] < rows || shown[1] < columns)
            bytes_addf(&c->out,
                       "# %lld of %lld rows, %lld of %lld columns · --tsv, --json or -o for all\n",
                       (long long)shown[0], (long long)rows, (long long)shown[1],
                       (long long)columns);
    }
    struct table_column *col = calloc((size_t)shown[1] + 1, sizeof *col);
    char(*name)[24] = calloc((size_t)shown[1] + 1, sizeof *name), label[128];
    if (!col || !name) {
        free(col);
        free(name);
        return cli_memory(c);
    }
    col[0] = (struct table_column)COLUMN_TEXT("index");
    for (int64_t k = 0; k < shown[1]; k++) {
        snprintf(name[k], sizeof name[k], "%lld", (long long)kept(cut, last, k));
        col[k + 1] = (struct table_column)COLUMN_NUMBER(name[k], 4);
    }
    struct table *t = table_new(col, (int)shown[1] + 1);
    for (int64_t i = 0; t && i < shown[0]; i++) {
        row_label(cut, last, i, label, sizeof label);
        table_string(t, label);
        for (int64_t k = 0; k < shown[1]; k++)
            table_number(t, v[i * columns + k]);
    }
    int rc = cli_table(c, t);
    free(col);
    free(name);
    return rc;
}

/* Nested arrays of shape[axis..rank). */
static void values_json(struct json_out *j, const float **v, const int64_t *shape, int rank)
{
    if (rank == 0) {
        json_out_float(j, *(*v)++);
        return;
    }
    if (rank == 1) {
        json_out_floats(j, *v, (size_t)shape[0]);
        *v += shape[0];
        return;
    }
    json_out_array(j);
    for (int64_t i = 0; i < shape[0]; i++)
        values_json(j, v, shape + 1, rank - 1);
    json_out_close(j);
}

/* {"name": ..., "library", "shape", "dims": of what is kept; further members follow, not closed. */
static void cut_json(const struct cli *c, struct json_out *j, const struct weight_cut *cut)
{
    bool *on = weights_edited(c, &cut->w);
    int64_t shape[WEIGHT_RANK_MAX];
    const char *dims[WEIGHT_RANK_MAX];
    int rank = weight_cut_shape(cut, shape, dims);
    json_out_object(j);
    json_out_string(json_out_key(j, "name"), cut->w.name);
    json_out_string(json_out_key(j, "library"), alias_library_name(cut->w.library));
    json_out_ints(json_out_key(j, "shape"), shape, (size_t)rank);
    json_out_array(json_out_key(j, "dims"));
    for (int d = 0; d < rank; d++)
        json_out_string(j, dims[d]);
    json_out_close(j);
    if (on)
        cli_json_edits(c, json_out_key(j, "edits"), on);
    free(on);
}

int weights_values(struct cli *c, const struct weight_cut *cut)
{
    float *v = weights_read(c, cut);
    if (!v)
        return c->err.code;
    int rc = 0;
    if (c->opt->json) {
        struct json_out j;
        int64_t shape[WEIGHT_RANK_MAX];
        const char *dims[WEIGHT_RANK_MAX];
        const float *p = v;
        json_out_begin(&j, &c->out);
        cut_json(c, &j, cut);
        values_json(json_out_key(&j, "values"), &p, shape, weight_cut_shape(cut, shape, dims));
        rc = cli_json_end(c, &j);
    } else {
        rc = values_table(c, cut, v);
    }
    free(v);
    return rc;
}

/* ---- as tokens ---- */

void weights_table_tokens(const struct cli *c, struct table *t, const struct lens_top *top)
{
    struct bytes text = {0};
    for (int32_t i = 0; i < c->opt->top; i++) {
        size_t len;
        const char *s = cli_token_text(c, top[i].id, &len);
        bytes_addf(&text, "%s\"", i ? ", " : "");
        text_add(&text, s, len, TEXT_TOKEN);
        bytes_addf(&text, "\" %.3g", (double)top[i].logit);
    }
    table_text(t, text.data, text.len);
    bytes_free(&text);
}

void weights_tokens_json(const struct cli *c, struct json_out *j, const char *key,
                         const struct lens_top *top)
{
    json_out_array(json_out_key(j, key));
    for (int32_t i = 0; i < c->opt->top; i++) {
        cli_json_token(c, j, top[i].id);
        json_out_float(json_out_key(j, "value"), top[i].logit);
        json_out_close(j);
    }
    json_out_close(j);
}

/* A weight's vectors in the residual stream. */
struct directions {
    int axis; /* that is d_model */
    enum circuit_side side;
    int64_t n;
    float *x;
    struct lens_top *top, *bottom;
};

static int directions_find(struct cli *c, const struct weight_cut *cut, struct directions *d)
{
    enum weight_id id = cut->w.part[0];
    bool writes = id == W_E || id == W_POS || id == W_O || id == B_O || id == W_OUT || id == B_OUT;
    d->side = writes ? CIRCUIT_UNEMBED : CIRCUIT_EMBED;
    d->axis = -1;
    for (int i = 0; i < cut->w.rank; i++)
        if (!strcmp(cut->w.dims[i], "d_model"))
            d->axis = i;
    if (d->axis < 0 || cut->n[d->axis] != c->m->cfg.d_model || cut->index[d->axis])
        return err_set(
            &c->err, ERR_BAD_INPUT,
            "--as-tokens · %s with this index has no whole axis d_model · take e.g. blocks.0.mlp.W_out[5]",
            cut->w.name);
    if (weight_is_norm(id) || id == B_LN1 || id == B_LN2 || id == B_LNF)
        return err_set(&c->err, ERR_BAD_INPUT,
                       "--as-tokens · %s belongs to a norm: no direction that is written or read",
                       cut->w.name);
    d->n = weight_cut_size(cut) / c->m->cfg.d_model;
    if (d->n > 4096)
        return err_set(&c->err, ERR_BAD_INPUT,
                       "--as-tokens · %s has %lld directions · choose at most 4096, e.g. %s[0:100]",
                       cut->w.name, (long long)d->n, cut->w.name);
    return 0;
}

/* v with its d_model axis last. */
static void directions_turn(const struct weight_cut *cut, struct directions *d, const float *v)
{
    int64_t inner = 1, width = cut->n[d->axis];
    for (int i = d->axis + 1; i < cut->w.rank; i++)
        inner *= cut->n[i];
    for (int64_t i = 0; i < d->n; i++)
        for (int64_t k = 0; k < width; k++)
            d->x[i * width + k] = v[(i / inner * width + k) * inner + i % inner];
}

static int directions_table(struct cli *c, const struct weight_cut *cut, const struct directions *d)
{
    static const struct table_column columns[] = {COLUMN_TEXT("index"), COLUMN_TEXT("most"),
                                                  COLUMN_TEXT("least")};
    struct table *t = table_new(columns, 3);
    if (!t)
        return cli_memory(c);
    if (!c->opt->tsv) {
        head(c, cut);
        bytes_addf(&c->out, "# through the %s\n",
                   d->side == CIRCUIT_UNEMBED ? "unembedding: what it says"
                                              : "embedding: what it reads");
    }
    for (int64_t i = 0; i < d->n; i++) {
        char label[128];
        row_label(cut, d->axis, i, label, sizeof label);
        table_string(t, label);
        weights_table_tokens(c, t, d->top + i * c->opt->top);
        weights_table_tokens(c, t, d->bottom + i * c->opt->top);
    }
    return cli_table(c, t);
}

static int directions_json(struct cli *c, const struct weight_cut *cut, const struct directions *d)
{
    struct json_out j;
    json_out_begin(&j, &c->out);
    cut_json(c, &j, cut);
    json_out_string(json_out_key(&j, "through"),
                    d->side == CIRCUIT_UNEMBED ? "unembedding" : "embedding");
    json_out_array(json_out_key(&j, "directions"));
    for (int64_t i = 0; i < d->n; i++) {
        char label[128];
        row_label(cut, d->axis, i, label, sizeof label);
        json_out_object(&j);
        json_out_string(json_out_key(&j, "index"), label);
        weights_tokens_json(c, &j, "most", d->top + i * c->opt->top);
        weights_tokens_json(c, &j, "least", d->bottom + i * c->opt->top);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

int weights_as_tokens(struct cli *c, const struct weight_cut *cut)
{
    struct directions d = {0};
    int rc = directions_find(c, cut, &d);
    if (rc)
        return rc;
    float *v = weights_read(c, cut);
    d.x = malloc((size_t)weight_cut_size(cut) * sizeof *d.x);
    d.top = malloc((size_t)(d.n * c->opt->top) * 2 * sizeof *d.top);
    d.bottom = d.top ? d.top + d.n * c->opt->top : NULL;
    rc = v ? d.x && d.top ? 0 : cli_memory(c) : c->err.code;
    if (!rc) {
        directions_turn(cut, &d, v);
        rc = circuit_read(c->m, d.side, d.x, d.n, c->opt->top, d.top, d.bottom, &c->err);
    }
    if (!rc)
        rc = c->opt->json ? directions_json(c, cut, &d) : directions_table(c, cut, &d);
    free(v);
    free(d.x);
    free(d.top);
    return rc;
}
