/* picker_main.c - the list of models in the terminal: one poll on keys and signals; between them
 * one more model is looked at (see picker.h). */
#include "input/picker.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "term/guard.h"
#include "term/tty.h"

enum { FRAME_MS = 50 };

struct screen {
    struct picker *picker;
    struct tty *term;
    struct frame frame;
    struct keys keys;
    bool draw, quit;
    int64_t drawn_ms;
};

static void measure(struct screen *s)
{
    tty_size(s->term, &s->picker->w, &s->picker->h);
    s->draw = true;
}

static void take(struct screen *s, const struct input *in)
{
    if (in->kind == INPUT_REPLY) {
        tty_reply(s->term, in->text, in->len);
        s->frame.caps = *tty_caps(s->term);
        return;
    }
    unsigned bits = picker_input(s->picker, in);
    s->draw = true;
    s->quit = s->quit || (bits & REACT_QUIT);
    if (bits & REACT_REPAINT)
        tty_repaint(s->term);
    if (bits & REACT_SUSPEND) {
        tty_suspend(s->term);
        measure(s);
    }
}

static bool read_keys(struct screen *s)
{
    uint8_t buf[4096];
    ssize_t n = read(tty_fd(s->term), buf, sizeof buf);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        return false;
    for (ssize_t i = 0; i < n && !s->quit; i++) {
        struct input in[2];
        int got = keys_push(&s->keys, buf[i], in);
        for (int j = 0; j < got && !s->quit; j++)
            take(s, &in[j]);
    }
    return true;
}

static void take_signals(struct screen *s)
{
    unsigned which = guard_signals();
    if (which & GUARD_TSTP)
        tty_suspend(s->term);
    else if (which & GUARD_CONT)
        tty_resume(s->term);
    if (which & GUARD_WINCH)
        tty_resized(s->term);
    if (which)
        measure(s);
}

static void draw(struct screen *s, bool busy)
{
    int64_t now = clock_ms();
    if (!s->draw || (busy && now - s->drawn_ms < FRAME_MS))
        return;
    if (picker_draw(s->picker, &s->frame))
        tty_draw(s->term, &s->frame);
    s->draw = false;
    s->drawn_ms = now;
}

/* A key is drawn at once; what was found out of models, now and then. */
static void run(struct screen *s)
{
    bool looking = true;
    for (;;) {
        struct pollfd p[2] = {{.fd = tty_fd(s->term), .events = POLLIN},
                              {.fd = guard_signal_fd(), .events = POLLIN}};
        int wait = looking ? 0 : keys_wait_ms(&s->keys), got = poll(p, 2, wait);
        if (got < 0 && errno != EINTR)
            return;
        struct input in;
        if (got == 0 && !looking && wait >= 0 && keys_timeout(&s->keys, &in))
            take(s, &in);
        if (got > 0 && p[1].revents)
            take_signals(s);
        if (got > 0 && p[0].revents && !read_keys(s))
            return;
        if (s->quit)
            return;
        if (got == 0 && looking) {
            looking = picker_look(s->picker);
            s->draw = true;
        }
        draw(s, got == 0 && looking);
    }
}

int picker_main(const struct explorer_options *o, char **name, struct err *e)
{
    struct keymap map = {0};
    struct bytes warnings = {0};
    struct picker p = {0};
    struct screen s = {.picker = &p, .draw = true};
    struct tty_options to = {o->graphics, o->color, !o->no_mouse};
    *name = NULL;
    int rc = explorer_keymap(o->keymap, &map, &warnings, e);
    if (rc)
        return rc;
    if (!(rc = picker_open(&p, &map, e)) && !(rc = tty_open(&s.term, &to, e))) {
        measure(&s);
        s.frame.caps = *tty_caps(s.term);
        draw(&s, false);
        run(&s);
        tty_close(s.term);
    }
    if (!rc && p.picked >= 0 && !(*name = strdup(p.list.entry[p.picked].name)))
        rc = err_memory(e, "a name");
    frame_free(&s.frame);
    picker_free(&p);
    keymap_free(&map);
    bytes_free(&warnings);
    return rc;
}
