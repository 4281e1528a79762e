/* texts.c - `borescope texts`: how a set of texts is read. */
#include "texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/ranks.h"

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

int texts_path(struct cli *c, const char *what, const char *forms, const char **path)
{
    const struct options *o = c->opt;
    if (!o->n_words)
        return err_set(&c->err, ERR_USAGE, "%s · which %s? · %s, or - for standard input",
                       o->command->name, what, forms);
    if (!strcmp(o->words[0], "-") && ranks_size(c->ranks) > 1)
        return err_set(&c->err, ERR_USAGE,
                       "%s - with several ranks · they have one standard input between them · "
                       "write it to a file",
                       o->command->name);
    *path = o->words[0];
    return 0;
}

int texts_open_named(struct cli *c, struct texts **out)
{
    struct texts_options opt;
    const char *path = NULL;
    int rc = texts_path(c, "texts", "a file, a folder", &path);
    if (!rc)
        rc = texts_options(c, &opt);
    return rc ? rc : texts_open(out, c->m, path, &opt, &c->err);
}

/* "A:B", "A:", ":B" or "A": positions of a window. */
static int range_parse(struct cli *c, struct token_filter *f)
{
    const char *text = c->opt->pos;
    char *end;
    if (!text)
        return 0;
    long first = strtol(text, &end, 10), last = 0;
    bool some = end > text, range = *end == ':';
    if (range) {
        const char *from = end + 1;
        last = strtol(from, &end, 10);
        some = end == from || last != 0;
    } else {
        last = first + 1;
    }
    if (!some || *end || labs(first) > LIMIT_TOKENS || labs(last) > LIMIT_TOKENS)
        return err_set(&c->err, ERR_USAGE, "--pos %s · expected positions of a window: 1:, :-1, 5",
                       text);
    f->first = (int32_t)first, f->last = (int32_t)last;
    return 0;
}

int texts_filter(struct cli *c, struct token_filter *out, int32_t **ids)
{
    const struct option_list *l = c->opt->skip_token.n ? &c->opt->skip_token : &c->opt->only_token;
    if (c->opt->skip_token.n && c->opt->only_token.n)
        return err_set(&c->err, ERR_USAGE, "--only-token and --skip-token · give one of them");
    if (!(*ids = malloc(((size_t)l->n + 1) * sizeof **ids)))
        return cli_memory(c);
    *out = (struct token_filter){
        .ids = *ids, .n = l->n, .without = c->opt->skip_token.n > 0, .next = c->opt->next_token};
    int rc = range_parse(c, out);
    for (int i = 0; i < l->n && !rc; i++)
        rc = cli_token(c, l->item[i], &(*ids)[i]);
    return rc;
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
