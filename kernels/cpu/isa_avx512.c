/* isa_avx512.c - the row kernels for AVX-512 F, BW, VL and DQ; compiled with their flags. */
#include "isa_table.h"

const struct isa isa_avx512 = ISA_TABLE("avx512");
