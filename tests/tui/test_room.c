/* test_room.c - a whole class: one teacher and several watchers, each a process on a terminal of
 * its own; what they see, the keyboard going round, and who dies takes nobody along. */
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "terminal.h"
#include "unit.h"

enum { WATCHERS = 3 };
static struct pty teacher, watcher[WATCHERS];
static char folder[] = "/tmp/bore-class-XXXXXX";

static bool said(const struct pty *p, const char *s)
{
    return memmem(p->tail, p->n_tail, s, strlen(s)) != NULL;
}

static void type(struct pty *p, const char *s)
{
    pty_type(p, s, strlen(s));
}

/* Read all terminals until p has said it. */
static void await(struct pty *p, const char *s)
{
    time_t start = time(NULL), asked = start;
    while (time(NULL) < start + 40 && !said(p, s)) {
        if (time(NULL) > asked + 1) {
            asked = time(NULL);
            pty_repaint(p);
        }
        pty_read(&teacher, 10, 5);
        for (int k = 0; k < WATCHERS; k++)
            if (watcher[k].pid > 0)
                pty_read(&watcher[k], 10, 5);
    }
    if (!said(p, s))
        fail_msg("%s never said \"%s\": %.*s", p == &teacher ? "the teacher" : "a watcher", s,
                 (int)(p->n_tail < 4000 ? p->n_tail : 4000), p->tail);
}

static void forget(void)
{
    teacher.n_tail = 0;
    for (int k = 0; k < WATCHERS; k++)
        watcher[k].n_tail = 0;
}

static void open_class(void)
{
    static char *share[] = {
        BORESCOPE, "share", "tests/fixtures/models/gpt2", "--tokens", "0,5,9,5,9,13,21,5", "--as",
        "class",   NULL};
    static char *const names[WATCHERS] = {"ann", "bob", "eve"};
    static const int sizes[WATCHERS][2] = {{80, 24}, {160, 50}, {60, 16}};
    teacher.answers = true;
    pty_open(&teacher, 120, 36, share);
    await(&teacher, "borescope watch class");
    for (int i = 0; i < WATCHERS; i++) {
        char *watch[] = {BORESCOPE, "watch", "class", "--as", names[i], NULL};
        watcher[i].answers = i == 1; /* the second one can show pixels */
        pty_open(&watcher[i], sizes[i][0], sizes[i][1], watch);
        await(&watcher[i], "[1 grid]");
        await(&teacher, names[i]);
    }
}

static void leave(struct pty *p, const char *keys)
{
    int status;
    char why[160];
    type(p, keys);
    assert_true(pty_ended(p, 20000, &status));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pty_read(p, 300, 60);
    if (!pty_is_restored(p, why, sizeof why))
        fail_msg("left behind: %s", why);
    assert_int_equal(p->raw, 0);
    pty_close(p);
}

static void close_class(void)
{
    for (int i = 0; i < WATCHERS; i++)
        if (watcher[i].pid > 0)
            leave(&watcher[i], "q");
    leave(&teacher, "q");
}

/* Nothing can be written: that is said without another key, and at the end again, with its status.
 */
static void test_unsaved(void **state)
{
    (void)state;
    int status;
    static char *full[] = {
        "/bin/sh", "-c",
        "trap '' XFSZ; ulimit -f 0; exec \"$0\" tests/fixtures/models/gpt2 --tokens 0,5,9",
        BORESCOPE, NULL};
    teacher.answers = true;
    pty_open(&teacher, 120, 36, full);
    await(&teacher, "[1 grid]");
    type(&teacher, "x");
    await(&teacher, "the session is not saved: ");
    forget();
    type(&teacher, "q");
    assert_true(pty_ended(&teacher, 20000, &status));
    pty_read(&teacher, 300, 60);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_true(said(&teacher, "borescope: the session is not saved: "));
    pty_close(&teacher);
}

/* A failed test leaves nobody behind. */
static int clear(void **state)
{
    (void)state;
    for (int i = 0; i < WATCHERS; i++)
        if (watcher[i].pid > 0)
            pty_close(&watcher[i]);
    if (teacher.pid > 0)
        pty_close(&teacher);
    return 0;
}

/* All see what the teacher does, as their terminals can. */
static void test_seen(void **state)
{
    (void)state;
    open_class();
    forget();
    type(&teacher, "2");
    for (int i = 0; i < WATCHERS; i++)
        await(&watcher[i], "layer 2");
    await(&watcher[1], "\x1bP");
    assert_false(said(&watcher[0], "\x1bP"));
    forget();
    type(&teacher, "x");
    await(&teacher, "1 edit");
    await(&watcher[1], "1 edit");
    close_class();
}

static void test_pointing(void **state)
{
    (void)state;
    open_class();
    forget();
    type(&watcher[1], "\x1b[<0;51;13M"); /* a click on a blank cell that all of them see */
    await(&teacher, "bob");
    await(&watcher[2], "bob");
    close_class();
}

/* The keyboard is given, used, and back with the teacher's next key. */
static void test_keyboard(void **state)
{
    (void)state;
    open_class();
    type(&watcher[0], "x");
    pty_read(&teacher, 300, 200);
    assert_false(said(&teacher, "1 edit"));
    type(&teacher, ":give ann\r");
    await(&watcher[0], "gives the keyboard");
    forget();
    type(&watcher[0], "x");
    await(&teacher, "1 edit");
    type(&watcher[0], "q");
    await(&teacher, "quit is not for guests");
    forget();
    type(&teacher, "u"); /* comes back, and is not obeyed */
    await(&teacher, "the keyboard is yours again");
    await(&watcher[0], "q leaves");
    pty_read(&teacher, 200, 100);
    assert_false(said(&teacher, "undone"));
    type(&teacher, "u");
    await(&teacher, "undone");
    type(&teacher, ":give eve\r");
    await(&watcher[2], "gives the keyboard");
    forget();
    type(&watcher[2], "\x1d");
    await(&watcher[2], "q leaves");
    forget();
    type(&teacher, "x"); /* it was back already */
    await(&teacher, "1 edit");
    close_class();
}

/* Watchers that are killed, or stopped and never read again, cost the others nothing. */
static void test_deaths(void **state)
{
    (void)state;
    int status;
    open_class();
    type(&teacher, ":give ann\r");
    await(&watcher[0], "gives the keyboard");
    kill(watcher[0].pid, SIGKILL);
    assert_true(pty_ended(&watcher[0], 20000, &status));
    pty_close(&watcher[0]);
    kill(watcher[1].pid, SIGSTOP);
    forget();
    for (int i = 0; i < 60; i++) { /* screens that nobody takes */
        type(&teacher, i % 2 ? "2L" : "1");
        pty_read(&teacher, 40, 20);
        pty_read(&watcher[2], 10, 5);
    }
    forget();
    type(&teacher, "4");
    await(&teacher, "[4 hooks]");
    await(&watcher[2], "[4 hooks]");
    forget();
    type(&teacher, ":share\r");
    await(&teacher, "watching: eve");
    kill(watcher[1].pid, SIGKILL);
    assert_true(pty_ended(&watcher[1], 20000, &status));
    pty_close(&watcher[1]);
    close_class();
}

/* The teacher is killed: the watchers are told, and their terminals are as they were. */
static void test_teacher_dies(void **state)
{
    (void)state;
    int status;
    char why[160];
    open_class();
    kill(teacher.pid, SIGKILL);
    assert_true(pty_ended(&teacher, 20000, &status));
    for (int i = 0; i < WATCHERS; i++) {
        assert_true(pty_ended(&watcher[i], 20000, &status));
        pty_read(&watcher[i], 300, 100);
        assert_true(said(&watcher[i], "the session is gone"));
        if (!pty_is_restored(&watcher[i], why, sizeof why))
            fail_msg("watcher %d: %s", i, why);
        pty_close(&watcher[i]);
    }
    pty_close(&teacher);
    open_class(); /* under the same name */
    leave(&teacher, "q");
    for (int i = 0; i < WATCHERS; i++) {
        assert_true(pty_ended(&watcher[i], 20000, &status));
        pty_read(&watcher[i], 300, 100);
        assert_true(said(&watcher[i], "the session has ended"));
        pty_close(&watcher[i]);
    }
}

int main(void)
{
    alarm(280);
    unsetenv("COLORTERM");
    setenv("LC_ALL", "C.UTF-8", 1);
    if (!mkdtemp(folder) || setenv("XDG_RUNTIME_DIR", folder, 1) ||
        setenv("XDG_CONFIG_HOME", folder, 1))
        return 1;
#define TEST(name) cmocka_unit_test_teardown(name, clear)
    const struct CMUnitTest tests[] = {TEST(test_seen),         TEST(test_pointing),
                                       TEST(test_keyboard),     TEST(test_deaths),
                                       TEST(test_teacher_dies), TEST(test_unsaved)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char line[64];
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line) || failed;
}
