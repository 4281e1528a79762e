/* test_cli_sweep.c - sweep and patch through the program: JSON, tables, files, sets of prompts,
 * what is refused. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define MODEL "tests/fixtures/models/gpt2"
#define BASE "3,17,42,8,8,29,3,17,42"
#define CLEAN "3,17,11,8,26,29,44,17,2"
#define METRIC "logit[-1, 5] - logit[-1, 11]"
#define ABOUT "When Mary and John went to the store, John gave a bag to"

/* A nested array of numbers against a tensor, in order; how many there were. */
static size_t compare(struct js_node n, const float *want, size_t at, double limit)
{
    double v;
    if (!js_is_array(n)) {
        assert_int_equal(js_number(n, -INFINITY, INFINITY, &v, NULL), 0);
        assert_true(fabs(v - (double)want[at]) <= limit);
        return at + 1;
    }
    for (size_t i = 0; i < js_count(n); i++)
        at = compare(js_at(n, i), want, at, limit);
    return at;
}

static const float *reference(struct checkpoint *st, const char *name, size_t *n)
{
    const struct st_tensor *t = checkpoint_find(st, name);
    *n = 1;
    for (int i = 0; i < t->rank; i++)
        *n *= (size_t)t->shape[i];
    return t->data;
}

/* How many cells of nested `has` are false, where `values` is null; every other value is null too
 * where it is no number, and `nan` says how many of these there are. */
static int absent(struct js_node values, struct js_node has, int *nan)
{
    int n = 0;
    bool there;
    if (!js_is_array(has)) {
        assert_int_equal(js_bool(has, &there, NULL), 0);
        assert_true(there || !js_is_set(values));
        *nan += there && !js_is_set(values);
        return !there;
    }
    assert_int_equal(js_count(values), js_count(has));
    for (size_t i = 0; i < js_count(has); i++)
        n += absent(js_at(values, i), js_at(has, i), nan);
    return n;
}

/* A cell that is NaN is one, a key of a head that shares it is none. */
static void test_nan(void **state)
{
    (void)state;
    static const char *const commands[] = {"sweep", "attribute"};
    for (int i = 0; i < 2; i++) {
        int nan = 0;
        struct js_doc *d = RUN_JSON(commands[i], "tests/fixtures/models/llama", "--tokens", BASE,
                                    "--kind", "head_by_pos_every", "--with", "nan", "--metric",
                                    "logit[-1, 5]", "--json");
        struct js_node root = js_root(d);
        assert_int_equal(absent(js_get(root, "values"), js_get(root, "has"), &nan), 2 * 2 * 9 * 4);
        assert_true(nan > 0);
        js_close(d);
    }
}

static void test_json(void **state)
{
    (void)state;
    struct checkpoint *st = fixture_file("gpt2", "sweep.safetensors");
    size_t n;
    const float *want = reference(st, "z", &n);
    struct js_doc *d = RUN_JSON("sweep", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN, "--kind",
                                "z", "--metric", METRIC, "--json");
    struct js_node root = js_root(d), axes = js_get(root, "axes");
    static const char *const keys[] = {"kind", "axes", "base", "done", "values", "has"};
    assert_int_equal(js_count(root), 6);
    for (int i = 0; i < 6; i++)
        assert_true(js_is_set(js_get(root, keys[i])));
    assert_string_equal(json_string(root, "kind"), "z");
    assert_int_equal(js_count(axes), 3);
    assert_string_equal(json_string(js_at(axes, 2), "name"), "head");
    assert_int_equal(json_int(js_at(axes, 1), "size"), 9);
    assert_int_equal(json_int(root, "done"), (int64_t)n);
    assert_true(fabs(json_number(root, "base") -
                     (double)*(const float *)checkpoint_find(st, "base")->data) < 1e-5);
    assert_int_equal(compare(js_get(root, "values"), want, 0, 1e-5), n);
    js_close(d);
    /* the same as a template, on one layer; patching.py's name */
    d = RUN_JSON("sweep", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN, "--set",
                 "blocks.{L}.attn.hook_z[{p}, {h}] = from(clean)", "--over", "L=1", "--metric",
                 METRIC, "--json");
    assert_int_equal(compare(js_get(js_root(d), "values"), want + n / 3, 0, 1e-5), n / 3);
    js_close(d);
    d = RUN_JSON("sweep", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN, "--kind",
                 "get_act_patch_attn_head_out_by_pos", "-l", "1", "-H", "2", "--over", "pos=8",
                 "--metric", METRIC, "--json");
    assert_int_equal(js_count(js_get(js_root(d), "axes")), 0);
    assert_true(fabs(json_number(js_root(d), "values") - (double)want[n / 3 + 8 * 3 + 2]) < 1e-5);
    js_close(d);
    checkpoint_close(st);
}

/* Two prompts: scores; a receiver. */
static void test_patch(void **state)
{
    (void)state;
    struct checkpoint *st = fixture_file("gpt2", "sweep.safetensors");
    size_t n;
    const float *want = reference(st, "resid_pre", &n);
    double base = (double)*(const float *)checkpoint_find(st, "base")->data,
           clean = (double)*(const float *)checkpoint_find(st, "clean")->data;
    float *score = malloc(n * sizeof *score);
    for (size_t i = 0; i < n; i++)
        score[i] = (float)(((double)want[i] - base) / (clean - base));
    struct js_doc *d = RUN_JSON("patch", MODEL, "--tokens", BASE, "--clean", CLEAN, "--metric",
                                METRIC, "--json");
    assert_string_equal(json_string(js_root(d), "kind"), "resid_pre");
    assert_true(json_number(js_root(d), "base") == 0);
    assert_int_equal(compare(js_get(js_root(d), "values"), score, 0, 1e-4), n);
    js_close(d);
    free(score);
    want = reference(st, "path.out", &n);
    d = RUN_JSON("sweep", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN, "--kind", "z_all_pos",
                 "--receiver", "blocks.2.hook_resid_post", "--metric", METRIC, "--json");
    assert_int_equal(compare(js_get(js_root(d), "values"), want, 0, 1e-5), n);
    js_close(d);
    checkpoint_close(st);
}

/* The built-in model: the heads that name the answer, as README has it. */
static void test_tables(void **state)
{
    (void)state;
    struct result r = RUN("sweep", "teach", "-p", ABOUT, "--kind", "z_all_pos", "--pair",
                          " Mary/ John");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "# z_all_pos · logit[-1, \" Mary\"] - logit[-1, \" John\"]"));
    assert_non_null(strstr(r.out, "layer       0       1       2"));
    assert_non_null(strstr(r.out, "-1.245"));
    result_free(&r);
    r = RUN("sweep", "teach", "-p", ABOUT, "--kind", "z_all_pos", "--pair", " Mary/ John", "-k",
            "2");
    const char *first = strstr(r.out, "0     4"), *second = strstr(r.out, "3     2");
    assert_true(first && second && first < second);
    result_free(&r);
    r = RUN("sweep", "teach", "-p", ABOUT, "--kind", "resid_pre", "--with", "zero", "--tsv");
    assert_int_equal(strncmp(r.out, "layer\tpos\ttoken\tvalue\tchange\n", 29), 0);
    int lines = 0;
    for (const char *p = r.out; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 1 + 4 * 15);
    result_free(&r);
    r = RUN("sweep", "teach", "-p", ABOUT, "--kind", "z_all_pos", "--ansi");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "▀"));
    result_free(&r);
}

static void test_files(void **state)
{
    (void)state;
    char *folder = folder_make(), *tensors = folder_path(folder, "s.safetensors"),
         *npz = folder_path(folder, "s.npz"), *png = folder_path(folder, "s.png");
    struct result r = RUN("sweep", MODEL, "--tokens", BASE, "--kind", "head_all_pos_every",
                          "--with", "*= 0.5", "--metric", METRIC, "-o", tensors);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.out_len, 0);
    result_free(&r);
    struct checkpoint *st = fixture_tensors(tensors);
    const struct st_tensor *v = checkpoint_find(st, "values"), *has = checkpoint_find(st, "has");
    assert_true(v->rank == 3 && v->shape[0] == 5 && v->shape[1] == 3 && v->shape[2] == 3);
    for (int i = 0; i < 45; i++)
        assert_true(((const uint8_t *)has->data)[i] == 1);
    assert_string_equal(checkpoint_metadata(st, "axes"), "type,layer,head");
    assert_string_equal(checkpoint_metadata(st, "metric"), METRIC);
    checkpoint_close(st);
    r = RUN("sweep", MODEL, "--tokens", BASE, "--kind", "edge", "-l", "1", "-o", npz, "--json");
    assert_int_equal(r.status, 0);
    result_free(&r);
    size_t len;
    char *bytes = file_read(npz, &len);
    assert_memory_equal(bytes, "PK", 2);
    free(bytes);
    r = RUN("sweep", MODEL, "--tokens", BASE, "--kind", "edge", "-l", "1", "--png", png);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "pixels, written to"));
    result_free(&r);
    bytes = file_read(png, &len);
    assert_memory_equal(bytes, "\x89PNG", 4);
    free(bytes);
    folder_remove(folder);
    free(tensors), free(npz), free(png);
}

static char *write_text(const char *folder, const char *text)
{
    char *path = folder_path(folder, "prompts.tsv");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* A set of prompts: mean and error, each with its own answer. */
static void test_prompts(void **state)
{
    (void)state;
    char *folder = folder_make();
    char *path = write_text(folder, "prompt\tclean\tanswer\n" BASE "\t" CLEAN "\t5\n\n" CLEAN
                                    "\t" BASE "\t11\r\n");
    struct js_doc *d = RUN_JSON("sweep", MODEL, "--prompts", path, "--kind", "z_all_pos",
                                "--metric", "logit[-1, {answer}]", "--json");
    struct js_doc *one = RUN_JSON("sweep", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN,
                                  "--kind", "z_all_pos", "--metric", "logit[-1, 5]", "--json");
    struct js_doc *two = RUN_JSON("sweep", MODEL, "--tokens", CLEAN, "--run", "clean=" BASE,
                                  "--kind", "z_all_pos", "--metric", "logit[-1, 11]", "--json");
    for (size_t i = 0; i < 9; i++) {
        double a = json_number_at(js_at(js_get(js_root(one), "values"), i / 3), i % 3),
               b = json_number_at(js_at(js_get(js_root(two), "values"), i / 3), i % 3);
        assert_true(fabs(json_number_at(js_at(js_get(js_root(d), "values"), i / 3), i % 3) -
                         (a + b) / 2) < 1e-9);
        assert_true(fabs(json_number_at(js_at(js_get(js_root(d), "errors"), i / 3), i % 3) -
                         fabs(a - b) / 2) < 1e-9);
    }
    js_close(d), js_close(one), js_close(two);
    struct result r = RUN("sweep", MODEL, "--prompts", path, "--kind", "z_all_pos", "--metric",
                          "logit[-1, {answer}]");
    assert_non_null(strstr(r.out, "mean of 2 prompts"));
    assert_non_null(strstr(r.out, "error"));
    result_free(&r);
    assert_refused(RUN("sweep", MODEL, "--prompts", path, "--kind", "z_all_pos"), 2,
                   "--prompts needs --metric");
    free(path);
    path = write_text(folder, "prompt\tclean\n" BASE "\n");
    assert_refused(RUN("sweep", MODEL, "--prompts", path, "--kind", "z", "--metric", METRIC), 1,
                   "line 2 · 1 columns · the heading has 2");
    free(path);
    path = write_text(folder, "prompt\tclean\n" BASE "\t" CLEAN "\n3,17\t3,17\n");
    assert_refused(RUN("sweep", MODEL, "--prompts", path, "--kind", "z", "--metric", METRIC), 1,
                   "prompt 2 has 2 tokens, the first one 9 · --align end or token");
    r = RUN("sweep", MODEL, "--prompts", path, "--kind", "z", "--metric", METRIC, "--align", "end");
    assert_int_equal(r.status, 0);
    result_free(&r);
    free(path);
    folder_remove(folder);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *args[10], *message;
        int status;
    } bad[] = {{{"--kind", "zz"}, "no kind \"zz\"", 1},
               {{NULL}, "--kind KIND or --set EDIT", 2},
               {{"--kind", "z", "--metric", "logit[-1"}, "metric", 1},
               {{"--kind", "z", "--metric", METRIC, "--pair", "3/4"}, "--metric and --pair", 2},
               {{"--kind", "z", "--with", "from(clean)"}, "no run is called \"clean\"", 1},
               {{"--kind", "z", "--run", "a=3,17", "--run", "b=3,17"}, "2 runs and no --with", 2},
               {{"--kind", "z", "--run", "a=3,17"}, "run a has 2 tokens, the prompt 9", 1},
               {{"--kind", "z", "--over", "neuron=3"}, "nothing here has a hole {neuron}", 1},
               {{"--kind", "z", "-o", "x.txt"}, "x.txt", 2},
               {{"--kind", "z", "--normalize", "clean"}, "no run is called \"clean\"", 1},
               {{"--kind", "z", "--run", "a=" BASE, "--normalize", "a", "--metric", "logit[-1, 3]"},
                "there is no way from 0 to 1",
                1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *args[16] = {"sweep", MODEL, "--tokens", BASE};
        for (int k = 0; k < 10 && bad[i].args[k]; k++)
            args[4 + k] = bad[i].args[k];
        assert_refused(command_run(NULL, args), bad[i].status, bad[i].message);
    }
    assert_refused(RUN("patch", MODEL, "--tokens", BASE), 2, "--clean TEXT");
}

/* Cells of several units, of two prompts. */
static void test_killed(void **state)
{
    (void)state;
    char *folder = folder_make(), *part = folder_path(folder, "p.safetensors"),
         *prompts = folder_path(folder, "prompts.tsv");
    FILE *f = fopen(prompts, "wb");
    assert_non_null(f);
    fprintf(f,
            "prompt\tclean\n" ABOUT "\tWhen John and Mary went to the store, Mary gave a bag to\n"
            "When Tom and Anna went to the house, Tom gave a book to\t"
            "When Anna and Tom went to the house, Anna gave a book to\n");
    fclose(f);
    const char *const args[] = {"sweep",  "teach",   "--prompts", prompts,
                                "--kind", "neuron",  "--metric",  "logit[-1, \" Mary\"]",
                                "--over", "layer=1", "--over",    "pos=2,5,-1",
                                "--json"};
    command_killed_prints(args, 13, folder, 5);
    const char *const begun[] = {"borescope", "sweep",    "teach", "-p",      ABOUT, "--kind",
                                 "neuron",    "--resume", part,    "--every", "0",   NULL};
    assert_false(command_killed(begun, "/dev/null", part, 0));
    assert_refused(
        RUN("sweep", "teach", "-p", ABOUT, "--kind", "neuron", "--with", "*= 2", "--resume", part),
        1, "another model, other prompts");
    assert_refused(RUN("sweep", "teach", "-p", "When Mary", "--kind", "neuron", "--resume", part),
                   1, "another model, other prompts");
    assert_int_equal(access(part, F_OK), 0);
    struct result r = RUN("stats", "teach", "tests/fixtures/prompts/eval.txt", "--limit", "2", "-c",
                          "hook_embed", "-o", part);
    assert_int_equal(r.status, 0);
    result_free(&r);
    assert_refused(RUN("sweep", "teach", "-p", ABOUT, "--kind", "neuron", "--resume", part), 1,
                   "no state of a sweep");
    char *vectors = folder_path(folder, "v.safetensors"), with[600];
    snprintf(with, sizeof with, "file(\"%s\", \"hook_embed.max\")", vectors);
    r = RUN("stats", "teach", "tests/fixtures/prompts/eval.txt", "--limit", "2", "-c", "hook_embed",
            "-o", vectors);
    assert_int_equal(r.status, 0);
    result_free(&r);
    const char *const of_file[] = {"borescope", "sweep",       "teach",  "-p", ABOUT,
                                   "--kind",    "block_every", "--with", with, "--resume",
                                   part,        "--every",     "0",      NULL};
    assert_int_equal(remove(part), 0);
    assert_false(command_killed(of_file, "/dev/null", part, 0));
    assert_int_equal(remove(vectors), 0); /* another file of that name */
    r = RUN("stats", "teach", "tests/fixtures/prompts/eval.txt", "--limit", "3", "-c", "hook_embed",
            "-o", vectors);
    assert_int_equal(r.status, 0);
    result_free(&r);
    assert_refused(RUN("sweep", "teach", "-p", ABOUT, "--kind", "block_every", "--with", with,
                       "--resume", part),
                   1, "holds something else than it did");
    free(part), free(prompts), free(vectors);
    folder_remove(folder);
}

/* A file that only cells in the middle of a sweep read is known to its state too. */
static void test_files_between(void **state)
{
    (void)state;
    char *folder = folder_make(), *part = folder_path(folder, "part.safetensors"),
         *vectors = folder_path(folder, "v.safetensors"),
         *between = folder_path(folder, "w.safetensors"), set[1600];
    struct result r = RUN("stats", "teach", "tests/fixtures/prompts/eval.txt", "--limit", "2", "-c",
                          "hook_embed", "-o", vectors);
    assert_int_equal(r.status, 0);
    result_free(&r);
    snprintf(set, sizeof set,
             "blocks.{layer}.hook_resid_post[{pos}] = {f=file(\"%s\", \"hook_embed.max\")|"
             "file(\"%s\", \"hook_embed.max\")|file(\"%s\", \"hook_embed.mean\")}",
             vectors, between, vectors);
    const char *const begun[] = {"borescope", "sweep",    "teach", "-p",      ABOUT, "--set",
                                 set,         "--resume", part,    "--every", "0",   NULL};
    static const char *const limits[] = {"2", "4"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(i ? remove(between) : 0, 0);
        r = RUN("stats", "teach", "tests/fixtures/prompts/eval.txt", "--limit", limits[i], "-c",
                "hook_embed", "-o", between);
        assert_int_equal(r.status, 0);
        result_free(&r);
        if (i == 0)
            assert_false(command_killed(begun, "/dev/null", part, 0));
    }
    assert_refused(RUN("sweep", "teach", "-p", ABOUT, "--set", set, "--resume", part), 1,
                   "holds something else than it did");
    free(part), free(vectors), free(between);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),    cmocka_unit_test(test_nan),
        cmocka_unit_test(test_patch),   cmocka_unit_test(test_tables),
        cmocka_unit_test(test_files),   cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_killed),  cmocka_unit_test(test_files_between),
        cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
