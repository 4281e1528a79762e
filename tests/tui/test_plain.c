/* test_plain.c - the explorer without a screen: lines in, sentences out; every view says something,
 * what changed is said once, and only that. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "driver_test.h"
#include "plain.h"

/* What these lines bring; to free. */
static char *talk(const char *lines, bool ask, bool ascii)
{
    char *text = NULL;
    size_t len = 0;
    FILE *in = lines ? fmemopen((void *)(uintptr_t)lines, strlen(lines), "r") : NULL,
         *out = open_memstream(&text, &len);
    struct plain_options o = {.in = in, .out = out, .ask = ask, .ascii = ascii};
    struct err e = {0};
    if (plain_main(d.app, d.s, &o, &e))
        fail_msg("%s", e.text);
    fclose(out);
    if (in)
        fclose(in);
    return text;
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, what)); s++)
        n++;
    return n;
}

static void says(const char *text, const char *what, int times)
{
    if (count(text, what) != times)
        fail_msg("%d times, not %d: \"%s\"\n%s", count(text, what), times, what, text);
}

static void test_opening(void **state)
{
    (void)state;
    char *text = talk(NULL, false, true);
    static const char *const facts[] = {"model gpt2, 3 layers, 3 heads",
                                        "prompt, 8 positions:",
                                        "no edits\n",
                                        "answer at position 7: \"<38>\" 0.460",
                                        "logit difference \"<38>\" minus \"<24>\": +0.45\n",
                                        "view grid:",
                                        "layer 2: \"<38>\", probability 0.460, the cursor\n"};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        says(text, facts[i], 1);
    for (const char *s = text; *s; s++)
        assert_true(*s == '\n' || (*s >= 0x20 && *s < 0x7f));
    free(text);
}

static void test_changes(void **state)
{
    (void)state;
    char *text = talk("x\nface base\nundo\nmove up\nnosuch\nmove up\n", false, false);
    says(text, "edit 1, on: blocks.2.hook_resid_post[-1] = 0\n", 1);
    says(text, "with the edits ", 1);
    says(text, "divergence from the base run: ", 1);
    says(text, "computed ", 2);
    says(text, "no edits\n", 2);
    says(text, "model gpt2", 1);
    says(text, "position 7, \"<5>\"\n", 1); /* of one place only what changed is said */
    says(text, "layer 1: \"<45>\", probability 0.613\n", 1);
    says(text, ", edited, the cursor\n", 2); /* in both faces */
    says(text, "position 6, \"<21>\"\n", 1);
    says(text, "position 5, \"<13>\"\n", 1);
    says(text, "error: no command and no key: \"nosuch\"", 1);
    says(text, "> ", 0);
    free(text);
    text = talk("q\n", true, false);
    says(text, "> ", 1);
    free(text);
}

/* Every view has a voice, in both locales, and nothing is drawn. */
static void test_views(void **state)
{
    (void)state;
    for (int v = 0; v < VIEW_COUNT; v++) {
        char line[64];
        snprintf(line, sizeof line, "view %s\nmove right\nenter\n", view_names[v]);
        char *text = talk(line, false, v % 2);
        snprintf(line, sizeof line, "view %s: ", view_names[v]);
        if (v)
            assert_true(count(text, line) >= 1);
        static const char *const drawn[] = {"│", "─", "▶", "░", "█", "…", "\x1b"};
        for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++)
            says(text, drawn[i], 0);
        struct bytes b = {0};
        app_view(d.app)->say(d.app, &b);
        assert_true(b.len > 10 && b.data[b.len - 1] == '\n');
        bytes_free(&b);
        free(text);
        driver_keys(&d, "y"); /* something, or a word that there is nothing */
        assert_true(d.app->copied.len > 0 || strstr(d.app->message, "nothing to copy"));
    }
}

static void test_attention(void **state)
{
    (void)state;
    free(talk("view attention\nhead 1\nenter\n", false, false));
    struct attention at;
    struct attention_row row;
    bool stale;
    assert_true(attention_open(&at, d.app, &stale) && attention_row(&at, 1, 7, &row));
    struct bytes b = {0};
    app_view(d.app)->say(d.app, &b);
    char want[64];
    snprintf(want, sizeof want, "weight %.3f, the cursor",
             (double)attention_value(&at, &row, d.app->cur.src));
    says(b.data, want, 1);
    says(b.data, "at the cursor, to position", 1);
    says(b.data, "scores: previous ", 1);
    bytes_free(&b);
}

/* A key that opens a line takes the next one as its text. */
static void test_line(void **state)
{
    (void)state;
    char *text = talk("e\nedit blocks.1.attn.hook_z[-1, 1] = 0\n:\nview hooks\n?\nhelp scale\n",
                      false, false);
    says(text, "the next line replaces: edit blocks.2.hook_resid_post[-1] = ", 1);
    says(text, "edit 1, on: blocks.1.attn.hook_z[-1, 1] = 0\n", 1);
    says(text, "view hooks: ", 1);
    says(text, "a line is a command, or a key", 2);
    says(text, "freeze: hold this", 1); /* of the whole list alone */
    free(text);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_driver)
    const struct CMUnitTest tests[] = {WITH(test_opening), WITH(test_changes), WITH(test_views),
                                       WITH(test_attention), WITH(test_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
