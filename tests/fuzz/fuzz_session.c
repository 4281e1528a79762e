/* fuzz_session.c - any bytes as a session file: no fault; what was read prints as a file that reads
 * back the same, without a warning. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "save/saved.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct saved s = {0}, again = {0};
    struct bytes warnings = {0}, first = {0}, second = {0};
    int bad = saved_parse(&s, "fuzz", (const char *)data, size, &warnings);
    size_t lines = 0;
    for (size_t i = 0; i < warnings.len; i++) {
        lines += warnings.data[i] == '\n';
        if ((unsigned char)warnings.data[i] < 0x20 && warnings.data[i] != '\n')
            abort();
    }
    if (bad < 0 || (size_t)bad != lines)
        abort();
    saved_print(&s, &first);
    if (saved_parse(&again, "again", first.data, first.len, &warnings) != 0 || again.n != s.n)
        abort();
    saved_print(&again, &second);
    if (strcmp(first.data, second.data) != 0)
        abort();
    saved_free(&s);
    saved_free(&again);
    bytes_free(&warnings);
    bytes_free(&first);
    bytes_free(&second);
    return 0;
}
