/* test_pty.c - the whole program on a pseudo-terminal: it starts, answers, leaves; and whatever
 * kills it, in whatever state, the terminal is as it was. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "terminal.h"
#include "unit.h"

static char *argv[] = {TUI_PROGRAM, "tests/fixtures/models/gpt2", NULL};
static struct pty p;

static void type(const char *s)
{
    pty_type(&p, s, strlen(s));
}

static bool said(const char *s)
{
    return memmem(p.tail, p.n_tail, s, strlen(s)) != NULL;
}

enum { END_MS = 60000 }; /* a program that does not end; a loaded machine needs seconds */

static void start(bool answers)
{
    p.answers = answers;
    pty_open(&p, 120, 36, argv);
    for (int i = 0; i < 200 && !said("entropy"); i++) /* the side panel has its figures */
        pty_read(&p, 100, 100);
    assert_true(said("entropy"));
    pty_read(&p, 300, 100);
    assert_true(p.alternate && p.hidden && p.mouse && p.drag && p.paste);
}

static void quit_cleanly(void)
{
    int status;
    char why[160];
    type("\x1b");
    pty_read(&p, 400, 120);
    type("q");
    assert_true(pty_ended(&p, END_MS, &status));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pty_read(&p, 300, 60);
    if (!pty_is_restored(&p, why, sizeof why))
        fail_msg("after q: %s", why);
    assert_int_equal(p.raw, 0);
    pty_close(&p);
}

static void test_start_and_quit(void **state)
{
    (void)state;
    start(true);
    assert_true(p.answered >= 1);
    size_t idle = p.total;
    pty_read(&p, 600, 600);
    assert_int_equal(p.total, idle); /* idle: not a byte */
    p.n_tail = 0;
    type("2");
    pty_read(&p, 2000, 300);
    assert_true(said("hook_pattern"));
    assert_true(said("\x1bP")); /* pictures, since the terminal said it can */
    assert_false(said("-\x1b\\"));
    pty_resize(&p, 80, 24);
    pty_read(&p, 2000, 300);
    type("x");
    pty_read(&p, 2000, 300);
    assert_true(said("1 edit"));
    quit_cleanly();
}

static void test_silent_terminal(void **state)
{
    (void)state;
    start(false); /* no answers ever: half blocks, and leaving takes no longer than the promise */
    p.n_tail = 0;
    type("2");
    pty_read(&p, 2000, 300);
    assert_true(said("hook_pattern"));
    assert_false(said("\x1bP"));
    quit_cleanly();
}

static void test_late_answers(void **state)
{
    (void)state;
    start(false);
    type("\x1b[6;18;9t\x1b[?62;4;22c");
    type(":\x1bP>|XTerm(379)\x1b\\\x1b]11;rgb:0000/0000/0000\x1b\\");
    pty_read(&p, 600, 200);
    p.n_tail = 0;
    type("undo"); /* the line holds what was typed and nothing of the answers */
    pty_read(&p, 600, 200);
    assert_false(said("rgb"));
    assert_false(said("XTerm"));
    quit_cleanly();
}

/* Left before the terminal has answered: the program waits for the answer, so that the shell does
 * not get it. */
static void test_quit_before_answers(void **state)
{
    (void)state;
    int status, left = -1;
    p.answers = false;
    pty_open(&p, 120, 36, argv);
    for (int i = 0; i < 400 && !said("\x1b[c"); i++)
        pty_read(&p, 5, 5);
    assert_true(said("\x1b[c"));
    type("q");
    pty_read(&p, 350, 350);
    type("\x1b[6;18;9t\x1bP>|XTerm(379)\x1b\\\x1b[?62;4;22c");
    assert_true(pty_ended(&p, END_MS, &status));
    struct termios raw = p.before;
    cfmakeraw(&raw);
    tcsetattr(p.slave, TCSANOW, &raw);
    assert_int_equal(ioctl(p.slave, FIONREAD, &left), 0);
    assert_int_equal(left, 0);
    pty_close(&p);
}

static void test_suspend(void **state)
{
    (void)state;
    p.job = true;
    start(true);
    int status = 0;
    char why[160];
    type("\x1a");
    for (int i = 0; i < 500 && waitpid(p.pid, &status, WUNTRACED | WNOHANG) != p.pid; i++)
        poll(NULL, 0, 10);
    assert_true(WIFSTOPPED(status));
    pty_read(&p, 300, 100);
    if (!pty_is_restored(&p, why, sizeof why))
        fail_msg("stopped: %s", why);
    kill(p.pid, SIGCONT);
    p.n_tail = 0;
    pty_read(&p, 2000, 300);
    assert_true(p.alternate && p.mouse);
    assert_true(said("token")); /* drawn anew */
    quit_cleanly();
    p.job = false;
}

/* ---- restoration
 * -------------------------------------------------------------------------------------- */

enum state {
    STATE_JUST_STARTED,
    STATE_IDLE,
    STATE_RERUN,
    STATE_POPUP,
    STATE_FULL_LINE,
    STATE_COUNT
};
static const char *const state_names[STATE_COUNT] = {"just started", "idle", "rerunning",
                                                     "popup open", "line full"};

static void reach(enum state s)
{
    if (s == STATE_JUST_STARTED) {
        p.answers = true;
        pty_open(&p, 120, 36, argv);
        for (int i = 0; i < 500 && !p.alternate; i++)
            pty_read(&p, 4, 4);
        return;
    }
    start(true);
    if (s == STATE_RERUN)
        type("xXkxkxkx");
    if (s == STATE_POPUP) {
        type("2?");
        pty_read(&p, 500, 150);
    }
    if (s == STATE_FULL_LINE) { /* redraws and pictures that nobody reads, until write(2) blocks */
        type("2");
        for (int i = 0; i < 60; i++) {
            type("\x0cL");
            poll(NULL, 0, 20);
        }
        poll(NULL, 0, 150);
    }
}

static void check_signal(int sig, enum state s)
{
    char why[160];
    int status;
    reach(s);
    kill(p.pid, sig);
    if (s == STATE_FULL_LINE)
        poll(NULL, 0, 200); /* the program is gone before anybody reads */
    if (!pty_ended(&p, END_MS, &status))
        fail_msg("%s, %s: still there", strsignal(sig), state_names[s]);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != sig)
        fail_msg("%s, %s: did not die of the signal", strsignal(sig), state_names[s]);
    bool restored = false;
    for (int i = 0; i < 50 && !restored; i++) { /* the guardian needs a moment */
        pty_read(&p, 40, 40);
        restored = pty_is_restored(&p, why, sizeof why);
    }
    if (!restored)
        fail_msg("%s, %s: %s", strsignal(sig), state_names[s], why);
    pty_close(&p);
}

static void test_restored(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT,  SIGQUIT, SIGSEGV, SIGABRT, SIGBUS,
                                  SIGFPE,  SIGILL, SIGTRAP, SIGPIPE, SIGUSR1, SIGKILL};
    for (int s = 0; s < STATE_COUNT; s++)
        for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
            check_signal(signals[i], (enum state)s);
}

/* The window is closed: the program ends, and so does its guardian. */
static void test_window_closed(void **state)
{
    (void)state;
    start(true);
    int status;
    close(p.slave);
    close(p.master);
    for (int i = 0; i < 300 && waitpid(p.pid, &status, WNOHANG) == 0; i++)
        poll(NULL, 0, 10);
    assert_true(kill(p.pid, 0) != 0);
}

/* A slow line: keys are answered by the last state, nothing leaks, and leaving works. */
static void test_slow_line(void **state)
{
    (void)state;
    start(true);
    for (int i = 0; i < 40; i++) { /* 57,600 baud is 5.7 kB/s; 40 keys at 25 a second */
        type(i % 2 ? "j" : "k");
        unsigned char buf[230];
        poll(NULL, 0, 40);
        ssize_t n = read(p.master, buf, sizeof buf);
        p.total += n > 0 ? (size_t)n : 0;
    }
    pty_read(&p, 3000, 300);
    p.raw = 0;
    p.state = 0;
    quit_cleanly();
}

/* The model is cut to nothing on disk while it is on show: a banner, and everything else goes on.
 */
static void test_model_cut_short(void **state)
{
    (void)state;
    char folder[] = "/tmp/bore-cut-XXXXXX", line[256];
    assert_non_null(mkdtemp(folder));
    snprintf(line, sizeof line, "cp tests/fixtures/models/gpt2/* %s/", folder);
    assert_int_equal(system(line), 0);
    char *const was = argv[1];
    argv[1] = folder;
    start(true);
    argv[1] = was;
    snprintf(line, sizeof line, "%s/model.safetensors", folder);
    assert_int_equal(truncate(line, 0), 0);
    p.n_tail = 0;
    type("x");
    for (int i = 0; i < 50 && !said("model file changed"); i++)
        pty_read(&p, 100, 100);
    assert_true(said("model file changed"));
    quit_cleanly();
    snprintf(line, sizeof line, "rm -r %s", folder);
    assert_int_equal(system(line), 0);
}

/* 100 kB from a terminal without bracketed paste: no keys, and the program answers at once; in a
 * prompt it is text. */
static void test_bare_paste(void **state)
{
    (void)state;
    enum { BYTES = 100000 };
    char *text = malloc(BYTES + 1);
    assert_non_null(text);
    for (int i = 0; i < BYTES; i++)
        text[i] = "xX1q2 w5,d\ru:"[i % 13];
    text[BYTES] = 0;
    start(true);
    for (int round = 0; round < 3; round++) {
        if (round == 1) {
            type("p\x15");
            pty_read(&p, 1000, 200);
        }
        p.n_tail = 0;
        type(text);
        if (round < 2) /* in the last one the key follows without a pause */
            pty_read(&p, 3000, 300);
        type("\x1b");
        pty_read(&p, 400, 150);
        p.n_tail = 0;
        type("3");
        for (int i = 0; i < 20 && !said("3 lens]"); i++)
            pty_read(&p, 100, 100);
        assert_true(said("3 lens]"));
        assert_false(said("1 edit"));
        type("1");
        pty_read(&p, 400, 150);
    }
    free(text);
    quit_cleanly();
}

static void test_colours(void **state)
{
    (void)state;
    static char *const ways[] = {"none", "true", "16", "256"};
    char *with[] = {TUI_PROGRAM, "tests/fixtures/models/gpt2", "--color", NULL, NULL};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int status;
        with[3] = ways[i];
        p.answers = true;
        pty_open(&p, 120, 36, with);
        for (int k = 0; k < 100 && !said("entropy"); k++)
            pty_read(&p, 100, 100);
        assert_true(said("entropy"));
        assert_true(i || !said("\x1b[48;")); /* none: no background anywhere */
        assert_int_equal(said("48;2;") || said("48:2:"), i == 1);
        type("q");
        assert_true(pty_ended(&p, END_MS, &status));
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        pty_close(&p);
    }
}

/* What COLORTERM says is taken for true, but not within GNU screen. */
static void test_true_colours(void **state)
{
    (void)state;
    static char *in_screen[] = {"/usr/bin/env", "STY=1.screen", TUI_PROGRAM,
                                "tests/fixtures/models/gpt2", NULL};
    setenv("COLORTERM", "truecolor", 1);
    for (int screen = 0; screen < 2; screen++) {
        int status;
        p.answers = true;
        pty_open(&p, 120, 36, screen ? in_screen : argv);
        for (int k = 0; k < 100 && !said("entropy"); k++)
            pty_read(&p, 100, 100);
        assert_int_equal(said("48;2;") || said("48:2:"), !screen);
        type("q");
        assert_true(pty_ended(&p, END_MS, &status));
        pty_close(&p);
    }
    unsetenv("COLORTERM");
}

int main(void)
{
    alarm(500); /* never hang a test run */
    unsetenv("COLORTERM");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_and_quit), cmocka_unit_test(test_silent_terminal),
        cmocka_unit_test(test_late_answers),   cmocka_unit_test(test_quit_before_answers),
        cmocka_unit_test(test_suspend),        cmocka_unit_test(test_slow_line),
        cmocka_unit_test(test_window_closed),  cmocka_unit_test(test_model_cut_short),
        cmocka_unit_test(test_bare_paste),     cmocka_unit_test(test_colours),
        cmocka_unit_test(test_true_colours),   cmocka_unit_test(test_restored)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
