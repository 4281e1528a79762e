/* cli_out.c - how results are written: token texts, the head of every result, tables (see cli.h).
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "model/process.h"
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

const char *cli_input_text(const struct cli *c, int32_t pos, size_t *len)
{
    return model_input_text(c->m, c->tokens[pos], len);
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

static void json_id(struct json_out *j, int32_t id, const char *text, size_t len)
{
    json_out_object(j);
    json_out_int(json_out_key(j, "id"), id);
    json_out_text(json_out_key(j, "text"), text, len);
    if (is_utf8(text, len))
        return;
    struct bytes hex = {0};
    for (size_t i = 0; i < len; i++)
        bytes_addf(&hex, "%02x", (unsigned)(unsigned char)text[i]);
    json_out_string(json_out_key(j, "bytes"), hex.data);
    bytes_free(&hex);
}

void cli_json_token(const struct cli *c, struct json_out *j, int32_t id)
{
    size_t len;
    const char *text = cli_token_text(c, id, &len);
    json_id(j, id, text, len);
}

void cli_json_top(const struct cli *c, struct json_out *j, const struct lens_cell *cell,
                  const struct lens_top *top, int32_t k)
{
    json_out_array(j);
    for (int32_t i = 0; i < k; i++) {
        cli_json_token(c, j, top[i].id);
        json_out_float(json_out_key(j, "logit"), top[i].logit);
        json_out_float(json_out_key(j, "logprob"), top[i].logit - cell->lse);
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
    json_out_array(json_out_key(j, "tokens"));
    for (int32_t i = 0; i < c->n; i++) {
        size_t len;
        const char *text = cli_input_text(c, i, &len);
        json_id(j, c->tokens[i], text, len);
        json_out_close(j);
    }
    json_out_close(j);
}

static void edit_text(const struct edit *ed, char buf[LIMIT_EDIT_TEXT])
{
    edit_print(ed, buf, LIMIT_EDIT_TEXT);
}

void cli_json_edits(const struct cli *c, struct json_out *j, const bool *on)
{
    char text[LIMIT_EDIT_TEXT];
    json_out_array(j);
    for (int32_t i = 0; i < c->n_edits; i++)
        if (!on || on[i]) {
            edit_text(c->edits[i], text);
            json_out_string(j, text);
        }
    json_out_close(j);
}

void cli_table_edits(const struct cli *c, struct table *t, const bool *on)
{
    struct bytes text = {0};
    for (int32_t i = 0; i < c->n_edits; i++)
        if (on[i])
            bytes_addf(&text, "%s*%d", text.len ? " " : "", (int)i + 1);
    table_text(t, text.data ? text.data : "", text.len);
    bytes_free(&text);
}

void cli_json_begin(struct cli *c, struct json_out *j)
{
    char text[LIMIT_EDIT_TEXT];
    json_out_begin(j, &c->out);
    json_out_object(j);
    json_out_string(json_out_key(j, "model"), c->m->name);
    json_out_string(json_out_key(j, "processing"), process_text(c->m->process, text, sizeof text));
    json_out_bool(json_out_key(j, "bos"), cli_has_bos(c));
    cli_json_edits(c, json_out_key(j, "edits"), NULL);
}

int cli_json_end(struct cli *c, struct json_out *j)
{
    json_out_end(j);
    return c->out.failed ? cli_memory(c) : 0;
}

void cli_json_stats(struct json_out *j, const struct lens_stats *s)
{
    json_out_double(json_out_key(j, "mean"), s->mean);
    json_out_double(json_out_key(j, "std"), s->std);
    json_out_float(json_out_key(j, "min"), s->min);
    json_out_float(json_out_key(j, "max"), s->max);
}

/* Of edits that a person reads above a table; --json has all of all. */
enum { HEAD_EDITS = 16, HEAD_EDIT_BYTES = 400 };

void cli_head(struct cli *c)
{
    char text[LIMIT_EDIT_TEXT];
    if (c->opt->tsv)
        return;
    bytes_add_string(&c->out, "# ");
    text_add(&c->out, c->m->name, strlen(c->m->name), TEXT_PLAIN);
    if (c->image)
        bytes_addf(&c->out, " · an image of %d patches", (int)(c->n - c->m->cfg.n_prefix));
    else if (c->n)
        bytes_addf(&c->out, " · %d tokens, %s", (int)c->n, cli_has_bos(c) ? "BOS first" : "no BOS");
    bytes_addf(&c->out, " · %s\n", process_text(c->m->process, text, sizeof text));
    for (int32_t i = 0; i < c->n_edits && i < HEAD_EDITS; i++) {
        edit_text(c->edits[i], text);
        size_t len = strlen(text), cut = len < HEAD_EDIT_BYTES ? len : HEAD_EDIT_BYTES;
        while (cut < len && ((unsigned char)text[cut] & 0xc0) == 0x80) /* not within a character */
            cut--;
        bytes_add_string(&c->out, "# edit: ");
        text_add(&c->out, text, cut, TEXT_PLAIN);
        bytes_add_string(&c->out, cut < len ? "…\n" : "\n");
    }
    if (c->n_edits > HEAD_EDITS)
        bytes_addf(&c->out, "# %d edits more\n", (int)(c->n_edits - HEAD_EDITS));
}

int cli_table(struct cli *c, struct table *t)
{
    int rc = !t || table_failed(t) ? cli_memory(c) : 0;
    if (!rc && c->opt->tsv)
        table_tsv(t, &c->out);
    else if (!rc)
        table_plain(t, &c->out);
    table_free(t);
    return rc;
}

void cli_table_token(const struct cli *c, struct table *t, int32_t id)
{
    size_t len;
    const char *text = cli_token_text(c, id, &len);
    table_text(t, text, len);
}

void cli_table_input(const struct cli *c, struct table *t, int32_t pos)
{
    size_t len;
    const char *text = cli_input_text(c, pos, &len);
    table_text(t, text, len);
}

void cli_table_head(struct table *t, int64_t layer, int64_t head)
{
    char label[48];
    snprintf(label, sizeof label, "L%lldH%lld", (long long)layer, (long long)head);
    table_string(t, label);
}

void cli_table_stats(struct table *t, const struct lens_stats *s)
{
    table_number(t, (float)s->mean);
    table_number(t, (float)s->std);
    table_number(t, s->min);
    table_number(t, s->max);
}

int cli_rows_open(struct cli *c, struct cli_rows *r, const struct table_column *columns, int n)
{
    json_out_begin(&r->j, &c->out);
    r->t = NULL;
    if (c->opt->json) {
        json_out_array(&r->j);
        return 0;
    }
    cli_head(c);
    r->t = table_new(columns, n);
    return r->t ? 0 : cli_memory(c);
}

int cli_rows_close(struct cli *c, struct cli_rows *r, int rc)
{
    if (!rc)
        return r->t ? cli_table(c, r->t) : cli_json_end(c, &r->j);
    table_free(r->t);
    return rc;
}

void cli_say(const char *text)
{
    struct bytes line = {0};
    bytes_add_string(&line, "borescope: ");
    text_add(&line, text, strlen(text), TEXT_PLAIN);
    bytes_add_char(&line, '\n');
    if (!line.failed)
        fwrite(line.data, 1, line.len, stderr);
    bytes_free(&line);
}
