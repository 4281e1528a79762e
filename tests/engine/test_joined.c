/* test_joined.c - tensors that join weights (struct arch_tensor): parts of unequal sizes one after
 * the other, as Phi-3's [q|k|v] and [gate|up], and interleaved by group of heads, as Falcon's.  The
 * model computes the same bits as with its weights apart, and tensors and weights have their names.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/arch.h"
#include "model/tensor_write.h"
#include "model/weights.h"
#include "names/named_weight.h"

#define ATTN "layers.%d.self_attn."
#define MLP "layers.%d.mlp."
#define REST                                                                    \
    {.name = "embed_tokens.weight", .part = {W_E}},                             \
        {.name = "layers.%d.input_layernorm.weight", .part = {W_LN1}},          \
        {.name = ATTN "o_proj.weight", .part = {W_O}},                          \
        {.name = "layers.%d.post_attention_layernorm.weight", .part = {W_LN2}}, \
        {.name = MLP "down_proj.weight", .part = {W_OUT}},                      \
        {.name = "norm.weight", .part = {W_LNF}},                               \
        {.name = "lm_head.weight", .part = {W_U}, .bare = true},                \
    {                                                                           \
        .name = NULL                                                            \
    }

static const struct arch_tensor in_turn[] = {
    {.name = ATTN "qkv_proj.weight", .part = {W_Q, W_K, W_V}, .axis = "q|k|v"},
    {.name = MLP "gate_up_proj.weight", .part = {W_GATE, W_IN}, .axis = "gate|up"},
    REST};
static const struct arch_tensor by_group[] = {
    {.name = ATTN "qkv_proj.weight",
     .part = {W_Q, W_K, W_V},
     .groups = DIM_KV_HEAD,
     .axis = "kv_head*(q|k|v)"},
    {.name = MLP "gate_up_proj.weight", .part = {W_GATE, W_IN}, .turned = true, .axis = "gate|up"},
    REST};

/* The model's weights as the file of `rows` would hold them. */
struct file {
    struct tensor_out t[64];
    float *data[64];
    char name[64][LIMIT_NAME];
    size_t n;
};

static float *weight_values(const struct model *m, const char *name, int64_t *count)
{
    struct named_weight w;
    struct err e = {0};
    if (named_weight_find(m, name, &w, &e))
        fail_msg("%s", e.text);
    *count = named_weight_size(&w);
    float *v = malloc((size_t)*count * sizeof *v);
    named_weight_read(m, &w, v);
    return v;
}

/* Hugging Face's name of one weight of the unjoined model. */
static void plain_name(const struct model *m, enum weight_id id, int32_t layer,
                       char name[LIMIT_NAME])
{
    int part;
    char pattern[LIMIT_NAME];
    const struct arch_tensor *t = arch_tensor_of(&m->cfg, id, &part);
    assert_true(arch_tensor_name(m->cfg.arch, t, 0, pattern));
    arch_name_spell(pattern, layer, 0, name);
}

static void file_add(struct file *f, const struct model *m, const struct arch_tensor *row,
                     int32_t layer)
{
    const struct config *c = &m->cfg;
    int64_t k = weight_k(c, row->part[0]), groups = row->groups == DIM_NONE ? 1 : c->n_kv_heads,
            all = 0, at = 0;
    for (int i = 0; i < ARCH_PARTS_MAX && row->part[i]; i++)
        all += weight_n(c, row->part[i]);
    float *out = malloc((size_t)(all * k) * sizeof *out);
    for (int64_t g = 0; g < groups; g++)
        for (int i = 0; i < ARCH_PARTS_MAX && row->part[i]; i++) {
            char name[LIMIT_NAME];
            int64_t count, n = weight_n(c, row->part[i]) / groups;
            plain_name(m, row->part[i], layer, name);
            float *v = weight_values(m, name, &count);
            for (int64_t r = 0; r < n; r++, at++)
                for (int64_t j = 0; j < k; j++)
                    out[row->turned ? j * all + at : at * k + j] = v[(g * n + r) * k + j];
            free(v);
        }
    struct tensor_out *t = &f->t[f->n];
    char pattern[LIMIT_NAME];
    assert_true(arch_tensor_name(c->arch, row, 0, pattern));
    arch_name_spell(pattern, layer, 0, f->name[f->n]);
    *t = (struct tensor_out){.name = f->name[f->n], .dtype = ST_F32, .data = out};
    t->rank = weight_table[row->part[0]].k == DIM_NONE ? 1 : 2;
    t->shape[row->turned] = all;
    t->shape[!row->turned] = k;
    f->data[f->n++] = out;
}

static struct checkpoint *joined_file(const struct model *m, const struct arch_tensor *rows)
{
    struct file f = {0};
    struct err e = {0};
    char path[64];
    for (const struct arch_tensor *row = rows; row->name; row++)
        for (int32_t l = 0; l < (weight_is_root(row->part[0]) ? 1 : m->cfg.n_layers); l++)
            file_add(&f, m, row, l);
    snprintf(path, sizeof path, "/tmp/joined-%d.safetensors", (int)getpid());
    if (tensor_write(path, f.t, f.n, NULL, 0, &e))
        fail_msg("%s", e.text);
    for (size_t i = 0; i < f.n; i++)
        free(f.data[i]);
    struct checkpoint *st = fixture_tensors(path);
    unlink(path);
    return st;
}

static void same_values(const struct model *a, const struct model *b)
{
    struct named_weight *list;
    struct err e = {0};
    int n = named_weight_list(a, LIBRARY_LENS, &list, &e);
    assert_true(n > 20);
    for (int i = 0; i < n; i++) {
        int64_t na, nb;
        float *va = weight_values(a, list[i].name, &na), *vb = weight_values(b, list[i].name, &nb);
        assert_int_equal(na, nb);
        assert_memory_equal(va, vb, (size_t)na * sizeof *va);
        free(va), free(vb);
    }
    free(list);
}

/* The tensors under their own names are what the file holds. */
static void same_tensors(const struct model *m, const struct checkpoint *st)
{
    struct named_weight *list;
    struct err e = {0};
    int n = named_weight_list(m, LIBRARY_HF, &list, &e);
    assert_int_equal(n, checkpoint_count(st));
    for (int i = 0; i < n; i++) {
        const struct st_tensor *t = checkpoint_find(st, list[i].name);
        int64_t count;
        float *v = weight_values(m, list[i].name, &count);
        assert_non_null(t);
        assert_int_equal(list[i].rank, t->rank);
        assert_int_equal(count, st_count(t));
        assert_memory_equal(v, t->data, t->nbytes);
        free(v);
    }
    free(list);
}

/* With an edit (or NULL) of a weight by its own name, each model resolving it for itself. */
static void same_logits(const struct fixture *f, const struct model *joined, const char *edit)
{
    struct fixture g = *f;
    g.m = (struct model *)(uintptr_t)joined;
    size_t n = (size_t)f->n * (size_t)f->m->cfg.d_vocab;
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    struct edit_program *pa = edit ? fixture_program(f->m, f->n, &edit, 1) : NULL,
                        *pb = edit ? fixture_program(joined, f->n, &edit, 1) : NULL;
    struct run *ra = fixture_run(f, NULL, pa, 1 << 20), *rb = fixture_run(&g, NULL, pb, 1 << 20);
    struct site_ref logits = {SITE_UNEMBED_OUT, SITE_ROOT};
    assert_int_equal(run_read(ra, logits, 0, f->n, a, NULL, NULL), 0);
    assert_int_equal(run_read(rb, logits, 0, f->n, b, NULL, NULL), 0);
    /* a turned product sums in another order */
    double most = joined->cfg.arch->tensors[1].turned ? 1e-6 : 0;
    assert_true(fixture_error(a, b, n) <= most);
    run_free(ra), run_free(rb);
    edit_program_free(pa), edit_program_free(pb);
    free(a), free(b);
}

static void check(const struct arch_tensor *rows)
{
    struct fixture f = fixture_open("llama");
    assert_true(f.m->cfg.n_kv_heads > 1 && f.m->cfg.n_kv_heads < f.m->cfg.n_heads);
    struct checkpoint *st = joined_file(f.m, rows);
    struct arch arch = *f.m->cfg.arch;
    struct model joined = *f.m;
    struct err e = {0};
    arch.tensors = rows;
    joined.cfg.arch = &arch;
    size_t count = (size_t)(joined.cfg.n_layers + 1) * WEIGHT_COUNT;
    joined.weights = calloc(2 * count, sizeof *joined.weights);
    joined.device = joined.weights + count;
    struct weights bound = {.view = joined.weights};
    if (weights_bind(&bound, &joined.cfg, st, &e))
        fail_msg("%s", e.text);
    assert_int_equal(bound.n_owned, 0);
    same_values(f.m, &joined);
    same_tensors(&joined, st);
    static const char *const edits[] = {
        NULL, "blocks.0.attn.b_K += 0.5", "blocks.1.attn._W_V[1, :, 2] *= 3",
        "blocks.0.attn.W_Q[2] = 0", "blocks.1.mlp.W_gate[:, 3] *= -1"};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        same_logits(&f, &joined, edits[i]);
    for (size_t i = 0; i < count; i++)
        joined.be->type->forget(joined.be, &joined.device[i]);
    free(joined.weights);
    checkpoint_close(st);
    fixture_close(&f);
}

static void parts_one_after_the_other(void **state)
{
    (void)state;
    check(in_turn);
}

static void parts_by_group(void **state)
{
    (void)state;
    check(by_group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_one_after_the_other),
        cmocka_unit_test(parts_by_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
