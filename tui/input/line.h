/* line.h - one line of text being typed: caret, erasing, history, and how it is shown.
 *
 * Holds any bytes; whole UTF-8 characters are moved over and erased.  Shown through the sanitizer.
 * Pure.  Tested in tests/tui/test_line.c. */
#ifndef LINE_H
#define LINE_H

#include "canvas.h"

enum { LINE_MAX_BYTES = 1 << 16, LINE_HISTORY_MAX = 200 };

struct line {
    struct bytes text; /* NUL-terminated once anything was added; line_text gives "" before */
    size_t caret;      /* byte offset, on a character */
};

struct line_history {
    char **item; /* oldest first */
    int n, at;   /* at == n: the line being typed */
    char *draft; /* that line, while an older one is shown */
};

const char *line_text(const struct line *l);
void line_set(struct line *l, const char *text, size_t len);
void line_insert(struct line *l, const char *text, size_t len);
/* Commands of the caret and erase actions: "left", "right", "word-left", "word-right", "word",
 * "home", "end". False: no such word. */
bool line_caret(struct line *l, const char *how);
bool line_erase(struct line *l, const char *how);
void line_free(struct line *l);
/* Draw at (x, y) of r, scrolled so that the caret is seen; returns the caret's column in r. */
int line_draw(const struct line *l, struct canvas *c, struct rect r, int x, int y);

void line_history_add(struct line_history *h, const char *text);
/* step -1: older, +1: newer.  Replaces the line. */
void line_history_step(struct line_history *h, struct line *l, int step);
void line_history_free(struct line_history *h);

#endif
