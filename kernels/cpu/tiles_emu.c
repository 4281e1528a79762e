/* tiles_emu.c - products by AMX as plain C computes them (tile.h), for tests on any machine. Tested
 * in tests/kernels/test_amx.c. */
#define TILE_EMULATED
#include "row_gemm_amx.h"

#include "tiles_emu.h"

const struct tile_set tiles_emu = {amx_pack, amx_gemm};
