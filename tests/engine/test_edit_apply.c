/* test_edit_apply.c - acts on values: every operator, strides, row ranges, the mask. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../host_apply.h"

enum { N_POS = 6, H = 3, DH = 4, TOTAL = H * N_POS * N_POS };

static const struct config model = {.n_layers = 2,
                                    .n_heads = H,
                                    .n_kv_heads = H,
                                    .d_model = 12,
                                    .d_head = DH,
                                    .d_mlp = 33,
                                    .d_vocab = 101,
                                    .n_ctx = 64,
                                    .pos = POS_LEARNED};

static struct edit_program *resolved(const char *text)
{
    struct edit *ed = NULL;
    struct edit_program *p = NULL;
    struct edit_context ctx = {.cfg = &model, .n_pos = N_POS};
    struct err e;
    if (edit_parse(&ed, text, &e) || edit_resolve(&p, &ed, NULL, 1, &ctx, &e))
        fail_msg("%s: %s", text, e.text);
    edit_free(ed);
    return p;
}

/* A bit for an element of an axis. */
static bool selected(const struct edit_axis *a, int64_t v)
{
    for (int32_t i = 0; i < a->n; i++)
        if ((a->list ? a->list[i] : a->lo + i) == v)
            return true;
    return false;
}

static float operate(enum edit_op op, float x, float s)
{
    return op == EDIT_SET ? s : op == EDIT_ADD ? x + s : op == EDIT_SUB ? x - s : x * s;
}

static bool same_bits(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

/* Apply to rows [row0, row1) of a site whose axes lie in memory in the order `perm`, and compare
 * every element with the definition. */
static void check(const char *text, int32_t row0, int32_t row1, const int perm[3])
{
    struct edit_program *p = resolved(text);
    const struct edit_instr *instr = &p->instrs[0];
    float x[TOTAL], s[TOTAL], before[TOTAL];
    for (int i = 0; i < TOTAL; i++) {
        before[i] = x[i] = (float)(i % 17) - 8.25f;
        s[i] = (float)(i % 29) / 3.0f - 4.0f;
    }
    struct kn_view v = {.data = x, .dtype = KN_F32, .ndim = instr->rank}, src = v;
    src.data = s;
    int row_axis = site_row_axis(instr->site.id);
    int64_t full[SITE_RANK_MAX] = {1, 1, 1}, stride = 1;
    site_shape(&model, instr->site.id, N_POS, full);
    for (int i = 0; i < instr->rank; i++)
        v.shape[i] = i == row_axis ? row1 - row0 : full[i];
    for (int i = instr->rank - 1; i >= 0; i--) {
        int axis = instr->rank == 3 ? perm[i] : i;
        v.stride[axis] = src.stride[axis] = stride;
        stride *= v.shape[axis];
    }
    if (instr->value == EDIT_MEAN)
        src.stride[row_axis] = 0;
    memcpy(src.shape, v.shape, sizeof v.shape);
    host_apply(instr, &v, row0, instr->value == EDIT_NUMBER ? NULL : &src);

    bool masked = !instr->full &&
                  (instr->site.id == SITE_PATTERN || instr->site.id == SITE_ATTN_SCORES);
    int64_t shape[3] = {v.shape[0], instr->rank > 1 ? v.shape[1] : 1,
                        instr->rank > 2 ? v.shape[2] : 1};
    for (int64_t n = 0; n < shape[0] * shape[1] * shape[2]; n++) {
        int64_t idx[3] = {n / (shape[1] * shape[2]), n / shape[2] % shape[1], n % shape[2]}, at = 0,
                from = 0;
        bool hit = true;
        for (int i = 0; i < instr->rank; i++) {
            at += idx[i] * v.stride[i];
            from += idx[i] * src.stride[i];
            hit &= selected(&instr->axis[i], idx[i] + (i == row_axis ? row0 : 0));
        }
        hit &= !masked || idx[2] <= idx[1] + row0;
        float operand = instr->value == EDIT_NUMBER ? instr->number
                        : instr->value == EDIT_CLAMP
                            ? fminf(fmaxf(before[at], instr->lo), instr->hi)
                        : instr->number == 1.0f ? s[from]
                                                : instr->number * s[from];
        float want = hit ? operate(instr->op, before[at], operand) : before[at];
        if (!same_bits(x[at], want))
            fail_msg("%s rows %d..%d at %d,%d,%d: %g, wanted %g", text, (int)row0, (int)row1,
                     (int)idx[0], (int)idx[1], (int)idx[2], (double)x[at], (double)want);
    }
    for (int64_t i = stride; i < TOTAL; i++)
        assert_true(same_bits(x[i], before[i]));
    edit_program_free(p);
}

static void equals_the_definition(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "blocks.0.attn.hook_z = 0",
        "blocks.0.attn.hook_z[2:5, {0,2}] *= 0.5",
        "blocks.0.attn.hook_z[{0,5}, :, ::2] += 3",
        "blocks.0.attn.hook_z[-1, 1, 3] -= 7",
        "blocks.0.attn.hook_z[1:] = from(a)",
        "blocks.0.attn.hook_z[{1,4}, 2] += 0.3 * from(a)",
        "blocks.0.attn.hook_z[:, {0,2}] = mean()",
        "blocks.0.attn.hook_z -= mean()",
        "blocks.0.attn.hook_z[3] = nan",
        "blocks.0.attn.hook_z[:4] *= -inf",
        "blocks.0.hook_resid_pre[3, 2:] = 1",
        "blocks.0.hook_resid_pre[{1..3}, ::5] = from(a)",
        "hook_tokens[{1,3}] = 42",
        "blocks.0.ln1.hook_scale[2:] *= 2",
        "blocks.0.attn.hook_pattern[1, 3:, :2] = 0",
        "blocks.0.attn.hook_pattern *= 2",
        "blocks.0.attn.hook_pattern[:, {1,4}] = from(a)",
        "blocks.0.attn.hook_pattern[:, 1:, {0,3..5}] = mean()",
        "blocks.0.attn.hook_pattern[2, 0, 5] = 1",
        "blocks.0.attn.hook_attn_scores += 1",
        "blocks.0.attn.hook_attn_scores[:, :, ::2] = -inf",
        "blocks.0.attn.hook_attn_scores[:, 2:] = 4",
        "blocks.0.attn.hook_attn_scores[0] -= from(a)",
        "blocks.0.attn.hook_attn_scores[{0,2}, {2,3}] = mean()",
        "blocks.0.attn.hook_z[1:4] = frozen",
        "blocks.0.attn.hook_attn_scores -= 0.25 * frozen",
        "blocks.0.attn.hook_z[{0,2}, 1:] = clamp(-3, 2.5)",
        "blocks.0.attn.hook_pattern[:, 2:] = clamp(0, inf)",
        "blocks.0.attn.hook_attn_scores[1, :, ::2] = clamp(-1, 1)",
    };
    static const int perms[][3] = {{0, 1, 2}, {1, 0, 2}, {2, 1, 0}, {1, 2, 0}};
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
        for (size_t k = 0; k < sizeof perms / sizeof *perms; k++)
            for (int32_t row0 = 0; row0 < N_POS; row0++)
                for (int32_t row1 = row0; row1 <= N_POS; row1++)
                    check(texts[t], row0, row1, perms[k]);
}

/* Every touched row is divided by its visible sum, the others are left; a sum of 1 comes out. */
static void rows_renormalized(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "blocks.0.attn.hook_pattern[{0,2}, 3:, 1] *= 3, renormalize",
        "blocks.0.attn.hook_pattern[1, 2, 4] = 0.5, renormalize"};
    for (int t = 0; t < 2; t++) {
        struct edit_program *p = resolved(texts[t]), *q = resolved(texts[t]);
        struct edit_instr plain = q->instrs[0];
        plain.renormalize = false;
        assert_true(p->instrs[0].renormalize);
        float x[TOTAL], y[TOTAL];
        for (int i = 0; i < TOTAL; i++)
            x[i] = y[i] = (float)(1 + i % 7);
        struct kn_view v = kn_view3(x, KN_F32, H, N_POS, N_POS),
                       w = kn_view3(y, KN_F32, H, N_POS, N_POS);
        host_apply(&p->instrs[0], &v, 0, NULL);
        host_apply(&plain, &w, 0, NULL);
        for (int h = 0; h < H; h++)
            for (int d = 0; d < N_POS; d++) {
                bool hit = t ? h == 1 && d == 2 : h != 1 && d >= 3;
                int n = plain.full ? N_POS : d + 1, at = (h * N_POS + d) * N_POS;
                double sum = 0;
                for (int k = 0; k < n; k++)
                    sum += (double)y[at + k];
                for (int k = 0; k < N_POS; k++)
                    assert_true(same_bits(x[at + k], hit && k < n ? (float)((double)y[at + k] / sum)
                                                                  : y[at + k]));
            }
        edit_program_free(p);
        edit_program_free(q);
    }
}

/* A view may hold fewer sources than the prompt has positions. */
static void fewer_sources(void **state)
{
    (void)state;
    struct edit_program *p = resolved("blocks.0.attn.hook_attn_scores[:, :, {0,2,4}] = 9");
    assert_true(p->instrs[0].full);
    float x[H * 1 * 3 + 1] = {0};
    struct kn_view v = {
        .data = x, .dtype = KN_F32, .ndim = 3, .shape = {H, 1, 3}, .stride = {3, 3, 1}};
    host_apply(&p->instrs[0], &v, 2, NULL);
    for (int h = 0; h < H; h++)
        assert_true(x[3 * h] == 9.0f && x[3 * h + 1] == 0.0f && x[3 * h + 2] == 9.0f);
    assert_true(x[3 * H] == 0.0f);
    edit_program_free(p);
}

/* from() copies: not even a NaN's payload changes. */
static void from_copies_bits(void **state)
{
    (void)state;
    struct edit_program *p = resolved("blocks.0.hook_resid_pre = from(a)");
    uint32_t bits[12], got[12];
    float x[12] = {0}, s[12];
    for (uint32_t i = 0; i < 12; i++)
        bits[i] = i % 3 == 0 ? 0x7fc00000u + i : i % 3 == 1 ? 0x80000000u : i;
    memcpy(s, bits, sizeof s);
    struct kn_view v = {.data = x, .dtype = KN_F32, .ndim = 2, .shape = {1, 12}, .stride = {12, 1}},
                   src = v;
    src.data = s;
    host_apply(&p->instrs[0], &v, 4, &src);
    memcpy(got, x, sizeof x);
    assert_memory_equal(got, bits, sizeof bits);
    edit_program_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(rows_renormalized),
        cmocka_unit_test(fewer_sources),
        cmocka_unit_test(from_copies_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
