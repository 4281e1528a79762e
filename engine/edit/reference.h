/* reference.h - reference sets: named lists of prompts whose activations edits read, mean(REF) and
 * resample(REF).
 *
 * A set is immutable and counted, so that the interface and the worker share one.  Its file is
 * text: one prompt per line, as written (blanks count), UTF-8, a carriage return before the newline
 * and a byte order mark at the start left out; empty lines are skipped.  Where a model has no
 * tokenizer a line is token ids: 3, 17 42.  A file of statistics (.safetensors, lab/stats.h) is a
 * set without prompts, whose means are known: HOOK.mean for every hook.  Knows no runs and no
 * values (reference_mean.h).  Tested in tests/engine/test_reference.c and
 * tests/fuzz/fuzz_reference.c. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stdatomic.h>

#include "model/model.h"

#define REFERENCE_NAME "ref" /* of a file that is given without a name */

struct reference_set {
    atomic_int refs;
    char *name, *path;
    struct checkpoint *means; /* of a file of statistics, which has no prompts; else NULL */
    int32_t n;                /* prompts, >= 1 */
    int32_t longest;          /* tokens of the longest */
    int64_t n_tokens;         /* of all prompts */
    const int64_t *start;     /* [n + 1] */
    const int32_t *tokens;    /* [n_tokens]: prompt i is [start[i], start[i + 1]) */
};

/* "NAME=FILE", or "FILE" alone, whose name is REFERENCE_NAME.  What stands before the first = is a
 * name if it is made of letters, digits, _ . and -.  bos as model_tokens.  *out is freed with
 * reference_free; errors name file and line. */
int reference_load(struct reference_set **out, const struct model *m, int bos, const char *arg,
                   struct err *e);
/* The same from bytes; `path` is for messages. */
int reference_parse(struct reference_set **out, const struct model *m, int bos, const char *name,
                    const char *path, const char *text, size_t len, struct err *e);
/* From token lists; the caller checked the ids. */
int reference_make(struct reference_set **out, const char *name, const int32_t *const *tokens,
                   const int32_t *lengths, int32_t n, struct err *e);
/* Another reference to the same set.  Never fails. */
struct reference_set *reference_hold(const struct reference_set *s);
void reference_free(struct reference_set *s);

/* The set of that name, or NULL with one line: which there are. */
const struct reference_set *reference_find(struct reference_set *const *sets, int32_t n,
                                           const char *name, struct err *e);

/* Is a path one of statistics, by its ending? */
bool reference_is_statistics(const char *path);
/* The means of a hook's elements in a file of statistics, `n` of them; NULL with one line where it
 * has none. */
struct st_tensor;
const struct st_tensor *reference_means_of(const struct reference_set *s, const char *hook,
                                           int64_t n, struct err *e);

/* Which prompt resample(REF, seed=SEED) takes: of the prompts with n_min tokens or more the one
 * with the least splitmix64 of seed (as 32 bits) x 2^32 + index; so a prompt that is drawn stays
 * drawn while it is long enough.  -1 if none is. */
int32_t reference_draw(const struct reference_set *s, int32_t seed, int32_t n_min);

#endif
