/* test_cli_stats.c - `borescope stats`: what it prints and writes, killed at any moment and gone on
 * with, merged, refused; and the commands of docs/lab.md. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/checkpoint.h"

static void write_texts(const char *path, int first, int n)
{
    static const char *const words[] = {"store", "Mary", "John", "gave", "a",    "bag",
                                        "to",    "went", "the",  "When", "time", "said"};
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = first; i < first + n; i++) {
        for (int k = 0; k < 3 + i * 7 % 29; k++)
            fprintf(f, "%s%s", k ? " " : "", words[(i * 5 + k * k + k * i) % 12]);
        fputc('\n', f);
    }
    fclose(f);
}

static const char *const hooks = "blocks.*.{mlp.hook_post,attn.hook_z}";

static void same_files(const char *a, const char *b)
{
    size_t n, k;
    char *x = file_read(a, &n), *y = file_read(b, &k);
    assert_int_equal(n, k);
    assert_memory_equal(x, y, n);
    free(x), free(y);
}

/* A hook's row of --json against the file. */
static void what_it_prints(void **state)
{
    (void)state;
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt"),
         *out = folder_path(folder, "o.safetensors");
    write_texts(texts, 0, 30);
    struct js_doc *doc = RUN_JSON("stats", "teach", texts, "-c", hooks, "-o", out, "--json");
    struct js_node root = js_root(doc), row = js_at(js_get(root, "sites"), 0);
    struct checkpoint *st = checkpoint_open(out, NULL);
    assert_non_null(st);
    assert_int_equal(json_int(root, "texts"), 30);
    assert_int_equal(js_count(js_get(root, "sites")), 8);
    const char *name = json_string(row, "name");
    assert_string_equal(name, "blocks.0.attn.hook_z");
    assert_int_equal(json_number_at(js_get(row, "shape"), 1), 32);
    char buf[80];
    snprintf(buf, sizeof buf, "%s.mean", name);
    const struct st_tensor *t = checkpoint_find(st, buf);
    double sum = 0, n = (double)st_count(t);
    for (int64_t i = 0; i < st_count(t); i++)
        sum += ((const double *)t->data)[i];
    assert_true(fabs(json_number(row, "mean") - sum / n) < 1e-12);
    snprintf(buf, sizeof buf, "%s.abs_mean", name);
    assert_non_null(checkpoint_find(st, buf));
    assert_non_null(checkpoint_find(st, "histogram_edges"));
    assert_non_null(strstr(checkpoint_metadata(st, "taker"), "\"pos_count\": \"pos_frequency\""));
    checkpoint_close(st);
    js_close(doc);
    free(texts), free(out);
    folder_remove(folder);
}

#ifdef __SANITIZE_ADDRESS__ /* where a start takes seconds */
enum { KILLS = 4 };
#else
enum { KILLS = 20 };
#endif

/* Killed again and again and gone on with, it ends with the file of a run that nothing disturbed.
 */
static void killed(void **state)
{
    (void)state;
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt"),
         *out = folder_path(folder, "o.safetensors"), *whole = folder_path(folder, "w.safetensors"),
         *part = folder_path(folder, "p.safetensors");
    const char *const pairs = "blocks.1.mlp.hook_post[:, 3:9]";
    const char *const args[] = {"borescope",      "stats", "teach", texts, "-c",       hooks,
                                "--coactivation", pairs,   "-o",    out,   "--resume", part,
                                "--every",        "0",     NULL};
    int times = 0, early = 0;
    write_texts(texts, 0, 500);
    struct result r = RUN("stats", "teach", texts, "-c", hooks, "--coactivation", pairs, "-o",
                          whole);
    assert_int_equal(r.status, 0);
    result_free(&r);
    uint32_t seed = 3;
    for (bool ended = false; !ended; times++) {
        seed = seed * 1664525 + 1013904223;
        bool at_once = times % 4 == 3;
        ended = times < KILLS
                    ? command_killed(args, "/dev/null", at_once ? NULL : part, (long)(seed >> 27))
                    : command_killed(args, "/dev/null", NULL, -1);
        early += at_once;
    }
    assert_true(times > KILLS / 3 && early > 0);
    same_files(out, whole);
    assert_int_not_equal(access(part, F_OK), 0);
    free(texts), free(out), free(whole), free(part);
    folder_remove(folder);
}

static void merged(void **state)
{
    (void)state;
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt"),
         *a = folder_path(folder, "a.safetensors"), *b = folder_path(folder, "b.safetensors"),
         *ab = folder_path(folder, "ab.safetensors");
    write_texts(texts, 0, 20);
    struct result r = RUN("stats", "teach", texts, "-c", hooks, "--limit", "8", "-o", a);
    assert_int_equal(r.status, 0);
    result_free(&r);
    r = RUN("stats", "teach", texts, "-c", hooks, "--skip", "8", "-o", b);
    result_free(&r);
    struct js_doc *sum = RUN_JSON("stats", "--merge", a, b, "-o", ab, "--json"),
                  *whole = RUN_JSON("stats", "teach", texts, "-c", hooks, "--json");
    assert_int_equal(json_int(js_root(sum), "taken"), json_int(js_root(whole), "taken"));
    struct js_node x = js_at(js_get(js_root(sum), "sites"), 3),
                   y = js_at(js_get(js_root(whole), "sites"), 3);
    assert_true(fabs(json_number(x, "std") - json_number(y, "std")) < 1e-12);
    js_close(sum), js_close(whole);
    r = RUN("stats", "teach", texts, "-c", "hook_embed", "-o", b);
    result_free(&r);
    assert_refused(RUN("stats", "--merge", a, b, "-o", ab), 1, "statistics of other hooks");
    assert_refused(RUN("stats", "--merge", a, texts, "-o", ab), 1, "t.txt");
    assert_refused(RUN("stats", "--merge", a, b), 2, "into which file?");
    free(texts), free(a), free(b), free(ab);
    folder_remove(folder);
}

/* Coactivations against the statistics of the same elements, and through --resume and --merge. */
static void together(void **state)
{
    (void)state;
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt"),
         *out = folder_path(folder, "o.safetensors"), *part = folder_path(folder, "p.safetensors"),
         *both = folder_path(folder, "b.safetensors");
    write_texts(texts, 0, 12);
    const char *const chosen = "blocks.{1,2}.mlp.hook_post[:, {3, 40, 7}]";
    struct result r = RUN("stats", "teach", texts, "-c", hooks, "--coactivation", chosen,
                          "--coactivation", "blocks.0.attn.hook_z[:, 1, 5]", "-o", out);
    assert_int_equal(r.status, 0);
    result_free(&r);
    struct checkpoint *st = checkpoint_open(out, NULL);
    assert_string_equal(checkpoint_metadata(st, "coactivation"),
                        "[\"blocks.1.mlp.hook_post[:, 3]\", \"blocks.1.mlp.hook_post[:, 7]\", "
                        "\"blocks.1.mlp.hook_post[:, 40]\", \"blocks.2.mlp.hook_post[:, 3]\", "
                        "\"blocks.2.mlp.hook_post[:, 7]\", \"blocks.2.mlp.hook_post[:, 40]\", "
                        "\"blocks.0.attn.hook_z[:, 1, 5]\"]");
    const int64_t *count = checkpoint_find(st, "coactivation_count")->data;
    const double *product = checkpoint_find(st, "coactivation_product")->data;
    const struct st_tensor *positive = checkpoint_find(st, "blocks.2.mlp.hook_post.pos_count"),
                           *mean = checkpoint_find(st, "blocks.2.mlp.hook_post.mean"),
                           *var = checkpoint_find(st, "blocks.2.mlp.hook_post.variance"),
                           *z = checkpoint_find(st, "blocks.0.attn.hook_z.pos_count");
    assert_int_equal(count[5 * 7 + 5], ((const int64_t *)positive->data)[40]);
    assert_int_equal(count[6 * 7 + 6], ((const int64_t *)z->data)[32 + 5]);
    double m = ((const double *)mean->data)[40], square = ((const double *)var->data)[40] + m * m;
    assert_true(fabs(product[5 * 7 + 5] - square) < 1e-9 * square);
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < 7; k++)
            assert_true(count[i * 7 + k] == count[k * 7 + i] &&
                        count[i * 7 + k] <= count[i * 7 + i]);
    int64_t all = count[1 * 7 + 4];
    r = RUN("stats", "teach", texts, "-c", hooks, "--coactivation", chosen, "--limit", "5", "-o",
            part);
    result_free(&r);
    r = RUN("stats", "teach", texts, "-c", hooks, "--coactivation", chosen, "--skip", "5", "-o",
            both);
    result_free(&r);
    r = RUN("stats", "--merge", part, both, "-o", both);
    assert_int_equal(r.status, 0);
    result_free(&r);
    checkpoint_close(st);
    st = checkpoint_open(both, NULL);
    assert_int_equal(((const int64_t *)checkpoint_find(st, "coactivation_count")->data)[1 * 6 + 4],
                     all);
    checkpoint_close(st);
    assert_refused(RUN("stats", "--merge", part, out, "-o", both), 1, "or coactivations");
    assert_refused(RUN("stats", "teach", texts, "-c", "hook_embed", "--coactivation", chosen), 1,
                   "name the hook with -c, too");
    assert_refused(RUN("stats", "teach", texts, "-c", hooks, "--coactivation",
                       "blocks.0.mlp.hook_post[:, 9999]"),
                   1, "coactivation of blocks.0.mlp.hook_post[:, 9999]");
    assert_refused(
        RUN("stats", "teach", texts, "-c", hooks, "--coactivation", "blocks.0.mlp.hook_post"), 1,
        "more than 256 elements");
    free(texts), free(out), free(part), free(both);
    folder_remove(folder);
}

/* mean(FILE) puts the file's means there. */
static void means_are_read(void **state)
{
    (void)state;
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt"),
         *out = folder_path(folder, "o.safetensors"), *run = folder_path(folder, "r.safetensors"),
         ref[300];
    write_texts(texts, 0, 9);
    struct result r = RUN("stats", "teach", texts, "-c", hooks, "-o", out);
    assert_int_equal(r.status, 0);
    result_free(&r);
    snprintf(ref, sizeof ref, "s=%s", out);
    r = RUN("run", "teach", "-p", "John gave", "--ref", ref, "-e",
            "blocks.{1,2}.attn.hook_z = mean(s)", "-c", "blocks.2.attn.hook_z", "-o", run);
    assert_int_equal(r.status, 0);
    result_free(&r);
    struct checkpoint *a = checkpoint_open(out, NULL), *b = checkpoint_open(run, NULL);
    const struct st_tensor *mean = checkpoint_find(a, "blocks.2.attn.hook_z.mean"),
                           *z = checkpoint_find(b, "blocks.2.attn.hook_z");
    assert_true(mean && z && st_count(z) == 3 * st_count(mean));
    for (int64_t i = 0; i < st_count(z); i++)
        assert_true(((const float *)z->data)[i] ==
                    (float)((const double *)mean->data)[i % st_count(mean)]);
    checkpoint_close(a), checkpoint_close(b);
    assert_refused(RUN("run", "teach", "-p", "John", "--ref", ref, "-e",
                       "blocks.2.attn.hook_z = mean(s, pos=1)"),
                   1, "which has no prompts and positions");
    assert_refused(
        RUN("run", "teach", "-p", "John", "--ref", ref, "-e", "blocks.2.hook_mlp_out = mean(s)"), 1,
        "has no blocks.2.hook_mlp_out.mean");
    assert_refused(RUN("export", "teach", "-p", "John", "--ref", ref, "-e",
                       "blocks.2.attn.hook_z = mean(s)", "--to", "transformer_lens"),
                   1, "is a file of statistics");
    free(texts), free(out), free(run);
    folder_remove(folder);
}

static void filtered(void **state)
{
    (void)state;
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt");
    write_texts(texts, 0, 9);
    struct js_doc *doc = RUN_JSON("stats", "teach", texts, "-c", "hook_embed", "--pos", ":1",
                                  "--json");
    assert_int_equal(json_int(js_root(doc), "taken"), 9);
    js_close(doc);
    struct js_doc *with = RUN_JSON("stats", "teach", texts, "-c", "hook_embed", "--only-token",
                                   " Mary", "--json"),
                  *without = RUN_JSON("stats", "teach", texts, "-c", "hook_embed", "--skip-token",
                                      " Mary", "--json"),
                  *all = RUN_JSON("stats", "teach", texts, "-c", "hook_embed", "--json");
    int64_t n = json_int(js_root(with), "taken");
    assert_true(n > 0);
    assert_int_equal(n + json_int(js_root(without), "taken"), json_int(js_root(all), "taken"));
    js_close(with), js_close(without), js_close(all);
    free(texts);
    folder_remove(folder);
}

static void refused(void **state)
{
    (void)state;
    char *folder = folder_make(), *texts = folder_path(folder, "t.txt"),
         *part = folder_path(folder, "p.safetensors"), *other = folder_path(folder, "u.txt");
    write_texts(texts, 0, 4), write_texts(other, 1, 4);
    assert_refused(RUN("stats", "teach", texts), 2, "of which hooks?");
    assert_refused(RUN("stats", "teach", texts, "-c", "blocks.0.attn.hook_attn_scores"), 1,
                   "it has no statistics");
    assert_refused(RUN("stats", "teach", texts, "-c", "hook_embed", "--only-token", " Mary",
                       "--skip-token", " John"),
                   2, "give one of them");
    assert_refused(RUN("stats", "teach", texts, "-c", "hook_embed", "--pos", "x"), 2,
                   "expected positions of a window");
    assert_refused(RUN("stats", "teach", texts, "-c", "hook_embed", "--pos", "90:"), 1,
                   "no token was taken");
    assert_refused(RUN("stats", "teach", texts, "-c", "hook_embed", "-o", "x.txt"), 2, "x.txt");
    assert_refused(RUN("stats", "teach", texts, other, "-c", "hook_embed"), 2, "one set of texts");
    struct result r = RUN("stats", "teach", texts, "-c", "hook_embed", "-o", part);
    assert_int_equal(r.status, 0);
    result_free(&r);
    assert_refused(RUN("stats", "teach", texts, "-c", "ln_final.hook_scale", "--resume", part), 1,
                   "statistics of other hooks");
    assert_refused(RUN("stats", "teach", texts, "-c", "hook_embed", "-e", "hook_embed[:, 0] = 0",
                       "--resume", part),
                   1, "made otherwise");
    assert_refused(RUN("stats", "teach", other, "-c", "hook_embed", "--resume", part), 1,
                   "not the texts that were read before");
    assert_refused(RUN("stats", "teach", texts, "-c", "ln_final.hook_scale", "--center", part), 1,
                   "have none of it");
    free(texts), free(part), free(other);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_it_prints), cmocka_unit_test(killed),
                                       cmocka_unit_test(merged),         cmocka_unit_test(together),
                                       cmocka_unit_test(means_are_read), cmocka_unit_test(filtered),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
