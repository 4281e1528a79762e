/* test_file_read.c - files as bytes; every reader of the engine refuses what is no regular file, by
 * name and without waiting for it. */
#include "fixture.h"

#include "base/file_read.h"
#include "edit/reference.h"
#include "edit/taker.h"
#include "model/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/bore-read-XXXXXX";

static const char *place(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", top, name);
    return path[turn];
}

static int make_top(void **state)
{
    (void)state;
    alarm(60); /* a reader that waits for a writer ends the test */
    if (!mkdtemp(top) || mkfifo(place("pipe"), 0600) || mkdir(place("folder"), 0700) ||
        symlink("/dev/null", place("device")))
        return -1;
    FILE *f = fopen(place("text"), "w");
    return !f || fputs("0123456789", f) < 0 || fclose(f) ? -1 : 0;
}

static int remove_top(void **state)
{
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -r %s", top);
    return system(command);
}

static void test_whole_or_not(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t len = 77;
    struct err e = {0};
    assert_int_equal(file_read_all(place("text"), 9, &bytes, &len, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "text · is 10 bytes long, at most 9"));
    assert_int_equal(file_read_all(place("nothing"), 9, &bytes, &len, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "nothing · cannot open"));
    assert_true(!bytes && len == 77);
    assert_int_equal(file_read_all(place("text"), 10, &bytes, &len, &e), 0);
    assert_true(len == 10 && !strcmp(bytes, "0123456789"));
    free(bytes);
}

static bool read_json(const char *path, struct err *e)
{
    struct js_doc *d = js_open(path, e);
    js_close(d);
    return d;
}

static bool read_weights(const char *path, struct err *e)
{
    struct checkpoint *st = checkpoint_open(path, e);
    checkpoint_close(st);
    return st;
}

static bool read_reference(const char *path, struct err *e)
{
    struct fixture f = fixture_open("gpt2");
    struct reference_set *set = NULL;
    int rc = reference_load(&set, f.m, 0, path, e);
    fixture_close(&f);
    return !rc;
}

static bool read_taker(const char *path, struct err *e)
{
    struct fixture f = fixture_open("gpt2");
    struct taker_hooks h;
    int rc = taker_load(&h, &f.m->cfg, path, NULL, e);
    fixture_close(&f);
    return !rc;
}

static bool read_model(const char *path, struct err *e)
{
    struct hub_model m;
    return !hub_resolve(path, &m, e);
}

static void test_only_regular_files(void **state)
{
    (void)state;
    static bool (*const readers[])(const char *, struct err *) = {
        read_json, read_weights, read_reference, read_taker, read_model};
    static const char *const not_files[] = {"pipe", "folder", "device"};
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        for (size_t k = 0; k < 3; k++) {
            struct err e = {0};
            const char *path = place(not_files[k]);
            if (readers[i](path, &e) || !strstr(e.text, path))
                fail_msg("reader %zu of %s says \"%s\"", i, path, e.text);
        }
}

/* A model's folder that has something else in the place of a file. */
static void test_parts_of_a_model(void **state)
{
    (void)state;
    static const char *const parts[] = {"config.json", "model.safetensors", "tokenizer.json"};
    char here[256], folder[256];
    assert_non_null(getcwd(here, sizeof here));
    for (int bad = 0; bad < 3; bad++) {
        struct err e = {0};
        struct model *m = NULL;
        char name[40];
        snprintf(name, sizeof name, "model%d", bad);
        snprintf(folder, sizeof folder, "%s", place(name));
        assert_int_equal(mkdir(folder, 0700), 0);
        for (int i = 0; i < 3; i++) {
            char from[400], to[400];
            snprintf(to, sizeof to, "%s/%s", folder, parts[i]);
            snprintf(from, sizeof from, "%s/models/teach/%s", here, parts[i]);
            assert_int_equal(i == bad ? mkfifo(to, 0600) : symlink(from, to), 0);
        }
        struct kn_options opt = {.backend = "cpu", .threads = 1, .cpu = -1};
        char why[200];
        struct kn_backend *be = kn_open(&opt, why, sizeof why);
        assert_int_equal(model_open(&m, folder, be, &e), ERR_BAD_INPUT);
        if (!strstr(e.text, parts[bad]) || !strstr(e.text, "is not a regular file"))
            fail_msg("%s", e.text);
        kn_close(be);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_or_not),
        cmocka_unit_test(test_only_regular_files),
        cmocka_unit_test(test_parts_of_a_model),
    };
    return cmocka_run_group_tests(tests, make_top, remove_top);
}
