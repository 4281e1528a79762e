/* test_heads_view.c - the heads and neurons views: order, filter, wall, verbs, and what they say,
 * against the scores themselves. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"
#include "list/head_list.h"
#include "sweeps.h"

/* As the run itself scores it. */
static float score_of(int32_t at, int which)
{
    int32_t heads = d.m->cfg.n_heads;
    const struct want w = want_whole(WANT_HEADS, (struct site_ref){SITE_PATTERN, at / heads});
    const struct lens_head *h = snapshot_at(d.app->snap, FACE_BASE, &w, 0);
    assert_non_null(h);
    h += at % heads;
    const float v[] = {0, h->previous, h->duplicate, h->induction, h->first, h->self, h->entropy};
    return which == HEADS_BY_COPYING ? d.app->copying[at] : v[which];
}

static void test_order(void **state)
{
    (void)state;
    driver_keys(&d, "7");
    int32_t all = d.m->cfg.n_layers * d.m->cfg.n_heads, n;
    for (int k = 0; k <= HEADS_BY_COPYING; k++) {
        for (int turned = 0; turned < 2; turned++) {
            assert_int_equal(d.app->heads_sort, k);
            int32_t *order = heads_order(d.app, &n, NULL);
            assert_int_equal(n, all);
            for (int32_t i = 0; i + 1 < n; i++) {
                if (k == HEADS_BY_PLACE)
                    assert_int_equal(order[i], i);
                else if (turned)
                    assert_true(score_of(order[i], k) <= score_of(order[i + 1], k));
                else
                    assert_true(score_of(order[i], k) >= score_of(order[i + 1], k));
            }
            free(order);
            driver_keys(&d, "I");
        }
        if (k < HEADS_BY_COPYING)
            driver_keys(&d, "s");
    }
    assert_non_null(d.app->copying);
}

static void test_filter(void **state)
{
    (void)state;
    static const struct {
        const char *filter;
        bool bad;
        int n; /* -1: by its scores */
    } cases[] = {{"L1", false, 3},
                 {"H2", false, 3},
                 {"l1h2", false, 1},
                 {"L9", false, 0},
                 {"L1 H0", false, 1},
                 {"L1,L2", false, 0},
                 {"induction>0.3", false, -1},
                 {"ind>0.3", false, -1},
                 {"entropy<99", false, 9},
                 {"nosuch>1", true, 9},
                 {"L", true, 9},
                 {"induction>", true, 9},
                 {"induction>x", true, 9},
                 {"L1x", true, 9},
                 {"", false, 9},
                 {"induction>nan", true, 9}};
    driver_keys(&d, "7");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t n, want = 0;
        bool bad;
        snprintf(d.app->head_filter, sizeof d.app->head_filter, "%s", cases[i].filter);
        driver_settle(&d);
        int32_t *order = heads_order(d.app, &n, &bad);
        for (int32_t at = 0; at < 9; at++)
            want += score_of(at, HEADS_BY_INDUCTION) > 0.3f;
        if (n != (cases[i].n < 0 ? want : cases[i].n) || bad != cases[i].bad)
            fail_msg("%s: %d heads, %s", cases[i].filter, (int)n, bad ? "refused" : "taken");
        free(order);
    }
    driver_keys(&d, "/L2H1<Enter>");
    assert_int_equal(d.app->cur.column, 3); /* the cursor goes where something is */
    assert_int_equal(d.app->cur.head, 1);
    driver_keys(&d, "/zz");
    char *screen = driver_screen(&d);
    assert_non_null(strstr(screen, "filter \"zz\" · such as L2, H3"));
    free(screen);
    driver_keys(&d, "<Esc>");
    assert_string_equal(d.app->head_filter, "L2H1");
}

static void test_verbs(void **state)
{
    (void)state;
    driver_keys(&d, "7/L1H2<Enter>x");
    assert_string_equal(d.app->edits.text[0], "blocks.1.attn.hook_z[:, 2] = 0");
    char *screen = driver_screen(&d);
    assert_non_null(strstr(screen, "L1H2*"));
    free(screen);
    driver_keys(&d, "<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_ATTENTION);
    assert_int_equal(d.app->cur.head, 2);
    assert_int_equal(d.app->cur.column, 2);
    driver_keys(&d, "<Backspace>");
    assert_int_equal(d.app->cur.view, VIEW_HEADS);
}

/* The wall has a picture for each head, in its slot; arrows and the mouse go from one to another.
 */
static void test_wall(void **state)
{
    (void)state;
    driver_keys(&d, "7w");
    d.frame.caps = (struct frame_caps){GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false};
    assert_true(app_draw(d.app, &d.frame));
    assert_int_equal(d.frame.n_pictures, 9);
    for (int i = 0; i < 9; i++) {
        const struct picture *p = &d.frame.picture[i];
        assert_true(p->w == p->r.w * 9 && p->h == p->r.h * 18);
        for (int k = 0; k < i; k++)
            assert_true(rect_is_empty(rect_intersect(p->r, d.frame.picture[k].r)));
        struct input click = {
            .kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = p->r.x + 1, .y = p->r.y};
        app_input(d.app, &click);
        assert_int_equal(d.app->cur.column, i / 3 + 1);
        assert_int_equal(d.app->cur.head, i % 3);
    }
    driver_keys(&d, "kh");
    assert_int_equal(d.app->cur.column, 2);
    assert_int_equal(d.app->cur.head, 1);
}

static void test_neurons(void **state)
{
    (void)state;
    driver_keys(&d, "8");
    assert_int_equal(d.app->cur.view, VIEW_NEURONS);
    struct want w = want_make(WANT_NEURONS, (struct site_ref){SITE_POST, 2}, 7, 8);
    w.k = 32;
    const struct lens_neuron *list = snapshot_at(d.app->snap, FACE_BASE, &w, 7);
    assert_non_null(list);
    driver_keys(&d, "jjx");
    char text[64];
    snprintf(text, sizeof text, "blocks.2.mlp.hook_post[-1, %d] = 0", (int)list[2].neuron);
    assert_string_equal(d.app->edits.text[0], text);
    driver_keys(&d, "u<Tab>");
    w = want_whole(WANT_LAYER_NEURONS, w.site);
    w.k = 32;
    list = snapshot_at(d.app->snap, FACE_BASE, &w, 0);
    assert_non_null(list);
    int32_t neuron = list[2].neuron, row = list[2].row;
    driver_keys(&d, "<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_TENSOR);
    assert_int_equal(d.app->cur.element, neuron);
    assert_int_equal(d.app->cur.row, row);
    driver_keys(&d, "<C-o>h");
    assert_int_equal(d.app->cur.view, VIEW_NEURONS);
    assert_int_equal(d.app->cur.row, N_TOKENS - 2); /* the next position to the left */
    driver_keys(&d, "gg");                          /* g alone still goes to the top */
    assert_int_equal(d.app->neuron_at, 0);
}

/* Where all layers are on the screen their pictures fill it: what is left is less than a line for
 * each. The table leaves a column before the panel. */
static void test_room(void **state)
{
    (void)state;
    static const int sizes[][2] = {{80, 24}, {120, 40}, {200, 60}, {120, 60}, {160, 30}};
    driver_keys(&d, "7");
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        app_resize(d.app, sizes[s][0], sizes[s][1]);
        driver_settle(&d);
        free(driver_screen(&d));
        for (int y = d.app->body.y; y < d.app->body.y + d.app->body.h && d.app->w >= 100; y++)
            assert_string_equal(
                canvas_at(d.frame.canvas, d.app->body.x + d.app->body.w - 1, y)->text, " ");
        driver_keys(&d, "w");
        d.frame.caps = (struct frame_caps){GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false};
        assert_true(app_draw(d.app, &d.frame));
        assert_int_equal(d.frame.n_pictures, 9);
        struct rect last = d.frame.picture[8].r;
        int left = d.app->body.y + d.app->body.h - 1 - last.y - last.h;
        if (left > 4 && last.h < last.w) /* or it would be higher than wide */
            fail_msg("%dx%d: %d lines left below", sizes[s][0], sizes[s][1], left);
        driver_keys(&d, "w");
    }
}

/* After a sweep over heads: what it found is in the list, and is what zeroing the head does. */
static void test_swept(void **state)
{
    (void)state;
    float effect, was = INFINITY;
    int32_t n;
    driver_keys(&d, "7S");
    for (int i = 0; i < 2000 && !sweeps_settled(d.app); i++)
        driver_settle(&d);
    driver_keys(&d, "7:sort<Space>ablated<Enter>");
    assert_non_null(heads_swept(d.app));
    int32_t *order = heads_order(d.app, &n, NULL);
    assert_int_equal(n, 9);
    for (int32_t i = 0; i < n; i++) {
        assert_true(heads_value(d.app, order[i] / 3, order[i] % 3, HEADS_BY_ABLATED, &effect));
        assert_true(fabsf(effect) <= was);
        was = fabsf(effect);
    }
    assert_true(heads_value(d.app, order[0] / 3, order[0] % 3, HEADS_BY_ABLATED, &effect));
    free(order);
    driver_keys(&d, "gx"); /* the first of the list */
    const struct want w = app_pair_want(d.app);
    const float *base = snapshot_at(d.app->snap, FACE_BASE, &w, 0),
                *edited = snapshot_at(d.app->snap, FACE_EDITED, &w, 0);
    assert_true(fabsf(edited[0] - edited[1] - (base[0] - base[1]) - effect) < 1e-4f);
    assert_null(heads_swept(d.app)); /* it was of other edits */
}

/* Heads beyond the edges of the wall are announced there. */
static void test_narrow_wall(void **state)
{
    (void)state;
    struct driver narrow;
    driver_open(&narrow, "tests/fixtures/models/llama", tokens, N_TOKENS, 30, 20);
    driver_keys(&narrow, "7w");
    for (int last = 0; last < 2; last++) {
        char *screen = driver_screen(&narrow);
        assert_int_equal(strstr(screen, "›") != NULL, !last);
        assert_int_equal(strstr(screen, "‹") != NULL, last);
        free(screen);
        driver_keys(&narrow, "<End>");
    }
    app_resize(narrow.app, 60, 14); /* and layers above and below them */
    for (int last = 0; last < 2; last++) {
        driver_keys(&narrow, last ? "G" : "gg");
        char *screen = driver_screen(&narrow);
        assert_true(narrow.app->page < narrow.m->cfg.n_layers);
        assert_int_equal(strstr(screen, "↓ ") != NULL, !last);
        assert_int_equal(strstr(screen, "↑") != NULL, last);
        free(screen);
    }
    driver_close(&narrow);
}

/* A head that an edit does not reach is blank in the difference, as a picture and in the panel. */
static void test_no_difference(void **state)
{
    (void)state;
    d.frame.caps = (struct frame_caps){GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false};
    driver_keys(&d, "xb7w");
    char *screen = driver_screen(&d);
    assert_int_equal(d.app->show, SHOW_DIFFERENCE);
    assert_int_equal(d.frame.n_pictures, 0);
    assert_null(strstr(screen, "0.000"));
    assert_null(strstr(screen, "…"));
    free(screen);
    driver_keys(&d, "u1hx7");
    free(driver_screen(&d));
    assert_int_equal(d.frame.n_pictures, d.m->cfg.n_heads); /* those of the last layer */
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_driver)
    const struct CMUnitTest tests[] = {WITH(test_order),        WITH(test_filter),
                                       WITH(test_verbs),        WITH(test_wall),
                                       WITH(test_room),         WITH(test_neurons),
                                       WITH(test_swept),        cmocka_unit_test(test_narrow_wall),
                                       WITH(test_no_difference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
