/* sweep_print.c - see sweep_print.h. */
#include "sweep_print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maps_draw.h"
#include "model/tensor_write.h"

enum { MATRIX_COLUMNS = 40, LABEL = 64 };

static double value_at(const struct sweep_shown *x, int32_t cell)
{
    return sweep_has(x->s, cell) ? sweep_value(x->s, cell, NULL) : NAN;
}

static bool with_errors(const struct sweep_shown *x)
{
    return x->n_prompts > 1;
}

/* ------------------------------------------------------------------ JSON */

enum figure { VALUE, ERROR, HAS };

/* One figure of the cells from `axis` on, nested. */
static void json_nested(const struct sweep_shown *x, struct json_out *j, int32_t axis,
                        int32_t *cell, enum figure what)
{
    if (axis == x->n_axes) {
        double error = NAN, value = NAN;
        if (sweep_has(x->s, *cell))
            value = sweep_value(x->s, *cell, &error);
        if (what == HAS)
            json_out_bool(j, sweep_has(x->s, *cell));
        else
            json_out_double(j, what == ERROR ? error : value);
        ++*cell;
        return;
    }
    json_out_array(j);
    for (int32_t i = 0; i < x->axes[axis].size; i++)
        json_nested(x, j, axis + 1, cell, what);
    json_out_close(j);
}

static int print_json(const struct sweep_shown *x)
{
    struct json_out j;
    int32_t cell = 0;
    json_out_begin(&j, &x->c->out);
    json_out_object(&j);
    json_out_string(json_out_key(&j, "kind"), x->kind);
    json_out_array(json_out_key(&j, "axes"));
    for (int32_t i = 0; i < x->n_axes; i++) {
        json_out_object(&j);
        json_out_string(json_out_key(&j, "name"), x->axes[i].name);
        json_out_int(json_out_key(&j, "size"), x->axes[i].size);
        json_out_close(&j);
    }
    json_out_close(&j);
    json_out_double(json_out_key(&j, "base"), sweep_base(x->s));
    json_out_int(json_out_key(&j, "done"), sweep_done(x->s));
    json_nested(x, json_out_key(&j, "values"), 0, &cell, VALUE);
    cell = 0;
    json_nested(x, json_out_key(&j, "has"), 0, &cell, HAS);
    if (with_errors(x)) {
        cell = 0;
        json_nested(x, json_out_key(&j, "errors"), 0, &cell, ERROR);
    }
    json_out_close(&j);
    return cli_json_end(x->c, &j);
}

/* ------------------------------------------------------------------ tables */

/* The values of a cell on each axis. */
static void cell_at(const struct sweep_shown *x, int32_t cell, int32_t at[SWEEP_AXES_MAX])
{
    for (int32_t i = x->n_axes; i-- > 0;) {
        at[i] = cell % x->axes[i].size;
        cell /= x->axes[i].size;
    }
}

static void head(const struct sweep_shown *x)
{
    struct bytes *out = &x->c->out;
    double base, other;
    if (x->c->opt->tsv)
        return;
    sweep_sides(x->s, &base, &other);
    cli_head(x->c);
    bytes_add_string(out, "# ");
    cli_plain_text(out, x->kind, strlen(x->kind));
    bytes_add_string(out, " · ");
    cli_plain_text(out, x->metric, strlen(x->metric));
    bytes_addf(out, " · base %.6g", base);
    if (!isnan(other))
        bytes_addf(out, " is 0, %.6g is 1", other);
    if (with_errors(x))
        bytes_addf(out, " · mean of %d prompts", (int)x->n_prompts);
    bytes_addf(out, " · %d cells\n", (int)sweep_cells(x->s));
}

static void table_axis(const struct sweep_shown *x, struct table *t, int32_t axis, int32_t i)
{
    const struct sweep_axis *a = &x->axes[axis];
    char text[16];
    if (a->choice)
        table_string(t, sweep_axis_text(a, i, text));
    else
        table_int(t, i);
    if (a->role != SWEEP_POS)
        return;
    int32_t pos = sweep_position(x->s, axis, i);
    if (pos >= 0)
        cli_table_input(x->c, t, pos);
    else
        table_blank(t);
}

struct ranked {
    double change;
    int32_t cell;
};

/* NaN first: it is what one looks for; cells without a value last. */
static int by_change(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->change != y->change)
        return x->change < y->change ? 1 : -1;
    return (x->cell > y->cell) - (x->cell < y->cell);
}

/* Cells by how much they change the metric; -1 ends the list. */
static int32_t *cells_ranked(const struct sweep_shown *x)
{
    int32_t n = sweep_cells(x->s);
    struct ranked *r = malloc((size_t)n * sizeof *r);
    int32_t *list = malloc(((size_t)n + 1) * sizeof *list);
    for (int32_t i = 0; r && i < n; i++) {
        double change = fabs(value_at(x, i) - sweep_base(x->s));
        r[i] = (struct ranked){!sweep_has(x->s, i) ? -1 : isnan(change) ? INFINITY : change, i};
    }
    if (r)
        qsort(r, (size_t)n, sizeof *r, by_change);
    for (int32_t i = 0; r && list && i < n; i++)
        list[i] = r[i].cell;
    if (!r) {
        free(list);
        list = NULL;
    }
    free(r);
    return list;
}

/* A row for each cell: in the order of change, or in their own. */
static int print_list(const struct sweep_shown *x, bool ranked)
{
    struct table_column column[2 * SWEEP_AXES_MAX + 3];
    const struct options *o = x->c->opt;
    int n = 0;
    for (int32_t i = 0; i < x->n_axes; i++) {
        column[n++] = x->axes[i].choice ? (struct table_column)COLUMN_TEXT(x->axes[i].name)
                                        : (struct table_column)COLUMN_INT(x->axes[i].name);
        if (x->axes[i].role == SWEEP_POS)
            column[n++] = (struct table_column)COLUMN_TOKEN("token");
    }
    column[n++] = (struct table_column)COLUMN_NUMBER("value", 4);
    column[n++] = (struct table_column)COLUMN_NUMBER("change", 4);
    if (with_errors(x))
        column[n++] = (struct table_column)COLUMN_NUMBER("error", 4);
    struct table *t = table_new(column, n);
    int32_t *list = ranked ? cells_ranked(x) : NULL, shown = 0;
    if (!t || (ranked && !list)) {
        table_free(t);
        free(list);
        return cli_memory(x->c);
    }
    int32_t most = o->given[ON(top)] ? o->top : sweep_cells(x->s);
    for (int32_t k = 0; k < sweep_cells(x->s) && shown < most; k++) {
        int32_t at[SWEEP_AXES_MAX], cell = list ? list[k] : k;
        double error;
        if (!sweep_has(x->s, cell))
            continue;
        shown++;
        cell_at(x, cell, at);
        for (int32_t i = 0; i < x->n_axes; i++)
            table_axis(x, t, i, at[i]);
        double v = sweep_value(x->s, cell, &error);
        table_number(t, (float)v);
        table_number(t, (float)(v - sweep_base(x->s)));
        if (with_errors(x))
            table_number(t, (float)error);
    }
    free(list);
    return cli_table(x->c, t);
}

/* What stands over a column. */
static void column_label(const struct sweep_shown *x, int32_t i, char buf[LABEL])
{
    const struct sweep_axis *a = &x->axes[1];
    int32_t pos = sweep_position(x->s, 1, i);
    char text[16];
    size_t len;
    struct bytes token = {0};
    if (pos >= 0) {
        const char *p = cli_input_text(x->c, pos, &len);
        text_add(&token, p, len, TEXT_TOKEN);
    }
    snprintf(buf, LABEL, "%s%s%.12s", sweep_axis_text(a, i, text), token.len ? " " : "",
             token.len ? token.data : "");
    bytes_free(&token);
}

/* Two axes: a map of numbers. */
static int print_matrix(const struct sweep_shown *x)
{
    int32_t rows = x->axes[0].size, cols = x->axes[1].size;
    struct table_column *column = calloc((size_t)cols + 1, sizeof *column);
    char(*label)[LABEL] = calloc((size_t)cols, sizeof *label);
    struct table *t = NULL;
    if (column && label) {
        column[0] = (struct table_column)COLUMN_TEXT(x->axes[0].name);
        for (int32_t i = 0; i < cols; i++) {
            column_label(x, i, label[i]);
            column[i + 1] = (struct table_column)COLUMN_NUMBER(label[i], 3);
        }
        t = table_new(column, cols + 1);
    }
    for (int32_t cell = 0; t && cell < rows * cols; cell++) {
        char text[16];
        if (cell % cols == 0)
            table_string(t, sweep_axis_text(&x->axes[0], cell / cols, text));
        if (sweep_has(x->s, cell))
            table_number(t, (float)sweep_value(x->s, cell, NULL));
        else
            table_blank(t);
    }
    int rc = cli_table(x->c, t);
    free(column), free(label);
    return rc;
}

static int print_table(const struct sweep_shown *x)
{
    const struct options *o = x->c->opt;
    head(x);
    if (o->tsv)
        return print_list(x, o->given[ON(top)]);
    return x->n_axes == 2 && x->axes[1].size <= MATRIX_COLUMNS && !o->given[ON(top)] &&
                   !with_errors(x)
               ? print_matrix(x)
               : print_list(x, true);
}

/* ------------------------------------------------------------------ files and pictures */

static int write_tensors(const struct sweep_shown *x)
{
    int32_t n = sweep_cells(x->s);
    float *v = malloc((size_t)n * sizeof *v), *errors = malloc((size_t)n * sizeof *errors),
          base = (float)sweep_base(x->s);
    uint8_t *has = malloc((size_t)n);
    struct bytes names = {0};
    if (!v || !errors || !has) {
        free(v), free(errors), free(has);
        return cli_memory(x->c);
    }
    for (int32_t i = 0; i < n; i++) {
        double error = 0;
        has[i] = sweep_has(x->s, i);
        v[i] = has[i] ? (float)sweep_value(x->s, i, &error) : NAN;
        errors[i] = (float)error;
    }
    struct tensor_out t[] = {
        {.name = "values", .dtype = ST_F32, .rank = (int)x->n_axes, .data = v},
        {.name = "has", .dtype = ST_BOOL, .rank = (int)x->n_axes, .data = has},
        {.name = "errors", .dtype = ST_F32, .rank = (int)x->n_axes, .data = errors},
        {.name = "base", .dtype = ST_F32, .rank = 0, .data = &base}};
    for (int32_t i = 0; i < x->n_axes; i++) {
        bytes_addf(&names, "%s%s", i ? "," : "", x->axes[i].name);
        t[0].shape[i] = t[1].shape[i] = t[2].shape[i] = x->axes[i].size;
    }
    const struct tensor_meta meta[] = {
        {"kind", x->kind}, {"metric", x->metric}, {"axes", names.data ? names.data : ""}};
    int rc = names.failed ? cli_memory(x->c)
                          : tensor_write(x->c->opt->output, t, 4, meta, 3, &x->c->err);
    bytes_free(&names);
    free(v), free(errors), free(has);
    return rc;
}

/* The values of all axes but the last two. */
static void map_title(const void *user, int32_t i, char buf[64])
{
    const struct sweep_shown *x = user;
    int32_t at[SWEEP_AXES_MAX];
    char text[16];
    size_t len = 0;
    buf[0] = '\0';
    for (int32_t a = x->n_axes - 2; a-- > 0; i /= x->axes[a].size)
        at[a] = i % x->axes[a].size;
    for (int32_t a = 0; a < x->n_axes - 2 && len < 60; a++)
        len += (size_t)snprintf(buf + len, 64 - len, "%s%s %s", a ? " " : "", x->axes[a].name,
                                sweep_axis_text(&x->axes[a], at[a], text));
}

/* Changes against the base: the last two axes as maps, one for each value of the others. */
static int draw(const struct sweep_shown *x)
{
    const struct options *o = x->c->opt;
    int32_t n = sweep_cells(x->s), cols = x->n_axes ? x->axes[x->n_axes - 1].size : 1,
            rows = x->n_axes > 1 ? x->axes[x->n_axes - 2].size : 1;
    float *v = malloc((size_t)n * sizeof *v);
    if (!v)
        return cli_memory(x->c);
    for (int32_t i = 0; i < n; i++) /* what is no cell is as if nothing changed */
        v[i] = sweep_has(x->s, i) ? (float)(value_at(x, i) - sweep_base(x->s)) : 0;
    struct maps maps = {.value = v,
                        .n = n / (rows * cols),
                        .rows = rows,
                        .cols = cols,
                        .scale = scale_fit(SCALE_SYMMETRIC, v, (size_t)n),
                        .map = COLORMAP_DIVERGING,
                        .title = map_title,
                        .user = x,
                        .too_large = "choose some of an axis with --over"};
    int side[2], rc;
    if (!o->png) {
        rc = o->sixel ? maps_sixel(x->c, &maps) : maps_ansi(x->c, &maps);
    } else if ((rc = maps_png(x->c, &maps, o->png, side)) == 0) {
        head(x);
        bytes_addf(&x->c->out, "# colours: change from -%.4g to %.4g · %d x %d pixels, written to ",
                   (double)maps.scale.hi, (double)maps.scale.hi, side[0], side[1]);
        cli_plain_text(&x->c->out, o->png, strlen(o->png));
        bytes_add_char(&x->c->out, '\n');
    }
    free(v);
    return rc;
}

int sweep_print(const struct sweep_shown *x)
{
    const struct options *o = x->c->opt;
    int rc = o->output ? write_tensors(x) : 0;
    bool drawn = o->png || o->sixel || o->ansi;
    if (rc || (o->output && !o->json && !o->tsv && !drawn))
        return rc;
    if (o->json)
        return print_json(x);
    return drawn ? draw(x) : print_table(x);
}
