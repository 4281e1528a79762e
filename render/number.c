/* number.c - numbers as text.  Tested in tests/render/test_number.c. */
#include "number.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* |v| with at most `width` characters; false if it takes more. */
static int write_fixed(char *text, size_t size, double v, int width, int decimals)
{
    for (int d = decimals; d >= 0; d--)
        if (snprintf(text, size, "%.*f", d, v) <= width)
            return 1;
    return 0;
}

/* "1.23e+06" to "1.23e6". */
static void trim_exponent(char *text)
{
    char *e = strchr(text, 'e');
    if (e)
        (void)snprintf(e + 1, strlen(e + 1) + 1, "%ld",
                       strtol(e + 1, NULL, 10)); /* never longer than it was */
}

static int write_exponent(char *text, size_t size, double v, int width)
{
    for (int d = 2; d >= 0; d--) {
        (void)snprintf(text, size, "%.*e", d, v);
        trim_exponent(text);
        if ((int)strlen(text) <= width)
            return 1;
    }
    return 0;
}

/* "4e-5"; returns its length. */
static int write_digit(char *text, size_t size, double v)
{
    (void)snprintf(text, size, "%.0e", v);
    trim_exponent(text);
    return (int)strlen(text);
}

static const char *sign_of(double v, unsigned flags)
{
    if (isnan(v) || v == 0)
        return "";
    if (v < 0)
        return flags & NUMBER_ASCII ? "-" : "\u2212";
    return flags & NUMBER_SIGN ? "+" : "";
}

const char *number_fit(char out[NUMBER_BYTES], double v, int width, int decimals, unsigned flags)
{
    assert(width >= 4 && width <= 24 && decimals >= 0 && decimals <= 9);
    char text[512]; /* a double has up to 309 digits before the point */
    const char *sign = sign_of(v, flags);
    int room = width - (*sign ? 1 : 0);
    double size = fabs(v);
    if (!isfinite(v))
        (void)snprintf(text, sizeof text, isnan(v) ? "NaN" : "inf");
    else if (flags & NUMBER_SMALL && size > 0 && size < 0.5 * pow(10, -decimals) &&
             write_digit(text, sizeof text, size) <= room)
        ;
    else if (!write_fixed(text, sizeof text, size, room, decimals) &&
             !write_exponent(text, sizeof text, size, room)) {
        (void)snprintf(text, sizeof text, "#");
        sign = "";
    }
    int columns = (int)strlen(text) + (*sign ? 1 : 0);
    int pad = flags & NUMBER_LEFT ? 0 : width - columns;
    (void)snprintf(out, NUMBER_BYTES, "%*s%s%.24s", pad, "", sign, text);
    return out;
}

const char *number_short(char out[NUMBER_BYTES], double v)
{
    char text[32];
    (void)snprintf(text, sizeof text, isnan(v) ? "NaN" : "%.3g", fabs(v));
    trim_exponent(text);
    (void)snprintf(out, NUMBER_BYTES, "%s%s", sign_of(v, 0), text);
    return out;
}

/* `letters`: of thousands, millions and so on. */
static const char *scaled(char out[NUMBER_BYTES], double v, const char *letters, const char *unit)
{
    char letter[2] = "";
    for (int i = 0; v >= 999.5 && letters[i]; i++) {
        v /= 1000;
        letter[0] = letters[i];
    }
    int decimals = !letter[0] || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2;
    (void)snprintf(out, NUMBER_BYTES, "%.*f%s%s%s", decimals, v, letter[0] || *unit ? " " : "",
                   letter, unit);
    return out;
}

const char *number_bytes(char out[NUMBER_BYTES], double v)
{
    return scaled(out, v, "kMGTP", "B");
}

const char *number_count(char out[NUMBER_BYTES], double v)
{
    return scaled(out, v, "kMBT", "");
}

const char *number_exact_float(char out[NUMBER_BYTES], float v)
{
    if (isnan(v))
        return memcpy(out, "NaN", sizeof "NaN");
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(out, NUMBER_BYTES, "%.*g", digits, (double)v);
        if (strtof(out, NULL) == v)
            break;
    }
    return out;
}

const char *number_exact_double(char out[NUMBER_BYTES], double v)
{
    if (isnan(v))
        return memcpy(out, "NaN", sizeof "NaN");
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(out, NUMBER_BYTES, "%.*g", digits, v);
        if (strtod(out, NULL) == v)
            break;
    }
    return out;
}
