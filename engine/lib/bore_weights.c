/* bore_weights.c - the library's weights: names, values, factored products, composition, directions
 * (see borescope.h). Tested in tests/engine/test_library_weights.c; the numbers in
 * test_named_weight.c and test_circuit.c. */
#include "lib/bore_parts.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/circuit.h"
#include "measure/copying.h"
#include "base/factored.h"
#include "names/named_weight.h"

static_assert((int)BORE_QK == (int)CIRCUIT_QK && (int)BORE_OV == (int)CIRCUIT_OV,
              "circuits are the engine's");
static_assert((int)WEIGHT_RANK_MAX == (int)BORE_RANK_MAX &&
                  LIMIT_NAME <= sizeof((struct bore_weight *)0)->name,
              "a weight fits");

static struct bore_weight shown(const struct named_weight *w)
{
    struct bore_weight out = {.library = (enum bore_library)w->library,
                              .layer = w->layer < 0 ? -1 : w->layer,
                              .rank = w->rank};
    memcpy(out.name, w->name, strlen(w->name) + 1);
    memcpy(out.shape, w->shape, sizeof out.shape);
    memcpy(out.dims, w->dims, sizeof out.dims);
    return out;
}

int bore_weight_list(const struct bore_model *m, enum bore_library library,
                     struct bore_weight **list, int *n, struct bore_error *error)
{
    struct err e = {0};
    struct named_weight *all = NULL;
    int count =
        library == BORE_BRIDGE
            ? err_set(
                  &e, ERR_BAD_INPUT,
                  "weights · the bridge's names are not listed · take TransformerLens' or Hugging Face's")
            : named_weight_list(m->m, (enum alias_library)library, &all, &e);
    struct bore_weight *out = count < 0 ? NULL : malloc(((size_t)count + 1) * sizeof *out);
    if (count >= 0 && !out)
        count = err_memory(&e, "names of weights");
    for (int i = 0; i < count; i++)
        out[i] = shown(&all[i]);
    free(all);
    if (count >= 0)
        *list = out, *n = count;
    return bore_done(count < 0 ? count : 0, &e, error);
}

int bore_weight_find(const struct bore_model *m, const char *name, struct bore_weight *out,
                     struct bore_error *error)
{
    struct err e = {0};
    struct named_weight w;
    int rc = named_weight_find(m->m, name, &w, &e);
    if (!rc)
        *out = shown(&w);
    return bore_done(rc, &e, error);
}

int bore_weight_read(const struct bore_model *m, const char *name, const struct bore_slice *axes,
                     int n_axes, struct bore_tensor *out, struct bore_error *error)
{
    struct err e = {0};
    struct named_weight w;
    struct bore_tensor t = {0};
    struct capture_slice cut[WEIGHT_RANK_MAX] = {{0}};
    const int32_t *index[WEIGHT_RANK_MAX] = {NULL};
    int64_t n[WEIGHT_RANK_MAX] = {0};
    bore_begin_read(m);
    int rc = named_weight_find(m->m, name, &w, &e);
    if (!rc && axes && (n_axes < 0 || n_axes > w.rank))
        rc = err_set(&e, ERR_BAD_INPUT, "%s · %d slices for %d axes", name, n_axes, w.rank);
    for (int d = 0; !rc && d < w.rank; d++) {
        n[d] = w.shape[d];
        if (axes && d < n_axes && axes[d].kind != BORE_ALL)
            rc = bore_slice_cut(&axes[d], w.shape[d], w.dims[d], &cut[d], &e);
        if ((index[d] = cut[d].index))
            n[d] = cut[d].n;
        if (!cut[d].drop)
            t.shape[t.rank++] = n[d];
    }
    if (!rc && !(rc = bore_tensor_alloc(&t, name, &e))) {
        named_weight_cut(m->m, &w, index, n, t.data);
        *out = t;
    }
    for (int d = 0; d < WEIGHT_RANK_MAX; d++)
        free(cut[d].index);
    return bore_end(m, rc, &e, error);
}

static int add_bias(const struct bore_model *m, int layer, const char *which, float *sum,
                    struct err *e)
{
    char name[LIMIT_NAME];
    struct named_weight w;
    snprintf(name, sizeof name, "blocks.%d.%s", layer, which);
    float *bias = malloc((size_t)m->m->cfg.d_model * sizeof *bias);
    int rc = bias ? named_weight_find(m->m, name, &w, e) : err_memory(e, "a bias");
    if (!rc)
        named_weight_read(m->m, &w, bias);
    for (int64_t i = 0; !rc && i < w.shape[0]; i++)
        sum[i] += bias[i];
    free(bias);
    return rc;
}

int bore_accumulated_bias(const struct bore_model *m, int layer, bool mlp_input,
                          bool include_mlp_biases, float *out, struct bore_error *error)
{
    struct err e = {0};
    int layers = m->m->cfg.n_layers, rc = 0;
    size_t d = (size_t)m->m->cfg.d_model;
    if (layer < 0 || layer > layers - mlp_input)
        return bore_done(err_set(&e, ERR_BAD_INPUT,
                                 "accumulated bias before layer %d · 0..%d can be asked for", layer,
                                 layers - mlp_input),
                         &e, error);
    float *sum = calloc(d, sizeof *sum);
    bore_begin_read(m);
    if (!sum)
        rc = err_memory(&e, "a bias");
    for (int l = 0; !rc && l < layer; l++)
        if (!(rc = add_bias(m, l, "attn.b_O", sum, &e)) && include_mlp_biases)
            rc = add_bias(m, l, "mlp.b_out", sum, &e);
    if (!rc && mlp_input)
        rc = add_bias(m, layer, "attn.b_O", sum, &e);
    if (!rc)
        memcpy(out, sum, d * sizeof *sum);
    free(sum);
    return bore_end(m, rc, &e, error);
}

/* ---- products in factors ---- */

void bore_factored_free(struct bore_factored *f)
{
    if (!f)
        return;
    free(f->a), free(f->b);
    *f = (struct bore_factored){0};
}

static int factored_alloc(struct bore_factored *f, int64_t rows, int64_t cols, int64_t inner,
                          struct err *e)
{
    *f = (struct bore_factored){rows, cols, inner, calloc((size_t)(rows * inner), sizeof *f->a),
                                calloc((size_t)(cols * inner), sizeof *f->b)};
    if (f->a && f->b)
        return 0;
    bore_factored_free(f);
    return err_memory(e, "a product of %lld x %lld", (long long)rows, (long long)cols);
}

int bore_factored_head(const struct bore_model *m, enum bore_circuit which, int layer, int head,
                       struct bore_factored *out, struct bore_error *error)
{
    struct err e = {0};
    struct bore_factored f;
    const struct config *c = &m->m->cfg;
    bore_begin_read(m);
    int rc = factored_alloc(&f, c->d_model, c->d_model, c->d_head, &e);
    if (!rc && (rc = circuit_head(m->m, (enum circuit_kind)which, layer, head, f.a, f.b, &e)))
        bore_factored_free(&f);
    if (!rc)
        *out = f;
    return bore_end(m, rc, &e, error);
}

int bore_factored_product(const struct bore_factored *f, const struct bore_factored *g,
                          struct bore_factored *out, struct bore_error *error)
{
    struct err e = {0};
    struct bore_factored p;
    if (f->cols != g->rows)
        return bore_done(
            err_set(&e, ERR_BAD_INPUT,
                    "a product of [%lld, %lld] and [%lld, %lld] · the inner sizes differ",
                    (long long)f->rows, (long long)f->cols, (long long)g->rows, (long long)g->cols),
            &e, error);
    double *middle = calloc((size_t)(f->inner * g->inner), sizeof *middle); /* f.b^T g.a */
    int rc = middle ? factored_alloc(&p, f->rows, g->cols, f->inner, &e)
                    : err_memory(&e, "a product");
    if (!rc) {
        factored_gram(f->b, f->inner, g->a, g->inner, f->cols, middle);
        memcpy(p.a, f->a, (size_t)(f->rows * f->inner) * sizeof *p.a);
        for (int64_t k = 0; k < g->cols; k++)
            for (int64_t i = 0; i < f->inner; i++)
                for (int64_t j = 0; j < g->inner; j++)
                    p.b[k * f->inner + i] += g->b[k * g->inner + j] * middle[i * g->inner + j];
        *out = p;
    }
    free(middle);
    return bore_done(rc, &e, error);
}

int bore_factored_svd(const struct bore_factored *f, double *u, double *s, double *v,
                      struct bore_error *error)
{
    struct err e = {0};
    size_t r = (size_t)f->inner, nu = (size_t)f->rows * r, nv = (size_t)f->cols * r;
    double *mem = malloc((nu + nv + r) * sizeof *mem);
    int rc = mem ? factored_svd(f->a, f->rows, f->b, f->cols, f->inner, mem, mem + nu + nv,
                                mem + nu, &e)
                 : err_memory(&e, "singular values");
    if (!rc && u)
        memcpy(u, mem, nu * sizeof *u);
    if (!rc && v)
        memcpy(v, mem + nu, nv * sizeof *v);
    if (!rc && s)
        memcpy(s, mem + nu + nv, r * sizeof *s);
    free(mem);
    return bore_done(rc, &e, error);
}

int bore_factored_even(const struct bore_factored *f, struct bore_factored *out,
                       struct bore_error *error)
{
    struct err e = {0};
    struct bore_factored even;
    double *s = malloc((size_t)f->inner * sizeof *s);
    int rc = s ? factored_alloc(&even, f->rows, f->cols, f->inner, &e)
               : err_memory(&e, "singular values");
    if (rc) {
        free(s);
        return bore_done(rc, &e, error);
    }
    if (!(rc = bore_factored_svd(f, even.a, s, even.b, error))) {
        for (int64_t i = 0; i < f->rows * f->inner; i++)
            even.a[i] *= sqrt(s[i % f->inner]);
        for (int64_t i = 0; i < f->cols * f->inner; i++)
            even.b[i] *= sqrt(s[i % f->inner]);
        *out = even;
    } else {
        bore_factored_free(&even);
    }
    free(s);
    return rc;
}

int bore_factored_eigenvalues(const struct bore_factored *f, double (*values)[2],
                              struct bore_error *error)
{
    struct err e = {0};
    double *z = malloc((size_t)(2 * f->inner) * sizeof *z);
    int rc = f->rows != f->cols ? err_set(&e, ERR_BAD_INPUT,
                                          "eigenvalues · the product is %lld x %lld, not square",
                                          (long long)f->rows, (long long)f->cols)
             : !z               ? err_memory(&e, "eigenvalues")
                  : factored_eigenvalues(f->a, f->b, f->rows, f->inner, z, z + f->inner, &e);
    for (int64_t i = 0; !rc && i < f->inner; i++)
        values[i][0] = z[i], values[i][1] = z[f->inner + i];
    free(z);
    return bore_done(rc, &e, error);
}

double bore_factored_norm(const struct bore_factored *f)
{
    return factored_norm(f->a, f->rows, f->b, f->cols, f->inner);
}

void bore_factored_corner(const struct bore_factored *f, int64_t n_rows, int64_t n_cols,
                          double *out)
{
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t j = 0; j < n_cols; j++) {
            double sum = 0;
            for (int64_t k = 0; k < f->inner; k++)
                sum += f->a[i * f->inner + k] * f->b[j * f->inner + k];
            out[i * n_cols + j] = sum;
        }
}

/* ---- the model's circuits ---- */

int bore_copying_score(const struct bore_model *m, int layer, int head, double (*values)[2],
                       double *score, struct bore_error *error)
{
    struct err e = {0};
    int64_t d = m->m->cfg.d_model;
    double *tokens = malloc((size_t)(d * d) * sizeof *tokens);
    bore_begin_read(m);
    int rc = tokens ? circuit_tokens(m->m, tokens, &e) : err_memory(&e, "a full circuit");
    if (!rc)
        rc = copying_head(m->m, tokens, layer, head, values, score, &e);
    free(tokens);
    return bore_end(m, rc, &e, error);
}

int bore_composition_scores(const struct bore_model *m, char mode, struct bore_tensor *out,
                            struct bore_error *error)
{
    struct err e = {0};
    const struct config *c = &m->m->cfg;
    struct bore_tensor t = {.rank = 4, .shape = {c->n_layers, c->n_heads, c->n_layers, c->n_heads}};
    static const char modes[COMPOSITION_COUNT] = {
        [COMPOSITION_Q] = 'Q', [COMPOSITION_K] = 'K', [COMPOSITION_V] = 'V'};
    const char *known = memchr(modes, mode, sizeof modes);
    bore_begin_read(m);
    int rc = known ? bore_tensor_alloc(&t, "composition scores", &e)
                   : err_set(&e, ERR_BAD_INPUT, "composition scores of \"%c\" · Q, K or V",
                             mode ? mode : ' ');
    if (!rc)
        rc = circuit_composition(m->m, (enum composition)(known - modes), t.data, &e);
    if (rc)
        bore_tensor_free(&t);
    else
        *out = t;
    return bore_end(m, rc, &e, error);
}

int bore_direction_tokens(const struct bore_model *m, bool embedding, bool least, const float *x,
                          int n, int k, int32_t *ids, float *values, struct bore_error *error)
{
    struct err e = {0};
    struct lens_top *top = n < 0 || k < 1 || k > LENS_TOP_MAX
                               ? NULL
                               : malloc(((size_t)n * (size_t)k * 2 + 1) * sizeof *top);
    bore_begin_read(m);
    int rc = n < 0 || k < 1 || k > LENS_TOP_MAX
                 ? err_set(&e, ERR_BAD_INPUT,
                           "%d tokens of %d directions · 1..%d tokens can be asked for", k, n,
                           LENS_TOP_MAX)
             : !top ? err_memory(&e, "directions")
                    : circuit_read(m->m, embedding ? CIRCUIT_EMBED : CIRCUIT_UNEMBED, x, n, k, top,
                                   top + n * k, &e);
    for (int i = 0; !rc && i < n * k; i++) {
        struct lens_top one = top[least ? n * k + i : i];
        ids[i] = one.id, values[i] = one.logit;
    }
    free(top);
    return bore_end(m, rc, &e, error);
}
