/* Fuzz: any bytes as a file of statistics.  What is accepted can be read at every element, merged
 * with itself and written; a refusal is one line. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lab/stats_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct stats *s)
{
    for (int i = 0; i < s->n; i++)
        for (int64_t k = 0; k < s->site[i].n; k++) {
            double q = stats_quantile(&s->site[i], k, 0.5f);
            (void)stats_peak(&s->site[i], k);
            if (q < 0 || q > 1)
                abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stats s, again;
    struct err e = {0};
    char *bytes = malloc(size + !size); /* exact, so that a read past the end is seen */
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    if (stats_parse(&s, "file", bytes, size, &e)) {
        if (e.code >= 0 || !e.text[0] || strchr(e.text, '\n'))
            abort();
    } else {
        use(&s);
        if (stats_parse(&again, "file", bytes, size, &e) || stats_merge(&s, &again, &e))
            abort();
        use(&s);
        stats_free(&again);
    }
    stats_free(&s);
    free(bytes);
    return 0;
}
