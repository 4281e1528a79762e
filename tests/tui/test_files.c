/* test_files.c - commands of the explorer that read files: on the worker, and once. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver_test.h"
#include "faults.h"

static double kl_now(void)
{
    const struct want w = app_kl_want(d.app);
    const double *kl = snapshot_at(d.app->snap, d.app->snap->edited ? FACE_EDITED : FACE_BASE, &w,
                                   0);
    assert_non_null(kl);
    return *kl;
}

/* Files are opened by the worker, when the edits change, and once. */
static void test_files(void **state)
{
    (void)state;
    static const char
        add[] = "edit blocks.1.hook_resid_pre[-1] = file(\"tests/fixtures/models/gpt2/"
                "model.safetensors\", \"transformer.ln_f.bias\")";
    long before = fault_opens();
    app_command(d.app, add);
    assert_int_equal(fault_opens() - before, 0); /* not here */
    driver_settle(&d);
    assert_int_equal(fault_opens() - before, 1);
    assert_true(d.app->snap->edited);
    driver_keys(&d, "hhkkl24jj5l61");
    assert_int_equal(fault_opens() - before, 1); /* looking opens nothing */
    app_command(d.app, "edit blocks.1.hook_resid_pre[-1] = file(\"/nowhere\", \"v\")");
    assert_int_equal(d.app->edits.n, 2);
    driver_settle(&d); /* refused by the worker: gone, with the reason, and not to be redone */
    assert_int_equal(d.app->edits.n, 1);
    assert_true(d.app->message_bad);
    driver_shows(&d, "/nowhere");
    assert_true(d.app->snap->edited);
    driver_keys(&d, "<C-r>");
    assert_int_equal(d.app->edits.n, 1);
    before = fault_opens();
    app_command(d.app, "ref /nowhere");
    app_command(d.app, "ref /nowhere");
    assert_true(d.app->message_bad); /* one at a time */
    assert_int_equal(fault_opens() - before, 0);
    driver_settle(&d);
    driver_shows(&d, "cannot open");
}

static void write_prompts(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A reference set is read, read anew, and named when it is missing. */
static void test_reference_sets(void **state)
{
    (void)state;
    char path[] = "/tmp/bore-play-XXXXXX", keys[100];
    close(mkstemp(path));
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    write_prompts(path, "1 2 3\n4 5 6 7\n");
    driver_keys(&d, ":ref<Enter>");
    driver_shows(&d, "no reference sets");
    driver_keys(&d, ":edit<Space>blocks.1.hook_mlp_out<Space>=<Space>mean(ref)<Enter>");
    driver_shows(&d, "no reference set is called \"ref\"");
    assert_int_equal(d.app->edits.n, 0);
    assert_int_equal(d.app->mode, LINE_COMMAND); /* open again, with the reason */
    driver_keys(&d, "<Esc>");
    snprintf(keys, sizeof keys, ":ref<Space>%s<Enter>", path);
    driver_keys(&d, keys);
    driver_shows(&d, "ref: 2 prompts, 7 tokens, the longest 4");
    driver_keys(&d, ":edit<Space>blocks.1.hook_mlp_out<Space>=<Space>mean(ref)<Enter>");
    assert_string_equal(d.app->edits.text[0], "blocks.1.hook_mlp_out = mean(ref)");
    double kl = kl_now();
    assert_true(kl > 0);
    write_prompts(path, "8 9\n");
    driver_keys(&d, keys);
    assert_true(kl_now() > 0 && fabs(kl_now() - kl) > 1e-6);
    driver_keys(&d, ":ref<Space>other=/nowhere<Enter>");
    driver_shows(&d, "cannot open");
    driver_keys(&d, "<Esc>");
    driver_keys(&d, ":ref<Enter>");
    driver_shows(&d, "ref: 1 prompt, 2 tokens");
    driver_keys(&d, "u");
    assert_int_equal(d.app->edits.n, 0);
    unlink(path);
}

static void test_taker(void **state)
{
    (void)state;
    driver_command(&d, "taker attn_pre_out: offset, mask, replace, unoffset\nmlp_pre_out: mask");
    assert_false(d.app->message_bad); /* as they are made they do nothing */
    assert_int_equal(d.app->edits.n, 0);
    driver_command(
        &d,
        "taker post_attn: mask, postbias\npre_attn: mask, replace, offset\npost_decoder: mask, actadd "
        "tests/fixtures/models/gpt2/taker.3.safetensors");
    if (d.app->message_bad)
        fail_msg("%s", d.app->message);
    assert_int_equal(d.app->edits.n, 14);
    app_command(d.app, "undo"); /* one step */
    assert_int_equal(d.app->edits.n, 0);
    driver_command(&d, "taker post_attn: masks");
    assert_true(d.app->message_bad);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_driver)
    const struct CMUnitTest tests[] = {WITH(test_files), WITH(test_reference_sets),
                                       WITH(test_taker)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
