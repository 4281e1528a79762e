/* test_session.c - the worker: what it publishes is what the engine computes, the newest question
 * wins, and figures kept from earlier questions are never stale.  Also run under the thread
 * sanitizer. */
#include "fixture.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "session/session.h"

static struct edit *parsed(const char *text)
{
    struct edit *ed = NULL;
    struct err e = {0};
    if (edit_parse(&ed, text, &e))
        fail_msg("%s", e.text);
    return ed;
}

static struct session *opened(const struct fixture *f)
{
    struct session *s = NULL;
    struct err e = {0};
    if (session_open(&s, f->m, 1 << 20, &e))
        fail_msg("%s", e.text);
    return s;
}

/* Nothing but the prompt. */
static struct session_want plain(const int32_t *tokens, int32_t n)
{
    return (struct session_want){.tokens = tokens,
                                 .n = n,
                                 .target = -1,
                                 .pair = {-1, -1},
                                 .cell_column = -1,
                                 .attn_layer = -1,
                                 .tensor = {SITE_COUNT, SITE_ROOT}};
}

static const struct snapshot *answer(struct session *s, const struct session_want *want)
{
    const struct snapshot *snap = session_wait(s, session_request(s, want));
    assert_true(snap->complete);
    return snap;
}

static bool same_bits(const void *a, const void *b, size_t n)
{
    return (!a && !b) || (a && b && !memcmp(a, b, n));
}

static bool same_float(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void assert_cells(const struct lens_cell *a, const struct lens_cell *b, size_t n)
{
    assert_int_equal(!a, !b);
    for (size_t i = 0; i < n && a; i++)
        assert_true(same_float(a[i].entropy, b[i].entropy) && same_float(a[i].lse, b[i].lse) &&
                    same_float(a[i].target_logit, b[i].target_logit) &&
                    a[i].target_rank == b[i].target_rank);
}

static void assert_face(const struct snapshot *a, const struct snapshot *b, int face,
                        const struct config *cfg)
{
    const struct snapshot_face *x = &a->face[face], *y = &b->face[face];
    size_t rows = (size_t)(a->row1 - a->row0), n = (size_t)a->n, layers = (size_t)cfg->n_layers,
           heads = (size_t)cfg->n_heads;
    assert_cells(x->cells, y->cells, (layers + 1) * rows);
    assert_true(same_bits(x->top, y->top, (layers + 1) * rows * sizeof *x->top));
    assert_true(same_bits(x->norms.pre, y->norms.pre, layers * rows * sizeof(float)));
    assert_true(same_bits(x->norms.mid, y->norms.mid, layers * rows * sizeof(float)));
    assert_true(same_bits(x->norms.post, y->norms.post, layers * rows * sizeof(float)));
    assert_true(same_bits(x->norms.attn, y->norms.attn, layers * rows * sizeof(float)));
    assert_true(same_bits(x->norms.mlp, y->norms.mlp, layers * rows * sizeof(float)));
    if (a->cell_column >= 0) {
        assert_true(
            same_bits(x->detail_top, y->detail_top, (size_t)a->detail_k * sizeof *x->detail_top));
        assert_cells(x->detail_columns, y->detail_columns, layers + 1);
        assert_cells(&x->detail, &y->detail, x->detail_top ? 1 : 0);
        assert_true(same_float(x->detail_norm, y->detail_norm) &&
                    same_float(x->detail_attn, y->detail_attn) &&
                    same_float(x->detail_mlp, y->detail_mlp));
    }
    assert_true(same_bits(x->pattern, y->pattern, heads * n * n * sizeof(float)));
    assert_int_equal(!x->heads, !y->heads);
    for (size_t h = 0; h < heads && x->heads; h++)
        assert_true(same_float(x->heads[h].previous, y->heads[h].previous) &&
                    same_float(x->heads[h].induction, y->heads[h].induction) &&
                    same_float(x->heads[h].entropy, y->heads[h].entropy));
    size_t floats = 1;
    for (int i = 0; i < a->tensor_rank; i++)
        floats *= (size_t)a->tensor_shape[i];
    assert_true(same_bits(x->tensor, y->tensor, floats * sizeof(float)));
    for (int32_t i = 0; i < a->n_stats && x->stats; i++)
        assert_true(x->stats[i].n == y->stats[i].n &&
                    same_float(x->stats[i].mean, y->stats[i].mean) &&
                    same_float(x->stats[i].std, y->stats[i].std));
    assert_true(same_float(x->pair, y->pair) && same_float(x->loss, y->loss));
}

static void assert_snapshot(const struct snapshot *a, const struct snapshot *b,
                            const struct config *cfg)
{
    assert_int_equal(a->err.code, b->err.code);
    assert_int_equal(a->edited, b->edited);
    assert_true(same_float(a->kl, b->kl));
    assert_int_equal(a->n, b->n);
    for (int face = 0; face < FACE_COUNT && !a->err.code; face++)
        assert_face(a, b, face, cfg);
}

static uint32_t next(uint32_t *state)
{
    return (*state = *state * 1664525u + 1013904223u) >> 8;
}

static const char *const edit_pool[] = {
    "blocks.0.attn.hook_z[-1, 0] = 0",
    "blocks.1.hook_resid_pre[2] *= 0.5",
    "blocks.0.mlp.hook_post[3:, 1] += 1",
    "blocks.1.attn.hook_pattern[0, 3, 1] = 0",
    "hook_embed[4] = mean()",
    "blocks.1.hook_mlp_out[1] = from(other)",
    "unembed.hook_out[-1, 3] = 2",
    "blocks.7.hook_resid_pre = 0", /* no such layer: refused */
};
enum { POOL = sizeof edit_pool / sizeof *edit_pool, LENGTH = 12 };

/* What a random walk changes one thing at a time. */
struct walk {
    struct fixture f;
    struct edit *edits[POOL];
    bool on[POOL];
    int32_t tokens[LENGTH], other[LENGTH];
    struct pair_prompt prompt;
    struct site_ref stats[3];
    struct session_want want;
    uint32_t seed;
};

static void walk_open(struct walk *w, const char *name, uint32_t seed)
{
    *w = (struct walk){.f = fixture_open(name), .seed = seed};
    for (int i = 0; i < POOL; i++)
        w->edits[i] = parsed(edit_pool[i]);
    for (int i = 0; i < LENGTH; i++)
        w->tokens[i] = w->other[i] = (int32_t)next(&w->seed) % w->f.m->cfg.d_vocab;
    w->prompt = (struct pair_prompt){"other", w->other, LENGTH};
    w->stats[0] = (struct site_ref){SITE_EMBED, SITE_ROOT};
    w->stats[1] = (struct site_ref){SITE_ATTN_SCORES, 1};
    w->stats[2] = (struct site_ref){SITE_MLP_OUT, 0};
    w->want = plain(w->tokens, LENGTH);
    w->want.edits = w->edits;
    w->want.on = w->on;
    w->want.n_edits = POOL;
    w->want.prompts = &w->prompt;
    w->want.n_prompts = 1;
    w->want.stats = w->stats;
    w->want.n_stats = 3;
}

static void walk_close(struct walk *w)
{
    for (int i = 0; i < POOL; i++)
        edit_free(w->edits[i]);
    fixture_close(&w->f);
}

static void walk_step(struct walk *w)
{
    struct session_want *q = &w->want;
    const struct config *c = &w->f.m->cfg;
    int32_t r = (int32_t)next(&w->seed);
    switch (next(&w->seed) % 10) {
    case 0: w->tokens[r % LENGTH] = r / LENGTH % c->d_vocab; break;
    case 1: q->n = 6 + r % 7; break;
    case 2:
    case 3: w->on[r % POOL] = !w->on[r % POOL]; break;
    case 4: w->other[r % LENGTH] = r / LENGTH % c->d_vocab; break;
    case 5:
        q->lens = r & 1;
        q->norms = r & 2;
        q->row0 = r / 4 % 6;
        q->row1 = q->row0 + r / 24 % 8;
        break;
    case 6:
        q->cell_column = r % (c->n_layers + 2) - 1;
        q->cell_row = r / 8 % q->n;
        q->cell_k = r / 256 % 9;
        break;
    case 7:
        q->attn_layer = r % (c->n_layers + 1) - 1;
        q->attn_scores = r >> 8 & 1;
        break;
    case 8:
        q->tensor = (struct site_ref){r % 2 ? SITE_Z : SITE_PATTERN, r / 2 % c->n_layers};
        q->tensor_row0 = r / 16 % 5;
        q->tensor_row1 = q->tensor_row0 + 1 + r / 128 % 4;
        break;
    default:
        q->target = r % (c->d_vocab + 1) - 1;
        q->pair[0] = r / 64 % c->d_vocab;
        q->pair[1] = r % 3 ? (q->pair[0] + 1) % c->d_vocab : -1;
    }
}

/* A session that has seen a hundred questions answers like one that has seen none. */
static void kept_figures_are_never_stale(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "gpt_neox", "llama"};
    for (int k = 0; k < 3; k++) {
        struct walk w;
        walk_open(&w, names[k], (uint32_t)k + 11);
        struct session *s = opened(&w.f);
        for (int step = 0; step < 120; step++) {
            walk_step(&w);
            const struct snapshot *a = answer(s, &w.want);
            /* One worker at a time computes on a backend; the old one is idle now. */
            struct session *fresh = opened(&w.f);
            const struct snapshot *b = answer(fresh, &w.want);
            assert_snapshot(a, b, &w.f.m->cfg);
            snapshot_release(a);
            session_close(fresh);
            snapshot_release(b); /* a snapshot outlives its session */
        }
        session_close(s);
        walk_close(&w);
    }
}

/* Many questions at once: only the last is sure to be answered, and it is answered rightly. */
static void the_newest_question_wins(void **state)
{
    (void)state;
    struct walk w;
    walk_open(&w, "llama", 5);
    struct session *s = opened(&w.f);
    uint64_t generation = 0, shown = 0;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 25; i++) {
            walk_step(&w);
            uint64_t g = session_request(s, &w.want);
            assert_true(g > generation);
            generation = g;
            const struct snapshot *now = session_latest(s);
            if (now) {
                assert_true(now->generation >= shown && now->generation <= generation);
                shown = now->generation;
            }
            snapshot_release(now);
        }
        const struct snapshot *a = session_wait(s, generation);
        assert_true(a->generation == generation);
        struct session *fresh = opened(&w.f);
        const struct snapshot *b = answer(fresh, &w.want);
        assert_snapshot(a, b, &w.f.m->cfg);
        session_close(fresh);
        snapshot_release(a);
        snapshot_release(b);
    }
    session_close(s);
    walk_close(&w);
}

static void figures_are_the_engine_s(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session *s = opened(&f);
    struct edit *edits[] = {parsed("blocks.1.attn.hook_z[-1] = 0")};
    struct session_want w = plain(f.tokens, f.n);
    w.edits = edits;
    w.n_edits = 1;
    w.lens = w.norms = true;
    w.row1 = f.n;
    w.target = 3;
    w.pair[0] = 3, w.pair[1] = 4;
    w.attn_layer = 1;
    const struct snapshot *snap = answer(s, &w);

    struct pair *p = NULL;
    bool on = true;
    struct pair_target t = {.tokens = f.tokens, .n = f.n, .edits = edits, .on = &on, .n_edits = 1};
    size_t n = (size_t)f.n, vocab = (size_t)f.m->cfg.d_vocab, h = (size_t)f.m->cfg.n_heads;
    struct lens_cell *cells = malloc(n * sizeof *cells);
    struct lens_top *top = malloc(n * sizeof *top);
    float *v = malloc((h * n * n + n + vocab) * sizeof *v);
    session_close(s); /* before another run uses the backend */
    assert_int_equal(pair_open(&p, f.m, 1 << 20, NULL), 0);
    assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
    for (int face = 0; face < FACE_COUNT; face++) {
        struct run *r = pair_run(p, (enum face)face);
        const struct snapshot_face *g = &snap->face[face];
        double loss;
        for (int32_t c = 0; c <= f.m->cfg.n_layers; c++) {
            assert_int_equal(lens_column(r, c, 0, f.n, 1, 3, cells, top, NULL), 0);
            assert_memory_equal(cells, g->cells + (size_t)c * n, n * sizeof *cells);
            assert_memory_equal(top, g->top + (size_t)c * n, n * sizeof *top);
        }
        assert_int_equal(lens_norms(r, (struct site_ref){SITE_RESID_MID, 2}, 0, f.n, v, NULL), 0);
        assert_memory_equal(v, g->norms.mid + 2 * n, n * sizeof *v);
        assert_int_equal(run_read(r, (struct site_ref){SITE_PATTERN, 1}, 0, f.n, v, NULL, NULL), 0);
        assert_memory_equal(v, g->pattern, h * n * n * sizeof *v);
        assert_int_equal(lens_logits(r, f.n - 1, v, NULL), 0);
        assert_true(g->pair == (double)v[3] - (double)v[4]);
        assert_int_equal(lens_loss(r, &loss, NULL, NULL), 0);
        assert_true(fabs(loss - g->loss) < 1e-12);
    }
    double kl;
    assert_int_equal(lens_kl(pair_run(p, FACE_BASE), pair_run(p, FACE_EDITED), f.n - 1, &kl, NULL),
                     0);
    assert_true(kl == snap->kl && kl > 0);
    pair_close(p);
    snapshot_release(snap);
    edit_free(edits[0]);
    free(cells), free(top), free(v);
    fixture_close(&f);
}

static void news_can_be_polled_for(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session *s = opened(&f);
    assert_null(session_latest(s));
    struct pollfd p = {.fd = session_fd(s), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    struct session_want w = plain(f.tokens, f.n);
    uint64_t g = session_request(s, &w);
    const struct snapshot *snap = NULL;
    while (!snap || !snap->complete || snap->generation < g) {
        assert_int_equal(poll(&p, 1, 10000), 1);
        snapshot_release(snap);
        snap = session_latest(s);
    }
    assert_int_equal(poll(&p, 1, 0), 0); /* drained */
    assert_false(snap->edited);
    assert_true(isnan(snap->kl));
    assert_null(snap->face[FACE_EDITED].cells);
    snapshot_release(snap);
    session_close(s);
    fixture_close(&f);
}

static void a_bad_question_is_answered_with_the_reason(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session *s = opened(&f);
    struct edit *edits[] = {parsed("blocks.0.attn.hook_z[99] = 0")};
    struct session_want w = plain(f.tokens, f.n);
    w.edits = edits;
    w.n_edits = 1;
    const struct snapshot *snap = answer(s, &w);
    assert_int_equal(snap->err.code, ERR_BAD_INPUT);
    assert_non_null(strstr(snap->err.text, "99"));
    snapshot_release(snap);
    const int32_t outside[] = {0, f.m->cfg.d_vocab};
    w = plain(outside, 2);
    snap = answer(s, &w);
    assert_int_equal(snap->err.code, ERR_BAD_INPUT);
    snapshot_release(snap);
    w = plain(f.tokens, f.n); /* and it goes on */
    snap = answer(s, &w);
    assert_int_equal(snap->err.code, 0);
    snapshot_release(snap);
    edit_free(edits[0]);
    session_close(s);
    fixture_close(&f);
}

static void it_ends_in_the_middle_of_work(void **state)
{
    (void)state;
    struct walk w;
    walk_open(&w, "gpt_neox", 9);
    for (int i = 0; i < 100; i++) {
        struct session *s = opened(&w.f);
        walk_step(&w);
        session_request(s, &w.want);
        session_close(s);
    }
    walk_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_the_engine_s),
        cmocka_unit_test(kept_figures_are_never_stale),
        cmocka_unit_test(the_newest_question_wins),
        cmocka_unit_test(news_can_be_polled_for),
        cmocka_unit_test(a_bad_question_is_answered_with_the_reason),
        cmocka_unit_test(it_ends_in_the_middle_of_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
