/* cache_folder.h - where what can be made again is kept: $XDG_CACHE_HOME/borescope, else
 * ~/.cache/borescope.  Tested in tests/engine/test_reference.c and test_cpu_choice.c. */
#ifndef CACHE_FOLDER_H
#define CACHE_FOLDER_H

#include <limits.h>
#include <stdbool.h>

/* The path of `name` in `folder`, which lies there ("" is the whole); `make`: the folders are made.
 * False where there is no home to keep it in. */
bool cache_path(const char *folder, const char *name, bool make, char path[PATH_MAX]);

#endif
