/* test_generate_batch.c - the library's generation: batches, padding, ends of rows and penalties,
 * against Hugging Face's generate (tests/fixtures/make_generate.py) and against rows run alone. */
#include "library.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEW = 12, ROWS = 3 };

/* What was emitted. */
struct page {
    int32_t ids[ROWS][64];
    int n[ROWS], calls, first_column[ROWS];
    int stop_after; /* 0 = never */
    int vocab, hook_rows[ROWS];
    float heard[ROWS][64]; /* the first logit at every token */
};

static bool keep(void *user, const struct bore_new_token *t)
{
    struct page *p = user;
    int *n = &p->n[t->row];
    if (*n == 0)
        p->first_column[t->row] = t->column;
    assert_int_equal(t->column, p->first_column[t->row] + *n);
    assert_true(isfinite(t->logits[0]) && isfinite(t->logits[p->vocab - 1]));
    p->heard[t->row][*n] = t->logits[0];
    p->ids[t->row][(*n)++] = t->id;
    p->calls++;
    return *n != p->stop_after;
}

static int32_t *ids_of(struct js_node list, int *n)
{
    *n = (int)js_count(list);
    int32_t *ids = malloc((size_t)*n * sizeof *ids + 1);
    for (int i = 0; i < *n; i++) {
        int64_t v;
        assert_int_equal(js_int(js_at(list, (size_t)i), 0, INT32_MAX, &v, NULL), 0);
        ids[i] = (int32_t)v;
    }
    return ids;
}

static void expect_row(const char *model, const char *what, const struct page *p, int row,
                       struct js_node list)
{
    int n;
    int32_t *want = ids_of(list, &n);
    if (p->n[row] != n || memcmp(p->ids[row], want, (size_t)n * sizeof *want))
        fail_msg("%s, %s: row %d differs from Hugging Face's", model, what, row);
    free(want);
}

static void check_penalties(struct library *l, const char *model, struct js_node list)
{
    struct bore_error e = {0};
    for (size_t i = 0; i < js_count(list); i++) {
        struct page p = {.vocab = bore_model_shape(l->m).d_vocab};
        struct bore_generate_options o = {.max_new_tokens = NEW, .ignore_eos = true};
        assert_int_equal(
            js_number(js_get(js_at(list, i), "penalty"), 0, 100, &o.repetition_penalty, NULL), 0);
        library_ok(bore_generate(l->m, &l->pass, &o, keep, &p, &e), &e);
        expect_row(model, "penalty", &p, 0, js_get(js_at(list, i), "ids"));
    }
}

static void check_batch(struct library *l, const char *model, struct js_node batch)
{
    struct bore_error e = {0};
    struct page p = {.vocab = bore_model_shape(l->m).d_vocab};
    int cols = 0, n, mask_n;
    int32_t tokens[ROWS * 16];
    uint8_t mask[ROWS * 16];
    for (size_t r = 0; r < 2; r++) {
        int32_t *ids = ids_of(js_at(js_get(batch, "tokens"), r), &n),
                *on = ids_of(js_at(js_get(batch, "mask"), r), &mask_n);
        cols = n;
        for (int i = 0; i < n; i++)
            tokens[r * (size_t)n + (size_t)i] = ids[i],
                                   mask[r * (size_t)n + (size_t)i] = (uint8_t)on[i];
        free(ids), free(on);
    }
    int64_t eos;
    assert_int_equal(js_int(js_get(batch, "eos"), 0, INT32_MAX, &eos, NULL), 0);
    int32_t stop[2] = {-5, (int32_t)eos};
    struct bore_pass pass = {.tokens = tokens, .rows = 2, .cols = cols, .mask = mask};
    struct bore_generate_options o = {
        .max_new_tokens = NEW, .ignore_eos = true, .stop_ids = stop, .n_stop = 2};
    library_ok(bore_generate(l->m, &pass, &o, keep, &p, &e), &e);
    for (size_t r = 0; r < 2; r++) {
        expect_row(model, "batch", &p, (int)r, js_at(js_get(batch, "rows"), r));
        assert_true(p.n[r] == 0 || p.first_column[r] == cols);
    }
}

static void test_against_hugging_face(void **state)
{
    (void)state;
    struct err e = {0};
    struct js_doc *doc = js_open("tests/fixtures/generate.json", &e);
    if (!doc)
        fail_msg("%s", e.text);
    size_t n = js_count(js_root(doc));
    assert_true(n >= 6);
    for (size_t i = 0; i < n; i++) {
        const char *name;
        struct js_node one = js_at(js_root(doc), i);
        assert_int_equal(js_string(js_get(one, "name"), &name, NULL, &e), 0);
        struct library l = library_open(name, 1 << 20);
        check_penalties(&l, name, js_get(one, "penalties"));
        check_batch(&l, name, js_get(one, "batch"));
        library_close(&l);
    }
    js_close(doc);
}

/* taker's counters per row: a hook that adds to the first eight positions of the whole text, new
 * ones included. */
static int add_early(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct page *p = user;
    p->hook_rows[at->row]++;
    assert_int_equal(at->rows, ROWS);
    for (int64_t i = 0; i < t->shape[1] && at->pos0 + i < 8; i++)
        for (int64_t k = 0; k < t->shape[2]; k++)
            t->data[i * t->stride[1] + k * t->stride[2]] += (float)((at->pos0 + i) * (k % 3));
    return 0;
}

/* A row of a padded batch, sampled, hooked and edited, is what it is alone; left and right padding
 * are the same. */
static void test_rows_equal_single_rows(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama"};
    for (int i = 0; i < 2; i++) {
        struct library l = library_open(models[i], 1 << 20);
        struct bore_error e = {0};
        int32_t text[ROWS][7] = {
            {9, 9, 3, 17, 42, 8, 11}, {3, 17, 42, 8, 8, 29, 3}, {5, 9, 6, 9, 7, 9, 9}};
        uint8_t mask[ROWS][7] = {
            {0, 0, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {1, 0, 1, 0, 1, 0, 0}};
        int32_t real[ROWS][7] = {{3, 17, 42, 8, 11}, {3, 17, 42, 8, 8, 29, 3}, {5, 6, 7}};
        int real_n[ROWS] = {5, 7, 3};
        static const char *const edits[] = {"blocks.0.hook_mlp_out[-1] *= 0.5"};
        struct page all = {.vocab = bore_model_shape(l.m).d_vocab};
        struct bore_hook h = {.name = "blocks.1.hook_resid_pre", .fn = add_early, .user = &all};
        struct bore_generate_options o = {.max_new_tokens = 9,
                                          .ignore_eos = true,
                                          .temperature = 1.5,
                                          .top_k = 20,
                                          .seed = 5,
                                          .freq_penalty = 0.3,
                                          .repetition_penalty = 1.1};
        struct bore_pass p = {.tokens = text[0],
                              .mask = mask[0],
                              .rows = ROWS,
                              .cols = 7,
                              .edits = edits,
                              .n_edits = 1};
        library_ok(bore_add_hook(l.m, BORE_FORWARD, &h, &e), &e);
        library_ok(bore_generate(l.m, &p, &o, keep, &all, &e), &e);
        bore_reset_hooks(l.m, true, BORE_BOTH, true, BORE_ANY_LEVEL);
        for (int r = 0; r < ROWS; r++) {
            assert_int_equal(all.n[r], 9);
            assert_int_equal(all.hook_rows[r], 9);
            assert_int_equal(all.first_column[r], 7);
            /* the same row in a batch whose other rows are something else, with its own seed first
             * in line */
            int32_t again[ROWS][7];
            uint8_t on[ROWS][7];
            struct page alone = {.vocab = all.vocab};
            for (int k = 0; k < ROWS; k++)
                for (int c = 0; c < 7; c++)
                    again[k][c] = k               ? c + k
                                  : c < real_n[r] ? real[r][c]
                                                  : 0,
                    on[k][c] = k ? 1 : c < real_n[r];
            struct bore_pass q = {.tokens = again[0],
                                  .mask = on[0],
                                  .rows = ROWS,
                                  .cols = 7,
                                  .edits = edits,
                                  .n_edits = 1};
            struct bore_generate_options single = o;
            single.seed = o.seed + (uint64_t)r;
            h.user = &alone;
            library_ok(bore_add_hook(l.m, BORE_FORWARD, &h, &e), &e);
            library_ok(bore_generate(l.m, &q, &single, keep, &alone, &e), &e);
            bore_reset_hooks(l.m, true, BORE_BOTH, true, BORE_ANY_LEVEL);
            assert_memory_equal(alone.ids[0], all.ids[r], 9 * sizeof(int32_t));
        }
        assert_memory_not_equal(all.ids[0], all.ids[1], 9 * sizeof(int32_t));
        library_close(&l);
    }
}

static void test_ends_and_refusals(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    int32_t text[2][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
    struct bore_pass p = {.tokens = text[0], .rows = 2, .cols = 4};
    struct page page = {.vocab = bore_model_shape(l.m).d_vocab, .stop_after = 2};
    struct bore_generate_options o = {.max_new_tokens = 6, .ignore_eos = true};
    library_ok(bore_generate(l.m, &p, &o, keep, &page, &e),
               &e); /* emit ends its row, not the batch */
    assert_int_equal(page.n[0], 2);
    assert_int_equal(page.n[1], 2);
    const struct {
        struct bore_generate_options o;
        const char *says;
    } bad[] = {
        {{.max_new_tokens = 2, .freq_penalty = 1}, "greedy"},
        {{.max_new_tokens = 2, .repetition_penalty = -2}, "-2"},
        {{.max_new_tokens = -1}, "-1"},
        {{.max_new_tokens = 1, .n_stop = 3}, "3 stop tokens"},
        {{.max_new_tokens = 1, .top_k = -1}, "top_k -1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        page.calls = 0;
        assert_int_equal(bore_generate(l.m, &p, &bad[i].o, keep, &page, &e), BORE_BAD_INPUT);
        assert_non_null(strstr(e.text, bad[i].says));
        assert_int_equal(page.calls, 0);
    }
    text[1][2] = 1 << 20;
    page.calls = 0;
    assert_int_equal(bore_generate(l.m, &p, &o, keep, &page, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "row 1 of the batch"));
    assert_int_equal(page.calls, 0);
    library_close(&l);
}

/* Half of everything, whatever the shape; counts its calls. */
static int halve(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    int64_t d[4] = {1, 1, 1, 1}, st[4] = {0};
    int *calls = user;
    (void)at;
    ++*calls;
    for (int i = 0; i < t->rank; i++)
        d[i] = t->shape[i], st[i] = t->stride[i];
    for (int64_t p = 0; p < d[1]; p++)
        for (int64_t h = 0; h < d[2]; h++)
            for (int64_t k = 0; k < d[3]; k++)
                t->data[p * st[1] + h * st[2] + k * st[3]] *= 0.5f;
    return 0;
}

static void generate_hooked(struct library *l, const char *name, struct page *p, int *calls)
{
    struct bore_error e = {0};
    struct bore_generate_options o = {
        .max_new_tokens = NEW, .ignore_eos = true, .temperature = 1, .seed = 3};
    struct bore_hook h = {.name = name, .fn = halve, .user = calls};
    *p = (struct page){.vocab = bore_model_shape(l->m).d_vocab};
    if (name)
        library_ok(bore_add_hook(l->m, BORE_FORWARD, &h, &e), &e);
    library_ok(bore_generate(l->m, &l->pass, &o, keep, p, &e), &e);
    bore_reset_hooks(l->m, true, BORE_BOTH, true, BORE_ANY_LEVEL);
}

/* A hook by another library's name acts on every new token as the hooks on the sites that it is
 * made of, and is called once for each. */
static void test_other_names(void **state)
{
    (void)state;
    static const struct {
        const char *model, *name, *sites;
        int n_sites;
    } rows[] = {
        {"gpt2", "transformer.h.1.attn.c_attn.output", "blocks.1.attn.hook_{q,k,v}", 3},
        {"gpt2", "transformer.h.0.ln_1.input", "blocks.0.hook_{q,k,v}_input", 3},
        {"gpt2", "layer_1_attn_pre_out", "blocks.1.attn.hook_z", 1},
        {"gpt_neox", "model.gpt_neox.layers[0].attention.query_key_value.output",
         "blocks.0.attn.hook_{q,k,v}", 3},
        {"llama", "model.layers.1.self_attn.v_proj.output", "blocks.1.attn.hook_v", 1},
        {"llama", "model.layers.0.mlp.down_proj.input", "blocks.0.mlp.hook_post", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct library l = library_open(rows[i].model, 1 << 20);
        struct page mine, sites, plain;
        int calls = 0, calls_sites = 0, none = 0;
        generate_hooked(&l, rows[i].name, &mine, &calls);
        generate_hooked(&l, rows[i].sites, &sites, &calls_sites);
        generate_hooked(&l, NULL, &plain, &none);
        assert_int_equal(calls, NEW);
        assert_int_equal(calls_sites, NEW * rows[i].n_sites);
        assert_memory_not_equal(mine.heard[0], plain.heard[0], NEW * sizeof(float));
        if (memcmp(mine.ids[0], sites.ids[0], NEW * sizeof(int32_t)) ||
            memcmp(mine.heard[0], sites.heard[0], NEW * sizeof(float)))
            fail_msg("%s does something else than %s", rows[i].name, rows[i].sites);
        library_close(&l);
    }
}

/* An edit of a weight by any library's name is one edit. */
static void test_weight_edits(void **state)
{
    (void)state;
    static const char *const texts[][1] = {{"blocks.1.mlp.W_in[:, 3] *= -2"},
                                           {"transformer.h.1.mlp.c_fc.weight[:, 3] *= -2"},
                                           {"layers.1.mlp.W_in[3] *= -2"}};
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_result plain = {0}, out[3] = {{.metric = NULL}};
    library_ok(bore_run(l.m, &l.pass, &plain, &e), &e);
    for (int i = 0; i < 3; i++) {
        l.pass.edits = texts[i], l.pass.n_edits = 1;
        library_ok(bore_run(l.m, &l.pass, &out[i], &e), &e);
        assert_true(library_same(&out[i].output, &out[0].output));
        assert_false(library_same(&out[i].output, &plain.output));
    }
    for (int i = 0; i < 3; i++)
        bore_result_free(&out[i]);
    bore_result_free(&plain);
    library_close(&l);
}

/* Texts as a batch: what each is alone, on either side, ready for a pass. */
static void test_tokens_batch(void **state)
{
    (void)state;
    struct bore_error e = {0};
    struct bore_model *m;
    static const char *const texts[ROWS] = {"When Mary and John went to the store,", "Once",
                                            "The cat sat on the mat"};
    library_ok(bore_open(&m, "teach", NULL, &e), &e);
    for (int left = 0; left < 2; left++) {
        int32_t *ids, *one;
        uint8_t *mask;
        int cols, n, longest = 0;
        library_ok(bore_tokens_batch(m, texts, ROWS, -1, left, &ids, &mask, &cols, &e), &e);
        struct bore_pass p = {.tokens = ids, .mask = mask, .rows = ROWS, .cols = cols};
        struct bore_result out = {0};
        library_ok(bore_run(m, &p, &out, &e), &e);
        for (int r = 0; r < ROWS; r++) {
            struct bore_result alone = {0};
            library_ok(bore_tokens(m, texts[r], -1, &one, &n, &e), &e);
            longest = n > longest ? n : longest;
            int first = left ? cols - n : 0;
            assert_memory_equal(ids + r * cols + first, one, (size_t)n * sizeof *one);
            for (int c = 0; c < cols; c++)
                assert_int_equal(mask[r * cols + c], c >= first && c < first + n);
            struct bore_pass q = {.tokens = one, .rows = 1, .cols = n};
            library_ok(bore_run(m, &q, &alone, &e), &e);
            assert_memory_equal(
                out.output.data + r * out.output.stride[0] + first * out.output.stride[1],
                alone.output.data, (size_t)(n * alone.output.shape[2]) * sizeof(float));
            bore_result_free(&alone);
            free(one);
        }
        assert_int_equal(cols, longest);
        bore_result_free(&out);
        free(ids), free(mask);
    }
    int32_t *ids;
    uint8_t *mask;
    int cols;
    assert_int_equal(bore_tokens_batch(m, texts, 0, -1, false, &ids, &mask, &cols, &e),
                     BORE_BAD_INPUT);
    bore_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_hugging_face), cmocka_unit_test(test_rows_equal_single_rows),
        cmocka_unit_test(test_ends_and_refusals),    cmocka_unit_test(test_other_names),
        cmocka_unit_test(test_weight_edits),         cmocka_unit_test(test_tokens_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
