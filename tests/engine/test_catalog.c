/* Tests of catalog.h on caches made for them under /tmp: what is listed, in which order, and what
 * is said of each. */
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

#include "model/catalog.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccc"

static char top[] = "/tmp/bore-catalog-XXXXXX", source[256];

static const char *in_top(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", top, name);
    return path;
}

/* The folders above top/name, made. */
static const char *folders_of(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s", in_top(name));
    for (char *p = path + strlen(top) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(folders_of(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A snapshot that holds a fixture. */
static void put_model(const char *snapshot)
{
    char name[300], from[400];
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%s", snapshot, files[i]);
        snprintf(from, sizeof from, "%s/%s", source, files[i]);
        assert_int_equal(symlink(from, folders_of(name)), 0);
    }
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int make_top(void **state)
{
    (void)state;
    char here[200];
    if (!mkdtemp(top) || !getcwd(here, sizeof here))
        return -1;
    snprintf(source, sizeof source, "%s/tests/fixtures/models/gpt2", here);
    setenv("HF_HUB_CACHE", top, 1);
    return 0;
}

static int remove_top(void **state)
{
    (void)state;
    return nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS);
}

static void an_empty_cache_lists_the_built_in_model(void **state)
{
    (void)state;
    struct catalog c;
    setenv("HF_HUB_CACHE", "/nowhere/at/all", 1);
    assert_int_equal(catalog_list(&c, NULL), 0);
    assert_int_equal(c.n, 1);
    assert_string_equal(c.entry[0].name, "teach");
    catalog_look(&c.entry[0]);
    assert_true(c.entry[0].opens);
    assert_int_equal(c.entry[0].bytes, c.entry[0].params * 2);
    assert_string_equal(c.entry[0].dtype, "f16");
    catalog_free(&c);
    setenv("HF_HUB_CACHE", top, 1);
}

static void every_snapshot_has_a_name_that_opens_it(void **state)
{
    (void)state;
    struct catalog c;
    put("models--org--three/refs/main", A);
    put("models--org--three/refs/v1.0", B);
    put("models--org--three/refs/same", A);
    put("models--org--three/refs/refs/pr/1", B);
    put("models--org--three/refs/gone", "dddd");
    put_model("models--org--three/snapshots/" A);
    put_model("models--org--three/snapshots/" B);
    put_model("models--org--three/snapshots/" C);
    put_model("models--Alone/snapshots/" C); /* no ref: it is what the name opens */
    put("models--org--torn/refs/main", A);   /* a ref whose snapshot is another */
    put_model("models--org--torn/snapshots/" B);
    put("datasets--x--y/refs/main", A);
    put("version.txt", "1");
    put("models--org--file", "no folder");
    static const char *const either[] = {"org/three@v1.0", "org/three@refs/pr/1"};
    static const char *const names[] = {"teach",        "Alone", "org/three",
                                        "org/three@" C, NULL,    "org/torn@" B};
    assert_int_equal(catalog_list(&c, NULL), 0);
    assert_int_equal(c.n, sizeof names / sizeof *names);
    for (int i = 0; i < c.n; i++) {
        catalog_look(&c.entry[i]);
        if (!c.entry[i].opens)
            fail_msg("%s: %s", c.entry[i].name, c.entry[i].error.text);
        if (names[i])
            assert_string_equal(c.entry[i].name, names[i]);
        else
            assert_true(!strcmp(c.entry[i].name, either[0]) || !strcmp(c.entry[i].name, either[1]));
    }
    assert_string_equal(c.entry[1].family, "gpt2");
    assert_true(c.entry[1].params > 1000 && c.entry[1].bytes >= 2 * c.entry[1].params);
    catalog_free(&c);
}

static void what_does_not_open_says_why(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *name, *family, *why;
    } rows[] = {
        {"models--bad--kind/snapshots/" A "/config.json", "{\"model_type\": \"gptx\"}", "bad/kind",
         "gptx", "model_type \"gptx\" is not supported, nearest gpt"},
        {"models--bad--json/snapshots/" A "/config.json", "{", "bad/json", "", "line 1"},
        {"models--bad--empty/refs/main", A, "bad/empty", "", "no snapshot of revision main"},
        {"models--bad--readme/snapshots/" A "/README.md", "", "bad/readme", "", "no config.json"},
        {"models--bad--\xff\x1b[31m/snapshots/" A "/config.json", "{}", "bad/\xff\x1b[31m", "",
         "not a name like org/name@revision"},
        {"models--bad--pickle/snapshots/" A "/pytorch_model.bin", "12345", "bad/pickle", "gpt2",
         "weights missing: only pytorch_model.bin, which is not read"},
        {"models--bad--bare/snapshots/" A "/README.md", "", "bad/bare", "gpt2",
         "weights missing: no model.safetensors"},
        {"models--bad--short/snapshots/" A "/model.safetensors", "12345", "bad/short", "gpt2",
         "is 5 bytes long"},
    };
    char from[400];
    snprintf(from, sizeof from, "%s/config.json", source);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char config[300];
        put(rows[i].file, rows[i].text);
        if (!rows[i].family[0] || !strcmp(rows[i].family, "gptx"))
            continue;
        snprintf(config, sizeof config, "%.*s/config.json",
                 (int)(strrchr(rows[i].file, '/') - rows[i].file), rows[i].file);
        assert_int_equal(symlink(from, in_top(config)), 0);
    }
    struct catalog c;
    assert_int_equal(catalog_list(&c, NULL), 0);
    size_t seen = 0;
    for (int k = 0; k < c.n; k++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            char why[480];
            if (strcmp(c.entry[k].name, rows[i].name) != 0)
                continue;
            seen++;
            catalog_look(&c.entry[k]);
            assert_false(c.entry[k].opens);
            assert_string_equal(c.entry[k].family, rows[i].family);
            if (!strstr(catalog_why(&c.entry[k], why, sizeof why), rows[i].why) ||
                strstr(why, "borescope pull") || strstr(why, "save_pretrained"))
                fail_msg("%s: \"%s\", expected \"%s\"", rows[i].name, why, rows[i].why);
        }
    assert_int_equal(seen, sizeof rows / sizeof *rows);
    catalog_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_cache_lists_the_built_in_model),
        cmocka_unit_test(every_snapshot_has_a_name_that_opens_it),
        cmocka_unit_test(what_does_not_open_says_why),
    };
    return cmocka_run_group_tests(tests, make_top, remove_top);
}
