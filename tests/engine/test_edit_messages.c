/* test_edit_messages.c - what the edit language says about text that is no edit: what, where, what
 * would work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edit_refused.h"

#define VALUES                                                                                                     \
    "values are NUMBER, from(RUN), mean(), mean(REF), resample(REF, seed=N), frozen, clamp(LO, HI), "              \
    "noise(SIGMA, seed=N), dir(\"A\", \"B\"), file(\"PATH\", \"TENSOR\"), project_out(DIRECTION), "                \
    "rows(\"PATH\", \"NAME\"), mask(\"PATH\", \"NAME\", FN), offset(VECTOR), unoffset(VECTOR), postbias(VECTOR), " \
    "whiten(\"PATH\", \"NAME\"), unwhiten(\"PATH\", \"NAME\")"

struct refusal {
    const char *text, *says;
};

static const struct refusal on_values[] = {
    {"", "empty edit · column 1 · HOOK[index] = VALUE, as in blocks.0.attn.hook_z[-1, 3] = 0"},
    {"  # nothing",
     "empty edit · column 12 · HOOK[index] = VALUE, as in blocks.0.attn.hook_z[-1, 3] = 0"},
    {"= 3",
     "expected a hook name · column 1 · HOOK[index] = VALUE, as in blocks.0.attn.hook_z[-1, 3] = 0"},
    {"x", "expected an operator · column 2 · these are = += -= *="},
    {"x /= 2", "expected an operator · column 3 · these are = += -= *="},
    {"x =", "expected a value · column 4 · " VALUES},
    {"x = = 3", "expected a value · column 5 · " VALUES},
    {"x = foo", "unknown value \"foo\" · column 5 · " VALUES},
    {"x = 3x", "not a number · column 5 · such as 0, -1.5, 1e-3, inf, -inf, nan"},
    {"x = 1.2.3", "not a number · column 5 · such as 0, -1.5, 1e-3, inf, -inf, nan"},
    {"x = 1,5", "unexpected text after the edit · column 6 · one edit is HOOK[index] = VALUE"},
    {"x = 1e39", "number beyond f32 · column 5 · the largest is 3.4028235e38; inf is written inf"},
    {"x = 0 0", "unexpected text after the edit · column 7 · one edit is HOOK[index] = VALUE"},
    {"x = 2 * 3", "expected a value · column 9 · " VALUES},
    {"x = from", "expected ( · column 9 · from(RUN)"},
    {"x = from()", "expected the name of a run · column 10 · from(RUN)"},
    {"x = from(\"\")", "expected the name of a run · column 10 · from(RUN)"},
    {"x = from(\"a\\x00\")", "zero byte in the name of a run · column 10 · from(RUN)"},
    {"x = mean(\"\")", "expected the name of a reference set · column 10 · mean(REF)"},
    {"x = mean(ref, pos)", "expected pos= · column 18 · as in mean(ref, pos=same)"},
    {"x = mean(ref, pos=x)", "expected a position · column 19 · a whole number, end, or same"},
    {"x = mean(ref, seed=1)", "expected pos= · column 15 · as in mean(ref, pos=same)"},
    {"x = resample()", "expected the name of a reference set · column 14 · resample(REF, seed=N)"},
    {"x = resample(ref, seed=1, seed=2)",
     "expected seed= or pos= · column 27 · as in resample(ref, seed=7, pos=-1)"},
    {"x = resample(ref, pos=same)", "expected a whole number · column 23 · such as 0, 12 or -1"},
    {"x = from(a b)", "expected ) · column 12 · from(RUN)"},
    {"x = from(a, pos 2)", "expected pos= · column 17 · as in from(corrupt, pos=-1)"},
    {"x = from(a, pos=x)", "expected a whole number · column 17 · such as 0, 12 or -1"},
    {"x = frozen()",
     "unexpected text after the edit · column 11 · one edit is HOOK[index] = VALUE"},
    {"x = noise(-1)",
     "not a standard deviation · column 11 · a number from 0 on, as in noise(0.1, seed=7)"},
    {"x = noise(1, 7)", "expected seed= · column 14 · noise(SIGMA, seed=N)"},
    {"x = dir(\"a\")", "expected , · column 12 · dir(\"A\", \"B\")"},
    {"x = dir(-1, 2)", "token below 0 · column 9 · a token id, or a token in quotes"},
    {"x = file(a, \"b\")", "expected a text in quotes · column 10 · file(\"PATH\", \"TENSOR\")"},
    {"x = file(\"a\", \"\")", "not a name · column 15 · file(\"PATH\", \"TENSOR\")"},
    {"x += project_out(dir(1, 2))",
     "project_out(DIRECTION) stands alone after = · column 6 · it already begins from the value there"},
    {"x = project_out(mean())",
     "expected a direction · column 17 · "
     "project_out(dir(\"A\", \"B\")) or project_out(file(\"PATH\", \"TENSOR\"))"},
    {"x = clamp(1)", "expected , · column 12 · clamp(LO, HI)"},
    {"x = clamp(1, 2, 3)", "expected ) · column 15 · clamp(LO, HI)"},
    {"x = clamp(a, 2)", "expected a number · column 11 · such as 0, -1.5, 1e-3, inf, -inf"},
    {"x = clamp(0, 1e39)",
     "number beyond f32 · column 14 · the largest is 3.4028235e38; inf is written inf"},
    {"x = clamp(2, 1)",
     "bounds that hold nothing · column 11 · the lower one comes first, as in clamp(-1, 1)"},
    {"x = clamp(nan, 1)",
     "bounds that hold nothing · column 11 · the lower one comes first, as in clamp(-1, 1)"},
    {"x += clamp(0, 1)",
     "clamp(LO, HI) stands alone after = · column 6 · it already begins from the value there"},
    {"x = 2 * clamp(0, 1)",
     "clamp(LO, HI) stands alone after = · column 9 · it already begins from the value there"},
    {"x = 0, renormalise", "unknown value \"renormalise\" · column 8 · " VALUES},
    {"x = 0, renormalize, renormalize",
     "unexpected text after the edit · column 19 · one edit is HOOK[index] = VALUE"},
};

static const struct refusal on_indices[] = {
    {"x[] = 0", "empty index · column 4 · leave the brackets out for all elements"},
    {"x[1,] = 0",
     "expected an index · column 5 · these are 3, -1, 2:5, :, {1,4}, {4..7}, \"token\", end"},
    {"x[1 = 0", "expected , or ] · column 5 · an index is [-1, 9] or [pos=-1, head=9]"},
    {"x[1,2,3,4] = 0",
     "too many indices · column 9 · no hook has more than 3 axes (the batch is not one of them)"},
    {"x[{}] = 0",
     "expected an index · column 4 · these are 3, -1, 2:5, :, {1,4}, {4..7}, \"token\", end"},
    {"x[{1,2] = 0", "expected , or } · column 7 · a set is {1,4} or {4..7}"},
    {"x[{1:2}] = 0", "expected , or } · column 5 · a set is {1,4} or {4..7}"},
    {"x[0:8:0] = 0", "step below 1 · column 7 · a selection has no direction: 0:8:2 is 0, 2, 4, 6"},
    {"x[::-1] = 0", "step below 1 · column 5 · a selection has no direction: 0:8:2 is 0, 2, 4, 6"},
    {"x[2147483648] = 0", "index too large · column 3 · indices are below 2147483648"},
    {"x[-] = 0", "expected a whole number · column 3 · such as 0, 12 or -1"},
    {"x[position=3] = 0",
     "unknown axis · column 3 · these are pos head kv_head d_head d_model d_embed d_mlp d_vocab expert slot n_rot one dest src"},
    {"x[pos=3, pos=4] = 0", "axis given twice · column 9 · use a set such as {1,4}"},
    {"x[pos=3, 4] = 0", "index without a name after a named one · column 9 · name this one too"},
    {"x[\"Jo] = 0", "unclosed quote · column 3 · end the text with \""},
    {"x[\"caf\xc3\xa9\\q\"] = 0", "unknown escape · column 8 · these are \\\" \\\\ \\n \\xNN"},
    {"x[\"\\xg0\"] = 0", "unknown escape · column 4 · these are \\\" \\\\ \\n \\xNN"},
    {"x[\"\"] = 0", "empty token · column 3 · write the token's text, as in pos=\"John\""},
    {"x[\"a\"#0] = 0", "occurrence 0 · column 3 · they count from 1, or from -1 backwards"},
    {"x{1,2 = 0", "unexpected character in a hook name · column 7 · a set is {a,b} or {4..7}"},
    {"x{1,2", "unclosed { · column 2 · a set is {a,b} or {4..7}"},
    {"x[1][2] = 0 = 3",
     "unexpected text after the edit · column 13 · one edit is HOOK[index] = VALUE"},
};

static void messages_on_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof on_values / sizeof *on_values; i++)
        refused(on_values[i].text, on_values[i].says);
}

static void messages_on_indices(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof on_indices / sizeof *on_indices; i++)
        refused(on_indices[i].text, on_indices[i].says);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_on_values),
        cmocka_unit_test(messages_on_indices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
