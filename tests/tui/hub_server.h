/* hub_server.h - test support: a hub on 127.0.0.1, and the host behind it that large files come
 * from, in a thread of the test.
 *
 * It serves one repository from memory as the hub does: the list of files, HEAD and GET of
 * /NAME/resolve/REVISION/PATH, where small files are answered and large ones are sent on to the
 * other port.  Its faults are set by the test between requests. */
#ifndef HUB_SERVER_H
#define HUB_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define HUB_NAME "org/tiny"
#define HUB_COMMIT "0123456789abcdef0123456789abcdef01234567"

enum { HUB_FILES_MAX = 24, HUB_LOG_MAX = 1 << 14 };

struct hub_file {
    char path[80];
    char *bytes;
    size_t size;
    bool large; /* named by SHA-256, from the other port */
    char etag[65];
};

/* What goes wrong.  All zero: nothing. */
struct hub_faults {
    int status;               /* of every answer of the hub; 0: the right one */
    int n_status;             /* so often; 0: always */
    const char *code;         /* its X-Error-Code */
    const char *token;        /* asked for: others get 401 and `code` */
    const char *listing;      /* instead of the list of files */
    const char *commit;       /* instead of the commit in X-Repo-Commit */
    const char *etag;         /* instead of the checksum */
    const char *location;     /* instead of the address on the other port */
    const char *renamed;      /* the old name, sent on to HUB_NAME on the same host */
    long size_lie;            /* added to X-Linked-Size */
    int cuts;                 /* answers of the other port that are cut off, -1: all */
    size_t cut_at;            /* after so many bytes of them */
    int corrupt;              /* answers of the other port with a wrong byte, -1: all */
    long length_lie;          /* added to what the other port sends, and says it sends */
    bool no_range, bad_range; /* ranges are ignored; answered from elsewhere */
    bool compressed;          /* says that its answers are */
    int stall_ms;             /* silence after cut_at bytes of an answer of the other port */
    bool waits_for_release;   /* and until `released` */
};

struct hub_server {
    int port, other_port, listener[2], stop[2];
    pthread_t thread;
    pthread_mutex_t lock; /* of the log */
    pthread_mutex_t busy; /* held while a request is answered */
    struct hub_file file[HUB_FILES_MAX];
    int n_files;
    struct hub_faults fault;
    atomic_int reached_cut; /* how many answers have come to cut_at */
    atomic_bool released;
    char log[HUB_LOG_MAX]; /* "hub HEAD /path auth range=5-", one a line */
    size_t n_log;
    char endpoint[64];
};

void hub_start(struct hub_server *s);
void hub_stop(struct hub_server *s);
/* A file of the repository; the bytes are copied. */
void hub_add(struct hub_server *s, const char *path, const void *bytes, size_t size, bool large);
const struct hub_file *hub_find(const struct hub_server *s, const char *path);
/* No faults, no log; after the answer that a client left behind, if there is one. */
void hub_reset(struct hub_server *s);
/* Lines of the log that hold all of these. */
int hub_asked(struct hub_server *s, const char *a, const char *b);
/* From the next request on, a client in another process. */
void hub_fail(struct hub_server *s, struct hub_faults fault);

#endif
