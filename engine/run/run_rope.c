/* run_rope.c - rotary tables, in the arithmetic of Hugging Face's modeling_rope_utils: inverse
 * frequencies and angles are f32 there, so they are here; a more exact angle would differ from the
 * reference at long positions. Formulas: linear, dynamic NTK and llama3 scaling of the same file.
 */
#include "run/run_parts.h"

#include <math.h>
#include <stdlib.h>

/* Length that decides the table: dynamic scaling grows with the prompt past the trained context. */
int32_t run_rope_length(const struct config *cfg, int32_t n)
{
    return cfg->rope.scaling == ROPE_DYNAMIC && n > cfg->n_ctx ? n : cfg->n_ctx;
}

static float inverse_frequency(const struct config *cfg, const struct rope *rope, int32_t i,
                               int32_t n)
{
    double base = rope->theta, dim = cfg->n_rot, factor = rope->factor;
    if (rope->scaling == ROPE_DYNAMIC && dim > 2)
        base *= pow(factor * n / cfg->n_ctx - (factor - 1), dim / (dim - 2));
    float f = 1.0f / powf((float)base, (float)(2 * i) / (float)dim);
    if (rope->scaling == ROPE_LINEAR)
        return f / (float)factor;
    if (rope->scaling != ROPE_LLAMA3)
        return f;
    const float two_pi = 6.28318530717958647692f;
    float wavelength = two_pi / f, ctx = (float)rope->n_ctx;
    float low = ctx / (float)rope->low_freq, high = ctx / (float)rope->high_freq;
    if (wavelength > low)
        return f / (float)factor;
    if (wavelength < high)
        return f;
    float smooth = (ctx / wavelength - (float)rope->low_freq) /
                   (float)(rope->high_freq - rope->low_freq);
    return (1 - smooth) * (f / (float)factor) + smooth * f;
}

/* One table, for a run of n positions, into the operand `cosine` and the one after it. */
static int table_fill(struct run *r, const struct rope *rope, enum run_operand cosine, int32_t n,
                      struct err *e)
{
    const struct config *cfg = &r->m->cfg;
    size_t half = (size_t)cfg->n_rot / 2, floats = (size_t)r->cap * 2 * half;
    float *c = malloc((2 * floats + 1) * sizeof *c), *s = c ? c + floats : NULL;
    if (!c)
        return err_memory(e, "rotary tables of %d positions", r->cap);
    for (int32_t i = 0; i < cfg->n_rot / 2; i++) {
        float f = inverse_frequency(cfg, rope, i, n);
        for (int32_t p = 0; p < r->cap; p++) {
            float angle = f * (float)p;
            size_t at = (size_t)p * 2 * half + (size_t)i;
            c[at] = c[at + half] = (float)cos((double)angle);
            s[at] = s[at + half] = (float)sin((double)angle);
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
