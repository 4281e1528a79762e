/* program.c - the explorer on a fixture, for the tests that need a whole process on a
 * pseudo-terminal. tui_program MODEL [--size WxH --play SCRIPT] [--graphics G] [-e EDIT]... */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "explorer.h"
#include "base/mapping.h"
#include "term/guard.h"

int main(int argc, char **argv)
{
    static const int32_t tokens[] = {0, 5, 9, 5, 9, 13, 21, 5};
    setlocale(LC_CTYPE, "C.UTF-8");
    guard_set_repair(mapping_repair);
    char why[256];
    struct err e = {0};
    struct kn_options ko = {.backend = "cpu", .threads = 1, .cpu = KN_CPU_PORTABLE};
    struct kn_backend *be = kn_open(&ko, why, sizeof why);
    struct model *m = NULL;
    if (!be || argc < 2 || model_open(&m, argv[1], be, &e) < 0) {
        fprintf(stderr, "%s\n", be ? e.text : why);
        return 1;
    }
    struct explorer_options o = {.app = {.model = m,
                                         .tokens = tokens,
                                         .n = sizeof tokens / sizeof tokens[0],
                                         .bos = 0,
                                         .pair = {-1, -1}},
                                 .cache_bytes = 64 << 20};
    const char *edits[8];
    o.app.edits = edits;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--graphics"))
            o.graphics = argv[i + 1];
        else if (!strcmp(argv[i], "--color"))
            o.color = argv[i + 1];
        else if (!strcmp(argv[i], "-e") && o.app.n_edits < 8)
            edits[o.app.n_edits++] = argv[i + 1];
    }
    int r = explorer_main(&o, &e);
    if (r < 0)
        fprintf(stderr, "%s\n", e.text);
    model_close(m);
    kn_close(be);
    return r < 0;
}
