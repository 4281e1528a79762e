/* name_mover.c - find what makes the built-in model answer " Mary", take it away, and look at how
 * the answer came about.
 *
 *     cc name_mover.c $(pkg-config --cflags --libs borescope) -o name_mover && ./name_mover
 */
#include <borescope.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prompt[] = "When Mary and John went to the store, John gave a bag to";

static int complain(const struct bore_error *e)
{
    fprintf(stderr, "name_mover: %s\n", e->text);
    return 1;
}

/* Logit of " Mary" less that of " John" at the last position. */
static float difference(const struct bore_tensor *logits, int32_t mary, int32_t john)
{
    const float *last = logits->data + (logits->shape[1] - 1) * logits->stride[1];
    return last[mary] - last[john];
}

/* A hook: zero one head of hook_z, [1, pos, head, d_head], at the last position, where the answer
 * is made. */
static int zero_head(struct bore_tensor *z, const struct bore_at *at, void *user)
{
    int head = *(const int *)user;
    (void)at;
    for (int64_t i = 0; i < z->shape[3]; i++)
        z->data[(z->shape[1] - 1) * z->stride[1] + head * z->stride[2] + i * z->stride[3]] = 0;
    return 0;
}

/* Take every head away in turn, through a hook; the one that costs most. */
static int worst_head(struct bore_model *m, const struct bore_pass *pass, int32_t mary,
                      int32_t john, int *layer, int *head, struct bore_error *e)
{
    struct bore_shape shape = bore_model_shape(m);
    float least = 1e30f;
    for (int l = 0; l < shape.n_layers; l++)
        for (int h = 0; h < shape.n_heads; h++) {
            char name[64];
            snprintf(name, sizeof name, "blocks.%d.attn.hook_z", l);
            struct bore_hook hook = {.name = name, .fn = zero_head, .user = &h};
            struct bore_result out = {0};
            int rc = bore_run_with_hooks(m, pass, &hook, 1, NULL, 0, 0, &out, e);
            if (rc)
                return rc;
            float d = difference(&out.output, mary, john);
            if (d < least)
                least = d, *layer = l, *head = h;
            bore_result_free(&out);
        }
    return 0;
}

/* The same as data: an edit, as `borescope -e` takes it. */
static int with_edit(struct bore_model *m, struct bore_pass pass, int layer, int head, int32_t mary,
                     int32_t john, struct bore_error *e)
{
    char text[100];
    const char *edits[] = {text};
    struct bore_result out = {0};
    snprintf(text, sizeof text, "blocks.%d.attn.hook_z[-1, %d] = 0", layer, head);
    pass.edits = edits, pass.n_edits = 1;
    int rc = bore_run(m, &pass, &out, e);
    if (!rc)
        printf("after: %.2f  (%s)\n", (double)difference(&out.output, mary, john), text);
    bore_result_free(&out);
    return rc;
}

/* Where that head looks from the last position, and which positions the difference hangs on. */
static int look(struct bore_model *m, struct bore_pass pass, int layer, int head, int32_t mary,
                int32_t john, struct bore_error *e)
{
    char pattern[64], metric[64];
    const char *names[] = {pattern, "blocks.0.hook_resid_pre"};
    snprintf(pattern, sizeof pattern, "blocks.%d.attn.hook_pattern", layer);
    snprintf(metric, sizeof metric, "logit[-1, %d] - logit[-1, %d]", (int)mary, (int)john);
    pass.metric = metric;
    struct bore_cache_options options = {
        .names = names, .n_names = 2, .remove_batch = true, .incl_bwd = true};
    struct bore_cache *cache = NULL;
    struct bore_tensor a, g;
    int rc = bore_run_with_cache(m, &pass, &options, &cache, NULL, e);
    if (!rc && !(rc = bore_cache_get(cache, pattern, &a, e)) &&
        !(rc = bore_cache_get(cache, "blocks.0.hook_resid_pre_grad", &g, e)))
        for (int pos = 0; pos < pass.cols; pos++) {
            char *text;
            double norm = 0;
            for (int64_t i = 0; i < g.shape[1]; i++)
                norm += (double)g.data[pos * g.stride[0] + i] *
                        (double)g.data[pos * g.stride[0] + i];
            if (bore_text(m, &pass.tokens[pos], 1, &text, NULL))
                continue;
            printf("%-16s attention %.3f  gradient^2 %.3g\n", text,
                   (double)a.data[head * a.stride[0] + (pass.cols - 1) * a.stride[1] + pos], norm);
            free(text);
        }
    bore_cache_free(cache);
    return rc;
}

int main(void)
{
    struct bore_error e = {0};
    struct bore_model *m;
    if (bore_open(&m, "teach", NULL, &e))
        return complain(&e);
    int32_t *ids = NULL, mary, john;
    int n, layer = 0, head = 0;
    struct bore_result out = {0};
    int rc = bore_tokens(m, prompt, -1, &ids, &n, &e);
    struct bore_pass pass = {.tokens = ids, .rows = 1, .cols = rc ? 0 : n};
    if (!rc && !(rc = bore_token(m, " Mary", &mary, &e)) &&
        !(rc = bore_token(m, " John", &john, &e)) && !(rc = bore_run(m, &pass, &out, &e)))
        printf("before: %.2f\n", (double)difference(&out.output, mary, john));
    if (!rc && !(rc = worst_head(m, &pass, mary, john, &layer, &head, &e)) &&
        !(rc = with_edit(m, pass, layer, head, mary, john, &e)))
        rc = look(m, pass, layer, head, mary, john, &e);
    bore_result_free(&out);
    free(ids);
    bore_close(m);
    return rc ? complain(&e) : 0;
}
