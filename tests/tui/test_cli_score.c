/* test_cli_score.c - `borescope score` and `borescope prune`: what they print and write, files of
 * edits, checkpoints, learned masks, what they refuse. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/checkpoint.h"

#define MODEL "tests/fixtures/models/gpt2"
#define FOCUS "--focus", "tests/fixtures/prompts/score_focus.txt"
#define CRIPPLE "--cripple", "tests/fixtures/prompts/score_cripple.txt"
#define SETS FOCUS, CRIPPLE, "--no-bos"
static const char *const focus = "tests/fixtures/prompts/score_focus.txt",
                         *const cripple = "tests/fixtures/prompts/score_cripple.txt";

static int lines(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void one_line_of_edits(const char *path, const char *part)
{
    size_t n;
    char *text = file_read(path, &n);
    assert_non_null(strstr(text, part));
    free(text);
}

/* ---- score ---- */

static void ranked(void **state)
{
    (void)state;
    char *folder = folder_make(), *out = folder_path(folder, "s.safetensors");
    struct js_doc *doc = RUN_JSON("score", MODEL, SETS, "--unit", "dims", "-o", out, "--json");
    struct js_node all = js_get(js_root(doc), "ranked");
    struct checkpoint *st = checkpoint_open(out, NULL);
    assert_non_null(st);
    const struct st_tensor *t = checkpoint_find(st, "dims"), *f = checkpoint_find(st, "dims.focus"),
                           *c = checkpoint_find(st, "dims.cripple");
    assert_true(t && f && c && t->rank == 3 && t->shape[0] == 3 && t->shape[2] == 5);
    assert_string_equal(checkpoint_metadata(st, "score"), "abs");
    assert_int_equal(js_count(all), st_count(t));
    double before = INFINITY;
    for (size_t i = 0; i < js_count(all); i++) {
        struct js_node one = js_at(all, i);
        int64_t at = (json_int(one, "layer") * t->shape[1] + json_int(one, "head")) * 5 +
                     json_int(one, "dim");
        double score = json_number(one, "score");
        assert_true(score <= before && score == ((const double *)t->data)[at]);
        double a = json_number(one, "focus"), b = json_number(one, "cripple");
        assert_true(a == ((const double *)f->data)[at] && b == ((const double *)c->data)[at]);
        assert_true(fabs(score - b / (a + 1e-4)) < 1e-12 * score);
        before = score;
    }
    checkpoint_close(st);
    js_close(doc);
    struct result r = RUN("score", MODEL, SETS, "--unit", "dims", "-k", "4");
    assert_int_equal(r.status, 0);
    assert_int_equal(lines(r.out), 4 + 4); /* model, formula, how many, heading */
    assert_non_null(strstr(r.out, "abs = c.abs_mean / (f.abs_mean + eps)"));
    result_free(&r);
    free(out);
    folder_remove(folder);
}

/* Statistics that were made before give the same, but not under edits. */
static void from_statistics(void **state)
{
    (void)state;
    char *folder = folder_make(), *a = folder_path(folder, "a.safetensors"),
         *b = folder_path(folder, "b.safetensors");
    static const char *const hooks = "blocks.*.{mlp.hook_post,attn.hook_z}";
    struct result r = RUN("stats", MODEL, focus, "-c", hooks, "-o", a, "--no-bos");
    assert_int_equal(r.status, 0);
    result_free(&r);
    r = RUN("stats", MODEL, cripple, "-c", hooks, "-o", b, "--no-bos");
    assert_int_equal(r.status, 0);
    result_free(&r);
    struct result x = RUN("score", MODEL, SETS, "--score", "rms", "--tsv"),
                  y = RUN("score", MODEL, "--focus", a, "--cripple", b, "--score", "rms", "--tsv");
    assert_int_equal(x.status, 0);
    assert_string_equal(x.out, y.out);
    result_free(&x), result_free(&y);
    assert_refused(RUN("score", MODEL, "--focus", a, CRIPPLE, "-e", "hook_embed *= 2"), 2,
                   "statistics are what they are");
    assert_refused(RUN("score", MODEL, "--focus", a, "--cripple", b, "--score", "ablation"), 2,
                   "it goes over the texts");
    free(a), free(b);
    folder_remove(folder);
}

static void score_refused(void **state)
{
    (void)state;
    assert_refused(RUN("score", MODEL, CRIPPLE), 2, "--focus · which texts?");
    assert_refused(RUN("score", MODEL, SETS, "--score", "stdd"), 2, "did you mean std?");
    assert_refused(RUN("score", MODEL, SETS, "--unit", "layers"), 2, "expected neurons, dims");
    assert_refused(RUN("score", MODEL, SETS, "--unit", "heads", "--heads-by", "max"), 2,
                   "mean or median");
    assert_refused(
        RUN("score", MODEL, SETS, "--score", "attribution", "--window", "4", "--stride", "2"), 1,
        "windows overlap");
    assert_refused(RUN("score", MODEL, "--focus", "-", CRIPPLE), 2, "standard input");
}

/* ---- prune ---- */

/* Lines of a file stand where the option does; blank ones and comments are none. */
static void files_of_edits(void **state)
{
    (void)state;
    char *folder = folder_make(), *path = folder_path(folder, "e"), at[300];
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs("# two\r\n\nblocks.0.mlp.hook_post[:, 3] = 0 # a comment\r\n  "
          "blocks.1.attn.hook_z[:, 1] = 0\n",
          f);
    fclose(f);
    snprintf(at, sizeof at, "@%s", path);
    struct result a = RUN("run", MODEL, "--tokens", "3,4,5", "-e", "hook_embed *= 2", "-e", at,
                          "--json"),
                  b = RUN("run", MODEL, "--tokens", "3,4,5", "-e", "hook_embed *= 2", "-e",
                          "blocks.0.mlp.hook_post[:, 3] = 0", "-e",
                          "blocks.1.attn.hook_z[:, 1] = 0", "--json");
    assert_int_equal(a.status, 0);
    assert_string_equal(a.out, b.out);
    result_free(&a), result_free(&b);
    assert_refused(RUN("run", MODEL, "--tokens", "3,4", "-e", "@nowhere"), 1, "nowhere");
    f = fopen(path, "wb");
    fputs("# nothing\n", f);
    fclose(f);
    assert_refused(RUN("run", MODEL, "--tokens", "3,4", "-e", at), 1, "no edit in it");
    free(path);
    folder_remove(folder);
}

static double last(struct js_doc *doc, const char *set, const char *measure, const char *what)
{
    struct js_node h = js_get(js_root(doc), "history");
    return json_number(js_get(js_get(js_at(h, js_count(h) - 1), set), measure), what);
}

/* The edits of the file do what the history says. */
static void edits_and_masks(void **state)
{
    (void)state;
    char *folder = folder_make(), *edits = folder_path(folder, "p.edits"),
         *masks = folder_path(folder, "p.safetensors"), at[300];
    struct js_doc *doc = RUN_JSON("prune", MODEL, SETS, "--neurons", "0.1", "--dims", "0.2",
                                  "--steps", "2", "-o", edits, "--json");
    double loss = last(doc, "cripple", "loss", "edited");
    struct js_node h = js_get(js_root(doc), "history"), end = js_at(h, 2);
    assert_int_equal(js_count(h), 3);
    int64_t sum = 0;
    for (size_t l = 0; l < 3; l++)
        sum += (int64_t)json_number_at(js_get(end, "neurons_per_layer"), l);
    assert_int_equal(sum, json_int(end, "neurons"));
    assert_int_equal(json_int(js_at(js_get(end, "taken"), 1), "units") * 2, json_int(end, "dims"));
    js_close(doc);
    snprintf(at, sizeof at, "@%s", edits);
    for (int k = 0; k < 2; k++) {
        struct js_doc *eval = k ? RUN_JSON("eval", MODEL, cripple, "--no-bos", "--json", "--taker",
                                           "mlp_pre_out: mask\nattn_pre_out: mask",
                                           "--taker-params", masks)
                                : RUN_JSON("eval", MODEL, cripple, "--no-bos", "--json", "-e", at);
        struct js_node one = js_at(js_get(js_root(eval), "measures"), 0);
        assert_string_equal(json_string(one, "name"), "loss");
        assert_true(fabs(json_number(one, "edited") - loss) < 1e-6);
        js_close(eval);
        struct result r = RUN("prune", MODEL, SETS, "--neurons", "0.1", "--dims", "0.2", "--steps",
                              "2", "-o", masks, "--plot");
        assert_int_equal(r.status, 0);
        assert_non_null(strstr(r.out, "\ncripple  "));
        result_free(&r);
    }
    struct result r = RUN("prune", MODEL, SETS, "--heads", "0.2", "--with", "mean(ref)", "--ref",
                          focus, "-o", edits, "--tsv");
    assert_int_equal(r.status, 0);
    assert_int_equal(lines(r.out), 3);
    one_line_of_edits(edits, "}] = mean(ref)\n");
    one_line_of_edits(edits, "# --ref ref=tests/fixtures/prompts/score_focus.txt\n");
    result_free(&r);
    free(edits), free(masks);
    folder_remove(folder);
}

static void prune_refused(void **state)
{
    (void)state;
    assert_refused(RUN("prune", MODEL, SETS), 2, "how much is to go?");
    assert_refused(RUN("prune", MODEL, SETS, "--neurons", "0.0001"), 1, "that is none of");
    assert_refused(RUN("prune", MODEL, SETS, "--heads", "0.5", "--dims", "0.5"), 2, "not both");
    assert_refused(RUN("prune", MODEL, SETS, "--heads", "0.5", "--shrink"), 2, "--write FOLDER");
    char *folder = folder_make(), *to = folder_path(folder, "cut"); /* before any work */
    assert_refused(RUN("prune", MODEL, SETS, "--heads", "0.5", "--shrink", "--write", to), 1,
                   "--shrink · it cuts out neurons and whole heads · heads: config.json of gpt2");
    assert_refused(RUN("prune", MODEL, SETS, "--dims", "0.5", "--shrink", "--write", to), 1,
                   "neither is to go");
    assert_refused(RUN("prune", MODEL, SETS, "--neurons", "0.5", "--shrink", "--write", to), 1,
                   "--per-layer takes as many of each");
    free(to);
    folder_remove(folder);
    assert_refused(
        RUN("prune", MODEL, SETS, "--neurons", "0.1", "--score", "rand", "--png", "/nowhere/x.png"),
        1, "/nowhere/x.png");
    assert_refused(RUN("prune", MODEL, SETS, "--learn"), 2, "where do the masks go?");
    assert_refused(RUN("prune", MODEL, "--score", "rand", "--neurons", "0.1", "--png", "x.png"), 2,
                   "nothing is evaluated");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranked),          cmocka_unit_test(from_statistics),
        cmocka_unit_test(score_refused),   cmocka_unit_test(files_of_edits),
        cmocka_unit_test(edits_and_masks), cmocka_unit_test(prune_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
