/* test_library_calls.c - what holds for every call of the library: cancelling ends with the call,
 * outputs are untouched on failure, nothing is computed that nobody asked for. */
#include "library.h"

#include "faults.h"
#include "lib/bore_parts.h"

#include <stdlib.h>
#include <string.h>

static const char *const z_off = "blocks.0.attn.hook_z[:, 1] = 0";

/* ---- cancelling
 * ------------------------------------------------------------------------------------ */

/* The calls that use the backend without a pass. */
static void read_weights(struct bore_model *m)
{
    struct bore_error e = {0};
    struct bore_tensor t;
    struct bore_factored f;
    int d = bore_model_shape(m).d_model;
    float *x = calloc((size_t)d, sizeof *x), value;
    int32_t id;
    x[1] = 1;
    library_ok(bore_direction_tokens(m, false, false, x, 1, 1, &id, &value, &e), &e);
    library_ok(bore_composition_scores(m, 'V', &t, &e), &e);
    bore_tensor_free(&t);
    library_ok(bore_factored_head(m, BORE_OV, 0, 0, &f, &e), &e);
    bore_factored_free(&f);
    library_ok(bore_weight_read(m, "W_E", NULL, 0, &t, &e), &e);
    bore_tensor_free(&t);
    library_ok(bore_accumulated_bias(m, 1, false, true, x, &e), &e);
    free(x);
}

static int stop(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)t, (void)user;
    bore_cancel(at->model);
    return 0;
}

/* Reading within a hook is part of the pass. */
static int read_inside(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    (void)t, (void)user;
    read_weights(at->model);
    return 0;
}

static void test_cancel_ends_with_the_call(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    double loss;
    struct bore_hook hook = {.name = "blocks.0.hook_resid_post", .fn = stop, .flags = BORE_READS};
    for (int i = 0; i < 2; i++) {
        bore_cancel(l.m); /* no call is under way */
        read_weights(l.m);
        bore_cancel(l.m);
        library_ok(bore_loss(l.m, &l.pass, &loss, NULL, &e), &e);
        assert_int_equal(bore_run_with_hooks(l.m, &l.pass, &hook, 1, NULL, 0, 0, NULL, &e),
                         BORE_CANCELLED);
        read_weights(l.m);
    }
    hook.fn = read_inside;
    library_ok(bore_run_with_hooks(l.m, &l.pass, &hook, 1, NULL, 0, 0, NULL, &e), &e);
    assert_null(l.m->be->cancel);
    library_close(&l);
}

/* ---- outputs
 * --------------------------------------------------------------------------------------- */

static int stack_of(struct library *l, bool attrs, struct bore_stack *out, double *constant,
                    struct bore_error *e)
{
    return attrs ? bore_logit_attrs(l->m, &l->pass, NULL, 5, 11, out, constant, e)
                 : bore_stack(l->m, &l->pass, NULL, out, e);
}

static void test_outputs_untouched(void **state)
{
    (void)state;
    struct library l = library_open("gpt_neox", 1 << 20);
    struct bore_stack before, out;
    memset(&before, 0x5a, sizeof before);
    for (int attrs = 0; attrs < 2; attrs++) {
        int failed = 0;
        for (bool done = false; !done; failed++) {
            struct bore_error e = {0};
            double constant = 17;
            out = before;
            fault_set(FAULT_MEMORY, failed, true);
            int rc = stack_of(&l, attrs, &out, &constant, &e);
            done = !fault_clear();
            if (done) {
                library_ok(rc, &e);
                bore_stack_free(&out);
            } else {
                assert_int_equal(rc, BORE_SYSTEM);
                if (memcmp(&out, &before, sizeof out) || constant != 17)
                    fail_msg("allocation %d fails: the output was changed (attrs %d)", failed,
                             attrs);
            }
        }
        assert_true(failed > 10);
    }
    library_close(&l);
}

/* ---- what is computed
 * ------------------------------------------------------------------------------ */

static const struct kn_backend_type *counted;
static int64_t logit_rows, vocab;

static enum kn_status count_run(struct kn_backend *be, const struct kn_call *call)
{
    if (call->op == KN_OP_LINEAR && call->out[0].shape[1] == vocab)
        logit_rows += call->out[0].shape[0];
    return counted->run(be, call);
}

static void test_no_logits_unasked(void **state)
{
    (void)state;
    struct library l = library_open("gpt_neox", 1);
    struct bore_error e = {0};
    struct kn_backend_type type = *l.m->be->type;
    struct bore_stack s;
    struct bore_tensor t;
    struct bore_result out = {0};
    double loss;
    counted = l.m->be->type, vocab = bore_model_shape(l.m).d_vocab;
    type.run = count_run;
    l.m->be->type = &type;
    l.pass.edits = &z_off, l.pass.n_edits = 1;
    library_ok(bore_run(l.m, &l.pass, &out, &e), &e);
    assert_int_equal(logit_rows, l.pass.cols);
    logit_rows = 0;
    library_ok(bore_hidden_states(l.m, &l.pass, &t, &e), &e);
    library_ok(bore_stack(l.m, &l.pass, NULL, &s, &e), &e);
    assert_int_equal(logit_rows, 0);
    library_ok(bore_loss(l.m, &l.pass, &loss, NULL, &e), &e);
    assert_int_equal(logit_rows, l.pass.cols - 1);
    l.m->be->type = counted;
    bore_result_free(&out);
    bore_tensor_free(&t);
    bore_stack_free(&s);
    library_close(&l);
}

/* A stack's limit is one of all its positions together. */
static void test_stack_limit(void **state)
{
    (void)state;
    enum { MANY = 1 << 20 };
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct bore_stack s;
    int64_t *list = calloc(MANY, sizeof *list);
    struct bore_stack_options o = {.kind = "stack_neuron_results",
                                   .pos = {.kind = BORE_LIST, .list = list, .n = MANY}};
    assert_int_equal(bore_stack(l.m, &l.pass, &o, &s, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "at most 1.1"));
    o.pos.n = 3;
    library_ok(bore_stack(l.m, &l.pass, &o, &s, &e), &e);
    bore_stack_free(&s);
    free(list);
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_ends_with_the_call),
        cmocka_unit_test(test_outputs_untouched),
        cmocka_unit_test(test_no_logits_unasked),
        cmocka_unit_test(test_stack_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
