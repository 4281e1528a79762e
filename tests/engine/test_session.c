/* test_session.c - the worker: what it publishes is what the engine computes, the newest question
 * wins, and figures kept from earlier questions are never stale.  Also run under the thread
 * sanitizer. */
#include "session_ask.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "session/request.h"

static const struct site_ref output_site = {SITE_UNEMBED_OUT, SITE_ROOT};

static bool same_bits(const void *a, const void *b, size_t n)
{
    return (!a && !b) || (a && b && !memcmp(a, b, n));
}

/* The same wants, and for each the same elements are there, with the same bits. */
static void assert_snapshot(const struct snapshot *a, const struct snapshot *b,
                            const struct config *cfg)
{
    assert_int_equal(a->err.code, b->err.code);
    assert_int_equal(a->edited, b->edited);
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->n_wants, b->n_wants);
    for (int32_t i = 0; i < a->n_wants; i++) {
        const struct want *w = &a->wants[i];
        assert_memory_equal(w, &b->wants[i], sizeof *w);
        assert_true(snapshot_answers(a, w));
        for (int face = 0; face < FACE_COUNT; face++)
            for (int32_t row = w->row0; row < w->row1; row++)
                assert_true(same_bits(snapshot_at(a, (enum face)face, w, row),
                                      snapshot_at(b, (enum face)face, w, row),
                                      want_bytes(cfg, w, a->n)));
    }
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
    struct want_list wants;
    struct session_want want;
    uint32_t seed;
};

static int32_t any(struct walk *w, int32_t n)
{
    return (int32_t)next(&w->seed) % n;
}

/* Some want of each kind, some of it outside the prompt or the model. */
static struct want random_want(struct walk *w)
{
    static const enum site_id sites[] = {SITE_EMBED,   SITE_RESID_POST,  SITE_MLP_OUT, SITE_V,
                                         SITE_PATTERN, SITE_ATTN_SCORES, SITE_Z};
    const struct config *c = &w->f.m->cfg;
    int32_t row0 = any(w, 8) - 1;
    struct want x = want_make((enum want_kind)any(w, WANT_COUNT),
                              (struct site_ref){sites[any(w, 7)], any(w, c->n_layers + 1)}, row0,
                              row0 + any(w, 8));
    if (x.site.id == SITE_EMBED)
        x.site.layer = SITE_ROOT;
    if (x.kind == WANT_CELL || x.kind == WANT_BEST)
        x.site = run_lens_site(w->f.m, any(w, c->n_layers + 1));
    if (x.kind == WANT_LOGITS || x.kind == WANT_KL)
        x.site = output_site;
    if (x.kind == WANT_SLOPE) {
        x.site = output_site;
        x.k = any(w, c->n_layers * c->n_heads + 1);
        x.pos = any(w, 8), x.id[0] = any(w, c->d_vocab), x.id[1] = any(w, c->d_vocab + 1) - 1;
    }
    if (x.kind == WANT_ATTRIBUTED)
        x.site = output_site, x.id[0] = any(w, c->d_vocab), x.id[1] = any(w, c->d_vocab);
    if (x.kind == WANT_DIRECT) {
        x.site = (struct site_ref){SITE_LNF_SCALE, SITE_ROOT};
        x.k = any(w, ATTRIBUTE_PART_COUNT), x.id[0] = any(w, c->d_vocab);
    }
    if (x.kind == WANT_HEADS)
        x.site = (struct site_ref){SITE_PATTERN, any(w, c->n_layers)};
    if (x.kind == WANT_HEAD_NORM)
        x.site = (struct site_ref){SITE_V, any(w, c->n_layers)};
    if (x.kind == WANT_BEST)
        x.k = any(w, 9);
    if (x.kind == WANT_CHECK)
        x.k = any(w, CHECK_COUNT + 1);
    if (x.kind == WANT_CELL || x.kind == WANT_LOGITS)
        x.id[0] = any(w, c->d_vocab + 2) - 1;
    if (x.kind == WANT_LOGITS)
        x.id[1] = any(w, c->d_vocab);
    if (x.kind == WANT_VALUES && x.site.id != SITE_EMBED && any(w, 2)) {
        x.head0 = any(w, c->n_heads);
        x.head1 = x.head0 + any(w, 3);
    }
    return x;
}

static void walk_open(struct walk *w, const char *name, uint32_t seed)
{
    *w = (struct walk){.f = fixture_open(name), .seed = seed};
    for (int i = 0; i < POOL; i++)
        w->edits[i] = ask_edit(edit_pool[i]);
    for (int i = 0; i < LENGTH; i++)
        w->tokens[i] = w->other[i] = any(w, w->f.m->cfg.d_vocab);
    w->prompt = (struct pair_prompt){.name = "other", .tokens = w->other, .n = LENGTH};
    w->want = ask_plain(w->tokens, LENGTH);
    w->want.target.edits = w->edits;
    w->want.target.on = w->on;
    w->want.target.n_edits = POOL;
    w->want.target.prompts = &w->prompt;
    w->want.target.n_prompts = 1;
}

static void walk_close(struct walk *w)
{
    for (int i = 0; i < POOL; i++)
        edit_free(w->edits[i]);
    want_list_free(&w->wants);
    fixture_close(&w->f);
}

static void walk_step(struct walk *w)
{
    struct session_want *q = &w->want;
    const struct config *c = &w->f.m->cfg;
    int32_t r = (int32_t)next(&w->seed);
    switch (any(w, 8)) {
    case 0: w->tokens[r % LENGTH] = r / LENGTH % c->d_vocab; break;
    case 1: q->target.input.n = 6 + r % 7; break;
    case 2:
    case 3: w->on[r % POOL] = !w->on[r % POOL]; break;
    case 4: w->other[r % LENGTH] = r / LENGTH % c->d_vocab; break;
    default: /* some of the wants of before, and new ones */
        w->wants.n = r % (w->wants.n + 1);
        for (int i = any(w, 12); i > 0; i--)
            want_add(&w->wants, random_want(w));
    }
    q->wants = w->wants.item;
    q->n_wants = w->wants.n;
}

/* A session that has seen a hundred questions answers like one that has seen none. */
static void kept_figures_are_never_stale(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "gpt_neox", "llama"};
    for (int k = 0; k < 3; k++) {
        struct walk w;
        walk_open(&w, names[k], (uint32_t)k + 11);
        struct session *s = ask_open(&w.f);
        for (int step = 0; step < 120; step++) {
            walk_step(&w);
            const struct snapshot *a = ask(s, &w.want);
            /* One worker at a time computes on a backend; the old one is idle now. */
            struct session *fresh = ask_open(&w.f);
            const struct snapshot *b = ask(fresh, &w.want);
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
    struct session *s = ask_open(&w.f);
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
        struct session *fresh = ask_open(&w.f);
        const struct snapshot *b = ask(fresh, &w.want);
        assert_snapshot(a, b, &w.f.m->cfg);
        session_close(fresh);
        snapshot_release(a);
        snapshot_release(b);
    }
    session_close(s);
    walk_close(&w);
}

/* Lens cells of a column in an answer, and as the lens gives them for a target. */
static void assert_column(struct run *r, const struct want_cell *got, int32_t column,
                          int32_t target)
{
    int32_t n = run_length(r);
    struct lens_cell *cells = calloc((size_t)n, sizeof *cells);
    struct lens_top *top = calloc((size_t)n, sizeof *top);
    assert_int_equal(lens_column(r, column, 0, n, 1, target, cells, top, NULL), 0);
    for (int32_t i = 0; i < n; i++) {
        assert_memory_equal(&cells[i], &got[i].cell, sizeof *cells);
        assert_memory_equal(&top[i], &got[i].top, sizeof *top);
    }
    free(cells), free(top);
}

static void figures_are_the_engine_s(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session *s = ask_open(&f);
    const struct config *cfg = &f.m->cfg;
    struct edit *edits[] = {ask_edit("blocks.1.attn.hook_z[-1] = 0")};
    struct session_want w = ask_plain(f.tokens, f.n);
    struct want cell[8],
        norm = want_make(WANT_NORM, (struct site_ref){SITE_RESID_MID, 2}, 0, f.n),
        values = want_make(WANT_VALUES, (struct site_ref){SITE_PATTERN, 1}, 0, f.n),
        logits = want_whole(WANT_LOGITS, output_site),
        divergence = want_whole(WANT_KL, output_site),
        heads = want_whole(WANT_HEADS, (struct site_ref){SITE_PATTERN, 1});
    struct want_list l = {0};
    logits.id[0] = 3, logits.id[1] = 4;
    values.head0 = 1, values.head1 = 2;
    const struct want *const others[] = {&norm, &values, &logits, &divergence, &heads};
    for (int i = 0; i < 5; i++)
        want_add(&l, *others[i]);
    for (int32_t c = 0; c <= cfg->n_layers; c++) {
        cell[c] = want_make(WANT_CELL, run_lens_site(f.m, c), 0, f.n);
        cell[c].id[0] = 3;
        want_add(&l, cell[c]);
    }
    w.target.edits = edits;
    w.target.n_edits = 1;
    w.wants = l.item;
    w.n_wants = l.n;
    const struct snapshot *snap = ask(s, &w);

    struct pair *p = NULL;
    struct pair_target t = {.input = run_ids(f.tokens, f.n), .edits = edits, .n_edits = 1};
    size_t n = (size_t)f.n, vocab = (size_t)cfg->d_vocab, h = (size_t)cfg->n_heads;
    float *v = malloc((h * n * n + n + vocab) * sizeof *v);
    session_close(s); /* before another run uses the backend */
    assert_int_equal(pair_open(&p, f.m, 1 << 20, NULL), 0);
    assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
    for (int face = 0; face < FACE_COUNT; face++) {
        struct run *r = pair_run(p, (enum face)face);
        struct lens_head score;
        for (int32_t c = 0; c <= cfg->n_layers; c++)
            assert_column(r, snapshot_rows(snap, (enum face)face, &cell[c]), c, 3);
        assert_int_equal(lens_norms(r, norm.site, 0, f.n, v, NULL), 0);
        assert_memory_equal(v, snapshot_rows(snap, (enum face)face, &norm), n * sizeof *v);
        assert_int_equal(run_read(r, values.site, 0, f.n, v, NULL, NULL), 0);
        assert_memory_equal(v + n * n, snapshot_rows(snap, (enum face)face, &values),
                            n * n * sizeof *v); /* head 1 */
        lens_head_scores(v + n * n, f.n, f.tokens, f.n, &score);
        const struct lens_head *all = snapshot_at(snap, (enum face)face, &heads, 0);
        assert_memory_equal(&score, &all[1], sizeof score);
        assert_int_equal(lens_logits(r, f.n - 1, v, NULL), 0);
        const float *pair = snapshot_at(snap, (enum face)face, &logits, 0);
        assert_true(pair[0] == v[3] && pair[1] == v[4]);
    }
    double kl;
    assert_int_equal(lens_kl(pair_run(p, FACE_BASE), pair_run(p, FACE_EDITED), f.n - 1, &kl, NULL),
                     0);
    assert_true(kl == *(const double *)snapshot_at(snap, FACE_EDITED, &divergence, 0) && kl > 0);
    assert_true(0 == *(const double *)snapshot_at(snap, FACE_BASE, &divergence, 0));
    pair_close(p);
    snapshot_release(snap);
    edit_free(edits[0]);
    want_list_free(&l);
    free(v);
    fixture_close(&f);
}

/* Identities are tested on the base run, whatever the edits. */
static void identities_are_the_base_s(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session *s = ask_open(&f);
    struct edit *edits[] = {ask_edit("blocks.1.attn.hook_z[2:] = nan")};
    struct session_want w = ask_plain(f.tokens, f.n);
    struct want wants[CHECK_COUNT];
    for (int i = 0; i < CHECK_COUNT; i++) {
        wants[i] = want_whole(WANT_CHECK, output_site);
        wants[i].k = i;
    }
    w.target.edits = edits, w.target.n_edits = 1;
    w.wants = wants, w.n_wants = CHECK_COUNT;
    const struct snapshot *snap = ask(s, &w);
    session_close(s); /* before another run uses the backend */
    struct run *r = run_create(f.m, NULL, &(struct run_options){.cache_bytes = 1 << 20}, NULL);
    assert_int_equal(run_sync(r, run_ids(f.tokens, f.n), NULL, NULL, NULL, NULL), 0);
    for (int i = 0; i < CHECK_COUNT; i++) {
        struct check_finding found;
        assert_int_equal(check_identity(r, i, 1 << 20, &found, NULL), 0);
        assert_true(found.result != CHECK_FAILS);
        for (int face = 0; face < FACE_COUNT; face++)
            assert_memory_equal(&found, snapshot_at(snap, (enum face)face, &wants[i], 0),
                                sizeof found);
    }
    run_free(r);
    snapshot_release(snap);
    edit_free(edits[0]);
    fixture_close(&f);
}

/* NaN is a value: it is there, and it is not computed again and again. */
static void a_nan_is_there(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session *s = ask_open(&f);
    struct edit *edits[] = {ask_edit("blocks.1.hook_resid_post[2:] = nan")};
    struct want_list l = {0};
    struct want cell = want_make(WANT_CELL, (struct site_ref){SITE_RESID_POST, 1}, 0, f.n),
                norm = want_make(WANT_NORM, (struct site_ref){SITE_RESID_POST, 1}, 0, f.n),
                stats = want_whole(WANT_STATS, (struct site_ref){SITE_RESID_POST, 1}),
                logits = want_whole(WANT_LOGITS, output_site),
                kl = want_whole(WANT_KL, output_site);
    cell.id[0] = logits.id[0] = 3, logits.id[1] = 4;
    const struct want *const all[] = {&cell, &norm, &stats, &logits, &kl};
    for (int i = 0; i < 5; i++)
        want_add(&l, *all[i]);
    struct session_want w = ask_plain(f.tokens, f.n);
    w.target.edits = edits;
    w.target.n_edits = 1;
    w.wants = l.item;
    w.n_wants = l.n;
    const struct snapshot *snap = ask(s, &w);
    for (int i = 0; i < 5; i++)
        assert_true(snapshot_answers(snap, all[i]));
    const struct want_cell *c = snapshot_at(snap, FACE_EDITED, &cell, 2);
    const struct lens_stats *st = snapshot_at(snap, FACE_EDITED, &stats, 0);
    assert_true(isnan(c->cell.lse) && isnan(c->cell.target_logit));
    assert_true(isnan(*(const float *)snapshot_at(snap, FACE_EDITED, &norm, 2)));
    assert_true(*(const float *)snapshot_at(snap, FACE_EDITED, &norm, 1) > 0);
    assert_true(st->n_nan == (int64_t)(f.n - 2) * f.m->cfg.d_model);
    assert_true(isnan(*(const float *)snapshot_at(snap, FACE_EDITED, &logits, 0)));
    assert_true(isnan(*(const double *)snapshot_at(snap, FACE_EDITED, &kl, 0)));
    snapshot_release(snap);
    edit_free(edits[0]);
    want_list_free(&l);
    session_close(s);
    fixture_close(&f);
}

/* What a want takes is cut to the prompt and to LIMIT_FIGURES; what does not fit is left out. */
static void wants_are_cut_to_what_there_is(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    const struct config *cfg = &f.m->cfg;
    struct want w = want_make(WANT_VALUES, (struct site_ref){SITE_PATTERN, 1}, -3, f.n + 5);
    assert_true(want_fit(cfg, &w, f.n));
    assert_true(w.row0 == 0 && w.row1 == f.n);
    assert_true(want_bytes(cfg, &w, f.n) == (size_t)(cfg->n_heads * f.n) * sizeof(float));
    w.head0 = 1, w.head1 = 2;
    assert_true(want_bytes(cfg, &w, f.n) == (size_t)f.n * sizeof(float));
    w.head1 = cfg->n_heads + 1;
    assert_false(want_fit(cfg, &w, f.n));
    w = want_make(WANT_NORM, (struct site_ref){SITE_PATTERN, 1}, 0, f.n);
    assert_false(want_fit(cfg, &w, f.n)); /* it has no norm per position */
    w = want_make(WANT_COSINE, (struct site_ref){SITE_MLP_OUT, 1}, 0, f.n);
    assert_false(want_fit(cfg, &w, f.n)); /* no column of the lens */
    w = want_whole(WANT_HEADS, (struct site_ref){SITE_Z, 1});
    assert_false(want_fit(cfg, &w, f.n)); /* scores of heads are their patterns' */
    w = want_make(WANT_VALUES, (struct site_ref){SITE_Z, cfg->n_layers}, 0, f.n);
    assert_false(want_fit(cfg, &w, f.n));
    w = want_whole(WANT_DIRECT, (struct site_ref){SITE_LNF_SCALE, SITE_ROOT});
    assert_false(want_fit(cfg, &w, f.n)); /* of no token */
    w.id[0] = 3;
    assert_true(want_fit(cfg, &w, f.n));
    w.k = ATTRIBUTE_BY_HEAD_POS;
    assert_false(want_fit(cfg, &w, f.n));

    /* Logits of so many tokens that two of these wants are more than the limit. */
    struct config wide = *cfg;
    int32_t n = 600, tokens[600] = {0};
    wide.d_vocab = 100000;
    struct want both[] = {want_make(WANT_VALUES, output_site, 0, n),
                          want_make(WANT_VALUES, output_site, 0, n)};
    struct session_want q = {.target.input = run_ids(tokens, n), .wants = both, .n_wants = 2};
    struct session_want *copy = request_copy(&q, &wide);
    size_t row = want_bytes(&wide, &both[0], n);
    assert_true(copy->n_wants == 2 && copy->wants[0].row1 == n && copy->wants[1].row1 < n);
    assert_true((size_t)(copy->wants[0].row1 + copy->wants[1].row1) == (size_t)LIMIT_FIGURES / row);
    request_free(copy);
    fixture_close(&f);
}

static void news_can_be_polled_for(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session *s = ask_open(&f);
    assert_null(session_latest(s));
    struct pollfd p = {.fd = session_fd(s), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    struct session_want w = ask_plain(f.tokens, f.n);
    uint64_t g = session_request(s, &w);
    const struct snapshot *snap = NULL;
    while (!snap || !snap->complete || snap->generation < g) {
        assert_int_equal(poll(&p, 1, 10000), 1);
        snapshot_release(snap);
        snap = session_latest(s);
    }
    assert_int_equal(poll(&p, 1, 0), 0); /* drained */
    assert_false(snap->edited);
    snapshot_release(snap);
    session_close(s);
    fixture_close(&f);
}

static void a_bad_question_is_answered_with_the_reason(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session *s = ask_open(&f);
    struct edit *edits[] = {ask_edit("blocks.0.attn.hook_z[99] = 0")};
    struct session_want w = ask_plain(f.tokens, f.n);
    w.target.edits = edits;
    w.target.n_edits = 1;
    const struct snapshot *snap = ask(s, &w);
    assert_int_equal(snap->err.code, ERR_BAD_INPUT);
    assert_non_null(strstr(snap->err.text, "99"));
    snapshot_release(snap);
    const int32_t outside[] = {0, f.m->cfg.d_vocab};
    w = ask_plain(outside, 2);
    snap = ask(s, &w);
    assert_int_equal(snap->err.code, ERR_BAD_INPUT);
    snapshot_release(snap);
    w = ask_plain(f.tokens, f.n); /* and it goes on */
    snap = ask(s, &w);
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
        struct session *s = ask_open(&w.f);
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
        cmocka_unit_test(identities_are_the_base_s),
        cmocka_unit_test(a_nan_is_there),
        cmocka_unit_test(wants_are_cut_to_what_there_is),
        cmocka_unit_test(kept_figures_are_never_stale),
        cmocka_unit_test(the_newest_question_wins),
        cmocka_unit_test(news_can_be_polled_for),
        cmocka_unit_test(a_bad_question_is_answered_with_the_reason),
        cmocka_unit_test(it_ends_in_the_middle_of_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
