/* isa_avx2.c - the row kernels for AVX2, FMA and F16C; compiled with their flags. */
#include "isa_table.h"

const struct isa isa_avx2 = ISA_TABLE("avx2");
