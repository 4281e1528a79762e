/* wire_parts.h - numbers in messages: for wire.c and wire_frame.c alone.  Tested in
 * tests/tui/test_wire.c.
 */
#ifndef WIRE_PARTS_H
#define WIRE_PARTS_H

#include "share/wire.h"

/* Little-endian numbers; of a negative one its two's complement. */
void wire_u8(struct bytes *out, unsigned v);
void wire_u16(struct bytes *out, int v);
void wire_u32(struct bytes *out, uint32_t v);
/* A message's head, and its length once all is in it; `at` is what wire_begin returned. */
size_t wire_begin(struct bytes *out, unsigned kind);
void wire_end(struct bytes *out, size_t at);

/* What is left of a message; `bad` sticks. */
struct wire_reader {
    const uint8_t *p;
    size_t n;
    bool bad;
};
/* The next n bytes; NULL when they are not there. */
const uint8_t *wire_take(struct wire_reader *r, size_t n);
uint32_t wire_number(struct wire_reader *r, int bytes);
int wire_i16(struct wire_reader *r);
/* Read to its end, and nothing missing? */
bool wire_is_done(const struct wire_reader *r);

#endif
