/* tokenizer.h - text to token ids and back, as tokenizer.json says.
 *
 * BPE: byte-level (GPT-2, NeoX, Llama-3, Qwen) and SentencePiece-style (Llama-2, Gemma); Unigram
 * (T5); WordPiece (BERT); WordLevel. Ids are exactly those of the Hugging Face `tokenizers`
 * library.  A component that is not known is refused by name when the file is opened; nothing is
 * ignored silently except "truncation" and "padding".  Classes of characters are the
 * library's of version 0.23 (char_class.h), those of regular expressions PCRE2's: a text with
 * letters that Unicode has had since its version 14 may be cut otherwise.
 *
 * Text is bytes.  Bytes that are not UTF-8 (a piece of a character) become their byte tokens where
 * the vocabulary has them, else encoding fails.  Decoding never invents replacement characters: a
 * token that holds part of a character gives exactly those bytes.
 *
 * Threads: read-only after opening; any number of threads may encode and decode at once.
 * Tests: tests/engine/test_tokenizer.c, tests/fuzz/fuzz_tokenizer*.c. */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct js_doc;
struct tokenizer;
struct tokenizer_stream;

/* tokenizer.json from a file or from memory; NULL and *e on failure. */
struct tokenizer *tokenizer_open(const char *path, struct err *e);
struct tokenizer *tokenizer_parse(const char *name, const char *bytes, size_t len, struct err *e);
/* The same from a document, which is closed; its vocabulary and merges may stand in *stream instead
 * (tokenizer_stream.h), else that is NULL. */
struct tokenizer *tokenizer_from(struct js_doc *doc, const struct tokenizer_stream *stream,
                                 struct err *e);
/* No tokenizer.json, 256 tokens: id = byte. */
struct tokenizer *tokenizer_bytes(struct err *e);
/* No tokenizer at all: texts are "<123>", encoding any text is an error that says so. */
struct tokenizer *tokenizer_none(int n_vocab, struct err *e);
/* What a classifier's outputs are called: texts[n], copied; encoding is an error. */
struct tokenizer *tokenizer_classes(const char *const *texts, int n, struct err *e);
void tokenizer_close(struct tokenizer *t);

enum {
    TOKENIZER_ADD_SPECIAL = 1, /* encode: what the post-processor adds (BOS, EOS) */
    TOKENIZER_SKIP_SPECIAL = 2 /* decode: leave special tokens out */
};

/* Ids with the bytes of the text they stand for: token i covers text[begin[i] .. end[i]) (empty for
 * added ones).  Grown by encode, freed by token_list_free; zero-initialise before first use. */
struct token_list {
    int32_t *id;
    uint32_t *begin, *end;
    size_t count, capacity;
};
void token_list_free(struct token_list *l);

/* Append the ids of `text` to *out.  len < 2^31.  On failure *out is as before. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
                     struct token_list *out, struct err *e);
/* The same for a text that begins with the token `bos` (-1: with nothing), which is not put in
 * front of a text that begins so by itself.  Where it is the post-processor's own, all that this
 * one adds comes with it: [CLS] brings [SEP]. */
int tokenizer_encode_from(const struct tokenizer *t, int32_t bos, const char *text, size_t len,
                          struct token_list *out, struct err *e);
/* malloc'ed bytes of the text, NUL-terminated besides *len; NULL and *e if an id is outside the
 * vocabulary (or memory is out). */
char *tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n, unsigned flags,
                       size_t *len, struct err *e);

/* Ids are 0 .. count-1; the model's embedding may have more rows than this. */
int tokenizer_count(const struct tokenizer *t);
/* The bytes that the token contributes in the middle of a text, e.g. " Mary", "\xe4\xb8"; an id
 * outside the vocabulary gives "<123>" (in a buffer of the calling thread, good until its next
 * call). */
const char *tokenizer_text(const struct tokenizer *t, int32_t id, size_t *len);
/* The vocabulary's own spelling, e.g. "ĠMary", "<0xE4>"; NULL if there is no such id. */
const char *tokenizer_spelling(const struct tokenizer *t, int32_t id);
/* The token whose tokenizer_text is exactly `text`, else whose spelling is; -1 if there is none. */
int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t len);
/* What the post-processor puts in front of a text; -1 if nothing.  (A model's own bos_token_id
 * stands in config.json: GPT-2 has one, its post-processor adds none.) */
int32_t tokenizer_bos(const struct tokenizer *t);
/* tokenizer_bytes, tokenizer_none and tokenizer_classes are not real tokenizers: "bytes", "none",
 * "classes"; else "bpe",
 * "unigram", "wordpiece" or "wordlevel". */
const char *tokenizer_kind(const struct tokenizer *t);

#endif
