/* test_export.c - `borescope export`: whole programs against those in export/, refusals, and their
 * syntax where there is a Python.  What the programs compute is tested in test_export.py, where the
 * libraries are. */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "tests/fixtures/models/gpt2"
#define IDS "--tokens", "3,17,42,8,8,29,3,17,42"
#define EDITS                                                                                      \
    IDS, "--run", "corrupt=3,17,11,8,26,29,44,17,2", "-e", "blocks.{0..2}.attn.hook_z[-1, 1] = 0", \
        "-e", "blocks.1.attn.hook_pattern[{0,2}, 3:, {0,1,3}] *= 3, renormalize", "-e",            \
        "blocks.0.hook_resid_pre[2] = 0.5 * from(corrupt)", "-e", "blocks.*.hook_mlp_out = mean()"

/* The program with the one path of this machine made the same everywhere. */
static char *program(const char *text, const char *model)
{
    const char *line = strstr(text, "MODEL = \""), *end = line ? strchr(line, '\n') : NULL;
    assert_non_null(end);
    size_t before = (size_t)(line - text),
           size = strlen(text) + strlen(model) + sizeof "MODEL = \"\"";
    char *out = malloc(size);
    snprintf(out, size, "%.*sMODEL = \"%s\"%s", (int)before, text, model, end);
    return out;
}

static void assert_golden(const char *const *args, const char *path)
{
    struct result r = command_run(NULL, args);
    if (r.status)
        fail_msg("%s", r.err);
    char *have = program(r.out, args[1]);
    if (getenv("BORE_UPDATE_SCREENS")) {
        FILE *f = fopen(path, "we");
        assert_non_null(f);
        assert_int_equal(fwrite(have, 1, strlen(have), f), strlen(have));
        fclose(f);
    }
    size_t len;
    char *want = file_read(path, &len);
    if (strcmp(have, want) != 0)
        fail_msg("%s is not what is written now (BORE_UPDATE_SCREENS=1 writes it anew):\n%s", path,
                 have);
    free(have);
    free(want);
    result_free(&r);
}

static void test_golden(void **state)
{
    (void)state;
    static const char *const lens[] = {"export",
                                       MODEL,
                                       EDITS,
                                       "-c",
                                       "*",
                                       "-c",
                                       "transformer.h.0.attn.c_attn.output",
                                       "--to",
                                       "transformer_lens",
                                       "--process",
                                       "fold_ln",
                                       NULL};
    static const char *const nnsight[] = {"export",
                                          MODEL,
                                          EDITS,
                                          "-c",
                                          "blocks.*.hook_resid_post",
                                          "-c",
                                          "blocks.0.attn.hook_q",
                                          "--grad",
                                          "logit[-1, 3] - logit[-1, 5]",
                                          "--to",
                                          "nnsight",
                                          NULL};
    assert_golden(lens, "tests/tui/export/transformer_lens.py");
    assert_golden(nnsight, "tests/tui/export/nnsight.py");
}

/* Edits of weights and gradients: stored heads, joined heads, a bias that is not there, a fused
 * parameter. */
static void test_golden_weights(void **state)
{
    (void)state;
    static const char *const lens[] = {"export",
                                       "tests/fixtures/models/llama",
                                       IDS,
                                       "-e",
                                       "blocks.*.attn.W_K *= 0.5",
                                       "-e",
                                       "model.layers.0.self_attn.q_proj.weight[3:5, 2] = 0",
                                       "-e",
                                       "blocks.*.mlp.W_out += noise(0.1, seed=1)",
                                       "-e",
                                       "unembed.b_U[7] = 1",
                                       "-e",
                                       "blocks.0.ln1.hook_normalized_grad = clamp(-1, 1)",
                                       "-c",
                                       "blocks.0.ln1.hook_normalized",
                                       "--grad",
                                       "logit[-1, 3]",
                                       "--to",
                                       "transformer_lens",
                                       NULL};
    static const char *const nnsight[] = {"export",
                                          MODEL,
                                          IDS,
                                          "-e",
                                          "blocks.*.attn.W_Q[1, :, {0,1,4}] = 0",
                                          "-e",
                                          "unembed.W_U[:, 3] *= 2",
                                          "-e",
                                          "unembed.b_U[7] = 1",
                                          "-e",
                                          "blocks.0.mlp.W_out = project_out(dir(1, 2))",
                                          "-e",
                                          "blocks.1.attn.hook_q_grad[:, 1] *= 0.5",
                                          "-c",
                                          "blocks.1.attn.hook_q",
                                          "-c",
                                          "transformer.h.1.attn.c_attn.output",
                                          "--grad",
                                          "logit[-1, 3]",
                                          "--to",
                                          "nnsight",
                                          NULL};
    assert_golden(lens, "tests/tui/export/transformer_lens_weights.py");
    assert_golden(nnsight, "tests/tui/export/nnsight_weights.py");
}

/* Words and libraries in every combination that changes the text of a program, for Python's own
 * parser. */
static void test_syntax(void **state)
{
    (void)state;
    static const char *const edits[] = {"blocks.0.hook_resid_pre += noise(0.1, seed=7)",
                                        "blocks.1.hook_resid_pre = project_out(dir(1, 2))",
                                        "blocks.0.mlp.hook_post = clamp(-inf, 0.5)",
                                        "blocks.0.attn.hook_attn_scores[1] -= frozen",
                                        "blocks.*.attn.W_O[:, {0,1,3}, 2] += noise(0.1)",
                                        "blocks.*.hook_mlp_out_grad = project_out(dir(1, 2))"};
    enum { COUNT = sizeof edits / sizeof *edits };
    static const char *const grads[] = {"logit[-1, 3]", "2*logprob[0, 1] + loss - kl"};
    if (system("python3 -c pass >/dev/null 2>&1") != 0) {
        print_message("SKIP: no python3, programs are not parsed\n");
        return;
    }
    char *folder = folder_make(), *path = folder_path(folder, "program.py"), command[400];
    snprintf(command, sizeof command,
             "python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' '%s'", path);
    for (size_t i = 0; i < COUNT; i++)
        for (int to = 0; to < 2; to++) {
            struct result r = RUN("export", MODEL, IDS, "-e", edits[i], "-c",
                                  "blocks.*.attn.hook_{q,pattern}", "--grad", grads[i % 2], "--to",
                                  to ? "nnsight" : "transformer_lens", "-o", path);
            if (r.status)
                fail_msg("%s", r.err);
            assert_int_equal(r.out_len, 0);
            result_free(&r);
            assert_int_equal(system(command), 0);
        }
    folder_remove(folder);
    free(path);
}

/* A window that begins at a later layer is exported for the layers that have it. */
static void test_windows(void **state)
{
    (void)state;
    char *folder = folder_make(), *weights = folder_path(folder, "model.safetensors"),
         *config = folder_path(folder, "config.json"),
         *from = realpath("tests/fixtures/models/qwen2/model.safetensors", NULL);
    size_t len;
    char *text = file_read("tests/fixtures/models/qwen2/config.json", &len),
         *use = strstr(text, "\"use_sliding_window\": false"),
         *first = strstr(text, "\"max_window_layers\": 2");
    assert_true(from && use && first);
    memcpy(use, "\"use_sliding_window\": true ", strlen("\"use_sliding_window\": false"));
    first[strlen("\"max_window_layers\": ")] = '1';
    FILE *f = fopen(config, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
    assert_int_equal(symlink(from, weights), 0);
    struct result r = RUN("export", folder, IDS, "--to", "transformer_lens");
    if (r.status)
        fail_msg("%s", r.err);
    assert_non_null(
        strstr(r.out, "window_size=64, attn_types=[\"global\"] * 1 + [\"local\"] * 1,"));
    result_free(&r);
    free(text), free(from), free(config), free(weights);
    folder_remove(folder);
}

/* Models that see both ways are of other classes there. */
static void test_encoders_are_refused(void **state)
{
    (void)state;
    static const char *const libraries[] = {"transformer_lens", "nnsight"};
    for (int i = 0; i < 2; i++) {
        assert_refused(RUN("export", "tests/fixtures/models/bert", IDS, "--to", libraries[i]), 1,
                       "bert looks both ways");
        assert_refused(RUN("export", "tests/fixtures/models/vit", "--image",
                           "tests/fixtures/models/vit/pixels.npy", "--to", libraries[i]),
                       1, "vit looks both ways");
    }
}

static void test_refusals(void **state)
{
    (void)state;
#define LENS "export", MODEL, IDS, "--to", "transformer_lens"
#define LLAMA "export", "tests/fixtures/models/llama", IDS, "--to", "transformer_lens"
#define NNSIGHT "export", MODEL, IDS, "--to", "nnsight"
    assert_refused(RUN("export", MODEL, IDS), 2, "--to transformer_lens or --to nnsight");
    assert_refused(RUN("export", MODEL, IDS, "--to", "pyvene"), 2,
                   "no export to \"pyvene\" · transformer_lens or nnsight");
    assert_refused(RUN("export", MODEL, "--to", "nnsight"), 2, "needs a prompt");
    assert_refused(RUN(LENS, "-e", "blocks.0.hook_resid_pre = from(other)"), 1,
                   "no run is called \"other\"");
    assert_refused(
        RUN(LENS, "-e", "hook_embed = 0", "-e", "blocks.1.ln1.hook_out *= 2"), 1,
        "edit 2: blocks.1.ln1.hook_out *= 2 · TransformerLens has no hook on a norm's output");
    assert_refused(
        RUN(LENS, "-e", "blocks.0.ln1.hook_scale *= 2", "-e", "blocks.1.hook_q_input = 0"), 1,
        "edit 1: blocks.0.ln1.hook_scale *= 2 · TransformerLens gives the hooks of ln1 a head axis");
    assert_refused(
        RUN(LENS, "-e", "blocks.0.ln1.hook_scale_grad *= 2", "-c", "blocks.1.hook_q_input",
            "--grad", "loss"),
        1,
        "edit 1: blocks.0.ln1.hook_scale_grad *= 2 · TransformerLens gives the hooks of ln1 a head axis");
    assert_refused(
        RUN(LENS, "-e", "blocks.1.ln2.w *= 2", "--process", "usual"), 1,
        "edit 1: blocks.1.ln2.w *= 2 · after fold_ln TransformerLens' norms have no weights · --process without fold_ln");
    assert_refused(RUN(LLAMA, "-e", "layers.0.mlp.b_gate[2] += 1"), 1,
                   "before the gate · the same is blocks.0.mlp.hook_pre += …");
    assert_refused(RUN(LLAMA, "-e", "layers.1.mlp.b_in -= 1"), 1,
                   "the same is blocks.1.mlp.hook_pre_linear += …");
    assert_refused(RUN(LENS, "-e", "blocks.0.hook_resid_pre_grad = 0"), 1,
                   "there is no backward pass here");
    assert_refused(RUN(LENS, "-c", "blocks.0.ln2.hook_out"), 1,
                   "capture blocks.0.ln2.hook_out · TransformerLens has no hook");
    assert_refused(RUN(LENS, "--grad", "loss"), 2, "-c");
    assert_refused(RUN(LENS, "-c", "nowhere"), 1, "nowhere");
    assert_refused(RUN(NNSIGHT, "-e", "blocks.*.ln1.hook_scale *= 2"), 1,
                   "nnsight has no place for blocks.0.ln1.hook_scale: inside the norm");
    assert_refused(
        RUN(NNSIGHT, "-e", "blocks.1.hook_resid_mid_grad = 0", "-c", "blocks.0.hook_resid_post",
            "--grad", "loss"),
        1,
        "edit 1: blocks.1.hook_resid_mid_grad = 0 · nnsight has no place for blocks.1.hook_resid_mid");
    assert_refused(RUN(NNSIGHT, "-e", "blocks.0.attn.hook_result = 0"), 1,
                   "nnsight has no place for blocks.0.attn.hook_result");
    assert_refused(RUN(NNSIGHT, "-c", "blocks.0.ln1.hook_scale"), 1,
                   "capture blocks.0.ln1.hook_scale · nnsight has no place for it");
    assert_refused(RUN(NNSIGHT, "--process", "usual"), 1, "nnsight runs the checkpoint as it is");
    assert_refused(RUN(LENS, "-o", "/nowhere/x.py"), 1, "/nowhere/x.py");
    assert_refused(RUN("export", "tests/fixtures/models/falcon", IDS, "--to", "transformer_lens"),
                   1, "TransformerLens has no converter for falcon · --to nnsight");
    assert_refused(
        RUN("export", "tests/fixtures/models/opt_post_norm", IDS, "--to", "transformer_lens"), 1,
        "this model the sum of stream and branch · --to nnsight");
    assert_refused(RUN("export", "tests/fixtures/models/bloom", IDS, "-c",
                       "blocks.0.attn.hook_attn_scores", "--to", "nnsight"),
                   1, "nnsight has no place for");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden),
                                       cmocka_unit_test(test_golden_weights),
                                       cmocka_unit_test(test_syntax),
                                       cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_encoders_are_refused),
                                       cmocka_unit_test(test_windows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
