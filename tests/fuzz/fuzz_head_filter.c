/* Fuzz: any text as a filter of heads; what is accepted is within bounds, what is not says why. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "list/head_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heads_filter f = {.n = -1};
    struct err e = {0};
    char *text = strndup((const char *)data, size);
    if (heads_filter_parse(text, &f, &e)) {
        if (e.code >= 0 || *e.text == '\0' || strchr(e.text, '\n') || f.n != -1)
            abort();
    } else if (f.n < 0 || f.n > HEADS_CONDITIONS_MAX) {
        abort();
    } else {
        for (int i = 0; i < f.n; i++)
            if (f.item[i].layer < -1 || f.item[i].head < -1 || !isfinite(f.item[i].value) ||
                f.item[i].score >= HEADS_SORT_COUNT)
                abort();
    }
    free(text);
    return 0;
}
