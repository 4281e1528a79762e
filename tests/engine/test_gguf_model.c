/* Tests of GGUF files as models (gguf_parts.h): the weights, shape and tokens that Hugging Face's
 * files of the same model give, and the values of every type of tensor (tests/fixtures/gguf). */
#include "fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/gguf_parts.h"
#include "token/tokenizer.h"

#define GGUF "tests/fixtures/gguf/"

static struct model *open_model(const char *path)
{
    struct model *m;
    struct err e = {0};
    if (model_open(&m, path, fixture_backend(), &e))
        fail_msg("%s", e.text);
    return m;
}

static unsigned char *file_bytes(const char *path, size_t *len)
{
    enum { LARGEST = 1 << 20 };
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = malloc(LARGEST);
    assert_non_null(f);
    *len = fread(bytes, 1, LARGEST, f);
    fclose(f);
    return bytes;
}

/* ---- weights and shape ---- */

static void same_config(const char *name, const struct config *a, const struct config *b)
{
    bool same = a->arch == b->arch && a->bos_id == b->bos_id && a->eos_id == b->eos_id;
    struct config other = *b;
    if (a->query_pre_attn_scalar == a->d_head) /* no key says another one */
        other.query_pre_attn_scalar = b->query_pre_attn_scalar != 0 ? a->d_head : 0;
    b = &other;
#define CONFIG(type, field)                                               \
    if (memcmp(&a->field, &b->field, sizeof a->field) != 0) {             \
        print_error("%s: " #field " is not that of config.json\n", name); \
        same = false;                                                     \
    }
#include "model/config.def"
    assert_true(same);
}

static void same_weights(const char *name, const struct model *a, const struct model *b)
{
    for (int32_t l = 0; l < weight_row(&a->cfg, a->cfg.n_layers, 0); l++)
        for (int w = W_NONE + 1; w < WEIGHT_COUNT; w++) {
            if (l >= a->cfg.n_layers && !weight_is_expert((enum weight_id)w))
                continue;
            const struct kn_view *x = model_weight(a, l, (enum weight_id)w),
                                 *y = model_weight(b, l, (enum weight_id)w);
            assert_int_equal(x->ndim > 0, y->ndim > 0);
            assert_int_equal(kn_count(x), kn_count(y));
            if (!x->ndim)
                continue;
            size_t n = (size_t)kn_count(x);
            float *p = malloc(2 * n * sizeof *p), *q = p + n;
            kn_decode_rows(x, 0, x->shape[0], p);
            kn_decode_rows(y, 0, y->shape[0], q);
            /* 1 + w keeps what an f32 can: the last bits of w go */
            double limit = a->cfg.norm_offset == 1 && x->ndim == 1 ? 1e-6 : 0;
            for (size_t i = 0; i < n; i++)
                if (fabs((double)p[i] - (double)q[i]) > limit)
                    fail_msg("%s: %s of layer %d, element %zu is %g, not %g", name,
                             weight_table[w].name, l, i, (double)p[i], (double)q[i]);
            free(p);
        }
}

/* Each file that is made of a folder of tests/fixtures/models. */
static void a_file_is_the_model_that_it_was_made_of(void **state)
{
    (void)state;
    DIR *dir = opendir(GGUF);
    int done = 0;
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        char path[300], name[256];
        snprintf(path, sizeof path, GGUF "%s", d->d_name);
        if (sscanf(d->d_name, "%255[^.].gguf", name) != 1)
            continue;
        char source[300];
        snprintf(source, sizeof source, "tests/fixtures/models/%s", name);
        if (access(source, F_OK))
            continue;
        struct model *m = open_model(path), *want = open_model(source);
        same_config(name, &m->cfg, &want->cfg);
        same_weights(name, m, want);
        const struct gguf_arch *a = gguf_arch_of(checkpoint_gguf(m->files), NULL);
        assert_int_equal(m->copied > 0, a->neighbours || a->norm_plus_one);
        assert_int_equal(m->params, want->params);
        model_close(m);
        model_close(want);
        done++;
    }
    closedir(dir);
    assert_true(done >= 7);
}

static struct config config_of(const unsigned char *bytes, size_t len)
{
    struct err e = {0};
    struct config cfg = {0};
    struct checkpoint *st = checkpoint_parse("m.gguf", bytes, len, &e);
    if (!st || config_from(&cfg, gguf_config(st, &e), &e))
        fail_msg("%s", e.text);
    checkpoint_close(st);
    return cfg;
}

/* Llama 3's scaling is known by its factors; other factors are kept as they are. */
static void rotary_factors_are_a_tensor(void **state)
{
    (void)state;
    size_t len;
    unsigned char *bytes = file_bytes(GGUF "rope_llama3.gguf", &len);
    struct config cfg = config_of(bytes, len);
    assert_int_equal(cfg.rope.scaling, ROPE_LLAMA3);
    assert_true(cfg.rope.factor == 8 && cfg.rope.low_freq == 1 && cfg.rope.high_freq == 4);
    assert_int_equal(cfg.rope.n_ctx, 8192);
    assert_true(cfg.rope.theta == 500000);
    float *last = (float *)(void *)(bytes + len - 4), was = *last;
    *last = 2 * was;
    cfg = config_of(bytes, len);
    assert_int_equal(cfg.rope.scaling, ROPE_LONGROPE);
    assert_int_equal(cfg.rope.n_factors, 64);
    assert_true(cfg.rope.short_factor[63] == 2 * was && cfg.rope.long_factor[62] == was);
    assert_true(cfg.rope.attention_factor == 1);
    free(bytes);
}

/* ---- types ---- */

static uint64_t checksum(const float *x, int64_t n)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        sum += bits * (2 * (uint64_t)i + 1);
    }
    return sum;
}

static void every_type_is_decoded_to_the_bit(void **state)
{
    (void)state;
    struct err e = {0};
    struct checkpoint *st = fixture_tensors(GGUF "types.gguf");
    struct js_doc *doc = js_open(GGUF "types.json", &e);
    assert_non_null(doc);
    bool seen[ST_DTYPE_COUNT] = {false};
    for (struct js_iter it = js_members(js_get(js_root(doc), "sums")); js_next(&it);) {
        const struct st_tensor *t = checkpoint_find(st, it.key);
        const char *want;
        assert_non_null(t);
        assert_int_equal(js_string(it.value, &want, NULL, &e), 0);
        int64_t n = st_count(t);
        float *x = malloc((size_t)n * sizeof *x);
        assert_true(st_decode(t, 0, n, x));
        char got[24];
        snprintf(got, sizeof got, "%016llx", (unsigned long long)checksum(x, n));
        if (strcmp(got, want) != 0)
            fail_msg("%s, %s: %s, not %s", t->name, st_dtype_name(t->dtype), got, want);
        seen[t->dtype] = true;
        free(x);
    }
    static const enum st_dtype all[] = {ST_F16,  ST_BF16, ST_Q8_0,  ST_Q4_0,   ST_Q4_1,
                                        ST_Q5_0, ST_Q5_1, ST_Q2_K,  ST_Q3_K,   ST_Q4_K,
                                        ST_Q5_K, ST_Q6_K, ST_MXFP4, ST_IQ4_NL, ST_IQ4_XS};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!seen[all[i]])
            fail_msg("no tensor is %s", st_dtype_name(all[i]));
    js_close(doc);
    checkpoint_close(st);
}

static void check_logits(const char *file, const char *reference)
{
    struct err e = {0};
    struct model *m = open_model(file);
    struct js_doc *doc = js_open(reference, &e);
    struct js_node ids = js_get(js_root(doc), "tokens"), rows = js_get(js_root(doc), "logits");
    struct fixture f = {.m = m, .n = (int32_t)js_count(ids)};
    size_t vocab = (size_t)m->cfg.d_vocab, n = (size_t)f.n * vocab;
    f.tokens = calloc((size_t)f.n, sizeof *f.tokens);
    float *want = calloc(2 * n, sizeof *want), *got = want + n;
    for (int32_t i = 0; i < f.n; i++) {
        int64_t id;
        assert_int_equal(js_int(js_at(ids, (size_t)i), 0, 47, &id, &e), 0);
        f.tokens[i] = (int32_t)id;
        for (size_t k = 0; k < vocab; k++) {
            double x;
            struct js_node row = js_at(rows, (size_t)i);
            assert_int_equal(js_number(js_at(row, k), -1e9, 1e9, &x, &e), 0);
            want[(size_t)i * vocab + k] = (float)x;
        }
    }
    struct run *r = fixture_run(&f, NULL, NULL, SIZE_MAX);
    struct site_ref logits;
    if (site_find(&m->cfg, "unembed.hook_out", &logits, &e) ||
        run_read(r, logits, 0, f.n, got, NULL, &e))
        fail_msg("%s", e.text);
    double error = fixture_error(got, want, n);
    print_message("%s: logits within %.1e\n", file, error);
    assert_true(error <= 1e-5);
    run_free(r);
    free(want);
    free(f.tokens);
    js_close(doc);
    model_close(m);
}

static void a_model_of_all_types_gives_the_logits_of_its_dequantized_weights(void **state)
{
    (void)state;
    check_logits(GGUF "types.gguf", GGUF "types.json");
}

/* What leaves the last block. */
static float *stream_of(struct fixture *f, size_t *n)
{
    struct err e = {0};
    struct site_ref last = {site_stream(&f->m->cfg, 0), f->m->cfg.n_layers - 1};
    struct run *r = fixture_run(f, NULL, NULL, SIZE_MAX);
    *n = (size_t)f->n * (size_t)f->m->cfg.d_model;
    float *x = malloc(*n * sizeof *x);
    if (run_read(r, last, 0, f->n, x, NULL, &e))
        fail_msg("%s", e.text);
    run_free(r);
    return x;
}

/* BERT's files end with the last block. */
static void an_encoder_is_the_one_that_it_was_made_of(void **state)
{
    (void)state;
    struct fixture whole = fixture_open("bert"), bare;
    for (int32_t i = 0; i < whole.n; i++) /* no separator, which is the tokenizer's to tell */
        whole.tokens[i] -= whole.tokens[i] == whole.m->cfg.sep_id;
    bare = whole;
    bare.m = open_model(GGUF "bert_headless.gguf");
    assert_true(bare.m->cfg.headless && bare.m->cfg.bidirectional && bare.m->cfg.n_types == 2);
    assert_int_equal(bare.m->copied, 0);
    size_t n, k;
    float *x = stream_of(&bare, &n), *y = stream_of(&whole, &k);
    assert_int_equal(n, k);
    assert_memory_equal(x, y, n * sizeof *x);
    free(x), free(y);
    model_close(bare.m);
    fixture_close(&whole);
}

/* All of a layer's experts are parts of one tensor, used where it lies. */
static void experts_stay_in_their_blocks(void **state)
{
    (void)state;
    check_logits(GGUF "experts.gguf", GGUF "experts.json");
    struct model *m = open_model(GGUF "experts.gguf");
    const struct config *c = &m->cfg;
    const struct {
        enum weight_id w;
        const char *tensor;
    } all[] = {{W_EXPERT_GATE, "blk.0.ffn_gate_exps.weight"},
               {W_EXPERT_IN, "blk.0.ffn_up_exps.weight"},
               {W_EXPERT_OUT, "blk.0.ffn_down_exps.weight"}};
    assert_string_equal(c->arch->model_type, "mixtral");
    assert_true(c->n_experts == 3 && c->n_active == 2 && c->share_top);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int32_t x = 0; x < c->n_experts; x++) {
            const struct st_tensor *t = checkpoint_find(m->files, all[i].tensor);
            const struct kn_view *v = model_weight(m, weight_row(c, 0, x), all[i].w);
            assert_true(t && v->data == t->data && kn_dtype_block(v->dtype) > 1);
            assert_int_equal(v->first, x * weight_n(c, all[i].w) * weight_k(c, all[i].w));
        }
    uint64_t each = (uint64_t)(3 * c->d_expert * c->d_model);
    assert_int_equal(m->params - m->active, each);
    model_close(m);
}

/* ---- tokenizers ---- */

static struct tokenizer *vocab_of(const char *path)
{
    struct err e = {0};
    struct checkpoint *st = fixture_tensors(path);
    struct tokenizer *t = gguf_tokenizer(checkpoint_gguf(st), &e);
    if (!t)
        fail_msg("%s", e.text);
    checkpoint_close(st);
    return t;
}

/* Texts and ids: {"encode": [{"text", "ids"}]}. */
static int check_cases(const struct tokenizer *t, const char *path)
{
    struct err e = {0};
    struct js_doc *doc = js_open(path, &e);
    if (!doc)
        fail_msg("%s", e.text);
    struct js_node cases = js_get(js_root(doc), "encode");
    int wrong = 0;
    for (size_t i = 0; i < js_count(cases); i++) {
        const char *text;
        size_t len;
        struct token_list got = {0};
        struct js_node ids = js_get(js_at(cases, i), "ids");
        assert_int_equal(js_string(js_get(js_at(cases, i), "text"), &text, &len, &e), 0);
        int rc = tokenizer_encode(t, text, len, 0, &got, &e);
        bool same = !rc && got.count == js_count(ids);
        for (size_t k = 0; k < got.count && same; k++) {
            int64_t id = -1;
            same = !js_int(js_at(ids, k), 0, INT32_MAX, &id, NULL) && id == got.id[k];
        }
        if (!same)
            print_error("%s: other ids for \"%s\" %s\n", path, text, rc ? e.text : "");
        wrong += !same;
        token_list_free(&got);
    }
    assert_true(js_count(cases) > 20);
    js_close(doc);
    return wrong;
}

static void tokenizers_cut_as_those_they_were_made_of(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2",   "gpt_neox", "llama3", "qwen2",
                                        "digits", "llama2",   "gemma",  "bert"};
    int wrong = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128], cases[128];
        snprintf(path, sizeof path, GGUF "vocab_%s.gguf", names[i]);
        snprintf(cases, sizeof cases, GGUF "vocab_%s.json", names[i]);
        if (access(cases, F_OK))
            snprintf(cases, sizeof cases, "tests/fixtures/tokenizers/%s/cases.json", names[i]);
        struct tokenizer *t = vocab_of(path);
        wrong += check_cases(t, cases);
        tokenizer_close(t);
    }
    assert_int_equal(wrong, 0);
}

static void refuse(const char *from, const char *what, const char *by, const char *message_part)
{
    size_t len, n = strlen(what);
    unsigned char *bytes = file_bytes(from, &len);
    assert_int_equal(n, strlen(by));
    unsigned char *at = memmem(bytes, len, what, n);
    assert_non_null(at);
    memcpy(at, by, n);
    struct err e = {0};
    struct checkpoint *st = checkpoint_parse("m.gguf", bytes, len, &e);
    if (!st)
        fail_msg("%s", e.text);
    assert_null(gguf_tokenizer(checkpoint_gguf(st), &e));
    if (!strstr(e.text, message_part))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, message_part);
    checkpoint_close(st);
    free(bytes);
}

static void what_is_not_known_is_refused_by_name(void **state)
{
    (void)state;
    static const char gpt2[] = GGUF "vocab_gpt2.gguf", llama[] = GGUF "vocab_llama2.gguf";
    refuse(gpt2, "gpt-2", "xyz-9",
           "\"tokenizer.ggml.pre\" · xyz-9 is not supported · supported: gpt-2 ");
    refuse(llama, "ggml.model", "ggml.m0del", "\"tokenizer.ggml.model\" · \"\" is not supported");
    refuse(llama, "ggml.tokens", "ggml.t0kens", "\"tokenizer.ggml.tokens\" · expected at most");
    refuse(llama, "ggml.scores", "ggml.sc0res", "\"tokenizer.ggml.scores\" · expected 511 scores");
    refuse(gpt2, "ggml.merges", "ggml.merg3s", "\"tokenizer.ggml.merges\" · expected a list");
    refuse(gpt2, "\xc4\xa0 t", "\xc4\xa0xt", "merge 0 is not two tokens in UTF-8 with a space");
    refuse(gpt2, "\xc4\xa0 t", "\xc4\xa0 \x01",
           "merge 0, \"\xc4\xa0\" and \"\x01\" · expected two");
    refuse(gpt2, "architecture", "archit3cture",
           "\"general.architecture\" · \"\" is not supported");
}

/* ---- files that are not ours ---- */

static void the_conformance_suites_pass(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2", "llama-spm"};
    int wrong = 0, done = 0;
    for (int i = 0; i < 2; i++) {
        char path[200], line[4096];
        snprintf(path, sizeof path, "../shared/data/tokenizers/ggml-vocab-%s.gguf", names[i]);
        if (access(path, F_OK))
            continue;
        struct tokenizer *t = vocab_of(path);
        snprintf(path, sizeof path, "../shared/data/conformance/llama.cpp/ggml-vocab-%s.gguf.inp",
                 names[i]);
        FILE *in = fopen(path, "rb");
        memcpy(strrchr(path, '.'), ".out", 4);
        FILE *out = fopen(path, "rb");
        assert_true(in && out);
        char *texts = malloc(1 << 20);
        size_t len = fread(texts, 1, (1 << 20) - 1, in);
        texts[len] = '\0';
        static const char mark[] = "\n__ggml_vocab_test__\n";
        for (char *at = texts, *end; at && fgets(line, sizeof line, out); at = end) {
            if ((end = strstr(at, mark)))
                *end = '\0', end += strlen(mark);
            struct err e = {0};
            struct token_list got = {0};
            if (tokenizer_encode(t, at, strlen(at), 0, &got, &e))
                fail_msg("%s", e.text);
            size_t k = 0;
            char *p = line;
            for (long id; (id = strtol(p, &p, 10)), k < got.count && got.id[k] == id; k++)
                ;
            if (k < got.count || strspn(p, " \n") != strlen(p)) {
                print_error("%s: other ids for \"%s\": %s", names[i], at, line);
                wrong++;
            }
            token_list_free(&got);
            done++;
        }
        free(texts);
        fclose(in);
        fclose(out);
        tokenizer_close(t);
    }
    assert_int_equal(wrong, 0);
    if (!done) {
        print_message("SKIP: ../shared/data is not here\n");
        skip();
    }
}

static void a_published_file_opens(void **state)
{
    (void)state;
    static const char path[] = "../shared/data/models/llama2-tiny-random-gguf";
    if (access(path, F_OK)) {
        print_message("SKIP: %s is not here\n", path);
        skip();
    }
    struct model *m = open_model(path);
    assert_int_equal(m->cfg.d_vocab, 32000);
    assert_string_equal(m->dtype, "f16 (+f32)");
    assert_string_equal(tokenizer_kind(m->tok), "bpe");
    assert_int_equal(m->cfg.bos_id, 1);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_the_model_that_it_was_made_of),
        cmocka_unit_test(rotary_factors_are_a_tensor),
        cmocka_unit_test(every_type_is_decoded_to_the_bit),
        cmocka_unit_test(a_model_of_all_types_gives_the_logits_of_its_dequantized_weights),
        cmocka_unit_test(experts_stay_in_their_blocks),
        cmocka_unit_test(an_encoder_is_the_one_that_it_was_made_of),
        cmocka_unit_test(tokenizers_cut_as_those_they_were_made_of),
        cmocka_unit_test(what_is_not_known_is_refused_by_name),
        cmocka_unit_test(the_conformance_suites_pass),
        cmocka_unit_test(a_published_file_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
