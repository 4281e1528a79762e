/* file_write.h - a file that appears whole or not at all: written beside its place, synced,
 * renamed. */
#ifndef FILE_WRITE_H
#define FILE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Bytes go to the file in pieces of this size at multiples of it: the kernel then holds the file in
 * pages of as many bytes, and who maps it (a model that was exported) finds its addresses sooner
 * than in small pages, which would stay until the file leaves the cache. */
#define FILE_WRITE_PIECE ((size_t)2 << 20)

struct file_write {
    int fd;
    char *path, *temp; /* where it will be, where it is written */
    uint64_t at;       /* bytes taken so far */
    char *piece;       /* the last at % FILE_WRITE_PIECE of them, which are not in the file yet */
};

/* Begin.  A link is followed; a path that is there and not a regular file is refused.  On failure
 * *f needs no care; afterwards exactly one of file_write_commit and file_write_abandon must be
 * called. */
int file_write_begin(struct file_write *f, const char *path, struct err *e);
/* An error of the disk may show only in a later call, at the latest in file_write_commit. */
int file_write_bytes(struct file_write *f, const void *bytes, size_t n, struct err *e);
/* Overwrite bytes written before; does not move f->at. */
int file_write_patch(struct file_write *f, uint64_t at, const void *bytes, size_t n, struct err *e);
/* Sync, rename and free; on failure the file is abandoned. */
int file_write_commit(struct file_write *f, struct err *e);
void file_write_abandon(struct file_write *f);
/* All of these for a file that is in memory. */
int file_write_all(const char *path, const void *bytes, size_t n, struct err *e);

#endif
