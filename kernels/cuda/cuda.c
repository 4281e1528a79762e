/* cuda.c - the CUDA device: opening one, memory, launches.
 *
 * The kernels come as PTX, which the driver compiles for the device at the first launch (and keeps
 * in a cache of its own): opening stays quick.  Memory is cut from the driver's pool in the order
 * of the stream, and the pool keeps what is given back.  Tested in tests/kernels/test_cuda.c. */
#include "cuda.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAJOR_MIN = 7, /* compute capability that the image is made for: 7.5 */
    MINOR_MIN = 5,
    MMA_MAJOR = 8, /* from which on there are matrix units of bf16 */
    ROWS_PREFERRED = 256,
    PACE = 32, /* launches: no more than twice as many are ahead, which a cancelled pass waits for
                */
};

static struct cuda *cuda_of(struct kn_backend *be)
{
    return (struct cuda *)be;
}

enum kn_status cuda_status(struct cuda *c, cu_result r)
{
    if (r == CU_OUT_OF_MEMORY)
        return KN_OUT_OF_MEMORY;
    if (r)
        c->failed = KN_DEVICE_LOST;
    return r ? KN_DEVICE_LOST : KN_OK;
}

enum kn_status cuda_here(struct cuda *c)
{
    return c->failed ? c->failed : cuda_status(c, c->cu->context_set(c->context));
}

enum kn_status cuda_enter(struct cuda *c)
{
    enum kn_status st = cuda_flush(c);
    return st ? st : cuda_here(c);
}

/* ---- launches ---- */

static cu_result image_load(struct cuda *c, enum cuda_image which, int from, int to)
{
    char *code = cuda_code(which, c->capability);
    cu_result r = code ? c->cu->module_load(&c->module[which], code) : CU_NO_BINARY;
    free(code);
    if (r == CU_NO_BINARY) { /* the driver compiles */
        char *image = cuda_image(which);
        r = image ? c->cu->module_load(&c->module[which], image) : CU_OUT_OF_MEMORY;
        free(image);
    }
    for (int k = from; !r && k < to; k++)
        r = c->cu->module_function(&c->function[k], c->module[which], gpu_kernels[k].name);
    return r;
}

static void images_unload(struct cuda *c)
{
    for (int i = 0; i < CUDA_IMAGES; i++) {
        if (c->module[i])
            c->cu->module_unload(c->module[i]);
        c->module[i] = NULL;
    }
}

static enum kn_status functions_load(struct cuda *c)
{
    cu_result r = image_load(c, CUDA_IMAGE_ALL, 0, GPU_KERNEL_COUNT);
    if (!r && c->gpu.mma)
        r = image_load(c, CUDA_IMAGE_MMA, GPU_KERNEL_COUNT, GPU_ALL_COUNT);
    if (r) /* to be tried again, for want of memory may pass */
        images_unload(c);
    return cuda_status(c, r);
}

enum kn_status cuda_pace(struct cuda *c, unsigned launches)
{
    unsigned before = c->launches / PACE, i = (c->launches += launches) / PACE % 2;
    if (c->launches / PACE == before)
        return KN_OK;
    enum kn_status st = cuda_status(c, c->cu->event_record(c->pace[i], c->stream));
    return st ? st : cuda_status(c, c->cu->event_sync(c->pace[!i]));
}

static enum kn_status launch(struct gpu *g, enum gpu_kernel k, const void *params, size_t bytes,
                             int64_t x, int64_t y, int64_t z)
{
    struct cuda *c = (struct cuda *)g;
    struct cuda_launch l = {k, (unsigned)x, (unsigned)y, (unsigned)z, {0}};
    memcpy(l.params, params, bytes);
    if (c->failed)
        return c->failed;
    if (!cuda_queue_open(c))
        return KN_OUT_OF_MEMORY;
    if (!c->module[CUDA_IMAGE_ALL]) {
        enum kn_status st = cuda_here(c);
        st = st ? st : functions_load(c);
        if (st)
            return st;
    }
    return cuda_queue_add(c, &l);
}

/* ---- memory ---- */

cu_address cuda_take(struct cuda *c, size_t bytes, cu_stream s)
{
    cu_address p = 0;
    if (bytes > c->gpu.base.alloc_max)
        return 0;
    cu_result r = c->cu->memory_alloc(&p, bytes, s);
    if (r == CU_OUT_OF_MEMORY) { /* pieces that the pool keeps may stand in the way */
        r = c->cu->stream_sync(c->stream);
        r = r ? r : c->cu->pool_trim(c->pool, 0);
        r = r ? r : c->cu->memory_alloc(&p, bytes, s);
    }
    return cuda_status(c, r) ? 0 : p;
}

void cuda_give(struct cuda *c, cu_address p)
{
    if (!p)
        return;
    cuda_flush(c);
    cuda_status(c, c->cu->context_set(c->context));
    cuda_status(c, c->cu->memory_free(p, c->stream)); /* whatever a lost device says */
}

static void *cuda_alloc(struct kn_backend *be, size_t bytes)
{
    struct cuda *c = cuda_of(be);
    cu_address p = cuda_enter(c) ? 0 : cuda_take(c, bytes ? bytes : 1, c->stream);
    if (p && bytes && cuda_status(c, c->cu->set8(p, 0, bytes, c->stream))) {
        cuda_give(c, p);
        return NULL;
    }
    return (void *)(uintptr_t)p;
}

static void cuda_release(struct kn_backend *be, void *mem, size_t bytes)
{
    (void)bytes;
    cuda_give(cuda_of(be), (cu_address)(uintptr_t)mem);
}

/* Free is also what the pool keeps for us. */
static void cuda_memory(struct kn_backend *be, size_t *total, size_t *available)
{
    struct cuda *c = cuda_of(be);
    uint64_t reserved = 0, used = 0;
    *total = *available = 0;
    if (cuda_enter(c) || cuda_status(c, c->cu->memory_info(available, total)) ||
        cuda_status(c, c->cu->pool_get(c->pool, CU_POOL_RESERVED, &reserved)) ||
        cuda_status(c, c->cu->pool_get(c->pool, CU_POOL_USED, &used)))
        *total = *available = 0;
    else
        *available += (size_t)(reserved - used);
}

/* ---- opening ---- */

/* Everything goes, whatever a lost device says to it. */
static void cuda_close(struct kn_backend *be)
{
    struct cuda *c = cuda_of(be);
    const struct cuda_driver *cu = c->cu;
    const cu_event events[] = {c->pace[0],         c->pace[1],        c->handed,
                               c->writes.sent[0],  c->writes.sent[1], c->loaded,
                               c->imports.sent[0], c->imports.sent[1]};
    if (c->context)
        cu->context_set(c->context);
    cuda_blas_close(c);
    if (c->stream) {
        gpu_close(&c->gpu);
        cu->stream_sync(c->stream);
    }
    if (c->imports.stream) {
        cu->stream_sync(c->imports.stream);
        cu->stream_destroy(c->imports.stream);
    }
    cuda_queue_close(c);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i])
            cu->event_destroy(events[i]);
    if (c->stream) {
        cu->stream_destroy(c->stream);
        cu->pool_trim(c->pool, 0); /* others on the device (cuBLAS, for good) keep it alive */
    }
    cuda_transfer_close(c);
    images_unload(c);
    if (c->context)
        cu->context_release(c->device);
    free(c);
}

static const struct kn_backend_type CUDA_TYPE = {
    .name = "cuda",
    .alloc = cuda_alloc,
    .release = cuda_release,
    GPU_METHODS,
    .import = cuda_import,
    .memory = cuda_memory,
    .carry = cuda_carry,
    .close = cuda_close,
};

/* "cuda" is the first device, "cuda:1" the second; "cuda:1+cublas" has products by cuBLAS. */
static bool name_parse(const char *name, int *ordinal, bool *blas)
{
    enum { ORDINAL_END = 1000 };
    const char *digits = strchr(name, ':'), *plus = strchr(name, '+');
    *ordinal = 0, *blas = plus;
    if (plus && strcmp(plus, "+cublas") != 0)
        return false;
    if (!digits)
        return true;
    size_t n = strspn(++digits, "0123456789");
    for (size_t i = 0; i < n && *ordinal < ORDINAL_END; i++)
        *ordinal = *ordinal * 10 + (digits[i] - '0');
    return n > 0 && *ordinal < ORDINAL_END && (!digits[n] || digits + n == plus);
}

/* Can the driver compile?  A container may have one without its compiler, which the first launch
 * would take for a lost device. */
static cu_result compiler_try(const struct cuda_driver *cu)
{
    static const char image[] = ".version 6.3\n.target sm_75\n.address_size 64\n"
                                ".visible .entry nothing()\n{\n    ret;\n}\n";
    cu_module m;
    cu_result r = cu->module_load(&m, image);
    return r ? r : cu->module_unload(m);
}

/* What of the device stands before its memory is asked for; on failure *what is the call. */
static cu_result device_open(struct cuda *c, const char **what)
{
    const struct cuda_driver *cu = c->cu;
    cu_event *events[] = {&c->pace[0],         &c->pace[1],        &c->handed,
                          &c->writes.sent[0],  &c->writes.sent[1], &c->loaded,
                          &c->imports.sent[0], &c->imports.sent[1]};
    uint64_t keep = UINT64_MAX;
    cu_result r;
#define STEP(call, name)     \
    if ((r = cu->call) != 0) \
        return *what = name, r;
    STEP(device_get(&c->device, c->ordinal), "cuDeviceGet")
    STEP(device_pool(&c->pool, c->device), "cuDeviceGetDefaultMemPool")
    STEP(context_retain(&c->context, c->device), "cuDevicePrimaryCtxRetain")
    STEP(context_set(c->context), "cuCtxSetCurrent")
    STEP(pool_set(c->pool, CU_POOL_RELEASE_THRESHOLD, &keep), "cuMemPoolSetAttribute")
    STEP(stream_create(&c->stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate")
    STEP(stream_create(&c->imports.stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate")
    c->writes.stream = c->stream;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        STEP(event_create(events[i], CU_EVENT_NO_TIMING), "cuEventCreate")
    int major, minor;
    STEP(device_attribute(&major, CU_ATTRIBUTE_MAJOR, c->device), "cuDeviceGetAttribute")
    STEP(device_attribute(&minor, CU_ATTRIBUTE_MINOR, c->device), "cuDeviceGetAttribute")
#undef STEP
    c->capability = 10 * major + minor;
    if (cuda_has_code(CUDA_IMAGE_ALL, c->capability))
        return CU_OK;
    *what = "cuModuleLoadData, by libnvidia-ptxjitcompiler";
    return compiler_try(cu);
}

static int count_of(const struct cuda_driver *cu, char *why, size_t why_size)
{
    int count = 0;
    cu_result r = cu->device_count(&count);
    if (r || count <= 0)
        driver_fail(cu, "cuDeviceGetCount", r ? r : CU_NO_DEVICE, why, why_size);
    return r ? 0 : count;
}

int cuda_count(char *why, size_t why_size)
{
    const struct cuda_driver *cu = driver_load(why, why_size);
    return cu ? count_of(cu, why, why_size) : 0;
}

/* Is the device such that it can be opened? */
static bool device_serves(const struct cuda_driver *cu, int ordinal, char *why, size_t why_size)
{
    int count = count_of(cu, why, why_size), pools = 0, major = 0, minor = 0;
    cu_device d;
    const char *what = "cuDeviceGet";
    if (ordinal >= count) {
        if (count)
            snprintf(why, why_size, "no cuda:%d · this machine has %d, from cuda:0 on", ordinal,
                     count);
        return false;
    }
    cu_result r = cu->device_get(&d, ordinal);
    if (!r && ((r = cu->device_attribute(&pools, CU_ATTRIBUTE_POOLS, d)) ||
               (r = cu->device_attribute(&major, CU_ATTRIBUTE_MAJOR, d)) ||
               (r = cu->device_attribute(&minor, CU_ATTRIBUTE_MINOR, d))))
        what = "cuDeviceGetAttribute";
    bool new_enough = major > MAJOR_MIN || (major == MAJOR_MIN && minor >= MINOR_MIN);
    if (r)
        driver_fail(cu, what, r, why, why_size);
    else if (!new_enough)
        snprintf(why, why_size, "cuda:%d has compute capability %d.%d · %d.%d or newer is needed",
                 ordinal, major, minor, MAJOR_MIN, MINOR_MIN);
    else if (!pools)
        snprintf(why, why_size, "cuda:%d · its driver has no memory pools for it", ordinal);
    return !r && new_enough && pools;
}

static void device_promise(struct cuda *c, bool blas)
{
    char name[48] = "device";
    struct kn_backend *be = &c->gpu.base;
    int version = 0;
    c->cu->device_name(name, sizeof name, c->device);
    c->cu->version(&version);
    c->gpu.mma = c->capability >= 10 * MMA_MAJOR;
    snprintf(be->describe, sizeof be->describe, "cuda:%d %.40s%s", c->ordinal, name,
             blas ? " +cublas" : "");
    snprintf(be->driver, sizeof be->driver, "CUDA %d.%d", version / 1000, version % 1000 / 10);
    be->exact_rows = true;
    be->alloc_max = (size_t)1 << 46;
    be->rows_preferred = ROWS_PREFERRED;
    be->blas = blas;
}

struct kn_backend *cuda_open(const struct kn_options *opt, char *why, size_t why_size)
{
    const struct cuda_driver *cu;
    const char *name = opt->backend, *what = "";
    int ordinal;
    bool blas;
    if (!name_parse(name, &ordinal, &blas)) {
        snprintf(why, why_size, "unknown device · %s · expected cuda, cuda:1, or cuda:1+cublas",
                 name);
        errno = EINVAL;
        return NULL;
    }
    blas |= opt->blas;
    if (!(cu = driver_load(why, why_size)) || !device_serves(cu, ordinal, why, why_size)) {
        errno = EINVAL;
        return NULL;
    }
    struct cuda *c = calloc(1, sizeof *c);
    if (!c) {
        snprintf(why, why_size, "out of memory · opening cuda");
        errno = ENOMEM;
        return NULL;
    }
    c->gpu.base.type = &CUDA_TYPE, c->gpu.launch = launch;
    c->gpu.upload = cuda_upload, c->gpu.download = cuda_download, c->gpu.wait = cuda_wait;
    c->cu = cu, c->ordinal = ordinal;
    cu_result r = device_open(c, &what);
    if (!r) {
        device_promise(c, blas);
        if (!blas || cuda_blas_open(c, why, why_size))
            return &c->gpu.base;
    } else {
        driver_fail(cu, what, r, why, why_size);
    }
    cuda_close(&c->gpu.base);
    errno = r == CU_OUT_OF_MEMORY ? ENOMEM : EINVAL;
    return NULL;
}
