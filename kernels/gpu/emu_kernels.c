/* emu_kernels.c - every kernel as C, for emu.c.  Tested in tests/kernels. */
#include "kernels.inc"
