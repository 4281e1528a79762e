/* char_class.h - classes of characters as the reference library has them, by code point. */
#ifndef CHAR_CLASS_H
#define CHAR_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct char_range {
    int32_t first, last;
};

/* Bytes of the character that begins with `lead`, in valid UTF-8. */
size_t char_len(unsigned char lead);

/* Unicode White_Space. */
bool is_space(int32_t c);
/* The regular expressions' \w. */
bool is_word(int32_t c);
/* A number of any kind, superscripts and fractions too. */
bool is_numeric(int32_t c);
/* Unicode punctuation and all of ASCII's. */
bool is_punctuation(int32_t c);
/* What BERT's cleaning takes out: controls, formats, private use; not tab and line ends. */
bool is_control(int32_t c);
/* Any mark, and the nonspacing ones. */
bool is_mark(int32_t c);
bool is_nonspacing_mark(int32_t c);
/* The blocks that BERT sets apart as Chinese. */
bool is_chinese(int32_t c);
/* Not decomposed, though newer tables would do so. */
bool is_whole(int32_t c);

#endif
