/* edit_noise.c - noise(): the one value that no operation of a backend makes (edit.h).
 *
 * Tested in tests/engine/test_edit_words.c. */
#include "edit/edit_parts.h"

#include <math.h>

#include "base/splitmix.h"

/* Seed, hook, and the element's place in the hook make the number: nothing else does. */
static uint64_t noise_key(const struct edit_instr *instr)
{
    uint64_t h = splitmix64((uint32_t)instr->seed);
    for (const char *p = instr->weight ? instr->weight->name : site_table[instr->site.id].name; *p;
         p++)
        h = splitmix64(h ^ (unsigned char)*p);
    return splitmix64(
        h ^ (uint32_t)(instr->weight ? 0 : instr->site.layer)); /* a weight's name has its layer */
}

static float noise_at(const struct edit_instr *instr, uint64_t key, int64_t at)
{
    return instr->sigma * (float)splitmix_normal(key ^ (uint64_t)at);
}

/* An axis as noise sees it: which of the selected values lie in the view, from `base` on. */
struct span {
    const struct edit_axis *a;
    int64_t base, stride;
    int32_t first, end; /* places in the selection */
};

static struct span span_of(const struct edit_axis *a, int64_t base, int64_t size, int64_t stride)
{
    struct span s = {.a = a, .base = base, .stride = stride};
    while (s.first < a->n && edit_axis_value(a, s.first) < base)
        s.first++;
    for (s.end = s.first; s.end < a->n && edit_axis_value(a, s.end) < base + size;)
        s.end++;
    return s;
}

static float changed(enum edit_op op, float x, float s)
{
    switch (op) {
    case EDIT_ADD: return x + s;
    case EDIT_SUB: return x - s;
    case EDIT_MUL: return x * s;
    default: return s;
    }
}

void edit_noise_apply(const struct edit_instr *instr, const struct kn_view *v, int32_t row0)
{
    static const struct edit_axis one = {.n = 1};
    int lead = SITE_RANK_MAX - instr->rank,
        rows = instr->weight ? 0 : site_row_axis(instr->site.id);
    struct span s[SITE_RANK_MAX];
    for (int i = 0; i < SITE_RANK_MAX; i++)
        s[i] = i < lead ? span_of(&one, 0, 1, 0)
                        : span_of(&instr->axis[i - lead], i - lead == rows ? row0 : 0,
                                  v->shape[i - lead], v->stride[i - lead]);
    bool masked = !instr->full && site_is_attention(instr->site.id);
    uint64_t key = noise_key(instr);
    for (int32_t i = s[0].first; i < s[0].end; i++)
        for (int32_t j = s[1].first; j < s[1].end; j++) {
            int32_t a = edit_axis_value(s[0].a, i), b = edit_axis_value(s[1].a, j);
            float *line = kn_f32(v) + (a - s[0].base) * s[0].stride + (b - s[1].base) * s[1].stride;
            uint64_t own = splitmix64(splitmix64(key ^ (uint64_t)a) ^ (uint64_t)b);
            for (int32_t k = s[2].first; k < s[2].end; k++) {
                int32_t c = edit_axis_value(s[2].a, k);
                if (masked && c > b)
                    break;
                float *x = line + (c - s[2].base) * s[2].stride, to = noise_at(instr, own, c);
                *x = changed(instr->op, *x, instr->number == 1.0f ? to : to * instr->number);
            }
        }
}
