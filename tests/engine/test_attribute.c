/* test_attribute.c - attributions against autograd through TransformerLens (the fixtures), and the
 * identities that they have without a reference: integrated gradients are complete, senders add up
 * to what is read, direct effects to the logits. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/attribute.h"

static const char ATTRIBUTE[] = "attribute.safetensors";
static const double ERROR_MAX = 1e-4; /* of the largest value */
enum { CACHE = 1 << 24 };

/* A fixture, its pair, and the prompt that is put in. */
struct opened {
    struct fixture f;
    struct checkpoint *ref; /* or NULL */
    int32_t *source, n_source;
    struct pair_prompt prompt;
    struct pair_target target;
    struct pair *pair;
    struct metric metric;
};

static void metric_of_text(struct opened *o, const char *text)
{
    struct err e = {0};
    if (metric_parse(&o->metric, text, o->f.m->tok, o->f.m->cfg.d_vocab, &e))
        fail_msg("%s: %s", text, e.text);
}

static void opened_begin(struct opened *o, const char *name, size_t cache)
{
    struct err e = {0};
    *o = (struct opened){.f = fixture_open(name), .ref = fixture_file(name, ATTRIBUTE)};
    o->source = fixture_ids(o->ref, "source", &o->n_source);
    o->prompt = (struct pair_prompt){.name = "clean", .tokens = o->source, .n = o->n_source};
    o->target = (struct pair_target){
        .input = fixture_input(&o->f), .prompts = &o->prompt, .n_prompts = 1};
    metric_of_text(o, checkpoint_metadata(o->ref, "metric"));
    assert_int_equal(pair_open(&o->pair, o->f.m, cache, &e), 0);
    assert_int_equal(pair_sync(o->pair, &o->target, NULL, &e), 0);
}

static void opened_end(struct opened *o)
{
    pair_close(o->pair);
    free(o->source);
    checkpoint_close(o->ref);
    fixture_close(&o->f);
}

static struct attribution attributed(struct opened *o, struct attribute_options opt)
{
    struct attribution a;
    struct err e = {0};
    opt.cache_bytes = CACHE;
    if (attribute(&a, o->pair, &o->target, &o->metric, &opt, &e))
        fail_msg("%s: %s", attribute_method_name(opt.method), e.text);
    return a;
}

static const struct sweep_kind *kind_of(const char *name)
{
    struct err e = {0};
    const struct sweep_kind *k = sweep_kind_find(name, &e);
    if (!k)
        fail_msg("%s", e.text);
    return k;
}

/* Largest magnitude of a reference tensor. */
static double largest(const struct st_tensor *t)
{
    double most = 0;
    for (size_t i = 0; i < t->nbytes / sizeof(float); i++)
        most = fmax(most, fabs((double)((const float *)t->data)[i]));
    return most;
}

/* Of the largest value; what is zero but for rounding (the length of a key that is normalized) is
 * compared on the scale of the other kinds. */
static double error_of(const struct opened *o, const struct attribution *a,
                       const struct st_tensor *t)
{
    double most = 0, worst = 0;
    for (size_t i = 0; i < checkpoint_count(o->ref); i++)
        most = fmax(most, largest(checkpoint_at(o->ref, i)));
    for (int64_t i = 0; i < attribution_count(a); i++)
        worst = fmax(worst, fabs((double)a->values[i] - (double)((const float *)t->data)[i]));
    return worst / fmax(largest(t), most / 100);
}

static double compare(const struct opened *o, struct attribution *a, const char *key)
{
    const struct st_tensor *t = checkpoint_find(o->ref, key);
    int64_t count = 1;
    assert_int_equal(a->rank, t->rank);
    for (int i = 0; i < a->rank; i++) {
        if (a->axis[i].size != t->shape[i]) /* components that another count has */
            fail_msg("%s: axis %d has %d, the reference %d", key, i, (int)a->axis[i].size,
                     (int)t->shape[i]);
        count *= t->shape[i];
    }
    double d = error_of(o, a, t), sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += (double)a->values[i];
        assert_true(!a->there || a->there[i] || a->values[i] == 0);
    }
    assert_true(fabs(sum - a->sum) <= 1e-4 * fmax(1, fabs(sum)));
    if (!(d <= ERROR_MAX))
        fail_msg("%s differs by %g of its largest value", key, d);
    double want = strtod(checkpoint_metadata(o->ref, "value"), NULL);
    bool capped = o->f.m->cfg.final_softcap > 0 && !strncmp(key, "dla", 3);
    assert_true(capped || fabs(a->metric - want) <= 1e-5 * fmax(1, fabs(want)));
    attribution_free(a);
    return d;
}

/* One tensor of the reference: METHOD.KIND.HOW. */
static double check_tensor(struct opened *o, const char *key)
{
    char method[32], kind[32] = "", how[32] = "";
    struct err e = {0};
    struct attribute_options opt = {
        .with = "from(clean)",
        .steps = (int32_t)strtol(checkpoint_metadata(o->ref, "steps"), NULL, 10)};
    assert_true(sscanf(key, "%31[^.].%31[^.].%31s", method, kind, how) >= 1);
    assert_int_equal(attribute_method_parse(method, &opt.method, &e), 0);
    if (!strcmp(how, "zero"))
        opt.with = NULL;
    if (opt.method == ATTRIBUTE_DLA)
        assert_int_equal(attribute_part_parse(kind, &opt.part, &e), 0);
    else if (*kind)
        opt.kind = kind_of(kind);
    struct attribution a = attributed(o, opt);
    return compare(o, &a, key);
}

static void test_reference(void **state)
{
    (void)state;
    char **names = fixture_names_with(ATTRIBUTE);
    double worst = 0;
    int n = 0;
    for (char **name = names; *name; name++)
        for (int kept = 0; kept < 2; kept++) {
            struct opened o;
            opened_begin(&o, *name, kept ? CACHE : 0);
            for (size_t i = 0; i < checkpoint_count(o.ref); i++, n++)
                worst = fmax(worst, check_tensor(&o, checkpoint_at(o.ref, i)->name));
            opened_end(&o);
        }
    fixture_names_free(names);
    assert_true(n > 300);
    print_message("%d attributions, largest error: %.2g of the largest value\n", n, worst);
}

static double metric_with(struct opened *o, const char *text)
{
    struct err e = {0};
    struct edit *edit = NULL;
    double value;
    assert_int_equal(edit_parse(&edit, text, &e), 0);
    struct pair_target t = o->target;
    t.edits = &edit, t.n_edits = 1;
    if (pair_sync(o->pair, &t, NULL, &e))
        fail_msg("%s: %s", text, e.text);
    assert_int_equal(
        metric_value(&o->metric, pair_shown(o->pair), pair_run(o->pair, FACE_BASE), &value, &e), 0);
    assert_int_equal(pair_sync(o->pair, &o->target, NULL, &e), 0);
    edit_free(edit);
    return value;
}

/* What a layer's parts get adds up to what patching the whole layer does; the pair is as before. */
static void test_complete(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama", "gemma2"}, *const kinds[] = {"resid_pre",
                                                                                       "z",
                                                                                       "pattern"};
    static const char *const sites[] = {"hook_resid_pre", "attn.hook_z", "attn.hook_pattern"};
    for (size_t i = 0; i < 3; i++) {
        struct opened o;
        opened_begin(&o, models[i], CACHE);
        uint64_t before = fixture_hash(pair_run(o.pair, FACE_BASE));
        for (size_t k = 0; k < 3; k++) {
            struct attribution a = attributed(&o,
                                              (struct attribute_options){.method = ATTRIBUTE_IG,
                                                                         .kind = kind_of(kinds[k]),
                                                                         .with = "from(clean)",
                                                                         .steps = 250});
            int64_t each = attribution_count(&a) / a.axis[0].size;
            for (int32_t l = 0; l < a.axis[0].size; l++) {
                char text[96];
                double sum = 0, gain;
                snprintf(text, sizeof text, "blocks.%d.%s = from(clean)", l, sites[k]);
                gain = metric_with(&o, text) - a.metric;
                for (int64_t j = 0; j < each; j++)
                    sum += (double)a.values[l * each + j];
                if (!(fabs(sum - gain) <= 5e-4 * fmax(0.1, fabs(gain))))
                    fail_msg("%s %s: %g, patching gains %g", models[i], text, sum, gain);
            }
            attribution_free(&a);
        }
        assert_null(pair_run(o.pair, FACE_EDITED));
        assert_true(before == fixture_hash(pair_run(o.pair, FACE_BASE)));
        opened_end(&o);
    }
}

/* All senders before a receiver add up to what it reads: its edges to attribution patching there.
 */
static void test_senders(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama", "gpt_neox", "gemma2", "olmo2", "phi"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct opened o;
        struct fixture f = fixture_open(models[i]);
        int32_t other[64];
        struct err e = {0};
        for (int32_t j = 0; j < f.n; j++)
            other[j] = (f.tokens[j] * 7 + 3) % 40;
        o = (struct opened){.f = f, .prompt = {.name = "clean", .tokens = other, .n = f.n}};
        o.target = (struct pair_target){
            .input = fixture_input(&f), .prompts = &o.prompt, .n_prompts = 1};
        metric_of_text(&o, "logprob[-1, 3]");
        assert_int_equal(pair_open(&o.pair, f.m, CACHE, &e), 0);
        assert_int_equal(pair_sync(o.pair, &o.target, NULL, &e), 0);
        struct attribution edges = attributed(
            &o, (struct attribute_options){.method = ATTRIBUTE_EAP, .with = "from(clean)"});
        struct attribution last = attributed(
            &o, (struct attribute_options){
                    .method = ATTRIBUTE_ATP, .kind = kind_of("resid_post"), .with = "from(clean)"});
        double sum = 0, want = 0;
        int32_t v = edges.axis[1].size;
        for (int32_t u = 0; u < edges.axis[0].size; u++)
            sum += (double)edges.values[u * v + v - 1];
        for (int32_t p = 0; p < f.n; p++)
            want += (double)last.values[(f.m->cfg.n_layers - 1) * f.n + p];
        assert_string_equal(edges.axis[1].label[v - 1], "logits");
        if (!(fabs(sum - want) <= 1e-4 * fmax(0.1, fabs(want))))
            fail_msg("%s: edges to the logits sum to %g, the stream's gain is %g", models[i], sum,
                     want);
        attribution_free(&edges), attribution_free(&last);
        pair_close(o.pair);
        fixture_close(&o.f);
    }
}

/* Layers, and positions, add up to the logits; heads and neurons leave the rest. */
static void test_direct_sums(void **state)
{
    (void)state;
    char **all = fixture_names(true);
    int n = 0;
    for (char **name = all; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct run *r = fixture_run(&f, NULL, NULL, CACHE);
        struct metric m = {.n = 3,
                           .terms = {{METRIC_LOGIT, 1, -1, 2},
                                     {METRIC_LOGIT, -1, -1, 7},
                                     {METRIC_LOGIT, 0.5, 0, 3}}};
        for (int part = 0; part < ATTRIBUTE_PART_COUNT; part++) {
            struct attribution a;
            struct err e = {0};
            if (attribute_direct(&a, r, &m, (enum attribute_part)part, &e)) {
                assert_true(strstr(e.text, "no sum") || strstr(e.text, "mixture") ||
                            strstr(e.text, "no final norm") || strstr(e.text, "logits"));
                continue;
            }
            bool whole = part == ATTRIBUTE_BY_LAYER || part == ATTRIBUTE_BY_POS;
            double scale = fmax(1, fabs(a.metric));
            if (whole && !(fabs(attribution_remainder(&a)) <= 5e-5 * scale))
                fail_msg("%s by %s: %g is left of %g", *name,
                         attribute_part_name((enum attribute_part)part), attribution_remainder(&a),
                         a.metric);
            attribution_free(&a);
            n++;
        }
        run_free(r);
        fixture_close(&f);
    }
    fixture_names_free(all);
    assert_true(n > 40);
}

/* A patch of what nothing but the final norm and the unembedding read is what it is said to be, to
 * first order: small patches are exact. */
static void test_first_order(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "gpt2", CACHE);
    struct attribution a = attributed(&o, (struct attribute_options){.method = ATTRIBUTE_ATP,
                                                                     .kind = kind_of("z_all_pos"),
                                                                     .with = "*= 1.01"});
    for (int32_t l = 0; l < a.axis[0].size; l++)
        for (int32_t h = 0; h < a.axis[1].size; h++) {
            char text[96];
            snprintf(text, sizeof text, "blocks.%d.attn.hook_z[:, %d] *= 1.01", l, h);
            double gain = metric_with(&o, text) - a.metric,
                   said = (double)a.values[l * a.axis[1].size + h];
            assert_true(fabs(gain - said) <= 0.03 * fabs(gain) + 2e-6);
        }
    attribution_free(&a);
    opened_end(&o);
}

/* What heads give is what taking them away loses, to first order: zero attribution the other way.
 */
static void test_heads(void **state)
{
    (void)state;
    struct opened o;
    struct err e = {0};
    opened_begin(&o, "llama", CACHE);
    struct attribution a = attributed(
        &o, (struct attribute_options){.method = ATTRIBUTE_ATP, .kind = kind_of("z_all_pos")});
    float heads[64];
    assert_true(attribution_count(&a) < 64);
    assert_int_equal(attribute_heads(pair_shown(o.pair), NULL, &o.metric, heads, &e), 0);
    for (int64_t i = 0; i < attribution_count(&a); i++)
        assert_true(fabsf(heads[i] + a.values[i]) <= 1e-5f * fmaxf(1, fabsf(heads[i])));
    attribution_free(&a);
    opened_end(&o);
}

/* What the last layer's heads and MLP add goes to the logits by these edges alone: small patches of
 * them gain what their edges say. */
static void test_edges_first_order(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "gpt2", CACHE);
    struct attribution a = attributed(
        &o, (struct attribute_options){.method = ATTRIBUTE_EAP, .with = "*= 1.01"});
    int32_t heads = o.f.m->cfg.n_heads, last = o.f.m->cfg.n_layers - 1, v = a.axis[1].size;
    for (int32_t h = 0; h <= heads; h++) {
        char text[96];
        int32_t u = 1 + last * (heads + 1) + h;
        if (h == heads)
            snprintf(text, sizeof text, "blocks.%d.hook_mlp_out *= 1.01", last);
        else
            snprintf(text, sizeof text, "blocks.%d.attn.hook_z[:, %d] *= 1.01", last, h);
        double gain = metric_with(&o, text) - a.metric, said = (double)a.values[u * v + v - 1];
        if (h < heads) /* and through the MLP behind it */
            said += (double)a.values[u * v + v - 2];
        assert_true(fabs(gain - said) <= 0.03 * fabs(gain) + 2e-6);
    }
    attribution_free(&a);
    opened_end(&o);
}

/* Under edits: the slope is the edited run's, `freeze` puts the base back. */
static void test_edited(void **state)
{
    (void)state;
    struct opened o;
    struct err e = {0};
    struct edit *edit = NULL;
    opened_begin(&o, "llama", CACHE);
    assert_int_equal(edit_parse(&edit, "blocks.0.attn.hook_z[:, 1] = 0", &e), 0);
    double before;
    assert_int_equal(metric_value(&o.metric, pair_shown(o.pair), NULL, &before, &e), 0);
    o.target.edits = &edit, o.target.n_edits = 1;
    assert_int_equal(pair_sync(o.pair, &o.target, NULL, &e), 0);
    struct attribution a = attributed(&o, (struct attribute_options){.method = ATTRIBUTE_IG,
                                                                     .kind = kind_of("resid_post"),
                                                                     .with = "freeze",
                                                                     .steps = 250});
    int32_t n = a.axis[1].size;
    for (int32_t l = 0; l < a.axis[0].size; l++) {
        double sum = 0;
        for (int32_t p = 0; p < n; p++)
            sum += (double)a.values[l * n + p];
        assert_true(fabs(sum - (before - a.metric)) <= 2e-3 * fmax(0.1, fabs(before - a.metric)));
    }
    assert_non_null(pair_run(o.pair, FACE_EDITED));
    attribution_free(&a);
    edit_free(edit);
    opened_end(&o);
}

static void test_bundles(void **state)
{
    (void)state;
    struct opened o;
    opened_begin(&o, "llama", CACHE);
    static const char *const parts[] = {"z", "q", "k", "v", "pattern"};
    struct attribution all = attributed(
        &o, (struct attribute_options){.method = ATTRIBUTE_ATP,
                                       .kind = kind_of("head_by_pos_every"),
                                       .with = "from(clean)"});
    int64_t each = attribution_count(&all) / 5;
    assert_int_equal(all.axis[0].size, 5);
    for (int i = 0; i < 5; i++) {
        struct attribution one = attributed(
            &o, (struct attribute_options){
                    .method = ATTRIBUTE_ATP, .kind = kind_of(parts[i]), .with = "from(clean)"});
        assert_string_equal(all.axis[0].label[i], parts[i]);
        assert_true(fabs(one.sum) > 0);
        double sum = 0;
        for (int64_t k = 0; k < each; k++)
            sum += (double)all.values[i * each + k];
        assert_true(fabs(sum - one.sum) <= 1e-5 * fmax(1, fabs(sum)));
        attribution_free(&one);
    }
    assert_non_null(all.there); /* keys and values have fewer heads */
    attribution_free(&all);
    opened_end(&o);
}

static void refuse(struct opened *o, struct attribute_options opt, const char *why)
{
    struct attribution a = {.rank = 7};
    struct err e = {0};
    opt.cache_bytes = CACHE;
    assert_int_not_equal(attribute(&a, o->pair, &o->target, &o->metric, &opt, &e), 0);
    assert_int_equal(a.rank, 7);
    if (!strstr(e.text, why))
        fail_msg("\"%s\" says nothing of \"%s\"", e.text, why);
}

static void test_refusals(void **state)
{
    (void)state;
    struct opened o;
    struct err e = {0};
    enum attribute_method m;
    enum attribute_part p;
    opened_begin(&o, "gpt_neox", CACHE);
    refuse(&o, (struct attribute_options){.method = ATTRIBUTE_ATP, .kind = kind_of("resid_mid")},
           "hook_resid_mid");
    refuse(&o,
           (struct attribute_options){
               .method = ATTRIBUTE_ATP, .kind = kind_of("z"), .with = "from(nobody)"},
           "no run is called \"nobody\"");
    refuse(&o,
           (struct attribute_options){.method = ATTRIBUTE_ATP, .kind = kind_of("z"), .with = "= ("},
           "column");
    refuse(&o, (struct attribute_options){.method = ATTRIBUTE_GRAD, .kind = kind_of("z")},
           "summed over");
    refuse(&o, (struct attribute_options){.method = ATTRIBUTE_EAP, .steps = -1}, "1..");
    metric_of_text(&o, "logprob[-1, 3]");
    refuse(&o, (struct attribute_options){.method = ATTRIBUTE_DLA}, "logit[pos, token]");
    assert_int_equal(attribute_method_parse("magic", &m, &e), ERR_USAGE);
    assert_int_equal(attribute_part_parse("magic", &p, &e), ERR_USAGE);
    opened_end(&o);
}

static void test_correlation(void **state)
{
    (void)state;
    static const float a[] = {1, 2, 3, 4, 99}, b[] = {1, 8, 27, 64, -5};
    static const bool there[] = {true, true, true, true, false};
    double pearson, spearman;
    struct err e = {0};
    assert_int_equal(attribute_correlation(a, b, there, 5, &pearson, &spearman, &e), 0);
    assert_true(fabs(spearman - 1) < 1e-12);
    assert_true(fabs(pearson - 0.951369855) < 1e-6); /* numpy.corrcoef */
    assert_int_equal(attribute_correlation(a, b, NULL, 1, &pearson, &spearman, &e), 0);
    assert_true(isnan(pearson) && isnan(spearman));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),         cmocka_unit_test(test_complete),
        cmocka_unit_test(test_senders),           cmocka_unit_test(test_direct_sums),
        cmocka_unit_test(test_first_order),       cmocka_unit_test(test_edited),
        cmocka_unit_test(test_bundles),           cmocka_unit_test(test_heads),
        cmocka_unit_test(test_edges_first_order), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_correlation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
