/* driver.h - an application on a fixture model with a real session, driven key by key. */
#ifndef DRIVER_H
#define DRIVER_H

#include "explorer.h"

struct driver {
    struct kn_backend *be;
    struct model *m;
    struct image_input *image; /* of a model that takes one */
    struct session *s;
    struct keymap map;
    struct app *app;
    struct frame frame;
};

void driver_open(struct driver *d, const char *model, const int32_t *tokens, int32_t n, int w,
                 int h);
/* The same with options of its own: prompt, edits, the other prompt; model and key map are filled
 * in.
 */
void driver_open_app(struct driver *d, const char *model, const struct app_options *options, int w,
                     int h);
/* The built-in model with this prompt. */
#define DRIVER_PROMPT "When Mary and John went to the store, John gave a bag to"
void driver_teach(struct driver *d, int w, int h);
void driver_close(struct driver *d);
/* Keys as key maps write them; each is answered before the next. */
unsigned driver_keys(struct driver *d, const char *keys);
void driver_settle(struct driver *d);
/* A command as typed after `:`, and its answer. */
void driver_command(struct driver *d, const char *text);
/* The screen as text; to free. */
char *driver_screen(struct driver *d);
/* Fails with the screen unless the text is on it, or not on it. */
void driver_shows(struct driver *d, const char *text);
void driver_lacks(struct driver *d, const char *text);

#endif
