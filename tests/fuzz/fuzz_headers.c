/* Fuzz: any bytes as the head of an answer; what is taken from it is short, printable and in range.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pull/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_text(const char *s, size_t size)
{
    if (!memchr(s, '\0', size))
        abort();
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct headers h;
    headers_begin(&h);
    while (size) { /* lines as libcurl hands them out: whole, each in a buffer of its own */
        const uint8_t *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) + 1 : size;
        char *line = malloc(n);
        if (!line)
            return 0;
        memcpy(line, data, n);
        headers_line(&h, line, n);
        free(line);
        data += n;
        size -= n;
    }
    is_text(h.etag, sizeof h.etag);
    is_text(h.linked_etag, sizeof h.linked_etag);
    is_text(h.commit, sizeof h.commit);
    is_text(h.location, sizeof h.location);
    is_text(h.error_code, sizeof h.error_code);
    is_text(h.error_message, sizeof h.error_message);
    if (h.status < 0 || h.status > 999 || h.length < -1 || h.linked_size < -1 ||
        h.range_first < -1 || h.range_size < -1 ||
        (h.range_size >= 0 && h.range_first >= h.range_size))
        abort();
    return 0;
}
