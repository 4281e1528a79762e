/* test_wire.c - messages of a room: what is told is what was meant, in full and as differences, and
 * nothing that is cut, changed or hostile is taken for a message. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"
#include "share/wire.h"

static struct up sample(enum up_kind kind)
{
    struct up m = {.kind = kind, .x = 17, .y = -1};
    memcpy(m.name, "ann-2", 6);
    m.caps = (struct frame_caps){GRAPHICS_KITTY, COLOR_DEPTH_256, 9, 18, true};
    m.input = (struct input){.kind = INPUT_PASTE, .text = "a\nb\x1b", .len = 4};
    return m;
}

static void read_whole(const struct bytes *b, uint8_t *kind, const uint8_t **body, size_t *len)
{
    size_t used;
    assert_int_equal(
        wire_next((const uint8_t *)b->data, b->len, WIRE_DOWN_MAX, kind, body, len, &used), 1);
    assert_int_equal(used, b->len);
}

/* Each kind comes back as it was; cut or longer it is refused. */
static void test_up(void **state)
{
    (void)state;
    for (int k = UP_HELLO; k < UP_KIND_END; k++) {
        struct up m = sample((enum up_kind)k), got;
        struct bytes b = {0}, longer = {0};
        uint8_t kind;
        const uint8_t *body;
        size_t len;
        wire_up_add(&b, &m);
        read_whole(&b, &kind, &body, &len);
        assert_true(wire_up_read(kind, body, len, &got));
        assert_int_equal(got.kind, k);
        if (k == UP_HELLO)
            assert_string_equal(got.name, "ann-2");
        if (k == UP_HELLO || k == UP_SCREEN)
            assert_memory_equal(&got.caps, &m.caps, sizeof m.caps);
        if (k == UP_CURSOR)
            assert_true(got.x == 17 && got.y == -1);
        if (k == UP_INPUT) {
            assert_int_equal(got.input.len, 4);
            assert_memory_equal(got.input.text, "a\nb\x1b", 4);
        }
        size_t text = k == UP_INPUT ? 4 : 0; /* a paste may be as short as it likes */
        for (size_t n = 0; n + text < len; n++)
            assert_false(wire_up_read(kind, body, n, &got));
        bytes_add(&longer, body, len);
        bytes_add_char(&longer, 0);
        assert_int_equal(wire_up_read(kind, (const uint8_t *)longer.data, len + 1, &got),
                         k == UP_INPUT);
        bytes_free(&b);
        bytes_free(&longer);
    }
}

static void test_bad_up(void **state)
{
    (void)state;
    struct up m = sample(UP_HELLO), got;
    static const char *const names[] = {"",         "two words", "esc\x1b",
                                        "\xc3\xa9", "a/b",       "12345678901234567890123456"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bytes b = {0};
        uint8_t kind;
        const uint8_t *body;
        size_t len;
        memset(m.name, 0, sizeof m.name);
        memcpy(m.name, names[i], strnlen(names[i], WIRE_NAME_MAX));
        wire_up_add(&b, &m);
        if (strlen(names[i]) > WIRE_NAME_MAX && b.len > 7)
            b.data[7] = WIRE_NAME_MAX + 1;
        read_whole(&b, &kind, &body, &len);
        assert_false(wire_up_read(kind, body, len, &got));
        bytes_free(&b);
    }
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0x7f, 1}, empty[] = {0, 0, 0, 0, 1};
    uint8_t kind;
    const uint8_t *body;
    size_t len, used;
    assert_int_equal(wire_next(huge, sizeof huge, WIRE_UP_MAX, &kind, &body, &len, &used), -1);
    assert_int_equal(wire_next(empty, sizeof empty, WIRE_UP_MAX, &kind, &body, &len, &used), -1);
    assert_int_equal(wire_next(huge, 3, WIRE_UP_MAX, &kind, &body, &len, &used), 0);
}

/* ---- screens ---- */

static void same_frames(const struct frame *a, const struct frame *b)
{
    assert_true(a->canvas->w == b->canvas->w && a->canvas->h == b->canvas->h);
    for (int i = 0; i < a->canvas->w * a->canvas->h; i++) {
        const struct canvas_cell *x = &a->canvas->cell[i], *y = &b->canvas->cell[i];
        if (strcmp(x->text, y->text) != 0 || x->width != y->width || x->style.fg != y->style.fg ||
            x->style.bg != y->style.bg || x->style.attr != y->style.attr)
            fail_msg("cell %d, %d: \"%s\" became \"%s\"", i % a->canvas->w, i / a->canvas->w,
                     x->text, y->text);
    }
    assert_int_equal(a->n_pictures, b->n_pictures);
    for (int i = 0; i < a->n_pictures; i++) {
        const struct picture *p = &a->picture[i], *q = &b->picture[i];
        assert_memory_equal(&p->r, &q->r, sizeof p->r);
        assert_true(p->w == q->w && p->h == q->h && p->image.w == q->image.w &&
                    p->image.h == q->image.h && p->image.n_colors == q->image.n_colors);
        assert_memory_equal(p->image.palette, q->image.palette,
                            (size_t)p->image.n_colors * sizeof p->image.palette[0]);
        assert_memory_equal(p->image.pixel, q->image.pixel,
                            (size_t)p->image.w * (size_t)p->image.h);
    }
    assert_int_equal(a->n_popups, b->n_popups);
    assert_memory_equal(a->popup, b->popup, (size_t)a->n_popups * sizeof a->popup[0]);
    assert_true(a->caret_x == b->caret_x && a->caret_y == b->caret_y);
}

/* Tell the screen of now to `far`; the bytes that it took. */
static size_t tell(struct wire_sent *sent, struct frame *far)
{
    struct bytes b = {0};
    uint64_t hash[FRAME_PICTURES_MAX];
    uint8_t kind;
    const uint8_t *body;
    size_t len;
    assert_true(app_draw(d.app, &d.frame));
    wire_hash(&d.frame, hash);
    wire_frame_add(&b, &d.frame, hash, sent);
    assert_false(b.failed);
    read_whole(&b, &kind, &body, &len);
    assert_int_equal(kind, DOWN_FRAME);
    assert_true(wire_frame_read(body, len, far));
    same_frames(&d.frame, far);
    len = b.len;
    bytes_free(&b);
    return len;
}

/* Every view, with pixels and without, in colour and without; each told as what changed. */
static void test_screens(void **state)
{
    (void)state;
    static const char *const steps[] = {"x",  "2",  "L",   "<Enter>", "?",     "<Esc>", "3", "4",
                                        "5",  "6",  "1",   ":vi",     "<Esc>", "7",     "8", "gn",
                                        "ll", "kk", "Kjj", "2HHx",    "b",     "u"};
    for (int kind = 0; kind < 4; kind++) {
        struct wire_sent sent = {0};
        struct frame far = {0};
        driver_open(&d, "tests/fixtures/models/gpt2", tokens, 8, 120, 36);
        d.frame.caps = (struct frame_caps){kind < 2 ? GRAPHICS_SIXEL : GRAPHICS_BLOCKS,
                                           kind == 3 ? COLOR_DEPTH_NONE : COLOR_DEPTH_TRUE, 9, 18,
                                           kind == 1};
        size_t all = tell(&sent, &far);
        assert_true(tell(&sent, &far) < 100); /* nothing new */
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            driver_keys(&d, steps[i]);
            tell(&sent, &far);
        }
        driver_keys(&d, "1k");
        tell(&sent, &far);
        driver_keys(&d, "j");
        assert_true(tell(&sent, &far) < all);
        app_resize(d.app, 60, 20);
        driver_settle(&d);
        tell(&sent, &far);
        wire_sent_free(&sent);
        frame_free(&far);
        driver_close(&d);
    }
}

/* A screen that is cut anywhere, or has any byte changed: refused, or some screen that holds
 * nothing that could move a cursor. */
static void test_damage(void **state)
{
    (void)state;
    struct wire_sent sent = {0};
    struct frame far = {0};
    struct bytes b = {0};
    uint64_t hash[FRAME_PICTURES_MAX];
    driver_open(&d, "tests/fixtures/models/gpt2", tokens, 8, 60, 20);
    d.frame.caps = (struct frame_caps){GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false};
    driver_keys(&d, "2");
    assert_true(app_draw(d.app, &d.frame));
    assert_true(d.frame.n_pictures > 0);
    wire_hash(&d.frame, hash);
    wire_frame_add(&b, &d.frame, hash, &sent);
    uint8_t *body = (uint8_t *)b.data + 5;
    size_t len = b.len - 5;
    for (size_t n = 0; n < len; n += 1 + n / 64)
        assert_false(wire_frame_read(body, n, &far));
    for (size_t i = 0; i < len; i += 1 + i / 256) {
        uint8_t was = body[i];
        for (int k = 0; k < 3; k++) {
            body[i] = (uint8_t)(k == 0 ? 0x1b : k == 1 ? 0xff : was ^ 0x80);
            if (wire_frame_read(body, len, &far))
                for (int c = 0; c < far.canvas->w * far.canvas->h; c++)
                    for (const char *s = far.canvas->cell[c].text; *s; s++)
                        assert_true((unsigned char)*s >= 0x20 && *s != 0x7f);
        }
        body[i] = was;
    }
    assert_true(wire_frame_read(body, len, &far)); /* it still learns */
    same_frames(&d.frame, &far);
    bytes_free(&b);
    wire_sent_free(&sent);
    frame_free(&far);
    driver_close(&d);
}

static void test_people(void **state)
{
    (void)state;
    struct person p[WIRE_PEOPLE_MAX] = {{.name = "root", .x = -1, .y = -1, .keyboard = true},
                                        {.name = "ann", .x = 200, .y = 7, .you = true}},
                  got[WIRE_PEOPLE_MAX];
    struct bytes b = {0};
    uint8_t kind;
    const uint8_t *body;
    size_t len;
    int n = 0;
    wire_people_add(&b, p, 2);
    read_whole(&b, &kind, &body, &len);
    assert_true(kind == DOWN_PEOPLE && wire_people_read(body, len, got, &n) && n == 2);
    assert_true(got[0].keyboard && !got[0].you && got[0].x == -1 && got[1].you && got[1].x == 200);
    for (size_t i = 0; i < len; i++)
        assert_false(wire_people_read(body, i, got, &n));
    bytes_free(&b);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_up), cmocka_unit_test(test_bad_up), cmocka_unit_test(test_screens),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_people)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
