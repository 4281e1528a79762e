/* progress.c - see progress.h. */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 30, WARN_SECONDS = 60 };

double progress_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_begin(struct progress *p, const char *what, int64_t before)
{
    *p = (struct progress){.begun = progress_now(), .before = before, .what = what};
}

double progress_tell(struct progress *p, double share, int64_t done, const char *tail)
{
    double t = progress_now();
    if (!isatty(STDERR_FILENO) || t - p->shown < 0.1)
        return t;
    if (p->shown == 0)
        p->first = share, p->first_time = t;
    p->shown = t;
    fputc('\r', stderr);
    if (share >= 0) {
        char bar[BAR + 1];
        for (int i = 0; i < BAR; i++)
            bar[i] = i < (int)(share * BAR) ? '#' : '.';
        bar[BAR] = '\0';
        fprintf(stderr, "%s %.0f %% · ", bar, share * 100);
    }
    fprintf(stderr, "%lld %s · %.0f/s", (long long)done, p->what,
            (double)(done - p->before) / (t - p->begun));
    if (share > p->first && p->first >= 0)
        fprintf(stderr, " · %.0f s left", (1 - share) / (share - p->first) * (t - p->first_time));
    fprintf(stderr, "%s \033[K", tail);
    return t;
}

void progress_warn(struct progress *p, const char *text)
{
    double t = progress_now();
    if (p->warned > 0 && t - p->warned < WARN_SECONDS)
        return;
    progress_end(p);
    fprintf(stderr, "borescope: %s\n", text);
    p->warned = t;
}

void progress_end(const struct progress *p)
{
    if (p->shown > 0)
        fputs("\r\033[K", stderr);
}
