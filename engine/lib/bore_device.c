/* bore_device.c - the library's models on devices: which of their layers are computed where, and
 * what becomes of one whose device fails (see borescope.h).  Tested in
 * tests/engine/test_library_devices.c. */
#include "lib/bore_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/cpu_choice.h"
#include "run/place_model.h"

/* What the options say of the backend. */
static int wish_make(const struct bore_options *o, struct place_wish *w, struct err *e)
{
    struct cpu_choice cpu = cpu_choose(o->cpu ? o->cpu : "fma");
    if (cpu.set < 0)
        return err_set(e, ERR_BAD_INPUT, "cpu \"%.40s\" · there is auto, fma, " KN_CPU_NAMES,
                       o->cpu);
    *w = (struct place_wish){
        .options = {.backend = o->backend ? o->backend : "auto",
                    .threads = o->threads,
                    .cpu = cpu.set,
                    .blas = o->blas,
                    .kept_max = o->cache_bytes ? place_kept(o->cache_bytes) : 0},
        .cpu_blocks = cpu.blocks,
        .counted = o->gpu_layers != NULL};
    return place_layers_parse(o->gpu_layers, &w->layers)
               ? 0
               : err_set(e, ERR_BAD_INPUT,
                         "gpu_layers \"%.40s\" · a number of layers, \"all\" or \"auto\"",
                         o->gpu_layers);
}

/* The plan has no room for what was asked for. */
static int refuse(const struct bore_model *m, const struct placement *p, struct err *e)
{
    const struct placement_part *x = p->part;
    while (x < p->part + p->n - 1 && x->fits)
        x++;
    return err_set(e, ERR_BAD_INPUT,
                   "%.80s does not fit · %.60s: weights %.1f MB, %d positions %.1f MB, work %.1f MB"
                   " · %.1f MB are free · fewer gpu_layers, more devices, or backend \"cpu\"",
                   m->m->name, x->room.describe, (double)x->weights * 1e-6, (int)p->positions,
                   (double)x->kept * 1e-6, (double)x->work * 1e-6,
                   (double)x->room.available * 1e-6);
}

static size_t cache_default(const struct bore_model *m)
{
    size_t total, available;
    m->be->type->memory(m->be, &total, &available);
    return placement_cache(&m->place, total ? total / 4 : (size_t)1 << 30);
}

int bore_device_open(struct bore_model *m, const char *model, const struct bore_options *o,
                     struct err *e)
{
    struct place_wish w;
    struct placed placed;
    int rc = wish_make(o, &w, e);
    rc = rc ? rc : place_open(&w.options, &m->be, e);
    rc = rc ? rc : model_open(&m->m, model, m->be, e);
    rc = rc ? rc : place_model(m->m, &m->be, &w, &placed, e);
    if (rc)
        return rc;
    m->place = placed.plan;
    m->cache_bytes = o->cache_bytes ? o->cache_bytes : cache_default(m);
    if (placed.how == PLACE_HOST_TOO_LARGE)
        snprintf(m->moved, sizeof m->moved, "%.60s · not one layer of %.80s fits there",
                 placed.device.part[0].room.describe, m->m->name);
    return m->place.fits ? 0 : refuse(m, &m->place, e);
}

bool bore_device_fall(struct bore_model *m, const struct err *why)
{
    char text[200], device[sizeof m->be->describe];
    struct kn_backend *cpu, *before = m->be;
    struct placement_room room[KN_SPLIT_MAX];
    snprintf(device, sizeof device, "%s", before->describe);
    if (before->unified && !kn_device_at(before, 1)) /* it was the cpu */
        return false;
    if (!(cpu = kn_open(&(struct kn_options){.backend = "cpu",
                                             .cpu = -1,
                                             .kept_max = place_kept(m->cache_bytes)},
                        text, sizeof text)))
        return false;
    pair_close(m->pair), m->pair = NULL;
    cpu->cancel = before->cancel;
    model_move(m->m, cpu, false);
    kn_close(before);
    m->be = cpu;
    placement_make(&m->place, m->m, room, placement_rooms(cpu, room), PLACE_SPREAD);
    if (m->cache_bytes > room[0].available / 4)
        m->cache_bytes = room[0].available / 4;
    bool named = strstr(why->text, device);
    snprintf(m->moved, sizeof m->moved, "%s%s%.200s", named ? "" : device, named ? "" : " · ",
             why->text);
    return true;
}

bool bore_again(struct bore_model *m, int rc, const struct err *e)
{
    if (rc != ERR_DEVICE || m->work->depth != 1 || m->hooks.n || !bore_device_fall(m, e))
        return false;
    m->work->depth = 0;
    return true;
}

const char *bore_moved(const struct bore_model *m)
{
    return *m->moved ? m->moved : NULL;
}

int bore_place_count(const struct bore_model *m)
{
    return m->place.n;
}

struct bore_place bore_place_at(const struct bore_model *m, int i)
{
    const struct placement_part *x = &m->place.part[i];
    int32_t last = m->place.layers + 2;
    return (struct bore_place){
        .device = x->room.describe,
        .first_layer = x->layers ? x->stage0 > 1 ? x->stage0 - 1 : 0 : -1,
        .n_layers = x->layers,
        .embeds = x->stage0 == 0 && x->stage1 > 0,
        .unembeds = x->stage0 < x->stage1 && x->stage1 == last,
        .weights = x->weights,
        .kept = x->kept,
        .work = x->work,
        .total = x->room.total,
        .available = x->room.available,
    };
}
