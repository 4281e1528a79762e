/* ktest_tensor.c - see ktest.h: memory of a test, its tensors and their elements. */
#include "ktest.h"

#include "wrap.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCKS_MAX = 4096 };
static struct kt_block blocks[BLOCKS_MAX];
static int block_count;

void *kt_alloc(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes + page - 1) / page * page;
    char *base = mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);
    assert_true(base != MAP_FAILED && block_count < BLOCKS_MAX);
    assert_int_equal(mprotect(base + body, page, PROT_NONE), 0);
    blocks[block_count].base = base;
    blocks[block_count].start = base + body - bytes;
    blocks[block_count].bytes = bytes;
    blocks[block_count++].size = body + page;
    return base + body - bytes;
}

void kt_free(void)
{
    while (block_count > 0) {
        block_count--;
        munmap(blocks[block_count].base, blocks[block_count].size);
    }
}

uint32_t kt_random(void)
{
    static uint64_t state = 0x853c49e6748fea9bu;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) ^ (uint32_t)(state >> 61);
}

float kt_uniform(float lo, float hi)
{
    return lo + (hi - lo) * (float)(kt_random() & 0xffffff) / 0x1p24f;
}

static int64_t offset(const struct kn_view *v, int64_t a, int64_t b, int64_t c)
{
    const int64_t index[3] = {a, b, c};
    int64_t at = 0;
    for (int i = 0; i < v->ndim && i < 3; i++)
        at += index[i] * v->stride[i];
    return at;
}

void *kt_element(const struct kn_view *v, int64_t a, int64_t b, int64_t c)
{
    return kn_at(v, offset(v, a, b, c));
}

double kt_at(const struct kn_view *v, int64_t a, int64_t b, int64_t c)
{
    return (double)kn_load(v, offset(v, a, b, c));
}

void kt_set(const struct kn_view *v, float x, int64_t a, int64_t b, int64_t c)
{
    void *p = kt_element(v, a, b, c);
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (v->dtype == KN_F32) {
        memcpy(p, &x, sizeof x);
    } else if (v->dtype == KN_I32) {
        *(int32_t *)p = (int32_t)x;
    } else if (v->dtype == KN_BF16) {
        *(uint16_t *)p = (uint16_t)(bits >> 16);
    } else { /* f16, truncated; small numbers to subnormals, which is what a test wants */
        int exponent = (int)(bits >> 23 & 0xff) - 112;
        uint32_t mantissa = (bits & 0x7fffff) | 0x800000;
        uint32_t h = exponent > 0     ? (uint32_t)exponent << 10 | (mantissa >> 13 & 0x3ff)
                     : exponent > -10 ? mantissa >> (14 - exponent)
                                      : 0;
        if ((bits & 0x7fffffff) >= 0x7f800000)
            h = 0x7c00 | (bits & 0x7fffff ? 0x200 : 0);
        *(uint16_t *)p = (uint16_t)(bits >> 16 & 0x8000) | (uint16_t)h;
    }
}

void kt_fill(const struct kn_view *v, float lo, float hi)
{
    KT_EACH(v, a, b, c)
    kt_set(v, kt_uniform(lo, hi), a, b, c);
}

struct kn_view kt_tensor(enum kn_dtype t, int64_t pad, const int64_t *shape)
{
    struct kn_view v = {.dtype = t};
    while (shape[v.ndim]) {
        v.shape[v.ndim] = shape[v.ndim];
        v.ndim++;
    }
    int64_t size = 1;
    for (int i = v.ndim - 1; i >= 0; i--) {
        if (i == 0 && v.ndim > 1)
            size += pad;
        v.stride[i] = size;
        size *= v.shape[i];
    }
    size -= v.ndim > 1 ? pad : 0; /* the last row ends the memory */
    v.data = kt_alloc(kn_row_bytes(t, size));
    kt_fill(&v, -1, 1);
    return v;
}

struct kn_view kt_transposed(enum kn_dtype t, int64_t pad, int64_t rows, int64_t cols)
{
    struct kn_view v = KT(t, pad, cols, rows);
    return kn_swap(v, 0, 1);
}

const struct kt_block *kt_block_of(const struct kn_view *v)
{
    const char *at = kn_at(v, 0);
    for (int i = 0; i < block_count; i++)
        if (at >= blocks[i].start && at + wrap_span(v) <= blocks[i].start + blocks[i].bytes)
            return &blocks[i];
    return NULL;
}

/* Where a block keeps its numbers of 16 or 32 bits; the other bytes may be any. */
static const struct {
    enum kn_dtype t;
    int f16[2], f32; /* -1: none */
} SCALES[] = {
    {KN_Q8_0, {0, -1}, -1},   {KN_Q4_0, {0, -1}, -1},  {KN_Q4_1, {0, 2}, -1},
    {KN_Q5_0, {0, -1}, -1},   {KN_Q5_1, {0, 2}, -1},   {KN_IQ4_NL, {0, -1}, -1},
    {KN_IQ4_XS, {0, -1}, -1}, {KN_Q2_K, {80, 82}, -1}, {KN_Q3_K, {108, -1}, -1},
    {KN_Q4_K, {0, 2}, -1},    {KN_Q5_K, {0, 2}, -1},   {KN_Q6_K, {208, -1}, -1},
    {KN_INT8, {-1, -1}, 0},   {KN_NF4, {-1, -1}, 0},   {KN_FP4, {-1, -1}, 0},
};

/* A block of random bytes whose scales are about 1/64. */
static void random_block(enum kn_dtype t, uint8_t *p)
{
    for (size_t i = 0; i < kn_dtype_bytes(t); i++)
        p[i] = (uint8_t)kt_random();
    if (t == KN_MXFP4)
        p[0] = (uint8_t)(119 + kt_random() % 4);
    for (size_t i = 0; i < sizeof SCALES / sizeof *SCALES; i++) {
        if (SCALES[i].t != t)
            continue;
        for (int j = 0; j < 2 && SCALES[i].f16[j] >= 0; j++) {
            uint16_t h = (uint16_t)(0x2000 + kt_random() % 0x800 + (kt_random() & 0x8000));
            memcpy(p + SCALES[i].f16[j], &h, sizeof h);
        }
        float f = kt_uniform(-0.03f, 0.03f);
        if (SCALES[i].f32 >= 0)
            memcpy(p + SCALES[i].f32, &f, sizeof f);
    }
}

struct kn_view kt_blocks(enum kn_dtype t, int64_t pad, int64_t n, int64_t k)
{
    int64_t stride = k + pad * kn_dtype_block(t);
    struct kn_view v = kn_view2(NULL, t, n, k);
    v.stride[0] = stride;
    size_t bytes = kn_row_bytes(t, (n - 1) * stride + k);
    v.data = kt_alloc(bytes);
    for (size_t at = 0; at < bytes; at += kn_dtype_bytes(t))
        random_block(t, (uint8_t *)v.data + at);
    return v;
}
