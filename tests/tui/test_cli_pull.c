/* test_cli_pull.c - `borescope pull` as a process: what it prints, signals, limits, company. */
#include "pull_test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static long size_of(const char *blob)
{
    char name[400];
    struct stat st;
    snprintf(name, sizeof name, BLOBS "/%s", blob);
    assert_int_equal(stat(pull_in_cache(name), &st), 0);
    return (long)st.st_size;
}

struct child {
    pid_t pid;
    int err, out;
};

/* borescope pull ARGS, with a limit on the size of files (0: none). */
static struct child begin(const char *gguf, rlim_t limit)
{
    int err[2], out[2];
    assert_true(pipe(err) == 0 && pipe(out) == 0);
    struct child c = {.pid = fork(), .err = err[0], .out = out[0]};
    if (c.pid == 0) {
        struct rlimit l = {limit, limit};
        if (limit)
            setrlimit(RLIMIT_FSIZE, &l);
        dup2(out[1], 1);
        dup2(err[1], 2);
        execl(BORESCOPE, BORESCOPE, "pull", HUB_NAME, "--gguf", gguf, (char *)NULL);
        _exit(126);
    }
    close(err[1]);
    close(out[1]);
    return c;
}

/* Its status as waitpid gives it; what it said on standard error. */
static int finish(struct child *c, char *text, size_t size)
{
    int status;
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read(c->err, text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    assert_true(waitpid(c->pid, &status, 0) == c->pid);
    close(c->err);
    close(c->out);
    return status;
}

static void the_command_prints_the_folder_and_a_line_for_each_file(void **state)
{
    (void)state;
    struct result r = RUN("pull", HUB_NAME);
    char want[700];
    snprintf(want, sizeof want, "%s\n", pull_in_cache(SNAPSHOT));
    assert_string_equal(r.out, want);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "config.json  1 of 3  "));
    assert_non_null(strstr(r.err, "100 %"));
    assert_non_null(strstr(r.err, "borescope: org/tiny · 3 files, "));
    assert_printable(r.err, r.err_len);
    result_free(&r);
    r = RUN("pull", HUB_NAME);
    assert_string_equal(r.out, want);
    assert_string_equal(r.err, "borescope: org/tiny · everything is there already\n");
    result_free(&r);
    hub_fail(&hub, (struct hub_faults){.status = 403}); /* the server's own words are cleaned */
    assert_refused(RUN("pull", HUB_NAME), 1, "refused (403)");
    assert_refused(RUN("pull", "../x"), 2, "expected a name like org/name");
    assert_refused(RUN("pull"), 2, "pull needs more");
}

static void interrupted_it_goes_on_later(void **state)
{
    (void)state;
    char text[4000];
    for (int i = 0; i < 2; i++) {
        hub_reset(&hub);
        hub_fail(&hub, (struct hub_faults){.waits_for_release = true, .cut_at = 100000});
        struct child c = begin("big.gguf", 0);
        while (!hub.reached_cut)
            poll(NULL, 0, 5);
        poll(NULL, 0, 50);
        kill(c.pid, i ? SIGTERM : SIGINT);
        int status = finish(&c, text, sizeof text);
        hub.released = true;
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == (i ? SIGTERM : SIGINT));
        assert_non_null(strstr(text, "borescope: org/tiny · interrupted · "));
        assert_non_null(strstr(text, "goes on from here"));
        pull_is_invisible();
        assert_true(size_of(pull_blob_ending(".incomplete")) >= 100000);
    }
    hub_reset(&hub);
    pull_fetches(NULL, "big.gguf");
    assert_int_equal(hub_asked(&hub, "other GET", "range="), 1);
    pull_is_linked("big.gguf", "../..");
}

static void a_full_disk_is_one_line(void **state)
{
    (void)state;
    char text[4000];
    struct child c = begin("big.gguf", 100000); /* as a quota would */
    int status = finish(&c, text, sizeof text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_non_null(strstr(text, "cannot write: File too large"));
    pull_is_invisible();
    hub_fail(&hub, (struct hub_faults){.size_lie = 1L << 60});
    pull_fails_as(HUB_NAME, NULL, "big.gguf", "no room: ");
    hub_reset(&hub);
    pull_fetches(NULL, "big.gguf");
    assert_int_equal(hub_asked(&hub, "other GET", "range=100000-"), 1);
}

static void two_at_once_fetch_once(void **state)
{
    (void)state;
    char name[400], text[4000];
    const struct hub_file *f = hub_find(&hub, "big.gguf");
    assert_true(mkdir(pull_in_cache(".locks"), 0700) == 0 &&
                mkdir(pull_in_cache(".locks/models--org--tiny"), 0700) == 0);
    snprintf(name, sizeof name, ".locks/models--org--tiny/%s.lock", f->etag);
    int fd = open(pull_in_cache(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX), 0); /* as another fetching it would */
    struct child c = begin("big.gguf", 0);
    while (!hub_asked(&hub, "HEAD", "big.gguf"))
        poll(NULL, 0, 5);
    poll(NULL, 0, 150);
    assert_int_equal(waitpid(c.pid, NULL, WNOHANG), 0);
    assert_int_equal(hub_asked(&hub, "other", ""), 0);
    snprintf(name, sizeof name, BLOBS "/%s", f->etag);
    FILE *out = fopen(pull_in_cache(name), "w");
    assert_true(out && fwrite(f->bytes, 1, f->size, out) == f->size && fclose(out) == 0);
    close(fd);
    assert_int_equal(finish(&c, text, sizeof text), 0);
    assert_int_equal(hub_asked(&hub, "other", ""), 0);
    pull_is_linked("big.gguf", "../..");
}

/* Nothing but fetching loads it. */
static void without_libcurl_all_else_goes_on(void **state)
{
    (void)state;
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(pull_in_cache(names[i]), "w"); /* found first, and no library */
        assert_true(f && fclose(f) == 0);
    }
    setenv("LD_LIBRARY_PATH", pull_in_cache("."), 1);
    struct result good = RUN("info", "teach"), bad = RUN("pull", HUB_NAME);
    unsetenv("LD_LIBRARY_PATH");
    assert_int_equal(good.status, 0);
    assert_int_equal(bad.status, 1);
    assert_string_equal(bad.out, "");
    assert_string_equal(bad.err, "borescope: libcurl.so.4 is not here, which fetching needs · "
                                 "install libcurl4\n");
    assert_string_equal(hub.log, "");
    result_free(&good), result_free(&bad);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, pull_fresh)
    const struct CMUnitTest tests[] = {
        TEST(the_command_prints_the_folder_and_a_line_for_each_file),
        TEST(interrupted_it_goes_on_later),
        TEST(a_full_disk_is_one_line),
        TEST(two_at_once_fetch_once),
        TEST(without_libcurl_all_else_goes_on),
    };
    return cmocka_run_group_tests(tests, pull_set_up, pull_tear_down);
}
