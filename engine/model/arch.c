/* arch.c - the table of architectures (arch.def). */
#include "model/arch.h"

#define ARCH(name) extern const struct arch name;
#include "model/arch.def"
#undef ARCH

const struct arch *const arch_table[] = {
#define ARCH(name) &name,
#include "model/arch.def"
#undef ARCH
    NULL,
};
