/* test_library_weights.c - weights through the public header: names, slices, factored products,
 * composition, directions.  Against TransformerLens' figures where the fixtures have them
 * (circuits.safetensors), else against products written out. */
#include "library.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_lists_and_slices(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    static const enum bore_library whose[] = {BORE_TRANSFORMER_LENS, BORE_HUGGING_FACE,
                                              BORE_NNSIGHT, BORE_TAKER};
    for (int i = 0; i < 4; i++) {
        struct bore_weight *list, one;
        int n;
        library_ok(bore_weight_list(l.m, whose[i], &list, &n, &e), &e);
        assert_true(n > 30);
        for (int k = 0; k < n; k++) {
            library_ok(bore_weight_find(l.m, list[k].name, &one, &e), &e);
            assert_int_equal(one.rank, list[k].rank);
            assert_memory_equal(one.shape, list[k].shape, sizeof one.shape);
            assert_true(list[k].layer < 3 && list[k].dims[0][0]);
        }
        free(list);
    }
    struct bore_tensor all, cut;
    const int64_t heads[] = {2, 0, -1};
    struct bore_slice axes[] = {{.kind = BORE_LIST, .list = heads, .n = 3},
                                {.kind = BORE_ONE, .start = -2},
                                {BORE_RANGE, 1, BORE_OPEN, 2, NULL, 0}};
    library_ok(bore_weight_read(l.m, "blocks.1.attn.W_Q", NULL, 0, &all, &e), &e);
    library_ok(bore_weight_read(l.m, "blocks.1.attn.W_Q", axes, 3, &cut, &e), &e);
    assert_int_equal(cut.rank, 2);
    assert_true(cut.shape[0] == 3 && cut.shape[1] == 2);
    for (int h = 0; h < 3; h++)
        for (int k = 0; k < 2; k++)
            assert_true(cut.data[h * 2 + k] ==
                        all.data[((heads[h] + (heads[h] < 0 ? 3 : 0)) * 15 + 13) * 5 + 1 + 2 * k]);
    bore_tensor_free(&all), bore_tensor_free(&cut);
    struct bore_slice bad = {.kind = BORE_ONE, .start = 3};
    assert_int_equal(bore_weight_read(l.m, "blocks.1.attn.W_Q", &bad, 1, &all, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "head 3"));
    assert_int_equal(bore_weight_read(l.m, "blocks.1.attn.W_Q", axes, 4, &all, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_weight_read(l.m, "blocks.1.attn.W_X", NULL, 0, &all, &e), BORE_BAD_INPUT);
    struct bore_weight *list;
    int n;
    assert_int_equal(bore_weight_list(l.m, BORE_BRIDGE, &list, &n, &e), BORE_BAD_INPUT);
    library_close(&l);
}

static void near_to(double a, double b, double limit)
{
    if (!(fabs(a - b) <= limit))
        fail_msg("%g is not %g", a, b);
}

static const float *known(const struct checkpoint *st, const char *name)
{
    const struct st_tensor *t = checkpoint_find(st, name);
    assert_non_null(t);
    return t->data;
}

/* FactoredMatrix: singular values and vectors, eigenvalues, norm, corner, even factors, products,
 * transposition. */
static void test_factored(void **state)
{
    (void)state;
    struct library l = library_open("llama", 1 << 20);
    struct checkpoint *st = fixture_file("llama", "circuits.safetensors");
    struct bore_error e = {0};
    struct bore_factored qk, ov, even, both;
    enum { D = 24, R = 4, H = 6 };
    double u[D * R], s[R], v[D * R], z[R][2], whole[D * D], again[D * D];
    library_ok(bore_factored_head(l.m, BORE_QK, 1, 5, &qk, &e), &e);
    library_ok(bore_factored_head(l.m, BORE_OV, 0, 2, &ov, &e), &e);
    assert_true(qk.rows == D && qk.cols == D && qk.inner == R);
    library_ok(bore_factored_svd(&qk, u, s, v, &e), &e);
    library_ok(bore_factored_eigenvalues(&qk, z, &e), &e);
    for (int i = 0; i < R; i++) {
        near_to(s[i], (double)known(st, "raw.QK.S")[(H + 5) * R + i], 1e-4);
        near_to(z[i][0], (double)known(st, "raw.QK.eig")[((H + 5) * R + i) * 2], 1e-4);
        near_to(z[i][1], (double)known(st, "raw.QK.eig")[((H + 5) * R + i) * 2 + 1], 1e-4);
    }
    near_to(bore_factored_norm(&qk), (double)known(st, "raw.QK.norm")[H + 5], 1e-4);
    bore_factored_corner(&qk, D, D, whole);
    near_to(whole[D + 1], (double)known(st, "raw.QK.corner")[(H + 5) * 4 + 3], 1e-4);
    library_ok(bore_factored_even(&qk, &even, &e), &e);
    bore_factored_corner(&even, D, D, again);
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) {
            double sum = 0;
            for (int k = 0; k < R; k++)
                sum += u[i * R + k] * s[k] * v[j * R + k];
            assert_true(fabs(whole[i * D + j] - again[i * D + j]) < 1e-9 &&
                        fabs(whole[i * D + j] - sum) < 1e-9);
        }
    for (int k = 0; k < R; k++) { /* both halves carry half the singular values */
        double a = 0, b = 0;
        for (int i = 0; i < D; i++)
            a += even.a[i * R + k] * even.a[i * R + k], b += even.b[i * R + k] * even.b[i * R + k];
        assert_true(fabs(a - s[k]) < 1e-9 && fabs(b - s[k]) < 1e-9);
    }
    /* what a head writes, read as queries: the composition score by hand */
    struct bore_tensor scores;
    library_ok(bore_factored_product(&ov, &qk, &both, &e), &e);
    library_ok(bore_composition_scores(l.m, 'Q', &scores, &e), &e);
    near_to(bore_factored_norm(&both) / bore_factored_norm(&ov) / bore_factored_norm(&qk),
            (double)scores.data[2 * scores.stride[1] + scores.stride[2] + 5], 1e-5);
    bore_tensor_free(&scores);
    /* the same for K with the factors exchanged */
    struct bore_factored turned = {qk.cols, qk.rows, qk.inner, qk.b, qk.a}, third;
    library_ok(bore_factored_product(&ov, &turned, &third, &e), &e);
    library_ok(bore_composition_scores(l.m, 'K', &scores, &e), &e);
    near_to(bore_factored_norm(&third) / bore_factored_norm(&ov) / bore_factored_norm(&qk),
            (double)scores.data[2 * scores.stride[1] + scores.stride[2] + 5], 1e-5);
    bore_tensor_free(&scores);
    assert_int_equal(bore_composition_scores(l.m, 'X', &scores, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_factored_head(l.m, BORE_QK, 0, 6, &third, &e), BORE_BAD_INPUT);
    struct bore_factored odd = {3, 4, 1, u, v};
    assert_int_equal(bore_factored_eigenvalues(&odd, z, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_factored_product(&odd, &qk, &third, &e), BORE_BAD_INPUT);
    bore_factored_free(&third), bore_factored_free(&both), bore_factored_free(&even),
        bore_factored_free(&qk), bore_factored_free(&ov);
    checkpoint_close(st);
    library_close(&l);
}

static void test_copying_and_bias(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct checkpoint *st = fixture_file("gpt2", "circuits.safetensors");
    struct bore_error e = {0};
    double z[5][2], score, sum = 0, size = 0;
    library_ok(bore_copying_score(l.m, 2, 1, z, &score, &e), &e);
    for (int i = 0; i < 5; i++) {
        const float *want = known(st, "raw.full.eig") + ((2 * 3 + 1) * 5 + i) * 2;
        assert_true(fabs(z[i][0] - (double)want[0]) < 1e-3 &&
                    fabs(z[i][1] - (double)want[1]) < 1e-3);
        sum += (double)want[0], size += hypot((double)want[0], (double)want[1]);
    }
    assert_true(fabs(score - sum / size) < 1e-4);
    checkpoint_close(st);
    /* the biases before a layer are what is left of the stream when nothing else writes: by hand */
    float bias[15], want[15] = {0};
    static const char *const names[] = {"blocks.0.attn.b_O", "blocks.0.mlp.b_out",
                                        "blocks.1.attn.b_O"};
    for (int i = 0; i < 3; i++) {
        struct bore_tensor t;
        library_ok(bore_weight_read(l.m, names[i], NULL, 0, &t, &e), &e);
        for (int k = 0; k < 15; k++)
            want[k] += t.data[k];
        bore_tensor_free(&t);
    }
    library_ok(bore_accumulated_bias(l.m, 1, true, true, bias, &e), &e);
    for (int k = 0; k < 15; k++)
        near_to((double)bias[k], (double)want[k], 1e-6);
    library_ok(bore_accumulated_bias(l.m, 0, false, true, bias, &e), &e);
    assert_true(bias[3] == 0);
    library_ok(bore_accumulated_bias(l.m, 3, false, false, bias, &e), &e);
    assert_int_equal(bore_accumulated_bias(l.m, 3, true, false, bias, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_accumulated_bias(l.m, 4, false, false, bias, &e), BORE_BAD_INPUT);
    library_close(&l);
}

/* W_U's columns and what bore_call makes of a direction. */
static void test_directions(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_tensor neuron, u;
    struct bore_slice one = {.kind = BORE_ONE, .start = 7};
    int32_t ids[2][4];
    float values[2][4];
    library_ok(bore_weight_read(l.m, "blocks.1.mlp.W_out", &one, 1, &neuron, &e), &e);
    library_ok(bore_weight_read(l.m, "unembed.W_U", NULL, 0, &u, &e), &e);
    for (int least = 0; least < 2; least++) {
        library_ok(bore_direction_tokens(l.m, false, least, neuron.data, 1, 4, ids[least],
                                         values[least], &e),
                   &e);
        for (int i = 0; i < 4; i++) {
            double sum = 0;
            for (int k = 0; k < 15; k++)
                sum += (double)neuron.data[k] * (double)u.data[k * u.stride[0] + ids[least][i]];
            near_to((double)values[least][i], sum, 1e-5);
            assert_true(i == 0 || (least ? values[least][i] >= values[least][i - 1]
                                         : values[least][i] <= values[least][i - 1]));
        }
    }
    assert_true(values[0][0] > values[1][0]);
    assert_int_equal(
        bore_direction_tokens(l.m, false, false, neuron.data, 1, 65, ids[0], values[0], &e),
        BORE_BAD_INPUT);
    assert_int_equal(
        bore_direction_tokens(l.m, true, false, neuron.data, -1, 1, ids[0], values[0], &e),
        BORE_BAD_INPUT);
    bore_tensor_free(&neuron), bore_tensor_free(&u);
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_and_slices),
        cmocka_unit_test(test_factored),
        cmocka_unit_test(test_copying_and_bias),
        cmocka_unit_test(test_directions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
