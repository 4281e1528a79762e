/* test_session_compare.c - two prompts as the faces of one answer: the second one's numbers are
 * those of a session that has it alone, where they stand for the first one's. */
#include "session_ask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_MAX = 16, WANTS = 64 };

/* Both prompts' answers to the same wants, and the comparison. */
struct compared {
    struct fixture f;
    struct session *s;
    const int32_t *b;
    int32_t n_b, partner[N_MAX];
    struct want wants[WANTS];
    int32_t n_wants;
    const struct snapshot *both, *faces;
};

static struct want *add(struct compared *c, struct want w)
{
    assert_true(c->n_wants < WANTS);
    c->wants[c->n_wants] = w;
    return &c->wants[c->n_wants++];
}

/* Something of every kind that is paired. */
static void ask_all(struct compared *c)
{
    const struct site_ref pattern = {SITE_PATTERN, 1}, out = {site_logits(&c->f.m->cfg), SITE_ROOT};
    int32_t n = c->f.n;
    for (int32_t k = 1; k <= n; k += 2)
        add(c, want_whole(WANT_THUMBS, pattern))->k = k;
    add(c, want_whole(WANT_HEADS, pattern));
    add(c, want_whole(WANT_LAYER_NEURONS, (struct site_ref){SITE_POST, 1}))->k = 8;
    add(c, want_make(WANT_NEURONS, (struct site_ref){SITE_POST, 0}, 0, n))->k = 4;
    add(c, want_make(WANT_VALUES, pattern, 0, n));
    add(c, want_make(WANT_VALUES, (struct site_ref){SITE_ATTN_SCORES, 0}, 2, 4));
    add(c, want_make(WANT_VALUES, (struct site_ref){SITE_ATTN_SCORES, 0}, n - 2, n));
    add(c, want_make(WANT_NORM, (struct site_ref){SITE_RESID_POST, 0}, 0, n));
    add(c, want_whole(WANT_STATS, (struct site_ref){SITE_RESID_POST, 0}));
    for (int part = 0; part < ATTRIBUTE_PART_COUNT; part++) {
        if (part == ATTRIBUTE_BY_HEAD_POS) /* no want has it */
            continue;
        struct want *w = add(c,
                             want_whole(WANT_DIRECT, (struct site_ref){SITE_LNF_SCALE, SITE_ROOT}));
        w->k = part, w->id[0] = 5, w->id[1] = 11;
    }
    for (int32_t pos = 0; pos < n; pos++) {
        struct want *w = add(c, want_whole(WANT_SLOPE, out));
        w->k = 1, w->pos = pos, w->id[0] = 5, w->id[1] = 11;
    }
}

static void compared_begin(struct compared *c, const int32_t *b, int32_t n_b, enum token_align how)
{
    struct err e = {0};
    *c = (struct compared){.f = fixture_open("gpt2"), .b = b, .n_b = n_b};
    assert_int_equal(session_open(&c->s, c->f.m, 1 << 24, &e), 0);
    assert_true(token_align(c->f.tokens, c->f.n, b, n_b, how, c->partner, &e) >= 0);
    ask_all(c);
    struct want of_b[WANTS];
    struct session_want side = {.target.input = run_ids(b, n_b), .wants = of_b},
                        w = {.target.input = run_ids(c->f.tokens, c->f.n),
                             .wants = c->wants,
                             .n_wants = c->n_wants,
                             .sides = &side,
                             .n_sides = 1};
    for (int32_t i = 0; i < c->n_wants; i++)
        side.n_wants += snapshot_want_of_b(&c->wants[i], c->partner, c->f.n, &of_b[side.n_wants]);
    c->both = ask(c->s, &w);
    assert_int_equal(c->both->sides[0]->err.code, 0);
    c->faces = snapshot_compare(c->both, c->both->sides[0], c->partner, &c->f.m->cfg);
    assert_non_null(c->faces);
}

static void compared_end(struct compared *c)
{
    snapshot_release(c->faces), snapshot_release(c->both);
    session_close(c->s);
    fixture_close(&c->f);
}

/* An element of one want of a prompt alone; the snapshot holds it. */
static const void *alone(struct compared *c, const int32_t *tokens, int32_t n, struct want w,
                         int32_t row, const struct snapshot **snap)
{
    struct session_want q = {.target.input = run_ids(tokens, n), .wants = &w, .n_wants = 1};
    *snap = ask(c->s, &q);
    const void *v = snapshot_at(*snap, FACE_BASE, &w, row);
    assert_non_null(v);
    return v;
}

static void check_sources(const struct compared *c, const float *got, const float *b, size_t heads,
                          float none)
{
    for (size_t h = 0; h < heads; h++)
        for (int32_t s = 0; s < c->f.n; s++) {
            int32_t p = c->partner[s];
            float want = p < 0 ? none : b[h * (size_t)c->n_b + (size_t)p];
            assert_true(got[h * (size_t)c->f.n + (size_t)s] == want);
        }
}

/* The small pattern of b's whole one, paired on the way. */
static void check_small(struct compared *c, const struct want *w, const float *a, const float *got)
{
    const struct snapshot *snap;
    int32_t n = c->f.n, m = c->n_b, k = w->k;
    struct want all = want_make(WANT_VALUES, w->site, 0, m);
    alone(c, c->b, m, all, 0, &snap);
    for (int32_t h = 0; h < c->f.m->cfg.n_heads; h++)
        for (int32_t x = 0; x < k * k; x++) {
            float most = 0;
            bool paired = false;
            for (int32_t dest = 0; dest < n; dest++)
                for (int32_t src = 0; src < n; src++) {
                    int32_t p = c->partner[dest], q = c->partner[src];
                    if (heads_small_part(dest, n, k) != x / k || p < 0)
                        continue;
                    paired = true;
                    if (heads_small_part(src, n, k) != x % k || q < 0)
                        continue;
                    const float *v = snapshot_at(snap, FACE_BASE, &all, p);
                    most = v[h * m + q] > most ? v[h * m + q] : most;
                }
            assert_true(got[h * k * k + x] == (paired ? most : a[h * k * k + x]));
        }
    snapshot_release(snap);
}

static void check_direct(const struct compared *c, const struct want *w,
                         const struct want_direct *a, const struct want_direct *got,
                         const struct want_direct *b)
{
    assert_int_equal(a->n, got->n);
    assert_true(got->metric == b->metric && got->sum == b->sum && got->constant == b->constant);
    for (int32_t i = 0; i < a->n; i++) {
        int32_t at = a->share[i].index, in_b = w->k == ATTRIBUTE_BY_POS ? c->partner[at] : at;
        assert_int_equal(got->share[i].index, at);
        assert_true(got->share[i].value == (in_b < 0 ? 0 : b->share[in_b].value));
    }
}

static void check_neurons(const struct compared *c, const struct want *w,
                          const struct lens_neuron *got, const struct lens_neuron *b)
{
    for (int32_t i = 0; i < w->k; i++) {
        assert_true(got[i].neuron == b[i].neuron && got[i].value == b[i].value);
        bool paired = false;
        for (int32_t row = 0; row < c->f.n; row++)
            paired |= c->partner[row] == b[i].row;
        assert_true(paired ? c->partner[got[i].row] == b[i].row : got[i].row == -1);
    }
}

static void check_element(struct compared *c, const struct want *w, int32_t row)
{
    const void *a = snapshot_at(c->faces, FACE_BASE, w, row),
               *got = snapshot_at(c->faces, FACE_EDITED, w, row);
    bool whole = want_is_whole(w->kind);
    int32_t at = w->kind == WANT_SLOPE ? w->pos : row, p = c->partner[at];
    size_t bytes = want_bytes(&c->f.m->cfg, w, c->f.n);
    const struct snapshot *snap = NULL;
    struct want of_b = *w;
    if (!a || !got)
        fail_msg("kind %d, row %d is not there", w->kind, row);
    if (w->kind == WANT_THUMBS) {
        check_small(c, w, a, got);
        return;
    }
    if (p < 0 && (!whole || w->kind == WANT_SLOPE)) { /* no partner: a's again */
        assert_memory_equal(got, a, bytes);
        return;
    }
    of_b.row0 = whole ? 0 : p, of_b.row1 = of_b.row0 + 1;
    of_b.pos = w->kind == WANT_SLOPE ? p : w->kind == WANT_DIRECT;
    const void *b = alone(c, c->b, c->n_b, of_b, of_b.row0, &snap);
    if (w->kind == WANT_SLOPE)
        check_sources(c, got, b, 1, 0);
    else if (w->kind == WANT_VALUES)
        check_sources(c, got, b, want_heads(&c->f.m->cfg, w),
                      w->site.id == SITE_PATTERN ? 0 : -INFINITY);
    else if (w->kind == WANT_DIRECT)
        check_direct(c, w, a, got, b);
    else if (w->kind == WANT_NEURONS || w->kind == WANT_LAYER_NEURONS)
        check_neurons(c, w, got, b);
    else
        assert_memory_equal(got, b, bytes);
    snapshot_release(snap);
}

static void check_pair(const int32_t *b, int32_t n_b, enum token_align how)
{
    struct compared c;
    compared_begin(&c, b, n_b, how);
    for (int32_t i = 0; i < c.n_wants; i++)
        if (!want_fit(&c.f.m->cfg, &c.wants[i], c.f.n))
            fail_msg("want %d, of kind %d", i, c.wants[i].kind);
        else
            for (int32_t row = c.wants[i].row0; row < c.wants[i].row1; row++)
                check_element(&c, &c.wants[i], row);
    compared_end(&c);
}

/* Shorter, longer, of one token, nothing in common; in every way to pair positions. */
static void the_other_prompt_is_paired(void **state)
{
    (void)state;
    static const int32_t shorter[] = {3, 17, 8, 26, 44, 2},
                         longer[] = {3, 5, 17, 11, 8, 26, 29, 44, 17, 2, 42, 7}, one[] = {9},
                         strange[] = {1, 1, 1, 1};
    for (int how = 0; how < TOKEN_ALIGN_COUNT; how++) {
        check_pair(shorter, 6, (enum token_align)how);
        check_pair(longer, 12, (enum token_align)how);
        check_pair(one, 1, (enum token_align)how);
        check_pair(strange, 4, (enum token_align)how);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_other_prompt_is_paired)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
