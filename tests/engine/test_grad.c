/* test_grad.c - gradients at every site against PyTorch's autograd through TransformerLens (the
 * fixtures); what has no difference quotient; metrics.  Finite differences: test_grad_wide.c. */
#include "fixture.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure/grad.h"

static const double GRADIENT_ERROR_MAX = 1e-4; /* of the site's largest gradient */

struct collected {
    struct site_ref s;
    float *values;
    int64_t shape[SITE_RANK_MAX];
    int rank;
};
struct collector {
    struct collected *list;
    int32_t n;
};

static int collect(void *user, struct site_ref s, int32_t row0, int32_t row1,
                   const struct kn_view *g, struct err *e)
{
    (void)e;
    struct collector *c = user;
    for (int32_t i = 0; i < c->n; i++) {
        struct collected *t = &c->list[i];
        if (t->s.id != s.id || t->s.layer != s.layer)
            continue;
        int axis = site_row_axis(s.id);
        int64_t d[3] = {1, 1, 1}, st[3] = {0}, full[3] = {1, 1, 1};
        for (int k = 0; k < t->rank; k++)
            d[k] = g->shape[k], st[k] = g->stride[k], full[k] = t->shape[k];
        assert_int_equal(d[axis], row1 - row0);
        for (int64_t a = 0; a < d[0]; a++)
            for (int64_t b = 0; b < d[1]; b++)
                for (int64_t k = 0; k < d[2]; k++) {
                    int64_t at[3] = {a, b, k};
                    at[axis] += row0;
                    t->values[(at[0] * full[1] + at[1]) * full[2] + at[2]] = kn_f32(
                        g)[a * st[0] + b * st[1] + k * st[2]];
                }
    }
    return 0;
}

/* Every NAME_grad of one file. */
static int grads_of_file(const char *name, const char *file, size_t cache, double *worst)
{
    struct fixture f = fixture_open(name);
    struct checkpoint *st = fixture_file(name, file);
    struct err e = {0};
    struct metric m;
    const char *text = checkpoint_metadata(st, "metric");
    assert_non_null(text);
    if (metric_parse(&m, text, f.m->tok, f.m->cfg.d_vocab, &e))
        fail_msg("%s: %s", text, e.text);
    struct run *base = fixture_run_new(f.m, NULL, cache), *fork = fixture_run_new(f.m, base, cache);
    assert_int_equal(run_sync(base, fixture_input(&f), NULL, NULL, NULL, &e), 0);
    if (checkpoint_metadata(st, "edits")) {
        struct js_doc *doc = fixture_json(st, "edits");
        const char *texts[16];
        for (size_t k = 0; k < js_count(js_root(doc)); k++)
            assert_int_equal(js_string(js_at(js_root(doc), k), &texts[k], NULL, NULL), 0);
        struct edit_program *p = fixture_program(f.m, f.n, texts, (int32_t)js_count(js_root(doc)));
        assert_int_equal(run_sync(fork, (struct run_input){0}, p, NULL, NULL, &e), 0);
        edit_program_free(p);
        js_close(doc);
    } else {
        assert_int_equal(run_sync(fork, (struct run_input){0}, NULL, NULL, NULL, &e), 0);
    }
    double value;
    assert_int_equal(metric_value(&m, fork, base, &value, &e), 0);
    double want = strtod(checkpoint_metadata(st, "value"), NULL);
    assert_true(fabs(value - want) <= 1e-5 * fmax(1, fabs(want)));
    struct collector c = {calloc(checkpoint_count(st), sizeof *c.list), 0};
    struct site_ref *sites = calloc(checkpoint_count(st), sizeof *sites);
    struct alias_value *value_of = calloc(checkpoint_count(st), sizeof *value_of);
    for (size_t i = 0; i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        char site[LIMIT_NAME];
        snprintf(site, sizeof site, "%.*s", (int)(strlen(t->name) - strlen("_grad")), t->name);
        struct collected *to = &c.list[c.n];
        if (alias_find(&f.m->cfg, site, &value_of[c.n], &e))
            fail_msg("%s", e.text);
        to->s = value_of[c.n].site[0];
        to->rank = site_shape(&f.m->cfg, to->s.id, f.n, to->shape);
        to->values = calloc((size_t)(f.n * site_row_size(&f.m->cfg, to->s.id, f.n)),
                            sizeof *to->values);
        sites[c.n++] = to->s;
    }
    if (grad_run(fork, base, &m, sites, c.n, collect, &c, &e))
        fail_msg("%s", e.text);
    for (int32_t i = 0; i < c.n; i++) {
        const struct st_tensor *t = checkpoint_at(st, (size_t)i);
        if (value_of[i].form == FORM_EXPERT)
            fixture_take_expert(fork, c.list[i].s, value_of[i].expert, c.list[i].values);
        double d = fixture_error(c.list[i].values, t->data, t->nbytes / sizeof(float));
        *worst = fmax(*worst, d);
        if (!(d <= GRADIENT_ERROR_MAX))
            fail_msg("%s %s: %s differs by %g of its largest value", name, file, t->name, d);
        free(c.list[i].values);
    }
    int n = c.n;
    free(c.list), free(sites), free(value_of);
    run_free(fork), run_free(base);
    checkpoint_close(st);
    fixture_close(&f);
    return n;
}

static void test_reference(void **state)
{
    (void)state;
    static const char *const files[] = {"grads.safetensors", "grads.logprob.safetensors",
                                        "grads.loss.safetensors", "grads.weights.safetensors",
                                        "grads.edited.safetensors"};
    char **names = fixture_names_with("grads.logprob.safetensors");
    double worst = 0;
    int n = 0;
    for (char **name = names; *name; name++)
        for (int i = 0; i < 5; i++) {
            char path[256];
            snprintf(path, sizeof path, "tests/fixtures/models/%s/%s", *name, files[i]);
            if (access(path, R_OK)) /* not every model has a loss, few have edits as well */
                continue;
            n += grads_of_file(*name, files[i], SIZE_MAX / 2, &worst);
            grads_of_file(*name, files[i], 0, &worst);
        }
    fixture_names_free(names);
    assert_true(n > 400);
    print_message("%d gradients, largest error: %.2g of the site's largest\n", n, worst);
}

/* The gradient of logit[-1, 3] at block 0's input. */
static float *input_gradient(struct fixture *f, struct run *fork, struct run *base,
                             const char *const *texts, int32_t count)
{
    struct err e = {0};
    struct metric m;
    struct collected one = {.s = {SITE_RESID_PRE, 0}};
    one.rank = site_shape(&f->m->cfg, one.s.id, f->n, one.shape);
    one.values = calloc((size_t)(one.shape[0] * one.shape[1]), sizeof(float));
    struct collector c = {&one, 1};
    struct edit_program *p = fixture_program(f->m, f->n, texts, count);
    assert_int_equal(metric_parse(&m, "logit[-1, 3]", f->m->tok, f->m->cfg.d_vocab, &e), 0);
    assert_int_equal(run_sync(fork, (struct run_input){0}, p, NULL, NULL, &e), 0);
    assert_int_equal(grad_run(fork, base, &m, &one.s, 1, collect, &c, &e), 0);
    edit_program_free(p);
    return one.values;
}

/* An edit that clamps x[0..n) half way between its mean and its extremes, and two that set the
 * elements which that reaches. */
static void clamp_texts(const float *x, int64_t n, char clamp[128], char *low, char *high,
                        size_t size)
{
    double least = (double)x[0], most = (double)x[0], mean = 0;
    for (int64_t i = 0; i < n; i++) {
        least = fmin(least, (double)x[i]), most = fmax(most, (double)x[i]);
        mean += (double)x[i] / (double)n;
    }
    char bound[2][32], *text[2] = {low, high};
    snprintf(bound[0], sizeof bound[0], "%.3g", (least + mean) / 2);
    snprintf(bound[1], sizeof bound[1], "%.3g", (most + mean) / 2);
    snprintf(clamp, 128, "blocks.0.hook_mlp_out[2] = clamp(%s, %s)", bound[0], bound[1]);
    for (int side = 0; side < 2; side++) {
        float at = strtof(bound[side], NULL);
        size_t k = (size_t)snprintf(text[side], size, "blocks.0.hook_mlp_out[2, ");
        char between = '{';
        for (int64_t i = 0; i < n; i++)
            if (side ? x[i] > at : x[i] < at) {
                k += (size_t)snprintf(text[side] + k, size - k, "%c%d", between, (int)i);
                between = ',';
            }
        assert_int_equal(between, ',');
        snprintf(text[side] + k, size - k, "}] = %s", bound[side]);
    }
}

/* A clamp has no difference quotient at its corners; but it is the same function as setting the
 * elements that it holds to their bounds: the same bits, also where another edit then scales them.
 */
static void test_clamp(void **state)
{
    (void)state;
    char **names = fixture_names(true);
    for (char **name = names; *name; name++)
        for (size_t cache = 0; cache <= SIZE_MAX / 2; cache += SIZE_MAX / 2) {
            struct fixture f = fixture_open(*name);
            struct run *base = fixture_run_new(f.m, NULL, cache),
                       *fork = fixture_run_new(f.m, base, cache);
            struct err e = {0};
            struct kn_view v;
            assert_int_equal(run_sync(base, run_ids(f.tokens, f.n), NULL, NULL, NULL, &e), 0);
            assert_int_equal(run_view(base, (struct site_ref){SITE_MLP_OUT, 0}, 2, 3, &v, &e), 0);
            char clamp[128], low[4096], high[4096];
            float *values = fixture_values(&v);
            clamp_texts(values, v.shape[1], clamp, low, high, sizeof low);
            free(values);
            const char *after = "blocks.0.hook_mlp_out[:, 1:] *= 1.5", *clamped[] = {clamp, after},
                       *held[] = {low, high, after};
            float *a = input_gradient(&f, fork, base, clamped, 2),
                  *b = input_gradient(&f, fork, base, held, 3);
            assert_memory_equal(a, b, (size_t)f.n * (size_t)f.m->cfg.d_model * sizeof *a);
            free(a), free(b);
            run_free(fork), run_free(base);
            fixture_close(&f);
        }
    fixture_names_free(names);
}

/* ---- edits of gradients
 * ---------------------------------------------------------------------------- */

static bool is_per_head_input(enum site_id s)
{
    return s == SITE_ATTN_IN || s == SITE_Q_INPUT || s == SITE_K_INPUT || s == SITE_V_INPUT;
}

/* Gradients at every site but the inputs per head, under one edit. */
static struct collector gradients_under(const struct fixture *f, struct run *fork, struct run *base,
                                        const char *edit)
{
    struct err e = {0};
    struct metric m;
    struct site_ref *all = malloc((size_t)(f->m->cfg.n_layers + 1) * SITE_COUNT * sizeof *all);
    int n = site_list(&f->m->cfg, all), kept = 0;
    struct collector c = {calloc((size_t)n, sizeof *c.list), 0};
    for (int i = 0; i < n; i++) {
        if (site_holds_ids(all[i].id) || is_per_head_input(all[i].id))
            continue;
        struct collected *to = &c.list[c.n++];
        to->s = all[kept++] = all[i];
        to->rank = site_shape(&f->m->cfg, to->s.id, f->n, to->shape);
        to->values = calloc(
            (size_t)(to->shape[0] * to->shape[1] * (to->rank == 3 ? to->shape[2] : 1)),
            sizeof(float));
    }
    struct edit_program *p = fixture_program(f->m, f->n, &edit, 1);
    assert_int_equal(
        metric_parse(&m, "logit[-1, 3] - 0.5 * logprob[2, 5]", f->m->tok, f->m->cfg.d_vocab, &e),
        0);
    assert_int_equal(run_sync(fork, (struct run_input){0}, p, NULL, NULL, &e), 0);
    if (grad_run(fork, base, &m, all, kept, collect, &c, &e))
        fail_msg("%s: %s", edit, e.text);
    edit_program_free(p);
    free(all);
    return c;
}

/* A gradient that is made 0 at a site flows on as if the value there were a constant: what "=
 * frozen" makes of it. */
static void stops_like_a_constant(const struct fixture *f, struct run *fork, struct run *base,
                                  struct site_ref s)
{
    char name[LIMIT_NAME], edit[LIMIT_NAME + 16];
    snprintf(edit, sizeof edit, "%s = frozen", site_name(s, name));
    struct collector want = gradients_under(f, fork, base, edit);
    snprintf(edit, sizeof edit, "%s_grad *= 0", name);
    struct collector got = gradients_under(f, fork, base, edit);
    for (int32_t i = 0; i < want.n; i++) {
        const struct collected *a = &want.list[i], *b = &got.list[i];
        bool here = a->s.id == s.id && a->s.layer == s.layer;
        for (int64_t k = 0, n = a->shape[0] * a->shape[1] * (a->rank == 3 ? a->shape[2] : 1); k < n;
             k++)
            if (b->values[k] != (here ? 0 : a->values[k]))
                fail_msg("%s: %s_grad[%lld] is %g, not %g", edit, site_name(a->s, name),
                         (long long)k, (double)b->values[k], here ? 0 : (double)a->values[k]);
        free(a->values), free(b->values);
    }
    free(want.list), free(got.list);
}

static void test_gradient_edits(void **state)
{
    (void)state;
    char **names = fixture_names(true);
    int n_sites = 0;
    for (char **name = names; *name; name++)
        for (size_t cache = 0; cache <= SIZE_MAX / 2; cache += SIZE_MAX / 2) {
            struct fixture f = fixture_open(*name);
            struct run *base = fixture_run_new(f.m, NULL, cache),
                       *fork = fixture_run_new(f.m, base, cache);
            struct site_ref *all = malloc((size_t)(f.m->cfg.n_layers + 1) * SITE_COUNT *
                                          sizeof *all);
            int n = site_list(&f.m->cfg, all);
            assert_int_equal(run_sync(base, run_ids(f.tokens, f.n), NULL, NULL, NULL, NULL), 0);
            for (int i = 0; i < n; i++)
                if (!site_holds_ids(all[i].id) && !site_refusal(&f.m->cfg, all[i].id)) {
                    stops_like_a_constant(&f, fork, base, all[i]);
                    n_sites++;
                }
            free(all);
            run_free(fork), run_free(base);
            fixture_close(&f);
        }
    fixture_names_free(names);
    assert_true(n_sites > 800);
}

/* Scores that the mask hides are constants: what an edit puts into their gradient goes nowhere. */
static void test_hidden_scores(void **state)
{
    (void)state;
    char **names = fixture_names(true);
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        if (f.m->cfg.bidirectional) { /* nothing is hidden */
            fixture_close(&f);
            continue;
        }
        struct run *base = fixture_run_new(f.m, NULL, 0), *fork = fixture_run_new(f.m, base, 0);
        assert_int_equal(run_sync(base, run_ids(f.tokens, f.n), NULL, NULL, NULL, NULL), 0);
        struct collector want = gradients_under(&f, fork, base,
                                                "blocks.0.attn.hook_attn_scores_grad *= 1");
        struct collector got = gradients_under(
            &f, fork, base, "blocks.0.attn.hook_attn_scores_grad[:, 0, 1:] += 3");
        for (int32_t i = 0; i < want.n; i++) {
            const struct collected *a = &want.list[i], *b = &got.list[i];
            size_t n = (size_t)(a->shape[0] * a->shape[1] * (a->rank == 3 ? a->shape[2] : 1));
            bool same = !memcmp(a->values, b->values, n * sizeof *a->values),
                 here = a->s.id == SITE_ATTN_SCORES && a->s.layer == 0;
            assert_true(same != here);
            free(a->values), free(b->values);
        }
        free(want.list), free(got.list);
        run_free(fork), run_free(base);
        fixture_close(&f);
    }
    fixture_names_free(names);
}

/* ---- memory
 * ---------------------------------------------------------------------------------------- */

/* A backend that counts what it hands out. */
static struct kn_backend_type counted;
static const struct kn_backend_type *uncounted;
static size_t bytes_now, bytes_most;

static void *counting_alloc(struct kn_backend *be, size_t bytes)
{
    bytes_now += bytes;
    bytes_most = bytes_now > bytes_most ? bytes_now : bytes_most;
    return uncounted->alloc(be, bytes);
}

static void counting_release(struct kn_backend *be, void *mem, size_t bytes)
{
    bytes_now -= mem ? bytes : 0;
    uncounted->release(be, mem, bytes);
}

/* The same model with more layers: its own ones again and again. */
static struct model *deepened(const struct model *of, int32_t n_layers)
{
    struct model *m = malloc(sizeof *m);
    *m = *of;
    m->cfg.n_layers = n_layers;
    m->plan = plan_build(&m->cfg);
    size_t count = (size_t)(n_layers + 1) * WEIGHT_COUNT;
    m->weights = calloc(2 * count, sizeof *m->weights);
    m->device = m->weights + count;
    for (int32_t l = 0; l <= n_layers; l++)
        for (int w = 0; w < WEIGHT_COUNT; w++)
            m->weights[l * WEIGHT_COUNT +
                       w] = of->weights[(l == n_layers ? of->cfg.n_layers : l % of->cfg.n_layers) *
                                            WEIGHT_COUNT +
                                        w];
    return m;
}

/* Bytes at most, for a forward pass and all gradients of that many layers. */
static size_t bytes_of_gradients(const struct fixture *f, int32_t n_layers, int32_t n, size_t cache)
{
    struct model *m = deepened(f->m, n_layers);
    struct err e = {0};
    struct metric metric;
    int32_t *tokens = malloc((size_t)n * sizeof *tokens), n_sites = 0;
    for (int32_t i = 0; i < n; i++)
        tokens[i] = f->tokens[i % f->n];
    struct site_ref *all = malloc((size_t)(n_layers + 1) * SITE_COUNT * sizeof *all),
                    *list = malloc((size_t)(n_layers + 1) * SITE_COUNT * sizeof *list);
    int n_all = site_list(&m->cfg, all);
    for (int i = 0; i < n_all; i++)
        if (!site_holds_ids(all[i].id) && !site_refusal(&m->cfg, all[i].id))
            list[n_sites++] = all[i];
    bytes_now = bytes_most = 0;
    struct run *r = fixture_run_new(m, NULL, cache);
    assert_int_equal(
        metric_parse(&metric, "logit[-1, 3] - logit[-1, 5]", m->tok, m->cfg.d_vocab, &e), 0);
    assert_int_equal(run_sync(r, run_ids(tokens, n), NULL, NULL, NULL, &e), 0);
    struct collector nothing = {0};
    assert_int_equal(grad_run(r, NULL, &metric, list, n_sites, collect, &nothing, &e), 0);
    run_free(r);
    assert_int_equal(bytes_now, 0);
    free(all), free(list), free(tokens);
    m->folder = NULL, m->files = NULL, m->tok = NULL; /* the other's */
    model_close(m);
    return bytes_most;
}

/* Every site's gradient of a deep model takes the memory of one layer, besides each layer's
 * residual stream, keys and values; a generous budget takes more. */
static void test_memory(void **state)
{
    (void)state;
    struct fixture f = fixture_open("llama");
    const struct config *c = &f.m->cfg;
    enum { ROWS = 300, CAPACITY = 512, MORE = 10 };
    uncounted = f.m->be->type;
    counted = *uncounted;
    counted.alloc = counting_alloc, counted.release = counting_release;
    f.m->be->type = &counted;
    size_t two = bytes_of_gradients(&f, 2, ROWS, 0),
           twelve = bytes_of_gradients(&f, 2 + MORE, ROWS, 0);
    size_t rich = bytes_of_gradients(&f, 2 + MORE, ROWS, SIZE_MAX / 2);
    f.m->be->type = uncounted;
    size_t per_layer = (size_t)(c->d_model + 2 * c->n_kv_heads * c->d_head) * CAPACITY *
                       sizeof(float);
    print_message("%zu KiB for 2 layers, %zu KiB for 12, %zu KiB with all sites kept\n", two / 1024,
                  twelve / 1024, rich / 1024);
    assert_true(twelve <= two + MORE * per_layer);
    assert_true(rich > two + 4 * MORE * per_layer);
    fixture_close(&f);
}

static void test_metric_text(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    static const char *const bad[] = {"",
                                      "logit",
                                      "logit[1]",
                                      "logit[1, 2",
                                      "logit[1, 99999]",
                                      "logit[1, 2] logit[1, 3]",
                                      "2 logit[0, 1]",
                                      "perplexity",
                                      "logit[0, \"x]",
                                      "- ",
                                      "kl[",
                                      "rank",
                                      "rank[-1]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct metric m;
        struct err e = {0};
        assert_int_equal(metric_parse(&m, bad[i], f.m->tok, f.m->cfg.d_vocab, &e), ERR_BAD_INPUT);
        assert_non_null(strchr(e.text, ' '));
    }
    struct metric m;
    int32_t a, b;
    static const char *const comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8"};
    for (size_t i = 0; i < 4 && !setlocale(LC_ALL, comma[i]);)
        i++;
    assert_int_equal(
        metric_parse(&m, " -2.5*logit[ -1 ,3 ]+kl[2]", f.m->tok, f.m->cfg.d_vocab, NULL), 0);
    assert_true(m.n == 2 && m.terms[0].factor == -2.5 && m.terms[0].pos == -1 &&
                m.terms[1].pos == 2);
    setlocale(LC_ALL, "C");
    assert_int_equal(metric_rows(&m, 5, &a, &b, NULL), 0);
    assert_true(a == 2 && b == 5);
    assert_int_equal(metric_rows(&m, 2, &a, &b, NULL), ERR_BAD_INPUT);
    assert_int_equal(metric_parse(&m, "rank[-1, 3]", f.m->tok, f.m->cfg.d_vocab, NULL), 0);
    assert_int_equal(metric_check(&m, f.m, NULL), 0);
    assert_int_equal(metric_check_gradient(&m, f.m, NULL), ERR_BAD_INPUT);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metric_text),   cmocka_unit_test(test_reference),
        cmocka_unit_test(test_clamp),         cmocka_unit_test(test_gradient_edits),
        cmocka_unit_test(test_hidden_scores), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
