/* detect.c - TransformerLens' head detector (see analysis.h).
 * Formulas: TransformerLens 3.5.1, head_detector.py. */
#include "analysis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[HEAD_PATTERN_COUNT] = { "previous_token_head", "duplicate_token_head", "induction_head" };

const char *head_pattern_name(enum head_pattern p)
{
    return names[p];
}

int head_pattern_parse(const char *name, enum head_pattern *out, struct err *e)
{
    for (int i = 0; i < HEAD_PATTERN_COUNT; i++)
        if (!strcmp(name, names[i])) {
            *out = (enum head_pattern)i;
            return 0;
        }
    return err_set(e, ERR_USAGE, "no detection pattern \"%s\" · previous_token_head, duplicate_token_head or induction_head", name);
}

/* The detection pattern at [dest, src], 0 or 1. */
static bool expected(enum head_pattern p, const int32_t *t, int32_t dest, int32_t src)
{
    switch (p) {
    case HEAD_PREVIOUS: return src == dest - 1;
    case HEAD_DUPLICATE: return src < dest && t[src] == t[dest];
    /* the library shifts the duplicates right by one: the token after an earlier copy, and itself if that is next */
    case HEAD_INDUCTION: return src >= 1 && src <= dest && src - 1 < dest && t[src - 1] == t[dest];
    default: return false;
    }
}

static float score(const struct kn_view *v, int64_t head, enum head_pattern p, const int32_t *t, const struct detect_options *o)
{
    int32_t n = (int32_t)v->shape[1];
    double hit = 0, all = 0, diff = 0;
    for (int32_t d = 0; d < n; d++)
        for (int32_t s = 0; s < n; s++) {
            if ((o->exclude_bos && s == 0) || (o->exclude_current_token && s == d))
                continue;
            double a = (double)((const float *)v->data)[head * v->stride[0] + d * v->stride[1] + s], want = expected(p, t, d, s);
            hit += a * want;
            all += a;
            diff += fabs(a - want);
        }
    /* mean over n x n, times n, rounded */
    return (float)(o->abs ? 1 - nearbyint(diff / n * 1000) / 1000 : hit / all);
}

int detect_head(struct run *r, enum head_pattern p, const struct detect_options *opt, float *scores, struct err *e)
{
    int32_t n = run_length(r), heads = run_model(r)->cfg.n_heads;
    if (n < 2)
        return err_set(e, ERR_BAD_INPUT, "%s · needs two tokens or more, the prompt has %d", names[p], n);
    for (int32_t l = 0; l < run_model(r)->cfg.n_layers; l++) {
        struct kn_view v;
        int rc = run_view(r, (struct site_ref){ SITE_PATTERN, l }, 0, n, &v, e);
        if (rc)
            return rc;
        for (int32_t h = 0; h < heads; h++)
            scores[l * heads + h] = score(&v, h, p, run_tokens(r), opt);
    }
    return 0;
}
