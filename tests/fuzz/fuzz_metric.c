/* Fuzz: any text as a metric; what is accepted has terms within bounds, and its rows fit the
 * prompt. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "measure/metric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOCAB = 64, TOKENS = 9 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *tok;
    struct err e = {0};
    struct metric m;
    int32_t row0 = -1, row1 = -1;
    if (!tok && !(tok = tokenizer_none(VOCAB, &e)))
        abort();
    char *text = strndup((const char *)data, size);
    if (metric_parse(&m, text, tok, VOCAB, &e)) {
        if (e.code >= 0 || *e.text == '\0' || strchr(e.text, '\n'))
            abort();
    } else if (m.n < 1 || m.n > METRIC_TERMS_MAX) {
        abort();
    } else {
        for (int32_t i = 0; i < m.n; i++)
            if (!isfinite(m.terms[i].factor) || m.terms[i].token >= VOCAB)
                abort();
        if (metric_rows(&m, TOKENS, &row0, &row1, &e) == 0 &&
            (row0 < 0 || row0 >= row1 || row1 > TOKENS))
            abort();
    }
    free(text);
    return 0;
}
