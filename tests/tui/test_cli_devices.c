/* test_cli_devices.c - `borescope devices`, and where commands compute: --backend, --devices,
 * --blas, on a driver without a device (tests/fake, by LD_LIBRARY_PATH). */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMPT "-p", "When Mary and John"

static void devices_are_listed(void **state)
{
    (void)state;
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    struct js_doc *doc = RUN_JSON("devices", "--json");
    struct js_node all = js_root(doc), first = js_at(all, 0), second = js_at(all, 1);
    assert_string_equal(json_string(first, "name"), "cuda:0");
    assert_string_equal(json_string(second, "device"), "cuda:1 fake device 1");
    assert_string_equal(json_string(second, "driver"), "CUDA 12.8");
    assert_true(json_bool(second, "there") && json_bool(second, "exact_rows"));
    assert_true(json_int(second, "memory") == (int64_t)4096 << 20);
    js_close(doc);
    setenv("FAKE_CUDA_DEVICES", "0", 1);
    struct result r = RUN("devices", "--tsv");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "cuda\tno CUDA device"));
    assert_non_null(strstr(r.out, "\ncpu\tcpu "));
    result_free(&r);
    r = RUN("info", "teach");
    assert_non_null(strstr(r.out, "cuda, "));
    result_free(&r);
    setenv("FAKE_CUDA_DEVICES", "2", 1);
}

/* The same text whatever computed it; `says`: what stands beside it. */
static void same_as_cpu(const char *const *where, const char *says)
{
    const char *args[16] = {"run", "teach", PROMPT};
    int n = 4;
    struct result cpu = RUN("run", "teach", PROMPT, "--backend", "cpu");
    while (*where)
        args[n++] = *where++;
    struct result r = command_run(NULL, args);
    if (r.status || !strstr(r.err, says))
        fail_msg("status %d: %s", r.status, r.err);
    assert_string_equal(r.out, cpu.out);
    result_free(&cpu), result_free(&r);
}
#define SAME(says, ...) same_as_cpu((const char *const[]){__VA_ARGS__, NULL}, says)

static void commands_compute_there(void **state)
{
    (void)state;
    SAME("cuda:1 fake device 1 · all layers · weights 4.8", "--devices", "1");
    SAME("cuda:1 fake device 1 · layers 2-3 of 4 and the unembedding", "--devices", "0,1");
    SAME("+cublas", "--blas");
}

static void what_does_not_fit(void **state)
{
    (void)state;
    setenv("FAKE_CUDA_MB", "1", 1);
    assert_refused(RUN("run", "teach", PROMPT, "--backend", "cuda"), 1, "it does not fit: cuda:0");
    SAME("too large, so on the cpu: cuda:0", "--backend", "auto");
    setenv("FAKE_CUDA_MB", "12", 1);
    SAME("layers 0-1 of 4", "--backend", "auto"); /* as many as fit, and it does run there */
    assert_refused(RUN("run", "teach", PROMPT, "--gpu-layers", "all"), 1,
                   "all layers · weights 4.8");
    assert_refused(RUN("run", "teach", PROMPT, "--gpu-layers", "3"), 1,
                   "layers 1-3 of 4 and the unembedding · weights 3.93 MB");
    unsetenv("FAKE_CUDA_MB");
}

static void layers_beside_the_cpu(void **state)
{
    (void)state;
    SAME("cuda:0 fake device 0 · layer 3 of 4 and the unembedding", "--gpu-layers", "1",
         "--backend", "split:cpu,cuda");
    SAME("cuda:1 fake device 1 +cublas · the unembedding", "--gpu-layers", "1", "--devices", "0,1",
         "--blas");
    SAME("so on the cpu", "--gpu-layers", "0");
    SAME("is no device", "--gpu-layers", "2", "--backend", "cpu");
}

/* `info` and `devices` tell the plan that commands follow. */
static void the_plan_is_told(void **state)
{
    (void)state;
    setenv("FAKE_CUDA_MB", "12", 1);
    struct js_doc *doc = RUN_JSON("info", "teach", "--backend", "cuda", "--json");
    struct js_node plan = js_get(js_root(doc), "memory_plan"), cpu = js_at(plan, 0),
                   device = js_at(plan, 1);
    assert_int_equal(json_int(cpu, "layers"), 2);
    assert_int_equal(json_int(cpu, "first_layer"), 0);
    assert_true(json_bool(cpu, "embeds") && !json_bool(cpu, "unembeds"));
    assert_int_equal(json_int(device, "first_layer"), 2);
    assert_true(json_bool(device, "unembeds") && json_bool(device, "fits"));
    int64_t takes = json_int(device, "weights") + json_int(device, "kept") +
                    json_int(device, "work");
    assert_true(takes <= json_int(device, "free") && json_int(device, "free") == 12 << 20);
    js_close(doc);
    doc = RUN_JSON("devices", "teach", "--json");
    struct js_node model = js_get(js_at(js_root(doc), 0), "model");
    assert_int_equal(json_int(model, "layers"), 2);
    assert_int_equal(json_int(model, "weights") + json_int(model, "kept") + json_int(model, "work"),
                     takes);
    js_close(doc);
    struct result r = RUN("devices", "teach", "--tsv");
    assert_non_null(strstr(r.out, "\t2 of 4\t"));
    result_free(&r);
    unsetenv("FAKE_CUDA_MB");
}

/* The line of a text that holds `what`, malloc'ed. */
static char *line_of(const char *text, const char *what)
{
    const char *at = strstr(text, what);
    if (!at)
        fail_msg("no '%s' in: %s", what, text);
    while (at > text && at[-1] != '\n')
        at--;
    return strndup(at, strcspn(at, "\n"));
}

/* A device that is lost, or short of memory, while the explorer is open or a command runs. */
static void a_device_fails(void **state)
{
    (void)state;
    static const char *const fail[] = {"400 700", "400 2", "900 700"};
    char *folder = folder_make(), *script = folder_path(folder, "play");
    FILE *f = fopen(script, "w");
    assert_non_null(f);
    fputs("screen first\nkeys jx\nscreen edited\n", f);
    fclose(f);
    struct result cpu = RUN("play", script, "teach", PROMPT, "--backend", "cpu");
    char *figures = line_of(cpu.out, "1 edit  KL ");
    for (int i = 0; i < 3; i++) {
        setenv("FAKE_CUDA_FAIL", fail[i], 1);
        struct result r = RUN("play", script, "teach", PROMPT, "--backend", "cuda");
        assert_int_equal(r.status, 0);
        assert_non_null(strstr(r.out, "on the cpu from here on"));
        char *same = line_of(r.out, "1 edit  KL ");
        assert_string_equal(same, figures);
        free(same);
        result_free(&r);
    }
    setenv("FAKE_CUDA_FAIL", "300 700", 1);
    assert_refused(RUN("run", "teach", PROMPT, "--backend", "cuda"), 1, "the device was lost");
    unsetenv("FAKE_CUDA_FAIL");
    result_free(&cpu);
    free(figures), free(script);
    folder_remove(folder);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *says, *args[5];
    } bad[] = {
        {"has 2, from cuda:0", {"--devices", "0,7"}},
        {"token ids \"first\"", {"--devices", "first"}},
        {"one of them says where", {"--devices", "0", "--backend", "cpu"}},
        {"its products are its own", {"--blas", "--backend", "cpu"}},
        {"a number of layers, all, or auto", {"--gpu-layers", "x"}},
        {"a number of layers, all, or auto", {"--gpu-layers", "-1"}},
        {"a number of layers, all, or auto", {"--gpu-layers", "9999"}},
        {"unknown device", {"--backend", "cuda:x"}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *args[10] = {"run", "teach", PROMPT};
        for (int k = 0; bad[i].args[k]; k++)
            args[4 + k] = bad[i].args[k];
        struct result r = command_run(NULL, args);
        if (!r.status || r.out_len || !strstr(r.err, bad[i].says))
            fail_msg("'%s' does not say %s", r.err, bad[i].says);
        result_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_listed), cmocka_unit_test(commands_compute_there),
        cmocka_unit_test(what_does_not_fit),  cmocka_unit_test(layers_beside_the_cpu),
        cmocka_unit_test(the_plan_is_told),   cmocka_unit_test(a_device_fails),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
