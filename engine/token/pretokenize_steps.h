/* pretokenize_steps.h - the step functions, for pretokenize*.c only (which fields of struct
 * pretokenize_step each reads stands there). */
#ifndef PRETOKENIZE_STEPS_H
#define PRETOKENIZE_STEPS_H

#include "token/pretokenize.h"

/* Each applies one step to the pieces of w. */
int step_split(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_prefix(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_replace(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_bytes(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_unicode(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_strip(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_split_chars(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_chunks(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_chars(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);
int step_charsmap(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e);

/* For step_chars: append what becomes of character c, n bytes of w->text at `at`, to w->text_next.
 */
void char_lower(struct pretokenize_work *w, size_t at, size_t n, int32_t c);
void char_strip_mark(struct pretokenize_work *w, size_t at, size_t n, int32_t c);
void char_strip_nonspacing(struct pretokenize_work *w, size_t at, size_t n, int32_t c);
void char_bert_clean(struct pretokenize_work *w, size_t at, size_t n, int32_t c);
void char_bert_chinese(struct pretokenize_work *w, size_t at, size_t n, int32_t c);
void char_nmt(struct pretokenize_work *w, size_t at, size_t n, int32_t c);

/* SentencePiece's map of strings, from the base64 of its models; NULL and *e on failure. */
struct charsmap *charsmap_parse(struct js_node node, struct err *e);
void charsmap_free(struct charsmap *m);

/* Rewrite piece by piece: `rewrite` appends what becomes of one to w->text_next. */
int each_piece(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e,
               int (*rewrite)(const struct pretokenize_step *, struct pretokenize_work *,
                              struct piece, struct err *));
/* Append n bytes that all stand for original[begin .. end). */
void mapped_push(struct pretokenize_work *w, struct mapped *m, const char *byte, size_t n,
                 uint32_t begin, uint32_t end);
/* The end of the grapheme cluster that begins at `at`. */
size_t cluster_end(const struct mapped *m, size_t at, size_t end);

#endif
