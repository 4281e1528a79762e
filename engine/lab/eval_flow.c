/* eval_flow.c - units of an evaluation: what each adds to its texts, merged in their order
 * (eval_parts.h). */
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "lab/about.h"
#include "lab/eval_parts.h"

/* What text[] holds is all of a text. */
static void text_end(struct eval *v)
{
    if (v->text[EVAL_TOKENS] > 0)
        v->texts++;
    for (int a = 0; a < EVAL_SUMS; a++) {
        v->sum[a] += v->text[a];
        for (int b = 0; b < EVAL_SUMS; b++)
            v->product[a][b] += v->text[a] * v->text[b];
    }
    memset(v->text, 0, sizeof v->text);
}

double *eval_flow_text(struct eval_flow *f, int64_t text)
{
    if (f->n && f->part[f->n - 1].text == text)
        return f->part[f->n - 1].sum;
    if (!list_room(&f->part, f->n, sizeof *f->part))
        return NULL;
    f->part[f->n] = (struct eval_part){.text = text};
    return f->part[f->n++].sum;
}

void eval_token_add(struct eval_flow *f, double x[EVAL_SUMS], int32_t token, size_t bytes,
                    const struct lens_next *base, const struct lens_next *other, double kl)
{
    int32_t top = f->w->top;
    bool top1 = base->best == token, topk = base->rank < top;
    x[EVAL_TOKENS]++;
    x[EVAL_BYTES] += (double)bytes;
    x[EVAL_LOSS] += (double)base->loss;
    x[EVAL_TOP1] += top1;
    x[EVAL_TOPK] += topk;
    x[EVAL_LOSS_CHANGE] += (double)other->loss - (double)base->loss;
    x[EVAL_TOP1_CHANGE] += (other->best == token) - top1;
    x[EVAL_TOPK_CHANGE] += (other->rank < top) - topk;
    x[EVAL_KL] += kl;
    x[EVAL_AGREE] += base->best == other->best;
    f->counted++;
}

/* ---- units ---- */

/* A unit as bytes: where the next one begins, then its parts. */
static int unit_done(void *user, int64_t unit, const struct texts_place *next, struct err *e)
{
    struct eval_flow *f = user;
    size_t parts = f->n * sizeof *f->part;
    char *bytes = malloc(sizeof *next + parts);
    if (!bytes)
        return err_memory(e, "%zu texts", f->n);
    memcpy(bytes, next, sizeof *next);
    if (parts)
        memcpy(bytes + sizeof *next, f->part, parts);
    int rc = gather_give(&f->gather, unit, bytes, sizeof *next + parts, e);
    free(bytes), free(f->part);
    f->part = NULL, f->n = 0;
    return rc;
}

static int unit_merge(void *user, const void *bytes, size_t len, struct err *e)
{
    struct eval *v = ((struct eval_flow *)user)->v;
    const char *at = bytes, *end = at + len;
    struct eval_part p;
    if (len < sizeof v->place || (len - sizeof v->place) % sizeof p)
        return err_set(e, ERR_SYSTEM, "a unit of an evaluation of %zu bytes", len);
    memcpy(&v->place, at, sizeof v->place);
    for (at += sizeof v->place; at < end; at += sizeof p) {
        memcpy(&p, at, sizeof p);
        if (p.text != v->at)
            text_end(v);
        v->at = p.text;
        for (int k = 0; k < EVAL_SUMS; k++)
            v->text[k] += p.sum[k];
    }
    return 0;
}

static int tell(struct eval_flow *f, double share, struct err *e)
{
    struct gather_news news;
    int rc = gather_poll(&f->gather, f->counted, share, &news, e);
    return rc || ranks_rank(f->w->ranks) || !f->w->rest ? rc
                                                        : f->w->rest(f->w->user, f->v, &news, e);
}

static int between(void *user, const struct texts_place *next, struct err *e)
{
    struct eval_flow *f = user;
    (void)next;
    return tell(f, f->share(f), e);
}

static int wait(void *user, struct err *e)
{
    return tell(user, 1, e);
}

int eval_flow_run(struct eval_flow *f, const struct batch_source *s, batch_fn *done, struct err *e)
{
    const struct batch_work work = {.m = f->w->m,
                                    .target = f->w->target,
                                    .cache_bytes = f->w->cache_bytes,
                                    .done = done,
                                    .user = f,
                                    .unit_done = unit_done,
                                    .rest = between};
    f->gather = (struct gather){.ranks = f->w->ranks, .merge = unit_merge, .user = f};
    f->counted = (int64_t)(f->v->sum[EVAL_TOKENS] + f->v->text[EVAL_TOKENS]);
    int rc = batch_run_from(s, &work, e);
    if (!rc)
        rc = gather_end(&f->gather, f->units(f), wait, f, e);
    gather_free(&f->gather);
    free(f->part);
    text_end(f->v);
    return rc;
}

int eval_about(struct eval *v, const struct eval_work *w, bool choices, struct err *e)
{
    const struct token_filter all = {0};
    const struct texts_options usual = {0};
    const int32_t numbers[] = {w->top, choices};
    struct fingerprint rest = {0, 0};
    char *text;
    fingerprint_add(&rest, numbers, sizeof numbers);
    int rc = about_make(&text, w->m, w->options ? w->options : &usual, w->target,
                        w->filter ? w->filter : &all, rest, e);
    if (rc)
        return rc;
    const char *read = strstr(text, ABOUT_READ);
    struct fingerprint asked = {0, 0}, all_of_it = {0, 0};
    fingerprint_add(&asked, text, read ? (size_t)(read - text) : strlen(text));
    fingerprint_add(&all_of_it, text, strlen(text));
    v->about = (struct fingerprint){asked.a, all_of_it.b};
    free(text);
    return 0;
}

/* ---- questions and images ---- */

int64_t eval_flow_unit(const struct eval_flow *f, int64_t number)
{
    enum { UNIT = 16 };
    return (number - f->first) / UNIT;
}

int64_t eval_flow_units(const void *job)
{
    const struct eval_flow *f = job;
    return f->number > f->first ? eval_flow_unit(f, f->number - 1) + 1 : 0;
}

void eval_flow_place(const void *job, struct texts_place *out)
{
    const struct eval_flow *f = job;
    *out = (struct texts_place){.text = f->number, .seen = f->seen};
}

bool eval_flow_resume(struct eval_flow *f, const struct texts_place *to, int64_t skip)
{
    f->first = f->number > skip ? f->number : skip;
    return f->number == to->text && f->seen.a == to->seen.a && f->seen.b == to->seen.b;
}
