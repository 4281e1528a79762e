/* pretokenize.h - what happens to text before the vocabulary sees it: normalizers and
 * pre-tokenizers.
 *
 * Both are lists of steps over one text cut into pieces.  A step either rewrites the bytes of every
 * piece or cuts pieces into smaller ones (and drops some).  Every byte knows the range of the
 * original it stands for. The same machine serves both lists: a normalizer sees one piece.
 *
 * Text here is valid UTF-8.  Steps are read-only after parsing; a work area belongs to one thread.
 * Tested through tests/engine/test_tokenizer.c. */
#ifndef PRETOKENIZE_H
#define PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct charsmap;
struct regex;
struct regex_match;

/* A text with the origin of each of its bytes: original[begin[i] .. end[i]). */
struct mapped {
    char *byte;
    uint32_t *begin, *end;
    size_t len, capacity;
};

struct piece {
    uint32_t begin, end; /* bytes of the mapped text */
};

struct pieces {
    struct piece *at;
    size_t count, capacity;
};

struct pretokenize_work {
    struct mapped text, text_next;
    struct pieces pieces, pieces_next;
    struct regex_match *match;    /* PCRE2's scratch, made on first use */
    size_t len_max;               /* steps may not make the text longer than this */
    bool out_of_memory, too_long; /* sticky; checked once per list of steps */
};

enum split_behavior {
    SPLIT_ISOLATED,
    SPLIT_REMOVED,
    SPLIT_MERGED_PREVIOUS,
    SPLIT_MERGED_NEXT,
    SPLIT_CONTIGUOUS
};
enum prefix_when { PREFIX_ALWAYS, PREFIX_FIRST };

struct pretokenize_step {
    int (*run)(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
    struct regex *regex;          /* split, replace */
    enum split_behavior behavior; /* split */
    bool invert;                  /* split: what does not match is the delimiter */
    char *text;                   /* replace: by this; prefix: with this */
    size_t len;
    enum prefix_when when; /* prefix: every piece or only the one that begins the original text */
    bool unless_there;     /* prefix: not if the piece begins so already */
    bool left, right;      /* strip */
    int form;              /* unicode: utf8proc options */
    int64_t chars;         /* chunks: of so many characters */
    bool (*is_delimiter)(int32_t c); /* split_chars */
    void (*rewrite_char)(struct pretokenize_work *w, size_t at, size_t n, int32_t c); /* chars */
    struct charsmap *charsmap; /* precompiled */
};

struct pretokenize_steps {
    struct pretokenize_step *at;
    size_t count;
};

/* Parse the "normalizer" / "pre_tokenizer" member of a tokenizer.json (null or absent: no steps).
 * On failure *out holds what was made so far; free it in any case. */
int normalizer_parse(struct js_node node, struct pretokenize_steps *out, struct err *e);
int pretokenizer_parse(struct js_node node, struct pretokenize_steps *out, struct err *e);
void steps_free(struct pretokenize_steps *s);

/* Run the steps over w->text and w->pieces in place. */
int steps_run(const struct pretokenize_steps *s, struct pretokenize_work *w, struct err *e);

/* ---- building blocks for the steps and the tokenizer ---- */
void work_free(struct pretokenize_work *w);
/* Append bytes [begin, end) of `from` with their origins. */
void mapped_copy(struct pretokenize_work *w, struct mapped *m, const struct mapped *from,
                 size_t begin, size_t end);
/* Append n bytes of the original text, which begin there at `begin`: each stands for itself. */
void mapped_push_original(struct pretokenize_work *w, struct mapped *m, const char *byte, size_t n,
                          uint32_t begin);
void piece_push(struct pretokenize_work *w, struct pieces *p, size_t begin, size_t end);

/* The byte whose character in the byte-level alphabet this is; -1: of none. */
int byte_level_byte(int32_t code_point);

#endif
