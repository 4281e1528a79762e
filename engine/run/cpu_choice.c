/* cpu_choice.c - see cpu_choice.h. */
#include "run/cpu_choice.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache_folder.h"
#include "base/clock.h"
#include "base/file_read.h"
#include "base/file_write.h"
#include "base/splitmix.h"
#include "model/fingerprint.h"

/* ---- measuring ---- */

/* What is multiplied: many weights side by side, so that the next one comes from memory. */
struct bench {
    struct kn_backend *be[2];
    int64_t side, rows;
    enum kn_dtype type;
    void *weights;
    float *x, *out[2];
    int next;
};
enum { WEIGHTS = 4, TIMES = 2 };

/* Seconds of one product by the next weights, or -1. */
static double product_time(struct bench *b, int which, bool nk, int64_t rows)
{
    int64_t n = b->side, at = (b->next++ % WEIGHTS) * n * n;
    struct kn_call call = {
        .op = KN_OP_LINEAR,
        .in = {kn_view2(b->x, KN_F32, rows, n), kn_moved(kn_view2(b->weights, b->type, n, n), at)},
        .out = {kn_view2(b->out[which], KN_F32, rows, n)}};
    if (!nk)
        call.in[1] = kn_swap(call.in[1], 0, 1);
    int64_t start = clock_us();
    if (kn_run(b->be[which], &call) != KN_OK)
        return -1;
    return (double)(clock_us() - start + 1) * 1e-6;
}

/* Of both, in turn, the best of some times: log of the quotient.  And the difference by the same
 * weights. */
static bool compare(struct bench *b, bool nk, int64_t rows, double *log_speed, double squares[2])
{
    double best[2] = {INFINITY, INFINITY};
    for (int i = 0; i < TIMES * 2; i++) {
        double t = product_time(b, i % 2, nk, rows);
        if (t < 0)
            return false;
        best[i % 2] = fmin(best[i % 2], t);
    }
    *log_speed += log(best[0] / best[1]);
    b->next--;
    if (product_time(b, 0, nk, rows) < 0)
        return false;
    for (int64_t i = 0; i < rows * b->side; i++) {
        double x = (double)b->out[0][i], d = (double)b->out[1][i] - x;
        squares[0] += x * x, squares[1] += d * d;
    }
    return true;
}

static void fill(struct bench *b)
{
    for (int64_t i = 0; i < b->rows * b->side; i++)
        b->x[i] = (float)(splitmix64(~(uint64_t)i) >> 40) * 0x1p-23f - 1;
    for (int64_t i = 0; i < WEIGHTS * b->side * b->side; i++) {
        float w = (float)(splitmix64((uint64_t)i) >> 40) * 0x1p-23f - 1;
        uint32_t bits;
        memcpy(&bits, &w, sizeof bits);
        if (b->type == KN_F32)
            ((float *)b->weights)[i] = w;
        else
            ((uint16_t *)b->weights)[i] = (uint16_t)(bits >> 16);
    }
}

bool cpu_measure(struct kn_backend *a, struct kn_backend *b, int64_t side, int64_t rows,
                 struct cpu_measure *out)
{
    static const int64_t ROWS[] = {1, 16, 128};
    static const enum kn_dtype TYPES[] = {KN_F32, KN_BF16};
    struct bench x = {.be = {a, b}, .side = side, .rows = rows};
    size_t line = (size_t)(rows * side) * sizeof(float);
    x.weights = malloc((size_t)(WEIGHTS * side * side) * sizeof(float));
    x.x = malloc(line), x.out[0] = malloc(line), x.out[1] = malloc(line);
    bool ok = x.weights && x.x && x.out[0] && x.out[1];
    double log_speed = 0, squares[2] = {0};
    int n = 0;
    for (int t = 0; t < 2 && ok; t++) {
        x.type = TYPES[t];
        fill(&x);
        for (int kind = 0; kind < 2 * 3 && ok; kind++)
            if (ROWS[kind / 2] <= rows)
                ok = compare(&x, kind % 2, ROWS[kind / 2], &log_speed, squares), n++;
    }
    free(x.weights), free(x.x), free(x.out[0]), free(x.out[1]);
    if (ok)
        *out = (struct cpu_measure){exp(log_speed / n), sqrt(squares[1] / squares[0])};
    return ok;
}

/* ---- keeping ---- */

static const char HEAD[] = "borescope cpu 1\n";

void cpu_measure_text(const struct cpu_measure *m, const char *key, char text[CPU_MEASURE_BYTES])
{
    snprintf(text, CPU_MEASURE_BYTES, "%s%.*s\n%.9e %.9e\n", HEAD, CPU_MEASURE_BYTES - 64, key,
             m->speed, m->error);
}

bool cpu_measure_parse(const char *bytes, size_t len, const char *key, struct cpu_measure *out)
{
    char text[CPU_MEASURE_BYTES], again[CPU_MEASURE_BYTES], *end;
    size_t head = sizeof HEAD - 1 + strlen(key) + 1;
    if (len >= sizeof text || len <= head || memchr(bytes, 0, len))
        return false;
    memcpy(text, bytes, len);
    text[len] = 0;
    struct cpu_measure m = {strtod(text + head, &end), 0};
    m.error = strtod(end, NULL);
    if (!(m.speed > 0 && m.speed < 1e6 && m.error >= 0 && m.error < 1e6))
        return false;
    cpu_measure_text(&m, key, again); /* what is written, and nothing else */
    if (strcmp(text, again) != 0)
        return false;
    *out = m;
    return true;
}

static bool file_of(const char *key, bool make, char path[PATH_MAX])
{
    struct fingerprint f = {0};
    char name[32];
    fingerprint_add(&f, key, strlen(key));
    snprintf(name, sizeof name, "cpu-%016" PRIx64, f.a);
    return cache_path("", name, make, path);
}

bool cpu_measure_read(const char *key, struct cpu_measure *out)
{
    char path[PATH_MAX], *bytes = NULL;
    size_t len;
    bool ok = file_of(key, false, path) &&
              !file_read_all(path, CPU_MEASURE_BYTES, &bytes, &len, NULL) &&
              cpu_measure_parse(bytes, len, key, out);
    free(bytes);
    return ok;
}

void cpu_measure_write(const char *key, const struct cpu_measure *m)
{
    char path[PATH_MAX], text[CPU_MEASURE_BYTES];
    cpu_measure_text(m, key, text);
    if (file_of(key, true, path))
        (void)file_write_all(path, text, strlen(text), NULL); /* next time it is measured again */
}

/* ---- choosing ---- */

struct cpu_choice cpu_choice_of(const struct cpu_measure *m, enum kn_cpu best)
{
    /* Both have about 2e-7.  What gains little is not worth other bits. */
    static const double ERROR_MAX = 1e-6, SPEED_MIN = 1.1;
    struct cpu_choice c = {.set = (int)best, .blocks = (int)best};
    const char *amx = kn_cpu_name(KN_CPU_AMX_BF16X3), *other = kn_cpu_name(best);
    if (!(m->error <= ERROR_MAX)) {
        snprintf(c.why, sizeof c.why, "%s not taken: its products differ by %.1e", amx, m->error);
        return c;
    }
    if (m->speed >= SPEED_MIN)
        c.set = KN_CPU_AMX_BF16X3;
    snprintf(c.why, sizeof c.why, "measured: %s has %.2f of %s's speed", amx, m->speed, other);
    return c;
}

/* The two sets on one thread. */
static bool measure_here(enum kn_cpu best, struct cpu_measure *m)
{
    enum { SIDE = 2048, ROWS = 128 };
    char why[160];
    struct kn_options o = {.backend = "cpu", .threads = 1, .cpu = (int)best};
    struct kn_backend *a = kn_open(&o, why, sizeof why);
    o.cpu = KN_CPU_AMX_BF16X3;
    struct kn_backend *b = kn_open(&o, why, sizeof why);
    bool ok = a && b && cpu_measure(a, b, SIDE, ROWS, m);
    kn_close(a), kn_close(b);
    return ok;
}

struct cpu_choice cpu_choose(const char *name)
{
    struct cpu_choice c = {.set = kn_cpu_parse(name)};
    enum kn_cpu best = kn_cpu_best();
    bool measured = strcmp(name, "auto") == 0 && kn_cpu_has(KN_CPU_AMX_BF16X3);
    if (strcmp(name, "auto") == 0 || strcmp(name, "fma") == 0)
        c.set = (int)best;
    c.blocks = c.set;
    if (!measured)
        return c;
    char key[CPU_MEASURE_BYTES / 2], cpu[160];
    struct cpu_measure m;
    kn_cpu_key(cpu, sizeof cpu);
    snprintf(key, sizeof key, "%s · %s", BORE_VERSION, cpu);
    if (!cpu_measure_read(key, &m)) {
        if (!measure_here(best, &m))
            return c;
        cpu_measure_write(key, &m);
    }
    return cpu_choice_of(&m, best);
}
