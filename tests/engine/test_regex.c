/* Tests of regex.h: the dialect that tokenizer.json files are written in.  Expected cuts are
 * Oniguruma's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/regex.h"

/* All matches, each in < >. */
static void expect(const char *pattern, const char *text, const char *matches)
{
    struct err e = {0};
    char got[512] = "";
    struct regex *r = regex_compile(pattern, strlen(pattern), false, &e);
    if (!r)
        fail_msg("%s: %s", pattern, e.text);
    struct regex_match *m = regex_match_new();
    struct regex_walk k = regex_walk_start(r, m, text, strlen(text));
    while (regex_next(&k, &e) > 0)
        snprintf(got + strlen(got), sizeof got - strlen(got), "<%.*s>", (int)(k.end - k.begin),
                 text + k.begin);
    if (strcmp(got, matches) != 0)
        fail_msg("%s on \"%s\": %s, expected %s", pattern, text, got, matches);
    regex_match_free(m);
    regex_free(r);
}

static void refuse(const char *pattern, const char *part)
{
    struct err e = {0};
    assert_null(regex_compile(pattern, strlen(pattern), false, &e));
    if (!strstr(e.text, part))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, part);
}

static void classes_are_the_dialects(void **state)
{
    (void)state;
    expect("\\s",
           "a\u180eb\xc2\x85"
           "c\u200bd\u2028e\u3000",
           "<\xc2\x85><\u2028><\u3000>");
    expect("[\\s]", "a\u180eb c", "< >");
    expect("\\S+", "ab c\u180e", "<ab><c\u180e>");
    expect("\\w+", "a_b\u0301c \u24b6\u203fx \xc2\xb2 \u2160",
           "<a_b\u0301c><\u24b6\u203fx><\xc2\xb2><\u2160>"); /* Latin-1's numbers: outside of [ ] */
    expect("[\\w]+", "a\u00b2b \u00bd", "<a><b>");
    expect("\\w+", "a\u00b2b \u00bd\u00b7 \u2460", "<a\u00b2b><\u00bd>");
    expect("\\W+", "a\u00b2b\u00b7 \u2460", "<\u00b7 \u2460>");
    expect("\\b.", "a\u00b2 \u0301e\u0301!", "<a>< ><\u0301><!>");
    expect("\\B.", "a\u00b2 !", "<\u00b2><!>");
    expect("[\\w]+", "b\u0301\u203f", "<b\u0301\u203f>");
    expect("\\W", "a!\u0301", "<!>");
    expect("\\h+", "xaF0 g", "<aF0>");
    expect("[\\h]+", "xaF0 g", "<aF0>");
    expect("\\H", "a g", "< ><g>");
    expect("\\d", "1\u0661\xc2\xb2\u2160", "<1><\u0661>");
    expect("[[:digit:]]+", "12a", "<12>");
    expect("[a[bc]d]+", "xabcd]", "<abcd>");
    expect("[^(\\s|[.,!]x)]+", "ab (c.d|e!", "<ab><c><d><e>");
    expect("[a[b-]d]+", "abcd-", "<ab><d->");
    expect("[a[-c]]+", "abc-", "<a><c->");
    expect("[[a]-c]+", "abc-", "<a><c->");
    expect("[a[[:digit:]]-]+", "a1-b", "<a1->");
    expect("\\u0061|[\\u4e00-\\u9fff]", "a中b", "<a><中>");
    expect("\\p{Lu}{2}", "ABc", "<AB>");
    expect("[]a]+", "x]a", "<]a>");
}

static void intervals_repeat_instead_of_possessing(void **state)
{
    (void)state;
    expect("\\p{N}{1,3}+", "12345678", "<12345678>");
    expect("(?:ab|[0-9]){2}+", "abababa1", "<abab>");
    expect("[x]{2}+y", "xxxxy", "<xxxxy>");
    expect("a{2}+", "aaaaa", "<aaaa>");
    expect("\\{2}+", "{2}}", "<{2}}>");
    expect("a++b", "aab", "<aab>");
}

static void lines_have_anchors_and_empty_matches_move_on(void **state)
{
    (void)state;
    expect("^b$", "a\nb\nc", "<b>");
    expect("x*", "axxb", "<><xx><>");
    expect("x*", "é", "<><>");
    expect("", "ab", "<><><>");
    expect("(?i:'s|'t)", "'S 'ſ 't", "<'S><'ſ><'t>");
    expect("\\s+(?!\\S)|\\s+", "a   b", "<  >< >");
}

static void what_cannot_be_said_is_refused(void **state)
{
    (void)state;
    refuse("[a[^bc]]", "[^ ] inside [ ] is not supported");
    refuse("[a[]]", "[] ] inside [ ] is not supported");
    refuse("[a[b]", "[ without ]");
    refuse("[a-[c]]", "-[ ] inside [ ]");
    refuse("[a&&b]", "&& inside [ ] is not supported");
    refuse("[\\W]", "\\W inside [ ]");
    refuse("(?m).", "(?m) is not supported");
    refuse("(?im:.)", "(?m) is not supported");
    refuse("(*UTF)a", "(* is not supported");
    refuse("a\\Kb", "\\K is not supported");
    refuse("a\\", "ends in a backslash");
    refuse("\\u12", "four hexadecimal digits");
    refuse("[a", "[ without ]");
    refuse("a)", ") without (");
    refuse("(a", "missing closing parenthesis");
    refuse("a\\Cb", "\\C");
    char deep[400];
    memset(deep, '(', 200);
    memset(deep + 200, ')', 199);
    deep[399] = '\0';
    refuse(deep, "more than 100 groups inside each other");
}

static void a_pattern_that_runs_wild_is_stopped(void **state)
{
    (void)state;
    struct err e = {0};
    static const char pattern[] = "(a|a|aa)+[bc]";
    struct regex *r = regex_compile(pattern, strlen(pattern), false, &e);
    struct regex_match *m = regex_match_new();
    char text[5000];
    memset(text, 'a', sizeof text);
    assert_non_null(r);
    struct regex_walk k = regex_walk_start(r, m, text, sizeof text);
    assert_int_equal(regex_next(&k, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "fails on this text"));
    regex_match_free(m);
    regex_free(r);
}

static void a_literal_is_taken_as_it_stands(void **state)
{
    (void)state;
    struct err e = {0};
    struct regex *r = regex_compile("a.", 2, true, &e);
    struct regex_match *m = regex_match_new();
    struct regex_walk k = regex_walk_start(r, m, "axa.b", 5);
    assert_int_equal(regex_next(&k, &e), 1);
    assert_int_equal(k.begin, 2);
    assert_int_equal(k.end, 4);
    assert_int_equal(regex_next(&k, &e), 0);
    regex_match_free(m);
    regex_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_the_dialects),
        cmocka_unit_test(intervals_repeat_instead_of_possessing),
        cmocka_unit_test(lines_have_anchors_and_empty_matches_move_on),
        cmocka_unit_test(what_cannot_be_said_is_refused),
        cmocka_unit_test(a_pattern_that_runs_wild_is_stopped),
        cmocka_unit_test(a_literal_is_taken_as_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
