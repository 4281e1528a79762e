/* test_library_experts.c - mixtures of experts through the public library: what each expert is
 * given and gives by its name, gradients, edits and hooks on one expert. */
#include "library.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const mixtures[] = {"mixtral", "mixtral_merged", "qwen3_moe", "olmoe",
                                       "gpt_oss"};

/* Every tensor of the reference, experts by their numbers. */
static void test_captures(void **state)
{
    (void)state;
    for (size_t i = 0, experts = 0; i < sizeof mixtures / sizeof *mixtures; i++, experts = 0) {
        struct library l = library_open(mixtures[i], 1 << 20);
        const char **names = calloc(checkpoint_count(l.ref), sizeof *names);
        int n = 0;
        for (size_t k = 0; k < checkpoint_count(l.ref); k++)
            if (strcmp(checkpoint_at(l.ref, k)->name, "logits"))
                names[n++] = checkpoint_at(l.ref, k)->name;
        struct bore_cache *c = library_cache(l.m, &l.pass, names, n);
        for (size_t k = 0; k < checkpoint_count(l.ref); k++) {
            const struct st_tensor *want = checkpoint_at(l.ref, k);
            struct bore_tensor t;
            struct bore_error e = {0};
            if (!strcmp(want->name, "logits") || want->dtype != ST_F32)
                continue;
            library_ok(bore_cache_get(c, want->name, &t, &e), &e);
            assert_int_equal(library_count(&t), st_count(want));
            double d = fixture_error(t.data, want->data, library_count(&t));
            if (!(d <= 1e-5))
                fail_msg("%s: %s differs by %g", mixtures[i], want->name, d);
            experts += strstr(want->name, ".experts.") != NULL;
        }
        assert_true(experts >= 12);
        bore_cache_free(c);
        free(names);
        library_close(&l);
    }
}

static void test_gradients(void **state)
{
    (void)state;
    struct library l = library_open("mixtral", 1 << 20);
    struct checkpoint *st = fixture_file("mixtral", "grads.safetensors");
    struct bore_cache_options opt = {.incl_bwd = true};
    struct bore_error e = {0};
    struct bore_cache *c;
    l.pass.metric = checkpoint_metadata(st, "metric");
    library_ok(bore_run_with_cache(l.m, &l.pass, &opt, &c, NULL, &e), &e);
    int experts = 0;
    for (int i = 0; i < bore_cache_count(c); i++) {
        struct bore_tensor t;
        const struct st_tensor *want = checkpoint_find(st, bore_cache_at(c, i, &t));
        if (!want)
            continue;
        double d = fixture_error(t.data, want->data, library_count(&t));
        if (!(d <= 1e-4))
            fail_msg("%s differs by %g", want->name, d);
        experts += strstr(want->name, ".experts.") != NULL;
    }
    assert_true(experts >= 20);
    bore_cache_free(c);
    checkpoint_close(st);
    library_close(&l);
}

struct seen {
    const float *want; /* [pos, d_mlp] */
    int calls;
    bool looks;
};

/* Half of it, and a number where no position of this expert stands, which goes nowhere. */
static int halve(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct seen *s = user;
    s->calls++;
    assert_string_equal(at->name, "blocks.0.mlp.experts.3.hook_post");
    assert_true(t->rank == 3 && at->pos0 == 0);
    for (int64_t p = 0; p < t->shape[1]; p++) {
        bool there = false;
        for (int64_t k = 0; k < t->shape[2]; k++) {
            float *x = &t->data[p * t->stride[1] + k * t->stride[2]];
            assert_true(fabsf(*x - s->want[p * t->shape[2] + k]) <= 1e-5f);
            there |= *x != 0;
            *x *= s->looks ? 1 : 0.5f;
        }
        if (!there && !s->looks)
            t->data[p * t->stride[1]] = 1e6f;
    }
    return 0;
}

static bool only_expert(const char *name, void *user)
{
    (void)user;
    return !strcmp(name, "blocks.0.mlp.experts.3.hook_post");
}

/* A hook on one expert sees its positions, and does what the edit of the same words does. */
static void test_hooks(void **state)
{
    (void)state;
    struct library l = library_open("mixtral", 1 << 20);
    static const char name[] = "blocks.0.mlp.experts.3.hook_post",
                      *const edit[] = {"blocks.0.mlp.experts.3.hook_post *= 0.5"};
    struct seen seen = {.want = checkpoint_find(l.ref, name)->data};
    struct bore_error e = {0};
    struct bore_result plain = {0}, hooked = {0}, edited = {0}, looked = {0}, matched = {0};
    struct bore_hook h = {.name = name, .fn = halve, .user = &seen}, m = h;
    m.name = NULL, m.match = only_expert;
    struct bore_pass with = l.pass;
    with.edits = edit, with.n_edits = 1;
    library_ok(bore_run(l.m, &l.pass, &plain, &e), &e);
    library_ok(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, 0, &hooked, &e), &e);
    library_ok(bore_run_with_hooks(l.m, &l.pass, &m, 1, NULL, 0, 0, &matched, &e), &e);
    library_ok(bore_run(l.m, &with, &edited, &e), &e);
    seen.looks = true, h.flags = BORE_READS;
    library_ok(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, 0, &looked, &e), &e);
    assert_int_equal(seen.calls, 3);
    assert_true(library_same(&hooked.output, &edited.output));
    assert_true(library_same(&hooked.output, &matched.output));
    assert_true(library_same(&looked.output, &plain.output));
    assert_false(library_same(&hooked.output, &plain.output));
    h.flags = 0;
    library_ok(bore_add_hook(l.m, BORE_FORWARD, &h, &e), &e);
    assert_true(bore_has_hooks(l.m, name, BORE_FORWARD, true, BORE_ANY_LEVEL));
    assert_false(bore_has_hooks(l.m, "blocks.0.mlp.experts.2.hook_post", BORE_FORWARD, true,
                                BORE_ANY_LEVEL));
    bore_result_free(&plain), bore_result_free(&hooked), bore_result_free(&edited);
    bore_result_free(&looked), bore_result_free(&matched);
    library_close(&l);
}

/* Twice the gradient of one expert, and a number where no position of it stands. */
static int twice(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct seen *s = user;
    s->calls++;
    assert_true(at->backward && t->rank == 3);
    for (int64_t p = 0; p < t->shape[1]; p++) {
        bool there = false;
        for (int64_t k = 0; k < t->shape[2]; k++) {
            float *x = &t->data[p * t->stride[1] + k * t->stride[2]];
            assert_true(fabsf(*x - s->want[p * t->shape[2] + k]) <= 1e-4f);
            there |= *x != 0;
            *x *= s->looks ? 1 : 2;
        }
        if (!there && !s->looks)
            t->data[p * t->stride[1]] = 1e6f;
    }
    return 0;
}

/* The gradient of the embedding in a pass. */
static struct bore_tensor embed_grad(struct library *l, const struct bore_pass *pass,
                                     struct bore_cache **c)
{
    static const char *const names[] = {"hook_embed"};
    struct bore_cache_options opt = {.names = names, .n_names = 1, .incl_bwd = true};
    struct bore_error e = {0};
    struct bore_tensor t;
    library_ok(bore_run_with_cache(l->m, pass, &opt, c, NULL, &e), &e);
    library_ok(bore_cache_get(*c, "hook_embed_grad", &t, &e), &e);
    return t;
}

/* A backward hook on one expert sees its gradient, and does what an edit of that does. */
static void test_backward_hooks(void **state)
{
    (void)state;
    struct library l = library_open("mixtral", 1 << 20);
    struct checkpoint *st = fixture_file("mixtral", "grads.safetensors");
    static const char name[] = "blocks.0.mlp.experts.3.hook_post",
                      *const edit[] = {"blocks.0.mlp.experts.3.hook_post_grad *= 2"};
    struct seen seen = {.want = checkpoint_find(st, "blocks.0.mlp.experts.3.hook_post_grad")->data};
    struct bore_hook h = {.name = name, .fn = twice, .user = &seen};
    struct bore_error e = {0};
    struct bore_cache *c[4];
    struct bore_tensor t[4];
    l.pass.metric = checkpoint_metadata(st, "metric");
    struct bore_pass with = l.pass;
    with.edits = edit, with.n_edits = 1;
    t[0] = embed_grad(&l, &l.pass, &c[0]);
    t[1] = embed_grad(&l, &with, &c[1]);
    library_ok(bore_add_hook(l.m, BORE_BACKWARD, &h, &e), &e);
    t[2] = embed_grad(&l, &l.pass, &c[2]);
    seen.looks = true;
    t[3] = embed_grad(&l, &l.pass, &c[3]);
    assert_int_equal(seen.calls, 2);
    assert_true(library_same(&t[1], &t[2]) && library_same(&t[0], &t[3]));
    assert_false(library_same(&t[0], &t[1]));
    for (int i = 0; i < 4; i++)
        bore_cache_free(c[i]);
    checkpoint_close(st);
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captures),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_backward_hooks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
