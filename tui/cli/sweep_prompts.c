/* sweep_prompts.c - see sweep_prompts.h. */
#include "sweep_prompts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "bytes.h"

enum { COLS_MAX = 32, CELLS_MAX = 1 << 16 };

void sweep_file_free(struct sweep_file *f)
{
    for (int32_t i = 0; f->cell && i < (f->rows + 1) * f->cols; i++)
        free(f->cell[i]);
    free(f->cell);
    *f = (struct sweep_file){0};
}

/* A line's cells into the list of n. */
static int line_cells(char ***list, int32_t *n, const char *p, const char *end, struct err *e)
{
    for (bool more = true; more;) {
        const char *tab = memchr(p, '\t', (size_t)(end - p));
        more = tab != NULL;
        char *copy = strndup(p, (size_t)((more ? tab : end) - p));
        if (!copy || *n == CELLS_MAX || !list_room(list, (size_t)*n, sizeof **list)) {
            free(copy);
            return *n == CELLS_MAX
                       ? err_set(e, ERR_BAD_INPUT, "more than %d cells in all", CELLS_MAX)
                       : err_memory(e, "prompts");
        }
        (*list)[(*n)++] = copy;
        p = more ? tab + 1 : end;
    }
    return 0;
}

static int check_heading(const struct sweep_file *f, struct err *e)
{
    if (f->cols < 1 || strcmp(f->cell[0], "prompt") != 0 || f->cols > COLS_MAX)
        return err_set(
            e, ERR_BAD_INPUT,
            "line 1 · expected a heading, prompt<tab>NAME<tab>NAME, of at most %d columns",
            COLS_MAX);
    for (int32_t i = 0; i < f->cols; i++) {
        for (const char *p = f->cell[i]; *p || p == f->cell[i]; p++)
            if (!isalnum((unsigned char)*p) && *p != '_')
                return err_set(e, ERR_BAD_INPUT,
                               "line 1 · heading \"%.40s\" · letters, digits and _ make a name",
                               f->cell[i]);
        for (int32_t k = 0; k < i; k++)
            if (!strcmp(f->cell[i], f->cell[k]))
                return err_set(e, ERR_BAD_INPUT, "line 1 · heading %.40s stands there twice",
                               f->cell[i]);
    }
    return 0;
}

static int parse_lines(struct sweep_file *f, const char *text, size_t len, struct err *e)
{
    int32_t n = 0, line = 0;
    int rc = 0;
    if (memchr(text, '\0', len))
        return err_set(e, ERR_BAD_INPUT, "it holds a NUL byte · expected text");
    for (const char *p = text, *end = text + len; p < end && !rc;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        const char *last = stop > p && stop[-1] == '\r' ? stop - 1 : stop;
        int32_t before = n;
        line++;
        if (last > p)
            rc = line_cells(&f->cell, &n, p, last, e);
        if (!rc && n > before && !f->cols)
            f->cols = n, f->rows = 0, rc = check_heading(f, e);
        else if (!rc && n > before && n - before == f->cols)
            f->rows++;
        else if (!rc && n > before)
            rc = err_set(e, ERR_BAD_INPUT, "line %d · %d columns · the heading has %d", (int)line,
                         (int)(n - before), (int)f->cols);
        p = nl ? nl + 1 : end;
    }
    if (!rc && !f->rows)
        rc = err_set(e, ERR_BAD_INPUT, "no prompts · a heading, then a line for each");
    if (rc) { /* cells of the last line, too */
        for (int32_t i = 0; i < n; i++)
            free(f->cell[i]);
        free(f->cell);
        *f = (struct sweep_file){0};
    }
    return rc;
}

int sweep_file_parse(struct sweep_file *out, const char *path, const char *text, size_t len,
                     struct err *e)
{
    struct sweep_file f = {0};
    int rc = parse_lines(&f, text, len, e);
    if (rc)
        err_prefix(e, "%s", path);
    else
        *out = f;
    return rc;
}

char *sweep_file_metric(const struct sweep_file *f, int32_t row, const char *metric)
{
    struct bytes b = {0};
    while (*metric) {
        const char *end = *metric == '{' ? strchr(metric, '}') : NULL;
        int32_t col = end ? f->cols : -1;
        while (col-- > 0)
            if (strlen(f->cell[col]) == (size_t)(end - metric - 1) &&
                !strncmp(f->cell[col], metric + 1, (size_t)(end - metric - 1)))
                break;
        if (col >= 0) {
            bytes_add_string(&b, sweep_file_at(f, row, col));
            metric = end + 1;
        } else {
            bytes_add_char(&b, *metric++);
        }
    }
    bytes_add(&b, "", 1);
    if (b.failed) {
        bytes_free(&b);
        return NULL;
    }
    return b.data;
}
