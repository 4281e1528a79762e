/* Tests of tokenizer.h: ids and bytes against what the reference library gave (fixtures and
 * conformance files), and the promises about odd bytes and long texts. */
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
#include "token/tokenizer_stream.h"

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

static char *decode_item(const struct tokenizer *t, struct js_node item, unsigned flags,
                         size_t *len)
{
    struct js_node ids = js_get(item, "ids");
    struct err e = {0};
    int32_t *id = calloc(js_count(ids) + 1, sizeof *id);
    for (size_t i = 0; i < js_count(ids); i++) {
        int64_t v = -1;
        (void)js_int(js_at(ids, i), 0, INT32_MAX, &v, NULL);
        id[i] = (int32_t)v;
    }
    char *text = tokenizer_decode(t, id, js_count(ids), flags, len, &e);
    if (!text)
        fail_msg("%s", e.text);
    free(id);
    return text;
}

/* The library writes U+FFFD where it has half a character; we give the bytes, so such cases are not
 * compared. */
static int check_decoded(const struct tokenizer *t, struct js_node item, const char *key,
                         unsigned flags)
{
    const char *want;
    size_t len, want_len;
    if (js_string(js_get(item, key), &want, &want_len, NULL) || strstr(want, "\xef\xbf\xbd"))
        return 0;
    char *got = decode_item(t, item, flags, &len);
    bool good = len == want_len && memcmp(got, want, len) == 0;
    if (!good)
        print_error("%s: %s \"%s\", expected \"%s\"\n", js_name(item.doc), key, got, want);
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
                 check_spellings(t, item) + check_decoded(t, item, "decoded", 0) +
                 check_decoded(t, item, "decoded_without_special", TOKENIZER_SKIP_SPECIAL);
    }
    for (size_t i = 0; i < js_count(decode); i++, ++*cases)
        wrong += check_decoded(t, js_at(decode, i), "decoded", 0) +
                 check_bytes(t, js_at(decode, i));
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
    assert_true(families >= 23 && cases >= 1600);
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
    static const char *const families[] = {"gpt2", "llama2", "unigram", "unigram_bytes"};
    enum { SHORT = 20000, LONG = 200000 };
    char *text = malloc(LONG);
    for (size_t i = 0; i < LONG; i++)
        text[i] = "theandofsherhe"[i % 14];
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
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

/* ---- the quick reader
 * ------------------------------------------------------------------------------------ */

/* Ids of a text by the quick and by the thorough reader, and all spellings; how many tokens. */
static int same_both_ways(const char *name, const char *bytes, size_t len)
{
    static const char text[] = "The quick\\brown \"f\xc3\xa9x\" jumps\n over 12 \xe4\xb8\xad dogs";
    struct err e = {0}, why = {0};
    struct js_doc *doc = js_parse(name, bytes, len, &why);
    struct tokenizer *quick = tokenizer_parse(name, bytes, len, &e),
                     *thorough = doc ? tokenizer_from(doc, NULL, &why) : NULL;
    assert_string_equal(e.text, why.text);
    assert_int_equal(quick != NULL, thorough != NULL);
    if (!quick)
        return 0;
    int n = tokenizer_count(thorough);
    assert_int_equal(tokenizer_count(quick), n);
    for (int i = 0; i < n; i++) {
        const char *a = tokenizer_spelling(quick, i), *b = tokenizer_spelling(thorough, i);
        assert_true(a && b ? strcmp(a, b) == 0 : a == b);
    }
    struct token_list a = {0}, b = {0};
    int rc = tokenizer_encode(quick, text, sizeof text - 1, 0, &a, &e);
    assert_int_equal(tokenizer_encode(thorough, text, sizeof text - 1, 0, &b, &why), rc);
    assert_int_equal(a.count, b.count);
    if (a.count)
        assert_memory_equal(a.id, b.id, a.count * sizeof *a.id);
    token_list_free(&a), token_list_free(&b);
    tokenizer_close(quick), tokenizer_close(thorough);
    return n;
}

static bool is_streamed(const char *bytes, size_t len)
{
    struct tokenizer_stream s;
    bool ok = tokenizer_stream_read(&s, bytes, len);
    tokenizer_stream_free(&s);
    return ok;
}

static void the_quick_reader_agrees_with_the_thorough_one(void **state)
{
    (void)state;
    DIR *dir = opendir(fixtures);
    int streamed = 0;
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        char path[600];
        size_t len;
        snprintf(path, sizeof path, "%s/%s/tokenizer.json", fixtures, d->d_name);
        char *bytes = d->d_name[0] != '.' ? read_text(path, &len) : NULL;
        if (!bytes)
            continue;
        assert_true(same_both_ways(path, bytes, len) > 0);
        streamed += is_streamed(bytes, len);
        free(bytes);
    }
    closedir(dir);
    print_message("%d fixtures are read the quick way\n", streamed);
    assert_true(streamed >= 15); /* all but Unigram's, whose vocabulary is a list */
}

/* Files that the quick reader takes, and files that it must leave to the thorough one. */
static void odd_files_are_read_alike(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        bool streamed, opens;
    } odd[] = {
        {"\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]", true, true},
        {"\"vocab\": { \"a\" : 0 ,\n\"b\":1, \"ab\":2 } , \"merges\" : [ [ \"a\" , \"b\" ] ]", true,
         true},
        {"\"merges\":[\"a b\"],\"vocab\":{\"ab\":7,\"b\":1,\"a\":3}", true, true},
        {"\"vocab\":{\"\\u0061\":0,\"\\\"\\\\\":1,\"a\\\"\\\\\":2,\"\\ud83d\\ude00\":3},\"merges\":[\"a \\\"\\\\\"]",
         true, true},
        {"\"vocab\":{\"a\":0,\"b\":1,\"c\":2},\"merges\":[]", true, true},
        {"\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]", true, false}, /* joins to nothing */
        {"\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]", true, false},        /* an id twice */
        {"\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]", true, false},        /* a token twice */
        {"\"vocab\":{\"a\":0,\"b\":5000},\"merges\":[]", true, false},     /* holes */
        {"\"vocab\":{\"a\":0},\"merges\":[],\"merges\":[]", true, false},
        {"\"vocab\":{\"a\":0},\"vocab\":{\"a\":0},\"merges\":[]", false, false},
        {"\"vocab\":{\"a\":-1},\"merges\":[]", false, false},
        {"\"vocab\":{\"a\":00},\"merges\":[]", false, false},
        {"\"vocab\":{\"a\":0.0},\"merges\":[]", false, false},
        {"\"vocab\":{\"a\":1e0},\"merges\":[]", false, false},
        {"\"vocab\":{\"a\":99999999999},\"merges\":[]", false, false},
        {"\"vocab\":{\"a\":0,},\"merges\":[]", false, false},
        {"\"vocab\":{\"a\\u0000\":0},\"merges\":[]", false, false},
        {"\"vocab\":{\"\\ud83d\":0},\"merges\":[]", false, false},
        {"\"vocab\":{\"\\x\":0},\"merges\":[]", false, false},
        {"\"vocab\":{\"\xff\":0},\"merges\":[]", false, false},
        {"\"vocab\":{\"\xed\xa0\x80\":0},\"merges\":[]", false, false},
        {"\"vocab\":{\"a\n\":0},\"merges\":[]", false, false},
        {"\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a  b\"]", false, false},
        {"\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[[\"a\",\"b\",\"c\"]]", false, false},
        {"\"vocab\":{\"a\":0},\"merges\":[1]", false, false},
        {"\"vocab\":{},\"merges\":[]", false, false}, /* opens, and has no token */
        {"\"vocab\":{\"a\":0},\"merges\":{}", false, false},
        {"\"vocab\":{\"a\":0}", true, false},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char text[400];
        int n = snprintf(text, sizeof text, "{\"model\":{\"type\":\"BPE\",%s}}", odd[i].model);
        if (is_streamed(text, (size_t)n) != odd[i].streamed)
            fail_msg("%s: read the %s way", text, odd[i].streamed ? "thorough" : "quick");
        assert_int_equal(same_both_ways("odd", text, (size_t)n) > 0, odd[i].opens);
        for (int cut = 0; cut < n; cut++) /* and all of their beginnings */
            assert_int_equal(same_both_ways("cut", text, (size_t)cut), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_quick_reader_agrees_with_the_thorough_one),
        cmocka_unit_test(odd_files_are_read_alike),
        cmocka_unit_test(every_fixture_agrees_with_the_reference),
        cmocka_unit_test(the_gpt2_conformance_cases_pass),
        cmocka_unit_test(any_bytes_survive_a_byte_level_round_trip),
        cmocka_unit_test(half_a_character_stays_half),
        cmocka_unit_test(nothing_encodes_to_nothing_and_back),
        cmocka_unit_test(a_long_word_costs_no_square),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
