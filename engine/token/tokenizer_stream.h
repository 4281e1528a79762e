/* tokenizer_stream.h - the two long members of a tokenizer.json without a tree of values.
 *
 * A vocabulary of 50,000 tokens and as many merges are nearly all of a file.  They are read here in
 * one pass over the bytes; a tree is made of the rest alone.  Only what the thorough reader
 * (base/json.h) would take with the same result is taken: at anything else, be it wrong or merely
 * unusual, this one gives up, and the thorough one reads the file and says what is wrong.  So
 * errors and results are the same either way, which tests/fuzz/fuzz_tokenizer_open.c holds it to.
 * Files of other formats fill one themselves (tokenizer_from). */
#ifndef TOKENIZER_STREAM_H
#define TOKENIZER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream_token {
    const char *text;
    uint32_t len;
    int32_t id;
};

struct stream_merge {
    const char *side[2];
    uint32_t len[2];
    bool known;
    int32_t id[3]; /* where known: of both sides and of what they join to */
};

struct tokenizer_stream {
    struct stream_token *token; /* "model.vocab" in the file's order */
    size_t n_tokens;
    bool dense; /* no id is larger than their number allows: none is left out, if none is twice */
    struct stream_merge *merge; /* "model.merges" */
    size_t n_merges;
    char *text; /* strings with escapes; the others lie in the file's bytes */
    char *rest; /* the file with an empty object and an empty list in their places */
    size_t rest_len;
};

/* Read bytes[len], which must stay as they are; *s is freed with tokenizer_stream_free also when
 * this says false: gave up. */
bool tokenizer_stream_read(struct tokenizer_stream *s, const char *bytes, size_t len);
void tokenizer_stream_free(struct tokenizer_stream *s);

#endif
