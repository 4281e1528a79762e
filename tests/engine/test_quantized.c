/* test_quantized.c - quantized checkpoints against the formats' own libraries: blocks of every
 * type, a model in every form that safetensors carry, and what is refused. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/quantized.h"
#include "quant.h"

#define FOLDER "tests/fixtures/quantized/"

/* Every block decodes to the library's numbers, -0 and 0 being the same. */
static void test_blocks(void **state)
{
    (void)state;
    struct checkpoint *st = fixture_tensors(FOLDER "blocks.safetensors");
    int seen = 0;
    for (enum kn_dtype t = KN_Q8_0; t <= KN_MXFP4; t++) {
        char name[32], floats[40];
        snprintf(name, sizeof name, "%s", kn_dtype_name(t));
        for (char *c = name; *c; c++)
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        const struct st_tensor *blocks = checkpoint_find(st, name);
        snprintf(floats, sizeof floats, "%s.f32", name);
        const struct st_tensor *want = checkpoint_find(st, floats);
        assert_true(blocks && want && blocks->shape[1] == (int64_t)kn_dtype_bytes(t));
        assert_int_equal(want->shape[0], blocks->shape[0] * kn_dtype_block(t));
        float x[QUANT_BLOCK_MAX];
        for (int64_t b = 0; b < blocks->shape[0]; b++) {
            quant_decode(t, (const char *)blocks->data + b * blocks->shape[1], x);
            for (int64_t i = 0; i < kn_dtype_block(t); i++, seen++)
                if (x[i] != ((const float *)want->data)[b * kn_dtype_block(t) + i])
                    fail_msg("%s, block %d, element %d: %.9g, not %.9g", kn_dtype_name(t), (int)b,
                             (int)i, (double)x[i],
                             (double)((const float *)want->data)[b * kn_dtype_block(t) + i]);
        }
    }
    assert_true(seen > 4000);
    checkpoint_close(st);
}

static const struct {
    const char *name, *dtype; /* as info says it, up to where it counts bytes */
} FORMATS[] = {
    {"int8", "int8 (+f32), in memory: "},
    {"nf4", "nf4 (+f32), in memory: "},
    {"nf4_nested", "nf4 (+f32), in memory: "},
    {"nf4_odd", "bitsandbytes, widened to f32: "},
    {"fp4", "fp4 (+f32), in memory: "},
    {"hqq4", "hqq, widened to f32: "},
    {"hqq4_axis0", "hqq, widened to f32: "},
    {"hqq8", "hqq, widened to f32: "},
    {"gptq", "gptq, widened to f32: "},
    {"gptq_act", "gptq, widened to f32: "},
    {"gptq_v2", "gptq, widened to f32: "},
    {"gptq3", "gptq, widened to f32: "},
    {"gptq_conv1d", "gptq, widened to f32: "},
    {"nf4_conv1d", "nf4 (+f32), in memory: "},
    {"awq", "awq, widened to f32: "},
    {"fp8", "fp8, widened to f32: "},
    {"fp8_row", "compressed-tensors, widened to f32: "},
    {"fp8_tensor", "compressed-tensors, widened to f32: "},
    {"packed", "compressed-tensors, widened to f32: "},
    {"packed_zero", "compressed-tensors, widened to f32: "},
};
enum { FORMAT_COUNT = sizeof FORMATS / sizeof *FORMATS };

static float *logits_of(struct run *r, const struct st_tensor *like)
{
    struct err e = {0};
    float *x = malloc((size_t)st_count(like) * sizeof *x);
    if (run_read(r, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, 0, run_length(r), x, NULL, &e))
        fail_msg("%s", e.text);
    return x;
}

static void near(const char *format, const char *what, const float *x, const struct st_tensor *t)
{
    double error = fixture_error(x, t->data, (size_t)st_count(t));
    if (!(error <= 1e-5))
        fail_msg("%s: %s is %.2g away", format, what, error);
}

/* Weights and logits; an edit that changes nothing, which makes an f32 copy, gives the same bits.
 */
static void test_models(void **state)
{
    (void)state;
    for (int i = 0; i < FORMAT_COUNT; i++) {
        char path[64];
        snprintf(path, sizeof path, "../quantized/%s", FORMATS[i].name);
        struct fixture f = fixture_open(path);
        if (strncmp(f.m->dtype, FORMATS[i].dtype, strlen(FORMATS[i].dtype)) != 0)
            fail_msg("%s says %s", FORMATS[i].name, f.m->dtype);
        const struct kn_view *k = model_weight(f.m, 0, W_K);
        float *w = malloc((size_t)kn_count(k) * sizeof *w);
        kn_decode_rows(k, 0, k->shape[0], w); /* [n, k], whatever order the family has */
        near(FORMATS[i].name, "k_proj", w, checkpoint_find(f.ref, "k_proj"));
        struct run *r = fixture_run(&f, NULL, NULL, 1 << 20);
        const struct st_tensor *want = checkpoint_find(f.ref, "logits");
        float *logits = logits_of(r, want);
        near(FORMATS[i].name, "logits", logits, want);
        const char *const same[] = {"blocks.0.attn.W_O *= 1", "blocks.0.mlp.W_in *= 1",
                                    f.m->cfg.n_kv_heads < f.m->cfg.n_heads
                                        ? "blocks.0.attn._W_K[0] *= 1"
                                        : "blocks.0.attn.W_K[0] *= 1"};
        struct edit_program *p = fixture_program(f.m, f.n, same, 3);
        struct run *edited = fixture_run(&f, NULL, p, 1 << 20);
        float *again = logits_of(edited, want);
        assert_memory_equal(again, logits, (size_t)st_count(want) * sizeof *again);
        run_free(edited), run_free(r);
        edit_program_free(p);
        free(w), free(logits), free(again);
        fixture_close(&f);
    }
}

static void test_mxfp4(void **state)
{
    (void)state;
    struct err e = {0};
    struct quantized q;
    struct checkpoint *st = fixture_tensors(FOLDER "mxfp4/model.safetensors"),
                      *ref = fixture_tensors(FOLDER "mxfp4/cache.safetensors");
    struct js_doc *doc = js_open(FOLDER "mxfp4/config.json", &e);
    assert_int_equal(quantized_load(st, js_root(doc), false, &q, &e), 0);
    const struct st_tensor *w = checkpoint_find(st, "experts.down_proj"),
                           *want = checkpoint_find(ref, "weight");
    assert_true(w && w->dtype == ST_MXFP4 && w->rank == 3 && checkpoint_count(st) == 1);
    assert_int_equal(st_count(w), st_count(want));
    float *x = malloc((size_t)st_count(w) * sizeof *x);
    assert_true(st_decode(w, 0, st_count(w), x));
    for (int64_t i = 0; i < st_count(w); i++)
        assert_true(x[i] == ((const float *)want->data)[i]);
    free(x);
    js_close(doc);
    checkpoint_close(st), checkpoint_close(ref);
}

/* Replace the first `from` by `to`, of the same length. */
static void patch(char *bytes, size_t len, const char *from, const char *to)
{
    char *at = memmem(bytes, len, from, strlen(from));
    assert_true(at && strlen(from) == strlen(to));
    memcpy(at, to, strlen(to));
}

static char *file_read_all(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = malloc(1 << 20);
    *len = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}

static const struct {
    const char *format, *file, *from, *to; /* file: what is changed */
    const char *says;
} BAD[] = {
    {"nf4", "config.json", "bitsandbytes", "bitsandpeace", "expected bitsandbytes, gptq"},
    {"nf4", "model.safetensors", "weight.absmax\"", "weight.absmix\"", "absmax is missing"},
    {"nf4", "model.safetensors", "\"blocksize\": 64", "\"blocksize\": -4", "blocksize"},
    {"nf4", "model.safetensors", "\"shape\": [64, 64]", "\"shape\": [64, 96]", "half as many"},
    {"nf4", "model.safetensors", "\"shape\": [64, 64]", "\"shape\": [164,64]", "half as many"},
    {"nf4_nested", "model.safetensors", "\"nested_blocksize\": 256", "\"nested_blocksize\":  32",
     "nested_absmax"},
    {"int8", "model.safetensors", "k_proj.weight\"", "k_proj.height\"", "weight is missing"},
    {"gptq", "config.json", "\"bits\": 4", "\"bits\": 8", "qzeros"},
    {"gptq", "config.json", "\"bits\": 4", "\"bits\": 3", "inputs of 3 bits"},
    {"gptq", "config.json", "\"bits\": 4", "\"bits\": 5", "2, 3, 4 or 8 bits"},
    {"packed", "model.safetensors", "q_proj.weight_shape", "q_proj.weight_shapo",
     "weight_shape is missing"},
    {"packed_zero", "model.safetensors", "weight_zero_point\":{\"dtype\":\"I32\",\"shape\":[8,2]",
     "weight_zero_point\":{\"dtype\":\"I32\",\"shape\":[2,8]", "weight_zero_point"},
    {"gptq", "config.json", "\"group_size\": 32", "\"group_size\": 16", "qzeros"},
    {"gptq", "model.safetensors", "down_proj.scales", "down_proj.scalex", "scales is missing"},
    {"gptq_v2", "config.json", "gptq_v2", "gptq_v3", "gptq or gptq_v2"},
    {"awq", "config.json", "\"gemm\"", "\"gemv\"", "expected gemm"},
    {"hqq4", "model.safetensors", "mlp.down_proj.axis", "mlp.down_proj.axix", "axis is missing"},
    {"hqq4", "model.safetensors", "mlp.down_proj.zero", "mlp.down_proj.zera", "zero is missing"},
    {"fp8", "config.json", "48", "24", "weight_scale_inv"},
    {"fp8_row", "model.safetensors", "F8_E4M3", "F8_E5M2", "expected F8_E4M3"},
    {"mxfp4", "model.safetensors", "_scales", "_scalez", "_scales is missing"},
};

/* Each in one line that says what is wrong; looked at or read. */
static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        for (int look = 0; look < 2; look++) {
            char path[2][256];
            size_t len[2];
            struct err e = {0};
            struct quantized q;
            static const char *const files[] = {"config.json", "model.safetensors"};
            char *bytes[2];
            for (int k = 0; k < 2; k++) {
                snprintf(path[k], sizeof path[k], FOLDER "%s/%s", BAD[i].format, files[k]);
                bytes[k] = file_read_all(path[k], &len[k]);
                if (!strcmp(files[k], BAD[i].file))
                    patch(bytes[k], len[k], BAD[i].from, BAD[i].to);
            }
            struct js_doc *doc = js_parse("config.json", bytes[0], len[0], &e);
            struct checkpoint *st = checkpoint_parse("model.safetensors", bytes[1], len[1], &e);
            assert_true(doc && st);
            if (!quantized_load(st, js_root(doc), look, &q, &e))
                fail_msg("%s with %s is read", BAD[i].format, BAD[i].to);
            if (!strstr(e.text, BAD[i].says) || strchr(e.text, '\n'))
                fail_msg("%s with %s: %s", BAD[i].format, BAD[i].to, e.text);
            js_close(doc);
            checkpoint_close(st);
            free(bytes[0]), free(bytes[1]);
        }
    }
}

/* A group that is not there. */
static void test_group_out_of_range(void **state)
{
    (void)state;
    size_t len[2];
    struct err e = {0};
    struct quantized q;
    char *config = file_read_all(FOLDER "gptq/config.json", &len[0]),
         *file = file_read_all(FOLDER "gptq/model.safetensors", &len[1]);
    struct js_doc *doc = js_parse("config.json", config, len[0], &e);
    struct checkpoint *st = checkpoint_parse("model.safetensors", file, len[1], &e);
    const struct st_tensor *t = checkpoint_find(st, "model.layers.0.mlp.up_proj.g_idx");
    ((int32_t *)(uintptr_t)t->data)[5] = 2;
    assert_true(quantized_load(st, js_root(doc), false, &q, &e) < 0);
    assert_non_null(strstr(e.text, "element 5"));
    js_close(doc);
    checkpoint_close(st);
    free(config), free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_mxfp4),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_group_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
