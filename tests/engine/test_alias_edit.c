/* test_alias_edit.c - edits by names of other libraries: what hooks on Hugging Face's modules do,
 * and the same edit of the sites; refusals. */
#include "fixture.h"

#include "names/alias.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE = 64 << 20 };
static const double ERROR_MAX = 1e-5; /* of the largest logit */

/* The edit as text on one name; NULL if it is refused, the reason in *e. */
static struct edit_program *program_of(const struct model *m, int32_t n, const char *text,
                                       struct err *e)
{
    struct edit *ed;
    struct edit_context ctx = {.cfg = &m->cfg, .n_pos = n};
    struct edit_program *p = NULL;
    if (edit_parse(&ed, text, e))
        fail_msg("%s: %s", text, e->text);
    if (edit_resolve(&p, &ed, NULL, 1, &ctx, e))
        p = NULL;
    edit_free(ed);
    return p;
}

static void read_logits(struct run *r, int32_t row, float *out)
{
    struct err e = {0};
    if (run_read(r, (struct site_ref){site_logits(&run_model(r)->cfg), SITE_ROOT}, row, row + 1,
                 out, NULL, &e))
        fail_msg("%s", e.text);
}

/* Logits at the last position when a hook on that module makes the edit. */
static int check_hf_edits(struct fixture *f, const struct checkpoint *hf)
{
    struct js_doc *names = fixture_json(hf, "edited"), *edits = fixture_json(hf, "edits");
    const struct st_tensor *want = checkpoint_find(hf, "edited");
    struct run *base = fixture_run(f, NULL, NULL, CACHE);
    int64_t width = want->shape[1];
    float *mine = malloc((size_t)width * sizeof *mine);
    assert_int_equal(want->shape[0], js_count(js_root(names)));
    assert_int_equal(want->shape[0], js_count(js_root(edits)));
    for (int64_t i = 0; i < want->shape[0]; i++) {
        const char *name, *edit;
        char text[256];
        struct err e = {0};
        assert_int_equal(js_string(js_at(js_root(names), (size_t)i), &name, NULL, &e), 0);
        assert_int_equal(js_string(js_at(js_root(edits), (size_t)i), &edit, NULL, &e), 0);
        snprintf(text, sizeof text, "%s%s", name, edit);
        struct edit_program *p = program_of(f->m, f->n, text, &e);
        if (!p)
            fail_msg("%s", e.text);
        struct run *fork = fixture_run(f, base, p, CACHE);
        read_logits(fork, model_answer_row(f->m, f->tokens, f->n), mine);
        double error = fixture_error(mine, (const float *)want->data + i * width, (size_t)width);
        if (!(error <= ERROR_MAX))
            fail_msg("%s: error %g", text, error);
        run_free(fork);
        edit_program_free(p);
    }
    free(mine);
    run_free(base);
    js_close(names);
    js_close(edits);
    return (int)want->shape[0];
}

/* Every module input and output of the first layer and outside the layers, but for what cannot be
 * edited anywhere. */
static void edits_as_hooks_on_modules_do(void **state)
{
    (void)state;
    char **models = fixture_names_with("hf.safetensors");
    int n = 0;
    for (char **name = models; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct checkpoint *hf = fixture_file(*name, "hf.safetensors");
        n += check_hf_edits(&f, hf);
        checkpoint_close(hf);
        fixture_close(&f);
    }
    fixture_names_free(models);
    print_message("%d module inputs and outputs were edited\n", n);
    assert_true(n > 150);
}

/* An edit by another name is the edit of the sites, whatever is selected. */
static void check_same_edit(struct fixture *f, struct run *base, const char *alias,
                            const char *const *sites, int n)
{
    struct err e = {0};
    struct edit_program *a = program_of(f->m, f->n, alias, &e),
                        *b = fixture_program(f->m, f->n, sites, n);
    if (!a)
        fail_msg("%s", e.text);
    struct run *ra = fixture_run(f, base, a, CACHE), *rb = fixture_run(f, base, b, CACHE);
    size_t size = (size_t)f->m->cfg.d_vocab * sizeof(float);
    float *x = malloc(size), *y = malloc(size);
    read_logits(ra, f->n - 1, x);
    read_logits(rb, f->n - 1, y);
    if (memcmp(x, y, size) != 0)
        fail_msg("%s is not %s", alias, sites[0]);
    free(x);
    free(y);
    run_free(ra);
    run_free(rb);
    edit_program_free(a);
    edit_program_free(b);
}

static void edits_by_any_name(void **state)
{
    (void)state;
    static const struct {
        const char *alias, *sites[4];
    } rows[] = {
        {"transformer.h.1.attn.c_proj.input[-1, 3] = 0", {"blocks.1.attn.hook_z[-1, 0, 3] = 0"}},
        {"model.transformer.h[1].attn.c_proj.input[2:, 5:10] = 0",
         {"blocks.1.attn.hook_z[2:, 1] = 0"}},
        {"transformer.h.1.attn.c_proj.input[pos=3] *= 2", {"blocks.1.attn.hook_z[3] *= 2"}},
        {"layer_1_attn_pre_out[:, 2, 1:3] = 0", {"blocks.1.attn.hook_z[:, 2, 1:3] = 0"}},
        {"transformer.h.0.attn.c_attn.output[:, 15:30] *= 0.5", {"blocks.0.attn.hook_k *= 0.5"}},
        {"transformer.h.0.attn.c_attn.output[:, 13:17] = 0.25",
         {"blocks.0.attn.hook_q[:, 2, 3:] = 0.25", "blocks.0.attn.hook_k[:, 0, 0:2] = 0.25"}},
        {"transformer.h.0.attn.c_attn.output[1:] -= 0.5 * mean()",
         {"blocks.0.attn.hook_q[1:] -= 0.5 * mean()", "blocks.0.attn.hook_k[1:] -= 0.5 * mean()",
          "blocks.0.attn.hook_v[1:] -= 0.5 * mean()"}},
        {"transformer.h.1.ln_1.input[2, 4] += 1",
         {"blocks.1.hook_q_input[2, :, 4] += 1", "blocks.1.hook_k_input[2, :, 4] += 1",
          "blocks.1.hook_v_input[2, :, 4] += 1"}},
        /* own names first: not the bridge's ln2.hook_in */
        {"*{_input,.ln2.hook_in}[2] = 0", {"blocks.*.hook_{q,k,v}_input[2] = 0"}},
        {"transformer.h.{0..1}.mlp.output[-1] = 0",
         {"blocks.0.hook_mlp_out[-1] = 0", "blocks.1.hook_mlp_out[-1] = 0"}},
        {"transformer.h.1.attn.output[0][3, 2:5] = 0", {"blocks.1.hook_attn_out[3, 2:5] = 0"}},
        {"blocks.1.ln2.hook_in[:, 3] = 0", {"blocks.1.hook_mlp_in[:, 3] = 0"}},
        {"layer_1_post_attn *= 0.5", {"blocks.1.ln1.hook_out *= 0.5"}},
        {"transformer.wte.input[2] = 5", {"hook_tokens[2] = 5"}},
        {"transformer.ln_f.input[:, 1] = 0", {"blocks.2.hook_resid_post[:, 1] = 0"}},
    };
    struct fixture f = fixture_open("gpt2");
    struct run *base = fixture_run(&f, NULL, NULL, CACHE);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int n = 0;
        while (rows[i].sites[n])
            n++;
        check_same_edit(&f, base, rows[i].alias, rows[i].sites, n);
    }
    run_free(base);
    fixture_close(&f);
    static const char *const interleaved[] = {"blocks.1.attn.hook_k[:, 1, 7] = 0",
                                              "blocks.1.attn.hook_v[:, 1, 0:2] = 0"};
    f = fixture_open("gpt_neox");
    base = fixture_run(&f, NULL, NULL, CACHE);
    /* d_head 8: head 1 begins at column 24, its keys at 32, its values at 40 */
    check_same_edit(&f, base, "gpt_neox.layers.1.attention.query_key_value.output[:, 39:42] = 0",
                    interleaved, 2);
    run_free(base);
    fixture_close(&f);
}

static void edits_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model, *edit, *says;
    } rows[] = {
        {"gpt2", "transformer.h.1.attn.output[0] = 0", "a tuple · edit output[0][index]"},
        {"gpt2", "transformer.h.1.attn.output[1][0, 3, 1] = 0", "edit attn.hook_pattern"},
        {"gpt2", "transformer.h.1.attn.c_proj.input[0, 15] = 0",
         "head*d_head 15 is out of range · transformer.h.1.attn.c_proj.input has head*d_head 0..14 or -15..-1"},
        {"gpt2", "transformer.h.1.attn.c_proj.input[head=1] = 0",
         "no axis head · transformer.h.1.attn.c_proj.input has pos 9"},
        {"gpt2", "transformer.h.1.attn.c_attn.output[0, 1, 2] = 0", "3 indices · "},
        {"gpt2", "transformer.h.7.mlp.output = 0", "layers 0..2"},
        {"gpt2", "*_input[9] = 0", "blocks.0.hook_q_input has pos 0..8"},
        {"gpt2", "transformer.wte.input += 1", "holds token ids"},
        {"llama", "model.rotary_emb.input = 0", "takes only the type of its input"},
        {"llama", "blocks.0.attn.hook_cos[0, 1] = 0", "reaches one layer"},
        {"llama", "model.layers.0.self_attn.rotary_emb.input[1, 2] = 0",
         "an edit there does nothing · edit attn.hook_v"},
        {"llama", "model.layers.0.self_attn.rotary_emb.output[0][0, 2] = 0", "reaches one layer"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model *m;
        struct err e = {0};
        m = fixture_shape(rows[i].model);
        assert_null(program_of(m, 9, rows[i].edit, &e));
        if (!strstr(e.text, rows[i].says))
            fail_msg("%s: %s", rows[i].edit, e.text);
        model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_as_hooks_on_modules_do),
        cmocka_unit_test(edits_by_any_name),
        cmocka_unit_test(edits_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
