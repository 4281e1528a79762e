/* test_tokenizer_made.c - tokenizers written in the test: what is refused and how it is said,
 * special tokens, bytes that have no token, models without a tokenizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "token/tokenizer.h"

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
    const char other[] = "{\"model\":{\"type\":\"Other\",\"vocab\":{},\"merges\":[]}}";
    assert_null(tokenizer_parse("tokenizer.json", other, strlen(other), &e));
    assert_non_null(
        strstr(e.text, "expected BPE, WordPiece, WordLevel or Unigram, found \"Other\""));
    const char nothing[] = "{\"model\":{\"type\":null,\"vocabulary\":{}}}";
    assert_null(tokenizer_parse("tokenizer.json", nothing, strlen(nothing), &e));
    assert_non_null(strstr(e.text, "\"model.type\" · expected BPE, WordPiece"));
    assert_null(tokenizer_parse("tokenizer.json", "[]", 2, &e));
    assert_non_null(strstr(e.text, "is this a tokenizer.json?"));
    refuse(vocab, "[]", ",\"dropout\":0.1", "", "\"model.dropout\" · expected null");
    refuse(vocab, "[\"a b\"]", ",\"continuing_subword_prefix\":\"##\"", "",
           "expected a right half that begins with the prefix");
    refuse(
        vocab, "[]",
        ",\"end_of_word_suffix\":\"0123456789012345678901234567890123456789012345678901234567890123+\"",
        "", "\"model.end_of_word_suffix\" · expected at most 64 bytes");
    refuse_rest(",\"normalizer\":{\"type\":\"Other\"}", "expected Sequence, NFC, NFD");
    refuse_rest(",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Other\"}]}",
                "\"normalizer.normalizers[0].type\" · expected Sequence");
    static const char *const maps[] = {"",         "AAAA",     "AAAAAA",  "AAAAAA=A",
                                       "BAAAAA==", "AAAA/w==", "AAAAAP8="};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        char rest[160];
        snprintf(rest, sizeof rest,
                 ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"%s\"}",
                 maps[i]);
        refuse_rest(rest, "precompiled_charsmap\" · expected base64 of a trie");
    }
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
    refuse_rest(",\"post_processor\":{\"type\":\"Other\"}", "found \"Other\"");
    refuse_rest(",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",0]}",
                "\"post_processor.sep[1]\" · expected an integer 0..4, found nothing");
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
    refuse_rest(",\"normalizer\":{\"type\":\"Strip\"},"
                "\"added_tokens\":[{\"id\":5,\"content\":\" \",\"normalized\":true}]",
                "the normalizer leaves nothing of added token \" \"");
    refuse_rest(",\"added_tokens\":[{\"id\":6,\"content\":\"new\"}]",
                "\"new\" has id 6, where counting on gives 5");
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

static struct tokenizer *model_only(const char *model)
{
    char text[1024];
    struct err e = {0};
    snprintf(text, sizeof text, "{\"model\":%s}", model);
    struct tokenizer *t = tokenizer_parse("tokenizer.json", text, strlen(text), &e);
    if (!t)
        fail_msg("%s", e.text);
    return t;
}

static void check_ids(const char *model, const char *text, const int32_t *want, size_t n)
{
    struct err e = {0};
    struct token_list ids = {0};
    struct tokenizer *t = model_only(model);
    int rc = tokenizer_encode(t, text, strlen(text), 0, &ids, &e);
    if (rc || ids.count != n || memcmp(ids.id, want, n * sizeof *want) != 0)
        fail_msg("%s on \"%s\": %zu ids %s", model, text, ids.count, e.text);
    token_list_free(&ids);
    tokenizer_close(t);
}

static void refuse_text(const char *model, const char *text, const char *part)
{
    struct err e = {0};
    struct token_list ids = {0};
    struct tokenizer *t = model_only(model);
    assert_int_equal(tokenizer_encode(t, text, strlen(text), 0, &ids, &e), ERR_BAD_INPUT);
    if (!strstr(e.text, part))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, part);
    assert_int_equal(ids.count, 0);
    token_list_free(&ids);
    tokenizer_close(t);
}

/* As the reference: the file opens, and the first unknown character is the error. */
static void a_model_without_an_unknown_token_says_so_when_it_needs_one(void **state)
{
    (void)state;
    static const char part[] = "no token stands for \"z\", and the tokenizer has none";
    refuse_text("{\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"<unk>\"}", "az", part);
    refuse_text("{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}", "az", part);
    refuse_text("{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"u\"}", "z", part);
    refuse_text("{\"type\":\"WordPiece\",\"vocab\":{\"a\":0},\"unk_token\":\"u\","
                "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9}",
                "z", part);
    check_ids("{\"vocab\":{\"a\":0},\"merges\":[]}", "az", (int32_t[]){0}, 1);
}

static void bad_models_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model, *part;
    } bad[] = {
        {"{\"type\":\"Unigram\",\"vocab\":{\"a\":0}}", "expected a list of tokens and scores"},
        {"{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}", "\"model.vocab[0][1]\" · expected a number"},
        {"{\"type\":\"Unigram\",\"vocab\":[[1,1]]}", "\"model.vocab[0][0]\" · expected a string"},
        {"{\"type\":\"Unigram\",\"vocab\":[[\"a\",1]],\"unk_id\":1}", "expected an integer 0..0"},
        {"{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}", "continuing_subword_prefix"},
        {"{\"type\":\"WordLevel\",\"vocab\":[]}", "expected an object of tokens and ids"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        struct err e = {0};
        snprintf(text, sizeof text, "{\"model\":%s}", bad[i].model);
        assert_null(tokenizer_parse("tokenizer.json", text, strlen(text), &e));
        if (!strstr(e.text, bad[i].part))
            fail_msg("message \"%s\" lacks \"%s\"", e.text, bad[i].part);
    }
}

/* Ties, tokens that stand twice, unknowns that join to a token: as the reference has them. */
static void unigram_cuts_as_the_reference_does(void **state)
{
    (void)state;
    static const char
        tie[] = "{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1],"
                "[\"b\",-1],[\"ab\",-2],[\"ba\",-2]]}";
    check_ids(tie, "ab", (int32_t[]){3}, 1); /* the longer one comes first, the pair is no better */
    check_ids(tie, "aba", (int32_t[]){1, 4}, 2); /* of two ways the one known first */
    check_ids(tie, "zz", (int32_t[]){0}, 1);
    check_ids(tie, "z<unk>z", (int32_t[]){0}, 1);
    /* Read to the nearest double the pair would be as good as "ab", which came first. */
    check_ids(
        "{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-3.594],[\"b\",-4.394],"
        "[\"ab\",-7.9879999999999995]]}",
        "ab", (int32_t[]){1, 2}, 2);
    check_ids("{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1],[\"a\",-3]]}",
              "a", (int32_t[]){2}, 1);
    check_ids("{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",99],[\"xy\",50]]}", "xy",
              (int32_t[]){1}, 1);
}

static void characters_are_spelled_with_the_affixes_of_their_place(void **state)
{
    (void)state;
    static const char model[] =
        "{\"type\":\"BPE\",\"continuing_subword_prefix\":\"##\",\"end_of_word_suffix\":\"</w>\","
        "\"vocab\":{\"a\":0,\"##b\":1,\"##b</w>\":2,\"a</w>\":3,\"ab</w>\":4,\"##c\":5,"
        "\"##\u00e9</w>\":6},\"merges\":[[\"a\",\"##b</w>\"]]}";
    check_ids(model, "ab", (int32_t[]){4}, 1);
    check_ids(model, "abc", (int32_t[]){0, 1}, 2);
    check_ids(model, "a", (int32_t[]){3}, 1);
    check_ids(model, "abb", (int32_t[]){0, 1, 2}, 3);
    check_ids(model, "ac\u00e9", (int32_t[]){0, 5, 6}, 3);
}

static void processors_wrap_each_other(void **state)
{
    (void)state;
    struct err e;
    struct token_list ids = {0};
    struct tokenizer *t = parse_with(
        vocab, "[\"a b\"]", "",
        ",\"post_processor\":{\"type\":\"Sequence\",\"processors\":["
        "{\"type\":\"BertProcessing\",\"sep\":[\"b\",1],\"cls\":[\"a\",0]},"
        "{\"type\":\"ByteLevel\"},"
        "{\"type\":\"RobertaProcessing\",\"sep\":[\"ab\",2],\"cls\":[\"<s>\",3]}]}",
        &e);
    static const int32_t want[] = {3, 0, 2, 1, 2};
    assert_non_null(t);
    assert_int_equal(tokenizer_encode(t, "ab", 2, TOKENIZER_ADD_SPECIAL, &ids, &e), 0);
    assert_int_equal(ids.count, 5);
    assert_memory_equal(ids.id, want, sizeof want);
    assert_int_equal(tokenizer_bos(t), 3);
    token_list_free(&ids);
    tokenizer_close(t);
}

static void check_from(const struct tokenizer *t, int32_t bos, const char *text,
                       const int32_t *want, size_t n)
{
    struct err e = {0};
    struct token_list ids = {0};
    assert_int_equal(tokenizer_encode_from(t, bos, text, strlen(text), &ids, &e), 0);
    assert_int_equal(ids.count, n);
    assert_memory_equal(ids.id, want, n * sizeof *want);
    token_list_free(&ids);
}

static void a_text_begins_once_and_the_processors_own_beginning_brings_its_end(void **state)
{
    (void)state;
    struct err e;
    struct tokenizer *t = parse_with(
        vocab, "[\"a b\"]", "",
        ",\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true}],"
        "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"<s>\",3],\"sep\":[\"b\",1]}",
        &e);
    assert_non_null(t);
    check_from(t, -1, "ab", (int32_t[]){2}, 1);
    check_from(t, 3, "ab", (int32_t[]){3, 2, 1}, 3);
    check_from(t, 3, "<s>ab", (int32_t[]){3, 2}, 2);
    check_from(t, 0, "ab", (int32_t[]){0, 2}, 2);
    check_from(t, 3, "", (int32_t[]){3, 1}, 2);
    tokenizer_close(t);
}

/* As in the reference a replacement stands for the last character that it replaces, so that one of
 * two characters no longer begins the text. */
static void a_replacement_of_the_beginning_is_not_the_first(void **state)
{
    (void)state;
    struct err e;
    struct tokenizer *t = parse_with(
        vocab, "[\"a b\"]", "",
        ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"aa\"},\"content\":\"b\"},"
        "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\u2581\","
        "\"prepend_scheme\":\"first\",\"split\":false}",
        &e);
    assert_non_null(t);
    check_from(t, -1, "aa", (int32_t[]){1}, 1);
    check_from(t, -1, "ab", (int32_t[]){4, 2}, 2);
    check_from(t, -1, "b", (int32_t[]){4, 1}, 2);
    tokenizer_close(t);
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
        cmocka_unit_test(bad_vocabularies_are_refused),
        cmocka_unit_test(unbuilt_parts_are_refused_by_name),
        cmocka_unit_test(an_added_token_may_have_its_full_length_and_no_more),
        cmocka_unit_test(bytes_without_a_token_are_an_error_that_leaves_the_list_alone),
        cmocka_unit_test(a_model_without_an_unknown_token_says_so_when_it_needs_one),
        cmocka_unit_test(bad_models_are_refused),
        cmocka_unit_test(unigram_cuts_as_the_reference_does),
        cmocka_unit_test(characters_are_spelled_with_the_affixes_of_their_place),
        cmocka_unit_test(processors_wrap_each_other),
        cmocka_unit_test(a_text_begins_once_and_the_processors_own_beginning_brings_its_end),
        cmocka_unit_test(a_replacement_of_the_beginning_is_not_the_first),
        cmocka_unit_test(special_tokens_are_known),
        cmocka_unit_test(models_without_a_tokenizer_have_names_for_their_tokens),
        cmocka_unit_test(steps_that_explode_are_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
