/* picker.h - the list of models as a screen: `borescope` alone in a terminal.
 *
 * Names are there at once; what is known of each is read between keys, those on the screen first.
 * Keys are those of the key map in force, as the hooks view has them: moving, enter, search, quit.
 * picker_input and picker_draw know no terminal.  Tested in tests/tui/test_picker.c. */
#ifndef PICKER_H
#define PICKER_H

#include "explorer.h"
#include "model/catalog.h"

enum { PICKER_NONE = -1 };

struct picker {
    struct catalog list;
    int32_t *shown; /* [n_shown] entries that match the filter */
    int32_t n_shown, at, top, page;
    int rows_y; /* of the first row on the screen */
    int n_looked, w, h, picked;
    bool typing;
    struct line filter;
    char message[480];
    const struct keymap *keymap;
    uint32_t pending[KEYMAP_SEQ_MAX];
    int n_pending;
};

int picker_open(struct picker *p, const struct keymap *keymap, struct err *e);
void picker_free(struct picker *p);
/* REACT_* bits of app.h; REACT_QUIT with p->picked set (an entry) or not. */
unsigned picker_input(struct picker *p, const struct input *in);
/* Read what is known of one more model; false: all are. */
bool picker_look(struct picker *p);
/* False: out of memory. */
bool picker_draw(struct picker *p, struct frame *f);

/* Run it in the terminal.  *name is malloc'ed, NULL if none was picked. */
int picker_main(const struct explorer_options *o, char **name, struct err *e);

#endif
