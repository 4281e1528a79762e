/* test_pull_parts.c - what is read of a hub's answers: heads, lists of files, indexes; and which
 * files are chosen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "pull/headers.h"
#include "pull/listing.h"
#include "unit.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static struct headers read_head(const char *const *lines)
{
    struct headers h;
    headers_begin(&h);
    for (; *lines; lines++)
        headers_line(&h, *lines, strlen(*lines));
    return h;
}
#define HEAD(...) read_head((const char *const[]){__VA_ARGS__, NULL})

static void heads_are_read(void **state)
{
    (void)state;
    struct headers h = HEAD("HTTP/1.1 100 Continue\r\n", "X-Repo-Commit: old\r\n", "\r\n",
                            "HTTP/2 302\r\n", "etag: W/\"abc\"\r\n", "X-LINKED-ETAG:\"def\"\r\n",
                            "x-linked-size:  42 \r\n", "Content-Length: 7\r\n",
                            "X-Repo-Commit: " COMMIT "\r\n", "Location: /x?y=1#z\r\n",
                            "X-Error-Code: GatedRepo\n", "Content-Encoding: identity", "\r\n");
    assert_int_equal(h.status, 302);
    assert_string_equal(h.etag, "abc");
    assert_string_equal(headers_etag(&h), "def");
    assert_int_equal(h.linked_size, 42);
    assert_int_equal(h.length, 7);
    assert_string_equal(h.commit, COMMIT);
    assert_string_equal(h.location, "/x?y=1#z");
    assert_string_equal(h.error_code, "GatedRepo");
    assert_false(h.encoded);
    assert_int_equal(h.range_first, -1);
    h = HEAD("HTTP/1.1 206 Partial Content", "Content-Range: bytes 5-9/10",
             "Content-Encoding: gzip", "ETag: \"abc\"");
    assert_true(h.range_first == 5 && h.range_size == 10 && h.encoded);
    assert_string_equal(headers_etag(&h), "abc");
    assert_string_equal(h.commit, ""); /* of an earlier answer */
}

static void what_is_no_value_counts_as_absent(void **state)
{
    (void)state;
    static const char *const ranges[] = {"bytes 5-4/10",
                                         "bytes 0-9/9",
                                         "bytes -5/10",
                                         "bytes 0-/10",
                                         "bytes 0-9",
                                         "bytes 0-9/1 0",
                                         "bytes 0-9/",
                                         "lines 0-9/10",
                                         "bytes */10",
                                         "bytes",
                                         "",
                                         "bytes 99999999999999999999-0/1"};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char line[80];
        snprintf(line, sizeof line, "Content-Range: %s", ranges[i]);
        struct headers h = HEAD("HTTP/1.1 206", line);
        if (h.range_size != -1)
            fail_msg("%s: %lld", ranges[i], (long long)h.range_size);
    }
    struct headers h = HEAD("HTTP/1.1 206", "Content-Range: bytes 5-9/*");
    assert_true(h.range_first == 5 && h.range_size == -1);
    static const char *const numbers[] = {"", "-1", "1 2", "0x10", "99999999999999999999", "1e3"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char line[80];
        snprintf(line, sizeof line, "Content-Length: %s", numbers[i]);
        h = HEAD("HTTP/1.1 200 OK", line);
        assert_int_equal(h.length, -1);
    }
    char longer[6000] = "Location: ";
    memset(longer + 10, 'a', sizeof longer - 11);
    longer[sizeof longer - 1] = '\0';
    h = HEAD("HTTP/1.1 302", longer, "X-Error-Message: a\x1b[31m", "no colon here", ": nameless",
             "ETag: \"", "X-Linked-Etag: W/");
    assert_string_equal(h.location, "");
    assert_string_equal(h.error_message, "");
    assert_string_equal(h.linked_etag, "");
    assert_int_equal(HEAD("HTTP/1.1 99").status, 0);
    assert_int_equal(HEAD("HTTP/1.1").status, 0);
    assert_int_equal(HEAD("X: 1").status, 0);
}

static void paths_that_lead_elsewhere_are_not_plain(void **state)
{
    (void)state;
    static const char *const plain[] = {"a",   "a/b", "a.b", ".a",       "a/.b",
                                        "..a", "a..", "...", "ä/ß.gguf", "a b"};
    static const char *const bad[] = {"",      "/a",    "a/",   "a//b",  ".",      "..",
                                      "./a",   "../a",  "a/..", "a/.",   "a/../b", "a\nb",
                                      "a\x1b", "a\x7f", "a\\b", "a/../", "/",      "//"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!listing_is_plain(plain[i]))
            fail_msg("%s is plain", plain[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (listing_is_plain(bad[i]))
            fail_msg("\"%s\" is not plain", bad[i]);
    char text[1200];
    memset(text, 'a', sizeof text);
    text[255] = '\0';
    assert_true(listing_is_plain(text));
    text[255] = 'a';
    text[256] = '\0';
    assert_false(listing_is_plain(text));
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = i % 2 ? '/' : 'a';
    text[999] = '\0';
    assert_true(listing_is_plain(text));
    text[999] = '/';
    text[1001] = '\0';
    assert_false(listing_is_plain(text));
}

/* A list of these files, separated by blanks. */
static struct listing list(const char *files)
{
    char json[4000];
    struct listing l;
    struct err e = {0};
    int n = snprintf(json, sizeof json, "{\"sha\": \"" COMMIT "\", \"siblings\": [");
    for (const char *p = files; *p; p += strcspn(p, " "), p += strspn(p, " "))
        n += snprintf(json + n, sizeof json - (size_t)n, "%s{\"rfilename\": \"%.*s\"}",
                      p == files ? "" : ",", (int)strcspn(p, " "), p);
    n += snprintf(json + n, sizeof json - (size_t)n, "]}");
    if (listing_parse(&l, "list", json, (size_t)n, &e))
        fail_msg("%s", e.text);
    return l;
}

static void what_opens_a_model_is_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *there, *gguf, *chosen;
    } rows[] = {
        {"README.md config.json model.safetensors tokenizer.json x/tokenizer.json vocab.json", NULL,
         "config.json tokenizer.json vocab.json model.safetensors"},
        {"model.safetensors model.safetensors.index.json model-1.safetensors config.json", NULL,
         "config.json model.safetensors"},
        {"model.safetensors.index.json model-1.safetensors config.json", NULL,
         "config.json model.safetensors.index.json"},
        {"adapter.safetensors config.json ../model.safetensors", NULL,
         "config.json adapter.safetensors"},
        {"config.json a.gguf x/b.gguf", "x/b.gguf", "x/b.gguf"},
        {"a-00001-of-00002.gguf a-00002-of-00002.gguf a-00001-of-00003.gguf b-00001-of-00002.gguf",
         "a-00002-of-00002.gguf", "a-00001-of-00002.gguf a-00002-of-00002.gguf"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct listing l = list(rows[i].there), got, want = list(rows[i].chosen);
        struct err e = {0};
        if (listing_choose(&got, &l, "org/x", rows[i].gguf, &e))
            fail_msg("%s: %s", rows[i].there, e.text);
        assert_int_equal(got.n, want.n);
        for (int k = 0; k < got.n; k++)
            assert_string_equal(got.file[k], want.file[k]);
        assert_string_equal(got.commit, COMMIT);
        listing_free(&l), listing_free(&got), listing_free(&want);
    }
}

static void what_cannot_be_chosen_says_what_is_there(void **state)
{
    (void)state;
    static const struct {
        const char *there, *gguf, *says;
    } rows[] = {
        {"config.json", NULL, "no weights in this repository"},
        {"config.json flax_model.msgpack", NULL, "only flax_model.msgpack, which is not read"},
        {"config.json a.safetensors b.safetensors", NULL, "several .safetensors: a.safetensors, b"},
        {"config.json a.gguf b.gguf c/d.gguf e.gguf", NULL,
         "--gguf FILE: a.gguf, b.gguf, c/d.gguf, …"},
        {"a.gguf", NULL, "choose one with --gguf FILE: a.gguf"},
        {"model.safetensors", NULL, "no config.json: this is not a model"},
        {"config.json model.safetensors", "a.gguf", "no file a.gguf · no .gguf file at all"},
        {"a-00001-of-00002.gguf", "a-00001-of-00002.gguf", "1 of its 2 parts are there"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct listing l = list(rows[i].there), got;
        struct err e = {0};
        assert_int_equal(listing_choose(&got, &l, "org/x", rows[i].gguf, &e), ERR_BAD_INPUT);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%s: says \"%s\", expected \"%s\"", rows[i].there, e.text, rows[i].says);
        listing_free(&l), listing_free(&got);
    }
}

static void lists_are_bounded(void **state)
{
    (void)state;
    struct listing l;
    struct err e = {0};
    static const char one[] = "{\"rfilename\":\"a\"}";
    size_t most = (size_t)LIMIT_LISTING_FILES * (sizeof one) + 200;
    char *json = malloc(most);
    for (int extra = 0; extra < 2; extra++) {
        size_t n = (size_t)snprintf(json, most, "{\"sha\": \"" COMMIT "\", \"siblings\": [");
        for (int i = 0; i < LIMIT_LISTING_FILES + extra; i++)
            n += (size_t)snprintf(json + n, most - n, "%s%s", i ? "," : "", one);
        n += (size_t)snprintf(json + n, most - n, "]}");
        assert_int_equal(listing_parse(&l, "list", json, n, &e), extra ? ERR_BAD_INPUT : 0);
        listing_free(&l);
    }
    assert_non_null(strstr(e.text, "more than are listed"));
    assert_int_equal(listing_parse(&l, "list", json, (size_t)LIMIT_LISTING_BYTES + 1, &e),
                     ERR_BAD_INPUT); /* without looking at them */
    assert_non_null(strstr(e.text, "at most"));
    listing_free(&l);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_read),
        cmocka_unit_test(what_is_no_value_counts_as_absent),
        cmocka_unit_test(paths_that_lead_elsewhere_are_not_plain),
        cmocka_unit_test(what_opens_a_model_is_chosen),
        cmocka_unit_test(what_cannot_be_chosen_says_what_is_there),
        cmocka_unit_test(lists_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
