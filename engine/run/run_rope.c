/* run_rope.c - rotary tables, in the arithmetic of Hugging Face's modeling_rope_utils: inverse
 * frequencies and angles are f32 there, so they are here; a more exact angle would differ from the
 * reference at long positions. The formulas of the scalings are those of the same file. */
#include "run/run_parts.h"

#include <math.h>
#include <stdlib.h>

/* Between pairs that turn often over the original context and pairs that hardly do. */
static float llama3_frequency(const struct rope *rope, float f)
{
    const float two_pi = 6.28318530717958647692f;
    float wavelength = two_pi / f, ctx = (float)rope->n_ctx;
    float low = ctx / (float)rope->low_freq, high = ctx / (float)rope->high_freq;
    if (wavelength > low)
        return f / (float)rope->factor;
    if (wavelength < high)
        return f;
    float smooth = (ctx / wavelength - (float)rope->low_freq) /
                   (float)(rope->high_freq - rope->low_freq);
    return (1 - smooth) * (f / (float)rope->factor) + smooth * f;
}

/* The pair that turns so many times over the original context. */
static double yarn_pair(const struct rope *rope, double turns, int32_t dim)
{
    const double two_pi = 6.28318530717958647692;
    return dim * log(rope->n_ctx / (turns * two_pi)) / (2 * log(rope->theta));
}

static float yarn_frequency(const struct rope *rope, float period, int32_t i, int32_t dim)
{
    double first = yarn_pair(rope, rope->high_freq, dim),
           last = yarn_pair(rope, rope->low_freq, dim);
    if (rope->truncate)
        first = floor(first), last = ceil(last);
    first = fmax(first, 0), last = fmin(last, dim - 1);
    if (first == last)
        last += 0.001; /* as Hugging Face divides */
    float ramp = fminf(fmaxf(((float)i - (float)first) / (float)(last - first), 0), 1),
          keep = 1 - ramp;
    return 1.0f / ((float)rope->factor * period) * (1 - keep) + 1.0f / period * keep;
}

static float inverse_frequency(const struct config *cfg, const struct rope *rope, int32_t i,
                               int32_t n)
{
    double base = rope->theta, dim = cfg->n_rot, factor = rope->factor;
    if (rope->scaling == ROPE_DYNAMIC && dim > 2)
        base *= pow(factor * n / cfg->n_ctx - (factor - 1), dim / (dim - 2));
    float period = powf((float)base, (float)(2 * i) / (float)dim);
    switch (rope->scaling) {
    case ROPE_LINEAR: return 1.0f / period / (float)factor;
    case ROPE_LLAMA3: return llama3_frequency(rope, 1.0f / period);
    case ROPE_YARN: return yarn_frequency(rope, period, i, cfg->n_rot);
    case ROPE_LONGROPE:
        return 1.0f / ((n > rope->n_ctx ? rope->long_factor : rope->short_factor)[i] * period);
    default: return 1.0f / period;
    }
}

/* One table, for a run of n positions, into the operand `cosine` and the one after it. */
static int table_fill(struct run *r, const struct rope *rope, enum run_operand cosine, int32_t n,
                      struct err *e)
{
    const struct config *cfg = &r->m->cfg;
    size_t half = (size_t)cfg->n_rot / 2, floats = (size_t)r->cap * 2 * half;
    float *c = malloc((2 * floats + 1) * sizeof *c), *s = c ? c + floats : NULL;
    float scale = (float)rope->attention_factor;
    if (!c)
        return err_memory(e, "rotary tables of %d positions", r->cap);
    for (int32_t i = 0; i < cfg->n_rot / 2; i++) {
        float f = inverse_frequency(cfg, rope, i, n);
        for (int32_t p = 0; p < r->cap; p++) {
            float angle = f * (float)p;
            size_t a = (size_t)p * 2 * half + (size_t)i * (cfg->rope_pairs ? 2 : 1),
                   b = a + (cfg->rope_pairs ? 1 : half);
            c[a] = c[b] = (float)cos((double)angle) * scale;
            s[a] = s[b] = (float)sin((double)angle) * scale;
        }
    }
    struct kn_view to[2] = {run_operand_view(r, cosine, 0, r->cap),
                            run_operand_view(r, cosine + 1, 0, r->cap)};
    int rc = run_write(r->m->be, &to[0], c, e);
    if (!rc)
        rc = run_write(r->m->be, &to[1], s, e);
    free(c);
    return rc;
}

int run_rope_fill(struct run *r, int32_t n, struct err *e)
{
    const struct config *cfg = &r->m->cfg;
    r->rope_n = 0;
    int rc = table_fill(r, &cfg->rope, RUN_COS, n, e);
    if (!rc && cfg->rope_by_window)
        rc = table_fill(r, &cfg->rope_local, RUN_COS_LOCAL, n, e);
    r->rope_n = rc ? 0 : n;
    return rc;
}

int run_rope_place(struct run *r, struct err *e)
{
    static const struct {
        enum site_id site;
        enum run_operand from;
    } table[] = {{SITE_ROT_COS, RUN_COS},
                 {SITE_ROT_SIN, RUN_SIN},
                 {SITE_ROT_COS_LOCAL, RUN_COS_LOCAL},
                 {SITE_ROT_SIN_LOCAL, RUN_SIN_LOCAL}};
    int rc = run_keep_stage(r, 0, e);
    for (int i = 0; !rc && i < 4; i++) {
        if (!site_exists(&r->m->cfg, table[i].site))
            continue;
        struct kn_view to = run_site_view(r, table[i].site, r->keep[table[i].site], 0, r->n, 0),
                       from = run_operand_view(r, table[i].from, 0, r->n);
        rc = run_copy(r->m->be, &to, &from, e);
    }
    return rc;
}
