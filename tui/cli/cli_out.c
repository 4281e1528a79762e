/* cli_out.c - how results are written: token texts, the head of every result, tables (see cli.h). */
#include <string.h>

#include "cli.h"
#include "process.h"
#include "text.h"

/* Length up to a newline or tab. */
static size_t line_length(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i] != '\n' && s[i] != '\t')
        i++;
    return i;
}

const char *cli_token_text(const struct cli *c, int32_t id, size_t *len)
{
    return tokenizer_text(c->m->tok, id, len);
}

void cli_plain_text(struct bytes *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = line_length(text + i, len - i);
        text_add(out, text + i, n, TEXT_PLAIN);
        if ((i += n) < len)
            bytes_add_char(out, text[i++]);
    }
}

static bool is_utf8(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        int32_t cp;
        i += text_decode(s + i, n - i, &cp);
        if (cp < 0)
            return false;
    }
    return true;
}

void cli_json_token(const struct cli *c, struct json_out *j, int32_t id)
{
    size_t len;
    const char *text = cli_token_text(c, id, &len);
    json_out_object(j);
    json_out_key(j, "id");
    json_out_int(j, id);
    json_out_key(j, "text");
    json_out_text(j, text, len);
    if (is_utf8(text, len))
        return;
    struct bytes hex = {0};
    for (size_t i = 0; i < len; i++)
        bytes_addf(&hex, "%02x", (unsigned)(unsigned char)text[i]);
    json_out_key(j, "bytes");
    json_out_string(j, hex.data);
    bytes_free(&hex);
}

void cli_json_top(const struct cli *c, struct json_out *j, const struct lens_cell *cell, const struct lens_top *top,
                  int32_t k)
{
    json_out_array(j);
    for (int32_t i = 0; i < k; i++) {
        cli_json_token(c, j, top[i].id);
        json_out_key(j, "logit");
        json_out_float(j, top[i].logit);
        json_out_key(j, "logprob");
        json_out_float(j, top[i].logit - cell->lse);
        json_out_close(j);
    }
    json_out_close(j);
}

void cli_plain_token(struct cli *c, int32_t id)
{
    size_t len;
    const char *text = cli_token_text(c, id, &len);
    bytes_add_char(&c->out, '"');
    text_add(&c->out, text, len, TEXT_PLAIN);
    bytes_add_char(&c->out, '"');
}

void cli_json_tokens(const struct cli *c, struct json_out *j)
{
    json_out_key(j, "tokens");
    json_out_array(j);
    for (int32_t i = 0; i < c->n; i++) {
        cli_json_token(c, j, c->tokens[i]);
        json_out_close(j);
    }
    json_out_close(j);
}

static void edit_text(const struct edit *ed, char buf[LIMIT_EDIT_TEXT])
{
    edit_print(ed, buf, LIMIT_EDIT_TEXT);
}

void cli_json_head(const struct cli *c, struct json_out *j)
{
    char text[LIMIT_EDIT_TEXT];
    json_out_key(j, "model");
    json_out_string(j, c->m->name);
    json_out_key(j, "processing");
    json_out_string(j, process_text(c->m->process, text, sizeof text));
    json_out_key(j, "bos");
    json_out_bool(j, cli_has_bos(c));
    json_out_key(j, "edits");
    json_out_array(j);
    for (int32_t i = 0; i < c->n_edits; i++) {
        edit_text(c->edits[i], text);
        json_out_string(j, text);
    }
    json_out_close(j);
}

void cli_head(struct cli *c)
{
    char text[LIMIT_EDIT_TEXT];
    if (c->opt->tsv)
        return;
    bytes_add_string(&c->out, "# ");
    text_add(&c->out, c->m->name, strlen(c->m->name), TEXT_PLAIN);
    if (c->n)
        bytes_addf(&c->out, " · %d tokens, %s", (int)c->n, cli_has_bos(c) ? "BOS first" : "no BOS");
    bytes_addf(&c->out, " · %s\n", process_text(c->m->process, text, sizeof text));
    for (int32_t i = 0; i < c->n_edits; i++) {
        edit_text(c->edits[i], text);
        bytes_add_string(&c->out, "# edit: ");
        text_add(&c->out, text, strlen(text), TEXT_PLAIN);
        bytes_add_char(&c->out, '\n');
    }
}

int cli_table(struct cli *c, struct table *t)
{
    int err = !t || table_failed(t) ? cli_memory(c) : 0;
    if (!err && c->opt->tsv)
        table_tsv(t, &c->out);
    else if (!err)
        table_plain(t, false, &c->out);
    table_free(t);
    return err;
}
