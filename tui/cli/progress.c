/* progress.c - see progress.h. */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 30, LINE_SECONDS = 10, WARN_SECONDS = 60 };
static const double DRAW_SECONDS = 0.1;

double progress_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_begin(struct progress *p, const char *what, int64_t before)
{
    *p = (struct progress){
        .begun = progress_now(), .before = before, .what = what, .terminal = isatty(STDERR_FILENO)};
}

/* A bar only where it is drawn over. */
static void show(const struct progress *p, double share, int64_t done, const char *tail, double t)
{
    if (share >= 0 && p->terminal) {
        char bar[BAR + 1];
        for (int i = 0; i < BAR; i++)
            bar[i] = i < (int)(share * BAR) ? '#' : '.';
        bar[BAR] = '\0';
        fprintf(stderr, "%s ", bar);
    }
    if (share >= 0)
        fprintf(stderr, "%.0f %% · ", share * 100);
    fprintf(stderr, "%lld %s · %.0f/s", (long long)done, p->what,
            (double)(done - p->before) / (t - p->begun));
    if (share > p->first && p->first >= 0)
        fprintf(stderr, " · %.0f s left", (1 - share) / (share - p->first) * (t - p->first_time));
    fputs(tail, stderr);
}

double progress_tell(struct progress *p, double share, int64_t done, const char *tail)
{
    double t = progress_now(), last = p->shown > 0 || p->terminal ? p->shown : p->begun;
    if ((!p->terminal && !p->lines) || t - last < (p->terminal ? DRAW_SECONDS : LINE_SECONDS))
        return t;
    if (p->shown == 0)
        p->first = share, p->first_time = t;
    p->shown = t;
    fputs(p->terminal ? "\r" : "borescope: ", stderr);
    show(p, share, done, tail, t);
    fputs(p->terminal ? " \033[K" : "\n", stderr);
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
    if (p->shown > 0 && p->terminal)
        fputs("\r\033[K", stderr);
}
