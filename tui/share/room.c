/* room.c - where shared explorers are found (see room.h). */
#include "share/room.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { SAME_NAME_MAX = 16, WAITING_MAX = 8 };

/* ---- names ---- */

void room_word(const char *text, char name[ROOM_NAME_MAX + 1])
{
    size_t n = 0;
    for (; *text && n < ROOM_NAME_MAX; text++)
        name[n++] = isalnum((unsigned char)*text) || strchr("-_.", *text) ? *text : '-';
    name[n] = 0;
    if (!n || name[0] == '.')
        name[0] = '-';
    name[n ? n : 1] = 0;
}

void room_own_name(char name[ROOM_NAME_MAX + 1])
{
    const struct passwd *who = getpwuid(getuid());
    char number[24];
    snprintf(number, sizeof number, "%u", (unsigned)getuid());
    room_word(who ? who->pw_name : number, name);
}

int room_user(const char *text, uid_t *uid, struct err *e)
{
    const struct passwd *who = getpwnam(text);
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (!who && (!isdigit((unsigned char)*text) || *end || v >= (uid_t)-1))
        return err_set(e, ERR_BAD_INPUT, "there is no user \"%.40s\" · a name or a number", text);
    *uid = who ? who->pw_uid : (uid_t)v;
    return 0;
}

/* ---- folders ---- */

static int folder_of(uid_t uid, bool shared, char path[ROOM_PATH_MAX], struct err *e)
{
    static const char own[] = "/borescope";
    const char *run = getenv("XDG_RUNTIME_DIR");
    int most = ROOM_PATH_MAX - 1 - ROOM_NAME_MAX - 1, n; /* a slash and a name follow */
    if (shared || uid != getuid() || !run || *run != '/')
        n = snprintf(path, ROOM_PATH_MAX, "/tmp/borescope-%u%s", (unsigned)uid,
                     shared ? "-shared" : "");
    else
        n = snprintf(path, ROOM_PATH_MAX, "%s%s", run, own);
    return n > 0 && n <= most
               ? 0
               : err_set(e, ERR_BAD_INPUT,
                         "XDG_RUNTIME_DIR has %d bytes · %d at most, so that a socket in it can "
                         "have a name · set a shorter one",
                         n - (int)strlen(own), most - (int)strlen(own));
}

/* The socket of a name in a folder of folder_of. */
static void socket_path(const char *folder, const char *name, char path[ROOM_PATH_MAX])
{
    int n = snprintf(path, ROOM_PATH_MAX, "%s/%.*s", folder, ROOM_NAME_MAX, name);
    assert(n > 0 && n < ROOM_PATH_MAX);
}

/* A folder, `uid`'s own, that nobody else writes to; private ones are not to be read by others
 * either. */
static int check_folder(const char *path, uid_t uid, bool shared, struct err *e)
{
    struct stat st;
    if (lstat(path, &st))
        return err_set(e, ERR_SYSTEM, "%s · %s", path, strerror(errno));
    mode_t open = st.st_mode & (shared ? 0066 : 0077);
    if (!S_ISDIR(st.st_mode) || st.st_uid != uid || open)
        return err_set(e, ERR_BAD_INPUT, "%s is not safe: %s · remove it", path,
                       !S_ISDIR(st.st_mode) ? "not a folder"
                       : st.st_uid != uid   ? "it belongs to somebody else"
                                            : "others may write to it or read it");
    return 0;
}

static int make_folder(const char *path, bool shared, struct err *e)
{
    if (mkdir(path, 0700) && errno != EEXIST)
        return err_set(e, ERR_SYSTEM, "%s · %s", path, strerror(errno));
    int rc = check_folder(path, getuid(), shared, e);
    if (!rc && chmod(path, shared ? 0711 : 0700))
        rc = err_set(e, ERR_SYSTEM, "%s · %s", path, strerror(errno));
    return rc;
}

/* Whoever makes a socket there, or clears one away that nobody answers, does it alone: one that is
 * bound and does not listen yet answers nobody either.  A descriptor to close. */
static int lock_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && flock(fd, LOCK_EX) && errno == EINTR) {
    }
    return fd;
}

static void unlock_folder(int lock)
{
    if (lock >= 0)
        close(lock);
}

/* ---- sockets ---- */

static struct sockaddr_un address(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strnlen(path, sizeof a.sun_path - 1));
    return a;
}

static int dial(const char *path)
{
    struct sockaddr_un a = address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

/* Is something there?  A socket that nobody answers any more is a leftover, and goes. */
static bool is_alive(const char *path)
{
    struct stat st;
    int fd = dial(path);
    if (fd >= 0)
        close(fd);
    else if (errno == ECONNREFUSED && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
    return fd >= 0 || access(path, F_OK) == 0;
}

/* The folder's lock is held. */
static int bind_at(const char *path, bool shared, struct err *e)
{
    struct sockaddr_un a = address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t was = umask(0077);
    bool ok = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof a) == 0;
    umask(was);
    ok = ok && chmod(path, shared ? 0666 : 0600) == 0 && listen(fd, WAITING_MAX) == 0;
    if (ok)
        return fd;
    int rc = err_set(e, ERR_SYSTEM, "%s · %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

int room_listen(const char *name, bool shared, char path[ROOM_PATH_MAX], struct err *e)
{
    char folder[ROOM_PATH_MAX], word[ROOM_NAME_MAX + 1], other[ROOM_NAME_MAX + 1];
    int rc = folder_of(getuid(), shared, folder, e);
    if (!rc)
        rc = make_folder(folder, shared, e);
    if (rc)
        return rc;
    room_word(name, word);
    int lock = lock_folder(folder), fd = -1;
    bool free_one = false;
    for (int i = 1; !free_one && i <= SAME_NAME_MAX; i++) {
        snprintf(other, sizeof other, "%.*s-%d", ROOM_NAME_MAX - 3, word, i);
        socket_path(folder, i == 1 ? word : other, path);
        free_one = !is_alive(path);
    }
    if (free_one)
        fd = bind_at(path, shared, e);
    else
        fd = err_set(e, ERR_BAD_INPUT, "%d sessions are called %s · share under another name",
                     SAME_NAME_MAX, word);
    unlock_folder(lock);
    return fd;
}

void room_leave(int fd, const char *path)
{
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
}

static bool peer_uid(int fd, uid_t *uid)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) || n != sizeof who)
        return false;
    *uid = who.uid;
    return true;
}

int room_accept(int fd, uid_t *uid)
{
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (peer >= 0 && !peer_uid(peer, uid)) {
        close(peer);
        return -1;
    }
    return peer;
}

/* ---- finding ---- */

/* Names of the sessions of a folder that answer, with blanks between; how many. */
static int list_folder(const char *folder, struct bytes *names)
{
    DIR *d = opendir(folder);
    int n = 0, lock = lock_folder(folder);
    for (const struct dirent *f; d && (f = readdir(d));) {
        char path[ROOM_PATH_MAX];
        struct stat st;
        if (strlen(f->d_name) > ROOM_NAME_MAX)
            continue; /* not made here */
        socket_path(folder, f->d_name, path);
        if (lstat(path, &st) || !S_ISSOCK(st.st_mode) || !is_alive(path))
            continue;
        bytes_addf(names, "%s%s", n ? " " : "", f->d_name);
        n++;
    }
    if (d)
        closedir(d);
    unlock_folder(lock);
    return n;
}

/* The only session of this user, private or shared. */
static int find_only(char path[ROOM_PATH_MAX], struct err *e)
{
    struct bytes names = {0};
    char folder[ROOM_PATH_MAX];
    int found = 0, rc = 0;
    for (int shared = 0; shared < 2 && !rc; shared++) {
        rc = folder_of(getuid(), shared, folder, e);
        if (rc || access(folder, F_OK) || check_folder(folder, getuid(), shared, e))
            continue;
        size_t at = names.len;
        int n = list_folder(folder, &names);
        if (n == 1 && !names.failed)
            socket_path(folder, names.data + at, path);
        bytes_add_string(&names, n ? " " : "");
        found += n;
    }
    if (!rc && found == 0)
        rc = err_set(e, ERR_BAD_INPUT,
                     "nobody shares an explorer here · borescope share MODEL, or :share in one");
    if (!rc && found > 1)
        rc = err_set(e, ERR_USAGE, "which one? · %.*s", names.failed ? 0 : (int)names.len - 1,
                     names.data);
    bytes_free(&names);
    return rc;
}

/* NAME of this user, or USER/NAME. */
static int find_named(const char *name, char path[ROOM_PATH_MAX], uid_t *owner, struct err *e)
{
    const char *slash = strchr(name, '/');
    char user[64], folder[ROOM_PATH_MAX];
    int rc = 0;
    if (slash) {
        snprintf(user, sizeof user, "%.*s", (int)(slash - name), name);
        rc = room_user(user, owner, e);
        name = slash + 1;
    }
    if (!*name || strlen(name) > ROOM_NAME_MAX || strchr(name, '/') || *name == '.')
        return err_set(e, ERR_BAD_INPUT, "not the name of a session: \"%.40s\"", name);
    for (int shared = slash != NULL; shared < 2 && !rc; shared++) {
        rc = folder_of(*owner, shared, folder, e);
        if (!rc)
            socket_path(folder, name, path);
        if (!rc && access(path, F_OK) == 0)
            return check_folder(folder, *owner, shared, e);
    }
    return rc ? rc
              : err_set(e, ERR_BAD_INPUT, "no session \"%s\" · borescope watch alone finds one",
                        name);
}

int room_connect(const char *name, char shown[ROOM_PATH_MAX], struct err *e)
{
    char path[ROOM_PATH_MAX] = "";
    uid_t owner = getuid(), peer;
    bool by_path = name && (*name == '/' || *name == '.');
    int rc = 0;
    if (!name)
        rc = find_only(path, e);
    else if (by_path)
        rc = snprintf(path, sizeof path, "%s", name) < ROOM_PATH_MAX
                 ? 0
                 : err_set(e, ERR_BAD_INPUT,
                           "%.40s… has %zu bytes · a socket's path has %d at most", name,
                           strlen(name), ROOM_PATH_MAX - 1);
    else
        rc = find_named(name, path, &owner, e);
    if (rc)
        return rc;
    int fd = dial(path);
    if (fd < 0)
        return err_set(e, ERR_SYSTEM, "%s · %s%s", path, strerror(errno),
                       errno == ECONNREFUSED ? " · nobody is there any more" : "");
    if (!peer_uid(fd, &peer) || (!by_path && peer != owner)) {
        close(fd);
        return err_set(e, ERR_BAD_INPUT, "%s · another user answers there than its folder is of",
                       path);
    }
    const char *last = strrchr(path, '/');
    snprintf(shown, ROOM_PATH_MAX, "%s", last ? last + 1 : path);
    return fd;
}
