/* edit_list.h - the edits of the session: order, on/off bits, undo and redo.
 *
 * An edit is kept as its canonical text and its parsed form.  Every change is one step of the
 * history. Knows nothing of models; whether an edit fits the model is the caller's to check before
 * adding. Tested in tests/tui/test_edit_list.c. */
#ifndef EDIT_LIST_H
#define EDIT_LIST_H

#include "edit/edit.h"

/* How far back undo goes: states, and bytes of all of them, but always one step. */
enum { EDIT_LIST_UNDO_MAX = 1000, EDIT_LIST_UNDO_BYTES = 1 << 26 };

struct edit_list {
    struct edit **edit; /* [n]; parsed */
    char **text;        /* [n]; canonical, with its name behind: "… # before" */
    bool *on;           /* [n] */
    char **why;         /* [n]; why it does not fit at present, NULL: it does */
    bool *in_force;     /* [n]; on, and it fits */
    int n;
    char **past; /* states as text, oldest first; past[at] is the present */
    int n_past, at;
    size_t past_bytes; /* of all states with their NULs */
    bool no_files;     /* new edits that name a file are refused: a guest's (share/host.h) */
};

int edit_list_init(struct edit_list *l, struct err *e);
void edit_list_free(struct edit_list *l);
/* May this edit be a new one of the list? */
int edit_list_may(const struct edit_list *l, const struct edit *ed, struct err *e);
/* Parse and append one edit, switched on.  On failure the list is as before. */
int edit_list_add(struct edit_list *l, const char *text, struct err *e);
/* The same with n edits, in one step of the history. */
int edit_list_add_all(struct edit_list *l, char *const *texts, int n, struct err *e);
/* Replace edit i in its place. */
int edit_list_replace(struct edit_list *l, int i, const char *text, struct err *e);
int edit_list_delete(struct edit_list *l, int i, struct err *e);
/* The name of an edit's text, which edits of one group share; NULL: it has none. */
const char *edit_list_name(const char *text);
/* Call edit i so; NULL or "": no longer. */
int edit_list_rename(struct edit_list *l, int i, const char *name, struct err *e);
/* Switch all edits of a name, in one step; how many there are, or negative. */
int edit_list_set_group(struct edit_list *l, const char *name, bool on, struct err *e);
/* Edits i and k change places: edits act in the order of the list. */
int edit_list_swap(struct edit_list *l, int i, int k, struct err *e);
int edit_list_set_on(struct edit_list *l, int i, bool on, struct err *e);
int edit_list_set_all(struct edit_list *l, bool on, struct err *e);
int edit_list_count_on(const struct edit_list *l);
int edit_list_count_in_force(const struct edit_list *l);
/* Edit i does not fit the model or the prompt: out of force until the list changes or
 * edit_list_retry. */
void edit_list_fail(struct edit_list *l, int i, const char *why);
void edit_list_retry(struct edit_list *l);
/* One step back or forth; 0, or negative when there is none. */
int edit_list_undo(struct edit_list *l, struct err *e);
int edit_list_redo(struct edit_list *l, struct err *e);
/* Become a state of the history, past[at] of then: one step of the history itself. */
int edit_list_become(struct edit_list *l, const char *state, struct err *e);
/* What was undone can not be brought back. */
void edit_list_forget(struct edit_list *l);

#endif
