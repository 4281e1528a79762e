/* placement.c - see placement.h. */
#include "run/placement.h"

#include <stdio.h>
#include <string.h>

#include "base/limit.h"
#include "run/run.h"

enum {
    FACES = 2,                /* runs of a prompt: as it is, and with edits */
    DECODED_BYTES = 64 << 20, /* of a weight at once (docs/devices.md) */
    DECODED_FACTOR = 8,       /* as f32 against a type in blocks */
    LOGITS_BYTES = 16 << 20,  /* likewise, of the lens */
    SCORES_BYTES = 256 << 20, /* of attention whose scores nobody looks at */
    CACHE_SHARE = 4
};

/* What the stages of a model take. */
struct sizes {
    const struct config *cfg;
    int32_t stages, positions;
    size_t bytes[LIMIT_LAYERS + 2], largest[LIMIT_LAYERS + 2], shared;
    size_t kept, live; /* of one layer, of one run */
    bool in_blocks;    /* some weights are, and decoded before they are multiplied */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void sizes_find(struct sizes *s, const struct model *m, int32_t positions)
{
    s->cfg = &m->cfg, s->stages = plan_stages(m->plan), s->positions = positions;
    s->shared = model_stage_bytes(m, s->bytes, s->largest);
    run_memory(m, positions, &s->kept, &s->live);
    s->kept /= (size_t)m->cfg.n_layers;
    s->in_blocks = model_in_blocks(m);
}

/* What stages [stage0, stage1) take of a device. */
static void part_measure(struct placement_part *p, const struct sizes *s, int32_t stage0,
                         int32_t stage1)
{
    size_t heads = (size_t)s->cfg->n_heads, rows = (size_t)s->positions;
    p->stage0 = stage0, p->stage1 = stage1;
    p->weights = p->largest = 0, p->layers = 0;
    for (int32_t i = stage0; i < stage1; i++) {
        p->weights += s->bytes[i];
        p->largest = s->largest[i] > p->largest ? s->largest[i] : p->largest;
        p->layers += i > 0 && i < s->stages - 1;
    }
    if (stage0 == 0 && stage1 == s->stages)
        p->weights -= s->shared;
    p->kept = FACES * s->kept * (size_t)p->layers;
    p->work = stage0 == stage1
                  ? 0
                  : FACES * least(s->live, LIMIT_FRAME_BYTES) +
                        (s->in_blocks ? least(p->largest * DECODED_FACTOR, DECODED_BYTES) : 0) +
                        least((size_t)s->cfg->d_vocab * rows * sizeof(float), LOGITS_BYTES) +
                        least(heads * rows * rows * sizeof(float), SCORES_BYTES);
    p->fits = p->room.unified || !p->room.total ||
              (p->weights + p->kept + p->work <= p->room.available &&
               p->largest <= p->room.alloc_max);
}

/* Stages from `stage` on over the devices from `first` on, in shares as they have free memory: one
 * lies where its middle does.  Do all fit? */
static bool spread(struct placement *p, const struct sizes *s, int first, int32_t stage)
{
    double all = 0, room = 0, before = 0, lies = 0;
    int32_t at = stage;
    bool known = true, fits = true;
    for (int32_t i = stage; i < s->stages; i++)
        all += (double)s->bytes[i];
    for (int i = first; i < p->n; i++)
        room += (double)p->part[i].room.available, known &= p->part[i].room.total > 0;
    for (int i = first; i < p->n; i++) {
        int32_t from = at;
        before += known ? (double)p->part[i].room.available : 1;
        double upto = before / (known ? room : p->n - first) * all;
        while (at < s->stages && (i == p->n - 1 || lies + (double)s->bytes[at] / 2 < upto))
            lies += (double)s->bytes[at++];
        part_measure(&p->part[i], s, from, at);
        fits &= p->part[i].fits;
    }
    return fits;
}

/* The same, and what is before in the host's memory. */
static bool beside(struct placement *p, const struct sizes *s, int32_t stage)
{
    part_measure(&p->part[0], s, 0, stage);
    return spread(p, s, 1, stage);
}

void placement_make(struct placement *p, const struct model *m, const struct placement_room *room,
                    int n, int32_t layers)
{
    struct sizes s;
    int32_t count = m->cfg.n_layers, none = count + 2, stage = 0;
    *p = (struct placement){.positions = m->cfg.n_ctx < PLACEMENT_POSITIONS ? m->cfg.n_ctx
                                                                            : PLACEMENT_POSITIONS,
                            .layers = count,
                            .n = n};
    sizes_find(&s, m, p->positions);
    for (int i = 0; i < n; i++)
        p->part[i].room = room[i];
    if (layers == PLACE_SPREAD)
        p->fits = spread(p, &s, 0, 0);
    else if (layers != PLACE_FIT)
        p->fits = beside(p, &s, layers >= count ? 0 : layers ? count + 1 - layers : none);
    else /* a stage less on the devices until they hold the rest: a layer at least, or nothing */
        while (!(p->fits = beside(p, &s, stage)) && stage < none)
            stage = stage == count ? none : stage + 1;
}

int placement_rooms(struct kn_backend *be, struct placement_room room[KN_SPLIT_MAX])
{
    int n = 0;
    for (struct kn_backend *d; n < KN_SPLIT_MAX && (d = kn_device_at(be, n)); n++) {
        struct placement_room *r = &room[n];
        *r = (struct placement_room){.alloc_max = d->alloc_max, .unified = d->unified};
        snprintf(r->describe, sizeof r->describe, "%s", d->describe);
        d->type->memory(d, &r->total, &r->available);
    }
    return n;
}

struct placement_room placement_room_of(const struct kn_device *d)
{
    struct placement_room r = {.total = d->total,
                               .available = d->available,
                               .alloc_max = d->alloc_max,
                               .unified = d->unified};
    snprintf(r.describe, sizeof r.describe, "%.60s", d->describe);
    return r;
}

/* "cpu avx2 x2 layers 0-11, cuda:0 NAME 12-31" */
static void say_where(const struct placement *p, char *text, size_t size)
{
    size_t used = 0;
    bool first = true;
    for (int i = 0; i < p->n && used < size; i++) {
        const struct placement_part *x = &p->part[i];
        int32_t lo = x->stage0 > 1 ? x->stage0 - 1 : 0;
        if (!x->layers)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%.32s %s%d", first ? "" : ", ",
                                 x->room.describe, first ? "layers " : "", (int)lo);
        if (x->layers > 1 && used < size)
            used += (size_t)snprintf(text + used, size - used, "-%d", (int)(lo + x->layers - 1));
        first = false;
    }
}

void placement_use(const struct placement *p, struct model *m)
{
    int64_t upto[KN_SPLIT_MAX];
    for (int i = 0; i < p->n; i++)
        upto[i] = p->part[i].stage1;
    m->where[0] = 0;
    if (p->n < 2)
        return;
    kn_spread(m->be, upto, plan_stages(m->plan));
    say_where(p, m->where, sizeof m->where);
}

size_t placement_cache(const struct placement *p, size_t otherwise)
{
    size_t cache = SIZE_MAX;
    for (int i = 0; i < p->n; i++) {
        const struct placement_part *x = &p->part[i];
        size_t taken = x->room.unified ? 0 : x->weights + x->kept + x->work, free_bytes;
        if (!x->room.total || !x->layers)
            continue;
        free_bytes = x->room.available > taken ? x->room.available - taken : 0;
        cache = least(cache, free_bytes / CACHE_SHARE / (size_t)x->layers * (size_t)p->layers);
    }
    return cache == SIZE_MAX ? otherwise : cache;
}
