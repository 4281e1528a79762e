/* explorer.c - the event loop: one poll on keys, answers and signals; all that waits is taken in,
 * then one frame.
 *
 * Nothing here waits for the engine.  Idle means blocked in poll: no wake-ups, no bytes. */
#include "explorer.h"

#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "save/autosave.h"
#include "base/clock.h"
#include "base/file_read.h"
#include "opening.h"
#include "plain.h"
#include "save/session_app.h"
#include "share/host.h"
#include "save/state_files.h"
#include "term/guard.h"
#include "term/tty.h"

enum {
    FRAME_MS = 16,
    GRACE_MS = 8,
    LATE_MS = 100,  /* what is marked as old becomes dim */
    PANEL_MS = 100, /* between two cells of which the panel has the figures */
    BURST_BYTES = 256,
    BURST_MS = 100,
    REST_BYTES = 8,
    REST_MS = 2000,
    SAVE_MS = 1000
};

/* ---- plain text ---- */

/* Where nothing can be drawn, or where text was asked for.  Lines are read only by who wants to
 * talk: what is written into a file or a pipe is the opening. */
static int run_plain(struct app *a, const struct explorer_options *o, struct err *e)
{
    struct session *s;
    bool talks = o->plain || isatty(STDOUT_FILENO);
    struct plain_options po = {.in = talks ? stdin : NULL,
                               .out = stdout,
                               .ask = talks && isatty(STDIN_FILENO),
                               .ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0};
    int r = session_open(&s, a->m, o->cache_bytes, e);
    if (r < 0)
        return r;
    r = plain_main(a, s, &po, e);
    session_close(s);
    return r;
}

/* ---- the loop ---- */

struct loop {
    struct app *app;
    struct opening *opening; /* the model is not there yet; NULL: it is */
    struct session *session;
    struct tty *term;
    struct frame frame;
    struct keys keys;
    struct want_list wants; /* of the last request */
    struct session_task *task;
    struct session_sweep sweep; /* as it was asked for last */
    uint64_t beside;            /* the questions beside it */
    bool draw, quit, asked;
    int64_t drawn_ms, asked_ms; /* of the last frame; of the last request, 0 once it is answered */
    int64_t since_ms;           /* of the first request without an answer; 0 = none */
    int64_t panel_ms;           /* when the panel was last up to date, and for which cursor */
    struct place panel_of;
    struct autosave *autosave; /* NULL = nowhere to save to */
    struct bytes saved;        /* the session as it was saved last */
    int64_t touched_ms;        /* of the first event since; 0 = none */
    int64_t put_ms;            /* of the last text to save, until it was looked at how that went */
    int64_t burst_ms;          /* until when what comes is more of a paste without brackets */
};

static void react(struct loop *l, unsigned bits)
{
    if (bits & REACT_QUIT)
        l->quit = true;
    if (bits & REACT_REPAINT)
        tty_repaint(l->term);
    if (bits & REACT_COPY)
        if (!tty_copy(l->term, l->app->copied.data, l->app->copied.len))
            app_complain(l->app, "too long for the clipboard · {write} writes a file");
    if (bits & REACT_SUSPEND) {
        tty_suspend(l->term);
        int w, h;
        tty_size(l->term, &w, &h);
        app_resize(l->app, w, h);
    }
}

static void take_input(struct loop *l, const struct input *in)
{
    if (in->kind == INPUT_REPLY) {
        if (tty_reply(l->term, in->text, in->len)) {
            l->frame.caps = *tty_caps(l->term);
            l->draw = true;
        }
        return;
    }
    if (l->opening)
        react(l, opening_input(l->opening, in));
    else if (!host_takes_back(l->app))
        react(l, app_input(l->app, in));
    l->draw = l->asked = true;
    l->touched_ms = l->touched_ms ? l->touched_ms : clock_ms();
}

/* What a watcher types who was given the keyboard. */
static void take_guest(void *to, const struct input *in)
{
    struct loop *l = to;
    host_guest(l->app, true);
    react(l, app_input(l->app, in));
    host_guest(l->app, false);
    l->draw = l->asked = true;
    l->touched_ms = l->touched_ms ? l->touched_ms : clock_ms();
}

/* Leading bytes that are no keys, but a paste by a terminal without bracketed paste: no one types
 * that much between two frames.  Its rest may be late on a slow line or a busy machine; what begins
 * with Esc is a key again. */
static size_t burst_of(struct loop *l, const uint8_t *buf, size_t n)
{
    const uint8_t *escape = memchr(buf, 0x1b, n);
    size_t plain = escape ? (size_t)(escape - buf) : n;
    int64_t now = clock_ms();
    bool burst = l->keys.state == KEYS_GROUND && plain &&
                 (plain >= BURST_BYTES || now < l->burst_ms ||
                  (plain >= REST_BYTES && now < l->burst_ms + REST_MS));
    if (n)
        l->burst_ms = burst ? now + BURST_MS : 0;
    return burst ? plain : 0;
}

/* All bytes that are there.  False at the end of input. */
static bool read_input(struct loop *l)
{
    uint8_t buf[4096];
    ssize_t n = read(tty_fd(l->term), buf, sizeof buf);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        return false;
    ssize_t pasted = (ssize_t)burst_of(l, buf, n < 0 ? 0 : (size_t)n);
    if (pasted)
        take_input(
            l, &(struct input){.kind = INPUT_PASTE, .text = (char *)buf, .len = (size_t)pasted});
    for (ssize_t i = pasted; i < n && !l->quit; i++) {
        struct input in[2];
        int got = keys_push(&l->keys, buf[i], in);
        for (int j = 0; j < got; j++)
            take_input(l, &in[j]);
    }
    return true;
}

static void take_signals(struct loop *l)
{
    unsigned which = guard_signals();
    if (which & GUARD_TSTP)
        react(l, REACT_SUSPEND);
    else if (which & GUARD_CONT)
        tty_resume(l->term);
    if (which & GUARD_WINCH)
        tty_resized(l->term);
    if (which) {
        int w, h;
        tty_size(l->term, &w, &h);
        app_resize(l->app, w, h);
        l->draw = l->asked = true;
    }
}

static bool same_sweep(const struct session_sweep *a, const struct session_sweep *b)
{
    return a->id == b->id && a->paused == b->paused && (!a->id || a->cell == b->cell);
}

/* Ask when the values change, or what is wanted of them. */
static void ask(struct loop *l)
{
    struct session_want w;
    app_want(l->app, &w);
    if (!l->app->asking_changed && w.task == l->task && l->app->beside.key == l->beside &&
        w.n_wants == l->wants.n && same_sweep(&l->sweep, &l->app->sweep) &&
        memcmp(l->wants.item, w.wants, (size_t)w.n_wants * sizeof *w.wants) == 0)
        return;
    l->task = w.task;
    l->sweep = l->app->sweep;
    l->beside = l->app->beside.key;
    l->wants.n = 0;
    for (int32_t i = 0; i < w.n_wants; i++)
        want_add(&l->wants, w.wants[i]);
    l->asked_ms = clock_ms();
    l->since_ms = l->since_ms ? l->since_ms : l->asked_ms;
    app_asked(l->app, session_request(l->session, &w));
}

static void take_answers(struct loop *l)
{
    const struct snapshot *s = session_latest(l->session);
    if (!s)
        return;
    if (s->complete || s->err.code)
        l->asked_ms = l->since_ms = 0;
    app_take(l->app, s);
    l->draw = l->asked = true; /* the pair may be known now */
}

/* Milliseconds until the next frame may be drawn; -1: there is nothing to draw. */
static int draw_in(const struct loop *l)
{
    if (!l->draw)
        return -1;
    int64_t now = clock_ms(), at = l->drawn_ms + FRAME_MS;
    if (l->asked_ms &&
        l->asked_ms + GRACE_MS > at) /* the answer may be quick: spare a frame of old, dim values */
        at = l->asked_ms + GRACE_MS;
    return at > now ? (int)(at - now) : 0;
}

/* Where it failed it is written once more, when something happens or at the end. */
static void look_at_save(struct loop *l)
{
    struct err e;
    l->put_ms = 0;
    if (!l->autosave || !autosave_failed(l->autosave, &e))
        return;
    bytes_free(&l->saved);
    app_complain(l->app, "the session is not saved: %s", e.text);
    l->draw = true;
}

/* What differs from what was saved is saved, by a thread of its own. */
static void save(struct loop *l)
{
    struct bytes now = {0};
    l->touched_ms = 0;
    if (!l->autosave)
        return;
    look_at_save(l);
    session_text(l->app, &now);
    bool same = now.failed || (l->saved.data && strcmp(now.data, l->saved.data) == 0);
    if (!same) {
        autosave_put(l->autosave, now.data, now.len);
        l->put_ms = clock_ms();
        bytes_free(&l->saved);
        l->saved = now;
    } else {
        bytes_free(&now);
    }
}

/* Milliseconds until SAVE_MS after a time; -1: there is none. */
static int save_in(int64_t since_ms)
{
    int64_t in = since_ms + SAVE_MS - clock_ms();
    return !since_ms ? -1 : in > 0 ? (int)in : 0;
}

static int shorter(int a, int b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

static bool same_cell(const struct place *a, const struct place *b)
{
    return a->view == b->view && a->row == b->row && a->column == b->column;
}

/* Milliseconds until time alone makes the frame another one; -1: it does not. */
static int turns_in(const struct loop *l)
{
    int64_t now = clock_ms(), late = l->since_ms + LATE_MS - now,
            panel = l->panel_ms + PANEL_MS - now;
    bool answers = l->since_ms && !l->app->late;
    int in = answers ? (int)(late > 0 ? late : 0) : -1;
    return l->app->panel_waits && (panel > 0 || !answers)
               ? shorter(in, (int)(panel > 0 ? panel : 0))
               : in;
}

static void draw(struct loop *l)
{
    struct app *a = l->app;
    int64_t now = clock_ms();
    a->late = l->since_ms && now >= l->since_ms + LATE_MS;
    /* half of the figures, and then the rest, would be twice the bytes */
    bool soon = now < l->panel_ms + PANEL_MS || (l->since_ms && !a->late);
    a->panel_waits = soon && !same_cell(&a->cur, &l->panel_of);
    if (app_draw(a, &l->frame)) {
        host_draw(a, &l->frame);
        tty_draw(l->term, &l->frame);
    }
    if (l->frame.panel.w && !l->frame.panel_old)
        l->panel_ms = now, l->panel_of = a->cur;
    if (l->app->share)
        share_changed(l->app->share, &l->frame.caps);
}

static void run(struct loop *l)
{
    bool alive = true;
    while (!l->quit && alive) {
        if (l->asked) {
            l->asked = false;
            ask(l);
        }
        if (save_in(l->touched_ms) == 0)
            save(l);
        if (save_in(l->put_ms) == 0)
            look_at_save(l);
        if (turns_in(l) == 0)
            l->draw = true;
        int wait = draw_in(l);
        if (wait == 0) {
            draw(l);
            l->draw = false;
            l->drawn_ms = clock_ms();
            wait = -1;
        }
        int saving = shorter(save_in(l->touched_ms), save_in(l->put_ms));
        struct share *room = l->app->share;
        struct pollfd p[3 + SHARE_FDS_MAX] = {{.fd = tty_fd(l->term), .events = POLLIN},
                                              {.fd = session_fd(l->session), .events = POLLIN},
                                              {.fd = guard_signal_fd(), .events = POLLIN}};
        int key_wait = keys_wait_ms(&l->keys), app_wait = app_wait_ms(l->app);
        int n = room ? share_fds(room, p + 3) : 0;
        int room_wait = room ? share_wait_ms(room, clock_ms()) : -1;
        int own_wait = shorter(saving, shorter(wait, shorter(key_wait, app_wait))),
            most = shorter(own_wait, shorter(room_wait, turns_in(l)));
        int got = poll(p, (nfds_t)(3 + n), most);
        if (room && got >= 0 && host_serve(l->app, clock_ms(), take_guest, l))
            l->draw = true;
        if (got < 0 && errno != EINTR)
            break;
        if (got == 0 && most != own_wait) /* the room's time was up, or the frame's */
            continue;
        if (got <= 0) {
            struct input in;
            if (got == 0 && key_wait >= 0 && keys_timeout(&l->keys, &in))
                take_input(l, &in);
            else if (got == 0 && wait < 0 && app_wait >= 0) {
                react(l, host_timeout(l->app));
                l->draw = l->asked = true;
            }
            continue;
        }
        if (p[2].revents)
            take_signals(l);
        if (p[0].revents)
            alive = read_input(l);
        if (p[1].revents)
            take_answers(l);
    }
}

static void open_autosave(struct loop *l)
{
    char path[PATH_MAX];
    const char *folder = l->app->opt.state_folder;
    if (!folder || !*folder)
        return;
    state_prune(folder);
    state_auto_path(folder, path);
    l->autosave = autosave_open(path);
    session_text(l->app, &l->saved); /* as it opened: nothing to save yet */
}

/* ---- opening ---- */

/* What is opened, and with what. */
struct start {
    struct explorer_options o;
    struct app *app;
    char folder[PATH_MAX]; /* of sessions */
    struct err no_folder;  /* why there is none */
};

/* Go on with the session of a file. */
static int open_session(struct app *a, const char *path, const char *name, struct err *e)
{
    struct saved s = {0};
    struct bytes warnings = {0};
    char *text = NULL;
    size_t n = 0;
    int r = file_read_all(path, SAVED_BYTES_MAX, &text, &n, e);
    if (r == 0 && saved_parse(&s, path, text, n, &warnings) < 0)
        r = err_set(e, ERR_SYSTEM, "out of memory");
    if (r == 0)
        session_become_now(a, &s, &warnings, name);
    saved_free(&s);
    bytes_free(&warnings);
    free(text);
    return r;
}

static int open_all(void *of, struct err *e)
{
    struct start *s = of;
    struct app_options *ao = &s->o.app, own = *ao;
    int r = s->o.open ? s->o.open(s->o.of, &s->o, e) : 0;
    ao->keymap = own.keymap, ao->notice = own.notice, ao->state_folder = own.state_folder;
    r = r ? r : app_open(s->app, ao, e);
    if (r == 0 && s->no_folder.code)
        app_complain(s->app, "%s", s->no_folder.text);
    if (r == 0 && s->o.session)
        r = open_session(s->app, s->o.session, s->o.session_name, e);
    if (r == 0 && *ao->state_folder)
        state_history_read(ao->state_folder, s->app->history, LINE_MODE_COUNT);
    return r;
}

/* Show the frame and keep what is typed until all is open.  Who leaves leaves at once, with the
 * process: what the opening waits for, a disk far away or a device, may never come. */
static int open_behind_frame(struct loop *l, struct opening *o, struct start *s, struct err *e)
{
    bool alive = true, there = false;
    int r = opening_begin(o, open_all, s, e);
    while (r == 0 && alive && !l->quit && !there) {
        if (l->draw && opening_draw(o, &l->frame))
            tty_draw(l->term, &l->frame);
        l->draw = false;
        struct pollfd p[3] = {{.fd = tty_fd(l->term), .events = POLLIN},
                              {.fd = opening_fd(o), .events = POLLIN},
                              {.fd = guard_signal_fd(), .events = POLLIN}};
        struct input in;
        int wait = keys_wait_ms(&l->keys), got = poll(p, 3, wait);
        if (got == 0 && keys_timeout(&l->keys, &in))
            take_input(l, &in);
        if (got > 0 && p[2].revents)
            take_signals(l);
        if (got > 0 && p[0].revents)
            alive = read_input(l);
        there = got > 0 && p[1].revents;
    }
    if (r == 0 && !there) {
        tty_close(l->term);
        _exit(0);
    }
    return r ? r : opening_end(o, e);
}

static int open_room(struct app *a, struct err *e)
{
    const char *name = a->opt.share;
    int r = !name
                ? 0
                : share_open(&a->share, *name ? name : a->m->name, a->opt.allow, a->opt.n_allow, e);
    if (a->share)
        app_say(a, "shared · borescope watch %s", share_name(a->share));
    return r;
}

static void fit_screen(struct loop *l, struct app *a)
{
    int w, h;
    tty_size(l->term, &w, &h);
    app_resize(a, w, h);
    l->app = a;
    l->frame.caps = *tty_caps(l->term);
}

static int run_app(struct loop *l, const struct opening *o, size_t cache_bytes, struct err *e)
{
    if (app_draw(l->app, &l->frame))
        tty_draw(l->term, &l->frame); /* before anything is computed */
    int r = session_open(&l->session, l->app->m, cache_bytes, e);
    if (r)
        return r;
    open_autosave(l);
    for (size_t i = 0; i < o->n_kept && !l->quit; i++)
        take_input(l, &o->kept[i]);
    run(l);
    save(l);
    return 0;
}

static int run_terminal(struct start *s, struct err *e)
{
    struct loop l = {.draw = true, .asked = true};
    struct tty_options to = {s->o.graphics, s->o.color, !s->o.no_mouse};
    int r = tty_open(&l.term, &to, e); /* before the threads: the guardian is a fork */
    if (r < 0)
        return r;
    struct opening opening;
    opening_init(&opening, s->o.name, s->o.app.keymap);
    l.opening = &opening;
    fit_screen(&l, &opening.app);
    r = open_behind_frame(&l, &opening, s, e);
    l.opening = NULL;
    r = r ? r : open_room(s->app, e);
    if (r == 0) {
        fit_screen(&l, s->app);
        r = run_app(&l, &opening, s->o.cache_bytes, e);
    }
    tty_close(l.term);
    struct err unsaved;
    if (autosave_close(l.autosave, &unsaved) < 0 && r == 0)
        r = err_set(e, ERR_SYSTEM, "the session is not saved: %s", unsaved.text);
    opening_free(&opening);
    bytes_free(&l.saved);
    session_close(l.session);
    want_list_free(&l.wants);
    frame_free(&l.frame);
    return r;
}

int explorer_main(const struct explorer_options *o, struct err *e)
{
    struct keymap map = {0};
    struct bytes warnings = {0};
    struct tty_options to = {o->graphics, o->color, false};
    int r = tty_check_options(&to, e);
    if (r == 0)
        r = explorer_keymap(o->keymap, &map, &warnings, e);
    if (r < 0)
        return r;
    bool plain = o->plain || !tty_is_usable();
    struct start s = {.o = *o, .app = calloc(1, sizeof *s.app)};
    s.o.app.keymap = &map;
    s.o.app.notice = warnings.failed ? NULL : warnings.data;
    s.o.app.state_folder = plain ? "" : state_folder(s.folder, &s.no_folder);
    if (!s.app)
        r = err_set(e, ERR_SYSTEM, "out of memory");
    else if (!plain)
        r = run_terminal(&s, e);
    else if (!(r = open_all(&s, e)))
        r = run_plain(s.app, &s.o, e);
    if (s.app)
        app_free(s.app);
    free(s.app);
    keymap_free(&map);
    bytes_free(&warnings);
    return r;
}
