/* tiles_emu_avx512.c - the same beside AVX-512, as tiles_amx.c has it; compiled with its flags.
 * Tested in tests/kernels/test_amx.c. */
#define TILE_EMULATED
#include "row_gemm_amx.h"

#include "tiles_emu.h"

const struct tile_set tiles_emu_avx512 = {amx_pack, amx_gemm};
