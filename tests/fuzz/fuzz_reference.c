/* Fuzz: any bytes as the text of a reference set, for a model of 256 byte tokens and for one
 * without a tokenizer.  What is accepted holds ids of the vocabulary, one list per prompt, none of
 * them empty; a refusal is one line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "edit/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct model *m, const char *text, size_t len)
{
    struct reference_set *set = NULL;
    struct err e = {0};
    if (reference_parse(&set, m, -1, "ref", "file", text, len, &e)) {
        if (set || e.code >= 0 || !e.text[0] || strchr(e.text, '\n'))
            abort();
        return;
    }
    if (set->n < 1 || set->start[0] != 0 || set->start[set->n] != set->n_tokens)
        abort();
    for (int32_t i = 0; i < set->n; i++)
        if (set->start[i + 1] <= set->start[i] || set->start[i + 1] - set->start[i] > set->longest)
            abort();
    for (int64_t i = 0; i < set->n_tokens; i++)
        if (set->tokens[i] < 0 || set->tokens[i] >= m->cfg.d_vocab)
            abort();
    if (reference_draw(set, (int32_t)len, set->longest) < 0)
        abort();
    reference_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model bytes = {
        .cfg = {.d_vocab = 256, .n_ctx = 64, .pos = POS_ROTARY, .bos_id = 1, .prepend_bos = true}};
    static struct model bare = {
        .cfg = {.d_vocab = 40, .n_ctx = 8, .pos = POS_LEARNED, .bos_id = -1}};
    if (!bytes.tok &&
        (!(bytes.tok = tokenizer_bytes(NULL)) || !(bare.tok = tokenizer_none(40, NULL))))
        abort();
    char *text = malloc(size + !size); /* exact, so that a read past the end is seen */
    if (!text)
        return 0;
    memcpy(text, data, size);
    check(&bytes, text, size);
    check(&bare, text, size);
    free(text);
    return 0;
}
