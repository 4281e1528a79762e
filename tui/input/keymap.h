/* keymap.h - which keys run which commands: reading, printing and looking up key map files.
 *
 *     # comment
 *     [grid attention]       the contexts that the lines below are for; "all" = every view
 *     x        zero          keys without blanks (keys.h names), then the command
 *     <C-x>s   write         a sequence: <C-x>, then s
 *     Q        none          no longer bound
 *     set counts on          digits are a repeat count
 *
 * A later line wins over an earlier one.  A bad line is one warning with its number; the rest is
 * read. Pure.  Tested in tests/tui/test_keymap.c, tests/fuzz/fuzz_keymap.c. */
#ifndef KEYMAP_H
#define KEYMAP_H

#include <stdbool.h>

#include "action.h"
#include "bytes.h"
#include "input/keys.h"
#include "text.h"

enum { KEYMAP_SEQ_MAX = 4, KEYMAP_COMMAND_MAX = 256, KEYMAP_BINDINGS_MAX = 4096 };

struct binding {
    uint32_t key[KEYMAP_SEQ_MAX];
    int n;
    unsigned where;
    char *command; /* NULL: bound to nothing */
};

struct keymap {
    struct binding *binding; /* oldest first */
    size_t n, capacity;
    bool counts;
};

void keymap_free(struct keymap *m);
/* Add the lines of `text`; `name` stands in the warnings, which are appended to *warnings, one a
 * line. Returns how many, or -1 when out of memory. */
int keymap_parse(struct keymap *m, const char *name, const char *text, size_t len,
                 struct bytes *warnings);
/* A built-in map by name ("default", "vim", "emacs"): its text, or NULL. */
const char *keymap_builtin(const char *name, size_t *len);
/* What is in force, as a file that keymap_parse reads. */
void keymap_print(const struct keymap *m, struct bytes *out);

enum keymap_match {
    KEYMAP_NONE,
    KEYMAP_RUN,    /* *found is it */
    KEYMAP_PREFIX, /* longer sequences begin so; *found may also be set */
};
/* What the keys typed so far mean in context `where` (one bit). */
enum keymap_match keymap_find(const struct keymap *m, unsigned where, const uint32_t *key, int n,
                              const struct binding **found);
/* Is binding i in force in `where`: not replaced by a later line, not unbound? */
bool keymap_is_active(const struct keymap *m, size_t i, unsigned where);
/* The keys that run `command` in `where` as text ("x", "<C-r>"); "" if there are none. */
void keymap_keys_of(const struct keymap *m, unsigned where, const char *command, char *buf,
                    size_t size);
/* Names of a sequence in one string. */
void keymap_sequence(const uint32_t *key, int n, char *buf, size_t size);

#endif
