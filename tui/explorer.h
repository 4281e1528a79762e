/* explorer.h - the explorer as the program starts it: with a terminal, as plain text, or from a
 * script.
 *
 * The caller set the locale (LC_CTYPE).  With a terminal the first frame is there before the model;
 * errors of its opening are returned; nothing is left switched on in the terminal, whatever
 * happens. */
#ifndef EXPLORER_H
#define EXPLORER_H

#include <stdio.h>

#include "app.h"

struct explorer_options {
    struct app_options app; /* keymap is filled in here */
    size_t cache_bytes;
    const char *graphics, *color; /* tty.h; NULL = auto */
    const char *keymap;           /* "default", "vim", "emacs" or a file; NULL = default */
    bool plain;                   /* sentences instead of a screen (plain.h) */
    bool no_mouse;
    const char *session;      /* a file to go on with; NULL = none */
    const char *session_name; /* what `save` then writes over; NULL: it has no name yet */
    const char *name;         /* of the model, while it is being opened */
    /* Opens the model and fills in `app` and cache_bytes; NULL: they are.  With a terminal it is
     * called on a thread of its own, may write nothing there, and the process may end meanwhile:
     * who leaves does not wait for it. */
    int (*open)(void *of, struct explorer_options *o, struct err *e);
    void *of;
};

/* Run until the user quits.  Without a usable terminal, or with `plain`: as linear text. */
int explorer_main(const struct explorer_options *o, struct err *e);
/* Print the key map in force; bad lines are warnings on stderr. */
int explorer_print_keymap(const char *keymap, FILE *out, struct err *e);
/* Drive the interface with a script, in w x h cells, and print its screens (play.c). */
int play_main(const struct explorer_options *o, const char *script, size_t len, const char *name,
              int w, int h, FILE *out, struct err *e);
/* The key map of these options: built in, then the user's file.  Warnings (a line each) to
 * *warnings. */
int explorer_keymap(const char *name, struct keymap *m, struct bytes *warnings, struct err *e);

#endif
