/* cli_device.c - see cli_device.h. */
#include "cli_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ranks.h"
#include "number.h"
#include "run/place_model.h"
#include "token/token_ids.h"

enum { LINE_BYTES = 256, BACKEND_NAME_BYTES = 32 * KN_DEVICES_MAX };

size_t cli_cache_bytes(const struct cli *c)
{
    enum { OTHERWISE = 256 << 20 };
    return c->opt->cache_mb >= 0 ? (size_t)c->opt->cache_mb << 20
                                 : placement_cache(&c->place, OTHERWISE);
}

/* ---- which backend ---- */

/* "1" is cuda:1; "0,1" is split:cuda:0,cuda:1. */
static int devices_name(struct cli *c, char *name, size_t size)
{
    int32_t *ids = NULL, n = 0;
    int rc = token_ids_read(c->opt->devices, strlen(c->opt->devices), &ids, &n, &c->err);
    size_t used = 0;
    if (!rc && c->opt->backend)
        rc = err_set(&c->err, ERR_USAGE,
                     "--devices %.40s and --backend %.40s · one of them says where",
                     c->opt->devices, c->opt->backend);
    if (!rc && (n < 1 || n > KN_DEVICES_MAX))
        rc = err_set(&c->err, ERR_USAGE, "--devices %.40s · expected 1 to %d numbers, 0,1",
                     c->opt->devices, KN_DEVICES_MAX);
    for (int32_t i = 0; i < n && !rc && used < size; i++)
        used += (size_t)snprintf(name + used, size - used, "%scuda:%d",
                                 i       ? ","
                                 : n > 1 ? "split:"
                                         : "",
                                 (int)ids[i]);
    free(ids);
    return rc;
}

/* Of several CUDA devices each of a node's ranks takes one, in turn. */
static bool device_of_rank(const struct cli *c, char *name, size_t size)
{
    struct kn_device list[KN_DEVICES_MAX];
    const struct kn_options k = {.threads = 1, .cpu = -1};
    const char *cuda[KN_DEVICES_MAX];
    int n = ranks_size(c->ranks) > 1 ? kn_devices(&k, list) : 0, count = 0;
    for (int i = 0; i < n; i++)
        if (list[i].there && strncmp(list[i].name, "cuda:", 5) == 0)
            cuda[count++] = list[i].name;
    if (count > 1)
        snprintf(name, size, "%s", cuda[ranks_of_node(c->ranks) % count]);
    return count > 1;
}

/* What kn_open takes for --backend and --devices. */
static int backend_name(struct cli *c, char *name, size_t size)
{
    const char *where = c->opt->backend ? c->opt->backend : "auto";
    if (c->opt->devices)
        return devices_name(c, name, size);
    if ((!strcmp(where, "auto") || !strcmp(where, "cuda")) && device_of_rank(c, name, size))
        return 0;
    return (size_t)snprintf(name, size, "%s", where) < size
               ? 0
               : err_set(&c->err, ERR_USAGE, "--backend %.60s… · the name is too long", where);
}

int cli_cpu(struct cli *c, struct cpu_choice *cpu)
{
    /* Ranks have the same bits, and processors measure what they like. */
    const char *usual = getenv("BORESCOPE_CPU"), *name = c->opt->cpu;
    usual = usual && *usual ? usual : ranks_size(c->ranks) > 1 ? "fma" : "auto";
    *cpu = cpu_choose(name ? name : usual);
    return cpu->set >= 0
               ? 0
               : err_set(&c->err, ERR_USAGE, "%s \"%.40s\" · there is auto, fma, " KN_CPU_NAMES,
                         name ? "--cpu" : "BORESCOPE_CPU", name ? name : usual);
}

/* What the command line says of it; `name` must outlive *w. */
static int backend_options(struct cli *c, const char *name, struct place_wish *w)
{
    const struct options *o = c->opt;
    struct cpu_choice cpu;
    int rc = cli_cpu(c, &cpu);
    w->cpu_blocks = cpu.blocks;
    w->options = (struct kn_options){
        .backend = name,
        .threads = o->threads ? o->threads : ranks_threads(c->ranks),
        .cpu = cpu.set,
        .blas = o->blas,
        .kept_max = o->cache_mb >= 0 ? place_kept((size_t)o->cache_mb << 20) : 0};
    return rc;
}

/* ---- telling ---- */

static void layers_text(const struct placement *p, const struct placement_part *x, char *text,
                        size_t size)
{
    int lo = x->stage0 > 1 ? (int)x->stage0 - 1 : 0, hi = lo + (int)x->layers - 1;
    bool embeds = x->stage0 == 0;
    const char *tail = x->stage1 == p->layers + 2 ? " and the unembedding" : "";
    if (x->layers == p->layers)
        snprintf(text, size, "all layers%s", embeds ? "" : " but the embedding");
    else if (!x->layers)
        snprintf(text, size, "%s",
                 x->stage0 == x->stage1 ? "no layer"
                 : embeds               ? "the embedding"
                                        : "the unembedding");
    else if (lo == hi)
        snprintf(text, size, "layer %d of %d%s", lo, (int)p->layers, tail);
    else
        snprintf(text, size, "layers %d-%d of %d%s", lo, hi, (int)p->layers, tail);
}

void cli_part_text(const struct placement *p, int i, char *text, size_t size)
{
    const struct placement_part *x = &p->part[i];
    char layers[64], weights[NUMBER_BYTES], kept[NUMBER_BYTES], work[NUMBER_BYTES],
        has[NUMBER_BYTES], all[NUMBER_BYTES], largest[NUMBER_BYTES], most[NUMBER_BYTES];
    layers_text(p, x, layers, sizeof layers);
    int used = snprintf(text, size, "%.40s · %s · weights %s", x->room.describe, layers,
                        number_bytes(weights, (double)x->weights));
    if (x->room.unified || used < 0 || (size_t)used >= size)
        return;
    snprintf(text + used, size - (size_t)used, ", %d positions %s, work %s", (int)p->positions,
             number_bytes(kept, (double)x->kept), number_bytes(work, (double)x->work));
    used = (int)strlen(text);
    if (x->largest > x->room.alloc_max)
        snprintf(text + used, size - (size_t)used,
                 " · its largest weight is %s, a piece of memory %s at most",
                 number_bytes(largest, (double)x->largest),
                 number_bytes(most, (double)x->room.alloc_max));
    else if (x->room.total)
        snprintf(text + used, size - (size_t)used, " · %s of %s free",
                 number_bytes(has, (double)x->room.available),
                 number_bytes(all, (double)x->room.total));
}

void cli_json_part(struct json_out *j, const struct placement *p, int i)
{
    const struct placement_part *x = &p->part[i];
    json_out_string(json_out_key(j, "device"), x->room.describe);
    json_out_int(json_out_key(j, "first_layer"),
                 x->layers ? x->stage0 > 1 ? x->stage0 - 1 : 0 : -1);
    json_out_int(json_out_key(j, "layers"), x->layers);
    json_out_bool(json_out_key(j, "embeds"), x->stage0 == 0 && x->stage1 > 0);
    json_out_bool(json_out_key(j, "unembeds"), x->stage0 < x->stage1 && x->stage1 == p->layers + 2);
    json_out_int(json_out_key(j, "weights"), (int64_t)x->weights);
    json_out_int(json_out_key(j, "positions"), p->positions);
    json_out_int(json_out_key(j, "kept"), (int64_t)x->kept);
    json_out_int(json_out_key(j, "work"), (int64_t)x->work);
    json_out_int(json_out_key(j, "total"), (int64_t)x->room.total);
    json_out_int(json_out_key(j, "free"), (int64_t)x->room.available);
    json_out_bool(json_out_key(j, "fits"), x->fits);
}

void cli_tell_places(struct cli *c)
{
    char line[LINE_BYTES];
    for (int i = 0; i < c->place.n && c->places_wait && !c->silent; i++) {
        cli_part_text(&c->place, i, line, sizeof line);
        cli_say(line);
    }
    c->places_wait = false;
}

/* The plan has no room for what was asked for. */
static int refuse(struct cli *c)
{
    char line[LINE_BYTES] = "";
    for (int i = 0; i < c->place.n; i++)
        if (!c->place.part[i].fits && !*line)
            cli_part_text(&c->place, i, line, sizeof line);
    return err_set(
        &c->err, ERR_BAD_INPUT,
        "%s · it does not fit: %s · fewer --gpu-layers, more --devices, or --backend cpu",
        c->m->name, line);
}

/* ---- which layers where ---- */

/* What came of it otherwise than asked for. */
static void note_placed(struct cli *c, const struct placed *placed)
{
    char line[LINE_BYTES];
    if (!placed->devices && c->opt->gpu_layers)
        snprintf(c->note, sizeof c->note, "--gpu-layers %.20s · %.60s is no device: all is there",
                 c->opt->gpu_layers, c->be->describe);
    if (placed->how == PLACE_AS_ASKED)
        return;
    cli_part_text(&placed->device, 0, line, sizeof line);
    snprintf(c->note, sizeof c->note, "%s: %.150s",
             placed->how == PLACE_HOST_WANTED ? "--gpu-layers 0, so on the cpu"
                                              : "too large, so on the cpu",
             line);
}

int cli_open_device(struct cli *c)
{
    char name[BACKEND_NAME_BYTES];
    struct place_wish w = {.counted = c->opt->gpu_layers != NULL};
    struct placed placed;
    int rc = place_layers_parse(c->opt->gpu_layers, &w.layers)
                 ? backend_name(c, name, sizeof name)
                 : err_set(&c->err, ERR_USAGE,
                           "--gpu-layers \"%.40s\" · a number of layers, all, or auto",
                           c->opt->gpu_layers);
    rc = rc ? rc : backend_options(c, name, &w);
    rc = rc ? rc : place_open(&w.options, &c->be, &c->err);
    rc = rc ? rc : model_open(&c->m, c->model_name, c->be, &c->err);
    rc = rc ? rc : place_model(c->m, &c->be, &w, &placed, &c->err);
    if (rc)
        return rc;
    c->place = placed.plan;
    note_placed(c, &placed);
    if (!c->place.fits)
        return refuse(c);
    c->places_wait = !c->be->unified && placed.devices;
    if (isatty(STDERR_FILENO) && !c->on_screen) /* at once: what follows may take long */
        cli_tell_places(c);
    return 0;
}
