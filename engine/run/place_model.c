/* place_model.c - see place_model.h. */
#include "run/place_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"

enum { NAME_BYTES = 32 * KN_DEVICES_MAX };

int place_open(const struct kn_options *k, struct kn_backend **be, struct err *e)
{
    char why[256];
    *be = kn_open(k, why, sizeof why);
    return *be ? 0 : err_set(e, errno == ENOMEM ? ERR_SYSTEM : ERR_USAGE, "%s", why);
}

size_t place_kept(size_t cache_bytes)
{
    enum { SHARE = 8, MOST = 256 << 20 }; /* of a large cache what the cpu would keep anyway */
    size_t kept = cache_bytes / SHARE;
    return kept < 1 ? 1 : kept < MOST ? kept : MOST;
}

bool place_layers_parse(const char *text, int32_t *layers)
{
    bool automatic = !text || !strcmp(text, "auto"), all = text && !strcmp(text, "all");
    char *end;
    if (automatic || all) {
        *layers = all ? INT32_MAX : PLACE_FIT;
        return true;
    }
    long n = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || n > LIMIT_LAYERS + 1)
        return false;
    *layers = (int32_t)n;
    return true;
}

/* The backend before is closed where the new one does not hold it. */
static void use(struct model *m, struct kn_backend **be, struct kn_backend *next, bool close)
{
    struct kn_backend *before = *be;
    model_move(m, next, false);
    *be = next;
    if (close)
        kn_close(before);
}

/* The cpu's options for this model. */
static struct kn_options host_options(const struct model *m, const struct place_wish *w)
{
    struct kn_options k = w->options;
    k.backend = "cpu", k.blas = false;
    k.cpu = model_in_blocks(m) ? w->cpu_blocks : k.cpu;
    return k;
}

/* All on the cpu. */
static int to_host(struct model *m, struct kn_backend **be, const struct place_wish *w,
                   struct placed *out, enum place_how how, struct err *e)
{
    const struct kn_options k = host_options(m, w);
    struct kn_backend *cpu;
    struct placement_room room[KN_SPLIT_MAX];
    int rc = place_open(&k, &cpu, e);
    if (rc)
        return rc;
    out->device = out->plan, out->how = how;
    use(m, be, cpu, true);
    placement_make(&out->plan, m, room, placement_rooms(cpu, room), PLACE_SPREAD);
    return 0;
}

/* The cpu, and what *be is of: one backend. */
static int open_beside(struct model *m, struct kn_backend **be, const struct place_wish *w,
                       struct err *e)
{
    struct kn_options k = w->options;
    struct kn_backend *cpu = NULL, *both = NULL;
    char with[NAME_BYTES + 16];
    if (kn_device_at(*be, 1)) { /* several, which are opened anew */
        snprintf(with, sizeof with, "split:cpu,%s", strchr(k.backend, ':') + 1);
        k = host_options(m, w);
        k.backend = with, k.blas = w->options.blas;
        int rc = place_open(&k, &both, e);
        if (!rc)
            use(m, be, both, true);
        return rc;
    }
    k = host_options(m, w);
    int rc = place_open(&k, &cpu, e);
    if (!rc && !(both = kn_split((struct kn_backend *const[]){cpu, *be}, 2)))
        rc = err_memory(e, "the cpu beside %s", (*be)->describe);
    if (rc)
        kn_close(cpu);
    else
        use(m, be, both, false);
    return rc;
}

/* On devices that do not hold all of the model, or are not to. */
static int place_beside(struct model *m, struct kn_backend **be, const struct place_wish *w,
                        struct placement_room *room, int n, struct placed *out, struct err *e)
{
    struct placement all = out->plan;
    if (n == KN_SPLIT_MAX) {
        out->plan.fits = false;
        return 0;
    }
    memmove(room + 1, room, (size_t)n * sizeof *room);
    room[0] = (struct placement_room){.describe = "cpu", .unified = true};
    placement_make(&out->plan, m, room, n + 1, w->layers);
    bool none = out->plan.part[0].layers == m->cfg.n_layers && w->layers == PLACE_FIT;
    if (none)
        out->plan = all;
    if (none && !strcmp(w->options.backend, "auto"))
        return to_host(m, be, w, out, PLACE_HOST_TOO_LARGE, e);
    if (none || !out->plan.fits)
        return 0;
    int rc = open_beside(m, be, w, e);
    if (!rc) {
        placement_rooms(*be, room);
        out->plan.part[0].room = room[0];
    }
    return rc;
}

int place_model(struct model *m, struct kn_backend **be, const struct place_wish *w,
                struct placed *out, struct err *e)
{
    struct placement_room room[KN_SPLIT_MAX];
    struct kn_backend *other;
    int devices = 0, rc = 0;
    if ((*be)->unified && w->cpu_blocks != w->options.cpu && model_in_blocks(m)) {
        struct kn_options k = w->options;
        k.cpu = w->cpu_blocks;
        if ((rc = place_open(&k, &other, e)))
            return rc;
        use(m, be, other, true);
    }
    int n = placement_rooms(*be, room);
    for (int i = 0; i < n; i++)
        devices += !room[i].unified;
    *out = (struct placed){.devices = devices > 0};
    placement_make(&out->plan, m, room, n, PLACE_SPREAD);
    if (devices && w->layers == 0)
        rc = to_host(m, be, w, out, PLACE_HOST_WANTED, e);
    else if (devices == n - 1 && n > 1 && room[0].unified && w->counted)
        placement_make(&out->plan, m, room, n, w->layers);
    else if (devices && w->layers < m->cfg.n_layers && (w->layers != PLACE_FIT || !out->plan.fits))
        rc = place_beside(m, be, w, room, n, out, e);
    if (!rc && out->plan.fits)
        placement_use(&out->plan, m);
    return rc;
}
