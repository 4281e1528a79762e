/* test_lifecycle.c - hooks of the public library: the life of a hook as in TransformerLens'
 * hook_points.py, hooks of the backward pass, and hooks that meddle. */
#include "library.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A hook that writes its letter to a log. */
struct log {
    char text[4096];
};
struct note {
    struct log *log;
    char letter;
};

static int write_note(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)t, (void)at;
    struct note *n = user;
    size_t len = strlen(n->log->text);
    n->log->text[len] = n->letter, n->log->text[len + 1] = '\0';
    return 0;
}

static void run(struct library *l, struct bore_result *out)
{
    struct bore_error e = {0};
    bore_result_free(out);
    library_ok(bore_run(l->m, &l->pass, out, &e), &e);
}

static void add(struct library *l, const char *name, bore_hook_fn *fn, void *user, unsigned flags)
{
    struct bore_error e = {0};
    struct bore_hook h = {.name = name, .fn = fn, .user = user, .flags = flags};
    library_ok(bore_add_hook(l->m, BORE_FORWARD, &h, &e), &e);
}

static void test_add_prepend_remove(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct log log = {""};
    struct note a = {&log, 'a'}, b = {&log, 'b'}, c = {&log, 'c'};
    struct bore_result out = {0};
    struct bore_error e = {0};
    assert_false(bore_has_hooks(l.m, NULL, BORE_BOTH, true, BORE_ANY_LEVEL));
    add(&l, "blocks.1.hook_resid_pre", write_note, &a, 0);
    add(&l, "blocks.1.hook_resid_pre", write_note, &b, 0);
    add(&l, "blocks.1.hook_resid_pre", write_note, &c, BORE_PREPEND);
    run(&l, &out);
    assert_string_equal(log.text, "cab");
    run(&l, &out); /* each pass fires each hook once, also on the same tokens */
    assert_string_equal(log.text, "cabcab");
    assert_int_equal(bore_hook_count(l.m), 3);
    assert_string_equal(bore_hook_at(l.m, 0).name, "blocks.1.hook_resid_pre");
    assert_ptr_equal(bore_hook_at(l.m, 0).user, &c);
    assert_int_equal(bore_hook_at(l.m, 0).level, BORE_NO_LEVEL);
    assert_true(bore_has_hooks(l.m, "blocks.1.hook_resid_pre", BORE_FORWARD, true, BORE_ANY_LEVEL));
    assert_false(
        bore_has_hooks(l.m, "blocks.1.hook_resid_pre", BORE_BACKWARD, true, BORE_ANY_LEVEL));
    assert_false(bore_has_hooks(l.m, "blocks.0.hook_resid_pre", BORE_BOTH, true, BORE_ANY_LEVEL));
    library_ok(bore_remove_hooks(l.m, "blocks.{0,2}.*", BORE_BOTH, false, BORE_ANY_LEVEL, &e), &e);
    assert_int_equal(bore_hook_count(l.m), 3);
    library_ok(
        bore_remove_hooks(l.m, "blocks.*.hook_resid_pre", BORE_FORWARD, false, BORE_ANY_LEVEL, &e),
        &e);
    assert_int_equal(bore_hook_count(l.m), 0);
    run(&l, &out);
    assert_string_equal(log.text, "cabcab");
    assert_int_equal(
        bore_remove_hooks(l.m, "blocks.1.hook_resid_per", BORE_BOTH, false, BORE_ANY_LEVEL, &e),
        BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "hook_resid_pre"));
    bore_result_free(&out);
    library_close(&l);
}

static void test_permanent(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct log log = {""};
    struct note p = {&log, 'p'}, a = {&log, 'a'};
    struct bore_result out = {0};
    struct bore_error e = {0};
    add(&l, "hook_embed", write_note, &p, BORE_PERMANENT);
    add(&l, "hook_embed", write_note, &a, 0);
    bore_reset_hooks(l.m, true, BORE_BOTH, false, BORE_ANY_LEVEL);
    run(&l, &out);
    assert_string_equal(log.text, "p");
    assert_false(bore_has_hooks(l.m, NULL, BORE_BOTH, false, BORE_ANY_LEVEL));
    assert_true(bore_has_hooks(l.m, NULL, BORE_BOTH, true, BORE_ANY_LEVEL));
    /* a permanent hook of run_with_hooks stays behind */
    struct bore_hook h = {
        .name = "hook_embed", .fn = write_note, .user = &a, .flags = BORE_PERMANENT};
    library_ok(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, 0, NULL, &e), &e);
    assert_string_equal(log.text, "ppa");
    run(&l, &out);
    assert_string_equal(log.text, "ppapa");
    bore_reset_hooks(l.m, true, BORE_BACKWARD, true, BORE_ANY_LEVEL); /* the other direction */
    assert_int_equal(bore_hook_count(l.m), 2);
    bore_reset_hooks(l.m, true, BORE_BOTH, true,
                     7); /* including permanent ones: of whatever level */
    assert_int_equal(bore_hook_count(l.m), 0);
    bore_result_free(&out);
    library_close(&l);
}

static void test_levels(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct log log = {""};
    struct note o = {&log, 'o'}, a = {&log, 'a'}, b = {&log, 'b'};
    struct bore_result out = {0};
    struct bore_error e = {0};
    int outer, inner;
    add(&l, "hook_embed", write_note, &o, 0);
    struct bore_hook ha = {.name = "hook_embed", .fn = write_note, .user = &a},
                     hb = {.name = "hook_embed", .fn = write_note, .user = &b};
    library_ok(bore_enter(l.m, &ha, 1, NULL, 0, &outer, &e), &e);
    library_ok(bore_enter(l.m, &hb, 1, NULL, 0, &inner, &e), &e);
    assert_int_equal(outer, 1);
    assert_int_equal(inner, 2);
    run(&l, &out);
    assert_string_equal(log.text, "oab");
    assert_true(bore_has_hooks(l.m, "hook_embed", BORE_FORWARD, true, 2));
    bore_leave(l.m, inner, false);
    run(&l, &out);
    assert_string_equal(log.text, "oaboa");
    library_ok(bore_enter(l.m, &hb, 1, NULL, 0, &inner, &e), &e);
    assert_int_equal(inner, 2);
    bore_leave(l.m, outer, false); /* deeper levels go with it; what belongs to no level stays */
    assert_int_equal(bore_level(l.m), 0);
    run(&l, &out);
    assert_string_equal(log.text, "oaboao");
    /* hooks that cannot all be added are not added at all, and the level is not entered */
    struct bore_hook two[2] = {ha, {.name = "hook_embde", .fn = write_note, .user = &b}};
    assert_int_equal(bore_enter(l.m, two, 2, NULL, 0, &inner, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_level(l.m), 0);
    assert_int_equal(bore_hook_count(l.m), 1);
    assert_int_equal(bore_run_with_hooks(l.m, &l.pass, two, 2, NULL, 0, 0, &out, &e),
                     BORE_BAD_INPUT);
    assert_int_equal(bore_hook_count(l.m), 1);
    /* reset_hooks_end=False */
    library_ok(bore_run_with_hooks(l.m, &l.pass, &ha, 1, NULL, 0, BORE_KEEP_HOOKS, NULL, &e), &e);
    assert_int_equal(bore_level(l.m), 0);
    assert_int_equal(bore_hook_count(l.m), 2);
    bore_reset_hooks(l.m, false, BORE_BOTH, false, 1);
    assert_int_equal(bore_hook_count(l.m), 1);
    bore_result_free(&out);
    library_close(&l);
}

static int fail_at_second(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    int *calls = user;
    t->data[0] = 1e9f;
    if (++*calls < 2)
        return 0;
    int level;
    struct bore_hook h = {.name = "hook_embed", .fn = fail_at_second, .user = user};
    bore_enter(at->model, &h, 1, NULL, 0, &level, NULL); /* left open by the failing hook */
    snprintf(at->error->text, sizeof at->error->text, "call %d is one too many", *calls);
    return 77;
}

static void test_failing_hook(void **state)
{
    (void)state;
    for (size_t cache = 1; cache <= 1 << 20; cache <<= 20) {
        struct library l = library_open("llama", cache);
        struct bore_error e = {0};
        struct bore_result out = {0};
        struct log log = {""};
        struct note mine = {&log, 'm'};
        struct bore_cache *before = library_cache(l.m, &l.pass, NULL, 0);
        add(&l, "blocks.0.hook_resid_post", write_note, &mine, 0);
        int calls = 0;
        struct bore_hook h = {
            .name = "blocks.*.hook_resid_mid", .fn = fail_at_second, .user = &calls};
        assert_int_equal(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, 0, &out, &e),
                         BORE_HOOK_FAILED);
        assert_string_equal(e.text, "blocks.1.hook_resid_mid · call 2 is one too many");
        assert_int_equal(e.code, BORE_HOOK_FAILED);
        assert_null(out.output.data);
        assert_int_equal(bore_level(l.m), 0);
        assert_int_equal(bore_hook_count(l.m), 1); /* mine */
        struct bore_cache *after = library_cache(l.m, &l.pass, NULL, 0);
        library_same_caches(before, after, "after a failed pass");
        assert_string_equal(log.text, "mm");
        bore_cache_free(before), bore_cache_free(after);
        library_close(&l);
    }
}

static int count_context(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)t, (void)user;
    *at->context = (void *)((uintptr_t)*at->context + 1);
    return 0;
}

static void test_contexts(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_result out = {0};
    struct bore_hook h = {.name = "blocks.0.attn.hook_z", .fn = count_context};
    void **context = bore_context(l.m, "blocks.0.attn.hook_z");
    assert_non_null(context);
    assert_null(bore_context(l.m, "no.such"));
    for (int i = 0; i < 3; i++)
        library_ok(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, 0, NULL, &e), &e);
    assert_int_equal((intptr_t)*context, 3); /* kept between calls */
    assert_null(*bore_context(l.m, "blocks.1.attn.hook_z"));
    library_ok(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, BORE_CLEAR_CONTEXTS, NULL, &e),
               &e);
    assert_null(*context);
    *context = &l;
    bore_reset_hooks(l.m, false, BORE_BOTH, false, BORE_ANY_LEVEL);
    assert_ptr_equal(*context, &l);
    bore_reset_hooks(l.m, true, BORE_BOTH, false, BORE_ANY_LEVEL);
    assert_null(*context);
    bore_result_free(&out);
    library_close(&l);
}

static void test_caching_hooks(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_result out = {0};
    struct bore_tensor t, want;
    const char *names[] = {"blocks.*.hook_resid_post", "blocks.1.attn.hook_pattern"};
    struct bore_cache *left, *ref;
    struct bore_cache_options opt = {.names = names,
                                     .n_names = 2,
                                     .pos = {BORE_RANGE, 2, BORE_OPEN, 3, NULL, 0},
                                     .remove_batch = true};
    library_ok(bore_add_caching_hooks(l.m, &opt, &left, &e), &e);
    assert_int_equal(bore_cache_get(left, "blocks.0.hook_resid_post", &t, &e),
                     BORE_BAD_INPUT); /* nothing yet */
    for (int n = 7; n <= 9; n += 2) { /* left behind, they fill at every pass */
        l.pass.cols = n;
        run(&l, &out);
        struct bore_model *m = l.m;
        library_ok(bore_run_with_cache(m, &l.pass, &opt, &ref, NULL, &e), &e);
        for (int i = 0; i < bore_cache_count(ref); i++) {
            const char *name = bore_cache_at(ref, i, &want);
            library_ok(bore_cache_get(left, name, &t, &e), &e);
            assert_true(library_same(&t, &want));
        }
        bore_cache_free(ref);
    }
    assert_int_equal(bore_hook_count(l.m), 4);
    bore_reset_hooks(l.m, true, BORE_BOTH, false, BORE_ANY_LEVEL);
    l.pass.cols = 5;
    run(&l, &out);
    library_ok(bore_cache_get(left, "blocks.0.hook_resid_post", &t, &e), &e);
    assert_int_equal(t.shape[0], 3); /* of the pass of 9: positions 2, 5, 8 */
    bore_cache_free(left);
    bore_result_free(&out);
    library_close(&l);
}

static int twice(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    assert_true(at->backward);
    assert_int_equal(t->rank, 3);
    assert_int_equal(t->shape[1], *(int *)user);
    for (int64_t i = 0; i < t->shape[1]; i++)
        for (int64_t k = 0; k < t->shape[2]; k++)
            t->data[i * t->stride[1] + k * t->stride[2]] *= 2;
    return 0;
}

/* What a backward hook makes of a gradient is what is captured there and flows on: everything
 * before doubles. */
static void test_backward(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct log log = {""};
    struct note a = {&log, 'a'}, b = {&log, 'b'}, c = {&log, 'c'}, f = {&log, 'f'};
    l.pass.metric = "logit[-1, 7] - logit[-1, 19]";
    struct bore_cache *plain = library_cache(l.m, &l.pass, NULL, 0);
    struct bore_hook h[] = {{.name = "blocks.1.hook_resid_pre", .fn = twice, .user = &l.pass.cols},
                            {.name = "hook_embed", .fn = write_note, .user = &a},
                            {.name = "blocks.0.hook_attn_out", .fn = write_note, .user = &b},
                            {.name = "unembed.hook_out", .fn = write_note, .user = &c}};
    struct bore_hook forward = {
        .name = "unembed.hook_out", .fn = write_note, .user = &f, .flags = BORE_READS};
    int level;
    library_ok(bore_enter(l.m, &forward, 1, h, 4, &level, &e), &e);
    struct bore_cache *got = library_cache(l.m, &l.pass, NULL, 0);
    assert_string_equal(log.text, "fcba");
    int doubled = 0;
    for (int i = 0; i < bore_cache_count(got); i++) {
        struct bore_tensor x, y;
        const char *name = bore_cache_at(got, i, &x);
        bore_cache_at(plain, i, &y);
        bool grad = strstr(name, "_grad"), before = strstr(name, "blocks.0.") ||
                                                    !strncmp(name, "hook_", 5) ||
                                                    strstr(name, "blocks.1.hook_resid_pre");
        int64_t n = 1;
        for (int k = 0; k < x.rank; k++)
            n *= x.shape[k];
        for (int64_t k = 0; k < n; k++)
            if (x.data[k] != (grad && before ? 2 * y.data[k] : y.data[k]) &&
                !(isnan(x.data[k]) && isnan(y.data[k])))
                fail_msg("%s[%d] is %g, was %g", name, (int)k, (double)x.data[k],
                         (double)y.data[k]);
        doubled += grad && before;
    }
    assert_true(doubled > 10);
    bore_leave(l.m, level, false);
    struct bore_pass no_metric = l.pass;
    no_metric.metric = NULL;
    assert_int_equal(bore_run_with_hooks(l.m, &no_metric, NULL, 0, h, 1, 0, NULL, &e),
                     BORE_BAD_INPUT);
    bore_cache_free(plain), bore_cache_free(got);
    library_close(&l);
}

static int meddle(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct library *l = user;
    struct bore_error e;
    (void)t;
    assert_int_equal(bore_run(at->model, &l->pass, NULL, &e), BORE_BAD_INPUT);
    bore_reset_hooks(at->model, false, BORE_BOTH, true, BORE_ANY_LEVEL); /* from the next pass on */
    return 0;
}

static int cancel(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)t, (void)user;
    bore_cancel(at->model);
    return 0;
}

static void test_hooks_that_meddle(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_result plain = {0}, out = {0};
    struct log log = {""};
    struct note a = {&log, 'a'};
    run(&l, &plain);
    add(&l, "hook_embed", meddle, &l, 0);
    add(&l, "unembed.hook_out", write_note, &a, 0);
    run(&l, &out);
    assert_string_equal(log.text, "a");
    assert_int_equal(bore_hook_count(l.m), 0);
    run(&l, &out);
    assert_string_equal(log.text, "a");
    assert_true(library_same(&plain.output, &out.output));
    struct bore_hook h = {.name = "blocks.0.hook_resid_post", .fn = cancel};
    assert_int_equal(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, 0, NULL, &e),
                     BORE_CANCELLED);
    run(&l, &out);
    assert_true(library_same(&plain.output, &out.output));
    bore_result_free(&out), bore_result_free(&plain);
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_prepend_remove),
        cmocka_unit_test(test_permanent),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_failing_hook),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_caching_hooks),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_hooks_that_meddle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
