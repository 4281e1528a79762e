/* snapshot_compare.c - two prompts' answers as the two faces of one (see session.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "session/snapshot.h"

struct compared {
    const struct snapshot *a, *b;
    const int32_t *partner;
    const struct config *cfg;
};

/* Values of one row: heads of `from` sources each become heads of `to`; none: where b has no such
 * source. */
static void by_source(const struct compared *x, size_t heads, float none, const float *from,
                      float *to)
{
    size_t n = (size_t)x->a->n, m = (size_t)x->b->n;
    for (size_t h = 0; h < heads; h++)
        for (size_t s = 0; s < n; s++) {
            int32_t p = x->partner[s];
            to[h * n + s] = p >= 0 && p < x->b->n ? from[h * m + (size_t)p] : none;
        }
}

static float logit_of(int32_t id, const struct want_best *best, int32_t k)
{
    for (int32_t i = 0; i < k; i++)
        if (best[i].id == id)
            return best[i].logit;
    return NAN;
}

/* The best of b as an edited face's: with their logits in a, and those of a's best here. */
static void best_of_both(const struct want *w, const struct want_best *a, const struct want_best *b,
                         struct want_best *to)
{
    for (int32_t i = 0; i < w->k; i++) {
        to[i] = b[i];
        to[i].base = logit_of(b[i].id, a, w->k);
        to[i].of_base = logit_of(a[i].id, b, w->k);
    }
}

/* Is its last axis the sources of attention? */
static bool of_sources(enum site_id id)
{
    return site_table[id].rank && site_table[id].dims[site_table[id].rank - 1] == DIM_SRC;
}

/* b's shares of what a's are of, in a's order. */
static void direct_effects(const struct compared *x, const struct want *w,
                           const struct want_direct *a, const struct want_direct *b,
                           struct want_direct *to)
{
    *to = *b;
    to->n = a->n;
    for (int32_t i = 0; i < a->n; i++) {
        int32_t at = a->share[i].index, in_b = w->k == ATTRIBUTE_BY_POS ? x->partner[at] : at;
        to->share[i] = (struct want_share){at, in_b < 0 ? 0 : b->share[in_b].value};
    }
}

static void neurons(const struct compared *x, const struct want *w, const struct lens_neuron *b,
                    struct lens_neuron *to)
{
    for (int32_t i = 0; i < w->k; i++) {
        to[i] = b[i];
        to[i].row = -1;
        for (int32_t row = 0; row < x->a->n; row++)
            if (x->partner[row] == b[i].row)
                to[i].row = row;
    }
}

/* The element of a in b's values; b: what snapshot_want_of_b found. */
static void put(const struct compared *x, const struct want *w, const void *a, const void *b,
                void *to)
{
    size_t bytes = want_bytes(x->cfg, w, x->a->n);
    bool sources = w->kind == WANT_SLOPE || (w->kind == WANT_VALUES && of_sources(w->site.id));
    if (!b)
        memcpy(to, a, bytes);
    else if (w->kind == WANT_BEST)
        best_of_both(w, a, b, to);
    else if (w->kind == WANT_DIRECT)
        direct_effects(x, w, a, b, to);
    else if (w->kind == WANT_NEURONS || w->kind == WANT_LAYER_NEURONS)
        neurons(x, w, b, to);
    else if (sources)
        by_source(x, w->kind == WANT_SLOPE ? 1 : want_heads(x->cfg, w),
                  w->site.id == SITE_ATTN_SCORES ? -INFINITY : 0, b, to);
    else
        memcpy(to, b, bytes);
}

/* The patterns of b's rows, paired, in small; false: memory is out.  *there: all rows are. */
static bool small_patterns(const struct compared *x, const struct want *w, const struct want *of_b,
                           const float *a, float *to, bool *there)
{
    int32_t n = x->a->n, side = w->k;
    size_t heads = (size_t)x->cfg->n_heads, square = (size_t)side * (size_t)side;
    float *rows = malloc(heads * (size_t)n * sizeof *rows);
    bool *paired = calloc((size_t)side, sizeof *paired);
    memset(to, 0, heads * square * sizeof *to);
    *there = rows && paired;
    for (int32_t dest = 0; dest < n && *there; dest++) {
        if (x->partner[dest] < 0)
            continue;
        const float *v = snapshot_at(x->b, FACE_BASE, of_b, x->partner[dest]);
        if (!(*there = v != NULL))
            break;
        by_source(x, heads, 0, v, rows);
        for (size_t h = 0; h < heads; h++)
            heads_small_row(rows + h * (size_t)n, n, dest, side, to + h * square);
        paired[heads_small_part(dest, n, side)] = true;
    }
    for (size_t i = 0; i < heads * (size_t)side && *there; i++) /* no row there has a partner */
        if (!paired[i % (size_t)side])
            memcpy(to + i * (size_t)side, a + i * (size_t)side, (size_t)side * sizeof *to);
    bool ok = rows && paired;
    free(rows), free(paired);
    return ok;
}

/* b's elements of a want in a's places; NULL: memory is out. */
static struct blob *other_face(const struct compared *x, const struct want *w, bool *failed)
{
    struct want of_b;
    struct blob *to = blob_new(w->row0, w->row1, want_bytes(x->cfg, w, x->a->n));
    bool asked = snapshot_want_of_b(w, x->partner, x->a->n, &of_b),
         small = asked && w->kind == WANT_THUMBS;
    *failed |= !to;
    for (int32_t row = w->row0; to && row < w->row1; row++) {
        int32_t p = !asked || row >= x->a->n ? -1 : want_is_whole(w->kind) ? row : x->partner[row];
        const void *a = snapshot_at(x->a, FACE_BASE, w, row),
                   *b = p < 0 || small ? NULL : snapshot_at(x->b, FACE_BASE, &of_b, p);
        bool there = a && (b || p < 0 || small);
        if (there && small)
            *failed |= !small_patterns(x, w, &of_b, a, blob_at(to, row), &there);
        else if (there)
            put(x, w, a, b, blob_at(to, row));
        to->there[row - to->row0] = there;
    }
    return to;
}

/* Only makes sense in one run. */
static bool is_of_one_run(enum want_kind kind)
{
    return kind == WANT_KL || kind == WANT_NONFINITE || kind == WANT_CHECK;
}

bool snapshot_want_of_b(const struct want *w, const int32_t *partner, int32_t n, struct want *out)
{
    int32_t lo = INT32_MAX, hi = -1;
    *out = *w;
    if (is_of_one_run(w->kind))
        return false;
    if (w->kind == WANT_THUMBS) /* in small they cannot be paired */
        *out = want_make(WANT_VALUES, w->site, 0, n);
    if (w->kind == WANT_DIRECT)
        out->pos = 1;
    if (w->kind == WANT_SLOPE) {
        out->pos = w->pos >= 0 && w->pos < n ? partner[w->pos] : -1;
        return out->pos >= 0;
    }
    if (want_is_whole(out->kind))
        return true;
    for (int32_t row = out->row0; row < out->row1 && row < n; row++) {
        lo = partner[row] >= 0 && partner[row] < lo ? partner[row] : lo;
        hi = partner[row] > hi ? partner[row] : hi;
    }
    out->row0 = lo, out->row1 = hi + 1;
    return hi >= 0;
}

const struct snapshot *snapshot_compare(const struct snapshot *a, const struct snapshot *b,
                                        const int32_t *partner, const struct config *cfg)
{
    const struct compared x = {a, b, partner, cfg};
    struct snapshot *s = snapshot_like(a);
    bool failed = false;
    for (int32_t i = 0; s && i < snapshot_figures(a); i++) {
        struct want w;
        struct blob *face[FACE_COUNT];
        snapshot_figure(a, i, &w, face);
        face[FACE_EDITED] = is_of_one_run(w.kind) ? NULL : other_face(&x, &w, &failed);
        snapshot_show(s, &w, face);
        blob_release(face[FACE_EDITED]);
    }
    if (failed) {
        snapshot_release(s);
        return NULL;
    }
    return s;
}
