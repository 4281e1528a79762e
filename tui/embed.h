/* embed.h - text files that are compiled in (embed.cmake): a table that ends with a NULL name.
 * Tested in tests/tui/test_keymap.c and tests/tui/test_lessons.c. */
#ifndef EMBED_H
#define EMBED_H

#include <stddef.h>

struct embedded {
    const char *name, *text;
    size_t len;
};

#endif
