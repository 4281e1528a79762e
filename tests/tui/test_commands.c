/* test_commands.c - typing, patching, help and refusals in the explorer, on the built-in model. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"
#include "list/hook_rank.h"

#define PROMPT "When Mary and John went to the store, John gave a bag to"
#define LONGER "When Mary and Anna and John went to the store, John gave a bag to"

static int open_prompt(const char *prompt, const char *other)
{
    const struct app_options o = {.prompt = prompt, .bos = -1, .pair = {-1, -1}, .other = other};
    driver_open_app(&d, "models/teach", &o, 120, 40);
    return 0;
}

static int open_own(void **state)
{
    (void)state;
    return open_prompt(PROMPT, NULL);
}

static int open_longer(void **state)
{
    (void)state;
    return open_prompt(PROMPT, LONGER);
}

static int open_bare(void **state)
{
    (void)state;
    return open_prompt(NULL, NULL);
}

static bool is_shown(const char *text)
{
    char *screen = driver_screen(&d);
    bool found = strstr(screen, text) != NULL;
    free(screen);
    return found;
}

static void paste(const char *text)
{
    app_input(d.app, &(struct input){.kind = INPUT_PASTE, .text = text, .len = strlen(text)});
    driver_settle(&d);
}

static const char *edit_text(int i)
{
    assert_true(i < d.app->edits.n);
    return d.app->edits.text[i];
}

/* ---- patching ---- */

static void test_patch_by_token(void **state)
{
    (void)state;
    driver_shows(&d, "other prompt, 17 tokens, by token: 14 \" to\" from 16 \" to\"");
    driver_keys(&d, "P");
    assert_string_equal(edit_text(0), "blocks.3.hook_resid_post[-1] = from(other, pos=-1)");
    driver_shows(&d, "edit 1: 14 \" to\" from 16 \" to\" · by token");
    driver_keys(&d,
                "gjjj"); /* before what was put in: the same place, though not the same length */
    driver_keys(&d, ".");
    assert_string_equal(edit_text(1), "blocks.3.hook_resid_post[3] = from(other, pos=3)");
    driver_keys(&d, "jP");
    assert_string_equal(edit_text(2), "blocks.3.hook_resid_post[4] = from(other, pos=6)");
    driver_keys(&d, "vjP");
    assert_string_equal(edit_text(3), "blocks.3.hook_resid_post[4] = from(other, pos=6)");
    assert_string_equal(edit_text(4), "blocks.3.hook_resid_post[5] = from(other, pos=7)");
    assert_int_equal(d.app->snap->err.code, 0);
    driver_keys(&d, "A"); /* from the end */
    driver_shows(&d, "15 of 15 positions pair with its 17 by end");
    driver_shows(&d, "5 \" went\" from 7 \" went\"");
    driver_keys(&d, "A");
    driver_shows(&d, "5 \" went\" from 5 \" and\"");
    driver_keys(&d, ":align<Space>token<Enter>");
    assert_int_equal(d.app->align, TOKEN_ALIGN_TOKEN);
}

static void test_patch_without_partner(void **state)
{
    (void)state;
    driver_keys(&d, ":prompt<Space>"
                    "When<Space>Mary<Space>and<Space>Anna<Space>and<Space>John"
                    "<Space>and<Space>Tom<Space>went<Space>to<Space>the<Space>store,<Space>John"
                    "<Space>gave<Space>a<Space>bag<Space>to<Enter>");
    driver_keys(&d, "gjjjjjjj"); /* " and" before " Tom" */
    driver_keys(&d, "P");
    assert_int_equal(d.app->edits.n, 0);
    assert_true(d.app->message_bad);
    driver_shows(&d, "has no partner · :align end or :align index");
}

static void test_first_patch_says_what_comes(void **state)
{
    (void)state;
    driver_keys(&d, "P");
    assert_int_equal(d.app->mode, LINE_OTHER);
    driver_shows(&d, "the next P copies blocks.3.hook_resid_post[-1]");
    driver_keys(&d, "<C-u>");
    paste(LONGER);
    driver_keys(&d, "<Enter>");
    driver_shows(&d, "15 of 15 positions pair with its 17 by token · P copies");
    app_command(d.app, "edit blocks.1.hook_mlp_out[-1] = from(other)");
    driver_settle(&d);
    driver_shows(&d, "the other prompt has 17 tokens, this one 15 · paired by token");
}

/* A typed edit reads the positions that pair; those that pair in another way are read at once, and
 * where nothing says which it is out of force until something does. */
static void test_typed_edits_follow_the_pairs(void **state)
{
    (void)state;
    double kl[3];
    static const char *const how[] = {"token", "end", "index"};
    app_set_other(d.app, LONGER);
    app_command(d.app, "edit blocks.1.hook_resid_pre = from(other)");
    for (int i = 0; i < 3; i++) {
        char text[32];
        snprintf(text, sizeof text, "align %s", how[i]);
        app_command(d.app, text);
        driver_settle(&d);
        const struct want w = app_kl_want(d.app);
        const double *v = snapshot_at(d.app->snap, FACE_EDITED, &w, 0);
        kl[i] = v ? *v : -1;
    }
    assert_true(kl[0] > 0 && kl[1] > 0 && kl[0] != kl[1]);
    assert_true(kl[2] == -1);
    assert_true(!d.app->edits.in_force[0] && d.app->edits.on[0]);
    driver_shows(&d, "edit 1 is out of force: run other has 17 tokens, the prompt 15");
    app_command(d.app, "align token");
    driver_settle(&d);
    const struct want w = app_kl_want(d.app);
    assert_true(*(const double *)snapshot_at(d.app->snap, FACE_EDITED, &w, 0) == kl[0]);
}

/* ---- edits that do not fit ---- */

static void test_failing_edit(void **state)
{
    (void)state;
    app_edit_add(d.app, "blocks.3.attn.hook_z[pos=\"John\"#2, head=2] = 0");
    app_edit_add(d.app, "blocks.1.hook_mlp_out = 0");
    driver_settle(&d);
    assert_int_equal(edit_list_count_in_force(&d.app->edits), 2);
    driver_keys(&d, ":prompt<Space>When<Space>Mary<Space>left<Enter>");
    assert_int_equal(edit_list_count_in_force(&d.app->edits), 1);
    assert_true(d.app->edits.on[0] && d.app->edits.why[0]);
    assert_true(d.app->snap->edited && d.app->snap->err.code == 0);
    assert_int_equal(d.app->snap->n, 4); /* the rest goes on, of this prompt */
    driver_shows(&d, "1 edit ");
    driver_keys(&d, "6");
    driver_shows(&d, "1  !   blocks.3.attn.hook_z[pos=\"John\"#2, head=2] = 0   ! ");
    driver_keys(&d, ":prompt<Space>John<Space>and<Space>John<Enter>");
    assert_int_equal(edit_list_count_in_force(&d.app->edits), 2); /* it fits again */
}

/* ---- typing ---- */

static void test_paste_is_kept(void **state)
{
    (void)state;
    driver_keys(&d, "p<C-u>");
    paste("One\r");
    paste("\ntwo\r\rthree\tfour");
    assert_string_equal(line_text(&d.app->line), "One\ntwo\n\nthree\tfour");
    driver_shows(&d, "One↵two↵↵three⇥four");
    driver_keys(&d, "<M-Enter>x<Enter>");
    assert_string_equal(d.app->prompt, "One\ntwo\n\nthree\tfour\nx");
    struct err e = {0};
    int32_t *ids = NULL, n = 0;
    assert_int_equal(model_tokens(d.m, d.app->prompt, strlen(d.app->prompt), -1, &ids, &n, &e), 0);
    assert_int_equal(n, d.app->n);
    assert_memory_equal(ids, d.app->tokens, (size_t)n * sizeof *ids);
    free(ids);
    driver_keys(&d, ":");
    paste("view\nhooks");
    assert_string_equal(line_text(&d.app->line), "view hooks");
}

static void test_errors_keep_the_line(void **state)
{
    (void)state;
    driver_keys(&d, ":edit<Space>blocks.9.hook_mlp_out<Space>=<Space>0<Enter>");
    assert_int_equal(d.app->mode, LINE_COMMAND); /* the worker refused it */
    assert_string_equal(line_text(&d.app->line), "edit blocks.9.hook_mlp_out = 0");
    assert_true(d.app->message_bad);
    driver_shows(&d, "this model has layers 0..3");
    driver_keys(&d, "<Esc>:edit<Space>nonsense<Enter>");
    assert_string_equal(line_text(&d.app->line), "edit nonsense");
    driver_keys(&d, "x"); /* typed, not run */
    assert_string_equal(line_text(&d.app->line), "edit nonsensex");
    assert_int_equal(d.app->edits.n, 0);
    driver_keys(&d, "<C-u>view<Space>grip<Enter>");
    assert_string_equal(line_text(&d.app->line), "view grip");
    driver_keys(&d, "<Esc>t\"qqqq\"<Space>Mary<Enter>");
    assert_int_equal(d.app->mode, LINE_PAIR);
    assert_true(d.app->message_bad);
    driver_keys(&d, "<Esc>p<C-u><Enter>");
    assert_int_equal(d.app->mode, LINE_NONE); /* this tokenizer makes the beginning of it */
    app_resize(d.app, 50, 20);
    driver_keys(&d, ":edit<Space>blocks.9.hook_mlp_out<Space>=<Space>0<Enter>");
    driver_shows(&d,
                 "no hook \"blocks.9.hook_mlp_out\""); /* above, where there is no room beside */
    driver_shows(&d, "layers 0..3\n");
}

static void test_numbers(void **state)
{
    (void)state;
    driver_keys(&d, ":scale<Space>30<Enter>");
    assert_string_equal(edit_text(0), "blocks.3.hook_resid_post[-1] *= 30");
    app_command(d.app, "edit blocks.3.hook_resid_post[-1] *= 120000");
    assert_string_equal(edit_text(1), "blocks.3.hook_resid_post[-1] *= 120000");
    app_command(d.app, "edit blocks.3.hook_resid_post[-1] *= 1e-05");
    assert_string_equal(edit_text(2), "blocks.3.hook_resid_post[-1] *= 1e-05");
}

/* ---- tokens and ranks ---- */

static void test_tokens(void **state)
{
    (void)state;
    int32_t spaced = tokenizer_find(d.m->tok, " Mary", 5),
            bare = tokenizer_find(d.m->tok, "Mary", 4);
    assert_true(spaced >= 0);
    app_command(d.app, "target Mary");
    assert_int_equal(d.app->target, bare >= 0 ? bare : spaced);
    if (bare < 0)
        driver_shows(&d, "\"Mary\" is no token: taken as \" Mary\"");
    app_command(d.app, "target \" Mary\"");
    assert_int_equal(d.app->target, spaced);
    assert_false(is_shown("is no token"));
    app_command(d.app, "target 17");
    assert_int_equal(d.app->target, 17);
    app_command(d.app, "target 9999999");
    assert_true(d.app->message_bad);
    driver_keys(&d, "tMary<Tab>");
    assert_string_equal(line_text(&d.app->line), "\" Mary\""); /* with its space */
    driver_keys(&d, "<Esc>:target<Space>\"<Space>Mary\"<Enter>");
    driver_shows(&d, "rank of \" Mary\" 0"); /* as TransformerLens counts */
}

static void test_stale_pair(void **state)
{
    (void)state;
    int32_t mary = tokenizer_find(d.m->tok, " Mary", 5),
            john = tokenizer_find(d.m->tok, " John", 5);
    app_command(d.app, "pair \" Mary\" \" John\"");
    driver_settle(&d);
    app_command(d.app, "prompt When Mary left");
    driver_settle(&d);
    assert_int_equal(d.app->pair[0], mary);
    app_command(d.app, "prompt bread river hat");
    driver_shows(&d, "neither token of the pair is in this prompt");
    driver_settle(&d);
    assert_true(d.app->pair[0] != mary && d.app->pair[1] != john);
    app_command(d.app, "prompt " PROMPT);
    driver_settle(&d);
    assert_true(d.app->pair[0] == mary && d.app->pair[1] == john);
    app_command(d.app, "pair \" bread\" \" hat\""); /* an answer need not stand in the prompt */
    app_command(d.app, "prompt When Mary left");
    driver_settle(&d);
    assert_int_equal(d.app->pair[0], tokenizer_find(d.m->tok, " bread", 6));
}

/* ---- finding ---- */

static void test_hook_search(void **state)
{
    (void)state;
    assert_int_equal(hook_rank("blocks.0.attn.hook_z", "hook_z"), HOOK_EXACT);
    assert_int_equal(hook_rank("blocks.0.attn.hook_z", "HOOK_Z"), HOOK_EXACT);
    assert_int_equal(hook_rank("blocks.0.ln1.hook_normalized", "hook_z"), HOOK_LETTERS);
    assert_int_equal(hook_rank("blocks.0.attn.hook_z", "attn.h"), HOOK_WORD);
    assert_int_equal(hook_rank("blocks.0.attn.hook_q", "ook_q"), HOOK_PART);
    assert_int_equal(hook_rank("blocks.0.hook_q_input", "hook_q"), HOOK_WORD);
    assert_int_equal(hook_rank("blocks.0.attn.hook_q", "*q"), HOOK_LETTERS);
    assert_int_equal(hook_rank("blocks.0.attn.hook_q", "zz"), HOOK_NOT);
    driver_keys(&d, "4/hook_z<Enter><Enter>");
    assert_int_equal(d.app->cur.view, VIEW_TENSOR);
    assert_int_equal(d.app->cur.site.id, SITE_Z);
    assert_int_equal(d.app->cur.site.layer, 0);
    driver_keys(&d, ":tensor<Space>hook_q<Tab>");
    assert_string_equal(line_text(&d.app->line), "tensor blocks.0.attn.hook_q");
}

static void test_help(void **state)
{
    (void)state;
    static const char *const sought[] = {"target", "export", "tensor"};
    driver_keys(&d, "?");
    char *screen = driver_screen(&d);
    assert_non_null(strstr(screen, "under the cursor: blocks.3.hook_resid_post[-1]"));
    const char *zero = strstr(screen, ":zero "), *move = strstr(screen, ":move up");
    assert_non_null(zero);
    assert_true(!move || zero < move); /* verbs first */
    free(screen);
    for (size_t i = 0; i < sizeof sought / sizeof *sought; i++) {
        char keys[64], row[64];
        snprintf(keys, sizeof keys, "<C-u>%s", sought[i]);
        driver_keys(&d, keys);
        snprintf(row, sizeof row, ":%s ", sought[i]);
        driver_shows(&d, row);
    }
    driver_keys(&d, "<C-u>:mask<C-u>mask");
    driver_shows(&d, "(not in this view)");
    driver_keys(&d, "<C-u>name<Space>or<Space>value<Enter>"); /* copy: runs */
    assert_int_equal(d.app->mode, LINE_NONE);
    driver_keys(&d, "?HOOK's<Esc>?values<Space>of<Space>a<Space>hook<Enter>");
    assert_int_equal(d.app->mode, LINE_COMMAND); /* has arguments to type */
    assert_string_equal(line_text(&d.app->line), "tensor ");
}

static void test_small_help(void **state)
{
    (void)state;
    app_resize(d.app, 80, 24);
    driver_keys(&d, "?");
    driver_shows(&d, "type to search");
    driver_shows(&d, "under the cursor");
}

static void test_quantity_completion(void **state)
{
    (void)state;
    driver_keys(&d, ":quantity<Space>");
    for (int i = 0; i < d.app->complete.n; i++)
        assert_string_not_equal(d.app->complete.item[i], "experts"); /* no mixture */
    assert_true(d.app->complete.n > 5);
    driver_keys(&d, "<Esc>2:quantity<Space>");
    assert_int_equal(d.app->complete.n, 2);
    assert_string_equal(d.app->complete.item[0], "pattern");
}

static void test_layer_keys(void **state)
{
    (void)state;
    driver_keys(&d, "KK");
    assert_int_equal(d.app->cur.column, 2);
    driver_keys(&d, "J");
    assert_int_equal(d.app->cur.column, 3);
    assert_false(d.app->keybar_off);
}

/* Every bad line of a key file is there to read, until a key is pressed. */
static void test_notice(void **state)
{
    (void)state;
    driver_close(&d);
    const struct app_options o = {.prompt = PROMPT,
                                  .bos = -1,
                                  .pair = {-1, -1},
                                  .notice = "keys:3: not a key\nkeys:9: no such command\n"};
    driver_open_app(&d, "models/teach", &o, 100, 30);
    driver_shows(&d, "keys:3: not a key");
    driver_shows(&d, "keys:9: no such command");
    driver_keys(&d, "j");
    assert_false(is_shown("keys:3"));
}

/* Edits in the panel are whole, however long. */
static void test_panel_edits(void **state)
{
    (void)state;
    app_edit_add(d.app, "blocks.2.hook_resid_post[pos=\"John\"#2] = from(other, pos=-1)");
    driver_settle(&d);
    char *screen = driver_screen(&d);
    assert_non_null(strstr(screen, "pos=-1)"));
    free(screen);
}

static void test_without_prompt(void **state)
{
    (void)state;
    assert_int_equal(d.app->mode, LINE_NONE); /* keys are keys */
    assert_string_equal(d.app->prompt, PROMPT);
    driver_shows(&d, "p types your own");
    driver_keys(&d, "x");
    assert_int_equal(d.app->edits.n, 1);
}

static void test_ids(void **state)
{
    (void)state;
    driver_close(&d);
    const struct app_options o = {.bos = -1, .pair = {-1, -1}};
    driver_open_app(&d, "tests/fixtures/models/gpt2", &o, 100, 30);
    assert_true(d.app->n > 4);
    driver_keys(&d, "p<C-u>3,1<Space>4<Enter>");
    assert_int_equal(d.app->n, 3);
    assert_int_equal(d.app->tokens[2], 4);
    driver_keys(&d, "p");
    assert_string_equal(line_text(&d.app->line), "3,1 4");
    driver_keys(&d, "x");
    driver_shows(&d,
                 "no tokenizer reads text here · token ids \"3,1 4x\" · expected whole numbers");
    driver_keys(&d, "<Esc>t5<Space>7<Enter>");
    assert_int_equal(d.app->pair[0], 5);
    assert_int_equal(d.app->pair[1], 7);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {WITH_DRIVER(test_patch_by_token, open_longer),
                                       WITH_DRIVER(test_patch_without_partner, open_longer),
                                       WITH_DRIVER(test_first_patch_says_what_comes, open_own),
                                       WITH_DRIVER(test_typed_edits_follow_the_pairs, open_own),
                                       WITH_DRIVER(test_failing_edit, open_own),
                                       WITH_DRIVER(test_paste_is_kept, open_own),
                                       WITH_DRIVER(test_errors_keep_the_line, open_own),
                                       WITH_DRIVER(test_numbers, open_own),
                                       WITH_DRIVER(test_tokens, open_own),
                                       WITH_DRIVER(test_stale_pair, open_own),
                                       WITH_DRIVER(test_hook_search, open_own),
                                       WITH_DRIVER(test_help, open_own),
                                       WITH_DRIVER(test_small_help, open_own),
                                       WITH_DRIVER(test_quantity_completion, open_own),
                                       WITH_DRIVER(test_layer_keys, open_own),
                                       WITH_DRIVER(test_notice, open_own),
                                       WITH_DRIVER(test_panel_edits, open_longer),
                                       WITH_DRIVER(test_without_prompt, open_bare),
                                       WITH_DRIVER(test_ids, open_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
