/* Fuzz: any bytes as the file of what was measured of the processor.  What is accepted is written
 * as the same bytes; else nothing is touched. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "run/cpu_choice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cpu_measure m = {-1, -1};
    char text[CPU_MEASURE_BYTES];
    char *file = malloc(size + !size); /* exact, so that a read past the end is seen */
    if (!file)
        return 0;
    memcpy(file, data, size);
    bool ok = cpu_measure_parse(file, size, "key", &m);
    if (!ok && (m.speed != -1 || m.error != -1))
        abort();
    if (ok) {
        cpu_measure_text(&m, "key", text);
        if (strlen(text) != size || memcmp(text, file, size) != 0 || !(m.speed > 0))
            abort();
    }
    free(file);
    return 0;
}
