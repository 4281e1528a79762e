/* number.h - numbers in columns of fixed width.
 * Pure.  Tested in tests/render/test_number.c. */
#ifndef NUMBER_H
#define NUMBER_H

enum { NUMBER_BYTES = 48 };
enum {
    NUMBER_SIGN = 1,  /* "+" in front of positive numbers */
    NUMBER_ASCII = 2, /* "-" instead of U+2212 */
    NUMBER_LEFT = 4   /* not padded to the width */
};
/* A number in at most `width` (4..24) columns, right-aligned: `decimals` (0..9) of them, fewer where they do not
 * fit, then an exponent ("4e9"), then "#".  "NaN", "inf", "+inf", "-inf".  Exactly zero carries no sign; a
 * value that only rounds to zero keeps its own.  Returns out. */
const char *number_fit(char out[NUMBER_BYTES], double v, int width, int decimals, unsigned flags);

#endif
