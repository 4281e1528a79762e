/* cli_device.c - see cli_device.h. */
#include "cli_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ranks.h"
#include "number.h"
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

static int backend_open(struct cli *c, const char *name, bool blas, struct kn_backend **be)
{
    const struct options *o = c->opt;
    char why[256];
    struct kn_options k = {.backend = name,
                           .threads = o->threads ? o->threads : ranks_threads(c->ranks),
                           .cpu = -1,
                           .blas = blas};
    if (o->cpu && (k.cpu = kn_cpu_parse(o->cpu)) < 0)
        return err_set(&c->err, ERR_USAGE, "--cpu \"%s\" · portable, avx2 or avx512", o->cpu);
    *be = kn_open(&k, why, sizeof why);
    return *be ? 0 : err_set(&c->err, errno == ENOMEM ? ERR_SYSTEM : ERR_USAGE, "%s", why);
}

/* --gpu-layers: a number, PLACE_FIT, or INT32_MAX for all. */
static int gpu_layers(struct cli *c, int32_t *layers)
{
    const char *text = c->opt->gpu_layers;
    char *end;
    *layers = PLACE_FIT;
    if (!text || !strcmp(text, "auto"))
        return 0;
    *layers = INT32_MAX;
    if (!strcmp(text, "all"))
        return 0;
    long n = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n > LIMIT_LAYERS + 1)
        return err_set(&c->err, ERR_USAGE,
                       "--gpu-layers \"%.40s\" · a number of layers, all, or auto", text);
    *layers = (int32_t)n;
    return 0;
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

static void use(struct cli *c, struct kn_backend *be)
{
    model_move(c->m, be, false);
    c->be = be;
}

/* All on the cpu, and why. */
static int to_host(struct cli *c, const char *why)
{
    struct kn_backend *cpu, *before = c->be;
    char line[LINE_BYTES];
    struct placement_room room[KN_SPLIT_MAX];
    int rc = backend_open(c, "cpu", false, &cpu);
    if (rc)
        return rc;
    cli_part_text(&c->place, 0, line, sizeof line);
    snprintf(c->note, sizeof c->note, "%s: %.150s", why, line);
    use(c, cpu);
    kn_close(before);
    placement_make(&c->place, c->m, room, placement_rooms(cpu, room), PLACE_SPREAD);
    return 0;
}

/* The cpu, and what c->be is of: one backend. */
static int open_beside(struct cli *c, const char *name)
{
    struct kn_backend *cpu = NULL, *both = NULL, *before = c->be;
    char with[BACKEND_NAME_BYTES + 16];
    if (kn_device_at(before, 1)) { /* several, which are opened anew */
        snprintf(with, sizeof with, "split:cpu,%s", strchr(name, ':') + 1);
        int rc = backend_open(c, with, c->opt->blas, &both);
        if (rc)
            return rc;
        use(c, both);
        kn_close(before);
        return 0;
    }
    int rc = backend_open(c, "cpu", false, &cpu);
    if (!rc && !(both = kn_split((struct kn_backend *const[]){cpu, before}, 2)))
        rc = cli_memory(c);
    if (rc)
        kn_close(cpu);
    else
        use(c, both);
    return rc;
}

/* On devices that do not hold all of the model, or are not to. */
static int place_beside(struct cli *c, const char *name, struct placement_room *room, int n,
                        int32_t layers)
{
    struct placement all = c->place;
    if (n == KN_SPLIT_MAX)
        return refuse(c);
    memmove(room + 1, room, (size_t)n * sizeof *room);
    room[0] = (struct placement_room){.describe = "cpu", .unified = true};
    placement_make(&c->place, c->m, room, n + 1, layers);
    bool none = c->place.part[0].layers == c->m->cfg.n_layers && layers == PLACE_FIT;
    if (none || !c->place.fits) {
        if (none)
            c->place = all;
        return strcmp(name, "auto") || !none ? refuse(c) : to_host(c, "too large, so on the cpu");
    }
    int rc = open_beside(c, name);
    if (rc)
        return rc;
    placement_rooms(c->be, room);
    c->place.part[0].room = room[0];
    return 0;
}

static int place(struct cli *c, const char *name, int32_t layers)
{
    struct placement_room room[KN_SPLIT_MAX];
    int n = placement_rooms(c->be, room), devices = 0, rc = 0;
    for (int i = 0; i < n; i++)
        devices += !room[i].unified;
    placement_make(&c->place, c->m, room, n, PLACE_SPREAD);
    if (!devices && c->opt->gpu_layers)
        snprintf(c->note, sizeof c->note, "--gpu-layers %.20s · %.60s is no device: all is there",
                 c->opt->gpu_layers, c->be->describe);
    if (devices && layers == 0)
        rc = to_host(c, "--gpu-layers 0, so on the cpu");
    else if (devices == n - 1 && n > 1 && room[0].unified && c->opt->gpu_layers)
        placement_make(&c->place, c->m, room, n, layers);
    else if (devices && layers < c->m->cfg.n_layers && (layers != PLACE_FIT || !c->place.fits))
        rc = place_beside(c, name, room, n, layers);
    if (!rc && !c->place.fits)
        rc = refuse(c);
    if (rc)
        return rc;
    placement_use(&c->place, c->m);
    c->places_wait = !c->be->unified && devices;
    if (isatty(STDERR_FILENO)) /* at once: what follows may take long */
        cli_tell_places(c);
    return 0;
}

int cli_open_device(struct cli *c)
{
    char name[BACKEND_NAME_BYTES];
    int32_t layers;
    int rc = gpu_layers(c, &layers);
    rc = rc ? rc : backend_name(c, name, sizeof name);
    rc = rc ? rc : backend_open(c, name, c->opt->blas, &c->be);
    rc = rc ? rc : model_open(&c->m, c->model_name, c->be, &c->err);
    return rc ? rc : place(c, name, layers);
}
