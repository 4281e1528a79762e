/* lesson_play.h - a lesson under way in the explorer: its steps, the student's answers, the way out
 * and back.
 *
 * A step acts on the application as its keys would, and remembers what it made of it: the student
 * may do anything with every other key, and the next step, `again` and `back` begin from what the
 * lesson left.  The lesson's text has rows of its own below the view, as many as its longest step
 * needs. One thread; nothing waits.  Tested in tests/tui/test_lessons.c. */
#ifndef LESSON_PLAY_H
#define LESSON_PLAY_H

#include "app.h"

struct lesson;
struct lesson_claim;
struct lesson_step;

/* Begin, at its first step; the lesson is taken over.  Another one that is open ends.  False with a
 * message: it is about another model, or memory is out. */
bool lesson_begin(struct app *a, struct lesson *l);
/* The same of a built-in one. */
bool lesson_begin_named(struct app *a, const char *name);
void lesson_end(struct app *a);
/* "next", "back", "again", "leave"; false: no such word. */
bool lesson_command(struct app *a, const char *word);
/* Do the lesson's keys come before the view's now? */
bool lesson_has_keys(const struct app *a);
/* Is it the lesson itself that presses keys now? */
bool lesson_is_acting(const struct app *a);
/* What was typed as the answer. */
void lesson_answer(struct app *a, const char *text);
/* Ask for what the step on show speaks of. */
void lesson_want(const struct app *a, struct want_list *l);

/* How a claim stands: 1 it holds, 0 it does not, -1 not known yet. */
int lesson_holds(const struct app *a, const struct lesson_claim *c);

/* For drawing and tests. */
enum lesson_state {
    LESSON_TOLD,   /* the step has been shown; its question or task is open */
    LESSON_MISSED, /* a wrong answer, or next before the task was done */
    LESSON_DONE,   /* the answer was right, or the task is done */
    LESSON_SHOWN   /* given up: the answer stands there */
};
struct lesson_view {
    const struct lesson *l;
    const struct lesson_step *step;
    int at; /* step, from 0 */
    enum lesson_state state;
    bool out; /* the student has left it and may come back */
};
/* False: no lesson is open. */
bool lesson_see(const struct app *a, struct lesson_view *out);

/* Rows that the lesson's text takes of a body of h rows (lesson_draw.c); 0: no lesson is open. */
int lesson_rows(const struct app *a, int w, int h);
void lesson_draw(const struct app *a, struct canvas *c, struct rect r);
/* The same as lines, for a listener: the step, its question, what was said of the answer. */
void lesson_say(const struct app *a, struct bytes *out);

#endif
