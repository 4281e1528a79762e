/* tokenizer_parts.h - the inside of a tokenizer, shared by tokenizer*.c only. */
#ifndef TOKENIZER_PARTS_H
#define TOKENIZER_PARTS_H

#include "token/pretokenize.h"
#include "base/strmap.h"
#include "token/tokenizer.h"
#include "token/tokenizer_stream.h"
#include "token/trie.h"

/* ---- models: how a word becomes tokens (tokenizer_bpe.c, _unigram.c, _wordpiece.c) ---- */

struct model_work;

/* One row per "model.type"; the table is in tokenizer_parse.c. */
struct token_model {
    const char *type, *kind; /* as tokenizer.json and as tokenizer_kind say it */
    const char *mark;        /* old files without "type" are told by this key */
    bool list;               /* the vocabulary is a list of [token, score], else an object of ids */
    bool beginnings;         /* it is wanted as a trie */
    /* Read the "model" object; the vocabulary is already in place. */
    int (*parse)(struct tokenizer *t, struct js_node model, struct err *e);
    /* Append the tokens of one word, which is not empty, to w->token. */
    int (*encode)(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
                  struct err *e);
};

/* Their functions. */
int bpe_parse(struct tokenizer *t, struct js_node model, struct err *e);
int bpe_encode(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
               struct err *e);
int unigram_parse(struct tokenizer *t, struct js_node model, struct err *e);
int unigram_encode(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
                   struct err *e);
int wordpiece_parse(struct tokenizer *t, struct js_node model, struct err *e);
int wordpiece_encode(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
                     struct err *e);
int wordlevel_parse(struct tokenizer *t, struct js_node model, struct err *e);
int wordlevel_encode(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
                     struct err *e);

/* A token of a word: bytes [begin, end) of it. */
struct word_token {
    int32_t id;
    uint32_t begin, end;
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

/* The best way to cut the word up to a place. */
struct unigram_node {
    double score;
    uint32_t begin; /* of the last token; UINT32_MAX: no way leads here */
    int32_t id;     /* of it */
};

/* Scratch of one encoding; each model uses its part. */
struct model_work {
    struct word_token *token;
    size_t count, capacity;
    struct bpe_symbol *symbol;
    size_t symbols, symbols_max;
    struct bpe_candidate *heap;
    size_t heap_len;
    struct unigram_node *node;
    size_t nodes_max;
};

/* Append a token to w->token. */
int word_push(struct model_work *w, int32_t id, size_t begin, size_t end, struct err *e);
/* The error of bytes that no token stands for, where the vocabulary has no unknown token either. */
int word_unknown(const char *bytes, size_t n, struct err *e);

enum { BPE_CHARS = 0x800 }; /* code points of up to two bytes: the byte-level alphabet and more */

struct merge {
    uint64_t pair; /* left id << 32 | right id; all ones: free */
    uint32_t rank;
    int32_t id; /* what the pair becomes */
};

struct bpe {
    struct merge *merge; /* open addressing */
    size_t merge_mask;
    int32_t of_char[BPE_CHARS]; /* id of a one-character token, -1 */
    bool unk_vanishes;          /* no unk_token: unknown characters leave nothing behind */
    /* What the spelling of a character has in front inside a word, behind at its end; NULL:
     * nothing. */
    char *prefix, *suffix;
    size_t prefix_len, suffix_len;
    bool fuse_unk, ignore_merges;
};

struct unigram {
    double *score; /* by id */
    double unk_score;
};

struct wordpiece {
    uint32_t continuing; /* node of the trie below which the tokens inside a word are */
    int64_t chars_max;   /* a longer word is unknown */
};

/* ---- added tokens (tokenizer_added.c) ---- */

struct added_token {
    char *content,
        *pattern; /* pattern: what is looked for in the text (content, perhaps normalized) */
    size_t content_len, pattern_len;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

/* Some of the added tokens, by pattern. */
struct added_set {
    const struct added_token *token;
    struct trie trie; /* of indices into token; without nodes if there are none */
};

struct added_piece {
    uint32_t begin, end;
    int32_t id; /* -1: ordinary text */
};

struct added_pieces {
    struct added_piece *at;
    size_t count, capacity;
};

/* Those of t[0 .. n) with that `normalized`, by their pattern; t must outlive the set. */
int added_set_make(struct added_set *s, const struct added_token *t, size_t n, bool normalized,
                   struct err *e);
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

/* Tokens end to end: token i is text[end[i - 1] .. end[i]). */
struct decode_list {
    struct byte_buffer text;
    size_t *end;
    size_t count, capacity;
};

struct decode_work {
    struct decode_list have, next;
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
/* What the one token of w->have contributes in the middle of a text, in w->have.text. */
void decoder_token(const struct decoder *d, struct decode_work *w);
/* The text of all tokens of w->have, in w->have.text. */
void decoder_text(const struct decoder *d, struct decode_work *w);
/* What was pushed to l->text since the last token is one. */
void decode_list_end(struct decode_list *l);
void decode_work_clear(struct decode_work *w);
void decode_work_free(struct decode_work *w);
void buffer_push(struct byte_buffer *b, const char *s, size_t n);

/* ---- the whole ---- */

struct token {
    const char *spelling; /* NULL: a hole in the ids */
    const char *text;
    uint32_t spelling_len, text_len;
    bool special;
};

struct tokenizer {
    const struct tokenizer_stream *stream; /* while it is built: or NULL */
    const char *kind;
    const struct token_model *model; /* NULL: bytes, none */
    struct strmap by_spelling;       /* the model's own vocabulary, without added tokens */
    struct trie trie;                /* the same, where the model looks for beginnings */
    int32_t unk;                     /* -1: there is no unknown token */
    int32_t of_byte[256];            /* id of "<0x00>" … with byte fallback, else -1 */
    struct token *token;
    size_t count;
    char *spellings, *texts; /* one block each */
    struct bpe bpe;
    struct unigram unigram;
    struct wordpiece wordpiece;
    struct added_token *added;
    size_t n_added;
    struct added_set raw, normalized; /* looked for before and after the normalizer */
    struct pretokenize_steps normalizer, pre_tokenizer;
    struct decoder decoder;
    int32_t *prefix, *suffix; /* of the post-processor */
    size_t n_prefix, n_suffix;
    int32_t byte_id[256]; /* the token that stands for this byte alone, -1 */
};

/* Fill a zeroed tokenizer from a parsed file, whose vocabulary and merges are in `stream` or, if
 * that is NULL, in itself (tokenizer_parse.c).  The caller frees it on failure. */
int tokenizer_build(struct tokenizer *t, struct js_node root, const struct tokenizer_stream *stream,
                    struct err *e);

#endif
