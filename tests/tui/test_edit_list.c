/* test_edit_list.c - the edits of the session: adding, switching, deleting; every step can be
 * undone. */
#include <stdio.h>
#include <string.h>

#include "list/edit_list.h"
#include "unit.h"

static void test_changes(void **state)
{
    (void)state;
    struct edit_list l;
    struct err e = {0};
    assert_int_equal(edit_list_init(&l, &e), 0);
    assert_int_equal(edit_list_add(&l, "blocks.0.attn.hook_z[-1,3]=0", &e), 0);
    assert_int_equal(edit_list_add(&l, "blocks.1.hook_mlp_out *= 0.5", &e), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.text[0], "blocks.0.attn.hook_z[-1, 3] = 0"); /* in its canonical words */
    assert_true(edit_list_add(&l, "nonsense", &e) < 0);
    assert_int_equal(l.n, 2); /* as before */
    assert_true(e.text[0]);
    assert_int_equal(edit_list_set_on(&l, 0, false, &e), 0);
    assert_int_equal(edit_list_count_on(&l), 1);
    assert_int_equal(edit_list_replace(&l, 1, "blocks.1.hook_mlp_out *= 2", &e), 0);
    assert_string_equal(l.text[1], "blocks.1.hook_mlp_out *= 2");
    assert_int_equal(edit_list_delete(&l, 0, &e), 0);
    assert_int_equal(l.n, 1);
    edit_list_free(&l);
}

static void test_undo(void **state)
{
    (void)state;
    struct edit_list l;
    struct err e = {0};
    edit_list_init(&l, &e);
    assert_true(edit_list_undo(&l, &e) < 0);
    edit_list_add(&l, "blocks.0.hook_mlp_out = 0", &e);
    edit_list_add(&l, "blocks.1.hook_mlp_out = 0", &e);
    edit_list_set_all(&l, false, &e);
    edit_list_delete(&l, 0, &e);
    assert_int_equal(edit_list_undo(&l, &e), 0);
    assert_int_equal(l.n, 2);
    assert_int_equal(edit_list_count_on(&l), 0);
    assert_int_equal(edit_list_undo(&l, &e), 0);
    assert_int_equal(edit_list_count_on(&l), 2);
    assert_int_equal(edit_list_undo(&l, &e), 0);
    assert_int_equal(edit_list_undo(&l, &e), 0);
    assert_int_equal(l.n, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(edit_list_redo(&l, &e), 0);
    assert_true(edit_list_redo(&l, &e) < 0);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.text[0], "blocks.1.hook_mlp_out = 0");
    edit_list_undo(&l, &e);
    edit_list_add(&l, "blocks.0.hook_attn_out = 0", &e); /* a new change forgets what was undone */
    assert_true(edit_list_redo(&l, &e) < 0);
    edit_list_free(&l);
}

static void test_bounds(void **state)
{
    (void)state;
    struct edit_list l;
    struct err e = {0};
    edit_list_init(&l, &e);
    static char text[LIMIT_EDITS][64];
    static char *texts[LIMIT_EDITS];
    for (int i = 0; i < LIMIT_EDITS; i++) {
        snprintf(text[i], sizeof text[i], "blocks.%d.hook_mlp_out = 0", i);
        texts[i] = text[i];
    }
    assert_int_equal(edit_list_add_all(&l, texts, LIMIT_EDITS, &e), 0);
    assert_true(edit_list_add(&l, "blocks.0.hook_attn_out = 0", &e) < 0);
    assert_int_equal(l.n, LIMIT_EDITS);
    assert_int_equal(edit_list_undo(&l, &e), 0);
    assert_int_equal(l.n, 0);
    edit_list_free(&l);

    /* where states are large the oldest go, what undo needs stays */
    edit_list_init(&l, &e);
    static char sets[LIMIT_EDIT_TEXT];
    size_t at = (size_t)snprintf(sets, sizeof sets, "blocks.0.mlp.hook_post[:, {0");
    for (int i = 2; at + 16 < sizeof sets; i += 2)
        at += (size_t)snprintf(sets + at, sizeof sets - at, ",%d", i);
    snprintf(sets + at, sizeof sets - at, "}] = 0");
    enum { MANY = 512, CHANGES = 1 + EDIT_LIST_UNDO_BYTES / (MANY * 4000) };
    for (int i = 0; i < MANY; i++)
        texts[i] = sets;
    assert_int_equal(edit_list_add_all(&l, texts, MANY, &e), 0);
    for (int i = 0; i < CHANGES; i++)
        assert_int_equal(edit_list_set_on(&l, 0, i % 2, &e), 0);
    assert_true(l.past_bytes <= EDIT_LIST_UNDO_BYTES);
    assert_true(l.n_past <= CHANGES);
    assert_int_equal(edit_list_undo(&l, &e), 0);
    assert_int_equal(l.on[0], CHANGES % 2);
    edit_list_free(&l);

    edit_list_init(&l, &e);
    assert_int_equal(edit_list_add(&l, "blocks.0.hook_mlp_out = 0", &e), 0);
    for (int i = 0; i < EDIT_LIST_UNDO_MAX + 50; i++)
        edit_list_set_on(&l, 0, i % 2, &e);
    assert_int_equal(l.n_past, EDIT_LIST_UNDO_MAX);
    edit_list_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_changes), cmocka_unit_test(test_undo),
                                       cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
