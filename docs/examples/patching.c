/* patching.c - where in the network does the answer come about?  Activation patching, and its
 * first-order estimate from one backward pass.
 *
 *     cc patching.c $(pkg-config --cflags --libs borescope) -o patching && ./patching
 *
 * Two prompts that differ in one name.  The clean one ends in " Mary", the other does not.  For
 * every layer and position the residual stream of the clean run is put into the other one: how much
 * of the difference between the two answers comes back?  Attribution patching estimates the same
 * numbers without running: the gradient of the metric times the change.  Here it points at the
 * right places but is far too small: an attention pattern near 1 hardly moves at first order.
 */
#include <borescope.h>

#include <stdio.h>
#include <stdlib.h>

static const char clean_text[] = "When Mary and John went to the store, John gave a bag to";
static const char other_text[] = "When Mary and John went to the store, Mary gave a bag to";

static int complain(const struct bore_error *e)
{
    fprintf(stderr, "patching: %s\n", e->text);
    return 1;
}

struct experiment {
    struct bore_model *m;
    struct bore_pass clean, other; /* both have the same metric */
    double from, to;               /* the metric of the other run, and of the clean one */
    int layers;
};

/* Text to ids; both prompts must have as many tokens, or positions mean different things. */
static int tokens_open(struct experiment *x, int32_t *ids[2], struct bore_error *e)
{
    int n[2], rc = bore_tokens(x->m, clean_text, -1, &ids[0], &n[0], e);
    if (!rc)
        rc = bore_tokens(x->m, other_text, -1, &ids[1], &n[1], e);
    if (!rc && n[0] != n[1]) {
        snprintf(e->text, sizeof e->text, "the prompts have %d and %d tokens", n[0], n[1]);
        rc = BORE_BAD_INPUT;
    }
    if (!rc) {
        x->clean = (struct bore_pass){.tokens = ids[0],
                                      .rows = 1,
                                      .cols = n[0],
                                      .metric = "logit[-1, \" Mary\"] - logit[-1, \" John\"]"};
        x->other = x->clean;
        x->other.tokens = ids[1];
    }
    return rc;
}

/* The metric of the other run with layer l's residual stream at one position taken from the clean
 * one. */
static int patched(const struct experiment *x, int layer, int pos, double *metric,
                   struct bore_error *e)
{
    char edit[64];
    const char *edits[] = {edit};
    struct bore_prompt clean = {.name = "clean", .tokens = x->clean.tokens, .n = x->clean.cols};
    struct bore_pass pass = x->other;
    struct bore_result out = {0};
    snprintf(edit, sizeof edit, "blocks.%d.hook_resid_pre[%d] = from(clean)", layer, pos);
    pass.edits = edits, pass.n_edits = 1, pass.prompts = &clean, pass.n_prompts = 1;
    int rc = bore_run(x->m, &pass, &out, e);
    if (!rc)
        *metric = out.metric[0];
    bore_result_free(&out);
    return rc;
}

/* Every layer's residual stream of a pass, and with `gradient` its gradient; *metric of that pass.
 */
static int streams(const struct experiment *x, const struct bore_pass *pass, bool gradient,
                   struct bore_cache **cache, double *metric, struct bore_error *e)
{
    static const char *const names[] = {"blocks.*.hook_resid_pre"};
    struct bore_cache_options options = {
        .names = names, .n_names = 1, .remove_batch = true, .incl_bwd = gradient};
    struct bore_result out = {0};
    int rc = bore_run_with_cache(x->m, pass, &options, cache, &out, e);
    if (!rc)
        *metric = out.metric[0];
    bore_result_free(&out);
    return rc;
}

/* (clean - other) . gradient at one layer and position. */
static int estimated(const struct bore_cache *clean, const struct bore_cache *other, int layer,
                     int pos, double *change, struct bore_error *e)
{
    char name[64], grad[64];
    struct bore_tensor a, b, g;
    snprintf(name, sizeof name, "blocks.%d.hook_resid_pre", layer);
    snprintf(grad, sizeof grad, "blocks.%d.hook_resid_pre_grad", layer);
    int rc = bore_cache_get(clean, name, &a, e);
    if (!rc && !(rc = bore_cache_get(other, name, &b, e)))
        rc = bore_cache_get(other, grad, &g, e);
    *change = 0;
    for (int64_t i = 0; !rc && i < a.shape[1]; i++) {
        int64_t at = pos * a.stride[0] + i;
        *change += ((double)a.data[at] - (double)b.data[at]) * (double)g.data[at];
    }
    return rc;
}

/* One line per position: its token, the share that each layer brings back, and the estimate in
 * brackets. */
static int table(const struct experiment *x, const struct bore_cache *clean,
                 const struct bore_cache *other, struct bore_error *e)
{
    printf("%-12s", "");
    for (int l = 0; l < x->layers; l++)
        printf("       layer %d     ", l);
    printf("\n");
    for (int pos = 0; pos < x->other.cols; pos++) {
        char *token = NULL;
        int rc = bore_text(x->m, &x->other.tokens[pos], 1, &token, e);
        if (rc)
            return rc;
        printf("%-12s", token);
        free(token);
        for (int l = 0; l < x->layers; l++) {
            double metric, change;
            if ((rc = patched(x, l, pos, &metric, e)) ||
                (rc = estimated(clean, other, l, pos, &change, e)))
                return rc;
            printf("   %6.2f (%6.2f)", (metric - x->from) / (x->to - x->from),
                   change / (x->to - x->from));
        }
        printf("\n");
    }
    return 0;
}

int main(void)
{
    struct bore_error e = {0};
    struct experiment x = {.m = NULL};
    struct bore_cache *clean = NULL, *other = NULL;
    int32_t *ids[2] = {NULL, NULL};
    if (bore_open(&x.m, "teach", NULL, &e))
        return complain(&e);
    x.layers = bore_model_shape(x.m).n_layers;
    int rc = tokens_open(&x, ids, &e);
    if (!rc)
        rc = streams(&x, &x.clean, false, &clean, &x.to, &e);
    if (!rc)
        rc = streams(&x, &x.other, true, &other, &x.from, &e);
    if (!rc) {
        printf("clean: %.2f  other: %.2f\n", x.to, x.from);
        rc = table(&x, clean, other, &e);
    }
    bore_cache_free(clean);
    bore_cache_free(other);
    free(ids[0]);
    free(ids[1]);
    bore_close(x.m);
    return rc ? complain(&e) : 0;
}
