/* place_model.h - puts a model on the devices that were asked for: all of its layers, or those that
 * fit there (placement.h), the others on the cpu beside them.
 *
 * For the command line and the library alike, which word what came of it.  One thread.  Tested in
 * tests/tui/test_cli_devices.c and tests/engine/test_library_devices.c. */
#ifndef PLACE_MODEL_H
#define PLACE_MODEL_H

#include "run/placement.h"

struct place_wish {
    struct kn_options options; /* of the devices; backend "auto": any, or the cpu where all of the
                                  model does not fit */
    int cpu_blocks;            /* options.cpu of a model with weights in blocks */
    bool counted;              /* `layers` was said */
    int32_t layers;            /* so many of the last ones on devices; INT32_MAX: all; PLACE_FIT */
};

/* "all", "auto", a number up to the most layers there can be, or NULL for auto; false: none of
 * them. */
bool place_layers_parse(const char *text, int32_t *layers);

enum place_how {
    PLACE_AS_ASKED,
    PLACE_HOST_WANTED,   /* on the cpu: no layer was wanted elsewhere */
    PLACE_HOST_TOO_LARGE /* on the cpu: not one layer fits elsewhere */
};

struct placed {
    struct placement plan;   /* where what is computed */
    struct placement device; /* of the PLACE_HOSTs: that of the device it is not on */
    enum place_how how;
    bool devices; /* there are some beside the cpu, or were */
};

/* m->be is *be, opened by w->options, and *be becomes what it is replaced by: the cpu, or the cpu
 * and those devices.  Before anything runs.  Not done where it does not fit (!out->plan.fits), of
 * which the part that has no room says the numbers. */
int place_model(struct model *m, struct kn_backend **be, const struct place_wish *w,
                struct placed *out, struct err *e);
/* kn_options.kept_max where cache_bytes were said for what runs keep: little of them, so that all
 * together stays about as large. */
size_t place_kept(size_t cache_bytes);
/* Backend by its options, or the error it gives (err.h: what can be mended is ERR_USAGE). */
int place_open(const struct kn_options *k, struct kn_backend **be, struct err *e);

#endif
