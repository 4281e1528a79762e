/* Tests of tokenizer.h: ids and bytes against what the reference library gave (fixtures and
 * conformance files), what is refused, and the promises about odd bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limit.h"
#include "token/tokenizer.h"

static const char fixtures[] = "tests/fixtures/tokenizers";
static const char gpt2_file[] = "../shared/data/tokenizers/gpt2/tokenizer.json";
static const char gpt2_cases[] = "../shared/data/conformance/llama.cpp/ggml-vocab-gpt-2.gguf";

static struct tokenizer *open_or_fail(const char *path)
{
    struct err e = {0};
    struct tokenizer *t = tokenizer_open(path, &e);
    if (!t)
        fail_msg("%s", e.text);
    return t;
}

static char *read_text(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    char *text = malloc(1 << 20);
    *len = fread(text, 1, (1 << 20) - 1, f);
    text[*len] = '\0';
    fclose(f);
    return text;
}

/* ---- fixtures
 * ---------------------------------------------------------------------------------------- */

static bool same_ids(const struct token_list *got, struct js_node want)
{
    bool same = got->count == js_count(want);
    for (size_t i = 0; i < got->count && same; i++) {
        int64_t id = -1;
        same = !js_int(js_at(want, i), 0, INT32_MAX, &id, NULL) && got->id[i] == id;
    }
    return same;
}

static int check_ids(const struct tokenizer *t, struct js_node item, const char *key,
                     unsigned flags)
{
    const char *text;
    size_t len;
    struct err e = {0};
    struct token_list got = {0};
    struct js_node want = js_get(item, key);
    if (!js_is_array(want))
        return 0;
    assert_int_equal(js_string(js_get(item, "text"), &text, &len, &e), 0);
    int rc = tokenizer_encode(t, text, len, flags, &got, &e);
    bool good = !rc && same_ids(&got, want);
    for (size_t i = 0; i < got.count; i++)
        good = good && got.begin[i] <= got.end[i] && got.end[i] <= len;
    if (!good)
        print_error("%s: wrong %s for \"%s\" %s\n", js_name(item.doc), key, text, e.text);
    token_list_free(&got);
    return !good;
}

static int check_spellings(const struct tokenizer *t, struct js_node item)
{
    int wrong = 0;
    struct js_node ids = js_get(item, "ids"), spellings = js_get(item, "tokens");
    for (size_t i = 0; i < js_count(spellings); i++) {
        int64_t id = -1;
        const char *want = "", *got;
        (void)js_int(js_at(ids, i), 0, INT32_MAX, &id, NULL);
        (void)js_string(js_at(spellings, i), &want, NULL, NULL);
        got = tokenizer_spelling(t, (int32_t)id);
        if (!got || strcmp(got, want) != 0) {
            print_error("%s: token %d is \"%s\", expected \"%s\"\n", js_name(item.doc), (int)id,
                        got ? got : "-", want);
            wrong++;
        }
    }
    return wrong;
}

static char *decode_item(const struct tokenizer *t, struct js_node item, size_t *len)
{
    struct js_node ids = js_get(item, "ids");
    struct err e = {0};
    int32_t *id = calloc(js_count(ids) + 1, sizeof *id);
    for (size_t i = 0; i < js_count(ids); i++) {
        int64_t v = -1;
        (void)js_int(js_at(ids, i), 0, INT32_MAX, &v, NULL);
        id[i] = (int32_t)v;
    }
    char *text = tokenizer_decode(t, id, js_count(ids), 0, len, &e);
    if (!text)
        fail_msg("%s", e.text);
    free(id);
    return text;
}

/* The library writes U+FFFD where it has half a character; we give the bytes, so such cases are not
 * compared. */
static int check_decoded(const struct tokenizer *t, struct js_node item)
{
    const char *want;
    size_t len, want_len;
    if (js_string(js_get(item, "decoded"), &want, &want_len, NULL) || strstr(want, "\xef\xbf\xbd"))
        return 0;
    char *got = decode_item(t, item, &len);
    bool good = len == want_len && memcmp(got, want, len) == 0;
    if (!good)
        print_error("%s: decoded \"%s\", expected \"%s\"\n", js_name(item.doc), got, want);
    free(got);
    return !good;
}

/* "bytes": what the tokens contribute one after the other, in hexadecimal. */
static int check_bytes(const struct tokenizer *t, struct js_node item)
{
    const char *want;
    struct js_node ids = js_get(item, "ids");
    char got[512] = "";
    size_t used = 0;
    if (js_string(js_get(item, "bytes"), &want, NULL, NULL))
        return 0;
    for (size_t i = 0; i < js_count(ids); i++) {
        int64_t id = -1;
        size_t len;
        (void)js_int(js_at(ids, i), 0, INT32_MAX, &id, NULL);
        const char *text = tokenizer_text(t, (int32_t)id, &len);
        for (size_t k = 0; k < len && used + 3 < sizeof got; k++)
            used += (size_t)snprintf(got + used, sizeof got - used, "%02x",
                                     (unsigned)(unsigned char)text[k]);
    }
    if (strcmp(got, want) != 0) {
        print_error("%s: bytes %s, expected %s\n", js_name(item.doc), got, want);
        return 1;
    }
    return 0;
}

static int check_fixture(const char *name, int *cases)
{
    char path[256];
    struct err e = {0};
    snprintf(path, sizeof path, "%s/%s/tokenizer.json", fixtures, name);
    struct tokenizer *t = open_or_fail(path);
    snprintf(path, sizeof path, "%s/%s/cases.json", fixtures, name);
    struct js_doc *doc = js_open(path, &e);
    if (!doc)
        fail_msg("%s", e.text);
    struct js_node encode = js_get(js_root(doc), "encode"), decode = js_get(js_root(doc), "decode");
    int wrong = 0;
    for (size_t i = 0; i < js_count(encode); i++, ++*cases) {
        struct js_node item = js_at(encode, i);
        wrong += check_ids(t, item, "ids", 0) +
                 check_ids(t, item, "with_special", TOKENIZER_ADD_SPECIAL) +
                 check_spellings(t, item) + check_decoded(t, item);
    }
    for (size_t i = 0; i < js_count(decode); i++, ++*cases)
        wrong += check_decoded(t, js_at(decode, i)) + check_bytes(t, js_at(decode, i));
    js_close(doc);
    tokenizer_close(t);
    return wrong;
}

static void every_fixture_agrees_with_the_reference(void **state)
{
    (void)state;
    DIR *dir = opendir(fixtures);
    int cases = 0, wrong = 0, families = 0;
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));)
        if (d->d_name[0] != '.') {
            wrong += check_fixture(d->d_name, &cases);
            families++;
        }
    closedir(dir);
    print_message("%d tokenizers, %d cases\n", families, cases);
    assert_true(families >= 12 && cases >= 700);
    assert_int_equal(wrong, 0);
}

static void the_gpt2_conformance_cases_pass(void **state)
{
    (void)state;
    static const char between[] = "\n__ggml_vocab_test__\n";
    size_t in_len, out_len;
    char *in = read_text("../shared/data/conformance/llama.cpp/ggml-vocab-gpt-2.gguf.inp", &in_len);
    char *out = read_text("../shared/data/conformance/llama.cpp/ggml-vocab-gpt-2.gguf.out",
                          &out_len);
    if (!in || !out || access(gpt2_file, F_OK)) {
        free(in);
        free(out);
        print_message("SKIP: no %s.inp, .out or %s\n", gpt2_cases, gpt2_file);
        skip();
        return;
    }
    struct tokenizer *t = open_or_fail(gpt2_file);
    int cases = 0, wrong = 0;
    for (char *text = in, *line = out; *line; cases++) {
        char *end = strstr(text, between), *line_end = strchr(line, '\n');
        size_t len = end ? (size_t)(end - text) : in_len - (size_t)(text - in);
        char got[4096] = "";
        struct err e = {0};
        struct token_list ids = {0};
        assert_int_equal(tokenizer_encode(t, text, len, 0, &ids, &e), 0);
        for (size_t i = 0; i < ids.count; i++)
            snprintf(got + strlen(got), sizeof got - strlen(got), " %d", (int)ids.id[i]);
        *line_end = '\0';
        if (strcmp(got, line) != 0) {
            print_error("case %d: got%s, expected%s\n", cases, got, line);
            wrong++;
        }
        token_list_free(&ids);
        line = line_end + 1;
        if (!end)
            break;
        text = end + strlen(between);
    }
    print_message("%d cases\n", cases);
    assert_true(cases >= 40);
    assert_int_equal(wrong, 0);
    tokenizer_close(t);
    free(in);
    free(out);
}

/* ---- refusals
 * ---------------------------------------------------------------------------------------- */

/* A small byte-fallback-free tokenizer with one part replaced. */
static struct tokenizer *parse_with(const char *vocab, const char *merges, const char *model,
                                    const char *rest, struct err *e)
{
    char text[4096];
    *e = (struct err){0};
    snprintf(text, sizeof text, "{\"model\":{\"type\":\"BPE\",\"vocab\":%s,\"merges\":%s%s}%s}",
             vocab, merges, model, rest);
    return tokenizer_parse("tokenizer.json", text, strlen(text), e);
}

static const char vocab[] = "{\"a\":0,\"b\":1,\"ab\":2,\"<s>\":3,\"\xe2\x96\x81\":4}";

static void refuse(const char *some_vocab, const char *merges, const char *model, const char *rest,
                   const char *part)
{
    struct err e;
    assert_null(parse_with(some_vocab, merges, model, rest, &e));
    assert_int_equal(e.code, ERR_BAD_INPUT);
    if (!strstr(e.text, part) || !strstr(e.text, "tokenizer.json"))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, part);
}

static void refuse_rest(const char *rest, const char *part)
{
    refuse(vocab, "[\"a b\"]", "", rest, part);
}

static void bad_vocabularies_are_refused(void **state)
{
    (void)state;
    refuse("[]", "[]", "", "", "\"model.vocab\" · expected an object");
    refuse("{\"a\":\"0\"}", "[]", "", "", "\"model.vocab.a\" · expected an integer");
    refuse("{\"a\":-1}", "[]", "", "", "\"model.vocab.a\" · expected an integer 0..");
    refuse("{\"a\":4194304}", "[]", "", "", "expected an integer 0..4194303");
    refuse("{\"a\":4194303}", "[]", "", "", "ids go up to 4194303 for only 1 tokens");
    refuse("{\"a\":0,\"b\":0}", "[]", "", "", "\"a\" and \"b\" have the same id 0");
    refuse("{\"a\":0,\"a\":1}", "[]", "", "", "duplicate");
    refuse(vocab, "{}", "", "", "\"model.merges\" · expected a list");
    refuse(vocab, "[\"ab\"]", "", "", "\"model.merges[0]\" · expected \"LEFT RIGHT\"");
    refuse(vocab, "[\"a b c\"]", "", "", "expected \"LEFT RIGHT\"");
    refuse(vocab, "[[\"a\"]]", "", "", "expected \"LEFT RIGHT\"");
    refuse(vocab, "[[\"a\",1]]", "", "", "\"model.merges[0][1]\" · expected a string");
    refuse(vocab, "[\"b a\"]", "", "", "join to a third");
    refuse(vocab, "[\"c a\"]", "", "", "join to a third");
}

static void unbuilt_parts_are_refused_by_name(void **state)
{
    (void)state;
    struct err e;
    const char wordpiece[] = "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{},\"merges\":[]}}";
    assert_null(tokenizer_parse("tokenizer.json", wordpiece, strlen(wordpiece), &e));
    assert_non_null(
        strstr(e.text, "expected \"BPE\", the one model that is supported, found \"WordPiece\""));
    assert_null(tokenizer_parse("tokenizer.json", "[]", 2, &e));
    assert_non_null(strstr(e.text, "is this a tokenizer.json?"));
    refuse(vocab, "[]", ",\"dropout\":0.1", "", "\"model.dropout\" · expected null");
    refuse(vocab, "[]", ",\"continuing_subword_prefix\":\"##\"", "",
           "word affixes are not supported");
    refuse(vocab, "[]", ",\"end_of_word_suffix\":\"</w>\"", "", "word affixes are not supported");
    refuse(vocab, "[]", ",\"unk_token\":\"<unk>\"", "",
           "expected a token of the vocabulary, found \"<unk>\"");
    refuse_rest(",\"normalizer\":{\"type\":\"Precompiled\"}", "expected Sequence, NFC, NFD");
    refuse_rest(",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"}]}",
                "\"normalizer.normalizers[0].type\" · expected Sequence");
    refuse_rest(",\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}", "found \"UnicodeScripts\"");
    refuse_rest(
        ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a-z&&b]\"},\"behavior\":\"Isolated\"}",
        "&& inside [ ] is not supported");
    refuse_rest(
        ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}",
        "missing closing parenthesis");
    refuse_rest(
        ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Kept\"}",
        "expected Isolated, Removed");
    refuse_rest(
        ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"maybe\"}",
        "expected always, first or never");
    refuse_rest(",\"decoder\":{\"type\":\"CTC\"}", "found \"CTC\"");
    refuse_rest(",\"post_processor\":{\"type\":\"BertProcessing\"}", "found \"BertProcessing\"");
    refuse_rest(",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}",
                "a Sequence among them");
    refuse_rest(
        ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},"
        "{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"x\":{\"ids\":[5]}}}",
        "expected an integer 0..4, found 5");
    refuse_rest(",\"added_tokens\":[{\"id\":1,\"content\":\"a\"}]",
                "\"a\" has id 1, in the vocabulary 0");
    refuse_rest(",\"added_tokens\":[{\"id\":1,\"content\":\"new\"}]",
                "\"b\" and \"new\" have the same id 1");
    refuse_rest(",\"added_tokens\":[{\"id\":9}]",
                "\"added_tokens[0].content\" · expected a string, found nothing");
}

static void an_added_token_may_have_its_full_length_and_no_more(void **state)
{
    (void)state;
    for (size_t n = LIMIT_TOKEN_BYTES; n <= LIMIT_TOKEN_BYTES + 1; n++) {
        struct err e = {0};
        char *text = malloc(n + 256), *content = malloc(n + 1);
        memset(content, 'x', n);
        content[n] = '\0';
        snprintf(
            text, n + 256,
            "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"added_tokens\":[{\"id\":1,\"content\":\"%s\"}]}",
            content);
        struct tokenizer *t = tokenizer_parse("tokenizer.json", text, strlen(text), &e);
        assert_int_equal(t != NULL, n == LIMIT_TOKEN_BYTES);
        tokenizer_close(t);
        free(text);
        free(content);
    }
}

/* ---- bytes
 * ------------------------------------------------------------------------------------------- */

static uint32_t random_next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void any_bytes_survive_a_byte_level_round_trip(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/gpt2/tokenizer.json", fixtures);
    struct tokenizer *t = open_or_fail(path);
    uint32_t seed = 1;
    for (int round = 0; round < 300; round++) {
        char text[64];
        size_t len = random_next(&seed) % sizeof text, back_len;
        struct err e = {0};
        struct token_list ids = {0};
        for (size_t i = 0; i < len; i++)
            text[i] = (char)(unsigned char)(random_next(&seed) % 256);
        assert_int_equal(tokenizer_encode(t, text, len, 0, &ids, &e), 0);
        char *back = tokenizer_decode(t, ids.id, ids.count, 0, &back_len, &e);
        assert_int_equal(back_len, len);
        assert_memory_equal(back, text, len);
        free(back);
        token_list_free(&ids);
    }
    tokenizer_close(t);
}

static void half_a_character_stays_half(void **state)
{
    (void)state;
    char path[256];
    size_t len;
    struct err e = {0};
    struct token_list ids = {0};
    snprintf(path, sizeof path, "%s/llama2/tokenizer.json", fixtures);
    struct tokenizer *t = open_or_fail(path);
    int32_t byte = tokenizer_find(t, "<0xE4>", 6);
    assert_true(byte >= 0);
    assert_int_equal(byte, tokenizer_find(t, "\xe4", 1));
    assert_string_equal(tokenizer_text(t, byte, &len), "\xe4");
    assert_int_equal(len, 1);
    assert_int_equal(tokenizer_encode(t, "\xe4", 1, 0, &ids, &e),
                     0); /* not UTF-8: its byte token */
    assert_int_equal(ids.count, 1);
    assert_int_equal(ids.id[0], byte);
    token_list_free(&ids);
    tokenizer_close(t);
}

static void bytes_without_a_token_are_an_error_that_leaves_the_list_alone(void **state)
{
    (void)state;
    struct err e;
    struct token_list ids = {0};
    struct tokenizer *t = parse_with(vocab, "[\"a b\"]", "", "", &e);
    assert_non_null(t);
    assert_int_equal(tokenizer_encode(t, "ab", 2, 0, &ids, &e), 0);
    assert_int_equal(ids.count, 1);
    assert_int_equal(tokenizer_encode(t, "ab\xff", 3, 0, &ids, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "byte 0xFF at 2 is not UTF-8"));
    assert_int_equal(ids.count, 1);
    token_list_free(&ids);
    int32_t out_of_range = 5;
    size_t len;
    assert_null(tokenizer_decode(t, &out_of_range, 1, 0, &len, &e));
    assert_non_null(strstr(e.text, "ids 0..4"));
    assert_string_equal(tokenizer_text(t, 7, &len), "<7>");
    assert_null(tokenizer_spelling(t, 7));
    assert_null(tokenizer_spelling(t, -1));
    assert_int_equal(tokenizer_find(t, "zz", 2), -1);
    tokenizer_close(t);
}

static void nothing_encodes_to_nothing_and_back(void **state)
{
    (void)state;
    static const char *const families[] = {"gpt2", "llama2", "metaspace_first", "unk"};
    for (size_t i = 0; i < 4; i++) {
        char path[256];
        size_t len = 9;
        struct err e = {0};
        struct token_list ids = {0};
        snprintf(path, sizeof path, "%s/%s/tokenizer.json", fixtures, families[i]);
        struct tokenizer *t = open_or_fail(path);
        assert_int_equal(tokenizer_encode(t, "", 0, 0, &ids, &e), 0);
        assert_int_equal(ids.count, 0);
        char *text = tokenizer_decode(t, NULL, 0, 0, &len, &e);
        assert_string_equal(text, "");
        assert_int_equal(len, 0);
        free(text);
        tokenizer_close(t);
    }
}

static void special_tokens_are_known(void **state)
{
    (void)state;
    struct err e;
    struct tokenizer *t = parse_with(
        vocab, "[\"a b\"]", "",
        ",\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true}],"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
        "{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{\"id\":\"A\"}},"
        "{\"SpecialToken\":{\"id\":\"y\"}}],\"special_tokens\":"
        "{\"x\":{\"ids\":[3]},\"y\":{\"ids\":[1,0]}}}",
        &e);
    struct token_list ids = {0};
    assert_non_null(t);
    assert_int_equal(tokenizer_bos(t), 3);
    assert_string_equal(tokenizer_kind(t), "bpe");
    assert_int_equal(tokenizer_count(t), 5);
    assert_int_equal(tokenizer_encode(t, "ab<s>", 5, TOKENIZER_ADD_SPECIAL, &ids, &e), 0);
    static const int32_t want[] = {3, 2, 3, 1, 0};
    static const uint32_t begin[] = {0, 0, 2, 5, 5}, end[] = {0, 2, 5, 5, 5};
    assert_int_equal(ids.count, 5);
    assert_memory_equal(ids.id, want, sizeof want);
    assert_memory_equal(ids.begin, begin, sizeof begin);
    assert_memory_equal(ids.end, end, sizeof end);
    size_t len;
    char *text = tokenizer_decode(t, ids.id, ids.count, TOKENIZER_SKIP_SPECIAL, &len, &e);
    assert_string_equal(
        text, "ab b a"); /* no decoder: spellings joined by spaces, as the reference does */
    free(text);
    token_list_free(&ids);
    tokenizer_close(t);
}

static void models_without_a_tokenizer_have_names_for_their_tokens(void **state)
{
    (void)state;
    struct err e = {0};
    size_t len;
    struct token_list ids = {0};
    struct tokenizer *t = tokenizer_bytes(&e);
    assert_int_equal(tokenizer_encode(t, "a\xff\0b", 4, TOKENIZER_ADD_SPECIAL, &ids, &e), 0);
    static const int32_t want[] = {'a', 255, 0, 'b'};
    assert_int_equal(ids.count, 4);
    assert_memory_equal(ids.id, want, sizeof want);
    char *back = tokenizer_decode(t, ids.id, ids.count, 0, &len, &e);
    assert_int_equal(len, 4);
    assert_memory_equal(back, "a\xff\0b", 4);
    assert_string_equal(tokenizer_spelling(t, 10), "<0x0A>");
    assert_int_equal(tokenizer_find(t, "\n", 1), 10);
    assert_string_equal(tokenizer_kind(t), "bytes");
    assert_int_equal(tokenizer_bos(t), -1);
    free(back);
    tokenizer_close(t);
    t = tokenizer_none(1000, &e);
    assert_string_equal(tokenizer_kind(t), "none");
    assert_string_equal(tokenizer_text(t, 123, &len), "<123>");
    assert_int_equal(tokenizer_encode(t, "a", 1, 0, &ids, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "no tokenizer.json"));
    back = tokenizer_decode(t, want, 1, 0, &len, &e);
    assert_string_equal(back, "<97>");
    free(back);
    tokenizer_close(t);
    token_list_free(&ids);
}

/* ---- cost
 * -------------------------------------------------------------------------------------------- */

static double encode_ms(const struct tokenizer *t, const char *text, size_t len, size_t *count)
{
    struct timespec a, b;
    struct err e = {0};
    struct token_list ids = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    assert_int_equal(tokenizer_encode(t, text, len, 0, &ids, &e), 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    *count = ids.count;
    token_list_free(&ids);
    return (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
}

/* Ten times the text must not cost a hundred times as much; the bound leaves room for a busy
 * machine. */
static void a_long_word_costs_no_square(void **state)
{
    (void)state;
    static const char *const families[] = {"gpt2", "llama2"};
    enum { SHORT = 20000, LONG = 200000 };
    char *text = malloc(LONG);
    for (size_t i = 0; i < LONG; i++)
        text[i] = "theandofsherhe"[i % 14];
    for (size_t i = 0; i < 2; i++) {
        char path[256];
        size_t few, many;
        snprintf(path, sizeof path, "%s/%s/tokenizer.json", fixtures, families[i]);
        struct tokenizer *t = open_or_fail(path);
        double fast = encode_ms(t, text, SHORT, &few), slow = encode_ms(t, text, LONG, &many);
        print_message("%s: %d bytes %.1f ms, %d bytes %.1f ms\n", families[i], SHORT, fast, LONG,
                      slow);
        assert_true(many > 9 * few);
        assert_true(slow < 40 * fast + 20);
        tokenizer_close(t);
    }
    free(text);
}

static void steps_that_explode_are_stopped(void **state)
{
    (void)state;
    char rest[4096] = ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[";
    size_t len = strlen(rest);
    for (int i = 0; i < 30; i++)
        len += (size_t)snprintf(
            rest + len, sizeof rest - len,
            "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aa\"}",
            i ? "," : "");
    snprintf(rest + len, sizeof rest - len, "]}");
    struct err e;
    struct token_list ids = {0};
    struct tokenizer *t = parse_with(vocab, "[]", "", rest, &e);
    assert_non_null(t);
    assert_int_equal(tokenizer_encode(t, "a", 1, 0, &ids, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "longer than"));
    tokenizer_close(t);
    token_list_free(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fixture_agrees_with_the_reference),
        cmocka_unit_test(the_gpt2_conformance_cases_pass),
        cmocka_unit_test(bad_vocabularies_are_refused),
        cmocka_unit_test(unbuilt_parts_are_refused_by_name),
        cmocka_unit_test(an_added_token_may_have_its_full_length_and_no_more),
        cmocka_unit_test(any_bytes_survive_a_byte_level_round_trip),
        cmocka_unit_test(half_a_character_stays_half),
        cmocka_unit_test(bytes_without_a_token_are_an_error_that_leaves_the_list_alone),
        cmocka_unit_test(nothing_encodes_to_nothing_and_back),
        cmocka_unit_test(special_tokens_are_known),
        cmocka_unit_test(models_without_a_tokenizer_have_names_for_their_tokens),
        cmocka_unit_test(a_long_word_costs_no_square),
        cmocka_unit_test(steps_that_explode_are_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
