/* test_library_names.c - the library by the names of other libraries: what is captured, what hooks
 * see and change, against the tensors of Hugging Face's modules and what a hook there does (the
 * fixtures' hf.safetensors), and against the same thing by TransformerLens' names. */
#include "library.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Every tensor that a module takes or gives and every hook of the bridge: same shape, same numbers.
 */
static void test_captures(void **state)
{
    (void)state;
    char **models = fixture_names(true);
    int total = 0;
    for (char **model = models; *model; model++) {
        struct library l = library_open(*model, 1 << 20);
        struct checkpoint *hf = fixture_file(*model, "hf.safetensors");
        struct js_doc *shows = fixture_json(hf, "shows");
        static const char *const lists[] = {"modules", "bridge"};
        for (int k = 0; k < 2; k++) {
            struct js_doc *names = fixture_json(hf, lists[k]);
            for (size_t i = 0; i < js_count(js_root(names)); i++) {
                const char *name, *stored;
                struct bore_error e = {0};
                struct bore_tensor t;
                struct js_node row;
                assert_int_equal(js_string(js_at(js_root(names), i), &name, NULL, NULL), 0);
                row = js_get(js_root(shows), name);
                assert_int_equal(js_string(js_at(row, 0), &stored, NULL, NULL), 0);
                struct bore_cache_options opt = {.names = &name, .n_names = 1};
                struct bore_cache *c;
                if (bore_run_with_cache(l.m, &l.pass, &opt, &c, NULL,
                                        &e)) { /* names that mean nothing here say why */
                    assert_non_null(strstr(e.text, "·"));
                    continue;
                }
                library_ok(bore_cache_get(c, name, &t, &e), &e);
                const struct st_tensor *want = checkpoint_find(hf, stored);
                want = want ? want : checkpoint_find(l.ref, stored);
                struct js_node shape = js_at(row, 1);
                if (want && want->dtype == ST_F32) {
                    int lack = t.rank - (int)js_count(shape); /* batch and positions as one axis */
                    assert_true(lack == 0 || lack == 1);
                    for (int d = lack; d < t.rank; d++) {
                        int64_t size;
                        assert_int_equal(
                            js_int(js_at(shape, (size_t)(d - lack)), 0, INT32_MAX, &size, NULL), 0);
                        if (t.shape[d] != size)
                            fail_msg("%s %s: axis %d is %d, not %d", *model, name, d,
                                     (int)t.shape[d], (int)size);
                    }
                    double error = fixture_error(t.data, want->data, library_count(&t));
                    if (!(error <= 1e-5))
                        fail_msg("%s %s differs by %g", *model, name, error);
                    total++;
                }
                bore_cache_free(c);
            }
            js_close(names);
        }
        js_close(shows);
        checkpoint_close(hf);
        library_close(&l);
    }
    fixture_names_free(models);
    print_message("%d tensors under other libraries' names\n", total);
    assert_true(total > 350);
}

/* The fixtures' edits, "[2:, {1,4..5}] *= -0.5" and of rotary tables "[2:, 1:3] *= -0.5", as a
 * function. */
static int change(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    bool table = strstr(at->name, "rotary_emb.output");
    int columns[] = {1, table ? 2 : 4, 5}, *calls = user;
    ++*calls;
    assert_int_equal(t->rank, 3);
    assert_int_equal(at->pos0, 0);
    for (int64_t p = 2; p < t->shape[1]; p++)
        for (int i = 0; i < (table ? 2 : 3); i++)
            t->data[p * t->stride[1] + columns[i] * t->stride[2]] *= -0.5f;
    return 0;
}

/* A hook on a module's tensor does what it does in Hugging Face; it is called once. */
static void test_hooks(void **state)
{
    (void)state;
    char **models = fixture_names(true);
    int done = 0;
    for (char **model = models; *model; model++) {
        struct library l = library_open(*model, 1 << 20);
        struct checkpoint *hf = fixture_file(*model, "hf.safetensors");
        struct js_doc *names = fixture_json(hf, "edited");
        const struct st_tensor *want = checkpoint_find(hf, "edited");
        for (int64_t i = 0; i < want->shape[0]; i++) {
            const char *name;
            int calls = 0;
            struct bore_error e = {0};
            struct bore_result out = {0};
            assert_int_equal(js_string(js_at(js_root(names), (size_t)i), &name, NULL, NULL), 0);
            struct bore_hook h = {.name = name, .fn = change, .user = &calls};
            library_ok(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, 0, &out, &e), &e);
            assert_int_equal(calls, 1);
            const float *last = out.output.data + (l.pass.cols - 1) * out.output.stride[1];
            double error = fixture_error(last, (const float *)want->data + i * want->shape[1],
                                         (size_t)want->shape[1]);
            if (!(error <= 1e-5))
                fail_msg("%s %s: logits differ by %g", *model, name, error);
            bore_result_free(&out);
            assert_int_equal(bore_hook_count(l.m), 0);
            done++;
        }
        js_close(names);
        checkpoint_close(hf);
        library_close(&l);
    }
    fixture_names_free(models);
    print_message("%d hooks on modules\n", done);
    assert_true(done > 150);
}

struct seen {
    char name[64];
    float first;
    int calls, rank;
    int64_t shape[BORE_RANK_MAX];
};

static int look(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct seen *s = user;
    snprintf(s->name, sizeof s->name, "%s", at->name);
    s->first = t->data[0];
    s->rank = t->rank;
    memcpy(s->shape, t->shape, sizeof s->shape);
    s->calls++;
    return 0;
}

/* One hook is one hook, however many sites it needs; removal and questions by any name of its
 * point. */
static void test_lifecycle(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct seen fused = {.calls = 0}, flat = {.calls = 0}, input = {.calls = 0};
    struct bore_hook hooks[] = {
        {.name = "transformer.h.1.attn.c_attn.output",
         .fn = look,
         .user = &fused,
         .flags = BORE_READS},
        {.name = "model.transformer.h[1].attn.c_proj.input", .fn = look, .user = &flat},
        {.name = "transformer.h.1.ln_1.input", .fn = look, .user = &input},
    };
    for (int i = 0; i < 3; i++)
        library_ok(bore_add_hook(l.m, BORE_FORWARD, &hooks[i], &e), &e);
    assert_int_equal(bore_hook_count(l.m), 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(bore_hook_at(l.m, i).name, hooks[i].name);
        assert_true(bore_hook_at(l.m, i).user == hooks[i].user && bore_hook_at(l.m, i).fn == look);
        assert_int_equal(bore_hook_at(l.m, i).flags, hooks[i].flags);
    }
    library_ok(bore_run(l.m, &l.pass, NULL, &e), &e);
    assert_int_equal(fused.calls, 1);
    assert_int_equal(fused.shape[2], 45);
    assert_int_equal(flat.calls, 1);
    assert_int_equal(flat.shape[2], 15);
    assert_int_equal(input.calls, 1);
    assert_string_equal(input.name, "transformer.h.1.ln_1.input");
    assert_true(bore_has_hooks(l.m, "blocks.1.attn.hook_z", BORE_FORWARD, false,
                               BORE_ANY_LEVEL)); /* the same tensor */
    assert_false(bore_has_hooks(l.m, "blocks.1.attn.hook_q", BORE_FORWARD, false,
                                BORE_ANY_LEVEL)); /* a part of another's */
    assert_true(bore_has_hooks(l.m, "h.1.attn.c_attn.output", BORE_FORWARD, false, BORE_ANY_LEVEL));
    library_ok(
        bore_remove_hooks(l.m, "blocks.*.attn.hook_{q,k,v}", BORE_BOTH, true, BORE_ANY_LEVEL, &e),
        &e);
    assert_int_equal(bore_hook_count(l.m), 3);
    library_ok(bore_remove_hooks(l.m, "transformer.h.*.attn.c_attn.output", BORE_BOTH, false,
                                 BORE_ANY_LEVEL, &e),
               &e);
    assert_int_equal(bore_hook_count(l.m), 2);
    library_ok(
        bore_remove_hooks(l.m, "layer_1_attn_pre_out", BORE_FORWARD, false, BORE_ANY_LEVEL, &e),
        &e);
    assert_int_equal(bore_hook_count(l.m), 1);
    assert_string_equal(bore_hook_at(l.m, 0).name, "transformer.h.1.ln_1.input");
    assert_int_equal(
        bore_remove_hooks(l.m, "transformer.h.1.ln_9.input", BORE_BOTH, false, BORE_ANY_LEVEL, &e),
        BORE_BAD_INPUT);
    bore_reset_hooks(l.m, true, BORE_BOTH, true, BORE_ANY_LEVEL);
    assert_int_equal(bore_hook_count(l.m), 0);
    assert_ptr_equal(bore_context(l.m, "transformer.h.1.attn.c_proj.input"),
                     bore_context(l.m, "blocks.1.attn.hook_z"));
    /* a level that fails leaves none of its hooks */
    int level;
    struct bore_hook two[] = {hooks[0], {.name = "transformer.h.0.attn.output[1]", .fn = look}};
    assert_int_equal(bore_enter(l.m, two, 2, NULL, 0, &level, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "BORE_READS"));
    assert_int_equal(bore_hook_count(l.m), 0);
    assert_int_equal(bore_level(l.m), 0);
    library_close(&l);
}

static int add_one(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)at, (void)user;
    for (int64_t p = 0; p < t->shape[1]; p++)
        for (int64_t k = 0; k < t->shape[2]; k++)
            t->data[p * t->stride[1] + k * t->stride[2]] += 0.125f * (float)(k % 4);
    return 0;
}

static int times_two(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)user;
    assert_true(at->backward);
    int64_t d[4] = {1, 1, 1, 1}, st[4] = {0};
    for (int i = 0; i < t->rank; i++)
        d[i] = t->shape[i], st[i] = t->stride[i];
    for (int64_t p = 0; p < d[1]; p++)
        for (int64_t h = 0; h < d[2]; h++)
            for (int64_t k = 0; k < d[3]; k++)
                t->data[p * st[1] + h * st[2] + k * st[3]] *= 2;
    return 0;
}

/* Gradients by other names are those of the parts; backward hooks where there is one tensor. */
static void test_gradients(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_tensor fused, part, flat, z;
    l.pass.metric = "logit[-1, 7] - logit[-1, 19]";
    static const char *const names[] = {
        "blocks.1.attn.hook_{q,k,v,z}", "transformer.h.1.attn.c_attn.output",
        "transformer.h.1.attn.c_proj.input", "transformer.h.1.ln_1.input",
        "blocks.1.hook_{q,k,v}_input"};
    struct bore_cache *c = library_cache(l.m, &l.pass, names, 5);
    library_ok(bore_cache_get(c, "transformer.h.1.attn.c_attn.output_grad", &fused, &e), &e);
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "blocks.1.attn.hook_%c_grad", "qkv"[i]);
        library_ok(bore_cache_get(c, name, &part, &e), &e);
        for (int64_t p = 0; p < part.shape[1]; p++)
            assert_memory_equal(part.data + p * 15, fused.data + p * 45 + i * 15,
                                15 * sizeof(float));
    }
    library_ok(bore_cache_get(c, "transformer.h.1.attn.c_proj.input_grad", &flat, &e), &e);
    library_ok(bore_cache_get(c, "blocks.1.attn.hook_z_grad", &z, &e), &e);
    assert_memory_equal(flat.data, z.data, library_count(&z) * sizeof(float));
    /* the input of a norm: the sum over heads of three */
    library_ok(bore_cache_get(c, "transformer.h.1.ln_1.input_grad", &flat, &e), &e);
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "blocks.1.hook_%c_input_grad", "qkv"[i]);
        library_ok(bore_cache_get(c, name, &part, &e), &e);
        for (int h = 0; h < 3; h++)
            sum += (double)part.data[3 * part.stride[1] + h * part.stride[2] + 4];
    }
    assert_true(fabs(sum - (double)flat.data[3 * flat.stride[1] + 4]) < 1e-6);
    /* captured by one name, got by another */
    struct bore_tensor t;
    library_ok(bore_cache_get(c, "blocks.1.attn.o.hook_in", &t, &e), &e);
    assert_int_equal(t.rank, 4);
    library_ok(bore_cache_get(c, "layer_1_attn_pre_out", &t, &e), &e);
    assert_int_equal(bore_cache_get(c, "transformer.h.0.attn.c_proj.input", &t, &e),
                     BORE_BAD_INPUT);
    bore_cache_free(c);
    library_close(&l);
}

static void test_backward_hooks(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_tensor t, part;
    l.pass.metric = "logit[-1, 7] - logit[-1, 19]";
    /* by any name, heads joined or not */
    static const char *const up[] = {"blocks.0.hook_resid_pre"};
    static const char *const same[][2] = {
        {"transformer.h.2.mlp.output", "blocks.2.hook_mlp_out"},
        {"transformer.h.2.attn.c_proj.input", "blocks.2.attn.hook_z"}};
    struct bore_cache *plain = library_cache(l.m, &l.pass, up, 1), *hooked[2];
    library_ok(bore_cache_get(plain, "blocks.0.hook_resid_pre_grad", &t, &e), &e);
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            struct bore_hook h = {.name = same[i][k], .fn = times_two};
            library_ok(bore_add_hook(l.m, BORE_BACKWARD, &h, &e), &e);
            hooked[k] = library_cache(l.m, &l.pass, up, 1);
            bore_reset_hooks(l.m, true, BORE_BOTH, true, BORE_ANY_LEVEL);
        }
        library_same_caches(hooked[0], hooked[1], same[i][0]);
        library_ok(bore_cache_get(hooked[0], "blocks.0.hook_resid_pre_grad", &part, &e), &e);
        assert_false(library_same(&t, &part));
        bore_cache_free(hooked[0]), bore_cache_free(hooked[1]);
    }
    bore_cache_free(plain);
    /* refusals say what to do */
    static const struct {
        const char *name;
        unsigned flags;
        enum bore_direction d;
        const char *says;
    } bad[] = {
        {"transformer.h.0.attn.c_attn.output", 0, BORE_BACKWARD, "hook_q, hook_k and hook_v"},
        {"transformer.h.0.ln_1.input", 0, BORE_BACKWARD, "hook_q_input"},
        {"transformer.h.0.attn.output[1]", 0, BORE_FORWARD, "edit attn.hook_pattern"},
        {"transformer.h.0.mlp.outputt", 0, BORE_FORWARD, "transformer.h.0.mlp.output"},
        {"transformer.wte.input", 0, BORE_BACKWARD, "no gradient"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bore_hook b = {.name = bad[i].name, .fn = add_one, .flags = bad[i].flags};
        assert_int_equal(bore_add_hook(l.m, bad[i].d, &b, &e), BORE_BAD_INPUT);
        if (!strstr(e.text, bad[i].says))
            fail_msg("%s: %s", bad[i].name, e.text);
    }
    struct bore_hook b = {.name = "transformer.h.1.attn.c_attn.output", .fn = add_one};
    assert_int_equal(bore_run_with_hooks(l.m, &l.pass, &b, 1, NULL, 0, 0, NULL, &e),
                     BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "BORE_GRAD_PASS"));
    b.flags = BORE_GRAD_PASS;
    library_ok(bore_run_with_hooks(l.m, &l.pass, &b, 1, NULL, 0, 0, NULL, &e), &e);
    library_close(&l);
}

/* With padding, in generation, and through caching hooks. */
static void test_everywhere(void **state)
{
    (void)state;
    struct library l = library_open("gpt_neox", 1 << 20);
    struct bore_error e = {0};
    int32_t text[2][5] = {{9, 9, 3, 17, 42}, {3, 17, 42, 8, 11}};
    uint8_t mask[2][5] = {{0, 0, 1, 1, 1}, {1, 1, 1, 1, 1}};
    static const char *const names[] = {"gpt_neox.layers.1.attention.query_key_value.output"};
    struct bore_hook h = {.name = "gpt_neox.layers.0.attention.query_key_value.output",
                          .fn = add_one};
    struct bore_pass both = {.tokens = text[0], .mask = mask[0], .rows = 2, .cols = 5},
                     one = {.tokens = text[0] + 2, .rows = 1, .cols = 3};
    library_ok(bore_add_hook(l.m, BORE_FORWARD, &h, &e), &e);
    struct bore_cache *a = library_cache(l.m, &both, names, 1),
                      *b = library_cache(l.m, &one, names, 1);
    struct bore_tensor x, y;
    bore_cache_at(a, 0, &x), bore_cache_at(b, 0, &y);
    assert_int_equal(x.shape[2], 72);
    assert_true(isnan(x.data[0]));
    assert_memory_equal(x.data + 2 * 72, y.data, 3 * 72 * sizeof(float));
    bore_cache_free(a);
    struct bore_cache_options opt = {
        .names = names, .n_names = 1, .pos = {.kind = BORE_ONE, .start = -1}};
    struct bore_cache *kept;
    library_ok(bore_add_caching_hooks(l.m, &opt, &kept, &e), &e);
    library_ok(bore_run(l.m, &one, NULL, &e), &e);
    library_ok(bore_cache_get(kept, names[0], &x, &e), &e);
    assert_int_equal(x.rank, 2);
    assert_memory_equal(x.data, y.data + 2 * 72, 72 * sizeof(float));
    bore_reset_hooks(l.m, true, BORE_BOTH, true, BORE_ANY_LEVEL);
    bore_cache_free(kept), bore_cache_free(b);
    /* names of a point, and back */
    int i = bore_point_find(l.m, "model.gpt_neox.layers[1].mlp.output", &e);
    assert_string_equal(bore_point_at(l.m, i, 1, 1).name, "blocks.1.hook_mlp_out");
    char name[128];
    assert_true(bore_point_name(l.m, i, BORE_HUGGING_FACE, 0, name, sizeof name));
    assert_string_equal(name, "gpt_neox.layers.1.mlp.output");
    assert_true(bore_point_name(l.m, i, BORE_TAKER, 0, name, sizeof name));
    assert_string_equal(name, "layer_1_post_mlp");
    assert_false(bore_point_name(l.m, i, BORE_HUGGING_FACE, 9, name, sizeof name));
    assert_false(bore_point_name(l.m, i, BORE_HUGGING_FACE, 0, name, 5));
    assert_int_equal(bore_point_find(l.m, "gpt_neox.layers.0.attention.query_key_value.output", &e),
                     BORE_BAD_INPUT);
    library_close(&l);
}

static int keep_first(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct bore_tensor *seen = user;
    (void)at;
    *seen = *t;
    seen->data = NULL;
    return 0;
}

/* Heads before positions, as old rotary modules took the values: positions are the third axis. */
static void test_heads_first(void **state)
{
    (void)state;
    struct library l = library_open("llama", 1 << 20);
    struct bore_error e = {0};
    static const char *const names[] = {"model.layers.1.self_attn.rotary_emb.input",
                                        "blocks.1.attn.hook_v"};
    struct bore_cache_options opt = {
        .names = names, .n_names = 2, .pos = {BORE_RANGE, 1, 6, 2, NULL, 0}};
    for (int hooks = 0; hooks < 2; hooks++) {
        struct bore_cache *c;
        struct bore_tensor x, v;
        if (hooks) {
            library_ok(bore_add_caching_hooks(l.m, &opt, &c, &e), &e);
            library_ok(bore_run(l.m, &l.pass, NULL, &e), &e);
        } else {
            library_ok(bore_run_with_cache(l.m, &l.pass, &opt, &c, NULL, &e), &e);
        }
        library_ok(bore_cache_get(c, names[0], &x, &e), &e);
        library_ok(bore_cache_get(c, names[1], &v, &e), &e);
        assert_int_equal(x.rank, 4);
        assert_true(x.shape[1] == v.shape[2] && x.shape[2] == 3 && x.shape[3] == v.shape[3]);
        for (int64_t h = 0; h < x.shape[1]; h++)
            for (int64_t p = 0; p < 3; p++)
                for (int64_t d = 0; d < x.shape[3]; d++)
                    assert_true(library_at(&x, 0, h, p, d) == library_at(&v, 0, p, h, d));
        bore_reset_hooks(l.m, true, BORE_BOTH, true, BORE_ANY_LEVEL);
        bore_cache_free(c);
    }
    struct bore_tensor seen = {0};
    struct bore_hook h = {.name = names[0], .fn = keep_first, .user = &seen};
    assert_int_equal(bore_add_hook(l.m, BORE_FORWARD, &h, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "edit attn.hook_v"));
    h.flags = BORE_READS;
    library_ok(bore_add_hook(l.m, BORE_FORWARD, &h, &e), &e);
    library_ok(bore_run(l.m, &l.pass, NULL, &e), &e);
    assert_true(seen.rank == 4 && seen.shape[1] == 2 && seen.shape[2] == l.pass.cols);
    library_close(&l);
}

/* TransformerLens' axis of pos_slice: what the whole tensors hold there, through both kinds of
 * caching. */
static void test_library_axis(void **state)
{
    (void)state;
    struct library l = library_open("llama", 1 << 20);
    struct bore_error e = {0};
    static const struct {
        const char *name;
        int axis;
    } rows[] = {
        {"blocks.1.attn.hook_rot_q", 2},   {"blocks.0.hook_k_input", 2},
        {"blocks.1.attn.hook_q", 1},       {"blocks.0.attn.hook_result", 1},
        {"blocks.0.attn.hook_pattern", 2}, {"blocks.1.hook_resid_mid", 1},
        {"blocks.1.ln1.hook_scale", 1},
    };
    const int64_t list[] = {1, -1};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int hooks = 0; hooks < 2; hooks++) {
            const char *names[] = {rows[i].name};
            struct bore_cache *whole = library_cache(l.m, &l.pass, names, 1), *cut;
            struct bore_cache_options opt = {.names = names,
                                             .n_names = 1,
                                             .library_axis = true,
                                             .pos = {.kind = BORE_LIST, .list = list, .n = 2}};
            struct bore_tensor a, b;
            if (hooks) {
                library_ok(bore_add_caching_hooks(l.m, &opt, &cut, &e), &e);
                library_ok(bore_run(l.m, &l.pass, NULL, &e), &e);
            } else {
                library_ok(bore_run_with_cache(l.m, &l.pass, &opt, &cut, NULL, &e), &e);
            }
            bore_cache_at(whole, 0, &a), bore_cache_at(cut, 0, &b);
            assert_int_equal(a.rank, b.rank);
            for (int d = 0; d < a.rank; d++)
                assert_int_equal(b.shape[d], d == rows[i].axis ? 2 : a.shape[d]);
            for (int64_t k = 0; k < (int64_t)library_count(&b); k++) {
                int64_t from = 0, left = k;
                for (int d = a.rank - 1; d >= 0; left /= b.shape[d], d--) {
                    int64_t at = left % b.shape[d];
                    from += (d != rows[i].axis ? at : at ? a.shape[d] - 1 : 1) * a.stride[d];
                }
                assert_memory_equal(&b.data[k], &a.data[from], sizeof(float));
            }
            bore_reset_hooks(l.m, true, BORE_BOTH, true, BORE_ANY_LEVEL);
            bore_cache_free(whole), bore_cache_free(cut);
        }
    /* a head that is not there, where that rule takes heads */
    const char *names[] = {"blocks.1.attn.hook_rot_q"};
    struct bore_cache_options opt = {
        .names = names, .n_names = 1, .library_axis = true, .pos = {.kind = BORE_ONE, .start = 7}};
    struct bore_cache *c;
    assert_int_equal(bore_run_with_cache(l.m, &l.pass, &opt, &c, NULL, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "head 7"));
    opt.library_axis = false;
    library_ok(bore_run_with_cache(l.m, &l.pass, &opt, &c, NULL, &e), &e);
    bore_cache_free(c);
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captures),       cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_lifecycle),      cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_backward_hooks), cmocka_unit_test(test_everywhere),
        cmocka_unit_test(test_heads_first),    cmocka_unit_test(test_library_axis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
