/* share_parts.h - the room from the inside: for share.c and share_send.c alone.  Tested in
 * tests/tui/test_share.c. */
#ifndef SHARE_PARTS_H
#define SHARE_PARTS_H

#include "share/room.h"
#include "share/share.h"

struct watcher {
    int fd;
    bool hello, keyboard, people_due;
    char name[WIRE_NAME_MAX + 1];
    struct frame_caps caps;
    int x, y; /* its cursor */
    uint8_t in[WIRE_UP_MAX + 8];
    size_t n_in;
    struct bytes out; /* [out_at, len) are to be sent */
    size_t out_at;
    struct wire_sent sent;
    uint64_t seen;    /* generation of the screen that it has or that is on its way; 0 none */
    int64_t moved_ms; /* when its line last took something, or had nothing to take */
    int64_t came_ms, second_ms;
    int n_messages; /* since second_ms */
};

/* How a screen looks on a kind of terminal. */
struct share_look {
    struct frame_caps caps;
    bool flat; /* pictures become half blocks */
};
/* A screen of that look. */
struct share_kind {
    struct share_look look;
    struct frame frame;
    uint64_t hash[FRAME_PICTURES_MAX]; /* of its pictures */
    uint64_t drawn;                    /* generation */
    bool used;
};

struct share {
    int fd;
    char path[ROOM_PATH_MAX], teacher[WIRE_NAME_MAX + 1];
    uid_t allow[SHARE_ALLOW_MAX];
    int n_allow;
    struct watcher watcher[SHARE_WATCHERS_MAX]; /* [n] */
    int n;
    uint64_t generation;            /* of the screen */
    struct frame_caps teacher_caps; /* of the teacher's terminal */
    bool teacher_pixels;
    int64_t sent_ms; /* when one was last drawn for them */
    bool changed;
    struct share_kind kind[SHARE_KINDS_MAX];
};

/* share.c: a watcher goes; everybody is to be told who is there. */
void share_drop(struct share *s, struct watcher *w);
void share_people_changed(struct share *s);
/* share_send.c: fill queues that are empty, send what the lines take, drop who takes nothing. */
void share_send(struct share *s, struct app *a, int64_t now);
void share_kinds_free(struct share *s);

#endif
