/* file_write.c - atomic files (see file_write.h).  Tested in tests/engine/test_tensor_write.c. */
#include "base/file_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *what, const char *path, struct err *e)
{
    return err_set(e, ERR_SYSTEM, "%s · cannot %s: %s", path, what, strerror(errno));
}

/* The file a link leads to, or the path itself when nothing is there yet. */
static char *real_target(const char *path)
{
    char *real = realpath(path, NULL);
    return real ? real : strdup(path);
}

static int open_temp(struct file_write *f, struct err *e)
{
    for (int i = 0; i < 100; i++) {
        if (asprintf(&f->temp, "%s.%ld-%d.tmp", f->path, (long)getpid(), i) < 0) {
            f->temp = NULL;
            return err_memory(e, "%s", f->path);
        }
        f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f->fd >= 0)
            return 0;
        int rc = failed("write", f->path, e);
        free(f->temp);
        f->temp = NULL;
        if (errno != EEXIST)
            return rc;
    }
    return err_set(e, ERR_SYSTEM, "%s · too many unfinished .tmp files beside it", f->path);
}

int file_write_begin(struct file_write *f, const char *path, struct err *e)
{
    struct stat st;
    bool was_there = false;
    *f = (struct file_write){
        .fd = -1, .path = real_target(path), .piece = malloc(FILE_WRITE_PIECE)};
    int rc;
    if (!f->path || !f->piece)
        rc = err_memory(e, "%s", path);
    else if ((was_there = stat(f->path, &st) == 0) && !S_ISREG(st.st_mode))
        rc = err_set(e, ERR_BAD_INPUT, "%s · is not a regular file", path);
    else
        rc = open_temp(f, e);
    if (rc)
        free(f->path), free(f->piece);
    else if (was_there)
        (void)!fchmod(f->fd, st.st_mode & 0777); /* who may read it stays as it was */
    return rc;
}

static int write_at(struct file_write *f, const char *bytes, size_t n, uint64_t at, struct err *e)
{
    while (n) {
        ssize_t done = pwrite(f->fd, bytes, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return failed("write", f->path, e);
        bytes += done;
        n -= (size_t)done;
        at += (size_t)done;
    }
    return 0;
}

int file_write_bytes(struct file_write *f, const void *bytes, size_t n, struct err *e)
{
    const char *from = bytes;
    int rc = 0;
    while (n && !rc) {
        size_t held = f->at % FILE_WRITE_PIECE, room = FILE_WRITE_PIECE - held;
        size_t now = n < room ? n : held ? room : n / FILE_WRITE_PIECE * FILE_WRITE_PIECE;
        if (held || n < room)
            memcpy(f->piece + held, from, now);
        if (n >= room)
            rc = write_at(f, held ? f->piece : from, held + now, f->at - held, e);
        from += now, n -= now, f->at += now;
    }
    return rc;
}

int file_write_patch(struct file_write *f, uint64_t at, const void *bytes, size_t n, struct err *e)
{
    uint64_t written = f->at - f->at % FILE_WRITE_PIECE;
    size_t before = at >= written ? 0 : written - at < n ? (size_t)(written - at) : n;
    if (before < n)
        memcpy(f->piece + (at + before - written), (const char *)bytes + before, n - before);
    return write_at(f, bytes, before, at, e);
}

/* So that the new name outlives a power cut; a folder that cannot be synced is no reason to fail.
 */
static void sync_folder(const char *path)
{
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash)
        slash[slash == folder] = '\0';
    int fd = folder ? open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

static void forget(struct file_write *f)
{
    free(f->path);
    free(f->temp);
    free(f->piece);
    *f = (struct file_write){.fd = -1};
}

int file_write_commit(struct file_write *f, struct err *e)
{
    size_t held = f->at % FILE_WRITE_PIECE;
    int rc = write_at(f, f->piece, held, f->at - held, e);
    if (!rc && fsync(f->fd))
        rc = failed("write", f->path, e);
    if (close(f->fd) && !rc)
        rc = failed("write", f->path, e);
    f->fd = -1;
    if (!rc && rename(f->temp, f->path))
        rc = failed("rename to", f->path, e);
    if (rc) {
        file_write_abandon(f);
        return rc;
    }
    sync_folder(f->path);
    forget(f);
    return 0;
}

void file_write_abandon(struct file_write *f)
{
    if (f->fd >= 0)
        close(f->fd);
    unlink(f->temp);
    forget(f);
}

int file_write_all(const char *path, const void *bytes, size_t n, struct err *e)
{
    struct file_write f;
    int rc = file_write_begin(&f, path, e);
    if (rc)
        return rc;
    if ((rc = file_write_bytes(&f, bytes, n, e)))
        file_write_abandon(&f);
    return rc ? rc : file_write_commit(&f, e);
}
