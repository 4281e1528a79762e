/* test_attention.c - the attention view: labels and pictures of the large map at many sizes, masks
 * and the edge under the cursor against the pattern itself. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "driver.h"
#include "unit.h"

enum { LONG = 181 };
static struct driver d;
static int32_t tokens[LONG];

static void open_with(int32_t n)
{
    for (int32_t i = 0; i < LONG; i++)
        tokens[i] = i * 7 % 40;
    driver_open(&d, "tests/fixtures/models/llama", tokens, n, 120, 36);
}

static void settle_at(int w, int h, struct frame_caps caps)
{
    app_resize(d.app, w, h);
    d.frame.caps = caps;
    driver_settle(&d);
    assert_true(app_draw(d.app, &d.frame));
}

static struct attention now(void)
{
    struct attention at;
    bool stale;
    assert_true(attention_open(&at, d.app, &stale));
    assert_false(stale);
    return at;
}

/* The position that a line is labelled with: "▶  14 " or "   14 "; -1 without one. */
static int label_at(int y)
{
    char text[8] = "";
    for (int x = 1; x < 5; x++)
        text[x - 1] = canvas_at(d.frame.canvas, x, y)->text[0];
    char *end;
    long v = strtol(text, &end, 10);
    return *end || end == text || strlen(text) < 4 ? -1 : (int)v;
}

static bool has_glyph(int y, int x0, const char *glyph)
{
    for (int x = x0; x < d.frame.canvas->w; x++)
        if (strcmp(canvas_at(d.frame.canvas, x, y)->text, glyph) == 0)
            return true;
    return false;
}

/* The picture over a cell, NULL: characters. */
static const struct picture *picture_at(int x, int y)
{
    for (int i = 0; i < d.frame.n_pictures; i++)
        if (rect_has(d.frame.picture[i].r, x, y))
            return &d.frame.picture[i];
    return NULL;
}

/* Every destination that is drawn has its label, the cursor's among them, down to the last; pixels
 * stand on the labels' rows and reach to the end of their slot. */
static void check_rows(void)
{
    struct app *a = d.app;
    int bottom = a->body.y + a->body.h, seen = 0;
    for (int y = a->rows_y; y < bottom; y++) {
        int32_t row = a->map_top + y - a->rows_y;
        if (row >= a->n)
            break;
        assert_int_equal(label_at(y), row);
        seen += row == a->cur.row;
        const struct picture *p = picture_at(a->columns_x, y);
        if (p) {
            assert_int_equal(p->image.h, p->r.h);
            assert_true(p->w >= p->image.w && p->w == p->r.w * d.frame.caps.cell_w);
            assert_true(p->h > p->r.h * d.frame.caps.cell_h - 6);
        }
    }
    assert_int_equal(seen, 1);
    if (a->cur.map && d.frame.canvas->w / a->n < 3)
        assert_true(has_glyph(a->rows_y - 1, a->columns_x, "▼"));
}

static void test_labels(void **state)
{
    (void)state;
    static const int32_t lengths[] = {8, 99, LONG};
    static const int sizes[][2] = {{80, 24}, {120, 40}, {200, 60}};
    static const struct frame_caps caps[] = {{GRAPHICS_NONE, COLOR_DEPTH_NONE, 0, 0, false},
                                             {GRAPHICS_BLOCKS, COLOR_DEPTH_TRUE, 0, 0, false},
                                             {GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false},
                                             {GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 18, 36, false},
                                             {GRAPHICS_KITTY, COLOR_DEPTH_TRUE, 10, 21, false}};
    for (size_t n = 0; n < 3; n++) {
        open_with(lengths[n]);
        driver_keys(&d, "2");
        for (int inside = 0; inside < 2; inside++) {
            for (size_t s = 0; s < 3; s++)
                for (size_t c = 0; c < sizeof caps / sizeof caps[0]; c++) {
                    settle_at(sizes[s][0], sizes[s][1], caps[c]);
                    check_rows();
                }
            driver_keys(&d, "<Enter>kkk<Home>lll");
        }
        driver_close(&d);
    }
}

/* All of it in one picture: the cursor's row and column have their labels all the same. */
static void test_whole(void **state)
{
    (void)state;
    open_with(LONG);
    driver_keys(&d, "2<Enter>z");
    static const char *const moves[] = {"G", "kk", "k", "g", "j", "jj", "<PgDn>"};
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        driver_keys(&d, moves[i]);
        settle_at(120, 40, (struct frame_caps){GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false});
        int found = 0;
        for (int y = d.app->rows_y; y < 38; y++)
            found += label_at(y) == d.app->cur.row;
        assert_int_equal(found, 1);
        assert_true(has_glyph(d.app->rows_y - 1, d.app->columns_x, "▼"));
        const struct picture *p = picture_at(d.app->columns_x, d.app->rows_y);
        assert_non_null(p);
        assert_int_equal(p->image.h, LONG);
        assert_true(p->h >= LONG);
    }
    driver_close(&d);
}

/* A click on the whole map goes to the strongest edge of the cell, at every kind of picture; one on
 * what its row cannot see, to the row. */
static void test_whole_click(void **state)
{
    (void)state;
    static const struct frame_caps caps[] = {{GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false},
                                             {GRAPHICS_BLOCKS, COLOR_DEPTH_TRUE, 0, 0, false},
                                             {GRAPHICS_NONE, COLOR_DEPTH_NONE, 0, 0, false}};
    open_with(LONG);
    driver_keys(&d, "2<Enter>z");
    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
        settle_at(120, 40, caps[i]);
        struct attention at = now();
        struct attention_row row;
        struct rect r = d.app->map_place.r;
        double dx = d.app->map_place.dx, dy = d.app->map_place.dy;
        for (int32_t dest = 3; dest < LONG; dest += 11) {
            int32_t top;
            at = now();
            assert_true(attention_row(&at, d.app->cur.head, dest, &row));
            assert_int_equal(attention_top(&at, &row, &top, 1), 1);
            float want = attention_value(&at, &row, top);
            struct input click = {.kind = INPUT_MOUSE,
                                  .act = MOUSE_PRESS,
                                  .x = r.x + (int)((top + 0.5) * dx),
                                  .y = r.y + (int)((dest + 0.5) * dy)};
            app_input(d.app, &click);
            const struct place *p = &d.app->cur;
            assert_true(abs(p->row - dest) * dy <= 1 && abs(p->src - top) * dx <= 1);
            at = now();
            assert_true(attention_row(&at, p->head, p->row, &row));
            assert_true(attention_value(&at, &row, p->src) >= want && p->map);
        }
        struct input ahead = {
            .kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = r.x + r.w - 1, .y = r.y};
        app_input(d.app, &ahead);
        assert_true((d.app->cur.row + 1) * dy <= 2);
    }
    driver_close(&d);
}

/* The cursor stands on edges: up to its own position, and on a later one where an edit shows it. */
static void test_reach(void **state)
{
    (void)state;
    open_with(8);
    driver_keys(&d, "2<Enter>gjj<End>l");
    assert_int_equal(d.app->cur.row, 2);
    assert_int_equal(d.app->cur.src, 2);
    driver_keys(&d, ":layer<Space>1<Enter>");
    app_edit_add(d.app, "blocks.1.attn.hook_pattern[0, 2, 6] = 0.75");
    driver_settle(&d);
    driver_keys(&d, ":head<Space>0<Enter><End>");
    assert_int_equal(d.app->cur.src, 6);
    driver_keys(&d, "j");
    assert_int_equal(d.app->cur.src, 3);
    driver_close(&d);
}

/* Small maps fill their slot too, at double size. */
static void test_thumbnails(void **state)
{
    (void)state;
    open_with(99);
    driver_keys(&d, "2");
    settle_at(200, 60, (struct frame_caps){GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 18, 36, false});
    for (int i = 0; i < d.m->cfg.n_heads; i++) {
        const struct picture *p = &d.frame.picture[i];
        assert_int_equal(p->w, p->r.w * 18);
        assert_int_equal(p->h, p->r.h * 36);
        assert_true(p->r.w == d.app->column_width - 1 && p->r.h >= 6);
    }
    driver_close(&d);
}

/* ---- figures ---- */

static void test_masks(void **state)
{
    (void)state;
    open_with(8);
    driver_keys(&d, "2L<Enter>k");
    float raw[8], v[8];
    int32_t row = d.app->cur.row, seen = row + 1;
    for (int m = 0; m < MASK_COUNT; m++) {
        driver_keys(&d, ":mask<Space>");
        for (const char *s = mask_names[m]; *s; s++)
            driver_keys(&d, (char[]){*s, 0});
        driver_keys(&d, "<Enter>");
        assert_int_equal(d.app->mask, m);
        struct attention at = now();
        struct attention_row r;
        assert_true(attention_row(&at, 1, row, &r));
        float sum = 0, max = 0;
        for (int32_t j = 0; j < seen; j++) {
            v[j] = attention_value(&at, &r, j);
            if (m == MASK_RAW)
                raw[j] = v[j];
            sum += v[j];
            max = v[j] > max ? v[j] : max;
        }
        for (int32_t j = 0; j < seen; j++) {
            const float *norm = attention_value_norm(&at, FACE_BASE, 1, j);
            if (m == MASK_LOG || (m == MASK_NO_FIRST && j))
                assert_true(fabsf(v[j] - raw[j]) == 0);
            else if (m == MASK_VALUE)
                assert_true(fabsf(v[j] - raw[j] * *norm) < 1e-6f);
        }
        struct scale sc = attention_scale(&at, v, (size_t)seen);
        assert_int_equal(sc.kind == SCALE_LOG, m == MASK_LOG);
        if (m == MASK_NO_FIRST || m == MASK_RENORMALISED)
            assert_true(fabsf(v[0]) == 0);
        if (m == MASK_RAW || m == MASK_RENORMALISED)
            assert_true(fabsf(sum - 1) < 1e-5f);
        if (m == MASK_ROW_MAX)
            assert_true(fabsf(max - 1) < 1e-6f);
    }
    driver_close(&d);
}

/* The score beside the weight is the one whose softmax the weight is. */
static void test_edge(void **state)
{
    (void)state;
    open_with(8);
    driver_keys(&d, "2<Enter><Home>");
    float weight[8], score[8];
    double sum = 0;
    for (int32_t j = 0; j < 8; j++) {
        struct attention at = now();
        struct attention_row r;
        assert_true(attention_row(&at, 0, 7, &r));
        weight[j] = attention_value(&at, &r, j);
        assert_true(attention_beside(&at, &score[j]));
        sum += exp((double)score[j]);
        driver_keys(&d, "l");
    }
    for (int32_t j = 0; j < 8; j++)
        assert_true(fabs(exp((double)score[j]) / sum - (double)weight[j]) < 1e-5);
    driver_keys(&d, "<Tab>"); /* the other way round: scores large, the weight beside */
    struct attention at = now();
    float beside = 0;
    assert_true(at.scores && attention_beside(&at, &beside));
    assert_true(fabsf(beside - weight[7]) == 0);
    char *screen = driver_screen(&d);
    assert_non_null(strstr(screen, "weight 0."));
    free(screen);
    driver_close(&d);
}

/* A click on a token of the text face goes to that source. */
static void test_text(void **state)
{
    (void)state;
    open_with(99);
    driver_keys(&d, "2<Enter>zz");
    settle_at(100, 30, (struct frame_caps){GRAPHICS_BLOCKS, COLOR_DEPTH_TRUE, 0, 0, false});
    int hits = 0;
    for (int y = d.app->rows_y; y < 28; y++)
        for (int x = 0; x < d.app->body.w; x++) {
            struct input click = {.kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = x, .y = y};
            d.app->cur.src = -1;
            app_input(d.app, &click);
            if (d.app->cur.src < 0)
                continue;
            size_t len;
            const char *text = model_input_text(d.m, tokens[d.app->cur.src], &len);
            hits++;
            assert_non_null(strstr(text, canvas_at(d.frame.canvas, x, y)->text));
        }
    assert_true(hits > 99);
    driver_close(&d);
}

/* The panel names the keys that are bound, or the command where none is. */
static void test_keys(void **state)
{
    (void)state;
    static const char text[] = "[all]\nz zero\nx none\nX none\n<F9> enter\n<Enter> none\n";
    struct bytes warnings = {0};
    open_with(8);
    driver_keys(&d, "2");
    assert_int_equal(keymap_parse(d.app->opt.keymap, "own", text, sizeof text - 1, &warnings), 0);
    char *screen = driver_screen(&d);
    assert_non_null(strstr(screen, "z zeroes this head here, :zero-all everywhere"));
    assert_non_null(strstr(screen, "F9 goes to its edges"));
    free(screen);
    driver_command(&d, "view hooks");
    screen = driver_screen(&d);
    assert_non_null(strstr(screen, "F9 opens the tensor   z zeroes"));
    free(screen);
    bytes_free(&warnings);
    driver_close(&d);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),     cmocka_unit_test(test_whole),
        cmocka_unit_test(test_thumbnails), cmocka_unit_test(test_whole_click),
        cmocka_unit_test(test_reach),      cmocka_unit_test(test_masks),
        cmocka_unit_test(test_edge),       cmocka_unit_test(test_text),
        cmocka_unit_test(test_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
