/* figure_file.c - see figure_file.h. */
#include "save/figure_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "model/tensor_write.h"
#include "number.h"
#include "save/figure.h"
#include "table.h"

static int nothing(struct err *e)
{
    return err_set(e, ERR_BAD_INPUT, "no numbers of this view are there yet · again in a moment");
}

/* ---- rows ---- */

static const char *row_token(const struct app *a, const struct figure *f, size_t *len)
{
    bool there = f->row >= 0 && f->row < a->n;
    *len = 0;
    return there ? model_input_text(a->m, a->tokens[f->row], len) : "";
}

struct tsv {
    struct figures to;
    struct table *t;
};

static void table_value(struct table *t, const struct figure *f, enum face face)
{
    char n[NUMBER_BYTES];
    if (!f->there[face])
        table_blank(t);
    else if (f->text[face])
        table_text(t, f->text[face], f->len[face]);
    else
        table_string(t, number_exact_float(n, (float)f->value[face]));
}

static void row_tsv(struct figures *to, const struct figure *f)
{
    struct table *t = ((struct tsv *)to)->t;
    size_t len;
    const char *token = row_token(to->a, f, &len);
    table_string(t, f->hook);
    if (f->row < 0)
        table_blank(t);
    else
        table_int(t, f->row);
    table_text(t, token, len);
    table_string(t, f->what);
    table_string(t, f->index);
    table_value(t, f, FACE_BASE);
    table_value(t, f, FACE_EDITED);
}

int figure_tsv(const struct app *a, struct bytes *out, struct err *e)
{
    static const struct table_column columns[] = {
        {"hook", TABLE_TEXT, 0, 0, 0},  {"position", TABLE_INT, 0, 0, 0},
        {"token", TABLE_TEXT, 0, 0, 0}, {"figure", TABLE_TEXT, 0, 0, 0},
        {"index", TABLE_TEXT, 0, 0, 0}, {"base", TABLE_TEXT, 0, 0, 0},
        {"edited", TABLE_TEXT, 0, 0, 0}};
    struct tsv x = {{a, row_tsv, 0}, table_new(columns, sizeof columns / sizeof *columns)};
    if (!x.t)
        return err_memory(e, "the table");
    figure_each(&x.to);
    int rc = table_failed(x.t) ? err_memory(e, "the table") : x.to.n ? 0 : nothing(e);
    if (!rc)
        table_tsv(x.t, out);
    table_free(x.t);
    return rc;
}

struct json {
    struct figures to;
    struct json_out j;
};

static void json_value(struct json_out *j, const struct figure *f, enum face face, const char *key)
{
    if (!f->there[face])
        return;
    json_out_key(j, key);
    if (f->text[face])
        json_out_text(j, f->text[face], f->len[face]);
    else
        json_out_float(j, (float)f->value[face]);
}

static void row_json(struct figures *to, const struct figure *f)
{
    struct json_out *j = &((struct json *)to)->j;
    size_t len;
    const char *token = row_token(to->a, f, &len);
    json_out_object(j);
    if (*f->hook)
        json_out_string(json_out_key(j, "hook"), f->hook);
    if (f->row >= 0)
        json_out_int(json_out_key(j, "position"), f->row);
    if (len)
        json_out_text(json_out_key(j, "token"), token, len);
    json_out_string(json_out_key(j, "figure"), f->what);
    if (*f->index)
        json_out_string(json_out_key(j, "index"), f->index);
    json_value(j, f, FACE_BASE, "base");
    json_value(j, f, FACE_EDITED, "edited");
    json_out_close(j);
}

int figure_json(const struct app *a, struct bytes *out, struct err *e)
{
    struct json x = {.to = {a, row_json, 0}};
    json_out_begin(&x.j, out);
    json_out_array(&x.j);
    figure_each(&x.to);
    json_out_end(&x.j);
    return out->failed ? err_memory(e, "the table") : x.to.n ? 0 : nothing(e);
}

/* ---- arrays ---- */

/* The rows of a want as an array [rows, heads, width], axes of one left out. */
static void add_array(const struct app *a, const struct want *w, const void *rows, const char *name,
                      struct tensor_out *t)
{
    size_t heads = want_heads(&a->m->cfg, w), width = 1;
    if (w->kind == WANT_VALUES)
        width = want_floats(&a->m->cfg, w, a->n) / heads;
    heads = w->kind == WANT_NORM ? 1 : heads;
    *t = (struct tensor_out){.name = name, .dtype = ST_F32, .data = rows};
    t->shape[t->rank++] = w->row1 - w->row0;
    if (heads > 1)
        t->shape[t->rank++] = (int64_t)heads;
    if (width > 1)
        t->shape[t->rank++] = (int64_t)width;
}

/* Figures of one name, one after the other as they come. */
struct series {
    char name[LIMIT_NAME + 64];
    float *value[FACE_COUNT];
    int64_t n, room, rows; /* rows: how many positions they are of, 0: of none */
    int32_t last_row;
    bool there[FACE_COUNT];
};

struct npz {
    struct figures to;
    struct series *series; /* [n_series] */
    size_t n_series, room;
    bool failed;
};

/* The one of this name, new if there is none; NULL: no memory. */
static struct series *series_of(struct npz *x, const struct figure *f)
{
    char name[sizeof x->series->name];
    size_t room = x->room ? 2 * x->room : 64;
    snprintf(name, sizeof name, "%s%s%s", f->hook, *f->hook ? "." : "", f->what);
    for (size_t i = x->n_series; i-- > 0;)
        if (strcmp(x->series[i].name, name) == 0)
            return &x->series[i];
    if (x->n_series == x->room) {
        struct series *more = realloc(x->series, room * sizeof *more);
        x->failed |= !more;
        if (!more)
            return NULL;
        x->series = more;
        x->room = room;
    }
    struct series *s = &x->series[x->n_series++];
    *s = (struct series){.last_row = -1};
    memcpy(s->name, name, sizeof name);
    return s;
}

static void keep(struct figures *to, const struct figure *f)
{
    struct npz *x = (struct npz *)to;
    bool word = f->text[FACE_BASE] && f->id[FACE_BASE] < 0;
    struct series *s = f->array || word ? NULL : series_of(x, f);
    if (!s)
        return;
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        for (int face = 0; face < FACE_COUNT; face++) {
            float *more = realloc(s->value[face], (size_t)s->room * sizeof *more);
            x->failed |= !more;
            s->value[face] = more ? more : s->value[face];
        }
    }
    if (x->failed)
        return;
    for (int face = 0; face < FACE_COUNT; face++) {
        s->there[face] |= f->there[face];
        s->value[face][s->n] = !f->there[face] ? NAN
                               : f->text[face] ? (float)f->id[face]
                                               : (float)f->value[face];
    }
    s->rows += f->row >= 0 && (f->row != s->last_row || !s->n);
    s->last_row = f->row;
    s->n++;
}

static size_t series_arrays(struct npz *x, char (*names)[LIMIT_NAME + 96], struct tensor_out *t,
                            size_t n)
{
    for (size_t i = 0; i < x->n_series; i++) {
        const struct series *s = &x->series[i];
        for (int face = 0; face < FACE_COUNT; face++) {
            if (!s->there[face])
                continue;
            snprintf(names[n], sizeof names[n], "%s%s", s->name,
                     face == FACE_EDITED ? ".edited" : "");
            t[n] = (struct tensor_out){.name = names[n], .dtype = ST_F32, .data = s->value[face]};
            bool by_row = s->rows > 1 && s->n > s->rows && s->n % s->rows == 0;
            if (by_row)
                t[n].shape[t[n].rank++] = s->rows;
            t[n].shape[t[n].rank++] = by_row ? s->n / s->rows : s->n;
            n++;
        }
    }
    return n;
}

/* Whole rows of values and norms, in the shape that the hook has. */
static size_t want_arrays(const struct app *a, char (*names)[LIMIT_NAME + 96], struct tensor_out *t)
{
    size_t n = 0;
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    for (int32_t i = 0; s && !stale && i < s->n_wants; i++) {
        const struct want *w = &s->wants[i];
        if (w->kind != WANT_VALUES && w->kind != WANT_NORM && w->kind != WANT_HEAD_NORM)
            continue;
        for (int f = 0; f < FACE_COUNT; f++) {
            const void *rows = snapshot_rows(s, (enum face)f, w);
            char name[LIMIT_NAME];
            if (!rows)
                continue;
            snprintf(names[n], sizeof names[n], "%s%s%s", site_name(w->site, name),
                     w->kind == WANT_VALUES ? "" : ".norm", f == FACE_EDITED ? ".edited" : "");
            if (w->row0 || w->row1 < a->n)
                snprintf(names[n] + strlen(names[n]), 32, "[%d:%d]", (int)w->row0, (int)w->row1);
            bool again = false;
            for (size_t k = 0; k < n && !again; k++)
                again = strcmp(names[k], names[n]) == 0;
            if (again)
                continue;
            add_array(a, w, rows, names[n], &t[n]);
            n++;
        }
    }
    return n;
}

int figure_npz(const struct app *a, const char *path, struct err *e)
{
    struct npz x = {.to = {a, keep, 0}};
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    figure_each(&x.to);
    size_t most = FACE_COUNT * (x.n_series + (s ? (size_t)s->n_wants : 0)) + 1;
    struct tensor_out *t = calloc(most, sizeof *t);
    char(*names)[LIMIT_NAME + 96] = calloc(most, sizeof *names);
    int rc = t && names && !x.failed ? 0 : err_memory(e, "%s", path);
    if (!rc) {
        size_t n = series_arrays(&x, names, t, want_arrays(a, names, t));
        const struct tensor_meta meta = {"prompt", a->prompt ? a->prompt : ""};
        rc = n ? tensor_write(path, t, n, &meta, 1, e) : nothing(e);
    }
    for (size_t i = 0; i < x.n_series; i++)
        for (int face = 0; face < FACE_COUNT; face++)
            free(x.series[i].value[face]);
    free(x.series), free(t), free(names);
    return rc;
}
