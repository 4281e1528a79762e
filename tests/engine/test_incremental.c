/* test_incremental.c - incremental == full, bit for bit: an edit at every site and row, tails of
 * the prompt, and long random sequences of edits and prompts, for every family and several cache
 * budgets.  On devices that this processor plays fixtures are those that have every trait between
 * them (fixture_names_suited), which share sites and budgets; sequences and prompts are short.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void sync_input(struct run *r, struct run_input in, const struct edit_program *p,
                       struct run *const *src, struct run_cost *cost)
{
    struct err e = {0};
    if (run_sync(r, in, p, src, cost, &e))
        fail_msg("%s", e.text);
}

static void sync_ok(struct run *r, const int32_t *tokens, int32_t n, const struct edit_program *p,
                    struct run *const *src, struct run_cost *cost)
{
    sync_input(r, run_ids(tokens, n), p, src, cost);
}

/* All values of a run, one site after the other; kept from call to call, since a sanitizer's
 * realloc copies and poisons all of it each time. */
struct values {
    float *v;
    size_t n, room;
};

/* Every site that exists and is not refused. */
static void values_read(struct values *out, struct run *r)
{
    const struct config *cfg = &run_model(r)->cfg;
    struct site_ref *all = malloc((size_t)(cfg->n_layers + 1) * SITE_COUNT * sizeof *all);
    int n = site_list(cfg, all);
    out->n = 0;
    for (int i = 0; i < n; i++) {
        if (site_refusal(cfg, all[i].id))
            continue;
        int64_t shape[SITE_RANK_MAX];
        size_t k = 1;
        int rank = site_shape(cfg, all[i].id, run_length(r), shape);
        for (int d = 0; d < rank; d++)
            k *= (size_t)shape[d];
        if (out->n + k > out->room) {
            out->room = 2 * (out->n + k);
            out->v = realloc(out->v, out->room * sizeof *out->v);
        }
        struct err e = {0};
        if (run_read(r, all[i], 0, run_length(r), out->v + out->n, NULL, &e))
            fail_msg("%s", e.text);
        out->n += k;
    }
    free(all);
}

/* The values of `r` are those of each of `full`. */
static void assert_same(struct run *r, struct run *const *full, int count, const char *what)
{
    static struct values a, b;
    values_read(&a, r);
    for (int k = 0; k < count; k++) {
        values_read(&b, full[k]);
        assert_int_equal(a.n, b.n);
        if (!memcmp(a.v, b.v, a.n * sizeof *a.v))
            continue;
        size_t i = 0;
        while (!memcmp(a.v + i, b.v + i, sizeof *a.v))
            i++;
        fail_msg("%s, %s: value %zu of %zu is %.9g incrementally, %.9g in full", run_model(r)->name,
                 what, i, a.n, (double)a.v[i], (double)b.v[i]);
    }
}

static void edit_text(char *buf, size_t size, struct site_ref s, int32_t row)
{
    char name[LIMIT_NAME];
    site_name(s, name);
    if (s.id == SITE_TOKENS)
        snprintf(buf, size, "%s[%d] = %d", name, row, row % 7);
    else if (s.id == SITE_EXPERT_INDICES)
        snprintf(buf, size, "%s[%d, 0] = %d", name, row, row % 3);
    else if (site_row_axis(s.id) == 1)
        snprintf(buf, size, "%s[0, %d, 0] += 0.37", name, row);
    else
        snprintf(buf, size, "%s[%d] += 0.37", name, row);
}

/* One edit at every site and row, toggled on the same fork, against a run computed from nothing. */
static void test_every_site(void **state)
{
    (void)state;
    char **names = fixture_names_suited("weight_edits.safetensors");
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct site_ref *all = malloc((size_t)(f.m->cfg.n_layers + 1) * SITE_COUNT * sizeof *all);
        int n = site_list(&f.m->cfg, all);
        for (int budget = 0; budget < 2; budget++) {
            size_t cache = budget ? 50000 : SIZE_MAX / 2;
            int32_t row0 = fixture_slow() ? f.n / 2 : 0,
                    apart = fixture_slow() ? f.n : 1 + budget * 3;
            struct run *base = fixture_run_new(f.m, NULL, cache),
                       *fork = fixture_run_new(f.m, base, cache),
                       *full = fixture_run_new(f.m, NULL, cache);
            sync_input(base, fixture_input(&f), NULL, NULL, NULL);
            for (int i = 0; i < n; i++)
                for (int32_t row = row0; row < f.n && !site_refusal(&f.m->cfg, all[i].id);
                     row += apart) {
                    if (fixture_slow() && (i + (name - names)) % 4 != 2 * budget)
                        continue;
                    char text[200];
                    const char *texts[] = {text};
                    edit_text(text, sizeof text, all[i], row);
                    struct edit_program *p = fixture_program(f.m, f.n, texts, 1);
                    struct run_cost cost;
                    sync_ok(fork, NULL, 0, p, NULL, &cost);
                    sync_input(full, fixture_input(&f), NULL, NULL,
                               NULL); /* so that nothing of the last edit is left */
                    sync_input(full, fixture_input(&f), p, NULL, NULL);
                    struct run *fresh = fixture_run_new(f.m, NULL, cache);
                    sync_input(fresh, fixture_input(&f), p, NULL, NULL);
                    assert_same(fork, (struct run *[]){full, fresh}, 2, text);
                    run_free(fresh);
                    sync_ok(fork, NULL, 0, NULL, NULL, &cost);
                    edit_program_free(p);
                }
            run_free(fork), run_free(base), run_free(full);
        }
        free(all);
        fixture_close(&f);
    }
    fixture_names_free(names);
}

/* What the random walk edits. */
static const char *const pool[] = {
    "blocks.0.attn.hook_z[:, 1] = 0",
    "blocks.*.hook_mlp_out[-1] *= 0.5",
    "blocks.1.hook_resid_pre[2:] += 0.25",
    "blocks.1.attn.hook_pattern[0, -1, 0] = 0",
    "blocks.0.ln1.hook_scale *= 1.5",
    "blocks.1.attn.hook_v[{0,1}] -= 1",
    "hook_embed[1, 3] += 2",
    "blocks.0.attn.hook_result[1:, 0] *= 2",
    "blocks.1.hook_mlp_in[0, :] *= 0.5",
    "blocks.1.mlp.hook_post[:, 2] = from(other)",
    "blocks.0.hook_attn_out[-1] = mean()",
    "unembed.hook_out[-1, 3] = 9",
    "blocks.0.attn.hook_attn_scores[0, 1, :] = 0.5",
    "blocks.1.hook_q_input[1, 0, :] = 0",
    "hook_tokens[0] = 5",
    "blocks.0.attn.hook_k[1] = from(base)",
    "blocks.1.attn.hook_pattern[:, 1] = mean()",
    "blocks.1.hook_resid_pre[1:] = frozen",
    "blocks.0.attn.hook_z = clamp(-0.1, 0.1)",
    "blocks.*.attn.hook_pattern[0, 1:, 0] *= 3, renormalize",
    "blocks.1.attn.hook_pattern[1] = frozen, renormalize",
    "blocks.0.attn.hook_attn_scores[1] = clamp(-0.5, 0.5)",
    "blocks.*.hook_resid_pre[1:] += noise(0.1, seed=3)",
    "blocks.1.attn.hook_z *= noise(1, seed=4)",
    "blocks.0.attn.hook_pattern[2, -1] += noise(0.01)",
    "blocks.0.hook_resid_post[{0,2}] -= 3 * dir(5, 7)",
    "blocks.*.hook_mlp_out = project_out(dir(1, 2))",
    "blocks.1.hook_attn_out[1:] = from(other, pos=0)",
    "blocks.0.attn.hook_q += 0.5 * from(base, pos=-1)",
};
enum { POOL = sizeof pool / sizeof *pool, WALK_IDS = 64 };

/* The program's sources: the other prompt's run, or `base`. */
static void sources(const struct edit_program *p, struct run *base, struct run *other,
                    struct run *src[2])
{
    for (int32_t i = 0; i < p->n_sources; i++)
        src[i] = strcmp(p->sources[i].name, "base") ? other : base;
}

/* A fork and its base against runs of the same target that are computed from nothing. */
static void assert_full(struct run *base, struct run *fork, struct run *other,
                        const struct edit_program *p, const int32_t *tokens, int32_t n,
                        const char *what)
{
    struct run *base2 = fixture_run_new(run_model(base), NULL, SIZE_MAX / 2),
               *fork2 = fixture_run_new(run_model(base), base2, SIZE_MAX / 2), *src[2] = {0};
    sync_ok(base2, tokens, n, NULL, NULL, NULL);
    sources(p, base2, other, src);
    sync_ok(fork2, NULL, 0, p, src, NULL);
    assert_same(base, &base2, 1, what);
    assert_same(fork, &fork2, 1, what);
    run_free(fork2), run_free(base2);
}

/* One step: another length, sometimes another token, up to four edits. */
static void walk_step(const struct fixture *f, uint32_t *seed, int32_t *tokens, int32_t n_max,
                      struct run *base, struct run *fork, struct run *other)
{
    int32_t n = 3 + (int32_t)(fixture_random(seed) % (uint32_t)(n_max - 3));
    if (fixture_random(seed) % 3)
        tokens[fixture_random(seed) % (uint32_t)n] = (int32_t)(fixture_random(seed) % 11);
    const char *texts[6];
    char what[512] = "";
    int count = 0;
    for (int k = (int)(fixture_random(seed) % 5); k > 0; k--) {
        texts[count] = pool[fixture_random(seed) % POOL];
        if (f->m->cfg.n_moe && strstr(texts[count], "mlp.hook_post"))
            texts[count] = "blocks.1.mlp.hook_router_scores[:, 1] = from(other)";
        if (f->m->cfg.n_heads < 3 && strstr(texts[count], "pattern[2, -1]"))
            texts[count] = "blocks.0.attn.hook_pattern[1, -1] += noise(0.01)";
        snprintf(what + strlen(what), sizeof what - strlen(what), "%s; ", texts[count++]);
    }
    struct edit_program *p = fixture_program(f->m, n, texts, count);
    struct run *src[2] = {0};
    sources(p, base, other, src);
    sync_ok(base, tokens, n, NULL, NULL, NULL);
    sync_ok(fork, NULL, 0, p, src, NULL);
    assert_full(base, fork, other, p, tokens, n, what);
    edit_program_free(p);
}

/* Random walks over (prompt, edit list): grow, shrink, change tails, add, remove, reorder edits,
 * globs, reads of other runs. */
static void walk(const struct fixture *f, uint32_t seed)
{
    static const size_t budgets[] = {SIZE_MAX / 2, 40000, 0}; /* a fork's need not be its base's */
    size_t cache = budgets[fixture_random(&seed) % 2], own = budgets[fixture_random(&seed) % 3];
    struct run *base = fixture_run_new(f->m, NULL, cache), *fork = fixture_run_new(f->m, base, own),
               *other = fixture_run_new(f->m, NULL, 0);
    int32_t other_ids[WALK_IDS], tokens[WALK_IDS],
        n_most = fixture_slow() ? 10 : 40,
        n_max = f->m->cfg.n_ctx < n_most ? f->m->cfg.n_ctx : n_most;
    for (int i = 0; i < WALK_IDS; i++)
        other_ids[i] = (int32_t)(fixture_random(&seed) % 11),
        tokens[i] = (int32_t)(fixture_random(&seed) % 11);
    sync_ok(other, other_ids, n_max, NULL, NULL, NULL);
    for (int step = fixture_slow() ? 48 : 0; step < 50; step++)
        walk_step(f, &seed, tokens, n_max, base, fork, other);
    run_free(fork), run_free(other), run_free(base);
}

static void random_walk(void (*change)(struct config *))
{
    char **names = fixture_names_suited("weight_edits.safetensors");
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        if (change)
            fixture_change(&f, change);
        for (uint32_t turn = 0; turn < fixture_turns(fixture_slow() ? 1 : 3) && !f.image; turn++)
            walk(&f, fixture_seed(*name, turn)); /* images have no other length, no other tokens */
        fixture_close(&f);
    }
    fixture_names_free(names);
}

static void test_random_walk(void **state)
{
    (void)state;
    random_walk(NULL);
}

/* A model of every type in blocks. */
static void test_blocks_walk(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct err e = {0};
    if (model_open(&f.m, "tests/fixtures/gguf/types.gguf", fixture_backend(), &e))
        fail_msg("%s", e.text);
    for (uint32_t turn = 0; turn < fixture_turns(fixture_slow() ? 1 : 3); turn++)
        walk(&f, fixture_seed("types", turn));
    model_close(f.m);
}

static void look_both_ways(struct config *cfg)
{
    cfg->bidirectional = true;
}

static void test_bidirectional_walk(void **state)
{
    (void)state;
    random_walk(look_both_ways);
}

/* Where attention sees later positions, an edit of one of them that comes or goes before it changes
 * all rows, though the edit that lets it see them stays. */
static void test_later_edit(void **state)
{
    (void)state;
    static const char *const texts[] = {"blocks.1.attn.hook_pattern[:, 1] = mean()",
                                        "blocks.1.hook_resid_pre[4] += 1"};
    struct fixture f = fixture_open("gpt2");
    struct run *base = fixture_run_new(f.m, NULL, SIZE_MAX / 2),
               *fork = fixture_run_new(f.m, base, SIZE_MAX / 2);
    sync_ok(base, f.tokens, f.n, NULL, NULL, NULL);
    for (int count = 1; count < 4; count++) {
        struct edit_program *p = fixture_program(f.m, f.n, texts, 1 + count % 2);
        sync_ok(fork, NULL, 0, p, NULL, NULL);
        assert_full(base, fork, NULL, p, f.tokens, f.n, texts[count % 2]);
        edit_program_free(p);
    }
    run_free(fork), run_free(base);
    fixture_close(&f);
}

/* What an edit cannot reach is the base's own value, and costs nothing. */
static void test_cone(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct run *base = fixture_run_new(f.m, NULL, SIZE_MAX / 2),
               *fork = fixture_run_new(f.m, base, SIZE_MAX / 2);
    struct run_cost cost;
    sync_ok(base, f.tokens, f.n, NULL, NULL, &cost);
    assert_true(cost.share == 1.0 && cost.row == 0 && cost.stage == 0);
    sync_ok(base, f.tokens, f.n, NULL, NULL, &cost);
    assert_true(cost.share == 0.0);
    const char *texts[] = {"blocks.1.attn.hook_z[-1, 0] = 0"};
    struct edit_program *p = fixture_program(f.m, f.n, texts, 1);
    sync_ok(fork, NULL, 0, p, NULL, &cost);
    assert_int_equal(cost.row, f.n - 1);
    assert_int_equal(cost.stage, 2);
    /* the same edit after one that reached everything */
    const char *first[] = {"hook_embed[0] *= 2"};
    struct edit_program *early = fixture_program(f.m, f.n, first, 1);
    sync_ok(fork, NULL, 0, early, NULL, &cost);
    assert_true(cost.row == 0 && cost.stage == 0);
    sync_ok(fork, NULL, 0, p, NULL, &cost);
    assert_true(cost.row == f.n - 1 && cost.stage == 2);
    edit_program_free(early);
    struct kn_view a, b;
    struct site_ref z0 = {SITE_Z, 0}, post = {SITE_RESID_POST, 1};
    assert_int_equal(run_view(base, z0, 0, f.n, &a, NULL), 0);
    assert_int_equal(run_view(fork, z0, 0, f.n, &b, NULL), 0);
    assert_ptr_equal(kn_f32(&a), kn_f32(&b));
    assert_int_equal(run_view(base, post, 0, f.n - 1, &a, NULL), 0);
    assert_int_equal(run_view(fork, post, 0, f.n - 1, &b, NULL), 0);
    assert_ptr_equal(kn_f32(&a), kn_f32(&b));
    /* one more token: one row of work */
    int32_t longer[16];
    memcpy(longer, f.tokens, (size_t)f.n * sizeof *longer);
    longer[f.n] = 1;
    sync_ok(base, longer, f.n + 1, NULL, NULL, &cost);
    assert_int_equal(cost.row, f.n);
    edit_program_free(p);
    run_free(fork), run_free(base);
    fixture_close(&f);
}

/* One token past the room there is: one row of work for a base run and its fork, and what was there
 * is as it was. */
static void grow(const struct fixture *f, int32_t n, size_t cache)
{
    static const char *const texts[] = {"blocks.0.attn.hook_z[3, 1] = 0",
                                        "blocks.1.attn.hook_pattern[0, 4, 1] = 0.5"};
    struct run *base = fixture_run_new(f->m, NULL, cache),
               *fork = fixture_run_new(f->m, base, cache);
    int32_t *tokens = malloc((size_t)(n + 1) * sizeof *tokens);
    for (int32_t i = 0; i <= n; i++)
        tokens[i] = (i * 5 + i / 7) % 11;
    for (int32_t k = n; k <= n + 1; k++) {
        struct run_cost cost[2];
        struct edit_program *p = fixture_program(f->m, k, texts, 2);
        sync_ok(base, tokens, k, NULL, NULL, &cost[0]);
        sync_ok(fork, NULL, 0, p, NULL, &cost[1]);
        for (int i = 0; i < 2 && k > n && (cache == 0 || cache == SIZE_MAX / 2); i++) {
            assert_int_equal(cost[i].row, n);
            assert_true(cost[i].share <= 1.0 / k);
        }
        struct run *all = fixture_run_new(f->m, NULL, SIZE_MAX / 2),
                   *edited = fixture_run_new(f->m, all, SIZE_MAX / 2);
        sync_ok(all, tokens, k, NULL, NULL, NULL);
        sync_ok(edited, NULL, 0, p, NULL, NULL);
        assert_same(base, &all, 1, "base");
        assert_same(fork, &edited, 1, "fork");
        run_free(edited), run_free(all);
        edit_program_free(p);
    }
    free(tokens);
    run_free(fork), run_free(base);
}

/* An edit that lets attention see later positions, where the scores that it starts from were
 * computed for fewer positions, or in pieces. */
static void test_later_positions(void **state)
{
    (void)state;
    static const char *const texts[] = {"blocks.1.attn.hook_pattern[:, 1] = mean()"};
    char **names = fixture_names_suited(NULL);
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        int32_t last = fixture_slow() && name > names ? 0 : 1; /* with a prompt of several pieces */
        for (int32_t more = 0; more <= last && f.m->cfg.n_ctx >= 38; more++) {
            struct run *base = fixture_run_new(f.m, NULL, SIZE_MAX / 2),
                       *fork = fixture_run_new(f.m, base, SIZE_MAX / 2);
            int32_t tokens[38], n = more ? 38 : 12;
            for (int i = 0; i < 38; i++)
                tokens[i] = i * 7 % 11;
            sync_ok(base, tokens, n - 8, NULL, NULL, NULL);
            sync_ok(fork, NULL, 0, NULL, NULL, NULL);
            struct edit_program *p = fixture_program(f.m, n, texts, 1);
            sync_ok(base, tokens, n, NULL, NULL, NULL);
            sync_ok(fork, NULL, 0, p, NULL, NULL);
            assert_full(base, fork, NULL, p, tokens, n, texts[0]);
            edit_program_free(p);
            run_free(fork), run_free(base);
        }
        fixture_close(&f);
    }
    fixture_names_free(names);
}

static void test_grow(void **state)
{
    (void)state;
    char **names = fixture_names_suited(NULL);
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        static const size_t budgets[] = {SIZE_MAX / 2, 300000, 0};
        bool room = f.m->cfg.n_ctx > 32;
        if (room && fixture_slow())
            grow(&f, 32, budgets[(name - names) % 3]);
        for (size_t cache = 16000; cache < 400000 && room && !fixture_slow(); cache *= 2)
            grow(&f, 32, cache);
        if (room && !fixture_slow())
            grow(&f, 32, 0), grow(&f, 32, SIZE_MAX / 2);
        fixture_close(&f);
    }
    fixture_names_free(names);
    struct fixture f = fixture_open("llama");
    if (!fixture_slow())
        grow(&f, 512, 0), grow(&f, 512, SIZE_MAX / 2);
    fixture_close(&f);
}

/* What reads an edited on-request site, which no run keeps, is never the first step to run. */
static void test_request_read_again(void **state)
{
    (void)state;
    static const char *const sites[][2] = {
        {"blocks.0.attn.hook_result[1:, 0] *= 2", "blocks.0.hook_attn_out[0] += 1"},
        {"blocks.0.hook_mlp_in[1:, 0] *= 2", "blocks.0.ln2.hook_scale[0] += 1"},
        {"blocks.0.hook_q_input[1:, 0] *= 2", "blocks.0.attn.hook_q[0] += 1"},
    };
    char **names = fixture_names_suited(NULL);
    for (char **name = names; *name; name++)
        for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
            struct fixture f = fixture_open(*name);
            struct run *base = fixture_run_new(f.m, NULL, SIZE_MAX / 2),
                       *fork = fixture_run_new(f.m, base, SIZE_MAX / 2);
            sync_ok(base, f.tokens, f.n, NULL, NULL, NULL);
            for (int count = 2; count > 0; count--) { /* both, then the first alone */
                const char *texts[2] = {sites[i][0], sites[i][1]};
                struct edit_program *p = fixture_program(f.m, f.n, texts, count);
                sync_ok(fork, NULL, 0, p, NULL, NULL);
                assert_full(base, fork, NULL, p, f.tokens, f.n, texts[0]);
                edit_program_free(p);
            }
            run_free(fork), run_free(base);
            fixture_close(&f);
        }
    fixture_names_free(names);
}

/* A run goes from ids to rows of the residual stream, to other rows at the same place, and back;
 * its fork follows. */
static void test_rows(void **state)
{
    (void)state;
    static const char *const texts[] = {"blocks.1.attn.hook_z[3, 1] = 0"};
    struct fixture f = fixture_open("llama");
    struct run *base = fixture_run_new(f.m, NULL, SIZE_MAX / 2),
               *fork = fixture_run_new(f.m, base, SIZE_MAX / 2);
    struct site_ref before = {SITE_RESID_POST, 0}, last = {SITE_RESID_POST, 1};
    size_t floats = (size_t)f.n * (size_t)f.m->cfg.d_model;
    float *rows = malloc(floats * sizeof *rows), *end[2];
    struct edit_program *p = fixture_program(f.m, f.n, texts, 1);
    for (int i = 0; i < 2; i++)
        end[i] = malloc(floats * sizeof **end);
    for (int turn = 0; turn < 4; turn++) { /* ids, their rows, other rows, ids */
        bool given = turn == 1 || turn == 2, other = turn == 2;
        if (turn == 1)
            assert_int_equal(run_read(base, before, 0, f.n, rows, NULL, NULL), 0);
        if (other)
            rows[0] += 1;
        struct run_input in = {
            .tokens = given ? NULL : f.tokens, .n = f.n, .rows = given ? rows : NULL, .start = 1};
        for (int i = 0; i < 2; i++) {
            struct err e = {0};
            struct run *r = i ? fork : base;
            float *now = malloc(floats * sizeof *now);
            if (run_sync(r, i ? (struct run_input){0} : in, i ? p : NULL, NULL, NULL, &e) ||
                run_read(r, last, 0, f.n, now, NULL, &e))
                fail_msg("%s", e.text);
            if (turn == 0)
                memcpy(end[i], now, floats * sizeof *now);
            assert_true(!memcmp(end[i], now, floats * sizeof *now) == !other);
            free(now);
        }
    }
    free(rows), free(end[0]), free(end[1]);
    edit_program_free(p);
    run_free(fork), run_free(base);
    fixture_close(&f);
}

static bool cancel_after(struct run *r, atomic_bool *flag, const int32_t *tokens, int32_t n)
{
    struct err e = {0};
    atomic_store(flag, true);
    int rc = run_sync(r, run_ids(tokens, n), NULL, NULL, NULL, &e);
    atomic_store(flag, false);
    return rc == ERR_CANCELLED;
}

/* A cancelled run completes later with the same bits. */
static void test_cancel(void **state)
{
    (void)state;
    struct fixture f = fixture_open("llama");
    static atomic_bool flag;
    struct kn_backend *be = fixture_backend();
    struct run *a = fixture_run_new(f.m, NULL, 0), *b = fixture_run_new(f.m, NULL, 0);
    be->cancel = &flag;
    assert_true(cancel_after(a, &flag, f.tokens, f.n));
    sync_ok(a, f.tokens, 3, NULL, NULL, NULL);
    assert_true(cancel_after(a, &flag, f.tokens, f.n));
    sync_ok(a, f.tokens, f.n, NULL, NULL, NULL);
    be->cancel = NULL;
    sync_ok(b, f.tokens, f.n, NULL, NULL, NULL);
    assert_same(a, &b, 1, "after cancelling");
    run_free(a), run_free(b);
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
        cmocka_unit_test(test_cone),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_later_positions),
        cmocka_unit_test(test_later_edit),
        cmocka_unit_test(test_request_read_again),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_every_site),
        cmocka_unit_test(test_random_walk),
        cmocka_unit_test(test_blocks_walk),
        cmocka_unit_test(test_bidirectional_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
