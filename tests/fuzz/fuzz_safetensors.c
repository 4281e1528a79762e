/* Fuzz: any bytes as a .safetensors file.  What is accepted must be sound: every tensor inside the
 * file, its size that of its shape, found again by its name; and every byte of it readable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/checkpoint_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned char sink;

static void check(const struct st_tensor *t, const unsigned char *file, size_t size, bool copied)
{
    const unsigned char *p = t->data;
    size_t n = st_dtype_size(t->dtype);
    char shape[16];
    for (int i = 0; i < t->rank; i++)
        n *= (size_t)t->shape[i];
    if (n != t->nbytes || (uintptr_t)p % st_dtype_size(t->dtype))
        abort();
    if (n && !copied && (p < file + 8 || p + n > file + size))
        abort();
    if (n)
        sink = (unsigned char)(p[0] ^ p[n - 1]);
    st_shape_text(shape, sizeof shape, t->shape, t->rank);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    unsigned char *file = malloc(size + !size); /* exact, so that a read past the end is seen */
    memcpy(file, data, size);
    struct checkpoint *st = checkpoint_parse("fuzz.safetensors", file, size, &e);
    if (!st && (e.code != ERR_BAD_INPUT || !e.text[0]))
        abort();
    for (size_t i = 0; st && i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        check(t, file, size, st->shard->copy_len > 0);
        if (checkpoint_find(st, t->name) != t)
            abort();
    }
    if (st) {
        (void)checkpoint_nearest(st, "lm_head.weight");
        checkpoint_close(st);
    }
    free(file);
    return 0;
}
