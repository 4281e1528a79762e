/* metric.c - see metric.h.  Softmaxes are taken in double. */
#include "measure/metric.h"

#include "base/number.h"
#include "edit/token_nearest.h"
#include "run/run_device.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scanner {
    const char *text, *at;
    const struct tokenizer *tok;
    int32_t d_vocab;
    struct err *e;
};

static void skip(struct scanner *s)
{
    while (isspace((unsigned char)*s->at))
        s->at++;
}

static bool take(struct scanner *s, char c)
{
    skip(s);
    if (*s->at != c)
        return false;
    s->at++;
    return true;
}

static int expected(struct scanner *s, const char *what)
{
    return err_set(s->e, ERR_BAD_INPUT, "metric \"%s\" · column %d · expected %s", s->text,
                   (int)(s->at - s->text) + 1, what);
}

static int take_int(struct scanner *s, int32_t *out, const char *what)
{
    skip(s);
    char *end;
    long v = strtol(s->at, &end, 10);
    if (end == s->at || v < -LIMIT_VOCAB || v > LIMIT_VOCAB)
        return expected(s, what);
    s->at = end;
    *out = (int32_t)v;
    return 0;
}

/* An id, or the text of one token in quotes (\" and \\ escape). */
static int take_token(struct scanner *s, int32_t *out)
{
    skip(s);
    if (*s->at != '"') {
        int rc = take_int(s, out, "a token id or a quoted token");
        if (!rc && (*out < 0 || *out >= s->d_vocab))
            return err_set(s->e, ERR_BAD_INPUT,
                           "metric \"%s\" · token %d · this model's vocabulary is 0..%d", s->text,
                           *out, s->d_vocab - 1);
        return rc;
    }
    char text[LIMIT_NAME], near[TOKEN_NEAREST_MAX];
    size_t n = 0;
    for (s->at++; *s->at && *s->at != '"' && n < sizeof text - 1; s->at++) {
        if (*s->at == '\\' && s->at[1])
            s->at++;
        text[n++] = *s->at;
    }
    text[n] = '\0';
    if (!take(s, '"'))
        return expected(s, "the closing quote of a token");
    *out = tokenizer_find(s->tok, text, n);
    if (*out < 0)
        return err_set(s->e, ERR_BAD_INPUT,
                       "metric \"%s\" · \"%s\" is not one token of this model · %s", s->text, text,
                       token_nearest(s->tok, text, n, near));
    return 0;
}

static int take_term(struct scanner *s, struct metric_term *t)
{
    static const char *const names[] = {"logit", "logprob", "loss", "kl"};
    skip(s);
    char *end;
    double f = number_double(s->at, &end);
    if (end != s->at) {
        t->factor *= f;
        s->at = end;
        if (!take(s, '*'))
            return expected(s, "* after a factor");
        skip(s);
    }
    size_t len = strspn(s->at, "abcdefghijklmnopqrstuvwxyz");
    int kind = -1;
    for (int i = 0; i < 4; i++)
        if (strlen(names[i]) == len && !strncmp(names[i], s->at, len))
            kind = i;
    if (kind < 0)
        return expected(s, "logit[pos, token], logprob[pos, token], loss or kl");
    s->at += len;
    t->kind = (enum metric_kind)kind;
    t->pos = -1;
    if (kind == METRIC_LOSS || !take(s, '['))
        return kind >= METRIC_LOSS ? 0 : expected(s, "[pos, token]");
    int rc = take_int(s, &t->pos, "a position such as 3 or -1");
    if (!rc && kind != METRIC_KL)
        rc = take(s, ',') ? take_token(s, &t->token) : expected(s, ", and a token");
    return rc ? rc : take(s, ']') ? 0 : expected(s, "]");
}

int metric_parse(struct metric *out, const char *text, const struct tokenizer *tok, int32_t d_vocab,
                 struct err *e)
{
    struct scanner s = {text, text, tok, d_vocab, e};
    struct metric m = {.n = 0};
    for (bool first = true;; first = false) {
        double sign = take(&s, '-') ? -1 : 1;
        if (sign > 0 && !take(&s, '+') && !first) {
            skip(&s);
            if (*s.at)
                return expected(&s, "+, - or the end");
            *out = m;
            return 0;
        }
        if (m.n == METRIC_TERMS_MAX)
            return err_set(e, ERR_BAD_INPUT, "metric \"%s\" · more than %d terms", text,
                           METRIC_TERMS_MAX);
        m.terms[m.n] = (struct metric_term){.factor = sign};
        int rc = take_term(&s, &m.terms[m.n++]);
        if (rc)
            return rc;
    }
}

static int32_t at_row(const struct metric_term *t, int32_t n)
{
    return t->pos < 0 ? n + t->pos : t->pos;
}

int metric_rows(const struct metric *m, int32_t n, int32_t *row0, int32_t *row1, struct err *e)
{
    *row0 = n, *row1 = 0;
    for (int32_t i = 0; i < m->n; i++) {
        const struct metric_term *t = &m->terms[i];
        int32_t lo = t->kind == METRIC_LOSS ? 0 : at_row(t, n),
                hi = t->kind == METRIC_LOSS ? n - 1 : lo + 1;
        if (t->kind == METRIC_LOSS && n < 2)
            return err_set(e, ERR_BAD_INPUT,
                           "metric loss · needs two tokens or more, the prompt has %d", n);
        if (lo < 0 || hi > n)
            return err_set(e, ERR_BAD_INPUT,
                           "metric · position %d · the prompt has positions %d..%d", t->pos, -n,
                           n - 1);
        *row0 = lo < *row0 ? lo : *row0;
        *row1 = hi > *row1 ? hi : *row1;
    }
    return 0;
}

static double log_sum_exp(const float *x, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, (double)x[i]);
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i] - most);
    return most + log(sum);
}

static int logits_get(struct host_view *h, struct run *r, int32_t row0, int32_t row1, struct err *e)
{
    struct kn_view v;
    int rc = run_view(r, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, row0, row1, &v, e);
    return rc ? rc : host_view_get(h, run_model(r)->be, &v, e);
}

/* Value and, where g is not NULL, gradient of one term at one row.  b: the base's logits, for kl.
 */
static double term_at(const struct metric_term *t, double factor, int32_t token, const float *x,
                      const float *b, int64_t n, float *g)
{
    double lse = t->kind == METRIC_LOGIT ? 0 : log_sum_exp(x, n), value = 0;
    if (t->kind == METRIC_KL) {
        if (!b)
            return 0;
        double lse_b = log_sum_exp(b, n);
        for (int64_t i = 0; i < n; i++) {
            double p = exp((double)b[i] - lse_b), q = (double)x[i] - lse;
            value += p > 0 ? p * ((double)b[i] - lse_b - q) : 0;
            if (g)
                g[i] += (float)(factor * (exp(q) - p));
        }
        return factor * value;
    }
    if (g) {
        if (t->kind != METRIC_LOGIT)
            for (int64_t i = 0; i < n; i++)
                g[i] -= (float)(factor * exp((double)x[i] - lse));
        g[token] += (float)factor;
    }
    return factor * ((double)x[token] - lse);
}

static const float *row_of(const struct host_view *h, int64_t i)
{
    return h->v.ndim ? kn_f32(&h->v) + i * h->v.stride[0] : NULL;
}

/* All terms on rows [row0, row1): the sum of their values goes to *value. */
static int rows_eval(const struct metric *m, struct run *r, struct run *base, int32_t row0,
                     int32_t row1, float *g, double *value, struct err *e)
{
    enum { BLOCK = 64 };
    int32_t n = run_length(r);
    int64_t d_vocab = run_model(r)->cfg.d_vocab;
    for (int32_t a = row0; a < row1; a += BLOCK) {
        int32_t b = a + BLOCK < row1 ? a + BLOCK : row1;
        struct host_view h = {0}, hb = {0};
        int rc = logits_get(&h, r, a, b, e);
        for (int32_t i = 0; !rc && base && i < m->n && !hb.v.ndim; i++)
            if (m->terms[i].kind == METRIC_KL)
                rc = logits_get(&hb, base, a, b, e);
        for (int32_t row = a; !rc && row < b; row++)
            for (int32_t i = 0; i < m->n; i++) {
                const struct metric_term *t = &m->terms[i];
                bool loss = t->kind == METRIC_LOSS;
                if (loss ? row >= n - 1 : row != at_row(t, n))
                    continue;
                *value += term_at(t, loss ? -t->factor / (n - 1) : t->factor,
                                  loss ? run_tokens(r)[row + 1] : t->token, row_of(&h, row - a),
                                  row_of(&hb, row - a), d_vocab,
                                  g ? g + (row - row0) * d_vocab : NULL);
            }
        host_view_drop(&h), host_view_drop(&hb);
        if (rc)
            return rc;
    }
    return 0;
}

int metric_value(const struct metric *m, struct run *r, struct run *base, double *out,
                 struct err *e)
{
    int32_t row0, row1;
    double value = 0;
    int rc = metric_rows(m, run_length(r), &row0, &row1, e);
    if (!rc)
        rc = rows_eval(m, r, base, row0, row1, NULL, &value, e);
    if (!rc)
        *out = value;
    return rc;
}

int metric_gradient(const struct metric *m, struct run *r, struct run *base, int32_t row0,
                    int32_t row1, float *g, struct err *e)
{
    double unused = 0;
    return rows_eval(m, r, base, row0, row1, g, &unused, e);
}
