/* figure_file.c - see figure_file.h. */
#include "save/figure_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "model/tensor_write.h"
#include "number.h"
#include "table.h"

enum { INDEX_BYTES = 32, NPZ_MAX = 64 };

/* One number, in the faces that have it. */
struct figure {
    const struct app *a;
    const struct want *w;
    int32_t row; /* -1: of the prompt as a whole */
    const char *what;
    char index[INDEX_BYTES];
    double value[FACE_COUNT];
    int32_t token[FACE_COUNT]; /* in place of values: a token; -1 */
    bool there[FACE_COUNT];
};

typedef void figure_sink(void *to, const struct figure *f);

static void put(figure_sink *sink, void *to, struct figure *f, const char *what, double base,
                double edited)
{
    f->what = what;
    f->value[FACE_BASE] = base, f->value[FACE_EDITED] = edited;
    f->token[FACE_BASE] = f->token[FACE_EDITED] = -1;
    sink(to, f);
}

static void put_token(figure_sink *sink, void *to, struct figure *f, int32_t base, int32_t edited)
{
    f->what = "token";
    f->token[FACE_BASE] = base, f->token[FACE_EDITED] = edited;
    sink(to, f);
}

/* Both faces' elements: the base's stands for a face that has none. */
static void put_cell(figure_sink *sink, void *to, struct figure *f, const struct want_cell *b,
                     const struct want_cell *e)
{
    put_token(sink, to, f, b->top.id, e->top.id);
    put(sink, to, f, "logprob", (double)b->top.logit - (double)b->cell.lse,
        (double)e->top.logit - (double)e->cell.lse);
    put(sink, to, f, "entropy", (double)b->cell.entropy, (double)e->cell.entropy);
    if (b->cell.target_rank < 0)
        return;
    put(sink, to, f, "target_logit", (double)b->cell.target_logit, (double)e->cell.target_logit);
    put(sink, to, f, "target_logprob", (double)b->cell.target_logit - (double)b->cell.lse,
        (double)e->cell.target_logit - (double)e->cell.lse);
    put(sink, to, f, "target_rank", b->cell.target_rank, e->cell.target_rank);
}

static void put_best(figure_sink *sink, void *to, struct figure *f, const struct want_best *b,
                     const struct want_best *e)
{
    for (int32_t k = 0; k < f->w->k; k++) {
        snprintf(f->index, sizeof f->index, "%d", (int)k);
        put_token(sink, to, f, b[k].id, e[k].id);
        put(sink, to, f, "logit", (double)b[k].logit, (double)e[k].logit);
    }
}

static void put_stats(figure_sink *sink, void *to, struct figure *f, const struct lens_stats *b,
                      const struct lens_stats *e)
{
    put(sink, to, f, "mean", b->mean, e->mean);
    put(sink, to, f, "std", b->std, e->std);
    put(sink, to, f, "min", (double)b->min, (double)e->min);
    put(sink, to, f, "max", (double)b->max, (double)e->max);
    put(sink, to, f, "nan", (double)b->n_nan, (double)e->n_nan);
}

static void put_heads(figure_sink *sink, void *to, struct figure *f, const struct lens_head *b,
                      const struct lens_head *e)
{
    for (int32_t h = 0; h < f->a->m->cfg.n_heads; h++) {
        snprintf(f->index, sizeof f->index, "%d", (int)h);
        put(sink, to, f, "previous", (double)b[h].previous, (double)e[h].previous);
        put(sink, to, f, "duplicate", (double)b[h].duplicate, (double)e[h].duplicate);
        put(sink, to, f, "induction", (double)b[h].induction, (double)e[h].induction);
        put(sink, to, f, "first", (double)b[h].first, (double)e[h].first);
        put(sink, to, f, "entropy", (double)b[h].entropy, (double)e[h].entropy);
    }
}

static void put_floats(figure_sink *sink, void *to, struct figure *f, const char *what,
                       size_t heads, size_t width, const float *b, const float *e)
{
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < width; i++) {
            size_t head = (size_t)f->w->head0 + h;
            if (width > 1 && (heads > 1 || f->w->head1))
                snprintf(f->index, sizeof f->index, "%zu,%zu", head, i);
            else if (width > 1 || heads > 1)
                snprintf(f->index, sizeof f->index, "%zu", width > 1 ? i : head);
            put(sink, to, f, what, (double)b[h * width + i], (double)e[h * width + i]);
        }
}

static void put_element(figure_sink *sink, void *to, struct figure *f, const void *b, const void *e)
{
    const struct config *cfg = &f->a->m->cfg;
    size_t heads = want_heads(cfg, f->w);
    switch (f->w->kind) {
    case WANT_CELL: put_cell(sink, to, f, b, e); break;
    case WANT_BEST: put_best(sink, to, f, b, e); break;
    case WANT_STATS: put_stats(sink, to, f, b, e); break;
    case WANT_HEADS: put_heads(sink, to, f, b, e); break;
    case WANT_NORM: put_floats(sink, to, f, "norm", 1, 1, b, e); break;
    case WANT_HEAD_NORM: put_floats(sink, to, f, "norm", heads, 1, b, e); break;
    case WANT_LOGITS: put_floats(sink, to, f, "logit", 1, 2, b, e); break;
    case WANT_VALUES:
        put_floats(sink, to, f, "value", heads, want_floats(cfg, f->w, f->a->n) / heads, b, e);
        break;
    case WANT_KL: put(sink, to, f, "kl", *(const double *)b, *(const double *)e); break;
    default: break;
    }
}

/* All numbers of the newest answer, want by want; how many elements there were. */
static int64_t each_figure(const struct app *a, figure_sink *sink, void *to)
{
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    int64_t n = 0;
    for (int32_t i = 0; s && !stale && i < s->n_wants; i++) {
        const struct want *w = &s->wants[i];
        bool whole = want_is_whole(w->kind);
        for (int32_t row = w->row0; row < w->row1; row++) {
            const void *base = snapshot_at(s, FACE_BASE, w, row),
                       *edited = snapshot_at(s, FACE_EDITED, w, row);
            struct figure f = {.a = a, .w = w, .row = whole ? -1 : row};
            f.there[FACE_BASE] = base != NULL, f.there[FACE_EDITED] = edited != NULL;
            if (!base)
                continue;
            put_element(sink, to, &f, base, edited ? edited : base);
            n++;
        }
    }
    return n;
}

static int nothing(struct err *e)
{
    return err_set(e, ERR_BAD_INPUT, "no numbers of this view are there yet · again in a moment");
}

/* ---- rows ---- */

static void table_token(struct table *t, const struct app *a, int32_t id)
{
    size_t len;
    const char *text = tokenizer_text(a->m->tok, id, &len);
    table_text(t, text, len);
}

static void table_value(struct table *t, const struct figure *f, enum face face)
{
    char n[NUMBER_BYTES];
    if (!f->there[face])
        table_blank(t);
    else if (f->token[face] >= 0)
        table_token(t, f->a, f->token[face]);
    else
        table_string(t, number_exact_float(n, (float)f->value[face]));
}

static void row_tsv(void *to, const struct figure *f)
{
    struct table *t = to;
    char name[LIMIT_NAME];
    table_string(t, site_name(f->w->site, name));
    if (f->row < 0) {
        table_blank(t);
        table_blank(t);
    } else {
        size_t len;
        const char *text = model_input_text(f->a->m, f->a->tokens[f->row], &len);
        table_int(t, f->row);
        table_text(t, text, len);
    }
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
    struct table *t = table_new(columns, sizeof columns / sizeof *columns);
    if (!t)
        return err_memory(e, "the table");
    int64_t n = each_figure(a, row_tsv, t);
    int rc = table_failed(t) ? err_memory(e, "the table") : n ? 0 : nothing(e);
    if (!rc)
        table_tsv(t, out);
    table_free(t);
    return rc;
}

static void json_value(struct json_out *j, const struct figure *f, enum face face, const char *key)
{
    if (!f->there[face])
        return;
    json_out_key(j, key);
    if (f->token[face] >= 0) {
        size_t len;
        const char *text = tokenizer_text(f->a->m->tok, f->token[face], &len);
        json_out_text(j, text, len);
    } else {
        json_out_float(j, (float)f->value[face]);
    }
}

static void row_json(void *to, const struct figure *f)
{
    struct json_out *j = to;
    char name[LIMIT_NAME];
    json_out_object(j);
    json_out_string(json_out_key(j, "hook"), site_name(f->w->site, name));
    if (f->row >= 0) {
        size_t len;
        const char *text = model_input_text(f->a->m, f->a->tokens[f->row], &len);
        json_out_int(json_out_key(j, "position"), f->row);
        json_out_text(json_out_key(j, "token"), text, len);
    }
    json_out_string(json_out_key(j, "figure"), f->what);
    if (*f->index)
        json_out_string(json_out_key(j, "index"), f->index);
    json_value(j, f, FACE_BASE, "base");
    json_value(j, f, FACE_EDITED, "edited");
    json_out_close(j);
}

int figure_json(const struct app *a, struct bytes *out, struct err *e)
{
    struct json_out j;
    json_out_begin(&j, out);
    json_out_array(&j);
    int64_t n = each_figure(a, row_json, &j);
    json_out_end(&j);
    return out->failed ? err_memory(e, "the table") : n ? 0 : nothing(e);
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

int figure_npz(const struct app *a, const char *path, struct err *e)
{
    static char names[NPZ_MAX][LIMIT_NAME + 64];
    struct tensor_out t[NPZ_MAX];
    size_t n = 0;
    bool stale;
    const struct snapshot *s = app_newest(a, &stale);
    for (int32_t i = 0; s && !stale && i < s->n_wants; i++) {
        const struct want *w = &s->wants[i];
        if (w->kind != WANT_VALUES && w->kind != WANT_NORM && w->kind != WANT_HEAD_NORM)
            continue;
        for (int f = 0; f < FACE_COUNT && n < NPZ_MAX; f++) {
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
    if (!n)
        return err_set(
            e, ERR_BAD_INPUT,
            "no arrays in this view · 5 shows a tensor, 2 attention · .tsv holds what is "
            "here");
    const struct tensor_meta meta = {"prompt", a->prompt ? a->prompt : ""};
    return tensor_write(path, t, n, &meta, 1, e);
}
