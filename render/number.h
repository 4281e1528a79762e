/* number.h - numbers as text: in columns of fixed width, short, or exact.
 * Pure.  Tested in tests/render/test_number.c. */
#ifndef NUMBER_H
#define NUMBER_H

enum { NUMBER_BYTES = 48 };
enum {
    NUMBER_SIGN = 1,  /* "+" in front of positive numbers */
    NUMBER_ASCII = 2, /* "-" instead of U+2212 */
    NUMBER_LEFT = 4,  /* not padded to the width */
    NUMBER_SMALL = 8  /* "4e-5" for what would round to 0: probabilities */
};
/* A number in at most `width` (4..24) columns, right-aligned: `decimals` (0..9) of them, fewer
 * where they do not fit, then an exponent ("4e9"), then "#".  "NaN", "inf", "+inf", "-inf". Exactly
 * zero carries no sign; a value that only rounds to zero keeps its own.  Returns out. */
const char *number_fit(char out[NUMBER_BYTES], double v, int width, int decimals, unsigned flags);
/* Three significant digits, unpadded: "0", "41.2", "1.23e6" (ends of scales). */
const char *number_short(char out[NUMBER_BYTES], double v);
/* Three digits and a letter: "519 B", "4.80 MB", "2.51 GB" of 1000 each; "135 M", "7.24 B". */
const char *number_bytes(char out[NUMBER_BYTES], double v);
const char *number_count(char out[NUMBER_BYTES], double v);
/* For machines: as few digits (6 to 9, 15 to 17) as read back to the same number; "NaN", "inf",
 * "-inf". */
const char *number_exact_float(char out[NUMBER_BYTES], float v);
const char *number_exact_double(char out[NUMBER_BYTES], double v);

#endif
