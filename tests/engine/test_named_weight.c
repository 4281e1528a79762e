/* test_named_weight.c - weights by the names of TransformerLens, Hugging Face, nnsight and taker:
 * Hugging Face's against the tensors of the checkpoint, the others against these; lists without
 * weights, cuts, refusals.  TransformerLens' values: test_process*.c. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/named_weight.h"
#include "model/process.h"

static struct named_weight find(const struct model *m, const char *name)
{
    struct named_weight w;
    struct err e = {0};
    if (named_weight_find(m, name, &w, &e))
        fail_msg("%s", e.text);
    return w;
}

static float *read_all(const struct model *m, const struct named_weight *w)
{
    float *v = malloc((size_t)named_weight_size(w) * sizeof *v + 1);
    named_weight_read(m, w, v);
    return v;
}

/* A tensor's elements, and its shape to `shape`: in MXFP4 matrices lie turned. */
static float *stored(const struct st_tensor *t, int64_t shape[CHECKPOINT_RANK_MAX])
{
    int64_t count = st_count(t);
    float *x = malloc((size_t)count * sizeof *x + 1);
    assert_true(st_decode(t, 0, count, x));
    for (int d = 0; d < CHECKPOINT_RANK_MAX; d++)
        shape[d] = t->shape[d];
    if (t->dtype != ST_MXFP4)
        return x;
    assert_int_equal(t->rank, 3);
    struct kn_view turned = kn_swap(kn_view3(x, KN_F32, shape[0], shape[1], shape[2]), 1, 2);
    float *y = malloc((size_t)count * sizeof *y);
    kn_pack(&turned, y);
    shape[1] = t->shape[2], shape[2] = t->shape[1];
    free(x);
    return y;
}

/* The tensor under another name that files have for it, or NULL: the one that means this weight. */
static const struct st_tensor *find_other(const struct model *m, const struct named_weight *w)
{
    for (size_t i = 0; i < checkpoint_count(m->files); i++) {
        const struct st_tensor *t = checkpoint_at(m->files, i);
        struct named_weight other;
        if (!named_weight_find(m, t->name, &other, NULL) && other.library == w->library &&
            other.part[0] == w->part[0] && other.layer == w->layer)
            return t;
    }
    return NULL;
}

/* Every tensor of the checkpoint that is a weight, under its name as it lies; nnsight's spelling
 * means the same. */
static void test_checkpoint(void **state)
{
    (void)state;
    char **models = fixture_names(false);
    int total = 0;
    for (char **model = models; *model; model++) {
        struct fixture f = fixture_open(*model);
        struct named_weight *list[2];
        struct err e = {0};
        int n = named_weight_list(f.m, LIBRARY_HF, &list[0], &e),
            n2 = named_weight_list(f.m, LIBRARY_NNSIGHT, &list[1], &e), seen = 0;
        assert_int_equal(n, n2);
        for (int i = 0; i < n; i++) {
            const struct named_weight *w = &list[0][i];
            const struct st_tensor *t = checkpoint_find(f.m->files, w->name);
            const char *bare = strchr(w->name, '.') + 1;
            t = t ? t : checkpoint_find(f.m->files, bare); /* published without the prefix */
            const struct arch *arch = f.m->cfg.arch;
            if (!t && arch->old_prefix) {
                char old[2 * LIMIT_NAME];
                snprintf(old, sizeof old, "%s%s", arch->old_prefix, w->name + strlen(arch->prefix));
                t = checkpoint_find(f.m->files, old);
            }
            t = t ? t : find_other(f.m, w);
            if (!t && w->part[0] == W_U)
                continue; /* tied; without the rows of no position */
            assert_non_null(t);
            int64_t shape[CHECKPOINT_RANK_MAX], size = 1;
            float *want = stored(t, shape);
            int ahead = 0; /* axes of one element that are left out; a patch's pixels are one */
            while (ahead + w->rank < t->rank && shape[ahead] == 1)
                ahead++;
            for (int d = ahead; d < t->rank; d++)
                size *= shape[d];
            assert_true(ahead + w->rank == t->rank || f.m->cfg.patch_size > 0);
            assert_int_equal(named_weight_size(w), size);
            for (int d = 0; d < w->rank && ahead + w->rank == t->rank; d++)
                assert_int_equal(w->shape[d], shape[ahead + d]);
            struct named_weight other = find(f.m, list[1][i].name);
            assert_int_equal(other.library,
                             strchr(list[1][i].name, '[') ? LIBRARY_NNSIGHT : LIBRARY_HF);
            float *v = read_all(f.m, w), *v2 = read_all(f.m, &other);
            for (int64_t k = 0; k < named_weight_size(w); k++)
                if (v[k] != want[k] || v2[k] != v[k])
                    fail_msg("%s %s: element %d", *model, w->name, (int)k);
            free(v), free(v2), free(want);
            seen++;
        }
        /* nothing is left out but buffers */
        for (size_t i = 0; i < checkpoint_count(f.m->files); i++) {
            const char *name = checkpoint_at(f.m->files, i)->name;
            bool buffer = strstr(name, "attn.bias") || strstr(name, "attention.bias") ||
                          strstr(name, "masked_bias") || strstr(name, "inv_freq") ||
                          strstr(name, "vision_tower") || strstr(name, "multi_modal") ||
                          strstr(name, "pooler") || strstr(name, "seq_relationship");
            struct named_weight w;
            if (!buffer && named_weight_find(f.m, name, &w, &e))
                fail_msg("%s: %s", *model, e.text);
        }
        total += seen;
        free(list[0]), free(list[1]);
        fixture_close(&f);
    }
    fixture_names_free(models);
    print_message("%d tensors of checkpoints\n", total);
    assert_true(total > 350);
}

/* taker's tensors out of TransformerLens': [head, d_head, d_model], and Linear's [out, in] for all
 * others. */
static void check_taker(const struct model *m, const struct named_weight *w)
{
    char name[LIMIT_NAME];
    const char *rest = strchr(strchr(w->name, '.') + 1, '.') + 1;
    snprintf(name, sizeof name, "blocks.%d.%s", (int)w->layer, rest);
    if (!strcmp(rest, "mlp.b_gate"))
        return; /* not a weight of TransformerLens */
    struct named_weight l = find(m, name);
    bool heads = !strncmp(rest, "attn.W_", 7), out = !strcmp(rest, "attn.W_O");
    float *a = read_all(m, w), *b = read_all(m, &l);
    int64_t n = named_weight_size(w);
    assert_int_equal(n, named_weight_size(&l));
    for (int64_t i = 0; i < n; i++) {
        int64_t j = i;
        if (w->rank == 3) { /* [h, e, d] of [h, d, e] */
            int64_t e = w->shape[1], d = w->shape[2];
            j = i / (e * d) * e * d + i % d * e + i / d % e;
        } else if (w->rank == 2 && (out || !heads) &&
                   strncmp(rest, "attn.b_", 7)) { /* [out, in] of [in, out] */
            j = i % w->shape[1] * w->shape[0] + i / w->shape[1];
        }
        if (a[i] != b[j])
            fail_msg("%s: element %d", w->name, (int)i);
    }
    free(a), free(b);
}

static void test_taker(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "gpt_neox", "llama_tied", "llama"};
    for (int i = 0; i < 4; i++) {
        struct fixture f = fixture_open(models[i]);
        struct named_weight *list;
        struct err e = {0};
        int n = named_weight_list(f.m, LIBRARY_TAKER, &list, &e);
        bool grouped = f.m->cfg.n_heads != f.m->cfg.n_kv_heads;
        assert_true(n > 10);
        for (int k = 0; k < n; k++)
            check_taker(f.m, &list[k]);
        free(list);
        struct named_weight w;
        if (grouped) {
            assert_int_equal(named_weight_find(f.m, "layers.0.attn.W_K", &w, &e), ERR_BAD_INPUT);
            assert_non_null(strstr(e.text, "k_proj.weight"));
        }
        if (f.m->cfg.gated) {
            struct named_weight module = find(f.m, "layers[1].attn.k_proj.weight"),
                                hf = find(f.m, "model.layers.1.self_attn.k_proj.weight");
            float *a = read_all(f.m, &module), *b = read_all(f.m, &hf);
            assert_int_equal(module.library, LIBRARY_TAKER);
            assert_memory_equal(a, b, (size_t)named_weight_size(&hf) * sizeof *a);
            free(a), free(b);
        } else {
            assert_int_equal(named_weight_find(f.m, "layers.0.attn.q_proj.weight", &w, &e),
                             ERR_BAD_INPUT);
            assert_non_null(strstr(e.text, "one tensor here"));
        }
        fixture_close(&f);
    }
}

/* Names and shapes without weights are those with them; a stack is its layers; a cut is the
 * elements of the whole. */
static void test_shapes_and_cuts(void **state)
{
    (void)state;
    char **models = fixture_names(false);
    for (char **model = models; *model; model++) {
        struct fixture f = fixture_open(*model);
        struct model *bare;
        struct err e = {0};
        char path[256];
        snprintf(path, sizeof path, "tests/fixtures/models/%s", *model);
        assert_int_equal(model_open(&bare, path, NULL, &e), 0);
        for (int t = 0; t < LIBRARY_COUNT; t++) {
            struct named_weight *a, *b;
            if (t == LIBRARY_BRIDGE)
                continue;
            int n = named_weight_list(f.m, (enum alias_library)t, &a, &e),
                k = named_weight_list(bare, (enum alias_library)t, &b, &e);
            assert_int_equal(n, k);
            for (int i = 0; i < n; i++) {
                struct named_weight again = find(bare, a[i].name);
                assert_string_equal(a[i].name, b[i].name);
                if (t != LIBRARY_NNSIGHT) /* there it is found as Hugging Face's */
                    assert_string_equal(a[i].name, again.name);
                for (int d = 0; d < a[i].rank; d++)
                    assert_true(a[i].shape[d] == b[i].shape[d] && a[i].shape[d] == again.shape[d] &&
                                a[i].dims[d][0]);
            }
            free(a), free(b);
        }
        struct named_weight all = find(f.m, "W_K"), one = find(f.m, "blocks.0.attn.W_K");
        assert_int_equal(all.rank, 4);
        assert_string_equal(all.dims[0], "layer");
        float *whole = read_all(f.m, &all), *layer = read_all(f.m, &one);
        assert_memory_equal(whole, layer, (size_t)named_weight_size(&one) * sizeof *whole);
        const int32_t heads[] = {(int32_t)all.shape[1] - 1, 0}, column[] = {2, 0, 1};
        const int32_t *cut[WEIGHT_RANK_MAX] = {NULL, heads, NULL, column};
        const int64_t n[WEIGHT_RANK_MAX] = {0, 2, 0, 3};
        int64_t L = all.shape[0], D = all.shape[2], dh = all.shape[3], H = all.shape[1];
        float *some = malloc((size_t)(L * 2 * D * 3) * sizeof *some), *p = some;
        named_weight_cut(f.m, &all, cut, n, some);
        for (int64_t l = 0; l < L; l++)
            for (int h = 0; h < 2; h++)
                for (int64_t d = 0; d < D; d++)
                    for (int c = 0; c < 3; c++, p++)
                        assert_true(*p == whole[((l * H + heads[h]) * D + d) * dh + column[c]]);
        free(whole), free(layer), free(some);
        model_close(bare);
        fixture_close(&f);
    }
    fixture_names_free(models);
}

/* Processed weights have all names too. */
static void test_processed(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct err e = {0};
    assert_int_equal(process_model(f.m, PROCESS_USUAL, &e), 0);
    struct named_weight fused = find(f.m, "transformer.h.1.attn.c_attn.weight"),
                        q = find(f.m, "blocks.1.attn.W_Q"), v = find(f.m, "blocks.1.attn.W_V");
    int64_t H = q.shape[0], D = q.shape[1], dh = q.shape[2];
    float *a = read_all(f.m, &fused), *b = read_all(f.m, &q), *c = read_all(f.m, &v);
    for (int64_t d = 0; d < D; d++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t i = 0; i < dh; i++) {
                assert_true(a[d * 3 * H * dh + h * dh + i] == b[(h * D + d) * dh + i]);
                assert_true(a[d * 3 * H * dh + 2 * H * dh + h * dh + i] == c[(h * D + d) * dh + i]);
            }
    free(a), free(b), free(c);
    fixture_close(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *model, *name, *says;
    } rows[] = {
        {"gpt2", "blocks.3.attn.W_Q", "layers 0..2"},
        {"gpt2", "blocks.0.attn.W_Qq", "nearest is blocks.0.attn.W_Q"},
        {"gpt2", "transformer.h.9.mlp.c_fc.weight", "layers 0..2"},
        {"gpt2", "W_gate", "not gated"},
        {"gpt2", "blocks.0.attn.OV", "bore_factored_head"},
        {"gpt2", "W_E_pos", "embed.W_E"},
        {"llama", "pos_embed.W_pos", "rotary"},
        {"llama", "blocks.0.ln1.b", "RMSNorm"},
        {"llama", "model.layers.0.self_attn.q_proj.bias", "no such bias"},
        {"llama", "layers.0.attn.W_O_inv", "pruned"},
        {"gpt2", "layers.7.attn.q_proj.weight", "layers 0..2"},
        {"gpt2", "transformer.h.0.attn.c_attn.weigth", "c_attn.weight"},
        {"gpt2", "", "nearest"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f = fixture_open(rows[i].model);
        struct named_weight w;
        struct err e = {0};
        assert_int_equal(named_weight_find(f.m, rows[i].name, &w, &e), ERR_BAD_INPUT);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%s: %s", rows[i].name, e.text);
        fixture_close(&f);
    }
    struct fixture f = fixture_open("llama_bias");
    struct named_weight w = find(f.m,
                                 "layers.1.self_attn.q_proj.bias"); /* the prefix may be left out */
    assert_string_equal(w.name, "model.layers.1.self_attn.q_proj.bias");
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkpoint),      cmocka_unit_test(test_taker),
        cmocka_unit_test(test_shapes_and_cuts), cmocka_unit_test(test_processed),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
