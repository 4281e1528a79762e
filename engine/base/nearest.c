/* nearest.c - edit distance with one row of the table (see nearest.h). */
#include "base/nearest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The distance, or something not below `limit` as soon as it is known to be that. */
static size_t distance_below(const char *a, const char *b, size_t limit)
{
    size_t na = strnlen(a, NEAREST_LEN_MAX), nb = strnlen(b, NEAREST_LEN_MAX),
           least = na > nb ? na - nb : nb - na;
    size_t row[NEAREST_LEN_MAX + 1];
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na && least < limit; i++) {
        size_t diagonal = row[0];
        least = row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t best = min_of(diagonal + !same, 1 + min_of(row[j], row[j - 1]));
            diagonal = row[j];
            row[j] = best;
            least = min_of(least, best); /* distances never fall from row to row */
        }
    }
    return least < limit ? row[nb] : limit;
}

size_t nearest_distance(const char *a, const char *b)
{
    return distance_below(a, b, SIZE_MAX);
}

bool nearest_is(const char *wanted, const char *candidate, size_t *least)
{
    size_t d = distance_below(wanted, candidate, *least);
    if (d >= *least)
        return false;
    *least = d;
    return true;
}
