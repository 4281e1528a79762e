/* ranks.h - the processes that do the work of one command together, as mpirun or srun started them.
 *
 * Work is cut into units, numbered from 0 by what there is to do and never by how many share it.
 * Unit u is dealt to rank u % size (ranks_mine); what comes of it is some bytes, and rank 0 merges
 * those of all units in the order of their numbers (gather_give): the result has the same bits for
 * every number of ranks, and for a process alone, for which the ranks are NULL.
 *
 *     ranks_open, open what the work needs, ranks_agree;
 *     for each unit that is ranks_mine: compute, gather_give;  gather_poll from time to time;
 *     gather_end; rank 0 has the result; ranks_close
 *
 * A command of several works comes to ranks_agree before each, whatever came of what lies between
 * them, and hands on what rank 0 alone has with ranks_share.
 *
 * MPI is a plugin that is opened only where a launcher started several ranks (ranks_mpi.h).  One
 * thread, that of the work; waiting sleeps.  Tested in tests/engine/test_ranks.c and
 * tests/tui/test_ranks.sh. */
#ifndef RANKS_H
#define RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { RANKS_MAX = 4096, RANKS_NAME = 64 };

struct ranks;

/* The number that a launcher gave this process, without asking MPI; -1: there is no launcher, or it
 * started one process. */
int ranks_started(void);
/* Meet the others.  *out NULL: alone.  `plugin`: paths of the plugin, tried in turn until a NULL.
 * ERR_SYSTEM where a launcher started several and they cannot meet: each would do all the work. */
int ranks_open(struct ranks **out, const char *const *plugin, struct err *e);
/* In the middle of work this ends all ranks: rank 0 once it has told the user, which it does for
 * another one's `why`, too.  Otherwise it waits for all. */
void ranks_close(struct ranks *r, const struct err *why);

int ranks_rank(const struct ranks *r); /* 0 alone */
int ranks_size(const struct ranks *r); /* 1 alone */
/* Of its node's ranks, which one this is; 0 alone. */
int ranks_of_node(const struct ranks *r);
/* Threads for this rank: the node's cores that its ranks may use, divided by their number, and no
 * more than this one may use; 0 alone: as many as it likes. */
int ranks_threads(const struct ranks *r);
/* Cores of the node that none of its ranks may use (launchers bind ranks to cores). */
int ranks_idle_cores(const struct ranks *r);
bool ranks_mine(const struct ranks *r, int64_t unit);

/* All ranks, before a work: `rc` is what came of opening, `e` its message.  Where one failed all
 * return an error, rank 0 with its own or the first one's message, that rank named.  An `rc` of the
 * middle of a work is returned at once: ranks_close tells the others.
 * `about`: what the work is of, the same everywhere or it is an error (models of other files,
 * another program). start[n]: rank 0's bytes, to all. */
int ranks_agree(struct ranks *r, int rc, const void *about, size_t n_about, void *start, size_t n,
                struct err *e);

/* The same where no work follows: rank 0's bytes[n], to all. */
int ranks_share(struct ranks *r, int rc, void *bytes, size_t n, struct err *e);

/* What comes of units, on its way to rank 0. */
struct gather {
    struct ranks *ranks; /* or NULL */
    /* On rank 0, once for each unit, 0, 1, 2 ...; bytes[len] are aligned as malloc does. */
    int (*merge)(void *user, const void *bytes, size_t len, struct err *e);
    void *user;
    int64_t merged;              /* units; of rank 0 */
    struct gather_unit *waiting; /* of rank 0, that came before their turn */
};

/* A unit of this rank, which are given in their order. */
int gather_give(struct gather *g, int64_t unit, const void *bytes, size_t len, struct err *e);

/* How far all ranks are. */
struct gather_news {
    int64_t done;        /* of what is counted, by all ranks */
    double share, least; /* of the work, mean over ranks and of the slowest; negative: not known */
    int slowest;         /* which that is */
    int silent;          /* a rank that was not heard of for a minute, or -1 */
    char who[RANKS_NAME + 48]; /* "rank 3 (process 4711 on node2)" */
};
/* Tell how far this rank is, merge what has come; *news (may be NULL): what is known of all.
 * An error also where a rank failed or died. */
int gather_poll(struct gather *g, int64_t done, double share, struct gather_news *news,
                struct err *e);
/* There are so many units in all: rank 0 waits for those that are missing, calling `wait` (may be
 * NULL) ten times a second, the others until theirs have arrived.  Frees what it holds. */
int gather_end(struct gather *g, int64_t units, int (*wait)(void *user, struct err *e), void *user,
               struct err *e);
/* The same after a failure. */
void gather_free(struct gather *g);

#endif
