/* test_prompt.c - `borescope test_prompt`: how well the model expects an answer, printed as
 * TransformerLens' test_prompt prints it.
 *
 * One answer is followed token by token, of several each one's first token is looked at.  An
 * answer's last token is not run: nothing is expected after it.  The text is the library's line by
 * line, after our own head; what a terminal should not get is cleaned, and there is no colour and
 * no wrapping.  Tested in tests/tui/test_cli_prompt.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "token/token_ids.h"

enum { TOP_DEFAULT = 10 }; /* the library's */

struct answer {
    int32_t *id, n;
};

/* An answer's token at the row that should expect it. */
struct expected {
    int32_t id, row;
    struct lens_cell cell;
    struct lens_top *top; /* [k] */
};

struct trial {
    struct answer *answers;
    struct expected *each; /* one answer: its tokens; several: the first of each */
    int32_t n_answers, n, k, n_prompt;
};

/* An id; or text, in quotes if it would be one. */
static int answer_read(struct cli *c, const char *text, struct answer *a)
{
    size_t len = strlen(text);
    if (len && strspn(text, "0123456789") == len)
        return token_ids_read(text, len, &a->id, &a->n, &c->err);
    bool quoted = len >= 2 && text[0] == '"' && text[len - 1] == '"';
    text += quoted, len -= 2 * (size_t)quoted;
    bool space = !c->opt->no_space && *text != ' '; /* prepend_space_to_answer */
    char *spaced = malloc(len + 2);
    if (!spaced)
        return cli_memory(c);
    spaced[0] = ' ';
    memcpy(spaced + space, text, len);
    int rc = model_tokens(c->m, spaced, len + space, 0, &a->id, &a->n, &c->err);
    free(spaced);
    return rc;
}

static int answers_read(struct cli *c, struct trial *t)
{
    const struct option_list *given = &c->opt->answer;
    if (!given->n)
        return err_set(&c->err, ERR_USAGE,
                       "test_prompt needs the expected answer · --answer ' Mary'");
    int rc = 0;
    t->answers = calloc((size_t)given->n, sizeof *t->answers);
    if (!t->answers)
        return cli_memory(c);
    for (; t->n_answers < given->n && !rc; t->n_answers++) {
        struct answer *a = &t->answers[t->n_answers];
        rc = answer_read(c, given->item[t->n_answers], a);
        if (!rc)
            rc = model_check_tokens(c->m, a->id, a->n, NULL, &c->err);
        if (rc)
            err_prefix(&c->err, "--answer %d", t->n_answers + 1);
    }
    return rc;
}

/* What has to be expected where; the prompt grows by what one answer's later tokens are expected
 * after. */
static int trial_plan(struct cli *c, struct trial *t)
{
    bool one = t->n_answers == 1;
    int32_t more = one ? t->answers[0].n - 1 : 0,
            k = c->opt->given[ON(top)] ? c->opt->top : TOP_DEFAULT;
    t->n_prompt = c->n;
    t->n = one ? t->answers[0].n : t->n_answers;
    t->k = k < c->m->cfg.d_vocab ? k : c->m->cfg.d_vocab;
    t->each = calloc((size_t)t->n, sizeof *t->each);
    int32_t *all = realloc(c->tokens, ((size_t)c->n + (size_t)more) * sizeof *all);
    c->tokens = all ? all : c->tokens;
    if (!t->each || !all)
        return cli_memory(c);
    memcpy(all + c->n, t->answers[0].id, (size_t)more * sizeof *all);
    c->n += more;
    for (int32_t i = 0; i < t->n; i++) {
        t->each[i] = (struct expected){.id = one ? t->answers[0].id[i] : t->answers[i].id[0],
                                       .row = t->n_prompt - 1 + (one ? i : 0)};
        if (!(t->each[i].top = calloc((size_t)t->k, sizeof *t->each[i].top)))
            return cli_memory(c);
    }
    return model_check_tokens(c->m, all, c->n, NULL, &c->err);
}

static int trial_run(struct cli *c, struct trial *t)
{
    int rc = cli_sync(c);
    for (int32_t i = 0; i < t->n && !rc; i++) {
        struct expected *x = &t->each[i];
        rc = lens_output(cli_run_shown(c), x->row, x->row + 1, t->k, x->id, &x->cell, x->top,
                         &c->err);
    }
    return rc;
}

static void trial_free(struct trial *t)
{
    for (int32_t i = 0; i < t->n_answers; i++)
        free(t->answers[i].id);
    for (int32_t i = 0; i < t->n && t->each; i++)
        free(t->each[i].top);
    free(t->answers);
    free(t->each);
}

/* ------------------------------------------------------------------ the library's text */

/* A token alone, as the library decodes it: SentencePiece decoders drop a leading space, parts of a
 * character become U+FFFD. */
static void add_decoded(const struct cli *c, struct bytes *out, int32_t id)
{
    size_t len = 0;
    char *text = tokenizer_decode(c->m->tok, &id, 1, 0, &len, NULL);
    for (size_t i = 0; text && i < len;) {
        int32_t cp;
        size_t n = text_decode(text + i, len - i, &cp);
        if (cp < 0)
            bytes_add_string(out, "\xef\xbf\xbd");
        else
            bytes_add(out, text + i, n);
        i += n;
    }
    out->failed |= !text;
    free(text);
}

/* Python's repr() of it. */
static void add_repr(const struct cli *c, struct bytes *out, int32_t id)
{
    struct bytes text = {0};
    add_decoded(c, &text, id);
    char quote = text.data && strchr(text.data, '\'') && !strchr(text.data, '"') ? '"' : '\'';
    bytes_add_char(out, quote);
    for (size_t i = 0, n; i < text.len; i += n) {
        int32_t cp;
        n = text_decode(text.data + i, text.len - i, &cp);
        enum text_class kind = text_classify(cp, TEXT_UTF8PROC);
        if (cp == quote || cp == '\\')
            bytes_addf(out, "\\%c", (int)cp);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            bytes_add_string(out, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
        else if (kind == TEXT_CLASS_CONTROL || kind == TEXT_CLASS_REFUSED)
            bytes_addf(out,
                       cp < 0x100     ? "\\x%02x"
                       : cp < 0x10000 ? "\\u%04x"
                                      : "\\U%08x",
                       (unsigned)cp);
        else
            bytes_add(out, text.data + i, n);
    }
    bytes_add_char(out, quote);
    out->failed |= text.failed;
    bytes_free(&text);
}

static void add_list(const struct cli *c, struct bytes *out, const int32_t *id, int32_t n)
{
    bytes_add_char(out, '[');
    for (int32_t i = 0; i < n; i++) {
        bytes_add_string(out, i ? ", " : "");
        add_repr(c, out, id[i]);
    }
    bytes_add_char(out, ']');
}

/* Ends a line: cleaned, into the output. */
static void put_line(struct cli *c, struct bytes *line)
{
    text_add(&c->out, line->data, line->len, TEXT_PLAIN);
    bytes_add_char(&c->out, '\n');
    bytes_clear(line);
}

static void put_figures(struct cli *c, struct bytes *line, float logit, float lse, int32_t id)
{
    bytes_addf(line, "Logit: %5.2f Prob: %5.2f%% Token: |", (double)logit,
               100 * exp((double)logit - (double)lse));
    add_decoded(c, line, id);
    bytes_add_char(line, '|');
    put_line(c, line);
}

static void put_top(struct cli *c, struct bytes *line, const struct trial *t,
                    const struct expected *x)
{
    for (int32_t k = 0; k < t->k; k++) {
        bytes_addf(line, "Top %dth token. ", (int)k);
        put_figures(c, line, x->top[k].logit, x->cell.lse, x->top[k].id);
    }
}

static void put_ranks(struct cli *c, struct bytes *line, const struct trial *t)
{
    bytes_addf(line, "Ranks of the answer tokens: %s", t->n_answers > 1 ? "[[" : "[");
    for (int32_t i = 0; i < t->n; i++) {
        bytes_add_string(line, i ? ", (" : "(");
        add_repr(c, line, t->each[i].id);
        bytes_addf(line, ", %d)", (int)t->each[i].cell.target_rank);
    }
    bytes_add_string(line, t->n_answers > 1 ? "]]" : "]");
    put_line(c, line);
}

static int trial_text(struct cli *c, const struct trial *t)
{
    struct bytes line = {0};
    bool several = t->n_answers > 1;
    cli_head(c);
    bytes_add_string(&line, "Tokenized prompt: ");
    add_list(c, &line, c->tokens, t->n_prompt);
    put_line(c, &line);
    bytes_add_string(&line, several ? "Tokenized answers: [" : "Tokenized answer: ");
    for (int32_t i = 0; i < t->n_answers; i++) {
        bytes_add_string(&line, i ? ", " : "");
        add_list(c, &line, t->answers[i].id, t->answers[i].n);
    }
    bytes_add_string(&line, several ? "]" : "");
    put_line(c, &line);
    for (int32_t i = 0; i < t->n; i++) {
        const struct expected *x = &t->each[i];
        if (!several || i == 0)
            bytes_addf(&c->out, "Performance on answer token%s:\n", several ? "s" : "");
        bytes_addf(&line, "Rank: %-8d ", (int)x->cell.target_rank);
        put_figures(c, &line, x->cell.target_logit, x->cell.lse, x->id);
        if (!several || i == t->n - 1)
            put_top(c, &line, t, x);
    }
    put_ranks(c, &line, t);
    int rc = line.failed || c->out.failed ? cli_memory(c) : 0;
    bytes_free(&line);
    return rc;
}

/* ------------------------------------------------------------------ for programs */

static int trial_json(struct cli *c, const struct trial *t)
{
    struct json_out j;
    cli_json_begin(c, &j);
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "answer"));
    for (int32_t i = 0; i < t->n; i++) {
        const struct expected *x = &t->each[i];
        cli_json_token(c, &j, x->id);
        json_out_int(json_out_key(&j, "position"), x->row + 1);
        json_out_int(json_out_key(&j, "rank"), x->cell.target_rank);
        json_out_float(json_out_key(&j, "logit"), x->cell.target_logit);
        json_out_float(json_out_key(&j, "logprob"), x->cell.target_logit - x->cell.lse);
        cli_json_top(c, json_out_key(&j, "top"), &x->cell, x->top, t->k);
        json_out_close(&j);
    }
    return cli_json_end(c, &j);
}

static int trial_table(struct cli *c, const struct trial *t)
{
    static const struct table_column columns[] = {
        COLUMN_INT("pos"),         COLUMN_TOKEN("answer"),    COLUMN_INT("rank"),
        COLUMN_NUMBER("logit", 2), COLUMN_NUMBER("p", 4),     COLUMN_INT("top"),
        COLUMN_TOKEN("token"),     COLUMN_NUMBER("logit", 2), COLUMN_NUMBER("p", 4)};
    struct table *out = table_new(columns, 9);
    for (int32_t i = 0; i < t->n && out; i++)
        for (int32_t k = 0; k < t->k; k++) {
            const struct expected *x = &t->each[i];
            table_int(out, x->row + 1);
            cli_table_token(c, out, x->id);
            table_int(out, x->cell.target_rank);
            table_number(out, x->cell.target_logit);
            table_number(out, expf(x->cell.target_logit - x->cell.lse));
            table_int(out, k);
            cli_table_token(c, out, x->top[k].id);
            table_number(out, x->top[k].logit);
            table_number(out, expf(x->top[k].logit - x->cell.lse));
        }
    return cli_table(c, out);
}

int cli_test_prompt(struct cli *c)
{
    struct trial t = {0};
    int rc = cli_open_text(c, CLI_PROMPT);
    if (!rc)
        rc = answers_read(c, &t);
    if (!rc)
        rc = trial_plan(c, &t);
    if (!rc)
        rc = trial_run(c, &t);
    if (!rc)
        rc = c->opt->json  ? trial_json(c, &t)
             : c->opt->tsv ? trial_table(c, &t)
                           : trial_text(c, &t);
    trial_free(&t);
    return rc;
}
