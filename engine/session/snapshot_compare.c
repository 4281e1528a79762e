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

/* Values of one row: heads of `from` sources each become heads of `to`. */
static void by_source(const struct compared *x, const struct want *w, const float *from, float *to)
{
    size_t heads = want_heads(x->cfg, w), n = (size_t)x->a->n, m = (size_t)x->b->n;
    for (size_t h = 0; h < heads; h++)
        for (size_t s = 0; s < n; s++) {
            int32_t p = x->partner[s];
            to[h * n + s] = p >= 0 && p < x->b->n ? from[h * m + (size_t)p] : 0;
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

static void put_row(const struct compared *x, const struct want *w, const void *a, const void *b,
                    void *to)
{
    size_t bytes = want_bytes(x->cfg, w, x->a->n);
    bool sources = w->kind == WANT_VALUES && of_sources(w->site.id);
    if (!b)
        memcpy(to, a, bytes);
    else if (w->kind == WANT_BEST)
        best_of_both(w, a, b, to);
    else if (sources)
        by_source(x, w, b, to);
    else
        memcpy(to, b, bytes);
}

/* b's rows of a want in a's places; NULL: not there, or memory is out. */
static struct blob *other_face(const struct compared *x, const struct want *w, bool *failed)
{
    bool whole = want_is_whole(w->kind);
    struct blob *to = blob_new(w->row0, w->row1, want_bytes(x->cfg, w, x->a->n));
    *failed |= !to;
    for (int32_t row = w->row0; to && row < w->row1; row++) {
        int32_t p = whole ? row : row < x->a->n ? x->partner[row] : -1;
        const void *a = snapshot_at(x->a, FACE_BASE, w, row),
                   *b = p >= 0 ? snapshot_at(x->b, FACE_BASE, w, p) : NULL;
        if (!a || (whole && !b) || (p >= 0 && !b))
            continue;
        put_row(x, w, a, b, blob_at(to, row));
        to->there[row - to->row0] = true;
    }
    return to;
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
        bool alone = w.kind == WANT_KL || w.kind == WANT_NONFINITE;
        face[FACE_EDITED] = alone ? NULL : other_face(&x, &w, &failed);
        snapshot_show(s, &w, face);
        blob_release(face[FACE_EDITED]);
    }
    if (failed) {
        snapshot_release(s);
        return NULL;
    }
    return s;
}
