/* test_weight_edit.c - edits of weights: against TransformerLens (the fixtures, raw and processed),
 * incremental == full bit for bit, what a rerun computes, copies and mapped weights, values that
 * bring numbers, refusals. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure/grad.h"
#include "measure/metric.h"
#include "run/pair.h"
#include "model/process.h"
#include "model/tensor_write.h"

static int sync_texts(struct pair *p, const struct fixture *f, int32_t n, const char *const *texts,
                      int32_t count, struct run_cost *cost, struct err *e)
{
    struct edit *edits[8];
    for (int32_t k = 0; k < count; k++)
        if (edit_parse(&edits[k], texts[k], e))
            fail_msg("%s: %s", texts[k], e->text);
    struct pair_target t = {.input = fixture_input(f), .edits = edits, .n_edits = count};
    t.input.n = n;
    int rc = pair_sync(p, &t, cost, e);
    for (int32_t k = 0; k < count; k++)
        edit_free(edits[k]);
    return rc;
}

static struct pair *pair_new(const struct model *m, size_t cache)
{
    struct pair *p;
    assert_int_equal(pair_open(&p, m, cache, NULL), 0);
    return p;
}

/* All values of a run, one site after the other; malloc'ed. */
static float *values_of(struct run *r, size_t *count)
{
    const struct config *cfg = &run_model(r)->cfg;
    struct site_ref *all = malloc((size_t)(cfg->n_layers + 1) * SITE_COUNT * sizeof *all);
    int n = site_list(cfg, all);
    float *out = NULL;
    *count = 0;
    for (int i = 0; i < n; i++) {
        if (site_refusal(cfg, all[i].id))
            continue;
        int64_t shape[SITE_RANK_MAX], k = 1;
        int rank = site_shape(cfg, all[i].id, run_length(r), shape);
        for (int d = 0; d < rank; d++)
            k *= shape[d];
        out = realloc(out, (*count + (size_t)k) * sizeof *out);
        assert_int_equal(run_read(r, all[i], 0, run_length(r), out + *count, NULL, NULL), 0);
        *count += (size_t)k;
    }
    free(all);
    return out;
}

static void assert_same(struct run *a, struct run *b, const char *what)
{
    size_t na, nb;
    float *x = values_of(a, &na), *y = values_of(b, &nb);
    assert_int_equal(na, nb);
    for (size_t i = 0; i < na; i++)
        if (memcmp(x + i, y + i, sizeof *x))
            fail_msg("%s: value %zu of %zu is %.9g and %.9g", what, i, na, (double)x[i],
                     (double)y[i]);
    free(x), free(y);
}

/* ---- against the library
 * ----------------------------------------------------------------------------- */

static int entries_of(const char *name, const char *file, unsigned process, double *worst)
{
    struct fixture f = fixture_open(name);
    struct checkpoint *st = fixture_file(name, file);
    struct js_doc *doc = fixture_json(st, "edits");
    struct err e = {0};
    assert_int_equal(process_model(f.m, process, &e), 0);
    struct pair *pair = pair_new(f.m, SIZE_MAX / 2);
    int done = 0;
    size_t count = (size_t)f.n * (size_t)f.m->cfg.d_vocab;
    float *logits = malloc(count * sizeof *logits);
    for (size_t i = 0; i < js_count(js_root(doc)); i++, done++) {
        struct js_node row = js_at(js_root(doc), i), list = js_get(row, "edits");
        const char *texts[8], *key;
        for (size_t k = 0; k < js_count(list); k++)
            assert_int_equal(js_string(js_at(list, k), &texts[k], NULL, NULL), 0);
        if (sync_texts(pair, &f, f.n, texts, (int32_t)js_count(list), NULL, &e))
            fail_msg("%s: %s", name, e.text);
        assert_int_equal(js_string(js_get(row, "logits"), &key, NULL, NULL), 0);
        assert_int_equal(run_read(pair_run(pair, FACE_EDITED),
                                  (struct site_ref){site_logits(&f.m->cfg), SITE_ROOT}, 0, f.n,
                                  logits, NULL, &e),
                         0);
        double d = fixture_error(logits, checkpoint_find(st, key)->data, count);
        *worst = fmax(*worst, d);
        if (!(d <= 1e-5))
            fail_msg("%s: after %s the logits differ by %g", name, texts[0], d);
    }
    assert_int_equal(done, strtol(checkpoint_metadata(st, "count"), NULL, 10));
    free(logits);
    pair_close(pair);
    js_close(doc);
    checkpoint_close(st);
    fixture_close(&f);
    return done;
}

static void weights_of_the_library(void **state)
{
    (void)state;
    static const char processed[] = "weight_edits.processed.safetensors";
    char **names = fixture_names_with("weight_edits.safetensors"),
         **more = fixture_names_with(processed);
    double worst = 0;
    int done = 0;
    for (char **name = names; *name; name++)
        done += entries_of(*name, "weight_edits.safetensors", 0, &worst);
    for (char **name = more; *name; name++)
        done += entries_of(*name, processed, PROCESS_USUAL, &worst);
    fixture_names_free(more);
    print_message("%d edits of weights, largest error of the logits: %.2g\n", done, worst);
    fixture_names_free(names);
}

/* ---- incremental
 * ------------------------------------------------------------------------------------- */

static void random_walk(void **state)
{
    (void)state;
    static const char *const pool[] = {
        "blocks.0.attn.W_Q[0] *= 0.5",
        "blocks.*.attn.W_O[-1] = 0",
        "blocks.1.mlp.W_in[:, 2:5] -= 0.1",
        "blocks.0.mlp.W_out *= 2",
        "embed.W_E[{3,5}] += 0.25",
        "unembed.W_U[:, 4] = 0",
        "unembed.b_U[2] += 1",
        "blocks.1.attn.b_Q += 0.5",
        "blocks.0.attn.b_V -= 0.25",
        "ln_final.w *= 1.5",
        "blocks.1.ln1.w[:3] = 0",
        "blocks.0.ln2.w *= 0.75",
        "blocks.1.mlp.b_out[1] -= 2",
        "blocks.0.attn.W_O *= noise(1, seed=2)",
        "blocks.1.mlp.W_out += noise(0.1)",
        "blocks.*.mlp.W_out = clamp(-0.05, 0.05)",
        "blocks.1.mlp.W_out = project_out(dir(1, 2))",
        "blocks.0.hook_resid_pre[2] += 0.5",
        "blocks.1.attn.hook_pattern[0, 3:, 1] = 0",
        "blocks.0.hook_mlp_out = mean()",
        "blocks.1.hook_q_input[:, 0] *= 0.5",
        "blocks.0.attn.hook_result[1:, 1] *= 2",
        "blocks.1.attn.W_K *= -1",
        "blocks.0.attn.W_K *= 1.5",
    };
    enum { POOL = sizeof pool / sizeof *pool };
    static const size_t budgets[] = {SIZE_MAX / 2, 60000, 20000, 0};
    char **names = fixture_names(true);
    for (char **name = names; *name; name++)
        for (uint32_t turn = 0; turn < fixture_turns(4); turn++) {
            uint32_t seed = fixture_seed(*name, turn);
            struct fixture f = fixture_open(*name);
            struct err e = {0};
            struct pair *pair = pair_new(f.m, budgets[turn % 4]);
            for (int step = 0; step < 12; step++) {
                const char *texts[5];
                int count = (int)(fixture_random(&seed) % 5);
                int32_t n = 5 + (int32_t)(fixture_random(&seed) % 5);
                for (int k = 0; k < count; k++)
                    texts[k] = pool[fixture_random(&seed) % POOL];
                f.tokens[fixture_random(&seed) % 9] = (int32_t)(fixture_random(&seed) % 7);
                if (sync_texts(pair, &f, n, texts, count, NULL, &e))
                    fail_msg("%s: %s", *name, e.text);
                struct pair *own = pair_new(f.m, SIZE_MAX / 2);
                assert_int_equal(sync_texts(own, &f, n, texts, count, NULL, &e), 0);
                char what[600] = "";
                for (int k = 0; k < count; k++)
                    snprintf(what + strlen(what), sizeof what - strlen(what), "%s; ", texts[k]);
                assert_same(pair_run(pair, FACE_BASE), pair_run(own, FACE_BASE), what);
                assert_true(!pair_run(pair, FACE_EDITED) == (count == 0));
                if (count)
                    assert_same(pair_run(pair, FACE_EDITED), pair_run(own, FACE_EDITED), what);
                pair_close(own);
            }
            pair_close(pair);
            fixture_close(&f);
        }
    fixture_names_free(names);
}

/* A rerun begins at the first layer that uses the weight, and at the first row that it reaches. */
static void cost_of_a_rerun(void **state)
{
    (void)state;
    static const struct {
        const char *edit;
        int32_t stage, row, blocks;
    } cases[] = {
        {"embed.W_E[3] = 0", 0, 0, 3},         {"pos_embed.W_pos[5:] = 0", 0, 5, 3},
        {"pos_embed.W_pos[20] = 0", 4, 9, 0},  {"blocks.0.ln1.w[2] = 0", 1, 0, 3},
        {"blocks.1.attn.W_Q[1] = 0", 2, 0, 2}, {"blocks.2.mlp.b_out += 1", 3, 0, 1},
        {"unembed.W_U[:, 3] = 0", 4, 0, 0},    {"ln_final.b += 1", 4, 0, 0},
        {"unembed.b_U[0] = 1", 4, 0, 0},
    };
    struct fixture f = fixture_open("gpt2");
    struct run_cost cost;
    struct err e = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *texts[2] = {cases[i].edit, "unembed.hook_out[-1, 0] = 0"};
        struct pair *p = pair_new(f.m, SIZE_MAX / 2);
        assert_int_equal(sync_texts(p, &f, f.n, NULL, 0, &cost, &e), 0);
        assert_int_equal(sync_texts(p, &f, f.n, texts, 1, &cost, &e), 0);
        if (cost.stage != cases[i].stage || cost.row != cases[i].row ||
            fabs(cost.share - cases[i].blocks / 3.0 * (f.n - cases[i].row) / f.n) > 1e-9)
            fail_msg("%s: stage %d row %d share %g", cases[i].edit, cost.stage, cost.row,
                     cost.share);
        const struct run *r = pair_run(p, FACE_EDITED);
        const void *w_q = run_weight(r, 1, W_Q)->data, *w_e = run_weight(r, 0, W_E)->data;
        assert_true((w_q != model_weight(f.m, 1, W_Q)->data) == (i == 4));
        assert_true((w_e != model_weight(f.m, 0, W_E)->data) == (i == 0));
        /* another edit after it: nothing of it again, and the copy is kept */
        assert_int_equal(sync_texts(p, &f, f.n, texts, 2, &cost, &e), 0);
        assert_int_equal(
            cost.stage,
            cases[i].row < f.n
                ? 4
                : 0); /* nothing reached the prompt: the fork begins with the new edit's row */
        assert_ptr_equal(run_weight(r, 1, W_Q)->data, w_q);
        assert_ptr_equal(run_weight(r, 0, W_E)->data, w_e);
        pair_close(p);
    }
    fixture_close(&f);
}

/* Edits of weights and of activations that are the same thing give the same numbers, forward and
 * backward; and an edit that changes nothing, in a model of f32, not a bit. */
static void equivalents(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    static const char *const weights[] = {"blocks.1.mlp.W_out *= 2", "blocks.1.mlp.b_out *= 2"},
                             *const values[] = {"blocks.1.hook_mlp_out *= 2"},
                             *const nothing[] = {"blocks.*.attn.W_{Q,K,V,O} *= 1",
                                                 "blocks.*.mlp.W_{in,out} *= 1", "embed.W_E += 0",
                                                 "unembed.W_U *= 1", "blocks.*.*.{w,b} *= 1"};
    struct pair *a = pair_new(f.m, SIZE_MAX / 2), *b = pair_new(f.m, SIZE_MAX / 2);
    struct err e = {0};
    assert_int_equal(sync_texts(a, &f, f.n, weights, 2, NULL, &e), 0);
    assert_int_equal(sync_texts(b, &f, f.n, values, 1, NULL, &e), 0);
    struct site_ref logits = {SITE_UNEMBED_OUT, SITE_ROOT};
    size_t n = (size_t)f.n * (size_t)f.m->cfg.d_vocab;
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    assert_int_equal(run_read(pair_run(a, FACE_EDITED), logits, 0, f.n, x, NULL, &e), 0);
    assert_int_equal(run_read(pair_run(b, FACE_EDITED), logits, 0, f.n, y, NULL, &e), 0);
    assert_true(fixture_error(x, y, n) < 1e-6);
    if (sync_texts(a, &f, f.n, nothing, 5, NULL, &e))
        fail_msg("%s", e.text);
    assert_same(pair_run(a, FACE_BASE), pair_run(a, FACE_EDITED), "nothing");
    free(x), free(y);
    pair_close(a), pair_close(b);
    fixture_close(&f);
}

struct collected {
    float *x;
    int64_t n;
};

static int collect(void *user, struct site_ref s, int32_t row0, int32_t row1,
                   const struct kn_view *g, struct err *e)
{
    (void)s, (void)e;
    struct collected *c = user;
    for (int32_t i = row0; i < row1; i++)
        for (int64_t k = 0; k < g->shape[1]; k++)
            c->x[i * g->shape[1] + k] = kn_f32(g)[(i - row0) * g->stride[0] + k * g->stride[1]];
    return 0;
}

static void gradients(void **state)
{
    (void)state;
    struct fixture f = fixture_open("llama");
    static const char *const lists[2][3] = {
        {"blocks.1.attn.W_O[2] = 0", "blocks.1.mlp.W_out *= 0.5", "ln_final.w *= 2"},
        {"blocks.1.attn.hook_z[:, 2] = 0", "blocks.1.hook_mlp_out *= 0.5",
         "ln_final.hook_normalized *= 2"}};
    struct site_ref at = {SITE_RESID_PRE, 0};
    int64_t n = f.n * f.m->cfg.d_model;
    struct collected c[2] = {{calloc((size_t)n, sizeof(float)), n},
                             {calloc((size_t)n, sizeof(float)), n}};
    struct metric m;
    struct err e = {0};
    assert_int_equal(
        metric_parse(&m, "logit[-1, 7] - logit[-1, 19]", f.m->tok, f.m->cfg.d_vocab, &e), 0);
    for (int i = 0; i < 2; i++) {
        struct pair *p = pair_new(f.m, SIZE_MAX / 2);
        if (sync_texts(p, &f, f.n, lists[i], 3, NULL, &e) ||
            grad_run(pair_run(p, FACE_EDITED), pair_run(p, FACE_BASE), &m, &at, 1, collect, &c[i],
                     &e))
            fail_msg("%s", e.text);
        pair_close(p);
    }
    assert_true(fixture_error(c[0].x, c[1].x, (size_t)n) < 1e-5);
    free(c[0].x), free(c[1].x);
    fixture_close(&f);
}

/* ---- words
 * ------------------------------------------------------------------------------------------- */

static char path[] = "/tmp/bore-weights-XXXXXX.safetensors";

static double at(const struct kn_view *v, int64_t i, int64_t j)
{
    return (double)kn_load(v, i * v->stride[0] + j * v->stride[1]);
}

static void words(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    int32_t d = f.m->cfg.d_model, mlp = f.m->cfg.d_mlp;
    struct err e = {0};
    float *t = malloc((size_t)(mlp * d) * sizeof *t);
    for (int32_t i = 0; i < mlp * d; i++)
        t[i] = (float)i;
    int fd = mkstemps(path, 12);
    close(fd);
    struct tensor_out out = {.name = "w", .dtype = ST_F32, .rank = 2, .shape = {mlp, d}, .data = t};
    assert_int_equal(tensor_write(path, &out, 1, NULL, 0, NULL), 0);
    char file[200], project[] = "blocks.1.mlp.W_out = project_out(dir(5, 7))";
    snprintf(file, sizeof file, "blocks.0.mlp.W_out = file(\"%s\", \"w\")", path);
    const char *texts[] = {file, project, "blocks.0.mlp.W_in += noise(2, seed=1)",
                           "blocks.1.mlp.W_in += noise(2, seed=1)"};
    struct pair *p = pair_new(f.m, SIZE_MAX / 2);
    if (sync_texts(p, &f, f.n, texts, 4, NULL, &e))
        fail_msg("%s", e.text);
    const struct run *r = pair_run(p, FACE_EDITED);
    const struct kn_view *a = run_weight(r, 0, W_OUT), *b = run_weight(r, 1, W_OUT),
                         *u = model_weight(f.m, 0, W_U);
    double length = 0;
    for (int32_t j = 0; j < d; j++) /* stored [d_model, d_mlp]; W_out is [d_mlp, d_model] */
        length += pow(at(u, 5, j) - at(u, 7, j), 2);
    for (int32_t i = 0; i < mlp; i++) {
        double along = 0;
        for (int32_t j = 0; j < d; j++) {
            assert_true(fabs(at(a, j, i) - (double)t[i * d + j]) == 0.0);
            along += (at(u, 5, j) - at(u, 7, j)) / sqrt(length) * at(b, j, i);
        }
        assert_true(fabs(along) < 1e-6);
    }
    /* noise: other numbers in another layer, of about the deviation asked for */
    double sum = 0, square = 0, between = 0;
    for (int64_t i = 0; i < mlp; i++)
        for (int64_t j = 0; j < d; j++) {
            double x = at(run_weight(r, 0, W_IN), i, j) - at(model_weight(f.m, 0, W_IN), i, j);
            double y = at(run_weight(r, 1, W_IN), i, j) - at(model_weight(f.m, 1, W_IN), i, j);
            sum += x + y, square += x * x + y * y, between += x * y;
        }
    double n = 2.0 * mlp * d;
    assert_true(fabs(sum / n) < 10 / sqrt(n) && fabs(square / n - 4) < 40 / sqrt(n) &&
                fabs(between / n) < 40 / sqrt(n));
    pair_close(p);
    unlink(path);
    free(t);
    fixture_close(&f);
}

/* A token in quotes on the vocabulary's axis; a token of the prompt on that of W_pos. */
static void tokens_as_indices(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct err e = {0};
    assert_int_equal(model_open(&f.m, "teach", fixture_backend(), &e), 0);
    int32_t mary = tokenizer_find(f.m->tok, " Mary", 5);
    assert_true(mary > 0);
    assert_int_equal(model_tokens(f.m, " Mary and John", 14, -1, &f.tokens, &f.n, &e), 0);
    struct pair *p = pair_new(f.m, SIZE_MAX / 2);
    const char *texts[] = {"unembed.W_U[:, \" Mary\"] = 0", "embed.W_E[\" Mary\"] = 0"};
    if (sync_texts(p, &f, f.n, texts, 2, NULL, &e))
        fail_msg("%s", e.text);
    struct run *r = pair_run(p, FACE_EDITED);
    struct kn_view v;
    assert_int_equal(run_view(r, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, 0, f.n, &v, &e),
                     0);
    float *values = fixture_values(&v);
    for (int32_t i = 0; i < f.n; i++)
        assert_true(fabsf(values[i * v.shape[1] + mary]) == 0.0f);
    free(values);
    assert_int_equal(run_view(r, (struct site_ref){SITE_EMBED, SITE_ROOT}, 0, f.n, &v, &e), 0);
    values = fixture_values(&v);
    for (int32_t i = 0; i < f.n; i++)
        for (int64_t k = 0; k < v.shape[1]; k++)
            if (f.tokens[i] == mary)
                assert_true(fabsf(values[i * v.shape[1] + k]) == 0.0f);
    free(values);
    texts[0] = "unembed.W_U[:, \"no such token\"] = 0";
    assert_int_equal(sync_texts(p, &f, f.n, texts, 1, NULL, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "\"no such token\" is not one token of this model"));
    pair_close(p);
    free(f.tokens);
    model_close(f.m);
}

/* The same weight by other libraries' names, in their shapes. */
static void other_names(void **state)
{
    (void)state;
    static const struct {
        const char *model, *name, *lens;
    } same[] = {
        {"gpt2", "transformer.h.1.mlp.c_fc.weight[3, 2:5] += 0.5",
         "blocks.1.mlp.W_in[3, 2:5] += 0.5"},
        {"gpt2", "transformer.h.*.mlp.c_proj.weight[:, 4] = 0", "blocks.*.mlp.W_out[:, 4] = 0"},
        {"gpt2", "transformer.h.0.attn.c_proj.weight[5:10] *= 2", "blocks.0.attn.W_O[1] *= 2"},
        {"llama", "model.layers.0.self_attn.q_proj.weight[4:8] = 0", "blocks.0.attn.W_Q[1] = 0"},
        {"llama", "model.layers.1.self_attn.k_proj.weight[4:] *= 2", "blocks.1.attn._W_K[1] *= 2"},
        {"llama", "model.layers.1.mlp.down_proj.weight[2] = 0", "blocks.1.mlp.W_out[:, 2] = 0"},
        {"llama", "model.norm.weight[3] *= 2", "ln_final.w[3] *= 2"},
        {"gpt_neox", "gpt_neox.layers.0.mlp.dense_h_to_4h.bias[1] += 3",
         "blocks.0.mlp.b_in[1] += 3"},
        /* the module's norm is that of both branches */
        {"phi", "model.layers.0.input_layernorm.weight[3] *= 2", "blocks.0.ln{1,2}.w[3] *= 2"},
        {"gptj", "transformer.h.*.ln_1.bias[:4] += 1", "blocks.*.ln{1,2}.b[:4] += 1"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct fixture f = fixture_open(same[i].model);
        struct pair *a = pair_new(f.m, SIZE_MAX / 2), *b = pair_new(f.m, SIZE_MAX / 2);
        struct err e = {0};
        if (sync_texts(a, &f, f.n, &same[i].name, 1, NULL, &e) ||
            sync_texts(b, &f, f.n, &same[i].lens, 1, NULL, &e))
            fail_msg("%s", e.text);
        assert_same(pair_run(a, FACE_EDITED), pair_run(b, FACE_EDITED), same[i].name);
        pair_close(a), pair_close(b);
        fixture_close(&f);
    }
}

/* ---- copies
 * ------------------------------------------------------------------------------------------ */

/* Weights of the model are as before, whatever was edited: the mapped ones and those that
 * processing made. */
static void the_model_is_never_written(void **state)
{
    (void)state;
    for (int processed = 0; processed < 2; processed++) {
        struct fixture f = fixture_open("gpt_neox");
        struct err e = {0};
        assert_int_equal(process_model(f.m, processed ? PROCESS_USUAL : 0, &e), 0);
        const struct kn_view *w = model_weight(f.m, 0, W_Q), *o = model_weight(f.m, 1, W_OUT);
        float before[2] = {kn_load(w, 5), kn_load(o, 7)};
        struct pair *p = pair_new(f.m, SIZE_MAX / 2);
        const char *texts[] = {"blocks.*.attn.W_Q = 3", "blocks.*.mlp.W_out = 3",
                               "blocks.*.attn.W_V *= 0", "embed.W_E = 1"};
        assert_int_equal(sync_texts(p, &f, f.n, texts, 4, NULL, &e), 0);
        assert_true(fabsf(kn_load(w, 5) - before[0]) + fabsf(kn_load(o, 7) - before[1]) == 0.0f);
        assert_int_equal(sync_texts(p, &f, f.n, texts, 0, NULL, &e), 0);
        assert_null(pair_run(p, FACE_EDITED));
        pair_close(p);
        fixture_close(&f);
    }
}

/* Copies hold what is stored, in every type and layout. */
static void copies_of_every_type(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2_f16", "gpt2_bf16", "llama_bf16", "gpt_neox", "gpt2"};
    static const char *const texts[] = {"blocks.*.attn.W_{Q,K,V,O} *= 1",
                                        "blocks.*.mlp.W_{in,out} *= 1", "*embed.W_? *= 1",
                                        "blocks.*.ln1.w *= 1", "blocks.*.attn.b_Q *= 1"};
    static const enum weight_id ids[] = {W_Q, W_K, W_V, W_O, W_IN, W_OUT, W_E, W_U, W_LN1, B_Q};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct fixture f = fixture_open(names[i]);
        struct pair *p = pair_new(f.m, SIZE_MAX / 2);
        struct err e = {0};
        if (sync_texts(p, &f, f.n, texts, 5, NULL, &e))
            fail_msg("%s: %s", names[i], e.text);
        for (size_t w = 0; w < sizeof ids / sizeof *ids; w++) {
            const struct kn_view *have = run_weight(pair_run(p, FACE_EDITED), 0, ids[w]),
                                 *want = model_weight(f.m, 0, ids[w]);
            assert_true(have != want && have->dtype == KN_F32);
            int64_t n[3] = {1, 1, 1}, s[3] = {0}, t[3] = {0};
            for (int d = 0; d < want->ndim; d++)
                n[d] = want->shape[d], s[d] = want->stride[d], t[d] = have->stride[d];
            for (int64_t k = 0; k < n[0] * n[1] * n[2]; k++) {
                int64_t a = k / n[2] / n[1], b = k / n[2] % n[1], c = k % n[2];
                float x = want->ndim ? kn_load(want, a * s[0] + b * s[1] + c * s[2]) : 0.0f;
                assert_true(fabsf(kn_f32(have)[a * t[0] + b * t[1] + c * t[2]] - x) == 0.0f);
            }
        }
        pair_close(p);
        fixture_close(&f);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *model, *edit, *want;
    } bad[] = {
        {"gpt2", "blocks.0.mlp.W_inn = 0",
         "no weight \"blocks.0.mlp.W_inn\" · the nearest is blocks.0.mlp.W_in"},
        {"gpt2", "W_in *= 0",
         "W_in stacks the layers · edit them by a pattern such as blocks.*.attn.W_Q"},
        {"gpt2", "blocks.7.mlp.W_in = 0", "this model has layers 0..2"},
        {"gpt2", "blocks.*.mlp.W_inn = 0",
         "no weight matches \"blocks.*.mlp.W_inn\" · the nearest is blocks.0.mlp.W_in"},
        {"gpt2", "blocks.{0..5}.mlp.W_in = 0",
         "no layer 5 for \"blocks.{0..5}.mlp.W_in\" · this model has layers 0..2"},
        {"gpt2", "blocks.0.mlp.W_gate = 0",
         "no weight \"blocks.0.mlp.W_gate\" · the MLP here is not gated"},
        {"gpt2", "blocks.0.mlp.W_in[15] = 0",
         "d_model 15 is out of range · blocks.0.mlp.W_in has d_model 0..14 or -15..-1"},
        {"gpt2", "blocks.0.attn.W_Q[3] = 0",
         "head 3 is out of range · blocks.0.attn.W_Q has head 0..2"},
        {"gpt2", "blocks.0.attn.W_Q[pos=3] = 0",
         "no axis pos · blocks.0.attn.W_Q has head 3, d_model 15, d_head 5"},
        {"gpt2", "blocks.0.attn.b_Q[0, 1, 2] = 0",
         "3 indices · blocks.0.attn.b_Q has head 3, d_head 5"},
        {"gpt2", "blocks.0.mlp.W_in = from(base)",
         "a weight has no positions and is the same in every run · these fit: a number, clamp(LO, HI)"},
        {"gpt2", "blocks.0.mlp.W_in = mean()", "mean() · a weight has no positions"},
        {"gpt2", "blocks.0.mlp.W_in = 0, renormalize",
         "blocks.0.mlp.W_in has no rows to renormalize"},
        {"gpt2", "blocks.0.mlp.W_in += dir(1, 2)",
         "the last axis of blocks.0.mlp.W_in is not d_model · use a weight that writes to the residual stream"},
        {"gpt2", "embed.W_E[\"John\"] = 0", "\"John\" is not one token of this model"},
        {"llama", "blocks.0.attn.W_K[1] = 0",
         "heads {0..2} share one stored head · select all of them, or edit blocks.0.attn._W_K[0]"},
        {"llama", "blocks.0.attn.W_K[2:5] = 0", "share one stored head"},
        {"llama", "blocks.0.attn.b_V[{0..2,5}] = 0", "edit blocks.0.attn._b_V[1]"},
        {"llama", "blocks.0.attn.W_K += noise(1)",
         "blocks.0.attn.W_K repeats blocks.0.attn._W_K for 3 heads each"},
        {"llama", "blocks.0.attn._W_K[2] = 0",
         "kv_head 2 is out of range · blocks.0.attn._W_K has kv_head 0..1"},
        {"llama", "blocks.*.mlp.b_in += 1",
         "blocks.0.mlp.b_in · TransformerLens adds it behind the gate · the same is blocks.0.mlp.hook_post +="},
        {"gpt2", "transformer.h.0.attn.c_attn.weight[:, 3] = 0",
         "joins q, k and v · edit blocks.0.attn.W_Q, W_K, W_V"},
        {"gpt2", "transformer.h.0.mlp.c_fc.weight[d_head=3] = 0", "no axis d_head"},
        {"llama", "pos_embed.W_pos = 0",
         "no weight \"pos_embed.W_pos\" · positions are rotary here"},
        {"llama", "blocks.0.ln1.b = 0", "no weight \"blocks.0.ln1.b\" · an RMSNorm has no bias"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fixture f = fixture_open(bad[i].model);
        struct err e = {0};
        struct pair *p = pair_new(f.m, 0);
        if (sync_texts(p, &f, f.n, &bad[i].edit, 1, NULL, &e) != ERR_BAD_INPUT)
            fail_msg("%s was accepted", bad[i].edit);
        if (!strstr(e.text, bad[i].want) || strchr(e.text, '\n'))
            fail_msg("%s\nsaid   %s\nwanted %s", bad[i].edit, e.text, bad[i].want);
        pair_close(p);
        fixture_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_the_library),
        cmocka_unit_test(random_walk),
        cmocka_unit_test(cost_of_a_rerun),
        cmocka_unit_test(equivalents),
        cmocka_unit_test(gradients),
        cmocka_unit_test(words),
        cmocka_unit_test(tokens_as_indices),
        cmocka_unit_test(other_names),
        cmocka_unit_test(the_model_is_never_written),
        cmocka_unit_test(copies_of_every_type),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
