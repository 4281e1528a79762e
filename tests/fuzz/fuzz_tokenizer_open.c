/* Fuzz: any bytes as a tokenizer.json; what opens must encode and decode without a fault, and what
 * the quick reader makes of the file, or says of it, is what the thorough one does. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "token/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct tokenizer *t)
{
    static const char text[] =
        " The cat, it's 12345 <s>caf\xc3\xa9 e\xcc\x81 \xe4\xb8\xad\xe6\x96\x87\r\n\xf0\x9f\x98\x80 \xe4\xb8";
    struct err e = {0};
    struct token_list ids = {0};
    size_t len;
    if (!tokenizer_encode(t, text, sizeof text - 1, TOKENIZER_ADD_SPECIAL, &ids, &e)) {
        for (size_t i = 0; i < ids.count; i++) {
            if (ids.id[i] < 0 || ids.id[i] >= tokenizer_count(t) || ids.end[i] < ids.begin[i] ||
                ids.end[i] > sizeof text - 1)
                abort();
            const char *bytes = tokenizer_text(t, ids.id[i], &len);
            (void)tokenizer_find(t, bytes, len);
        }
        char *back = tokenizer_decode(t, ids.id, ids.count, TOKENIZER_SKIP_SPECIAL, &len, &e);
        if (back && back[len] != '\0')
            abort();
        free(back);
    } else if (!e.text[0]) {
        abort();
    }
    token_list_free(&ids);
}

static void compare(const struct tokenizer *t, const struct tokenizer *other)
{
    for (int i = 0; i < tokenizer_count(other); i++) {
        const char *a = tokenizer_spelling(t, i), *b = tokenizer_spelling(other, i);
        if (!a != !b || (a && strcmp(a, b) != 0))
            abort();
    }
    if (tokenizer_count(t) != tokenizer_count(other))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0}, why = {0};
    struct js_doc *doc = js_parse("tokenizer.json", (const char *)data, size, &why);
    struct tokenizer *other = doc ? tokenizer_from(doc, NULL, &why) : NULL;
    char *file = malloc(size + !size);
    memcpy(file, data, size);
    struct tokenizer *t = tokenizer_parse("tokenizer.json", file, size, &e);
    free(file);
    if (!t != !other || (!t && strcmp(e.text, why.text) != 0))
        abort();
    if (t)
        compare(t, other);
    if (t)
        use(t);
    else if (e.code != ERR_BAD_INPUT || !e.text[0])
        abort();
    tokenizer_close(t);
    tokenizer_close(other);
    return 0;
}
