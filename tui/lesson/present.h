/* present.h - the explorer before a class: rows apart where there are enough of them, no key bar,
 * the last keys and what they did on the message line, and edits that can be locked.
 *
 * With PRESENT_ROWS rows and more every second one is left free: views draw into half as many rows
 * of twice the height, pictures too.  One thread.  Tested in tests/tui/test_present.c. */
#ifndef PRESENT_H
#define PRESENT_H

#include "action.h"
#include "frame.h"

enum { PRESENT_ROWS = 44, PRESENT_KEYS = 8 };

struct present {
    bool on, locked;
    int rows; /* of the screen; twice what the views have when they are apart */
    bool apart;
    uint32_t key[PRESENT_KEYS]; /* the last ones, oldest first */
    int n_keys;
    char command[48]; /* what the last of them ran; "" = nothing */
};

/* Begin (locked or not) or end; the size stays. */
void present_set(struct app *a, bool on, bool locked);
/* Rows that views have on a screen of `rows`. */
int present_rows(struct present *p, int rows);
/* A key came; it ran a command. */
void present_key(struct present *p, uint32_t key);
void present_ran(struct present *p, const char *command);
/* Would it change edits that are locked?  Says so. */
bool present_refuses(struct app *a, enum action_id id);
/* The last keys, at the right end of the message line. */
void present_draw(const struct app *a, struct canvas *c, struct rect r);
/* Give every row of a frame a second one, on a canvas of `rows`; false: out of memory. */
bool present_spread(struct frame *f, int rows);

#endif
