/* test_session_attribution.c - what views of attributions are answered: direct effects and slopes
 * are the engine's own, of both faces. */
#include "session_ask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/grad.h"

/* Direct effects: the attribution's own values; heads and neurons largest first, and in that order
 * of the base for the edited run too. */
static void direct_effects_are_the_attributions(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct session *s;
    struct err e = {0};
    assert_int_equal(session_open(&s, f.m, 1 << 24, &e), 0);
    struct edit *edit = NULL;
    assert_int_equal(edit_parse(&edit, "blocks.1.attn.hook_z[-1, 1] = 0", &e), 0);
    struct run *r = fixture_run(&f, NULL, NULL, 1 << 24);
    struct metric m = {.n = 2, .terms = {{METRIC_LOGIT, 1, -1, 5}, {METRIC_LOGIT, -1, -1, 11}}};
    static const enum attribute_part all[] = {ATTRIBUTE_BY_LAYER, ATTRIBUTE_BY_HEAD,
                                              ATTRIBUTE_BY_NEURON, ATTRIBUTE_BY_POS};
    for (int i = 0; i < 4; i++) {
        struct attribution a;
        struct want w = want_whole(WANT_DIRECT, (struct site_ref){SITE_LNF_SCALE, SITE_ROOT});
        w.k = (int32_t)all[i], w.id[0] = 5, w.id[1] = 11;
        struct session_want q = ask_plain(f.tokens, f.n);
        q.wants = &w, q.n_wants = 1;
        q.target.edits = &edit, q.target.n_edits = 1;
        const struct snapshot *snap = ask(s, &q);
        const struct want_direct *base = snapshot_at(snap, FACE_BASE, &w, 0),
                                 *edited = snapshot_at(snap, FACE_EDITED, &w, 0);
        assert_int_equal(attribute_direct(&a, r, &m, all[i], &e), 0);
        assert_true(base->metric == a.metric && base->sum == a.sum);
        assert_int_equal(base->n, attribution_count(&a) < WANT_SHARES_MAX ? attribution_count(&a)
                                                                          : WANT_SHARES_MAX);
        for (int32_t k = 0; k < base->n; k++) {
            assert_true(base->share[k].value == a.values[base->share[k].index]);
            assert_int_equal(base->share[k].index, edited->share[k].index);
            bool ranked = all[i] == ATTRIBUTE_BY_HEAD || all[i] == ATTRIBUTE_BY_NEURON;
            if (ranked && k)
                assert_true(fabsf(base->share[k].value) <= fabsf(base->share[k - 1].value));
            if (!ranked)
                assert_int_equal(base->share[k].index, k);
            if (all[i] == ATTRIBUTE_BY_HEAD && base->share[k].index == f.m->cfg.n_heads + 1)
                assert_true(edited->share[k].value == 0);
        }
        if (all[i] == ATTRIBUTE_BY_POS) /* of a head that is zeroed nothing comes from elsewhere */
            assert_true(fabs(edited->metric - edited->constant - edited->sum) < 1e-4);
        attribution_free(&a);
        snapshot_release(snap);
    }
    run_free(r);
    edit_free(edit);
    session_close(s);
    fixture_close(&f);
}

/* One head's scores at one destination, of a whole gradient. */
struct line {
    int32_t head, row;
    float v[64];
};

static int take(void *user, struct site_ref s, int32_t row0, int32_t row1, const struct kn_view *g,
                struct err *e)
{
    struct line *x = user;
    (void)s, (void)e;
    for (int64_t i = 0; x->row >= row0 && x->row < row1 && i < g->shape[2]; i++)
        x->v[i] = kn_f32(
            g)[x->head * g->stride[0] + (x->row - row0) * g->stride[1] + i * g->stride[2]];
    return 0;
}

/* Slopes follow an edit behind them, too: the whole way from the scores to the logits is in them.
 */
static void slopes_are_the_gradient_s(void **state)
{
    (void)state;
    struct fixture f = fixture_open("llama");
    struct session *s;
    struct err e = {0};
    struct edit *edit = NULL;
    assert_int_equal(session_open(&s, f.m, 1 << 24, &e), 0);
    assert_int_equal(edit_parse(&edit, "blocks.1.hook_mlp_out[-1] *= 3", &e), 0);
    const char *text = "blocks.1.hook_mlp_out[-1] *= 3";
    struct edit_program *p = fixture_program(f.m, f.n, &text, 1);
    struct run *base = fixture_run(&f, NULL, NULL, 1 << 24),
               *run[] = {base, fixture_run(&f, base, p, 1 << 24)};
    struct metric m = {.n = 2, .terms = {{METRIC_LOGIT, 1, -1, 5}, {METRIC_LOGIT, -1, -1, 11}}};
    struct want w = want_whole(WANT_SLOPE, (struct site_ref){site_logits(&f.m->cfg), SITE_ROOT});
    w.k = 1 * f.m->cfg.n_heads + 2, w.pos = f.n - 1, w.id[0] = 5, w.id[1] = 11;
    struct session_want q = ask_plain(f.tokens, f.n);
    q.wants = &w, q.n_wants = 1;
    snapshot_release(ask(s, &q)); /* without the edit first: nothing of it is kept too long */
    q.target.edits = &edit, q.target.n_edits = 1;
    const struct snapshot *snap = ask(s, &q);
    for (int face = 0; face < FACE_COUNT; face++) {
        struct line want = {.head = 2, .row = f.n - 1};
        assert_int_equal(grad_run(run[face], base, &m, &(struct site_ref){SITE_ATTN_SCORES, 1}, 1,
                                  take, &want, &e),
                         0);
        assert_memory_equal(snapshot_at(snap, (enum face)face, &w, 0), want.v,
                            (size_t)f.n * sizeof(float));
        assert_true(want.v[0] != 0);
    }
    assert_true(memcmp(snapshot_at(snap, FACE_BASE, &w, 0), snapshot_at(snap, FACE_EDITED, &w, 0),
                       (size_t)f.n * sizeof(float)) != 0);
    snapshot_release(snap);
    w.pos = f.n;
    assert_false(want_fit(&f.m->cfg, &w, f.n));
    run_free(run[1]), run_free(base);
    edit_program_free(p);
    edit_free(edit);
    session_close(s);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(direct_effects_are_the_attributions),
        cmocka_unit_test(slopes_are_the_gradient_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
