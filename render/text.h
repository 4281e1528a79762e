/* text.h - the sanitizer: every string not typed in our own source passes here before it is shown.
 *
 * Input is arbitrary bytes.  Output is a sequence of items, one per screen cell: a grapheme (a base
 * and at most two marks), or one character of an escape.  No item ever holds a C0, C1 or DEL
 * character, invalid UTF-8, a format character (bidi, zero width, …), a noncharacter, an unassigned
 * or private code point.  What may not be shown is marked `escaped` (draw it in reverse video):
 * - C0 and DEL as control pictures, ESC U+241B, DEL U+2421; newline U+21B5, tab U+21E5
 * - invalid or partial UTF-8, surrogates, overlong forms as bytes, up to four in one: <E4 B8>
 * - refused code points as <U+202E>, and so marks without a base or beyond the second, blanks other
 *   than U+0020, variation selectors that are alone or could change the width of their base
 * Cleaning clean text changes nothing but that mark.
 *
 * Widths are those of wcwidth() in a UTF-8 locale, which is what terminals draw by, also when the
 * program runs under LC_ALL=C (an own "C.UTF-8" locale object is used for the calling thread during
 * the look-up).  Where no UTF-8 locale exists at all, utf8proc_charwidth() stands in.  A code point
 * without a width is refused.
 *
 * Pure and thread-safe; never fails; no allocation except in the bytes functions.
 * Tested in tests/render/test_text.c over all bytes and code points, tests/fuzz/fuzz_text.c. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

enum {
    TEXT_PLAIN = 0,
    /* Every space shown as U+00B7. */
    TEXT_SPACES = 1,
    /* One token in a column: spaces stay as they are (" Mary"), except trailing ones and those of a
     * token that is nothing but white space, which are shown as U+00B7. */
    TEXT_TOKEN = 2,
    /* Only bytes 20..7E come out: ESC is ^[, newline ^J, a visible space <20>, U+00E9 <U+00E9>. */
    TEXT_ASCII = 4,
    /* With TEXT_ASCII, for strings of our own source: the box, block, arrow and sign characters
     * that the interface uses become a look-alike of the same width instead of an escape. */
    TEXT_OWN = 8,
    /* Widths by utf8proc whatever the locale; as happens by itself without a UTF-8 locale. */
    TEXT_UTF8PROC = 16
};

enum { TEXT_ITEM_BYTES = 21 }; /* NUL included */

struct text_item {
    char utf8[TEXT_ITEM_BYTES]; /* NUL-terminated, never empty */
    uint8_t len;                /* bytes */
    uint8_t width;              /* columns: 1 or 2 */
    bool escaped;
    const char
        *source; /* the input bytes it stands for; the first character of an escape has them */
    size_t source_len; /* all, the following ones none (0) */
};

struct text_reader {
    const char *at, *end;
    const char *visible; /* spaces from here on are shown as U+00B7 */
    unsigned flags;
    char pending[TEXT_ITEM_BYTES]; /* rest of an escape */
    const char *pending_at;
};
void text_open(struct text_reader *r, const char *s, size_t n, unsigned flags);
bool text_next(struct text_reader *r, struct text_item *item); /* false at the end */

/* Columns of the whole text (at most INT_MAX). */
int text_width(const char *s, size_t n, unsigned flags);
/* Append the cleaned text. */
void text_add(struct bytes *out, const char *s, size_t n, unsigned flags);
/* The same into dst[size] with a NUL, size > 0, cut between items where it does not fit; returns
 * dst. */
char *text_copy(char *dst, size_t size, const char *s, size_t n, unsigned flags);

/* Append at most `width` columns: the text, or as much of it as leaves room for the ellipsis U+2026
 * ("~" with TEXT_ASCII). */
void text_fit(struct bytes *out, const char *s, size_t n, unsigned flags, int width);

/* One code point of strict UTF-8 (n > 0): returns the bytes used, 1..4.  *cp = -1 for an ill-formed
 * sequence, whose length is that of the Unicode standard's "maximal subpart": the unit that becomes
 * one U+FFFD. */
size_t text_decode(const char *s, size_t n, int32_t *cp);
/* Bytes written to out[4], for a valid code point. */
size_t text_encode(int32_t cp, char out[4]);

enum text_class {
    TEXT_CLASS_BASE,     /* may stand alone */
    TEXT_CLASS_MARK,     /* may follow a base, adds no width */
    TEXT_CLASS_SELECTOR, /* U+FE00..FE0F */
    TEXT_CLASS_CONTROL,  /* C0, DEL */
    TEXT_CLASS_REFUSED /* C1, blanks other than U+0020, invisible, bidi, unassigned, private, ... */
};
enum text_class text_classify(int32_t cp, unsigned flags);

#endif
