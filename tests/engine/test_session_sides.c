/* test_session_sides.c - further questions of a request, beside its own. */
#include "session_ask.h"

#include <string.h>

static const struct site_ref output_site = {SITE_UNEMBED_OUT, SITE_ROOT};

/* Both answer these wants with the same bits. */
static void assert_same(const struct snapshot *a, const struct snapshot *b,
                        const struct want *wants, int n, const struct config *cfg)
{
    assert_int_equal(a->edited, b->edited);
    for (int i = 0; i < n; i++)
        for (int face = 0; face < (a->edited ? FACE_COUNT : 1); face++)
            for (int32_t row = 0; row < wants[i].row1; row++) {
                const void *x = snapshot_at(a, (enum face)face, &wants[i], row),
                           *y = snapshot_at(b, (enum face)face, &wants[i], row);
                assert_true(x && y);
                assert_memory_equal(x, y, want_bytes(cfg, &wants[i], a->n));
            }
}

/* Further questions, of lanes of their own or shared: each as if it were asked alone, whatever was
 * asked before; one that fails says so and takes nothing with it. */
static void sides_are_questions_too(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct edit *edits[] = {ask_edit("blocks.1.attn.hook_z[-1] = 0"),
                            ask_edit("blocks.0.hook_mlp_out[1] *= 0.5"),
                            ask_edit("blocks.2.hook_resid_post[5] = 0")};
    int32_t turned[8];
    for (int32_t i = 0; i < 8; i++)
        turned[i] = f.tokens[(i + 3) % f.n];
    struct want wants[] = {want_whole(WANT_KL, output_site), want_whole(WANT_LOGITS, output_site),
                           want_make(WANT_CELL, run_lens_site(f.m, 1), 0, 8)};
    wants[1].id[0] = 3, wants[1].id[1] = 4;
    struct session_want side[4], w = ask_plain(f.tokens, f.n);
    for (int i = 0; i < 4; i++) {
        side[i] = ask_plain(i % 2 ? turned : f.tokens, i == 3 ? 3 : i % 2 ? 8 : f.n);
        side[i].target.edits = edits;
        side[i].target.n_edits = i == 0 ? 0 : i; /* the last one: position 5 of 3 tokens */
        side[i].wants = wants, side[i].n_wants = 3, side[i].lane = i / 2;
    }
    w.wants = wants, w.n_wants = 1;
    w.sides = side;
    struct session *s = ask_open(&f);
    for (int turn = 0; turn < 3; turn++) {
        w.n_sides = turn == 1 ? 2 : 4;
        const struct snapshot *snap = ask(s, &w);
        assert_int_equal(snap->n_sides, w.n_sides);
        for (int i = 0; i < w.n_sides; i++) {
            if (i == 3) {
                assert_int_equal(snap->sides[3]->err.code, ERR_BAD_INPUT);
                continue;
            }
            assert_int_equal(snap->sides[i]->err.code, 0);
            assert_non_null(snapshot_rows(snap->sides[i], FACE_BASE, &wants[0]));
        }
        snapshot_release(snap);
    }
    const struct snapshot *all = ask(s, &w);
    session_close(s); /* answers stay good */
    for (int i = 0; i < 3; i++) {
        struct session *alone = ask_open(&f);
        struct session_want q = side[i];
        q.lane = 0;
        const struct snapshot *want = ask(alone, &q);
        assert_same(all->sides[i], want, wants, 3, &f.m->cfg);
        snapshot_release(want);
        session_close(alone);
    }
    snapshot_release(all);
    for (int i = 0; i < 3; i++)
        edit_free(edits[i]);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sides_are_questions_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
