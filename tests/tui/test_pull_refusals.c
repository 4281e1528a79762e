/* test_pull_refusals.c - a hub that refuses, moves, asks for a token or is not to be asked. */
#include "pull_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTS(files) "{\"sha\": \"" HUB_COMMIT "\", \"siblings\": [" files "]}"
#define FILE_OF(name) "{\"rfilename\": \"" name "\"}"

static void refusals_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *name, *revision, *token;
        struct hub_faults fault;
        const char *says;
    } rows[] = {
        {"org/none", NULL, NULL, {0}, "org/none · there is no such model at http://127.0.0.1"},
        {HUB_NAME, "v9", NULL, {0}, "has no revision v9"},
        {HUB_NAME, NULL, NULL, {.token = "hf_a", .code = "RepoNotFound"}, "or it is private"},
        {HUB_NAME,
         NULL,
         "hf_b",
         {.token = "hf_a", .code = "RepoNotFound"},
         "refused (401) · look at what HF_TOKEN"},
        {HUB_NAME,
         NULL,
         NULL,
         {.token = "hf_a", .code = "GatedRepo"},
         "is gated · accept its conditions at "},
        {HUB_NAME,
         NULL,
         "hf_b",
         {.status = 403, .code = "GatedRepo"},
         "with the account of this token"},
        {HUB_NAME, NULL, "hf_b", {.status = 403}, "refused (403)"},
        {HUB_NAME, NULL, NULL, {.status = 500}, "127.0.0.1 answers 500"},
        {HUB_NAME, NULL, NULL, {.status = 429}, "too many requests"},
        {HUB_NAME,
         NULL,
         NULL,
         {.listing = LISTS(FILE_OF("config.json") "," FILE_OF("pytorch_model.bin"))},
         "only pytorch_model.bin, which is not read"},
        {HUB_NAME,
         NULL,
         NULL,
         {.listing = LISTS(FILE_OF("a.gguf") "," FILE_OF("b.gguf"))},
         "choose one with --gguf FILE: a.gguf, b.gguf"},
        {HUB_NAME,
         NULL,
         NULL,
         {.listing = LISTS(FILE_OF("README.md"))},
         "no config.json: this is not a model"},
        {HUB_NAME,
         NULL,
         NULL,
         {.listing = LISTS(
              FILE_OF("config.json") "," FILE_OF("model.safetensors") "," FILE_OF("vocab.json"))},
         "has no file vocab.json"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hub_reset(&hub);
        hub.fault = rows[i].fault;
        if (rows[i].token)
            setenv("HF_TOKEN", rows[i].token, 1);
        else
            unsetenv("HF_TOKEN");
        pull_fails_as(rows[i].name, rows[i].revision, NULL, rows[i].says);
        pull_is_invisible();
    }
    hub_reset(&hub);
    hub.fault = (struct hub_faults){.status = 503,
                                    .n_status = 2}; /* twice, then it is well again */
    unsetenv("HF_TOKEN");
    pull_fetches(NULL, NULL);
}

static void the_token_goes_to_the_hub_alone(void **state)
{
    (void)state;
    hub.fault = (struct hub_faults){.token = "hf_secret"};
    setenv("HF_TOKEN", " hf_secret\n", 1);
    pull_fetches(NULL, NULL);
    assert_true(hub_asked(&hub, "hub ", " auth") >= 4);
    assert_int_equal(hub_asked(&hub, "hub ", ""), hub_asked(&hub, "hub ", " auth"));
    assert_true(hub_asked(&hub, "other GET", "") >= 1);
    assert_int_equal(hub_asked(&hub, "other", " auth"), 0);
    /* the same host under another name is another host */
    char address[100];
    pull_empty_cache();
    hub_reset(&hub);
    snprintf(address, sizeof address, "http://localhost:%d/x", hub.port);
    hub.fault = (struct hub_faults){.location = address};
    pull_fails_as(HUB_NAME, NULL, "big.gguf", "localhost answers 404");
    assert_int_equal(hub_asked(&hub, "GET /x", ""), 1);
    assert_int_equal(hub_asked(&hub, "GET /x", " auth"), 0);
    /* from a file, as the client's login leaves it */
    unsetenv("HF_TOKEN");
    hub_reset(&hub);
    hub.fault = (struct hub_faults){.token = "hf_secret"};
    setenv("HF_HOME", pull_in_cache("."), 1);
    FILE *f = fopen(pull_in_cache("token"), "w");
    assert_true(f && fputs("hf_secret\n", f) >= 0 && fclose(f) == 0);
    pull_fetches(NULL, NULL);
    setenv("HF_TOKEN", "two words", 1);
    pull_fails("HF_TOKEN · this is not a token");
}

static void a_renamed_model_is_found_under_its_old_name(void **state)
{
    (void)state;
    struct err e = {0};
    hub.fault = (struct hub_faults){.renamed = "tiny-old", .token = "hf_secret"};
    setenv("HF_TOKEN", "hf_secret", 1);
    if (pull_fetch_as("tiny-old", NULL, NULL, &e))
        fail_msg("%s\n%s", e.text, hub.log);
    assert_true(pull_there("models--tiny-old/snapshots/" HUB_COMMIT "/config.json"));
}

static void a_proxy_is_used(void **state)
{
    (void)state;
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", hub.port);
    setenv("http_proxy", proxy, 1);
    setenv("HF_ENDPOINT", "http://hub.invalid", 1);
    pull_fetches(NULL, "tiny-q8.gguf");
    assert_true(hub_asked(&hub, "GET http://hub.invalid/api/", "") == 1);
    setenv("no_proxy", "hub.invalid", 1);
    pull_fails("hub.invalid: ");
}

static void offline_nothing_is_asked(void **state)
{
    (void)state;
    setenv("HF_HUB_OFFLINE", "1", 1);
    pull_fails("HF_HUB_OFFLINE is set");
    assert_string_equal(hub.log, "");
    setenv("HF_HUB_OFFLINE", "0", 1);
    setenv("HF_ENDPOINT", "gopher://x", 1);
    pull_fails("HF_ENDPOINT=gopher://x · expected an address");
    setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1);
    pull_fails("127.0.0.1: ");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, pull_fresh)
    const struct CMUnitTest tests[] = {
        TEST(refusals_are_told_apart),
        TEST(the_token_goes_to_the_hub_alone),
        TEST(a_renamed_model_is_found_under_its_old_name),
        TEST(a_proxy_is_used),
        TEST(offline_nothing_is_asked),
    };
    return cmocka_run_group_tests(tests, pull_set_up, pull_tear_down);
}
