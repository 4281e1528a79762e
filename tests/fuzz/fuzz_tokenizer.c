/* Fuzz: any bytes as text.  Byte-level tokenizers must give back exactly what went in; all must
 * give ids and offsets in range.  The first byte picks the tokenizer; run from the source root. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const char *name;
    bool exact; /* no normalizer, no prefix: the round trip gives the same bytes */
} families[] = {{"gpt2", true},
                {"llama3", true},
                {"digits", true},
                {"qwen2", false},
                {"llama2", false},
                {"metaspace_first", false},
                {"added_byte_level", false},
                {"added_llama2", false},
                {"gemma", false},
                {"bloom", true},
                {"bert", false},
                {"bert_cased", false},
                {"wordlevel", false},
                {"unigram", false},
                {"unigram_bytes", false},
                {"t5", false},
                {"albert", false}};

enum { FAMILIES = sizeof families / sizeof *families };

static struct tokenizer *opened(size_t i)
{
    static struct tokenizer *all[FAMILIES];
    char path[128];
    struct err e = {0};
    snprintf(path, sizeof path, "tests/fixtures/tokenizers/%s/tokenizer.json", families[i].name);
    if (!all[i] && !(all[i] = tokenizer_open(path, &e))) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
    return all[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    size_t which = data[0] % FAMILIES, n = size - 1, len = 0;
    const struct tokenizer *t = opened(which);
    struct err e = {0};
    struct token_list ids = {0};
    char *text = malloc(n + !n);
    memcpy(text, data + 1, n);
    if (tokenizer_encode(t, text, n, 0, &ids, &e)) {
        if (families[which].exact || !e.text[0])
            abort();
    } else {
        for (size_t i = 0; i < ids.count; i++)
            if (ids.id[i] < 0 || ids.id[i] >= tokenizer_count(t) || ids.end[i] < ids.begin[i] ||
                ids.end[i] > n)
                abort();
        char *back = tokenizer_decode(t, ids.id, ids.count, 0, &len, &e);
        if (!back || (families[which].exact && (len != n || memcmp(back, text, n) != 0)))
            abort();
        free(back);
    }
    token_list_free(&ids);
    free(text);
    return 0;
}
