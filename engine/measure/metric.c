/* metric.c - see metric.h.  Softmaxes are taken in double. */
#include "measure/metric.h"

#include "base/number.h"
#include "edit/token_nearest.h"
#include "measure/lens.h"
#include "run/run_device.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
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

const char *metric_token(const struct tokenizer *tok, int32_t id, char buf[LIMIT_NAME])
{
    size_t len;
    const char *text = tokenizer_text(tok, id, &len);
    bool plain = len > 0 && len + 3 < LIMIT_NAME && tokenizer_find(tok, text, len) == id;
    for (size_t i = 0; i < len && plain; i++)
        plain = (unsigned char)text[i] >= ' ' && text[i] != 0x7f && text[i] != '"' &&
                text[i] != '\\';
    if (plain)
        snprintf(buf, LIMIT_NAME, "\"%.*s\"", (int)len, text);
    else
        snprintf(buf, LIMIT_NAME, "%d", (int)id);
    return buf;
}

static int take_term(struct scanner *s, struct metric_term *t)
{
    static const char *const names[] = {"logit", "logprob", "loss", "kl", "rank"};
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
    for (int i = 0; i <= METRIC_RANK; i++)
        if (strlen(names[i]) == len && !strncmp(names[i], s->at, len))
            kind = i;
    if (kind < 0)
        return expected(s, "logit[pos, token], logprob[pos, token], rank[pos, token], loss or kl");
    s->at += len;
    t->kind = (enum metric_kind)kind;
    t->pos = -1;
    if (kind == METRIC_LOSS || !take(s, '['))
        return kind == METRIC_LOSS || kind == METRIC_KL ? 0 : expected(s, "[pos, token]");
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

/* The rows [*lo, *hi) that a term reads, be they there or not. */
static void rows_of(const struct metric_term *t, int32_t n, int32_t *lo, int32_t *hi)
{
    bool all = t->pos == METRIC_ALL_POS && t->kind == METRIC_KL, loss = t->kind == METRIC_LOSS;
    *lo = all || loss ? 0 : at_row(t, n);
    *hi = all ? n : loss ? n - 1 : *lo + 1;
}

int metric_check(const struct metric *m, const struct model *model, struct err *e)
{
    for (int32_t i = 0; i < m->n; i++)
        if (m->terms[i].kind == METRIC_LOSS && model->cfg.bidirectional)
            return err_set(e, ERR_BAD_INPUT, "metric loss · %s", LENS_NO_LOSS);
    return lens_check(model, e);
}

int metric_check_gradient(const struct metric *m, const struct model *model, struct err *e)
{
    for (int32_t i = 0; i < m->n; i++)
        if (m->terms[i].kind == METRIC_RANK)
            return err_set(e, ERR_BAD_INPUT,
                           "metric rank[] · it has no gradient · logit[pos, token] has");
    return metric_check(m, model, e);
}

int metric_rows(const struct metric *m, int32_t n, int32_t *row0, int32_t *row1, struct err *e)
{
    *row0 = n, *row1 = 0;
    for (int32_t i = 0; i < m->n; i++) {
        const struct metric_term *t = &m->terms[i];
        int32_t lo, hi;
        rows_of(t, n, &lo, &hi);
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

static int logits_view(struct run *r, int32_t row0, int32_t row1, struct kn_view *v, struct err *e)
{
    return run_view(r, (struct site_ref){site_logits(&run_model(r)->cfg), SITE_ROOT}, row0, row1, v,
                    e);
}

static int logits_get(struct host_view *h, struct run *r, int32_t row0, int32_t row1, struct err *e)
{
    struct kn_view v;
    int rc = logits_view(r, row0, row1, &v, e);
    return rc ? rc : host_view_get(h, run_model(r)->be, &v, e);
}

/* Value of one term at one row.  b: the base's logits, for kl. */
static double term_at(const struct metric_term *t, double factor, int32_t token, const float *x,
                      const float *b, int64_t n)
{
    if (t->kind == METRIC_KL)
        return b ? factor * lens_kl_logits(b, x, n) : 0;
    if (t->kind == METRIC_RANK) {
        int64_t above = 0;
        for (int64_t i = 0; i < n; i++)
            above += x[i] > x[token];
        return isnan(x[token]) ? NAN : factor * (double)above;
    }
    return factor * ((double)x[token] - (t->kind == METRIC_LOGIT ? 0 : kn_log_sum_exp(x, n)));
}

static const float *row_of(const struct host_view *h, int64_t i)
{
    return h->v.ndim ? kn_f32(&h->v) + i * h->v.stride[0] : NULL;
}

/* Rows of [a, b) that a term reads. */
static void term_rows(const struct metric_term *t, int32_t n, int32_t *a, int32_t *b)
{
    int32_t lo, hi;
    rows_of(t, n, &lo, &hi);
    *a = lo > *a ? lo : *a;
    *b = hi < *b ? hi : *b;
}

static double term_factor(const struct metric_term *t, int32_t n)
{
    return t->kind == METRIC_LOSS          ? -t->factor / (n - 1)
           : t->pos == METRIC_ALL_POS && n ? t->factor / n
                                           : t->factor;
}

/* The place of a value in an ascending list, put there if it is new. */
static int32_t place_of(int32_t *list, int32_t *n, int32_t value)
{
    int32_t i = 0;
    while (i < *n && list[i] < value)
        i++;
    if (i < *n && list[i] == value)
        return i;
    memmove(list + i + 1, list + i, (size_t)(*n - i) * sizeof *list);
    list[i] = value;
    ++*n;
    return i;
}

int metric_reads(const struct metric *m, int32_t n, struct metric_reads *out, struct err *e)
{
    struct metric_reads r = {0};
    int32_t row0, row1;
    int rc = metric_rows(m, n, &row0, &row1, e);
    if (rc)
        return rc;
    bool loss = false, few = true;
    for (int32_t i = 0; i < m->n; i++) {
        loss |= m->terms[i].kind == METRIC_LOSS;
        few &= m->terms[i].kind == METRIC_LOGIT;
    }
    r.rows = calloc((size_t)n + METRIC_TERMS_MAX, sizeof *r.rows);
    r.tokens = calloc(METRIC_TERMS_MAX + 1, sizeof *r.tokens);
    if (!r.rows || !r.tokens) {
        metric_reads_free(&r);
        return err_memory(e, "a metric");
    }
    for (int32_t row = 0; loss && row < n - 1; row++)
        r.rows[r.n_rows++] = row;
    for (int32_t i = 0; i < m->n; i++) {
        int32_t lo, hi;
        rows_of(&m->terms[i], n, &lo, &hi);
        for (int32_t row = lo; row < hi && m->terms[i].kind != METRIC_LOSS; row++)
            place_of(r.rows, &r.n_rows, row);
        if (few)
            place_of(r.tokens, &r.n_tokens, m->terms[i].token);
    }
    *out = r;
    return 0;
}

void metric_reads_free(struct metric_reads *r)
{
    free(r->rows), free(r->tokens);
    *r = (struct metric_reads){0};
}

double metric_of(const struct metric *m, const struct metric_reads *r, const float *logits,
                 const float *base, const int32_t *prompt, int32_t n, int64_t d_vocab)
{
    int64_t width = r->n_tokens ? r->n_tokens : d_vocab;
    double value = 0;
    for (int32_t k = 0; k < r->n_rows; k++)
        for (int32_t i = 0; i < m->n; i++) {
            const struct metric_term *t = &m->terms[i];
            int32_t row = r->rows[k], lo = row, hi = row + 1, count = r->n_tokens;
            term_rows(t, n, &lo, &hi);
            if (lo >= hi)
                continue;
            int32_t token = t->kind == METRIC_LOSS ? prompt[row + 1]
                            : r->n_tokens          ? place_of(r->tokens, &count, t->token)
                                                   : t->token;
            value += term_at(t, term_factor(t, n), token, logits + k * width,
                             base ? base + k * width : NULL, width);
        }
    return value;
}

enum { BLOCK = 64 };

/* Logits of a few tokens need no more of the unembedding than their part. */
static int few_value(const struct metric *m, const struct metric_reads *reads, struct run *r,
                     double *out, struct err *e)
{
    float *logits = malloc((size_t)reads->n_rows * (size_t)reads->n_tokens * sizeof *logits);
    int rc = logits ? run_logits(r, reads->rows, reads->n_rows, reads->tokens, reads->n_tokens,
                                 logits, e)
                    : err_memory(e, "logits");
    if (!rc)
        *out = metric_of(m, reads, logits, NULL, run_tokens(r), run_length(r),
                         run_model(r)->cfg.d_vocab);
    free(logits);
    return rc;
}

int metric_value(const struct metric *m, struct run *r, struct run *base, double *out,
                 struct err *e)
{
    int32_t row0, row1, n = run_length(r);
    int64_t d_vocab = run_model(r)->cfg.d_vocab;
    double value = 0;
    struct metric_reads reads = {0};
    int rc = metric_reads(m, n, &reads, e);
    if (!rc && reads.n_tokens)
        rc = few_value(m, &reads, r, out, e);
    bool few = reads.n_tokens > 0;
    metric_reads_free(&reads);
    if (rc || few)
        return rc;
    rc = metric_rows(m, n, &row0, &row1, e);
    for (int32_t a = row0; !rc && a < row1; a += BLOCK) {
        int32_t b = a + BLOCK < row1 ? a + BLOCK : row1;
        struct host_view h = {0}, hb = {0};
        rc = logits_get(&h, r, a, b, e);
        for (int32_t i = 0; !rc && base && i < m->n && !hb.v.ndim; i++)
            if (m->terms[i].kind == METRIC_KL)
                rc = logits_get(&hb, base, a, b, e);
        for (int32_t row = a; !rc && row < b; row++)
            for (int32_t i = 0; i < m->n; i++) {
                const struct metric_term *t = &m->terms[i];
                int32_t lo = row, hi = row + 1;
                term_rows(t, n, &lo, &hi);
                if (lo < hi)
                    value += term_at(t, term_factor(t, n),
                                     t->kind == METRIC_LOSS ? run_tokens(r)[row + 1] : t->token,
                                     row_of(&h, row - a), row_of(&hb, row - a), d_vocab);
            }
        host_view_drop(&h), host_view_drop(&hb);
    }
    if (!rc)
        *out = value;
    return rc;
}

/* d term / d logits of the rows [a, b) that it reads, added to g. */
static int term_back(const struct metric_term *t, struct run *r, struct run *base, int32_t a,
                     int32_t b, const struct kn_view *g, struct err *e)
{
    const struct model *model = run_model(r);
    struct kn_backend *be = model_backend(model, model->cfg.n_layers + 1);
    double factor = term_factor(t, run_length(r));
    struct kn_call c = {.op = KN_OP_SOFTMAX_GRAD, .out = {*g}, .p = {.factor = factor}};
    if (t->kind == METRIC_LOGIT) {
        struct kn_param p = {.edit = KN_EDIT_ADD, .number = (float)factor, .scale = 1};
        p.range[1] = (struct kn_range){t->token, 1, 1};
        return run_status(kn_run(be, &(struct kn_call){.op = KN_OP_EDIT, .out = {*g}, .p = p}), e);
    }
    if (t->kind == METRIC_KL && !base)
        return 0;
    int rc = logits_view(r, a, b, &c.in[0], e);
    if (!rc && t->kind == METRIC_KL)
        rc = logits_view(base, a, b, &c.in[2], e);
    const int32_t *ids = t->kind == METRIC_LOSS ? run_tokens(r) + a + 1 : &t->token;
    struct kn_view host = kn_view1((void *)(uintptr_t)ids, KN_I32, b - a);
    if (!rc && t->kind != METRIC_KL)
        rc = run_status(be->type->import(be, &host, &c.in[1]), e);
    if (!rc)
        rc = run_status(kn_run(be, &c), e);
    be->type->forget(be, &c.in[1]);
    return rc;
}

int metric_gradient(const struct metric *m, struct run *r, struct run *base, int32_t row0,
                    int32_t row1, const struct kn_view *g, struct err *e)
{
    int rc = 0;
    for (int32_t from = row0; !rc && from < row1; from += BLOCK)
        for (int32_t i = 0; !rc && i < m->n; i++) {
            int32_t a = from, b = from + BLOCK < row1 ? from + BLOCK : row1;
            term_rows(&m->terms[i], run_length(r), &a, &b);
            struct kn_view rows = a < b ? kn_slice(*g, 0, a - row0, b - row0) : *g;
            if (a < b)
                rc = term_back(&m->terms[i], r, base, a, b, &rows, e);
        }
    return rc;
}
