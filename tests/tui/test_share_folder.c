/* test_share_folder.c - where rooms are found: a private folder, sockets that are nobody else's,
 * and what a killed teacher leaves behind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int main(void)
{
    if (!mkdtemp(folder) || setenv("XDG_RUNTIME_DIR", folder, 1))
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_folder),
                                       cmocka_unit_test(test_unsafe_folder),
                                       cmocka_unit_test(test_leftover)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char line[64];
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line) || failed;
}
