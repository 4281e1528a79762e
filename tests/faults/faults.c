/* faults.c - see faults.h; the linker's --wrap puts these in the place of the real ones
 * (tests/CMakeLists.txt). */
#include "faults_wrap.h"

#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int kind_set = FAULT_COUNT;
static atomic_long countdown, failed, opens;
static atomic_bool persisting;

void fault_set(enum fault_kind kind, long n, bool persist)
{
    countdown = n;
    failed = 0;
    persisting = persist;
    kind_set = kind;
}

long fault_opens(void)
{
    return opens;
}

long fault_clear(void)
{
    kind_set = FAULT_COUNT;
    return failed;
}

bool fault_due(enum fault_kind kind, int code)
{
    if (kind_set != (int)kind)
        return false;
    long left = atomic_fetch_sub(&countdown, 1);
    if (left > 0 || (left < 0 && !persisting))
        return false;
    failed++;
    errno = code;
    return true;
}

WRAP(FAULT_MEMORY, ENOMEM, NULL, void *, malloc, (size_t n), (n))
WRAP(FAULT_MEMORY, ENOMEM, NULL, void *, calloc, (size_t n, size_t size), (n, size))
WRAP(FAULT_MEMORY, ENOMEM, NULL, void *, realloc, (void *p, size_t n), (p, n))
WRAP(FAULT_MEMORY, ENOMEM, NULL, void *, aligned_alloc, (size_t align, size_t n), (align, n))
WRAP(FAULT_MEMORY, ENOMEM, NULL, char *, strdup, (const char *s), (s))
WRAP(FAULT_MEMORY, ENOMEM, NULL, char *, strndup, (const char *s, size_t n), (s, n))
WRAP(FAULT_MEMORY, ENOMEM, MAP_FAILED, void *, mmap,
     (void *at, size_t n, int prot, int flags, int fd, off_t offset),
     (at, n, prot, flags, fd, offset))
WRAP(FAULT_MEMORY, EAGAIN, EAGAIN, int, pthread_create,
     (pthread_t * t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg),
     (t, attr, fn, arg))

int __wrap_asprintf(char **out, const char *format, ...);
int __wrap_asprintf(char **out, const char *format, ...)
{
    if (fault_due(FAULT_MEMORY, ENOMEM))
        return -1;
    va_list args;
    va_start(args, format);
    int n = vasprintf(out, format, args);
    va_end(args);
    return n;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t); /* read also where none was given: then it is not used */
    va_end(args);
    opens++;
    return fault_due(FAULT_FILE, EIO) ? -1 : __real_open(path, flags, mode);
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
    opens++;
    return fault_due(FAULT_FILE, EIO) ? NULL : __real_fopen(path, mode);
}

WRAP(FAULT_FILE, EIO, NULL, DIR *, opendir, (const char *path), (path))
WRAP(FAULT_FILE, EIO, -1, int, fstat, (int fd, struct stat *st), (fd, st))
WRAP(FAULT_FILE, EIO, -1, int, fsync, (int fd), (fd))
WRAP(FAULT_FILE, EIO, -1, int, rename, (const char *from, const char *to), (from, to))
WRAP(FAULT_FILE, ENOSPC, -1, int, mkdir, (const char *path, mode_t mode), (path, mode))

/* Those that may also do less than was asked. */
#define WRAP_PART(code, name, parameters, all, some)                                        \
    ssize_t __real_##name parameters;                                                       \
    ssize_t __wrap_##name parameters;                                                       \
    ssize_t __wrap_##name parameters                                                        \
    {                                                                                       \
        if (fault_due(FAULT_FILE, code))                                                    \
            return -1;                                                                      \
        return n > 1 && fault_due(FAULT_SHORT, 0) ? __real_##name some : __real_##name all; \
    }

WRAP_PART(EIO, read, (int fd, void *p, size_t n), (fd, p, n), (fd, p, n / 2))
WRAP_PART(ENOSPC, write, (int fd, const void *p, size_t n), (fd, p, n), (fd, p, n / 2))
WRAP_PART(ENOSPC, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at),
          (fd, p, n / 2, at))
