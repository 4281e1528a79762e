/* test_reference_sets.c - reference sets as files of prompts, what is drawn from them, and what is
 * said of files and edits that are wrong. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "edit/reference.h"

static void draws(void **state)
{
    (void)state;
    int32_t zeros[40] = {0}, lengths[40], seen[40] = {0};
    const int32_t *prompts[40];
    for (int i = 0; i < 40; i++)
        prompts[i] = zeros, lengths[i] = i + 1;
    struct reference_set *set;
    assert_int_equal(reference_make(&set, "ref", prompts, lengths, 40, NULL), 0);
    for (int32_t seed = -400; seed < 400; seed++) {
        int32_t before = reference_draw(set, seed, 1);
        seen[before]++;
        for (int32_t n = 1; n <= 40; n++) { /* a longer need changes the draw only when it must */
            int32_t now = reference_draw(set, seed, n);
            assert_in_range(now, n - 1, 39);
            if (lengths[before] >= n)
                assert_int_equal(now, before);
            before = now;
        }
        assert_int_equal(reference_draw(set, seed, 41), -1);
    }
    for (int i = 0; i < 40; i++)
        assert_in_range(seen[i], 5, 45); /* 20 expected */
    reference_free(set);
}

static struct reference_set *parsed(const struct model *m, const char *text, size_t len)
{
    struct reference_set *set = NULL;
    struct err e = {0};
    if (reference_parse(&set, m, 0, "ref", "file", text, len, &e))
        fail_msg("%s", e.text);
    return set;
}

static const struct {
    bool ids;
    const char *text;
    size_t len;
    const char *want;
} bad_files[] = {
    {false, "", 0, "file · no prompts in it · a reference set is a text file, one prompt per line"},
    {false, "\n\r\n\n", 4, "file · no prompts in it"},
    {false,
     "good\nb\xff"
     "d\n",
     9, "file · line 2 · byte 2 is not UTF-8"},
    {false, "a\0b", 3, "file · line 1 · a zero byte"},
    {true, "1,2\nabc\n", 8,
     "file · line 2 · no tokenizer reads text here · token ids \"abc\" · expected whole numbers"},
    {true, "1 2147483648", 12, "line 1 · no tokenizer reads text here · token ids"},
    {true, "1,,2", 4, "at \",2\""},
    {true, "1,47", 4, "line 1 · "},
    {true, " , ", 3, "at \", \""},
    {true, "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", 65,
     "learned positions for 32"},
};

static void files(void **state)
{
    (void)state;
    struct model *teach = NULL;
    struct fixture f = fixture_open("gpt2"); /* no tokenizer, learned positions for 32 */
    struct err e = {0};
    assert_int_equal(model_open(&teach, "teach", fixture_backend(), &e), 0);
    static const char text[] = "\xef\xbb\xbfThe cat\r\n\n  caf\xc3\xa9\nlast without newline";
    struct reference_set *set = parsed(teach, text, sizeof text - 1);
    static const char *const lines[] = {"The cat", "  caf\xc3\xa9", "last without newline"};
    assert_int_equal(set->n, 3);
    for (int i = 0; i < 3; i++) {
        int32_t *ids, n;
        assert_int_equal(model_tokens(teach, lines[i], strlen(lines[i]), 0, &ids, &n, &e), 0);
        assert_int_equal(set->start[i + 1] - set->start[i], n);
        assert_memory_equal(set->tokens + set->start[i], ids, (size_t)n * sizeof *ids);
        free(ids);
    }
    reference_free(set);
    set = parsed(f.m, "1, 2 3\n\n46,0\n", 13);
    assert_int_equal(set->n, 2);
    assert_int_equal(set->longest, 3);
    assert_int_equal(set->tokens[3], 46);
    reference_free(set);
    model_close(teach);
    fixture_close(&f);
}

static void files_that_are_no_sets(void **state)
{
    (void)state;
    struct model *teach = NULL;
    struct reference_set *set;
    struct fixture f = fixture_open("gpt2");
    struct err e = {0};
    assert_int_equal(model_open(&teach, "teach", fixture_backend(), &e), 0);
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        assert_int_equal(reference_parse(&set, bad_files[i].ids ? f.m : teach, 0, "ref", "file",
                                         bad_files[i].text, bad_files[i].len, &e),
                         ERR_BAD_INPUT);
        if (!strstr(e.text, bad_files[i].want))
            fail_msg("said   %s\nwanted %s", e.text, bad_files[i].want);
    }
    model_close(teach);
    fixture_close(&f);
}

static void refusals(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    static const int32_t a[] = {3, 4, 5};
    static const int32_t *const prompts[] = {a};
    static const int32_t lengths[] = {3};
    struct reference_set *sets[2];
    assert_int_equal(reference_make(&sets[0], "prompts", prompts, lengths, 1, NULL), 0);
    assert_int_equal(reference_make(&sets[1], "ref2", prompts, lengths, 1, NULL), 0);
    static const struct {
        int n;
        const char *edit, *want;
    } bad[] = {
        {0, "hook_embed = mean(ref)",
         "no reference set is called \"ref\" · name one: --ref ref=FILE, one prompt per line"},
        {2, "hook_embed = mean(ref)", "no reference set is called \"ref\" · the nearest is ref2"},
        {2, "hook_embed = resample(prompt)", "the nearest is prompts"},
        {2, "hook_embed = mean(ref2, pos=3)",
         "mean(ref2) · position 3 is asked for, the longest prompt of ref2 has 0..2"},
        {2, "hook_embed = mean(ref2, pos=-4)",
         "position -4 is asked for, the longest prompt of ref2 has 0..2"},
        {2, "hook_embed[:5] = mean(ref2, pos=same)",
         "position 4 is asked for, the longest prompt of ref2 has 0..2"},
        {2, "hook_embed = resample(ref2)",
         "resample(ref2) · position 8 is asked for, the longest prompt of ref2 has 0..2"},
        {2, "blocks.0.attn.hook_pattern = mean(ref2)",
         "mean(ref2, pos=same) takes the mean at each"},
        {2, "blocks.0.attn.hook_pattern = resample(ref2, pos=0)",
         "has two positions, dest and src · leave pos out"},
        {2, "hook_tokens = mean(ref2)", "hook_tokens holds token ids"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct edit *ed;
        struct edit_program *p = NULL;
        struct err e = {0};
        struct edit_context ctx = {
            .cfg = &f.m->cfg, .n_pos = f.n, .model = f.m, .sets = sets, .n_sets = bad[i].n};
        assert_int_equal(edit_parse(&ed, bad[i].edit, &e), 0);
        assert_int_equal(edit_resolve(&p, &ed, NULL, 1, &ctx, &e), ERR_BAD_INPUT);
        if (!strstr(e.text, bad[i].want))
            fail_msg("%s\nsaid   %s\nwanted %s", bad[i].edit, e.text, bad[i].want);
        edit_free(ed);
    }
    reference_free(sets[0]), reference_free(sets[1]);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws),
        cmocka_unit_test(files),
        cmocka_unit_test(files_that_are_no_sets),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
