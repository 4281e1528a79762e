/* pins.h - figures that stay in sight: what each was when it was pinned, and what it is now, under
 * other edits, another prompt, in any view.
 *
 * A pin is HOOK[INDEX] of the edit language: one element its value, all of a position or of a head
 * there their norm; with a token behind it the lens' probability of the token at that end of a
 * block.  It is placed anew in every prompt ([-1], pos="John").  Kept with the session (saved.def).
 * One thread.  Tested in tests/tui/test_pins.c. */
#ifndef PINS_H
#define PINS_H

#include "bytes.h"
#include "canvas.h"
#include "session/want.h"

enum { PINS_MAX = 8, PIN_TEXT_MAX = 200 };

struct app;

struct pin {
    char text[PIN_TEXT_MAX]; /* HOOK[INDEX] */
    int32_t token;           /* of the lens; -1: a value or a norm */
    bool known;              /* `was` is: the first answer since it was pinned was there */
    double was;
    /* in the prompt of now: what to ask for, and which float of the answer; why: where it is not */
    bool there;
    struct want want;
    int64_t at;
    char why[120];
};

struct pins {
    struct pin pin[PINS_MAX];
    int n;
    char last[PIN_TEXT_MAX + LIMIT_NAME]; /* what was pinned or let go last, as pins_text says it */
};

/* HOOK[INDEX] TOKEN of what is under the cursor; false: nothing there can be pinned. */
bool pins_under(const struct app *a, struct bytes *out);
/* Pin it, or let it go where it is pinned already (*at: which it was, or is).  Errors: no such
 * hook, more than one figure, PINS_MAX are there. */
int pins_toggle(struct app *a, const char *text, int *at, struct err *e);
/* One with what it was, as a session has it. */
int pins_restore(struct app *a, const char *text, bool known, double was, struct err *e);
void pins_drop(struct pins *p, int i);
/* "blocks.2.hook_resid_post[14] \" Mary\"". */
void pins_text(const struct app *a, const struct pin *p, struct bytes *out);

/* Place them in the prompt and ask for them. */
void pins_want(struct app *a, struct want_list *l);
/* A snapshot came: what was pinned since is known now. */
void pins_took(struct app *a);

/* Rows that they take of h; and those rows. */
int pins_rows(const struct app *a, int h);
void pins_draw(const struct app *a, struct canvas *c, struct rect r);
/* The same as sentences. */
void pins_say(const struct app *a, struct bytes *out);

#endif
