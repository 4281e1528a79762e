/* test_frames.c - what a pass through a stage holds is bounded, and in however many passes a site
 * is computed or looked at, its bits are the same. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "measure/lens.h"

enum { TOKENS = 24 };

static struct run *opened(const struct model *m, size_t frame_bytes, const int32_t *tokens)
{
    struct run_options opt = {.frame_bytes = frame_bytes};
    struct run *r = run_create(m, NULL, &opt, NULL);
    assert_non_null(r);
    assert_int_equal(run_sync(r, run_ids(tokens, TOKENS), NULL, NULL, NULL, NULL), 0);
    return r;
}

/* All rows of a site at once, as one view. */
static void read_view(struct run *r, struct site_ref s, float *to)
{
    struct kn_backend *be = run_model(r)->be;
    struct kn_view v;
    assert_int_equal(run_view(r, s, 0, TOKENS, &v, NULL), 0);
    assert_int_equal(be->type->read(be, &v, to), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
}

static void passes_agree(const char *name)
{
    struct fixture f = fixture_open(name);
    const struct config *cfg = &f.m->cfg;
    struct site_ref *sites = calloc(((size_t)cfg->n_layers + 1) * SITE_COUNT, sizeof *sites);
    int32_t tokens[TOKENS];
    for (int32_t i = 0; i < TOKENS; i++)
        tokens[i] = i * 7 % cfg->d_vocab;
    fixture_count(f.m->be);
    struct run *one = opened(f.m, 0, tokens);
    size_t most = 0, few = 0;
    for (int32_t i = 0, n = site_list(cfg, sites); i < n; i++) {
        if (site_refusal(cfg, sites[i].id))
            continue;
        size_t count = (size_t)(site_row_size(cfg, sites[i].id, TOKENS) * TOKENS);
        float *v[3];
        for (int k = 0; k < 3; k++)
            v[k] = malloc(count * sizeof(float));
        struct run *r = opened(f.m, 1, tokens); /* a row at a time */
        assert_int_equal(run_read(one, sites[i], 0, TOKENS, v[0], NULL, NULL), 0);
        assert_int_equal(run_read(r, sites[i], 0, TOKENS, v[1], NULL, NULL), 0);
        read_view(r, sites[i], v[2]);
        assert_memory_equal(v[0], v[1], count * sizeof(float));
        assert_memory_equal(v[0], v[2], count * sizeof(float));
        run_free(r);
        for (int k = 0; k < 3; k++)
            free(v[k]);
    }
    run_free(one);
    fixture_bytes_most();
    for (int k = 0; k < 2; k++) { /* what looking at the logits takes */
        struct run *r = opened(f.m, (size_t)k, tokens);
        float *v = malloc((size_t)TOKENS * (size_t)cfg->d_vocab * sizeof *v);
        size_t before = fixture_bytes();
        fixture_bytes_most();
        run_read(r, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, 0, TOKENS, v, NULL, NULL);
        *(k ? &few : &most) = fixture_bytes_most() - before;
        run_free(r);
        free(v);
    }
    assert_true(most >= (size_t)(TOKENS * cfg->d_vocab) * sizeof(float));
    assert_true(few <= most / (TOKENS / 2));
    fixture_count(NULL);
    free(sites);
    fixture_close(&f);
}

static void passes_of_one_row_give_the_same_bits(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "gpt_neox", "llama"};
    for (int i = 0; i < 3; i++)
        passes_agree(names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(passes_of_one_row_give_the_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
