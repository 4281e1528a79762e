/* copying.c - does a head write the token that it reads (see copying.h). */
#include "measure/copying.h"

#include <math.h>
#include <stdlib.h>

#include "base/factored.h"

int copying_head(const struct model *m, const double *tokens, int32_t layer, int32_t head,
                 double (*values)[2], double *score, struct err *e)
{
    int64_t d = m->cfg.d_model, r = m->cfg.d_head;
    double *a = calloc((size_t)(3 * d * r + 2 * r), sizeof *a), *b = a ? a + d * r : NULL,
           *through = a ? b + d * r : NULL, *re = a ? through + d * r : NULL, sum = 0, size = 0;
    int rc = a ? circuit_head(m, CIRCUIT_OV, layer, head, a, b, e)
               : err_memory(e, "a full circuit");
    if (!rc) {
        circuit_through_tokens(tokens, b, d, r, through);
        rc = factored_eigenvalues(a, through, d, r, re, re + r, e);
    }
    for (int64_t i = 0; !rc && i < r; i++) {
        sum += re[i], size += hypot(re[i], re[r + i]);
        if (values)
            values[i][0] = re[i], values[i][1] = re[r + i];
    }
    if (!rc && score)
        *score = sum / size;
    free(a);
    return rc;
}

int copying_scores(const struct model *m, float *out, struct err *e)
{
    int64_t d = m->cfg.d_model;
    double *tokens = malloc((size_t)(d * d) * sizeof *tokens), score = 0;
    int rc = tokens ? circuit_tokens(m, tokens, e) : err_memory(e, "full circuits");
    for (int32_t l = 0; l < m->cfg.n_layers && !rc; l++)
        for (int32_t h = 0; h < m->cfg.n_heads && !rc; h++) {
            rc = copying_head(m, tokens, l, h, NULL, &score, e);
            *out++ = (float)score;
        }
    free(tokens);
    return rc;
}
