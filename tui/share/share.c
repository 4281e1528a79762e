/* share.c - one room (see share.h): who is in it, and what they say. */
#include "share/share_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "share/room.h"

/* ---- coming and going ---- */

static bool is_allowed(const struct share *s, uid_t uid)
{
    for (int i = 0; i < s->n_allow; i++)
        if (s->allow[i] == uid)
            return true;
    return uid == getuid();
}

void share_drop(struct share *s, struct watcher *w)
{
    close(w->fd);
    bytes_free(&w->out);
    wire_sent_free(&w->sent);
    bool was_seen = w->hello;
    *w = s->watcher[--s->n];
    s->watcher[s->n] = (struct watcher){.fd = -1};
    if (was_seen)
        share_people_changed(s);
}

/* Say why, if the line takes it at once, and drop. */
static void refuse(struct share *s, struct watcher *w, const char *why)
{
    struct bytes b = {0};
    wire_end_add(&b, why);
    if (!b.failed && !w->out.len)
        (void)!send(w->fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    bytes_free(&b);
    share_drop(s, w);
}

static void welcome(struct share *s, int64_t now)
{
    uid_t uid;
    int fd;
    while ((fd = room_accept(s->fd, &uid)) >= 0) {
        bool full = s->n == SHARE_WATCHERS_MAX;
        if (full || !is_allowed(s, uid)) {
            struct watcher gone = {.fd = fd};
            struct bytes b = {0};
            wire_end_add(&b, full ? "the room is full" : "this room is not open to your user");
            if (!b.failed)
                (void)!send(gone.fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
            bytes_free(&b);
            close(fd);
            continue;
        }
        s->watcher[s->n++] = (struct watcher){
            .fd = fd, .moved_ms = now, .came_ms = now, .second_ms = now, .x = -1, .y = -1};
    }
}

void share_people_changed(struct share *s)
{
    s->changed = true;
    for (int i = 0; i < s->n; i++)
        s->watcher[i].people_due = true;
}

static struct watcher *find(struct share *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (s->watcher[i].hello && strcmp(s->watcher[i].name, name) == 0)
            return &s->watcher[i];
    return NULL;
}

/* Nobody else's, the teacher's neither: "ann", then "ann-2". */
static void take_name(struct share *s, struct watcher *w, const char *name)
{
    snprintf(w->name, sizeof w->name, "%s", name);
    for (int i = 2; find(s, w->name) || strcmp(w->name, s->teacher) == 0; i++)
        snprintf(w->name, sizeof w->name, "%.*s-%d", WIRE_NAME_MAX - 4, name, i % 100);
}

/* ---- what they say ---- */

static bool obey(struct share *s, struct watcher *w, const struct up *m,
                 void (*input)(void *, const struct input *), void *to)
{
    if (!w->hello != (m->kind == UP_HELLO))
        return false; /* first who it is, and once */
    switch (m->kind) {
    case UP_HELLO:
        take_name(s, w, m->name);
        w->hello = true;
        w->caps = m->caps;
        share_people_changed(s);
        break;
    case UP_SCREEN:
        w->caps = m->caps;
        wire_sent_free(&w->sent);
        w->seen = 0;
        break;
    case UP_CURSOR:
        w->x = m->x;
        w->y = m->y;
        share_people_changed(s);
        break;
    case UP_INPUT:
        if (w->keyboard)
            input(to, &m->input);
        break;
    case UP_RELEASE:
        if (w->keyboard)
            share_take(s);
        break;
    default: return false;
    }
    return true;
}

/* All whole messages that are there.  NULL, or why this one has to go. */
static const char *listen_to(struct share *s, struct watcher *w, int64_t now,
                             void (*input)(void *, const struct input *), void *to)
{
    ssize_t got = recv(w->fd, w->in + w->n_in, sizeof w->in - w->n_in, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return "gone";
    w->n_in += got > 0 ? (size_t)got : 0;
    if (now - w->second_ms >= 1000) {
        w->second_ms = now;
        w->n_messages = 0;
    }
    for (size_t at = 0;;) {
        uint8_t kind;
        const uint8_t *body;
        size_t len, used;
        int there = wire_next(w->in + at, w->n_in - at, WIRE_UP_MAX, &kind, &body, &len, &used);
        struct up m;
        if (there == 0) {
            memmove(w->in, w->in + at, w->n_in - at);
            w->n_in -= at;
            return NULL;
        }
        if (there < 0 || !wire_up_read(kind, body, len, &m) || !obey(s, w, &m, input, to))
            return "this is not what a watcher of this version says";
        if (++w->n_messages > SHARE_MESSAGES_MAX)
            return "too many messages";
        at += used;
    }
}

/* ---- the keyboard ---- */

bool share_is_away(const struct share *s)
{
    for (int i = 0; i < s->n; i++)
        if (s->watcher[i].keyboard)
            return true;
    return false;
}

bool share_take(struct share *s)
{
    bool away = share_is_away(s);
    for (int i = 0; i < s->n; i++)
        s->watcher[i].keyboard = false;
    if (away)
        share_people_changed(s);
    return away;
}

bool share_give(struct share *s, const char *name)
{
    struct watcher *w = find(s, name);
    if (!w)
        return false;
    share_take(s);
    w->keyboard = true;
    share_people_changed(s);
    return true;
}

/* ---- the room ---- */

int share_open(struct share **out, const char *name, const char *const *allow, int n_allow,
               struct err *e)
{
    struct share *s = calloc(1, sizeof *s);
    int rc = s ? 0 : err_set(e, ERR_SYSTEM, "out of memory");
    if (!rc && n_allow > SHARE_ALLOW_MAX)
        rc = err_set(e, ERR_USAGE, "at most %d users can be let in", SHARE_ALLOW_MAX);
    for (int i = 0; !rc && i < n_allow; i++)
        rc = room_user(allow[i], &s->allow[s->n_allow++], e);
    if (!rc) {
        room_own_name(s->teacher);
        s->fd = rc = room_listen(name, n_allow > 0, s->path, e);
    }
    if (rc < 0) {
        free(s);
        return rc;
    }
    for (int i = 0; i < SHARE_WATCHERS_MAX; i++)
        s->watcher[i].fd = -1;
    s->generation = 1;
    *out = s;
    return 0;
}

void share_close(struct share *s)
{
    if (!s)
        return;
    while (s->n)
        refuse(s, &s->watcher[s->n - 1], "the session has ended");
    room_leave(s->fd, s->path);
    share_kinds_free(s);
    free(s);
}

const char *share_name(const struct share *s)
{
    return strrchr(s->path, '/') + 1;
}

int share_people(const struct share *s, struct person *p)
{
    int n = 0;
    p[n] = (struct person){.x = -1, .y = -1, .keyboard = !share_is_away(s), .you = true};
    snprintf(p[n++].name, sizeof p->name, "%s", s->teacher);
    for (int i = 0; i < s->n; i++) {
        const struct watcher *w = &s->watcher[i];
        if (!w->hello)
            continue;
        p[n] = (struct person){.x = w->x, .y = w->y, .keyboard = w->keyboard};
        snprintf(p[n++].name, sizeof p->name, "%s", w->name);
    }
    return n;
}

int share_fds(const struct share *s, struct pollfd p[SHARE_FDS_MAX])
{
    int n = 0;
    p[n++] = (struct pollfd){.fd = s->fd, .events = POLLIN};
    for (int i = 0; i < s->n; i++)
        p[n++] = (struct pollfd){.fd = s->watcher[i].fd,
                                 .events = (short)(POLLIN | (s->watcher[i].out.len ? POLLOUT : 0))};
    return n;
}

bool share_serve(struct share *s, struct app *a, int64_t now,
                 void (*input)(void *, const struct input *), void *to)
{
    s->changed = false;
    welcome(s, now);
    for (int i = s->n - 1; i >= 0; i--) { /* from the end: who is dropped is replaced by the last */
        const char *why = listen_to(s, &s->watcher[i], now, input, to);
        if (why)
            refuse(s, &s->watcher[i], why);
    }
    share_send(s, a, now);
    return s->changed;
}
