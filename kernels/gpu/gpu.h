/* gpu.h - the seam between ops.def and devices: a call is lowered to launches of kernels, which a
 * device carries out in their order.
 *
 * A device keeps memory whose addresses can be calculated with, a queue, and the kernels of
 * kernels.def in a form of its own (PTX, SPIR-V, functions of the host); everything else of a
 * backend is here.  Its kn_backend_type takes the methods below that are named as there, and gives
 * the rest.  Tested in tests/kernels through the emulator (emu.c).
 */
#ifndef KN_GPU_GPU_H
#define KN_GPU_GPU_H

#include "kn.h"

enum gpu_kernel { /* GPU_embed, GPU_copy, ... */
#define GPU_KERNEL(name, lanes, params, text, defines) GPU_##name,
#include "kernels.def"
#undef GPU_KERNEL
                  GPU_KERNEL_COUNT,
                  GPU_BEFORE_MMA = GPU_KERNEL_COUNT - 1, /* those of `mma` are counted on */
#define GPU_KERNEL(name, lanes, params, text, defines)
#define GPU_MMA(name, lanes, params, text, defines) GPU_##name,
#include "kernels.def"
#undef GPU_KERNEL
                  GPU_ALL_COUNT
};

enum {
    GPU_PARAM_BYTES = 128, /* of the parameters of a launch, at most */
    GPU_GRID_MAX = 65535,  /* groups on one axis of a launch, at most */
    GPU_LANES_MAX = 256    /* of a group */
};

struct gpu_row {
    const char *name; /* of the kernel: its entry in PTX, its module in SPIR-V */
    int lanes;        /* of a group, which is one-dimensional */
    int param_bytes;
};
extern const struct gpu_row gpu_kernels[GPU_ALL_COUNT];

/* Pieces of device memory that calls work in; one for each use that may overlap another. */
enum gpu_scratch {
    GPU_SCRATCH_SQUARE, /* scores */
    GPU_SCRATCH_PART,   /* products */
    GPU_SCRATCH_WEIGHT, /* decoded weights */
    GPU_SCRATCH_TERM,   /* activations for matrix units */
    GPU_SCRATCH_LIST,   /* indices that were looked at */
    GPU_SCRATCH_MOVE,   /* what read and write pack */
    GPU_SCRATCH_COUNT
};

/* y[m,n] = x[m,k] . w[n,k]^T + b[n] for each of some groups, as kernels see it. */
struct gpu_product {
    int64_t m, n, k, groups;
    int64_t x_stride, w_stride, y_stride, x_group, w_group, y_group, b_group;
    int64_t first; /* of w, in a type in blocks */
    bool nk;       /* weights contiguous along k, else along n */
    bool linear;   /* of linear: any provider may make it */
    enum kn_dtype type;
    char *w;
    const struct kn_view *b; /* or NULL */
    char *x, *y;
    enum kn_act act; /* of what is made of it then: act(y) + add */
    char *add;       /* or NULL: [m,n] of one group */
    int64_t add_stride;
};

struct gpu {
    struct kn_backend base; /* first */
    bool mma; /* the device has matrix units, and launches also the kernels from GPU_KERNEL_COUNT on
               */
    /* Methods of the device.  All are queued in one order and give KN_OUT_OF_MEMORY or
     * KN_DEVICE_LOST where they fail. */
    /* x * y * z groups, each 1 to GPU_GRID_MAX; the parameters are taken at once. */
    enum kn_status (*launch)(struct gpu *g, enum gpu_kernel k, const void *params, size_t bytes,
                             int64_t x, int64_t y, int64_t z);
    /* To device memory; `host` is taken at once. */
    enum kn_status (*upload)(struct gpu *g, void *device, const void *host, size_t bytes);
    /* From device memory; `host` holds the bytes after `wait`. */
    enum kn_status (*download)(struct gpu *g, void *host, const void *device, size_t bytes);
    enum kn_status (*wait)(struct gpu *g); /* for everything queued */
    /* 0, or so many groups along x at most where a group can take several turns (EACH): tests have
     * few, that turns meet which a device has only in large tensors. */
    int64_t turns_x;
    /* NULL, or another way to make products: true, and *st says how that went, or false: not
     * this one. */
    bool (*product)(struct gpu *g, const struct gpu_product *q, enum kn_status *st);

    /* gpu.c's own: zero when a device opens, freed by gpu_close. */
    struct gpu_piece {
        char *mem;
        size_t bytes;
    } scratch[GPU_SCRATCH_COUNT];
    int32_t *bad;     /* device: not 0 once a kernel met an index outside its bounds */
    int32_t bad_seen; /* what was read of it */
    bool bad_asked;   /* a call that has indices was queued since the last sync */
    float *slopes;    /* device: kn_alibi_slope of each of slope_heads heads */
    int64_t slope_heads;
};

/* Methods of kn_backend_type that all devices share, as kn.h has them.  import: a copy of the bytes
 * from the first element to the last, in the same layout. */
enum kn_status gpu_run(struct kn_backend *be, const struct kn_call *call);
enum kn_status gpu_import(struct kn_backend *be, const struct kn_view *host,
                          struct kn_view *device);
void gpu_forget(struct kn_backend *be, struct kn_view *device);
enum kn_status gpu_read(struct kn_backend *be, const struct kn_view *v, void *host);
enum kn_status gpu_write(struct kn_backend *be, const struct kn_view *v, const void *host);
enum kn_status gpu_fill(struct kn_backend *be, const struct kn_view *v, float x);
enum kn_status gpu_sync(struct kn_backend *be);
#define GPU_METHODS                                                                               \
    .run = gpu_run, .forget = gpu_forget, .read = gpu_read, .write = gpu_write, .fill = gpu_fill, \
    .sync = gpu_sync
/* Release what calls have kept; for a device's close, before the device itself goes. */
void gpu_close(struct gpu *g);

#endif
