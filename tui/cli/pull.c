/* pull.c - `borescope pull`: fetching a model, and telling on standard error how far it is.
 *
 * In a terminal one line is drawn over and over; elsewhere a line for each file, and one now and
 * then for those that take long.  Signals end it in order: what was fetched stays, the next run
 * goes on from there. */
#include "pull/pull.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli.h"
#include "model/hub.h"
#include "number.h"

enum { DRAW_MS = 100, SAMPLE_MS = 500, PLAIN_MS = 10000 };

static volatile sig_atomic_t signalled;

static void on_signal(int signal)
{
    signalled = signal;
}

struct meter {
    bool terminal, drawn;
    int64_t shown_ms, sample_ms;
    uint64_t sample; /* bytes at that time */
    double rate;     /* bytes a second, smoothed; 0: not known yet */
    int n;           /* files that were fetched */
    struct pull_progress last;
};

static void measure(struct meter *m, const struct pull_progress *p, int64_t now)
{
    if (!m->sample_ms || p->all_done < m->sample) {
        m->sample_ms = now;
        m->sample = p->all_done;
    }
    if (now - m->sample_ms < SAMPLE_MS)
        return;
    double rate = (double)(p->all_done - m->sample) * 1000 / (double)(now - m->sample_ms);
    m->rate = m->rate > 0 ? 0.7 * m->rate + 0.3 * rate : rate;
    m->sample_ms = now;
    m->sample = p->all_done;
}

static void add_time(struct bytes *b, double seconds)
{
    long s = seconds < 360000 ? (long)seconds : 359999;
    if (s >= 3600)
        bytes_addf(b, "  %ld:%02ld:%02ld left", s / 3600, s / 60 % 60, s % 60);
    else
        bytes_addf(b, "  %ld:%02ld left", s / 60, s % 60);
}

/* "3 of 9  1.20 GB of 4.90 GB  24 %  84.0 MB/s  0:43 left" */
static void add_state(struct bytes *b, const struct meter *m, const struct pull_progress *p)
{
    char done[NUMBER_BYTES], all[NUMBER_BYTES];
    bytes_addf(b, "  %d of %d  %s of %s", p->at, p->n, number_bytes(done, (double)p->all_done),
               number_bytes(all, (double)p->all_size));
    if (p->all_size)
        bytes_addf(b, "  %d %%", (int)(100 * (double)p->all_done / (double)p->all_size));
    if (m->rate > 0) {
        bytes_addf(b, "  %s/s", number_bytes(done, m->rate));
        if (p->all_size > p->all_done)
            add_time(b, (double)(p->all_size - p->all_done) / m->rate);
    }
}

static void draw(struct meter *m, const struct pull_progress *p)
{
    struct winsize ws = {0};
    struct bytes state = {0}, line = {0};
    int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 1 ? ws.ws_col - 1 : 79;
    add_state(&state, m, p);
    int room = width - (int)state.len;
    bytes_add_char(&line, '\r');
    if (room >= 8)
        text_fit(&line, p->file, strlen(p->file), TEXT_PLAIN, room);
    bytes_addf(&line, "%.*s\x1b[K", width, state.data ? state.data : "");
    if (!line.failed)
        fwrite(line.data, 1, line.len, stderr);
    bytes_free(&state);
    bytes_free(&line);
    m->drawn = true;
}

static void print(const struct meter *m, const struct pull_progress *p)
{
    struct bytes line = {0};
    text_add(&line, p->file, strlen(p->file), TEXT_PLAIN);
    add_state(&line, m, p);
    bytes_add_char(&line, '\n');
    if (!line.failed)
        fwrite(line.data, 1, line.len, stderr);
    bytes_free(&line);
}

static void on_progress(void *user, const struct pull_progress *p)
{
    struct meter *m = user;
    int64_t now = clock_ms();
    m->last = *p;
    m->n += p->finished;
    if (!p->file)
        return;
    measure(m, p, now);
    if (m->terminal && (p->finished || now - m->shown_ms >= DRAW_MS))
        draw(m, p);
    else if (!m->terminal && (p->finished || (m->shown_ms && now - m->shown_ms >= PLAIN_MS)))
        print(m, p);
    else if (m->shown_ms)
        return;
    m->shown_ms = now;
}

/* What ends the program, and what a full quota sends besides its error. */
static void watch(bool on)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP}, nothing[] = {SIGPIPE, SIGXFSZ};
    struct sigaction act = {.sa_handler = on ? on_signal : SIG_DFL};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sigaction(ends[i], &act, NULL);
    act.sa_handler = on ? SIG_IGN : SIG_DFL;
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        sigaction(nothing[i], &act, NULL);
}

static void note(struct cli *c, const char *name, const struct meter *m)
{
    char size[NUMBER_BYTES];
    if (m->n)
        snprintf(c->note, sizeof c->note, "%.120s · %d file%s, %s", name, m->n,
                 m->n == 1 ? "" : "s", number_bytes(size, (double)m->last.all_done));
    else
        snprintf(c->note, sizeof c->note, "%.120s · everything is there already", name);
}

int cli_pull(struct cli *c)
{
    char name[PATH_MAX], path[PATH_MAX], *revision;
    struct meter m = {.terminal = isatty(STDERR_FILENO)};
    if (!hub_split(c->opt->model, name, &revision))
        return err_set(&c->err, ERR_USAGE,
                       "%s · expected a name like org/name or org/name@revision", c->opt->model);
    struct pull_options o = {.name = name,
                             .revision = revision,
                             .gguf = c->opt->gguf,
                             .cancel = &signalled,
                             .progress = on_progress,
                             .user = &m};
    watch(true);
    int rc = pull_run(&o, path, &c->err);
    watch(false);
    if (m.drawn)
        fputs("\r\x1b[K", stderr);
    if (rc == ERR_CANCELLED) {
        char done[NUMBER_BYTES], all[NUMBER_BYTES];
        c->signal = signalled;
        return err_set(&c->err, rc,
                       "%s · interrupted · %s of %s are there, the same command goes on from here",
                       c->opt->model, number_bytes(done, (double)m.last.all_done),
                       number_bytes(all, (double)m.last.all_size));
    }
    if (rc)
        return rc;
    note(c, c->opt->model, &m);
    cli_plain_text(&c->out, path, strlen(path));
    bytes_add_char(&c->out, '\n');
    return 0;
}
