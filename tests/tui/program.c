/* program.c - the explorer on a fixture, for the tests that need a whole process on a
 * pseudo-terminal.  tui_program MODEL [--graphics G] [--color C] [--keymap K] [--wait FIFO]
 * [-e EDIT]...: with --wait the model is opened when the other end of the pipe is closed. */
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explorer.h"
#include "base/mapping.h"
#include "term/guard.h"

struct program {
    const char *name, *wait;
    const char *edits[8];
    int n_edits;
    struct kn_backend *be;
    struct model *m;
};

/* As the explorer calls it. */
static int open_fixture(void *of, struct explorer_options *x, struct err *e)
{
    static const int32_t tokens[] = {0, 5, 9, 5, 9, 13, 21, 5};
    struct program *p = of;
    char byte;
    int fifo = p->wait ? open(p->wait, O_RDONLY | O_CLOEXEC) : -1;
    while (fifo >= 0 && read(fifo, &byte, 1) > 0)
        ;
    close(fifo);
    x->app = (struct app_options){.tokens = tokens,
                                  .n = sizeof tokens / sizeof tokens[0],
                                  .bos = 0,
                                  .pair = {-1, -1},
                                  .edits = p->edits,
                                  .n_edits = p->n_edits};
    int rc = model_open(&p->m, p->name, p->be, e);
    x->app.model = p->m;
    return rc;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    guard_set_repair(mapping_repair);
    char why[256];
    struct err e = {0};
    struct kn_options ko = {.backend = "cpu", .threads = 1, .cpu = KN_CPU_PORTABLE};
    struct program p = {.name = argv[1], .be = kn_open(&ko, why, sizeof why)};
    if (!p.be || argc < 2) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    struct explorer_options o = {
        .name = "fixture", .open = open_fixture, .of = &p, .cache_bytes = 64 << 20};
    for (int i = 2; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--graphics"))
            o.graphics = argv[i + 1];
        else if (!strcmp(argv[i], "--color"))
            o.color = argv[i + 1];
        else if (!strcmp(argv[i], "--keymap"))
            o.keymap = argv[i + 1];
        else if (!strcmp(argv[i], "--wait"))
            p.wait = argv[i + 1];
        else if (!strcmp(argv[i], "-e") && p.n_edits < 8)
            p.edits[p.n_edits++] = argv[i + 1];
    }
    int r = explorer_main(&o, &e);
    if (r < 0)
        fprintf(stderr, "%s\n", e.text);
    model_close(p.m);
    kn_close(p.be);
    return r < 0;
}
