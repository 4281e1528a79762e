/* device.h - the devices of the fake driver: memory, and work that waits in streams. */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake.h"
#include "cuda/driver.h"
#include "gpu/gpu.h"

enum { DEVICES_MAX = 4 };

struct block { /* of a device's memory, in the order of their places */
    size_t at, bytes;
    struct block *next;
};

struct cu_context_s {
    char *memory; /* NULL: not yet used */
    size_t bytes, used;
    size_t kept; /* given back since the pool was last trimmed */
    struct block *blocks;
    int retained; /* contexts */
    bool open;
};

struct item {
    enum { ITEM_LAUNCH, ITEM_COPY, ITEM_SET, ITEM_FREE, ITEM_CALL, ITEM_WAIT } kind;
    int kernel;
    unsigned x, y, z;
    char params[GPU_PARAM_BYTES];
    char *to;
    const char *from;
    size_t bytes;
    unsigned char byte;
    struct cu_context_s *other; /* of a copy between devices */
    void (*fn)(void *arg);
    struct cu_stream_s *until; /* wait: what that one has been given so far */
    long count;
    struct item *next;
};

struct cu_stream_s {
    struct cu_context_s *device;
    struct item *first, **last;
    long given, done; /* items */
    int refs;         /* it is not destroyed; events recorded on it, and waits for it */
};

/* The device that a thread works on. */
extern _Thread_local struct cu_context_s *device_current;
struct cu_context_s *device_at(int ordinal);
int device_count(void);
/* NULL: it is full. */
char *device_alloc(struct cu_context_s *d, size_t bytes);
/* Must have been given by device_alloc. */
void device_free(struct cu_context_s *d, char *p);
/* All of it goes, and what waits does not matter any more. */
void device_forget(struct cu_context_s *d);
/* Does all of [p, p + bytes) lie in one block? */
bool device_holds(const struct cu_context_s *d, const char *p, size_t bytes);

void stream_hold(struct cu_stream_s *s);
void stream_drop(struct cu_stream_s *s); /* s may be NULL */
/* An own copy of *i to the end of the stream. */
void stream_add(struct cu_stream_s *s, struct item i);
/* Do its first `count` items, and what they wait for. */
void stream_drain(struct cu_stream_s *s, long count);

/* Stop with a message. */
_Noreturn void fake_wrong(const char *what);

/* ---- what the functions of the driver share ---- */

#define CU(name, symbol, arguments) cu_result symbol arguments;
#include "cuda/driver.def"

enum {
    BAD_VALUE = 1,
    NO_SUCH_DEVICE = 101,
    BAD_IMAGE = 200,
    BAD_CONTEXT = 201,
    NO_PEER = 217,
    NO_COMPILER = 221,
    NOT_FOUND = 500
};

struct cu_function_s {
    int kernel;
};
extern long fake_objects; /* streams, events, modules, graphs, contexts, pinned memory */
extern struct fake_launches fake_launched;
/* The launch as an item; false: it cannot be. */
bool launch_take(const struct cu_node_launch *l, struct item *i);

#define ENTER                           \
    cu_result code = fake_cuda_enter(); \
    if (code)                           \
        return code;

/* The same, of a call that works on a stream, whose device the thread must be on. */
#define ENTER_STREAM(s)                \
    ENTER                              \
    if ((s)->device != device_current) \
        return BAD_CONTEXT;

#endif
