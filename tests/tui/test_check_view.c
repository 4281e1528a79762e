/* test_check_view.c - the identities in the explorer: a broken model is told where it breaks, and
 * edits break nothing, for the base run is what is tested. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"
#include "fixture.h"
#include "unit.h"

#define GPT2 "tests/fixtures/models/gpt2"

static const int32_t tokens[] = {1, 5, 9, 5, 9, 13};
static struct driver d;

static void test_broken(void **state)
{
    (void)state;
    char folder[] = "/tmp/borescope-test-XXXXXX", name[LIMIT_NAME];
    fixture_altered(folder, GPT2, "transformer.h.1.mlp.c_fc.bias", NAN);
    driver_open(&d, folder, tokens, sizeof tokens / sizeof *tokens, 120, 40);
    driver_keys(&d, "C");
    driver_shows(&d, "▶ NO ");
    driver_shows(&d, "FAILS: no activation is NaN or infinite, deviation ");
    driver_shows(&d, "worst at blocks.1.mlp.hook_pre");
    driver_keys(&d, "GGk"); /* of NaN alone, but compared: no less there than elsewhere */
    driver_shows(&d, "holds: token by token == all at once, deviation 0, limit exact");
    driver_keys(&d, "g");
    driver_keys(&d, "<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_TENSOR);
    assert_string_equal(site_name(d.app->cur.site, name), "blocks.1.mlp.hook_pre");
    driver_keys(&d, "<Backspace>");
    assert_int_equal(d.app->cur.view, VIEW_CHECK);
    driver_close(&d);
    fixture_drop(folder);
}

static void test_sound(void **state)
{
    (void)state;
    char name[LIMIT_NAME];
    driver_open(&d, GPT2, tokens, sizeof tokens / sizeof *tokens, 120, 40);
    driver_keys(&d, "C");
    driver_shows(&d, "identities: 17 hold, 0 fail ");
    driver_shows(&d, "none "); /* gpt2 has no norm behind attention */
    driver_keys(&d, "6");
    app_command(d.app, "edit blocks.1.attn.hook_pattern[0, 3, 1] = 2");
    driver_keys(&d, "Cbb");
    driver_shows(&d, "identities: 17 hold, 0 fail ");
    while (d.app->cur.check + 1 < CHECK_COUNT &&
           !strstr(check_table[d.app->cur.check].name, "== z"))
        driver_keys(&d, "j");
    driver_shows(&d, "holds: pattern . v == z, deviation ");
    driver_keys(&d, "<Enter>"); /* to the block where it is worst */
    assert_int_equal(d.app->cur.view, VIEW_HOOKS);
    assert_non_null(strstr(site_name(d.app->sites[d.app->cur.hook], name), "blocks."));
    assert_true(d.app->cur.hook == 0 ||
                d.app->sites[d.app->cur.hook - 1].layer != d.app->sites[d.app->cur.hook].layer);
    driver_keys(&d, "<Backspace>g");
    const struct input click = {
        .kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = 5, .y = d.app->rows_y + 4};
    app_input(d.app, &click);
    assert_int_equal(d.app->cur.check, 4);
    driver_close(&d);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_broken), cmocka_unit_test(test_sound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
