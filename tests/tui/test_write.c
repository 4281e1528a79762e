/* test_write.c - the view as a file: each format, and never over something unless told so. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_read.h"
#include "base/json.h"
#include "driver_test.h"
#include "picture_in.h"
#include "run/run.h"
#include "save/font.h"
#include "save/screen_file.h"

static char folder[] = "/tmp/borescope-write-XXXXXX";

/* Written by the command, read back, unlinked. */
static char *written(const char *name, size_t *len)
{
    char path[128], command[160];
    struct err e = {0};
    char *text = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(command, sizeof command, "write %s", path);
    app_command(d.app, command);
    if (d.app->message_bad)
        fail_msg("%s", d.app->message);
    app_command(d.app, command);
    assert_true(d.app->message_bad); /* it is there already */
    assert_non_null(strstr(d.app->message, "! writes over it"));
    snprintf(command, sizeof command, "write! %s", path);
    app_command(d.app, command);
    if (d.app->message_bad)
        fail_msg("%s", d.app->message);
    assert_int_equal(file_read_all(path, 1 << 24, &text, len, &e), 0);
    unlink(path);
    return text;
}

static void holds(const char *name, const char *part)
{
    size_t len;
    char *text = written(name, &len);
    if (!memmem(text, len, part, strlen(part)))
        fail_msg("%s has no \"%s\":\n%.2000s", name, part, text);
    free(text);
}

static void test_screens(void **state)
{
    (void)state;
    holds("a.txt", "[1 grid]");
    holds("a.ansi", "\x1b[");
    holds("a.html", "<span style=\"color:#");
    holds("a.html", "&lt;38&gt;"); /* a token's text is no tag */
    holds("a.svg", "<rect x=\"");
    holds("a.SVG", "xml:space=\"preserve\"");
    app_command(d.app, "write nothing.pdf");
    assert_non_null(strstr(d.app->message, ".txt .ansi .html .svg .png .tsv .json .npz"));
    char deep[1300] = "write ";
    memset(deep + 6, '/', 1200); /* never cut to another place */
    memcpy(deep + 1206, "a.txt", 6);
    app_command(d.app, deep);
    assert_string_equal(d.app->message, "a path of 1205 bytes · 1023 at most");
    app_command(d.app, "write /nowhere/a.txt");
    assert_true(d.app->message_bad);
}

/* ---- pixels ---- */

static uint32_t pixel(const struct picture_rgb *p, int x, int y)
{
    assert_true(x >= 0 && x < p->width && y >= 0 && y < p->height);
    const uint8_t *rgb = p->rgb + 3 * (y * p->width + x);
    return (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
}

/* How dark a cell is on white: 0 blank, 1 black. */
static double ink(const struct picture_rgb *p, int column, int row, int columns)
{
    double sum = 0;
    int w = columns * SCREEN_CELL_W;
    for (int y = 0; y < SCREEN_CELL_H; y++)
        for (int x = 0; x < w; x++)
            sum += 255 - (pixel(p, column * SCREEN_CELL_W + x, row * SCREEN_CELL_H + y) & 255);
    return sum / 255 / (w * SCREEN_CELL_H);
}

static bool no_font(void)
{
    struct font *f;
    struct err e;
    int base, rc = font_open(&f, SCREEN_CELL_W, SCREEN_CELL_H, &base, &e);
    if (rc)
        printf("SKIP: %s\n", e.text);
    else
        font_close(f);
    return rc;
}

static struct picture_rgb picture_of(const struct frame *f)
{
    struct bytes png = {0};
    struct picture_rgb p;
    struct err e;
    char why[PICTURE_WHY];
    if (screen_png(f, &png, &e))
        fail_msg("%s", e.text);
    assert_int_equal(picture_read(png.data, png.len, &p, why), PICTURE_OK);
    bytes_free(&png);
    return p;
}

/* Letters, their weight, lines, wide characters, blocks, colours, a picture and a popup over it. */
static void test_pixels(void **state)
{
    (void)state;
    struct frame f = {0};
    if (no_font())
        skip();
    assert_true(frame_begin(&f, 12, 4));
    struct canvas *c = f.canvas;
    struct rect all = canvas_rect(c);
    canvas_put(c, all, 0, 0, canvas_plain(0), "MM");
    canvas_put(c, all, 1, 0, canvas_plain(CANVAS_BOLD), "M");
    canvas_put(c, all, 2, 0, canvas_plain(CANVAS_UNDERLINE), " ");
    canvas_put(c, all, 3, 0, canvas_plain(CANVAS_REVERSE), " ");
    canvas_put(c, all, 4, 0, canvas_plain(CANVAS_DIM), "M");
    canvas_put(c, all, 5, 0, canvas_plain(0), "日");
    canvas_put(c, all, 7, 0, canvas_plain(0), "││");
    canvas_put(c, all, 7, 1, canvas_plain(0), "│");
    canvas_put(c, all, 0, 1, canvas_style(0xff0000, 0x0000ff, 0), "▀▂▌█ ");
    frame_popup(&f, (struct rect){8, 2, 4, 2}, "");
    f.n_pictures = 1;
    f.picture[0].r = (struct rect){6, 2, 4, 2};
    f.picture[0].w = 4 * SCREEN_CELL_W, f.picture[0].h = 2 * SCREEN_CELL_H;
    assert_int_equal(image_new(&f.picture[0].image, 2, 1), IMAGE_OK);
    f.picture[0].image.n_colors = 2;
    f.picture[0].image.palette[0] = 0x00ff00, f.picture[0].image.palette[1] = 0x123456;
    f.picture[0].image.pixel[1] = 1;
    struct picture_rgb p = picture_of(&f);
    enum { W = SCREEN_CELL_W, H = SCREEN_CELL_H };
    assert_int_equal(p.width, 12 * W);
    assert_int_equal(p.height, 4 * H);
    assert_true(ink(&p, 0, 0, 1) > 0.08 && ink(&p, 0, 0, 1) < 0.5);
    assert_true(ink(&p, 1, 0, 1) > 1.15 * ink(&p, 0, 0, 1));
    assert_true(ink(&p, 2, 0, 1) > 0.01 && ink(&p, 2, 0, 1) < 0.1);
    assert_true(ink(&p, 3, 0, 1) == 1);
    assert_true(ink(&p, 4, 0, 1) < 0.8 * ink(&p, 0, 0, 1));
    assert_true(ink(&p, 5, 0, 2) > 0.03); /* a frame where no font has it */
    for (int y = 0; y < 2 * H; y++)       /* the line goes on from row to row */
        assert_true((pixel(&p, 7 * W + W / 2, y) & 255) < 160);
    const uint32_t red = 0xff0000, blue = 0x0000ff;
    assert_true(pixel(&p, 3, H + 1) == red && pixel(&p, 3, 2 * H - 1) == blue);
    assert_true(pixel(&p, W + 3, 2 * H - H / 8) == red && pixel(&p, W + 3, H + H / 2) == blue);
    assert_true(pixel(&p, 2 * W + 1, H + 3) == red && pixel(&p, 3 * W - 1, H + 3) == blue);
    assert_true(pixel(&p, 3 * W, H) == red && pixel(&p, 4 * W - 1, 2 * H - 1) == red);
    assert_true(pixel(&p, 4 * W + 5, H + 5) == blue);
    assert_true(pixel(&p, 6 * W, 2 * H) == 0x00ff00 && pixel(&p, 8 * W - 1, 4 * H - 1) == 0x00ff00);
    assert_true(pixel(&p, 9 * W, 2 * H) != 0x123456); /* the popup is in front */
    assert_true(pixel(&p, 11 * W + 2, H + 2) == 0xffffff);
    free(p.rgb);
    frame_free(&f);
}

/* What no font has is told by its code point: no two look alike, and nothing is left empty. */
static void test_no_glyph(void **state)
{
    (void)state;
    struct frame f = {0};
    if (no_font())
        skip();
    assert_true(frame_begin(&f, 16, 1));
    /* cuneiform and Tangut, the latter two cells wide, which few fonts have */
    static const char *const codes[] = {"\U00012000", "\U00012001", "\U00017000", "\U00017001"};
    for (int i = 0; i < 4; i++)
        canvas_put(f.canvas, canvas_rect(f.canvas), 2 * i, 0, canvas_plain(0), codes[i]);
    struct picture_rgb p = picture_of(&f);
    for (int i = 0; i < 4; i++) {
        assert_true(ink(&p, 2 * i, 0, 1) > 0.03);
        for (int k = 0; k < i; k++) {
            int differ = 0;
            for (int y = 0; y < SCREEN_CELL_H; y++)
                for (int x = 0; x < 2 * SCREEN_CELL_W; x++)
                    differ += pixel(&p, 2 * i * SCREEN_CELL_W + x, y) !=
                              pixel(&p, 2 * k * SCREEN_CELL_W + x, y);
            if (differ <= 3)
                fail_msg("%d and %d look the same", k, i);
        }
    }
    free(p.rgb);
    frame_free(&f);
}

/* A view of text, one with a picture, and a screen that is too large. */
static void test_png(void **state)
{
    (void)state;
    if (no_font())
        skip();
    for (const char *keys = "12"; *keys; keys++) {
        size_t len;
        struct picture_rgb p;
        char why[PICTURE_WHY], key[2] = {*keys};
        driver_keys(&d, key);
        char *png = written("a.png", &len);
        assert_int_equal(picture_read(png, len, &p, why), PICTURE_OK);
        assert_int_equal(p.width, 120 * SCREEN_CELL_W);
        assert_int_equal(p.height, 36 * SCREEN_CELL_H);
        assert_true(ink(&p, 1, 0, 30) > 0.05); /* the status line */
        free(p.rgb), free(png);
    }
    app_resize(d.app, 4000, 1000);
    app_command(d.app, "write a.png");
    assert_non_null(strstr(d.app->message, "too many for a .png"));
}

/* Who may read a file is not changed by writing over it. */
static void test_rights(void **state)
{
    (void)state;
    char path[128], command[160];
    struct stat st;
    snprintf(path, sizeof path, "%s/private.txt", folder);
    snprintf(command, sizeof command, "write! %s", path);
    FILE *f = fopen(path, "we");
    assert_true(f && chmod(path, 0600) == 0 && fclose(f) == 0);
    app_command(d.app, command);
    assert_false(d.app->message_bad);
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600 && st.st_size > 0);
    unlink(path);
}

/* The numbers on the screen are the numbers in the file. */
static void test_figures(void **state)
{
    (void)state;
    char row[128];
    driver_keys(&d, "khx"); /* both faces */
    const struct want w = app_pair_want(d.app);
    const float *logits = snapshot_at(d.app->snap, FACE_EDITED, &w, 0);
    assert_non_null(logits);
    size_t len;
    char *text = written("a.tsv", &len);
    static const char head[] = "hook\tposition\ttoken\tfigure\tindex\tbase\tedited\n";
    assert_memory_equal(text, head, sizeof head - 1);
    assert_non_null(strstr(text, "\nblocks.2.hook_resid_post\t7\t<5>\tentropy\t\t"));
    const char *line = strstr(text, "\tlogit\t1\t");
    assert_non_null(line);
    double base, edited;
    assert_int_equal(sscanf(line, "\tlogit\t1\t%lf\t%lf", &base, &edited), 2);
    free(text);
    text = written("a.json", &len);
    struct err e = {0};
    struct js_doc *doc = js_parse("a.json", text, len, &e);
    if (!doc)
        fail_msg("%s", e.text);
    js_close(doc);
    snprintf(row, sizeof row, "\"hook\"");
    assert_non_null(strstr(text, row));
    free(text);
    app_command(d.app, "tensor blocks.1.attn.hook_z");
    driver_settle(&d);
    text = written("a.npz", &len);
    assert_memory_equal(text, "PK\3\4", 4);
    assert_non_null(memmem(text, len, "blocks.1.attn.hook_z", 20));
    assert_non_null(memmem(text, len, ".edited", 7));
    free(text);
}

/* ---- every view in every format ---- */

static int open_own(void **state)
{
    (void)state;
    const struct app_options o = {
        .prompt = "When Mary and John went to the store, John gave a bag to",
        .other = "When Tom and Dan went to the store, Dan gave a bag to",
        .edits = (const char *const[]){"blocks.3.attn.hook_z[-1, 2] = 0"},
        .n_edits = 1,
        .bos = -1,
        .pair = {-1, -1}};
    driver_open_app(&d, "models/teach", &o, 120, 36);
    app_command(d.app, "pair Mary John");
    driver_settle(&d);
    return 0;
}

static void settle_all(const char *keys)
{
    driver_keys(&d, keys);
    for (int i = 0; i < 40; i++)
        driver_settle(&d);
}

/* What each view alone tells; "": its screen only. */
static const struct {
    const char *keys;
    enum view_id view;
    const char *rows[3], *array; /* in .tsv; in .npz, NULL: it has no arrays */
} views[] = {
    {"1",
     VIEW_GRID,
     {"blocks.2.hook_resid_post\t14\t", "\ttoken\t\t", "\tentropy\t\t"},
     "blocks.2.hook_resid_post.entropy.npy"},
    {"2",
     VIEW_ATTENTION,
     {"blocks.3.attn.hook_pattern\t", "\tvalue\t", "\tinduction\t2\t"},
     "blocks.3.attn.hook_pattern.induction.npy"},
    {"3", VIEW_LENS, {"\ttoken\t0\t", "\tlogit\t0\t", "\tnorm\t"}, "hook_resid_post.norm["},
    {"4", VIEW_HOOKS, {"\tmean\t", "\tstd\t", "\tnan\t"}, "hook_embed.mean.npy"},
    {"5", VIEW_TENSOR, {"\tvalue\t0\t", "\tvalue\t9\t", "\tkl\t"}, "hook"},
    {"6",
     VIEW_EDITS,
     {"\tedit\t1\tblocks.3.attn.hook_z[-1, 2] = 0\t", "\ton\t1\t1\t", "\tkl_without\t1\t"},
     "kl_without.npy"},
    {"7s",
     VIEW_HEADS,
     {"\tself\t3\t", "\tattributed\t3,2\t", "\twrites\t"},
     "attributed.edited.npy"},
    {"8",
     VIEW_NEURONS,
     {"\tneuron\t0\t", "\tactivation\t0\t", "\traises\t0,0\t"},
     "hook_post.activation.npy"},
    {"9:sweep z_all_pos<Enter>",
     VIEW_SWEEP,
     {"\tz_all_pos\tlayer=0 head=0\t", "\tz_all_pos\tlayer=3 head=3\t", "\tkl\t"},
     "z_all_pos.edited.npy"},
    {"0",
     VIEW_ATTRIBUTION,
     {"\tdirect_by_layer\t3_attn_out\t", "\tdirect_by_head\t3,2\t", "\tdirect_sum\tlayer\t"},
     "direct_by_pos.npy"},
    {"@", VIEW_LOG, {"\tcommand\t1\tpair Mary John\t", "\tcommand\t2\t", "\tlogit\t"}, "logit.npy"},
    {"><Space>", VIEW_GENERATE, {"\ttoken\t\t", "\tentropy\t\t", "\tbest\t0\t"}, "best.npy"},
    {"|", VIEW_PAIRS, {"\ttoken\t\t", "\tlogprob\t\t", "\ttarget_rank\t"}, "logprob.npy"},
    {"C",
     VIEW_CHECK,
     {"\tidentity\t12\tpattern . v == z\t", "\tholds\t0\tyes\t", "\tdeviation\t15\t0\t"},
     "deviation.npy"}};

static void test_every_view(void **state)
{
    (void)state;
    bool seen[VIEW_COUNT] = {false};
    static const char *const screens[] = {"a.txt", "a.ansi", "a.html", "a.svg"};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        settle_all(views[i].keys);
        assert_int_equal(d.app->cur.view, views[i].view);
        seen[views[i].view] = true;
        for (size_t k = 0; k < sizeof screens / sizeof *screens; k++) {
            size_t len;
            free(written(screens[k], &len));
            assert_true(len > 300);
        }
        for (int k = 0; k < 3; k++)
            holds("a.tsv", views[i].rows[k]);
        holds("a.npz", views[i].array);
        size_t len;
        struct err e = {0};
        char *text = written("a.json", &len);
        struct js_doc *doc = js_parse("a.json", text, len, &e);
        if (!doc)
            fail_msg("%s: %s", view_names[views[i].view], e.text);
        js_close(doc);
        free(text);
    }
    for (int v = 0; v < VIEW_COUNT; v++)
        if (!seen[v])
            fail_msg("view %s is not written here", view_names[v]);
}

/* However much there is on the screen, all of it is in the file. */
static void test_all_of_it(void **state)
{
    (void)state;
    app_resize(d.app, 200, 120);
    settle_all("4");
    size_t len, tsv;
    char *rows = written("a.tsv", &tsv), *text = written("a.npz", &len);
    int hooks = 0;
    for (const char *at = rows; (at = strstr(at, "\tmean\t")); at++) {
        char name[128];
        const char *line = at;
        while (line > rows && line[-1] != '\n')
            line--;
        snprintf(name, sizeof name, "%.*s.max.npy", (int)strcspn(line, "\t"), line);
        if (!memmem(text, len, name, strlen(name)))
            fail_msg("a.npz has no %s", name);
        hooks++;
    }
    assert_true(hooks > 60);
    free(rows), free(text);
}

/* The row of a figure in a table: its base and edited. */
static void row_of(const char *tsv, const char *figure, double value[2])
{
    const char *at = strstr(tsv, figure);
    if (!at || sscanf(at + strlen(figure), "%lf\t%lf", &value[0], &value[1]) != 2)
        fail_msg("no row %s", figure);
}

/* What a file says adds up as what it is of does. */
static void test_sums(void **state)
{
    (void)state;
    size_t len;
    settle_all("0");
    char *text = written("a.tsv", &len);
    double sum[2] = {0}, said[2];
    for (const char *at = text; (at = strstr(at, "\tdirect_by_layer\t")); at++) {
        double v[2];
        assert_int_equal(sscanf(at, "\tdirect_by_layer\t%*s\t%lf\t%lf", &v[0], &v[1]), 2);
        sum[0] += v[0], sum[1] += v[1];
    }
    row_of(text, "\tdirect_sum\tlayer\t", said);
    assert_true(fabs(sum[0] - said[0]) < 1e-3 && fabs(sum[1] - said[1]) < 1e-3);
    assert_true(fabs(sum[0]) > 1);
    free(text);
    settle_all("9:sweep z_all_pos<Enter>");
    text = written("a.tsv", &len);
    double cell[2], pair[2][2];
    row_of(text, "\tz_all_pos\tlayer=3 head=2\t", cell);
    row_of(text, "\tlogit\t0\t", pair[0]);
    row_of(text, "\tlogit\t1\t", pair[1]);
    /* the edit that is on zeroes it at the end: the sweep's base is the edited run */
    assert_true(fabs(cell[0] - (pair[0][1] - pair[1][1])) < 1e-3);
    free(text);
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_driver)
    const struct CMUnitTest tests[] = {WITH(test_screens),
                                       cmocka_unit_test(test_pixels),
                                       cmocka_unit_test(test_no_glyph),
                                       WITH(test_png),
                                       WITH(test_rights),
                                       WITH(test_figures),
                                       WITH_DRIVER(test_every_view, open_own),
                                       WITH_DRIVER(test_all_of_it, open_own),
                                       WITH_DRIVER(test_sums, open_own)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
