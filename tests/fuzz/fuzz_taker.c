/* fuzz_taker.c - any bytes as taker's config text: one line of refusal, or edits that parse. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "edit/edit.h"
#include "edit/taker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PARAMS "tests/fixtures/models/gpt2/taker.0.safetensors"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config cfg = {.n_layers = 3,
                                      .n_heads = 3,
                                      .n_kv_heads = 3,
                                      .d_model = 15,
                                      .d_head = 5,
                                      .d_mlp = 60,
                                      .d_vocab = 47,
                                      .n_ctx = 32,
                                      .pos = POS_LEARNED,
                                      .norm_center = true};
    for (int with = 0; with < 2; with++) {
        struct taker_hooks t = {0};
        struct err e = {0};
        if (taker_parse(&t, &cfg, (const char *)data, size, with ? PARAMS : NULL, &e)) {
            if (e.code >= 0 || !*e.text || strchr(e.text, '\n'))
                abort();
            continue;
        }
        for (int32_t i = 0; i < t.n_edits; i++) {
            struct edit *ed = NULL;
            if (edit_parse(&ed, t.edit[i], &e))
                abort();
            edit_free(ed);
        }
        for (int32_t i = 0; i < t.n_collects; i++)
            if (t.collect[i].edits < 0 || t.collect[i].edits > t.n_edits)
                abort();
        taker_free(&t);
    }
    return 0;
}
