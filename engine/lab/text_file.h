/* text_file.h - the texts of one file, one after the other: lines, paragraphs, rows of a table.
 *
 * A stream: what is held is the text at hand.  Files may be gzip'ed, whatever their name says.
 * Strict: UTF-8 without zero bytes, rows that have the field, at most LIMIT_TEXT_BYTES a text;
 * errors name file and line.  Empty texts are skipped.  Tested in tests/engine/test_texts.c and
 * tests/fuzz/fuzz_texts.c. */
#ifndef TEXT_FILE_H
#define TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum text_format {
    TEXT_LINES,      /* a text a line, as written; a carriage return before the newline goes */
    TEXT_PARAGRAPHS, /* what stands between blank lines, its own newlines kept */
    TEXT_WHOLE,      /* the file is one text */
    TEXT_JSONL,      /* a JSON object a line */
    TEXT_CSV,        /* RFC 4180, the first row a heading */
    TEXT_TSV,        /* the same by tabs, without quotes (IANA's text/tab-separated-values) */
    TEXT_FORMATS
};

struct text_form {
    enum text_format format;
    const char *field; /* of objects and rows: what holds the text */
    const char *label; /* the same of its label, or NULL */
};

struct text_record {
    const char *text; /* [len]; good until the next call */
    size_t len;
    const char *label; /* NUL-terminated; NULL: none is asked for */
    int64_t line;      /* where it begins, from 1 */
};

struct text_file;

/* By the name's ending (.jsonl, .csv, .tsv, before a .gz); `other` for all others. */
enum text_format text_format_of(const char *path, enum text_format other);

/* A regular file or a pipe; "-": standard input.  The form's strings live as long as it does.
 * ERR_BAD_INPUT where it cannot be opened or is none of these (a parquet file, for one). */
int text_file_open(struct text_file **out, const char *path, const struct text_form *form,
                   struct err *e);
/* The same over bytes in memory, which stay; `path` is for messages. */
int text_file_of(struct text_file **out, const char *path, const void *bytes, size_t len,
                 const struct text_form *form, struct err *e);
void text_file_close(struct text_file *f);
/* The next one: 1, 0 at the end, or negative. */
int text_file_next(struct text_file *f, struct text_record *out, struct err *e);
/* Bytes of the file (as it lies on disk) behind us. */
int64_t text_file_at(const struct text_file *f);

#endif
