/* device.c - see device.h. */
#include "device.h"

#include "gpu/emu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { GAP = 256, GAP_BYTE = 0xa5, STALE_BYTES = 1 << 20 };

static struct cu_context_s devices[DEVICES_MAX];
_Thread_local struct cu_context_s *device_current;

void fake_wrong(const char *what)
{
    fprintf(stderr, "fake cuda: %s\n", what);
    abort();
}

static long number(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

int device_count(void)
{
    long n = number("FAKE_CUDA_DEVICES", 1);
    return (int)(n < DEVICES_MAX ? n : DEVICES_MAX);
}

struct cu_context_s *device_at(int ordinal)
{
    struct cu_context_s *d = &devices[ordinal];
    if (!d->memory) {
        d->bytes = (size_t)number("FAKE_CUDA_MB", 4096) << 20;
        d->memory = mmap(NULL, d->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                         0);
        if (d->memory == MAP_FAILED)
            fake_wrong("no addresses for the memory of a device");
    }
    return d;
}

static void device_open(struct cu_context_s *d, bool open)
{
    if (d->open != open && mprotect(d->memory, d->bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE))
        fake_wrong("mprotect");
    d->open = open;
}

char *device_alloc(struct cu_context_s *d, size_t bytes)
{
    size_t need = (bytes + 255) / 256 * 256 + GAP, at = 0;
    struct block **b = &d->blocks;
    for (; *b && (*b)->at - at < need; b = &(*b)->next)
        at = (*b)->at + (*b)->bytes;
    if (need < bytes || need > d->bytes || at > d->bytes - need)
        return NULL;
    struct block *x = malloc(sizeof *x);
    if (!x)
        return NULL;
    *x = (struct block){at, need, *b};
    *b = x;
    d->used += need;
    bool was = d->open;
    device_open(d, true);
    memset(d->memory + at, 0xff, bytes < STALE_BYTES ? bytes : STALE_BYTES);
    memset(d->memory + at + need - GAP, GAP_BYTE, GAP);
    device_open(d, was);
    return d->memory + at;
}

void device_free(struct cu_context_s *d, char *p)
{
    struct block **b = &d->blocks;
    while (*b && d->memory + (*b)->at != p)
        b = &(*b)->next;
    struct block *x = *b;
    if (!x)
        fake_wrong("memory is freed that was not allocated");
    bool was = d->open;
    device_open(d, true);
    for (int i = 0; i < GAP; i++)
        if ((unsigned char)d->memory[x->at + x->bytes - GAP + (size_t)i] != GAP_BYTE)
            fake_wrong("something wrote behind its memory");
    device_open(d, was);
    d->used -= x->bytes, d->kept += x->bytes;
    *b = x->next;
    free(x);
}

void device_forget(struct cu_context_s *d)
{
    while (d->blocks) {
        struct block *next = d->blocks->next;
        free(d->blocks);
        d->blocks = next;
    }
    d->used = d->kept = 0;
}

bool device_holds(const struct cu_context_s *d, const char *p, size_t bytes)
{
    for (const struct block *b = d->blocks; b; b = b->next)
        if (p >= d->memory + b->at && p + bytes <= d->memory + b->at + b->bytes - GAP)
            return true;
    return false;
}

/* ---- streams ---- */

void stream_hold(struct cu_stream_s *s)
{
    s->refs++;
}

void stream_drop(struct cu_stream_s *s)
{
    if (s && --s->refs == 0)
        free(s);
}

void stream_add(struct cu_stream_s *s, struct item i)
{
    struct item *own = malloc(sizeof *own);
    if (!own)
        fake_wrong("out of memory");
    *own = i;
    own->next = NULL;
    *s->last = own;
    s->last = &own->next;
    s->given++;
}

/* Its plain-C form. */
static void kernel_run(const struct item *i)
{
    static struct gpu *emu;
    char why[80];
    if (!emu &&
        !(emu = (struct gpu *)emu_open(
              &(struct kn_options){.backend = "emu", .threads = 1, .cpu = -1}, why, sizeof why)))
        fake_wrong(why);
    enum kn_status st = emu->launch(emu, (enum gpu_kernel)i->kernel, i->params,
                                    (size_t)gpu_kernels[i->kernel].param_bytes, i->x, i->y, i->z);
    if (st)
        fake_wrong("a kernel did not run");
}

static void item_do(struct cu_context_s *d, struct item *i)
{
    switch (i->kind) {
    case ITEM_LAUNCH: kernel_run(i); break;
    case ITEM_COPY:
        if (i->other)
            device_open(i->other, true);
        memcpy(i->to, i->from, i->bytes);
        if (i->other && i->other != d)
            device_open(i->other, false);
        break;
    case ITEM_SET: memset(i->to, i->byte, i->bytes); break;
    case ITEM_FREE: device_free(d, i->to); break;
    case ITEM_CALL: i->fn(i->to); break;
    case ITEM_WAIT: break;
    }
}

void stream_drain(struct cu_stream_s *s, long count)
{
    while (s->done < count) {
        struct item *i = s->first;
        if (i->kind == ITEM_WAIT) {
            device_open(s->device, false);
            stream_drain(i->until, i->count);
            stream_drop(i->until);
        }
        device_open(s->device, true);
        item_do(s->device, i);
        s->first = i->next;
        if (!s->first)
            s->last = &s->first;
        s->done++;
        free(i);
    }
    device_open(s->device, false);
}
