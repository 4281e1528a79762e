/* nearest.c - edit distance with one row of the table (see nearest.h). */
#include "nearest.h"

#include <ctype.h>
#include <string.h>

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t nearest_distance(const char *a, const char *b)
{
    size_t na = strnlen(a, NEAREST_LEN_MAX), nb = strnlen(b, NEAREST_LEN_MAX);
    size_t row[NEAREST_LEN_MAX + 1];
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t best = min_of(diagonal + !same, 1 + min_of(row[j], row[j - 1]));
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[nb];
}
