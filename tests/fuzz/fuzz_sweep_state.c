/* Fuzz: any bytes as the state of a sweep.  What is accepted can be read to its end and added to; a
 * refusal is one line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "measure/sweep_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sweep_unit_cell cell = {0.5, 1};
    struct sweep_state k = {.n = 0};
    struct err e = {0};
    char *bytes = malloc(size + !size); /* exact, so that a read past the end is seen */
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    int rc = sweep_state_parse(&k, "file", bytes, size, &e);
    free(bytes);
    if (rc && (e.code >= 0 || !e.text[0] || strchr(e.text, '\n') || k.n || k.value))
        abort();
    for (int64_t i = 0; i < k.n; i++)
        if (k.gone[i] > 1)
            abort();
    if (!rc && (k.n < 0 || sweep_state_add(&k, &cell, 1, &e) || k.value[k.n - 1] != 0.5))
        abort();
    sweep_state_free(&k);
    return 0;
}
