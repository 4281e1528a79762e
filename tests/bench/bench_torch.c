/* bench_torch.c - see bench_torch.h. */
#include "bench_torch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static struct {
    pid_t pid;
    FILE *to, *from;
    char why[TORCH_ANSWER];
} torch;

const char *torch_why(void)
{
    return torch.why;
}

void torch_start(const char *folder)
{
    const char *python = getenv("BORESCOPE_PYTHON");
    char threads[16];
    int in[2], out[2];
    snprintf(threads, sizeof threads, "%d", bench_options.threads);
    snprintf(torch.why, sizeof torch.why, "BORESCOPE_PYTHON names no interpreter");
    if (!python || !*python || pipe(in) || pipe(out))
        return;
    signal(SIGPIPE, SIG_IGN);
    torch.pid = fork();
    if (torch.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]), close(out[0]);
        execlp(python, python, BENCH_SOURCE "/peer.py", folder, threads,
               bench_options.busy ? "processor" : "clock", (char *)NULL);
        _exit(127);
    }
    close(in[0]), close(out[1]);
    torch.to = fdopen(in[1], "w"), torch.from = fdopen(out[0], "r");
    char line[TORCH_ANSWER];
    if (torch.from && fgets(line, sizeof line, torch.from) && strcmp(line, "ready\n") == 0)
        torch.why[0] = '\0';
    else
        snprintf(torch.why, sizeof torch.why, "%s has no torch and transformer_lens", python);
}

bool torch_ask(char answer[TORCH_ANSWER], const char *task)
{
    if (torch.why[0])
        return false;
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    if (fprintf(torch.to, "%s\n", task) > 0 && fflush(torch.to) == 0 &&
        fgets(answer, TORCH_ANSWER, torch.from) && strncmp(answer, "error", 5) != 0)
        return true;
    snprintf(torch.why, sizeof torch.why, "peer.py: %.*s", (int)strcspn(answer, "\n"), answer);
    return false;
}

double torch_time(const char *task, int n)
{
    char text[64], answer[TORCH_ANSWER] = "";
    snprintf(text, sizeof text, "%s %d", task, n);
    return torch_ask(answer, text) ? strtod(answer, NULL) : 0;
}

void torch_end(void)
{
    if (torch.to)
        fclose(torch.to);
    if (torch.from)
        fclose(torch.from);
    if (torch.pid > 0)
        waitpid(torch.pid, NULL, 0);
}
