/* long_work.c - see long_work.h. */
#include "long_work.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/tensor_write.h"

/* ---- ranks ---- */

bool long_work_shared(const struct command *cmd)
{
    static int (*const shared[])(struct cli * c) = {cli_stats, cli_eval,  cli_sweep,
                                                    cli_patch, cli_score, cli_prune};
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if (cmd->run == shared[i])
            return true;
    return false;
}

const char *long_work_mpi(void)
{
#ifdef BORE_MPI_PLUGIN
    return "by MPI";
#else
    return "none: built without MPI";
#endif
}

/* Beside the program in a build, among the libraries where it is installed. */
int long_work_ranks(struct cli *c)
{
#ifdef BORE_MPI_PLUGIN
    char folder[PATH_MAX], built[PATH_MAX + 32], installed[PATH_MAX + 128];
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[n < 0 ? 0 : n] = '\0';
    char *slash = strrchr(folder, '/');
    *(slash ? slash : folder) = '\0';
    snprintf(built, sizeof built, "%s/borescope-mpi.so", folder);
    snprintf(installed, sizeof installed, "%s/../" BORE_MPI_PLUGIN, folder);
    const char *const plugin[] = {built, installed, NULL};
#else
    const char *const plugin[] = {NULL};
#endif
    int rc = ranks_open(&c->ranks, plugin, &c->err);
    if (!rc && ranks_idle_cores(c->ranks) && !c->opt->threads && !ranks_rank(c->ranks))
        snprintf(c->note, sizeof c->note,
                 "the launcher leaves %d cores of this node without ranks · mpirun --bind-to none "
                 "shares out all of them",
                 ranks_idle_cores(c->ranks));
    return rc;
}

int long_work_read_differs(struct cli *c)
{
    return err_set(
        &c->err, ERR_BAD_INPUT,
        "%.200s · a file, reference set, prompt or tokenizer.json that the command reads holds "
        "something else than it did · put it back, or begin with another file",
        c->opt->state);
}

int long_work_agree(struct cli *c, int rc, const void *about, size_t n_about, void *start, size_t n)
{
    return ranks_agree(c->ranks, rc, about, n_about, start, n, &c->err);
}

/* ---- the state ---- */

int long_work_check(struct cli *c)
{
    return c->opt->state && !ranks_rank(c->ranks) ? tensor_write_check(c->opt->state, &c->err) : 0;
}

bool long_work_goes_on(const struct cli *c)
{
    return c->opt->state && !ranks_rank(c->ranks) && access(c->opt->state, F_OK) == 0;
}

static volatile sig_atomic_t signalled;

static void on_signal(int signal)
{
    signalled = signal;
}

/* What ends the program. */
static void watch(bool on)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction act = {.sa_handler = on ? on_signal : SIG_DFL}, was;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (sigaction(ends[i], NULL, &was) == 0 && was.sa_handler != SIG_IGN) /* nohup */
            sigaction(ends[i], &act, NULL);
}

void long_work_begin(struct long_work *w, struct cli *c, const char *what, int64_t before)
{
    *w = (struct long_work){.c = c};
    progress_begin(&w->progress, what, before);
    w->progress.lines = ranks_size(c->ranks) > 1; /* to whom a launcher's terminal is a pipe */
    w->saved = w->progress.begun;
    if (c->opt->state && !ranks_rank(c->ranks))
        watch(true);
}

void long_work_tell(struct long_work *w, const struct gather_news *news)
{
    char ranks[PROGRESS_TAIL] = "";
    int size = ranks_size(w->c->ranks);
    if (size > 1 && news->silent >= 0)
        snprintf(ranks, sizeof ranks, " · %s is silent", news->who);
    else if (size > 1 && news->least >= 0)
        snprintf(ranks, sizeof ranks, " · %d ranks, the slowest (%d) at %.0f %%", size,
                 news->slowest, news->least * 100);
    progress_tell(&w->progress, news->share, news->done, ranks);
    if (news->silent >= 0)
        progress_warn(&w->progress, ranks + strlen(" · "));
}

bool long_work_due(const struct long_work *w, const struct texts_place *next)
{
    bool moved = next->text != w->at.text || next->start != w->at.start;
    return w->c->opt->state &&
           (signalled || (moved && progress_now() - w->saved >= w->c->opt->every));
}

int long_work_saved(struct long_work *w, const struct texts_place *next, int rc)
{
    struct cli *c = w->c;
    w->saved = progress_now(), w->at = *next;
    if (rc || !signalled)
        return rc;
    c->signal = signalled;
    return err_set(&c->err, ERR_CANCELLED,
                   "%s · interrupted · what is done is in %.200s, the same command goes on from it",
                   c->opt->command->name, c->opt->state);
}

void long_work_end(const struct long_work *w)
{
    watch(false);
    progress_end(&w->progress);
}

void long_work_forget(struct cli *c)
{
    const char *state = c->opt->state;
    if (state && !ranks_rank(c->ranks) && unlink(state) && access(state, F_OK) == 0)
        snprintf(c->note, sizeof c->note, "%.150s · could not be removed", state);
}
