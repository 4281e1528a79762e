/* ends_with.h - the ends of names and paths.  Tested through all that ask. */
#ifndef ENDS_WITH_H
#define ENDS_WITH_H

#include <stdbool.h>
#include <string.h>

/* Does `text` end in `ending`, or is it that? */
static inline bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), k = strlen(ending);
    return n >= k && strcmp(text + n - k, ending) == 0;
}

#endif
