/* test_capture.c - tensors kept by name: which, their values on cut axes and in gaps, and how
 * little is computed for them.  That all of them are the reference library's values is shown in
 * test_library.c and tests/tui/test_cli_run.c. */
#include "products.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/capture.h"

enum { LONG = 257 };

static struct capture_list list_of(struct run *r, const char *const *names, int n)
{
    struct capture_list l = {.m = run_model(r), .run = r, .columns = run_length(r), .item = NULL};
    struct err e = {0};
    const struct capture_want want = {.names = names, .n_names = n, .end = INT32_MAX};
    if (captures_select(&l, &want, &e))
        fail_msg("%s", e.text);
    return l;
}

static struct run *synced(const struct fixture *f, const int32_t *tokens, int32_t n)
{
    struct err e = {0};
    struct run *r = run_create(f->m, NULL, &(struct run_options){0}, &e);
    assert_int_equal(run_sync(r, run_ids(tokens, n), NULL, NULL, NULL, &e), 0);
    return r;
}

/* ---- how much is computed
 * ---------------------------------------------------------------------------------- */

/* A long prompt on a model of rotary positions, nothing kept, products counted. */
struct counted {
    struct fixture f;
    struct run *r;
};

static struct counted *counting(void)
{
    struct counted *c = calloc(1, sizeof *c);
    int32_t tokens[LONG];
    c->f = fixture_open("llama");
    for (int i = 0; i < LONG; i++)
        tokens[i] = (i * 7 + 3) % c->f.m->cfg.d_vocab;
    products = 0;
    c->r = synced(&c->f, tokens, LONG);
    return c;
}

static void counting_end(struct counted *c)
{
    run_free(c->r);
    fixture_close(&c->f);
    free(c);
}

static void load_all(struct capture_list *l)
{
    struct err e = {0};
    for (int i = 0; i < l->n; i++) {
        assert_int_equal(captures_load(l, i, &e), 0);
        capture_drop(&l->item[i]);
    }
}

/* Nothing is kept, and yet every product is made once for each block of rows. */
static void test_each_product_once(void **state)
{
    (void)state;
    struct counted *c = counting();
    int computing = products;
    struct capture_list l = list_of(c->r, (const char *[]){"*"}, 1);
    products = 0;
    load_all(&l);
    print_message("%d products to compute, %d to capture %d tensors\n", computing, products, l.n);
    assert_true(products <= computing + 2); /* and the logits */
    captures_close(&l);
    counting_end(c);
}

/* What is read together is bounded. */
static void test_groups(void **state)
{
    (void)state;
    static const char *const names[] = {"blocks.1.hook_resid_pre", "blocks.1.hook_attn_out",
                                        "blocks.1.hook_mlp_out"};
    struct counted *c = counting();
    struct capture_list l = list_of(c->r, names, 3);
    int32_t most = LIMIT_CAPTURE_BYTES / (c->f.m->cfg.d_model * (int32_t)sizeof(float));
    struct capture_slice cut = {calloc((size_t)most, sizeof *cut.index), most / 3, false};
    for (int32_t i = 0; i < most; i++)
        cut.index[i] = i % 2 * (LONG - 1); /* two blocks of rows */
    for (int i = 0; i < 3; i++)
        l.item[i].cut = &cut;
    products = 0;
    load_all(&l);
    int together = products;
    cut.n = most / 2 + 1; /* each alone */
    products = 0;
    load_all(&l);
    assert_true(together > 0 && products > together);
    free(cut.index);
    captures_close(&l);
    counting_end(c);
}

/* ---- values
 * --------------------------------------------------------------------------------------- */

/* Elements of an axis of a contiguous tensor. */
static void check_cut(const struct capture_list *l, const struct capture *c, int32_t n,
                      const float *whole)
{
    int64_t shape[ALIAS_RANK_MAX], inner = 1, outer = 1;
    int rank = alias_shape(&l->m->cfg, &c->value, n, shape, NULL);
    for (int i = 0; i < rank; i++)
        *(i < c->axis ? &outer : &inner) *= i == c->axis ? 1 : shape[i];
    for (int64_t o = 0; o < outer; o++)
        for (int32_t k = 0; k < c->cut->n; k++)
            if (memcmp(c->values + (o * c->cut->n + k) * inner,
                       whole + (o * shape[c->axis] + c->cut->index[k]) * inner,
                       (size_t)inner * sizeof *whole))
                fail_msg("%s at %d differs", c->name, c->cut->index[k]);
}

static void test_cut_values(void **state)
{
    (void)state;
    static const char *const names[] = {"*", "blocks.*.attn.hook_result", "hook_tokens"};
    char **all = fixture_names(true);
    for (char **name = all; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct run *r = synced(&f, f.tokens, f.n);
        struct capture_list l = list_of(r, names, 3);
        struct err e = {0};
        int32_t index[] = {5, 0, f.n - 1, 5};
        struct capture_slice cut = {index, 4, false};
        struct alias_pick *others = NULL;
        int n = alias_list(&f.m->cfg, LIBRARY_HF, &others, &e);
        for (int i = 0; i < n; i++)
            assert_int_equal(captures_add(&l, others[i].name, others[i].name, -1, &e), 0);
        assert_true(n > 10 && l.n > 40);
        for (int i = 0; i < l.n; i++) {
            l.item[i].cut = &cut;
            l.item[i].values = malloc((size_t)capture_count(&l, &l.item[i]) * sizeof(float));
        }
        assert_int_equal(captures_read(&l, 0, l.n, &e), 0);
        for (int i = 0; i < l.n; i++) {
            struct capture one = l.item[i];
            one.cut = NULL;
            float *whole = malloc((size_t)capture_count(&l, &one) * sizeof *whole);
            assert_int_equal(alias_is_site(&one.value)
                                 ? run_read(r, one.value.site[0], 0, f.n, whole, NULL, &e)
                                 : fixture_read(r, &one.value, 0, f.n, whole, &e),
                             0);
            check_cut(&l, &l.item[i], f.n, whole);
            free(whole);
        }
        free(others);
        captures_close(&l);
        run_free(r);
        fixture_close(&f);
    }
    fixture_names_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRODUCTS_TEST(test_each_product_once),
        PRODUCTS_TEST(test_groups),
        cmocka_unit_test(test_cut_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
