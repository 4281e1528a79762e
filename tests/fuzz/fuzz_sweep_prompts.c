/* Fuzz: any bytes as a file of --prompts; what is accepted has a text in every cell, and metrics
 * are filled without end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sweep_prompts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sweep_file f = {0};
    struct err e = {0};
    if (sweep_file_parse(&f, "prompts.tsv", (const char *)data, size, &e)) {
        if (e.code >= 0 || *e.text == '\0' || strchr(e.text, '\n') || f.cell)
            abort();
        return 0;
    }
    if (f.rows < 1 || strcmp(sweep_file_heading(&f, 0), "prompt"))
        abort();
    for (int32_t r = 0; r < f.rows; r++) {
        for (int32_t c = 0; c < f.cols; c++)
            if (strpbrk(sweep_file_at(&f, r, c), "\t\n"))
                abort();
        char *metric = sweep_file_metric(&f, r, "logit[-1, {answer}] - {prompt} { {nothing}");
        if (!metric || strncmp(metric, "logit[-1, ", 10))
            abort();
        free(metric);
    }
    sweep_file_free(&f);
    return 0;
}
