/* table.h - rows of typed columns as aligned text or TSV: the headless twins of the views.
 *
 * Text is data: the plain form shows it cleaned (text.h); TSV keeps every byte recoverable: \t \n
 * \r \\ and \xNN for each byte that the sanitizer would not show. Cells are added row by row, left
 * to right; texts are copied.  Out of memory sticks (table_failed). Tested in
 * tests/render/test_table.c. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

enum table_type { TABLE_TEXT /* left */, TABLE_INT, TABLE_NUMBER /* right */ };

struct table_column {
    const char *name; /* static */
    enum table_type type;
    int decimals;  /* TABLE_NUMBER, in the plain form; TSV has the shortest exact form of the float
                    */
    int width_max; /* TABLE_TEXT, in the plain form: clipped with an ellipsis; 0 = no limit */
    unsigned text_flags; /* TABLE_TEXT: TEXT_TOKEN, ... */
};

/* Initializers of a column. */
#define COLUMN_TEXT(name)         \
    {                             \
        name, TABLE_TEXT, 0, 0, 0 \
    }
#define COLUMN_TOKEN(name)                  \
    {                                       \
        name, TABLE_TEXT, 0, 16, TEXT_TOKEN \
    } /* a token's text, shown as in the grid */
#define COLUMN_INT(name)         \
    {                            \
        name, TABLE_INT, 0, 0, 0 \
    }
#define COLUMN_NUMBER(name, decimals)      \
    {                                      \
        name, TABLE_NUMBER, decimals, 0, 0 \
    }

struct table;
/* columns must outlive the table; NULL when out of memory. */
struct table *table_new(const struct table_column *columns, int n);
void table_free(struct table *t);
void table_text(struct table *t, const char *s, size_t n);
void table_string(struct table *t, const char *s);
void table_int(struct table *t, int64_t v);
void table_number(struct table *t, float v);
void table_blank(struct table *t); /* empty in any column */
bool table_failed(const struct table *t);
/* Header line and rows.  Columns two spaces apart.  An unfinished last row is filled with blanks.
 */
void table_plain(const struct table *t, struct bytes *out);
void table_tsv(const struct table *t, struct bytes *out);

#endif
