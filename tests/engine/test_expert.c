/* test_expert.c - mixtures of experts: values, edits and gradients against the references, edits of
 * routing rerun as a full run computes them, and names with an expert's number. */
#include "fixture.h"

#include "measure/grad.h"
#include "names/named_weight.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float *logits(struct run *r)
{
    struct err e = {0};
    float *x = malloc((size_t)run_length(r) * (size_t)run_model(r)->cfg.d_vocab * sizeof *x);
    if (run_read(r, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, 0, run_length(r), x, NULL, &e))
        fail_msg("%s", e.text);
    return x;
}

/* Logits after each edit of the fixture. */
static void edits_of_model(const char *model, int routed_least)
{
    struct fixture f = fixture_open(model);
    struct checkpoint *st = fixture_file(model, "edits.safetensors");
    struct js_doc *doc = fixture_json(st, "edits");
    struct err e = {0};
    struct run *base = fixture_run_new(f.m, NULL, SIZE_MAX / 2),
               *fork = fixture_run_new(f.m, base, 60000);
    double worst = 0;
    int routed = 0, n = (int)js_count(js_root(doc));
    assert_int_equal(run_sync(base, run_ids(f.tokens, f.n), NULL, NULL, NULL, &e), 0);
    for (int i = 0; i < n; i++) {
        struct js_node row = js_at(js_root(doc), (size_t)i), list = js_get(row, "edits");
        const char *texts[8], *key;
        int32_t count = (int32_t)js_count(list);
        for (int32_t k = 0; k < count; k++)
            assert_int_equal(js_string(js_at(list, (size_t)k), &texts[k], NULL, NULL), 0);
        assert_int_equal(js_string(js_get(row, "logits"), &key, NULL, NULL), 0);
        struct edit_program *p = fixture_program(f.m, f.n, texts, count);
        if (run_sync(fork, (struct run_input){0}, p, NULL, NULL, &e))
            fail_msg("%s: %s", texts[0], e.text);
        const struct st_tensor *want = checkpoint_find(st, key);
        float *mine = logits(fork);
        double d = fixture_error(mine, want->data, want->nbytes / sizeof(float));
        free(mine);
        if (!(d <= 1e-5))
            fail_msg("after %s the logits differ by %g", texts[0], d);
        worst = fmax(worst, d);
        routed += strstr(texts[0], "expert") != NULL;
        edit_program_free(p);
    }
    assert_true(n >= 30 && routed >= routed_least);
    print_message("%s: %d edits, %d of routing and experts, worst %.2g\n", model, n, routed, worst);
    run_free(fork), run_free(base);
    js_close(doc);
    checkpoint_close(st);
    fixture_close(&f);
}

static void edits_as_the_reference(void **state)
{
    (void)state;
    edits_of_model("mixtral", 10);
    edits_of_model("qwen3_moe", 6);
    edits_of_model("olmoe", 9);
    edits_of_model("gpt_oss", 10);
}

/* Hugging Face's names of a router and its experts are those of modules that are called. */
static void names_as_the_library(void **state)
{
    (void)state;
    struct fixture f = fixture_open("mixtral");
    struct checkpoint *st = fixture_file("mixtral", "hf.safetensors");
    struct js_doc *shows = fixture_json(st, "shows");
    struct alias_pick *list;
    int n = alias_list(&f.m->cfg, LIBRARY_HF, &list, NULL), routed = 0;
    for (int i = 0; i < n; i++) {
        if (!js_is_set(js_get(js_root(shows), list[i].name)))
            fail_msg("the library has no %s", list[i].name);
        routed += strstr(list[i].name, ".mlp.gate.") || strstr(list[i].name, ".mlp.experts.");
    }
    assert_true(n > 50 && routed == 12);
    free(list);
    js_close(shows);
    checkpoint_close(st);
    fixture_close(&f);
}

struct gradients {
    const struct checkpoint *st;
    float **values; /* of the sites, whole */
    struct site_ref *site;
    size_t n;
};

static int keep(void *user, struct site_ref s, int32_t row0, int32_t row1, const struct kn_view *g,
                struct err *e)
{
    (void)e;
    struct gradients *all = user;
    int axis = site_row_axis(s.id);
    for (size_t i = 0; i < all->n; i++) {
        if (!site_same(all->site[i], s))
            continue;
        int64_t outer = axis ? g->shape[0] : 1;
        int64_t rows = row1 - row0, width = kn_count(g) / rows / outer;
        assert_true(axis == 0 || row0 == 0);
        for (int64_t o = 0; o < outer; o++) {
            struct kn_view part = axis ? kn_slice(*g, 0, o, o + 1) : *g;
            kn_pack(&part, all->values[i] + (o * rows + row0) * width);
        }
    }
    return 0;
}

/* The edits that a file was made with; NULL: none. */
static struct edit_program *edits_of(const struct fixture *f, const struct checkpoint *st)
{
    if (!checkpoint_metadata(st, "edits"))
        return NULL;
    struct js_doc *doc = fixture_json(st, "edits");
    const char *texts[32];
    int32_t n = (int32_t)js_count(js_root(doc));
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(js_string(js_at(js_root(doc), (size_t)i), &texts[i], NULL, NULL), 0);
    struct edit_program *p = fixture_program(f->m, f->n, texts, n);
    js_close(doc);
    return p;
}

static void gradients_of(const char *model, const char *file)
{
    struct fixture f = fixture_open(model);
    struct checkpoint *st = fixture_file(model, file);
    struct edit_program *p = edits_of(&f, st);
    struct gradients all = {.st = st, .n = checkpoint_count(st)};
    struct alias_value *value = calloc(all.n, sizeof *value);
    struct metric m;
    struct err e = {0};
    double worst = 0;
    all.values = calloc(all.n, sizeof *all.values);
    all.site = calloc(all.n, sizeof *all.site);
    struct run *r = fixture_run_new(f.m, NULL, 0);
    assert_int_equal(
        metric_parse(&m, checkpoint_metadata(st, "metric"), f.m->tok, f.m->cfg.d_vocab, &e), 0);
    assert_int_equal(run_sync(r, run_ids(f.tokens, f.n), p, NULL, NULL, &e), 0);
    for (size_t i = 0; i < all.n; i++) {
        char name[LIMIT_NAME];
        const char *full = checkpoint_at(st, i)->name;
        snprintf(name, sizeof name, "%.*s", (int)(strlen(full) - strlen("_grad")), full);
        if (alias_find(&f.m->cfg, name, &value[i], &e))
            fail_msg("%s", e.text);
        all.site[i] = value[i].site[0];
        all.values[i] = calloc((size_t)(f.n * site_row_size(&f.m->cfg, all.site[i].id, f.n)),
                               sizeof(float));
    }
    if (grad_run(r, NULL, &m, all.site, (int32_t)all.n, keep, &all, &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; i < all.n; i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        if (value[i].form == FORM_EXPERT)
            fixture_take_expert(r, all.site[i], value[i].expert, all.values[i]);
        double d = fixture_error(all.values[i], t->data, t->nbytes / sizeof(float));
        if (!(d <= 1e-4))
            fail_msg("%s differs by %g", t->name, d);
        worst = fmax(worst, d);
        free(all.values[i]);
    }
    struct site_ref index = {SITE_EXPERT_INDICES, 0};
    assert_int_equal(grad_run(r, NULL, &m, &index, 1, keep, &all, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "no gradient"));
    print_message("%s/%s: %zu gradients, worst %.2g\n", model, file, all.n, worst);
    edit_program_free(p);
    free(all.values), free(all.site), free(value);
    run_free(r);
    checkpoint_close(st);
    fixture_close(&f);
}

static void gradients_as_the_reference(void **state)
{
    (void)state;
    static const char *const models[] = {"mixtral", "gpt_oss", "qwen3_moe", "olmoe"};
    for (int i = 0; i < 4; i++) {
        gradients_of(models[i], "grads.safetensors");
        if (i < 2)
            gradients_of(models[i], "grads.weights.safetensors");
    }
}

/* Every site after an edit, in a fork that recomputes the least and in a full run: the same bits.
 */
static void reruns_are_full_runs(void **state)
{
    (void)state;
    static const char *const edits[] = {
        "blocks.0.mlp.hook_expert_weights[3:, 1] *= 3",
        "blocks.1.mlp.hook_expert_indices[-1, 0] = 0",
        "blocks.0.mlp.hook_expert_indices[2:5] = 2",
        "blocks.*.mlp.experts.3.hook_post = 0",
        "blocks.0.mlp.experts.1.hook_gate[4:, 3] += 0.5",
        "blocks.0.mlp.experts.{0..4}.hook_pre = clamp(-0.2, 0.2)",
        "blocks.0.mlp.experts.2.hook_post[d_mlp=3] = frozen",
        "blocks.0.mlp.experts.2.W_in[3] *= -2",
        "blocks.1.mlp.W_gate *= 2",
        "blocks.1.mlp.hook_router_scores[5] = 0.5",
    };
    struct fixture f = fixture_open("mixtral");
    struct site_ref all[4 * SITE_COUNT];
    struct err e = {0};
    int n = site_list(&f.m->cfg, all);
    for (size_t budget = 0; budget < 2; budget++) {
        size_t cache = budget ? SIZE_MAX / 2 : 0;
        struct run *base = fixture_run_new(f.m, NULL, cache),
                   *fork = fixture_run_new(f.m, base, cache);
        assert_int_equal(run_sync(base, run_ids(f.tokens, f.n), NULL, NULL, NULL, &e), 0);
        for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
            struct edit_program *p = fixture_program(f.m, f.n, &edits[i], 1);
            struct run *full = fixture_run_new(f.m, strstr(edits[i], "frozen") ? base : NULL,
                                               cache);
            int rc = run_sync(fork, (struct run_input){0}, p, NULL, NULL, &e);
            rc = rc ? rc
                    : run_sync(full,
                               strstr(edits[i], "frozen") ? (struct run_input){0}
                                                          : run_ids(f.tokens, f.n),
                               p, NULL, NULL, &e);
            if (rc)
                fail_msg("%s: %s", edits[i], e.text);
            for (int k = 0; k < n; k++) {
                size_t count = (size_t)(f.n * site_row_size(&f.m->cfg, all[k].id, f.n));
                if (site_refusal(&f.m->cfg, all[k].id))
                    continue;
                float *a = malloc(count * sizeof *a), *b = malloc(count * sizeof *b);
                char name[LIMIT_NAME];
                if (run_read(fork, all[k], 0, f.n, a, NULL, &e) ||
                    run_read(full, all[k], 0, f.n, b, NULL, &e))
                    fail_msg("%s: %s", edits[i], e.text);
                if (memcmp(a, b, count * sizeof *a))
                    fail_msg("%s: %s differs", edits[i], site_name(all[k], name));
                free(a), free(b);
            }
            edit_program_free(p);
            run_free(full);
        }
        run_free(fork), run_free(base);
    }
    fixture_close(&f);
}

/* A shorter prompt, then one more token at a time: each row has the bits of the whole. */
static void rows_one_by_one(void **state)
{
    (void)state;
    struct fixture f = fixture_open("mixtral");
    struct err e = {0};
    struct run *whole = fixture_run_new(f.m, NULL, 0), *grown = fixture_run_new(f.m, NULL, 0);
    for (int32_t n = 1; n <= f.n; n++)
        assert_int_equal(run_sync(grown, run_ids(f.tokens, n), NULL, NULL, NULL, &e), 0);
    assert_int_equal(run_sync(whole, run_ids(f.tokens, f.n), NULL, NULL, NULL, &e), 0);
    float *x = logits(grown), *y = logits(whole);
    assert_memory_equal(x, y, (size_t)f.n * (size_t)f.m->cfg.d_vocab * sizeof *x);
    free(x), free(y);
    run_free(whole), run_free(grown);
    fixture_close(&f);
}

/* The tensor of all experts and those of each are found in a file of either form. */
static void weights_by_either_name(void **state)
{
    (void)state;
    static const char *const models[] = {"mixtral", "mixtral_merged"};
    for (int i = 0; i < 2; i++) {
        struct fixture f = fixture_open(models[i]);
        struct named_weight all, one;
        assert_int_equal(named_weight_find(f.m, "model.layers.0.mlp.experts.down_proj", &all, NULL),
                         0);
        assert_int_equal(named_weight_find(f.m,
                                           "model.layers.0.block_sparse_moe.experts.3.w2.weight",
                                           &one, NULL),
                         0);
        int64_t n = named_weight_size(&one);
        assert_true(all.rank == 3 && all.shape[0] * n == named_weight_size(&all));
        float *x = malloc((size_t)(named_weight_size(&all) + n) * sizeof *x),
              *y = x + named_weight_size(&all);
        named_weight_read(f.m, &all, x), named_weight_read(f.m, &one, y);
        assert_memory_equal(x + 3 * n, y, (size_t)n * sizeof *x);
        free(x);
        fixture_close(&f);
    }
}

static void refused(const struct fixture *f, const char *text, const char *says)
{
    struct edit *ed;
    struct edit_program *p;
    struct err e = {0};
    struct edit_context ctx = {.cfg = &f->m->cfg, .n_pos = f->n, .model = f->m};
    assert_int_equal(edit_parse(&ed, text, &e), 0);
    assert_int_equal(edit_resolve(&p, &ed, NULL, 1, &ctx, &e), ERR_BAD_INPUT);
    if (!strstr(e.text, says))
        fail_msg("%s: %s", text, e.text);
    edit_free(ed);
}

static void refuses_in_one_line(void **state)
{
    (void)state;
    struct fixture f = fixture_open("mixtral");
    refused(&f, "blocks.0.mlp.hook_expert_indices += 1", "0..4");
    refused(&f, "blocks.0.mlp.hook_expert_indices[0, 0] = 5", "0..4");
    refused(&f, "blocks.0.mlp.hook_expert_indices[0, 0] = 1.5", "whole number");
    refused(&f, "blocks.0.mlp.experts.5.hook_post = 0", "experts 0..4");
    refused(&f, "blocks.0.mlp.experts.1.hook_post = mean()", "other positions");
    refused(&f, "blocks.0.mlp.hook_post = 0", "mixture of experts");
    refused(&f, "blocks.0.mlp.experts.7.W_in = 0", "experts 0..4");
    struct fixture merged = fixture_open("mixtral_merged");
    refused(&merged, "model.layers.0.mlp.experts.gate_up_proj[2] = 0", "holds all experts");
    fixture_close(&merged);
    struct named_weight w;
    assert_int_equal(named_weight_find(f.m, "blocks.1.mlp.experts.4.W_out.weight", &w, NULL), 0);
    assert_string_equal(w.name, "blocks.1.mlp.experts.4.W_out");
    assert_true(w.shape[0] == f.m->cfg.d_model && w.shape[1] == f.m->cfg.d_expert);
    fixture_close(&f);
}

/* A sink that is far below all scores takes nothing; other heads keep their bits. */
static void sinks(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt_oss");
    static const char *const text[] = {"blocks.0.attn.sinks[2] = -1000"};
    struct edit_program *p = fixture_program(f.m, f.n, text, 1);
    struct run *r[2] = {fixture_run(&f, NULL, NULL, 1 << 20), fixture_run(&f, NULL, p, 1 << 20)};
    int64_t shape[3];
    int rank;
    float *x = fixture_hook(r[0], "blocks.0.attn.hook_pattern", shape, &rank),
          *y = fixture_hook(r[1], "blocks.0.attn.hook_pattern", shape, &rank);
    for (int64_t row = 0, n = shape[2]; row < shape[0] * n; row++) {
        double sum[2] = {0};
        for (int64_t k = 0; k < n; k++)
            sum[0] += (double)x[row * n + k], sum[1] += (double)y[row * n + k];
        bool edited = row / n == 2;
        assert_true(sum[0] < 0.9999 && (edited ? fabs(sum[1] - 1) < 1e-6 : sum[1] == sum[0]));
    }
    free(x), free(y);
    run_free(r[1]), run_free(r[0]);
    edit_program_free(p);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sinks),
        cmocka_unit_test(names_as_the_library),
        cmocka_unit_test(edits_as_the_reference),
        cmocka_unit_test(gradients_as_the_reference),
        cmocka_unit_test(reruns_are_full_runs),
        cmocka_unit_test(rows_one_by_one),
        cmocka_unit_test(weights_by_either_name),
        cmocka_unit_test(refuses_in_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
