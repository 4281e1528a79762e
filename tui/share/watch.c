/* watch.c - watching a shared explorer (see watch.h). */
#include "share/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "share/people.h"
#include "share/room.h"
#include "term/guard.h"
#include "term/tty.h"

enum { READ_BYTES = 1 << 16, KEY_BACK = KEYS_CTRL | ']' };

struct watch {
    int fd;
    char room[ROOM_PATH_MAX], *why; /* why: [200], of the end */
    struct tty *term;
    struct keys keys;
    struct bytes in;  /* of a message that is not whole yet */
    struct frame far; /* the teacher's screen, as it was told */
    struct frame near;
    struct person person[WIRE_PEOPLE_MAX];
    int n_people;
    int x, y;         /* the own cursor, a cell of the teacher's screen; -1: none */
    int pan_x, pan_y; /* what stands in this terminal's first cell */
    bool draw, quit;
};

/* ---- talking ---- */

/* Small, and the teacher reads: what does not fit now is not said; half of it would be nonsense. */
static void say(struct watch *w, const struct up *m)
{
    struct bytes b = {0};
    wire_up_add(&b, m);
    ssize_t did = b.failed ? 0 : send(w->fd, b.data, b.len, MSG_NOSIGNAL);
    if (did >= 0 ? (size_t)did != b.len : errno != EAGAIN && errno != EINTR) {
        snprintf(w->why, 200, "the session does not listen");
        w->quit = true;
    }
    bytes_free(&b);
}

static void say_hello(struct watch *w, const char *name)
{
    struct up m = {.kind = UP_HELLO, .caps = *tty_caps(w->term)};
    if (name)
        room_word(name, m.name);
    else
        room_own_name(m.name);
    say(w, &m);
}

static const struct person *me(const struct watch *w)
{
    for (int i = 0; i < w->n_people; i++)
        if (w->person[i].you)
            return &w->person[i];
    return NULL;
}

static bool has_keyboard(const struct watch *w)
{
    const struct person *p = me(w);
    return p && p->keyboard;
}

/* ---- listening ---- */

static bool take_message(struct watch *w, uint8_t kind, const uint8_t *body, size_t n)
{
    w->draw = true;
    if (kind == DOWN_FRAME)
        return wire_frame_read(body, n, &w->far);
    if (kind == DOWN_PEOPLE)
        return wire_people_read(body, n, w->person, &w->n_people);
    w->quit = kind == DOWN_END && wire_end_read(body, n, w->why);
    return w->quit;
}

static void take_messages(struct watch *w)
{
    const uint8_t *data = (const uint8_t *)w->in.data, *body;
    size_t at = 0, len, used;
    uint8_t kind;
    int there = 0;
    while (!w->quit && (there = wire_next(data + at, w->in.len - at, WIRE_DOWN_MAX, &kind, &body,
                                          &len, &used)) > 0) {
        if (!take_message(w, kind, body, len))
            there = -1;
        at += used;
        if (there < 0)
            break;
    }
    if (there < 0) {
        snprintf(w->why, 200, "the session says what this version does not know");
        w->quit = true;
        return;
    }
    memmove(w->in.data, w->in.data + at, w->in.len - at);
    w->in.len -= at;
}

static void read_session(struct watch *w)
{
    char *room = bytes_reserve(&w->in, READ_BYTES);
    ssize_t n = room ? recv(w->fd, room, READ_BYTES, MSG_DONTWAIT) : 0;
    if (n > 0) {
        w->in.len += (size_t)n;
        take_messages(w);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        snprintf(w->why, 200, "the session is gone");
        w->quit = true;
    }
}

/* ---- the own cursor ---- */

static int clamp(int v, int n)
{
    return v >= n ? n - 1 : v < 0 ? 0 : v;
}

static void point_at(struct watch *w, int x, int y)
{
    if (!w->far.canvas)
        return;
    w->x = clamp(x, w->far.canvas->w);
    w->y = clamp(y, w->far.canvas->h);
    w->draw = true;
    say(w, &(struct up){.kind = UP_CURSOR, .x = w->x, .y = w->y});
}

static void move_cursor(struct watch *w, int dx, int dy)
{
    int width, height;
    tty_size(w->term, &width, &height);
    if (w->x < 0) /* the first time: into the middle of what is seen */
        point_at(w, w->pan_x + width / 2, w->pan_y + height / 2);
    else
        point_at(w, w->x + dx, w->y + dy);
}

/* ---- drawing ---- */

/* The part of the teacher's screen that shows the cursor, moved as little as it has to be. */
static int pan(int from, int at, int n, int room)
{
    if (at >= 0 && at < from)
        from = at;
    if (at >= from + room)
        from = at - room + 1;
    return from > n - room ? (n > room ? n - room : 0) : from;
}

static void copy_cells(struct watch *w, int rows)
{
    const struct canvas *from = w->far.canvas;
    struct canvas *to = w->near.canvas;
    for (int y = 0; y < rows && y + w->pan_y < from->h; y++) {
        const struct canvas_cell *row = &from->cell[(y + w->pan_y) * from->w + w->pan_x];
        int n = from->w - w->pan_x < to->w ? from->w - w->pan_x : to->w;
        memcpy(&to->cell[y * to->w], row, (size_t)n * sizeof *row);
        if (!row[0].width) /* half of a wide one */
            to->cell[y * to->w] = (struct canvas_cell){" ", 1, row[0].style};
        if (row[n - 1].width == 2)
            to->cell[y * to->w + n - 1] = (struct canvas_cell){" ", 1, row[n - 1].style};
    }
}

/* The part `seen` of a picture at p->r, sample by sample as it is stretched over its pixels. */
static bool cut_picture(const struct picture *p, struct rect seen, const struct frame_caps *caps,
                        struct picture *out)
{
    int x0 = (seen.x - p->r.x) * caps->cell_w, y0 = (seen.y - p->r.y) * caps->cell_h;
    int w = p->w - x0 < seen.w * caps->cell_w ? p->w - x0 : seen.w * caps->cell_w;
    int h = p->h - y0 < seen.h * caps->cell_h ? p->h - y0 : seen.h * caps->cell_h;
    struct picture cut = {.r = seen, .w = w, .h = h};
    if (w < 1 || h < 1 || image_new(&cut.image, w, h) != IMAGE_OK)
        return false;
    cut.image.n_colors = p->image.n_colors;
    memcpy(cut.image.palette, p->image.palette, sizeof cut.image.palette);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int row = ((y0 + y + 1) * p->image.h - 1) / p->h;
            int column = ((x0 + x + 1) * p->image.w - 1) / p->w;
            cut.image.pixel[y * w + x] = p->image.pixel[row * p->image.w + column];
        }
    *out = cut;
    return true;
}

/* Those that are wholly seen lend their pixels: [0, n_lent); of the others a part is cut. */
static int take_pictures(struct watch *w, int rows)
{
    struct frame *f = &w->near;
    struct rect body = {0, 0, f->canvas->w, rows};
    int lent = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < w->far.n_pictures; i++) {
            struct picture p = w->far.picture[i];
            p.r.x -= w->pan_x;
            p.r.y -= w->pan_y;
            struct rect seen = rect_intersect(p.r, body);
            bool whole = seen.w == p.r.w && seen.h == p.r.h;
            if (rect_is_empty(seen) || !p.image.pixel || whole != !pass)
                continue;
            if (whole)
                f->picture[lent++] = p;
            else if (cut_picture(&p, seen, &f->caps, &f->picture[f->n_pictures]))
                f->n_pictures++;
            f->n_pictures += whole;
        }
    return lent;
}

static void take_popups(struct watch *w)
{
    for (int i = 0; i < w->far.n_popups; i++) {
        struct rect r = w->far.popup[i];
        r.x -= w->pan_x;
        r.y -= w->pan_y;
        w->near.popup[w->near.n_popups++] = r;
    }
}

/* Take back what was lent, free what was cut. */
static void drop_pictures(struct frame *f, int lent)
{
    for (int i = lent; i < f->n_pictures; i++)
        image_free(&f->picture[i].image);
    f->n_pictures = 0;
}

static void draw_people(struct watch *w, int rows)
{
    struct person seen[WIRE_PEOPLE_MAX];
    for (int i = 0; i < w->n_people; i++) {
        seen[i] = w->person[i];
        seen[i].x -= w->pan_x;
        seen[i].y -= w->pan_y;
        if (w->person[i].x < 0 || seen[i].x < 0 || seen[i].y < 0 || seen[i].y >= rows)
            seen[i].x = -1;
    }
    people_draw(&w->near, seen, w->n_people);
}

static void draw_status(struct watch *w, int y)
{
    struct canvas *c = w->near.canvas;
    struct rect r = {0, y, c->w, 1};
    bool color = w->near.caps.depth != COLOR_DEPTH_NONE;
    canvas_fill(c, r, canvas_plain(CANVAS_REVERSE), " ");
    r.w -= people_list(c, y, w->person, w->n_people, color);
    const char *hint = !w->n_people      ? "knocking"
                       : has_keyboard(w) ? "^] gives the keyboard back"
                                         : "q leaves · arrows or a click point";
    canvas_putf(c, r, 1, 0, canvas_plain(CANVAS_REVERSE | CANVAS_BOLD), "%s", w->room);
    canvas_put(c, r, 3 + (int)strlen(w->room), 0, canvas_plain(CANVAS_REVERSE), hint);
}

static void draw(struct watch *w)
{
    int width, height;
    tty_size(w->term, &width, &height);
    w->near.caps = *tty_caps(w->term);
    if (!frame_begin(&w->near, width, height))
        return;
    int rows = height - 1, lent = 0;
    if (w->far.canvas) {
        w->pan_x = pan(w->pan_x, w->x, w->far.canvas->w, width);
        w->pan_y = pan(w->pan_y, w->y, w->far.canvas->h, rows);
        copy_cells(w, rows);
        lent = take_pictures(w, rows);
        take_popups(w);
        draw_people(w, rows);
    }
    draw_status(w, height - 1);
    bool typing = has_keyboard(w) && w->far.caret_x >= 0;
    int x = (typing ? w->far.caret_x : w->x) - w->pan_x,
        y = (typing ? w->far.caret_y : w->y) - w->pan_y;
    if (w->far.canvas && (typing || w->x >= 0) && x >= 0 && y >= 0 && x < width && y < rows) {
        w->near.caret_x = x;
        w->near.caret_y = y;
    }
    tty_draw(w->term, &w->near);
    drop_pictures(&w->near, lent);
}

/* ---- keys ---- */

static void suspend(struct watch *w)
{
    tty_suspend(w->term);
    w->draw = true;
}

static void own_key(struct watch *w, uint32_t key)
{
    switch (key) {
    case 'q':
    case KEYS_CTRL | 'c': w->quit = true; break;
    case KEYS_UP:
    case 'k': move_cursor(w, 0, -1); break;
    case KEYS_DOWN:
    case 'j': move_cursor(w, 0, 1); break;
    case KEYS_LEFT:
    case 'h': move_cursor(w, -1, 0); break;
    case KEYS_RIGHT:
    case 'l': move_cursor(w, 1, 0); break;
    case KEYS_CTRL | 'l': tty_repaint(w->term); break;
    default: break;
    }
    w->draw = true;
}

static void take_input(struct watch *w, const struct input *in)
{
    if (in->kind == INPUT_REPLY) {
        if (tty_reply(w->term, in->text, in->len))
            say(w, &(struct up){.kind = UP_SCREEN, .caps = *tty_caps(w->term)});
        return;
    }
    struct up m = {.kind = UP_INPUT, .input = *in};
    m.input.x += w->pan_x;
    m.input.y += w->pan_y;
    if (in->kind == INPUT_KEY && in->key == (KEYS_CTRL | 'z'))
        suspend(w);
    else if (in->kind == INPUT_KEY && in->key == KEY_BACK)
        say(w, &(struct up){.kind = UP_RELEASE});
    else if (has_keyboard(w))
        say(w, &m);
    else if (in->kind == INPUT_KEY)
        own_key(w, in->key);
    else if (in->kind == INPUT_MOUSE && in->act == MOUSE_PRESS)
        point_at(w, m.input.x, m.input.y);
}

static void read_terminal(struct watch *w)
{
    uint8_t buf[4096];
    ssize_t n = read(tty_fd(w->term), buf, sizeof buf);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        w->quit = true;
    for (ssize_t i = 0; i < n && !w->quit; i++) {
        struct input in[2];
        int got = keys_push(&w->keys, buf[i], in);
        for (int j = 0; j < got; j++)
            take_input(w, &in[j]);
    }
}

static void take_signals(struct watch *w)
{
    unsigned which = guard_signals();
    if (which & GUARD_TSTP)
        suspend(w);
    else if (which & GUARD_CONT)
        tty_resume(w->term);
    if (which & GUARD_WINCH)
        tty_resized(w->term);
    w->draw = true;
}

static void run(struct watch *w)
{
    while (!w->quit) {
        if (w->draw)
            draw(w);
        w->draw = false;
        struct pollfd p[3] = {{.fd = tty_fd(w->term), .events = POLLIN},
                              {.fd = w->fd, .events = POLLIN},
                              {.fd = guard_signal_fd(), .events = POLLIN}};
        int wait = keys_wait_ms(&w->keys), got = poll(p, 3, wait);
        struct input in;
        if (got < 0 && errno != EINTR)
            break;
        if (got == 0 && wait >= 0 && keys_timeout(&w->keys, &in))
            take_input(w, &in);
        if (got <= 0)
            continue;
        if (p[2].revents)
            take_signals(w);
        if (p[0].revents)
            read_terminal(w);
        if (p[1].revents && !w->quit)
            read_session(w);
    }
}

int watch_main(const struct watch_options *o, char why[200], struct err *e)
{
    struct watch w = {.why = why, .x = -1, .y = -1, .draw = true};
    struct tty_options to = {o->graphics, o->color, !o->no_mouse};
    why[0] = 0;
    int rc = tty_check_options(&to, e);
    if (!rc && !tty_is_usable())
        rc = err_set(e, ERR_USAGE, "watch needs a terminal");
    if (rc)
        return rc;
    w.fd = room_connect(o->room, w.room, e);
    if (w.fd < 0)
        return w.fd;
    rc = tty_open(&w.term, &to, e);
    if (!rc) {
        say_hello(&w, o->name);
        run(&w);
        tty_close(w.term);
    }
    close(w.fd);
    bytes_free(&w.in);
    frame_free(&w.far);
    frame_free(&w.near);
    return rc;
}
