/* tokenizer_parts.h - the inside of a tokenizer, shared by tokenizer*.c only. */
#ifndef TOKENIZER_PARTS_H
#define TOKENIZER_PARTS_H

#include "token/pretokenize.h"
#include "base/strmap.h"
#include "token/tokenizer.h"

/* ---- the vocabulary and its merges (tokenizer_bpe.c) ---- */

enum { BPE_CHARS = 0x800 }; /* code points of up to two bytes: the byte-level alphabet and more */

struct merge {
    uint64_t pair; /* left id << 32 | right id; all ones: free */
    uint32_t rank;
    int32_t id; /* what the pair becomes */
};

struct bpe {
    struct strmap by_spelling; /* the model's own vocabulary, without added tokens */
    struct merge *merge;       /* open addressing */
    size_t merge_mask;
    int32_t of_char[BPE_CHARS]; /* id of a one-character token, -1 */
    int32_t of_byte[256];       /* id of "<0x00>" … "<0xFF>", -1 */
    int32_t unk;                /* -1: unknown characters vanish, as in the reference */
    bool fuse_unk, byte_fallback, ignore_merges;
};

struct bpe_symbol {
    int32_t id; /* -1: swallowed by its left neighbour */
    uint32_t begin, end;
    uint32_t prev, next; /* UINT32_MAX: none */
};

struct bpe_candidate {
    uint32_t rank, at;
    int32_t id;
};

struct bpe_work {
    struct bpe_symbol *symbol;
    size_t symbols, symbols_max;
    struct bpe_candidate *heap;
    size_t heap_len;
};

/* Read options and merges of the "model" object; its vocabulary is already in b->by_spelling. */
int bpe_parse_model(struct js_node model, struct bpe *b, struct err *e);
void bpe_free(struct bpe *b);
/* The tokens of one word into w->symbol[…], followed from index 0 through `next`; 0 symbols:
 * nothing. -1: out of memory. */
int bpe_word(const struct bpe *b, struct bpe_work *w, const char *word, size_t len);
void bpe_work_free(struct bpe_work *w);

/* ---- added tokens (tokenizer_added.c) ---- */

struct added_token {
    char *content,
        *pattern; /* pattern: what is looked for in the text (content, perhaps normalized) */
    size_t content_len, pattern_len;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

/* Some of the added tokens, sorted by pattern. */
struct added_set {
    const struct added_token **sorted;
    uint32_t first[257]; /* patterns beginning with byte b: sorted[first[b] .. first[b + 1]) */
    size_t count;
};

struct added_piece {
    uint32_t begin, end;
    int32_t id; /* -1: ordinary text */
};

struct added_pieces {
    struct added_piece *at;
    size_t count, capacity;
};

/* Those of t[0 .. n) with that `normalized`, by their pattern.  0 or -1 (memory). */
int added_set_make(struct added_set *s, const struct added_token *t, size_t n, bool normalized);
void added_set_free(struct added_set *s);
/* Cut text into added tokens and what lies between, leftmost longest first.  Appends; -1: out of
 * memory. */
int added_split(const struct added_set *s, const char *text, size_t begin, size_t end,
                struct added_pieces *out);

/* ---- the decoder (tokenizer_decode.c) ---- */

struct byte_buffer {
    char *at;
    size_t len, capacity;
    size_t len_max;               /* 0: none */
    bool out_of_memory, too_long; /* sticky */
};

struct decode_step;

struct decoder {
    struct decode_step *step;
    size_t count;
    size_t whole; /* steps from here on see the joined text, not one token */
    bool spaces;  /* no decoder at all: tokens are joined by spaces */
};

int decoder_parse(struct js_node node, struct decoder *d, struct err *e);
void decoder_free(struct decoder *d);
/* The bytes of one token, appended to *out.  `first`: it begins the text. */
void decoder_token(const struct decoder *d, const char *spelling, size_t len, bool first,
                   struct byte_buffer *out);
/* What the joined text becomes, in place. */
void decoder_whole(const struct decoder *d, struct byte_buffer *text);
void buffer_push(struct byte_buffer *b, const char *s, size_t n);

/* ---- the whole ---- */

struct token {
    const char *spelling; /* NULL: a hole in the ids */
    const char *text;
    uint32_t spelling_len, text_len;
    bool special;
};

struct tokenizer {
    const char *kind;
    struct token *token;
    size_t count;
    char *spellings, *texts; /* one block each */
    struct bpe bpe;
    struct added_token *added;
    size_t n_added;
    struct added_set raw, normalized; /* looked for before and after the normalizer */
    struct pretokenize_steps normalizer, pre_tokenizer;
    struct decoder decoder;
    int32_t *prefix, *suffix; /* of the post-processor */
    size_t n_prefix, n_suffix;
    int32_t byte_id[256]; /* the token that stands for this byte alone, -1 */
};

/* Fill a zeroed tokenizer from a parsed file (tokenizer_parse.c).  The caller frees it on failure.
 */
int tokenizer_build(struct tokenizer *t, struct js_node root, struct err *e);

#endif
