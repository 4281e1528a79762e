/* test_library.c - the public library against the fixtures of TransformerLens and against itself:
 * captures, positions, prompts that edits read, what can be opened. */
#include "library.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double error_against(const struct bore_tensor *t, const struct st_tensor *ref)
{
    size_t n = 1;
    assert_int_equal(t->rank, ref->rank);
    for (int i = 0; i < t->rank; i++) {
        assert_int_equal(t->shape[i], ref->shape[i]);
        n *= (size_t)t->shape[i];
    }
    if (ref->dtype != ST_I64)
        return fixture_error(t->data, ref->data, n);
    for (size_t i = 0; i < n; i++)
        if (t->data[i] != (float)((const int64_t *)ref->data)[i])
            return INFINITY;
    return 0;
}

/* Everything that the library of reference captured, on request or not, under every cache budget.
 */
static void test_cache_against_reference(void **state)
{
    (void)state;
    char **models = fixture_names(true);
    int n = 0;
    for (char **model = models; *model; model++)
        for (size_t cache = 1; cache <= 1 << 20; cache <<= 20) {
            struct library l = library_open(*model, cache);
            size_t count = checkpoint_count(l.ref);
            const char **names = calloc(count, sizeof *names);
            int k = 0;
            for (size_t i = 0; i < count; i++)
                if (strcmp(checkpoint_at(l.ref, i)->name, "logits"))
                    names[k++] = checkpoint_at(l.ref, i)->name;
            struct bore_cache *c = library_cache(l.m, &l.pass, names, k);
            assert_int_equal(bore_cache_count(c), k);
            for (int i = 0; i < k; i++, n++) {
                struct bore_tensor t;
                struct bore_error e = {0};
                library_ok(bore_cache_get(c, names[i], &t, &e), &e);
                double d = error_against(&t, checkpoint_find(l.ref, names[i]));
                if (!(d <= 1e-5))
                    fail_msg("%s: %s differs by %g", *model, names[i], d);
            }
            bore_cache_free(c);
            free(names);
            library_close(&l);
        }
    fixture_names_free(models);
    print_message("%d captured tensors\n", n);
    assert_true(n > 500);
}

static void test_gradients_against_reference(void **state)
{
    (void)state;
    int total = 0;
    static const char *const files[] = {"grads.safetensors", "grads.loss.safetensors"};
    char **models = fixture_names(true);
    for (char **model = models; *model; model++)
        for (int f = 0; f < 2; f++) {
            struct library l = library_open(*model, 1 << 20);
            struct checkpoint *st = fixture_file(*model, files[f]);
            l.pass.metric = checkpoint_metadata(st, "metric");
            struct bore_error e = {0};
            struct bore_cache *c;
            struct bore_result out = {0};
            struct bore_cache_options opt = {.incl_bwd = true};
            library_ok(bore_run_with_cache(l.m, &l.pass, &opt, &c, &out, &e), &e);
            double want = strtod(checkpoint_metadata(st, "value"), NULL);
            assert_true(fabs(out.metric[0] - want) <= 1e-5 * fmax(1, fabs(want)));
            int n = 0;
            for (int i = 0; i < bore_cache_count(c); i++) {
                struct bore_tensor t;
                const char *name = bore_cache_at(c, i, &t);
                const struct st_tensor *ref = checkpoint_find(st, name);
                if (!ref)
                    continue;
                double d = error_against(&t, ref);
                if (!(d <= 1e-4))
                    fail_msg("%s: %s differs by %g", *model, name, d);
                n++;
            }
            assert_true(n > 0);
            total += n;
            bore_cache_free(c);
            bore_result_free(&out);
            checkpoint_close(st);
            library_close(&l);
        }
    fixture_names_free(models);
    print_message("%d gradients\n", total);
    assert_true(total > 200);
}

static struct bore_tensor captured(struct library *l, const struct bore_cache_options *opt,
                                   const char *name, struct bore_cache **c)
{
    struct bore_error e = {0};
    struct bore_tensor t;
    library_ok(bore_run_with_cache(l->m, &l->pass, opt, c, NULL, &e), &e);
    library_ok(bore_cache_get(*c, name, &t, &e), &e);
    return t;
}

static void test_positions(void **state)
{
    (void)state;
    struct library l = library_open("llama", 1 << 20);
    static const char *const sites[] = {"blocks.1.attn.hook_z", "blocks.1.attn.hook_rot_k",
                                        "blocks.0.attn.hook_pattern", "blocks.0.hook_resid_post",
                                        "blocks.1.ln2.hook_scale"};
    static const int axes[] = {1, 1, 2, 1, 1};
    const int64_t list[] = {4, -1, 4, 0};
    struct bore_slice slices[] = {{.kind = BORE_ONE, .start = -2},
                                  {BORE_RANGE, 1, -1, 3, NULL, 0},
                                  {BORE_RANGE, BORE_OPEN, 3, BORE_OPEN, NULL, 0},
                                  {BORE_LIST, 0, 0, 0, list, 4}};
    int n = l.pass.cols, want[4][16] = {{n - 2}, {0}, {0, 1, 2}, {4, n - 1, 4, 0}},
        counts[4] = {1, 0, 3, 4};
    for (int i = 1; i < n - 1; i += 3)
        want[1][counts[1]++] = i;
    for (int s = 0; s < 5; s++)
        for (int k = 0; k < 4; k++)
            for (int drop = 0; drop < 2; drop++) {
                struct bore_cache *whole, *cut;
                struct bore_cache_options all = {.names = &sites[s], .n_names = 1}, some = all;
                some.pos = slices[k], some.remove_batch = drop;
                struct bore_tensor a = captured(&l, &all, sites[s], &whole),
                                   b = captured(&l, &some, sites[s], &cut);
                bool one = slices[k].kind == BORE_ONE;
                assert_int_equal(b.rank, a.rank - one - drop);
                int64_t shape[4] = {1, 1, 1, 1}, m = 0;
                for (int i = 0; i < a.rank; i++)
                    shape[i] = i == axes[s] ? counts[k] : a.shape[i];
                for (int i = 0, x = 0; i < a.rank; i++)
                    if (!(i == 0 && drop) && !(i == axes[s] && one))
                        assert_int_equal(b.shape[x++], shape[i]);
                for (int64_t x = 0; x < shape[1]; x++)
                    for (int64_t y = 0; y < shape[2]; y++)
                        for (int64_t z = 0; z < shape[3]; z++) {
                            int64_t i[3] = {x, y, z};
                            i[axes[s] - 1] = want[k][i[axes[s] - 1]];
                            float v = library_at(&a, 0, i[0], i[1], i[2]);
                            assert_memory_equal(&b.data[m++], &v, sizeof v);
                        }
                bore_cache_free(whole), bore_cache_free(cut);
            }
    struct bore_slice bad[] = {{.kind = BORE_ONE, .start = n},
                               {BORE_RANGE, 5, 5, 1, NULL, 0},
                               {BORE_RANGE, 0, 5, -1, NULL, 0},
                               {.kind = BORE_LIST}};
    for (int i = 0; i < 4; i++) {
        struct bore_cache *c;
        struct bore_error e = {0};
        struct bore_cache_options opt = {.pos = bad[i]};
        assert_int_equal(bore_run_with_cache(l.m, &l.pass, &opt, &c, NULL, &e), BORE_BAD_INPUT);
        assert_non_null(strstr(e.text, "position"));
    }
    library_close(&l);
}

static bool is_block_1(const char *name, void *user)
{
    return !strncmp(name, user, strlen(user));
}

static void test_cache_options(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_cache *c;
    struct bore_tensor t;
    struct bore_cache_options opt = {.match = is_block_1, .user = "blocks.1."};
    library_ok(bore_run_with_cache(l.m, &l.pass, &opt, &c, NULL, &e), &e);
    assert_int_equal(bore_cache_count(c), 17);
    assert_string_equal(bore_cache_at(c, 0, NULL), "blocks.1.hook_resid_pre");
    assert_int_equal(bore_cache_get(c, "blocks.1.attn.hook_zz", &t, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "blocks.1.attn.hook_z"));
    bore_cache_free(c);
    opt = (struct bore_cache_options){0};
    library_ok(bore_run_with_cache(l.m, &l.pass, &opt, &c, NULL, &e), &e);
    assert_int_equal(bore_cache_count(c), 17 * 3 + 6); /* what fires by default */
    bore_cache_free(c);
    static const char *const wrong[] = {"blocks.7.hook_resid_pre"},
                             *const glob[] = {"blocks.*.attn.hook_{z,result}", "hook_tokens"};
    struct {
        struct bore_cache_options opt;
        const char *says;
    } bad[] = {
        {{.names = wrong, .n_names = 1}, "0..2"},
        {{.bytes_max = 1000}, "1000 bytes"},
        {{.device = "cuda:0"}, "cpu"},
        {{.incl_bwd = true}, "metric"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(bore_run_with_cache(l.m, &l.pass, &bad[i].opt, &c, NULL, &e),
                         BORE_BAD_INPUT);
        assert_non_null(strstr(e.text, bad[i].says));
    }
    opt = (struct bore_cache_options){
        .names = glob, .n_names = 2, .device = "cpu", .bytes_max = 1 << 20};
    library_ok(bore_run_with_cache(l.m, &l.pass, &opt, &c, NULL, &e), &e);
    assert_int_equal(bore_cache_count(c), 7);
    bore_cache_free(c);
    static const char *const own[] = {"*_input"}; /* not the bridge's attn.hook_q_input */
    c = library_cache(l.m, &l.pass, own, 1);
    assert_int_equal(bore_cache_count(c), 9);
    assert_string_equal(bore_cache_at(c, 0, NULL), "blocks.0.hook_q_input");
    bore_cache_free(c);
    library_close(&l);
}

static void test_patching_between_rows(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    static const char *const edits[] = {"blocks.1.hook_resid_pre[3] = from(other)"};
    int32_t other[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct bore_prompt prompt = {.name = "other", .tokens = other, .n = 9};
    struct bore_pass p = l.pass;
    p.edits = edits, p.n_edits = 1, p.prompts = &prompt, p.n_prompts = 1;
    struct bore_result a = {0};
    library_ok(bore_run(l.m, &p, &a, &e), &e);
    const char *names[] = {"blocks.1.hook_resid_pre"};
    struct bore_pass q = {.tokens = other, .rows = 1, .cols = 9};
    struct bore_cache *donor = library_cache(l.m, &q, names, 1),
                      *got = library_cache(l.m, &p, names, 1);
    struct bore_tensor x, y;
    library_ok(bore_cache_get(donor, names[0], &x, &e), &e);
    library_ok(bore_cache_get(got, names[0], &y, &e), &e);
    size_t row = (size_t)x.shape[2] * sizeof(float);
    assert_memory_equal(x.data + 3 * x.stride[1], y.data + 3 * y.stride[1], row);
    bore_cache_free(got);
    prompt.n = 8; /* of another length: paired, or refused */
    assert_int_equal(bore_run(l.m, &p, NULL, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "edit 1 · run other has 8 tokens, the prompt 9"));
    p.align = "end";
    got = library_cache(l.m, &p, names, 1);
    library_ok(bore_cache_get(got, names[0], &y, &e), &e);
    assert_memory_equal(x.data + 2 * x.stride[1], y.data + 3 * y.stride[1], row);
    bore_cache_free(donor), bore_cache_free(got);
    prompt.n = 9;
    p.n_prompts = 0;
    assert_int_equal(bore_run(l.m, &p, NULL, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "other"));
    other[2] = 999;
    p.n_prompts = 1;
    assert_int_equal(bore_run(l.m, &p, NULL, &e), BORE_BAD_INPUT);
    bore_result_free(&a);
    library_close(&l);
}

/* mean(NAME) over prompts of one name: what captures of those prompts give, position by position.
 */
static void test_reference_sets(void **state)
{
    (void)state;
    struct library l = library_open("llama", 1 << 20);
    struct bore_error e = {0};
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    static const char *const edits[] = {"blocks.1.hook_resid_pre[{2,4}] = mean(ref)"},
                             *const names[] = {"blocks.1.hook_resid_pre"};
    static const int32_t ids[] = {1, 2, 3, 4, 5, 6, 7};
    const struct bore_prompt refs[] = {
        {"ref", ids, 4, NULL}, {"unused", ids, 7, NULL}, {"ref", ids + 2, 5, NULL}};
    double sum[64] = {0};
    for (int i = 0; i < 3; i += 2) {
        struct bore_pass q = {.tokens = refs[i].tokens, .rows = 1, .cols = refs[i].n};
        struct bore_cache *c = library_cache(l.m, &q, names, 1);
        struct bore_tensor t;
        library_ok(bore_cache_get(c, names[0], &t, &e), &e);
        for (int64_t pos = 0; pos < t.shape[1]; pos++)
            for (int64_t k = 0; k < t.shape[2]; k++)
                sum[k] += (double)t.data[pos * t.stride[1] + k];
        bore_cache_free(c);
    }
    struct bore_pass p = l.pass;
    p.edits = edits, p.n_edits = 1, p.references = refs, p.n_references = 3;
    struct bore_cache *got = library_cache(l.m, &p, names, 1);
    struct bore_tensor x;
    library_ok(bore_cache_get(got, names[0], &x, &e), &e);
    for (int64_t k = 0; k < x.shape[2]; k++)
        for (int pos = 2; pos <= 4; pos += 2)
            assert_true(fabs((double)x.data[pos * x.stride[1] + k] - sum[k] / 9) < 1e-6);
    bore_cache_free(got);
    p.n_references = 0;
    assert_int_equal(bore_run(l.m, &p, NULL, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "no reference set is called \"ref\""));
    library_close(&l);
}

static void test_open_and_points(void **state)
{
    (void)state;
    struct bore_error e = {0};
    struct bore_model *m = NULL;
    struct bore_options opt = {.cpu = "sse9"};
    assert_int_equal(bore_open(&m, "tests/fixtures/models/gpt2", &opt, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_open(&m, "tests/fixtures/models/nowhere", NULL, &e), BORE_BAD_INPUT);
    opt = (struct bore_options){.process = "fold"};
    assert_true(bore_open(&m, "tests/fixtures/models/gpt2", &opt, &e) < 0);
    assert_null(m);
    opt = (struct bore_options){.process = "usual"};
    library_ok(bore_open(&m, "tests/fixtures/models/gpt2", &opt, &e), &e);
    bore_close(m);
    library_ok(bore_open(&m, "models/teach", NULL, &e), &e);
    int32_t *ids, id;
    int n;
    char *text;
    library_ok(bore_tokens(m, "When Mary and John", 0, &ids, &n, &e), &e);
    library_ok(bore_text(m, ids, n, &text, &e), &e);
    assert_string_equal(text, "When Mary and John");
    free(text), free(ids);
    library_ok(bore_token(m, " Mary", &id, &e), &e);
    assert_int_equal(bore_token(m, " Mary and", &id, &e), BORE_BAD_INPUT);
    int at_z = bore_point_find(m, "blocks.0.attn.hook_z", &e);
    struct bore_point p = bore_point_at(m, at_z, 2, 7);
    assert_string_equal(p.name, "blocks.0.attn.hook_z");
    assert_int_equal(p.rank, 4);
    assert_int_equal(p.shape[0], 2);
    assert_int_equal(p.shape[1], 7);
    assert_string_equal(p.dims[2], "head");
    assert_true(p.fires && !p.needs && !p.refused);
    assert_true(bore_point_find(m, "blocks.0.attn.hook_zz", &e) < 0);
    bore_close(m);
    bore_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_against_reference),
        cmocka_unit_test(test_gradients_against_reference),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_cache_options),
        cmocka_unit_test(test_patching_between_rows),
        cmocka_unit_test(test_reference_sets),
        cmocka_unit_test(test_open_and_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
