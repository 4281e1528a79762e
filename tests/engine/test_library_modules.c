/* test_library_modules.c - modules of the public library, called by any library's path, and hidden
 * states. */
#include "library.h"

#include <stdio.h>
#include <string.h>

/* Modules on captured inputs give the captured outputs, bit for bit. */
/* A module called on one hook's values gives another's, bit for bit. */
static void check_call(const struct library *l, const char *model, const char *module,
                       const char *in, const char *out)
{
    struct bore_error e = {0};
    const char *names[] = {in, out};
    struct bore_cache *c = library_cache(l->m, &l->pass, names, 2);
    struct bore_tensor x, y, got = {0};
    library_ok(bore_cache_get(c, in, &x, &e), &e);
    library_ok(bore_cache_get(c, out, &y, &e), &e);
    library_ok(bore_call(l->m, module, x.data, l->pass.cols, &got, &e), &e);
    assert_int_equal(got.shape[0], l->pass.cols);
    assert_int_equal(got.shape[1], y.shape[2] * (y.rank > 3 ? y.shape[3] : 1));
    if (memcmp(got.data, y.data, (size_t)(got.shape[0] * got.shape[1]) * sizeof(float)))
        fail_msg("%s: %s differs from %s", model, module, out);
    bore_tensor_free(&got);
    bore_cache_free(c);
}

static void test_own_modules(void **state)
{
    (void)state;
    static const struct {
        const char *module, *in, *out, *other; /* in where norms stand after, NULL: the same */
    } calls[] = {
        {"blocks.1", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_post", NULL},
        {"blocks.0", "blocks.0.hook_resid_pre", "blocks.0.hook_resid_post", NULL},
        {"blocks.1.ln1", "blocks.1.hook_resid_pre", "blocks.1.ln1.hook_out",
         "blocks.1.hook_attn_out"},
        {"blocks.1.attn", "blocks.1.ln1.hook_out", "blocks.1.attn.o.hook_out",
         "blocks.1.hook_resid_pre"},
        {"blocks.0.ln2", "blocks.0.hook_mlp_in", "blocks.0.ln2.hook_out", "blocks.0.hook_mlp_out"},
        {"blocks.0.mlp", "blocks.0.ln2.hook_out", "blocks.0.mlp.out.hook_out",
         "blocks.0.hook_mlp_in"},
        {"unembed", "unembed.hook_in", "unembed.hook_out", NULL},
        {"blocks.1.attn.q", "blocks.1.ln1.hook_out", "blocks.1.attn.hook_q",
         "blocks.1.hook_resid_pre"},
        {"blocks.1.attn.k", "blocks.1.ln1.hook_out", "blocks.1.attn.hook_k",
         "blocks.1.hook_resid_pre"},
        {"blocks.0.attn.v", "blocks.0.ln1.hook_out", "blocks.0.attn.hook_v",
         "blocks.0.hook_resid_pre"},
        {"blocks.0.attn.o", "blocks.0.attn.hook_z", "blocks.0.attn.o.hook_out", NULL},
        {"blocks.1.mlp.out", "blocks.1.mlp.hook_post", "blocks.1.mlp.out.hook_out", NULL},
    };
    char **models = fixture_names(true);
    for (char **model = models; *model; model++) {
        struct library l = library_open(*model, 1 << 20);
        struct bore_error e = {0};
        char last[64];
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
            check_call(&l, *model, calls[i].module,
                       calls[i].other && !strcmp(*model, "olmo2") ? calls[i].other : calls[i].in,
                       calls[i].out);
        snprintf(last, sizeof last, "blocks.%d.hook_resid_post",
                 bore_model_shape(l.m).n_layers - 1);
        check_call(&l, *model, "ln_final", last, "unembed.hook_in");
        if (!strcmp(*model, "gemma2")) {
            check_call(&l, *model, "blocks.1.ln1_post", "blocks.1.attn.hook_out",
                       "blocks.1.hook_attn_out");
            check_call(&l, *model, "blocks.0.ln2_post", "blocks.0.mlp.hook_out",
                       "blocks.0.hook_mlp_out");
        }
        float x = 0;
        struct bore_tensor t;
        assert_int_equal(bore_call(l.m, "blocks.0.att", &x, 1, &t, &e), BORE_BAD_INPUT);
        assert_int_equal(bore_call(l.m, "blocks.99", &x, 1, &t, &e), BORE_BAD_INPUT);
        assert_int_equal(bore_call(l.m, "unembed", &x, 0, &t, &e), BORE_BAD_INPUT);
        library_close(&l);
    }
    fixture_names_free(models);
}

/* One module by its path: what it captured as input gives its output, bit for bit.  false: no
 * module that can be called. */
static bool module_agrees(struct library *l, const char *path)
{
    char in[200], out[200];
    const char *names[] = {in, out};
    struct bore_error e = {0};
    struct bore_cache *c;
    struct bore_tensor x, y, got;
    struct bore_cache_options opt = {.names = names, .n_names = 2, .remove_batch = true};
    snprintf(in, sizeof in, "%s.input", path);
    for (int tuple = 0; tuple < 2; tuple++) {
        snprintf(out, sizeof out, "%s.output%s", path, tuple ? "[0]" : "");
        if (bore_run_with_cache(l->m, &l->pass, &opt, &c, NULL, &e))
            continue;
        library_ok(bore_cache_get(c, in, &x, &e), &e);
        library_ok(bore_cache_get(c, out, &y, &e), &e);
        bool called = bore_call(l->m, path, x.data, l->pass.cols, &got, &e) == 0;
        if (!called && !strstr(e.text, "that can be called"))
            fail_msg("%s: %s", path, e.text);
        if (called) {
            assert_int_equal(got.shape[1], y.shape[1]);
            if (memcmp(got.data, y.data, library_count(&y) * sizeof(float)))
                fail_msg("%s: its output is another when it is called", path);
            bore_tensor_free(&got);
        }
        bore_cache_free(c);
        if (called)
            return true;
    }
    return false;
}

static void test_modules(void **state)
{
    (void)state;
    char **models = fixture_names(true);
    int called = 0;
    for (char **model = models; *model; model++) {
        struct library l = library_open(*model, 1 << 20);
        struct checkpoint *hf = fixture_file(*model, "hf.safetensors");
        struct js_doc *names = fixture_json(hf, "modules");
        for (size_t i = 0; i < js_count(js_root(names)); i++) {
            const char *name, *dot;
            char path[160];
            assert_int_equal(js_string(js_at(js_root(names), i), &name, NULL, NULL), 0);
            dot = strrchr(name, '.');
            snprintf(path, sizeof path, "%.*s", (int)(dot - name), name);
            if (!strcmp(dot, ".input"))
                called += module_agrees(&l, path);
        }
        js_close(names);
        checkpoint_close(hf);
        library_close(&l);
    }
    fixture_names_free(models);
    print_message("%d modules called by their paths\n", called);
    assert_true(called > 100);
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_tensor t;
    float x[15] = {0};
    assert_int_equal(bore_call(l.m, "transformer.h.0.attn.c_attn", x, 1, &t, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_call(l.m, "transformer.h.7.mlp", x, 1, &t, &e), BORE_BAD_INPUT);
    library_close(&l);
}

static void test_hidden_states(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "gpt_neox", "llama"};
    for (int k = 0; k < 3; k++) {
        struct library l = library_open(models[k], 1 << 20);
        struct bore_error e = {0};
        struct bore_tensor t = {0};
        int layers = bore_model_shape(l.m).n_layers;
        library_ok(bore_hidden_states(l.m, &l.pass, &t, &e), &e);
        assert_int_equal(t.rank, 4);
        assert_int_equal(t.shape[0], layers + 1);
        for (int i = 0; i <= layers; i++) {
            char name[64];
            snprintf(name, sizeof name, i < layers ? "blocks.%d.hook_resid_pre" : "unembed.hook_in",
                     i);
            const struct st_tensor *want = checkpoint_find(l.ref, name);
            assert_true(fixture_error(t.data + i * t.stride[0], want->data, (size_t)t.stride[0]) <=
                        1e-5);
        }
        bore_tensor_free(&t);
        l.pass.stops = true;
        assert_int_equal(bore_hidden_states(l.m, &l.pass, &t, &e), BORE_BAD_INPUT);
        library_close(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hidden_states),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_own_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
