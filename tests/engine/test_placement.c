/* test_placement.c - what a model takes of devices, and which layers go where: the arithmetic, and
 * that a model of which some layers are computed on the cpu and some on a device has the values of
 * each where it computes.  The device is BORE_TEST_BACKEND, else the cpu behind the fence. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/capture.h"
#include "run/placement.h"

static struct model *looked(const char *name)
{
    struct model *m = NULL;
    struct err e = {0};
    char path[128];
    snprintf(path, sizeof path, "tests/fixtures/models/%s", name);
    if (model_look(&m, path, &e))
        fail_msg("%s", e.text);
    return m;
}

static struct placement_room room_of(size_t available)
{
    return (struct placement_room){.describe = "device",
                                   .total = (size_t)1 << 40,
                                   .available = available,
                                   .alloc_max = SIZE_MAX};
}

static const struct placement_room host = {.describe = "cpu", .unified = true};

/* Every weight once: the bytes of the file's tensors, where they are used as they lie. */
static void test_weights(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool tied;
    } models[] = {{"gpt2", true}, {"llama", false}, {"llama_tied", true}, {"mixtral", false}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct model *m = looked(models[i].name);
        size_t bytes[8], largest[8], sum = 0, most = 0, file = 0;
        int32_t stages = plan_stages(m->plan);
        assert_true(stages <= 8);
        size_t shared = model_stage_bytes(m, bytes, largest);
        for (int32_t s = 0; s < stages; s++) {
            assert_true(bytes[s] > 0 && largest[s] <= bytes[s]);
            sum += bytes[s], most = largest[s] > most ? largest[s] : most;
        }
        for (size_t k = 0; k < checkpoint_count(m->files); k++)
            if (!strstr(checkpoint_at(m->files, k)->name, "masked_bias") &&
                !strstr(checkpoint_at(m->files, k)->name, ".attn.bias") &&
                !strstr(checkpoint_at(m->files, k)->name, "inv_freq"))
                file += checkpoint_at(m->files, k)->nbytes;
        assert_int_equal(shared > 0, models[i].tied);
        if (sum - shared != file)
            fail_msg("%s: %zu bytes of weights, %zu in the file", models[i].name, sum - shared,
                     file);
        model_close(m);
    }
}

static size_t needs(const struct placement_part *x)
{
    return x->weights + x->kept + x->work;
}

/* The more memory, the more layers, and never more than there is; all of them at last. */
static void test_as_many_as_fit(void **state)
{
    (void)state;
    struct model *m = looked("llama");
    struct placement p;
    struct placement_room room[2] = {host, room_of(SIZE_MAX / 4)};
    placement_make(&p, m, room, 2, PLACE_FIT);
    assert_true(p.fits && p.part[1].layers == p.layers && p.part[1].stage0 == 0);
    size_t all = needs(&p.part[1]);
    int32_t before = 0, seen = 0;
    for (size_t has = 0; has <= all + 64; has += all / 512 + 1) {
        room[1] = room_of(has);
        placement_make(&p, m, room, 2, PLACE_FIT);
        const struct placement_part *device = &p.part[1];
        assert_true(p.fits);
        assert_int_equal(p.part[0].layers + device->layers, p.layers);
        assert_int_equal(p.part[0].stage1, device->stage0);
        assert_int_equal(device->stage1, p.layers + 2);
        assert_true(needs(device) <= has || device->stage0 == device->stage1);
        assert_true(device->layers >= before);
        seen += device->layers != before;
        before = device->layers;
    }
    assert_int_equal(before, p.layers);
    assert_int_equal(seen, p.layers); /* each number of layers is right for some memory */
    room[1] = room_of(all);
    placement_make(&p, m, room, 2, PLACE_FIT);
    assert_int_equal(p.part[1].stage0, 0);
    room[1].alloc_max = p.part[1].largest - 1; /* no piece can be as large as a weight */
    placement_make(&p, m, room, 2, PLACE_FIT);
    assert_int_equal(p.part[1].layers, 0);
    model_close(m);
}

static void test_as_asked(void **state)
{
    (void)state;
    struct model *m = looked("llama");
    struct placement p;
    struct placement_room room[3] = {host, room_of(SIZE_MAX / 8), room_of(SIZE_MAX / 8)};
    for (int32_t n = 0; n <= m->cfg.n_layers + 1; n++) {
        placement_make(&p, m, room, 2, n);
        assert_true(p.fits);
        assert_int_equal(p.part[1].layers, n < p.layers ? n : p.layers);
        assert_int_equal(p.part[1].stage0 == 0, n >= p.layers);
    }
    room[1] = room_of(needs(&p.part[1]) - 1);
    placement_make(&p, m, room, 2, p.layers);
    assert_false(p.fits);
    /* Devices side by side: in shares as they have free memory. */
    for (int share = 1; share <= 64; share *= 4) {
        room[1] = room_of((size_t)1 << 30), room[2] = room_of((size_t)share << 30);
        placement_make(&p, m, room + 1, 2, PLACE_SPREAD);
        assert_int_equal(p.part[0].stage1, p.part[1].stage0);
        assert_int_equal(p.part[0].stage0, 0);
        assert_int_equal(p.part[1].stage1, p.layers + 2);
        assert_true(p.part[0].stage1 > 0 || share > 4);
    }
    assert_int_equal(p.part[0].stage1, 0); /* of 1/65 not the middle of a stage */
    model_close(m);
}

/* What sites may be kept in is what is left of the device that has least for its layers. */
static void test_cache(void **state)
{
    (void)state;
    struct model *m = looked("llama");
    struct placement p;
    struct placement_room room[2] = {host, room_of((size_t)1 << 30)};
    placement_make(&p, m, room + 1, 1, PLACE_SPREAD);
    size_t left = ((size_t)1 << 30) - needs(&p.part[0]);
    assert_in_range(placement_cache(&p, 7), left / 4 - (size_t)p.layers, left / 4);
    placement_make(&p, m, room, 2, 1);
    left = ((size_t)1 << 30) - needs(&p.part[1]);
    assert_int_equal(placement_cache(&p, 7), left / 4 * (size_t)p.layers);
    room[1].total = room[1].available = 0;
    placement_make(&p, m, room, 2, 1);
    assert_true(p.fits);
    assert_int_equal(placement_cache(&p, 7), 7);
    model_close(m);
}

/* ---- layers here and there ---- */

enum { N = 9 };
static const char *const edits[] = {"blocks.0.attn.hook_z[2:, 1] *= 0.5",
                                    "blocks.1.attn.W_Q[1] *= 0.5",
                                    "blocks.1.hook_resid_post[-1] += 0.25"};
enum { EDITS = sizeof edits / sizeof *edits };

static const char *device_name(void)
{
    const char *name = getenv("BORE_TEST_BACKEND");
    return name && *name ? name : "fence:cpu";
}

static struct kn_backend *opened(const char *name)
{
    char why[200];
    struct kn_options opt = {.backend = name, .threads = 1, .cpu = -1};
    struct kn_backend *be = kn_open(&opt, why, sizeof why);
    if (!be)
        fail_msg("%s", why);
    return be;
}

/* A model of whose layers `layers` are on the device; -1: no device. */
static struct model *model_on(const char *name, int32_t layers)
{
    struct kn_backend *be = opened("cpu");
    struct model *m = NULL;
    struct err e = {0};
    struct placement p;
    struct placement_room room[KN_SPLIT_MAX];
    char path[128];
    if (layers >= 0)
        be = kn_split((struct kn_backend *const[]){be, opened(device_name())}, 2);
    snprintf(path, sizeof path, "tests/fixtures/models/%s", name);
    if (!be || model_open(&m, path, be, &e))
        fail_msg("%s", e.text);
    int n = placement_rooms(be, room);
    placement_make(&p, m, room, n, layers >= 0 ? layers : PLACE_SPREAD);
    assert_true(p.fits);
    placement_use(&p, m);
    if (layers > 0 && layers < m->cfg.n_layers) {
        assert_non_null(strstr(m->where, "cpu"));
        assert_ptr_not_equal(model_backend(m, 0), model_backend(m, m->cfg.n_layers + 1));
    }
    return m;
}

static void closed(struct model *m)
{
    struct kn_backend *be = m->be;
    model_close(m);
    kn_close(be);
}

/* The residual stream after every layer, the logits, and the gradients there of a loss. */
struct values {
    float *stream, *slope;
    int64_t width;
    int32_t columns;
};

static float *gradients(struct run *base, struct run *fork, int32_t columns, int64_t width)
{
    const struct model *m = run_model(fork);
    struct err e = {0};
    struct metric metric;
    struct capture_list l = {.m = m, .run = fork, .columns = N};
    const char *names[] = {"blocks.*.hook_resid_post"};
    const struct capture_want want = {.names = names, .n_names = 1, .end = INT32_MAX};
    if (metric_parse(&metric, "loss + kl", m->tok, m->cfg.d_vocab, &e) ||
        captures_select(&l, &want, &e) || captures_add_gradients(&l, l.n, &e) ||
        captures_differentiate(&l, base, &metric, &e))
        fail_msg("%s", e.text);
    float *all = calloc((size_t)(columns * width), sizeof *all);
    assert_non_null(all);
    int32_t at = 0;
    for (int i = 0; i < l.n; i++)
        if (l.item[i].gradient) {
            assert_int_equal(capture_count(&l, &l.item[i]), width);
            memcpy(all + at++ * width, l.item[i].values, (size_t)width * sizeof *all);
        }
    assert_int_equal(at, columns);
    captures_close(&l);
    return all;
}

/* Computed at once, or token by token and edit by edit. */
static struct values values_of(const struct model *m, bool by_steps)
{
    struct err e = {0};
    int32_t tokens[N], layers = m->cfg.n_layers;
    for (int i = 0; i < N; i++)
        tokens[i] = (i * 7 + 3) % 11;
    struct run *base = fixture_run_new(m, NULL, by_steps ? SIZE_MAX / 4 : 0),
               *fork = fixture_run_new(m, base, by_steps ? SIZE_MAX / 4 : 0);
    for (int32_t n = by_steps ? 4 : N; n <= N; n++) {
        struct edit_program *p = fixture_program(m, n, edits,
                                                 by_steps && n < N ? n % EDITS : EDITS);
        if (run_sync(base, run_ids(tokens, n), NULL, NULL, NULL, &e) ||
            run_sync(fork, (struct run_input){0}, p, NULL, NULL, &e))
            fail_msg("%s", e.text);
        if (n < N)
            run_sync(fork, (struct run_input){0}, NULL, NULL, NULL, &e);
        else {
            struct values v = {.width = (int64_t)N * m->cfg.d_model, .columns = layers};
            v.stream = malloc((size_t)(v.width * layers) * sizeof(float));
            assert_non_null(v.stream);
            for (int32_t l = 0; l < layers; l++)
                if (run_read(fork, (struct site_ref){site_stream(&m->cfg, l), l}, 0, N,
                             v.stream + l * v.width, NULL, &e))
                    fail_msg("%s", e.text);
            v.slope = gradients(base, fork, layers, v.width);
            run_free(fork), run_free(base);
            edit_program_free(p);
            return v;
        }
        edit_program_free(p);
    }
    return (struct values){0};
}

static void values_free(struct values *v)
{
    free(v->stream), free(v->slope);
}

static bool same(const float *a, const float *b, int64_t n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* Whatever lies on the device: layers before it have the cpu's bits, all of it those of the device
 * alone, and none is further from the cpu's than the device is. */
static void test_mixed(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "gpt2", "mixtral"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct model *m = model_on(models[i], -1);
        struct values cpu = values_of(m, false);
        int32_t layers = m->cfg.n_layers;
        closed(m);
        for (int32_t n = 0; n <= layers; n++) {
            m = model_on(models[i], n);
            struct values once = values_of(m, false), steps = values_of(m, true);
            size_t all = (size_t)(once.width * layers);
            if (!same(once.stream, steps.stream, (int64_t)all) ||
                !same(once.slope, steps.slope, (int64_t)all))
                fail_msg("%s, %d layers on %s: incremental is not full", models[i], (int)n,
                         device_name());
            assert_true(same(once.stream, cpu.stream, once.width * (layers - n)));
            if (n == 0)
                assert_true(same(once.slope, cpu.slope, (int64_t)all));
            if (strcmp(device_name(), "fence:cpu") == 0)
                assert_true(same(once.stream, cpu.stream, (int64_t)all) &&
                            same(once.slope, cpu.slope, (int64_t)all));
            assert_true(fixture_error(once.stream, cpu.stream, all) < 1e-5);
            assert_true(fixture_error(once.slope, cpu.slope, all) < 1e-4);
            values_free(&once), values_free(&steps);
            closed(m);
        }
        values_free(&cpu);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),  cmocka_unit_test(test_as_many_as_fit),
        cmocka_unit_test(test_as_asked), cmocka_unit_test(test_cache),
        cmocka_unit_test(test_mixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
