/* keys.h - bytes from a terminal -> input events, and the written names of keys.
 *
 * Understands UTF-8, CSI and SS3 keys with modifiers, `CSI u`, SGR and X10 mouse reports, bracketed
 * paste, Alt as an ESC prefix, and every kind of terminal reply.  Replies never become keys,
 * however late or broken they arrive: an unfinished sequence swallows its bytes until it ends, is
 * cancelled or times out. Knows nothing of file descriptors and clocks.  Tested in
 * tests/tui/test_keys.c, tests/fuzz/fuzz_keys.c. */
#ifndef KEYS_H
#define KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A key is a Unicode code point or one of these, with modifiers in the bits above. */
enum {
    KEYS_SPECIAL = 0x200000,
    KEYS_UP = KEYS_SPECIAL,
    KEYS_DOWN,
    KEYS_LEFT,
    KEYS_RIGHT,
    KEYS_HOME,
    KEYS_END,
    KEYS_PGUP,
    KEYS_PGDN,
    KEYS_INSERT,
    KEYS_DELETE,
    KEYS_TAB,
    KEYS_ENTER,
    KEYS_ESC,
    KEYS_BACKSPACE,
    KEYS_F1,
    KEYS_F12 = KEYS_F1 + 11,
    KEYS_CODE_MASK = 0xffffff,
    KEYS_SHIFT = 1 << 24,
    KEYS_ALT = 1 << 25,
    KEYS_CTRL = 1 << 26
};

enum input_kind {
    INPUT_KEY,
    INPUT_MOUSE,
    INPUT_PASTE, /* text (a piece of up to KEYS_PASTE_MAX bytes) */
    INPUT_REPLY, /* an answer of the terminal: `text` is the sequence without its ESC and terminator
                  */
};

enum mouse_act { MOUSE_PRESS, MOUSE_RELEASE, MOUSE_MOVE, MOUSE_WHEEL_UP, MOUSE_WHEEL_DOWN };

enum { KEYS_PASTE_MAX = 1024, KEYS_REPLY_MAX = 256 };

struct input {
    enum input_kind kind;
    uint32_t key; /* INPUT_KEY; INPUT_MOUSE: modifiers alone */
    enum mouse_act act;
    int button, x, y; /* button 0..2; cell, 0-based */
    const char *text; /* INPUT_PASTE, INPUT_REPLY: valid until the next keys_push */
    size_t len;
};

enum keys_state {
    KEYS_GROUND,
    KEYS_ESCAPE,
    KEYS_SS3,
    KEYS_CSI,
    KEYS_X10,
    KEYS_STRING,
    KEYS_STRING_ESC,
    KEYS_UTF8,
    KEYS_PASTE
};

struct keys {
    enum keys_state state;
    bool alt;         /* an ESC came before this key */
    char string_kind; /* introducer of a string: P ] _ ^ X */
    uint32_t point;   /* UTF-8 so far */
    int more, seq;    /* UTF-8 bytes missing; X10 bytes taken */
    uint32_t point_min;
    size_t len;
    bool overflow; /* the sequence is longer than buf: swallow it */
    char buf[KEYS_PASTE_MAX];
};

/* Feed one byte.  Returns the number of events it completed (0, 1 or 2), written to out[2]. */
int keys_push(struct keys *k, uint8_t byte, struct input out[2]);
/* Milliseconds of silence after which keys_timeout should be called; -1 when nothing is unfinished.
 */
int keys_wait_ms(const struct keys *k);
/* Nothing came: a lone ESC becomes the Esc key, anything else unfinished is dropped.  0 or 1
 * events. */
int keys_timeout(struct keys *k, struct input *out);

enum { KEYS_NAME_MAX = 24 };
/* Written name: "x", "<C-r>", "<PgUp>", "<S-Tab>", "<Space>", "<lt>".  Returns buf. */
char *keys_name(uint32_t key, char buf[KEYS_NAME_MAX]);
/* Read one name from *text and step past it.  False: no key is written there (*text unchanged). */
bool keys_read_name(const char **text, uint32_t *key);

#endif
