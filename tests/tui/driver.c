/* driver.c - see driver.h. */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

#include "../backend.h"
#include "save/image_file.h"
#include "unit.h"

#define IMAGE "tests/fixtures/images/rgb.png"

void driver_open(struct driver *d, const char *model, const int32_t *tokens, int32_t n, int w,
                 int h)
{
    const struct app_options o = {.tokens = tokens, .n = n, .bos = 0, .pair = {-1, -1}};
    driver_open_app(d, model, &o, w, h);
}

void driver_open_app(struct driver *d, const char *model, const struct app_options *options, int w,
                     int h)
{
    char why[256] = "";
    struct err e = {0};
    struct bytes warnings = {0};
    *d = (struct driver){.frame = {.caps = {.graphics = GRAPHICS_NONE, .depth = COLOR_DEPTH_NONE}}};
    struct kn_options ko = {.backend = test_backend(), .threads = 1, .cpu = KN_CPU_PORTABLE};
    d->be = kn_open(&ko, why, sizeof why);
    if (!d->be)
        fail_msg("%s", why);
    if (model_open(&d->m, model, d->be, &e) < 0)
        fail_msg("%s", e.text);
    size_t len;
    const char *text = keymap_builtin("default", &len);
    assert_int_equal(keymap_parse(&d->map, "default", text, len, &warnings), 0);
    struct app_options o = *options;
    o.model = d->m;
    if (d->m->cfg.patch_size && image_file_open(d->m, IMAGE, &d->image, &e) < 0)
        fail_msg("%s", e.text);
    o.image = d->image;
    o.keymap = &d->map;
    o.fixed = true;
    d->app = calloc(1, sizeof *d->app);
    if (app_open(d->app, &o, &e) < 0)
        fail_msg("%s", e.text);
    if (session_open(&d->s, d->m, 64 << 20, &e) < 0)
        fail_msg("%s", e.text);
    app_resize(d->app, w, h);
    driver_settle(d);
}

void driver_teach(struct driver *d, int w, int h)
{
    const struct app_options o = {.prompt = DRIVER_PROMPT, .bos = -1, .pair = {-1, -1}};
    driver_open_app(d, "models/teach", &o, w, h);
}

void driver_close(struct driver *d)
{
    session_close(d->s);
    app_free(d->app);
    free(d->app);
    keymap_free(&d->map);
    frame_free(&d->frame);
    image_drop(d->image);
    model_close(d->m);
    kn_close(d->be);
}

void driver_settle(struct driver *d)
{
    for (int i = 0; i < 400; i++) {
        struct session_want w;
        app_want(d->app, &w);
        bool pair = d->app->pair_wanted; /* what it brings is asked about anew */
        app_asked(d->app, session_request(d->s, &w));
        app_take(d->app, session_wait(d->s, d->app->generation));
        if (!pair && app_is_settled(d->app))
            break;
    }
}

unsigned driver_keys(struct driver *d, const char *keys)
{
    unsigned react = 0;
    while (*keys) {
        struct input in = {.kind = INPUT_KEY};
        if (*keys == ' ') {
            in.key = ' ';
            keys++;
        } else if (!keys_read_name(&keys, &in.key)) {
            fail_msg("not a key: %s", keys);
        }
        react |= app_input(d->app, &in);
        driver_settle(d);
    }
    return react;
}

char *driver_screen(struct driver *d)
{
    struct bytes b = {0};
    assert_true(app_draw(d->app, &d->frame));
    canvas_dump_plain(d->frame.canvas, &b);
    assert_false(b.failed);
    return b.data;
}

void driver_command(struct driver *d, const char *text)
{
    app_command(d->app, text);
    driver_settle(d);
}

static void screen_has(struct driver *d, const char *text, bool wanted)
{
    char *screen = driver_screen(d);
    if (!strstr(screen, text) == wanted)
        fail_msg("%s on the screen: \"%s\"\n%s", wanted ? "not" : "still", text, screen);
    free(screen);
}

void driver_shows(struct driver *d, const char *text)
{
    screen_has(d, text, true);
}

void driver_lacks(struct driver *d, const char *text)
{
    screen_has(d, text, false);
}
