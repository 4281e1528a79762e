/* Fuzz: any text as token ids; those that are read are as many as it has numbers, and printed they
 * are read again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/token_ids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    int32_t *ids = NULL, *again = NULL, n = -1, m = -1;
    char *exact = malloc(size + 1); /* its end is the end of memory for the sanitizer */
    memcpy(exact, data, size);
    exact = realloc(exact, size ? size : 1);
    if (token_ids_read(exact, size, &ids, &n, &e)) {
        if (e.code >= 0 || *e.text == '\0' || strchr(e.text, '\n') || ids)
            abort();
        free(exact);
        return 0;
    }
    if (!ids || n < 0 || (size_t)n > size / 2 + 1)
        abort();
    char *text = malloc((size_t)n * 12 + 1);
    size_t len = 0;
    for (int32_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, 13, "%d%s", ids[i],
                                i + 1 < n ? i % 2 ? ", " : " " : "");
    if (token_ids_read(text, len, &again, &m, &e) || m != n ||
        memcmp(ids, again, (size_t)n * sizeof *ids) != 0)
        abort();
    free(text), free(again), free(ids), free(exact);
    return 0;
}
