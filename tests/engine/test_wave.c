/* test_wave.c - variants together == one fork after the other, bit for bit: every site and word,
 * for every family, with other tokens, several budgets, chunks and rows that are wanted; cancelled
 * at random moments. */
#include "fixture.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/wave.h"

enum { SET_MAX = 512, TEXTS_MAX = 48, TEXT = LIMIT_NAME + 40 };

/* Variants of a base run, what they read, and what is wanted of them. */
struct set {
    const struct model *m;
    struct run *base, *other, *src[SET_MAX][2];
    struct wave_variant v[SET_MAX];
    struct edit_program *full[SET_MAX]; /* with the tokens as edits */
    char what[SET_MAX][TEXTS_MAX * 8];
    int32_t n;
    struct wave_want want;
    size_t cache;
    int32_t taken;   /* of the answers that came */
    int32_t stop_at; /* stop the wave at this one, -1: never */
};

static struct set *set_new(const struct model *m, struct run_input in, size_t cache)
{
    struct set *s = calloc(1, sizeof *s);
    struct err e = {0};
    s->m = m, s->cache = cache, s->stop_at = -1;
    s->base = fixture_run_new(m, NULL, cache), s->other = fixture_run_new(m, NULL, cache);
    if (run_sync(s->base, in, NULL, NULL, NULL, &e))
        fail_msg("%s", e.text);
    int32_t *ids = malloc((size_t)in.n * sizeof *ids);
    for (int32_t i = 0; i < in.n; i++)
        ids[i] = (i * 3 + 1) % 11;
    struct run_input other = in.image ? in : run_ids(ids, in.n);
    if (run_sync(s->other, other, NULL, NULL, NULL, &e))
        fail_msg("%s", e.text);
    free(ids);
    return s;
}

static void set_clear(struct set *s)
{
    for (int32_t i = 0; i < s->n; i++) {
        edit_program_free((struct edit_program *)(uintptr_t)s->v[i].prog);
        edit_program_free(s->full[i]);
        free((int32_t *)(uintptr_t)s->v[i].tokens);
    }
    s->n = 0;
}

static void set_free(struct set *s)
{
    set_clear(s);
    run_free(s->other), run_free(s->base);
    free(s);
}

/* One more variant; seed: some tokens are others, else NULL. */
static void set_add(struct set *s, const char *const *texts, int32_t count, uint32_t *seed)
{
    int32_t at = s->n++, n = run_length(s->base), all = 0, *tokens = NULL;
    const char *full[TEXTS_MAX];
    char ids[TEXTS_MAX][TEXT];
    assert_true(at < SET_MAX && count + (seed ? n : 0) <= TEXTS_MAX);
    if (seed) {
        tokens = malloc((size_t)n * sizeof *tokens);
        memcpy(tokens, run_tokens(s->base), (size_t)n * sizeof *tokens);
        for (int k = 1 + (int)(fixture_random(seed) % 2); k > 0; k--)
            tokens[fixture_random(seed) % (uint32_t)n] = (int32_t)(fixture_random(seed) % 11);
        for (int32_t i = 0; i < n; i++, all++) {
            snprintf(ids[i], TEXT, "hook_tokens[%d] = %d", i, tokens[i]);
            full[all] = ids[i];
        }
    }
    snprintf(s->what[at], sizeof s->what[at], "%s", seed ? "other tokens; " : "");
    for (int32_t i = 0; i < count; i++, all++) {
        full[all] = texts[i];
        size_t len = strlen(s->what[at]);
        snprintf(s->what[at] + len, sizeof s->what[at] - len, "%s; ", texts[i]);
    }
    s->full[at] = fixture_program(s->m, n, full, all);
    s->v[at] = (struct wave_variant){count ? fixture_program(s->m, n, texts, count) : NULL,
                                     s->src[at], tokens};
    for (int32_t i = 0; i < s->full[at]->n_sources; i++)
        s->src[at][i] = strcmp(s->full[at]->sources[i].name, "base") ? s->other : s->base;
}

static void rows_same(const struct set *s, const struct wave_value *v, struct run *fork,
                      struct site_ref site, const float *have, const int32_t *ids, int32_t n_ids)
{
    int64_t size = site_row_size(&s->m->cfg, site.id, 1);
    float *row = malloc((size_t)size * sizeof *row);
    struct err e = {0};
    for (int32_t i = 0; i < s->want.n_rows; i++) {
        int32_t at = s->want.rows[i];
        if (run_read(fork, site, at, at + 1, row, NULL, &e))
            fail_msg("%s", e.text);
        for (int64_t k = 0; k < (n_ids ? n_ids : size); k++, have++)
            if (memcmp(have, &row[n_ids ? ids[k] : k], sizeof *have))
                fail_msg("%s · %s%s at row %d, element %d: %.9g together, %.9g alone", s->m->name,
                         s->what[v->variant], site_table[site.id].name, at, (int)k, (double)*have,
                         (double)row[n_ids ? ids[k] : k]);
    }
    free(row);
}

/* An answer against a fork of its own, computed from nothing. */
static int compare(void *user, const struct wave_value *v, struct err *e)
{
    struct set *s = user;
    const struct config *cfg = &s->m->cfg;
    struct run *fork = fixture_run_new(s->m, s->base, s->cache);
    assert_int_equal(v->variant, s->taken++);
    if (run_sync(fork, (struct run_input){0}, s->full[v->variant], s->src[v->variant], NULL, e))
        fail_msg("%s · %s", s->what[v->variant], e->text);
    rows_same(s, v, fork, run_lens_site(s->m, cfg->n_layers), v->resid, NULL, 0);
    assert_true(!v->logits == !site_exists(cfg, SITE_UNEMBED_OUT));
    if (v->logits)
        rows_same(s, v, fork, (struct site_ref){site_logits(cfg), SITE_ROOT}, v->logits,
                  s->want.tokens, s->want.n_tokens);
    run_free(fork);
    return v->variant == s->stop_at ? err_set(e, ERR_USAGE, "enough") : 0;
}

/* What is asked: of one position a few logits, or of several all. */
static void set_check(struct set *s, bool all)
{
    int32_t n = run_length(s->base), ids[] = {3, 9, 0}, rows[] = {n / 3, n / 3 + 1, n - 2, n - 1};
    struct err e = {0};
    bool logits = site_exists(&s->m->cfg, SITE_UNEMBED_OUT);
    assert_true(n > 4);
    ids[1] = s->m->cfg.d_vocab > 9 ? 9 : 1, ids[0] = s->m->cfg.d_vocab > 3 ? 3 : 0;
    s->want = all ? (struct wave_want){rows, 4, NULL, 0}
                  : (struct wave_want){rows + 3, 1, ids, logits ? 2 + (s->m->cfg.d_vocab > 9) : 0};
    s->taken = 0;
    if (wave_run(s->base, s->v, s->n, &s->want, compare, s, &e))
        fail_msg("%s", e.text);
    assert_int_equal(s->taken, s->n);
}

static void edit_text(char *buf, struct site_ref s, int32_t row)
{
    char name[LIMIT_NAME];
    site_name(s, name);
    if (s.id == SITE_TOKENS)
        snprintf(buf, TEXT, "%s[%d] = %d", name, row, row % 7);
    else if (s.id == SITE_EXPERT_INDICES)
        snprintf(buf, TEXT, "%s[%d, 0] = %d", name, row, row % 3);
    else if (site_row_axis(s.id) == 1)
        snprintf(buf, TEXT, "%s[0, %d, 0] += 0.37", name, row);
    else
        snprintf(buf, TEXT, "%s[%d] += 0.37", name, row);
}

/* One edit at every site, at several rows, all of them variants of one wave. */
static void test_every_site(void **state)
{
    (void)state;
    char **names = fixture_names_with("weight_edits.safetensors");
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct site_ref *all = malloc((size_t)(f.m->cfg.n_layers + 1) * SITE_COUNT * sizeof *all);
        int n = site_list(&f.m->cfg, all);
        struct set *s = set_new(f.m, fixture_input(&f), SIZE_MAX / 2);
        for (int i = 0; i < n; i++)
            for (int32_t row = i % 2; row < f.n && !site_refusal(&f.m->cfg, all[i].id);
                 row += f.n / 2) {
                char text[TEXT];
                const char *texts[] = {text};
                edit_text(text, all[i], row);
                set_add(s, texts, 1, NULL);
            }
        set_check(s, false), set_check(s, true);
        set_free(s);
        free(all);
        fixture_close(&f);
    }
    fixture_names_free(names);
}

static const char *const pool[] = {
    "blocks.0.attn.hook_z[:, 1] = 0",
    "blocks.*.hook_mlp_out[-1] *= 0.5",
    "blocks.1.hook_resid_pre[2:] += 0.25",
    "blocks.1.attn.hook_pattern[0, -1, 0] = 0",
    "blocks.0.ln1.hook_scale *= 1.5",
    "blocks.1.attn.hook_v[{0,3}] -= 1",
    "blocks.1.mlp.hook_post[:, 2] = from(other)",
    "blocks.0.hook_attn_out[-1] = mean()",
    "unembed.hook_out[-1, 3] = 9",
    "unembed.hook_in[2:] *= 2",
    "blocks.0.attn.hook_attn_scores[0, 1, :] = 0.5",
    "blocks.1.hook_q_input[1, 0, :] = 0",
    "blocks.0.attn.hook_result[1:, 0] *= 2",
    "blocks.1.hook_mlp_in[0, :] *= 0.5",
    "blocks.0.attn.hook_k[1] = from(base)",
    "blocks.1.attn.hook_pattern[:, 1] = mean()",
    "blocks.1.hook_resid_pre[1:] = frozen",
    "blocks.0.attn.hook_z = clamp(-0.1, 0.1)",
    "blocks.*.attn.hook_pattern[0, 1:, 0] *= 3, renormalize",
    "blocks.1.attn.hook_pattern[1] = frozen, renormalize",
    "blocks.0.attn.hook_attn_scores[1] = clamp(-0.5, 0.5)",
    "blocks.*.hook_resid_pre[1:] += noise(0.1, seed=3)",
    "blocks.1.attn.hook_z *= noise(1, seed=4)",
    "blocks.0.hook_resid_post[{0,2}] -= 3 * dir(5, 7)",
    "blocks.*.hook_mlp_out = project_out(dir(1, 2))",
    "blocks.1.hook_attn_out[1:] = from(other, pos=0)",
    "blocks.0.attn.hook_q += 0.5 * from(base, pos=-1)",
    "blocks.1.hook_resid_pre[3] = from(other)",
    "blocks.0.attn.hook_z[4, 1] = from(other)",
    "blocks.1.attn.hook_z[:, {0,1}] = from(other)",
    "blocks.0.attn.hook_q[-1, 1] = 0",
    "blocks.1.attn.hook_v[2, 0] = from(other)",
    "blocks.1.hook_resid_post[-2:] = from(other)",
    "blocks.1.hook_resid_pre = from(base)",
    "blocks.0.attn.W_Q *= 1.1",
};
enum { POOL = sizeof pool / sizeof *pool, VARIANTS = 30 };

/* The edit that stands for one of the pool in this model. */
static const char *pooled(const struct model *m, uint32_t i)
{
    const struct config *cfg = &m->cfg;
    const char *text = pool[i];
    if (cfg->n_moe && strstr(text, "mlp.hook_post"))
        return "blocks.1.mlp.hook_router_scores[:, 1] = from(other)";
    if (strstr(text, "unembed.hook_out") && !site_exists(cfg, SITE_UNEMBED_OUT))
        return "unembed.hook_in[-1, 3] = 9";
    if (strstr(text, "dir(") && (cfg->headless || cfg->d_vocab < 8))
        return "blocks.*.hook_mlp_out[2] -= 0.1";
    return text;
}

static void random_sets(void (*change)(struct config *))
{
    char **names = change ? fixture_names(true) : fixture_names_with("weight_edits.safetensors");
    uint32_t seed = 11;
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        if (change && f.image) {
            fixture_close(&f);
            continue;
        }
        if (change)
            fixture_change(&f, change);
        for (int round = 0; round < 3; round++) {
            size_t cache = round == 0 ? SIZE_MAX / 2 : round == 1 ? 40000 : 0;
            struct set *s = set_new(f.m, fixture_input(&f), cache);
            for (int i = 0; i < VARIANTS; i++) {
                const char *texts[4];
                int32_t count = (int32_t)(fixture_random(&seed) % 4);
                for (int32_t k = 0; k < count; k++)
                    texts[k] = pooled(f.m, fixture_random(&seed) % POOL);
                bool others = !f.image && fixture_random(&seed) % 3 == 0;
                set_add(s, texts, count, others ? &seed : NULL);
            }
            set_check(s, round == 1);
            set_free(s);
        }
        fixture_close(&f);
    }
    fixture_names_free(names);
}

static void test_random(void **state)
{
    (void)state;
    random_sets(NULL);
}

static void look_both_ways(struct config *cfg)
{
    cfg->bidirectional = true;
}

static void test_bidirectional(void **state)
{
    (void)state;
    random_sets(look_both_ways);
}

/* All variants of gpt2 that tests below share: residual rows, heads, tokens. */
static struct set *gpt2_set(const struct fixture *f, size_t cache)
{
    struct set *s = set_new(f->m, fixture_input(f), cache);
    uint32_t seed = 5;
    for (int32_t l = 0; l < f->m->cfg.n_layers; l++)
        for (int32_t p = 0; p < f->n; p++) {
            char text[2][TEXT];
            const char *texts[2] = {text[0], text[1]};
            snprintf(text[0], TEXT, "blocks.%d.hook_resid_pre[%d] = from(other)", l, p);
            snprintf(text[1], TEXT, "blocks.%d.attn.hook_z[%d, 1] = 0", l, p);
            set_add(s, texts, 1, NULL);
            set_add(s, texts + 1, 1, NULL);
            set_add(s, texts, 2, &seed);
        }
    return s;
}

/* A prompt of more positions than a pass has, of which the base keeps no values but keys and the
 * residual stream; scores of a few positions at a time. */
static void test_long(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "blocks.0.hook_resid_pre[270:] += 0.5",      "blocks.1.attn.hook_z[280, 1] = from(other)",
        "blocks.1.attn.hook_pattern[1, 290, 3] = 0", "blocks.0.attn.hook_v[265, 0] = frozen",
        "blocks.0.attn.hook_v[271, 0] *= 3",         "blocks.1.hook_mlp_out[-3:] = mean()",
        "blocks.0.ln2.hook_scale[262] *= 1.5",       "blocks.1.attn.hook_rot_q[293] = 0.25"};
    enum { N = 300 };
    struct fixture f = fixture_open("llama");
    int32_t ids[N];
    for (int32_t i = 0; i < N; i++)
        ids[i] = (i * 7 + i / 5) % 11;
    struct set *s = set_new(f.m, run_ids(ids, N), 1 << 18);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        set_add(s, texts + i, 1, NULL), set_add(s, texts + i / 2, 1 + (i > 3), NULL);
    set_check(s, false), set_check(s, true);
    set_free(s);
    fixture_close(&f);
}

/* An answer that is refused ends the wave there. */
static void test_stop(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct set *s = gpt2_set(&f, SIZE_MAX / 2);
    int32_t row = f.n - 1;
    struct err e = {0};
    s->want = (struct wave_want){&row, 1, NULL, 0};
    s->stop_at = 7;
    assert_int_equal(wave_run(s->base, s->v, s->n, &s->want, compare, s, &e), ERR_USAGE);
    assert_string_equal(e.text, "enough");
    assert_int_equal(s->taken, 8);
    set_free(s);
    fixture_close(&f);
}

/* A variant that a fork would refuse is refused in the same words, after those before it. */
static void test_refused(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct set *s = gpt2_set(&f, SIZE_MAX / 2);
    int32_t row = f.n - 1;
    struct err e = {0}, want = {0};
    struct run *fork = fixture_run_new(f.m, s->base, 0);
    s->want = (struct wave_want){&row, 1, NULL, 0};
    s->src[9][0] = NULL;
    assert_int_equal(run_sync(fork, (struct run_input){0}, s->v[9].prog, s->src[9], NULL, &want),
                     ERR_BAD_INPUT);
    assert_int_equal(wave_run(s->base, s->v, s->n, &s->want, compare, s, &e), ERR_BAD_INPUT);
    assert_string_equal(e.text, want.text);
    assert_int_equal(s->taken, 9);
    run_free(fork);
    set_free(s);
    fixture_close(&f);
}

/* The cancel flag rises at the n-th call of an operation. */
static const struct kn_backend_type *real;
static atomic_bool cancel;
static int32_t calls, cancel_at;

static int64_t rows_most;                   /* of a product */
static int32_t products_of[1 + KN_OUT_MAX]; /* calls that are so many products */

static enum kn_status counted_run(struct kn_backend *be, const struct kn_call *call)
{
    bool several = call->op == KN_OP_LINEARS;
    if (several || call->op == KN_OP_LINEAR)
        products_of[several ? 2 + (call->in[5].ndim > 0) : 1]++;
    if (call->op == KN_OP_LINEAR && call->in[0].shape[0] > rows_most)
        rows_most = call->in[0].shape[0];
    if (++calls == cancel_at)
        atomic_store(&cancel, true);
    return real->run(be, call);
}

static int take(void *user, const struct wave_value *v, struct err *e)
{
    float *out = user;
    (void)e;
    out[v->variant] = v->logits[0];
    return 0;
}

/* Cancelled at random moments: what was handed out is right, and so is everything afterwards. */
static void test_cancel(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct kn_backend *be = fixture_backend();
    struct set *s = gpt2_set(&f, SIZE_MAX / 2);
    struct wave_want want = {(int32_t[]){f.n - 1}, 1, (int32_t[]){5}, 1};
    float right[SET_MAX], have[SET_MAX];
    struct err e = {0};
    struct kn_backend_type type = *be->type;
    real = be->type;
    type.run = counted_run;
    be->type = &type, be->cancel = &cancel;
    calls = 0, cancel_at = -1;
    assert_int_equal(wave_run(s->base, s->v, s->n, &want, take, right, &e), 0);
    int32_t all = calls;
    uint32_t seed = 3;
    for (int turn = 0; turn < 200; turn++) {
        for (int32_t i = 0; i < s->n; i++)
            have[i] = NAN;
        calls = 0, cancel_at = 1 + (int32_t)(fixture_random(&seed) % (uint32_t)all);
        assert_int_equal(wave_run(s->base, s->v, s->n, &want, take, have, &e), ERR_CANCELLED);
        atomic_store(&cancel, false);
        int32_t n = 0;
        while (n < s->n && have[n] == have[n])
            n++;
        assert_true(n < s->n && !memcmp(have, right, (size_t)n * sizeof *have));
        if (turn % 40)
            continue;
        cancel_at = -1;
        assert_int_equal(wave_run(s->base, s->v + n, s->n - n, &want, take, have + n, &e), 0);
        assert_memory_equal(have, right, (size_t)s->n * sizeof *have);
    }
    be->type = real, be->cancel = NULL;
    set_free(s);
    fixture_close(&f);
}

/* A layer's queries, keys and values are one call for all variants; in the last layer, where
 * queries are wanted of the last position alone, keys and values are. */
static void test_calls(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    if (model_backend(f.m, 0) != model_backend(f.m, f.m->cfg.n_layers)) { /* one's calls are seen */
        fixture_close(&f);
        skip();
    }
    struct kn_backend *be = fixture_backend();
    struct wave_want want = {(int32_t[]){f.n - 1}, 1, NULL, 0};
    struct set *s = set_new(f.m, fixture_input(&f), SIZE_MAX / 4);
    float have[SET_MAX];
    struct err e = {0};
    if (model_backend(f.m, 0) != model_backend(f.m, f.m->cfg.n_layers)) { /* one's calls are seen */
        fixture_close(&f);
        skip();
    }
    const char *text = "blocks.0.hook_resid_pre[1:] *= 2";
    int32_t layers = f.m->cfg.n_layers;
    for (int i = 0; i < 5; i++)
        set_add(s, &text, 1, NULL);
    struct kn_backend_type type = *be->type;
    real = be->type, calls = 0, cancel_at = -1;
    memset(products_of, 0, sizeof products_of);
    type.run = counted_run;
    be->type = &type;
    assert_int_equal(wave_run(s->base, s->v, s->n, &want, take, have, &e), 0);
    be->type = real;
    assert_int_equal(products_of[3], layers - 1);
    assert_int_equal(products_of[2], 1);
    assert_int_equal(products_of[1], 3 * layers + 1 + 1); /* and the last queries, unembedding */
    set_free(s);
    fixture_close(&f);
}

/* Products are of many variants' rows, as many as the budget has room for, which is kept. */
static void test_budget(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct kn_backend *be = fixture_backend();
    struct wave_want want = {(int32_t[]){f.n - 1}, 1, (int32_t[]){5}, 1};
    float have[SET_MAX];
    struct err e = {0};
    struct kn_backend_type type = *be->type;
    static const size_t budgets[] = {1 << 17, 1 << 18, 1 << 24};
    int64_t before = 16;
    for (int i = 0; i < 3; i++) {
        struct set *s = gpt2_set(&f, budgets[i]);
        real = be->type, calls = 0, cancel_at = -1, rows_most = 0;
        type.run = counted_run;
        be->type = &type;
        assert_int_equal(wave_run(s->base, s->v, s->n, &want, take, have, &e), 0);
        be->type = real;
        assert_true(rows_most > before);
        before = rows_most;
        fixture_count(be);
        assert_int_equal(wave_run(s->base, s->v, s->n, &want, take, have, &e), 0);
        assert_true(fixture_bytes_most() <= budgets[i]);
        assert_int_equal(fixture_bytes(), 0);
        fixture_count(NULL);
        set_free(s);
    }
    fixture_close(&f);
}

int main(void)
{
    if (!fixture_backend()->exact_rows) {
        print_message("SKIP: %s does not give a row the bits that it has alone\n",
                      fixture_backend()->describe);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_calls),         cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_budget),        cmocka_unit_test(test_long),
        cmocka_unit_test(test_every_site),    cmocka_unit_test(test_random),
        cmocka_unit_test(test_bidirectional),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
