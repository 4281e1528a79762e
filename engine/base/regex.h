/* regex.h - the regular expressions of tokenizer.json: Oniguruma's dialect on PCRE2.
 *
 * The files are written for Oniguruma; where the dialects differ (\s, \w, \h, X{n,m}+, line
 * anchors) the pattern is rewritten, and what cannot be rewritten (negated sets in classes, && in
 * classes,
 * (?m)) is refused. A compiled expression is read-only and shared; scratch belongs to one thread.
 * Tested in tests/engine/test_regex.c. */
#ifndef REGEX_H
#define REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct regex;
struct regex_match;

/* `literal`: the pattern is plain text.  NULL and *e (without file or key) on failure. */
struct regex *regex_compile(const char *pattern, size_t len, bool literal, struct err *e);
void regex_free(struct regex *r);

struct regex_match *regex_match_new(void); /* NULL: out of memory */
void regex_match_free(struct regex_match *m);

/* Walk all matches of valid UTF-8, in order, not overlapping:
 *   struct regex_walk k = regex_walk_start(r, m, s, len);
 *   while ((rc = regex_next(&k, e)) > 0) use(k.begin, k.end);
 * An empty match right behind the last one is passed over.  rc < 0: the pattern ran out of its
 * bounds. */
struct regex_walk {
    const struct regex *regex;
    struct regex_match *match;
    const char *s;
    size_t len, from, begin, end;
    bool any;
};
struct regex_walk regex_walk_start(const struct regex *r, struct regex_match *m, const char *s,
                                   size_t len);
int regex_next(struct regex_walk *k, struct err *e);

#endif
