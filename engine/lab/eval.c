/* eval.c - see eval.h. */
#include "lab/eval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/eval_parts.h"

struct job {
    struct eval_flow flow;
    const struct eval_work *w;
    struct units units;
    bool edited, has_text; /* tokens stand for bytes */
    int32_t cap;
    int32_t *pos;                   /* [cap] of the tokens that count */
    struct lens_next *base, *other; /* [cap] of rows, `other` with edits */
    double *kl;                     /* [cap] */
};

static int job_room(struct job *j, int32_t n, struct err *e)
{
    if (n <= j->cap)
        return 0;
    free(j->pos), free(j->base), free(j->other), free(j->kl);
    j->pos = malloc((size_t)n * sizeof *j->pos);
    j->base = malloc((size_t)n * sizeof *j->base);
    j->other = malloc((size_t)n * sizeof *j->other);
    j->kl = malloc((size_t)n * sizeof *j->kl);
    j->cap = n;
    return j->pos && j->base && j->other && j->kl ? 0 : err_memory(e, "%d tokens", (int)n);
}

/* What rows [row0, row1) expect, without and with edits; rows that edits do not reach are read
 * once. */
static int expect(struct job *j, struct pair *pair, int32_t row0, int32_t row1, struct err *e)
{
    struct run *base = pair_run(pair, FACE_BASE), *edited = pair_run(pair, FACE_EDITED);
    int32_t first = j->edited ? pair_first_changed_row(pair, j->w->m->cfg.n_layers + 1) : row1,
            same;
    first = first < row0 ? row0 : first > row1 ? row1 : first;
    same = first - row0;
    int rc = lens_next(base, row0, row1, j->base, e);
    memcpy(j->other, j->base, (size_t)same * sizeof *j->other);
    for (int32_t i = 0; i < same; i++)
        j->kl[i] = 0;
    if (!rc && first < row1)
        rc = lens_next(edited, first, row1, j->other + same, e);
    if (!rc && first < row1)
        rc = lens_kl_rows(base, edited, first, row1, j->kl + same, e);
    return rc;
}

/* Bytes of the text that tokens [0, n) of its beginning stand for. */
static size_t bytes_of_first(const struct job *j, const int32_t *tokens, size_t n)
{
    size_t len = 0;
    free(tokenizer_decode(j->w->m->tok, tokens, n, TOKENIZER_SKIP_SPECIAL, &len, NULL));
    return len;
}

/* The same of token t.  The first one of a text may have a blank in front that is not the text's.
 */
static size_t bytes_of(const struct job *j, const struct text_piece *p, int32_t t)
{
    size_t bytes;
    if (!j->has_text)
        return 0;
    if (p->start + t == 1)
        return bytes_of_first(j, p->tokens, 2) - bytes_of_first(j, p->tokens, 1);
    tokenizer_text(j->w->m->tok, p->tokens[t], &bytes);
    return bytes;
}

static int add_piece(void *user, const struct text_piece *p, struct pair *pair, struct err *e)
{
    struct job *j = user;
    double *sum = eval_flow_text(&j->flow, p->text);
    int rc = sum ? job_room(j, p->n, e) : err_memory(e, "a text");
    int32_t n = rc ? 0 : token_filter_rows(j->w->filter, p, j->pos), i = 0;
    if (n && j->pos[0] == 0) /* no token stands before it */
        i = 1;
    if (rc || i == n)
        return rc;
    int32_t row0 = j->pos[i] - 1;
    rc = expect(j, pair, row0, j->pos[n - 1], e);
    for (; i < n && !rc; i++) {
        int32_t row = j->pos[i] - 1 - row0;
        eval_token_add(&j->flow, sum, p->tokens[j->pos[i]], bytes_of(j, p, j->pos[i]),
                       &j->base[row], &j->other[row], j->kl[row]);
    }
    return rc;
}

static double share_of(const void *job)
{
    return texts_share(((const struct job *)job)->units.texts);
}

static int64_t units_of(const void *job)
{
    return units_count(&((const struct job *)job)->units);
}

/* Of a causal model. */
static int run_causal(struct eval *v, struct texts *t, const struct eval_work *w, struct err *e)
{
    struct job j = {.flow = {.v = v, .w = w, .share = share_of, .units = units_of},
                    .w = w,
                    .units = {.texts = t, .ranks = w->ranks},
                    .edited = v->edited,
                    .has_text = strcmp(tokenizer_kind(w->m->tok), "none") != 0};
    const struct batch_source source = {units_next, units_place, &j.units};
    int rc = eval_flow_run(&j.flow, &source, add_piece, e);
    free(j.pos), free(j.base), free(j.other), free(j.kl);
    return rc;
}

int eval_run(struct eval *v, struct texts *t, const struct eval_work *w, struct err *e)
{
    int rc = lens_check(w->m, e);
    v->edited = w->target->n_edits > 0, v->top = w->top, v->masked = w->m->cfg.bidirectional;
    if (!rc)
        rc = texts_seek(t, &v->place, e);
    if (!rc)
        rc = v->masked ? eval_masked_run(v, t, w, e) : run_causal(v, t, w, e);
    if (!rc && !v->texts && !ranks_rank(w->ranks))
        rc = err_set(e, ERR_BAD_INPUT,
                     "eval · no token counts · the texts are empty or of one token, or the "
                     "filters leave nothing");
    return rc;
}

/* ---- measures ---- */

enum unit { PLAIN, BITS, POWER };

static const struct measure {
    const char *name;
    enum eval_sum sum, over;
    enum unit unit;
    enum { TOKENS, CHOICES, EDITS } of; /* EDITS: only with them, of tokens and choices */
} measures[] = {
#define MEASURE(name, sum, over, unit, help) {#name, EVAL_##sum, EVAL_##over, unit, TOKENS},
#define CHOICE(name, sum, over, unit, help) {#name, EVAL_##sum, EVAL_##over, unit, CHOICES},
#define EDITED(name, sum, over, unit, help) {#name, EVAL_##sum, EVAL_##over, unit, EDITS},
#include "lab/eval.def"
};

/* A measure of the sums, without edits or with; `sign` times its gradient is added to g. */
static double measure_of(const struct eval *v, const struct measure *m, bool edited, double sign,
                         double g[EVAL_SUMS])
{
    double over = v->sum[m->over], scale = m->unit == BITS ? 1 / log(2) : 1,
           sum = v->sum[m->sum] + (edited ? v->sum[m->sum + EVAL_CHANGE] : 0),
           value = over > 0 ? scale * sum / over : NAN, power = m->unit == POWER ? exp(value) : 1,
           slope = sign * power / over;
    g[m->sum] += slope * scale;
    if (edited)
        g[m->sum + EVAL_CHANGE] += slope * scale;
    g[m->over] -= slope * value;
    return m->unit == POWER ? power : value;
}

static double error_of(const struct eval *v, const double g[EVAL_SUMS])
{
    double sum = 0, n = (double)v->texts;
    for (int a = 0; a < EVAL_SUMS; a++)
        for (int b = 0; b < EVAL_SUMS; b++)
            if (g[a] != 0 && g[b] != 0)
                sum += g[a] * g[b] * v->product[a][b];
    return n < 2 ? NAN : sqrt((sum < 0 ? 0 : sum) * n / (n - 1));
}

static void name_of(char *out, size_t size, const char *name, int32_t top)
{
    const char *k = strchr(name, 'K');
    if (k)
        snprintf(out, size, "%.*s%d%s", (int)(k - name), name, (int)top, k + 1);
    else
        snprintf(out, size, "%s", name);
}

int eval_values(const struct eval *v, struct eval_value out[EVAL_MEASURES])
{
    int n = 0;
    for (int i = 0; i < EVAL_MEASURES; i++) {
        const struct measure *m = &measures[i];
        double base[EVAL_SUMS] = {0}, edited[EVAL_SUMS] = {0}, both[EVAL_SUMS] = {0};
        struct eval_value x = {(enum eval_measure)i, "", NAN, NAN, NAN, NAN, NAN, NAN};
        bool edits = m->of == EDITS;
        if (edits ? !v->edited : (m->of == CHOICES) != v->choices)
            continue;
        if (v->images && m->unit != PLAIN) /* which are of text */
            continue;
        name_of(x.name, sizeof x.name, m->name, v->top);
        if (!edits) {
            x.base = measure_of(v, m, false, 1, base);
            x.base_error = error_of(v, base);
        }
        if (v->edited) {
            x.edited = measure_of(v, m, !edits, 1, edited);
            x.edited_error = error_of(v, edited);
        }
        if (!edits && v->edited) {
            x.difference = measure_of(v, m, true, 1, both) - measure_of(v, m, false, -1, both);
            x.difference_error = error_of(v, both);
        }
        out[n++] = x;
    }
    return n;
}
