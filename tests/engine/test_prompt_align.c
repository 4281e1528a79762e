/* test_prompt_align.c - from() of a prompt of another length is paired as it is asked for, or
 * refused; never read by index unasked. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/generate.h"
#include "run/pair.h"

enum { EDITS = 16, N_OTHER = 7, NEW = 4 };
static const int32_t other[N_OTHER] = {3, 17, 8, 26, 44, 17, 2};

/* A model, its prompt with edits, and the other prompt. */
struct asked {
    struct fixture f;
    struct pair *pair;
    struct pair_prompt prompt;
    struct edit *edit[EDITS];
    struct pair_target target;
};

static void asked_begin(struct asked *a)
{
    struct err e = {0};
    *a = (struct asked){.f = fixture_open("gpt2"), .prompt = {"other", other, N_OTHER, NULL}};
    a->target = (struct pair_target){.input = run_ids(a->f.tokens, a->f.n),
                                     .edits = a->edit,
                                     .prompts = &a->prompt,
                                     .n_prompts = 1};
    assert_int_equal(pair_open(&a->pair, a->f.m, 1 << 22, &e), 0);
}

static void edits_drop(struct asked *a)
{
    while (a->target.n_edits > 0)
        edit_free(a->edit[--a->target.n_edits]);
}

static void asked_end(struct asked *a)
{
    edits_drop(a);
    pair_close(a->pair);
    fixture_close(&a->f);
}

static void add(struct asked *a, const char *text)
{
    struct err e = {0};
    assert_true(a->target.n_edits < EDITS);
    if (edit_parse(&a->edit[a->target.n_edits++], text, &e))
        fail_msg("%s", e.text);
}

/* The values of all sites with the edits. */
static uint64_t hash(struct asked *a)
{
    struct err e = {0};
    if (pair_sync(a->pair, &a->target, NULL, &e))
        fail_msg("%s", e.text);
    return fixture_hash(pair_shown(a->pair));
}

static void refused(struct asked *a, const char *why)
{
    struct err e = {0};
    assert_int_equal(pair_sync(a->pair, &a->target, NULL, &e), ERR_BAD_INPUT);
    if (!strstr(e.text, why))
        fail_msg("\"%s\" says nothing of \"%s\"", e.text, why);
}

/* The same by hand: one edit for each of rows [row0, row1) that has a partner. */
static void add_pairs(struct asked *a, enum token_align how, int32_t row0, int32_t row1)
{
    int32_t map[64];
    char text[LIMIT_EDIT_TEXT];
    assert_true(token_align(a->f.tokens, a->f.n, other, N_OTHER, how, map, NULL) >= 0);
    for (int32_t row = row0; row < row1; row++)
        if (map[row] >= 0) {
            snprintf(text, sizeof text, "blocks.1.hook_resid_pre[%d] = from(other, pos=%d)",
                     (int)row, (int)map[row]);
            add(a, text);
        }
}

static void test_paired(void **state)
{
    (void)state;
    struct asked a;
    asked_begin(&a);
    uint64_t plain = hash(&a);
    for (int how = TOKEN_ALIGN_END; how < TOKEN_ALIGN_COUNT; how++) {
        a.target.align = (enum token_align)how;
        add(&a, "blocks.1.hook_resid_pre[1:8] = from(other)");
        uint64_t whole = hash(&a);
        edits_drop(&a);
        a.target.align = TOKEN_ALIGN_INDEX; /* pos= needs no pairing */
        add_pairs(&a, (enum token_align)how, 1, 8);
        assert_true(a.target.n_edits > 1 && a.target.n_edits < 7);
        assert_true(hash(&a) == whole && whole != plain);
        edits_drop(&a);
    }
    asked_end(&a);
}

static void test_refused(void **state)
{
    (void)state;
    struct asked a;
    asked_begin(&a);
    add(&a, "blocks.0.hook_mlp_out = 0");
    add(&a, "blocks.1.hook_resid_pre[2] = from(other)");
    refused(&a, "edit 2 · run other has 7 tokens, the prompt 9 · --align end or token");
    a.target.align = TOKEN_ALIGN_END;
    uint64_t paired = hash(&a);
    a.target.align = TOKEN_ALIGN_INDEX; /* the same edits, asked for in another way */
    refused(&a, "edit 2 · run other");
    a.prompt = (struct pair_prompt){"other", a.f.tokens, a.f.n, NULL}; /* of one length: as it is */
    assert_true(hash(&a) != paired);
    a.prompt = (struct pair_prompt){"other", other, N_OTHER, NULL};
    refused(&a, "edit 2 · run other");
    edits_drop(&a);
    add(&a, "blocks.1.attn.hook_pattern[0, 3, 1] = from(other)");
    a.target.align = TOKEN_ALIGN_TOKEN;
    refused(&a, "edit 1 · blocks.1.attn.hook_pattern · run other has 7 tokens");
    edits_drop(&a);
    add(&a, "blocks.0.hook_mlp_out[5] = from(base)"); /* always as long */
    add(&a, "blocks.0.hook_mlp_out[-1] = from(other, pos=-1)");
    a.target.align = TOKEN_ALIGN_INDEX;
    hash(&a);
    asked_end(&a);
}

/* ---- while the prompt grows ---- */

struct emitted {
    int32_t id[NEW], n;
    float logits[NEW][64];
    int64_t d_vocab;
};

static bool emit(void *user, int32_t row, int32_t id, const float *logits)
{
    struct emitted *x = user;
    (void)row;
    x->id[x->n] = id;
    memcpy(x->logits[x->n++], logits, (size_t)x->d_vocab * sizeof *logits);
    return true;
}

static void generated(struct asked *a, struct emitted *x)
{
    struct err e = {0};
    const struct generate_options opt = {.top_p = 1};
    *x = (struct emitted){.d_vocab = a->f.m->cfg.d_vocab};
    assert_true(x->d_vocab <= 64);
    if (generate(a->f.m, &a->target, 1, NEW, &opt, -1, 1 << 22, emit, x, &e))
        fail_msg("%s", e.text);
    assert_int_equal(x->n, NEW);
}

/* What is paired is the prompt: new positions stand for nothing, and move no pair. */
static void test_generation(void **state)
{
    (void)state;
    struct asked a;
    struct emitted whole, by_hand, plain;
    asked_begin(&a);
    generated(&a, &plain);
    for (int how = TOKEN_ALIGN_END; how < TOKEN_ALIGN_COUNT; how++) {
        a.target.align = (enum token_align)how;
        add(&a, "blocks.1.hook_resid_pre = from(other)");
        generated(&a, &whole);
        edits_drop(&a);
        a.target.align = TOKEN_ALIGN_INDEX;
        add_pairs(&a, (enum token_align)how, 0, a.f.n);
        generated(&a, &by_hand);
        assert_memory_equal(&whole, &by_hand, sizeof whole);
        assert_true(memcmp(&whole, &plain, sizeof whole) != 0);
        edits_drop(&a);
    }
    a.prompt = (struct pair_prompt){"other", a.f.tokens, a.f.n, NULL}; /* as long as the prompt */
    add(&a, "blocks.1.hook_resid_pre[0:8] = from(other)");
    generated(&a, &whole);
    assert_memory_equal(&whole, &plain, sizeof whole); /* its own values, at every step */
    asked_end(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paired),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_generation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
