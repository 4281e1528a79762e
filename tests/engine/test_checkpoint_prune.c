/* test_checkpoint_prune.c - checkpoints without what is gone: opened again they compute what the
 * model computes under the edits, in every layout of tensors; what is refused. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/checkpoint_prune.h"

enum { GONE_NEURONS = 4 };

/* Some neurons of each layer, as many everywhere, and a head of every other. */
static void choose(struct pruned *p, bool heads)
{
    struct pruned_part *q = &p->part[PRUNE_NEURONS], *z = &p->part[PRUNE_DIMS];
    for (int32_t l = 0; l < p->n_layers; l++) {
        for (int i = 0; i < GONE_NEURONS; i++, q->count++)
            q->gone[l * q->n + (i * 5 + l) % q->n] = true;
        for (int32_t d = 0; d < z->group && heads && l % 2 == 0; d++, z->count++)
            z->gone[l * z->n + z->group + d] = true;
    }
}

/* Of each layer a whole group of heads, another one in each; where there is one group a head of it.
 * And a part of a head that stays, where `dims`. */
static void choose_heads(struct pruned *p, const struct config *cfg, bool dims)
{
    struct pruned_part *z = &p->part[PRUNE_DIMS];
    int32_t each = cfg->n_kv_heads > 1 ? cfg->n_heads / cfg->n_kv_heads : 1;
    for (int32_t l = 0; l < p->n_layers; l++) {
        int32_t group = l % (cfg->n_heads / each), other = (group + 1) % (cfg->n_heads / each);
        for (int32_t i = 0; i < each * z->group; i++, z->count++)
            z->gone[l * z->n + group * each * z->group + i] = true;
        z->gone[l * z->n + other * each * z->group + 1] |= dims;
        z->count += dims;
    }
}

static float *logits(const struct model *m, const struct fixture *f, const struct edit_program *p)
{
    struct fixture of = *f;
    of.m = (struct model *)(uintptr_t)m;
    struct run *base = fixture_run(&of, NULL, NULL, SIZE_MAX / 2),
               *fork = p ? fixture_run(&of, base, p, SIZE_MAX / 2) : NULL;
    float *x = malloc((size_t)f->n * (size_t)m->cfg.d_vocab * sizeof *x);
    assert_non_null(x);
    assert_int_equal(run_read(fork ? fork : base,
                              (struct site_ref){site_logits(&m->cfg), SITE_ROOT}, 0, f->n, x, NULL,
                              NULL),
                     0);
    if (fork)
        run_free(fork);
    run_free(base);
    return x;
}

static void remove_folder(const char *folder)
{
    char command[200];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

enum what { ZEROS, NEURONS, HEADS };

static void same_as_edits(const char *name, enum what what)
{
    bool shrink = what != ZEROS;
    char folder[] = "/tmp/bore-cut-XXXXXX";
    struct fixture f = fixture_open(name);
    struct pruned p;
    struct checkpoint_pruned made;
    struct err e = {0};
    struct model *m = NULL;
    char **text;
    int32_t n;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(pruned_init(&p, &f.m->cfg, NULL), 0);
    if (what == HEADS)
        choose_heads(&p, &f.m->cfg, true);
    else
        choose(&p, true);
    if (checkpoint_prune(f.m, &p, shrink, folder, &made, &e))
        fail_msg("%s: %s", name, e.text);
    bool heads_cut = shrink && !made.why[0];
    assert_int_equal(made.cut > 0, shrink);
    assert_true(made.zeroed > 0 || heads_cut);
    assert_true(what == HEADS ? heads_cut : !heads_cut || f.m->cfg.n_layers == 1);
    assert_int_equal(prune_edits(&p, "0", &text, &n, NULL), 0);
    struct edit_program *program = fixture_program(f.m, f.n, (const char *const *)text, n);
    if (model_open(&m, folder, fixture_backend(), &e))
        fail_msg("%s: %s", name, e.text);
    assert_int_equal(m->cfg.d_mlp, f.m->cfg.d_mlp - (what == NEURONS ? GONE_NEURONS : 0));
    assert_int_equal(m->cfg.d_head, f.m->cfg.d_head);
    if (!heads_cut)
        assert_int_equal(m->cfg.n_heads, f.m->cfg.n_heads);
    else if (f.m->cfg.n_kv_heads == 1)
        assert_int_equal(m->cfg.n_heads, f.m->cfg.n_heads - 1);
    else
        assert_int_equal(m->cfg.n_heads * f.m->cfg.n_kv_heads,
                         f.m->cfg.n_heads * (f.m->cfg.n_kv_heads - 1));
    float *want = logits(f.m, &f, program), *have = logits(m, &f, NULL),
          *base = logits(f.m, &f, NULL);
    size_t size = (size_t)f.n * (size_t)f.m->cfg.d_vocab;
    if (!(fixture_error(have, want, size) < 2e-6))
        fail_msg("%s: logits differ by %g", name, fixture_error(have, want, size));
    assert_true(fixture_error(base, want, size) > 1e-4);
    free(want), free(have), free(base);
    edit_program_free(program);
    prune_edits_free(text, n);
    model_close(m);
    pruned_free(&p);
    fixture_close(&f);
    remove_folder(folder);
}

static const char *const models[] = {"gpt2",   "gpt2_f16", "gpt2_sharded", "llama",   "llama_bf16",
                                     "gemma2", "gpt_neox", "phi",          "phi3",    "opt",
                                     "falcon", "gptj",     "starcoder2",   "mistral", "qwen2"};

static void zeroed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        same_as_edits(models[i], ZEROS);
    same_as_edits("bloom", ZEROS);
}

static void cut_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        same_as_edits(models[i], NEURONS);
}

static void heads_cut_out(void **state)
{
    (void)state;
    static const char *const with_size[] = {"llama",   "llama_bias",   "llama_head_dim", "mistral",
                                            "qwen2",   "qwen3",        "gemma",          "gemma2",
                                            "phi3",    "olmo",         "mixtral",        "gpt_oss",
                                            "smollm3", "mistral_nemo", "qwen3_moe"};
    for (size_t i = 0; i < sizeof with_size / sizeof *with_size; i++)
        same_as_edits(with_size[i], HEADS);
}

static int cut(const struct fixture *f, const struct pruned *p, bool shrink, struct err *e)
{
    char folder[] = "/tmp/bore-cut-XXXXXX";
    struct checkpoint_pruned made;
    assert_non_null(mkdtemp(folder));
    int rc = checkpoint_prune(f->m, p, shrink, folder, &made, e);
    remove_folder(folder);
    return rc;
}

static void refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct pruned p;
    struct fixture f = fixture_open("bloom");
    assert_int_equal(pruned_init(&p, &f.m->cfg, NULL), 0);
    choose(&p, false);
    assert_int_equal(cut(&f, &p, true, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "config.json of bloom has no number of neurons"));
    pruned_free(&p);
    fixture_close(&f);
    f = fixture_open("gpt2");
    assert_int_equal(pruned_init(&p, &f.m->cfg, NULL), 0);
    assert_int_equal(cut(&f, &p, true, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "none is gone"));
    choose(&p, false);
    p.part[PRUNE_NEURONS].gone[6] = true;
    assert_int_equal(cut(&f, &p, true, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "layer 0 loses 5 neurons, layer 1 4"));
    struct checkpoint_pruned made; /* over the model itself */
    assert_int_equal(checkpoint_prune(f.m, &p, false, f.m->folder, &made, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "it is there already"));
    pruned_free(&p);
    fixture_close(&f);
}

/* A model of which heads are gone that cannot be cut out. */
static void refused_heads(const char *name, void (*more)(struct pruned *p), const char *why)
{
    struct err e = {0};
    struct pruned p;
    struct fixture f = fixture_open(name);
    assert_int_equal(pruned_init(&p, &f.m->cfg, NULL), 0);
    choose_heads(&p, &f.m->cfg, false);
    if (more)
        more(&p);
    assert_int_equal(cut(&f, &p, true, &e), ERR_BAD_INPUT);
    if (!strstr(e.text, why))
        fail_msg("%s: %s", name, e.text);
    pruned_free(&p);
    fixture_close(&f);
}

static void one_head_more(struct pruned *p)
{
    struct pruned_part *z = &p->part[PRUNE_DIMS];
    for (int32_t d = 0; d < z->group; d++)
        z->gone[z->n - z->group + d] = true;
}

static void one_head_alone(struct pruned *p)
{
    struct pruned_part *z = &p->part[PRUNE_DIMS];
    for (int64_t i = 0; i < z->n; i++)
        z->gone[i] = i < z->group;
}

static void one_layer_whole(struct pruned *p)
{
    struct pruned_part *z = &p->part[PRUNE_DIMS];
    for (int64_t i = 0; i < z->n; i++)
        z->gone[i] = true;
}

static void refuses_heads(void **state)
{
    (void)state;
    refused_heads("gpt2", NULL, "config.json of gpt2 has no head_dim");
    refused_heads("olmo2", NULL, "normalized together");
    refused_heads("olmo", one_head_more, "layer 0 has 1 left, layer 1 2");
    refused_heads("olmo", one_layer_whole, "layer 0 has none left");
    refused_heads("llama", one_head_alone, "3 heads share keys and values: of layer 0");
    refused_heads("gemma3", NULL, "hidden size 28 with a number of heads that divides it, which 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed),  cmocka_unit_test(cut_out),       cmocka_unit_test(heads_cut_out),
        cmocka_unit_test(refused), cmocka_unit_test(refuses_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
