/* named_weight.c - see named_weight.h. */
#include "named_weight.h"

#include <stdio.h>
#include <string.h>

static const struct row { enum weight_id id; const char *name; enum site_dim dims[3]; } rows[] = {
#define NAMED(id, name, a, b, c) { id, name, { DIM_##a, DIM_##b, DIM_##c } },
#include "named_weight.def"
#undef NAMED
};
enum { ROW_COUNT = sizeof rows / sizeof *rows };

static bool is_root(const struct row *r)
{
    return strncmp(r->name, "embed", 5) == 0 || strncmp(r->name, "pos_", 4) == 0 || strncmp(r->name, "ln_f", 4) == 0 ||
           strncmp(r->name, "unem", 4) == 0;
}

static bool exists(const struct model *m, const struct row *r)
{
    const struct config *c = &m->cfg;
    switch (r->id) {
    case W_POS: return c->pos == POS_LEARNED;
    case W_GATE: return c->gated;
    case B_LN1: case B_LN2: case B_LNF: return c->norm_center;
    default: return true;
    }
}

static int64_t size_of(const struct config *c, enum site_dim d)
{
    switch (d) {
    case DIM_HEAD: return c->n_heads;
    case DIM_KV_HEAD: return c->n_kv_heads;
    case DIM_D_HEAD: return c->d_head;
    case DIM_D_MODEL: return c->d_model;
    case DIM_D_MLP: return c->d_mlp;
    case DIM_D_VOCAB: return c->d_vocab;
    case DIM_POS: return c->n_ctx;
    default: return 0;
    }
}

/* "attn.W_K" -> "blocks.3.attn._W_K" where stored is asked for */
static void full_name(const struct row *r, int32_t layer, bool stored, char buf[LIMIT_NAME])
{
    const char *dot = strrchr(r->name, '.') + 1;
    int n = layer < 0 ? 0 : snprintf(buf, LIMIT_NAME, "blocks.%d.", layer);
    snprintf(buf + n, LIMIT_NAME - (size_t)n, "%.*s%s%s", (int)(dot - r->name), r->name, stored ? "_" : "", dot);
}

/* Strides of the library's axes in the stored view, which is [n, k], [heads, d_head, k], or a vector. */
static void strides(const struct config *c, const struct row *r, const struct kn_view *v, struct named_weight *w)
{
    bool joint = v->ndim == 2; /* heads and d_head in one axis */
    int64_t dh = c->d_head;
    if (w->rank == 3) { /* W_Q, W_K, W_V: [head, d_model, d_head]; W_O: [head, d_head, d_model] of [d_model, heads*d_head] */
        bool out = r->id == W_O;
        w->stride[0] = out ? dh * v->stride[1] : joint ? dh * v->stride[0] : v->stride[0];
        w->stride[1] = out ? v->stride[1] : joint ? v->stride[1] : v->stride[2];
        w->stride[2] = out ? v->stride[0] : joint ? v->stride[0] : v->stride[1];
    } else if (r->dims[1] == DIM_D_HEAD) { /* biases of heads, [heads*d_head] or [heads, d_head] */
        w->stride[0] = v->ndim == 1 ? dh : v->stride[0];
        w->stride[1] = 1;
    } else if (w->rank == 2) { /* embeddings as they are, the others the other way round */
        bool same = r->id == W_E || r->id == W_POS;
        w->stride[0] = v->stride[same ? 0 : 1];
        w->stride[1] = v->stride[same ? 1 : 0];
    } else {
        w->stride[0] = 1;
    }
}

static void fill(const struct model *m, const struct row *r, int32_t layer, bool stored, struct named_weight *w)
{
    const struct config *c = &m->cfg;
    *w = (struct named_weight){ .id = r->id, .layer = layer, .repeat = 1 };
    while (w->rank < 3 && r->dims[w->rank] != DIM_NONE) {
        w->shape[w->rank] = size_of(c, r->dims[w->rank]);
        w->rank++;
    }
    if (r->dims[0] == DIM_KV_HEAD && !stored) {
        w->repeat = c->n_heads / c->n_kv_heads;
        w->shape[0] = c->n_heads;
    }
    strides(c, r, model_weight(m, layer < 0 ? 0 : layer, r->id), w);
}

/* Visit every (row, layer, stored) that exists; stops when fn says so. */
typedef bool visit_fn(void *user, const struct row *r, int32_t layer, bool stored, const char *name);

static void visit(const struct model *m, visit_fn *fn, void *user)
{
    bool grouped = m->cfg.n_kv_heads != m->cfg.n_heads;
    for (int32_t layer = SITE_ROOT; layer < m->cfg.n_layers; layer++)
        for (int i = 0; i < ROW_COUNT; i++) {
            if (is_root(&rows[i]) != (layer == SITE_ROOT) || !exists(m, &rows[i]))
                continue;
            for (int stored = 0; stored < 1 + (grouped && rows[i].dims[0] == DIM_KV_HEAD); stored++) {
                char name[LIMIT_NAME];
                full_name(&rows[i], layer, stored, name);
                if (fn(user, &rows[i], layer, stored, name))
                    return;
            }
        }
}

struct lister { char (*out)[LIMIT_NAME]; int32_t n, max; };

static bool list_one(void *user, const struct row *r, int32_t layer, bool stored, const char *name)
{
    (void)r, (void)layer, (void)stored;
    struct lister *l = user;
    if (l->out && l->n < l->max)
        memcpy(l->out[l->n], name, strlen(name) + 1);
    l->n++;
    return false;
}

int32_t named_weight_list(const struct model *m, char (*out)[LIMIT_NAME], int32_t max)
{
    struct lister l = { out, 0, max };
    visit(m, list_one, &l);
    return l.n;
}

struct finder { const struct model *m; const char *name; struct named_weight *out; bool found; };

static bool find_one(void *user, const struct row *r, int32_t layer, bool stored, const char *name)
{
    struct finder *f = user;
    if (strcmp(name, f->name))
        return false;
    fill(f->m, r, layer, stored, f->out);
    return f->found = true;
}

int named_weight_find(const struct model *m, const char *name, struct named_weight *out, struct err *e)
{
    struct finder f = { m, name, out, false };
    visit(m, find_one, &f);
    return f.found ? 0 : err_set(e, ERR_BAD_INPUT, "no weight \"%s\" · names are TransformerLens', e.g. blocks.0.attn.W_Q, blocks.%d.mlp.W_out, "
                                 "unembed.W_U", name, m->cfg.n_layers - 1);
}

void named_weight_read(const struct model *m, const struct named_weight *w, float *dst)
{
    const struct kn_view *v = model_weight(m, w->layer < 0 ? 0 : w->layer, w->id);
    int64_t s[3] = { 1, 1, 1 };
    for (int i = 0; i < w->rank; i++)
        s[i] = w->shape[i];
    for (int64_t a = 0; a < s[0]; a++)
        for (int64_t b = 0; b < s[1]; b++)
            for (int64_t c = 0; c < s[2]; c++)
                *dst++ = v->ndim ? kn_load(v->dtype, v->data, a / w->repeat * w->stride[0] + b * w->stride[1] + c * w->stride[2]) : 0;
}
