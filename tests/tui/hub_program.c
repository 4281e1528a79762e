/* hub_program.c - the hub of hub_server.h as a process, for test_pull.py: hub_program FILE...
 * serves these, prints its address and ends with its standard input. */
#include "hub_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"

int main(int argc, char **argv)
{
    static struct hub_server hub;
    struct err e = {0};
    hub_start(&hub);
    for (int i = 1; i < argc; i++) {
        char *bytes;
        size_t n;
        const char *slash = strrchr(argv[i], '/'), *name = slash ? slash + 1 : argv[i];
        if (file_read_all(argv[i], 1 << 26, &bytes, &n, &e)) {
            fprintf(stderr, "%s\n", e.text);
            return 1;
        }
        hub_add(&hub, name, bytes, n, strstr(name, ".safetensors") != NULL);
        free(bytes);
    }
    printf("%s\n", hub.endpoint);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    hub_stop(&hub);
    return 0;
}
