/* lesson.h - a lesson as text: reading it.
 *
 *     # comment
 *     title  The lens                      what the list says of it
 *     about  what the model would say after each layer
 *     model  teach                         the model that it speaks of
 *     step   The answer forms in one layer a step begins; all below belongs to it
 *     fresh                                no edits
 *     do     view grid                     a command of the `:` line
 *     keys   2LL<Enter>                    keys of the default key map
 *     type   " bread river"                text into the line that is open
 *     say    The best token is {top -1 3}. shown; lines of `say` join, an empty one ends a
 * paragraph claim  p -1 3 " Mary" > 0.9          what the text rests on (lesson_fact.h): <, > or =
 *     ask    Which head of layer 1 is it?  a question ...
 *     answer head induction 1              ... with its answer, a figure; numbers `within 0.5`
 *     try    Zero that head.               or a task ...
 *     until  delta < 0                     ... done when this holds
 *     solve  x                             keys that do it, or a :command, for whoever gives up
 *     right  Yes: {head induction 1}.      said when it is right, and when it is not
 *     wrong  Look at the row `induction`.
 *
 * A {FIGURE} in what is shown stands for its value in the model of now.  Pure; bad lines are all
 * told.  One thread.  Tested in tests/tui/test_lessons.c, tests/fuzz/fuzz_lesson.c. */
#ifndef LESSON_H
#define LESSON_H

#include "lesson/lesson_fact.h"

enum {
    LESSON_BYTES_MAX = 1 << 18,
    LESSON_STEPS_MAX = 64,
    LESSON_ACTIONS_MAX = 16,
    LESSON_CLAIMS_MAX = 16
};

enum lesson_act { LESSON_KEYS, LESSON_TYPE, LESSON_DO, LESSON_FRESH /* no edits */ };
struct lesson_action {
    enum lesson_act act;
    char *text;
};

/* FACT OP VALUE; a token is compared by its text, without a leading space. */
struct lesson_claim {
    struct fact fact;
    char op; /* '<', '>', '=' */
    double number;
    char token[FACT_TEXT_MAX]; /* "": a number */
};

struct lesson_step {
    char *title;
    struct lesson_action action[LESSON_ACTIONS_MAX];
    int n_actions;
    struct lesson_claim claim[LESSON_CLAIMS_MAX];
    int n_claims;
    char *say, *ask, *attempt, *right, *wrong, *solve; /* NULL: none */
    bool has_answer, has_until;
    struct fact answer;
    double within;
    struct lesson_claim until;
    int line; /* where it begins, from 1 */
};

struct lesson {
    char *title, *about, *model;
    struct lesson_step *step;
    int n;
};

/* Read a lesson; `name` stands in the errors, which are appended to *errors, a line each.  Returns
 * how many, or -1 when out of memory.  *l is to be freed in any case. */
int lesson_parse(struct lesson *l, const char *name, const char *text, size_t len,
                 struct bytes *errors);
void lesson_free(struct lesson *l);

/* Call `each` for the parts of a text with figures: text, or a fact (text NULL).  False: a brace
 * that is not a fact; why[160] says so. */
bool lesson_text(const char *s,
                 void (*each)(void *to, const char *text, size_t n, const struct fact *f), void *to,
                 char why[160]);

/* Built-in lessons: the text of one, NULL if there is none; its name by number, NULL behind the
 * last. */
const char *lesson_builtin(const char *name, size_t *len);
const char *lesson_name(int i);

#endif
