/* want.c - keys, sizes and lists of wants (see want.h). */
#include "session/want.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

enum { PER_ROW, PER_PROMPT };
static const bool whole[WANT_COUNT] = {
#define WANT(id, per, piece, function, bytes, fits, what) PER_##per == PER_PROMPT,
#include "session/want.def"
};

int want_order(const struct want *a, const struct want *b)
{
    return memcmp(a, b, offsetof(struct want, row0)); /* no padding: all fields have four bytes */
}

bool want_same(const struct want *a, const struct want *b)
{
    return want_order(a, b) == 0;
}

bool want_is_whole(enum want_kind kind)
{
    return whole[kind];
}

/* The axis of heads of a site, or of the experts of a position; -1 = none. */
static int head_axis(enum site_id id)
{
    const struct site_info *s = &site_table[id];
    for (int i = 0; i < s->rank; i++)
        if (s->dims[i] == DIM_HEAD || s->dims[i] == DIM_KV_HEAD ||
            (s->dims[i] == DIM_SLOT && s->rank == 3))
            return i;
    return -1;
}

static int32_t all_heads(const struct config *cfg, enum site_id id)
{
    int64_t shape[SITE_RANK_MAX];
    int axis = head_axis(id);
    site_shape(cfg, id, 1, shape);
    return axis < 0 ? 1 : (int32_t)shape[axis];
}

size_t want_heads(const struct config *cfg, const struct want *w)
{
    return (size_t)(w->head1 ? w->head1 - w->head0 : all_heads(cfg, w->site.id));
}

size_t want_floats(const struct config *cfg, const struct want *w, int32_t n)
{
    return (size_t)(site_row_size(cfg, w->site.id, n) / all_heads(cfg, w->site.id)) *
           want_heads(cfg, w);
}

int32_t want_shares(const struct config *cfg, const struct want *w, int32_t n)
{
    int32_t part = w->k;
    int64_t all = part == ATTRIBUTE_BY_LAYER  ? attribute_embeds(cfg) + 2 * cfg->n_layers
                  : part == ATTRIBUTE_BY_POS  ? n
                  : part == ATTRIBUTE_BY_HEAD ? (int64_t)cfg->n_layers * cfg->n_heads
                                              : (int64_t)cfg->n_layers * cfg->d_mlp;
    bool told = part == ATTRIBUTE_BY_LAYER || part == ATTRIBUTE_BY_POS || w->pos ||
                all < WANT_SHARES_MAX;
    return (int32_t)(told ? all : WANT_SHARES_MAX);
}

size_t want_bytes(const struct config *cfg, const struct want *w, int32_t n)
{
    const size_t sizes[WANT_COUNT] = {
#define WANT(id, per, piece, function, bytes, fits, what) bytes,
#include "session/want.def"
    };
    return sizes[w->kind];
}

static int32_t clamp(int32_t v, int32_t lo, int32_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Is the site a column of the lens? */
static bool is_column(const struct config *cfg, struct site_ref s)
{
    bool sum = site_exists(cfg, SITE_POS_EMBED); /* hook_embed alone is not yet the stream */
    return s.id == site_stream(cfg, 0) ||
           (s.id == (sum ? SITE_RESID_PRE : site_stream(cfg, SITE_ROOT)) && s.layer <= 0);
}

static bool has_lens(const struct config *cfg, const struct want *w)
{
    return !cfg->headless && is_column(cfg, w->site);
}

static bool two_tokens(const struct want *w)
{
    return w->id[0] >= 0 && w->id[1] >= 0;
}

/* Is k within what there is, and within what is told of it? */
static bool few(const struct want *w, int64_t most, int64_t there)
{
    return w->k >= 1 && w->k <= most && w->k <= there;
}

static bool has_neurons(const struct config *cfg, const struct want *w)
{
    return w->site.id == SITE_POST && few(w, LENS_TOP_MAX, site_row_size(cfg, w->site.id, 1));
}

/* A part that dla can tell apart here, of tokens that there are. */
static bool has_part(const struct config *cfg, const struct want *w)
{
    bool part = w->k == ATTRIBUTE_BY_LAYER || w->k == ATTRIBUTE_BY_HEAD ||
                w->k == ATTRIBUTE_BY_POS ||
                (w->k == ATTRIBUTE_BY_NEURON && site_exists(cfg, SITE_POST));
    return part && w->site.id == SITE_LNF_SCALE && !cfg->headless && w->id[0] >= 0;
}

static bool of_logits(const struct config *cfg, const struct want *w)
{
    return w->site.id == site_logits(cfg) && w->id[0] >= 0;
}

static bool has_slope(const struct config *cfg, const struct want *w, int32_t n)
{
    return w->k >= 0 && w->k / cfg->n_heads < cfg->n_layers && w->pos >= 0 && w->pos < n;
}

static bool kind_fits(const struct config *cfg, const struct want *w, int32_t n)
{
    const bool all[WANT_COUNT] = {
#define WANT(id, per, piece, function, bytes, fits, what) fits,
#include "session/want.def"
    };
    return all[w->kind];
}

bool want_fit(const struct config *cfg, struct want *w, int32_t n)
{
    int32_t layers = site_table[w->site.id].scope == SCOPE_BLOCK ? cfg->n_layers : 0;
    bool block = layers > 0;
    if (!site_is_there(cfg, w->site) || site_refusal(cfg, w->site.id) || w->site.layer >= layers ||
        (w->site.layer < 0) == block)
        return false;
    int32_t heads = head_axis(w->site.id) < 0 ? 0 : all_heads(cfg, w->site.id);
    if (w->head0 < 0 || w->head1 > heads || (w->head1 && w->head0 >= w->head1) ||
        w->id[0] >= cfg->d_vocab || w->id[1] >= cfg->d_vocab || !kind_fits(cfg, w, n))
        return false;
    w->row0 = want_is_whole(w->kind) ? 0 : clamp(w->row0, 0, n);
    w->row1 = want_is_whole(w->kind) ? n > 0 : clamp(w->row1, w->row0, n);
    return w->row0 < w->row1;
}

void want_add(struct want_list *l, struct want w)
{
    if (list_room(&l->item, (size_t)l->n, sizeof w))
        l->item[l->n++] = w;
    else
        l->failed = true;
}

void want_list_free(struct want_list *l)
{
    free(l->item);
    *l = (struct want_list){0};
}
