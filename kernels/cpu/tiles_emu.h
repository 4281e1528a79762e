/* tiles_emu.h - the backend "amx" of tests: the cpu with products by emulated tiles.
 *
 * "amx" is of three terms, also called "amx:bf16x3"; "amx:bf16x2" and "amx:bf16" are of two and
 * one, "amx:portable" is of three, packed by
 * portable C, too. */
#ifndef KN_CPU_TILES_EMU_H
#define KN_CPU_TILES_EMU_H

#include "cpu.h"

extern const struct tile_set tiles_emu;
#ifdef KN_CPU_X86
extern const struct tile_set tiles_emu_avx512;
#endif

/* What kn_open calls for "amx"; as there. */
struct kn_backend *tiles_emu_open(const struct kn_options *opt, char *why, size_t why_size);

#endif
