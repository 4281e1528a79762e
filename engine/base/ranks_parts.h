/* ranks_parts.h - what ranks.c and gather.c share; nobody else includes it. */
#ifndef RANKS_PARTS_H
#define RANKS_PARTS_H

#include "base/ranks.h"
#include "base/ranks_mpi.h"

enum { TAG_HELLO = 1, TAG_AGREE, TAG_NEWS, TAG_UNIT };

enum news_kind { NEWS_PROGRESS, NEWS_FAILED, NEWS_FINISHED };

/* From a rank to rank 0. */
struct news {
    int32_t kind, code;
    int64_t done;
    double share;
    char text[sizeof((struct err *)0)->text]; /* of a failure */
};

/* What rank 0 knows of another one. */
struct ranks_peer {
    char host[RANKS_NAME];
    int32_t pid;
    int64_t done, heard_us; /* when */
    double share;
    int waiting; /* units that came before their turn */
    bool finished;
};

struct ranks {
    void *lib;
    const struct ranks_table *mpi;
    int rank, size, of_node, threads, idle_cores;
    struct ranks_peer *peer; /* [size] of rank 0 */
    bool working;            /* between ranks_agree and the end of gather_end */

    struct news news; /* the last one sent, */
    void *news_request;
    int64_t news_us;
    void *unit; /* the last unit sent, malloc'ed */
    void *unit_request;
    int64_t looked_us; /* when rank 0 last saw whether all live */
};

/* "rank 3 (process 4711 on node2)"; returns its size-limited text. */
const char *ranks_who(const struct ranks *r, int rank, char who[RANKS_NAME + 48]);
int ranks_error(const struct ranks *r, int code, struct err *e);
void ranks_nap(void);
/* Wait until what was sent has gone; *request NULL: nothing was. */
int ranks_sent(struct ranks *r, void **request, struct err *e);
int ranks_send(struct ranks *r, int to, int tag, const void *bytes, size_t n, struct err *e);
/* A message, malloc'ed; waits for it. */
int ranks_receive(struct ranks *r, int from, int tag, void **bytes, size_t *n, struct err *e);
int ranks_tell(struct ranks *r, const struct news *news, struct err *e);

#endif
