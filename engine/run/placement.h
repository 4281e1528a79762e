/* placement.h - what a model takes of the memory of devices, told before anything of it is loaded,
 * and which of its layers go where.
 *
 * Pure arithmetic on the shape, the sizes of the weights and what is free; the command line, the
 * explorer, `info` and `devices` tell the same numbers.  Any thread.  Tested in
 * tests/engine/test_placement.c. */
#ifndef PLACEMENT_H
#define PLACEMENT_H

#include "model/model.h"

/* A device, as far as it matters here. */
struct placement_room {
    char describe[64];
    size_t total, available; /* bytes; total 0: not known, everything fits */
    size_t alloc_max;        /* bytes of one piece */
    bool unified;            /* the host's memory: weights stay where the file is mapped */
};

struct placement_part {
    struct placement_room room;
    int32_t stage0, stage1; /* stages of the plan, [stage0, stage1): 0 embeds, layer l is stage
                               l + 1, the last one unembeds */
    int32_t layers;         /* of them */
    size_t weights;         /* bytes of its stages */
    size_t kept;    /* keys, values and checkpoints of `positions`, for a run and its fork */
    size_t work;    /* one layer's values of both, and what operations work in */
    size_t largest; /* of its weights */
    bool fits;
};

enum {
    PLACEMENT_POSITIONS = 512
}; /* of the prompt that is planned for, where the model has them */

struct placement {
    int32_t positions, layers;
    int n;
    struct placement_part part[KN_SPLIT_MAX]; /* in the order of kn_device_at */
    bool fits;
};

/* Of the last layers so many, with the unembedding, on devices and what is before them in the
 * host's memory, which is room[0]; all of them: the embedding too.  Or: */
enum {
    PLACE_SPREAD = -1, /* over all of room[], in shares as they have free memory */
    PLACE_FIT = -2     /* as many as fit; none may */
};
/* Over room[n], n <= KN_SPLIT_MAX.  The weights of `m` need only be bound (model_look). */
void placement_make(struct placement *p, const struct model *m, const struct placement_room *room,
                    int n, int32_t layers);
/* What there is of a backend, of several devices each; how many. */
int placement_rooms(struct kn_backend *be, struct placement_room room[KN_SPLIT_MAX]);
struct placement_room placement_room_of(const struct kn_device *d);
/* Let the model's backend, whose devices are those of *p, compute so: before anything runs. */
void placement_use(const struct placement *p, struct model *m);
/* Bytes that sites of a run may be kept in (run.h) on these devices: a quarter of what the plan
 * leaves free of the one that has least for its layers; `otherwise` where that is not known. */
size_t placement_cache(const struct placement *p, size_t otherwise);

#endif
