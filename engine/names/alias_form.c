/* alias_form.c - shapes and index maps of aliases: how the forms of arch_names.def make up a
 * tensor.
 *
 * Tested in tests/engine/test_alias.c against the tensors that Hugging Face's modules take and
 * return. */
#include "names/alias.h"

#include <assert.h>

const char *alias_form_text(enum alias_form form)
{
    switch (form) {
    case FORM_FLAT: return "heads joined: column k is head k / d_head, element k % d_head";
    case FORM_THIRDS: return "q, k and v with their heads joined, one after the other";
    case FORM_HEADS: return "q, k and v of head 0, then of head 1, and so on";
    case FORM_PAIR: return "the gate's columns, then the other branch's";
    case FORM_HEAD_FIRST: return "heads before positions";
    case FORM_EXPERT: return "the positions that go to this expert, 0 at others";
    case FORM_SITE:
    case FORM_REFUSED: break;
    }
    return NULL;
}

/* Columns that one site of a flat form has. */
static int64_t columns(const struct config *cfg, struct site_ref s)
{
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(cfg, s.id, 1, shape);
    return rank == 3 ? shape[1] * shape[2] : shape[1];
}

/* Which axis of the site each axis of a view of it is, -1: one that the site has not.  Returns how
 * many. */
static int axes_shown(const struct alias_value *v, int rank, int from[ALIAS_RANK_MAX])
{
    static const int head_first[ALIAS_RANK_MAX] = {1, 0, 2}, no_head[ALIAS_RANK_MAX] = {-1, 0, 1};
    for (int i = 0; i < ALIAS_RANK_MAX; i++)
        from[i] = v->form == FORM_SITE ? i : rank == 3 ? head_first[i] : no_head[i];
    return v->form == FORM_SITE ? rank : ALIAS_RANK_MAX;
}

bool alias_is_view(const struct alias_value *v)
{
    return v->form == FORM_SITE || v->form == FORM_HEAD_FIRST;
}

struct kn_view alias_view(const struct alias_value *v, const struct kn_view *site)
{
    struct kn_view out = *site;
    int from[ALIAS_RANK_MAX];
    out.ndim = axes_shown(v, site->ndim, from);
    for (int i = 0; i < out.ndim; i++) {
        out.shape[i] = from[i] < 0 ? 1 : site->shape[from[i]];
        out.stride[i] = from[i] < 0 ? 0 : site->stride[from[i]];
    }
    return out;
}

int alias_shape(const struct config *cfg, const struct alias_value *v, int32_t n_pos,
                int64_t shape[ALIAS_RANK_MAX], const char *dims[ALIAS_RANK_MAX])
{
    static const char *const word[] = {[FORM_FLAT] = "head*d_head",
                                       [FORM_THIRDS] = "qkv*head*d_head",
                                       [FORM_HEADS] = "head*qkv*d_head",
                                       [FORM_PAIR] = "gate_up*d_mlp"};
    if (v->form == FORM_EXPERT) {
        shape[0] = n_pos, shape[1] = cfg->d_expert;
        if (dims)
            dims[0] = site_dim_name(DIM_POS), dims[1] = site_dim_name(DIM_D_EXPERT);
        return 2;
    }
    if (alias_is_view(v)) {
        const struct site_info *info = &site_table[v->site[0].id];
        int64_t own[SITE_RANK_MAX];
        int rank = site_shape(cfg, v->site[0].id, n_pos, own), from[SITE_RANK_MAX];
        rank = axes_shown(v, rank, from);
        for (int i = 0; i < rank; i++) {
            shape[i] = from[i] < 0 ? 1 : own[from[i]];
            if (dims)
                dims[i] = site_dim_name(from[i] < 0 ? DIM_ONE : info->dims[from[i]]);
        }
        return rank;
    }
    shape[0] = n_pos;
    shape[1] = 0;
    for (int i = 0; i < v->n_sites; i++)
        shape[1] += columns(cfg, v->site[i]);
    if (dims) {
        dims[0] = site_dim_name(DIM_POS);
        dims[1] = word[v->form];
    }
    return 2;
}

int alias_row_axis(const struct alias_value *v)
{
    return v->form == FORM_SITE ? site_row_axis(v->site[0].id) : v->form == FORM_HEAD_FIRST;
}

struct alias_at alias_map_index(const struct config *cfg, const struct alias_value *v, int64_t k)
{
    int64_t d = cfg->d_head;
    if (v->form == FORM_HEADS)
        return (struct alias_at){(int)(k / d % v->n_sites), (int32_t)(k / (d * v->n_sites)),
                                 (int32_t)(k % d)};
    assert(v->form == FORM_FLAT || v->form == FORM_THIRDS || v->form == FORM_PAIR);
    int part = 0;
    for (; part + 1 < v->n_sites && k >= columns(cfg, v->site[part]); part++)
        k -= columns(cfg, v->site[part]);
    if (v->form == FORM_PAIR)
        return (struct alias_at){part, 0, (int32_t)k};
    return (struct alias_at){part, (int32_t)(k / d), (int32_t)(k % d)};
}

bool alias_fires(const struct config *cfg, const struct alias_value *v)
{
    return v->form == FORM_EXPERT || site_fires(cfg, v->site[0].id);
}

bool alias_same(const struct alias_value *a, const struct alias_value *b)
{
    return a->form == b->form && a->expert == b->expert && site_same(a->site[0], b->site[0]);
}

bool alias_is_site(const struct alias_value *v)
{
    return v->form == FORM_SITE && !v->spread;
}

struct kn_view alias_part(const struct config *cfg, const struct alias_value *v, int part,
                          const struct kn_view *whole)
{
    const struct site_ref *sites = v->spread ? v->edit : v->site;
    int64_t own[SITE_RANK_MAX], step = whole->stride[1];
    int rank = site_shape(cfg, sites[part].id, 1, own);
    int64_t d = own[rank - 1], between = v->form == FORM_HEADS ? v->n_sites * d : d;
    struct kn_view out = *whole;
    out.ndim = 3;
    out.shape[1] = rank == 3 ? own[1] : 1;
    out.shape[2] = d;
    out.stride[1] = v->spread ? 0 : between * step;
    out.stride[2] = step;
    if (v->form == FORM_HEADS)
        out.first += part * d * step;
    for (int i = 0; i < part && (v->form == FORM_THIRDS || v->form == FORM_PAIR); i++)
        out.first += columns(cfg, sites[i]) * step;
    return out;
}
