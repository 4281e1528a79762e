/* tidy.h - the style of this project as a failing test.
 *
 * Every text file of the tree is read once; each rule looks at one file, or at all of them, and
 * reports. The rules are heuristics on text: they rely on the layout of this project (braces of
 * functions in the first column, one declaration a paragraph) and parse no C.  tests/tidy/bad holds
 * a violation of each. What a rule must let pass stands in exceptions.txt with its reason. */
#ifndef TIDY_H
#define TIDY_H

#include <stdbool.h>
#include <stddef.h>

/* One text file: `code` is `text` with comments and the insides of literals blanked, at the same
 * offsets. */
struct source {
    char *path; /* from the root: "engine/run/run.c" */
    char *text, *code;
    size_t len;
};

struct tree {
    struct source *files; /* sorted by path */
    int n;
};

/* Read every text file below `root`; false when that is no folder.  Lives until the program ends.
 */
bool tree_read(struct tree *t, const char *root);
/* The file at exactly `path`, or NULL. */
const struct source *tree_find(const struct tree *t, const char *path);

/* Report a violation at an offset of s->text.  `symbol` (may be NULL) narrows exceptions to
 * PATH:SYMBOL. */
void report(const struct source *s, size_t at, const char *rule, const char *symbol,
            const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Is `path` below folder `dir` ("engine/"), does it end in `suffix`? */
bool path_in(const char *path, const char *dir);
bool path_ends(const char *path, const char *suffix);
bool is_c(const struct source *s); /* .c, .h, .def, .cu, .comp */

/* The next identifier of `code` at or after *at: its length, *at at its start; 0 at the end. */
size_t next_word(const char *code, size_t *at);

/* The rules; each is one function of rule_*.c and one row of the table in tidy.c. */
void rule_include(const struct tree *t, const struct source *s);
void rule_banned(const struct tree *t, const struct source *s);
void rule_size(const struct tree *t, const struct source *s);
void rule_head(const struct tree *t, const struct source *s);
void rule_named_test(const struct tree *t, const struct source *s);
void rule_guard(const struct tree *t, const struct source *s);
void rule_declared(const struct tree *t, const struct source *s);
void rule_layout(const struct tree *t, const struct source *s);
void rule_words(const struct tree *t, const struct source *s);
void rule_keys(const struct tree *t, const struct source *s);
void rule_property(const struct tree *t, const struct source *s);
void rule_flags(const struct tree *t, const struct source *s);
void rule_listed(const struct tree *t, const struct source *s);
void rule_packages(const struct tree *t, const struct source *s);
void rule_rows(const struct tree *t, const struct source *s);
void rule_named(const struct tree *t, const struct source *s);

#endif
