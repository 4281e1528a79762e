/* test_lifecycle.c - hooks of the public library: the life of a hook as in TransformerLens'
 * hook_points.py, and what hooks do to values and gradients: a hook that does what an edit does
 * gives the edit's bits everywhere. */
#include "library.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

struct fired {
    char names[400][64];
    int n;
};

static int write_name(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct fired *f = user;
    assert_int_equal(t->shape[0], 1);
    assert_int_equal(at->pos0, 0);
    snprintf(f->names[f->n++], sizeof f->names[0], "%s", at->name);
    return 0;
}

static bool every(const char *name, void *user)
{
    (void)name, (void)user;
    return true;
}

/* All points at once, in TransformerLens' order, each once. */
static void test_firing_order(void **state)
{
    (void)state;
    char **names = fixture_names(true);
    for (char **name = names; *name; name++) {
        struct library l = library_open(*name, 1 << 20);
        struct bore_error e = {0};
        struct fired *f = calloc(1, sizeof *f);
        struct bore_hook h = {.match = every, .fn = write_name, .user = f};
        library_ok(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, 0, NULL, &e), &e);
        struct js_doc *doc = fixture_json(l.ref, "fired");
        int want = (int)js_count(js_root(doc)), k = 0;
        for (int i = 0; i < want; i++) {
            const char *s;
            assert_int_equal(js_string(js_at(js_root(doc), (size_t)i), &s, NULL, NULL), 0);
            if (k < f->n && !strcmp(f->names[k], s))
                k++;
            else /* ln1 fires three times there */
                assert_non_null(strstr(s, "ln1."));
        }
        assert_int_equal(k, f->n);
        js_close(doc);
        free(f);
        library_close(&l);
    }
    fixture_names_free(names);
}

static int nothing(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)t, (void)at, (void)user;
    return 0;
}

/* What `SITE[2:] OP number` does, as a hook. */
struct like_edit {
    char op;
    float number;
};

static int act(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    const struct like_edit *like = user;
    bool attn = strstr(at->name, "attn_scores") || strstr(at->name, "pattern");
    int axis = attn ? 2 : 1;
    int64_t d[4] = {1, 1, 1, 1}, st[4] = {0}, lo[4] = {0};
    for (int i = 0; i < t->rank; i++)
        d[i] = t->shape[i], st[i] = t->stride[i];
    lo[axis] = 2;
    for (int64_t a = lo[1]; a < d[1]; a++)
        for (int64_t b = lo[2]; b < d[2]; b++)
            for (int64_t c = 0; c < d[3]; c++) {
                float *x = t->data + a * st[1] + b * st[2] + c * st[3];
                *x = like->op == '*'   ? *x * like->number
                     : like->op == '+' ? *x + like->number
                                       : like->number;
            }
    return 0;
}

static void hook_against_edit(struct library *l, const char *name, struct like_edit like,
                              unsigned flags, const char *metric)
{
    char text[200];
    const char *attn = strstr(name, "attn_scores") || strstr(name, "pattern") ? ":, " : "",
               *edits[] = {text};
    snprintf(text, sizeof text, "%s[%s2:] %s %g", name, attn,
             like.op == '*'   ? "*="
             : like.op == '+' ? "+="
                              : "=",
             (double)like.number);
    struct bore_error e = {0};
    struct bore_pass edited = l->pass;
    edited.edits = edits, edited.n_edits = 1, edited.metric = metric;
    struct bore_cache *want = library_cache(l->m, &edited, NULL, 0);
    struct bore_hook h = {.name = name, .fn = act, .user = &like, .flags = flags},
                     id = {.name = name, .fn = nothing};
    int level;
    struct bore_pass hooked = l->pass;
    hooked.metric = metric;
    library_ok(bore_enter(l->m, &h, 1, NULL, 0, &level, &e), &e);
    struct bore_cache *got = library_cache(l->m, &hooked, NULL, 0);
    library_same_caches(want, got, text);
    bore_leave(l->m, level, false);
    bore_cache_free(got);
    /* before an identity hook, and upon a fork of an edited pass */
    library_ok(bore_enter(l->m, &id, 1, NULL, 0, &level, &e), &e);
    got = library_cache(l->m, &edited, NULL, 0);
    library_same_caches(want, got, "an identity hook");
    bore_leave(l->m, level, false);
    bore_cache_free(got), bore_cache_free(want);
}

/* Every site of every family, values kept and rematerialised, forward and backward. */
static void test_every_site(void **state)
{
    (void)state;
    char **names = fixture_names(true);
    int n = 0;
    for (char **name = names; *name; name++)
        for (size_t cache = 1; cache <= 1 << 20; cache <<= 20) {
            struct library l = library_open(*name, cache);
            for (int i = 0; i < bore_point_count(l.m); i++) {
                struct bore_point p = bore_point_at(l.m, i, 1, l.pass.cols);
                if (p.refused)
                    continue;
                struct like_edit set = {'=', 1}, mul = {'*', 0.5f}, plus = {'+', 0.25f};
                if (!strcmp(p.name, "hook_tokens")) {
                    hook_against_edit(&l, p.name, set, 0, NULL);
                    continue;
                }
                hook_against_edit(&l, p.name, set, 0, "logit[-1, 7] - logit[-1, 9]");
                if (cache == 1)
                    hook_against_edit(&l, p.name, plus, BORE_GRAD_PASS, "loss");
                else
                    hook_against_edit(&l, p.name, mul, 0, NULL);
                n++;
            }
            library_close(&l);
        }
    fixture_names_free(names);
    print_message("%d hooks equal their edits bit for bit\n", n);
}

/* Gradients of edits that must see the value again, under a hook at the same site. */
static void test_replayed_edits(void **state)
{
    (void)state;
    static const char *const edits[] = {"blocks.1.attn.hook_pattern[:, 3, 0] = 0, renormalize",
                                        "blocks.0.mlp.hook_post = clamp(-0.1, 0.1)"};
    for (size_t cache = 1; cache <= 1 << 20; cache <<= 20) {
        struct library l = library_open("llama", cache);
        struct bore_error e = {0};
        l.pass.edits = edits, l.pass.n_edits = 2, l.pass.metric = "loss";
        struct bore_cache *want = library_cache(l.m, &l.pass, NULL, 0);
        struct fired *f = calloc(1, sizeof *f);
        struct bore_hook h[] = {{.name = "blocks.1.attn.hook_pattern", .fn = write_name, .user = f},
                                {.name = "blocks.0.mlp.hook_post", .fn = write_name, .user = f}};
        int level;
        library_ok(bore_enter(l.m, h, 2, NULL, 0, &level, &e), &e);
        struct bore_cache *got = library_cache(l.m, &l.pass, NULL, 0);
        library_same_caches(want, got, "edits that are replayed");
        assert_int_equal(f->n, 2);
        bore_leave(l.m, level, false);
        free(f);
        bore_cache_free(want), bore_cache_free(got);
        library_close(&l);
    }
}

static int see_later(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)at, (void)user;
    t->data[t->stride[3] * (t->shape[3] - 1)] = 0.5f; /* [0, 0, 0, -1] */
    return 0;
}

static void test_attention_to_later_positions(void **state)
{
    (void)state;
    static const char *const sites[] = {"blocks.1.attn.hook_pattern",
                                        "blocks.1.attn.hook_attn_scores"};
    for (size_t cache = 1; cache <= 1 << 20; cache <<= 20)
        for (int i = 0; i < 2; i++) {
            struct library l = library_open("llama", cache);
            struct bore_error e = {0};
            char text[100];
            const char *edits[] = {text};
            snprintf(text, sizeof text, "%s[0, 0, -1] = 0.5", sites[i]);
            struct bore_pass edited = l.pass;
            edited.edits = edits, edited.n_edits = 1;
            struct bore_cache *want = library_cache(l.m, &edited, NULL, 0),
                              *plain = library_cache(l.m, &l.pass, NULL, 0);
            struct bore_hook h = {.name = sites[i], .fn = see_later};
            int level;
            library_ok(bore_enter(l.m, &h, 1, NULL, 0, &level, &e), &e);
            struct bore_cache *got = library_cache(l.m, &l.pass, NULL, 0);
            library_same_caches(want, got, text);
            bore_leave(l.m, level, false);
            struct bore_cache *again = library_cache(l.m, &l.pass, NULL, 0);
            library_same_caches(plain, again, "without it");
            bore_cache_free(want), bore_cache_free(plain), bore_cache_free(got),
                bore_cache_free(again);
            library_close(&l);
        }
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
        cmocka_unit_test(test_firing_order),
        cmocka_unit_test(test_every_site),
        cmocka_unit_test(test_replayed_edits),
        cmocka_unit_test(test_attention_to_later_positions),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_hooks_that_meddle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
