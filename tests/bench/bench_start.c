/* bench_start.c - from starting the program to its first screen and its first numbers.
 *
 *   bench_start [BORESCOPE]
 *
 * Each round starts every contender once, in turn; figures are medians of nine rounds, and ratios
 * to a program that does nothing.  The explorer runs on a pseudo-terminal that answers as an xterm
 * does. first frame    until the bar of views has arrived first figures  until the panel of the
 * cell under the cursor has its numbers first logits   `borescope run` from start to exit "cold":
 * the weights are dropped from the page cache before every start (the file system permitting).
 */
#include "bench.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

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

int main(int argc, char **argv)
{
    static double took[CONTENDERS][2][BENCH_ROUNDS];
    char *program = argc > 1 ? argv[1] : BORESCOPE;
    if (argc > 2 || access(program, X_OK) != 0) {
        fprintf(stderr, "bench_start: %s · no program; bench_start [BORESCOPE]\n", program);
        return 2;
    }
    char *big = (char *)bench_model(ST_F32);
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
