/* Fuzz: any bytes as a file of the cache of means.  What is accepted is finite and, written again,
 * equal; else nothing is touched. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "run/reference_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t shape[] = {2, 3};
    float out[7];
    memset(out, 0x7f, sizeof out);
    unsigned char *file = malloc(size + !size); /* exact, so that a read past the end is seen */
    if (!file)
        return 0;
    memcpy(file, data, size);
    bool ok = reference_cache_parse(file, size, "key", shape, 2, out);
    static const unsigned char untouched[sizeof out] = {
        0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f,
        0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f};
    if (!ok && memcmp(out, untouched, sizeof out))
        abort();
    for (int i = 0; ok && i < 6; i++)
        if (!isfinite(out[i]))
            abort();
    if (memcmp(&out[6], untouched, sizeof out[6]))
        abort();
    free(file);
    return 0;
}
