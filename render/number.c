/* number.c - numbers in columns of fixed width.  Tested in tests/render/test_number.c. */
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

static int write_exponent(char *text, size_t size, double v, int width)
{
    for (int d = 2; d >= 0; d--) {
        char raw[32];
        (void)snprintf(raw, sizeof raw, "%.*e", d, v);
        char *e = strchr(raw, 'e');
        if (snprintf(text, size, "%.*se%d", (int)(e - raw), raw, atoi(e + 1)) <= width)
            return 1;
    }
    return 0;
}

const char *number_fit(char out[NUMBER_BYTES], double v, int width, int decimals, unsigned flags)
{
    assert(width >= 4 && width <= 24 && decimals >= 0 && decimals <= 9);
    char text[512]; /* a double has up to 309 digits before the point */
    const char *sign = "";
    if (!isnan(v) && v != 0)
        sign = v < 0 ? flags & NUMBER_ASCII ? "-" : "\u2212" : flags & NUMBER_SIGN ? "+" : "";
    int room = width - (*sign ? 1 : 0);
    double size = fabs(v);
    if (isnan(v))
        (void)snprintf(text, sizeof text, "NaN");
    else if (isinf(v))
        (void)snprintf(text, sizeof text, "inf");
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
