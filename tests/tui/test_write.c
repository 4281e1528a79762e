/* test_write.c - the view as a file: each format, and never over something unless told so. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_read.h"
#include "base/json.h"
#include "driver.h"
#include "run/run.h"
#include "unit.h"

static struct driver d;
static char folder[] = "/tmp/borescope-write-XXXXXX";

static int open_driver(void **state)
{
    (void)state;
    static const int32_t tokens[] = {0, 5, 9, 5, 9, 13, 21, 5};
    driver_open(&d, "tests/fixtures/models/gpt2", tokens, 8, 120, 36);
    return 0;
}

static int close_driver(void **state)
{
    (void)state;
    driver_close(&d);
    return 0;
}

/* Written by the command, read back, unlinked. */
static char *written(const char *name, size_t *len)
{
    char path[128], command[160];
    struct err e = {0};
    char *text = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(command, sizeof command, "write %s", path);
    app_command(d.app, command);
    if (d.app->message_bad)
        fail_msg("%s", d.app->message);
    app_command(d.app, command);
    assert_true(d.app->message_bad); /* it is there already */
    assert_non_null(strstr(d.app->message, "! writes over it"));
    snprintf(command, sizeof command, "write! %s", path);
    app_command(d.app, command);
    if (d.app->message_bad)
        fail_msg("%s", d.app->message);
    assert_int_equal(file_read_all(path, 1 << 24, &text, len, &e), 0);
    unlink(path);
    return text;
}

static void holds(const char *name, const char *part)
{
    size_t len;
    char *text = written(name, &len);
    if (!memmem(text, len, part, strlen(part)))
        fail_msg("%s has no \"%s\":\n%.2000s", name, part, text);
    free(text);
}

static void test_screens(void **state)
{
    (void)state;
    holds("a.txt", "[1 grid]");
    holds("a.ansi", "\x1b[");
    holds("a.html", "<span style=\"color:#");
    holds("a.html", "&lt;38&gt;"); /* a token's text is no tag */
    holds("a.svg", "<rect x=\"");
    holds("a.SVG", "xml:space=\"preserve\"");
    app_command(d.app, "write nothing.pdf");
    assert_non_null(strstr(d.app->message, ".txt .ansi .html .svg .png .tsv .json .npz"));
    app_command(d.app, "write /nowhere/a.txt");
    assert_true(d.app->message_bad);
    app_command(d.app, "write a.png");
    assert_non_null(strstr(d.app->message, "no picture in this view"));
    driver_keys(&d, "2");
    holds("a.png", "\x89PNG");
}

/* Who may read a file is not changed by writing over it. */
static void test_rights(void **state)
{
    (void)state;
    char path[128], command[160];
    struct stat st;
    snprintf(path, sizeof path, "%s/private.txt", folder);
    snprintf(command, sizeof command, "write! %s", path);
    FILE *f = fopen(path, "we");
    assert_true(f && chmod(path, 0600) == 0 && fclose(f) == 0);
    app_command(d.app, command);
    assert_false(d.app->message_bad);
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600 && st.st_size > 0);
    unlink(path);
}

/* The numbers on the screen are the numbers in the file. */
static void test_figures(void **state)
{
    (void)state;
    char row[128];
    driver_keys(&d, "khx"); /* both faces */
    const struct want w = app_pair_want(d.app);
    const float *logits = snapshot_at(d.app->snap, FACE_EDITED, &w, 0);
    assert_non_null(logits);
    size_t len;
    char *text = written("a.tsv", &len);
    static const char head[] = "hook\tposition\ttoken\tfigure\tindex\tbase\tedited\n";
    assert_memory_equal(text, head, sizeof head - 1);
    assert_non_null(strstr(text, "\nblocks.2.hook_resid_post\t7\t<5>\tentropy\t\t"));
    const char *line = strstr(text, "\tlogit\t1\t");
    assert_non_null(line);
    double base, edited;
    assert_int_equal(sscanf(line, "\tlogit\t1\t%lf\t%lf", &base, &edited), 2);
    free(text);
    text = written("a.json", &len);
    struct err e = {0};
    struct js_doc *doc = js_parse("a.json", text, len, &e);
    if (!doc)
        fail_msg("%s", e.text);
    js_close(doc);
    snprintf(row, sizeof row, "\"hook\"");
    assert_non_null(strstr(text, row));
    free(text);
    app_command(d.app, "tensor blocks.1.attn.hook_z");
    driver_settle(&d);
    text = written("a.npz", &len);
    assert_memory_equal(text, "PK\3\4", 4);
    assert_non_null(memmem(text, len, "blocks.1.attn.hook_z", 20));
    assert_non_null(memmem(text, len, ".edited", 7));
    free(text);
    driver_keys(&d, "6");
    app_command(d.app, "write b.npz");
    assert_non_null(strstr(d.app->message, "no arrays in this view"));
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) cmocka_unit_test_setup_teardown(test, open_driver, close_driver)
    const struct CMUnitTest tests[] = {WITH(test_screens), WITH(test_rights), WITH(test_figures)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
