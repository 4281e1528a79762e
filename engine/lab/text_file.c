/* text_file.c - see text_file.h.
 *
 * Bytes are read into one buffer, in which a record is found before it is taken apart: its end is
 * looked for again from the start when more bytes had to be read, and since the buffer doubles,
 * that is no more than twice the work. */
#include "lab/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>
#include <zlib.h>

#include "base/json.h"
#include "base/limit.h"
#include "base/number.h"

enum { READ_BYTES = 1 << 16, FIELDS_MAX = 4096, MESSAGE_NAME = 400 };

struct text_file {
    char *path;
    struct text_form form;
    gzFile gz; /* NULL: all bytes are in the buffer */
    char *buf;
    size_t at, len, cap; /* what is not yet taken: [at, len) */
    bool ended;
    int64_t line, next_line;  /* of the record at hand, of buf[at] */
    int64_t taken;            /* bytes before buf[at] */
    int column[2], n_columns; /* text and label; fields of a row of the table */
    struct js_doc *doc;       /* the line at hand */
    char number[32];          /* a label that is a number */
};

/* ---- bytes ---- */

/* More bytes behind those that are there, or f->ended. */
static int fill(struct text_file *f, struct err *e)
{
    if (!f->gz || f->ended) {
        f->ended = true;
        return 0;
    }
    if (f->at) {
        memmove(f->buf, f->buf + f->at, f->len - f->at);
        f->len -= f->at, f->at = 0;
    }
    if (f->len > LIMIT_TEXT_BYTES)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · line %lld · a text of more than %d bytes · cut it into several",
                       f->path, (long long)f->line, LIMIT_TEXT_BYTES);
    size_t want = f->len > READ_BYTES ? f->len : READ_BYTES; /* twice what was searched in vain */
    if (f->cap < f->len + want + 1) {
        size_t cap = f->len + want + 1;
        char *more = realloc(f->buf, cap);
        if (!more)
            return err_memory(e, "%s", f->path);
        f->buf = more, f->cap = cap;
    }
    int n = gzread(f->gz, f->buf + f->len, (unsigned)want), code = 0;
    const char *why = n < 0 ? gzerror(f->gz, &code) : "";
    if (n < 0)
        return err_set(e, code == Z_ERRNO ? ERR_SYSTEM : ERR_BAD_INPUT, "%s · cannot read: %s",
                       f->path, code == Z_ERRNO ? strerror(errno) : why);
    f->len += (size_t)n;
    f->ended = n == 0;
    if (f->ended && gzerror(f->gz, &code) && code == Z_BUF_ERROR)
        return err_set(e, ERR_BAD_INPUT, "%s · its compressed bytes end too early", f->path);
    return 0;
}

/* The length of the line at s and in *next that with its newline; false: it does not end here. */
static bool line_end(const char *s, size_t n, bool last, size_t *len, size_t *next)
{
    const char *nl = memchr(s, '\n', n);
    if (!nl && !last)
        return false;
    *len = nl ? (size_t)(nl - s) : n;
    *next = nl ? *len + 1 : n;
    return true;
}

static bool is_blank(const char *s, size_t n)
{
    while (n && strchr(" \t\r\f\v", s[n - 1]) && s[n - 1])
        n--;
    return n == 0;
}

static bool paragraph_end(const char *s, size_t n, bool last, size_t *len, size_t *next)
{
    size_t at = 0, line, step;
    while (at < n && line_end(s + at, n - at, last, &line, &step)) {
        if (is_blank(s + at, line)) {
            *len = at, *next = at + step;
            return true;
        }
        at += step;
    }
    *len = *next = n;
    return last;
}

/* A row of a .csv: a newline between quotes does not end it. */
static bool row_end(const char *s, size_t n, bool last, size_t *len, size_t *next)
{
    bool quoted = false, begins = true;
    for (size_t i = 0; i < n; i++) {
        bool quote = s[i] == '"' && (quoted || begins);
        quoted ^= quote;
        begins = quote || s[i] == ','; /* one that is doubled ends and begins again */
        if (s[i] == '\n' && !quoted) {
            *len = i, *next = i + 1;
            return true;
        }
    }
    *len = *next = n;
    return last;
}

/* The next record's bytes, s[n] and a NUL; 1, 0 at the end, or negative. */
static int take(struct text_file *f, char **s, size_t *n, struct err *e)
{
    size_t len, next;
    for (int rc = 0;;) {
        const char *from = f->buf + f->at;
        size_t have = f->len - f->at;
        bool last = f->ended, whole = f->form.format == TEXT_WHOLE;
        bool found = f->form.format == TEXT_PARAGRAPHS
                         ? paragraph_end(from, have, last, &len, &next)
                     : f->form.format == TEXT_CSV ? row_end(from, have, last, &len, &next)
                     : whole                      ? (len = next = have, last)
                                                  : line_end(from, have, last, &len, &next);
        if (found && have)
            break;
        if (last)
            return 0;
        if ((rc = fill(f, e)))
            return rc;
    }
    *s = f->buf + f->at, *n = len;
    f->at += next, f->taken += (int64_t)next;
    f->line = f->next_line;
    for (const char *c = *s; (c = memchr(c, '\n', next - (size_t)(c - *s))); c++)
        f->next_line++;
    return 1;
}

/* ---- records ---- */

static int text_check(const struct text_file *f, int64_t line, const char *s, size_t n,
                      struct err *e)
{
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                              (utf8proc_ssize_t)(n - i), &c);
        if (k < 1 || !c)
            return err_set(e, ERR_BAD_INPUT, "%s · line %lld · byte %zu is %s · texts are UTF-8",
                           f->path, (long long)line, i + 1, c ? "not UTF-8" : "a zero");
        i += (size_t)k;
    }
    return 0;
}

/* Fields of a row, in place: unquoted, each with a NUL behind it.  How many; negative: too many. */
static int row_fields(char *s, size_t n, bool csv, char **field, size_t *len)
{
    int count = 0;
    for (char *at = s, *end = s + n, *to; count < FIELDS_MAX; at++) {
        bool quoted = false;
        field[count] = to = at;
        for (bool begins = csv; at < end && (quoted || *at != (csv ? ',' : '\t')); at++) {
            if (*at == '"' && (quoted || begins)) {
                bool twice = quoted && at + 1 < end && at[1] == '"';
                if (twice)
                    *to++ = *at++;
                else
                    quoted = !quoted;
            } else {
                *to++ = *at;
            }
            begins = false;
        }
        bool more = at < end;
        *to = '\0';
        len[count] = (size_t)(to - field[count]);
        count++;
        if (!more)
            return count;
    }
    return -1;
}

/* The columns of the text and of the label. */
static int heading(struct text_file *f, int64_t line, char *const *field, int n, struct err *e)
{
    const char *want[2] = {f->form.field, f->form.label};
    for (int k = 0; k < 2 && want[k]; k++) {
        int i = 0;
        while (i < n && strcmp(field[i], want[k]))
            i++;
        if (i == n)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · line %lld · the heading has no \"%.60s\", its first column is "
                           "\"%.60s\" · name one with %s",
                           f->path, (long long)line, want[k], field[0], k ? "--label" : "--field");
        f->column[k] = i;
    }
    f->n_columns = n;
    return 0;
}

static int read_row(struct text_file *f, char *s, size_t n, struct text_record *out, struct err *e)
{
    char *field[FIELDS_MAX];
    size_t len[FIELDS_MAX];
    bool csv = f->form.format == TEXT_CSV, first = !f->n_columns;
    int count = row_fields(s, n, csv, field, len);
    if (count < 0)
        return err_set(e, ERR_BAD_INPUT, "%s · line %lld · more than %d columns", f->path,
                       (long long)out->line, FIELDS_MAX);
    if (first)
        return heading(f, out->line, field, count, e);
    if (count != f->n_columns)
        return err_set(e, ERR_BAD_INPUT, "%s · line %lld · %d columns, the heading has %d", f->path,
                       (long long)out->line, count, f->n_columns);
    out->text = field[f->column[0]], out->len = len[f->column[0]];
    out->label = f->form.label ? field[f->column[1]] : NULL;
    return 0;
}

/* A label as text: what is not there is an empty one. */
static int label_read(struct text_file *f, struct js_node node, const char **out, struct err *e)
{
    double x;
    bool yes;
    *out = "";
    if (!js_is_set(node))
        return 0;
    if (js_is_string(node))
        return js_string(node, out, NULL, e);
    if (!js_bool(node, &yes, NULL)) {
        *out = yes ? "true" : "false";
        return 0;
    }
    if (js_number(node, -DBL_MAX, DBL_MAX, &x, NULL))
        return js_expected(node, "a label: a string, a number or true or false", e);
    number_print(f->number, sizeof f->number, 17, x);
    *out = f->number;
    return 0;
}

static int read_object(struct text_file *f, const char *s, size_t n, struct text_record *out,
                       struct err *e)
{
    char name[MESSAGE_NAME];
    snprintf(name, sizeof name, "%s · line %lld", f->path, (long long)out->line);
    js_close(f->doc);
    if (!(f->doc = js_parse_texts(name, s, n, e)))
        return err_code(e);
    struct js_node root = js_root(f->doc);
    int rc = js_is_object(root) ? 0 : js_expected(root, "an object", e);
    if (!rc)
        rc = js_string(js_get(root, f->form.field), &out->text, &out->len, e);
    return rc || !f->form.label ? rc : label_read(f, js_get(root, f->form.label), &out->label, e);
}

/* A record of the form; *skip: there is no text in it. */
static int read_record(struct text_file *f, char *s, size_t n, struct text_record *out, bool *skip,
                       struct err *e)
{
    enum text_format form = f->form.format;
    bool table = form == TEXT_CSV || form == TEXT_TSV, head = table && !f->n_columns;
    int rc = 0;
    *skip = true;
    if (form != TEXT_WHOLE && n && s[n - 1] == '\r')
        n--;
    if (n && (rc = text_check(f, out->line, s, n, e)))
        return rc;
    if (n == 0 || (form == TEXT_JSONL && is_blank(s, n)))
        return 0;
    *out = (struct text_record){.text = s, .len = n, .line = out->line};
    if (table)
        rc = read_row(f, s, n, out, e);
    else if (form == TEXT_JSONL)
        rc = read_object(f, s, n, out, e);
    *skip = head || out->len == 0;
    return rc;
}

int text_file_next(struct text_file *f, struct text_record *out, struct err *e)
{
    struct text_record r;
    bool skip = true;
    for (int rc; skip;) {
        char *s = NULL;
        size_t n = 0;
        if ((rc = take(f, &s, &n, e)) <= 0)
            return rc;
        r.line = f->line;
        if ((rc = read_record(f, s, n, &r, &skip, e)))
            return rc;
    }
    *out = r;
    return 1;
}

/* ---- files ---- */

enum text_format text_format_of(const char *path, enum text_format other)
{
    static const char *const endings[TEXT_FORMATS] = {
        [TEXT_JSONL] = ".jsonl", [TEXT_CSV] = ".csv", [TEXT_TSV] = ".tsv"};
    size_t n = strlen(path);
    n -= n > 3 && !strcmp(path + n - 3, ".gz") ? 3 : 0;
    for (int i = 0; i < TEXT_FORMATS; i++) {
        size_t k = endings[i] ? strlen(endings[i]) : 0;
        if (k && n > k && !strncmp(path + n - k, endings[i], k))
            return (enum text_format)i;
    }
    return other;
}

static struct text_file *file_new(const char *path, const struct text_form *form, struct err *e)
{
    struct text_file *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(strcmp(path, "-") ? path : "standard input"))) {
        free(f);
        err_memory(e, "%s", path);
        return NULL;
    }
    f->form = *form;
    f->next_line = 1;
    return f;
}

/* What the first bytes say; a byte order mark is left out. */
static int begin(struct text_file *f, struct err *e)
{
    const char *s = f->buf + f->at;
    size_t n = f->len - f->at;
    if (n >= 4 && !memcmp(s, "PAR1", 4))
        return err_set(e, ERR_BAD_INPUT,
                       "%s · is a parquet file · write its column as .jsonl, a text a line: "
                       "pandas.read_parquet(FILE)[['text']].to_json(OUT, orient='records', "
                       "lines=True)",
                       f->path);
    if (n >= 3 && !memcmp(s, "\xef\xbb\xbf", 3))
        f->at += 3;
    return 0;
}

static int opened(struct text_file *f, int rc, struct text_file **out, struct err *e)
{
    if (!rc)
        rc = begin(f, e);
    if (rc)
        text_file_close(f);
    else
        *out = f;
    return rc;
}

int text_file_of(struct text_file **out, const char *path, const void *bytes, size_t len,
                 const struct text_form *form, struct err *e)
{
    struct text_file *f = file_new(path, form, e);
    if (!f)
        return err_code(e);
    int rc = (f->buf = malloc(len + 1)) ? 0 : err_memory(e, "%s", path);
    if (!rc && len)
        memcpy(f->buf, bytes, len);
    f->len = len;
    return opened(f, rc, out, e);
}

int text_file_open(struct text_file **out, const char *path, const struct text_form *form,
                   struct err *e)
{
    struct text_file *f = file_new(path, form, e);
    struct stat st;
    if (!f)
        return err_code(e);
    bool in = !strcmp(path, "-");
    int rc = 0, fd = in ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st))
        rc = err_set(e, ERR_BAD_INPUT, "%s · cannot open: %s", f->path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        rc = err_set(e, ERR_BAD_INPUT, "%s · is a folder, where a file was expected", f->path);
    else if (!(f->gz = gzdopen(fd, "rb")))
        rc = err_memory(e, "%s", f->path);
    if (fd >= 0 && !f->gz)
        close(fd);
    return opened(f, rc ? rc : fill(f, e), out, e);
}

void text_file_close(struct text_file *f)
{
    if (!f)
        return;
    if (f->gz)
        gzclose(f->gz);
    js_close(f->doc);
    free(f->buf), free(f->path);
    free(f);
}

int64_t text_file_at(const struct text_file *f)
{
    return f->gz && !gzdirect(f->gz) ? (int64_t)gzoffset(f->gz) : f->taken;
}
