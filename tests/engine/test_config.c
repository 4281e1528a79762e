/* test_config.c - config.json: what is read, what is refused and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <string.h>

#include "model/arch.h"
#include "model/config.h"

static int parse(struct config *c, const char *text, struct err *e)
{
    return config_parse(c, text, strlen(text), "config.json", e);
}

#define GPT2 "\"model_type\":\"gpt2\",\"n_layer\":2,\"n_head\":3,\"n_embd\":12,\"vocab_size\":10"
#define LLAMA                                                                                        \
    "\"model_type\":\"llama\",\"num_hidden_layers\":2,\"num_attention_heads\":4,\"hidden_size\":16," \
    "\"intermediate_size\":20,\"vocab_size\":10"

static void test_defaults(void **state)
{
    (void)state;
    struct config c;
    assert_int_equal(parse(&c, "{" GPT2 "}", NULL), 0);
    assert_int_equal(c.d_mlp, 48);
    assert_int_equal(c.d_head, 4);
    assert_int_equal(c.n_ctx, 1024);
    assert_true(c.tied && c.prepend_bos && c.norm_center && !c.parallel && !c.gated);
    assert_int_equal(c.bos_id, -1);
    assert_int_equal(
        parse(&c, "{" LLAMA ",\"num_key_value_heads\":null,\"eos_token_id\":[3,4]}", NULL), 0);
    assert_int_equal(c.n_kv_heads, 4);
    assert_int_equal(c.eos_id, 3);
    assert_int_equal(c.n_rot, 4);
    assert_true(!c.tied && c.gated && !c.norm_center);
}

#define DEFAULTS "tests/fixtures/defaults.json"

static void parse_node(struct config *c, struct js_node node)
{
    struct err e = {0};
    if (config_from(c, js_take(DEFAULTS, json_incref(node.value), &e), &e))
        fail_msg("%s", e.text);
}

/* Of every family: a file that says its sizes alone is what Hugging Face's class makes of it. */
static void what_is_left_out_is_hugging_faces(void **state)
{
    (void)state;
    struct js_doc *doc = js_open(DEFAULTS, NULL);
    assert_non_null(doc);
    size_t n = js_count(js_root(doc)), families = 0;
    int wrong = 0;
    for (size_t i = 0; i < n; i++) {
        static struct config said, full;
        parse_node(&said, js_get(js_at(js_root(doc), i), "said"));
        parse_node(&full, js_get(js_at(js_root(doc), i), "full"));
#define CONFIG(type, field)                                                    \
    if (memcmp(&said.field, &full.field, sizeof said.field) != 0) {            \
        print_error("%s: %s is another one\n", said.arch->model_type, #field); \
        wrong++;                                                               \
    }
#include "model/config.def"
    }
    for (const struct arch *const *a = arch_table; *a; a++)
        families++;
    assert_int_equal(wrong, 0);
    assert_int_equal(n, families); /* make_defaults.py lists them */
    js_close(doc);
}

static void test_window(void **state)
{
    (void)state;
#define MISTRAL                                                                                        \
    "\"model_type\":\"mistral\",\"num_hidden_layers\":2,\"num_attention_heads\":8,\"hidden_size\":16," \
    "\"intermediate_size\":20,\"vocab_size\":10"
    struct config c;
    assert_int_equal(parse(&c, "{" MISTRAL "}", NULL), 0);
    assert_int_equal(c.window, 4096); /* HF's default when the key is missing */
    assert_int_equal(parse(&c, "{" MISTRAL ",\"sliding_window\":null}", NULL), 0);
    assert_int_equal(c.window, 0);
}

/* A model of images: rows are a class token and patches that fit whole. */
static void test_image(void **state)
{
    (void)state;
    struct config c;
    struct err e = {0};
    assert_int_equal(parse(&c, "{\"model_type\":\"vit\"}", NULL), 0);
    assert_true(c.patch_size == 16 && c.n_ctx == 197 && c.d_vocab == 2 && c.attn_bias);
    assert_true(c.bidirectional && !c.headless && c.norm_eps == 1e-12);
    assert_int_equal(parse(&c,
                           "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],"
                           "\"image_size\":31,\"patch_size\":10,\"id2label\":{\"0\":\"a\"}}",
                           NULL),
                     0);
    assert_true(c.n_ctx == 10 && c.d_vocab == 1 && c.headless);
    assert_int_equal(parse(&c, "{\"model_type\":\"deit\"}", NULL), 0);
    assert_true(c.n_prefix == 2 && c.n_ctx == 198 && !c.headless);
    static const char *const bad[][2] = {
        {"{\"model_type\":\"deit\",\"architectures\":"
         "[\"DeiTForImageClassificationWithTeacher\"]}",
         "one head; two are not supported"},
        {"{\"model_type\":\"vit\",\"patch_size\":225}", "do not fit an image of 224"},
        {"{\"model_type\":\"vit\",\"image_size\":16384}", "above the limits"},
        {"{\"model_type\":\"vit\",\"patch_size\":1,\"image_size\":400}", "above the limits"},
        {"{\"model_type\":\"vit\",\"id2label\":[]}", "\"id2label\" · expected an object"},
        {"{\"model_type\":\"vit\",\"id2label\":{}}", "with a member or more"},
        {"{\"model_type\":\"vit\",\"patch_size\":[16,16]}", "\"patch_size\" · expected an integer"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(&c, bad[i][0], &e), ERR_BAD_INPUT);
        if (!strstr(e.text, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], e.text);
    }
}

/* What the published files of a family leave out or say in words of their own. */
static void test_gemma(void **state)
{
    (void)state;
#define SIZES(layers)                                                                       \
    "\"num_hidden_layers\":" layers ",\"num_attention_heads\":4,\"num_key_value_heads\":2," \
    "\"hidden_size\":16,\"intermediate_size\":20,\"vocab_size\":10,\"head_dim\":6"
    struct config c;
    assert_int_equal(
        parse(&c, "{\"model_type\":\"gemma\",\"hidden_act\":\"gelu\"," SIZES("2") "}", NULL), 0);
    assert_int_equal(c.act, KN_ACT_GELU_NEW);
    assert_true(c.tied && c.embed_scale == 4 && c.norm_offset == 1);
    assert_int_equal(parse(&c, "{\"model_type\":\"gemma2\"," SIZES("5") "}", NULL), 0);
    assert_true(c.softcap == 50 && c.final_softcap == 30 && c.window == 4096);
    for (int32_t l = 0; l < 5; l++)
        assert_int_equal(layer_in(&c.windowed, l), l % 2 == 0);
    assert_int_equal(parse(&c,
                           "{\"model_type\":\"gemma2\",\"attn_logit_softcapping\":null,"
                           "\"final_logit_softcapping\":null," SIZES("2") "}",
                           NULL),
                     0);
    assert_true(c.softcap == 0 && c.final_softcap == 0);
    assert_int_equal(parse(&c, "{\"model_type\":\"gemma3_text\"," SIZES("13") "}", NULL), 0);
    for (int32_t l = 0; l < 13; l++)
        assert_int_equal(layer_in(&c.windowed, l), (l + 1) % 6 != 0);
    assert_true(c.rope.theta == 1e6 && c.rope_local.theta == 1e4 && c.final_softcap == 0);
    struct err e = {0};
    assert_int_equal(parse(&c, "{\"model_type\":\"gemma3\"}", &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "\"text_config\""));
    assert_int_equal(
        parse(&c,
              "{\"model_type\":\"gemma3\",\"eos_token_id\":[1,106],\"text_config\":{"
              "\"model_type\":\"gemma3_text\",\"hidden_size\":2560,\"intermediate_size\":10240,"
              "\"num_hidden_layers\":34,\"rope_scaling\":{\"factor\":8.0,\"rope_type\":\"linear\"},"
              "\"sliding_window\":1024}}",
              NULL),
        0); /* as the first file of that size has it */
    assert_true(c.n_heads == 8 && c.n_kv_heads == 4 && c.d_head == 256 && c.d_vocab == 262208);
    assert_true(c.rope.factor == 8 && c.rope_local.scaling == ROPE_PLAIN && c.eos_id == 1);
}

/* Windows, tables and bounds of published files of OLMo and gpt-oss. */
static void test_olmo(void **state)
{
    (void)state;
    struct config c;
    struct err e = {0};
    assert_int_equal(parse(&c, "{\"model_type\":\"olmo\"," SIZES("2") ",\"clip_qkv\":null}", NULL),
                     0);
    assert_true(c.clip_qkv == 0 && c.norm_center && c.norm_bare && c.norm_eps == 1e-5);
    assert_int_equal(parse(&c, "{\"model_type\":\"olmo\"," SIZES("2") ",\"clip_qkv\":8.0}", NULL),
                     0);
    assert_true(c.clip_qkv == 8 && config_has(&c, PROPERTY_CLIPPED));
    assert_int_equal(
        parse(&c,
              "{\"model_type\":\"olmo3\"," SIZES(
                  "9") ",\"rope_theta\":250000,\"rope_scaling\":{"
                       "\"rope_type\":\"yarn\",\"factor\":8.0,\"attention_factor\":1.2,"
                       "\"original_max_position_embeddings\":8192}}",
              NULL),
        0);
    for (int32_t l = 0; l < 9; l++)
        assert_int_equal(layer_in(&c.windowed, l), l % 4 != 3);
    assert_true(c.window == 4096 && c.norm_place == NORM_AFTER && c.qk_norm_joined);
    assert_true(c.rope.scaling == ROPE_YARN && c.rope.attention_factor == 1.2);
    assert_true(c.rope_local.scaling == ROPE_PLAIN && c.rope_local.theta == 250000);
#define GPT_OSS "{\"model_type\":\"gpt_oss\",\"num_local_experts\":32," SIZES("3")
    assert_int_equal(parse(&c,
                           GPT_OSS ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":32.0,"
                                   "\"truncate\":false,\"original_max_position_embeddings\":4096}}",
                           NULL),
                     0);
    for (int32_t l = 0; l < 3; l++)
        assert_int_equal(layer_in(&c.windowed, l), l % 2 == 0);
    assert_true(c.window == 128 && c.n_active == 4 && c.glu_limit == 7 && !c.rope.truncate);
    assert_true(c.attn_bias && c.mlp_bias && c.sinks && c.n_moe == 3 && c.d_expert == 20);
    assert_int_equal(
        parse(&c, GPT_OSS ",\"rope_theta\":5000,\"rope_scaling\":{\"rope_type\":\"default\"}}",
              NULL),
        0); /* no table is said: YaRN (defaults.json), but here none is wanted */
    assert_true(c.rope.scaling == ROPE_PLAIN && c.rope.factor == 0 && c.rope.theta == 5000);
    assert_true(c.rope.attention_factor == 1);
    assert_int_equal(parse(&c, GPT_OSS ",\"swiglu_alpha\":2}", &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "swiglu_alpha"));
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } rows[] = {
        {"{}", "model_type \"\" is not supported"},
        {"[]", "expected an object"},
        {"{\"model_type\":\"no-such\"}", "\"no-such\" is not supported"},
        {"{\"model_type\":7}", "key \"model_type\" · expected a string"},
        {"{\"model_type\":\"gpt2\",\"n_head\":3}", "key \"n_layer\" · missing"},
        {"{" GPT2 ",\"n_positions\":\"abc\"}", "key \"n_positions\" · expected an integer"},
        {"{" GPT2 ",\"activation_function\":\"selu\"}", "expected gelu"},
        {"{" GPT2 ",\"scale_attn_by_inverse_layer_idx\":true}", "true is not supported"},
        {"{\"model_type\":\"gpt2\",\"n_layer\":2,\"n_head\":5,\"n_embd\":12,\"vocab_size\":10}",
         "not a multiple of 5"},
        {"{\"model_type\":\"gpt2\",\"n_layer\":100000,\"n_head\":5,\"n_embd\":12,\"vocab_size\":10}",
         "1..512"},
        {"{" LLAMA ",\"num_key_value_heads\":3}", "not a multiple of 3 key/value heads"},
        {"{" LLAMA ",\"head_dim\":3}", "must give an even number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config c = {.n_layers = 77};
        struct err e = {0};
        assert_int_equal(parse(&c, rows[i].json, &e), ERR_BAD_INPUT);
        assert_int_equal(c.n_layers, 77);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%s: says \"%s\", expected \"%s\"", rows[i].json, e.text, rows[i].says);
    }
}

/* Whoever has a model of another kind learns which one is near, and where all are. */
static void refusal_names_the_nearest(void **state)
{
    (void)state;
    struct config c;
    struct err e = {0};
    assert_int_equal(parse(&c, "{\"model_type\":\"gpt22\"}", &e), ERR_BAD_INPUT);
    assert_non_null(
        strstr(e.text, "\"gpt22\" is not supported, nearest gpt2 · docs/models.md lists all"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(what_is_left_out_is_hugging_faces),
        cmocka_unit_test(test_window),   cmocka_unit_test(test_image),
        cmocka_unit_test(test_gemma),    cmocka_unit_test(test_olmo),
        cmocka_unit_test(test_refusals), cmocka_unit_test(refusal_names_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
