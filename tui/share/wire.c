/* wire.c - messages as bytes (see wire.h): the parts they are made of, and all but screens. */
#include "share/wire_parts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

void wire_u8(struct bytes *out, unsigned v)
{
    bytes_add_char(out, (char)(uint8_t)v);
}

void wire_u16(struct bytes *out, int v)
{
    wire_u8(out, (unsigned)v);
    wire_u8(out, (unsigned)v >> 8);
}

void wire_u32(struct bytes *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        wire_u8(out, v >> (8 * i));
}

size_t wire_begin(struct bytes *out, unsigned kind)
{
    size_t at = out->len;
    wire_u32(out, 0);
    wire_u8(out, kind);
    return at;
}

void wire_end(struct bytes *out, size_t at)
{
    if (!out->failed)
        for (int i = 0; i < 4; i++)
            out->data[at + (size_t)i] = (char)(uint8_t)((out->len - at - 4) >> (8 * i));
}

/* ---- reading ---- */

const uint8_t *wire_take(struct wire_reader *r, size_t n)
{
    if (n > r->n) {
        r->bad = true;
        r->n = 0;
        return NULL;
    }
    const uint8_t *at = r->p;
    r->p += n;
    r->n -= n;
    return at;
}

uint32_t wire_number(struct wire_reader *r, int bytes)
{
    const uint8_t *p = wire_take(r, (size_t)bytes);
    uint32_t v = 0;
    for (int i = 0; p && i < bytes; i++)
        v |= (uint32_t)p[i] << (8 * i);
    return v;
}

int wire_i16(struct wire_reader *r)
{
    return (int16_t)wire_number(r, 2);
}

bool wire_is_done(const struct wire_reader *r)
{
    return !r->bad && r->n == 0;
}

int wire_next(const uint8_t *data, size_t n, size_t max, uint8_t *kind, const uint8_t **body,
              size_t *body_len, size_t *used)
{
    if (n < 4)
        return 0;
    struct wire_reader r = {data, n, false};
    size_t len = wire_number(&r, 4);
    if (len < 1 || len > max)
        return -1;
    if (r.n < len)
        return 0;
    *kind = *r.p;
    *body = r.p + 1;
    *body_len = len - 1;
    *used = len + 4;
    return 1;
}

/* ---- names ---- */

/* A name as it is shown and given: one word of characters that may be shown. */
static bool read_name(struct wire_reader *r, char name[WIRE_NAME_MAX + 1])
{
    size_t n = wire_number(r, 1);
    const uint8_t *p = wire_take(r, n);
    if (!p || !n || n > WIRE_NAME_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum(p[i]) && (!p[i] || !strchr("-_.", p[i])))
            return false;
    memcpy(name, p, n);
    name[n] = 0;
    return true;
}

static void add_name(struct bytes *out, const char *name)
{
    size_t n = strnlen(name, WIRE_NAME_MAX);
    wire_u8(out, (unsigned)n);
    bytes_add(out, name, n);
}

/* ---- up ---- */

static void add_caps(struct bytes *out, const struct frame_caps *c)
{
    wire_u8(out, c->graphics);
    wire_u8(out, c->depth);
    wire_u16(out, c->cell_w);
    wire_u16(out, c->cell_h);
    wire_u8(out, c->ascii);
}

static bool read_caps(struct wire_reader *r, struct frame_caps *c)
{
    uint32_t graphics = wire_number(r, 1), depth = wire_number(r, 1);
    int w = wire_i16(r), h = wire_i16(r);
    uint32_t ascii = wire_number(r, 1);
    if (r->bad || graphics > GRAPHICS_KITTY || depth >= COLOR_DEPTH_COUNT || w < 0 || h < 0 ||
        w > 64 || h > 64 || ascii > 1)
        return false;
    *c = (struct frame_caps){(enum graphics)graphics, (enum color_depth)depth, w, h, ascii == 1};
    return true;
}

static void add_input(struct bytes *out, const struct input *in)
{
    wire_u8(out, in->kind);
    wire_u32(out, in->key);
    wire_u8(out, in->act);
    wire_u8(out, (unsigned)in->button);
    wire_u16(out, in->x);
    wire_u16(out, in->y);
    if (in->kind == INPUT_PASTE)
        bytes_add(out, in->text, in->len);
}

static bool read_input(struct wire_reader *r, struct input *in)
{
    uint32_t kind = wire_number(r, 1), key = wire_number(r, 4), act = wire_number(r, 1),
             button = wire_number(r, 1);
    int x = wire_i16(r), y = wire_i16(r);
    bool key_ok = (key & KEYS_CODE_MASK) <= KEYS_F12 && key < 1u << 27;
    if (r->bad || kind > INPUT_PASTE || !key_ok || act > MOUSE_WHEEL_DOWN || button > 2)
        return false;
    *in = (struct input){.kind = (enum input_kind)kind,
                         .key = key,
                         .act = (enum mouse_act)act,
                         .button = (int)button,
                         .x = x,
                         .y = y};
    if (kind == INPUT_PASTE) {
        in->len = r->n;
        in->text = (const char *)wire_take(r, r->n);
    }
    return in->len <= KEYS_PASTE_MAX;
}

void wire_up_add(struct bytes *out, const struct up *m)
{
    size_t at = wire_begin(out, m->kind);
    if (m->kind == UP_HELLO) {
        wire_u16(out, WIRE_VERSION);
        add_name(out, m->name);
    }
    if (m->kind == UP_HELLO || m->kind == UP_SCREEN)
        add_caps(out, &m->caps);
    if (m->kind == UP_CURSOR) {
        wire_u16(out, m->x);
        wire_u16(out, m->y);
    }
    if (m->kind == UP_INPUT)
        add_input(out, &m->input);
    wire_end(out, at);
}

bool wire_up_read(uint8_t kind, const uint8_t *body, size_t n, struct up *out)
{
    struct wire_reader r = {body, n, false};
    struct up m = {.kind = (enum up_kind)kind};
    bool ok = kind >= UP_HELLO && kind < UP_KIND_END;
    if (kind == UP_HELLO)
        ok = wire_number(&r, 2) == WIRE_VERSION && read_name(&r, m.name);
    if (ok && (kind == UP_HELLO || kind == UP_SCREEN))
        ok = read_caps(&r, &m.caps);
    if (kind == UP_CURSOR) {
        m.x = wire_i16(&r);
        m.y = wire_i16(&r);
    }
    if (kind == UP_INPUT)
        ok = read_input(&r, &m.input);
    if (!ok || !wire_is_done(&r))
        return false;
    *out = m;
    return true;
}

/* ---- people, the end ---- */

void wire_people_add(struct bytes *out, const struct person *p, int n)
{
    size_t at = wire_begin(out, DOWN_PEOPLE);
    wire_u8(out, (unsigned)n);
    for (int i = 0; i < n; i++) {
        add_name(out, p[i].name);
        wire_u16(out, p[i].x);
        wire_u16(out, p[i].y);
        wire_u8(out, (p[i].keyboard ? 1u : 0u) | (p[i].you ? 2u : 0u));
    }
    wire_end(out, at);
}

bool wire_people_read(const uint8_t *body, size_t n, struct person *p, int *count)
{
    struct wire_reader r = {body, n, false};
    int people = (int)wire_number(&r, 1);
    if (people > WIRE_PEOPLE_MAX)
        return false;
    for (int i = 0; i < people; i++) {
        struct person x = {0};
        if (!read_name(&r, x.name))
            return false;
        x.x = wire_i16(&r);
        x.y = wire_i16(&r);
        uint32_t bits = wire_number(&r, 1);
        x.keyboard = bits & 1;
        x.you = bits & 2;
        p[i] = x;
    }
    *count = people;
    return wire_is_done(&r);
}

void wire_end_add(struct bytes *out, const char *why)
{
    size_t at = wire_begin(out, DOWN_END);
    bytes_add(out, why, strnlen(why, 199));
    wire_end(out, at);
}

bool wire_end_read(const uint8_t *body, size_t n, char why[200])
{
    if (n >= 200)
        return false;
    text_copy(why, 200, (const char *)body, n, TEXT_PLAIN);
    return true;
}
