/* test_picker.c - the list of models: what is drawn at any size, keys, filter, mouse; and as a
 * process on a pseudo-terminal, what is picked opens. */
#include "input/picker.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "terminal.h"
#include "unit.h"

#define COMMIT "/snapshots/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
enum { MANY = 500 };

static char cache[] = "/tmp/borescope-picker-XXXXXX", here[400];
static struct keymap map;
static struct picker p;
static struct frame frame;

static void make(const char *folder)
{
    char path[800];
    snprintf(path, sizeof path, "%s/%s", cache, folder);
    assert_int_equal(mkdir(path, 0700), 0);
}

/* A model of the cache: a fixture, or, with NULL, an unsupported config. */
static void put(const char *name, const char *fixture)
{
    char path[700], from[500];
    static const char *const files[] = {"config.json", "model.safetensors"};
    snprintf(path, sizeof path, "models--%s", name);
    make(path);
    snprintf(path, sizeof path, "models--%s/snapshots", name);
    make(path);
    snprintf(path, sizeof path, "models--%s%s", name, COMMIT);
    make(path);
    for (int i = 0; i < 2 && fixture; i++) {
        snprintf(from, sizeof from, "%s/tests/fixtures/models/%s/%s", here, fixture, files[i]);
        snprintf(path, sizeof path, "%s/models--%s%s/%s", cache, name, COMMIT, files[i]);
        assert_int_equal(symlink(from, path), 0);
    }
    snprintf(path, sizeof path, "%s/models--%s%s/config.json", cache, name, COMMIT);
    FILE *f = fixture ? NULL : fopen(path, "w");
    if (f) {
        fputs("{\"model_type\": \"no-such-family\"}", f);
        fclose(f);
    }
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int make_cache(void **state)
{
    (void)state;
    size_t len;
    struct bytes warnings = {0};
    const char *text = keymap_builtin("default", &len);
    assert_int_equal(keymap_parse(&map, "default", text, len, &warnings), 0);
    assert_non_null(mkdtemp(cache));
    assert_non_null(getcwd(here, sizeof here));
    setenv("HF_HUB_CACHE", cache, 1);
    put("org--llama-tiny", "llama");
    put("org--gpt2-tiny", "gpt2");
    put("bad--\xff\x1b[31m", NULL);
    put("org--odd", NULL);
    return 0;
}

static int remove_cache(void **state)
{
    (void)state;
    keymap_free(&map);
    return nftw(cache, drop, 8, FTW_DEPTH | FTW_PHYS);
}

static unsigned keys(const char *s)
{
    unsigned bits = 0;
    while (*s) {
        struct input in = {.kind = INPUT_KEY};
        if (!keys_read_name(&s, &in.key))
            fail_msg("not a key: %s", s);
        bits |= picker_input(&p, &in);
        assert_true(picker_draw(&p, &frame));
    }
    return bits;
}

static unsigned mouse(enum mouse_act act, int x, int y)
{
    struct input in = {.kind = INPUT_MOUSE, .act = act, .x = x, .y = y};
    unsigned bits = picker_input(&p, &in);
    assert_true(picker_draw(&p, &frame));
    return bits;
}

static int open_picker(void **state)
{
    (void)state;
    struct err e = {0};
    frame.caps = (struct frame_caps){.graphics = GRAPHICS_NONE, .depth = COLOR_DEPTH_NONE};
    assert_int_equal(picker_open(&p, &map, &e), 0);
    while (picker_look(&p))
        ;
    assert_true(picker_draw(&p, &frame));
    return 0;
}

static int close_picker(void **state)
{
    (void)state;
    picker_free(&p);
    frame_free(&frame);
    return 0;
}

static char *screen(void)
{
    struct bytes b = {0};
    canvas_dump_plain(frame.canvas, &b);
    assert_false(b.failed);
    return b.data;
}

static void shows(const char *text, bool wanted)
{
    char *s = screen();
    if ((strstr(s, text) != NULL) != wanted)
        fail_msg("%s \"%s\":\n%s", wanted ? "lacks" : "shows", text, s);
    free(s);
}

/* The name under the cursor. */
static const char *cursor(void)
{
    return p.n_shown ? p.list.entry[p.shown[p.at]].name : "";
}

static void what_is_here_is_listed(void **state)
{
    (void)state;
    shows("borescope  5 models   the built-in one and those of /tmp/borescope-picker-", true);
    shows("▶ teach ", true);
    shows("llama          2.41 M   4.82 MB  f16    yes", true);
    shows("no-such-fa…", true);
    shows("\x1b", false);
    shows("<FF>␛[31m", true);
    keys("jjjj");
    assert_string_equal(cursor(), "org/odd");
    p.w = 140;
    keys("k<Down>");
    shows("model_type \"no-such-family\" is not supported, nearest ", true);
    assert_int_equal(keys("<Enter>"), 0); /* it stays, and says why */
    assert_int_equal(p.picked, PICKER_NONE);
    shows("docs/models.md lists all", true);
    assert_int_equal(keys("j"), 0);
    assert_string_equal(cursor(), "org/odd"); /* the last one */
    assert_int_equal(keys("k<Enter>"), REACT_QUIT);
    assert_string_equal(p.list.entry[p.picked].name, "org/llama-tiny");
}

static void keys_and_mouse_move(void **state)
{
    (void)state;
    keys("G");
    assert_string_equal(cursor(), "org/odd");
    keys("gj<Down>");
    assert_string_equal(cursor(), "org/gpt2-tiny");
    assert_int_equal(keys("q"), REACT_QUIT);
    assert_int_equal(p.picked, PICKER_NONE);
    mouse(MOUSE_WHEEL_UP, 0, 0);
    assert_string_equal(cursor(), "teach");
    assert_int_equal(mouse(MOUSE_PRESS, 5, p.rows_y + 2), 0);
    assert_string_equal(cursor(), "org/gpt2-tiny");
    assert_int_equal(mouse(MOUSE_PRESS, 5, p.rows_y + 20), 0); /* below the last */
    assert_int_equal(mouse(MOUSE_PRESS, 5, 0), 0);
    assert_string_equal(cursor(), "org/gpt2-tiny");
    assert_int_equal(mouse(MOUSE_PRESS, 5, p.rows_y + 2), REACT_QUIT);
    assert_string_equal(p.list.entry[p.picked].name, "org/gpt2-tiny");
    assert_int_equal(keys("<C-l>"), REACT_REPAINT);
    assert_int_equal(keys("<C-z>"), REACT_SUSPEND);
}

static void a_filter_is_typed(void **state)
{
    (void)state;
    keys("G/tiny");
    shows("borescope  2 models of 5", true);
    shows("/tiny", true);
    assert_string_equal(cursor(), "org/llama-tiny"); /* the nearest above what it was on */
    keys("<Up>");
    assert_string_equal(cursor(), "org/gpt2-tiny");
    keys("<Space>LLAMA");
    assert_string_equal(cursor(), "org/llama-tiny");
    keys("<C-w>jx"); /* letters, not commands */
    shows("/tiny jx", true);
    shows("no model here has that", true);
    assert_int_equal(keys("<Enter>"), 0);
    keys("<C-u>gpt2"); /* a family */
    assert_string_equal(cursor(), "org/gpt2-tiny");
    keys("<Esc>");
    assert_int_equal(p.n_shown, 5);
    assert_int_equal(keys("/gpt2<Enter>"), REACT_QUIT);
    assert_string_equal(p.list.entry[p.picked].name, "org/gpt2-tiny");
}

static void any_size_is_drawn(void **state)
{
    (void)state;
    static const int widths[] = {1, 2, 5, 20, 40, 59, 60, 66, 67, 80, 200},
                     heights[] = {1, 2, 3, 4, 5, 8, 24, 100};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t k = 0; k < sizeof heights / sizeof *heights; k++) {
            p.w = widths[i], p.h = heights[k];
            keys("Ggj/o<Esc>");
            assert_true(p.at >= p.top && p.at < p.top + p.page);
            if (p.w >= 20)
                shows("▶ ", true);
        }
    p.w = 40, p.h = 10;
    keys("g");
    shows("▶ teach              4.82 MB", true);
}

static void hundreds_are_looked_at_as_they_are_shown(void **state)
{
    (void)state;
    char name[40];
    struct err e = {0};
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "many--m%03d", i);
        put(name, NULL);
    }
    close_picker(NULL);
    assert_int_equal(picker_open(&p, &map, &e), 0);
    assert_int_equal(p.list.n, MANY + 5);
    assert_true(picker_draw(&p, &frame));
    shows("many/m000", true);
    keys("G"); /* before anything is known of them */
    shows("▶ org/odd", true);
    assert_true(picker_look(&p));
    assert_true(p.list.entry[p.shown[p.top]].looked); /* those on the screen come first */
    assert_false(p.list.entry[0].looked);
    keys("<PgUp>/m250<Esc>");
    int n = 1;
    while (picker_look(&p))
        n++;
    assert_int_equal(n, MANY + 5);
}

/* ---- the program ---- */

static bool comes(struct pty *t, const char *text)
{
    for (int i = 0; i < 100 && !memmem(t->tail, t->n_tail, text, strlen(text)); i++)
        pty_read(t, 100, 100);
    return memmem(t->tail, t->n_tail, text, strlen(text)) != NULL;
}

static void what_is_picked_opens(void **state)
{
    (void)state;
    static struct pty t;
    char *argv[] = {BORESCOPE, NULL}, why[160];
    int status;
    alarm(120);
    for (int i = 0; i < 2; i++) {
        t.answers = true;
        pty_open(&t, 100, 30, argv);
        assert_true(comes(&t, "org/odd"));
        pty_resize(&t, 70, 12);
        pty_read(&t, 500, 200);
        if (i == 0) {
            pty_type(&t, "/teach\r", 7);
            assert_true(
                comes(&t, "p types your own")); /* a prompt that shows something, and keys */
        }
        pty_type(&t, "q", 1);
        assert_true(pty_ended(&t, 10000, &status));
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        pty_read(&t, 300, 60);
        if (!pty_is_restored(&t, why, sizeof why))
            fail_msg("after q: %s", why);
        assert_int_equal(t.raw, 0);
        pty_close(&t);
    }
    alarm(0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_picker, close_picker)
    const struct CMUnitTest tests[] = {
        TEST(what_is_here_is_listed),
        TEST(keys_and_mouse_move),
        TEST(a_filter_is_typed),
        TEST(any_size_is_drawn),
        cmocka_unit_test(what_is_picked_opens),
        TEST(hundreds_are_looked_at_as_they_are_shown),
    };
    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}
