/* test_opening.c - before the model is there: a frame, keys that are kept, and a way out. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "opening.h"
#include "explorer.h"
#include "terminal.h"
#include "unit.h"

static struct pty p;
static char fifo[] = "/tmp/bore-opening-XXXXXX";
static char fixture[] = "tests/fixtures/models/gpt2", missing[] = "tests/fixtures/models/none";
static char *argv[] = {TUI_PROGRAM, fixture, "--wait", fifo, "--keymap", "default", NULL};
enum { END_MS = 60000 };

static void type(const char *s)
{
    pty_type(&p, s, strlen(s));
}

/* Is it on the screen, or does it come there?  Of a change only what differs is sent. */
static bool comes(const char *s)
{
    bool said = false;
    for (int i = 0; i < 400 && !said; i++) {
        pty_read(&p, 50, 50);
        said = memmem(p.tail, p.n_tail, s, strlen(s)) != NULL;
        if (!said)
            pty_repaint(&p);
    }
    p.n_tail = 0;
    return said;
}

/* The program waits for its model. */
static void start(char *model, char *keymap)
{
    argv[1] = model;
    argv[5] = keymap;
    p.answers = true;
    pty_open(&p, 120, 36, argv);
    assert_true(comes("opening …"));
    assert_true(comes(" grid] ") && comes("leaves") && comes("help"));
}

/* Now the model may be opened. */
static void let_open(void)
{
    int fd = open(fifo, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
}

static void ends(int code)
{
    int status;
    char why[160];
    assert_true(pty_ended(&p, END_MS, &status));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
    pty_read(&p, 300, 60);
    if (!pty_is_restored(&p, why, sizeof why))
        fail_msg("%s", why);
    assert_int_equal(p.raw, 0);
    pty_close(&p);
}

/* The model never comes; who wants to leave leaves. */
static void test_leave(void **state)
{
    (void)state;
    static const struct {
        char *keymap;
        const char *keys[2];
    } ways[] = {{"default", {"q", ""}},      {"default", {"\x1b", ""}}, {"default", {"\x03", ""}},
                {"default", {"jq", "\x1b"}}, {"vim", {"ZZ", ""}},       {"vim", {":q", "\x1b"}},
                {"emacs", {"\x18\x03", ""}}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        start(fixture, ways[i].keymap);
        type(ways[i].keys[0]);
        if (*ways[i].keys[1]) { /* what was typed is dropped first */
            assert_true(comes("2 keys wait"));
            type(ways[i].keys[1]);
            assert_true(comes("leaves"));
            type(ways[i].keys[1]);
        }
        ends(0);
    }
}

/* Keys, texts and the size of the window are those of the explorer once it is there. */
static void test_keys_are_kept(void **state)
{
    (void)state;
    start(fixture, "default");
    pty_resize(&p, 100, 30);
    assert_true(comes(" grid] "));
    type("2:pair \x1b[200~quelle\x1b[201~q");
    assert_true(comes("9 keys wait"));
    let_open();
    assert_true(comes("[2 attention]"));
    assert_true(comes("pair quelleq"));
    type("\x1b");
    poll(NULL, 0, 200); /* Esc is no prefix */
    type("q");
    ends(0);
}

static void test_quit_is_kept(void **state)
{
    (void)state;
    start(fixture, "default");
    type("jjq");
    assert_true(comes("3 keys wait"));
    let_open();
    ends(0);
}

/* One line, as without a screen, and nothing of the frame is left. */
static void test_no_model(void **state)
{
    (void)state;
    start(missing, "default");
    p.n_tail = 0;
    let_open();
    ends(1);
    assert_non_null(memmem(p.tail, p.n_tail, missing, strlen(missing)));
}

/* Whatever ends it. */
static void test_restored(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGSEGV, SIGABRT, SIGKILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int status;
        char why[160];
        start(fixture, "default");
        kill(p.pid, signals[i]);
        assert_true(pty_ended(&p, END_MS, &status));
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
        bool restored = false;
        for (int k = 0; k < 50 && !restored; k++) {
            pty_read(&p, 40, 40);
            restored = pty_is_restored(&p, why, sizeof why);
        }
        if (!restored)
            fail_msg("%s: %s", strsignal(signals[i]), why);
        pty_close(&p);
    }
}

/* ---- without a terminal ---- */

static unsigned press(struct opening *o, uint32_t key)
{
    return opening_input(o, &(struct input){.kind = INPUT_KEY, .key = key});
}

/* As many as there is room for, and a size without any. */
static void test_bounds(void **state)
{
    (void)state;
    struct keymap map = {0};
    struct bytes warnings = {0};
    struct frame f = {.caps = {.graphics = GRAPHICS_NONE}};
    struct opening o;
    struct err e;
    assert_int_equal(explorer_keymap("default", &map, &warnings, &e), 0);
    opening_init(&o, "a model with a name that is longer than any row of a terminal is wide", &map);
    for (int i = 0; i < OPENING_KEPT_MAX + 10; i++)
        assert_int_equal(press(&o, 'j'), 0);
    assert_int_equal(o.n_kept, OPENING_KEPT_MAX);
    for (int w = 1; w < 130; w += 7)
        for (int h = 1; h < 30; h += 5) {
            app_resize(&o.app, w, h);
            assert_true(opening_draw(&o, &f));
        }
    assert_int_equal(opening_input(&o, &(struct input){.kind = INPUT_MOUSE, .x = 1, .y = 1}), 0);
    assert_int_equal(press(&o, KEYS_CTRL | 'l'), REACT_REPAINT);
    assert_int_equal(press(&o, KEYS_CTRL | 'z'), REACT_SUSPEND);
    assert_int_equal(press(&o, KEYS_ESC), 0);
    assert_int_equal(press(&o, KEYS_ESC), REACT_QUIT);
    frame_free(&f);
    opening_free(&o);
    keymap_free(&map);
    bytes_free(&warnings);
}

int main(void)
{
    alarm(300); /* never hang a test run */
    int fd = mkstemp(fifo);
    if (fd < 0 || close(fd) || unlink(fifo) || mkfifo(fifo, 0600))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leave),        cmocka_unit_test(test_keys_are_kept),
        cmocka_unit_test(test_quit_is_kept), cmocka_unit_test(test_no_model),
        cmocka_unit_test(test_restored),     cmocka_unit_test(test_bounds)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(fifo);
    return failed;
}
