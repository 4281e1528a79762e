/* isa_portable.c - the row kernels for any processor: vectors of four floats in plain C. */
#include "isa_table.h"

const struct isa isa_portable = ISA_TABLE("portable");
