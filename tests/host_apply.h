/* host_apply.h - an instruction on values in host memory, by a cpu backend of its own. */
#ifndef TEST_HOST_APPLY_H
#define TEST_HOST_APPLY_H

#include <stdlib.h>

#include "run/run_apply.h"

static inline void host_apply(const struct edit_instr *instr, const struct kn_view *v, int32_t row0,
                              const struct kn_view *src)
{
    static struct kn_backend *be;
    struct kn_options opt = {.backend = "cpu", .threads = 1, .cpu = -1};
    char why[200];
    struct err e = {0};
    if ((!be && !(be = kn_open(&opt, why, sizeof why))) || run_apply(be, instr, v, row0, src, &e))
        abort();
}

#endif
