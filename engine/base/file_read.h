/* file_read.h - a small file as bytes.  Tested in tests/engine/test_file_read.c. */
#ifndef FILE_READ_H
#define FILE_READ_H

#include <stddef.h>

#include "base/err.h"

/* Read a whole regular file of at most `most` bytes: *bytes is malloc'ed, with a NUL behind its
 * *len bytes.  Anything else (a pipe, a device, a folder) is refused without waiting for it. Errors
 * begin with the path. */
int file_read_all(const char *path, size_t most, char **bytes, size_t *len, struct err *e);

#endif
