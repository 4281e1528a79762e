/* kn.h - tensor operations on one device: views, calls, backends.
 *
 * The kernels know nothing of models, layers or hook points: they see strided views and numbers.
 * A backend is one vtable plus the complete op table of ops.def; a backend that lacks an op is not
 * offered.
 *
 * Row invariance, promised by every op that has rows: row i of the result depends on row i of the
 * inputs (and on the whole of the shared operands: weights, keys, values) bit for bit, whatever the
 * number of rows in the call, the tile, the chunk or the number of threads.  The engine's
 * incremental reruns rest on it.  (A NaN is a NaN: sign and payload are not promised.)  Tested in
 * tests/kernels.
 */
#ifndef KN_H
#define KN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kn_dtype { /* KN_F32, KN_F16, ..., KN_Q8_0, ...: dtype.def */
#define KN_DTYPE(id, name, bytes) KN_##id,
#define KN_BLOCKS(id, name, elements, bytes) KN_##id,
#include "dtype.def"
                KN_DTYPE_COUNT
};

enum {
    KN_DIM_MAX = 4, /* rank of a view */
    KN_IN_MAX = 7,  /* inputs of a call */
    KN_OUT_MAX = 3  /* outputs of a call */
};

/* A tensor: a value, never an owner.  `data` is the base of a buffer, in host or in device memory,
 * and the view's first element is element `first` of it, so that a part of a view moves `first`
 * alone: an address of a device is never calculated with outside kernels/.  Strides are in elements
 * and may be 0 (a repeated axis) in inputs.  data == NULL with ndim == 0 is "absent" (an optional
 * operand).
 *
 * Types stored in blocks of elements: blocks lie side by side along one axis, whose stride is 1,
 * and every other stride is whole blocks.  `first` and the shape may be any, as in a slice of a
 * row. */
struct kn_view {
    void *data;
    enum kn_dtype dtype;
    int ndim;
    int64_t shape[KN_DIM_MAX];
    int64_t stride[KN_DIM_MAX];
    int64_t first;
};

enum kn_status {
    KN_OK = 0,
    KN_CANCELLED = -1, /* the cancel flag was seen; outputs hold a mixture and must be recomputed */
    KN_BAD_CALL = -2,  /* shapes, dtypes or strides outside the op's contract */
    KN_OUT_OF_MEMORY = -3,
    KN_DEVICE_LOST = -4
};

enum kn_act {
    KN_ACT_NONE,
    KN_ACT_GELU,
    KN_ACT_GELU_NEW,
    KN_ACT_RELU,
    KN_ACT_SILU,
    KN_ACT_QUICK_GELU, /* x sigmoid(1.702 x) */
    KN_ACT_COUNT
};

/* What edit does to an element x, v being its value (ops.def). */
enum kn_edit {
    KN_EDIT_SET,       /* v */
    KN_EDIT_ADD,       /* x + v */
    KN_EDIT_MULTIPLY,  /* x * v */
    KN_EDIT_CLAMP,     /* x held within [lo, hi]; a NaN stays */
    KN_EDIT_CLAMP_VJP, /* x, but 0 where v lies outside [lo, hi] */
    KN_EDIT_COUNT
};

enum { KN_SELECT_MAX = 3 }; /* axes of a selection */

/* Indices start, start + step, ... of an axis, n of them; step == 0 is the whole axis. */
struct kn_range {
    int32_t start, step, n;
};

/* What stats finds, as words of 32 bits in this order; mean and m2 are of the finite elements. */
struct kn_stats {
    int64_t n, n_nan, n_inf, n_finite;
    double mean, m2; /* m2: sum of squared differences from the mean */
    float min, max;  /* NaN where there is none */
};
enum { KN_STATS_WORDS = sizeof(struct kn_stats) / sizeof(int32_t) };

/* Scalars of a call; ops.def says which of them an op reads. */
struct kn_param {
    float scale;   /* factor on products (attn_scores), on the second operand (add), on the value
                      (edit), on the row (embed) */
    float eps;     /* norms: added to the mean square */
    float softcap; /* attn_scores: cap*tanh(x/cap) before the mask, 0 = none; softcap */
    float offset;  /* affine: added to the weight (1 + w); gate: to the second operand */
    float limit;   /* gate: bound of its operands, 0 = none; clip */
    enum kn_act act;
    bool center;     /* norms: subtract the mean first (LayerNorm) */
    bool accumulate; /* attn_mix: continue the sums that out holds */
    float alibi;     /* attn_scores: plus so many times the head's bias of the source less that of
                        dest, 0 = none */
    bool alibi_bf16; /* attn_scores: these biases are rounded to bf16 */
    bool full;       /* attention: no causal bound, every source is visible (window still holds) */
    bool causal;     /* edit, renormalize: elements of the last axis past dest0 + their index on the
                        axis before it do not belong to a line */
    bool by_place;   /* edit: values lie as the elements do, not as the selection counts them */
    bool masked;     /* stats: -inf is a hidden score and no infinity */
    bool share;      /* top_value: over their sum */
    enum kn_edit edit;
    float number;  /* edit: the value where no operand gives it; hide: what is written */
    float lo, hi;  /* edit: bounds of a clamp */
    double factor; /* softmax_grad */
    struct kn_range range[KN_SELECT_MAX]; /* edit, project, renormalize: the selection per axis */
    int32_t dest0;  /* attention: absolute position of the first dest row of the call */
    int32_t src0;   /* attention: absolute position of the first source of the call */
    int32_t window; /* attention: sources older than dest-window+1 are hidden, 0 = no window */
    int32_t n_rot;  /* rope: leading elements of each head that are rotated (even) */
    bool pairs;     /* rope: neighbours are rotated together, not element i with i + n_rot/2 */
    int32_t top;    /* route: how many of a row count, 0 = all */
};

enum kn_op {
#define KN_OP(id, name, n_out, n_in) KN_OP_##id,
#include "ops.def"
#undef KN_OP
    KN_OP_COUNT
};

struct kn_call {
    enum kn_op op;
    struct kn_view out[KN_OUT_MAX];
    struct kn_view in[KN_IN_MAX];
    struct kn_param p;
};

struct kn_backend;

/* What a backend that watches another one saw of one kind of work. */
struct kn_seen {
    int64_t calls;
    double seconds, bytes; /* trace: until it was done; of all operands */
    double worst; /* check: the largest difference, in parts of the largest element of its row */
};
/* Kinds of work: the operations, and these. */
enum { KN_SEEN_READ = KN_OP_COUNT, KN_SEEN_WRITE, KN_SEEN_FILL, KN_SEEN_COUNT };

typedef void kn_each_fn(void *ctx, int64_t i);

/* One backend's methods, all called from one thread at a time (the engine's worker).
 *
 * Device memory is what alloc and import gave; the host follows no pointer into it (but see
 * `unified`), and every operand of run, read, write and fill lies in it.  What is queued is done in
 * the order of the calls, at the latest in sync; release and forget wait for what was queued
 * before them.  A failure of something queued may be told by any later method, and by sync at the
 * latest; a call outside its contract by run or by sync. */
struct kn_backend_type {
    const char *name; /* "cpu", "cuda", ... */
    /* Device memory of `bytes`, zeroed, 64-byte aligned; pages are committed on first touch where
     * the device can.  NULL when there is none left. */
    void *(*alloc)(struct kn_backend *be, size_t bytes);
    void (*release)(struct kn_backend *be, void *mem, size_t bytes); /* mem may be NULL */
    /* A host view made usable as an input: on the cpu the same memory, elsewhere a copy, which may
     * lie otherwise (other strides, another order of bytes) but has the same type and shape.  The
     * host bytes must stay as they are while the import lives.  An absent view gives an absent one.
     * On failure *device is untouched. */
    enum kn_status (*import)(struct kn_backend *be, const struct kn_view *host,
                             struct kn_view *device);
    void (*forget)(struct kn_backend *be, struct kn_view *device); /* made absent; may be so */
    /* Run one call to completion (cpu) or queue it. */
    enum kn_status (*run)(struct kn_backend *be, const struct kn_call *call);
    /* Wait for everything queued. */
    enum kn_status (*sync)(struct kn_backend *be);
    /* The elements of a view, in the view's order, to `host` without gaps.  Queued: `host` must
     * live until sync, and holds the elements from then on. */
    enum kn_status (*read)(struct kn_backend *be, const struct kn_view *v, void *host);
    /* The same the other way.  Queued, but `host` is taken at once and may change after the call.
     * No element of v may lie where another does (no stride of 0). */
    enum kn_status (*write)(struct kn_backend *be, const struct kn_view *v, const void *host);
    /* x into every element of an f32 view.  Queued. */
    enum kn_status (*fill)(struct kn_backend *be, const struct kn_view *v, float x);
    /* Bytes of memory of the device, and how many of them are free now; 0 where that is not known.
     */
    void (*memory)(struct kn_backend *be, size_t *total, size_t *available);
    /* Of backends that watch another one, for the rest NULL: see kn_seen and kn_departure. */
    const struct kn_seen *(*seen)(const struct kn_backend *be, int kind);
    const char *(*departure)(const struct kn_backend *be);
    /* Of a backend of several devices, for the rest NULL: see kn_part, kn_device_at, kn_spread. */
    struct kn_backend *(*part)(struct kn_backend *be, int64_t i, int64_t n);
    struct kn_backend *(*device_at)(const struct kn_backend *be, int i);
    void (*spread)(struct kn_backend *be, const int64_t *upto, int64_t n);
    /* The elements of `from`, in memory of `other`, a backend of this very type, to the packed view
     * `to` of this one's, without the host in between.  Queued on both.  NULL where only the host
     * can. */
    enum kn_status (*carry)(struct kn_backend *be, const struct kn_view *to,
                            struct kn_backend *other, const struct kn_view *from);
    /* kn_each; NULL where work is not done by threads of the host. */
    void (*each)(struct kn_backend *be, int64_t n, kn_each_fn *fn, void *ctx);
    void (*close)(struct kn_backend *be);
};

/* Common head of every backend: what it promises. */
struct kn_backend {
    const struct kn_backend_type *type;
    char describe[64];         /* for the status line, e.g. "cpu avx512 x2" */
    char driver[32];           /* of a device, "CUDA 12.8"; else "" */
    const atomic_bool *cancel; /* looked at between chunks of work; NULL = never cancelled */
    bool unified; /* device memory is host memory: the host may follow views of it when nothing is
                     queued, and host memory may be an operand */
    bool blas;    /* products are a vendor's library's, where it can make them */
    bool exact_rows;        /* row invariance holds bit for bit */
    size_t alloc_max;       /* bytes of the largest buffer */
    int64_t rows_preferred; /* rows of a call that are worth its start */
};

/* Instruction sets of the cpu backend: in rising order; then those whose products are made by AMX
 * of bf16 terms, the rest by AVX-512, in order of falling precision: with 3 terms f32's. */
enum kn_cpu {
    KN_CPU_PORTABLE,
    KN_CPU_AVX2,
    KN_CPU_AVX512,
    KN_CPU_AMX_BF16X3,
    KN_CPU_AMX_BF16X2,
    KN_CPU_AMX_BF16,
    KN_CPU_COUNT
};
#define KN_CPU_NAMES "portable, avx2, avx512, amx-bf16x3, amx-bf16x2, amx-bf16" /* for messages */

struct kn_options {
    /* "auto", the first that is there of "cuda" ("cuda:1": the second; "cuda+cublas": with products
     * by cuBLAS, whose rows need not be exact), "vulkan" ("vulkan:NAME": vulkan/vulkan.h), "cpu";
     * or one around others: "fence:B", B behind memory that the host cannot touch; "check:A,B",
     * each call on both, compared; "trace:B", counts and times; "split:A,B", memory and work spread
     * over several (kn_part) */
    const char *backend;
    int threads;     /* 0 = the number of cores this process may use */
    int cpu;         /* an enum kn_cpu, or -1 for kn_cpu_best */
    bool blas;       /* only a backend that says blas of itself; "auto" is the first of them */
    size_t kept_max; /* bytes of released buffers that a backend may hold back for the next ones; 0:
                        as it thinks best */
};

/* Open a backend.  On failure returns NULL and writes one line to `why` (what was asked, what is
 * there); errno is ENOMEM if memory was out, else EINVAL.  The caller closes it with kn_close. */
struct kn_backend *kn_open(const struct kn_options *opt, char *why, size_t why_size);
/* The backends that are built in, and of those that are not why: "vulkan, cpu". */
void kn_built(char *text, size_t size);
void kn_close(struct kn_backend *be);

/* A device that kn_open could open, or why there is none of a backend. */
struct kn_device {
    char name[24]; /* for kn_options.backend */
    bool there;
    char describe[160]; /* as the backend's; else one line that says why not */
    char driver[32];
    size_t total, available; /* bytes of memory; 0: not known */
    size_t alloc_max;
    bool unified, exact_rows;
};
enum { KN_DEVICES_MAX = 32 };
/* All there are, with the number of threads and the instruction set of *opt: each is opened to ask
 * it.  How many. */
int kn_devices(const struct kn_options *opt, struct kn_device list[KN_DEVICES_MAX]);

/* The slope of head h of n (ALiBi, arXiv 2108.12409), which is the head's bias per position:
 * 2^(-8/p), 2^(-16/p), ... for p heads, p the power of two that n holds; the odd ones of twice as
 * many for the rest, as the authors' code and Hugging Face's have it. */
float kn_alibi_slope(int64_t h, int64_t n);

/* log(sum of exp(x[i])) of n numbers, summed in double and in order; where the greatest is
 * infinite, that infinity; a NaN is in the sum. */
double kn_log_sum_exp(const float *x, int64_t n);

/* Of n >= 1 rows of KN_COLUMNS columns side by side in host memory, x[row][column]: means over the
 * rows, each summed in double and in the order of the rows, `variance` about `mean`; the same bits
 * on every processor.  False where an element is not finite: *out then says nothing. */
enum { KN_COLUMNS = 16 };
struct kn_columns {
    double mean[KN_COLUMNS], variance[KN_COLUMNS], root[KN_COLUMNS]; /* root: of sqrt(|x|) */
    double pos[KN_COLUMNS], neg[KN_COLUMNS]; /* of x where it is above (below) 0, else of 0 */
    float min[KN_COLUMNS], max[KN_COLUMNS];
    int32_t pos_count[KN_COLUMNS]; /* rows above 0 */
};
bool kn_columns(const float *x, int64_t n, struct kn_columns *out);
/* The bins of n floats in host memory by magnitude, two an octave (2^e, 1.5 * 2^e), `half` <= 128
 * for each sign: half + k, or where x < 0 half - 1 - k.  k = 0 lies below 2^low, k = 1 from there
 * on, and the last one has no upper end. */
void kn_bins(const float *x, int64_t n, int low, int half, uint8_t *bin);

/* Run one call.  KN_BAD_CALL is our own bug: the engine asserts on it. */
static inline enum kn_status kn_run(struct kn_backend *be, const struct kn_call *call)
{
    return be->type->run(be, call);
}

/* The backend for part i of n of a work that is done in that order, such as the layers of a model:
 * be itself, or of several devices one that gives memory of the device that part falls to, in
 * shares as their memories have.  All of them take calls on memory of each, and any may release it:
 * a call runs where its results lie, which is one device; operands that lie elsewhere are brought
 * there.  Not to be closed. */
struct kn_backend *kn_part(struct kn_backend *be, int64_t i, int64_t n);
/* Device i of a backend, from 0 on, to be asked what it is and has, but given no calls; NULL: it
 * has no more.  A backend of one device is its own. */
struct kn_backend *kn_device_at(struct kn_backend *be, int i);
/* Of a work of n parts those from upto[i - 1] (0) to upto[i] fall to device i from now on, where
 * kn_part is asked; upto rises to n.  Memory stays where it is.  One device takes all. */
void kn_spread(struct kn_backend *be, const int64_t *upto, int64_t n);
/* One backend of n open ones, none of which is of several, as "split:A,B" is; they become its own.
 * NULL without memory, and they do not. */
struct kn_backend *kn_split(struct kn_backend *const *parts, int n);
enum { KN_SPLIT_MAX = 16 };

/* fn(ctx, i) for each i in [0, n), in any order and several at once, on the threads of the host
 * that do the backend's work (where there are none, here, in order); returns when all have
 * returned. For the host's own sums over what was computed.  The cancel flag is not looked at. */
void kn_each(struct kn_backend *be, int64_t n, kn_each_fn *fn, void *ctx);

/* What was seen of one kind of work; NULL where the backend watches nothing. */
const struct kn_seen *kn_seen(const struct kn_backend *be, int kind);
const char *kn_seen_name(int kind); /* of an operation its name */
/* The first result in which the backends of check: differ by more than the operation allows, as
 * one line; NULL where there was none.  Lives as long as the backend. */
const char *kn_departure(const struct kn_backend *be);

const char *kn_op_name(enum kn_op op);
const char *kn_dtype_name(enum kn_dtype t); /* "f32", ... */
const char *kn_cpu_name(enum kn_cpu c);     /* "portable", "avx2", "avx512", "amx-bf16x3", ... */
int kn_cpu_parse(const char *name);         /* an enum kn_cpu or -1 */
bool kn_cpu_has(enum kn_cpu c);             /* do CPUID and the OS allow it here */
int kn_cpu_terms(enum kn_cpu c);            /* bf16 terms of a product; 0: there are none */
enum kn_cpu kn_cpu_best(void);              /* the last one here without AMX */
/* What tells this processor from others, as one line: its name and feature words. */
void kn_cpu_key(char *text, size_t size);

/* ---- views (view.c) ---- */

/* Elements of a block: 1, or what a type stores together. */
int64_t kn_dtype_block(enum kn_dtype t);
size_t kn_dtype_bytes(enum kn_dtype t); /* of a block */
/* Bytes of n elements of a row, n whole blocks. */
size_t kn_row_bytes(enum kn_dtype t, int64_t n);
int64_t kn_count(const struct kn_view *v); /* elements; 1 for an absent view */

/* Contiguous views, and parts of a view. */
struct kn_view kn_packed(void *data, enum kn_dtype t, int ndim, const int64_t *shape);
struct kn_view kn_view1(void *data, enum kn_dtype t, int64_t a);
struct kn_view kn_view2(void *data, enum kn_dtype t, int64_t a, int64_t b);
struct kn_view kn_view3(void *data, enum kn_dtype t, int64_t a, int64_t b, int64_t c);
/* The same, `elements` further on in the buffer. */
struct kn_view kn_moved(struct kn_view v, int64_t elements);
/* Elements [lo, hi) of axis `dim`; the rank stays. */
struct kn_view kn_slice(struct kn_view v, int dim, int64_t lo, int64_t hi);
/* What lies at index i of axis `dim`; the axis goes. */
struct kn_view kn_index(struct kn_view v, int dim, int64_t i);
/* Axes `dim` and `dim` + 1, which must lie without gaps, as one. */
struct kn_view kn_join(struct kn_view v, int dim);
/* Two axes change places. */
struct kn_view kn_swap(struct kn_view v, int a, int b);

/* Views of host memory alone (of device memory where it is unified). */

/* Address of the element i further than the first; of its block, for types that have some. */
void *kn_at(const struct kn_view *host, int64_t i);
/* Address of the first element of an f32 view. */
float *kn_f32(const struct kn_view *host);
/* The element i further than the first as float (exact for all but i32). */
float kn_load(const struct kn_view *host, int64_t i);
/* Rows [row0, row0 + rows) of axis 0, each in the view's order and without gaps, as floats. */
void kn_decode_rows(const struct kn_view *host, int64_t row0, int64_t rows, float *dst);
/* The elements in the view's order and stored type, without gaps: to dst, and from src.  Of types
 * in blocks whole ones, along the last axis. */
void kn_pack(const struct kn_view *host, void *dst);
void kn_unpack(const struct kn_view *host, const void *src);
/* What the operation stats finds in an f32 view. */
void kn_stats(const struct kn_view *host, bool masked, struct kn_stats *out);
/* x into every element of an f32 view. */
void kn_fill(const struct kn_view *host, float x);

#endif
