/* test_hook_table.c - every column of the hooks view is reached at every width, and none is cut;
 * what is not finite is marked, but for the mask. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "unit.h"

static const int32_t tokens[] = {0, 5, 9, 5};
static struct driver d;

static void test_columns(void **state)
{
    (void)state;
    static const char *const names[] = {"shape", "dtype", "mean", "std",
                                        "min",   "max",   "NaN",  "edits"};
    driver_open(&d, "tests/fixtures/models/gpt2", tokens, 4, 120, 30);
    driver_keys(
        &d, ":edit<Space>blocks.0.attn.hook_q[:,<Space>1]<Space>=<Space>0<Enter>4/hook_q<Enter>");
    for (int w = 60; w <= 120; w++) {
        bool seen[8] = {false};
        app_resize(d.app, w, 24);
        for (int left = 0; left < 9; left++) {
            driver_settle(&d);
            char *screen = driver_screen(&d);
            char *head = strstr(screen, "   name"), *end = strchr(head, '\n');
            *end = 0;
            for (int i = 0; i < 8; i++)
                seen[i] = seen[i] || strstr(head, names[i]);
            if (strstr(head, "edits"))
                assert_non_null(strstr(end + 1, " *1")); /* their row has it */
            if (strstr(head, "max"))
                assert_non_null(strstr(end + 1, "."));
            free(screen);
            driver_keys(&d, "l");
        }
        for (int i = 0; i < 8; i++)
            if (!seen[i])
                fail_msg("%s is never seen at %d columns", names[i], w);
        driver_keys(&d, "hhhhhhhhh");
        assert_int_equal(d.app->hook_left, 0);
    }
    driver_close(&d);
}

/* The mask of attention scores is -inf and no alarm; what an edit makes infinite is one. */
static void test_mask(void **state)
{
    (void)state;
    for (int infinite = 0; infinite < 2; infinite++) {
        driver_open(&d, "tests/fixtures/models/gpt2", tokens, 4, 120, 30);
        d.frame.caps.depth = COLOR_DEPTH_TRUE;
        for (int i = 0; i < 2 * infinite; i++)
            app_edit_add(d.app, "blocks.0.attn.hook_attn_scores[0, 1, 0] *= 1e38");
        driver_keys(&d, "4/attn_scores<Enter>");
        char *screen = driver_screen(&d);
        assert_non_null(strstr(screen, "−inf"));
        free(screen);
        int alarms = 0;
        for (int x = 0; x < 120; x++)
            alarms += canvas_at(d.frame.canvas, x, d.app->rows_y)->style.bg == COLORMAP_NAN;
        assert_int_equal(alarms > 0, infinite);
        driver_close(&d);
    }
}

/* Names are whole where there is room, and say it where they are cut. */
static void test_names(void **state)
{
    (void)state;
    static const int32_t three[] = {0, 5, 9};
    driver_open(&d, "tests/fixtures/models/gemma3", three, 3, 120, 30);
    driver_keys(&d, "4/q_norm.hook_normalized<Enter>");
    driver_shows(&d, "blocks.0.attn.q_norm.hook_normalized [1");
    app_resize(d.app, 90, 24);
    driver_settle(&d);
    driver_shows(&d, "blocks.0.attn.q_norm.hook_normal… [1");
    driver_close(&d);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_columns), cmocka_unit_test(test_mask),
                                       cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
