/* table.c - rows of typed columns as aligned text or TSV.  Tested in tests/render/test_table.c. */
#include "table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "text.h"

struct cell {
    bool set;       /* false: blank */
    size_t at, len; /* TABLE_TEXT: in texts */
    int64_t integer;
    float number;
};

struct table {
    const struct table_column *column;
    int n_columns;
    struct bytes texts;
    struct bytes cells; /* struct cell, row by row */
};

struct table *table_new(const struct table_column *columns, int n)
{
    assert(n > 0);
    struct table *t = calloc(1, sizeof *t);
    if (t) {
        t->column = columns;
        t->n_columns = n;
    }
    return t;
}

void table_free(struct table *t)
{
    if (!t)
        return;
    bytes_free(&t->texts);
    bytes_free(&t->cells);
    free(t);
}

static size_t cell_count(const struct table *t)
{
    return t->cells.len / sizeof(struct cell);
}

static void add_cell(struct table *t, enum table_type type, struct cell cell)
{
    if (t->cells.failed) /* the count has stopped, so the column is not known any more */
        return;
    assert(!cell.set || t->column[cell_count(t) % (size_t)t->n_columns].type == type);
    bytes_add(&t->cells, &cell, sizeof cell);
}

void table_text(struct table *t, const char *s, size_t n)
{
    size_t at = t->texts.len;
    bytes_add(&t->texts, s, n);
    add_cell(t, TABLE_TEXT, (struct cell){.set = !t->texts.failed, .at = at, .len = n});
}

void table_string(struct table *t, const char *s)
{
    table_text(t, s, strlen(s));
}

void table_int(struct table *t, int64_t v)
{
    add_cell(t, TABLE_INT, (struct cell){.set = true, .integer = v});
}

void table_number(struct table *t, float v)
{
    add_cell(t, TABLE_NUMBER, (struct cell){.set = true, .number = v});
}

void table_blank(struct table *t)
{
    add_cell(t, TABLE_TEXT, (struct cell){0});
}

bool table_failed(const struct table *t)
{
    return t->texts.failed || t->cells.failed;
}

static size_t table_rows(const struct table *t)
{
    size_t n = (size_t)t->n_columns;
    return (cell_count(t) + n - 1) / n;
}

static struct cell cell_at(const struct table *t, size_t row, int column)
{
    size_t i = row * (size_t)t->n_columns + (size_t)column;
    struct cell cell = {0};
    if (i < cell_count(t))
        memcpy(&cell, t->cells.data + i * sizeof cell, sizeof cell);
    return cell;
}

/* The cell as the plain form shows it, unpadded; *out is replaced. */
static void plain_cell(const struct table *t, struct cell cell, int column, struct bytes *out)
{
    const struct table_column *col = &t->column[column];
    char number[NUMBER_BYTES];
    bytes_clear(out);
    if (!cell.set)
        return;
    switch (col->type) {
    case TABLE_TEXT: {
        const char *s = t->texts.data ? t->texts.data + cell.at : "";
        if (col->width_max > 0)
            text_fit(out, s, cell.len, col->text_flags, col->width_max);
        else
            text_add(out, s, cell.len, col->text_flags);
        break;
    }
    case TABLE_INT: bytes_addf(out, "%" PRId64, cell.integer); break;
    case TABLE_NUMBER: /* "-" and not U+2212: these are copied into other programs */
        bytes_add_string(out, number_fit(number, (double)cell.number, 14, col->decimals,
                                         NUMBER_ASCII | NUMBER_LEFT));
        break;
    }
}

/* `shown` as column `column` of a line; blanks at the end of the line are left out. */
static void add_padded(const struct table *t, int column, int width, const struct bytes *shown,
                       size_t *blanks, struct bytes *out)
{
    size_t used = (size_t)text_width(shown->data, shown->len, TEXT_PLAIN);
    size_t pad = (size_t)width - used;
    bool right = t->column[column].type != TABLE_TEXT;
    *blanks += (column ? 2 : 0) + (right ? pad : 0);
    if (shown->len) {
        bytes_add_repeat(out, ' ', *blanks);
        bytes_add(out, shown->data, shown->len);
        *blanks = 0;
    } else {
        *blanks += used;
    }
    *blanks += right ? 0 : pad;
}

static void plain_line(const struct table *t, size_t line, const int *width, struct bytes *shown,
                       struct bytes *out)
{
    size_t blanks = 0;
    for (int c = 0; c < t->n_columns; c++) {
        bytes_clear(shown);
        if (line == 0)
            bytes_add_string(shown, t->column[c].name);
        else
            plain_cell(t, cell_at(t, line - 1, c), c, shown);
        add_padded(t, c, width[c], shown, &blanks, out);
    }
    bytes_add_char(out, '\n');
}

void table_plain(const struct table *t, struct bytes *out)
{
    struct bytes shown = {0};
    int *width = calloc((size_t)t->n_columns, sizeof *width);
    if (!width) {
        out->failed = true;
        return;
    }
    for (int c = 0; c < t->n_columns; c++) {
        width[c] = text_width(t->column[c].name, strlen(t->column[c].name), TEXT_PLAIN);
        for (size_t row = 0; row < table_rows(t); row++) {
            plain_cell(t, cell_at(t, row, c), c, &shown);
            int used = text_width(shown.data, shown.len, TEXT_PLAIN);
            width[c] = used > width[c] ? used : width[c];
        }
    }
    for (size_t line = 0; line <= table_rows(t) && !shown.failed; line++)
        plain_line(t, line, width, &shown, out);
    out->failed = out->failed || shown.failed;
    bytes_free(&shown);
    free(width);
}

static void tsv_text(struct bytes *out, const char *s, size_t n)
{
    struct text_reader r;
    struct text_item item;
    for (text_open(&r, s, n, TEXT_PLAIN); text_next(&r, &item);) {
        if (!item.escaped) {
            bytes_add_string(out, item.utf8[0] == '\\' ? "\\" : "");
            bytes_add(out, item.utf8, item.len);
            continue;
        }
        for (size_t i = 0; i < item.source_len; i++) {
            char c = item.source[i];
            if (c == '\t' || c == '\n' || c == '\r')
                bytes_addf(out, "\\%c", c == '\t' ? 't' : c == '\n' ? 'n' : 'r');
            else
                bytes_addf(out, "\\x%02X", (unsigned)(unsigned char)c);
        }
    }
}

void table_tsv(const struct table *t, struct bytes *out)
{
    char number[NUMBER_BYTES];
    for (int c = 0; c < t->n_columns; c++)
        bytes_addf(out, "%s%s", c ? "\t" : "", t->column[c].name);
    bytes_add_char(out, '\n');
    for (size_t row = 0; row < table_rows(t); row++) {
        for (int c = 0; c < t->n_columns; c++) {
            struct cell cell = cell_at(t, row, c);
            if (c)
                bytes_add_char(out, '\t');
            if (cell.set && t->column[c].type == TABLE_TEXT)
                tsv_text(out, t->texts.data ? t->texts.data + cell.at : "", cell.len);
            else if (cell.set && t->column[c].type == TABLE_INT)
                bytes_addf(out, "%" PRId64, cell.integer);
            else if (cell.set)
                bytes_add_string(out, number_exact_float(number, cell.number));
        }
        bytes_add_char(out, '\n');
    }
}
