/* arch.c - the table of architectures (arch.def). */
#include "arch.h"

#define ARCH(name) extern const struct arch name;
#include "arch.def"
#undef ARCH

const struct arch *const arch_table[] = {
#define ARCH(name) &name,
#include "arch.def"
#undef ARCH
    NULL,
};
