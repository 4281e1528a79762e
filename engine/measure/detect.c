/* detect.c - TransformerLens' head detector (see analysis.h).
 * Formulas: TransformerLens 3.5.1, head_detector.py. */
#include "measure/analysis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/checkpoint.h"
#include "run/run_device.h"

static const char *const names[HEAD_PATTERN_COUNT] = {"previous_token_head", "duplicate_token_head",
                                                      "induction_head"};

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
    return err_set(
        e, ERR_USAGE,
        "no detection pattern \"%s\" · previous_token_head, duplicate_token_head, induction_head, or a file",
        name);
}

/* The detection pattern at [dest, src], 0 or 1. */
static bool expected(enum head_pattern p, const int32_t *t, int32_t dest, int32_t src)
{
    switch (p) {
    case HEAD_PREVIOUS: return src == dest - 1;
    case HEAD_DUPLICATE: return src < dest && t[src] == t[dest];
    /* the library shifts the duplicates right by one: the token after an earlier copy, and itself
     * if that is next */
    case HEAD_INDUCTION: return src >= 1 && src <= dest && src - 1 < dest && t[src - 1] == t[dest];
    default: return false;
    }
}

void head_pattern_fill(enum head_pattern p, const int32_t *tokens, int32_t n, float *pattern)
{
    for (int32_t d = 0; d < n; d++)
        for (int32_t s = 0; s < n; s++)
            pattern[(int64_t)d * n + s] = expected(p, tokens, d, s);
}

/* A pattern is about what attention sees. */
static int check_triangle(const char *what, const float *pattern, int32_t n, struct err *e)
{
    for (int32_t d = 0; d < n; d++)
        for (int32_t s = d + 1; s < n; s++)
            if (pattern[(int64_t)d * n + s] != 0)
                return err_set(
                    e, ERR_BAD_INPUT,
                    "%s · a detection pattern is lower triangular, 0 where src > dest · [%d, %d] is %g",
                    what, (int)d, (int)s, (double)pattern[(int64_t)d * n + s]);
    return 0;
}

static int read_tensor(const char *where, const struct st_tensor *t, int32_t n, float *pattern,
                       struct err *e)
{
    char has[80];
    if (t->rank != 2 || t->shape[0] != n || t->shape[1] != n)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s is %s · a detection pattern is [%d, %d], a row and a column for each token of the prompt",
            where, st_shape_text(has, sizeof has, t->shape, t->rank), (int)n, (int)n);
    if (!st_decode(t, 0, (int64_t)n * n, pattern))
        return err_set(e, ERR_BAD_INPUT, "%s holds %s · F32, F16, BF16 and F64 can be read", where,
                       st_dtype_name(t->dtype));
    return check_triangle(where, pattern, n, e);
}

int head_pattern_read(const char *where, int32_t n, float *pattern, struct err *e)
{
    const char *colon = access(where, F_OK) ? strrchr(where, ':') : NULL;
    char *path = strndup(where, colon ? (size_t)(colon - where) : strlen(where));
    struct checkpoint *st = path ? checkpoint_open(path, e) : NULL;
    const struct st_tensor *t = !st                         ? NULL
                                : colon                     ? checkpoint_find(st, colon + 1)
                                : checkpoint_count(st) == 1 ? checkpoint_at(st, 0)
                                                            : NULL;
    int rc = st ? 0 : path ? err_code(e) : err_memory(e, "a detection pattern");
    const char *near = st ? checkpoint_nearest(st, colon ? colon + 1 : "") : NULL;
    if (st && !t)
        rc = err_set(e, ERR_BAD_INPUT,
                     colon ? "%s · no such tensor · the nearest is %s:%s"
                           : "%s · it has several tensors or none · e.g. %s:%s",
                     where, path, near ? near : "NAME");
    if (!rc)
        rc = read_tensor(where, t, n, pattern, e);
    checkpoint_close(st);
    free(path);
    return rc;
}

/* What the positions so far add up to for one head. */
struct sums {
    double hit, all, diff;
};

/* Rows [row0, ...) of one head's attention, host memory. */
static void add_rows(struct sums *sums, const struct kn_view *v, int64_t head, int32_t row0,
                     const float *pattern, const struct detect_options *o)
{
    int32_t n = (int32_t)v->shape[2];
    for (int32_t i = 0; i < (int32_t)v->shape[1]; i++)
        for (int32_t s = 0; s < n; s++) {
            if ((o->exclude_bos && s == 0) || (o->exclude_current_token && s == row0 + i))
                continue;
            double a = (double)kn_f32(v)[head * v->stride[0] + i * v->stride[1] + s],
                   want = (double)pattern[(int64_t)(row0 + i) * n + s];
            sums->hit += a * want;
            sums->all += a;
            sums->diff += fabs(a - want);
        }
}

/* Sums of every head of a layer, a block of rows at a time. */
static int layer_sums(struct run *r, int32_t layer, const float *pattern,
                      const struct detect_options *o, struct sums *sums, struct err *e)
{
    enum { ROWS = 256 };
    int32_t n = run_length(r), heads = run_model(r)->cfg.n_heads;
    int rc = 0;
    memset(sums, 0, (size_t)heads * sizeof *sums);
    for (int32_t row = 0; !rc && row < n; row += ROWS) {
        struct kn_view v;
        struct host_view host = {0};
        rc = run_view(r, (struct site_ref){SITE_PATTERN, layer}, row,
                      row + ROWS < n ? row + ROWS : n, &v, e);
        if (!rc)
            rc = host_view_get(&host, run_model(r)->be, &v, e);
        for (int32_t h = 0; !rc && h < heads; h++)
            add_rows(&sums[h], &host.v, h, row, pattern, o);
        host_view_drop(&host);
    }
    return rc;
}

int detect_head(struct run *r, const float *pattern, const struct detect_options *opt,
                float *scores, struct err *e)
{
    int32_t n = run_length(r), heads = run_model(r)->cfg.n_heads;
    struct sums *sums = malloc((size_t)heads * sizeof *sums);
    int rc = sums ? 0 : err_memory(e, "detect_head");
    if (!rc && run_model(r)->cfg.bidirectional)
        rc = err_set(
            e, ERR_BAD_INPUT,
            "detect_head · its patterns are of causal heads, attention looks both ways here "
            "· borescope attn prints every source");
    if (!rc && n < 2)
        rc = err_set(e, ERR_BAD_INPUT, "detect_head · needs two tokens or more, the prompt has %d",
                     n);
    if (!rc)
        rc = check_triangle("detect_head", pattern, n, e);
    for (int32_t l = 0; !rc && l < run_model(r)->cfg.n_layers; l++) {
        rc = layer_sums(r, l, pattern, opt, sums, e);
        for (int32_t h = 0; !rc && h < heads; h++) /* mean over n x n, times n, rounded */
            scores[l * heads + h] = (float)(opt->abs ? 1 - nearbyint(sums[h].diff / n * 1000) / 1000
                                                     : sums[h].hit / sums[h].all);
    }
    free(sums);
    return rc;
}
