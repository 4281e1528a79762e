/* weight_circuits.c - `borescope weights --svd`, `--eigenvalues` and `--target`: the QK and OV
 * products of heads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/factored.h"
#include "weights.h"

/* One head's product: names and numbers. */
struct product {
    int32_t layer, head;
    enum circuit_kind kind;
    bool full; /* W_E OV W_U */
    int64_t d, r;
    double *a, *b, *u, *s, *v, *re, *im, norm;
};

typedef int product_fn(struct cli *c, struct product *p, void *user);

static const char *product_name(const struct product *p)
{
    return p->full ? "W_E OV W_U" : p->kind == CIRCUIT_QK ? "QK" : "OV";
}

/* Both products of every head that -l and -H choose; with `full` a third one. */
static int each_product(struct cli *c, bool full, product_fn *fn, void *user)
{
    const struct config *g = &c->m->cfg;
    int64_t d = g->d_model, r = g->d_head, n = d * r;
    struct product p = {.d = d, .r = r};
    double *mem = malloc((size_t)(5 * n + 3 * r + (full ? d * d : 0)) * sizeof *mem),
           *tokens = mem ? mem + 5 * n + 3 * r : NULL;
    int rc = mem ? 0 : cli_memory(c);
    if (!rc && c->opt->given[ON(layer)])
        rc = cli_check_index(c, "layer", c->opt->layer, g->n_layers);
    if (!rc && c->opt->head >= 0)
        rc = cli_check_index(c, "head", c->opt->head, g->n_heads);
    if (!rc && full)
        rc = circuit_tokens(c->m, tokens, &c->err);
    for (p.layer = 0; p.layer < g->n_layers && !rc; p.layer++)
        for (p.head = 0; p.head < g->n_heads && !rc; p.head++) {
            if ((c->opt->given[ON(layer)] && c->opt->layer != p.layer) ||
                (c->opt->head >= 0 && c->opt->head != p.head))
                continue;
            for (int k = 0; k < 2 + full && !rc; k++) {
                p.a = mem, p.u = mem + 2 * n, p.v = mem + 3 * n, p.s = mem + 5 * n, p.re = p.s + r,
                p.im = p.re + r;
                p.b = mem + n, p.kind = k ? CIRCUIT_OV : CIRCUIT_QK, p.full = k == 2;
                rc = circuit_head(c->m, p.kind, p.layer, p.head, p.a, p.b, &c->err);
                if (!rc && p.full) {
                    circuit_through_tokens(tokens, p.b, d, r, mem + 4 * n);
                    p.b = mem + 4 * n;
                }
                p.norm = p.full ? NAN : factored_norm(p.a, d, p.b, d, r);
                if (!rc)
                    rc = fn(c, &p, user);
            }
        }
    free(mem);
    return rc;
}

static void product_label(struct table *t, const struct product *p)
{
    cli_table_head(t, p->layer, p->head);
    table_string(t, product_name(p));
}

static void product_json(struct json_out *j, const struct product *p)
{
    json_out_object(j);
    json_out_int(json_out_key(j, "layer"), p->layer);
    json_out_int(json_out_key(j, "head"), p->head);
    json_out_string(json_out_key(j, "product"), product_name(p));
    json_out_double(json_out_key(j, "norm"), p->norm);
}

/* ---- singular values ---- */

/* Column i of x[d, r] as floats. */
static void column(const double *x, int64_t d, int64_t r, int64_t i, float *out)
{
    for (int64_t k = 0; k < d; k++)
        out[k] = (float)x[k * r + i];
}

static void vectors_json(struct json_out *j, const char *key, const double *x, int64_t d, int64_t r,
                         float *buf)
{
    json_out_array(json_out_key(j, key));
    for (int64_t i = 0; i < r; i++) {
        column(x, d, r, i, buf);
        json_out_floats(j, buf, (size_t)d);
    }
    json_out_close(j);
}

static int svd_row(struct cli *c, struct product *p, void *user)
{
    struct cli_rows *s = user;
    int rc = factored_svd(p->a, p->d, p->b, p->d, p->r, p->u, p->s, p->v, &c->err);
    float *buf = malloc((size_t)(p->d > p->r ? p->d : p->r) * sizeof *buf);
    if (!rc && !buf)
        rc = cli_memory(c);
    if (!rc && s->t) {
        product_label(s->t, p);
        table_number(s->t, (float)p->norm);
        for (int32_t i = 0; i < c->opt->top; i++)
            if (i < p->r)
                table_number(s->t, (float)p->s[i]);
            else
                table_blank(s->t);
    } else if (!rc) {
        product_json(&s->j, p);
        for (int64_t i = 0; i < p->r; i++)
            buf[i] = (float)p->s[i];
        json_out_floats(json_out_key(&s->j, "singular_values"), buf, (size_t)p->r);
        if (c->opt->head >= 0) { /* vectors of chosen heads only: they are long */
            vectors_json(&s->j, "left", p->u, p->d, p->r, buf);
            vectors_json(&s->j, "right", p->v, p->d, p->r, buf);
        }
        json_out_close(&s->j);
    }
    free(buf);
    return rc;
}

/* One side of one singular direction. */
static int direction_row(struct cli *c, const struct product *p, struct cli_rows *s, int64_t i,
                         bool right, float *buf)
{
    static const char *const sides[2][2] = {{"query", "key"}, {"source", "output"}};
    struct lens_top top[2][LENS_TOP_MAX];
    enum circuit_side side = p->kind == CIRCUIT_OV && right ? CIRCUIT_UNEMBED : CIRCUIT_EMBED;
    column(right ? p->v : p->u, p->d, p->r, i, buf);
    int rc = circuit_read(c->m, side, buf, 1, c->opt->top, top[0], top[1], &c->err);
    if (rc)
        return rc;
    if (s->t) {
        product_label(s->t, p);
        table_int(s->t, i);
        table_number(s->t, (float)p->s[i]);
        table_string(s->t, sides[p->kind][right]);
        weights_table_tokens(c, s->t, top[0]);
        weights_table_tokens(c, s->t, top[1]);
        return 0;
    }
    product_json(&s->j, p);
    json_out_int(json_out_key(&s->j, "direction"), i);
    json_out_double(json_out_key(&s->j, "singular_value"), p->s[i]);
    json_out_string(json_out_key(&s->j, "side"), sides[p->kind][right]);
    weights_tokens_json(c, &s->j, "most", top[0]);
    weights_tokens_json(c, &s->j, "least", top[1]);
    json_out_close(&s->j);
    return 0;
}

static int svd_tokens(struct cli *c, struct product *p, void *user)
{
    enum { DIRECTIONS = 5 };
    int rc = factored_svd(p->a, p->d, p->b, p->d, p->r, p->u, p->s, p->v, &c->err);
    float *buf = malloc((size_t)p->d * sizeof *buf);
    if (!rc && !buf)
        rc = cli_memory(c);
    for (int64_t i = 0; i < p->r && i < DIRECTIONS && !rc; i++)
        for (int right = 0; right < 2 && !rc; right++)
            rc = direction_row(c, p, user, i, right, buf);
    free(buf);
    return rc;
}

int weights_svd(struct cli *c)
{
    static const struct table_column tokens[] = {
        COLUMN_TEXT("head"), COLUMN_TEXT("product"), COLUMN_INT("direction"), COLUMN_NUMBER("s", 4),
        COLUMN_TEXT("side"), COLUMN_TEXT("most"),    COLUMN_TEXT("least")};
    struct table_column columns[3 + LENS_TOP_MAX] = {COLUMN_TEXT("head"), COLUMN_TEXT("product"),
                                                     COLUMN_NUMBER("norm", 4)};
    char names[LENS_TOP_MAX][16];
    struct cli_rows s = {0};
    for (int32_t i = 0; i < c->opt->top; i++) {
        snprintf(names[i], sizeof names[i], "s%d", (int)i);
        columns[3 + i] = (struct table_column)COLUMN_NUMBER(names[i], 4);
    }
    int rc = c->opt->as_tokens ? cli_rows_open(c, &s, tokens, 7)
                               : cli_rows_open(c, &s, columns, 3 + c->opt->top);
    if (!rc)
        rc = each_product(c, false, c->opt->as_tokens ? svd_tokens : svd_row, &s);
    return cli_rows_close(c, &s, rc);
}

/* ---- eigenvalues ---- */

static int eigen_row(struct cli *c, struct product *p, void *user)
{
    struct cli_rows *s = user;
    double sum = 0, size = 0;
    int rc = factored_eigenvalues(p->a, p->b, p->d, p->r, p->re, p->im, &c->err);
    if (rc)
        return rc;
    for (int64_t i = 0; i < p->r; i++)
        sum += p->re[i], size += hypot(p->re[i], p->im[i]);
    if (s->t) {
        product_label(s->t, p);
        if (p->full)
            table_blank(s->t);
        else
            table_number(s->t, (float)p->norm);
        table_number(s->t, (float)(sum / size));
        for (int32_t i = 0; i < c->opt->top; i++) {
            char text[64] = "";
            if (i < p->r)
                snprintf(text, sizeof text, p->im[i] != 0 ? "%.4g%+.4gi" : "%.4g", p->re[i],
                         p->im[i]);
            table_string(s->t, text);
        }
        return 0;
    }
    product_json(&s->j, p);
    json_out_double(json_out_key(&s->j, "score"), sum / size);
    json_out_array(json_out_key(&s->j, "eigenvalues"));
    for (int64_t i = 0; i < p->r; i++) {
        json_out_array(&s->j);
        json_out_double(&s->j, p->re[i]);
        json_out_double(&s->j, p->im[i]);
        json_out_close(&s->j);
    }
    json_out_close(&s->j);
    json_out_close(&s->j);
    return 0;
}

int weights_eigenvalues(struct cli *c)
{
    struct table_column columns[4 + LENS_TOP_MAX] = {COLUMN_TEXT("head"), COLUMN_TEXT("product"),
                                                     COLUMN_NUMBER("norm", 4),
                                                     COLUMN_NUMBER("score", 4)};
    char names[LENS_TOP_MAX][16];
    struct cli_rows s = {0};
    for (int32_t i = 0; i < c->opt->top; i++) {
        snprintf(names[i], sizeof names[i], "e%d", (int)i);
        columns[4 + i] = (struct table_column)COLUMN_TEXT(names[i]);
    }
    int rc = cli_rows_open(c, &s, columns, 4 + c->opt->top);
    if (!rc)
        rc = each_product(c, true, eigen_row, &s);
    return cli_rows_close(c, &s, rc);
}

/* ---- one token through the heads ---- */

/* A token's embedding through a product: what a head says when it looks at it, what it looks for
 * from it, what looks for it. */
struct token_rows {
    struct cli_rows s;
    int32_t id;
    double *x;  /* its embedding */
    float *out; /* what comes of it */
};

/* out = x A B^T, or x B A^T. */
static void through(const struct product *p, const double *x, bool turned, float *out)
{
    const double *a = turned ? p->b : p->a, *b = turned ? p->a : p->b;
    for (int64_t i = 0; i < p->d; i++)
        out[i] = 0;
    for (int64_t k = 0; k < p->r; k++) {
        double sum = 0;
        for (int64_t i = 0; i < p->d; i++)
            sum += x[i] * a[i * p->r + k];
        for (int64_t i = 0; i < p->d; i++)
            out[i] += (float)(sum * b[i * p->r + k]);
    }
}

static int token_side(struct cli *c, const struct product *p, struct token_rows *t, bool turned)
{
    static const char *const sides[2][2] = {{"looks for", "is looked for by"}, {"says", ""}};
    struct lens_top top[2][LENS_TOP_MAX];
    through(p, t->x, turned, t->out);
    int rc = circuit_read(c->m, p->kind == CIRCUIT_OV ? CIRCUIT_UNEMBED : CIRCUIT_EMBED, t->out, 1,
                          c->opt->top, top[0], top[1], &c->err);
    if (rc)
        return rc;
    if (t->s.t) {
        product_label(t->s.t, p);
        table_string(t->s.t, sides[p->kind][turned]);
        weights_table_tokens(c, t->s.t, top[0]);
        weights_table_tokens(c, t->s.t, top[1]);
        return 0;
    }
    product_json(&t->s.j, p);
    cli_json_token(c, json_out_key(&t->s.j, "token"), t->id);
    json_out_close(&t->s.j);
    json_out_string(json_out_key(&t->s.j, "side"), sides[p->kind][turned]);
    weights_tokens_json(c, &t->s.j, "most", top[0]);
    weights_tokens_json(c, &t->s.j, "least", top[1]);
    json_out_close(&t->s.j);
    return 0;
}

static int token_row(struct cli *c, struct product *p, void *user)
{
    int rc = token_side(c, p, user, false);
    return rc || p->kind == CIRCUIT_OV ? rc : token_side(c, p, user, true);
}

int weights_token(struct cli *c)
{
    static const struct table_column columns[] = {COLUMN_TEXT("head"), COLUMN_TEXT("product"),
                                                  COLUMN_TEXT("side"), COLUMN_TEXT("most"),
                                                  COLUMN_TEXT("least")};
    struct named_weight w;
    struct token_rows t = {.id = -1};
    int64_t d = c->m->cfg.d_model;
    int rc = cli_token(c, c->opt->target, &t.id);
    if (!rc)
        rc = named_weight_find(c->m, "W_E", &w, &c->err);
    t.x = malloc((size_t)d * sizeof *t.x);
    t.out = malloc((size_t)d * sizeof *t.out);
    if (!rc && (!t.x || !t.out))
        rc = cli_memory(c);
    if (!rc) {
        const int64_t one[WEIGHT_RANK_MAX] = {1};
        named_weight_cut(c->m, &w, (const int32_t *[WEIGHT_RANK_MAX]){&t.id}, one, t.out);
        for (int64_t i = 0; i < d; i++)
            t.x[i] = (double)t.out[i];
    }
    if (!rc)
        rc = cli_rows_open(c, &t.s, columns, 5);
    if (!rc)
        rc = each_product(c, false, token_row, &t);
    free(t.x);
    free(t.out);
    return cli_rows_close(c, &t.s, rc);
}
