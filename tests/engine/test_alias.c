/* test_alias.c - names of other libraries: meanings, values against what the libraries show under
 * them, refusals. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE = 64 << 20 };
static const double ERROR_MAX = 1e-5; /* of the tensor's largest value */

static struct alias_value find(const struct config *cfg, const char *name)
{
    struct alias_value v;
    struct err e = {0};
    if (alias_find(cfg, name, &v, &e))
        fail_msg("%s: %s", name, e.text);
    return v;
}

/* ---- values
 * ---------------------------------------------------------------------------------------- */

/* One recorded name: its shape there, and the tensor that holds its values. */
static void check_value(struct run *r, const char *name, const struct st_tensor *t,
                        struct js_node shape)
{
    const struct config *cfg = &run_model(r)->cfg;
    struct alias_value v = find(cfg, name);
    struct err e = {0};
    int64_t mine[ALIAS_RANK_MAX], n = 1, want;
    int rank = alias_shape(cfg, &v, run_length(r), mine, NULL);
    int batch = (int)js_count(shape) - rank; /* 0: batch and positions are one axis there */
    assert_true(batch == 0 || batch == 1);
    for (int i = 0; i < rank; i++) {
        assert_int_equal(js_int(js_at(shape, (size_t)(i + batch)), 0, INT32_MAX, &want, &e), 0);
        if (mine[i] != want)
            fail_msg("%s: axis %d is %lld here, %lld there", name, i, (long long)mine[i],
                     (long long)want);
        n *= mine[i];
    }
    float *x = malloc((size_t)n * sizeof *x), *row = malloc((size_t)n * sizeof *row);
    if (fixture_read(r, &v, 0, run_length(r), x, &e))
        fail_msg("%s: %s", name, e.text);
    double error = 0;
    if (t->dtype == ST_I64) {
        for (int64_t i = 0; i < n; i++)
            error += fabs((double)x[i] - (double)((const int64_t *)t->data)[i]);
    } else {
        error = fixture_error(x, t->data, (size_t)n);
    }
    if (!(error <= ERROR_MAX))
        fail_msg("%s: error %g", name, error);
    /* a row alone is the same row */
    if (alias_row_axis(&v) == 0) {
        int64_t count = n / run_length(r);
        assert_int_equal(fixture_read(r, &v, 3, 4, row, &e), 0);
        assert_memory_equal(row, x + 3 * count, (size_t)count * sizeof *x);
    }
    free(x);
    free(row);
}

/* Every tensor that goes into or comes out of a module of Hugging Face's, and every hook of the
 * bridge. */
static void shows_what_the_libraries_show(void **state)
{
    (void)state;
    char **models = fixture_names_with("hf.safetensors");
    int compared = 0;
    for (char **name = models; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct checkpoint *hf = fixture_file(*name, "hf.safetensors");
        struct js_doc *shows = fixture_json(hf, "shows");
        struct run *r = fixture_run(&f, NULL, NULL, CACHE);
        for (struct js_iter it = js_members(js_root(shows)); js_next(&it);) {
            const char *stored;
            struct err e = {0};
            assert_int_equal(js_string(js_at(it.value, 0), &stored, NULL, &e), 0);
            const struct st_tensor *t = checkpoint_find(hf, stored);
            t = t ? t : checkpoint_find(f.ref, stored);
            if (!t)
                fail_msg("no tensor %s", stored);
            check_value(r, it.key, t, js_at(it.value, 1));
            compared++;
        }
        run_free(r);
        js_close(shows);
        checkpoint_close(hf);
        fixture_close(&f);
    }
    fixture_names_free(models);
    print_message("%d recorded names agree\n", compared);
    assert_true(compared > 900);
}

/* No name of a module is listed that the library never calls. */
static void lists_only_names_that_exist(void **state)
{
    (void)state;
    char **models = fixture_names_with("hf.safetensors");
    for (char **name = models; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct checkpoint *hf = fixture_file(*name, "hf.safetensors");
        struct js_doc *shows = fixture_json(hf, "shows");
        struct alias_pick *list;
        struct err e = {0};
        int n = alias_list(&f.m->cfg, LIBRARY_HF, &list, &e);
        assert_true(n > 40);
        for (int i = 0; i < n; i++)
            if (!js_is_set(js_get(js_root(shows), list[i].name)))
                fail_msg("%s has no %s", *name, list[i].name);
        free(list);
        js_close(shows);
        checkpoint_close(hf);
        fixture_close(&f);
    }
    fixture_names_free(models);
}

/* ---- names
 * ----------------------------------------------------------------------------------------- */

static bool same_value(const struct alias_value *a, const struct alias_value *b)
{
    bool same = a->form == b->form && a->expert == b->expert && a->n_sites == b->n_sites &&
                a->n_edits == b->n_edits && a->spread == b->spread;
    for (int i = 0; same && i < a->n_sites; i++)
        same = a->site[i].id == b->site[i].id && a->site[i].layer == b->site[i].layer;
    for (int i = 0; same && i < a->n_edits; i++)
        same = a->edit[i].id == b->edit[i].id && a->edit[i].layer == b->edit[i].layer;
    return same;
}

static bool contains(const struct config *cfg, const struct alias_value *v, struct site_ref s)
{
    for (int i = 0; i < v->n_sites; i++) {
        if (v->site[i].layer == s.layer &&
            (v->site[i].id == s.id || site_origin(cfg, v->site[i].id) == s.id))
            return true;
    }
    return false;
}

/* name -> meaning -> the names of its sites, and the name is among them. */
static void check_listed(const struct config *cfg, const struct alias_pick *pick,
                         enum alias_library t)
{
    struct alias_value v = find(cfg, pick->name);
    char other[LIMIT_NAME];
    if (!same_value(&v, &pick->value))
        fail_msg("%s is listed as something else than it is found as", pick->name);
    for (int i = 0; i < v.n_sites && v.form != FORM_EXPERT; i++) {
        bool found = false;
        for (int k = 0; !found && alias_name(cfg, v.site[i], t, k, other); k++)
            found = strcmp(other, pick->name) == 0;
        if (!found)
            fail_msg("%s is no name of its own site", pick->name);
    }
}

/* site -> each of its names -> something that is made of the site. */
static int check_named(const struct config *cfg, struct site_ref s)
{
    char name[LIMIT_NAME];
    int n = 0;
    for (int t = 0; t < LIBRARY_COUNT; t++) {
        int k = 0;
        for (; alias_name(cfg, s, (enum alias_library)t, k, name); k++) {
            struct alias_value v = find(cfg, name);
            if (!contains(cfg, &v, s))
                fail_msg("%s does not show the site that it names", name);
        }
        if (k == 0)
            assert_non_null(alias_absence(s.id, (enum alias_library)t));
        n += k;
    }
    return n;
}

static void names_go_there_and_back(void **state)
{
    (void)state;
    char **models = fixture_names(true);
    int n_named = 0;
    for (char **name = models; *name; name++) {
        struct model *m;
        struct err e = {0};
        char path[256];
        snprintf(path, sizeof path, "tests/fixtures/models/%s", *name);
        if (model_open(&m, path, NULL, &e))
            fail_msg("%s", e.text);
        struct alias_pick *list;
        for (int t = 0; t < LIBRARY_COUNT; t++) {
            int n = alias_list(&m->cfg, (enum alias_library)t, &list, &e);
            assert_true(n > 0 || t == LIBRARY_TAKER); /* its map does not read every family */
            for (int i = 0; i < n; i++)
                check_listed(&m->cfg, &list[i], (enum alias_library)t);
            free(list);
        }
        struct site_ref *sites = malloc(((size_t)m->cfg.n_layers + 1) * SITE_COUNT * sizeof *sites);
        int n = site_list(&m->cfg, sites);
        for (int i = 0; i < n; i++)
            n_named += check_named(&m->cfg, sites[i]);
        free(sites);
        model_close(m);
    }
    fixture_names_free(models);
    assert_true(n_named > 1000);
}

/* The usual name of a site in each library, as its users write it. */
static void says_the_usual_name_first(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        const char *site, *name[LIBRARY_COUNT];
    } rows[] = {
        {"gpt2",
         "blocks.2.attn.hook_z",
         {"blocks.2.attn.hook_z", "blocks.2.attn.o.hook_in", "transformer.h.2.attn.c_proj.input",
          "model.transformer.h[2].attn.c_proj.input", "layer_2_attn_pre_out"}},
        {"gpt2",
         "blocks.0.hook_resid_pre",
         {"blocks.0.hook_resid_pre", "blocks.0.hook_in", "transformer.h.0.input",
          "model.transformer.h[0].input", "layer_0_pre_decoder"}},
        {"gpt2",
         "blocks.1.attn.hook_k",
         {"blocks.1.attn.hook_k", "blocks.1.attn.k.hook_out", "transformer.h.1.attn.c_attn.output",
          "model.transformer.h[1].attn.c_attn.output", NULL}},
        {"gpt2",
         "blocks.1.attn.hook_pattern",
         {"blocks.1.attn.hook_pattern", "blocks.1.attn.hook_pattern",
          "transformer.h.1.attn.output[1]", "model.transformer.h[1].attn.output[1]", NULL}},
        {"gpt_neox",
         "blocks.1.attn.hook_z",
         {"blocks.1.attn.hook_z", "blocks.1.attn.o.hook_in",
          "gpt_neox.layers.1.attention.dense.input",
          "model.gpt_neox.layers[1].attention.dense.input", "layer_1_attn_pre_out"}},
        {"llama",
         "blocks.1.attn.hook_z",
         {"blocks.1.attn.hook_z", "blocks.1.attn.o.hook_in",
          "model.layers.1.self_attn.o_proj.input", "model.model.layers[1].self_attn.o_proj.input",
          "layer_1_attn_pre_out"}},
        {"llama",
         "blocks.0.hook_resid_mid",
         {"blocks.0.hook_resid_mid", "blocks.0.ln2.hook_in",
          "model.layers.0.post_attention_layernorm.input",
          "model.model.layers[0].post_attention_layernorm.input", "layer_0_pre_mlp"}},
        {"qwen2",
         "blocks.1.mlp.hook_pre_linear",
         {"blocks.1.mlp.hook_pre_linear", "blocks.1.mlp.in.hook_out",
          "model.layers.1.mlp.up_proj.output", "model.model.layers[1].mlp.up_proj.output", NULL}},
        {"mistral",
         "unembed.hook_out",
         {"unembed.hook_out", "unembed.hook_out", "lm_head.output", "model.lm_head.output", NULL}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model *m;
        struct site_ref s;
        char name[LIMIT_NAME];
        m = fixture_shape(rows[i].model);
        assert_int_equal(site_find(&m->cfg, rows[i].site, &s, NULL), 0);
        for (int t = 0; t < LIBRARY_COUNT; t++) {
            bool there = alias_name(&m->cfg, s, (enum alias_library)t, 0, name);
            assert_int_equal(there, rows[i].name[t] != NULL);
            if (there)
                assert_string_equal(name, rows[i].name[t]);
        }
        model_close(m);
    }
}

/* What a llama's layers passed to their own rotary modules, [head, pos, d_head], and got from them,
 * [1, pos, n_rot], before transformers 4.35 (compared with version 4.34.1): the sites in another
 * order. */
static void shows_rotary_modules_of_layers(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"model.layers.1.self_attn.rotary_emb.input", "blocks.1.attn.hook_v"},
        {"model.model.layers[0].self_attn.rotary_emb.output[0]", "rotary_emb.hook_cos"},
        {"layers.1.self_attn.rotary_emb.output.1", "rotary_emb.hook_sin"},
    };
    struct fixture f = fixture_open("llama");
    struct run *r = fixture_run(&f, NULL, NULL, CACHE);
    struct err e = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct alias_value v = find(&f.m->cfg, rows[i][0]), own = find(&f.m->cfg, rows[i][1]);
        int64_t shape[ALIAS_RANK_MAX], heads = i ? 1 : f.m->cfg.n_kv_heads;
        assert_int_equal(alias_shape(&f.m->cfg, &v, f.n, shape, NULL), 3);
        assert_int_equal(shape[0], heads);
        assert_int_equal(shape[1], f.n);
        assert_int_equal(alias_row_axis(&v), 1);
        assert_int_equal(v.n_edits, 0);
        int64_t d = shape[2], n = heads * f.n * d;
        float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
        assert_int_equal(fixture_read(r, &own, 0, f.n, y, &e), 0);
        for (int32_t row0 = 0; row0 < 2; row0++) { /* all rows; the last ones */
            int32_t from = row0 ? f.n - 3 : 0, rows_read = f.n - from;
            assert_int_equal(fixture_read(r, &v, from, f.n, x, &e), 0);
            for (int64_t h = 0; h < heads; h++)
                for (int64_t p = 0; p < rows_read; p++)
                    assert_memory_equal(x + (h * rows_read + p) * d,
                                        y + ((p + from) * heads + h) * d, (size_t)d * sizeof *x);
        }
        free(x), free(y);
    }
    run_free(r);
    fixture_close(&f);
}

/* Spellings that are no listed name, and what they are. */
static void reads_other_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *model, *name, *same_as;
    } rows[] = {
        {"gpt2", "h.2.attn.c_proj.input", "transformer.h.2.attn.c_proj.input"},
        {"gpt2", "transformer.h[2].attn.c_proj.input", "transformer.h.2.attn.c_proj.input"},
        {"gpt2", "transformer.h.1.output[0]", "blocks.1.hook_resid_post"},
        {"gpt2", "model.transformer.h[1].output[0]", "blocks.1.hook_resid_post"},
        {"gpt2", "model.output.logits", "unembed.hook_out"},
        {"gpt2", "transformer.output", "unembed.hook_in"},
        {"llama", "model.output", "unembed.hook_in"},
        {"llama", "model.model.output", "unembed.hook_in"},
        {"gpt2", "layer_1_pre_attn", "blocks.1.ln1.hook_out"}, /* taker's map of GPT-2 */
        {"gpt2", "layer_1_post_attn", "blocks.1.ln1.hook_out"},
        {"gpt2", "layer_1_pre_mlp", "blocks.1.ln2.hook_out"},
        {"gpt2", "layer_1_post_mlp", "blocks.1.ln2.hook_out"},
        {"llama", "layer_1_post_attn", "blocks.1.hook_attn_out"},
        {"llama", "layer_1_pre_mlp", "blocks.1.hook_mlp_in"},
        {"llama", "layers.1.mlp.act_fn.input", "blocks.1.mlp.hook_pre"},
        {"gpt_neox", "embed_out.output", "unembed.hook_out"},
        {"gpt_neox", "hook_unembed", "unembed.hook_out"},
        {"gpt_neox", "gpt_neox.layers.0.post_attention_layernorm.input", "blocks.0.hook_mlp_in"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model *m;
        m = fixture_shape(rows[i].model);
        struct alias_value a = find(&m->cfg, rows[i].name), b = find(&m->cfg, rows[i].same_as);
        if (!same_value(&a, &b))
            fail_msg("%s is not %s", rows[i].name, rows[i].same_as);
        model_close(m);
    }
}

static void refuses_in_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *model, *name, *says;
    } rows[] = {
        {"gpt2", "transformer.h.7.attn.c_proj.input", "layers 0..2"},
        {"gpt2", "transformer.h.1.attn.c_prj.input",
         "the nearest is transformer.h.1.attn.c_proj.input"},
        {"gpt2", "model.transformer.h[1].mlp.c_fc.outputs",
         "the nearest is model.transformer.h[1].mlp.c_fc.output"},
        {"gpt2", "transformer.wpe.input", "position numbers are no hook"},
        {"gpt2", "transformer.h.0.attn.attn_dropout.output", "never called"},
        {"gpt2", "blocks.0.attn.qkv.hook_out", "one by one"},
        {"gpt2", "rotary_emb.hook_cos", "positions are learned here"},
        {"gpt2", "layer_1_attn_pre_ot", "the nearest is layer_1_attn_pre_out"},
        {"gpt2", "layer_5_pre_mlp", "layers 0..2"},
        {"gpt2", "blocks.1.attn.q.hook_ot", "the nearest is blocks.1.attn.q.hook_out"},
        {"gpt2", "hook_z", "the nearest is blocks.0.attn.hook_z"},
        {"gpt2", "model.layers.0.mlp.up_proj.output", "the nearest is"},
        {"gpt_neox", "blocks.0.hook_resid_mid", "attention and MLP are parallel here"},
        {"gpt_neox", "pos_embed.hook_out", "positions are rotary here"},
        {"llama", "blocks.0.attn.hook_attn_in", "key/value heads are grouped here"},
        {"gpt2", "blocks.0.mlp.gate.hook_out", "the MLP here is not gated"},
        {"llama", "model.layers",
         "a list of layers, which never runs · its layers do: model.layers.0.input"},
        {"llama", "model.layers.output", "a list of layers, which never runs"},
        {"gpt2", "model.transformer.h.input", "its layers do: transformer.h.0.input"},
        {"gpt2", "blocks", "its layers do: blocks.0.hook_in"},
        {"gpt2", "output", "output.logits"},
        {"llama", "output", "output.logits"},
        {"llama", "model.layers.0.self_attn.rotary_emb.output", "output[0] are the cosines"},
        {"gpt2", "", "no hook"},
        {"gpt2", "[", "no hook"},
        {"gpt2", "transformer.h.01.output", "no hook"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model *m;
        struct alias_value v;
        struct err e = {0};
        m = fixture_shape(rows[i].model);
        assert_int_equal(alias_find(&m->cfg, rows[i].name, &v, &e), ERR_BAD_INPUT);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%s: %s", rows[i].name, e.text);
        model_close(m);
    }
}

/* ---- patterns
 * -------------------------------------------------------------------------------------- */

static void check_select(const struct config *cfg, const char *pattern, int n, const char *first,
                         const char *last)
{
    struct alias_pick *list;
    struct err e = {0};
    int k = alias_select(cfg, pattern, &list, &e);
    if (k < 0)
        fail_msg("%s: %s", pattern, e.text);
    if (k != n || strcmp(list[0].name, first) != 0 || strcmp(list[k - 1].name, last) != 0)
        fail_msg("%s: %d names, %s to %s", pattern, k, list[0].name, list[k - 1].name);
    free(list);
}

static void patterns_in_every_library(void **state)
{
    (void)state;
    struct model *m;
    m = fixture_shape("gpt2");
    const struct config *cfg = &m->cfg;
    check_select(cfg, "blocks.*.attn.hook_z", 3, "blocks.0.attn.hook_z", "blocks.2.attn.hook_z");
    check_select(cfg, "blocks.{0..2}.hook_in", 3, "blocks.0.hook_in", "blocks.2.hook_in");
    check_select(cfg, "blocks.{0,2}.attn.{q,k}.hook_out", 4, "blocks.0.attn.q.hook_out",
                 "blocks.2.attn.k.hook_out");
    check_select(cfg, "transformer.h.*.attn.c_proj.input", 3, "transformer.h.0.attn.c_proj.input",
                 "transformer.h.2.attn.c_proj.input");
    check_select(cfg, "h.{1..2}.mlp.act.output", 2, "transformer.h.1.mlp.act.output",
                 "transformer.h.2.mlp.act.output");
    check_select(cfg, "model.transformer.h[*].mlp.output", 3, "transformer.h.0.mlp.output",
                 "transformer.h.2.mlp.output");
    check_select(cfg, "model.transformer.h[1].mlp.output", 1, "model.transformer.h[1].mlp.output",
                 "model.transformer.h[1].mlp.output");
    check_select(cfg, "transformer.h.1.attn.output[0]", 1, "transformer.h.1.attn.output[0]",
                 "transformer.h.1.attn.output[0]");
    /* TransformerLens' own names come first, those on request too */
    check_select(cfg, "*_input", 9, "blocks.0.hook_q_input", "blocks.2.hook_v_input");
    check_select(cfg, "blocks.*.attn.hook_q_inpu?", 3, "blocks.0.attn.hook_q_input",
                 "blocks.2.attn.hook_q_input");
    check_select(cfg, "blocks.1.attn.hook_q_input", 1, "blocks.1.attn.hook_q_input",
                 "blocks.1.attn.hook_q_input");
    check_select(cfg, "layer_*_mlp_pre_out", 3, "layer_0_mlp_pre_out", "layer_2_mlp_pre_out");

    static const char *const bad[][2] = {
        {"blocks.{1..5}.hook_in", "no layer 3"},
        {"transformer.h.{1..5}.output", "no layer 3"},
        {"layer_{0,7}_pre_mlp", "no layer 7"},
        {"transformer.h.*.atn.output", "no hook matches"},
        {"transformer.h.[9].output", "no hook matches"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct alias_pick *list = NULL;
        struct err e = {0};
        assert_int_equal(alias_select(cfg, bad[i][0], &list, &e), ERR_BAD_INPUT);
        assert_null(list);
        if (!strstr(e.text, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], e.text);
    }
    model_close(m);
}

/* ---- index maps
 * ------------------------------------------------------------------------------------ */

/* Each column of a joined tensor is where the map says. */
static void check_map(struct run *r, const char *name)
{
    const struct config *cfg = &run_model(r)->cfg;
    struct alias_value v = find(cfg, name);
    struct err e = {0};
    int64_t shape[ALIAS_RANK_MAX], part_shape[SITE_RANK_MAX];
    assert_int_equal(alias_shape(cfg, &v, run_length(r), shape, NULL), 2);
    float *whole = malloc((size_t)(shape[0] * shape[1]) * sizeof *whole),
          *part[ALIAS_SITES_MAX] = {0};
    assert_int_equal(fixture_read(r, &v, 0, run_length(r), whole, &e), 0);
    for (int i = 0; i < v.n_sites; i++) {
        part[i] = malloc((size_t)(shape[0] * shape[1]) * sizeof *whole);
        assert_int_equal(run_read(r, v.site[i], 0, run_length(r), part[i], NULL, &e), 0);
    }
    site_shape(cfg, v.site[0].id, run_length(r), part_shape);
    for (int64_t k = 0; k < shape[1]; k++) {
        struct alias_at at = alias_map_index(cfg, &v, k);
        assert_in_range(at.part, 0, v.n_sites - 1);
        assert_in_range(at.head, 0, part_shape[1] - 1);
        assert_in_range(at.d, 0, part_shape[2] - 1);
        for (int64_t p = 0; p < shape[0]; p++) {
            float want = part[at.part][(p * part_shape[1] + at.head) * part_shape[2] + at.d];
            if (whole[p * shape[1] + k] != want)
                fail_msg("%s: column %lld", name, (long long)k);
        }
    }
    free(whole);
    for (int i = 0; i < v.n_sites; i++)
        free(part[i]);
}

static void maps_columns_to_heads(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"gpt2", "transformer.h.1.attn.c_attn.output"},
        {"gpt2", "transformer.h.1.attn.c_proj.input"},
        {"gpt_neox", "gpt_neox.layers.1.attention.query_key_value.output"},
        {"gpt_neox", "gpt_neox.layers.0.attention.dense.input"},
        {"llama", "model.layers.1.self_attn.k_proj.output"},
        {"llama", "model.layers.1.self_attn.q_proj.output"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f = fixture_open(rows[i][0]);
        struct run *r = fixture_run(&f, NULL, NULL, CACHE);
        check_map(r, rows[i][1]);
        run_free(r);
        fixture_close(&f);
    }
}

/* q, k and v one after the other where keys and values have fewer heads: no family has such a name
 * yet. */
static void parts_may_be_unequal(void **state)
{
    (void)state;
    struct model *m = fixture_shape("llama");
    int32_t d = m->cfg.d_head, heads[] = {m->cfg.n_heads, m->cfg.n_kv_heads, m->cfg.n_kv_heads};
    struct alias_value v = {
        .form = FORM_THIRDS, .n_sites = 3, .site = {{SITE_Q, 1}, {SITE_K, 1}, {SITE_V, 1}}};
    int64_t shape[ALIAS_RANK_MAX], k = 0;
    assert_int_equal(alias_shape(&m->cfg, &v, 5, shape, NULL), 2);
    for (int part = 0; part < 3; part++)
        for (int32_t i = 0; i < heads[part] * d; i++, k++) {
            struct alias_at at = alias_map_index(&m->cfg, &v, k);
            assert_true(at.part == part && at.head == i / d && at.d == i % d);
        }
    assert_int_equal(shape[1], k);
    assert_true(heads[0] > heads[1]);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_what_the_libraries_show),
        cmocka_unit_test(lists_only_names_that_exist),
        cmocka_unit_test(names_go_there_and_back),
        cmocka_unit_test(says_the_usual_name_first),
        cmocka_unit_test(shows_rotary_modules_of_layers),
        cmocka_unit_test(reads_other_spellings),
        cmocka_unit_test(refuses_in_one_line),
        cmocka_unit_test(patterns_in_every_library),
        cmocka_unit_test(maps_columns_to_heads),
        cmocka_unit_test(parts_may_be_unequal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
