/* Fuzz: a line of JSON as config.json, then the bytes of a .safetensors file whose weights it says
 * are quantized.  What is accepted has every byte of every tensor, found again by its name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/quantized.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile float sink;

static void read_all(const struct checkpoint *st)
{
    for (size_t i = 0; i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        float x[512];
        int64_t n = st_count(t), at = n > 512 ? n - 512 : 0;
        if (checkpoint_find(st, t->name) != t)
            abort();
        if (n && st_decode(t, at, n - at, x))
            sink = x[n - at - 1];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    struct err e = {0};
    if (!line)
        return 0;
    size_t len = (size_t)(data + size - line - 1);
    unsigned char *file = malloc(len + !len); /* exact, so that a read past the end is seen */
    memcpy(file, line + 1, len);
    struct js_doc *doc = js_parse("config.json", (const char *)data, (size_t)(line - data), &e);
    for (int look = 0; doc && look < 2; look++) {
        struct checkpoint *st = checkpoint_parse("fuzz.safetensors", file, len, &e);
        struct quantized q;
        int rc = st ? quantized_load(st, js_root(doc), look, &q, &e) : 0;
        if (rc && (!e.text[0] || strchr(e.text, '\n')))
            abort();
        if (st && !rc && !look)
            read_all(st);
        checkpoint_close(st);
    }
    js_close(doc);
    free(file);
    return 0;
}
