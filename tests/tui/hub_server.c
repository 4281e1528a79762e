/* hub_server.c - see hub_server.h.  One connection at a time, each for one request. */
#include "hub_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pull/digest.h"
#include "unit.h"

struct request {
    char head[8192];
    char method[8], path[2048];
    const char *token; /* into head, NULL: none */
    long from;         /* of Range; -1: none */
    bool other;        /* it came to the other port */
    int fd;
};

static void send_all(int fd, const void *data, size_t n)
{
    for (const char *p = data; n;) {
        ssize_t did = send(fd, p, n, MSG_NOSIGNAL);
        if (did <= 0)
            return;
        p += did;
        n -= (size_t)did;
    }
}

static void sendf(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void sendf(int fd, const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    send_all(fd, text, (size_t)n);
}

/* A line of the head by its name, or NULL. */
static const char *header(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    return at && at[-1] == '\n' ? at + strlen(name) : NULL;
}

static bool read_request(struct request *q)
{
    size_t n = 0;
    while (n < sizeof q->head - 1) {
        ssize_t got = recv(q->fd, q->head + n, sizeof q->head - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
        q->head[n] = '\0';
        if (strstr(q->head, "\r\n\r\n"))
            break;
    }
    const char *range = header(q->head, "Range: bytes="),
               *auth = header(q->head, "Authorization: Bearer ");
    q->token = auth;
    q->from = range ? strtol(range, NULL, 10) : -1;
    return sscanf(q->head, "%7s %2047s", q->method, q->path) == 2;
}

static void note(struct hub_server *s, const struct request *q)
{
    char range[40] = "";
    if (q->from >= 0)
        snprintf(range, sizeof range, " range=%ld-", q->from);
    s->n_log += (size_t)snprintf(s->log + s->n_log, HUB_LOG_MAX - s->n_log, "%s %s %s%s%s\n",
                                 q->other ? "other" : "hub", q->method, q->path,
                                 q->token ? " auth" : "", range);
    assert_true(s->n_log < HUB_LOG_MAX);
}

static const char end[] = "Connection: close\r\n\r\n";

static void send_listing(const struct hub_server *s, const struct request *q)
{
    char text[8192];
    size_t n = (size_t)snprintf(text, sizeof text,
                                "{\"id\": \"%s\", \"sha\": \"%s\", \"siblings\": [", HUB_NAME,
                                HUB_COMMIT);
    for (int i = 0; i < s->n_files; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s{\"rfilename\": \"%s\"}", i ? ", " : "",
                              s->file[i].path);
    n += (size_t)snprintf(text + n, sizeof text - n, "]}");
    const char *body = s->fault.listing ? s->fault.listing : text;
    sendf(q->fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s",
          strlen(body), end);
    send_all(q->fd, body, strlen(body));
}

static int countdown(int *n)
{
    int was = *n;
    *n -= was > 0;
    return was != 0;
}

/* The bytes of a file, with whatever is to go wrong with them. */
static void send_body(struct hub_server *s, const struct request *q, const struct hub_file *f,
                      long from, bool faulty)
{
    struct hub_faults *x = &s->fault;
    size_t n = f->size - (size_t)from + (size_t)(faulty ? x->length_lie : 0);
    char *bytes = calloc(1, n + 1);
    memcpy(bytes, f->bytes + from, n < f->size - (size_t)from ? n : f->size - (size_t)from);
    if (faulty && n && countdown(&x->corrupt))
        bytes[n / 2] ^= 1;
    bool cut = faulty && x->cut_at < n &&
               (x->stall_ms || x->waits_for_release || countdown(&x->cuts));
    send_all(q->fd, bytes, cut ? x->cut_at : n);
    if (cut) {
        bool waits = x->waits_for_release, gone = false;
        int ms = waits ? 10000 : x->stall_ms;
        s->reached_cut++;
        for (; ms > 0 && !gone && !(waits && s->released); ms -= 10) {
            struct pollfd p = {.fd = q->fd, .events = POLLRDHUP};
            gone = poll(&p, 1, 10) > 0;
        }
        if (waits && !gone)
            send_all(q->fd, bytes + x->cut_at, n - x->cut_at);
    }
    free(bytes);
}

static void send_file(struct hub_server *s, const struct request *q, const struct hub_file *f,
                      bool faulty)
{
    struct hub_faults *x = &s->fault;
    bool part = q->from >= 0 && !(faulty && x->no_range);
    long from = part ? q->from : 0, lie = faulty ? x->length_lie : 0;
    if (part && (size_t)from >= f->size) {
        sendf(q->fd, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n%s", end);
        return;
    }
    long said = faulty && x->bad_range ? from + 1 : from;
    sendf(q->fd, "HTTP/1.1 %s\r\nContent-Length: %ld\r\n%s",
          part ? "206 Partial Content" : "200 OK", (long)f->size - from + lie,
          x->compressed ? "Content-Encoding: gzip\r\n" : "");
    if (part)
        sendf(q->fd, "Content-Range: bytes %ld-%zu/%zu\r\n", said, f->size - 1, f->size);
    if (!q->other)
        sendf(q->fd, "ETag: \"%s\"\r\nX-Repo-Commit: %s\r\n", x->etag ? x->etag : f->etag,
              x->commit ? x->commit : HUB_COMMIT);
    send_all(q->fd, end, sizeof end - 1);
    if (strcmp(q->method, "HEAD") != 0)
        send_body(s, q, f, from, faulty);
}

/* /org/tiny/resolve/REVISION/PATH */
static void resolve(struct hub_server *s, const struct request *q, const char *rest)
{
    const char *slash = strchr(rest, '/');
    const struct hub_file *f = slash ? hub_find(s, slash + 1) : NULL;
    struct hub_faults *x = &s->fault;
    if (!f) {
        sendf(q->fd,
              "HTTP/1.1 404 Not Found\r\nX-Error-Code: EntryNotFound\r\nContent-Length: 0\r\n%s",
              end);
    } else if (!f->large) {
        send_file(s, q, f, false);
    } else {
        char address[200];
        snprintf(address, sizeof address, "http://127.0.0.1:%d/blob/%s", s->other_port, f->path);
        sendf(
            q->fd,
            "HTTP/1.1 302 Found\r\nLocation: %s\r\nX-Linked-Etag: \"%s\"\r\nX-Linked-Size: %ld\r\n"
            "ETag: \"0000\"\r\nX-Repo-Commit: %s\r\nContent-Length: 3\r\n%s%s",
            x->location ? x->location : address, x->etag ? x->etag : f->etag,
            (long)f->size + x->size_lie, x->commit ? x->commit : HUB_COMMIT, end,
            strcmp(q->method, "HEAD") ? "sent" : "");
    }
}

static bool may_see(const struct hub_server *s, const struct request *q)
{
    const char *want = s->fault.token;
    return !want ||
           (q->token && !strncmp(q->token, want, strlen(want)) && q->token[strlen(want)] == '\r');
}

static void answer(struct hub_server *s, const struct request *q)
{
    static const char api[] = "/api/models/" HUB_NAME "/revision/",
                      files[] = "/" HUB_NAME "/resolve/";
    struct hub_faults *x = &s->fault;
    const char *code = x->code ? x->code : "";
    const char *path = q->path;
    if (!strncmp(path, "http://", 7)) /* asked as a proxy */
        path = strchr(path + 7, '/');
    const char *old = x->renamed ? strstr(path, x->renamed) : NULL;
    if (q->other || !strncmp(path, "/blob/", 6)) {
        const struct hub_file *f = strncmp(path, "/blob/", 6) ? NULL : hub_find(s, path + 6);
        if (f)
            send_file(s, q, f, true);
        else
            sendf(q->fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n%s", end);
    } else if (old) {
        sendf(q->fd,
              "HTTP/1.1 307 Temporary Redirect\r\nLocation: %.*s%s%s\r\nContent-Length: 0\r\n%s",
              (int)(old - path), path, HUB_NAME, old + strlen(x->renamed), end);
    } else if (x->status) {
        sendf(q->fd,
              "HTTP/1.1 %d Fault\r\nX-Error-Code: %s\r\nX-Error-Message: why\x1b[31m so\r\n"
              "Content-Length: 5\r\n%s%s",
              x->status, code, end, strcmp(q->method, "HEAD") ? "fault" : "");
        if (x->n_status && --x->n_status == 0)
            x->status = 0;
    } else if (!may_see(s, q)) {
        sendf(q->fd, "HTTP/1.1 401 Unauthorized\r\nX-Error-Code: %s\r\nContent-Length: 0\r\n%s",
              code, end);
    } else if (!strncmp(path, api, sizeof api - 1)) {
        if (strcmp(path + sizeof api - 1, "main") &&
            strcmp(path + sizeof api - 1, "refs%2Fpr%2F1") &&
            strcmp(path + sizeof api - 1, HUB_COMMIT))
            sendf(
                q->fd,
                "HTTP/1.1 404 Not Found\r\nX-Error-Code: RevisionNotFound\r\nContent-Length: 0\r\n%s",
                end);
        else
            send_listing(s, q);
    } else if (!strncmp(path, files, sizeof files - 1)) {
        resolve(s, q, path + sizeof files - 1);
    } else {
        sendf(q->fd,
              "HTTP/1.1 404 Not Found\r\nX-Error-Code: RepoNotFound\r\nContent-Length: 0\r\n%s",
              end);
    }
}

static void *serve(void *user)
{
    struct hub_server *s = user;
    for (;;) {
        struct pollfd p[3] = {{.fd = s->listener[0], .events = POLLIN},
                              {.fd = s->listener[1], .events = POLLIN},
                              {.fd = s->stop[0], .events = POLLIN}};
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            return NULL;
        if (p[2].revents)
            return NULL;
        for (int i = 0; i < 2; i++) {
            if (!(p[i].revents & POLLIN))
                continue;
            struct request q = {.other = i == 1, .fd = accept(s->listener[i], NULL, NULL)};
            if (q.fd < 0)
                continue;
            if (read_request(&q)) {
                pthread_mutex_lock(&s->busy);
                pthread_mutex_lock(&s->lock);
                note(s, &q);
                pthread_mutex_unlock(&s->lock);
                answer(s, &q);
                pthread_mutex_unlock(&s->busy);
            }
            shutdown(q.fd, SHUT_WR);
            close(q.fd);
        }
    }
}

static int listen_on(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof a) && !listen(fd, 16) &&
                !getsockname(fd, (struct sockaddr *)&a, &n));
    *port = ntohs(a.sin_port);
    return fd;
}

void hub_start(struct hub_server *s)
{
    *s = (struct hub_server){.lock = PTHREAD_MUTEX_INITIALIZER, .busy = PTHREAD_MUTEX_INITIALIZER};
    s->listener[0] = listen_on(&s->port);
    s->listener[1] = listen_on(&s->other_port);
    assert_int_equal(pipe(s->stop), 0);
    snprintf(s->endpoint, sizeof s->endpoint, "http://127.0.0.1:%d", s->port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

void hub_stop(struct hub_server *s)
{
    s->released = true;
    assert_int_equal(write(s->stop[1], "x", 1), 1);
    pthread_join(s->thread, NULL);
    for (int i = 0; i < 2; i++) {
        close(s->listener[i]);
        close(s->stop[i]);
    }
    for (int i = 0; i < s->n_files; i++)
        free(s->file[i].bytes);
}

void hub_add(struct hub_server *s, const char *path, const void *bytes, size_t size, bool large)
{
    struct hub_file *f = &s->file[s->n_files++];
    assert_true(s->n_files <= HUB_FILES_MAX);
    *f = (struct hub_file){.bytes = malloc(size + 1), .size = size, .large = large};
    snprintf(f->path, sizeof f->path, "%s", path);
    memcpy(f->bytes, bytes, size);
    struct digest *d = digest_new(large ? DIGEST_SHA256 : DIGEST_GIT_SHA1, size);
    digest_add(d, bytes, size);
    digest_end(d, f->etag);
}

const struct hub_file *hub_find(const struct hub_server *s, const char *path)
{
    for (int i = 0; i < s->n_files; i++)
        if (!strcmp(s->file[i].path, path))
            return &s->file[i];
    return NULL;
}

void hub_reset(struct hub_server *s)
{
    s->released = true;
    pthread_mutex_lock(&s->busy);
    s->fault = (struct hub_faults){0};
    s->n_log = 0;
    s->log[0] = '\0';
    s->released = false;
    s->reached_cut = 0;
    pthread_mutex_unlock(&s->busy);
}

void hub_fail(struct hub_server *s, struct hub_faults fault)
{
    pthread_mutex_lock(&s->busy);
    s->fault = fault;
    pthread_mutex_unlock(&s->busy);
}

int hub_asked(struct hub_server *s, const char *a, const char *b)
{
    int n = 0;
    char line[2400];
    pthread_mutex_lock(&s->lock);
    for (const char *p = s->log; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        snprintf(line, sizeof line, "%.*s", (int)strcspn(p, "\n"), p);
        n += strstr(line, a) && strstr(line, b);
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}
