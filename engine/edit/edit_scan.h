/* edit_scan.h - the reading head of the edit parser; private to edit_parse*.c.
 *
 * Functions that return int return 0 or, with the error filled, a negative code; scan_take and
 * scan_int skip the blanks before their part. */
#ifndef EDIT_SCAN_H
#define EDIT_SCAN_H

#include "edit/edit_form.h"

struct scan {
    const char *text, *p;
    struct edit *ed;
    int32_t n_spans;
    char *bytes; /* next free byte of the text pool */
    struct err *e;
};

/* "what · column N · what would work"; columns count characters from 1. */
int scan_fail_at(struct scan *s, const char *at, const char *what, const char *would_work);
int scan_fail(struct scan *s, const char *what, const char *would_work);
bool scan_is_blank(char c);
bool scan_is_digit(char c);
bool scan_is_word(char c);
void scan_blanks(struct scan *s);
/* Outside brackets and quotes a '#' begins a comment. */
void scan_comments(struct scan *s);
/* Pass `text` if it is next. */
bool scan_take(struct scan *s, const char *text);
/* The length of the word at p; 0 where none begins. */
size_t scan_word_len(const char *p);
bool scan_word_is(const char *p, size_t n, const char *word);
int scan_int(struct scan *s, int32_t *out);
/* A string in quotes, to the text pool with a NUL behind it. */
int scan_quoted(struct scan *s, const char **text, int32_t *len);
/* "[…]" if it is next; "OP VALUE [, renormalize]" up to the end of the text. */
int edit_parse_index(struct scan *s);
int edit_parse_action(struct scan *s);

#endif
