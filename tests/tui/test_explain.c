/* test_explain.c - what `?` and the tensor's panel say of a value: the step that writes it, and the
 * numbers that went in, which make it. */
#include "explain.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"
#include "tensor.h"

static void formula_is(const char *hook, const char *want)
{
    struct bytes b = {0};
    char command[128];
    snprintf(command, sizeof command, "tensor %s", hook);
    driver_command(&d, command);
    explain_formula(d.app, d.app->cur.site, &b);
    if (!b.data || strcmp(b.data, want) != 0)
        fail_msg("%s", b.data ? b.data : "");
    bytes_free(&b);
}

static void open_model(const char *model)
{
    driver_open(&d, model, tokens, 8, 140, 40);
}

static void test_formulas(void **state)
{
    (void)state;
    open_model("tests/fixtures/models/gpt2");
    formula_is("blocks.1.hook_resid_post",
               "blocks.1.hook_resid_post = hook_resid_mid + hook_mlp_out");
    formula_is("blocks.1.hook_resid_pre", "blocks.1.hook_resid_pre = blocks.0.hook_resid_post");
    formula_is("blocks.0.hook_resid_pre", "blocks.0.hook_resid_pre = hook_embed + hook_pos_embed");
    formula_is("blocks.1.attn.hook_q", "blocks.1.attn.hook_q = ln1.hook_out · W_Q + b_Q");
    formula_is("blocks.2.attn.hook_z",
               "blocks.2.attn.hook_z = sum over sources of attn.hook_pattern × attn.hook_v");
    driver_close(&d);
    open_model(
        "tests/fixtures/models/llama"); /* no biases, and the rotated queries are what is used */
    formula_is("blocks.1.attn.hook_q", "blocks.1.attn.hook_q = ln1.hook_out · W_Q");
    formula_is(
        "blocks.0.attn.hook_attn_scores",
        "blocks.0.attn.hook_attn_scores = attn.hook_rot_q · attn.hook_rot_k of every source × scale");
    driver_close(&d);
}

/* Every hook of every kind of model has one, and nothing in it is left out. */
static void test_all(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama", "mixtral", "gpt_neox", "bert", "vit"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char path[128];
        snprintf(path, sizeof path, "tests/fixtures/models/%s", models[m]);
        open_model(path);
        for (int32_t i = 0; i < d.app->n_sites; i++) {
            struct bytes b = {0};
            char name[LIMIT_NAME];
            explain_formula(d.app, d.app->sites[i], &b);
            const char *text = b.data ? b.data : "";
            if (!strstr(text, " = ") || strchr(text, '%') || strstr(text, "= ;") ||
                strstr(text, "  ") || text[strlen(text) - 1] == ' ')
                fail_msg("%s, %s: \"%s\"", models[m], site_name(d.app->sites[i], name), text);
            bytes_free(&b);
        }
        driver_close(&d);
    }
}

/* The numbers told for an element of a sum add up to it, base and edited. */
static void test_numbers(void **state)
{
    (void)state;
    open_model("tests/fixtures/models/gpt2");
    driver_command(&d, "tensor blocks.1.hook_resid_post");
    d.app->ascii = true; /* a minus that scanf reads */
    for (int edited = 0; edited < 2; edited++) {
        driver_command(&d, "go 6");
        driver_command(&d, "go #4");
        struct bytes b = {0};
        explain_inputs(d.app, d.app->cur.site, 6, 0, 4, &b);
        double mid, mlp;
        if (sscanf(b.data, "blocks.1.hook_resid_mid %lf blocks.1.hook_mlp_out %lf", &mid, &mlp) !=
            2)
            fail_msg("%s", b.data);
        struct tensor_slice s = tensor_slice(d.app);
        struct tensor_values v;
        float value;
        assert_true(tensor_open(&v, d.app, &s) && tensor_value(&v, 6, 4, &value));
        assert_true(fabs(mid + mlp - (double)value) < 3e-4);
        bytes_free(&b);
        driver_command(&d, "edit blocks.1.hook_mlp_out[6] *= 3");
    }
    driver_close(&d);
}

/* `?` on a cell: hook, index, formula, and what went in. */
static void test_help(void **state)
{
    (void)state;
    open_model("tests/fixtures/models/gpt2");
    driver_keys(&d, "?");
    driver_shows(&d, "under the cursor: blocks.2.hook_resid_post[-1]");
    driver_shows(&d, "blocks.2.hook_resid_post = hook_resid_mid + hook_mlp_out; norm of");
    driver_keys(&d, "<Esc>2?");
    driver_shows(&d, "attn.hook_pattern × attn.hook_v");
    driver_lacks(&d, "…;");
    driver_close(&d);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formulas), cmocka_unit_test(test_all),
                                       cmocka_unit_test(test_numbers), cmocka_unit_test(test_help)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
