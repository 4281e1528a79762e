/* test_tensor.c - the tensor view: going to places, sorted rows and columns, heads as rows, names
 * of columns, sums and their histogram. */
#include "tensor.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"

static int open_own(void **state)
{
    (void)state;
    driver_open(&d, "tests/fixtures/models/gpt2", tokens, N_TOKENS, 140, 40);
    driver_command(&d, "tensor blocks.1.mlp.hook_post");
    return 0;
}

static float value_at(int32_t row, int32_t column)
{
    struct tensor_slice s = tensor_slice(d.app);
    struct tensor_values v;
    float out;
    assert_true(tensor_open(&v, d.app, &s) && !v.at.stale);
    assert_true(tensor_value(&v, row, column, &out));
    return out;
}

/* ---- going ---- */

static void test_go(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        int32_t row, element;
    } steps[] = {{"go 3", 3, 0},    {"5", 5, 0},       {"-1", 7, 0},
                 {"go #7", 7, 7},   {"#11", 7, 11},    {"#-1", 7, -1},
                 {"go <9>", 2, -1}, {"go <9>", 4, -1}, {"go \"<0>\"", 0, -1}};
    int32_t last = tensor_slice(d.app).columns - 1;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        driver_command(&d, steps[i].command);
        if (d.app->message_bad)
            fail_msg("%s: %s", steps[i].command, d.app->message);
        assert_int_equal(d.app->cur.row, steps[i].row);
        assert_int_equal(d.app->cur.element, steps[i].element < 0 ? last : steps[i].element);
    }
    static const char *const bad[] = {"go 8", "go -9", "go #9999", "go #x", "go nothing", "99"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        driver_command(&d, bad[i]);
        assert_true(d.app->message_bad && d.app->cur.row == 0 && d.app->cur.element == last);
    }
    driver_keys(&d, "<C-g>");
    assert_string_equal(line_text(&d.app->line), "go ");
    driver_keys(&d, "#4<Enter>");
    assert_int_equal(d.app->cur.element, 4);
    driver_keys(&d, "1");
    driver_command(&d, "#3"); /* no columns of that kind */
    assert_true(d.app->message_bad);
    driver_command(&d, "2");
    assert_int_equal(d.app->cur.row, 2); /* positions are everywhere */
    driver_keys(&d, "2G");
    driver_command(&d, "#1");
    assert_true(d.app->cur.map && d.app->cur.src == 1);
}

/* ---- order ---- */

/* The position that a line of the table is labelled with. */
static int32_t label(int line)
{
    char text[8] = "";
    for (int x = 1; x < 5; x++)
        text[x - 1] = canvas_at(d.frame.canvas, x, d.app->body.y + 1 + line)->text[0];
    return (int32_t)strtol(text, NULL, 10);
}

static void test_rows(void **state)
{
    (void)state;
    for (int least = 0; least < 2; least++) {
        driver_command(&d, "go 2");
        driver_command(&d, "go #6");
        driver_keys(&d, least ? "[" : "]");
        assert_true(d.app->cur.row == 2 && d.app->cur.element == 6);
        free(driver_screen(&d));
        for (int i = 0; i + 1 < N_TOKENS; i++) {
            float a = value_at(label(i), 6), b = value_at(label(i + 1), 6);
            assert_true(least ? a <= b : a >= b);
        }
    }
    int32_t first = label(0), second = label(1);
    driver_keys(&d, "g");
    assert_int_equal(d.app->cur.row, first);
    driver_keys(&d, "j"); /* to what stands below */
    assert_int_equal(d.app->cur.row, second);
    struct input click = {.kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = 4, .y = d.app->body.y + 1};
    app_input(d.app, &click);
    assert_int_equal(d.app->cur.row, first);
    driver_keys(&d, "X"); /* what stands where stays so while values change */
    free(driver_screen(&d));
    assert_true(label(0) == first && label(1) == second);
    driver_shows(&d, "rows sorted");
    driver_keys(&d, "u[");
    free(driver_screen(&d));
    for (int i = 0; i < N_TOKENS; i++) /* the same again: as they are */
        assert_int_equal(label(i), i);
    driver_lacks(&d, "sorted");
}

static void test_columns(void **state)
{
    (void)state;
    driver_command(&d, "go 4");
    driver_keys(&d, "}<Home>");
    struct tensor_slice s = tensor_slice(d.app);
    float before = INFINITY;
    for (int32_t i = 0; i < s.columns; i++) {
        float v = value_at(4, tensor_at(d.app, &s, SLICE_COLUMNS, i));
        assert_true(v <= before);
        assert_int_equal(
            tensor_place(d.app, &s, SLICE_COLUMNS, tensor_at(d.app, &s, SLICE_COLUMNS, i)), i);
        before = v;
    }
    assert_int_equal(d.app->cur.element, tensor_at(d.app, &s, SLICE_COLUMNS, 0));
    driver_keys(&d, "l");
    assert_int_equal(d.app->cur.element, tensor_at(d.app, &s, SLICE_COLUMNS, 1));
    driver_keys(&d, "K"); /* another layer's in the same order */
    assert_true(tensor_is_sorted(d.app, &s, SLICE_COLUMNS));
    driver_command(&d, "sort place");
    assert_false(tensor_is_sorted(d.app, &s, SLICE_COLUMNS));
    driver_keys(&d, "}");
    driver_command(&d, "tensor blocks.1.hook_resid_pre");
    driver_lacks(&d, "sorted");
    driver_command(&d, "sort nonsense");
    assert_true(d.app->message_bad);
    driver_command(&d, "edit blocks.1.hook_resid_pre[1, 3] = nan"); /* NaN comes last */
    driver_command(&d, "go 1");
    driver_keys(&d, "{");
    s = tensor_slice(d.app);
    assert_int_equal(tensor_at(d.app, &s, SLICE_COLUMNS, s.columns - 1), 3);
}

/* ---- axes ---- */

static void test_heads(void **state)
{
    (void)state;
    driver_keys(&d, "<Tab>"); /* no heads here: it says so, and nothing else changes */
    driver_shows(&d, "no heads");
    assert_false(tensor_slice(d.app).by_head);
    driver_keys(&d, "<Tab>");
    static const char *const hooks[] = {"tensor blocks.1.attn.hook_z",
                                        "tensor blocks.1.attn.hook_pattern"};
    for (int k = 0; k < 2; k++) {
        float by_position[16];
        driver_command(&d, hooks[k]);
        driver_command(&d, "go 5");
        int32_t heads = tensor_slice(d.app).heads;
        for (int32_t h = 0; h < heads; h++) {
            d.app->cur.head = h;
            driver_settle(&d);
            by_position[h] = value_at(5, 2);
        }
        driver_keys(&d, "<Tab>");
        for (int32_t h = 0; h < heads; h++)
            assert_true(value_at(h, 2) == by_position[h]);
        driver_shows(&d, "position 5");
        driver_command(&d, "go #2");
        driver_keys(&d, "gj");
        char noun[256];
        assert_true(app_noun_text(d.app, false, noun));
        assert_non_null(strstr(noun, k ? "hook_pattern[1, 5, 2]" : "hook_z[5, 1, 2]"));
        driver_keys(&d, "L"); /* what is left to choose */
        assert_int_equal(d.app->cur.row, 6);
        driver_shows(&d, "▶ head 1");
        driver_keys(&d, "}]"); /* of these too */
        driver_shows(&d, "rows, columns sorted");
        driver_keys(&d, "<Tab>:sort<Space>place<Enter>");
    }
    driver_shows(&d, " 2 <9> "); /* sources are tokens */
    driver_shows(&d, "7 <5>");
}

/* ---- sums ---- */

static void test_sums(void **state)
{
    (void)state;
    driver_command(&d, "edit blocks.1.mlp.hook_post[2, 1] = nan");
    driver_command(&d, "edit blocks.1.mlp.hook_post[3, 1] = inf");
    free(driver_screen(&d));
    struct tensor_slice s = tensor_slice(d.app);
    const struct tensor_sum *t = &d.app->tensor_kept->sum;
    double sum = 0, most = 0;
    int32_t n = 0, bins = 0;
    for (int32_t r = 0; r < s.rows; r++)
        for (int32_t c = 0; c < s.columns; c++) {
            float v = value_at(r, c);
            if (!isfinite(v))
                continue;
            n++, sum += (double)v;
            most = fmax(most, fabs((double)v));
        }
    for (int i = 0; i < TENSOR_BINS; i++)
        bins += t->bin[i];
    assert_true(t->n == n && t->nan == 1 && t->inf == 1 && bins == n);
    assert_true(n == s.rows * s.columns - 2);
    assert_true(fabs(t->mean - sum / n) < 1e-9);
    assert_true(fabs(fmax((double)t->max, -(double)t->min) - most) < 1e-9 &&
                (double)t->limit <= most);
    driver_shows(&d, "1 NaN, 1 infinite");
    driver_shows(&d, "largest of this row");
}

/* A few outliers do not take the colours of all others. */
static void test_limit(void **state)
{
    (void)state;
    static float v[1000];
    struct tensor_sum t;
    for (int i = 0; i < 1000; i++)
        v[i] = (float)(i % 100) / 50 - 1;
    tensor_sum(&t, v, 1000);
    assert_true(t.limit == 1);
    v[5] = 300, v[6] = -200;
    tensor_sum(&t, v, 1000);
    assert_true(t.limit > 0.9F && t.limit < 4 && t.max == 300 && t.min == -200);
    tensor_sum(&t, v, 0);
    assert_true(t.n == 0 && t.limit == 0);
    v[0] = 7;
    tensor_sum(&t, v, 1);
    assert_true(t.limit == 7 && t.mean == 7 && t.std == 0);
    driver_command(&d, "edit blocks.1.mlp.hook_post[2, 1] = 500");
    driver_shows(&d, "and beyond: c shows all of it");
    driver_keys(&d, "c");
    driver_lacks(&d, "and beyond");
    driver_shows(&d, "−500");
}

/* Below 100 columns the panel is a popup. */
static void test_narrow(void **state)
{
    (void)state;
    app_resize(d.app, 80, 24);
    driver_settle(&d);
    driver_lacks(&d, "of this slice");
    driver_keys(&d, "<Enter>");
    driver_shows(&d, "values of this slice: mean ");
    driver_shows(&d, "hook_post = act(");
    driver_keys(&d, "<Backspace>");
    driver_lacks(&d, "of this slice");
    for (int w = 1; w < 150; w += 9)
        for (int h = 1; h < 50; h += 5) {
            app_resize(d.app, w, h);
            driver_keys(&d, "<Tab>]}<Enter>"); /* nothing outside, at any size */
            free(driver_screen(&d));
        }
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_own)
    const struct CMUnitTest tests[] = {WITH(test_go),    WITH(test_rows), WITH(test_columns),
                                       WITH(test_heads), WITH(test_sums), WITH(test_limit),
                                       WITH(test_narrow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
