/* test_share_folder.c - where rooms are found: a private folder, sockets that are nobody else's,
 * and what a killed teacher leaves behind. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "share/room.h"
#include "share/share.h"
#include "unit.h"

static char folder[] = "/tmp/bore-room-XXXXXX";

static void test_folder(void **state)
{
    (void)state;
    struct stat st;
    struct share *first = NULL, *second = NULL;
    struct err e = {0};
    char path[256];
    assert_int_equal(share_open(&first, "lesson 1", NULL, 0, &e), 0);
    assert_string_equal(share_name(first), "lesson-1");
    snprintf(path, sizeof path, "%s/borescope", folder);
    assert_true(stat(path, &st) == 0 && (st.st_mode & 07777) == 0700);
    snprintf(path, sizeof path, "%s/borescope/lesson-1", folder);
    assert_true(stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0600);
    assert_int_equal(share_open(&second, "lesson 1", NULL, 0, &e), 0);
    assert_string_equal(share_name(second), "lesson-1-2"); /* nobody's socket is taken away */
    share_close(second);
    share_close(first);
    assert_int_equal(access(path, F_OK), -1);
}

/* A folder that is not safe is not used, and not touched. */
static void test_unsafe_folder(void **state)
{
    (void)state;
    static const char *const make[] = {"mkdir -m 0770 %s/borescope", "ln -s /tmp %s/borescope",
                                       "touch %s/borescope"};
    for (size_t i = 0; i < sizeof make / sizeof *make; i++) {
        char line[256];
        struct share *s = NULL;
        struct err e = {0};
        snprintf(line, sizeof line, "rm -rf %s/borescope", folder);
        assert_int_equal(system(line), 0);
        snprintf(line, sizeof line, make[i], folder);
        assert_int_equal(system(line), 0);
        assert_true(share_open(&s, "x", NULL, 0, &e) < 0);
        assert_non_null(strstr(e.text, "not safe"));
    }
    char line[256];
    snprintf(line, sizeof line, "rm -rf %s/borescope", folder);
    assert_int_equal(system(line), 0);
}

/* What a killed teacher leaves is no obstacle. */
static void test_leftover(void **state)
{
    (void)state;
    struct err e = {0};
    struct share *s = NULL;
    pid_t child = fork();
    if (child == 0)
        _exit(share_open(&s, "left", NULL, 0, &e) ? 1 : 0); /* without leaving the room */
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    char path[256], shown[ROOM_PATH_MAX];
    snprintf(path, sizeof path, "%s/borescope/left", folder);
    assert_int_equal(access(path, F_OK), 0);
    assert_true(room_connect("left", shown, &e) < 0);
    assert_int_equal(share_open(&s, "left", NULL, 0, &e), 0);
    assert_string_equal(share_name(s), "left");
    share_close(s);
}

/* A path that a socket can't have is refused with the numbers, never cut short. */
static void test_long_folder(void **state)
{
    (void)state;
    char deep[160], path[256], shown[ROOM_PATH_MAX];
    int opened = 0, refused = 0;
    for (size_t n = strlen(folder) + 2; n < 120; n++) {
        struct share *s = NULL;
        struct err e = {0};
        snprintf(deep, sizeof deep, "%s/%0*d", folder, (int)(n - strlen(folder) - 1), 0);
        assert_int_equal(strlen(deep), n);
        assert_int_equal(mkdir(deep, 0700), 0);
        setenv("XDG_RUNTIME_DIR", deep, 1);
        if (share_open(&s, "a-name-of-four-and-twenty", NULL, 0, &e) == 0) {
            snprintf(path, sizeof path, "%s/borescope/a-name-of-four-and-twent", deep);
            assert_int_equal(access(path, F_OK), 0);
            int fd = room_connect(NULL, shown, &e);
            assert_true(fd >= 0);
            close(fd);
            share_close(s);
            opened++;
        } else {
            char want[64];
            snprintf(want, sizeof want, "XDG_RUNTIME_DIR has %zu bytes · 68 at most", n);
            if (!strstr(e.text, want))
                fail_msg("%zu: %s", n, e.text);
            refused++;
        }
        assert_true((n <= 68) == (refused == 0));
    }
    setenv("XDG_RUNTIME_DIR", folder, 1);
    assert_true(opened > 20 && refused > 20);
    struct err e = {0};
    char far[200];
    snprintf(far, sizeof far, "/tmp/%0150d", 0);
    assert_true(room_connect(far, shown, &e) < 0);
    assert_non_null(strstr(e.text, "has 155 bytes · a socket's path has 103 at most"));
}

/* Many who begin at once where one was killed: each has a socket of its own, and is found. */
static void test_at_once(void **state)
{
    (void)state;
    enum { N = 6, ROUNDS = 30 };
    for (int round = 0; round < ROUNDS; round++) {
        struct err e = {0};
        struct share *s = NULL;
        int go[2], done[2], status;
        pid_t left = fork(), child[N];
        if (left == 0)
            _exit(share_open(&s, "left", NULL, 0, &e) ? 1 : 0);
        waitpid(left, &status, 0);
        assert_true(pipe(go) == 0 && pipe(done) == 0);
        for (int i = 0; i < N; i++)
            if ((child[i] = fork()) == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL); /* none outlives a test that fails */
                char byte, shown[ROOM_PATH_MAX];
                close(go[1]);
                (void)!read(go[0], &byte, 1); /* until the parent closes it: all at once */
                int rc = i % 3 == 2 ? room_connect(NULL, shown, &e) /* looks what is there */
                                    : share_open(&s, "left", NULL, 0, &e);
                if (i % 3 == 2)
                    _exit(0);
                (void)!write(done[1], rc ? "x" : "o", 1);
                pause();
            }
        close(go[0]), close(go[1]);
        char names[] = "left\0left-2\0left-3\0left-4", byte;
        for (int i = 0; i < N - N / 3; i++)
            assert_true(read(done[0], &byte, 1) == 1 && byte == 'o');
        for (const char *name = names; name < names + sizeof names; name += strlen(name) + 1) {
            char shown[ROOM_PATH_MAX];
            int fd = room_connect(name, shown, &e);
            if (fd < 0)
                fail_msg("%s: %s", name, e.text);
            close(fd);
        }
        for (int i = 0; i < N; i++) {
            kill(child[i], SIGKILL);
            waitpid(child[i], &status, 0);
        }
        close(done[0]), close(done[1]);
    }
}

int main(void)
{
    if (!mkdtemp(folder) || setenv("XDG_RUNTIME_DIR", folder, 1))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder), cmocka_unit_test(test_unsafe_folder),
        cmocka_unit_test(test_leftover), cmocka_unit_test(test_long_folder),
        cmocka_unit_test(test_at_once)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char line[64];
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line) || failed;
}
