/* bench_start.c - from starting the program to its first screen and its first numbers.
 *
 *   bench_start [--goals] [BORESCOPE]
 *
 * Each round starts every contender once, in turn; figures are medians of nine rounds, and ratios
 * to a program that does nothing.  The explorer runs on a pseudo-terminal that answers as an xterm
 * does.
 * first frame: until the bar of views has arrived
 * first figures: until the panel of the cell under the cursor has its numbers
 * first logits: `borescope run` from start to exit
 * cold: the weights are dropped from the page cache before every start (the file system permitting)
 * --goals: first logits beside llama.cpp's (BORESCOPE_LLAMA and, for its model file,
 * BORESCOPE_PYTHON) and beside `import torch`, memory, and how long a GPT-2's tokenizer takes.
 */
#include "bench.h"
#include "bench_row.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include "token/tokenizer.h"

enum { WAIT_MS = 60000, WORDS_MAX = 8 };
static const char prompt[] = "When Mary and John went to the store, John gave a bag to";
static const char ids[] = "5,1,9,200,31,8000,77,12,5,9,40,21,19,3,2,16";

static void stop(const char *what)
{
    fprintf(stderr, "bench_start: %s\n", what);
    bench_model_remove();
    exit(1);
}

/* Milliseconds from the fork to the exit of a program whose output nobody reads. */
static double time_exit(char *const argv[])
{
    double from = bench_now();
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        execv(argv[0], argv);
        _exit(127);
    }
    int status = 1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        stop(argv[0]);
    return bench_now() - from;
}

/* Read the terminal until all of `marks` have come; the time of each. */
static void watch(int master, double from, const char *const marks[2], double took[2])
{
    static char seen[1 << 20];
    size_t n = 0;
    bool asked = false;
    took[0] = took[1] = 0;
    while (took[0] == 0 || took[1] == 0) {
        struct pollfd f = {.fd = master, .events = POLLIN};
        if (n == sizeof seen - 1 || poll(&f, 1, WAIT_MS) <= 0)
            stop("the explorer shows no figures");
        ssize_t got = read(master, seen + n, sizeof seen - 1 - n);
        if (got <= 0)
            stop("the explorer ended early");
        n += (size_t)got;
        seen[n] = '\0';
        if (!asked && memmem(seen, n, "\x1b[c", 3)) {
            static const char answer[] = "\x1b[6;18;9t\x1b[?62;4;22c";
            asked = write(master, answer, sizeof answer - 1) > 0;
        }
        for (int i = 0; i < 2; i++)
            if (took[i] == 0 && memmem(seen, n, marks[i], strlen(marks[i])))
                took[i] = bench_now() - from;
    }
}

static void time_explorer(char *const argv[], double took[2])
{
    static const char *const marks[2] = {"[1 grid]", "entropy"};
    struct winsize size = {.ws_row = 40, .ws_col = 120, .ws_xpixel = 1080, .ws_ypixel = 720};
    int master;
    double from = bench_now();
    pid_t pid = forkpty(&master, NULL, NULL, &size);
    if (pid == 0) {
        setenv("TERM", "xterm-256color", 1);
        execv(argv[0], argv);
        _exit(127);
    }
    if (pid < 0)
        stop("no pseudo-terminal");
    watch(master, from, marks, took);
    if (write(master, "q", 1) != 1)
        stop("the explorer does not read");
    int status;
    for (char rest[4096]; waitpid(pid, &status, WNOHANG) == 0;) {
        struct pollfd f = {.fd = master, .events = POLLIN};
        if (poll(&f, 1, 10) > 0 && read(master, rest, sizeof rest) < 0)
            poll(NULL, 0, 1);
    }
    close(master);
}

/* Drop a model's weights from the page cache. */
static void chill(const char *folder)
{
    char path[600];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    int fd = open(path, O_RDONLY);
    if (fd >= 0) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

static const struct contender {
    const char *name;
    int model; /* 0 none, 1 the built-in one, 2 GPT-2 small's size */
    bool explorer, cold;
} contenders[] = {
    {"true", 0, false, false},
    {"teach", 1, true, false},
    {"teach, borescope run", 1, false, false},
    {"GPT-2 size, 16 tokens", 2, true, false},
    {"GPT-2 size, 16 tokens, cold", 2, true, true},
    {"GPT-2 size, borescope run", 2, false, false},
};
enum { CONTENDERS = sizeof contenders / sizeof *contenders };

static void once(const struct contender *c, char *program, char *big, double took[2])
{
    char *explore[WORDS_MAX] = {program, c->model == 2 ? big : "teach",
                                c->model == 2 ? "--tokens" : "-p",
                                c->model == 2 ? (char *)ids : (char *)prompt, NULL};
    char *run[WORDS_MAX] = {program, "run", explore[1], explore[2], explore[3], NULL};
    char *nothing[] = {"/bin/true", NULL};
    if (c->cold)
        chill(big);
    if (c->explorer)
        time_explorer(explore, took);
    else
        took[0] = took[1] = time_exit(c->model ? run : nothing);
}

/* ---- goals ---- */

/* Most memory of its own, in bytes, that a program had, looked at every 200 us. */
static double peak_anonymous(char *const argv[])
{
    char path[64], line[256];
    long most = 0, now;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        execv(argv[0], argv);
        _exit(127);
    }
    int status = 1;
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f))
            if (sscanf(line, "RssAnon: %ld", &now) == 1 && now > most)
                most = now;
        if (f)
            fclose(f);
        usleep(200);
    }
    if (status != 0)
        stop(argv[0]);
    return 1024.0 * (double)most;
}

static double file_size(const char *folder)
{
    char path[600];
    struct stat st;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    return stat(path, &st) ? 1 : (double)st.st_size;
}

/* Words of a program that is there, else NULL. */
static char *installed(const char *variable)
{
    char *path = getenv(variable);
    return path && access(path, X_OK) == 0 ? path : NULL;
}

static void report(const char *goal, const char *what, double must, const double *ours,
                   const double *theirs, const char *why)
{
    if (why)
        bench_report_absent(goal, what, "<=", must, why);
    else
        bench_report_ratio(goal, what, "<=", must, ours, theirs, BENCH_ROUNDS);
}

/* A tokenizer.json of GPT-2's own size: the bytes, and merges of random neighbours. */
static void tokenizer_goal(void)
{
    double took[BENCH_ROUNDS];
    char path[] = "/tmp/borescope-tokenizer-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) || !bench_tokenizer(path))
        stop("cannot write a tokenizer");
    for (int r = -1; r < BENCH_ROUNDS; r++) {
        struct err e;
        double from = bench_now();
        struct tokenizer *t = tokenizer_open(path, &e);
        if (r >= 0)
            took[r] = bench_now() - from;
        if (!t)
            stop(e.text);
        tokenizer_close(t);
    }
    unlink(path);
    bench_report("", "a tokenizer of GPT-2's size opens", "ms", "<=", 15, took, BENCH_ROUNDS);
}

static void goals(char *program, char *big)
{
    double ours[BENCH_ROUNDS], llama[BENCH_ROUNDS], torch[BENCH_ROUNDS], memory[BENCH_ROUNDS],
        size[BENCH_ROUNDS];
    char gguf[300], threads[16], *python = installed("BORESCOPE_PYTHON"),
                                 *bench = installed("BORESCOPE_LLAMA");
    char *run[] = {program, "run", big, "--tokens", (char *)ids, NULL};
    char *import[] = {python, "-c", "import torch", NULL};
    snprintf(gguf, sizeof gguf, "%s/model.gguf", big);
    snprintf(threads, sizeof threads, "%d", bench_options.threads);
    char *first[] = {bench, "-m", gguf, "-p", "16", "-n", "0", "-r", "1", "-t", threads, NULL};
    const char *no_torch = python ? NULL : "BORESCOPE_PYTHON names no interpreter",
               *no_llama = !bench ? "BORESCOPE_LLAMA names no llama-bench"
                           : bench_gguf(big, gguf, "f32")
                               ? NULL
                               : "no model file without gguf in BORESCOPE_PYTHON";
    for (int r = -1; r < BENCH_ROUNDS; r++) {
        double a = time_exit(run), l = no_llama ? 0 : time_exit(first),
               t = no_torch ? 0 : time_exit(import), m = peak_anonymous(run);
        if (r >= 0)
            ours[r] = a, llama[r] = l, torch[r] = t, memory[r] = m, size[r] = file_size(big);
    }
    report("G12", "start -> first logits / llama.cpp's (which warms up once), 16 tokens", .60, ours,
           llama, no_llama);
    report("G13", "start -> first logits / python -c 'import torch'", .08, ours, torch, no_torch);
    report("G14", "most anonymous memory / model file", .25, memory, size, NULL);
    unlink(gguf);
    tokenizer_goal();
}

int main(int argc, char **argv)
{
    static double took[CONTENDERS][2][BENCH_ROUNDS];
    bench_take_options(&argc, argv);
    char *program = argc > 1 ? argv[1] : BORESCOPE;
    if (argc > 2 || access(program, X_OK) != 0) {
        fprintf(stderr, "bench_start: %s · no program; bench_start [--goals] [BORESCOPE]\n",
                program);
        return 2;
    }
    char *big = (char *)bench_model(ST_F32);
    if (bench_options.goals) {
        goals(program, big);
        bench_model_remove();
        return 0;
    }
    for (int round = -1; round < BENCH_ROUNDS; round++) /* the first only warms */
        for (int c = 0; c < CONTENDERS; c++) {
            double t[2];
            once(&contenders[c], program, big, t);
            for (int i = 0; i < 2 && round >= 0; i++)
                took[c][i][round] = t[i];
        }
    bench_model_remove();
    double base = bench_median(took[0][0], BENCH_ROUNDS);
    for (int c = 0; c < CONTENDERS; c++) {
        double first = bench_median(took[c][0], BENCH_ROUNDS),
               figures = bench_median(took[c][1], BENCH_ROUNDS);
        printf("%-28s ", contenders[c].name);
        if (contenders[c].explorer)
            printf("first frame %7.1f ms (%5.1f x true)   first figures %7.1f ms (%5.1f x true)\n",
                   first, first / base, figures, figures / base);
        else
            printf("start to exit %5.1f ms (%5.1f x true)\n", first, first / base);
    }
    return 0;
}
