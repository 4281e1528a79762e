/* test_hook_values.c - what hooks of the public library do to values and gradients: a hook that
 * does what an edit does gives the edit's bits everywhere. */
#include "library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_firing_order),
        cmocka_unit_test(test_every_site),
        cmocka_unit_test(test_replayed_edits),
        cmocka_unit_test(test_attention_to_later_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
