/* direct_type.h - true colour where terminfo has no entry for it: the terminal's own entry with
 * colours given as red, green and blue.  Main thread; tested in tests/tui/test_direct_type.c. */
#ifndef DIRECT_TYPE_H
#define DIRECT_TYPE_H

#include "bytes.h"

/* The entry of `name` with direct colours, called `direct`, as ncurses reads it out of the
 * environment variable TERMINFO: "hex:...".  False: there is no such entry, it has no colours, or
 * memory is out.  Leaves no terminal behind. */
bool direct_type_make(const char *name, const char *direct, struct bytes *out);

#endif
