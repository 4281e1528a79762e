/* attribute_print.c - see attribute_print.h. */
#include "attribute_print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maps_draw.h"
#include "model/tensor_write.h"

enum { MATRIX_COLUMNS = 40, LABEL = 64 };

static bool there(const struct attribute_shown *x, int64_t i)
{
    return !x->found.there || x->found.there[i];
}

static const struct sweep_axis *swept(const struct attribute_shown *x, int axis)
{
    const struct sweep_axis *all;
    (void)sweep_axes(x->sweep, &all);
    return &all[axis];
}

static bool is_position(const struct attribute_shown *x, int axis)
{
    return x->by_cells ? swept(x, axis)->role == SWEEP_POS : x->found.axis[axis].position;
}

/* What a value of an axis is called; NULL: by its number. */
static const char *label_of(const struct attribute_shown *x, int axis, int32_t i)
{
    const struct attribute_axis *a = &x->found.axis[axis];
    if (x->by_cells)
        return swept(x, axis)->choice ? swept(x, axis)->choice[i] : NULL;
    return a->label ? a->label[i] : NULL;
}

static bool has_labels(const struct attribute_shown *x, int axis)
{
    return x->found.axis[axis].size && label_of(x, axis, 0);
}

static const char *kind_name(const struct attribute_shown *x)
{
    return x->edits                              ? x->edits
           : x->options->method == ATTRIBUTE_DLA ? attribute_part_name(x->options->part)
           : x->options->kind                    ? x->options->kind->name
                                                 : "edges";
}

/* Are its values means? */
static bool with_errors(const struct attribute_shown *x)
{
    return x->n_prompts > 1;
}

/* Does it put what --with says in place of values? */
static bool puts_something(const struct attribute_shown *x)
{
    return x->options->with && x->options->method != ATTRIBUTE_DLA &&
           x->options->method != ATTRIBUTE_GRAD;
}

/* ------------------------------------------------------------------ JSON */

/* values[] from `axis` on, nested; NULL: which of them are there. */
static void json_nested(const struct attribute_shown *x, struct json_out *j, int axis, int64_t *at,
                        const float *values)
{
    if (axis == x->found.rank || axis == ATTRIBUTE_RANK_MAX) {
        if (!values)
            json_out_bool(j, there(x, *at));
        else if (there(x, *at))
            json_out_float(j, values[*at]);
        else
            json_out_null(j);
        ++*at;
        return;
    }
    json_out_array(j);
    for (int32_t i = 0; i < x->found.axis[axis].size; i++)
        json_nested(x, j, axis + 1, at, values);
    json_out_close(j);
}

static void json_axes(const struct attribute_shown *x, struct json_out *j)
{
    json_out_array(json_out_key(j, "axes"));
    for (int i = 0; i < x->found.rank; i++) {
        const struct attribute_axis *a = &x->found.axis[i];
        json_out_object(j);
        json_out_string(json_out_key(j, "name"), a->name);
        json_out_int(json_out_key(j, "size"), a->size);
        if (has_labels(x, i)) {
            json_out_array(json_out_key(j, "labels"));
            for (int32_t k = 0; k < a->size; k++)
                json_out_string(j, label_of(x, i, k));
            json_out_close(j);
        }
        json_out_close(j);
    }
    json_out_close(j);
}

static int print_json(const struct attribute_shown *x)
{
    struct json_out j;
    int64_t at = 0;
    cli_json_begin(x->c, &j);
    cli_json_tokens(x->c, &j);
    json_out_string(json_out_key(&j, "method"), attribute_method_name(x->options->method));
    json_out_string(json_out_key(&j, "kind"), kind_name(x));
    if (puts_something(x))
        json_out_string(json_out_key(&j, "with"), x->options->with);
    json_out_string(json_out_key(&j, "metric"), x->metric);
    json_out_double(json_out_key(&j, "base"), x->found.metric);
    json_axes(x, &j);
    json_nested(x, json_out_key(&j, "values"), 0, &at, x->found.values);
    at = 0;
    json_nested(x, json_out_key(&j, "has"), 0, &at, NULL);
    if (with_errors(x)) {
        at = 0;
        json_nested(x, json_out_key(&j, "errors"), 0, &at, x->errors);
    }
    json_out_double(json_out_key(&j, "sum"), x->found.sum);
    if (x->options->method == ATTRIBUTE_DLA) {
        json_out_double(json_out_key(&j, "constant"), x->found.constant);
        json_out_double(json_out_key(&j, "remainder"), attribution_remainder(&x->found));
    }
    if (x->exact) {
        at = 0;
        json_nested(x, json_out_key(&j, "exact"), 0, &at, x->exact);
        json_out_double(json_out_key(&j, "pearson"), x->pearson);
        json_out_double(json_out_key(&j, "spearman"), x->spearman);
    }
    return cli_json_end(x->c, &j);
}

/* ------------------------------------------------------------------ tables */

static void head(const struct attribute_shown *x)
{
    struct bytes *out = &x->c->out;
    const struct attribution *f = &x->found;
    if (x->c->opt->tsv)
        return;
    cli_head(x->c);
    bytes_addf(out, "# %s · %s · ", attribute_method_name(x->options->method), kind_name(x));
    cli_plain_text(out, x->metric, strlen(x->metric));
    bytes_addf(out, " = %.6g", f->metric);
    if (puts_something(x)) {
        bytes_add_string(out, " · with ");
        cli_plain_text(out, x->options->with, strlen(x->options->with));
    }
    if (with_errors(x))
        bytes_addf(out, " · mean of %d prompts", (int)x->n_prompts);
    bytes_addf(out, "\n# %s\n", attribute_method_meaning(x->options->method));
    if (x->options->method == ATTRIBUTE_DLA)
        bytes_addf(out, "# sum %.4f, constant %.4f, remainder %.4f\n", f->sum, f->constant,
                   attribution_remainder(f));
    else
        bytes_addf(out, "# sum of all %.4f\n", f->sum);
    if (x->exact)
        bytes_addf(out, "# against the sweep: Pearson %.4f, Spearman %.4f\n", x->pearson,
                   x->spearman);
}

static void table_axis(const struct attribute_shown *x, struct table *t, int axis, int32_t i)
{
    const char *label = label_of(x, axis, i);
    if (label)
        table_string(t, label);
    else
        table_int(t, i);
    int32_t pos = x->by_cells ? sweep_position(x->sweep, axis, i) : i;
    if (is_position(x, axis) && pos >= 0)
        cli_table_input(x->c, t, pos);
    else if (is_position(x, axis))
        table_blank(t);
}

struct ranked {
    double size;
    int64_t cell;
};

/* NaN first: it is what one looks for. */
static int by_size(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return (x->cell > y->cell) - (x->cell < y->cell);
}

/* The cells that are there; ranked: the largest first. */
static struct ranked *cells(const struct attribute_shown *x, bool ranked, int64_t *n)
{
    int64_t count = attribution_count(&x->found);
    struct ranked *r = malloc(((size_t)count + 1) * sizeof *r);
    *n = 0;
    for (int64_t i = 0; r && i < count; i++)
        if (there(x, i)) {
            double size = fabs((double)x->found.values[i]);
            r[(*n)++] = (struct ranked){isnan(size) ? INFINITY : size, i};
        }
    if (r && ranked)
        qsort(r, (size_t)*n, sizeof *r, by_size);
    return r;
}

static int print_list(const struct attribute_shown *x, bool ranked)
{
    struct table_column column[2 * ATTRIBUTE_RANK_MAX + 3];
    const struct attribution *f = &x->found;
    int n = 0;
    for (int i = 0; i < f->rank; i++) {
        column[n++] = has_labels(x, i) ? (struct table_column)COLUMN_TEXT(f->axis[i].name)
                                       : (struct table_column)COLUMN_INT(f->axis[i].name);
        if (is_position(x, i))
            column[n++] = (struct table_column)COLUMN_TOKEN("token");
    }
    column[n++] = (struct table_column)COLUMN_NUMBER("value", 4);
    if (with_errors(x))
        column[n++] = (struct table_column)COLUMN_NUMBER("error", 4);
    if (x->exact)
        column[n++] = (struct table_column)COLUMN_NUMBER("exact", 4);
    int64_t count, most = x->c->opt->given[ON(top)] ? x->c->opt->top : INT64_MAX;
    struct table *t = table_new(column, n);
    struct ranked *list = cells(x, ranked, &count);
    for (int64_t k = 0; t && list && k < count && k < most; k++) {
        int32_t at[ATTRIBUTE_RANK_MAX];
        int64_t rest = list[k].cell;
        for (int i = f->rank; i-- > 0; rest /= f->axis[i].size)
            at[i] = (int32_t)(rest % f->axis[i].size);
        for (int i = 0; i < f->rank; i++)
            table_axis(x, t, i, at[i]);
        table_number(t, f->values[list[k].cell]);
        if (with_errors(x))
            table_number(t, x->errors[list[k].cell]);
        if (x->exact)
            table_number(t, x->exact[list[k].cell]);
    }
    if (!list) {
        table_free(t);
        t = NULL;
    }
    free(list);
    return cli_table(x->c, t);
}

/* What stands over a column. */
static void column_label(const struct attribute_shown *x, int32_t i, char buf[LABEL])
{
    struct bytes token = {0};
    size_t len;
    if (is_position(x, 1)) {
        const char *p = cli_input_text(x->c, x->by_cells ? sweep_position(x->sweep, 1, i) : i,
                                       &len);
        text_add(&token, p, len, TEXT_TOKEN);
    }
    snprintf(buf, LABEL, "%d%s%.12s", (int)i, token.len ? " " : "", token.len ? token.data : "");
    bytes_free(&token);
}

/* Two axes: a map of numbers. */
static int print_matrix(const struct attribute_shown *x)
{
    const struct attribution *f = &x->found;
    int32_t rows = f->axis[0].size, cols = f->axis[1].size;
    struct table_column *column = calloc((size_t)cols + 1, sizeof *column);
    char(*label)[LABEL] = calloc((size_t)cols + 1, sizeof *label);
    struct table *t = NULL;
    if (column && label) {
        column[0] = (struct table_column)COLUMN_INT(f->axis[0].name);
        for (int32_t i = 0; i < cols; i++) {
            column_label(x, i, label[i]);
            column[i + 1] = (struct table_column)COLUMN_NUMBER(label[i], 3);
        }
        t = table_new(column, cols + 1);
    }
    for (int32_t i = 0; t && i < rows * cols; i++) {
        if (i % cols == 0)
            table_int(t, i / cols);
        if (there(x, i))
            table_number(t, f->values[i]);
        else
            table_blank(t);
    }
    int rc = cli_table(x->c, t);
    free(column), free(label);
    return rc;
}

static int print_table(const struct attribute_shown *x)
{
    const struct attribution *f = &x->found;
    bool top = x->c->opt->given[ON(top)];
    bool matrix = f->rank == 2 && !has_labels(x, 0) && !has_labels(x, 1) &&
                  f->axis[1].size <= MATRIX_COLUMNS && !top && !x->exact && !with_errors(x);
    head(x);
    if (x->c->opt->tsv)
        return print_list(x, top);
    /* components stand in the order of the stream */
    return matrix ? print_matrix(x) : print_list(x, f->rank > 1 || top);
}

/* ------------------------------------------------------------------ files and pictures */

static void meta_labels(const struct attribute_shown *x, int axis, struct bytes *to)
{
    struct json_out j;
    json_out_begin(&j, to);
    j.one_line = true;
    json_out_array(&j);
    for (int32_t i = 0; has_labels(x, axis) && i < x->found.axis[axis].size; i++)
        json_out_string(&j, label_of(x, axis, i));
    json_out_end(&j);
}

static int write_tensors(const struct attribute_shown *x)
{
    const struct attribution *f = &x->found;
    int64_t n = attribution_count(f);
    uint8_t *has = malloc((size_t)n + 1);
    struct bytes axes = {0}, labels[2] = {{0}, {0}};
    float base = (float)f->metric;
    for (int64_t i = 0; has && i < n; i++)
        has[i] = there(x, i);
    struct tensor_out t[] = {
        {.name = "values", .dtype = ST_F32, .rank = f->rank, .data = f->values},
        {.name = "has", .dtype = ST_BOOL, .rank = f->rank, .data = has},
        {.name = "base", .dtype = ST_F32, .rank = 0, .data = &base},
        {.name = "errors", .dtype = ST_F32, .rank = f->rank, .data = x->errors},
        {.name = "exact", .dtype = ST_F32, .rank = f->rank, .data = x->exact}};
    int n_out = sizeof t / sizeof *t - !x->exact;
    for (int i = 0; i < f->rank; i++) {
        bytes_addf(&axes, "%s%s", i ? "," : "", f->axis[i].name);
        t[0].shape[i] = t[1].shape[i] = t[3].shape[i] = t[4].shape[i] = f->axis[i].size;
    }
    for (int i = 0; i < 2 && i < f->rank; i++)
        meta_labels(x, i, &labels[i]);
    const struct tensor_meta meta[] = {{"method", attribute_method_name(x->options->method)},
                                       {"kind", kind_name(x)},
                                       {"metric", x->metric},
                                       {"axes", axes.data ? axes.data : ""},
                                       {"labels0", labels[0].data ? labels[0].data : ""},
                                       {"labels1", labels[1].data ? labels[1].data : ""}};
    int rc = !has || axes.failed || labels[0].failed || labels[1].failed
                 ? cli_memory(x->c)
                 : tensor_write(x->c->opt->output, t, (size_t)n_out, meta,
                                sizeof meta / sizeof *meta, &x->c->err);
    bytes_free(&axes), bytes_free(&labels[0]), bytes_free(&labels[1]);
    free(has);
    return rc;
}

/* The values of all axes but the last two. */
static void map_title(const void *user, int32_t i, char buf[64])
{
    const struct attribute_shown *x = user;
    const struct attribution *f = &x->found;
    int32_t at[ATTRIBUTE_RANK_MAX];
    size_t len = 0;
    buf[0] = '\0';
    for (int a = f->rank - 2; a-- > 0; i /= f->axis[a].size)
        at[a] = i % f->axis[a].size;
    for (int a = 0; a < f->rank - 2 && len < 60; a++) {
        char number[16];
        const char *label = label_of(x, a, at[a]);
        snprintf(number, sizeof number, "%d", (int)at[a]);
        len += (size_t)snprintf(buf + len, 64 - len, "%s%s %s", a ? " " : "", f->axis[a].name,
                                label ? label : number);
    }
}

/* The last two axes as maps, one for each value of the others. */
static int draw(const struct attribute_shown *x)
{
    const struct options *o = x->c->opt;
    const struct attribution *f = &x->found;
    int64_t n = attribution_count(f);
    int32_t cols = f->rank ? f->axis[f->rank - 1].size : 1,
            rows = f->rank > 1 ? f->axis[f->rank - 2].size : 1;
    struct maps maps = {.value = f->values,
                        .n = (int32_t)(n / ((int64_t)rows * cols)),
                        .rows = rows,
                        .cols = cols,
                        .scale = scale_fit(SCALE_SYMMETRIC, f->values, (size_t)n),
                        .map = COLORMAP_DIVERGING,
                        .title = map_title,
                        .user = x,
                        .too_large = "choose a kind with fewer axes"};
    int side[2];
    if (!f->rank)
        return err_set(&x->c->err, ERR_USAGE,
                       "one value is no picture · leave --png and its like out");
    if (!o->png)
        return o->sixel ? maps_sixel(x->c, &maps) : maps_ansi(x->c, &maps);
    int rc = maps_png(x->c, &maps, o->png, side);
    if (rc)
        return rc;
    head(x);
    bytes_addf(&x->c->out, "# colours: from -%.4g to %.4g · %d x %d pixels, written to ",
               (double)maps.scale.hi, (double)maps.scale.hi, side[0], side[1]);
    cli_plain_text(&x->c->out, o->png, strlen(o->png));
    bytes_add_char(&x->c->out, '\n');
    return 0;
}

int attribute_print(const struct attribute_shown *x)
{
    const struct options *o = x->c->opt;
    int rc = o->output ? write_tensors(x) : 0;
    bool drawn = o->png || o->sixel || o->ansi;
    if (rc || (o->output && !o->json && !o->tsv && !drawn))
        return rc;
    return o->json ? print_json(x) : drawn ? draw(x) : print_table(x);
}
