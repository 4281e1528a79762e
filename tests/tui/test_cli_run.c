/* test_cli_run.c - what `borescope run` captures and prints, against the reference values of the
 * fixtures. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define GPT2 "tests/fixtures/models/gpt2"
#define BERT "tests/fixtures/models/bert"

static void capture_of(const struct fixture *f, const char *path, const char *const input[2])
{
    char *folder = folder_make(), *file = folder_path(folder, "a.safetensors");
    struct result r = RUN("run", path, input[0], input[1], "-c", "*", "-o", file);
    assert_int_equal(r.status, 0);
    result_free(&r);
    struct checkpoint *st = fixture_tensors(file);
    struct js_doc *fired = fixture_json(f->ref, "fired");
    assert_int_equal(checkpoint_count(st), js_count(js_root(fired)) + 1); /* and logits */
    for (size_t i = 0; i < checkpoint_count(st); i++) {
        const struct st_tensor *got = checkpoint_at(st, i),
                               *want = checkpoint_find(f->ref, got->name);
        assert_non_null(want);
        assert_int_equal(got->dtype, want->dtype);
        assert_int_equal(got->rank, want->rank);
        assert_memory_equal(got->shape, want->shape, (size_t)want->rank * sizeof *want->shape);
        bool whole = want->dtype == ST_I64; /* indices of experts */
        double error = whole ? memcmp(got->data, want->data, want->nbytes) != 0
                             : fixture_error(got->data, want->data, want->nbytes / sizeof(float));
        if (!(error <= 1e-5))
            fail_msg("%s %s: relative error %.2g", path, got->name, error);
    }
    assert_string_equal(checkpoint_metadata(st, "processing"), "raw");
    assert_string_equal(checkpoint_metadata(st, "edits"), "[]");
    int32_t n, *tokens = fixture_ids(st, "tokens", &n);
    assert_int_equal(n, f->n);
    assert_memory_equal(tokens, f->tokens, (size_t)n * sizeof *tokens);
    free(tokens);
    js_close(fired);
    checkpoint_close(st);
    free(file);
    folder_remove(folder);
}

static void captures_are_the_library_s_values(void **state)
{
    (void)state;
    on_every_model(capture_of);
}

static void asking_for_a_site_switches_it_on(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    char *ids = fixture_prompt(f.ref), *folder = folder_make(),
         *file = folder_path(folder, "a.safetensors");
    struct result r = RUN("run", GPT2, "--tokens", ids, "-c", "blocks.*.attn.hook_result", "-c",
                          "hook_tokens", "-o", file);
    assert_int_equal(r.status, 0);
    result_free(&r);
    struct checkpoint *st = fixture_tensors(file);
    const struct st_tensor *got = checkpoint_find(st, "blocks.1.attn.hook_result"),
                           *want = checkpoint_find(f.ref, "blocks.1.attn.hook_result");
    assert_true(fixture_error(got->data, want->data, want->nbytes / sizeof(float)) <= 1e-5);
    got = checkpoint_find(st, "hook_tokens");
    assert_int_equal(got->dtype, ST_I64);
    for (int32_t i = 0; i < f.n; i++)
        assert_int_equal(((const int64_t *)got->data)[i], f.tokens[i]);
    assert_int_equal(checkpoint_count(st), 3 + 2);
    checkpoint_close(st);
    free(ids), free(file);
    folder_remove(folder);
    fixture_close(&f);
}

/* --pos on three kinds of axes: [pos, head, d], [head, dest, src], [pos, d]. */
static void positions_are_sliced_where_they_are(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    char *ids = fixture_prompt(f.ref), *folder = folder_make(),
         *file = folder_path(folder, "a.safetensors");
    static const char *const names[] = {"blocks.1.attn.hook_z", "blocks.1.attn.hook_pattern",
                                        "blocks.1.hook_resid_post"};
    const struct {
        const char *pos;
        int n, row[8];
        bool drop;
    } cases[] = {{"-2", 1, {f.n - 2}, true},
                 {"1:4", 3, {1, 2, 3}, false},
                 {"::3", 3, {0, 3, 6}, false},
                 {"4,0,-1", 3, {4, 0, f.n - 1}, false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct result r = RUN("run", GPT2, "--tokens", ids, "-c", names[0], "-c", names[1], "-c",
                              names[2], "--pos", cases[c].pos, "-o", file);
        assert_int_equal(r.status, 0);
        result_free(&r);
        struct checkpoint *st = fixture_tensors(file);
        for (int k = 0; k < 3; k++) {
            const struct st_tensor *got = checkpoint_find(st, names[k]),
                                   *want = checkpoint_find(f.ref, names[k]);
            int axis = k == 1 ? 2 : 1;
            assert_int_equal(got->rank, want->rank - cases[c].drop);
            int64_t outer = axis == 2 ? want->shape[1] : 1, inner = 1;
            for (int d = axis + 1; d < want->rank; d++)
                inner *= want->shape[d];
            const float *a = got->data, *b = want->data;
            for (int64_t o = 0; o < outer; o++)
                for (int i = 0; i < cases[c].n; i++)
                    for (int64_t j = 0; j < inner; j++)
                        assert_true(
                            fabs((double)a[(o * cases[c].n + i) * inner + j] -
                                 (double)b[(o * want->shape[axis] + cases[c].row[i]) * inner + j]) <
                            1e-4);
        }
        assert_int_equal(checkpoint_find(st, "logits")->shape[1], f.n); /* never sliced */
        assert_string_equal(checkpoint_metadata(st, "pos"), cases[c].pos);
        checkpoint_close(st);
    }
    free(ids), free(file);
    folder_remove(folder);
    fixture_close(&f);
}

static void npz_is_a_zip(void **state)
{
    (void)state;
    size_t len;
    char *folder = folder_make(), *file = folder_path(folder, "a.npz");
    struct result r = RUN("run", GPT2, "--tokens", "1,2", "-c", "hook_embed", "-o", file);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "2 tensors"));
    result_free(&r);
    char *bytes = file_read(file, &len);
    assert_memory_equal(bytes, "PK\3\4", 4);
    free(bytes), free(file);
    folder_remove(folder);
}

/* Edits from the reference list give its logits, through the command line. */
static void edits_give_the_reference_s_logits(void **state)
{
    (void)state;
    struct checkpoint *ref = fixture_file("gpt2", "edits.safetensors");
    struct js_doc *list = fixture_json(ref, "edits");
    char *folder = folder_make(), *file = folder_path(folder, "a.safetensors");
    struct fixture f = fixture_open("gpt2");
    char *ids = fixture_prompt(f.ref);
    int done = 0;
    for (size_t i = 0; i < js_count(js_root(list)); i += 7) { /* every one is run in test_run.c */
        struct js_node item = js_at(js_root(list), i), edits = js_get(item, "edits");
        const char *args[40] = {"run", GPT2, "--tokens", ids, "-o", file};
        int n = 6;
        if (strcmp(json_string(item, "kind"), "plain") &&
            strcmp(json_string(item, "kind"), "request"))
            continue;
        for (size_t k = 0; k < js_count(edits) && n < 38; k++) {
            args[n++] = "-e";
            args[n++] = json_string_at(edits, k);
        }
        struct result r = command_run(NULL, args);
        if (r.status)
            fail_msg("%s: %s", json_string_at(edits, 0), r.err);
        result_free(&r);
        struct checkpoint *st = fixture_tensors(file);
        const struct st_tensor *got = checkpoint_find(st, "logits"),
                               *want = checkpoint_find(ref, json_string(item, "logits"));
        assert_true(fixture_error(got->data, want->data, want->nbytes / sizeof(float)) <= 1e-5);
        checkpoint_close(st);
        done++;
    }
    assert_true(done >= 8);
    js_close(list);
    checkpoint_close(ref);
    free(ids), free(file);
    folder_remove(folder);
    fixture_close(&f);
}

static void base_and_edited_stand_side_by_side(void **state)
{
    (void)state;
    struct js_doc *doc = RUN_JSON("run", GPT2, "--tokens", "3,1,4,1,5", "-e",
                                  "blocks.1.hook_mlp_out[-1] *= -2", "-c", "blocks.1.hook_mlp_out",
                                  "-k", "3", "--json");
    struct js_node root = js_root(doc), base = js_get(root, "base"),
                   edited = js_get(root, "edited");
    assert_string_equal(json_string_at(js_get(root, "edits"), 0),
                        "blocks.1.hook_mlp_out[-1] *= -2");
    assert_int_equal(js_count(js_get(root, "tokens")), 5);
    assert_int_equal(js_count(js_get(root, "sites")), 2);
    assert_int_equal(js_count(js_get(base, "top")), 3);
    assert_true(json_number(base, "kl") == 0 && json_number(edited, "kl") > 0);
    assert_true(json_number(base, "loss") ==
                json_number(edited, "loss")); /* the last row predicts nothing known */
    struct js_doc *plain = RUN_JSON("run", GPT2, "--tokens", "3,1,4,1,5", "--json");
    assert_false(js_is_set(js_get(js_root(plain), "edited")));
    assert_true(json_number(js_get(js_root(plain), "base"), "loss") == json_number(base, "loss"));
    js_close(plain);
    js_close(doc);
}

static char *write_text(const char *folder, const char *name, const char *text)
{
    char *path = folder_path(folder, name);
    FILE *f = fopen(path, "we");
    assert_true(f && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

/* The weights of a masked language model under a class that has no head: what comes before it has
 * the same bits, what needs logits is refused, and the explorer shows norms. */
static void a_checkpoint_without_a_head(void **state)
{
    (void)state;
    enum { PATH = 4096 };
    char *folder = folder_make(), *weights = folder_path(folder, "model.safetensors"),
         *out[2] = {folder_path(folder, "a.safetensors"), folder_path(folder, "b.safetensors")},
         target[PATH];
    size_t len;
    char *config = file_read(BERT "/config.json", &len), *class = strstr(config, "ForMaskedLM");
    assert_non_null(class);
    memcpy(class, "Model\"      ", strlen("ForMaskedLM\""));
    free(write_text(folder, "config.json", config));
    assert_non_null(realpath(BERT "/model.safetensors", target));
    assert_int_equal(symlink(target, weights), 0);
    const char *models[] = {BERT, folder};
    for (int i = 0; i < 2; i++) {
        struct result r = RUN("run", models[i], "--tokens", "3,4,5", "-c", "blocks.*.attn.hook_z",
                              "-e", "blocks.0.hook_mlp_out[1] = 0", "-o", out[i]);
        assert_int_equal(r.status, 0);
        result_free(&r);
    }
    struct checkpoint *whole = fixture_tensors(out[0]), *bare = fixture_tensors(out[1]);
    assert_int_equal(checkpoint_count(bare) + 1, checkpoint_count(whole)); /* no logits */
    for (size_t i = 0; i < checkpoint_count(bare); i++) {
        const struct st_tensor *t = checkpoint_at(bare, i);
        assert_memory_equal(t->data, checkpoint_find(whole, t->name)->data, t->nbytes);
    }
    checkpoint_close(whole), checkpoint_close(bare);
    assert_refused(RUN("lens", folder, "--tokens", "3,4,5"), 1, "has no head");
    assert_refused(RUN("generate", folder, "--tokens", "3,4,5"), 1, "·");
    char *script = write_text(folder, "s.play",
                              "screen first\nkeys :quantity<Space>lens<Enter>\nscreen refused\n");
    struct result r = RUN("play", script, folder, "--tokens", "3,4,5");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "norm of blocks.*.hook_resid_post"));
    assert_non_null(strstr(r.out, "quantity norm|norm-pre|norm-mid|attn|mlp"));
    result_free(&r);
    free(script), free(config), free(weights), free(out[0]), free(out[1]);
    folder_remove(folder);
}

/* The embedding of types of one's own; of none the separator begins the next one. */
static void token_types(void **state)
{
    (void)state;
    static const char *const given[] = {NULL, "0,0,0,1,1", "1,0,1,0,1"};
    static const int types[][5] = {{0, 0, 0, 1, 1}, {0, 0, 0, 1, 1}, {1, 0, 1, 0, 1}};
    struct fixture f = fixture_open("bert");
    const struct kn_view *table = model_weight(f.m, 0, W_TYPE);
    int64_t d = f.m->cfg.d_model;
    float *rows = malloc(2 * (size_t)d * sizeof *rows);
    kn_decode_rows(table, 0, 2, rows);
    char *folder = folder_make(), *file = folder_path(folder, "a.safetensors");
    for (int i = 0; i < 3; i++) {
        struct result r = RUN("run", "tests/fixtures/models/bert", "--tokens", "3,17,29,8,5", "-c",
                              "embed.hook_token_type_embed", "-o", file,
                              given[i] ? "--token-types" : NULL, given[i]);
        assert_int_equal(r.status, 0);
        struct checkpoint *got = fixture_tensors(file);
        const float *x = checkpoint_find(got, "embed.hook_token_type_embed")->data;
        for (int p = 0; p < 5; p++)
            assert_memory_equal(x + p * d, rows + types[i][p] * d, (size_t)d * sizeof *x);
        checkpoint_close(got);
        result_free(&r);
    }
    free(rows), free(file);
    folder_remove(folder);
    fixture_close(&f);
    assert_refused(
        RUN("run", "tests/fixtures/models/bert", "--tokens", "3,17", "--token-types", "0,2"), 1,
        "token type 2 at position 1 · this model has 0..1");
    assert_refused(
        RUN("run", "tests/fixtures/models/bert", "--tokens", "3,17", "--token-types", "0"), 1,
        "1 types · the prompt has 2 tokens");
    assert_refused(RUN("run", GPT2, "--tokens", "3,17", "--token-types", "0,1"), 1,
                   "knows no token types");
}

/* from() of a shorter run, paired as --align says, is the same with each position written out. */
static void runs_of_other_lengths_are_paired(void **state)
{
    (void)state;
#define SHORTER(file)                                                                              \
    "run", GPT2, "--tokens", "3,17,42,8,26", "--run", "c=9,8,5", "-c", "blocks.2.hook_resid_post", \
        "-o", file
#define ROW(to, from) "-e", "blocks.1.hook_resid_pre[" #to "] = from(c, pos=" #from ")"
    static const char *const names[] = {"a.safetensors", "b.safetensors", "c.safetensors"};
    char *folder = folder_make(), *file[3];
    struct checkpoint *st[3];
    for (int i = 0; i < 3; i++)
        file[i] = folder_path(folder, names[i]);
    struct result r[] = {
        RUN(SHORTER(file[0]), "--align", "end", "-e", "blocks.1.hook_resid_pre = from(c)"),
        RUN(SHORTER(file[1]), ROW(2, 0), ROW(3, 1), ROW(4, 2)),
        RUN(SHORTER(file[2]), "--align", "token", "-e", "blocks.1.hook_resid_pre = from(c)")};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(r[i].status, 0);
        st[i] = fixture_tensors(file[i]);
        result_free(&r[i]);
    }
    const struct st_tensor *t = checkpoint_at(st[0], 0);
    assert_memory_equal(t->data, checkpoint_at(st[1], 0)->data, t->nbytes);
    assert_true(memcmp(t->data, checkpoint_at(st[2], 0)->data, t->nbytes) != 0); /* 8 is 8's */
    for (int i = 0; i < 3; i++)
        checkpoint_close(st[i]), free(file[i]);
    folder_remove(folder);
    assert_refused(RUN("run", GPT2, "--tokens", "3,17,42", "--run", "c=9,8", "-e",
                       "blocks.1.hook_resid_pre[0] = from(c)"),
                   1, "edit 1 · run c has 2 tokens, the prompt 3 · --align end or token");
#undef SHORTER
#undef ROW
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_types),
        cmocka_unit_test(runs_of_other_lengths_are_paired),
        cmocka_unit_test(captures_are_the_library_s_values),
        cmocka_unit_test(a_checkpoint_without_a_head),
        cmocka_unit_test(asking_for_a_site_switches_it_on),
        cmocka_unit_test(positions_are_sliced_where_they_are),
        cmocka_unit_test(npz_is_a_zip),
        cmocka_unit_test(edits_give_the_reference_s_logits),
        cmocka_unit_test(base_and_edited_stand_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
