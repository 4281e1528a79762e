/* test_cli_errors.c - wrong command lines and bad input: status, one clear line, nothing on
 * standard output. */
#include "command.h"
#include "kn.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

#define MODEL "tests/fixtures/models/gpt2"
#define IDS "--tokens", "1,2,3"

struct bad {
    int status;
    const char *part;
    const char *args[12];
};

static const struct bad table[] = {
    {2, "nearest: lens", {"lenss", MODEL}},
    {2, "lens needs more", {"lens"}},
    {2, "needs a prompt", {"lens", MODEL}},
    {2, "nearest: --threads", {"lens", MODEL, IDS, "--thread", "2"}},
    {2, "unknown option -Z", {"lens", MODEL, IDS, "-Z"}},
    {2, "unknown option --filter", {"lens", MODEL, IDS, "--filter", "x"}}, /* of another command */
    {2, "--threads \"two\"", {"lens", MODEL, IDS, "--threads", "two"}},
    {2, "--threads \"0\"", {"lens", MODEL, IDS, "--threads", "0"}},
    {2, "--top \"65\"", {"lens", MODEL, IDS, "-k", "65"}},
    {2, "--top \"1.5\"", {"lens", MODEL, IDS, "-k1.5"}},
    {2, "--top-p \"2\"", {"generate", MODEL, IDS, "--top-p=2"}},
    {1, "not on greedy choice", {"generate", MODEL, IDS, "--freq-penalty=1"}},
    {2, "--repetition-penalty", {"generate", MODEL, IDS, "--repetition-penalty=0"}},
    {2, "--json takes no value", {"lens", MODEL, IDS, "--json=yes"}},
    {2, "--edit needs a value", {"lens", MODEL, IDS, "-e"}},
    {2, "--prompt and --tokens", {"lens", MODEL, IDS, "-p", "x"}},
    {2, "--bos and --no-bos", {"lens", MODEL, "-p", "x", "--bos", "--no-bos"}},
    {2, "--json and --tsv", {"lens", MODEL, IDS, "--json", "--tsv"}},
    {2, "--sixel and --png", {"attn", MODEL, IDS, "--sixel", "--png", "/tmp/x.png"}},
    {2, "one argument too many", {"lens", MODEL, "a prompt"}},
    {2, "--cpu \"mmx\" · there is auto, fma, portable", {"lens", MODEL, IDS, "--cpu", "mmx"}},
    {2, "--cpu \"mmx\"", {"devices", "--cpu", "mmx"}},
    {2, "cuda", {"lens", MODEL, IDS, "--backend", "cuda"}},
    {2, ".safetensors or .npz", {"run", MODEL, IDS, "-o", "x.pt"}},
    {2, "--pos \"1:2:3:4\"", {"run", MODEL, IDS, "--pos", "1:2:3:4"}},
    {2, "--pos \"a\"", {"run", MODEL, IDS, "--pos", "a"}},
    {2, "step must be", {"run", MODEL, IDS, "--pos", "::0"}},
    {2, "expected NAME=TEXT", {"run", MODEL, IDS, "--run", "corrupt"}},
    {2, "take another name", {"run", MODEL, IDS, "--run", "base=x"}},
    {2, "--pair", {"explore", MODEL, IDS, "--pair", "x"}},
    {2, "auto, true, 256, 16 or none", {"explore", MODEL, IDS, "--color", "never"}},
    {2, "--size", {"play", "README.md", MODEL, IDS, "--size", "big"}},
    {1, "nowhere", {"lens", "/nowhere/at-all", "-p", "x"}},
    {1, "\"blocks.9.hook_resid_pre\"", {"run", MODEL, IDS, "-c", "blocks.9.hook_resid_pre"}},
    {1, "*no_such*", {"run", MODEL, IDS, "-c", "*no_such*"}},
    {1, "--pos 3", {"run", MODEL, IDS, "--pos", "3"}},
    {1, "none of the prompt", {"run", MODEL, IDS, "--pos", "5:9"}},
    {1, "cannot write", {"run", MODEL, IDS, "-o", "/nowhere/x.npz"}},
    {1, "99", {"lens", MODEL, "--tokens", "1,99"}},
    {1, "expected whole numbers", {"lens", MODEL, "--tokens", "1,x"}},
    {1, "at \",2\"", {"lens", MODEL, "--tokens", "1,,2"}},
    {1, "at \",1\"", {"lens", MODEL, "--tokens", ",1"}},
    {1, "nothing follows the last comma", {"lens", MODEL, "--tokens", "1, "}},
    {1, "it has no tokens", {"lens", MODEL, "--tokens", ""}},
    {1, "no tokenizer", {"lens", MODEL, "-p", "text"}},
    {1,
     "learned positions for 32",
     {"lens", MODEL, "--tokens",
      "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"}},
    {1, "no layer 3", {"attn", MODEL, IDS, "-l", "3"}},
    {1, "no head 3", {"attn", MODEL, IDS, "-H", "3"}},
    {1, "edit 1", {"lens", MODEL, IDS, "-e", "blocks.0.hook_resid_pre[7] = 0"}},
    {1, "nearest", {"lens", MODEL, IDS, "-e", "blocks.0.hook_resid_prae = 0"}},
    {1,
     "no run is called \"other\"",
     {"lens", MODEL, IDS, "-e", "blocks.0.hook_resid_pre = from(other)"}},
    {1, "/nowhere · cannot open", {"lens", MODEL, IDS, "--ref", "a=/nowhere"}},
    {1,
     "README.md · line 1 · no tokenizer reads text here",
     {"lens", MODEL, IDS, "--ref", "README.md"}},
    {1, "name one: --ref a=FILE", {"lens", MODEL, IDS, "-e", "blocks.0.hook_resid_pre = mean(a)"}},
    {1,
     "the nearest is ref",
     {"lens", MODEL, IDS, "--ref", "tests/fuzz/corpus/reference/ids", "-e",
      "blocks.0.hook_resid_pre = mean(rif)"}},
    {2,
     "--ref ref · it is given twice",
     {"lens", MODEL, IDS, "--ref", "tests/fuzz/corpus/reference/ids", "--ref",
      "ref=tests/fuzz/corpus/reference/ids"}},
    {1, "vocabulary is 0..46", {"lens", MODEL, IDS, "--target", "47"}},
    {1, "hook_pattern", {"norms", MODEL, IDS, "--what", "blocks.0.attn.hook_pattern"}},
    {1, "grouped", {"run", "tests/fixtures/models/llama", IDS, "-c", "blocks.0.hook_attn_in"}},
    {1, "/nowhere/x.png", {"attn", MODEL, IDS, "--png", "/nowhere/x.png"}},
    {1, "README.md", {"tokens", "README.md", "-p", "x"}},
};

static void bad_input_is_one_line_and_a_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_refused(command_run(NULL, table[i].args), table[i].status, table[i].part);
}

static void only_regular_files_are_read(void **state)
{
    (void)state;
    char *folder = folder_make(), path[200];
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(60); /* for a reader that waits for a writer */
    assert_refused(RUN("keys", "--keymap", path), 1, "pipe · is not a regular file");
    struct result keys = RUN("keys"), same = RUN("--print-keymap");
    assert_string_equal(keys.out, same.out);
    assert_non_null(strstr(same.out, "zero"));
    result_free(&keys);
    result_free(&same);
    assert_refused(RUN("play", path, MODEL, IDS), 1, "pipe · is not a regular file");
    assert_refused(RUN("info", path), 1, "pipe · is neither a folder nor a regular file");
    assert_refused(RUN("tokens", path, "-p", "x"), 1, "pipe");
    assert_refused(RUN("lens", MODEL, IDS, "--taker", path), 1, "pipe · is not a regular file");
    alarm(0);
    folder_remove(folder);
}

static void foreign_text_never_reaches_the_terminal(void **state)
{
    (void)state;
    assert_refused(RUN("lens", "/no\033]0;title\007\302\233where\342\200\256", IDS), 1,
                   "borescope: /no");
    assert_refused(RUN("lens", MODEL, IDS, "-e", "blocks.0.\033[31m = 0"), 1, "borescope: ");
    assert_refused(RUN("lens", MODEL, IDS, "--\033[31m"), 2, "unknown option");
    assert_refused(RUN("\033[31m"), 1, "borescope: ");
    struct result r = RUN("tokens", "tests/fixtures/tokenizers/gpt2/tokenizer.json", "-p",
                          "a\033[31m\302\233\177b");
    assert_int_equal(r.status, 0);
    assert_printable(r.out, r.out_len);
    result_free(&r);
}

static void a_full_disk_is_noticed(void **state)
{
    (void)state;
    int status;
    char text[512] = "";
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        dup2(full, 1);
        dup2(pipe_fd[1], 2);
        execl(BORESCOPE, BORESCOPE, "info", MODEL, (char *)NULL);
        _exit(126);
    }
    close(pipe_fd[1]);
    assert_true(read(pipe_fd[0], text, sizeof text - 1) > 0);
    close(pipe_fd[0]);
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_non_null(strstr(text, "borescope: standard output"));
}

static void every_command_explains_every_option(void **state)
{
    (void)state;
    for (int i = 0; i < command_count; i++) {
        struct result r = RUN(command_table[i].name, "--help");
        assert_int_equal(r.status, 0);
        assert_int_equal(r.err_len, 0);
        for (int k = 0; k < OPTION_COUNT; k++) {
            char name[64];
            snprintf(name, sizeof name, "--%s", option_table[k].name);
            if (option_in(command_table[i].options, k) && !strstr(r.out, name))
                fail_msg("%s --help does not show %s", command_table[i].name, name);
        }
        result_free(&r);
    }
    struct result all = RUN("--help");
    for (int i = 0; i < command_count; i++)
        assert_non_null(strstr(all.out, command_table[i].name));
    result_free(&all);
    struct result version = RUN("--version");
    assert_string_equal(version.out, "borescope " BORE_VERSION "\n");
    result_free(&version);
    struct result none = command_run(NULL, (const char *const[]){NULL});
    assert_int_equal(none.status, 2);
    result_free(&none);
}

/* The instruction set that a variable names is that of a command line which names none; one that
 * the processor lacks is refused with what there is. */
static void the_set_is_named_by_a_variable(void **state)
{
    (void)state;
    const char *was = getenv("BORESCOPE_CPU");
    char *before = was ? strdup(was) : NULL;
    setenv("BORESCOPE_CPU", "portable", 1);
    struct result r = RUN("devices", "--tsv");
    assert_non_null(strstr(r.out, "\tcpu portable x"));
    result_free(&r);
    r = RUN("devices", "--tsv", "--cpu", "fma");
    assert_null(kn_cpu_best() > KN_CPU_PORTABLE ? strstr(r.out, "\tcpu portable x") : NULL);
    result_free(&r);
    setenv("BORESCOPE_CPU", "mmx", 1);
    r = RUN("lens", MODEL, IDS);
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "BORESCOPE_CPU \"mmx\" · there is auto"));
    result_free(&r);
    if (!kn_cpu_has(KN_CPU_AMX_BF16)) {
        setenv("BORESCOPE_CPU", "amx-bf16", 1);
        r = RUN("lens", MODEL, IDS, "--backend", "cpu");
        assert_non_null(strstr(r.err, "no amx-bf16 · this processor offers portable"));
        result_free(&r);
    }
    if (before)
        setenv("BORESCOPE_CPU", before, 1);
    else
        unsetenv("BORESCOPE_CPU");
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_set_is_named_by_a_variable),
        cmocka_unit_test(bad_input_is_one_line_and_a_status),
        cmocka_unit_test(only_regular_files_are_read),
        cmocka_unit_test(foreign_text_never_reaches_the_terminal),
        cmocka_unit_test(a_full_disk_is_noticed),
        cmocka_unit_test(every_command_explains_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
