/* test_named_keys.c - helps and messages name the keys that are bound, whatever the key map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "keybar.h"
#include "view.h"

static const struct view *const views[VIEW_COUNT] = {
#define VIEW(id, name) &view_##name,
#include "views.def"
};

static void with_map(struct driver *d, const char *name)
{
    size_t len;
    struct bytes warnings = {0};
    const char *text = keymap_builtin(name, &len);
    assert_int_equal(keymap_parse(&d->map, name, text, len, &warnings), 0);
    bytes_free(&warnings);
}

/* What stands outside of {COMMAND} is words: no key by its name. */
static void assert_no_key(const char *help)
{
    static const char *const keys[] = {"Enter", "Tab",   "Esc", "Backspace", "Space",
                                       "Left",  "Right", "Up",  "Down"};
    char word[64];
    for (const char *p = help; *p; p++) {
        if (*p == '{')
            p += strcspn(p, "}");
        size_t n = 0;
        for (; (isalnum((unsigned char)*p) || *p == '\'') && n < sizeof word - 1; p++)
            word[n++] = *p;
        word[n] = 0;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (!strcmp(word, keys[i]))
                fail_msg("\"%s\" names %s", help, word);
        if (n == 1 && isalpha((unsigned char)*word) && *word != 'a')
            fail_msg("\"%s\" names %s", help, word);
        if (!*p)
            break;
    }
}

/* Each command that a help names has a key there, in every map, and the help stays whole. */
static void helps_name_keys_that_are_bound(void **state)
{
    (void)state;
    static const char *const maps[] = {"default", "vim", "emacs"};
    for (size_t m = 0; m < sizeof maps / sizeof *maps; m++) {
        struct driver d;
        char named[KEYBAR_TEXT], key[KEYBAR_KEY];
        driver_teach(&d, 120, 30);
        with_map(&d, maps[m]);
        for (int v = 0; v < VIEW_COUNT; v++) {
            const char *help = views[v]->help;
            d.app->cur.view = (enum view_id)v;
            assert_no_key(help);
            keybar_text(d.app, help, named);
            assert_string_equal(named + strlen(named) - 4, help + strlen(help) - 4);
            for (const char *p = help; (p = strchr(p, '{')); p++) {
                char command[64] = "";
                memcpy(command, p + 1, strcspn(p, "}") - 1);
                keybar_key(d.app, command, key);
                if (*key == ':' && strcmp(command, "command"))
                    fail_msg("%s, %s: no key runs %s", maps[m], view_names[v], command);
                assert_non_null(strstr(named, key));
            }
        }
        driver_close(&d);
    }
}

/* What emacs.keys takes for something else is not named for what it was. */
static void emacs_goes_by_another_key(void **state)
{
    (void)state;
    struct driver d;
    char named[KEYBAR_TEXT];
    driver_teach(&d, 120, 30);
    assert_string_equal(keybar_text(d.app, "{go} goes, {redo} redoes", named),
                        "C-g goes, C-r redoes");
    with_map(&d, "emacs");
    assert_string_equal(keybar_text(d.app, "{go} goes, {redo} redoes", named),
                        "<M-g>g goes, M-_ redoes");
    driver_close(&d);
}

static void messages_name_the_user_s_keys(void **state)
{
    (void)state;
    static const char map[] = "[all]\nx none\n<F9> zero\n? none\n% help\ns none\n"
                              "<Enter> none\n<F10> enter\n[line]\n<Enter> none\n<F11> accept\n";
    static const struct {
        const char *command, *says;
    } rows[] = {
        {"again", "no verb to repeat yet · F9 zeroes what is under the cursor"},
        {"toggle", "no edits yet · F9 zeroes"},
        {"delete", "d deletes in the edits view (6) · here: o switches off"},
        {"no-such", "Tab shows what there is, % the keys"},
        {"go 99", "99"},
        {"go {zero}", "no position holds \"{zero}\" · / searches"},
        {"compare on", "compare with another prompt: type it, F11"},
    };
    struct driver d;
    struct bytes warnings = {0};
    driver_teach(&d, 120, 30);
    assert_int_equal(keymap_parse(&d.map, "own", map, sizeof map - 1, &warnings), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        driver_command(&d, rows[i].command);
        driver_shows(&d, rows[i].says);
    }
    driver_keys(&d, "<Esc>6");
    driver_shows(&d, "no edits yet · F9 zeroes");
    driver_keys(&d, "%");
    driver_shows(&d, "type to search, Enter runs, Esc closes"); /* in the list it still does */
    driver_shows(&d, "F10 shows its hook");
    bytes_free(&warnings);
    driver_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(helps_name_keys_that_are_bound),
        cmocka_unit_test(emacs_goes_by_another_key),
        cmocka_unit_test(messages_name_the_user_s_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
