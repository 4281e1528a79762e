/* test_library_batches.c - rows of the public library's batches equal the prompts alone, and
 * generated tokens those of whole passes. */
#include "library.h"

#include <math.h>
#include <string.h>

enum { ROWS = 4, COLS = 11 };
static const uint8_t mask[ROWS * COLS] = {
    0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, /* left */ 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, /* right */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* none */ 0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0 /* holes */};

/* One row of the batch: its tokens without padding, and where each column stands among them (-1: a
 * padded one). */
struct batch_row {
    const char *model;
    int index;
    int32_t real[COLS], pos[COLS], n;
};

static struct batch_row batch_row(const char *model, const int32_t *tokens, int index)
{
    struct batch_row r = {.model = model, .index = index};
    for (int i = 0; i < COLS; i++) {
        r.pos[i] = mask[index * COLS + i] ? r.n : -1;
        if (mask[index * COLS + i])
            r.real[r.n++] = tokens[index * COLS + i];
    }
    return r;
}

/* What tensor `name` of a batch holds at [x, y, z] of a row, by the tensor of the prompt alone. */
static float padded_value(const struct batch_row *r, const char *name,
                          const struct bore_tensor *alone, const int64_t i[3])
{
    bool pattern = strstr(name, "pattern"), attn = pattern || strstr(name, "scores"),
         grad = strstr(name, "_grad");
    int32_t own = r->pos[i[attn ? 1 : 0]], src = attn ? r->pos[i[2]] : 0;
    if (own < 0)
        return grad ? 0 : NAN;
    if (src < 0)
        return grad || pattern ? 0 : -INFINITY;
    return attn ? library_at(alone, 0, i[0], own, src) : library_at(alone, 0, own, i[1], i[2]);
}

static void assert_row_of_tensor(const struct batch_row *r, const char *name,
                                 const struct bore_tensor *batch, const struct bore_tensor *alone)
{
    int64_t d[4] = {1, 1, 1, 1};
    for (int k = 0; k < batch->rank; k++)
        d[k] = batch->shape[k];
    for (int64_t k = 0; k < d[1] * d[2] * d[3]; k++) {
        int64_t i[3] = {k / (d[2] * d[3]), k / d[3] % d[2], k % d[3]};
        float got = library_at(batch, r->index, i[0], i[1], i[2]),
              want = padded_value(r, name, alone, i);
        if (!(got == want || (isnan(got) && isnan(want))))
            fail_msg("%s: row %d: %s[%d,%d,%d] is %g, not %g", r->model, r->index, name, (int)i[0],
                     (int)i[1], (int)i[2], (double)got, (double)want);
    }
}

/* Logits, metric and all that was captured of a row are those of its prompt alone. */
static void assert_row(struct library *l, const struct bore_pass *batch_pass,
                       const struct batch_row *r, const struct bore_cache *batch,
                       const struct bore_result *all)
{
    struct bore_error e = {0};
    struct bore_result one = {0};
    struct bore_cache *single;
    struct bore_cache_options opt = {.incl_bwd = true};
    struct bore_pass alone = *batch_pass;
    alone.tokens = r->real, alone.mask = NULL, alone.rows = 1, alone.cols = r->n;
    library_ok(bore_run_with_cache(l->m, &alone, &opt, &single, &one, &e), &e);
    assert_true(all->metric[r->index] == one.metric[0]);
    for (int i = 0; i < COLS; i++)
        for (int v = 0; v < 3; v++) {
            float x = library_at(&all->output, r->index, i, v, 0);
            assert_true(r->pos[i] < 0 ? isnan(x)
                                      : x == library_at(&one.output, 0, r->pos[i], v, 0));
        }
    for (int k = 0; k < bore_cache_count(batch); k++) {
        struct bore_tensor b, s;
        const char *name = bore_cache_at(batch, k, &b);
        bore_cache_at(single, k, &s);
        assert_row_of_tensor(r, name, &b, &s);
    }
    bore_cache_free(single);
    bore_result_free(&one);
}

/* Rows of a batch equal the prompts alone, bit for bit, on whichever side they are padded; padding
 * is as the header says. */
static void test_batches(void **state)
{
    (void)state;
    char **models = fixture_names(true);
    static const char *const edits[] = {"blocks.0.attn.hook_z[-1, 0] = 0",
                                        "blocks.1.hook_resid_pre[0] += 0.25"};
    for (char **model = models; *model; model++) {
        struct library l = library_open(*model, 1 << 20);
        struct bore_error e = {0};
        int32_t tokens[ROWS * COLS];
        for (int i = 0; i < ROWS * COLS; i++)
            tokens[i] = (i * 7 + 3) % bore_model_shape(l.m).d_vocab;
        struct bore_pass p = {.tokens = tokens,
                              .mask = mask,
                              .rows = ROWS,
                              .cols = COLS,
                              .edits = edits,
                              .n_edits = 2,
                              .metric = "loss"};
        struct bore_result all = {0};
        struct bore_cache *batch;
        struct bore_cache_options opt = {.incl_bwd = true};
        library_ok(bore_run_with_cache(l.m, &p, &opt, &batch, &all, &e), &e);
        for (int i = 0; i < ROWS; i++) {
            struct batch_row r = batch_row(*model, tokens, i);
            assert_row(&l, &p, &r, batch, &all);
        }
        static const uint8_t none[ROWS * COLS] = {1};
        p.mask = none, p.metric = NULL;
        assert_int_equal(bore_run(l.m, &p, NULL, &e), BORE_BAD_INPUT);
        assert_non_null(strstr(e.text, "row 1"));
        bore_cache_free(batch);
        bore_result_free(&all);
        library_close(&l);
    }
    fixture_names_free(models);
}

enum { NEW_MAX = 24 };
struct story {
    int32_t ids[64];
    int n;
    int32_t rows_at[64]; /* pos0 of every call of the hook */
    int32_t rows_n[64], calls;
};

static bool keep_id(void *user, const struct bore_new_token *t)
{
    struct story *s = user;
    assert_int_equal(t->row, 0);
    s->ids[s->n++] = t->id;
    return true;
}

/* taker's actadd: its parameter has rows for the first 12 positions of the whole text. */
static int add_by_position(struct bore_tensor *t, const struct bore_at *where, void *user)
{
    struct story *s = user;
    if (s)
        s->rows_at[s->calls] = where->pos0, s->rows_n[s->calls++] = (int32_t)t->shape[1];
    for (int64_t i = 0; i < t->shape[1]; i++) {
        assert_true(where->columns[where->pos0 + i] == where->pos0 + i);
        for (int64_t k = 0; where->pos0 + i < 12 && k < t->shape[2]; k++)
            t->data[i * t->stride[1] + k * t->stride[2]] += 4.0f *
                                                                (float)((where->pos0 + i + k) % 5) -
                                                            (float)(k % 3);
    }
    return 0;
}

static int32_t best_of_last(struct bore_model *m, const int32_t *tokens, int n)
{
    struct bore_error e = {0};
    struct bore_result out = {0};
    struct bore_pass p = {.tokens = tokens, .rows = 1, .cols = n};
    library_ok(bore_run(m, &p, &out, &e), &e);
    int32_t best = 0;
    const float *x = out.output.data + (n - 1) * out.output.stride[1];
    for (int32_t i = 1; i < out.output.shape[2]; i++)
        best = x[i] > x[best] ? i : best;
    bore_result_free(&out);
    return best;
}

/* Each new token computes one row and meets the hooks once; the text is that of full passes with
 * the same hooks. */
static void test_generation(void **state)
{
    (void)state;
    int changed = 0;
    char **models = fixture_names(true);
    for (char **model = models; *model; model++) {
        struct library l = library_open(*model, 1 << 20);
        struct bore_error e = {0};
        struct story plain = {.n = 0}, hooked = {.n = 0};
        struct bore_generate_options opt = {.max_new_tokens = NEW_MAX, .ignore_eos = true};
        l.pass.cols = 6;
        library_ok(bore_generate(l.m, &l.pass, &opt, keep_id, &plain, &e), &e);
        struct bore_hook h = {
            .name = "blocks.1.hook_resid_pre", .fn = add_by_position, .user = &hooked};
        library_ok(bore_add_hook(l.m, BORE_FORWARD, &h, &e), &e);
        library_ok(bore_generate(l.m, &l.pass, &opt, keep_id, &hooked, &e), &e);
        assert_int_equal(hooked.n, NEW_MAX);
        assert_int_equal(plain.n, NEW_MAX);
        assert_int_equal(hooked.calls, NEW_MAX);
        for (int i = 0; i < hooked.calls; i++) {
            assert_int_equal(hooked.rows_at[i], i ? 5 + i : 0);
            assert_int_equal(hooked.rows_n[i], i ? 1 : 6);
        }
        changed += memcmp(hooked.ids, plain.ids, sizeof *plain.ids * NEW_MAX) != 0;
        bore_reset_hooks(l.m, true, BORE_BOTH, true, BORE_ANY_LEVEL);
        int32_t text[64];
        for (int with = 0; with < 2; with++) {
            const struct story *s = with ? &hooked : &plain;
            h.user = NULL;
            if (with)
                library_ok(bore_add_hook(l.m, BORE_FORWARD, &h, &e), &e);
            memcpy(text, l.tokens, 6 * sizeof *text);
            memcpy(text + 6, s->ids, NEW_MAX * sizeof *text);
            for (int i = 0; i < NEW_MAX; i++)
                if (best_of_last(l.m, text, 6 + i) != s->ids[i])
                    fail_msg("%s: token %d differs from a full pass%s", *model, i,
                             with ? " with the hook" : "");
        }
        /* with edits as well */
        static const char *const edits[] = {"blocks.0.hook_mlp_out[0:3] = 0"};
        struct story edited = {.n = 0};
        l.pass.edits = edits, l.pass.n_edits = 1;
        library_ok(bore_generate(l.m, &l.pass, &opt, keep_id, &edited, &e), &e);
        assert_int_equal(edited.n, NEW_MAX);
        l.pass.metric = "loss";
        assert_int_equal(bore_generate(l.m, &l.pass, &opt, keep_id, &edited, &e), BORE_BAD_INPUT);
        library_close(&l);
    }
    fixture_names_free(models);
    assert_true(changed >=
                3); /* tiny random models often repeat one token whatever is done to them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
