/* Fuzz: any bytes as the state of an evaluation.  What is accepted has values, whatever they are,
 * and is written as it was; a refusal is one line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/eval.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eval v = {.texts = -7};
    struct eval_value values[EVAL_MEASURES];
    struct err e = {0};
    char *bytes = malloc(size + !size); /* exact, so that a read past the end is seen */
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    int rc = eval_parse(&v, "file", bytes, size, &e);
    if (rc && (e.code >= 0 || !e.text[0] || strchr(e.text, '\n') || v.texts != -7))
        abort();
    if (!rc && (v.texts < 0 || v.at < 0 || v.place.text < 0 || v.place.start < 0))
        abort();
    v.edited = true;
    if (!rc && eval_values(&v, values) != 7)
        abort();
    free(bytes);
    return 0;
}
