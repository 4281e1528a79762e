/* file_read.c - see file_read.h. */
#include "base/file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All `size` bytes, as fstat said, checked against what is really read. */
static int read_bytes(int fd, const char *path, char *bytes, size_t size, struct err *e)
{
    for (size_t have = 0;;) {
        ssize_t n = read(fd, bytes + have, size + 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, ERR_SYSTEM, "%s · cannot read: %s", path, strerror(errno));
        have += (size_t)n;
        if (have > size || (n == 0 && have < size))
            return err_set(e, ERR_SYSTEM, "%s · changed while it was read · try again", path);
        if (n == 0)
            return 0;
    }
}

static int read_open(int fd, const char *path, size_t most, char **bytes, size_t *len,
                     struct err *e)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(e, ERR_BAD_INPUT, "%s · cannot open: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_BAD_INPUT, "%s · is not a regular file", path);
    if ((uintmax_t)st.st_size > most)
        return err_set(e, ERR_BAD_INPUT, "%s · is %jd bytes long, at most %zu are read", path,
                       (intmax_t)st.st_size, most);
    size_t size = (size_t)st.st_size;
    char *all = malloc(size + 1);
    if (!all)
        return err_memory(e, "%s · %zu bytes", path, size);
    int rc = read_bytes(fd, path, all, size, e);
    if (rc) {
        free(all);
        return rc;
    }
    all[size] = '\0';
    *bytes = all, *len = size;
    return 0;
}

int file_read_all(const char *path, size_t most, char **bytes, size_t *len, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
        rc = read_open(fd, path, most, bytes, len, e);
    if (fd >= 0)
        close(fd);
    return rc;
}
