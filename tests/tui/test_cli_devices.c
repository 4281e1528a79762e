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
    SAME("cuda:1 fake device 1 · weights 4.8", "--devices", "1");
    SAME("split:cuda:0", "--devices", "0,1");
    SAME("+cublas", "--devices", "0", "--blas");
}

static void what_does_not_fit(void **state)
{
    (void)state;
    setenv("FAKE_CUDA_MB", "1", 1);
    assert_refused(RUN("run", "teach", PROMPT, "--backend", "cuda"), 1, "it does not fit");
    SAME("too large, so on the cpu: cuda:0", "--backend", "auto");
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
        {"it is for cuda", {"--blas", "--backend", "cpu"}},
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
        cmocka_unit_test(what_does_not_fit),  cmocka_unit_test(a_device_fails),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
