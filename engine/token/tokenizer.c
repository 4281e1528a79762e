/* tokenizer.c - encoding and decoding (see tokenizer.h).
 *
 * Encoding: cut the text at bytes that are not UTF-8; in what is between, cut out added tokens,
 * normalize, cut out normalized added tokens, pre-tokenize, and run the model on every piece.  All
 * scratch is made per call. */
#include "token/tokenizer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/file_read.h"
#include "base/limit.h"
#include "token/tokenizer_parts.h"

/* ---- opening
 * ----------------------------------------------------------------------------------------- */

struct tokenizer *tokenizer_from(struct js_doc *doc, const struct tokenizer_stream *stream,
                                 struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        err_memory(e, "%s", js_name(doc));
    else if (tokenizer_build(t, js_root(doc), stream, e)) {
        tokenizer_close(t);
        t = NULL;
    } else
        t->kind = t->model->kind;
    js_close(doc);
    return t;
}

struct tokenizer *tokenizer_parse(const char *name, const char *bytes, size_t len, struct err *e)
{
    struct tokenizer_stream s;
    struct err why; /* what is wrong, the thorough way says below */
    struct tokenizer *t = NULL;
    struct js_doc *doc = tokenizer_stream_read(&s, bytes, len)
                             ? js_parse(name, s.rest, s.rest_len, &why)
                             : NULL;
    if (doc)
        t = tokenizer_from(doc, &s, &why);
    tokenizer_stream_free(&s);
    if (t)
        return t;
    doc = js_parse(name, bytes, len, e);
    return doc ? tokenizer_from(doc, NULL, e) : NULL;
}

struct tokenizer *tokenizer_open(const char *path, struct err *e)
{
    char *bytes;
    size_t len;
    if (file_read_all(path, LIMIT_JSON_BYTES, &bytes, &len, e))
        return NULL;
    struct tokenizer *t = tokenizer_parse(path, bytes, len, e);
    free(bytes);
    return t;
}

static struct tokenizer *plain(const char *kind, size_t count, struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (t) {
        t->kind = kind;
        t->token = calloc(count + 1, sizeof *t->token);
        t->count = count;
    }
    if (t && t->token)
        return t;
    tokenizer_close(t);
    err_memory(e, "%zu tokens", count);
    return NULL;
}

struct tokenizer *tokenizer_bytes(struct err *e)
{
    enum { SPELLING = 8 };
    struct tokenizer *t = plain("bytes", 256, e);
    if (!t)
        return NULL;
    t->spellings = malloc(256 * SPELLING);
    t->texts = malloc(256 * 2);
    if (!t->spellings || !t->texts) {
        tokenizer_close(t);
        err_memory(e, "256 tokens");
        return NULL;
    }
    for (int b = 0; b < 256; b++) {
        char *spelling = t->spellings + b * SPELLING, *text = t->texts + b * 2;
        snprintf(spelling, SPELLING, "<0x%02X>", (unsigned)b);
        text[0] = (char)(unsigned char)b;
        text[1] = '\0';
        t->token[b] = (struct token){
            .spelling = spelling, .spelling_len = 6, .text = text, .text_len = 1};
        t->byte_id[b] = b;
    }
    return t;
}

struct tokenizer *tokenizer_none(int n_vocab, struct err *e)
{
    assert(n_vocab >= 0 && n_vocab <= LIMIT_VOCAB);
    return plain("none", (size_t)n_vocab, e);
}

struct tokenizer *tokenizer_classes(const char *const *texts, int n, struct err *e)
{
    assert(n >= 0 && n <= LIMIT_VOCAB);
    struct tokenizer *t = plain("classes", (size_t)n, e);
    size_t bytes = 1, at = 0;
    for (int i = 0; i < n; i++)
        bytes += strlen(texts[i]) + 1;
    if (t && !(t->texts = malloc(bytes))) {
        tokenizer_close(t);
        t = NULL;
        err_set(e, ERR_SYSTEM, "out of memory for the names of %d classes", n);
    }
    for (int i = 0; t && i < n; i++) {
        uint32_t len = (uint32_t)strlen(texts[i]);
        char *text = memcpy(t->texts + at, texts[i], (size_t)len + 1);
        t->token[i] = (struct token){
            .spelling = text, .spelling_len = len, .text = text, .text_len = len};
        at += (size_t)len + 1;
    }
    return t;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_added; i++) {
        free(t->added[i].content);
        free(t->added[i].pattern);
    }
    free(t->added);
    trie_free(&t->raw.trie);
    trie_free(&t->normalized.trie);
    strmap_free(&t->by_spelling);
    trie_free(&t->trie);
    free(t->bpe.merge);
    free(t->bpe.prefix);
    free(t->bpe.suffix);
    free(t->unigram.score);
    steps_free(&t->normalizer);
    steps_free(&t->pre_tokenizer);
    decoder_free(&t->decoder);
    free(t->prefix);
    free(t->suffix);
    free(t->token);
    free(t->spellings);
    free(t->texts);
    free(t);
}

/* ---- encoding
 * ---------------------------------------------------------------------------------------- */

struct encoding {
    const struct tokenizer *t;
    const char *text;
    struct pretokenize_work work;
    struct mapped whole; /* the normalized text, while work.text holds one part of it */
    struct added_pieces raw, normalized;
    struct model_work model;
    struct token_list *out;
};

void token_list_free(struct token_list *l)
{
    free(l->id);
    free(l->begin);
    free(l->end);
    *l = (struct token_list){0};
}

static int push_token(struct token_list *l, int32_t id, uint32_t begin, uint32_t end)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity * 2 + 32;
        int32_t *ids = realloc(l->id, capacity * sizeof *ids);
        l->id = ids ? ids : l->id;
        uint32_t *begins = realloc(l->begin, capacity * sizeof *begins);
        l->begin = begins ? begins : l->begin;
        uint32_t *ends = realloc(l->end, capacity * sizeof *ends);
        l->end = ends ? ends : l->end;
        if (!ids || !begins || !ends)
            return -1;
        l->capacity = capacity;
    }
    l->id[l->count] = id;
    l->begin[l->count] = begin;
    l->end[l->count++] = end;
    return 0;
}

static int memory_out(struct err *e)
{
    return err_memory(e, "tokenizing");
}

int word_push(struct model_work *w, int32_t id, size_t begin, size_t end, struct err *e)
{
    if (w->count == w->capacity) {
        size_t capacity = w->capacity * 2 + 64;
        void *grown = realloc(w->token, capacity * sizeof *w->token);
        if (!grown)
            return memory_out(e);
        w->token = grown;
        w->capacity = capacity;
    }
    w->token[w->count++] = (struct word_token){id, (uint32_t)begin, (uint32_t)end};
    return 0;
}

int word_unknown(const char *bytes, size_t n, struct err *e)
{
    return err_set(
        e, ERR_BAD_INPUT,
        "text · no token stands for \"%.*s\", and the tokenizer has none for the unknown",
        n < 40 ? (int)n : 40, bytes);
}

/* The pieces of work.text through the model. */
static int encode_pieces(struct encoding *n, struct err *e)
{
    const struct mapped *m = &n->work.text;
    int rc = 0;
    for (size_t i = 0; i < n->work.pieces.count && !rc; i++) {
        struct piece p = n->work.pieces.at[i];
        n->model.count = 0;
        rc = n->t->model->encode(n->t, &n->model, m->byte + p.begin, p.end - p.begin, e);
        for (size_t k = 0; k < n->model.count && !rc; k++) {
            struct word_token w = n->model.token[k];
            if (push_token(n->out, w.id, m->begin[p.begin + w.begin], m->end[p.begin + w.end - 1]))
                rc = memory_out(e);
        }
    }
    return rc;
}

/* Text between added tokens, normalized: bytes [begin, end) of n->whole. */
static int encode_part(struct encoding *n, size_t begin, size_t end, struct err *e)
{
    struct pretokenize_work *w = &n->work;
    w->text.len = w->pieces.count = 0;
    mapped_copy(w, &w->text, &n->whole, begin, end);
    piece_push(w, &w->pieces, 0, w->text.len);
    int rc = steps_run(&n->t->pre_tokenizer, w, e);
    return rc ? rc : encode_pieces(n, e);
}

/* Text between the added tokens that are found before normalizing: bytes [begin, end) of the
 * original. */
static int encode_raw(struct encoding *n, size_t begin, size_t end, struct err *e)
{
    struct pretokenize_work *w = &n->work;
    w->text.len = w->pieces.count = 0;
    mapped_push_original(w, &w->text, n->text + begin, end - begin, (uint32_t)begin);
    piece_push(w, &w->pieces, 0, w->text.len);
    int rc = steps_run(&n->t->normalizer, w, e);
    if (rc)
        return rc;
    struct mapped swap = n->whole;
    n->whole = w->text;
    w->text = swap;
    n->normalized.count = 0;
    if (added_split(&n->t->normalized, n->whole.byte, 0, n->whole.len, &n->normalized))
        return memory_out(e);
    for (size_t i = 0; i < n->normalized.count && !rc; i++) {
        struct added_piece p = n->normalized.at[i];
        if (p.id < 0)
            rc = encode_part(n, p.begin, p.end, e);
        else if (push_token(n->out, p.id, n->whole.begin[p.begin], n->whole.end[p.end - 1]))
            rc = memory_out(e);
    }
    return rc;
}

/* A run of valid UTF-8. */
static int encode_run(struct encoding *n, size_t begin, size_t end, struct err *e)
{
    int rc = 0;
    n->raw.count = 0;
    if (added_split(&n->t->raw, n->text, begin, end, &n->raw))
        return memory_out(e);
    for (size_t i = 0; i < n->raw.count && !rc; i++) {
        struct added_piece p = n->raw.at[i];
        if (p.id < 0)
            rc = encode_raw(n, p.begin, p.end, e);
        else if (push_token(n->out, p.id, p.begin, p.end))
            rc = memory_out(e);
    }
    return rc;
}

/* The end of the valid UTF-8 that begins at `at`. */
static size_t valid_end(const char *text, size_t at, size_t len)
{
    utf8proc_int32_t c;
    while (at < len) {
        utf8proc_ssize_t n = (unsigned char)text[at] < 0x80
                                 ? 1
                                 : utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                    (utf8proc_ssize_t)(len - at), &c);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    return at;
}

static int encode_text(struct encoding *n, size_t len, struct err *e)
{
    int rc = 0;
    for (size_t at = 0; at < len && !rc;) {
        size_t end = n->t->model ? valid_end(n->text, at, len) : at;
        if (end > at) {
            rc = encode_run(n, at, end, e);
            at = end;
            continue;
        }
        unsigned char byte = (unsigned char)n->text[at];
        if (n->t->byte_id[byte] < 0)
            return err_set(e, ERR_BAD_INPUT,
                           "text · byte 0x%02X at %zu is not UTF-8, and no token stands for it",
                           byte, at);
        if (push_token(n->out, n->t->byte_id[byte], (uint32_t)at, (uint32_t)at + 1))
            rc = memory_out(e);
        at++;
    }
    return rc;
}

static int push_added(const int32_t *id, size_t n, uint32_t at, struct token_list *out,
                      struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (push_token(out, id[i], at, at))
            return memory_out(e);
    return 0;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
                     struct token_list *out, struct err *e)
{
    assert(len <= INT32_MAX);
    if (strcmp(t->kind, "none") == 0 && len)
        return err_set(e, ERR_BAD_INPUT,
                       "text · the model has no tokenizer.json · give token ids instead");
    if (strcmp(t->kind, "classes") == 0)
        return err_set(e, ERR_BAD_INPUT, "text · this model takes images · give --image FILE");
    struct encoding n = {.t = t, .text = text, .out = out};
    size_t count = out->count;
    n.work.len_max = len <= UINT32_MAX / 32 - (1 << 16) ? len * 32 + (1 << 16) : UINT32_MAX;
    int rc = flags & TOKENIZER_ADD_SPECIAL ? push_added(t->prefix, t->n_prefix, 0, out, e) : 0;
    if (!rc)
        rc = encode_text(&n, len, e);
    if (!rc && flags & TOKENIZER_ADD_SPECIAL)
        rc = push_added(t->suffix, t->n_suffix, (uint32_t)len, out, e);
    if (rc)
        out->count = count;
    work_free(&n.work);
    free(n.whole.byte);
    free(n.whole.begin);
    free(n.whole.end);
    free(n.raw.at);
    free(n.normalized.at);
    free(n.model.token);
    free(n.model.symbol);
    free(n.model.heap);
    free(n.model.node);
    return rc;
}

int tokenizer_encode_from(const struct tokenizer *t, int32_t bos, const char *text, size_t len,
                          struct token_list *out, struct err *e)
{
    size_t count = out->count;
    int rc = tokenizer_encode(t, text, len, 0, out, e);
    if (rc || bos < 0 || (out->count > count && out->id[count] == bos))
        return rc;
    out->count = count;
    if (tokenizer_bos(t) == bos)
        return tokenizer_encode(t, text, len, TOKENIZER_ADD_SPECIAL, out, e);
    rc = push_added(&bos, 1, 0, out, e);
    if (!rc && (rc = tokenizer_encode(t, text, len, 0, out, e)))
        out->count = count;
    return rc;
}

/* ---- decoding
 * ---------------------------------------------------------------------------------------- */

/* The ids' spellings as a list of tokens; without a model what they stand for. */
static int list_tokens(const struct tokenizer *t, const int32_t *id, size_t n, unsigned flags,
                       struct decode_list *out, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        if (id[i] < 0 || (size_t)id[i] >= t->count)
            return err_set(e, ERR_BAD_INPUT, "token %d · the vocabulary has ids 0..%zu", (int)id[i],
                           t->count - 1);
        const struct token *k = &t->token[id[i]];
        if (flags & TOKENIZER_SKIP_SPECIAL && k->special)
            continue;
        size_t len = k->spelling_len;
        const char *text = k->spelling && t->model ? k->spelling : tokenizer_text(t, id[i], &len);
        buffer_push(&out->text, text, len);
        decode_list_end(out);
    }
    return 0;
}

char *tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n, unsigned flags,
                       size_t *len, struct err *e)
{
    struct decode_work w = {0};
    char *text = NULL;
    if (!list_tokens(t, id, n, flags, &w.have, e)) {
        decoder_text(&t->decoder, &w);
        struct byte_buffer *out = &w.have.text;
        *len = out->len;
        out->len_max = 0;
        buffer_push(out, "", 1);
        if (out->out_of_memory || out->too_long) {
            err_set(e, ERR_SYSTEM,
                    out->too_long ? "the tokenizer's decoder makes this text too long"
                                  : "out of memory for a text");
        } else {
            text = out->at;
            out->at = NULL;
        }
    }
    decode_work_free(&w);
    return text;
}

/* ---- looking at the vocabulary
 * ----------------------------------------------------------------------- */

int tokenizer_count(const struct tokenizer *t)
{
    return (int)t->count;
}

const char *tokenizer_text(const struct tokenizer *t, int32_t id, size_t *len)
{
    static _Thread_local char bare[16];
    if (id >= 0 && (size_t)id < t->count && t->token[id].spelling) {
        *len = t->token[id].text_len;
        return t->token[id].text;
    }
    *len = (size_t)snprintf(bare, sizeof bare, "<%d>", (int)id);
    return bare;
}

const char *tokenizer_spelling(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->count ? t->token[id].spelling : NULL;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t len)
{
    int32_t spelled = -1;
    for (size_t i = 0; i < t->count; i++) {
        const struct token *k = &t->token[i];
        if (!k->spelling)
            continue;
        if (k->text_len == len && memcmp(k->text, text, len) == 0)
            return (int32_t)i;
        if (spelled < 0 && k->spelling_len == len && memcmp(k->spelling, text, len) == 0)
            spelled = (int32_t)i;
    }
    return spelled;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->n_prefix ? t->prefix[0] : -1;
}

const char *tokenizer_kind(const struct tokenizer *t)
{
    return t->kind;
}
