/* Tests of hub.h on folders and a cache made for them under /tmp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/hub.h"

static char top[] = "/tmp/bore-hub-XXXXXX";

static const char *in_top(const char *name)
{
    static char path[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", top, name);
    return path[turn];
}

/* A file under top, its folders made on the way. */
static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s", in_top(name));
    for (char *p = path + strlen(top) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_top(void **state)
{
    (void)state;
    if (!mkdtemp(top))
        return -1;
    static const char *const vars[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                       "XDG_CACHE_HOME", "BORESCOPE_DATA"};
    for (size_t i = 0; i < sizeof vars / sizeof *vars; i++)
        unsetenv(vars[i]);
    setenv("HOME", in_top("home"), 1);
    put("plain/config.json", "{}");
    put("plain/model.safetensors", "");
    put("plain/tokenizer.json", "{}");
    put("sharded/config.json", "{}");
    put("sharded/model.safetensors.index.json", "{}");
    put("bare/config.json", "{}");
    put("other/config.json", "{}");
    put("other/pytorch_model.bin", "");
    put("two/config.json", "{}");
    put("two/a.safetensors", "");
    put("two/b.safetensors", "");
    put("alone/w.safetensors", "");
    put("one/README.md", "");
    put("one/mmproj-f16.gguf", "");
    put("one/model-00001-of-00002.gguf", "");
    put("one/model-00002-of-00002.gguf", "");
    put("both/config.json", "{}");
    put("both/tokenizer.json", "{}");
    put("both/x.gguf", "");
    put("many/a.gguf", "");
    put("many/b.gguf", "");
    put("hub/models--gg--uf/snapshots/aa/q4.gguf", "");
    put("hub/models--gg--more/snapshots/aa/q4.gguf", "");
    put("hub/models--gg--more/snapshots/aa/q8.gguf", "");
    put("hub/models--openai-community--gpt2/refs/main", "0123456789abcdef\n");
    put("hub/models--openai-community--gpt2/refs/refs/pr/1", "fedc");
    put("hub/models--openai-community--gpt2/snapshots/0123456789abcdef/config.json", "{}");
    put("hub/models--openai-community--gpt2/snapshots/0123456789abcdef/model.safetensors", "");
    put("hub/models--openai-community--gpt2/snapshots/fedc/config.json", "{}");
    put("hub/models--solo/snapshots/aa/config.json", "{}");
    put("hub/models--torn--model/refs/main", "../../../plain");
    put("hub/models--torn--model/snapshots/cc/README", "");
    put("hub/datasets--x--y/refs/main", "00");
    return 0;
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int remove_top(void **state)
{
    (void)state;
    return nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS);
}

static struct hub_model find(const char *arg)
{
    struct hub_model m = {0};
    struct err e = {0};
    if (hub_resolve(arg, &m, &e))
        fail_msg("%s", e.text);
    return m;
}

static void refuse(const char *arg, const char *message_part)
{
    struct hub_model m = {0};
    struct err e = {0};
    assert_int_equal(hub_resolve(arg, &m, &e), ERR_BAD_INPUT);
    assert_string_equal(m.folder, "");
    if (!strstr(e.text, message_part))
        fail_msg("message \"%s\" lacks \"%s\"", e.text, message_part);
}

static void folders_are_found(void **state)
{
    (void)state;
    struct err e = {0};
    struct hub_model m = find(in_top("plain"));
    assert_string_equal(m.name, "plain");
    assert_string_equal(m.config, in_top("plain/config.json"));
    assert_string_equal(m.weights, in_top("plain/model.safetensors"));
    assert_string_equal(m.tokenizer, in_top("plain/tokenizer.json"));
    assert_int_equal(hub_need_weights(&m, &e), 0);
    m = find(in_top("sharded/"));
    assert_string_equal(m.name, "sharded");
    assert_string_equal(m.weights, in_top("sharded/model.safetensors.index.json"));
    assert_string_equal(m.tokenizer, "");
}

static void a_config_alone_is_enough_until_weights_are_needed(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"bare", "no model.safetensors or model.safetensors.index.json"},
        {"other", "only pytorch_model.bin, which is not read"},
        {"two", "several .safetensors"}};
    for (size_t i = 0; i < 3; i++) {
        struct err e = {0};
        struct hub_model m = find(in_top(cases[i][0]));
        assert_string_equal(m.weights, "");
        assert_int_equal(hub_need_weights(&m, &e), ERR_BAD_INPUT);
        assert_non_null(strstr(e.text, cases[i][1]));
    }
}

static void files_are_found_beside_their_config(void **state)
{
    (void)state;
    struct hub_model m = find(in_top("two/b.safetensors"));
    assert_string_equal(m.weights, in_top("two/b.safetensors"));
    assert_string_equal(m.config, in_top("two/config.json"));
    assert_string_equal(m.name, "b.safetensors");
    m = find(in_top("sharded/model.safetensors.index.json"));
    assert_string_equal(m.weights, in_top("sharded/model.safetensors.index.json"));
    char here[512];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(in_top("two")), 0);
    m = find("a.safetensors");
    assert_string_equal(m.config, "./config.json");
    m = find(".");
    assert_string_equal(m.name, "two");
    assert_int_equal(chdir(here), 0);
    refuse(in_top("alone/w.safetensors"), "no config.json beside it");
    refuse(in_top("other/pytorch_model.bin"), "a pickle is a program, which is not run · convert");
    refuse(in_top("plain/config.json"), "is not a model");
    refuse(in_top("alone"), "neither config.json nor a .gguf file in this folder");
    refuse("", "no model named");
}

static void a_gguf_file_needs_nothing_else(void **state)
{
    (void)state;
    struct hub_model m = find(in_top("many/a.gguf"));
    assert_string_equal(m.weights, in_top("many/a.gguf"));
    assert_string_equal(m.name, "a.gguf");
    assert_string_equal(m.config, "");
    m = find(in_top("one")); /* of a set the first, and no vision tower */
    assert_string_equal(m.weights, in_top("one/model-00001-of-00002.gguf"));
    assert_string_equal(m.config, "");
    m = find(in_top("both")); /* what lies beside it is not needed */
    assert_string_equal(m.weights, in_top("both/x.gguf"));
    assert_string_equal(m.config, "");
    assert_string_equal(m.tokenizer, "");
    refuse(in_top("many"), "holds several .gguf files (");
    setenv("HF_HUB_CACHE", in_top("hub"), 1);
    m = find("gg/uf");
    assert_string_equal(m.weights, in_top("hub/models--gg--uf/snapshots/aa/q4.gguf"));
    refuse("gg/more", "several .gguf (q");
    unsetenv("HF_HUB_CACHE");
}

static void the_cache_is_searched(void **state)
{
    (void)state;
    setenv("HF_HUB_CACHE", in_top("hub"), 1);
    struct hub_model m = find("openai-community/gpt2");
    assert_string_equal(m.name, "openai-community/gpt2");
    assert_string_equal(m.folder,
                        in_top("hub/models--openai-community--gpt2/snapshots/0123456789abcdef"));
    m = find(in_top("hub/models--openai-community--gpt2/snapshots/0123456789abcdef"));
    assert_string_equal(m.name, "openai-community/gpt2");
    static const char *const revisions[] = {"openai-community/gpt2@fedc",
                                            "openai-community/gpt2@refs/pr/1"};
    for (size_t i = 0; i < 2; i++) {
        m = find(revisions[i]);
        assert_string_equal(m.folder, in_top("hub/models--openai-community--gpt2/snapshots/fedc"));
    }
    m = find("solo");
    assert_string_equal(m.folder, in_top("hub/models--solo/snapshots/aa"));
    refuse("gpt2", "there: openai-community/gpt2");
    refuse("gpt2", "to fetch it: borescope pull gpt2 ·");
    refuse("openai-community/gtp2", "there: openai-community/gpt2, ");
    refuse("openai-community/gpt2@dev", "no snapshot of revision dev");
    refuse("openai-community/gpt2@dev", "borescope pull openai-community/gpt2@dev");
    refuse("torn/model", "no config.json");
    refuse("../plain", "no such file or folder, and not a name");
    refuse("openai-community/gpt2@../../solo/snapshots/aa", "not a name");
    refuse("a/b/c", "not a name");
    setenv("HF_HUB_CACHE", in_top("nowhere"), 1);
    refuse("gpt2",
           "which is empty · to fetch it: borescope pull gpt2 · or try the built-in model: teach");
    unsetenv("HF_HUB_CACHE");
}

static void the_cache_folder_follows_the_environment(void **state)
{
    (void)state;
    refuse("nope", in_top("home/.cache/huggingface/hub"));
    setenv("XDG_CACHE_HOME", in_top("xdg"), 1);
    refuse("nope", in_top("xdg/huggingface/hub"));
    setenv("HF_HOME", "~/hf", 1);
    refuse("nope", in_top("home/hf/hub"));
    setenv("HF_HUB_CACHE", in_top("direct"), 1);
    refuse("nope", in_top("direct"));
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HF_HOME");
    unsetenv("HF_HUB_CACHE");
}

static void the_built_in_model_has_a_name(void **state)
{
    (void)state;
    put("data/models/teach/config.json", "{}");
    setenv("BORESCOPE_DATA", in_top("data"), 1);
    struct hub_model m = find("teach");
    assert_string_equal(m.name, "teach");
    assert_string_equal(m.folder, in_top("data/models/teach"));
    unsetenv("BORESCOPE_DATA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_found),
        cmocka_unit_test(a_config_alone_is_enough_until_weights_are_needed),
        cmocka_unit_test(files_are_found_beside_their_config),
        cmocka_unit_test(a_gguf_file_needs_nothing_else),
        cmocka_unit_test(the_cache_is_searched),
        cmocka_unit_test(the_cache_folder_follows_the_environment),
        cmocka_unit_test(the_built_in_model_has_a_name),
    };
    return cmocka_run_group_tests(tests, make_top, remove_top);
}
