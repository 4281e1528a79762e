/* test_cli_hints.c - refusals of edits, captures, metrics, reference sets and tokens: one line that
 * names what would work: the nearest name, the range, the shape that is expected. */
#include "command.h"

#include <stdlib.h>
#include <string.h>

#define PROMPT "-p", "When Mary and John went to the store, John gave a bag to"
#define RUN_EDIT(text, hint)                   \
    {                                          \
        hint,                                  \
        {                                      \
            "run", "teach", PROMPT, "-e", text \
        }                                      \
    }
#define LLAMA_EDIT(text, hint)                                                    \
    {                                                                             \
        hint,                                                                     \
        {                                                                         \
            "run", "tests/fixtures/models/llama", "--tokens", "3,4,5", "-e", text \
        }                                                                         \
    }
#define CAPTURE(text, hint)                    \
    {                                          \
        hint,                                  \
        {                                      \
            "run", "teach", PROMPT, "-c", text \
        }                                      \
    }
#define METRIC(text, hint)                                             \
    {                                                                  \
        hint,                                                          \
        {                                                              \
            "run", "teach", PROMPT, "-c", "hook_embed", "--grad", text \
        }                                                              \
    }
#define REF "--ref", "tests/fuzz/corpus/reference/text"

struct hint {
    const char *hint, *args[12];
};

static const struct hint table[] = {
    /* names */
    RUN_EDIT("blocks.0.attn.hook_zz = 0", "the nearest is blocks.0.attn.hook_z"),
    RUN_EDIT("blocks.2.hook_z = 0", "the nearest is blocks.2.attn.hook_z"),
    RUN_EDIT("blocks.9.hook_z = 0", "this model has layers 0..3"),
    RUN_EDIT("blocks.*.hook_resid_pree = 0", "the nearest is blocks.0.hook_resid_pre"),
    RUN_EDIT("blocks.9.attn.hook_z = 0", "this model has layers 0..3"),
    RUN_EDIT("blocks.{2..9}.hook_mlp_out = 0",
             "no layer 9 for \"blocks.{2..9}.hook_mlp_out\" · this model has layers 0..3"),
    RUN_EDIT("hook_pos_embed = 0", "positions are rotary here"),
    RUN_EDIT("blocks.0.mlp.W_inn = 0", "the nearest is blocks.0.mlp.W_in"),
    RUN_EDIT("blocks.*.mlp.W_ot = 0", "the nearest is blocks.0.mlp.W_out"),
    RUN_EDIT("blocks.9.mlp.W_in = 0", "this model has layers 0..3"),
    RUN_EDIT("pos_embed.W_pos = 0", "positions are rotary here"),
    RUN_EDIT("W_Q = 0", "edit them by a pattern such as blocks.*.attn.W_Q"),
    LLAMA_EDIT("blocks.0.hook_attn_in = 0", "grouped"),
    CAPTURE("blocks.0.hook_resid_pree", "the nearest is blocks.0.hook_resid_pre"),
    CAPTURE("blocks.9.hook_resid_pre", "this model has layers 0..3"),
    CAPTURE("*resid_prr", "the nearest is "),
    CAPTURE("blocks.{0..9}.hook_resid_pre", "no layer 9"),
    CAPTURE("hook_pos_embed", "positions are rotary here"),
    /* indices */
    RUN_EDIT("blocks.0.attn.hook_z[15] = 0",
             "pos 15 is out of range · blocks.0.attn.hook_z has pos 0..14 or -15..-1"),
    RUN_EDIT("blocks.0.attn.hook_z[-16] = 0", "has pos 0..14 or -15..-1"),
    RUN_EDIT("blocks.0.attn.hook_z[:, {0,6}] = 0",
             "head 6 is out of range · blocks.0.attn.hook_z has head 0..5"),
    RUN_EDIT("blocks.0.attn.hook_pattern[0, 0, 15] = 0",
             "src 15 is out of range · blocks.0.attn.hook_pattern has src 0..14"),
    RUN_EDIT("blocks.0.mlp.hook_post[:, 512:] = 0",
             "d_mlp 512:512 selects nothing · it goes 0..511"),
    RUN_EDIT("blocks.0.attn.hook_z[{5..2}] = 0", "write the smaller end first"),
    RUN_EDIT("blocks.0.hook_resid_pre[0, head=3] = 0",
             "no axis head · blocks.0.hook_resid_pre has pos 15, d_model 192"),
    RUN_EDIT("blocks.0.hook_resid_pre[0, 1, 2] = 0",
             "3 indices · blocks.0.hook_resid_pre has pos 15, d_model 192"),
    RUN_EDIT("blocks.0.attn.hook_z[foo=3] = 0", "these are pos head kv_head"),
    RUN_EDIT("blocks.0.hook_resid_pre[\"Jon\"] = 0", "the nearest are \" John\" (4)"),
    RUN_EDIT("blocks.0.hook_resid_pre[\"John\"#3] = 0", "it occurs 2 times"),
    RUN_EDIT("blocks.0.hook_resid_pre[:, \"John\"] = 0",
             "a token stands for a position; d_model goes 0..191"),
    RUN_EDIT("unembed.hook_out[-1, \" Maryy\"] = 0",
             "\" Maryy\" is not one token of this model · the nearest is \" Mary\""),
    RUN_EDIT("unembed.hook_out[-1, 3328] = 0", "has d_vocab 0..3327"),
    RUN_EDIT("blocks.0.attn.W_Q[6] = 0", "blocks.0.attn.W_Q has head 0..5"),
    RUN_EDIT("embed.W_E[\" Maryy\"] = 0", "the nearest is \" Mary\""),
    LLAMA_EDIT("blocks.0.attn.W_K[1] = 0", "select all of them, or edit blocks.0.attn._W_K[0]"),
    LLAMA_EDIT("blocks.0.attn.hook_k[:, 2] = 0", "has kv_head 0..1"),
    /* values */
    RUN_EDIT("blocks.0.attn.hook_z = zero", "values are NUMBER, from(RUN), mean(), mean(REF)"),
    RUN_EDIT("blocks.0.attn.hook_z == 0", "values are NUMBER"),
    RUN_EDIT("blocks.0.attn.hook_z / 2", "these are = += -= *="),
    RUN_EDIT("blocks.0.attn.hook_z = 1e39", "the largest is 3.4028235e38"),
    RUN_EDIT("blocks.0.attn.hook_z = 0, renormalize",
             "has no rows to renormalize · hook_pattern has"),
    RUN_EDIT("blocks.0.hook_resid_pre = from(corupt)",
             "the nearest is base · name one: --run corupt=TEXT"),
    {"the nearest is corrupt",
     {"run", "teach", PROMPT, "--run", "corrupt=a", "-e", "hook_embed = from(corupt)"}},
    {"run corrupt has 2 tokens, the prompt 15 · --align end or token",
     {"run", "teach", PROMPT, "--run", "corrupt=a", "-e", "hook_embed = from(corrupt)"}},
    {"position 7 is asked for, that run has 0..1",
     {"run", "teach", PROMPT, "--run", "corrupt=a", "-e", "hook_embed = from(corrupt, pos=7)"}},
    RUN_EDIT("blocks.0.hook_resid_pre += dir(\" Mary\", \" Johnn\")",
             "dir() · \" Johnn\" is not one token of this model · the nearest is \" John\""),
    RUN_EDIT("blocks.0.hook_resid_pre += dir(1, 3328)", "this model's vocabulary is 0..3327"),
    RUN_EDIT("blocks.0.attn.hook_z += dir(1, 2)",
             "blocks.0.attn.hook_z has no d_model axis · use a hook of the residual stream"),
    RUN_EDIT("blocks.0.mlp.W_in += dir(1, 2)", "use a weight that writes to the residual stream"),
    RUN_EDIT("blocks.0.mlp.W_in = frozen", "these fit: a number, clamp(LO, HI)"),
    RUN_EDIT("hook_embed = file(\"/nowhere.safetensors\", \"x\")",
             "/nowhere.safetensors · cannot open"),
    RUN_EDIT(
        "hook_embed = file(\"tests/fixtures/models/llama/model.safetensors\", \"model.norm.weigh\")",
        "the nearest is \"model.norm.weight\""),
    RUN_EDIT(
        "hook_embed = file(\"tests/fixtures/models/llama/model.safetensors\", \"model.norm.weight\")",
        "model.norm.weight is [24] · the selection is [15, 192]"),
    RUN_EDIT("hook_tokens[3] = 3328", "a whole number 0..3327"),
    RUN_EDIT("blocks.0.hook_mlp_out = mean(ref)", "name one: --ref ref=FILE"),
    {"the nearest is ref", {"run", "teach", PROMPT, REF, "-e", "hook_embed = mean(rf)"}},
    {"the longest prompt of ref has 0..",
     {"run", "teach", PROMPT, REF, "-e", "hook_embed = mean(ref, pos=same)"}},
    {"the longest prompt of ref has 0..",
     {"run", "teach", PROMPT, REF, "-e", "hook_embed = resample(ref)"}},
    {"mean(ref, pos=same) takes the mean at each",
     {"run", "teach", PROMPT, REF, "-e", "blocks.0.attn.hook_pattern = mean(ref)"}},
    {"edit 2 · ", {"run", "teach", PROMPT, "-e", "hook_embed = 0", "-e", "hook_embed = "}},
    /* a second model */
    {"models to compare are of one shape",
     {"explore", "teach", PROMPT, "--against", "tests/fixtures/models/gpt2", "--plain"}},
    {"neither a folder, a file nor in the cache",
     {"explore", "teach", PROMPT, "--against", "nowhere", "--plain"}},
    /* reference sets */
    {"--ref NAME=FILE", {"run", "teach", PROMPT, "--ref"}},
    {"expected NAME=FILE or FILE", {"run", "teach", PROMPT, "--ref", "a="}},
    {"one prompt per line", {"run", "teach", PROMPT, "--ref", "/tmp"}},
    {"line 1 · byte 2 is not UTF-8",
     {"run", "teach", PROMPT, "--ref", "tests/fuzz/corpus/reference/broken"}},
    /* metrics and tokens */
    METRIC("logit[-1, \" Maryy\"]",
           "\" Maryy\" is not one token of this model · the nearest is \" Mary\""),
    METRIC("logit[-1, 3328]", "this model's vocabulary is 0..3327"),
    METRIC("logit[15, 3]", "the prompt has positions -15..14"),
    METRIC(
        "logits[-1, 3]",
        "column 1 · expected logit[pos, token], logprob[pos, token], rank[pos, token], loss or kl"),
    METRIC("logit[-1]", "expected , and a token"),
    METRIC("logit[\"John\", 3]", "expected a position such as 3 or -1"),
    {"name some with -c", {"run", "teach", PROMPT, "--grad", "loss"}},
    {"the nearest is \" Mary\"", {"lens", "teach", PROMPT, "--target", " Maryy"}},
    {"this model's vocabulary is 0..3327", {"lens", "teach", PROMPT, "--target", "3328"}},
    {"this model has 0..3", {"attn", "teach", PROMPT, "-l", "4"}},
    {"this model has 0..5", {"attn", "teach", PROMPT, "-H", "6"}},
    {"the prompt has positions 0..14", {"run", "teach", PROMPT, "-c", "hook_embed", "--pos", "15"}},
};

static void refusals_name_what_would_work(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct result r = command_run(NULL, table[i].args);
        if (!r.status)
            fail_msg("row %zu was accepted: %s", i, table[i].args[5] ? table[i].args[5] : "");
        int status = r.status;
        assert_refused(r, status, table[i].hint);
    }
}

/* One rule for tokens as arguments, here as in the explorer: the exact one, else the one with a
 * space, and then it is said. */
static void a_token_is_exact_or_said(void **state)
{
    (void)state;
    struct result r = RUN("attribute", "teach", PROMPT, "--pair", "Mary/John");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "logit[-1, \"Mary\"] - logit[-1, \"John\"]"));
    assert_string_equal(r.err, "");
    result_free(&r);
    r = RUN("attribute", "teach", PROMPT, "--pair", "bag/ John");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "logit[-1, \" bag\"] - logit[-1, \" John\"]"));
    assert_non_null(strstr(r.err, "\"bag\" is no token · taken as \" bag\""));
    result_free(&r);
}

/* The second model opens compared, and is read out as B. */
static void another_model_is_b(void **state)
{
    (void)state;
    struct result r = RUN("explore", "teach", PROMPT, "--against", "teach", "--plain");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "answer at position 14 in B: \" Mary\" 0.984"));
    assert_non_null(strstr(r.out, "in A: \" Mary\" 0.984"));
    assert_non_null(strstr(r.out, "change 0.00\n"));
    result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_name_what_would_work),
        cmocka_unit_test(a_token_is_exact_or_said),
        cmocka_unit_test(another_model_is_b),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
