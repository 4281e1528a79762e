/* test_keymap.c - key map files: good and bad lines, overriding, sequences, printing, the built-in
 * maps. */
#include <stdio.h>
#include <string.h>

#include "input/keymap.h"
#include "unit.h"

static int parse(struct keymap *m, const char *text, struct bytes *warnings)
{
    return keymap_parse(m, "test", text, strlen(text), warnings);
}

static const char *command_of(const struct keymap *m, unsigned where, const char *keys)
{
    uint32_t key[KEYMAP_SEQ_MAX];
    int n = 0;
    while (*keys)
        assert_true(n < KEYMAP_SEQ_MAX && keys_read_name(&keys, &key[n++]));
    const struct binding *b;
    return keymap_find(m, where, key, n, &b) == KEYMAP_RUN ? b->command : NULL;
}

static void test_reading(void **state)
{
    (void)state;
    struct keymap m = {0};
    struct bytes w = {0};
    assert_int_equal(
        parse(
            &m,
            "# a comment\n\nx zero\n  X\tzero-all  \r\n[grid]\nx undo\nq none\n<C-x>s write\n<lt> move left",
            &w),
        0);
    assert_string_equal(command_of(&m, CTX_GRID, "x"), "undo"); /* the later line wins */
    assert_string_equal(command_of(&m, CTX_HOOKS, "x"), "zero");
    assert_string_equal(command_of(&m, CTX_HOOKS, "X"), "zero-all");
    assert_string_equal(command_of(&m, CTX_GRID, "<lt>"), "move left");
    const struct binding *b;
    uint32_t prefix = 'x' | KEYS_CTRL;
    assert_int_equal(keymap_find(&m, CTX_GRID, &prefix, 1, &b), KEYMAP_PREFIX);
    assert_string_equal(command_of(&m, CTX_GRID, "<C-x>s"), "write");
    assert_null(command_of(&m, CTX_HOOKS, "<C-x>s"));
    char keys[64];
    keymap_keys_of(&m, CTX_GRID, "write", keys, sizeof keys);
    assert_string_equal(keys, "<C-x>s");
    keymap_free(&m);
    bytes_free(&w);
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x",     "x nosuch", "<Nope> zero",      "abcde zero", "[nowhere]",
        "[grid", "[]",       "set counts maybe", "x accept",   "x \x1b]0;title\a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct keymap m = {0};
        struct bytes w = {0};
        char text[256];
        snprintf(text, sizeof text, "u undo\n%s\nU redo\n", bad[i]);
        assert_int_equal(parse(&m, text, &w), 1);
        assert_non_null(strstr(w.data, "test:2: "));
        for (size_t k = 0; k < w.len; k++)
            assert_true((unsigned char)w.data[k] >= 0x20 ||
                        w.data[k] == '\n'); /* nothing of the file comes through raw */
        assert_string_equal(command_of(&m, CTX_GRID, "u"), "undo"); /* the rest is read */
        assert_string_equal(command_of(&m, CTX_GRID, "U"), "redo");
        keymap_free(&m);
        bytes_free(&w);
    }
}

static void test_builtin(void **state)
{
    (void)state;
    static const char *const names[] = {"default", "vim", "emacs"};
    for (int i = 0; i < 3; i++) {
        struct keymap m = {0}, again = {0};
        struct bytes w = {0}, first = {0}, second = {0};
        size_t len;
        const char *text = keymap_builtin("default", &len);
        assert_int_equal(keymap_parse(&m, "default", text, len, &w), 0);
        text = keymap_builtin(names[i], &len);
        assert_non_null(text);
        assert_int_equal(keymap_parse(&m, names[i], text, len, &w), 0);
        keymap_print(&m, &first); /* what is printed reads back as itself */
        assert_int_equal(keymap_parse(&again, "printed", first.data, first.len, &w), 0);
        keymap_print(&again, &second);
        assert_string_equal(first.data, second.data);
        for (int v = 0; v < VIEW_COUNT; v++) { /* nobody is locked in */
            char keys[64];
            keymap_keys_of(&m, 1u << v, "quit", keys, sizeof keys);
            assert_true(keys[0]);
            keymap_keys_of(&m, 1u << v, "help", keys, sizeof keys);
            assert_true(keys[0]);
        }
        keymap_free(&m);
        keymap_free(&again);
        bytes_free(&w);
        bytes_free(&first);
        bytes_free(&second);
    }
    size_t len;
    assert_null(keymap_builtin("nosuch", &len));
}

/* Every command has a name, a help line and a context; names are unique; views are told apart. */
static void test_table(void **state)
{
    (void)state;
    for (int i = 0; i < ACTION_COUNT; i++) {
        assert_true(action_table[i].name[0] && action_table[i].help[0] && action_table[i].where);
        assert_int_equal(action_find(action_table[i].name, NULL), i);
    }
    const char *args;
    assert_int_equal(action_find("scale  2", &args), ACTION_SCALE);
    assert_string_equal(args, "2");
    assert_int_equal(action_find("", NULL), ACTION_COUNT);
    assert_int_equal(action_context("attention", 9), CTX_ATTENTION);
    assert_int_equal(action_context("all", 3), CTX_VIEWS);
    assert_int_equal(action_context("al", 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading), cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_builtin), cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
