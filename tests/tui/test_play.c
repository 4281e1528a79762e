/* test_play.c - what keys do: golden screens through the script player, and what must follow from
 * each verb.
 *
 * Screens: tests/tui/screens/NAME.play is run on a fixture in 100 columns and compared with
 * NAME.txt.  With BORE_UPDATE_SCREENS=1 the .txt files are written instead. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_read.h"
#include "detail.h"
#include "driver_test.h"
#include "save/image_file.h"
#include "../backend.h"
#include "run/run.h"

#define SCREENS "tests/tui/screens/"

/* ---- golden screens ---- */

static char *read_all(const char *path, size_t *len)
{
    struct err e = {0};
    char *text = NULL;
    return file_read_all(path, 1 << 24, &text, len, &e) ? NULL : text;
}

/* An image for models that take one. */
static struct image_input *image_for(const struct model *m)
{
    struct image_input *im = NULL;
    struct err e = {0};
    if (m->cfg.patch_size && image_file_open(m, "tests/fixtures/images/rgb.png", &im, &e))
        fail_msg("%s", e.text);
    return im;
}

static void check_screens(const char *name, const char *model, int w, int h)
{
    char path[256], *shown = NULL;
    size_t script_len, want_len, shown_len;
    snprintf(path, sizeof path, SCREENS "%s.play", name);
    char *script = read_all(path, &script_len);
    assert_non_null(script);
    struct err e = {0};
    char why[256];
    struct model *m = NULL;
    struct kn_options ko = {.backend = test_backend(), .threads = 1, .cpu = KN_CPU_PORTABLE};
    struct kn_backend *be = kn_open(&ko, why, sizeof why);
    assert_non_null(be);
    assert_int_equal(model_open(&m, model, be, &e), 0);
    struct image_input *im = image_for(m);
    struct explorer_options o = {
        .app =
            {.model = m, .image = im, .tokens = tokens, .n = N_TOKENS, .bos = 0, .pair = {-1, -1}},
        .cache_bytes = 64 << 20};
    FILE *out = open_memstream(&shown, &shown_len);
    if (play_main(&o, script, script_len, name, w, h, out, &e) < 0)
        fail_msg("%s", e.text);
    fclose(out);
    image_drop(im);
    model_close(m);
    kn_close(be);
    snprintf(path, sizeof path, SCREENS "%s.txt", name);
    if (getenv("BORE_UPDATE_SCREENS")) {
        FILE *f = fopen(path, "we");
        assert_non_null(f);
        fwrite(shown, 1, shown_len, f);
        fclose(f);
    }
    char *want = read_all(path, &want_len);
    assert_non_null(want);
    for (size_t i = 0, line = 1; i < shown_len || i < want_len; i++) {
        if (i >= shown_len || i >= want_len || shown[i] != want[i])
            fail_msg("%s.txt:%zu differs; it is now:\n%s", name, line, shown);
        line += want[i] == '\n';
    }
    free(script);
    free(want);
    free(shown);
}

static void test_screens_gpt2(void **state)
{
    (void)state;
    check_screens("gpt2", "tests/fixtures/models/gpt2", 120, 30);
    check_screens("attribution", "tests/fixtures/models/gpt2", 80, 24);
}

static void test_screens_beside(void **state)
{
    (void)state;
    check_screens("beside", "tests/fixtures/models/gpt2", 80, 24);
}

static void test_screens_views(void **state)
{
    (void)state; /* three sizes */
    check_screens("views", "tests/fixtures/models/gpt2", 80, 24);
}

static void test_screens_sweep(void **state)
{
    (void)state; /* three sizes */
    check_screens("sweep", "tests/fixtures/models/gpt2", 80, 24);
}

static void test_screens_llama(void **state)
{
    (void)state;
    check_screens("llama", "tests/fixtures/models/llama", 80, 24);
}

static void test_screens_mixtral(void **state)
{
    (void)state;
    check_screens("mixtral", "tests/fixtures/models/mixtral", 112, 24);
}

static void test_screens_neox(void **state)
{
    (void)state;
    /* parallel: no hook_resid_mid */
    check_screens("gpt_neox", "tests/fixtures/models/gpt_neox", 110, 26);
}

static void test_screens_vit(void **state)
{
    (void)state;
    check_screens("vit", "tests/fixtures/models/vit", 120, 36);
}

/* ---- what keys do ---- */

static void last_edit_is(const char *text)
{
    assert_true(d.app->edits.n > 0);
    assert_string_equal(d.app->edits.text[d.app->edits.n - 1], text);
    assert_true(d.app->snap && d.app->snap->edited && d.app->snap->err.code == 0);
}

static void test_nouns(void **state)
{
    (void)state;
    driver_keys(&d, "x");
    last_edit_is("blocks.2.hook_resid_post[-1] = 0");
    driver_keys(&d, "khX");
    last_edit_is("blocks.1.hook_resid_post = 0");
    driver_keys(&d, ":quantity<Space>attn<Enter>x");
    last_edit_is("blocks.1.hook_attn_out[6] = 0");
    driver_keys(&d, "<Tab>s");
    last_edit_is("blocks.1.hook_mlp_out[6] *= 0.5");
    driver_keys(&d, "2GlX");
    last_edit_is("blocks.1.attn.hook_z[:, 1] = 0");
    driver_keys(&d, "x");
    last_edit_is("blocks.1.attn.hook_z[-1, 1] = 0");
    driver_keys(&d, "<Enter>:head<Space>2<Enter><Home>lx");
    last_edit_is("blocks.1.attn.hook_pattern[2, -1, 1] = 0");
    driver_keys(&d, "4/attn.hook_z<Enter>x");
    last_edit_is("blocks.0.attn.hook_z[-1] = 0");
    driver_keys(&d, "<Enter>lx");
    last_edit_is("blocks.0.attn.hook_z[-1, 2, 1] = 0");
    driver_keys(&d, "1M");
    last_edit_is("blocks.1.hook_mlp_out[-1] = mean()");
    driver_keys(&d, "kf");
    last_edit_is("blocks.1.hook_mlp_out[6] = from(base)");
}

static void test_again_and_nudge(void **state)
{
    (void)state;
    driver_keys(&d, ".");
    assert_int_equal(d.app->edits.n, 0);
    driver_keys(&d, "sk.");
    last_edit_is("blocks.2.hook_resid_post[6] *= 0.5");
    driver_keys(&d, "++-");
    last_edit_is("blocks.2.hook_resid_post[6] *= 0.6");
    assert_int_equal(d.app->edits.n, 2);
    driver_keys(&d, "j:edit<Space>blocks.0.hook_mlp_out<Space>=<Space>0<Enter>");
    last_edit_is("blocks.0.hook_mlp_out = 0");
    driver_keys(&d, ":edit<Space>blocks.9.hook_mlp_out<Space>=<Space>0<Enter>");
    assert_int_equal(d.app->edits.n, 3); /* refused in one line, nothing lost */
    assert_true(d.app->message_bad);
}

/* What the status line says. */
static double pair_of(enum face face)
{
    const struct want w = app_pair_want(d.app);
    const float *logits = snapshot_at(d.app->snap, face, &w, 0);
    assert_non_null(logits);
    return (double)logits[0] - (double)logits[1];
}

static double kl_now(void)
{
    const struct want w = app_kl_want(d.app);
    const double *kl = snapshot_at(d.app->snap, d.app->snap->edited ? FACE_EDITED : FACE_BASE, &w,
                                   0);
    assert_non_null(kl);
    return *kl;
}

/* Zero where the model cannot see it: the difference is blank before the row and below the layer.
 */
static void test_cone(void **state)
{
    (void)state;
    driver_keys(&d, "gjjjhx"); /* row 3, column of layer 1 */
    last_edit_is("blocks.1.hook_resid_post[3] = 0");
    const struct snapshot *s = d.app->snap;
    for (int32_t c = 0; c <= d.m->cfg.n_layers; c++)
        for (int32_t r = 0; r < N_TOKENS; r++) {
            struct want w = detail_cell(d.app, c, r, r + 1);
            const struct want_cell *base = snapshot_at(s, FACE_BASE, &w, r),
                                   *edited = snapshot_at(s, FACE_EDITED, &w, r);
            bool differs = memcmp(base, edited, sizeof *base) != 0;
            if (c < 2 || r < 3)
                assert_false(differs);
            if (c == 2 && r == 3)
                assert_true(differs);
        }
    driver_keys(&d, "b");
    driver_shows(&d, "b:difference");
}

static void test_undo(void **state)
{
    (void)state;
    double before = pair_of(FACE_BASE);
    driver_keys(&d, "X");
    assert_true(d.app->snap->edited && pair_of(FACE_EDITED) != before);
    driver_shows(&d, "1 edit");
    driver_keys(&d, "u");
    assert_false(d.app->snap->edited);
    assert_true(pair_of(FACE_BASE) == before);
    driver_keys(&d, "<C-r>");
    assert_true(d.app->snap->edited);
    driver_keys(&d, "o");
    assert_false(d.app->snap->edited);
    driver_keys(&d, "O");
    assert_true(d.app->snap->edited);
    driver_keys(&d, "6d");
    assert_int_equal(d.app->edits.n, 0);
    driver_keys(&d, "u");
    assert_int_equal(d.app->edits.n, 1);
    driver_keys(&d, "e<C-w><Backspace><C-w>0.25<Enter>");
    assert_int_equal(d.app->edits.n, 1); /* changed in its place, or refused; never a second one */
}

static void test_same_again(void **state)
{
    (void)state;
    driver_keys(&d, "xx");
    assert_int_equal(d.app->edits.n, 1);
    driver_keys(&d, "ox");
    assert_int_equal(d.app->edits.n, 1);
    assert_true(d.app->edits.on[0]); /* pressed again on one that is off: on */
}

static void test_pair_and_target(void **state)
{
    (void)state;
    struct want w = want_make(WANT_BEST, run_lens_site(d.m, d.m->cfg.n_layers), N_TOKENS - 1,
                              N_TOKENS);
    w.k = snapshot_want(d.app->snap, WANT_BEST, SITE_COUNT)->k; /* the side panel's */
    const struct want_best *best = snapshot_at(d.app->snap, FACE_BASE, &w, N_TOKENS - 1);
    assert_int_equal(d.app->pair[0], best[0].id); /* the two likeliest at the end */
    assert_int_equal(d.app->pair[1], best[1].id);
    double pair = (double)best[0].logit - (double)best[1].logit;
    assert_true(fabs(pair_of(FACE_BASE) - pair) < 1e-5);
    int32_t first = d.app->pair[0];
    driver_keys(&d, "t\"<lt>7>\"<Space>\"<lt>9>\"<Enter>");
    assert_int_equal(d.app->message_bad,
                     1); /* this model has no tokenizer: nothing is found, nothing changes */
    assert_int_equal(d.app->pair[0], first);
}

static void test_select(void **state)
{
    (void)state;
    driver_keys(&d, "vkkhx");
    last_edit_is("blocks.{1..2}.hook_resid_post[5:8] = 0");
    assert_false(d.app->selecting);
    driver_keys(&d, "vx"); /* a rectangle of one cell is that cell */
    last_edit_is("blocks.1.hook_resid_post[5] = 0");
    driver_keys(&d, "vjx");
    last_edit_is("blocks.1.hook_resid_post[5:7] = 0");
}

static void test_views_and_jumps(void **state)
{
    (void)state;
    driver_keys(&d, "<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_LENS);
    driver_keys(&d, "<Backspace>");
    assert_int_equal(d.app->cur.view, VIEW_GRID);
    driver_keys(&d, "25");
    assert_int_equal(d.app->cur.view, VIEW_TENSOR);
    driver_keys(&d, "<C-o><C-o>");
    assert_int_equal(d.app->cur.view, VIEW_GRID);
    driver_keys(&d, "<C-i>");
    assert_int_equal(d.app->cur.view, VIEW_ATTENTION);
    driver_keys(&d, "<M-o>");
    assert_int_equal(d.app->cur.view, VIEW_TENSOR);
    driver_keys(&d, "z");
    driver_shows(&d, "z means nothing in tensor");
    assert_int_equal(driver_keys(&d, "<C-l>"), REACT_REPAINT);
    assert_int_equal(driver_keys(&d, "<C-z>"), REACT_SUSPEND);
    assert_int_equal(driver_keys(&d, "y"), REACT_COPY);
    assert_non_null(strstr(d.app->copied.data, "blocks.2.hook_resid_post[-1, 0]"));
    assert_int_equal(driver_keys(&d, "q"), REACT_QUIT);
}

static void test_help_runs(void **state)
{
    (void)state;
    driver_keys(&d, "?");
    driver_shows(&d, "type to search");
    driver_keys(&d, "view<Space>hooks<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_HOOKS);
    driver_keys(&d, "?zzzz");
    driver_shows(&d, "no command has that");
    driver_keys(&d, "<Esc>");
    assert_int_equal(d.app->mode, LINE_NONE);
}

static void test_completion(void **state)
{
    (void)state;
    driver_keys(&d, ":und<Tab>");
    assert_string_equal(line_text(&d.app->line), "undo");
    driver_keys(&d, "<C-u>tensor<Space>blocks.1.attn.hook_z<Tab>");
    assert_string_equal(line_text(&d.app->line), "tensor blocks.1.attn.hook_z");
    driver_keys(&d, "<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_TENSOR);
    assert_int_equal(d.app->cur.site.id, SITE_Z);
    driver_keys(&d, ":view<Space><Tab><Tab>");
    assert_string_equal(line_text(&d.app->line), "view attention");
    driver_keys(&d, "<S-Tab>");
    assert_string_equal(line_text(&d.app->line), "view grid");
    driver_keys(&d, "<Esc>:nosuch<Enter>");
    driver_shows(&d, "no command \"nosuch\" · Tab shows");
    driver_keys(&d, ":<Up>");
    assert_string_equal(line_text(&d.app->line), "nosuch"); /* history */
    driver_keys(&d, "<C-u>edti<Space>1<Enter>");
    driver_shows(&d, "no command \"edti\" · nearest: edit · Tab shows");
}

static void test_names_of_other_libraries(void **state)
{
    (void)state;
    driver_keys(&d, ":tensor<Space>model.transformer.h[1].mlp.act.output<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_TENSOR);
    assert_int_equal(d.app->cur.site.id, SITE_POST);
    assert_int_equal(d.app->cur.site.layer, 1);
    driver_keys(&d, ":tensor<Space>transformer.h.1.mlp.act.outpt<Enter>");
    driver_shows(&d, "the nearest is transformer.h.1.mlp.act.output");
    driver_keys(
        &d,
        "<Esc>:edit<Space>transformer.h.1.attn.c_proj.input[-1,<Space>3]<Space>=<Space>0<Enter>");
    last_edit_is("transformer.h.1.attn.c_proj.input[-1, 3] = 0");
}

static void test_weights(void **state)
{
    (void)state;
    driver_keys(&d, ":edit<Space>blocks.1.mlp.W_<Tab>");
    assert_string_equal(line_text(&d.app->line), "edit blocks.1.mlp.W_in");
    driver_keys(&d, "[:,<Space>3:9]<Space>*=<Space>0<Enter>");
    last_edit_is("blocks.1.mlp.W_in[:, 3:9] *= 0");
    assert_true(d.app->snap->edited && kl_now() > 0);
    double kl = kl_now();
    driver_keys(&d, "o");
    assert_false(d.app->snap->edited);
    driver_keys(&d, "o");
    assert_true(fabs(kl_now() - kl) == 0.0);
    driver_keys(&d, "6");
    driver_shows(&d, "blocks.1.mlp.W_in[:, 3:9] *= 0");
    driver_keys(&d, "u<C-r>u");
    driver_keys(&d, ":edit<Space>blocks.1.mlp.W_inn<Space>=<Space>0<Enter>");
    driver_shows(&d, "the nearest is blocks.1.mlp.W_in");
}

static void test_mouse_and_paste(void **state)
{
    (void)state;
    struct input click = {.kind = INPUT_MOUSE,
                          .act = MOUSE_PRESS,
                          .x = d.app->columns_x + d.app->column_width,
                          .y = d.app->rows_y + 2};
    app_input(d.app, &click);
    assert_int_equal(d.app->cur.row, 2);
    assert_int_equal(d.app->cur.column, 1);
    struct input wheel = {.kind = INPUT_MOUSE, .act = MOUSE_WHEEL_DOWN};
    app_input(d.app, &wheel);
    assert_int_equal(d.app->cur.row, 5);
    struct input tab = {.kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = 12, .y = 1};
    app_input(d.app, &tab);
    assert_int_equal(d.app->cur.view, VIEW_ATTENTION);
    struct input paste = {.kind = INPUT_PASTE, .text = "view\r\ngrid\x1b[31m", .len = 16};
    app_input(d.app, &paste);
    assert_int_equal(d.app->mode, LINE_NONE); /* no keys from a paste */
    driver_keys(&d, ":");
    app_input(d.app, &paste);
    for (const char *s = line_text(&d.app->line); *s; s++)
        assert_true((unsigned char)*s >= 0x20);
}

static void test_export(void **state)
{
    (void)state;
    char path[] = "/tmp/borescope-test-XXXXXX", command[128];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    app_edit_add(d.app, "blocks.0.attn.hook_z[-1, 1] = 0");
    app_edit_add(d.app, "blocks.1.hook_mlp_out = 0");
    app_command(d.app, "toggle 2");
    app_command(d.app, "tensor blocks.1.hook_resid_post");
    driver_settle(&d);
    snprintf(command, sizeof command, "export transformer_lens %s", path);
    app_command(d.app, command);
    if (d.app->message_bad)
        fail_msg("%s", d.app->message);
    size_t len;
    char *text = read_all(path, &len);
    assert_non_null(strstr(text, "x[:, -1, 1] = 0"));
    assert_null(strstr(text, "hook_mlp_out")); /* it is off */
    assert_non_null(strstr(text, "\"blocks.1.hook_resid_post\""));
    free(text);
    app_command(d.app, command);
    assert_true(d.app->message_bad); /* never over something */
    unlink(path);
    app_command(d.app, "export pyvene x.py");
    assert_non_null(strstr(d.app->message, "transformer_lens or nnsight"));
    app_command(d.app, "export nnsight");
    assert_non_null(strstr(d.app->message, "FILE.py"));
}

/* A pattern that is larger than what a view asks for at once: rows around the cursor. */
static void test_long_prompt(void **state)
{
    (void)state;
    enum { LONG = 1300 };
    static int32_t many[LONG];
    struct driver here = d; /* this test has one of its own */
    for (int32_t i = 0; i < LONG; i++)
        many[i] = i * 7 % 40;
    driver_open(&d, "tests/fixtures/models/llama", many, LONG, 120, 36);
    static const char *const keys[] = {"2", "g", "<PgDn><PgDn>L<Enter>"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        driver_keys(&d, keys[i]);
        const struct want *w = snapshot_want(d.app->snap, WANT_VALUES, SITE_PATTERN);
        assert_true(w->row1 - w->row0 < LONG && w->row0 <= d.app->cur.row &&
                    d.app->cur.row < w->row1);
        assert_true((size_t)(w->row1 - w->row0) * want_bytes(&d.m->cfg, w, LONG) <= 1 << 25);
        driver_shows(&d, "top sources");
        char *screen = driver_screen(&d), here_is[32];
        snprintf(here_is, sizeof here_is, "▶%4d", (int)d.app->cur.row);
        assert_non_null(strstr(screen, here_is));
        assert_null(strstr(screen, "…\n"));
        free(screen);
    }
    driver_close(&d);
    d = here;
}

static void test_sizes(void **state)
{
    (void)state;
    static const char views[] = "123456";
    for (int w = 1; w < 140; w += 13)
        for (int h = 1; h < 45; h += 4)
            for (const char *v = views; *v; v++) {
                char keys[2] = {*v, 0};
                app_resize(d.app, w, h);
                driver_keys(&d, keys);
                free(driver_screen(&d));
                assert_int_equal(d.frame.canvas->w, w);
            }
    driver_keys(&d, "1");
    app_resize(d.app, 40, 8); /* small: the grid and the message line */
    driver_settle(&d);
    char *screen = driver_screen(&d);
    assert_null(strstr(screen, "borescope"));
    assert_non_null(strstr(screen, "token"));
    free(screen);
}

/* A checkpoint without a head: norms in the panel, nothing that waits for logits. */
static void test_without_a_head(void **state)
{
    (void)state;
    char folder[] = "/tmp/borescope-test-XXXXXX", config[64], weights[64], *target;
    assert_non_null(mkdtemp(folder));
    snprintf(config, sizeof config, "%s/config.json", folder);
    snprintf(weights, sizeof weights, "%s/model.safetensors", folder);
    target = realpath("tests/fixtures/models/bert/model.safetensors", NULL);
    assert_non_null(target);
    assert_int_equal(symlink(target, weights), 0);
    FILE *f = fopen(config, "we");
    assert_non_null(f);
    fputs("{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"hidden_size\":21,"
          "\"num_attention_heads\":3,\"num_hidden_layers\":2,\"intermediate_size\":34,"
          "\"vocab_size\":49,\"max_position_embeddings\":24,\"type_vocab_size\":2}",
          f);
    fclose(f);
    struct driver one;
    driver_open(&one, folder, tokens, N_TOKENS, 110, 20);
    for (int view = 0; view < 2; view++) {
        char *screen = driver_screen(&one);
        assert_non_null(strstr(screen, view ? "no lens · this checkpoint has no head" : "+attn"));
        assert_null(strstr(screen, "…"));
        assert_null(strstr(screen, "  KL ")); /* a folder may be called KL */
        free(screen);
        driver_keys(&one, "3");
    }
    driver_close(&one);
    unlink(config), unlink(weights), rmdir(folder);
    free(target);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_driver)
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_screens_gpt2),
                                       cmocka_unit_test(test_screens_llama),
                                       cmocka_unit_test(test_screens_views),
                                       cmocka_unit_test(test_screens_beside),
                                       cmocka_unit_test(test_screens_sweep),
                                       cmocka_unit_test(test_screens_mixtral),
                                       cmocka_unit_test(test_screens_neox),
                                       cmocka_unit_test(test_screens_vit),
                                       cmocka_unit_test(test_without_a_head),
                                       WITH(test_nouns),
                                       WITH(test_again_and_nudge),
                                       WITH(test_cone),
                                       WITH(test_undo),
                                       WITH(test_same_again),
                                       WITH(test_pair_and_target),
                                       WITH(test_select),
                                       WITH(test_views_and_jumps),
                                       WITH(test_help_runs),
                                       WITH(test_completion),
                                       WITH(test_names_of_other_libraries),
                                       WITH(test_weights),
                                       WITH(test_mouse_and_paste),
                                       WITH(test_export),
                                       WITH(test_long_prompt),
                                       WITH(test_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
