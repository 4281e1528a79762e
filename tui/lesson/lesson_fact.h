/* lesson_fact.h - what a lesson can say, or ask, about the model in front of the student: figures
 * by name.
 *
 *     delta                           logit of the pair's first token minus the second's, at the
 * answer kl                              KL(base || edited) there, in nats top POS LAYER the best
 * token of a lens cell; LAYER emb, or the block before it p POS LAYER "TOKEN"             the
 * probability that it gives a token rank POS LAYER "TOKEN"          that token's place, 0 the best
 *     norm POS HOOK                   Euclidean norm of a hook's row
 *     source LAYER HEAD POS           the position that a head looks at most from POS
 *     weight LAYER HEAD POS SRC       how much of its attention goes to SRC
 *     score KIND LAYER HEAD           previous, duplicate, induction, first, self or entropy
 * (lens.h) head KIND LAYER                 the head with the highest of these scores edits how many
 * edits are on
 *
 * Positions from the end are negative.  The figures are those of the edited run while edits are on,
 * with `base` in front always those of the base run.  Reading one is pure; values come from
 * snapshots, asked for like those of a view.  One thread.  Tested in tests/tui/test_lessons.c,
 * tests/fuzz/fuzz_lesson.c. */
#ifndef LESSON_FACT_H
#define LESSON_FACT_H

#include "app.h"

enum fact_kind {
    FACT_DELTA,
    FACT_KL,
    FACT_TOP,
    FACT_P,
    FACT_RANK,
    FACT_NORM,
    FACT_SOURCE,
    FACT_WEIGHT,
    FACT_SCORE,
    FACT_HEAD,
    FACT_EDITS,
    FACT_COUNT
};
enum { FACT_TEXT_MAX = 96, FACT_EMBEDDING = -1 };

struct fact {
    enum fact_kind kind;
    bool base;
    int32_t pos, src, layer, head, score; /* score: place in the list above */
    char text[FACT_TEXT_MAX];             /* the token or the hook */
};

enum fact_type { FACT_NUMBER, FACT_TOKEN, FACT_POSITION, FACT_INDEX };
struct fact_value {
    enum fact_type type;
    double number; /* FACT_TOKEN: its id */
};

/* Read a fact from text[n].  False: why[160] says what was expected. */
bool fact_read(const char *text, size_t n, struct fact *out, char why[160]);
enum fact_type fact_type(const struct fact *f);
/* Append what it is made of to a list of wants. */
void fact_want(const struct app *a, const struct fact *f, struct want_list *l);
/* False: it is not there yet, or never (a token or hook that this model does not have). */
bool fact_value(const struct app *a, const struct fact *f, struct fact_value *out);
/* As a lesson shows it: a token quoted, a position with its token, "…" while it is not there. */
void fact_add(const struct app *a, const struct fact *f, struct bytes *out);
/* Is `typed` this value?  Tokens with or without quotes and leading space; positions by number or
 * token; heads as 3, H3 or L1H3; numbers no farther off than `within`. */
bool fact_matches(const struct app *a, const struct fact *f, const char *typed, double within);

#endif
