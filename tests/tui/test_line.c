/* test_line.c - the line editor: whole characters, words, history, scrolling. */
#include <locale.h>
#include <string.h>

#include "input/line.h"
#include "unit.h"

static void test_editing(void **state)
{
    (void)state;
    struct line l = {0};
    assert_string_equal(line_text(&l), "");
    assert_true(line_erase(&l, "left")); /* nothing there: nothing happens */
    line_insert(&l, "a\xc3\xa9z", 4);
    line_caret(&l, "left");
    line_caret(&l, "left");
    assert_int_equal(l.caret, 1); /* over both bytes of é */
    line_erase(&l, "right");
    assert_string_equal(line_text(&l), "az");
    line_set(&l, "edit blocks.2.attn = 0", 22);
    line_erase(&l, "word");
    assert_string_equal(line_text(&l), "edit blocks.2.attn = ");
    line_caret(&l, "word-left");
    line_erase(&l, "end");
    assert_string_equal(line_text(&l), "edit blocks.2.");
    line_erase(&l, "home");
    assert_string_equal(line_text(&l), "");
    assert_false(line_caret(&l, "nowhere"));
    assert_false(line_erase(&l, "nothing"));
    line_free(&l);
}

static void test_limit(void **state)
{
    (void)state;
    struct line l = {0};
    char piece[1000];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 100; i++)
        line_insert(&l, piece, sizeof piece);
    assert_int_equal(l.text.len, LINE_MAX_BYTES);
    line_free(&l);
}

static void test_history(void **state)
{
    (void)state;
    struct line l = {0};
    struct line_history h = {0};
    line_history_add(&h, "one");
    line_history_add(&h, "two");
    line_history_add(&h, "two"); /* once */
    line_history_add(&h, "");
    assert_int_equal(h.n, 2);
    line_set(&l, "draft", 5);
    line_history_step(&h, &l, -1);
    assert_string_equal(line_text(&l), "two");
    line_history_step(&h, &l, -1);
    line_history_step(&h, &l, -1);
    assert_string_equal(line_text(&l), "one");
    line_history_step(&h, &l, 1);
    line_history_step(&h, &l, 1);
    assert_string_equal(line_text(&l), "draft"); /* what was being typed is kept */
    for (int i = 0; i < LINE_HISTORY_MAX + 10; i++)
        line_history_add(&h, i % 2 ? "a" : "b");
    assert_int_equal(h.n, LINE_HISTORY_MAX);
    line_history_free(&h);
    line_free(&l);
}

static void test_drawing(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(10, 1);
    struct line l = {0};
    line_set(&l, "0123456789abcdef", 16);
    int caret = line_draw(&l, c, canvas_rect(c), 1, 0);
    assert_int_equal(caret, 9); /* the end is seen */
    assert_string_equal(canvas_at(c, 8, 0)->text, "f");
    canvas_clear(c);
    line_set(&l, "a\x1b[31m", 6);
    line_draw(&l, c, canvas_rect(c), 0, 0);
    for (int x = 0; x < 10; x++)
        assert_null(strchr(canvas_at(c, x, 0)->text, '\x1b'));
    line_free(&l);
    canvas_free(c);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_editing), cmocka_unit_test(test_limit),
                                       cmocka_unit_test(test_history),
                                       cmocka_unit_test(test_drawing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
