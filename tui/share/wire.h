/* wire.h - what a shared explorer and its watchers tell each other: messages as bytes.
 *
 * A message is its length (4 bytes, little-endian, of what follows), a byte that says what it is,
 * and its fields.  Up: a watcher's name and terminal, its cursor, and keys while it has the
 * keyboard. Down: the teacher's screen as cells and pictures, only what changed, and who is there.
 * Screens are told as canvas and pixels, not as bytes of a terminal: each watcher shows them in its
 * own colours, with its own way of pictures.
 *
 * Neither side trusts the other: lengths are bounded before anything is kept, text passes the
 * canvas' sanitizer, and a message that is not whole and exact is refused.  Pure; one thread.
 * Tested in tests/tui/test_wire.c, tests/fuzz/fuzz_wire.c. */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>

#include "frame.h"
#include "input/keys.h"

enum {
    WIRE_VERSION = 1,
    WIRE_NAME_MAX = 24,   /* bytes of a name */
    WIRE_PEOPLE_MAX = 17, /* watchers and the teacher */
    WIRE_UP_MAX = 2048,   /* bytes of a message */
    WIRE_DOWN_MAX = 8 << 20,
    WIRE_CELLS_MAX = 1 << 18 /* of a screen */
};

/* The first whole message of data[n]: its kind and fields.  1; 0: more bytes are needed; -1: it is
 * longer than `max`, or empty.  *used: its bytes, header and all. */
int wire_next(const uint8_t *data, size_t n, size_t max, uint8_t *kind, const uint8_t **body,
              size_t *body_len, size_t *used);

/* ---- up ---- */

enum up_kind { UP_HELLO = 1, UP_SCREEN, UP_CURSOR, UP_INPUT, UP_RELEASE, UP_KIND_END };

struct up {
    enum up_kind kind;
    char name[WIRE_NAME_MAX + 1]; /* UP_HELLO: cleaned, one word */
    struct frame_caps caps;       /* UP_HELLO, UP_SCREEN */
    int x, y;                     /* UP_CURSOR: a cell of the teacher's screen */
    struct input input;           /* UP_INPUT: a key, or a paste whose text lies in the message */
};
/* False: not a message of this kind, whole and exact. */
bool wire_up_read(uint8_t kind, const uint8_t *body, size_t n, struct up *out);
void wire_up_add(struct bytes *out, const struct up *m);

/* ---- down ---- */

enum down_kind { DOWN_FRAME = 1, DOWN_PEOPLE, DOWN_END };

/* Somebody in the room. */
struct person {
    char name[WIRE_NAME_MAX + 1];
    int x, y; /* the cursor's cell; -1: none */
    bool keyboard, you;
};

/* What one watcher has been told of the screen.  {0}: nothing. */
struct wire_sent {
    struct canvas_cell *cell;
    int w, h;
    uint64_t picture[FRAME_PICTURES_MAX];
    int n_pictures;
};
void wire_sent_free(struct wire_sent *s);
/* What tells its pictures from others. */
void wire_hash(const struct frame *f, uint64_t hash[FRAME_PICTURES_MAX]);
/* Add a message that brings a watcher from *sent to f, with these hashes, and note it there. */
void wire_frame_add(struct bytes *out, const struct frame *f, const uint64_t *hash,
                    struct wire_sent *sent);
/* Bring *f there (its caps stay).  False: the message is not whole and exact; *f is some screen. */
bool wire_frame_read(const uint8_t *body, size_t n, struct frame *f);
void wire_people_add(struct bytes *out, const struct person *p, int n);
bool wire_people_read(const uint8_t *body, size_t n, struct person *p, int *count);
/* Why it ends, for the watcher to read. */
void wire_end_add(struct bytes *out, const char *why);
bool wire_end_read(const uint8_t *body, size_t n, char why[200]);

#endif
