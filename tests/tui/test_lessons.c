/* test_lessons.c - the built-in lessons, played on the built-in model: all that they claim of it is
 * so, right answers lead to the end, wrong ones do not, and whoever leaves comes back to the same.
 */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"
#include "lesson/lesson.h"
#include "lesson/lesson_play.h"
#include "plain.h"

static const int32_t prompt[] = {0, 1893, 1448};

static void open_at(int w, int h)
{
    driver_open(&d, "models/teach", prompt, 3, w, h);
    d.app->opt.bos = -1; /* as the command does */
}

static struct lesson_view seen(void)
{
    struct lesson_view v = {0};
    assert_true(lesson_see(d.app, &v));
    return v;
}

static void begin(const char *name)
{
    if (!lesson_begin_named(d.app, name))
        fail_msg("%s: %s", name, d.app->message);
    driver_settle(&d);
}

static void type(const char *s)
{
    for (; *s; s++) {
        struct input in = {.kind = INPUT_KEY, .key = (unsigned char)*s};
        app_input(d.app, &in);
    }
    driver_settle(&d);
}

/* The figure of the model, as somebody would type it. */
static void type_answer(const struct fact *f)
{
    struct fact_value v;
    size_t len;
    char text[128];
    assert_true(fact_value(d.app, f, &v));
    if (v.type == FACT_TOKEN) {
        const char *s = tokenizer_text(d.app->m->tok, (int32_t)v.number, &len);
        snprintf(text, sizeof text, "%.*s", (int)len, s);
    } else {
        snprintf(text, sizeof text, v.type == FACT_NUMBER ? "%.2f" : "%.0f", v.number);
    }
    type(text);
}

/* The rows of the lesson; to free. */
static char *strip(void)
{
    struct bytes b = {0};
    assert_true(app_draw(d.app, &d.frame));
    const struct canvas *c = d.frame.canvas;
    int pins = pins_rows(d.app, d.app->body.h + d.app->pins.n); /* the student's own stand above */
    for (int y = d.app->body.y + d.app->body.h + pins; y < c->h - 2 - (d.app->other_tokens != NULL);
         y++)
        for (int x = 0; x < c->w; x++)
            bytes_add_string(&b, canvas_at(c, x, y)->text);
    assert_false(b.failed);
    return b.data;
}

/* All that the step says is there, and it is so. */
static void check_step(const char *name)
{
    struct lesson_view v = seen();
    for (int i = 0; i < v.step->n_claims; i++)
        if (lesson_holds(d.app, &v.step->claim[i]) != 1)
            fail_msg("%s, step %d: claim %d does not hold", name, v.at + 1, i + 1);
    char *text = strip();
    if (!strstr(text, v.step->title) || strstr(text, "…") || strstr(text, "NaN") ||
        strstr(text, "(not true"))
        fail_msg("%s, step %d:\n%s", name, v.at + 1, text);
    free(text);
    if (d.app->message_bad)
        fail_msg("%s, step %d: %s", name, v.at + 1, d.app->message);
    int rows = lesson_rows(d.app, d.app->w, d.app->h - 4 < 30 ? 29 : 1000);
    if (rows != lesson_rows(d.app, d.app->w, d.app->h - 4))
        fail_msg("%s needs %d rows of %d", name, rows, d.app->h - 4);
}

/* One step with right answers; the same with the answer shown if `give_up`. */
static void play_step(const char *name, bool give_up)
{
    struct lesson_view v = seen();
    check_step(name);
    if (v.step->ask) {
        driver_keys(&d, "n");
        assert_int_equal(d.app->mode, LINE_ANSWER);
        if (!give_up)
            type_answer(&v.step->answer);
        driver_keys(&d, "<Enter>");
    } else if (v.step->attempt && give_up) {
        driver_keys(&d, "nn");
    } else if (v.step->attempt) {
        assert_int_equal(lesson_holds(d.app, &v.step->until), 0); /* not before it was done */
        assert_non_null(v.step->solve);
        if (*v.step->solve == ':')
            app_command(d.app, v.step->solve + 1);
        else
            driver_keys(&d, v.step->solve);
        driver_settle(&d);
        assert_int_equal(lesson_holds(d.app, &v.step->until), 1);
    }
    if (v.step->ask || v.step->attempt) {
        assert_int_equal(seen().state, give_up ? LESSON_SHOWN : LESSON_DONE);
        char *text = strip();
        assert_non_null(strstr(text, give_up ? "→ " : "✓ "));
        assert_null(strstr(text, "…"));
        free(text);
    }
    assert_int_equal(seen().at, v.at);
    driver_keys(&d, v.at % 2 ? "n" : "<Enter>");
}

static void play(const char *name, bool give_up)
{
    begin(name);
    for (int n = seen().l->n, i = 0; i < n; i++) {
        assert_int_equal(seen().at, i);
        play_step(name, give_up);
    }
    assert_null(d.app->lesson);
    driver_shows(&d, "end of the lesson");
}

static void each_lesson(int w, int h, bool give_up)
{
    open_at(w, h);
    int n = 0;
    for (; lesson_name(n); n++)
        play(lesson_name(n), give_up);
    assert_int_equal(n, 5);
    driver_close(&d);
}

static void test_right_answers(void **state)
{
    (void)state;
    each_lesson(80, 24, false);
}

static void test_given_up(void **state)
{
    (void)state;
    each_lesson(200, 60, true);
}

/* A wrong answer, or none of the task, says so and goes nowhere; the right one still does. */
static void test_wrong_answers(void **state)
{
    (void)state;
    open_at(120, 40);
    int asked = 0, tried = 0;
    for (int n = 0; lesson_name(n); n++) {
        begin(lesson_name(n));
        while (d.app->lesson) {
            struct lesson_view v = seen();
            if (v.step->ask) {
                driver_keys(&d, "n");
                type("12345");
                driver_keys(&d, "<Enter>");
            } else if (v.step->attempt) {
                driver_keys(&d, "jn");
            }
            if (v.step->ask || v.step->attempt) {
                assert_int_equal(seen().at, v.at);
                assert_int_equal(seen().state, LESSON_MISSED);
                driver_shows(&d, "✗ ");
            }
            asked += v.step->ask != NULL;
            tried += v.step->attempt != NULL;
            driver_keys(&d, "R");
            play_step(lesson_name(n), false);
        }
    }
    assert_true(asked >= 8 && tried >= 5);
    driver_close(&d);
}

/* The screen without its first line, which says what the last rerun cost; to free. */
static char *below_status(void)
{
    char *screen = driver_screen(&d), *below = strdup(strchr(screen, '\n'));
    free(screen);
    return below;
}

/* Breaking out: the keys are the views' again, anything may change, and coming back brings it all
 * back; going back a step too. */
static void test_out_and_back(void **state)
{
    (void)state;
    open_at(100, 30);
    begin("ablation");
    driver_keys(&d, "n");
    char *before = below_status();
    driver_keys(&d, "<Esc>");
    assert_true(seen().out);
    driver_keys(&d,
                "1kx<Enter>:prompt<Space>Once<Space>upon<Enter>:pair<Space>a<Space>the<Enter>b");
    assert_int_equal(d.app->edits.n, 1);
    driver_keys(&d, "R");
    assert_false(seen().out);
    assert_int_equal(d.app->edits.n, 0);
    char *after = below_status();
    assert_string_equal(before, after);
    driver_keys(&d, "n<Esc>L3L1");
    driver_keys(&d, "R");
    free(after);
    after = below_status();
    assert_string_equal(before, after);
    driver_keys(&d, "N");
    assert_int_equal(seen().at, 0);
    driver_keys(&d, "n");
    free(after);
    after = below_status();
    assert_string_equal(before, after);
    driver_keys(&d, "<Esc>Q");
    assert_null(d.app->lesson);
    driver_keys(&d, ":lesson<Space>nothing<Enter>");
    assert_true(d.app->message_bad);
    free(before);
    free(after);
    driver_close(&d);
}

/* What the student did outside to solve the task counts. */
static void test_solved_outside(void **state)
{
    (void)state;
    open_at(100, 30);
    begin("lens");
    while (!seen().step->attempt)
        play_step("lens", true);
    driver_keys(&d, "<Esc>:edit<Space>blocks.3.hook_attn_out[-1]<Space>=<Space>0<Enter>R");
    assert_int_equal(seen().state, LESSON_DONE);
    assert_int_equal(d.app->edits.n, 1);
    driver_close(&d);
}

/* Any keys in a lesson, its own among them: a screen each time, and the lesson still goes to its
 * end. */
static void test_any_keys(void **state)
{
    (void)state;
    static const char keys[] = "nnnnNRRx XoOudHLJKhjkl12345 6tpb:/?\r\x1b\x1bqe0aeiou";
    uint32_t seed = 4321;
    open_at(100, 30);
    for (int n = 0; lesson_name(n); n++) {
        begin(lesson_name(n));
        for (int i = 0; i < 400; i++) {
            seed = seed * 1664525 + 1013904223;
            char c = keys[(seed >> 16) % (sizeof keys - 1)];
            struct input in = {.kind = INPUT_KEY,
                               .key = c == '\r'     ? (uint32_t)KEYS_ENTER
                                      : c == '\x1b' ? (uint32_t)KEYS_ESC
                                                    : (uint32_t)c};
            app_input(d.app, &in);
            if (i % 8 == 0)
                driver_settle(&d);
            free(driver_screen(&d));
        }
        begin(lesson_name(n));
        play_step(lesson_name(n), true);
    }
    driver_close(&d);
}

/* Spellings of answers. */
static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *fact, *typed;
        bool right;
    } rows[] = {{"head induction 1", "3", true},    {"head induction 1", "L1H3", true},
                {"head induction 1", " h3 ", true}, {"head induction 1", "L2H3", false},
                {"head induction 1", "4", false},   {"head induction 1", "L", false},
                {"source 1 3 -1", "moon", true},    {"source 1 3 -1", "\" moon\"", true},
                {"source 1 3 -1", "5", true},       {"source 1 3 -1", "-5", true},
                {"source 1 3 -1", "Moon", false},   {"source 1 3 -1", "", false},
                {"top -1 3", "moon", true},         {"top -1 3", "\" moon", false},
                {"rank -1 3 \"moon\"", "0", true},  {"rank -1 3 \"moon\"", "zero", false},
                {"top -1 9", "moon", false},        {"p -1 3 \"qqqq\"", "0", false}};
    char why[160];
    open_at(100, 30);
    begin("attention");
    driver_keys(&d, "nn");
    driver_keys(&d, "<Enter><Enter><Esc>R");
    while (seen().at < 2)
        driver_keys(&d, "n<Enter>");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fact f;
        struct want_list l = {0};
        assert_true(fact_read(rows[i].fact, strlen(rows[i].fact), &f, why));
        fact_want(d.app, &f, &l); /* none where the model has no such thing */
        want_list_free(&l);
        bool right = fact_matches(d.app, &f, rows[i].typed, 0);
        if (strncmp(rows[i].fact, "rank", 4) != 0 && right != rows[i].right)
            fail_msg("%s: \"%s\" is %s", rows[i].fact, rows[i].typed, right ? "right" : "wrong");
    }
    driver_close(&d);
}

/* For a listener: the step, its question, and what becomes of an answer, an empty one too. */
static void test_spoken(void **state)
{
    (void)state;
    static const char lines[] = "lesson attention\nn\nn\n2\nn\n\nn\nn\nL1H3\n";
    char *text = NULL;
    size_t len = 0;
    open_at(80, 24);
    FILE *in = fmemopen((void *)(uintptr_t)lines, sizeof lines - 1, "r"),
         *out = open_memstream(&text, &len);
    struct plain_options o = {.in = in, .out = out};
    struct err e = {0};
    assert_int_equal(plain_main(d.app, d.s, &o, &e), 0);
    fclose(in);
    fclose(out);
    static const char *const said[] = {
        "lesson, step 1 of 6: A head's pattern\n", "question: John stands at positions 4 and 10.",
        "not so: k moves the cursor up",           "the answer: 4 \" John\"\n",
        "question: Which head of layer 1 is it?",  "right: L1H3, with a score of 0.8"};
    const char *at = text;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) { /* in this order */
        at = strstr(at, said[i]);
        if (!at)
            fail_msg("not said: %s\n%s", said[i], text);
    }
    free(text);
    driver_close(&d);
}

/* Lines that are wrong, each told with its number, all of them. */
static void test_bad_lines(void **state)
{
    (void)state;
    static const char head[] = "title t\nabout a\nmodel m\nstep s\nsay x\n";
    static const struct {
        const char *line, *why;
    } rows[] = {{"sya x", "x:6: no such line"},
                {"keys <Nokey>", "x:6: not a key"},
                {"do dance", "x:6: no such command"},
                {"do", "x:6: no such command"},
                {"fresh eggs", "x:6: fresh stands alone"},
                {"type", "x:6: nothing behind it"},
                {"say a {b} c", "x:6: no such figure"},
                {"say a } c", "x:6: a brace alone"},
                {"say {top -1}", "x:6: not a figure"},
                {"claim top -1 3 > 2", "x:6: a token is compared"},
                {"claim delta 3", "x:6: no <, > or ="},
                {"claim delta > x", "x:6: no number"},
                {"claim delta > nan", "x:6: no number"},
                {"ask q", "x:4: ask and answer"},
                {"try q", "x:4: try, until and solve"},
                {"solve x", "x:4: try, until and solve"},
                {"answer delta within x", "x:6: within what"},
                {"title again", "x:6: no such line"},
                {"step", "x:6: nothing behind it"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bytes text = {0}, errors = {0};
        struct lesson l;
        bytes_addf(&text, "%s%s\n", head, rows[i].line);
        int bad = lesson_parse(&l, "x", text.data, text.len, &errors);
        if (bad < 1 || !strstr(errors.data, rows[i].why))
            fail_msg("%s: %s", rows[i].line, bad < 1 ? "accepted" : errors.data);
        lesson_free(&l);
        bytes_free(&text);
        bytes_free(&errors);
    }
    struct bytes errors = {0};
    struct lesson l;
    assert_int_equal(lesson_parse(&l, "x", "a\nb\n", 4, &errors), 3); /* both, and the whole */
    lesson_free(&l);
    bytes_free(&errors);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_lines),    cmocka_unit_test(test_right_answers),
        cmocka_unit_test(test_given_up),     cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test(test_out_and_back), cmocka_unit_test(test_solved_outside),
        cmocka_unit_test(test_answers),      cmocka_unit_test(test_spoken),
        cmocka_unit_test(test_any_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
