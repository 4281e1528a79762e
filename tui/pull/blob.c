/* blob.c - one file into the cache's blobs: locked, resumed, checked (see pull_parts.h).
 *
 * Bytes go to CHECKSUM.incomplete, which only the holder of the lock writes to, and which becomes
 * CHECKSUM once its checksum is that.  A wrong one is thrown away, and if some of it was there
 * before, fetched anew once. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pull/digest.h"
#include "pull/pull_parts.h"

enum { READ_BYTES = 1 << 20, LOCK_MS = 100 };

struct blob {
    struct pull *p;
    const struct remote_file *f;
    char path[PATH_MAX], incomplete[PATH_MAX];
    int fd;       /* of incomplete */
    int64_t at;   /* bytes that lie in it */
    int64_t most; /* the most that ever did: how far the tries have come */
    struct err *e;
};

static bool is_there(const struct blob *b)
{
    struct stat st;
    return stat(b->path, &st) == 0 && S_ISREG(st.st_mode) &&
           (b->f->size < 0 || st.st_size == b->f->size);
}

static int paths_of(struct blob *b, const struct pull *p, const struct remote_file *f,
                    struct err *e)
{
    int rc = pull_path(b->path, e, "%s/blobs/%s", p->repo, f->etag);
    return rc ? rc : pull_path(b->incomplete, e, "%s.incomplete", b->path);
}

uint64_t blob_present(const struct pull *p, const struct remote_file *f)
{
    struct blob b = {.f = f};
    struct stat st;
    if (paths_of(&b, p, f, NULL))
        return 0;
    if (is_there(&b))
        return f->size < 0 ? 0 : (uint64_t)f->size;
    return stat(b.incomplete, &st) == 0 && st.st_size <= f->size ? (uint64_t)st.st_size : 0;
}

/* ---- the lock ---- */

/* Is the file that is locked still the one of that name? */
static bool is_same(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

/* The lock that the hub's client takes too: flock, by whoever opens the file. Its descriptor, or
 * negative. */
static int lock(const struct blob *b)
{
    char path[PATH_MAX];
    int rc = pull_path(path, b->e, "%s/%s.lock", b->p->locks, b->f->etag);
    if (!rc)
        rc = pull_folders(path, b->e);
    while (!rc) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664);
        if (fd < 0)
            return err_set(b->e, ERR_SYSTEM, "%s · %s", path, strerror(errno));
        while (!rc && flock(fd, LOCK_EX | LOCK_NB)) {
            if (errno != EWOULDBLOCK && errno != EINTR) /* no locks here: checksums must do */
                return fd;
            poll(NULL, 0, LOCK_MS); /* somebody else is fetching it */
            if (*b->p->o->cancel)
                rc = err_set(b->e, ERR_CANCELLED, "interrupted");
        }
        if (!rc && is_same(fd, path))
            return fd;
        close(fd);
    }
    return rc;
}

/* ---- bytes ---- */

static void show(const struct blob *b)
{
    struct pull *p = b->p;
    p->at.all_done += (uint64_t)b->at - p->at.done;
    p->at.done = (uint64_t)b->at;
    if (p->o->progress)
        p->o->progress(p->o->user, &p->at);
}

static int cannot_write(const struct blob *b)
{
    return err_set(b->e, ERR_SYSTEM, "%s · cannot write: %s", b->incomplete, strerror(errno));
}

static int empty(struct blob *b)
{
    b->at = 0;
    return ftruncate(b->fd, 0) ? cannot_write(b) : 0;
}

/* Does this answer go on where the file ends?  One with all bytes begins anew. */
static int fits(struct blob *b, const struct headers *h)
{
    if (h->encoded)
        return err_set(b->e, ERR_BAD_INPUT,
                       "%s · the answer is compressed, which was not asked for", b->f->path);
    if (h->status == 200)
        return empty(b);
    if (h->range_first != b->at ||
        (b->f->size >= 0 && h->range_size >= 0 && h->range_size != b->f->size))
        return err_set(b->e, ERR_BAD_INPUT,
                       "%s · asked for bytes from %lld of %lld, the answer begins at %lld of %lld",
                       b->f->path, (long long)b->at, (long long)b->f->size,
                       (long long)h->range_first, (long long)h->range_size);
    return 0;
}

/* One answer being taken in. */
struct intake {
    struct blob *b;
    bool begun;
};

static bool take(void *user, const struct headers *h, const void *data, size_t n)
{
    struct intake *in = user;
    struct blob *b = in->b;
    const char *from = data;
    if (!in->begun && fits(b, h))
        return false;
    in->begun = true;
    if (b->f->size >= 0 && n > (uint64_t)(b->f->size - b->at)) {
        err_set(b->e, ERR_BAD_INPUT, "%s · %s · the answer is longer than %lld bytes",
                b->p->o->name, b->f->path, (long long)b->f->size);
        return false;
    }
    while (n) {
        ssize_t did = pwrite(b->fd, from, n, b->at);
        if (did < 0 && errno == EINTR)
            continue;
        if (did <= 0) {
            errno = did ? errno : ENOSPC;
            cannot_write(b);
            return false;
        }
        from += did;
        n -= (size_t)did;
        b->at += did;
    }
    show(b);
    return true;
}

/* All bytes there are, in as many tries as it takes while each gets further. */
static int complete(struct blob *b)
{
    for (int n = 0;;) {
        struct intake in = {.b = b};
        if (b->f->size >= 0 && b->at == b->f->size)
            return 0;
        enum http_result r = remote_fetch(b->p, b->f, b->at, take, &in, b->e);
        if (r == HTTP_OK && (b->f->size < 0 || b->at == b->f->size))
            return 0;
        if (r == HTTP_OK)
            err_set(b->e, ERR_SYSTEM, "%s · %s · the answer ends after %lld of %lld bytes",
                    b->p->o->name, b->f->path, (long long)b->at, (long long)b->f->size);
        else if (r != HTTP_BROKEN)
            return b->e->code;
        n = b->at > b->most ? 0 : n + 1;
        b->most = b->at > b->most ? b->at : b->most;
        if (n == PULL_TRIES)
            return b->e->code;
        int rc = pull_wait(b->p, n, b->e);
        if (rc)
            return rc;
    }
}

/* The checksum of what lies there. */
static int checksum(const struct blob *b, char hex[DIGEST_HEX])
{
    struct digest *d = digest_new(digest_kind(b->f->etag), (uint64_t)b->at);
    char *buf = malloc(READ_BYTES);
    int rc = d && buf ? 0 : err_memory(b->e, "a checksum");
    for (int64_t at = 0; !rc && at < b->at;) {
        ssize_t n = pread(b->fd, buf, READ_BYTES, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            rc = err_set(b->e, ERR_SYSTEM, "%s · cannot read it back: %s", b->incomplete,
                         n ? strerror(errno) : "it was cut short");
        else if (*b->p->o->cancel)
            rc = err_set(b->e, ERR_CANCELLED, "interrupted");
        else
            digest_add(d, buf, (size_t)n);
        at += n;
    }
    free(buf);
    hex[0] = '\0';
    if (d)
        digest_end(d, hex);
    return rc;
}

/* Complete it and compare; *again: it was wrong, some of it older than this run, and is empty now.
 */
static int obtain(struct blob *b, bool *again)
{
    char hex[DIGEST_HEX];
    bool older = b->at > 0;
    *again = false;
    int rc = complete(b);
    if (!rc)
        rc = checksum(b, hex);
    if (rc || !strcmp(hex, b->f->etag))
        return rc;
    if (empty(b))
        return ERR_SYSTEM;
    *again = older;
    return err_set(b->e, ERR_BAD_INPUT,
                   "%s · %s · what came has the checksum %s, not %s · it is not kept",
                   b->p->o->name, b->f->path, hex, b->f->etag);
}

static int fetch(struct blob *b)
{
    struct stat st;
    bool again;
    b->fd = open(b->incomplete, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (b->fd < 0 || fstat(b->fd, &st))
        return cannot_write(b);
    b->at = st.st_size;
    int rc = b->at > b->f->size ? empty(b) : 0; /* of unknown size: from the start */
    b->most = b->at;
    show(b);
    if (!rc && (rc = obtain(b, &again)) && again)
        rc = obtain(b, &again);
    if (!rc && (fsync(b->fd) || rename(b->incomplete, b->path)))
        rc = cannot_write(b);
    if (rc && b->at == 0)
        unlink(b->incomplete);
    return rc;
}

int blob_fetch(struct pull *p, const struct remote_file *f, struct err *e)
{
    struct blob *b = calloc(1, sizeof *b);
    if (!b)
        return err_memory(e, "%s", f->path);
    *b = (struct blob){.p = p, .f = f, .fd = -1, .e = e};
    int rc = paths_of(b, p, f, e), held = -1;
    if (!rc && digest_kind(f->etag) == DIGEST_NONE)
        rc = err_set(
            e, ERR_BAD_INPUT,
            "%s · %s · its entity tag \"%s\" is no checksum: it cannot be checked · look at HF_ENDPOINT",
            p->o->name, f->path, f->etag);
    if (!rc && !is_there(b)) {
        rc = pull_folders(b->path, e);
        if (!rc && (held = lock(b)) < 0)
            rc = held;
        if (!rc && !is_there(b))
            rc = fetch(b);
    }
    if (b->fd >= 0)
        close(b->fd);
    if (held >= 0)
        close(held);
    free(b);
    return rc;
}
