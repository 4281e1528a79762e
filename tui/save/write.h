/* write.h - files that commands of the explorer write.  Tested in tests/tui/test_write.c. */
#ifndef WRITE_H
#define WRITE_H

#include "base/err.h"
#include "bytes.h"

/* A number of the format that the ending of a path names, or -1. */
int write_format(const char *path);
/* "!" and blanks in front of a command's arguments are stepped over; was there one? */
bool write_over(const char **args);
/* Refused where a file is there, unless it may be written over. */
int write_may(const char *path, bool over, struct err *e);
/* Whole or not at all. */
int write_bytes(const char *path, const struct bytes *text, bool over, struct err *e);

#endif
