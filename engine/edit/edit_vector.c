/* edit_vector.c - dir("A", "B") out of the unembedding, file("PATH", "TENSOR") from disk, as f32
 * (edit_parts.h).
 *
 * A direction has length 1.  Tested in tests/engine/test_edit_words.c. */
#include "edit/edit_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "names/named_weight.h"
#include "model/checkpoint.h"
#include "edit/token_nearest.h"

static int token_of(const struct edit *ed, int k, const struct model *m, int32_t *id, struct err *e)
{
    if (ed->text[k]) {
        char shown[LIMIT_NAME], near[TOKEN_NEAREST_MAX];
        *id = tokenizer_find(m->tok, ed->text[k], (size_t)ed->text_len[k]);
        if (*id >= 0)
            return 0;
        edit_token_print(ed->text[k], ed->text_len[k], shown, sizeof shown);
        return err_set(e, ERR_BAD_INPUT, "dir() · %s is not one token of this model · %s", shown,
                       token_nearest(m->tok, ed->text[k], (size_t)ed->text_len[k], near));
    }
    *id = ed->token[k];
    if (*id < m->cfg.d_vocab)
        return 0;
    return err_set(e, ERR_BAD_INPUT, "dir() · token %d · this model's vocabulary is 0..%d",
                   (int)*id, (int)m->cfg.d_vocab - 1);
}

static int unit_length(float *d, int64_t n, const char *what, struct err *e)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)d[i] * (double)d[i];
    if (!(sum > 0) || !isfinite(sum))
        return err_set(e, ERR_BAD_INPUT, "%s · a vector of length %g has no direction", what,
                       sqrt(sum));
    for (int64_t i = 0; i < n; i++)
        d[i] = (float)((double)d[i] / sqrt(sum));
    return 0;
}

/* x[d_embed] as directions of the stream, d[d_model]: through the projection, where there is one.
 */
static int unproject(const struct model *m, const float *x, float *d, struct err *e)
{
    const struct kn_view *w = model_weight(m, 0, W_PROJECT_OUT);
    int64_t n = m->cfg.d_embed, k = m->cfg.d_model;
    if (!w->ndim) {
        memcpy(d, x, (size_t)k * sizeof *d);
        return 0;
    }
    double *sum = calloc((size_t)k, sizeof *sum);
    float *row = malloc((size_t)k * sizeof *row);
    int rc = sum && row ? 0 : err_memory(e, "edits");
    for (int64_t i = 0; !rc && i < n; i++) {
        kn_decode_rows(w, i, 1, row);
        for (int64_t j = 0; j < k; j++)
            sum[j] += (double)x[i] * (double)row[j];
    }
    for (int64_t j = 0; !rc && j < k; j++)
        d[j] = (float)sum[j];
    free(sum), free(row);
    return rc;
}

/* W_U[:, A] - W_U[:, B] over its length. */
static int read_dir(const struct edit *ed, const struct model *m, float *d, struct err *e)
{
    struct named_weight w;
    int32_t a, b;
    int rc = named_weight_find(m, "unembed.W_U", &w, e);
    if (rc || (rc = token_of(ed, 0, m, &a, e)) || (rc = token_of(ed, 1, m, &b, e)))
        return rc;
    if (a == b)
        return err_set(e, ERR_BAD_INPUT, "dir() · both tokens are %d · give two different ones",
                       (int)a);
    int64_t n = m->cfg.d_embed;
    float *plus = malloc(2 * (size_t)n * sizeof *plus), *minus = plus ? plus + n : NULL;
    if (!plus)
        return err_memory(e, "edits");
    const int32_t tokens[2] = {a, b};
    const int64_t one[WEIGHT_RANK_MAX] = {0, 1};
    named_weight_cut(m, &w, (const int32_t *[WEIGHT_RANK_MAX]){NULL, &tokens[0]}, one, plus);
    named_weight_cut(m, &w, (const int32_t *[WEIGHT_RANK_MAX]){NULL, &tokens[1]}, one, minus);
    for (int64_t i = 0; i < n; i++)
        plus[i] -= minus[i];
    rc = unproject(m, plus, d, e);
    free(plus);
    return rc ? rc : unit_length(d, m->cfg.d_model, "dir()", e);
}

static int file_tensor(const struct edit *ed, struct checkpoint *st, const struct st_tensor **out,
                       struct err *e)
{
    const char *near = checkpoint_nearest(st, ed->text[1]);
    *out = checkpoint_find(st, ed->text[1]);
    if (!*out)
        return err_set(e, ERR_BAD_INPUT, "file() · no tensor \"%s\" in %s · the nearest is \"%s\"",
                       ed->text[1], ed->text[0], near ? near : "");
    if ((*out)->nbytes == 0 || !st_decode(*out, 0, 0, NULL))
        return err_set(e, ERR_BAD_INPUT,
                       "file() · %s holds %s%s · F32, F16, BF16 and F64 can be read", ed->text[1],
                       st_dtype_name((*out)->dtype), (*out)->nbytes ? "" : " and is empty");
    return 0;
}

/* Lay the tensor's axes on the selection's, from the last backwards: equal sizes match, a 1 is
 * repeated, an axis that selects one element may be left out.  Does it fit? */
static bool lay_axes(struct edit_instr *instr, const struct st_tensor *t)
{
    int64_t stride = 1;
    int d = t->rank - 1;
    for (int i = instr->rank - 1; i >= 0; i--) {
        int64_t n = instr->axis[i].n, size = d >= 0 ? t->shape[d] : 1;
        instr->vec_stride[i] = 0;
        if (d < 0 || (n == 1 && size != 1))
            continue;
        if (size != n && size != 1)
            break;
        instr->vec_stride[i] = size == 1 ? 0 : stride;
        stride *= size;
        d--;
    }
    for (; d >= 0 && t->shape[d] == 1; d--)
        continue;
    return d < 0;
}

/* Lay its elements on those selected at one position, in their order, whatever the tensor's shape.
 * Are there as many? */
static bool lay_elements(struct edit_instr *instr, const struct st_tensor *t)
{
    int64_t stride = 1;
    for (int i = instr->rank - 1; i > 0; stride *= instr->axis[i--].n)
        instr->vec_stride[i] = stride;
    instr->vec_stride[0] = 0;
    return stride == st_count(t) && site_row_axis(instr->site.id) == 0;
}

static int file_shape(struct edit_instr *instr, const struct st_tensor *t, const struct edit *ed,
                      struct err *e)
{
    if (lay_axes(instr, t) || (!instr->weight && lay_elements(instr, t)))
        return 0;
    int64_t want[SITE_RANK_MAX];
    for (int i = 0; i < instr->rank; i++)
        want[i] = instr->axis[i].n;
    char has[80], needs[80];
    return err_set(e, ERR_BAD_INPUT, "file() · %s is %s · the selection is %s", ed->text[1],
                   st_shape_text(has, sizeof has, t->shape, t->rank),
                   st_shape_text(needs, sizeof needs, want, instr->rank));
}

static int read_file(struct edit_instr *instr, const struct edit *ed, struct edit_chunk **chunks,
                     struct err *e)
{
    const struct st_tensor *t = NULL;
    struct checkpoint *st = checkpoint_open(ed->text[0], e);
    if (!st)
        return err_code(e);
    int rc = file_tensor(ed, st, &t, e);
    if (!rc)
        rc = file_shape(instr, t, ed, e);
    if (!rc) {
        instr->vec_n = st_count(t);
        float *v = edit_chunk_alloc(chunks, (size_t)instr->vec_n * sizeof *v);
        if (v)
            st_decode(t, 0, instr->vec_n, v);
        instr->vec = v;
        rc = v ? 0 : err_memory(e, "edits");
    }
    checkpoint_close(st);
    return rc;
}

/* A direction, one float per element of the last axis that is selected. */
static int read_direction(struct edit_instr *instr, const struct edit *ed,
                          const struct edit_context *ctx, struct edit_chunk **chunks, struct err *e)
{
    const struct edit_axis *last = &instr->axis[instr->rank - 1];
    int32_t d_model = ctx->cfg->d_model;
    float *d = edit_chunk_alloc(chunks, (size_t)d_model * sizeof *d);
    if (!d)
        return err_memory(e, "edits");
    int rc = read_dir(ed, ctx->model, d, e);
    if (rc)
        return rc;
    for (int32_t i = 0; i < last->n; i++)
        d[i] = d[edit_axis_value(last, i)]; /* ascending: never behind what was written */
    for (int i = 0; i < instr->rank; i++)
        instr->vec_stride[i] = i == instr->rank - 1;
    instr->vec = d;
    instr->vec_n = last->n;
    return 0;
}

int edit_vector_resolve(struct edit_instr *instr, const struct edit *ed,
                        const struct edit_context *ctx, struct edit_chunk **chunks, struct err *e)
{
    char name[LIMIT_NAME];
    bool project = instr->value == EDIT_PROJECT_OUT;
    enum edit_value_kind kind = project ? ed->direction : instr->value;
    const struct edit_axis *last = &instr->axis[instr->rank - 1];
    const struct edit_weight *w = instr->weight;
    bool residual = (w ? w->dims : site_table[instr->site.id].dims)[instr->rank - 1] == DIM_D_MODEL;
    if ((project || kind == EDIT_DIR) && !residual && w)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · the last axis of %s is not d_model · use a weight that writes to the residual stream: W_E, W_O, W_out, b_out",
            edit_value_words[instr->value].form, w->name);
    if ((project || kind == EDIT_DIR) && !residual)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · %s has no d_model axis · use a hook of the residual stream",
                       edit_value_words[instr->value].form, site_name(instr->site, name));
    if (project && last->n != ctx->cfg->d_model)
        return err_set(e, ERR_BAD_INPUT,
                       "project_out() · %d of %d elements of d_model · it needs the whole axis",
                       (int)last->n, (int)ctx->cfg->d_model);
    if (!ctx->model || !ctx->model->weights ||
        (kind == EDIT_DIR && !model_weight(ctx->model, 0, W_U)->ndim))
        return err_set(e, ERR_BAD_INPUT, "%s · no weights are open here",
                       edit_value_words[kind].form);
    if (kind == EDIT_DIR)
        return read_direction(instr, ed, ctx, chunks, e);
    int rc = read_file(instr, ed, chunks, e);
    if (rc || !project)
        return rc;
    if (instr->vec_n != ctx->cfg->d_model)
        return err_set(e, ERR_BAD_INPUT, "project_out() · %s has %lld elements · d_model is %d",
                       ed->text[1], (long long)instr->vec_n, (int)ctx->cfg->d_model);
    return unit_length((float *)(uintptr_t)instr->vec, instr->vec_n, "file()", e);
}
