/* tokens.c - `borescope tokens`: a text as tokens, token ids as text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "token/token_ids.h"
#include "text.h"

/* A tokenizer, and the beginning-of-text token where a model says so. */
struct source {
    struct tokenizer *tok; /* own, unless it is the model's */
    int32_t bos;           /* to prepend, -1 = none */
};

static bool is_json_file(const char *arg)
{
    size_t len = strlen(arg);
    struct stat st;
    return len > 5 && !strcmp(arg + len - 5, ".json") && !stat(arg, &st) && S_ISREG(st.st_mode);
}

/* A folder that holds a tokenizer and no model; "" if it is not one. */
static const char *bare_folder(const char *arg, char buf[4096])
{
    struct stat st;
    int n = snprintf(buf, 4096, "%s/config.json", arg);
    if (n < 0 || n >= 4096 || !stat(buf, &st))
        return "";
    n = snprintf(buf, 4096, "%s/tokenizer.json", arg);
    return n > 0 && n < 4096 && !stat(buf, &st) ? buf : "";
}

static int open_source(struct cli *c, struct source *s)
{
    const struct options *o = c->opt;
    char folder[4096];
    const char *file = is_json_file(c->model_name) ? c->model_name
                                                   : bare_folder(c->model_name, folder);
    if (*file) {
        s->tok = tokenizer_open(file, &c->err);
        s->bos = s->tok && o->bos ? tokenizer_bos(s->tok) : -1;
        return s->tok ? 0 : c->err.code;
    }
    int rc = cli_model(c, false);
    if (!rc && c->m->cfg.patch_size)
        rc = err_set(&c->err, ERR_BAD_INPUT, "tokens · it is of texts, %s takes images",
                     c->m->name);
    if (rc)
        return rc;
    s->bos = o->bos || (!o->no_bos && c->m->cfg.prepend_bos) ? c->m->cfg.bos_id : -1;
    return 0;
}

static int input(struct cli *c, char **text, size_t *len)
{
    const struct options *o = c->opt;
    if (o->from_stdin)
        return cli_stdin(text, len, &c->err);
    if (!o->prompt)
        return err_set(&c->err, ERR_USAGE, "tokens needs a text · -p TEXT or --stdin");
    *len = strlen(o->prompt);
    *text = strdup(o->prompt);
    return *text ? 0 : cli_memory(c);
}

static int print_tokens(struct cli *c, const struct tokenizer *tok, const int32_t *id, size_t n)
{
    static const struct table_column columns[] = {COLUMN_INT("pos"),
                                                  COLUMN_INT("id"),
                                                  {"text", TABLE_TEXT, 0, 0, TEXT_TOKEN},
                                                  COLUMN_TEXT("spelling")};
    size_t len;
    if (c->opt->json) {
        struct json_out j;
        json_out_begin(&j, &c->out);
        json_out_object(&j);
        json_out_array(json_out_key(&j, "ids"));
        for (size_t i = 0; i < n; i++)
            json_out_int(&j, id[i]);
        json_out_close(&j);
        json_out_array(json_out_key(&j, "tokens"));
        for (size_t i = 0; i < n; i++) {
            const char *text = tokenizer_text(tok, id[i], &len);
            json_out_text(&j, text, len);
        }
        return cli_json_end(c, &j);
    }
    struct table *t = table_new(columns, 4);
    for (size_t i = 0; i < n && t; i++) {
        const char *text = tokenizer_text(tok, id[i], &len),
                   *spelling = tokenizer_spelling(tok, id[i]);
        table_int(t, (int64_t)i);
        table_int(t, id[i]);
        table_text(t, text, len);
        table_string(t, spelling ? spelling : "");
    }
    return cli_table(c, t);
}

/* Ids to text, every byte of it, cleaned only by what JSON needs or the terminal must not see. */
static int decode(struct cli *c, const struct tokenizer *tok, const char *ids)
{
    int32_t *id = NULL, n = 0;
    size_t len;
    char *text = NULL;
    int rc = token_ids_read(ids, strlen(ids), &id, &n, &c->err);
    if (!rc && !(text = tokenizer_decode(tok, id, (size_t)n, 0, &len, &c->err)))
        rc = c->err.code;
    if (!rc && c->opt->json) {
        struct json_out j;
        json_out_begin(&j, &c->out);
        json_out_object(&j);
        json_out_text(json_out_key(&j, "text"), text, len);
        rc = cli_json_end(c, &j);
    } else if (!rc) {
        cli_plain_text(&c->out, text, len);
        bytes_add_char(&c->out, '\n');
    }
    free(id);
    free(text);
    return rc;
}

static int encode(struct cli *c, const struct source *s, const char *text, size_t len)
{
    const struct tokenizer *tok = s->tok ? s->tok : c->m->tok;
    struct token_list l = {0};
    int rc = tokenizer_encode_from(tok, s->bos, text, len, &l, &c->err);
    if (!rc)
        rc = print_tokens(c, tok, l.id, l.count);
    token_list_free(&l);
    return rc;
}

static int with_source(struct cli *c, const struct source *s)
{
    const struct tokenizer *tok = s->tok ? s->tok : c->m->tok;
    const struct options *o = c->opt;
    char *text = NULL;
    size_t len = 0;
    int rc;
    if (o->bos && s->bos < 0)
        return err_set(&c->err, ERR_BAD_INPUT,
                       "--bos · nothing here names a beginning-of-text token · use --no-bos");
    if (o->tokens && o->decode)
        return decode(c, tok, o->tokens);
    if (o->tokens) {
        int32_t *id, n;
        rc = token_ids_read(o->tokens, strlen(o->tokens), &id, &n, &c->err);
        if (!rc)
            rc = print_tokens(c, tok, id, (size_t)n);
        if (!rc)
            free(id);
        return rc;
    }
    rc = input(c, &text, &len);
    if (!rc)
        rc = o->decode ? decode(c, tok, text) : encode(c, s, text, len);
    free(text);
    return rc;
}

int cli_tokens(struct cli *c)
{
    struct source s = {NULL, -1};
    int rc = open_source(c, &s);
    if (!rc)
        rc = with_source(c, &s);
    tokenizer_close(s.tok);
    return rc;
}
