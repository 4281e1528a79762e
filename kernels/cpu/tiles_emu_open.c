/* tiles_emu_open.c - see tiles_emu.h. */
#include "tiles_emu.h"

#include "../wrap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct kn_backend *tiles_emu_open(const struct kn_options *opt, char *why, size_t why_size)
{
    static const struct {
        const char *name, *describe;
        int terms;
        bool portable;
    } FORMS[] = {
        {"amx", "emulated amx-bf16x3", 3, false},
        {"amx:bf16x3", "emulated amx-bf16x3", 3, false},
        {"amx:bf16x2", "emulated amx-bf16x2", 2, false},
        {"amx:bf16", "emulated amx-bf16", 1, false},
        {"amx:portable", "emulated amx-bf16x3 in C", 3, true},
    };
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
        if (strcmp(opt->backend, FORMS[i].name) != 0)
            continue;
        const struct tile_set *tiles = &tiles_emu;
#ifdef KN_CPU_X86
        if (!FORMS[i].portable && kn_cpu_best() >= KN_CPU_AVX512)
            tiles = &tiles_emu_avx512;
#endif
        return cpu_open_tiles(opt, tiles, FORMS[i].terms, FORMS[i].describe, why, why_size);
    }
    snprintf(why, why_size, "%s · there is amx, amx:bf16x2, amx:bf16 and amx:portable",
             opt->backend);
    errno = EINVAL;
    return NULL;
}

__attribute__((constructor)) static void tiles_emu_offer(void)
{
    kn_offer("amx", tiles_emu_open);
}
