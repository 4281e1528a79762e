/* test_log.c - the log of commands: what ran can be run again, with the same result. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver_test.h"
#include "list/edit_number.h"
#include "save/session_app.h"

static void newest_is(const char *text)
{
    assert_true(d.app->log.n > 0);
    assert_string_equal(d.app->log.line[d.app->log.n - 1], text);
}

static void test_change(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after, *log;
    } cases[] = {{"", "+a\n", "edit a\n"},
                 {"+a\n", "+a\n+b\n-c\n", "edit b\nedit c\n"},
                 {"+a\n+b\n", "+a\n-b\n", "toggle 2\n"},
                 {"+a\n+b\n", "-a\n-b\n", "toggle 1\ntoggle 2\n"},
                 {"+a\n+b\n+c\n", "+a\n+c\n", "delete 2\n"},
                 {"+a\n+b\n", "+a\n", "delete 2\n"},
                 {"+a\n+b\n", "", "delete 1\ndelete 1\n"},
                 {"+a\n+b\n", "+a\n+bb\n", "replace 2 bb\n"},
                 {"+a\n", "+a\n", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct command_log l = {0};
        struct bytes b = {0};
        command_log_change(&l, cases[i].before, cases[i].after);
        command_log_print(&l, &b);
        assert_string_equal(b.data ? b.data : "", cases[i].log);
        bytes_free(&b);
        command_log_free(&l);
    }
}

/* Keys stand as what they did; moving and looking leave nothing. */
static void test_what_is_kept(void **state)
{
    (void)state;
    driver_keys(&d, "kjhl?<Esc>:<Esc>");
    assert_int_equal(d.app->log.n, 0);
    driver_keys(&d, "x");
    newest_is("edit blocks.3.hook_resid_post[-1] = 0");
    driver_keys(&d, "o");
    newest_is("toggle 1");
    driver_keys(&d, "+");
    newest_is("edit blocks.3.hook_resid_post[-1] *= 1.1");
    driver_keys(&d, "+");
    newest_is("replace 2 blocks.3.hook_resid_post[-1] *= 1.2");
    driver_keys(&d, "u");
    newest_is("undo");
    driver_keys(&d, "A");
    newest_is("align");
    driver_keys(&d, "2");
    newest_is("view attention");
    driver_keys(&d, "6d");
    newest_is("delete 2"); /* the cursor stands on the newest */
    driver_keys(&d, "p<C-u>One<M-Enter>two<Enter>");
    newest_is("prompt \"One\\ntwo\"");
    int n = d.app->log.n;
    driver_keys(&d, ":edit<Space>blocks.9.hook_mlp_out<Space>=<Space>0<Enter><Esc>");
    driver_keys(&d, ":nonsense<Enter><Esc>");
    assert_int_equal(d.app->log.n, n); /* refused: it did not run */
    driver_keys(&d, "@");
    assert_int_equal(d.app->cur.view, VIEW_LOG);
    char *screen = driver_screen(&d);
    assert_non_null(strstr(screen, "prompt \"One\\ntwo\""));
    assert_non_null(strstr(screen, "view log"));
    free(screen);
    driver_keys(&d, "gk<Enter>"); /* the first but one: toggle 1 */
    driver_keys(&d, "y");
    assert_true(d.app->copied.len > 0);
}

/* In the list of edits: order, and the number in one. */
static void test_list(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t begin, end;
    } cases[] = {{"a[1] = 0", 7, 8},
                 {"a += 2.5 * dir(\" = 3\")", 5, 8},
                 {"a[\" += 1\"] *= -0.5", 14, 18},
                 {"a = from(other)", 4, 4},
                 {"a += dir(\" x\")", 5, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t begin, end;
        assert_true(edit_number_find(cases[i].text, &begin, &end));
        assert_int_equal(begin, cases[i].begin);
        assert_int_equal(end, cases[i].end);
    }
    app_edit_add(d.app, "blocks.0.hook_mlp_out *= 0.5");
    app_edit_add(d.app, "blocks.1.hook_resid_post += dir(\" Mary\", \" John\")");
    driver_settle(&d);
    driver_keys(&d, "6+");
    assert_string_equal(d.app->edits.text[1],
                        "blocks.1.hook_resid_post += 2 * dir(\" Mary\", \" John\")");
    driver_keys(&d, "--");
    assert_string_equal(d.app->edits.text[1],
                        "blocks.1.hook_resid_post += 0.9 * dir(\" Mary\", \" John\")");
    driver_keys(&d, "K");
    assert_int_equal(d.app->cur.edit, 0);
    assert_string_equal(d.app->edits.text[1], "blocks.0.hook_mlp_out *= 0.5");
    driver_keys(&d, "K"); /* it is the first */
    assert_int_equal(d.app->cur.edit, 0);
    driver_keys(&d, "j-u");
    assert_string_equal(d.app->edits.text[1], "blocks.0.hook_mlp_out *= 0.5");
    driver_keys(&d, "u");
    assert_string_equal(d.app->edits.text[0],
                        "blocks.0.hook_mlp_out *= 0.5"); /* in its old order */
}

/* Edits of one name are switched together; names are kept wherever edits are. */
static void test_names(void **state)
{
    (void)state;
    app_edit_add(d.app, "blocks.0.hook_mlp_out = 0");
    app_edit_add(d.app, "blocks.1.hook_mlp_out = 0   # mlps");
    app_edit_add(d.app, "blocks.2.attn.hook_z[-1, 0] = 0");
    driver_settle(&d);
    assert_string_equal(d.app->edits.text[1], "blocks.1.hook_mlp_out = 0 # mlps");
    driver_keys(&d, "6ggr");
    assert_int_equal(d.app->mode, LINE_COMMAND);
    driver_keys(&d, "mlps<Enter>");
    newest_is("replace 1 blocks.0.hook_mlp_out = 0 # mlps");
    driver_keys(&d, ":toggle<Space>mlps<Enter>");
    assert_true(!d.app->edits.on[0] && !d.app->edits.on[1] && d.app->edits.on[2]);
    driver_keys(&d, ":toggle<Space>mlps<Enter>");
    assert_true(d.app->edits.on[0] && d.app->edits.on[1]);
    driver_keys(&d, ":toggle<Space>nobody<Enter>");
    assert_true(d.app->message_bad);
    driver_keys(&d, "<Esc>:name<Space>1<Enter>");
    assert_string_equal(d.app->edits.text[0], "blocks.0.hook_mlp_out = 0");
    driver_keys(&d, ":name<Space>2<Space>a/b<Enter>");
    assert_true(d.app->message_bad);
    struct bytes b = {0};
    session_text(d.app, &b);
    assert_non_null(strstr(b.data, "edit + blocks.1.hook_mlp_out = 0 # mlps\n"));
    bytes_free(&b);
    assert_null(edit_list_name("a[\" # x\"] = 0"));
    assert_null(edit_list_name("a = 0 # two words"));
    assert_string_equal(edit_list_name("a = 0 # x"), "x");
}

/* The file of the log does again what was done. */
static void test_again(void **state)
{
    (void)state;
    char path[] = "/tmp/borescope-log-XXXXXX.log", line[64];
    int fd = mkstemps(path, 4);
    assert_true(fd >= 0);
    close(fd);
    driver_keys(&d, "x2LLx1khs");
    app_command(d.app, "other When Tom and John went to the store, John gave a bag to");
    driver_settle(&d);
    driver_keys(&d, "PjP:pair<Space>\"<Space>Mary\"<Space>\"<Space>Tom\"<Enter>");
    driver_keys(&d, "6o+1<Tab>");
    driver_keys(&d, "p<C-u>When<Space>Mary<Tab><Enter>");
    snprintf(line, sizeof line, "write! %s", path);
    app_command(d.app, line);
    if (d.app->message_bad)
        fail_msg("%s", d.app->message);
    char *edits = strdup(d.app->edits.past[d.app->edits.at]), *prompt = strdup(d.app->prompt);
    enum quantity q = d.app->quantity;
    driver_close(&d);
    open_teach(NULL);
    snprintf(line, sizeof line, "source %s", path);
    app_command(d.app, line);
    driver_settle(&d);
    if (d.app->notice)
        fail_msg("%s", d.app->notice);
    assert_string_equal(d.app->edits.past[d.app->edits.at], edits);
    assert_string_equal(d.app->prompt, prompt);
    assert_int_equal(d.app->quantity, q);
    free(edits);
    free(prompt);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs("# a comment\nview lens\nnonsense\nview grid\n", f);
    fclose(f);
    app_command(d.app, line);
    driver_settle(&d);
    assert_non_null(strstr(d.app->notice, ":3: no command \"nonsense\""));
    assert_int_equal(d.app->cur.view, VIEW_GRID);
    unlink(path);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_teach)
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_change), WITH(test_what_is_kept),
                                       WITH(test_list), WITH(test_names), WITH(test_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
