/* tile.h - the instructions of AMX that products need, or the same in plain C.
 *
 * Eight tiles of at most 16 lines of 64 bytes; their numbers are written as digits.  TILE_EMULATED
 * chooses the plain form, which computes what Intel's manual says of each instruction (TDPBF16PS:
 * operation, denormals, rounding) and stops where the processor would (#GP, #UD): so the kernels of
 * row_gemm_amx.h run and are tested on any machine.  Where the instructions are,
 * tests/kernels/test_amx.c compares both forms bit for bit.
 */
#ifndef KN_CPU_TILE_H
#define KN_CPU_TILE_H

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { TILE_COUNT = 8, TILE_ROWS = 16, TILE_LINE = 64, TILE_BYTES = TILE_ROWS * TILE_LINE };

/* What LDTILECFG reads. */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t line[16]; /* bytes of a line of each tile */
    uint8_t rows[16];
};
_Static_assert(sizeof(struct tile_config) == 64, "as the processor reads it");

#ifndef TILE_EMULATED
#include <immintrin.h>

struct tile_file {
    int none;
};

/* gcc does not know that the first two read memory. */
#define TILE_CONFIG(f, config)             \
    do {                                   \
        (void)(f);                         \
        __asm__ volatile("" ::: "memory"); \
        _tile_loadconfig(config);          \
    } while (0)
#define TILE_LOAD(f, i, at, stride)        \
    do {                                   \
        __asm__ volatile("" ::: "memory"); \
        _tile_loadd(i, at, stride);        \
    } while (0)
#define TILE_RELEASE(f) _tile_release()
#define TILE_ZERO(f, i) _tile_zero(i)
#define TILE_STORE(f, i, at, stride) _tile_stored(i, at, stride)
#define TILE_DP(f, to, a, b) _tile_dpbf16ps(to, a, b)

#else

/* Sanitizers look at what calls these, whose own loops they make many times slower. */
#define TILE_PLAIN static inline __attribute__((no_sanitize("address", "undefined", "thread")))

struct tile_file {
    struct tile_config config;
    uint32_t word[TILE_COUNT][TILE_ROWS][TILE_LINE / 4];
};

#define TILE_CONFIG(f, config) tile_configure(f, config)
#define TILE_RELEASE(f) memset(f, 0, sizeof *(f))
#define TILE_ZERO(f, i) tile_zero(f, i)
#define TILE_LOAD(f, i, at, stride) tile_load(f, i, (const char *)(at), stride)
#define TILE_STORE(f, i, at, stride) tile_store(f, i, (char *)(at), stride)
#define TILE_DP(f, to, a, b) tile_dp(f, to, a, b)

static void tile_configure(struct tile_file *f, const struct tile_config *c)
{
    assert(c->palette == 1 && c->start_row == 0);
    for (int i = 0; i < 16; i++) {
        assert(c->rows[i] <= TILE_ROWS && c->line[i] <= TILE_LINE);
        assert(!c->rows[i] == !c->line[i] && (i < TILE_COUNT || !c->rows[i]));
    }
    memset(f, 0, sizeof *f);
    f->config = *c;
}

static void tile_zero(struct tile_file *f, int i)
{
    assert(f->config.rows[i]);
    memset(f->word[i], 0, sizeof f->word[i]);
}

static void tile_load(struct tile_file *f, int i, const char *at, int64_t stride)
{
    tile_zero(f, i);
    for (int r = 0; r < f->config.rows[i]; r++)
        memcpy(f->word[i][r], at + r * stride, f->config.line[i]);
}

static void tile_store(const struct tile_file *f, int i, char *at, int64_t stride)
{
    assert(f->config.rows[i]);
    for (int r = 0; r < f->config.rows[i]; r++)
        memcpy(at + r * stride, f->word[i][r], f->config.line[i]);
}

TILE_PLAIN float tile_float(uint32_t bits)
{
    float x;
    bits = bits & 0x7f800000 ? bits : bits & 0x80000000; /* denormals are zero, also of results */
    memcpy(&x, &bits, sizeof x);
    return x;
}

TILE_PLAIN float tile_flushed(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return tile_float(bits);
}

/* A tile of pairs of bf16 as floats; the least and the greatest magnitude but 0, NaN as Inf. */
struct tile_halves {
    float of[2][TILE_ROWS][TILE_LINE / 4];
    double least, most;
};

TILE_PLAIN void tile_split(const uint32_t word[TILE_ROWS][TILE_LINE / 4], struct tile_halves *h)
{
    uint32_t least = 0x7f800000, most = 0;
    for (int r = 0; r < TILE_ROWS; r++)
        for (int n = 0; n < TILE_LINE / 4; n++)
            for (int half = 0; half < 2; half++) {
                uint32_t bits = half ? word[r][n] & 0xffff0000 : word[r][n] << 16,
                         size = bits & 0x7fffffff;
                h->of[half][r][n] = tile_float(bits);
                least = size >= 0x00800000 && size < least ? size : least;
                most = size > most ? size : most;
            }
    h->least = (double)tile_float(least);
    h->most = most >= 0x7f800000 ? INFINITY : (double)tile_float(most);
}

/* x w + sum with one rounding.  A product of two bf16 has 16 bits, so a float holds it, unless its
 * magnitude is out of range. */
TILE_PLAIN float tile_fma(float x, float w, float sum, bool in_range)
{
    return tile_flushed(in_range ? x * w + sum : fmaf(x, w, sum));
}

/* Pairs along k: one chain of fused additions for the even and one for the odd elements of all
 * pairs, then their sum is added to what was there. */
TILE_PLAIN void tile_dp(struct tile_file *f, int to, int a, int b)
{
    const struct tile_config *c = &f->config;
    assert(to != a && to != b && a != b && c->rows[to] == c->rows[a] && c->rows[to]);
    assert(c->line[to] == c->line[b] && c->line[a] == 4 * c->rows[b]);
    struct tile_halves x, w;
    tile_split(f->word[a], &x);
    tile_split(f->word[b], &w);
    bool in_range = x.least * w.least >= 0x1p-126 && x.most * w.most < 0x1p127;
    for (int m = 0; m < c->rows[a]; m++) {
        float sum[2][TILE_LINE / 4] = {{0}};
        for (int k = 0; k < c->rows[b]; k++)
            for (int half = 0; half < 2; half++)
                for (int n = 0; n < TILE_LINE / 4; n++)
                    sum[half][n] = tile_fma(x.of[half][m][k], w.of[half][k][n], sum[half][n],
                                            in_range);
        for (int n = 0; n < TILE_LINE / 4; n++) {
            float was = tile_float(f->word[to][m][n]), both = tile_flushed(sum[0][n] + sum[1][n]);
            both = tile_flushed(was + both);
            memcpy(&f->word[to][m][n], &both, sizeof both);
        }
    }
}

#endif
#endif
