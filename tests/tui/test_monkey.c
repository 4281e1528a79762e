/* test_monkey.c - thousands of random keys, clicks, pastes, sizes and broken replies: no fault, and
 * a screen each time, which a terminal then shows to the last cell, on several models.
 * BORE_MONKEY=N: another number of events for each; BORE_MONKEY_SEED=N: others;
 * BORE_MONKEY_MODEL=FOLDER: that model alone. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"
#include "emulator.h"
#include "fixture.h"
#include "unit.h"

#define FIXTURES "tests/fixtures/models/"

static uint32_t seed = 12345;

static uint32_t any(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % n;
}

/* All but what would write files into the source tree. */
static void feed(struct driver *d, const struct input *in)
{
    const char *line = line_text(&d->app->line);
    bool key = in->kind == INPUT_KEY;
    if (key && in->key == KEYS_ENTER && d->app->mode == LINE_COMMAND &&
        (line[0] == 'w' || strncmp(line, "save", 4) == 0))
        app_line_cancel(d->app);
    else if (in->kind != INPUT_REPLY && !(key && in->key == 'w' && d->app->mode == LINE_NONE))
        app_input(d->app, in);
}

static void random_input(struct driver *d, struct keys *keys)
{
    static const char likely[] = "1234567hjklgG\t\r\x7f"
                                 "xXsSM+-Pvy.eoOdudubcmzzHLJKK!\\p:t/nN?\x0f\x0c\x12 \x1b\x1b\x1b"
                                 "aeiou=0[]:,*{}\"A|>@`TB=>CC";
    char bytes[250];
    size_t n = 1, at;
    switch (any(12)) {
    case 0: /* anything */
        for (n = 0; n < 8; n++)
            bytes[n] = (char)any(256);
        break;
    case 1:
        n = (size_t)snprintf(bytes, sizeof bytes, "\x1b[<%u;%u;%u%c", any(70), any(160), any(60),
                             any(2) ? 'M' : 'm');
        break;
    case 2: n = (size_t)snprintf(bytes, sizeof bytes, "\x1b[%c", "ABCDHFZ"[any(7)]); break;
    case 3: {
        static const char *const odd[] = {"\x1b[200~pas\nte\x1b[201~",
                                          "\x1b[?62;4c",
                                          "\x1b]11;rgb:1/2",
                                          "\x1bP>|x",
                                          "\x1b[6;18;9t",
                                          "\xe4\xb8",
                                          "\x1b[5~",
                                          "\x1b[6~"};
        n = (size_t)snprintf(bytes, sizeof bytes, "%s", odd[any(8)]);
        break;
    }
    case 4: /* a paste without brackets, too short to be taken for one */
        for (n = any(10) ? 1 : 1 + any(sizeof bytes - 1), at = 0; at < n; at++)
            bytes[at] = likely[any(sizeof likely - 1)];
        break;
    default: bytes[0] = likely[any(sizeof likely - 1)];
    }
    for (size_t i = 0; i < n; i++) {
        struct input in[2];
        int got = keys_push(keys, (uint8_t)bytes[i], in);
        for (int j = 0; j < got; j++)
            feed(d, &in[j]);
    }
    struct input in;
    if (any(3) == 0 && keys_timeout(keys, &in))
        feed(d, &in);
    if (any(10) == 0)
        app_timeout(d->app);
}

/* Another kind of terminal, of the size that the frame has. */
static void other_terminal(struct emulator *e, struct frame *f)
{
    static const int colors[COLOR_DEPTH_COUNT] = {0, 16, 256, 1 << 24};
    e->can.depth = f->caps.depth = (enum color_depth)any(COLOR_DEPTH_COUNT);
    e->can.colors = colors[f->caps.depth];
    e->can.off = any(4);
    e->can.erase_characters = any(4);
    e->can.regions = any(4);
    e->can.margins = any(2);
    emulator_blank(e, f->canvas->w, f->canvas->h);
}

static void show(struct emulator *e, struct frame *f, bool other)
{
    int x, y;
    if (other || e->w != f->canvas->w || e->h != f->canvas->h)
        other_terminal(e, f);
    emulator_send(e, f);
    if (emulator_differs(e, f, (struct rect){0, 0, e->w, e->h}, &x, &y))
        fail_msg("\"%s\" at %d,%d of %dx%d did not arrive", canvas_at(f->canvas, x, y)->text, x, y,
                 e->w, e->h);
}

/* One event, and what the loop does after it. */
static bool step(struct driver *d, struct keys *keys, struct emulator *e)
{
    random_input(d, keys);
    if (any(50) == 0)
        app_resize(d->app, 1 + (int)any(200), 1 + (int)any(70));
    d->frame.caps.graphics = (enum graphics)any(4);
    d->frame.caps.cell_w = 9;
    d->frame.caps.cell_h = 18;
    d->frame.caps.ascii = any(8) == 0;
    struct session_want w;
    app_want(d->app, &w);
    app_asked(d->app, session_request(d->s, &w));
    const struct snapshot *s = any(4) ? session_latest(d->s)
                                      : session_wait(d->s, d->app->generation);
    bool answered = s != NULL;
    app_take(d->app, s);
    assert_true(app_draw(d->app, &d->frame));
    assert_int_equal(d->frame.canvas->w, d->app->w);
    show(e, &d->frame, any(40) == 0);
    return answered;
}

#ifdef __SANITIZE_ADDRESS__
enum { EVENTS = 500 };
#else
enum { EVENTS = 1500 };
#endif

static void monkey(const char *model)
{
    static const int32_t tokens[] = {0, 5, 9, 5, 9, 13, 21, 5};
    static struct driver d;
    int events = getenv("BORE_MONKEY") ? (int)strtol(getenv("BORE_MONKEY"), NULL, 10) : EVENTS;
    seed = 12345;
    if (getenv("BORE_MONKEY_SEED"))
        seed = (uint32_t)strtoul(getenv("BORE_MONKEY_SEED"), NULL, 10) | 1u;
    driver_open(&d, model, tokens, 8, 120, 36);
    struct keys keys = {0};
    struct emulator e;
    emulator_open(&e, 120, 36);
    int answered = 0;
    for (int i = 0; i < events; i++)
        answered += step(&d, &keys, &e);
    assert_true(answered > events / 8);
    emulator_close(&e);
    driver_close(&d);
}

static void test_models(void **state)
{
    (void)state; /* without a tokenizer and with one; no causality, no head, no text, experts */
    static const char *const models[] = {FIXTURES "gpt2", "models/teach",     FIXTURES "bert",
                                         FIXTURES "vit",  FIXTURES "mixtral", FIXTURES "gpt2_bare"};
    const char *only = getenv("BORE_MONKEY_MODEL");
    for (size_t i = 0; i < sizeof models / sizeof *models && !only; i++)
        monkey(models[i]);
    if (only)
        monkey(only);
}

/* Everything after the first layer is NaN. */
static void test_not_numbers(void **state)
{
    (void)state;
    char folder[] = "/tmp/borescope-test-XXXXXX";
    fixture_altered(folder, FIXTURES "gpt2", "transformer.h.1.mlp.c_fc.bias", NAN);
    monkey(folder);
    fixture_drop(folder);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models),
                                       cmocka_unit_test(test_not_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
