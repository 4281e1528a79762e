/* tiles_amx.c - products by AMX; compiled with its flags and AVX-512's. Tested in
 * tests/kernels/test_amx.c. */
#include "row_gemm_amx.h"

const struct tile_set tiles_amx = {amx_pack, amx_gemm};
