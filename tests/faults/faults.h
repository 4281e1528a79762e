/* faults.h - test support: make the n-th allocation, or the n-th system call on files, fail.
 *
 * The CMake library `faults` routes those of the program's own code, and of the libraries linked
 * into it statically, through here.  Threads: all calls are counted together. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

enum fault_kind {
    FAULT_MEMORY, /* malloc and its family, strdup, mmap, pthread_create, GSL's allocations: NULL,
                     ENOMEM or EAGAIN */
    FAULT_FILE,   /* open, fopen, opendir, fstat, read, fread, write, pwrite, fsync, rename, mkdir:
                     EIO, or ENOSPC where something is written */
    FAULT_SHORT,  /* read, write and pwrite do less than was asked, once; no failure */
    FAULT_COUNT
};

/* The n-th (from 0 on) of these calls fails from now on; with `persist` all after it too. */
void fault_set(enum fault_kind kind, long n, bool persist);
/* How often open and fopen were called since the program began. */
long fault_opens(void);
/* No more.  How many calls were made to fail since fault_set. */
long fault_clear(void);

#endif
