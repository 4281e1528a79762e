/* test_edit_examples.c - every example of docs/edits.md runs on the built-in model, and every word
 * of the language has one. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edit/edit_form.h"
#include "measure/grad.h"
#include "measure/metric.h"
#include "run/pair.h"
#include "edit/reference.h"
#include "model/tensor_write.h"

static const char
    prompt
        [] = "When Mary and John went to the store, John gave a bag to",
  corrupt[] = "When Mary and John went to the store, Mary gave a bag to",
  references[] =
      "When Tom and Anna went to the park, Anna gave a book to\nWhen Mary and Tom went to the store, Tom gave a bag to\n";

struct prompt {
    int32_t *tokens, n;
};

static struct prompt tokens_of(const struct model *m, const char *text)
{
    struct prompt p;
    assert_int_equal(model_tokens(m, text, strlen(text), -1, &p.tokens, &p.n, NULL), 0);
    return p;
}

static void write_steer(const struct model *m)
{
    int64_t d = m->cfg.d_model, mlp = m->cfg.d_mlp, n = 2 * d + mlp;
    float *v = malloc((size_t)n * sizeof *v);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)(i % 7) - 2.5f;
    struct tensor_out t[] = {{.name = "v", .dtype = ST_F32, .rank = 1, .shape = {d}, .data = v},
                             {.name = "b", .dtype = ST_F32, .rank = 1, .shape = {d}, .data = v}};
    assert_int_equal(tensor_write("steer.safetensors", t, 2, NULL, 0, NULL), 0);
    struct tensor_out hooks[] = {{.name = "mask.layer_2_mlp_pre_out.param",
                                  .dtype = ST_F32,
                                  .rank = 1,
                                  .shape = {mlp},
                                  .data = v},
                                 {.name = "actadd.layer_2_pre_decoder.param",
                                  .dtype = ST_F32,
                                  .rank = 2,
                                  .shape = {2, d},
                                  .data = v},
                                 {.name = "offset.layer_1_post_mlp.param",
                                  .dtype = ST_F32,
                                  .rank = 1,
                                  .shape = {d},
                                  .data = v},
                                 {.name = "whiten.layer_0_attn_pre_out.offset",
                                  .dtype = ST_F32,
                                  .rank = 2,
                                  .shape = {m->cfg.n_heads, m->cfg.d_head},
                                  .data = v},
                                 {.name = "whiten.layer_0_attn_pre_out.scale",
                                  .dtype = ST_F32,
                                  .rank = 1,
                                  .shape = {(int64_t)m->cfg.n_heads * m->cfg.d_head},
                                  .data = v}};
    assert_int_equal(tensor_write("hooks.safetensors", hooks, 5, NULL, 0, NULL), 0);
    free(v);
}

static int ignore(void *user, struct site_ref s, int32_t row0, int32_t row1,
                  const struct kn_view *g, struct err *e)
{
    (void)s, (void)row0, (void)row1, (void)e;
    *(double *)user += (double)*kn_f32(g);
    return 0;
}

/* Run one edit; how much the logits of the last position differ from the base run. */
static double run_edit(struct pair *p, struct pair_target *t, struct edit *ed, const char *line)
{
    struct err e = {0};
    bool back = strstr(ed->pattern, "_grad") != NULL;
    t->edits = &ed, t->n_edits = 1;
    pair_differentiate(p, back);
    if (pair_sync(p, t, NULL, &e))
        fail_msg("docs/edits.md: %s: %s", line, e.text);
    struct run *base = pair_run(p, FACE_BASE), *edited = pair_run(p, FACE_EDITED);
    assert_non_null(edited);
    if (back) {
        struct metric m;
        struct site_ref embed = {SITE_EMBED, SITE_ROOT};
        double sum = 0;
        assert_int_equal(metric_parse(&m, "logit[-1, \" Mary\"]", run_model(base)->tok,
                                      run_model(base)->cfg.d_vocab, &e),
                         0);
        if (grad_run(edited, base, &m, &embed, 1, ignore, &sum, &e))
            fail_msg("docs/edits.md: %s: %s", line, e.text);
        return sum;
    }
    size_t n = (size_t)run_model(base)->cfg.d_vocab * (size_t)t->input.n;
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    struct site_ref logits = {SITE_UNEMBED_OUT, SITE_ROOT};
    assert_int_equal(run_read(base, logits, 0, t->input.n, a, NULL, &e), 0);
    assert_int_equal(run_read(edited, logits, 0, t->input.n, b, NULL, &e), 0);
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    free(a), free(b);
    return most;
}

/* The value of an edit, and the word of its line: some are read as another one's edit. */
static void mark_values(const struct edit *ed, const char *line, bool values[EDIT_VALUE_COUNT])
{
    char call[40];
    values[ed->value] = true;
    for (int i = 0; i < EDIT_VALUE_COUNT; i++) {
        snprintf(call, sizeof call, "= %s(",
                 edit_value_words[i].word ? edit_value_words[i].word : "");
        values[i] |= strstr(line, call) != NULL;
    }
}

static void examples(void **state)
{
    (void)state;
    struct model *m = NULL;
    struct err e = {0};
    FILE *f = fopen("docs/edits.md", "r");
    char top[] = "/tmp/bore-examples-XXXXXX", line[400];
    assert_true(f && mkdtemp(top));
    assert_int_equal(setenv("XDG_CACHE_HOME", "/proc/nowhere", 1), 0);
    assert_int_equal(model_open(&m, "teach", fixture_backend(), &e), 0);
    assert_int_equal(chdir(top), 0);
    write_steer(m);
    struct prompt own = tokens_of(m, prompt), other = tokens_of(m, corrupt);
    struct pair_prompt runs[] = {{"corrupt", other.tokens, other.n, NULL}};
    struct reference_set *set;
    assert_int_equal(
        reference_parse(&set, m, -1, "ref", "prompts.txt", references, sizeof references - 1, &e),
        0);
    struct pair_target t = {.input.tokens = own.tokens,
                            .input.n = own.n,
                            .prompts = runs,
                            .n_prompts = 1,
                            .sets = &set,
                            .n_sets = 1};
    struct pair *p;
    assert_int_equal(pair_open(&p, m, SIZE_MAX / 2, &e), 0);
    bool ops[EDIT_OP_COUNT] = {0}, values[EDIT_VALUE_COUNT] = {0}, forms[SEL_SET + 1] = {0},
         renormalize = false, named = false;
    int done = 0;
    while (fgets(line, sizeof line, f)) {
        struct edit *ed;
        static const char *const hooks[] = {"blocks.", "hook_", "embed.", "unembed.", "ln_final."};
        bool example = false;
        for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++)
            example |= !strncmp(line, "    ", 4) && !strncmp(line + 4, hooks[i], strlen(hooks[i]));
        if (!example)
            continue;
        if (edit_parse(&ed, line, &e))
            fail_msg("docs/edits.md: %s: %s", line, e.text);
        double change = run_edit(p, &t, ed, line);
        if (!(change > 0) && ed->value != EDIT_FROZEN && !strstr(ed->pattern, "_grad"))
            fail_msg("docs/edits.md: %s changes nothing", line);
        ops[ed->op] = true;
        mark_values(ed, line, values);
        renormalize |= ed->renormalize;
        for (int i = 0; i < ed->n_sels; i++) {
            forms[ed->sels[i].kind] = true;
            named |= ed->sels[i].dim != DIM_NONE;
        }
        edit_free(ed);
        done++;
    }
    for (int i = 0; i < EDIT_OP_COUNT; i++)
        if (!ops[i])
            fail_msg("docs/edits.md has no example of %s", edit_op_words[i].word);
    for (int i = 0; i < EDIT_VALUE_COUNT; i++)
        if (!values[i])
            fail_msg("docs/edits.md has no example of %s", edit_value_words[i].form);
    assert_true(renormalize && named && forms[SEL_RANGE] && forms[SEL_ONE] && forms[SEL_SET]);
    print_message("%d examples\n", done);
    assert_true(done >= 35);
    pair_close(p);
    reference_free(set);
    free(own.tokens), free(other.tokens);
    model_close(m);
    fclose(f);
    unlink("steer.safetensors");
    unlink("hooks.safetensors");
    assert_int_equal(chdir("/"), 0);
    rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
