/* file_write.h - a file that appears whole or not at all: written beside its place, synced,
 * renamed. */
#ifndef FILE_WRITE_H
#define FILE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct file_write {
    int fd;
    char *path, *temp; /* where it will be, where it is written */
    uint64_t at;       /* bytes written so far */
};

/* Begin.  A link is followed; a path that is there and not a regular file is refused.  On failure
 * *f needs no care; afterwards exactly one of file_write_commit and file_write_abandon must be
 * called. */
int file_write_begin(struct file_write *f, const char *path, struct err *e);
int file_write_bytes(struct file_write *f, const void *bytes, size_t n, struct err *e);
/* Overwrite bytes written before; does not move f->at. */
int file_write_patch(struct file_write *f, uint64_t at, const void *bytes, size_t n, struct err *e);
/* Sync, rename and free; on failure the file is abandoned. */
int file_write_commit(struct file_write *f, struct err *e);
void file_write_abandon(struct file_write *f);
/* All of these for a file that is in memory. */
int file_write_all(const char *path, const void *bytes, size_t n, struct err *e);

#endif
