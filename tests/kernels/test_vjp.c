/* test_vjp.c - vector-Jacobian products against central differences of the forward operation, both
 * in double; that they add to their outputs; that threads do not change a bit. */
#include "ktest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { R = 3, D = 7, H = 4, HKV = 2, DH = 6, S = 5, DEST0 = 2, N_ROT = 4, ALL_MAX = 1024 };

/* A forward operation on flat doubles: inputs one after the other in x, result in y. */
typedef void forward(const double *x, double *y, const struct kn_call *c);

static double mean_of(const double *x, bool center)
{
    double m = 0;
    for (int k = 0; k < D; k++)
        m += x[k] / D;
    return center ? m : 0;
}

static void f_normalize(const double *x, double *y, const struct kn_call *c)
{
    for (int i = 0; i < R; i++)
        for (int k = 0; k < D; k++)
            y[i * D + k] = (x[i * D + k] - mean_of(x + i * D, c->p.center)) / x[R * D + i];
}

static void f_norm_scale(const double *x, double *y, const struct kn_call *c)
{
    for (int i = 0; i < R; i++) {
        double m = mean_of(x + i * D, c->p.center), s = 0;
        for (int k = 0; k < D; k++)
            s += (x[i * D + k] - m) * (x[i * D + k] - m) / D;
        y[i] = sqrt(s + (double)c->p.eps);
    }
}

static void f_affine(const double *x, double *y, const struct kn_call *c)
{
    for (int i = 0; i < R * D; i++)
        y[i] = x[i] * (kt_at(&c->in[1], i % D, 0, 0) + (double)c->p.offset);
}

static void f_softcap(const double *x, double *y, const struct kn_call *c)
{
    for (int i = 0; i < R * D; i++)
        y[i] = (double)c->p.softcap * tanh(x[i] / (double)c->p.softcap);
}

static void f_clip(const double *x, double *y, const struct kn_call *c)
{
    for (int i = 0; i < R * D; i++)
        y[i] = fmax(fmin(x[i], (double)c->p.limit), -(double)c->p.limit);
}

static double act(enum kn_act a, double x)
{
    switch (a) {
    case KN_ACT_GELU: return x * 0.5 * erfc(-x / sqrt(2));
    case KN_ACT_GELU_NEW:
        return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case KN_ACT_RELU: return x > 0 ? x : 0;
    case KN_ACT_SILU: return x / (1 + exp(-x));
    case KN_ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    default: return x;
    }
}

static void f_act(const double *x, double *y, const struct kn_call *c)
{
    for (int i = 0; i < R * D; i++)
        y[i] = act(c->p.act, x[i]);
}

static void f_gate(const double *x, double *y, const struct kn_call *c)
{
    double limit = c->p.limit > 0 ? (double)c->p.limit : (double)INFINITY;
    for (int i = 0; i < R * D; i++)
        y[i] = act(c->p.act, fmin(x[i], limit)) *
               (fmax(fmin(x[R * D + i], limit), -limit) + (double)c->p.offset);
}

enum { TOP = 3 };

/* Has an element of a row fewer than TOP others before it, in topk's order?  *rank: how many. */
static bool is_top(const double *x, int k, int *rank)
{
    *rank = 0;
    for (int i = 0; i < D; i++)
        *rank += x[i] > x[k] || (x[i] == x[k] && i < k);
    return *rank < TOP;
}

static void f_route(const double *x, double *y, const struct kn_call *c)
{
    for (int i = 0; i < R; i++) {
        double sum = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int k = 0, rank; k < D; k++) {
                bool in = !c->p.top || is_top(x + i * D, k, &rank);
                sum += in && !pass ? exp(x[i * D + k]) : 0;
                y[i * D + k] = in ? exp(x[i * D + k]) / sum : 0;
            }
    }
}

static void f_top_value(const double *x, double *y, const struct kn_call *c)
{
    for (int i = 0; i < R; i++) {
        double sum = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int k = 0, rank; k < D; k++) {
                if (!is_top(x + i * D, k, &rank))
                    continue;
                sum += pass ? 0 : x[i * D + k];
                y[i * TOP + rank] = x[i * D + k] / (c->p.share ? sum : 1);
            }
    }
}

/* w [R, TOP], x [R, TOP, D] */
static void f_blend(const double *x, double *y, const struct kn_call *c)
{
    (void)c;
    for (int i = 0; i < R * D; i++) {
        y[i] = 0;
        for (int s = 0; s < TOP; s++)
            y[i] += x[i / D * TOP + s] * x[R * TOP + (i / D * TOP + s) * D + i % D];
    }
}

/* x [R, H, DH], cosines and sines [R, N_ROT] */
static void rotate(const double *x, const double *co, const double *si, double *y, bool pairs)
{
    for (int i = 0; i < R * H; i++)
        for (int k = 0; k < DH; k++) {
            int apart = pairs ? 1 : N_ROT / 2, t = i / H * N_ROT + k;
            bool first = pairs ? k % 2 == 0 : k < N_ROT / 2;
            const double *h = x + i * DH;
            y[i * DH + k] = k >= N_ROT
                                ? h[k]
                                : h[k] * co[t] + si[t] * (first ? -h[k + apart] : h[k - apart]);
        }
}

static void f_rope(const double *x, double *y, const struct kn_call *c)
{
    double co[R * N_ROT], si[R * N_ROT];
    for (int i = 0; i < R * N_ROT; i++)
        co[i] = kt_at(&c->in[1], i / N_ROT, i % N_ROT, 0),
        si[i] = kt_at(&c->in[2], i / N_ROT, i % N_ROT, 0);
    rotate(x, co, si, y, c->p.pairs);
}

static void f_rope_table(const double *x, double *y, const struct kn_call *c)
{
    double q[R * H * DH];
    for (int i = 0; i < R * H * DH; i++)
        q[i] = (double)((const float *)c->in[1].data)[i];
    rotate(q, x, x + R * N_ROT, y, c->p.pairs);
}

static bool hidden(const struct kn_call *c, int d, int s)
{
    return !c->p.full && s > DEST0 + d;
}

static void f_softmax(const double *x, double *y, const struct kn_call *c)
{
    for (int i = 0; i < H * R; i++) {
        double sum = 0;
        sum = c->in[2].ndim ? exp(kt_at(&c->in[2], i / R, 0, 0)) : 0;
        for (int s = 0; s < S; s++)
            sum += hidden(c, i % R, s) ? 0 : exp(x[i * S + s]);
        for (int s = 0; s < S; s++)
            y[i * S + s] = hidden(c, i % R, s) ? 0 : exp(x[i * S + s]) / sum;
    }
}

static void f_scores(const double *x, double *y, const struct kn_call *c)
{
    for (int h = 0; h < H; h++)
        for (int d = 0; d < R; d++)
            for (int s = 0; s < S; s++) {
                double dot = 0;
                for (int k = 0; k < DH; k++)
                    dot += x[(d * H + h) * DH + k] *
                           x[R * H * DH + (s * HKV + h / (H / HKV)) * DH + k];
                bool old = c->p.window && DEST0 + d - s >= c->p.window;
                double score = dot * (double)c->p.scale, cap = (double)c->p.softcap;
                score = cap > 0 ? cap * tanh(score / cap) : score;
                y[(h * R + d) * S + s] = hidden(c, d, s) || old ? 0 : score;
            }
}

static void f_mix(const double *x, double *y, const struct kn_call *c)
{
    (void)c; /* every source: what the op leaves out has pattern 0, but its derivative by the
                pattern counts */
    for (int d = 0; d < R; d++)
        for (int h = 0; h < H; h++)
            for (int k = 0; k < DH; k++) {
                double sum = 0;
                for (int s = 0; s < S; s++)
                    sum += x[(h * R + d) * S + s] *
                           x[H * R * S + (s * HKV + h / (H / HKV)) * DH + k];
                y[(d * H + h) * DH + k] = sum;
            }
}

static int64_t elements(const struct kn_view *v)
{
    int64_t n = v->ndim > 0;
    for (int i = 0; i < v->ndim; i++)
        n *= v->shape[i];
    return n;
}

/* Run on every instruction set; compare out[o] with what it held plus dy . df/dx_o.  inputs: the
 * forward's inputs. */
static void check(struct kn_call *c, int n_out, const struct kn_view *const *inputs, int n_inputs,
                  forward *f)
{
    double x[ALL_MAX], up[ALL_MAX], down[ALL_MAX];
    int64_t n = 0, n_dy = elements(&c->in[0]);
    for (int i = 0; i < n_inputs; i++)
        for (int64_t k = 0; k < elements(inputs[i]); k++)
            x[n++] = (double)((const float *)inputs[i]->data)[k];
    assert_true(n <= ALL_MAX && n_dy <= ALL_MAX);
    float held[2][ALL_MAX], first[2][ALL_MAX];
    for (int o = 0; o < n_out; o++)
        memcpy(held[o], c->out[o].data, (size_t)elements(&c->out[o]) * sizeof(float));
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++)
        for (int threads = 1; threads <= KT_THREADS_MAX; threads++) {
            for (int o = 0; o < n_out; o++)
                memcpy(c->out[o].data, held[o], (size_t)elements(&c->out[o]) * sizeof(float));
            assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, threads), c), KN_OK);
            for (int o = 0; o < n_out; o++) {
                size_t bytes = (size_t)elements(&c->out[o]) * sizeof(float);
                if (threads == 1)
                    memcpy(first[o], c->out[o].data, bytes);
                else
                    assert_memory_equal(first[o], c->out[o].data, bytes);
            }
        }
    for (int o = 0; o < n_out; o++)
        memcpy(c->out[o].data, held[o], (size_t)elements(&c->out[o]) * sizeof(float));
    kt_staged(c);
    for (int64_t at = 0, o = 0, k = 0; at < n && o < n_out; at++, k++) {
        if (k == elements(&c->out[o]))
            o++, k = 0;
        if (o == n_out)
            break;
        const double h = 1e-5;
        double keep = x[at], want = (double)held[o][k];
        x[at] = keep + h;
        f(x, up, c);
        x[at] = keep - h;
        f(x, down, c);
        x[at] = keep;
        for (int64_t i = 0; i < n_dy; i++)
            want += (double)((const float *)c->in[0].data)[i] * (up[i] - down[i]) / (2 * h);
        if (!(fabs(want - (double)first[o][k]) <= 4e-6 * fmax(1, fabs(want))))
            fail_msg("%s: out %d [%d] is %.8g, expected %.8g", kn_op_name(c->op), (int)o, (int)k,
                     (double)first[o][k], want);
    }
}

static void test_norms(void **state)
{
    (void)state;
    for (int center = 0; center < 2; center++) {
        struct kn_view x = KT(KN_F32, 0, R, D), scale = KT(KN_F32, 0, R, 1);
        kt_fill(&scale, 0.5f, 2);
        struct kn_call c = {.op = KN_OP_NORMALIZE_VJP, .p = {.center = center, .eps = 1e-3f}};
        c.out[0] = KT(KN_F32, 0, R, D), c.out[1] = KT(KN_F32, 0, R, 1);
        c.in[0] = KT(KN_F32, 0, R, D), c.in[1] = x, c.in[2] = scale;
        check(&c, 2, (const struct kn_view *[]){&x, &scale}, 2, f_normalize);
        struct kn_call s = {.op = KN_OP_NORM_SCALE_VJP, .p = c.p};
        s.out[0] = c.out[0], s.in[0] = KT(KN_F32, 0, R, 1), s.in[1] = x;
        check(&s, 1, (const struct kn_view *[]){&x}, 1, f_norm_scale);
    }
    struct kn_call a = {.op = KN_OP_AFFINE_VJP};
    for (enum kn_dtype t = KN_F32; t <= KN_BF16; t++) {
        a.out[0] = KT(KN_F32, 0, R, D), a.in[0] = KT(KN_F32, 0, R, D), a.in[1] = KT(t, 0, D);
        for (a.p.offset = 0; a.p.offset < 2; a.p.offset++)
            check(&a, 1, (const struct kn_view *[]){&a.in[0]}, 1, f_affine);
    }
    struct kn_call cap = {.op = KN_OP_SOFTCAP_VJP, .p = {.softcap = 0.7f}};
    cap.out[0] = KT(KN_F32, 0, R, D), cap.in[0] = KT(KN_F32, 0, R, D);
    cap.in[1] = KT(KN_F32, 0, R, D);
    check(&cap, 1, (const struct kn_view *[]){&cap.in[1]}, 1, f_softcap);
    cap.op = KN_OP_CLIP_VJP, cap.p.limit = 0.4f;
    check(&cap, 1, (const struct kn_view *[]){&cap.in[1]}, 1, f_clip);
    kt_free();
}

static void test_activations(void **state)
{
    (void)state;
    for (enum kn_act act_kind = KN_ACT_NONE; act_kind < KN_ACT_COUNT; act_kind++) {
        struct kn_view x = KT(KN_F32, 0, R, D), b = KT(KN_F32, 0, R, D);
        kt_fill(&x, -3, 3);
        struct kn_call c = {.op = KN_OP_ACT_VJP, .p = {.act = act_kind}};
        c.out[0] = KT(KN_F32, 0, R, D), c.in[0] = KT(KN_F32, 0, R, D), c.in[1] = x;
        check(&c, 1, (const struct kn_view *[]){&x}, 1, f_act);
        c.op = KN_OP_GATE_VJP, c.out[1] = KT(KN_F32, 0, R, D), c.in[2] = b;
        check(&c, 2, (const struct kn_view *[]){&x, &b}, 2, f_gate);
        c.p.limit = 0.6f, c.p.offset = 1;
        check(&c, 2, (const struct kn_view *[]){&x, &b}, 2, f_gate);
    }
    kt_free();
}

static void test_experts(void **state)
{
    (void)state;
    struct kn_view x = KT(KN_F32, 0, R, D), w = KT(KN_F32, 0, R, TOP), y = KT(KN_F32, 0, R, TOP, D);
    kt_fill(&x, 0.1f, 2);
    struct kn_call c = {.op = KN_OP_ROUTE_VJP, .out = {KT(KN_F32, 0, R, D)}};
    c.in[0] = KT(KN_F32, 0, R, D), c.in[1] = x;
    for (c.p.top = 0; c.p.top <= TOP; c.p.top += TOP)
        check(&c, 1, (const struct kn_view *[]){&x}, 1, f_route);
    c.op = KN_OP_TOP_VALUE_VJP, c.in[0] = KT(KN_F32, 0, R, TOP);
    for (int share = 0; share < 2; share++) {
        c.p.share = share;
        check(&c, 1, (const struct kn_view *[]){&x}, 1, f_top_value);
    }
    struct kn_call b = {.op = KN_OP_BLEND_VJP};
    b.out[0] = KT(KN_F32, 0, R, TOP), b.out[1] = KT(KN_F32, 0, R, TOP, D);
    b.in[0] = KT(KN_F32, 0, R, D), b.in[1] = w, b.in[2] = y;
    check(&b, 2, (const struct kn_view *[]){&w, &y}, 2, f_blend);
    kt_free();
}

static void test_attention(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        struct kn_view square = KT(KN_F32, 0, H, R, S), q = KT(KN_F32, 0, R, H, DH),
                       k = KT(KN_F32, 0, S, HKV, DH);
        struct kn_param p = {
            .scale = 0.4f, .full = full, .dest0 = DEST0, .n_rot = N_ROT, .pairs = full};
        struct kn_call soft = {.op = KN_OP_SOFTMAX_VJP, .p = p};
        soft.out[0] = KT(KN_F32, 0, H, R, S), soft.in[0] = KT(KN_F32, 0, H, R, S),
        soft.in[1] = square;
        check(&soft, 1, (const struct kn_view *[]){&square}, 1, f_softmax);
        soft.in[2] = KT(KN_F32, 0, H);
        check(&soft, 1, (const struct kn_view *[]){&square}, 1, f_softmax);
        struct kn_call scores = {.op = KN_OP_ATTN_SCORES_VJP, .p = p};
        scores.p.window = full ? 2 : 3;
        scores.out[0] = KT(KN_F32, 0, R, H, DH), scores.out[1] = KT(KN_F32, 0, S, HKV, DH);
        scores.in[0] = square, scores.in[1] = q, scores.in[2] = k;
        check(&scores, 2, (const struct kn_view *[]){&q, &k}, 2, f_scores);
        scores.p.softcap = 0.6f; /* bends most of them */
        check(&scores, 2, (const struct kn_view *[]){&q, &k}, 2, f_scores);
        struct kn_view pattern = KT(KN_F32, 0, H, R, S);
        for (int h = 0; h < H; h++)
            for (int d = 0; d < R; d++)
                for (int s = 0; s < S; s++)
                    if (!full && s > DEST0 + d)
                        kt_set(&pattern, 0, h, d, s);
        struct kn_call mix = {.op = KN_OP_ATTN_MIX_VJP, .p = p};
        mix.out[0] = KT(KN_F32, 0, H, R, S), mix.out[1] = KT(KN_F32, 0, S, HKV, DH);
        mix.in[0] = KT(KN_F32, 0, R, H, DH), mix.in[1] = pattern, mix.in[2] = k;
        check(&mix, 2, (const struct kn_view *[]){&pattern, &k}, 2, f_mix);
        struct kn_call rope = {.op = KN_OP_ROPE_VJP, .p = p};
        rope.out[0] = KT(KN_F32, 0, R, H, DH), rope.in[0] = q;
        rope.in[1] = KT(KN_F32, 0, R, N_ROT), rope.in[2] = KT(KN_F32, 0, R, N_ROT);
        check(&rope, 1, (const struct kn_view *[]){&q}, 1, f_rope);
        struct kn_call table = {.op = KN_OP_ROPE_TABLE_VJP, .p = p};
        table.out[0] = KT(KN_F32, 0, R, N_ROT), table.out[1] = KT(KN_F32, 0, R, N_ROT);
        table.in[0] = KT(KN_F32, 0, R, H, DH), table.in[1] = q;
        check(&table, 2, (const struct kn_view *[]){&rope.in[1], &rope.in[2]}, 2, f_rope_table);
    }
    kt_free();
}

/* A masked row has no gradient, whatever comes from above. */
static void test_masked_row(void **state)
{
    (void)state;
    struct kn_call c = {.op = KN_OP_SOFTMAX_VJP, .p = {.full = true}};
    c.out[0] = KT(KN_F32, 0, 1, 1, S), c.in[0] = KT(KN_F32, 0, 1, 1, S),
    c.in[1] = KT(KN_F32, 0, 1, 1, S);
    kt_fill(&c.out[0], 0, 0);
    for (int s = 0; s < S; s++)
        kt_set(&c.in[1], -INFINITY, 0, 0, s);
    assert_int_equal(kn_run(kt_backend(KN_CPU_PORTABLE, 1), &c), KN_OK);
    for (int s = 0; s < S; s++)
        assert_true(kt_at(&c.out[0], 0, 0, s) == 0);
    kt_free();
}

static void test_refused(void **state)
{
    (void)state;
    struct kn_call c = {.op = KN_OP_ATTN_MIX_VJP};
    c.out[0] = KT(KN_F32, 0, H, R, S), c.out[1] = KT(KN_F32, 0, S, HKV, DH + 1);
    c.in[0] = KT(KN_F32, 0, R, H, DH), c.in[1] = KT(KN_F32, 0, H, R, S),
    c.in[2] = KT(KN_F32, 0, S, HKV, DH);
    kt_refused(&c);
    struct kn_call n = {.op = KN_OP_NORMALIZE_VJP};
    n.out[0] = KT(KN_F32, 0, R, D), n.out[1] = KT(KN_F32, 0, R, 2);
    n.in[0] = KT(KN_F32, 0, R, D), n.in[1] = KT(KN_F32, 0, R, D), n.in[2] = KT(KN_F32, 0, R, 1);
    kt_refused(&n);
    kt_free();
}

static int close_all(void **state)
{
    (void)state;
    kt_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),      cmocka_unit_test(test_activations),
        cmocka_unit_test(test_experts),    cmocka_unit_test(test_attention),
        cmocka_unit_test(test_masked_row), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, close_all);
}
