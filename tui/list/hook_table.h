/* hook_table.h - the columns of the hooks view: those that fit, from the one that is chosen with
 * Left and Right on.  Tested in tests/tui/test_hook_table.c. */
#ifndef HOOK_TABLE_H
#define HOOK_TABLE_H

#include "app.h"

/* Bring the first column into what fits `width`. */
void hook_table_layout(struct app *a, int width);
void hook_table_head(const struct app *a, struct canvas *c, struct rect r);
/* Row y: hook i of app.sites. */
void hook_table_row(const struct app *a, struct canvas *c, struct rect r, int y, int32_t i);
/* The same in a sentence. */
void hook_table_say(const struct app *a, struct bytes *b, int32_t i);
/* Has it values without being switched on? */
bool hook_table_fires(const struct app *a, int32_t i);

#endif
