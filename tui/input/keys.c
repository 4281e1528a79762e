/* keys.c - the input state machine (see keys.h). */
#include "input/keys.h"

#include <stdio.h>
#include <string.h>

#include "text.h"

static int emit_key(struct keys *k, uint32_t key, struct input *out)
{
    if (k->alt)
        key |= KEYS_ALT;
    k->alt = false;
    k->state = KEYS_GROUND;
    *out = (struct input){.kind = INPUT_KEY, .key = key};
    return 1;
}

static int emit_text(struct keys *k, enum input_kind kind, struct input *out)
{
    *out = (struct input){.kind = kind, .text = k->buf, .len = k->len};
    return 1;
}

static void sequence_start(struct keys *k, enum keys_state state)
{
    k->state = state;
    k->len = 0;
    k->overflow = false;
}

static void sequence_add(struct keys *k, uint8_t byte)
{
    if (k->len < KEYS_REPLY_MAX)
        k->buf[k->len++] = (char)byte;
    else
        k->overflow = true;
}

static int push_control(struct keys *k, uint8_t byte, struct input *out)
{
    switch (byte) {
    case 0: return emit_key(k, ' ' | KEYS_CTRL, out);
    case 0x08:
    case 0x7f: return emit_key(k, KEYS_BACKSPACE, out);
    case 0x09: return emit_key(k, KEYS_TAB, out);
    case 0x0a:
    case 0x0d: return emit_key(k, KEYS_ENTER, out);
    default: break;
    }
    uint32_t letter = byte < 0x1b ? byte + 0x60u : byte + 0x40u;
    return emit_key(k, letter | KEYS_CTRL, out);
}

static int push_ground(struct keys *k, uint8_t byte, struct input *out)
{
    if (byte == 0x1b) {
        k->state = KEYS_ESCAPE;
        return 0;
    }
    if (byte < 0x20 || byte == 0x7f)
        return push_control(k, byte, out);
    if (byte < 0x80)
        return emit_key(k, byte, out);
    int more = byte >= 0xf0 && byte < 0xf5   ? 3
               : byte >= 0xe0 && byte < 0xf0 ? 2
               : byte >= 0xc2 && byte < 0xe0 ? 1
                                             : 0;
    if (!more) {
        k->alt = false;
        k->state = KEYS_GROUND;
        return 0; /* no UTF-8: not a key */
    }
    k->state = KEYS_UTF8;
    k->more = more;
    k->point = byte & (0x3fu >> more);
    k->point_min = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    return 0;
}

static int push_utf8(struct keys *k, uint8_t byte, struct input *out)
{
    if ((byte & 0xc0) != 0x80) {
        k->state = KEYS_GROUND;
        k->alt = false;
        return push_ground(k, byte, out);
    }
    k->point = k->point << 6 | (byte & 0x3f);
    if (--k->more)
        return 0;
    k->state = KEYS_GROUND;
    if (k->point < k->point_min || k->point > 0x10ffff ||
        (k->point >= 0xd800 && k->point < 0xe000) || k->point < 0xa0) {
        k->alt = false;
        return 0;
    }
    return emit_key(k, k->point, out);
}

static int push_escape(struct keys *k, uint8_t byte, struct input *out)
{
    switch (byte) {
    case '[': sequence_start(k, KEYS_CSI); return 0;
    case 'O': sequence_start(k, KEYS_SS3); return 0;
    case 'P':
    case ']':
    case '_':
    case '^':
    case 'X':
        sequence_start(k, KEYS_STRING);
        k->string_kind = (char)byte;
        k->buf[k->len++] = (char)byte;
        return 0;
    case '\\': /* the end of a string whose start is lost */
        k->alt = false;
        k->state = KEYS_GROUND;
        return 0;
    case 0x1b: { /* the first ESC was a key of its own */
        int n = k->alt ? 0 : emit_key(k, KEYS_ESC, out);
        k->alt = false;
        k->state = KEYS_ESCAPE;
        return n;
    }
    default:
        k->alt = true;
        k->state = KEYS_GROUND;
        return push_ground(k, byte, out);
    }
}

/* Numeric parameters of a CSI sequence; absent ones are `missing`.  Sub-parameters after ':' are
 * skipped. */
static int csi_params(const char *s, size_t len, int out[], int max, int missing)
{
    int n = 0;
    for (size_t i = 0; i <= len && n < max; i++) {
        int value = -1;
        while (i < len && s[i] >= '0' && s[i] <= '9') {
            value = (value < 0 ? 0 : value) * 10 + (s[i++] - '0');
            if (value > 0x10ffff)
                value = 0x10ffff;
        }
        while (i < len && s[i] != ';')
            i++;
        out[n++] = value < 0 ? missing : value;
    }
    return n;
}

static uint32_t csi_mods(int param)
{
    int bits = param > 1 ? param - 1 : 0;
    return (bits & 1 ? KEYS_SHIFT : 0u) | (bits & 2 ? KEYS_ALT : 0u) | (bits & 4 ? KEYS_CTRL : 0u);
}

static uint32_t csi_letter(uint8_t final)
{
    switch (final) {
    case 'A': return KEYS_UP;
    case 'B': return KEYS_DOWN;
    case 'C': return KEYS_RIGHT;
    case 'D': return KEYS_LEFT;
    case 'H': return KEYS_HOME;
    case 'F': return KEYS_END;
    case 'M': return KEYS_ENTER;
    case 'P': return KEYS_F1;
    case 'Q': return KEYS_F1 + 1;
    case 'R': return KEYS_F1 + 2;
    case 'S': return KEYS_F1 + 3;
    default: return 0;
    }
}

static uint32_t csi_tilde(int number)
{
    static const uint32_t low[] = {0,         KEYS_HOME, KEYS_INSERT, KEYS_DELETE, KEYS_END,
                                   KEYS_PGUP, KEYS_PGDN, KEYS_HOME,   KEYS_END};
    static const uint8_t f[] = {11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 23, 24};
    if (number >= 1 && number <= 8)
        return low[number];
    for (uint32_t i = 0; i < sizeof f; i++)
        if (f[i] == number)
            return KEYS_F1 + i;
    return 0;
}

/* The key of a CSI u / modifyOtherKeys code, with ASCII controls folded to their keys. */
static uint32_t csi_point(int code, uint32_t mods)
{
    switch (code) {
    case 9: return KEYS_TAB | mods;
    case 10:
    case 13: return KEYS_ENTER | mods;
    case 27: return KEYS_ESC | mods;
    case 8:
    case 127: return KEYS_BACKSPACE | mods;
    default: break;
    }
    if (code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xd800 && code < 0xe000) ||
        (code >= 0xe000 && code < 0xf900))
        return 0;
    if ((mods & KEYS_SHIFT) && code >= 'a' && code <= 'z')
        return ((uint32_t)code - 32) | (mods & ~(uint32_t)KEYS_SHIFT);
    return (uint32_t)code | mods;
}

static int emit_mouse(struct keys *k, int bits, int x, int y, bool release, struct input *out)
{
    k->alt = false;
    if (x < 1 || y < 1)
        return 0;
    *out = (struct input){.kind = INPUT_MOUSE, .x = x - 1, .y = y - 1, .button = bits & 3};
    out->key = (bits & 4 ? KEYS_SHIFT : 0u) | (bits & 8 ? KEYS_ALT : 0u) |
               (bits & 16 ? KEYS_CTRL : 0u);
    if (bits & 64) {
        if ((bits & 3) > 1)
            return 0; /* sideways wheel */
        out->act = bits & 1 ? MOUSE_WHEEL_DOWN : MOUSE_WHEEL_UP;
    } else {
        out->act = bits & 32                    ? MOUSE_MOVE
                   : release || (bits & 3) == 3 ? MOUSE_RELEASE
                                                : MOUSE_PRESS;
    }
    return 1;
}

static int csi_finish(struct keys *k, uint8_t final, struct input *out)
{
    k->state = KEYS_GROUND;
    bool alt = k->alt;
    k->alt = false;
    char *s = k->buf;
    size_t len = k->len;
    if (k->overflow)
        return 0;
    if (final == 'M' && len == 0) {
        sequence_start(k, KEYS_X10);
        return 0;
    }
    int p[4] = {0};
    if (len && s[0] == '<' && (final == 'M' || final == 'm')) {
        int n = csi_params(s + 1, len - 1, p, 3, 0);
        return n == 3 ? emit_mouse(k, p[0], p[1], p[2], final == 'm', out) : 0;
    }
    if (len && (s[0] < '0' || s[0] > ';')) { /* private: a reply */
        s[k->len++] = (char) final;
        return emit_text(k, INPUT_REPLY, out);
    }
    int n = csi_params(s, len, p, 4, 1);
    uint32_t key = 0, mods = n >= 2 ? csi_mods(p[1]) : 0;
    if (final == 'Z')
        key = KEYS_TAB | KEYS_SHIFT;
    else if (final == 'u')
        key = csi_point(p[0], mods);
    else if (final == '~' && p[0] == 27 && n >= 3)
        key = csi_point(p[2], mods);
    else if (final == '~' && p[0] == 200) {
        sequence_start(k, KEYS_PASTE);
        return 0;
    } else if (final == '~' && (key = csi_tilde(p[0])) != 0)
        key |= mods;
    else if (n <= 2 && (len == 0 || p[0] == 1) && (key = csi_letter(final)) != 0)
        key |= mods;
    else {
        s[k->len++] = (char) final;
        return emit_text(k, INPUT_REPLY, out);
    }
    k->alt = alt;
    return key ? emit_key(k, key, out) : 0;
}

static int push_csi(struct keys *k, uint8_t byte, struct input *out)
{
    if (byte == 0x1b) {
        k->state = KEYS_ESCAPE;
        k->alt = false;
        return 0;
    }
    if (byte == 0x18 || byte == 0x1a) {
        k->state = KEYS_GROUND;
        k->alt = false;
        return 0;
    }
    if (byte < 0x20 || byte >= 0x7f)
        return 0;
    if (byte >= 0x40)
        return csi_finish(k, byte, out);
    sequence_add(k, byte);
    return 0;
}

static int push_ss3(struct keys *k, uint8_t byte, struct input *out)
{
    k->state = KEYS_GROUND;
    if (byte == 0x1b) {
        k->state = KEYS_ESCAPE;
        return 0;
    }
    uint32_t key = csi_letter(byte);
    if (!key) {
        k->alt = false;
        return 0;
    }
    return emit_key(k, key, out);
}

static int push_x10(struct keys *k, uint8_t byte, struct input *out)
{
    k->buf[k->seq++] = (char)byte;
    if (k->seq < 3)
        return 0;
    k->seq = 0;
    k->state = KEYS_GROUND;
    const uint8_t *b = (const uint8_t *)k->buf;
    if (b[0] < 32 || b[1] < 33 || b[2] < 33)
        return 0;
    return emit_mouse(k, b[0] - 32, b[1] - 32, b[2] - 32, false, out);
}

static int string_end(struct keys *k, bool whole, struct input *out)
{
    k->state = KEYS_GROUND;
    k->alt = false;
    return whole && !k->overflow ? emit_text(k, INPUT_REPLY, out) : 0;
}

static int push_string(struct keys *k, uint8_t byte, struct input out[2])
{
    if (k->state == KEYS_STRING_ESC) {
        if (byte == '\\')
            return string_end(k, true, out);
        k->state = KEYS_ESCAPE; /* a new sequence cuts the string off */
        k->alt = false;
        return push_escape(k, byte, out);
    }
    if (byte == 0x1b)
        k->state = KEYS_STRING_ESC;
    else if (byte == 0x07)
        return string_end(k, k->string_kind == ']', out);
    else if (byte == 0x18 || byte == 0x1a)
        return string_end(k, false, out);
    else
        sequence_add(k, byte);
    return 0;
}

static int push_paste(struct keys *k, uint8_t byte, struct input *out)
{
    static const char end[] = "\x1b[201~";
    const size_t tail = sizeof end - 1;
    k->buf[k->len++] = (char)byte;
    if (k->len >= tail && memcmp(k->buf + k->len - tail, end, tail) == 0) {
        k->len -= tail;
        k->state = KEYS_GROUND;
        k->alt = false;
        return k->len ? emit_text(k, INPUT_PASTE, out) : 0;
    }
    if (k->len < KEYS_PASTE_MAX)
        return 0;
    /* hand over all but what may be the beginning of the end mark or of a character */
    size_t keep = 0;
    for (size_t i = 1; i < tail && !keep; i++)
        if (memcmp(k->buf + k->len - i, end, i) == 0)
            keep = i;
    for (size_t i = 1; i < 4 && !keep; i++) {
        uint8_t b = (uint8_t)k->buf[k->len - i];
        if (b >= 0xc0)
            keep = i;
        else if (b < 0x80)
            break;
    }
    static _Thread_local char piece[KEYS_PASTE_MAX];
    size_t len = k->len - keep;
    memcpy(piece, k->buf, len);
    memmove(k->buf, k->buf + len, keep);
    k->len = keep;
    *out = (struct input){.kind = INPUT_PASTE, .text = piece, .len = len};
    return 1;
}

int keys_push(struct keys *k, uint8_t byte, struct input out[2])
{
    switch (k->state) {
    case KEYS_GROUND: return push_ground(k, byte, out);
    case KEYS_ESCAPE: return push_escape(k, byte, out);
    case KEYS_SS3: return push_ss3(k, byte, out);
    case KEYS_CSI: return push_csi(k, byte, out);
    case KEYS_X10: return push_x10(k, byte, out);
    case KEYS_STRING:
    case KEYS_STRING_ESC: return push_string(k, byte, out);
    case KEYS_UTF8: return push_utf8(k, byte, out);
    case KEYS_PASTE: return push_paste(k, byte, out);
    }
    return 0;
}

int keys_wait_ms(const struct keys *k)
{
    switch (k->state) {
    case KEYS_GROUND: return -1;
    case KEYS_ESCAPE: return 50;
    case KEYS_PASTE: return 5000;
    default: return 1000; /* part of a sequence: slow lines deliver it in pieces */
    }
}

int keys_timeout(struct keys *k, struct input *out)
{
    enum keys_state was = k->state;
    k->state = KEYS_GROUND;
    k->seq = 0;
    if (was == KEYS_ESCAPE) {
        k->alt = false;
        return emit_key(k, KEYS_ESC, out);
    }
    k->alt = false;
    if (was == KEYS_PASTE && k->len)
        return emit_text(k, INPUT_PASTE, out);
    return 0;
}

/* ---- names ---- */

static const struct {
    const char *name;
    uint32_t key;
} key_names[] = {
    {"Up", KEYS_UP},         {"Down", KEYS_DOWN},
    {"Left", KEYS_LEFT},     {"Right", KEYS_RIGHT},
    {"Home", KEYS_HOME},     {"End", KEYS_END},
    {"PgUp", KEYS_PGUP},     {"PgDn", KEYS_PGDN},
    {"Insert", KEYS_INSERT}, {"Delete", KEYS_DELETE},
    {"Tab", KEYS_TAB},       {"Enter", KEYS_ENTER},
    {"Esc", KEYS_ESC},       {"Backspace", KEYS_BACKSPACE},
    {"Space", ' '},          {"lt", '<'},
};
enum { N_KEY_NAMES = sizeof key_names / sizeof key_names[0] };

char *keys_name(uint32_t key, char buf[KEYS_NAME_MAX])
{
    uint32_t code = key & KEYS_CODE_MASK;
    const char *name = NULL;
    char own[8] = "";
    for (int i = 0; i < N_KEY_NAMES; i++)
        if (key_names[i].key == code)
            name = key_names[i].name;
    if (!name && code >= KEYS_F1 && code <= KEYS_F12) {
        snprintf(own, sizeof own, "F%u", (unsigned)(code - KEYS_F1 + 1));
        name = own;
    }
    uint32_t mods = key & ~(uint32_t)KEYS_CODE_MASK;
    if (!name) {
        char glyph[5] = "";
        if (code >= 0x20 && code <= 0x10ffff)
            glyph[text_encode((int32_t)code, glyph)] = 0;
        memcpy(own, glyph, sizeof glyph);
        if (!mods) {
            memcpy(buf, own, sizeof glyph);
            return buf;
        }
        name = own;
    }
    snprintf(buf, KEYS_NAME_MAX, "<%s%s%s%s>", mods & KEYS_CTRL ? "C-" : "",
             mods & KEYS_ALT ? "M-" : "", mods & KEYS_SHIFT ? "S-" : "", name);
    return buf;
}

/* One UTF-8 character; its length, 0 if malformed or a control. */
static int read_point(const char *s, size_t len, uint32_t *point)
{
    struct keys k = {0};
    struct input in[2];
    if (!len || (uint8_t)s[0] < 0x20 || s[0] == 0x7f)
        return 0;
    for (size_t i = 0; i < len && i < 4; i++)
        if (keys_push(&k, (uint8_t)s[i], in) == 1) {
            *point = in[0].key;
            return (int)i + 1;
        } else if (k.state != KEYS_UTF8)
            return 0;
    return 0;
}

static bool read_bracketed(const char *s, size_t len, uint32_t *key)
{
    uint32_t mods = 0;
    while (len > 2 && s[1] == '-') {
        uint32_t mod = s[0] == 'C'                  ? KEYS_CTRL
                       : s[0] == 'M' || s[0] == 'A' ? KEYS_ALT
                       : s[0] == 'S'                ? KEYS_SHIFT
                                                    : 0;
        if (!mod)
            return false;
        mods |= mod;
        s += 2;
        len -= 2;
    }
    for (int i = 0; i < N_KEY_NAMES; i++)
        if (strlen(key_names[i].name) == len && memcmp(key_names[i].name, s, len) == 0) {
            *key = key_names[i].key | mods;
            return true;
        }
    if (len >= 2 && len <= 3 && s[0] == 'F' && s[1] >= '1' && s[1] <= '9' &&
        (len == 2 || (s[2] >= '0' && s[2] <= '9'))) {
        int f = s[1] - '0';
        if (len == 3)
            f = f * 10 + (s[2] - '0');
        if (f > 12)
            return false;
        *key = (KEYS_F1 + (uint32_t)f - 1) | mods;
        return true;
    }
    uint32_t point;
    if (!mods || read_point(s, len, &point) != (int)len)
        return false;
    *key = point | mods;
    return true;
}

bool keys_read_name(const char **text, uint32_t *key)
{
    const char *s = *text;
    if (*s == '<') {
        const char *end = strchr(s + 1, '>');
        if (end && end[1] == '>' && end[-1] == '-') /* <C->> */
            end++;
        if (!end || !read_bracketed(s + 1, (size_t)(end - s - 1), key))
            return false;
        *text = end + 1;
        return true;
    }
    int n = read_point(s, strlen(s), key);
    if (!n || *key == ' ')
        return false;
    *text = s + n;
    return true;
}
