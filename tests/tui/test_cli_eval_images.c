/* test_cli_eval_images.c - `borescope eval` of a classifier of images: against Hugging Face's,
 * folders of classes and tables, what is refused. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VIT "tests/fixtures/models/vit"
#define IMAGES "tests/fixtures/images/"

static struct js_node measure(struct js_doc *doc, const char *name, size_t len)
{
    struct js_node all = js_get(js_root(doc), "measures");
    for (size_t i = 0; i < js_count(all); i++)
        if (strlen(json_string(js_at(all, i), "name")) == len &&
            !memcmp(json_string(js_at(all, i), "name"), name, len))
            return js_at(all, i);
    fail_msg("no measure %s", name);
    return all;
}

static void near(double a, double b, const char *what)
{
    if (!(fabs(a - b) <= 1e-6 * (1 + fabs(b))))
        fail_msg("%s: %.10g instead of %.10g", what, a, b);
}

static void as_hugging_face(void **state)
{
    (void)state;
    struct js_doc *cases = js_open(IMAGES "eval.json", NULL);
    assert_non_null(cases);
    size_t n = js_count(js_root(cases));
    assert_int_equal(n, 2);
    for (size_t k = 0; k < n; k++) {
        struct js_node c = js_at(js_root(cases), k);
        const char *edit = js_is_string(js_get(c, "edit")) ? json_string(c, "edit") : NULL;
        struct js_doc *doc = RUN_JSON("eval", VIT, IMAGES "labels.csv", "-k", "3", "--json",
                                      edit ? "-e" : NULL, edit);
        assert_int_equal(json_int(js_root(doc), "images"), json_int(c, "images"));
        assert_int_equal(js_count(js_get(js_root(doc), "measures")), edit ? 5 : 3);
        for (struct js_iter it = js_members(js_get(c, "measures")); js_next(&it);) {
            const char *point = strchr(it.key, '.'), *face = point ? point + 1 : "base";
            char error[40];
            snprintf(error, sizeof error, "%s_error", face);
            struct js_node m = measure(doc, it.key,
                                       point ? (size_t)(point - it.key) : strlen(it.key));
            near(json_number(m, face), json_number_at(it.value, 0), it.key);
            near(json_number(m, error), json_number_at(it.value, 1), it.key);
        }
        js_close(doc);
    }
    js_close(cases);
}

static void copy(const char *from, const char *folder, const char *name)
{
    size_t len;
    char *bytes = file_read(from, &len), *to = folder_path(folder, name);
    FILE *f = fopen(to, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
    free(bytes), free(to);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char *path = folder_path(folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

static void make(const char *folder, const char *name)
{
    char *path = folder_path(folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

/* A folder and those in it. */
static void tree_remove(char *folder)
{
    char command[200];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
    free(folder);
}

/* The loss of a set of three, or of one of them. */
static double loss_of(const char *set, const char *more, const char *value)
{
    struct js_doc *doc = RUN_JSON("eval", VIT, set, "--json", more, value);
    double loss = json_number(measure(doc, "loss", 4), "base");
    assert_int_equal(json_int(js_root(doc), "images"), more ? 1 : 3);
    js_close(doc);
    return loss;
}

/* A folder of classes, and tables of the same files: one set. */
static void folders_and_tables(void **state)
{
    (void)state;
    char *folder = folder_make(), *tree = folder_path(folder, "tree"),
         *csv = folder_path(folder, "set.csv"), *tsv = folder_path(folder, "set.tsv"),
         *jsonl = folder_path(folder, "set.jsonl");
    make(folder, "tree");
    make(tree, "tabby, tabby cat"), make(tree, "drum"), make(tree, "7"), make(tree, ".hidden");
    copy(IMAGES "rgb.png", folder, "tree/7/b.png");
    copy(IMAGES "gray.jpg", folder, "tree/drum/a.JPG");
    copy(IMAGES "levels.npy", folder, "tree/tabby, tabby cat/c.npy");
    write_file(folder, "tree/drum/notes.txt", "no image");
    write_file(folder, "set.csv",
               "file,label\ntree/7/b.png,LABEL_7\n\"tree/tabby, tabby cat/c.npy\",tabby\n"
               "tree/drum/a.JPG,6\n");
    write_file(folder, "set.tsv",
               "class\tpath\ntabby cat\ttree/tabby, tabby cat/c.npy\n"
               "drum\ttree/drum/a.JPG\n7\ttree/7/b.png\n");
    write_file(folder, "set.jsonl", "{\"file\": \"tree/7/b.png\", \"label\": \"7\"}\n");
    double whole = loss_of(tree, NULL, NULL);
    near(loss_of(csv, NULL, NULL), whole, "csv");
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        char skip[4];
        snprintf(skip, sizeof skip, "%d", i);
        struct js_doc *one = RUN_JSON("eval", VIT, csv, "--json", "--skip", skip, "--limit", "1");
        assert_int_equal(json_int(js_root(one), "images"), 1);
        sum += json_number(measure(one, "loss", 4), "base");
        js_close(one);
    }
    near(sum / 3, whole, "one by one");
    struct js_doc *named = RUN_JSON("eval", VIT, tsv, "--json", "--field", "path", "--label",
                                    "class");
    near(json_number(measure(named, "loss", 4), "base"), whole, "tsv");
    js_close(named);
    near(loss_of(jsonl, "--limit", "1"), loss_of(csv, "--limit", "1"), "jsonl");
    struct result r = RUN("eval", VIT, tree);
    assert_non_null(strstr(r.out, "# 3 images; "));
    assert_null(strstr(r.out, "perplexity"));
    result_free(&r);
    free(tree), free(csv), free(tsv), free(jsonl);
    tree_remove(folder);
}

/* Folders that are called otherwise, as many as classes: torchvision's numbers. */
static void classes_by_order(void **state)
{
    (void)state;
    char *folder = folder_make(), name[16];
    for (int i = 0; i < 23; i++) {
        snprintf(name, sizeof name, "n%03d", i * 7);
        make(folder, name);
    }
    copy(IMAGES "rgb.png", folder, "n042/a.png"); /* the seventh: class 6 */
    struct result r = RUN("eval", VIT, folder, "--json"), same;
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "its folders are the classes 0..22"));
    write_file(folder, "set.csv", "file,label\nn042/a.png,drum\n");
    char *csv = folder_path(folder, "set.csv");
    same = RUN("eval", VIT, csv, "--json");
    assert_string_equal(r.out, same.out);
    result_free(&r), result_free(&same);
    free(csv);
    tree_remove(folder);
}

static void refuses(void **state)
{
    (void)state;
    char *folder = folder_make(), *csv = folder_path(folder, "set.csv");
    assert_refused(RUN("eval", VIT, folder), 1, "no image");
    assert_refused(RUN("eval", VIT), 2, "which images?");
    assert_refused(RUN("eval", VIT, "tests/fixtures/prompts/eval.txt"), 1, "takes images");
    assert_refused(RUN("eval", VIT, IMAGES "labels.csv", "--window", "8"), 2, "not of images");
    assert_refused(RUN("eval", VIT, IMAGES "labels.csv", "--choices"), 2, "not of images");
    assert_refused(RUN("eval", VIT, IMAGES "labels.csv", "--skip", "90"), 1, "no image");
    write_file(folder, "set.csv", "file,label\na.png,dog\n");
    assert_refused(RUN("eval", VIT, csv), 1, "line 2 · \"dog\" is no class");
    write_file(folder, "set.csv", "file,label\na.png,crane\n"); /* two classes are called so */
    assert_refused(RUN("eval", VIT, csv), 1, "several have that name");
    write_file(folder, "set.csv", "file,label\na.png,23\n");
    assert_refused(RUN("eval", VIT, csv), 1, "0..22");
    write_file(folder, "set.csv", "file,label\na.png,drum\n");
    assert_refused(RUN("eval", VIT, csv), 1, "a.png");
    write_file(folder, "set.csv", "picture,label\na.png,drum\n");
    assert_refused(RUN("eval", VIT, csv), 1, "file");
    make(folder, "poodle");
    assert_refused(RUN("eval", VIT, folder), 1, "\"poodle\" is no class");
    assert_refused(RUN("stats", VIT, csv, "-c", "hook_embed", "-o", "/tmp/none.safetensors"), 1,
                   "takes images");
    free(csv);
    tree_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_hugging_face), cmocka_unit_test(folders_and_tables),
        cmocka_unit_test(classes_by_order), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
