/* generate.c - `borescope generate`: text as it comes.
 *
 * What is printed is always the decoding of all ids so far, less what was printed before: joined
 * pieces of a character, leading spaces and byte tokens come out exactly as in the text decoded at
 * once.  The end of a character whose bytes are not all there waits for its rest. */
#include "measure/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "text.h"

struct stream {
    struct cli *c;
    int32_t *ids; /* the prompt and what followed */
    int32_t n;
    size_t shown; /* bytes of the decoded text that are printed */
    int rc;
};

/* Bytes at the end of a text that begin a character and lack its rest. */
static size_t partial_tail(const char *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char b = (unsigned char)s[n - back];
        if (b >= 0xC0)
            return b >= 0xF0   ? (back < 4 ? back : 0)
                   : b >= 0xE0 ? (back < 3 ? back : 0)
                   : back < 2  ? back
                               : 0;
        if (b < 0x80)
            return 0;
    }
    return 0;
}

/* Decode everything and print what is new; at the end also an unfinished character. */
static int show(struct stream *s, bool last)
{
    struct bytes out = {0};
    size_t len;
    char *text = tokenizer_decode(s->c->m->tok, s->ids, (size_t)s->n, TOKENIZER_SKIP_SPECIAL, &len,
                                  &s->c->err);
    if (!text)
        return s->c->err.code;
    size_t end = last ? len : len - partial_tail(text, len);
    if (end > s->shown) {
        cli_plain_text(&out, text + s->shown, end - s->shown);
        s->shown = end;
    }
    free(text);
    if (out.len)
        fwrite(out.data, 1, out.len, stdout);
    int rc = out.failed ? cli_memory(s->c) : 0;
    bytes_free(&out);
    if (!rc && (fflush(stdout) || ferror(stdout)))
        rc = err_set(&s->c->err, ERR_SYSTEM, "standard output · it cannot be written to");
    return rc;
}

static bool emit(void *user, int32_t row, int32_t id, const float *logits)
{
    (void)row, (void)logits;
    struct stream *s = user;
    s->ids[s->n++] = id;
    s->rc = s->c->opt->json ? 0 : show(s, false);
    return !s->rc;
}

static int print_json(struct cli *c, const struct stream *s, const char *text, size_t len)
{
    struct json_out j;
    cli_json_begin(c, &j);
    json_out_int(json_out_key(&j, "seed"), c->opt->seed);
    cli_json_tokens(c, &j);
    json_out_array(json_out_key(&j, "generated"));
    for (int32_t i = c->n; i < s->n; i++) {
        cli_json_token(c, &j, s->ids[i]);
        json_out_close(&j);
    }
    json_out_close(&j);
    json_out_text(json_out_key(&j, "text"), text, len);
    return cli_json_end(c, &j);
}

static int run(struct cli *c, struct stream *s, const struct pair_target *t)
{
    const struct options *o = c->opt;
    struct generate_options g = {.temperature = o->temperature,
                                 .top_k = o->top_k,
                                 .top_p = o->top_p,
                                 .seed = (uint64_t)o->seed,
                                 .repetition_penalty = o->repetition_penalty,
                                 .freq_penalty = o->freq_penalty};
    memcpy(s->ids, c->tokens, (size_t)c->n * sizeof *s->ids);
    s->n = c->n;
    int rc = generate(c->m, t, 1, o->count, &g, c->m->cfg.eos_id, cli_cache_bytes(c), emit, s,
                      &c->err);
    if (s->rc)
        return s->rc;
    if (o->json && !rc) {
        size_t len;
        char *text = tokenizer_decode(c->m->tok, s->ids, (size_t)s->n, TOKENIZER_SKIP_SPECIAL, &len,
                                      &c->err);
        if (!text)
            return c->err.code;
        rc = print_json(c, s, text, len);
        free(text);
    } else if (!o->json && s->n > c->n) {
        int shown = show(s, true);
        if (isatty(STDOUT_FILENO))
            putchar('\n');
        return rc ? rc : shown;
    }
    return rc;
}

int cli_generate(struct cli *c)
{
    struct pair_target t;
    struct stream s = {.c = c};
    int rc = cli_open_text(c, CLI_PROMPT);
    if (!rc)
        rc = cli_target(c, &t);
    if (!rc) {
        s.ids = malloc(((size_t)c->n + (size_t)c->opt->count) * sizeof *s.ids);
        rc = s.ids ? run(c, &s, &t) : cli_memory(c);
    }
    free(s.ids);
    return rc;
}
