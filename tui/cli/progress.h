/* progress.h - a line on standard error while a command works: drawn over in a terminal,
 * elsewhere nothing, or a line now and then.  Tested in tests/tui/test_lab.sh. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    double begun, shown;      /* seconds, as progress_now; shown 0: never */
    double first, first_time; /* the share that was told first, and when: what is left is
                                 reckoned from there */
    int64_t before;           /* of what is counted, what an earlier run did */
    const char *what;         /* is counted: "tokens" */
    double warned;            /* when, last; 0: never */
    bool terminal;            /* standard error is one */
    bool lines;               /* where it is none: a line every ten seconds */
};
enum { PROGRESS_TAIL = 200 };

double progress_now(void);
void progress_begin(struct progress *p, const char *what, int64_t before);
/* How many are done and which share of the work that is (negative: not known), shown at most ten
 * times a second, `tail` behind it.  Returns the time. */
double progress_tell(struct progress *p, double share, int64_t done, const char *tail);
/* A line that stays, once a minute, where there is no terminal, too. */
void progress_warn(struct progress *p, const char *text);
/* Takes the line away. */
void progress_end(const struct progress *p);

#endif
