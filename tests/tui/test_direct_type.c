/* test_direct_type.c - a terminal's own entry with direct colours: all else stays what it was. */
#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

#include "term/direct_type.h"
#include "unit.h"

/* What an entry says, one capability after the other; names of those that colours change are left
 * out. */
static void describe(struct bytes *out)
{
    static const char *const changed[] = {"ccc",  "colors", "pairs", "initc", "initp", "oc",
                                          "setf", "setb",   "scp",   "setaf", "setab"};
    for (int i = 0; boolnames[i]; i++)
        if (strcmp(boolnames[i], changed[0]) != 0)
            bytes_addf(out, "%s %d\n", boolnames[i], tigetflag(boolnames[i]) == 1);
    for (int i = 0; numnames[i]; i++)
        if (strcmp(numnames[i], changed[1]) != 0 && strcmp(numnames[i], changed[2]) != 0)
            bytes_addf(out, "%s %d\n", numnames[i], tigetnum(numnames[i]));
    for (int i = 0; strnames[i]; i++) {
        const char *s = tigetstr(strnames[i]);
        bool skip = s == (const char *)-1 || !s;
        for (size_t k = 3; k < sizeof changed / sizeof *changed; k++)
            skip = skip || strcmp(strnames[i], changed[k]) == 0;
        if (!skip)
            bytes_addf(out, "%s %s\n", strnames[i], s);
    }
}

static void load(const char *name)
{
    int status = 0;
    assert_int_equal(setupterm(name, STDOUT_FILENO, &status), OK);
    assert_int_equal(status, 1);
}

static void test_same_but_colours(void **state)
{
    (void)state;
    static const char *const names[] = {"xterm-256color", "xterm", "linux", "tmux-256color"};
    char colors[] = "colors", rgb[] = "RGB", ax[] = "AX", co[] = "CO", fg[] = "setaf",
         bg[] = "setab";
    int found = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bytes entry = {0}, was = {0}, is = {0};
        if (!direct_type_make(names[i], "some-direct", &entry)) {
            bytes_free(&entry); /* not in this machine's terminfo */
            continue;
        }
        found++;
        load(names[i]);
        describe(&was);
        del_curterm(cur_term);
        assert_int_equal(setenv("TERMINFO", entry.data, 1), 0);
        load("some-direct");
        unsetenv("TERMINFO");
        describe(&is);
        assert_string_equal(is.data, was.data);
        assert_int_equal(tigetnum(colors), 1 << 24);
        assert_int_equal(tigetnum(co), 8);
        assert_true(tigetflag(rgb) == 1 && tigetflag(ax) == 1);
        assert_string_equal(tiparm(tigetstr(fg), 0x123456), "\033[38;2;18;52;86m");
        assert_string_equal(tiparm(tigetstr(bg), 0xff0009), "\033[48;2;255;0;9m");
        assert_string_equal(tiparm(tigetstr(bg), 3), "\033[43m"); /* of the user's palette */
        del_curterm(cur_term);
        bytes_free(&entry), bytes_free(&was), bytes_free(&is);
    }
    assert_true(found > 0);
}

static void test_none(void **state)
{
    (void)state;
    static const char *const names[] = {"vt100", "dumb", "no-such-terminal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bytes entry = {0};
        assert_false(direct_type_make(names[i], "some-direct", &entry));
        bytes_free(&entry);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_but_colours),
                                       cmocka_unit_test(test_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
