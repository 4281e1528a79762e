/* fuzz_weight.c - names of weights with an index, on small shapes of every architecture: what is
 * found is found again, and every element that an index means is inside the weight. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/arch.h"
#include "weight_index.h"

static void must(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static void check(const struct model *m, const char *text)
{
    struct weight_cut cut;
    struct named_weight again;
    struct err e = {0};
    int64_t shape[WEIGHT_RANK_MAX];
    const char *dims[WEIGHT_RANK_MAX];
    if (weight_cut_parse(&cut, m, text, &e)) {
        must(e.code && e.text[0] && !strchr(e.text, '\n'), "a refusal is one line");
        return;
    }
    must(named_weight_find(m, cut.w.name, &again, &e) == 0 &&
             named_weight_size(&again) == named_weight_size(&cut.w),
         "a name is found again");
    must(weight_cut_shape(&cut, shape, dims) <= cut.w.rank, "no axis more");
    for (int d = 0; d < cut.w.rank; d++) {
        must(cut.n[d] >= 1, "something is selected");
        for (int64_t i = 0; cut.index[d] && i < cut.n[d]; i++)
            must(cut.index[d][i] >= 0 && cut.index[d][i] < cut.w.shape[d], "an element is inside");
    }
    weight_cut_free(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    for (int i = 0; text && arch_table[i]; i++) {
        const struct arch *a = arch_table[i];
        struct model m = {.cfg = a->base};
        m.cfg.arch = a;
        m.cfg.n_layers = 2, m.cfg.n_heads = 4, m.cfg.n_kv_heads = a->base.gated ? 2 : 4;
        m.cfg.d_model = 6, m.cfg.d_head = 3, m.cfg.d_mlp = 5, m.cfg.d_vocab = 7, m.cfg.n_ctx = 8;
        m.cfg.attn_bias = true;
        check(&m, text);
    }
    free(text);
    return 0;
}
