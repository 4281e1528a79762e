/* pull_test.c - see pull_test.h. */
#include "pull_test.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIXTURE "tests/fixtures/models/gpt2"

struct hub_server hub;
char pull_big[BIG];
static char *cache;
static volatile sig_atomic_t never;

const char *pull_in_cache(const char *name)
{
    static char path[4][600];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", cache, name);
    return path[turn];
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

void pull_empty_cache(void)
{
    if (cache)
        nftw(cache, drop, 8, FTW_DEPTH | FTW_PHYS);
    free(cache);
    char path[] = "/tmp/borescope-pull-XXXXXX";
    assert_non_null(mkdtemp(path));
    cache = strdup(path);
    setenv("HF_HUB_CACHE", cache, 1);
}

int pull_fresh(void **state)
{
    (void)state;
    hub_reset(&hub);
    pull_empty_cache();
    setenv("HF_ENDPOINT", hub.endpoint, 1);
    setenv("HF_HOME", pull_in_cache("no-home"), 1);
    unsetenv("HF_TOKEN");
    unsetenv("HF_HUB_OFFLINE");
    unsetenv("HF_HUB_DOWNLOAD_TIMEOUT");
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    return 0;
}

bool pull_there(const char *name)
{
    return access(pull_in_cache(name), F_OK) == 0;
}

void pull_holds(const char *name, const void *bytes, size_t size)
{
    size_t n;
    char *text = file_read(pull_in_cache(name), &n);
    assert_int_equal(n, size);
    assert_memory_equal(text, bytes, size);
    free(text);
}

void pull_is_linked(const char *path, const char *up)
{
    char name[400], want[400], got[400] = "";
    const struct hub_file *f = hub_find(&hub, path);
    snprintf(name, sizeof name, SNAPSHOT "/%s", path);
    snprintf(want, sizeof want, "%s/blobs/%s", up, f->etag);
    assert_true(readlink(pull_in_cache(name), got, sizeof got - 1) > 0);
    assert_string_equal(got, want);
    pull_holds(name, f->bytes, f->size);
}

const char *pull_blob_ending(const char *ending)
{
    static char found[300];
    DIR *d = opendir(pull_in_cache(BLOBS));
    found[0] = '\0';
    for (struct dirent *x; d && (x = readdir(d));)
        if (x->d_name[0] != '.' && strlen(x->d_name) > strlen(ending) &&
            !strcmp(x->d_name + strlen(x->d_name) - strlen(ending), ending))
            snprintf(found, sizeof found, "%s", x->d_name);
    if (d)
        closedir(d);
    return found[0] ? found : NULL;
}

void pull_is_invisible(void)
{
    assert_false(pull_there(SNAPSHOT));
    assert_false(pull_there("models--org--tiny/refs"));
    struct js_doc *doc = RUN_JSON("models", "--json");
    for (size_t i = 0; i < js_count(js_root(doc)); i++)
        if (!strcmp(json_string(js_at(js_root(doc), i), "name"), HUB_NAME))
            assert_false(json_bool(js_at(js_root(doc), i), "opens"));
    js_close(doc);
}

int pull_fetch_as(const char *name, const char *revision, const char *gguf, struct err *e)
{
    char path[PATH_MAX] = "";
    struct pull_options o = {
        .name = name, .revision = revision, .gguf = gguf, .cancel = &never, .wait_ms = 1};
    int rc = pull_run(&o, path, e);
    assert_true(rc || access(path, F_OK) == 0);
    return rc;
}

void pull_fetches(const char *revision, const char *gguf)
{
    struct err e = {0};
    if (pull_fetch_as(HUB_NAME, revision, gguf, &e))
        fail_msg("%s\n%s", e.text, hub.log);
}

void pull_fails_as(const char *name, const char *revision, const char *gguf, const char *part)
{
    struct err e = {0};
    assert_true(pull_fetch_as(name, revision, gguf, &e) < 0);
    if (!strstr(e.text, part) || strchr(e.text, '\n'))
        fail_msg("says \"%s\", expected \"%s\"", e.text, part);
}

void pull_fails(const char *part)
{
    pull_fails_as(HUB_NAME, NULL, NULL, part);
}

int pull_set_up(void **state)
{
    (void)state;
    static const char *const vars[] = {"http_proxy",
                                       "https_proxy",
                                       "all_proxy",
                                       "HTTPS_PROXY",
                                       "ALL_PROXY",
                                       "no_proxy",
                                       "NO_PROXY",
                                       "HF_TOKEN_PATH",
                                       "HUGGING_FACE_HUB_TOKEN",
                                       "TRANSFORMERS_OFFLINE"};
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < sizeof vars / sizeof *vars; i++)
        unsetenv(vars[i]);
    hub_start(&hub);
    for (int i = 0; i < 2; i++) {
        size_t n;
        char *path = folder_path(FIXTURE, files[i]), *text = file_read(path, &n);
        hub_add(&hub, files[i], text, n, i == 1);
        free(path), free(text);
    }
    size_t n;
    char *text = file_read("tests/fixtures/tokenizers/gpt2/tokenizer.json", &n);
    hub_add(&hub, "tokenizer.json", text, n, false);
    free(text);
    uint32_t x = 1;
    for (int i = 0; i < BIG; i++)
        pull_big[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
    hub_add(&hub, "README.md", "# tiny", 6, false);
    hub_add(&hub, "pytorch_model.bin", "pickle", 6, true);
    hub_add(&hub, "onnx/model.safetensors", "onnx", 4, true);
    hub_add(&hub, "tiny-q8.gguf", "GGUF", 4, true);
    hub_add(&hub, "split/tiny-00001-of-00002.gguf", "GGUF1", 5, true);
    hub_add(&hub, "split/tiny-00002-of-00002.gguf", "GGUF2", 5, true);
    hub_add(&hub, "big.gguf", pull_big, BIG, true);
    return 0;
}

int pull_tear_down(void **state)
{
    (void)state;
    hub_stop(&hub);
    nftw(cache, drop, 8, FTW_DEPTH | FTW_PHYS);
    free(cache);
    return 0;
}
