/* figure.h - the numbers behind a view, one after the other: all that it asked for and has, and
 * what it shows of no snapshot's (view.h), in both faces.
 *
 * Each kind of want (want.def) has a function here that tells its elements.  Tested in
 * tests/tui/test_write.c. */
#ifndef FIGURE_H
#define FIGURE_H

#include "app.h"

enum { FIGURE_INDEX_BYTES = 64 };

/* One number, or text, in the faces that have it. */
struct figure {
    char hook[LIMIT_NAME]; /* "": of none */
    int32_t row;           /* position, -1: of the prompt as a whole */
    const char *what;      /* "entropy" */
    char
        index[FIGURE_INDEX_BYTES]; /* its place within position and hook: "3", "head=2"; "": none */
    bool there[FACE_COUNT];
    bool array; /* one of a want's whole rows, which figure_npz writes as they are */
    double value[FACE_COUNT];
    const char *text[FACE_COUNT]; /* in place of a value: len[] bytes; NULL: a value */
    size_t len[FACE_COUNT];
    int32_t id[FACE_COUNT]; /* of a text that is a token's; -1: it is not */
};

/* Who takes them; the figure is the caller's and good until it returns. */
struct figures {
    const struct app *a;
    void (*take)(struct figures *to, const struct figure *f);
    int64_t n;
};

/* Nothing of it is there yet; a view fills hook, row and index, and tells with the three below. */
struct figure figure_make(void);
void figure_number(struct figures *to, struct figure *f, const char *what, double base,
                   double edited);
void figure_token(struct figures *to, struct figure *f, const char *what, int32_t base,
                  int32_t edited);
/* A text of the base face. */
void figure_text(struct figures *to, struct figure *f, const char *what, const char *text);

/* All of them; to->n: how many. */
void figure_each(struct figures *to);

#endif
