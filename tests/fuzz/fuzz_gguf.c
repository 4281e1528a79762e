/* Fuzz: any bytes as a .gguf file.  What is accepted must be sound: every tensor inside the file,
 * its elements those of its shape, found again by its name, every byte of it readable; and its keys
 * must make a config and a tokenizer, or say why not. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/checkpoint_parts.h"
#include "model/gguf_parts.h"
#include "token/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned char sink;

static void check(const struct st_tensor *t, const unsigned char *file, size_t size)
{
    const unsigned char *p = t->data;
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->shape[i];
    if (n != st_count(t) || p < file || p + t->nbytes > file + size)
        abort();
    sink = (unsigned char)(p[0] ^ p[t->nbytes - 1]);
}

static void check_error(const struct err *e)
{
    if (e->code != ERR_BAD_INPUT || !e->text[0])
        abort();
}

static void use(const struct checkpoint *st)
{
    struct config cfg;
    struct err e = {0};
    if (config_from(&cfg, gguf_config(st, &e), &e))
        check_error(&e);
    struct err why = {0};
    struct tokenizer *t = gguf_tokenizer(checkpoint_gguf(st), &why);
    if (!t)
        check_error(&why);
    struct token_list l = {0};
    if (t && tokenizer_encode(t, "a b\xe4\xb8\x96 12\n", 10, TOKENIZER_ADD_SPECIAL, &l, NULL) == 0)
        for (size_t i = 0; i < l.count; i++)
            if (l.id[i] < 0 || l.id[i] >= tokenizer_count(t))
                abort();
    token_list_free(&l);
    tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    unsigned char *file = malloc(size + !size); /* exact, so that a read past the end is seen */
    memcpy(file, data, size);
    struct checkpoint *st = checkpoint_parse("fuzz.gguf", file, size, &e);
    if (!st)
        check_error(&e);
    for (size_t i = 0; st && i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        check(t, file, size);
        if (checkpoint_find(st, t->name) != t)
            abort();
    }
    if (st)
        use(st);
    checkpoint_close(st);
    free(file);
    return 0;
}
