/* view.h - what a view is: one file view/<name>.c that ends in one `const struct view view_<name>`.
 *
 * A view reads the application's state and the snapshots it is given; it never calls the engine's
 * workers and never waits.  Missing values are drawn as "…", stale ones dim; a NaN is a value.
 * Tested in tests/tui.
 */
#ifndef VIEW_H
#define VIEW_H

#include "action.h"
#include "frame.h"
#include "session/session.h"

struct app;
struct figures;

enum move {
    MOVE_UP,
    MOVE_DOWN,
    MOVE_LEFT,
    MOVE_RIGHT,
    MOVE_PAGE_UP,
    MOVE_PAGE_DOWN,
    MOVE_HOME,
    MOVE_END,
    MOVE_TOP,
    MOVE_BOTTOM,
    MOVE_COUNT
};

/* What the cursor stands on, as a site and the index of an edit: "[-1, 3]" here, "[:, 3]" at all
 * positions. */
struct noun {
    struct site_ref site;
    int32_t expert;         /* 1 + the one whose values they are, 0: the site as it is */
    char here[64], all[64]; /* "" = everything */
};

struct view {
    const char *help;
    /* Bring cursor and scrolling into what exists and fits `body`; called before want and draw. */
    void (*layout)(struct app *a, struct rect body);
    /* Ask for the data that draw needs: what is to be there first comes first. */
    void (*want)(const struct app *a, struct want_list *w);
    void (*draw)(struct app *a, struct frame *f, struct rect body);
    /* The panel at the side, or NULL. */
    void (*side)(struct app *a, struct frame *f, struct rect r);
    /* What is shown, for the second row: "lens: top-1 of blocks.*.hook_resid_post". */
    void (*title)(const struct app *a, struct bytes *out);
    /* Move the cursor; positions outside are mended by layout. */
    void (*move)(struct app *a, enum move m, int count);
    /* False: nothing under the cursor can be edited. */
    bool (*noun)(const struct app *a, struct noun *n);
    /* Go in; false: nothing to go into. */
    bool (*enter)(struct app *a);
    /* Put the cursor at a cell of the screen; false: nothing there. */
    bool (*click)(struct app *a, int x, int y);
    /* The same in sentences, a fact a line: what the cursor stands on and what belongs to it. */
    void (*say)(const struct app *a, struct bytes *out);
    /* Tell the numbers that it shows and no want holds (save/figure.h); NULL: there are none. */
    void (*figures)(const struct app *a, struct figures *to);
    /* The text that `y` copies; NULL: the noun. */
    void (*copy)(const struct app *a, struct bytes *out);
};

#define VIEW(id, name) extern const struct view view_##name;
#include "views.def"
#undef VIEW

#endif
