/* edit_texts.c - edits of the command line: -e EDIT, or -e @FILE, a file of them. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "base/list.h"

enum { FILE_BYTES_MAX = LIMIT_EDITS * LIMIT_EDIT_TEXT };

static int add(struct cli *c, const char *text)
{
    if (!list_room(&c->texts.item, (size_t)c->texts.n, sizeof *c->texts.item))
        return cli_memory(c);
    c->texts.item[c->texts.n++] = text;
    return 0;
}

/* Its lines, but blank ones and comments. */
static int add_file(struct cli *c, const char *path)
{
    char *text = NULL, *rest = NULL;
    size_t len;
    int before = c->texts.n, rc = file_read_all(path, FILE_BYTES_MAX, &text, &len, &c->err);
    if (!rc && !list_room(&c->edit_file, (size_t)c->n_edit_files, sizeof *c->edit_file))
        rc = cli_memory(c);
    if (rc) {
        free(text);
        err_prefix(&c->err, "-e");
        return rc;
    }
    c->edit_file[c->n_edit_files++] = text;
    if (strlen(text) != len)
        return err_set(&c->err, ERR_BAD_INPUT, "-e @%.200s · it holds a zero byte, no edits", path);
    for (char *line = strtok_r(text, "\r\n", &rest); line && !rc;
         line = strtok_r(NULL, "\r\n", &rest)) {
        line += strspn(line, " \t");
        rc = *line && *line != '#' ? add(c, line) : 0;
    }
    return rc || c->texts.n > before
               ? rc
               : err_set(&c->err, ERR_BAD_INPUT, "-e @%.200s · no edit in it", path);
}

int cli_edit_texts(struct cli *c)
{
    const struct option_list *l = &c->opt->edits;
    int rc = 0;
    cli_edit_texts_free(c);
    for (int i = 0; i < l->n && !rc; i++)
        rc = l->item[i][0] == '@' ? add_file(c, l->item[i] + 1) : add(c, l->item[i]);
    return rc;
}

void cli_edit_texts_free(struct cli *c)
{
    for (int i = 0; i < c->n_edit_files; i++)
        free(c->edit_file[i]);
    free(c->edit_file);
    free(c->texts.item);
    c->edit_file = NULL, c->n_edit_files = 0;
    c->texts = (struct option_list){NULL, 0};
}
