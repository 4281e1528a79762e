/* cuda.h - one CUDA device: what its files share.
 *
 * Everything is queued on one stream, in the order of the calls, so that nothing ever waits for
 * anything but in sync; a transfer goes through pinned memory of ours, since one from ordinary
 * memory would wait.  Weights alone come up on a stream of their own, for which the other one
 * waits where they are imported: they are on their way while what was queued before computes.
 * Tested in tests/kernels/test_cuda.c. */
#ifndef KN_CUDA_H
#define KN_CUDA_H

#include "../gpu/gpu.h"
#include "driver.h"

/* What every device runs, and what those with matrix units of bf16 run beside it. */
enum cuda_image { CUDA_IMAGE_ALL, CUDA_IMAGE_MMA, CUDA_IMAGES };

/* Host memory that the device reads and writes by itself. */
struct pinned {
    char *mem; /* NULL: not yet needed */
    size_t used;
};

/* Bytes to the device in the order of one stream, by way of two halves of pinned memory in turn. */
struct lift {
    cu_stream stream;
    struct pinned up;
    cu_event sent[2]; /* the half's last upload */
    int side;
};

/* Bytes on their way to `host`, by way of pinned memory. */
struct landing {
    void *host;
    size_t at, bytes;
};

struct cuda {
    struct gpu gpu; /* first */
    const struct cuda_driver *cu;
    int ordinal, capability; /* 10 * major + minor */
    cu_device device;
    cu_context context; /* NULL: none was retained */
    cu_pool pool;
    cu_stream stream;
    cu_event loaded;               /* the last import */
    cu_module module[CUDA_IMAGES]; /* NULL until the first launch, as are their functions */
    cu_function function[GPU_ALL_COUNT];
    struct cuda_queue *queue; /* launches that wait to be given out together (graph.c) */
    cu_event pace[2], handed; /* launches so far; what another device may go on after */
    unsigned launches;
    struct lift writes, imports; /* on the stream of everything, and on the one of weights */
    struct pinned down;          /* what sync hands out */
    struct landing *landing;
    int landings, landings_room;
    uint64_t reached;       /* devices that were asked to read this one's memory, by ordinal */
    struct cuda_blas *blas; /* NULL: products are our own */
    enum kn_status failed;  /* what the device said once, it says for good */
    enum kn_status owed;    /* launches were left out for want of memory, which sync has to tell */
};

/* As kn_open, of "auto", "cuda", "cuda:1". */
struct kn_backend *cuda_open(const struct kn_options *opt, char *why, size_t why_size);
/* How many devices the driver finds; 0: why. */
int cuda_count(char *why, size_t why_size);

/* ---- cuda.c ---- */

/* The status of a driver's call; an error but for memory is the end of the device. */
enum kn_status cuda_status(struct cuda *c, cu_result r);
/* Before any call of the driver: this thread works on the device, which is still there. */
enum kn_status cuda_here(struct cuda *c);
/* The same before a call that has a place in the order of the stream: launches that wait go first.
 */
enum kn_status cuda_enter(struct cuda *c);
/* So many launches were given out: not too far ahead of the device. */
enum kn_status cuda_pace(struct cuda *c, unsigned launches);
/* Device memory in the order of a stream, not zeroed, and its release behind what is queued on the
 * one of everything; 0: none is left. */
cu_address cuda_take(struct cuda *c, size_t bytes, cu_stream s);
void cuda_give(struct cuda *c, cu_address p);

/* ---- graph.c ---- */

/* What is launched, with its parameters. */
struct cuda_launch {
    enum gpu_kernel kernel;
    unsigned x, y, z;
    char params[GPU_PARAM_BYTES]; /* behind param_bytes of the kernel 0 */
};
/* Room for launches, before the first one; false: memory is out. */
bool cuda_queue_open(struct cuda *c);
void cuda_queue_close(struct cuda *c);
/* One more launch, whose function is loaded; given out with others, at the latest by cuda_flush. */
enum kn_status cuda_queue_add(struct cuda *c, const struct cuda_launch *l);
enum kn_status cuda_flush(struct cuda *c);
/* What was given out has been waited for: a pass ends. */
void cuda_queue_waited(struct cuda *c);

/* ---- transfer.c ---- */

/* Methods of struct gpu. */
enum kn_status cuda_upload(struct gpu *g, void *device, const void *host, size_t bytes);
enum kn_status cuda_download(struct gpu *g, void *host, const void *device, size_t bytes);
enum kn_status cuda_wait(struct gpu *g);
/* As import and carry of struct kn_backend_type. */
enum kn_status cuda_import(struct kn_backend *be, const struct kn_view *host,
                           struct kn_view *device);
enum kn_status cuda_carry(struct kn_backend *be, const struct kn_view *to, struct kn_backend *other,
                          const struct kn_view *from);
/* Let go of the pinned memory; nothing is queued. */
void cuda_transfer_close(struct cuda *c);

/* ---- blas.c ---- */

/* From now on products are cuBLAS' where it can make them, and exact_rows is what a probe of it
 * found.  false: one line in `why`; the device must be closed. */
bool cuda_blas_open(struct cuda *c, char *why, size_t why_size);
void cuda_blas_close(struct cuda *c);

/* ---- image.c ---- */

/* The kernels as PTX, a text that the caller frees; NULL: memory is out. */
char *cuda_image(enum cuda_image which);
/* Was machine code built for devices of that compute capability (10 * major + minor)?  It, as the
 * PTX; NULL also where there is none. */
bool cuda_has_code(enum cuda_image which, int capability);
char *cuda_code(enum cuda_image which, int capability);

#endif
