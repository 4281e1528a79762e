/* libcuda.c - the functions of the driver (see fake.h). */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

struct cu_module_s {
    struct cu_function_s function[GPU_ALL_COUNT];
    size_t bytes;
    bool code; /* of the machine, else PTX */
    char text[];
};
struct cu_event_s {
    struct cu_stream_s *stream; /* NULL: never recorded */
    long count;
};
struct pinned {
    char *at;
    size_t bytes;
    struct pinned *next;
};

static long calls, fail_at;
static int fail_code, sticky;
long fake_objects;
struct fake_launches fake_launched;
static struct pinned *pinned;

void fake_cuda_fail(long n, int code)
{
    calls = 0, sticky = 0;
    fail_at = n, fail_code = code;
}

long fake_cuda_calls(void)
{
    return calls;
}

struct fake_launches fake_cuda_launches(void)
{
    return fake_launched;
}

long fake_cuda_left(void)
{
    long n = fake_objects;
    for (int i = 0; !sticky && i < device_count(); i++) {
        n += device_at(i)->kept > 0;
        for (struct block *b = device_at(i)->blocks; b; b = b->next)
            n++;
    }
    return n;
}

/* By the environment, until a test says otherwise. */
__attribute__((constructor)) static void fail_by_environment(void)
{
    const char *text = getenv("FAKE_CUDA_FAIL");
    char *code;
    if (text) {
        fail_at = strtol(text, &code, 10);
        fail_code = (int)strtol(code, NULL, 10);
    }
}

int fake_cuda_enter(void)
{
    calls++;
    if (sticky)
        return sticky;
    if (calls != fail_at)
        return CU_OK;
    sticky = fail_code == CU_OUT_OF_MEMORY ? 0 : fail_code;
    return fail_code;
}

/* ---- the driver and its devices ---- */

cu_result cuInit(unsigned flags)
{
    ENTER
    return flags ? BAD_VALUE : CU_OK;
}

cu_result cuDriverGetVersion(int *version)
{
    ENTER
    *version = 12080;
    return CU_OK;
}

cu_result cuGetErrorName(cu_result r, const char **name)
{
    *name = r == CU_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
            : r == CU_NO_DEVICE   ? "CUDA_ERROR_NO_DEVICE"
            : r == BAD_IMAGE      ? "CUDA_ERROR_INVALID_IMAGE"
            : r == NO_COMPILER    ? "CUDA_ERROR_JIT_COMPILER_NOT_FOUND"
            : r == 700            ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                  : "CUDA_ERROR_UNKNOWN";
    return CU_OK;
}

cu_result cuDeviceGetCount(int *n)
{
    ENTER
    *n = device_count();
    return CU_OK;
}

cu_result cuDeviceGet(cu_device *d, int ordinal)
{
    ENTER
    if (ordinal < 0 || ordinal >= device_count())
        return NO_SUCH_DEVICE;
    *d = ordinal;
    return CU_OK;
}

cu_result cuDeviceGetName(char *name, int size, cu_device d)
{
    ENTER
    snprintf(name, (size_t)size, "fake device %d", d);
    return CU_OK;
}

cu_result cuDeviceGetAttribute(int *value, int attribute, cu_device d)
{
    ENTER(void) d;
    *value = attribute == CU_ATTRIBUTE_MAJOR ? 9 : attribute == CU_ATTRIBUTE_POOLS;
    return CU_OK;
}

cu_result cuDeviceGetDefaultMemPool(cu_pool *pool, cu_device d)
{
    ENTER
    *pool = (cu_pool)device_at(d);
    return CU_OK;
}

cu_result cuDeviceCanAccessPeer(int *can, cu_device d, cu_device peer)
{
    ENTER
    *can = d != peer;
    return CU_OK;
}

cu_result cuDevicePrimaryCtxRetain(cu_context *c, cu_device d)
{
    ENTER
    *c = device_at(d);
    (*c)->retained++;
    fake_objects++;
    return CU_OK;
}

cu_result cuDevicePrimaryCtxRelease_v2(cu_device d)
{
    if (device_at(d)->retained-- == 0)
        fake_wrong("a context is released that was not retained");
    fake_objects--;
    if (sticky && device_at(d)->retained == 0)
        device_forget(device_at(d));
    ENTER
    return CU_OK;
}

cu_result cuCtxSetCurrent(cu_context c)
{
    ENTER
    if (!c->retained)
        return BAD_CONTEXT;
    device_current = c;
    return CU_OK;
}

/* ---- modules ---- */

static long number_after(const char *text, const char *end, const char *what)
{
    const char *at = memmem(text, (size_t)(end - text), what, strlen(what));
    return at ? strtol(at + strlen(what), NULL, 10) : -1;
}

/* Bytes of an image of machine code, 0 where it is none: up to its table of sections, which comes
 * last. */
static size_t code_bytes(const void *image)
{
    Elf64_Ehdr head;
    if (memcmp(image, ELFMAG, SELFMAG) != 0)
        return 0;
    memcpy(&head, image, sizeof head);
    size_t sections = head.e_shoff + (size_t)head.e_shnum * head.e_shentsize,
           programs = head.e_phoff + (size_t)head.e_phnum * head.e_phentsize;
    return sections > programs ? sections : programs;
}

/* Has machine code a section of that entry? */
static bool code_has(const struct cu_module_s *m, const char *name)
{
    char section[128];
    snprintf(section, sizeof section, ".text.%s", name);
    return memmem(m->text, m->bytes, section, strlen(section) + 1);
}

/* The entry NAME of an image: ".entry NAME( one parameter "[SIZE]", then ".maxntid LANES". */
static bool entry_fits(const struct cu_module_s *m, const struct gpu_row *row)
{
    /* Lengths are said, since each strstr would count the whole text's under a sanitizer. */
    char head[128];
    snprintf(head, sizeof head, ".entry %s(", row->name);
    const char *at = memmem(m->text, m->bytes, head, strlen(head)),
               *end = at ? memchr(at, '{', (size_t)(m->text + m->bytes - at)) : NULL;
    if (!end)
        return false;
    long bytes = number_after(at, end, "["), lanes = number_after(at, end, ".maxntid");
    if (bytes != row->param_bytes || lanes != row->lanes) {
        fprintf(stderr, "fake cuda: %s takes %ld bytes and %ld lanes, not %d and %d\n", row->name,
                bytes, lanes, row->param_bytes, row->lanes);
        return false;
    }
    return true;
}

cu_result cuModuleLoadData(cu_module *m, const void *image)
{
    ENTER
    if (!device_current)
        return BAD_CONTEXT;
    size_t code_size = code_bytes(image), bytes = code_size ? code_size : strlen(image);
    if (!code_size && !strstr(image, ".version"))
        return BAD_IMAGE;
    if (!code_size && getenv("FAKE_CUDA_NO_COMPILER"))
        return NO_COMPILER;
    struct cu_module_s *own = calloc(1, sizeof *own + bytes);
    if (!own)
        return CU_OUT_OF_MEMORY;
    memcpy(own->text, image, bytes);
    own->bytes = bytes, own->code = code_size > 0;
    fake_objects++;
    *m = own;
    return CU_OK;
}

cu_result cuModuleUnload(cu_module m)
{
    free(m);
    fake_objects--;
    ENTER
    return CU_OK;
}

cu_result cuModuleGetFunction(cu_function *f, cu_module m, const char *name)
{
    ENTER
    int k = 0;
    while (k < GPU_ALL_COUNT && strcmp(gpu_kernels[k].name, name) != 0)
        k++;
    if (k == GPU_ALL_COUNT || !(m->code ? code_has(m, name) : entry_fits(m, &gpu_kernels[k])))
        return NOT_FOUND;
    m->function[k].kernel = k;
    *f = &m->function[k];
    return CU_OK;
}

bool launch_take(const struct cu_node_launch *l, struct item *i)
{
    const struct gpu_row *row = &gpu_kernels[l->f->kernel];
    if (!l->x || !l->y || !l->z || l->x > INT32_MAX || l->y > 65535 || l->z > 65535 ||
        l->shared_bytes || l->extra || l->lanes_x != (unsigned)row->lanes || l->lanes_y != 1 ||
        l->lanes_z != 1)
        return false;
    *i = (struct item){
        .kind = ITEM_LAUNCH, .kernel = l->f->kernel, .x = l->x, .y = l->y, .z = l->z};
    memcpy(i->params, l->params[0], (size_t)row->param_bytes);
    return true;
}

cu_result cuLaunchKernel(cu_function f, unsigned x, unsigned y, unsigned z, unsigned lanes_x,
                         unsigned lanes_y, unsigned lanes_z, unsigned shared_bytes, cu_stream s,
                         void **params, void **extra)
{
    ENTER_STREAM(s)
    const struct cu_node_launch l = {f,      x,    y, z, lanes_x, lanes_y, lanes_z, shared_bytes,
                                     params, extra};
    struct item i;
    if (!launch_take(&l, &i))
        return BAD_VALUE;
    fake_launched.kernels++;
    stream_add(s, i);
    return CU_OK;
}

/* ---- memory ---- */

cu_result cuMemGetInfo_v2(size_t *available, size_t *total)
{
    ENTER
    if (!device_current)
        return BAD_CONTEXT;
    *total = device_current->bytes, *available = *total - device_current->used;
    return CU_OK;
}

cu_result cuMemAllocAsync(cu_address *p, size_t bytes, cu_stream s)
{
    ENTER_STREAM(s)
    char *at = bytes ? device_alloc(s->device, bytes) : NULL;
    *p = (cu_address)(uintptr_t)at;
    return at ? CU_OK : bytes ? CU_OUT_OF_MEMORY : BAD_VALUE;
}

cu_result cuMemFreeAsync(cu_address p, cu_stream s)
{
    stream_add(s, (struct item){.kind = ITEM_FREE, .to = (char *)(uintptr_t)p});
    ENTER
    return CU_OK;
}

static struct pinned **pinned_at(const char *p)
{
    struct pinned **at = &pinned;
    while (*at && (p < (*at)->at || p >= (*at)->at + (*at)->bytes))
        at = &(*at)->next;
    return at;
}

cu_result cuMemHostAlloc(void **p, size_t bytes, unsigned flags)
{
    ENTER(void) flags;
    struct pinned *own = malloc(sizeof *own);
    char *at = own ? malloc(bytes) : NULL;
    if (!at) {
        free(own);
        return CU_OUT_OF_MEMORY;
    }
    *own = (struct pinned){at, bytes, pinned};
    pinned = own;
    fake_objects++;
    *p = at;
    return CU_OK;
}

cu_result cuMemFreeHost(void *p)
{
    struct pinned **at = pinned_at(p), *own = *at;
    if (!own || own->at != (char *)p)
        fake_wrong("pinned memory is freed that was not allocated");
    *at = own->next;
    free(own->at);
    free(own);
    fake_objects--;
    ENTER
    return CU_OK;
}

cu_result cuMemPoolSetAttribute(cu_pool pool, int attribute, void *value)
{
    ENTER(void) pool;
    return attribute == CU_POOL_RELEASE_THRESHOLD && value ? CU_OK : BAD_VALUE;
}

cu_result cuMemPoolGetAttribute(cu_pool pool, int attribute, void *value)
{
    ENTER
    uint64_t used = ((struct cu_context_s *)pool)->used;
    if (attribute != CU_POOL_RESERVED && attribute != CU_POOL_USED)
        return BAD_VALUE;
    memcpy(value, &used, sizeof used);
    return CU_OK;
}

cu_result cuMemPoolSetAccess(cu_pool pool, const struct cu_access *who, size_t n)
{
    ENTER
    return !pool || !who || n != 1 ? BAD_VALUE : getenv("FAKE_CUDA_APART") ? NO_PEER : CU_OK;
}

cu_result cuMemPoolTrimTo(cu_pool pool, size_t keep)
{
    ((struct cu_context_s *)pool)->kept = 0;
    ENTER
    return keep ? BAD_VALUE : CU_OK;
}

/* ---- what is queued ---- */

cu_result cuMemsetD8Async(cu_address p, unsigned char x, size_t n, cu_stream s)
{
    ENTER_STREAM(s)
    char *to = (char *)(uintptr_t)p;
    if (!device_holds(s->device, to, n))
        return BAD_VALUE;
    stream_add(s, (struct item){.kind = ITEM_SET, .to = to, .bytes = n, .byte = x});
    return CU_OK;
}

/* Between the device and memory of the host, which must be pinned: the rest would wait. */
static cu_result transfer(cu_stream s, char *to, const char *from, size_t bytes, const char *device,
                          const char *host)
{
    const struct pinned *p = *pinned_at(host);
    if (!device_holds(s->device, device, bytes) || !p || host + bytes > p->at + p->bytes)
        return BAD_VALUE;
    stream_add(s, (struct item){.kind = ITEM_COPY, .to = to, .from = from, .bytes = bytes});
    return CU_OK;
}

cu_result cuMemcpyHtoDAsync_v2(cu_address p, const void *host, size_t bytes, cu_stream s)
{
    ENTER_STREAM(s)
    char *to = (char *)(uintptr_t)p;
    return transfer(s, to, host, bytes, to, host);
}

cu_result cuMemcpyDtoHAsync_v2(void *host, cu_address p, size_t bytes, cu_stream s)
{
    ENTER_STREAM(s)
    char *from = (char *)(uintptr_t)p;
    return transfer(s, host, from, bytes, from, host);
}

cu_result cuMemcpyPeerAsync(cu_address to, cu_context to_context, cu_address from,
                            cu_context from_context, size_t bytes, cu_stream s)
{
    ENTER_STREAM(s)
    char *there = (char *)(uintptr_t)to, *here = (char *)(uintptr_t)from;
    if (!device_holds(to_context, there, bytes) || !device_holds(from_context, here, bytes))
        return BAD_VALUE;
    stream_add(s, (struct item){.kind = ITEM_COPY,
                                .to = there,
                                .from = here,
                                .bytes = bytes,
                                .other = s->device == to_context ? from_context : to_context});
    return CU_OK;
}

/* ---- streams and events ---- */

cu_result cuStreamCreate(cu_stream *s, unsigned flags)
{
    ENTER
    struct cu_stream_s *own = calloc(1, sizeof *own);
    if (!own)
        return CU_OUT_OF_MEMORY;
    (void)flags;
    own->device = device_current, own->last = &own->first, own->refs = 1;
    fake_objects++;
    *s = own;
    return CU_OK;
}

cu_result cuStreamDestroy_v2(cu_stream s)
{
    stream_drain(s, s->given);
    stream_drop(s);
    fake_objects--;
    ENTER
    return CU_OK;
}

cu_result cuStreamSynchronize(cu_stream s)
{
    ENTER_STREAM(s)
    stream_drain(s, s->given);
    return CU_OK;
}

cu_result cuStreamWaitEvent(cu_stream s, cu_event e, unsigned flags)
{
    ENTER_STREAM(s)
    (void)flags;
    if (e->stream) {
        stream_hold(e->stream);
        stream_add(s, (struct item){.kind = ITEM_WAIT, .until = e->stream, .count = e->count});
    }
    return CU_OK;
}

cu_result cuEventCreate(cu_event *e, unsigned flags)
{
    ENTER(void) flags;
    *e = calloc(1, sizeof **e);
    fake_objects += *e != NULL;
    return *e ? CU_OK : CU_OUT_OF_MEMORY;
}

cu_result cuEventDestroy_v2(cu_event e)
{
    stream_drop(e->stream);
    free(e);
    fake_objects--;
    ENTER
    return CU_OK;
}

cu_result cuEventRecord(cu_event e, cu_stream s)
{
    ENTER_STREAM(s)
    stream_hold(s);
    stream_drop(e->stream);
    e->stream = s, e->count = s->given;
    return CU_OK;
}

cu_result cuEventSynchronize(cu_event e)
{
    ENTER
    if (e->stream)
        stream_drain(e->stream, e->count);
    return CU_OK;
}

void fake_cuda_queue(struct cu_stream_s *s, void (*fn)(void *arg), void *arg)
{
    stream_add(s, (struct item){.kind = ITEM_CALL, .fn = fn, .to = arg});
}
