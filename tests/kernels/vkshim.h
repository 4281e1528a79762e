/* vkshim.h - stands between kernels/vulkan/ and the loader: counts what is made, makes any call
 * fail, switches the validation layer on.
 *
 * Linked with -Wl,--wrap=dlopen,--wrap=dlsym, so that the loader's entry is this one's. */
#ifndef VKSHIM_H
#define VKSHIM_H

#include "vulkan/vk.h"

struct vkshim {
    bool absent;                  /* there is no loader */
    bool layers;                  /* validation and synchronisation layers are on */
    bool drop_barriers;           /* pipeline barriers are left out */
    int subgroup;                 /* lanes that the device is said to have; 0: what it has */
    long fail_at;                 /* this call fails, counted from 1; 0: none */
    VkResult failure;             /* how */
    VkMemoryPropertyFlags memory; /* what every type of memory is said to be beside */

    long calls;      /* look-ups of functions included */
    int live;        /* objects made and not destroyed */
    int allocations; /* of them, memory */
    long submits, launches;
    int complaints;      /* of the layers */
    char complaint[512]; /* the first one */
};
extern struct vkshim vkshim;

/* All counts 0, nothing fails. */
void vkshim_reset(void);
/* Whether the layer is there. */
bool vkshim_has_layers(void);

#endif
