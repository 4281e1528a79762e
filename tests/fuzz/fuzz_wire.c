/* fuzz_wire.c - any bytes from the other end of a room, to the teacher (first byte even) or to a
 * watcher: no fault; what a watcher shows holds no control character, lies in its screen, and is
 * told further as it is. */
#include <stdlib.h>
#include <string.h>

#include "share/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frame(struct frame *f)
{
    const struct canvas *c = f->canvas;
    for (int i = 0; i < c->w * c->h; i++)
        for (const char *s = c->cell[i].text; *s; s++)
            if ((unsigned char)*s < 0x20 || *s == 0x7f)
                abort();
    for (int i = 0; i < f->n_pictures; i++) {
        const struct picture *p = &f->picture[i];
        struct rect in = rect_intersect(p->r, canvas_rect(c));
        if (!p->image.pixel || (!rect_is_empty(p->r) && memcmp(&in, &p->r, sizeof in) != 0))
            abort();
        for (int k = 0; k < p->image.w * p->image.h; k++)
            if (p->image.pixel[k] >= p->image.n_colors)
                abort();
    }
    struct wire_sent sent = {0};
    struct bytes b = {0};
    struct frame again = {0};
    uint64_t hash[FRAME_PICTURES_MAX];
    wire_hash(f, hash);
    wire_frame_add(&b, f, hash, &sent);
    if (!b.failed && b.len <= WIRE_DOWN_MAX && f->caret_x < c->w && f->caret_y < c->h &&
        !wire_frame_read((const uint8_t *)b.data + 5, b.len - 5, &again))
        abort();
    wire_sent_free(&sent);
    bytes_free(&b);
    frame_free(&again);
}

static void to_watcher(struct frame *f, uint8_t kind, const uint8_t *body, size_t n)
{
    struct person p[WIRE_PEOPLE_MAX];
    char why[200];
    int people = 0;
    if (kind == DOWN_FRAME && wire_frame_read(body, n, f))
        check_frame(f);
    if (kind == DOWN_PEOPLE && wire_people_read(body, n, p, &people) && people > WIRE_PEOPLE_MAX)
        abort();
    if (kind == DOWN_END && wire_end_read(body, n, why))
        for (const char *s = why; *s; s++)
            if ((unsigned char)*s < 0x20)
                abort();
}

static void to_teacher(uint8_t kind, const uint8_t *body, size_t n)
{
    struct up m;
    struct bytes b = {0};
    if (!wire_up_read(kind, body, n, &m))
        return;
    wire_up_add(&b, &m); /* and back: the same bytes */
    if (!b.failed && (b.len != n + 5 || (kind != UP_INPUT && memcmp(b.data + 5, body, n) != 0)))
        abort();
    bytes_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame f = {.caret_x = -1, .caret_y = -1};
    if (!size)
        return 0;
    bool up = data[0] % 2 == 0;
    uint8_t kind;
    const uint8_t *body;
    size_t len, used;
    for (size_t at = 1; wire_next(data + at, size - at, up ? WIRE_UP_MAX : WIRE_DOWN_MAX, &kind,
                                  &body, &len, &used) == 1;
         at += used) {
        if (up)
            to_teacher(kind, body, len);
        else
            to_watcher(&f, kind, body, len);
    }
    frame_free(&f);
    return 0;
}
