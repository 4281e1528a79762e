/* texts.c - `borescope texts`: how a set of texts is read. */
#include "texts.h"

#include <string.h>

#include "base/nearest.h"

enum { BEGINNING = 12 }; /* tokens of a window that are shown */

int texts_options(struct cli *c, struct texts_options *out)
{
    static const struct {
        const char *name;
        enum text_format format;
    } formats[] = {{"jsonl", TEXT_JSONL}, {"csv", TEXT_CSV}, {"tsv", TEXT_TSV}};
    const struct options *o = c->opt;
    *out = (struct texts_options){
        .form = {o->paragraphs ? TEXT_PARAGRAPHS : TEXT_LINES, o->field, o->label},
        .window = o->window,
        .stride = o->stride,
        .skip = o->skip,
        .sample = o->sample,
        .seed = (uint64_t)o->seed,
        .limit = o->limit,
        .limit_tokens = o->limit_tokens,
        .bos = cli_bos(o)};
    for (size_t i = 0; o->format && i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(o->format, formats[i].name)) {
            out->form.format = formats[i].format;
            return 0;
        }
    return o->format
               ? err_set(&c->err, ERR_USAGE, "--format %s · expected jsonl, csv or tsv", o->format)
               : 0;
}

int texts_open_named(struct cli *c, struct texts **out)
{
    struct texts_options opt;
    int rc = c->opt->n_words
                 ? texts_options(c, &opt)
                 : err_set(&c->err, ERR_USAGE,
                           "%s · which texts? · a file, a folder, or - for standard input",
                           c->opt->command->name);
    return rc ? rc : texts_open(out, c->m, c->opt->words[0], &opt, &c->err);
}

static void add_beginning(const struct cli *c, struct bytes *out, const struct text_piece *p)
{
    for (int32_t i = 0; i < p->n && i < BEGINNING; i++) {
        size_t len;
        const char *text = cli_token_text(c, p->tokens[i], &len);
        bytes_add(out, text, len);
    }
}

static int add_piece(struct cli *c, struct cli_rows *r, const struct text_piece *p)
{
    struct bytes begins = {0};
    add_beginning(c, &begins, p);
    if (begins.failed)
        return cli_memory(c);
    if (r->t) {
        table_int(r->t, p->text);
        table_int(r->t, p->start);
        table_int(r->t, p->n);
        table_int(r->t, p->n - p->fresh);
        table_string(r->t, p->label ? p->label : "");
        table_text(r->t, begins.data, begins.len);
    } else {
        struct json_out *j = &r->j;
        json_out_object(j);
        json_out_int(json_out_key(j, "text"), p->text);
        json_out_int(json_out_key(j, "start"), p->start);
        json_out_int(json_out_key(j, "fresh"), p->fresh);
        json_out_string(json_out_key(j, "label"), p->label);
        json_out_array(json_out_key(j, "tokens"));
        for (int32_t i = 0; i < p->n; i++)
            json_out_int(j, p->tokens[i]);
        json_out_close(j);
        json_out_close(j);
    }
    bytes_free(&begins);
    return 0;
}

int cli_texts(struct cli *c)
{
    static const struct table_column columns[] = {COLUMN_INT("text"),   COLUMN_INT("start"),
                                                  COLUMN_INT("tokens"), COLUMN_INT("fresh"),
                                                  COLUMN_TEXT("label"), COLUMN_TEXT("begins")};
    struct texts *t = NULL;
    struct text_piece p;
    struct cli_rows rows = {0};
    int more = 0, rc = cli_model(c, false);
    if (!rc)
        rc = texts_open_named(c, &t);
    if (!rc)
        rc = cli_rows_open(c, &rows, columns, sizeof columns / sizeof *columns);
    if (!rc) {
        while (!rc && (more = texts_next(t, &p, &c->err)) > 0)
            rc = add_piece(c, &rows, &p);
        rc = cli_rows_close(c, &rows, rc ? rc : more);
    }
    texts_close(t);
    return rc;
}
