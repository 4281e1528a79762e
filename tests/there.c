/* there.c - there BACKEND PROGRAM ARGUMENTS...: the program with BORE_TEST_BACKEND, or where the
 * backend does not open, one line that says why, and ctest counts a test that was skipped. */
#include "kn.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    enum { SKIPPED = 77 };
    char why[256];
    if (argc < 3)
        return EXIT_FAILURE;
    struct kn_backend *be = kn_open(&(struct kn_options){.backend = argv[1], .cpu = -1}, why,
                                    sizeof why);
    if (!be) {
        printf("SKIP %s\n", why);
        return SKIPPED;
    }
    kn_close(be);
    setenv("BORE_TEST_BACKEND", argv[1], 1);
    execv(argv[2], argv + 2);
    perror(argv[2]);
    return EXIT_FAILURE;
}
