/* test_pull.c - fetching a model from a server of the test's own: the layout of the cache, and
 * bytes that come late, in part or wrong. */
#include "pull_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pull/digest.h"

static void checksums_are_those_of_sha256sum_and_git(void **state)
{
    (void)state;
    static const struct {
        enum digest_kind kind;
        const char *text, *hex;
    } rows[] = {
        {DIGEST_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {DIGEST_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {DIGEST_GIT_SHA1, "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},
        {DIGEST_GIT_SHA1, "hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char hex[DIGEST_HEX];
        struct digest *d = digest_new(rows[i].kind, strlen(rows[i].text));
        digest_add(d, rows[i].text, strlen(rows[i].text));
        digest_end(d, hex);
        assert_string_equal(hex, rows[i].hex);
        assert_int_equal(digest_kind(hex), rows[i].kind);
    }
    assert_int_equal(digest_kind("E3B0"), DIGEST_NONE);
}

static void the_cache_is_laid_out_as_the_client_does(void **state)
{
    (void)state;
    char lock[200];
    pull_fetches(NULL, NULL);
    pull_is_linked("config.json", "../..");
    pull_is_linked("model.safetensors", "../..");
    pull_is_linked("tokenizer.json", "../..");
    pull_holds("models--org--tiny/refs/main", HUB_COMMIT, strlen(HUB_COMMIT));
    assert_false(pull_there(SNAPSHOT "/README.md"));
    assert_false(pull_there(SNAPSHOT "/pytorch_model.bin"));
    assert_false(pull_there(SNAPSHOT "/onnx"));
    assert_null(pull_blob_ending(".incomplete"));
    snprintf(lock, sizeof lock, ".locks/models--org--tiny/%s.lock",
             hub_find(&hub, "model.safetensors")->etag);
    assert_true(pull_there(lock));
    assert_true(pull_there("CACHEDIR.TAG"));
    struct js_doc *info = RUN_JSON("info", HUB_NAME, "--json");
    assert_string_equal(json_string(js_root(info), "architecture"), "gpt2");
    js_close(info);
}

static void what_is_there_is_not_fetched_again(void **state)
{
    (void)state;
    pull_fetches(NULL, NULL);
    hub_reset(&hub);
    pull_fetches(NULL, NULL);
    assert_int_equal(hub_asked(&hub, "hub GET /api/", ""), 1);
    assert_int_equal(hub_asked(&hub, "", ""), 1); /* and nothing else */
    pull_fetches("refs/pr/1", NULL);              /* another name of the same commit */
    pull_holds("models--org--tiny/refs/refs/pr/1", HUB_COMMIT, strlen(HUB_COMMIT));
    pull_fetches(HUB_COMMIT, NULL); /* a commit has no ref */
    assert_false(pull_there("models--org--tiny/refs/" HUB_COMMIT));
    assert_int_equal(unlink(pull_in_cache(SNAPSHOT "/config.json")),
                     0); /* its blob is still there */
    pull_fetches(NULL, NULL);
    pull_is_linked("config.json", "../..");
    assert_int_equal(hub_asked(&hub, "GET", "config.json"), 0);
}

static void one_gguf_alone_or_all_its_parts(void **state)
{
    (void)state;
    pull_fetches(NULL, "tiny-q8.gguf");
    pull_is_linked("tiny-q8.gguf", "../..");
    assert_false(pull_there(SNAPSHOT "/config.json"));
    pull_fetches(NULL, "split/tiny-00001-of-00002.gguf");
    pull_is_linked("split/tiny-00001-of-00002.gguf", "../../..");
    pull_is_linked("split/tiny-00002-of-00002.gguf", "../../..");
    pull_fails_as(HUB_NAME, NULL, "none.gguf", "no file none.gguf · there: ");
    pull_fails_as(HUB_NAME, NULL, "../../x", "no file ../../x");
}

static void a_sharded_model_is_fetched_by_its_index(void **state)
{
    (void)state;
    static const char index
        [] = "{\"weight_map\": {\"a\": \"model-2.safetensors\", \"b\": \"model-1.safetensors\","
             " \"c\": \"model-2.safetensors\"}}";
    static const char bad[] = "{\"weight_map\": {\"a\": \"../../../evil\"}}";
    struct hub_server keep = hub;
    for (int i = 0; i < hub.n_files; i++)
        if (!strcmp(hub.file[i].path, "model.safetensors"))
            snprintf(hub.file[i].path, sizeof hub.file[i].path, "model-1.safetensors");
    hub_add(&hub, "model-2.safetensors", "two", 3, true);
    hub_add(&hub, "unneeded.safetensors", "no", 2, true);
    hub_add(&hub, "model.safetensors.index.json", index, sizeof index - 1, false);
    pull_fetches(NULL, NULL);
    pull_is_linked("model-1.safetensors", "../..");
    pull_is_linked("model-2.safetensors", "../..");
    pull_is_linked("model.safetensors.index.json", "../..");
    assert_false(pull_there(SNAPSHOT "/unneeded.safetensors"));
    pull_empty_cache();
    free(hub.file[--hub.n_files].bytes);
    hub_add(&hub, "model.safetensors.index.json", bad, sizeof bad - 1, false);
    pull_fails("names ../../../evil, which is not in this repository");
    pull_is_invisible();
    while (hub.n_files > keep.n_files)
        free(hub.file[--hub.n_files].bytes);
    memcpy(hub.file, keep.file, sizeof keep.file);
}

static void a_cut_connection_is_taken_up_again(void **state)
{
    (void)state;
    hub.fault = (struct hub_faults){.cuts = 3, .cut_at = BIG / 4};
    pull_fetches(NULL, "big.gguf");
    pull_is_linked("big.gguf", "../..");
    assert_int_equal(hub_asked(&hub, "other GET", "range=75000-"), 1);
    assert_int_equal(hub_asked(&hub, "other GET", "range=225000-"), 1);
}

static void what_never_comes_is_given_up(void **state)
{
    (void)state;
    hub.fault = (struct hub_faults){.cuts = -1, .cut_at = 0};
    pull_fails_as(HUB_NAME, NULL, "big.gguf", "127.0.0.1: ");
    assert_int_equal(hub_asked(&hub, "other GET", ""), 5);
    assert_null(pull_blob_ending(".incomplete")); /* nothing came: nothing stays */
    pull_is_invisible();
}

static void the_next_run_goes_on_where_the_last_one_stopped(void **state)
{
    (void)state;
    char name[400];
    snprintf(name, sizeof name, BLOBS "/%s.incomplete", hub_find(&hub, "big.gguf")->etag);
    assert_int_equal(mkdir(pull_in_cache("models--org--tiny"), 0700), 0);
    assert_int_equal(mkdir(pull_in_cache(BLOBS), 0700), 0);
    FILE *f = fopen(pull_in_cache(name), "w");
    assert_true(f && fwrite(pull_big, 1, 1234, f) == 1234 && fclose(f) == 0);
    pull_fetches(NULL, "big.gguf");
    assert_int_equal(hub_asked(&hub, "other GET", "range=1234-"), 1);
    assert_int_equal(hub_asked(&hub, "other GET", ""), 1);
    pull_is_linked("big.gguf", "../..");
    /* what lay there was of something else: found out by the checksum, and fetched anew */
    assert_int_equal(unlink(pull_in_cache(SNAPSHOT "/big.gguf")), 0);
    assert_int_equal(rename(pull_in_cache(BLOBS), pull_in_cache("old")), 0);
    assert_int_equal(mkdir(pull_in_cache(BLOBS), 0700), 0);
    f = fopen(pull_in_cache(name), "w");
    assert_true(f && fputs("nonsense", f) >= 0 && fclose(f) == 0);
    hub_reset(&hub);
    pull_fetches(NULL, "big.gguf");
    assert_int_equal(hub_asked(&hub, "other GET", ""), 2);
    pull_is_linked("big.gguf", "../..");
}

static void a_server_that_ignores_ranges_is_taken_from_the_start(void **state)
{
    (void)state;
    hub.fault = (struct hub_faults){.cuts = 1, .cut_at = 5000, .no_range = true};
    pull_fetches(NULL, "big.gguf");
    pull_is_linked("big.gguf", "../..");
    pull_empty_cache();
    hub.fault = (struct hub_faults){.cuts = 1, .cut_at = 5000, .bad_range = true};
    pull_fails_as(HUB_NAME, NULL, "big.gguf",
                  "asked for bytes from 5000 of 300000, the answer begins at 5001");
    pull_is_invisible();
}

static void wrong_bytes_and_lengths_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct hub_faults fault;
        const char *says;
    } rows[] = {
        {{.corrupt = -1}, "what came has the checksum"},
        {{.length_lie = -5}, "the answer ends after 299995 of 300000 bytes"},
        {{.length_lie = 5}, "the answer is longer than 300000 bytes"},
        {{.size_lie = -5}, "the answer is longer than 299995 bytes"},
        {{.size_lie = 5}, "127.0.0.1 answers 416"},
        {{.compressed = true}, "compressed"},
        {{.etag = "../../../../evil"}, "is no checksum"},
        {{.etag = ""}, "is no checksum"},
        {{.commit = ""}, "this is no hub"},
        {{.commit = "ffffffffffffffffffffffffffffffffffffffff"}, "this is no hub"},
        {{.location = "ftp://127.0.0.1/x"}, "an address that is not followed"},
        {{.location = "http://user:word@127.0.0.1/x"}, "an address that is not followed"},
        {{.listing = "{\"sha\": \"x\", \"siblings\": []}"}, "40 hexadecimal digits"},
        {{.listing = "{"}, "line 1"},
        {{.listing = "[]"}, "expected an object"},
        {{.listing = "{\"sha\": \"" HUB_COMMIT "\"}"}, "expected a list of files"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pull_empty_cache();
        hub_reset(&hub);
        hub.fault = rows[i].fault;
        pull_fails_as(HUB_NAME, NULL, "big.gguf", rows[i].says);
        pull_is_invisible();
        const char *rest = pull_blob_ending("");
        if (rest && !strstr(rest, ".incomplete"))
            fail_msg("%s: %s is there", rows[i].says, rest);
    }
}

static void a_wrong_byte_is_not_kept(void **state)
{
    (void)state;
    hub.fault = (struct hub_faults){.corrupt = 1};
    pull_fails_as(HUB_NAME, NULL, "big.gguf", "it is not kept");
    assert_null(pull_blob_ending(".incomplete"));
    pull_fetches(NULL, "big.gguf");
}

static void silence_ends(void **state)
{
    (void)state;
    setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1", 1);
    hub.fault = (struct hub_faults){.stall_ms = 4000, .cut_at = 160000};
    alarm(60);
    pull_fetches(NULL, "big.gguf"); /* the second try is for less than it takes to stall */
    alarm(0);
    assert_true(hub.reached_cut >= 1);
    pull_is_linked("big.gguf", "../..");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, pull_fresh)
    const struct CMUnitTest tests[] = {
        TEST(checksums_are_those_of_sha256sum_and_git),
        TEST(the_cache_is_laid_out_as_the_client_does),
        TEST(what_is_there_is_not_fetched_again),
        TEST(one_gguf_alone_or_all_its_parts),
        TEST(a_sharded_model_is_fetched_by_its_index),
        TEST(a_cut_connection_is_taken_up_again),
        TEST(what_never_comes_is_given_up),
        TEST(the_next_run_goes_on_where_the_last_one_stopped),
        TEST(a_server_that_ignores_ranges_is_taken_from_the_start),
        TEST(wrong_bytes_and_lengths_are_refused),
        TEST(a_wrong_byte_is_not_kept),
        TEST(silence_ends),
    };
    return cmocka_run_group_tests(tests, pull_set_up, pull_tear_down);
}
