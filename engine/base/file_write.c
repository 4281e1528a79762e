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
    *f = (struct file_write){.fd = -1, .path = real_target(path)};
    int rc;
    if (!f->path)
        rc = err_memory(e, "%s", path);
    else if ((was_there = stat(f->path, &st) == 0) && !S_ISREG(st.st_mode))
        rc = err_set(e, ERR_BAD_INPUT, "%s · is not a regular file", path);
    else
        rc = open_temp(f, e);
    if (rc)
        free(f->path);
    else if (was_there)
        (void)!fchmod(f->fd, st.st_mode & 0777); /* who may read it stays as it was */
    return rc;
}

static int write_all(struct file_write *f, const char *bytes, size_t n, int64_t at, struct err *e)
{
    while (n) {
        ssize_t done = at < 0 ? write(f->fd, bytes, n) : pwrite(f->fd, bytes, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return failed("write", f->path, e);
        bytes += done;
        n -= (size_t)done;
        at += at < 0 ? 0 : done;
    }
    return 0;
}

int file_write_bytes(struct file_write *f, const void *bytes, size_t n, struct err *e)
{
    int rc = write_all(f, bytes, n, -1, e);
    f->at += rc ? 0 : n;
    return rc;
}

int file_write_patch(struct file_write *f, uint64_t at, const void *bytes, size_t n, struct err *e)
{
    return write_all(f, bytes, n, (int64_t)at, e);
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
    *f = (struct file_write){.fd = -1};
}

int file_write_commit(struct file_write *f, struct err *e)
{
    int rc = 0;
    if (fsync(f->fd))
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
