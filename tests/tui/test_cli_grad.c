/* test_cli_grad.c - `run --grad` and --process through the program: files against the fixtures'
 * gradients and processed values. */
#include "command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define MODEL "tests/fixtures/models/gpt2"

/* Every tensor of `want` whose name the file has too; returns how many. */
static int compare(const struct checkpoint *have, const struct checkpoint *want, const char *suffix,
                   double most)
{
    int n = 0;
    for (size_t i = 0; i < checkpoint_count(want); i++) {
        const struct st_tensor *w = checkpoint_at(want, i), *h = checkpoint_find(have, w->name);
        if (!h || !strstr(w->name, suffix))
            continue;
        double diff = 0, size = 0;
        assert_int_equal(h->nbytes, w->nbytes);
        for (size_t k = 0; k < w->nbytes / sizeof(float); k++) {
            double a = (double)((const float *)h->data)[k], b = (double)((const float *)w->data)[k];
            if (isinf(b))
                continue;
            diff = fmax(diff, fabs(a - b));
            size = fmax(size, fabs(b));
        }
        if (!(diff <= most * fmax(size, 1e-30)))
            fail_msg("%s differs by %g of %g", w->name, diff, size);
        n++;
    }
    return n;
}

static void test_gradient_file(void **state)
{
    (void)state;
    char *folder = folder_make(), *path = folder_path(folder, "g.safetensors");
    struct checkpoint *want = fixture_tensors(MODEL "/grads.safetensors");
    char *ids = fixture_prompt(want);
    struct result r = RUN("run", MODEL, "--tokens", ids, "-c", "*", "--grad",
                          checkpoint_metadata(want, "metric"), "-o", path);
    assert_int_equal(r.status, 0);
    result_free(&r);
    struct checkpoint *have = fixture_tensors(path);
    assert_string_equal(checkpoint_metadata(have, "metric"), checkpoint_metadata(want, "metric"));
    assert_true(compare(have, want, "_grad", 1e-4) > 50);
    checkpoint_close(have);
    checkpoint_close(want);
    folder_remove(folder);
    free(path), free(ids);
}

static void test_gradient_slice(void **state)
{
    (void)state;
    struct js_doc *d = RUN_JSON("run", MODEL, "--tokens", "3,17,42", "-c", "hook_embed", "--pos",
                                "-1", "--grad", "2*logit[-1, 5]", "--json");
    struct js_node sites = js_get(js_root(d), "sites"), grad = js_get(js_root(d), "grad");
    assert_int_equal(js_count(sites), 3);
    assert_string_equal(json_string(js_at(sites, 2), "name"), "hook_embed_grad");
    assert_int_equal(js_count(js_get(js_at(sites, 2), "shape")), 2);
    assert_string_equal(json_string(grad, "metric"), "2*logit[-1, 5]");
    assert_true(isfinite(json_number(grad, "value")));
    js_close(d);
}

/* An edit of a gradient is in what is captured there and in what flows on, and not in the values.
 */
static void test_gradient_edit(void **state)
{
    (void)state;
    char *folder = folder_make(),
         *paths[2] = {folder_path(folder, "a.safetensors"), folder_path(folder, "b.safetensors")};
    static const char *const edits[] = {"blocks.1.hook_resid_pre_grad[1:] *= 2",
                                        "transformer.h.1.input_grad[{1,2}] *= 2"};
    struct result r = RUN("run", MODEL, "--tokens", "3,17,42", "-c", "blocks.*.hook_resid_pre",
                          "--grad", "logit[-1, 5]", "-o", paths[0]);
    assert_int_equal(r.status, 0);
    result_free(&r);
    struct checkpoint *plain = fixture_tensors(paths[0]);
    for (int i = 0; i < 2; i++) {
        r = RUN("run", MODEL, "--tokens", "3,17,42", "-c", "blocks.*.hook_resid_pre", "--grad",
                "logit[-1, 5]", "-e", edits[i], "-o", paths[1]);
        if (r.status)
            fail_msg("%s", r.err);
        result_free(&r);
        struct checkpoint *grad_changed = fixture_tensors(paths[1]);
        for (size_t k = 0; k < checkpoint_count(plain); k++) {
            const struct st_tensor *a = checkpoint_at(plain, k),
                                   *b = checkpoint_find(grad_changed, a->name);
            int64_t n = (int64_t)(a->nbytes / sizeof(float)), row = n / 3;
            bool doubled = !strcmp(a->name, "blocks.1.hook_resid_pre_grad"),
                 before = !strcmp(a->name, "blocks.0.hook_resid_pre_grad");
            bool same = true;
            for (int64_t j = 0; j < n; j++) {
                float x = ((const float *)a->data)[j], y = ((const float *)b->data)[j];
                same &= x == y;
                if (!before && y != (doubled && j >= row ? 2 * x : x))
                    fail_msg("%s[%lld] is %g, was %g", a->name, (long long)j, (double)y, (double)x);
            }
            assert_true(same == !(doubled || before));
        }
        checkpoint_close(grad_changed);
    }
    checkpoint_close(plain);
    folder_remove(folder);
    free(paths[0]), free(paths[1]);
}

static void test_processed(void **state)
{
    (void)state;
    char *folder = folder_make(), *path = folder_path(folder, "p.safetensors");
    struct checkpoint *want = fixture_tensors(MODEL "/processed.safetensors");
    char *ids = fixture_prompt(want);
    struct result r = RUN("run", MODEL, "--tokens", ids, "-c", "*", "--process", "usual", "-o",
                          path);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "usual"));
    result_free(&r);
    struct checkpoint *have = fixture_tensors(path);
    assert_string_equal(checkpoint_metadata(have, "processing"), "usual");
    assert_true(compare(have, want, "hook_", 1e-5) > 50);
    checkpoint_close(have);
    checkpoint_close(want);
    folder_remove(folder);
    free(path), free(ids);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused(RUN("run", MODEL, "--tokens", "1,2", "--grad", "loss"), 2, "-c");
    assert_refused(RUN("run", MODEL, "--tokens", "1,2", "-c", "*", "--grad", "los"), 1,
                   "expected logit");
    assert_refused(RUN("run", MODEL, "--tokens", "1,2", "-c", "*", "--grad", "logit[7, 1]"), 1,
                   "-2..1");
    assert_refused(RUN("run", MODEL, "--tokens", "1", "-c", "*", "--grad", "loss"), 1,
                   "two tokens");
    assert_refused(RUN("lens", MODEL, "--tokens", "1,2", "--process", "all"), 2, "usual");
#define GRAD_RUN(edit) \
    RUN("run", MODEL, "--tokens", "1,2", "-c", "hook_embed", "--grad", "loss", "-e", edit)
    assert_refused(RUN("run", MODEL, "--tokens", "1,2", "-e", "hook_embed_grad = 0"), 1,
                   "there is no backward pass here");
    assert_refused(RUN("lens", MODEL, "--tokens", "1,2", "-e", "hook_embed_grad = 0"), 1,
                   "run --grad METRIC");
    assert_refused(GRAD_RUN("hook_tokens_grad = 0"), 1, "hook_embed_grad has");
    assert_refused(GRAD_RUN("hook_embed_grad = frozen"), 1, "a gradient takes numbers");
    assert_refused(GRAD_RUN("hook_embed_grad = mean(ref)"), 1, "a gradient takes numbers");
    assert_refused(GRAD_RUN("blocks.0.attn.hook_pattern_grad = 0, renormalize"), 1,
                   "not renormalize");
    assert_refused(GRAD_RUN("transformer.h.0.ln_1.input_grad = 0"), 1, "hook_q_input_grad");
    assert_refused(GRAD_RUN("blocks.9.hook_mlp_out_grad = 0"), 1, "layers 0..2");
    assert_refused(GRAD_RUN("blocks.0.hook_mlp_ot_grad = 0"), 1, "blocks.0.hook_mlp_out");
    assert_refused(GRAD_RUN("blocks.0.hook_{q_input,attn_in}_grad = 0"), 1,
                   "one would hide the other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient_file), cmocka_unit_test(test_gradient_slice),
        cmocka_unit_test(test_gradient_edit), cmocka_unit_test(test_processed),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
