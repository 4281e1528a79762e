/* long_work.h - what commands have in common that take long: ranks that share the work, a line that
 * says how far it is, a state on disk (--resume) from which it goes on.
 *
 * Only rank 0 reads and writes the state, and prints; the others are silent.  Tested in
 * tests/tui/test_cli_stats.c, tests/tui/test_cli_eval.c and tests/tui/test_ranks.sh. */
#ifndef LONG_WORK_H
#define LONG_WORK_H

#include "base/ranks.h"
#include "cli.h"
#include "lab/texts.h"
#include "progress.h"

struct long_work {
    struct cli *c;
    struct progress progress;
    double saved;          /* when, */
    struct texts_place at; /* and where */
};

/* Does mpirun's or srun's number of this command's processes mean that they share its work? */
bool long_work_shared(const struct command *cmd);
/* Whether this program was built with MPI, in words. */
const char *long_work_mpi(void);
/* Meet the other ranks, into c->ranks; alone: NULL. */
int long_work_ranks(struct cli *c);
/* The state of --resume is of other contents of files, sets or prompts: the error that says so. */
int long_work_read_differs(struct cli *c);
/* This rank goes from here to the work, whatever came of opening (`rc`): as ranks_agree. */
int long_work_agree(struct cli *c, int rc, const void *about, size_t n_about, void *start,
                    size_t n);

/* May FILE of --resume be written?  Of rank 0 alone. */
int long_work_check(struct cli *c);
/* Is there a state to read? */
bool long_work_goes_on(const struct cli *c);

/* `what` is counted, of which an earlier run counted `before`.  Until long_work_end a signal that
 * ends programs waits for the state to be written, if there is one. */
void long_work_begin(struct long_work *w, struct cli *c, const char *what, int64_t before);
/* Show how far all are. */
void long_work_tell(struct long_work *w, const struct gather_news *news);
/* Is it time to write the state, which goes on at `next`? */
bool long_work_due(const struct long_work *w, const struct texts_place *next);
/* It was written (rc, c->err): ERR_CANCELLED where a signal waits. */
int long_work_saved(struct long_work *w, const struct texts_place *next, int rc);
void long_work_end(const struct long_work *w);
/* The result is there: the state goes. */
void long_work_forget(struct cli *c);

#endif
