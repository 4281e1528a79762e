/* play.c - the interface driven by a script, without a terminal: for tests, teaching and pictures
 * in text. Tested in tests/tui, whose scripts it runs.
 *
 * One command a line:
 *     # comment
 *     keys 2JJx<Enter>     press these keys, as key maps write them
 *     type Hello <world>   this text, character by character
 *     size 80x24           change the size
 *     click 20 5           the mouse, in cells from 0
 *     screen [NAME]        print the screen
 * After every line the engine is waited for.  A script without `screen` prints one at its end.
 * Times and the device are left out, so that the same script prints the same screens. */
#include <stdlib.h>
#include <string.h>

#include "explorer.h"

enum { SETTLE_MAX = 400 };

struct play {
    struct app *app;
    struct session *session;
    struct frame frame;
    FILE *out;
    int screens;
    bool quit;
};

/* Ask and wait until everything on the screen is of the present question. */
static int settle(struct play *p, struct err *e)
{
    for (int i = 0; i < SETTLE_MAX; i++) { /* once more with what an answer brought */
        struct session_want w;
        app_want(p->app, &w);
        bool pair = p->app->pair_wanted; /* what it brings is asked about anew */
        app_asked(p->app, session_request(p->session, &w));
        const struct snapshot *s = session_wait(p->session, p->app->generation);
        if (!s)
            return err_set(e, ERR_SYSTEM, "out of memory");
        app_take(p->app, s);
        if (!pair && app_is_settled(p->app))
            break;
    }
    return 0;
}

static int print_screen(struct play *p, const char *name, struct err *e)
{
    struct bytes text = {0};
    if (!app_draw(p->app, &p->frame))
        return err_set(e, ERR_SYSTEM, "out of memory");
    if (p->screens++ || *name)
        fprintf(p->out, "== %s\n", *name ? name : "screen");
    canvas_dump_plain(p->frame.canvas, &text);
    bool ok = !text.failed && fwrite(text.data, 1, text.len, p->out) == text.len;
    bytes_free(&text);
    return ok ? 0 : err_set(e, ERR_SYSTEM, "cannot write the screen");
}

static int press(struct play *p, uint32_t key, struct err *e)
{
    struct input in = {.kind = INPUT_KEY, .key = key};
    unsigned react = app_input(p->app, &in);
    p->quit = p->quit || (react & REACT_QUIT);
    return p->quit ? 0 : settle(p, e);
}

static int press_names(struct play *p, const char *s, struct err *e)
{
    int r = 0;
    while (*s && r == 0 && !p->quit) {
        uint32_t key;
        if (*s == ' ') {
            s++;
        } else if (!keys_read_name(&s, &key)) {
            return err_set(e, ERR_BAD_INPUT,
                           "not a key: \"%s\" · write x, <C-x>, <Up>, <Space>, <lt> for <", s);
        } else {
            r = press(p, key, e);
        }
    }
    return r;
}

static int press_text(struct play *p, const char *s, struct err *e)
{
    int r = 0;
    size_t n = strlen(s);
    while (n && r == 0 && !p->quit) {
        int32_t cp;
        size_t used = text_decode(s, n, &cp);
        if (cp >= 0x20)
            r = press(p, (uint32_t)cp, e);
        s += used;
        n -= used;
    }
    return r;
}

static int play_line(struct play *p, const char *line, struct err *e)
{
    size_t n = strcspn(line, " ");
    const char *args = line + n + (line[n] == ' ');
    int w, h;
    if (n == 4 && memcmp(line, "keys", n) == 0)
        return press_names(p, args, e);
    if (n == 4 && memcmp(line, "type", n) == 0)
        return press_text(p, args, e);
    if (n == 6 && memcmp(line, "screen", n) == 0)
        return print_screen(p, args, e);
    if (n == 4 && memcmp(line, "wait", n) == 0) { /* what a pause in typing shows */
        app_timeout(p->app);
        return settle(p, e);
    }
    if (n == 4 && memcmp(line, "size", n) == 0 && sscanf(args, "%dx%d", &w, &h) == 2 && w > 0 &&
        h > 0 && w <= CANVAS_SIDE_MAX && h <= CANVAS_SIDE_MAX) {
        app_resize(p->app, w, h);
        return settle(p, e);
    }
    if (n == 5 && memcmp(line, "click", n) == 0 && sscanf(args, "%d %d", &w, &h) == 2) {
        struct input in = {.kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = w, .y = h};
        app_input(p->app, &in);
        return settle(p, e);
    }
    return err_set(
        e, ERR_BAD_INPUT,
        "not a line of a script: \"%.60s\" · keys, type, wait, size WxH, click X Y, screen", line);
}

static int play_script(struct play *p, const char *script, size_t len, const char *name,
                       struct err *e)
{
    int r = settle(p, e), number = 0;
    for (size_t at = 0; at < len && r == 0 && !p->quit;) {
        const char *newline = memchr(script + at, '\n', len - at);
        size_t n = newline ? (size_t)(newline - script) - at : len - at;
        char *line = strndup(script + at, n);
        at += n + 1;
        number++;
        if (!line)
            return err_set(e, ERR_SYSTEM, "out of memory");
        if (*line && *line != '#' && (r = play_line(p, line, e)) < 0)
            err_prefix(e, "%s:%d", name, number);
        free(line);
    }
    if (r == 0 && !p->screens)
        r = print_screen(p, "", e);
    return r;
}

int play_main(const struct explorer_options *o, const char *script, size_t len, const char *name,
              int w, int h, FILE *out, struct err *e)
{
    struct keymap map = {0};
    struct bytes warnings = {0};
    int r = explorer_keymap(o->keymap, &map, &warnings, e);
    if (r < 0)
        return r;
    struct app *a = calloc(1, sizeof *a);
    struct app_options ao = o->app;
    ao.keymap = &map;
    ao.fixed = true;
    struct play p = {.app = a,
                     .out = out,
                     .frame = {.caps = {.graphics = GRAPHICS_NONE, .depth = COLOR_DEPTH_NONE}}};
    r = a ? app_open(a, &ao, e) : err_set(e, ERR_SYSTEM, "out of memory");
    if (r == 0 && (r = session_open(&p.session, a->m, o->cache_bytes, e)) == 0) {
        app_resize(a, w, h);
        r = play_script(&p, script, len, name, e);
        session_close(p.session);
    }
    frame_free(&p.frame);
    if (a)
        app_free(a);
    free(a);
    keymap_free(&map);
    bytes_free(&warnings);
    return r;
}
