/* eval_choices.c - see eval_choices.h. */
#include "lab/eval_choices.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lab/question.h"
#include "lab/eval_parts.h"

enum {
    ON_THE_WAY = RUN_TOGETHER_MAX + 1 /* pieces at once: a batch, and the one that waits */
};

/* What is known of a choice while its piece is computed. */
struct piece {
    size_t chars, bytes;
    bool right, last; /* the answer; the last choice of its question */
};

struct job {
    struct eval_flow flow;
    const struct eval_work *w;
    const struct choices_options *o;
    const char *path;
    struct text_file *file;
    double size; /* of the file; 0: not known */

    struct question question; /* that pieces are made of; doc NULL: the next one is to be read */
    char name[300];           /* "FILE · line 3" */
    int32_t choice;           /* the next one */
    int32_t *tokens, context; /* of the choice at hand; how many the question has alone */
    struct piece way[ON_THE_WAY];
    int64_t put, taken;

    double base[CHOICES_MAX], other[CHOICES_MAX]; /* log-probabilities of a question's choices */
    struct piece of[CHOICES_MAX];
    int32_t n;
    struct lens_next *next;
    int32_t cap;
};

/* ---- pieces ---- */

/* What the question has alone. */
static int context_of(struct job *j, struct err *e)
{
    const struct question *q = &j->question;
    size_t len = q->len;
    int32_t *ids = NULL;
    while (len && strchr(" \t\n\r\f\v", q->text[len - 1]))
        len--;
    int rc = model_encode(j->w->m, q->text, len, j->o->bos, &ids, &j->context, e);
    free(ids);
    return rc           ? rc
           : j->context ? 0
                        : err_set(e, ERR_BAD_INPUT,
                                  "nothing stands before the choices · a question that is not "
                                  "empty, or --bos");
}

/* The next line: 1, 0 at the end, or negative. */
static int line_next(struct job *j, struct text_record *r, struct err *e)
{
    int rc = text_file_next(j->file, r, e);
    if (rc > 0) {
        fingerprint_add(&j->flow.seen, r->text, r->len);
        j->flow.number++;
    }
    return rc;
}

/* The next question that counts and is this rank's: 1, 0 at the end, or negative. */
static int question_next(struct job *j, struct err *e)
{
    struct text_record r;
    int rc;
    do {
        if (j->o->limit && j->flow.number >= j->o->skip + j->o->limit)
            return 0;
        if ((rc = line_next(j, &r, e)) <= 0)
            return rc;
    } while (j->flow.number <= j->flow.first ||
             !ranks_mine(j->w->ranks, eval_flow_unit(&j->flow, j->flow.number - 1)));
    snprintf(j->name, sizeof j->name, "%.250s · line %lld", j->path, (long long)r.line);
    if ((rc = question_parse(&j->question, j->name, r.text, r.len, e)))
        return rc;
    j->choice = 0;
    if ((rc = context_of(j, e)))
        err_prefix(e, "%s", j->name);
    return rc ? rc : 1;
}

/* Tokens of question, blank and choice. */
static int choice_tokens(struct job *j, const struct choice *c, int32_t *n, struct err *e)
{
    const struct question *q = &j->question;
    char *joined = malloc(q->len + c->len + 1);
    if (!joined)
        return err_memory(e, "a question");
    memcpy(joined, q->text, q->len);
    joined[q->len] = ' ';
    memcpy(joined + q->len + 1, c->text, c->len);
    free(j->tokens);
    j->tokens = NULL;
    int rc = model_tokens(j->w->m, joined, q->len + 1 + c->len, j->o->bos, &j->tokens, n, e);
    if (!rc)
        rc = model_check_tokens(j->w->m, j->tokens, *n, NULL, e);
    if (!rc && *n <= j->context)
        rc = err_set(e, ERR_BAD_INPUT, "choice %d adds no token to the question", (int)j->choice);
    free(joined);
    return rc;
}

static int piece_next(void *from, struct text_piece *out, struct err *e)
{
    struct job *j = from;
    int32_t n = 0;
    int rc = j->question.doc ? 1 : question_next(j, e);
    if (rc <= 0)
        return rc;
    const struct choice *c = &j->question.choice[j->choice];
    if ((rc = choice_tokens(j, c, &n, e))) {
        err_prefix(e, "%s", j->name);
        return rc;
    }
    bool last = j->choice == j->question.n - 1;
    *out = (struct text_piece){.tokens = j->tokens,
                               .n = n,
                               .next = -1,
                               .fresh = j->context,
                               .unit = eval_flow_unit(&j->flow, j->flow.number - 1),
                               .text = j->flow.number - 1,
                               .length = n};
    j->way[j->put++ % ON_THE_WAY] = (struct piece){c->chars, c->len,
                                                   j->choice == j->question.answer, last};
    j->choice++;
    if (last)
        question_free(&j->question);
    return 1;
}

/* To where an earlier run was, by the same questions. */
static int seek(struct job *j, const struct texts_place *to, struct err *e)
{
    struct text_record r;
    int rc = 1;
    while (j->flow.number < to->text && (rc = line_next(j, &r, e)) > 0)
        ;
    if (!eval_flow_resume(&j->flow, to, j->o->skip) && rc >= 0)
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · these are not the questions that were read before · go on with the same "
                     "file, or begin anew",
                     j->path);
    return rc < 0 ? rc : 0;
}

/* ---- scores ---- */

/* A question's choices by their log-probabilities. */
struct verdict {
    int best, norm, per_byte; /* the likeliest choice, by itself, over characters, over bytes */
    double p[CHOICES_MAX], log_sum; /* probabilities that add up to 1 */
    double brier;
};

static struct verdict judge(const struct job *j, const double *x)
{
    struct verdict v = {0};
    double sum = 0;
    for (int i = 1; i < j->n; i++) {
        const struct piece *a = j->of;
        v.best = x[i] > x[v.best] ? i : v.best;
        v.norm = x[i] / (double)a[i].chars > x[v.norm] / (double)a[v.norm].chars ? i : v.norm;
        v.per_byte = x[i] / (double)a[i].bytes > x[v.per_byte] / (double)a[v.per_byte].bytes
                         ? i
                         : v.per_byte;
    }
    for (int i = 0; i < j->n; i++)
        sum += exp(x[i] - x[v.best]);
    v.log_sum = x[v.best] + log(sum);
    for (int i = 0; i < j->n; i++) {
        v.p[i] = exp(x[i] - v.log_sum);
        v.brier += (v.p[i] - j->of[i].right) * (v.p[i] - j->of[i].right);
    }
    return v;
}

static int question_add(struct job *j, int64_t number, struct err *e)
{
    struct verdict a = judge(j, j->base), b = judge(j, j->other);
    const struct piece *of = j->of;
    double *x = eval_flow_text(&j->flow, number);
    if (!x)
        return err_memory(e, "a question");
    x[EVAL_TOKENS] = 1;
    x[EVAL_TOP1] = of[a.best].right;
    x[EVAL_NORM] = of[a.norm].right;
    x[EVAL_PER_BYTE] = of[a.per_byte].right;
    x[EVAL_BRIER] = a.brier;
    x[EVAL_TOP1_CHANGE] = of[b.best].right - of[a.best].right;
    x[EVAL_NORM_CHANGE] = of[b.norm].right - of[a.norm].right;
    x[EVAL_PER_BYTE_CHANGE] = of[b.per_byte].right - of[a.per_byte].right;
    x[EVAL_BRIER_CHANGE] = b.brier - a.brier;
    x[EVAL_AGREE] = a.best == b.best;
    for (int i = 0; i < j->n; i++)
        if (a.p[i] > 0)
            x[EVAL_KL] += a.p[i] * (j->base[i] - a.log_sum - (j->other[i] - b.log_sum));
    x[EVAL_KL] = x[EVAL_KL] < 0 ? 0 : x[EVAL_KL]; /* rounding: less than zero means nothing */
    j->flow.counted++;
    j->n = 0;
    return 0;
}

/* Log-probability of a piece's choice. */
static int log_probability(struct job *j, struct run *r, const struct text_piece *p, double *out,
                           struct err *e)
{
    int32_t n = p->n - p->fresh;
    if (n > j->cap) {
        struct lens_next *more = realloc(j->next, (size_t)n * sizeof *more);
        if (!more)
            return err_memory(e, "%d tokens", (int)n);
        j->next = more, j->cap = n;
    }
    int rc = lens_next(r, p->fresh - 1, p->n - 1, j->next, e);
    *out = 0;
    for (int32_t i = 0; i < n && !rc; i++)
        *out -= (double)j->next[i].loss;
    return rc;
}

static int piece_done(void *user, const struct text_piece *p, struct pair *pair, struct err *e)
{
    struct job *j = user;
    int rc = log_probability(j, pair_run(pair, FACE_BASE), p, &j->base[j->n], e);
    j->other[j->n] = j->base[j->n];
    if (!rc && j->flow.v->edited)
        rc = log_probability(j, pair_shown(pair), p, &j->other[j->n], e);
    j->of[j->n] = j->way[j->taken++ % ON_THE_WAY];
    if (!rc && j->of[j->n++].last)
        rc = question_add(j, p->text, e);
    return rc;
}

static double share_of(const void *job)
{
    const struct job *j = job;
    return j->size > 0 ? (double)text_file_at(j->file) / j->size : -1;
}

static int open_file(struct job *j, struct err *e)
{
    static const struct text_form lines = {.format = TEXT_LINES};
    struct stat st;
    int rc = text_file_open(&j->file, j->path, &lines, e);
    if (!rc && stat(j->path, &st) == 0 && S_ISREG(st.st_mode))
        j->size = (double)st.st_size;
    return rc;
}

int eval_choices_run(struct eval *v, const char *path, const struct choices_options *o,
                     const struct eval_work *w, struct err *e)
{
    struct job j = {.flow = {.v = v, .w = w, .share = share_of, .units = eval_flow_units},
                    .w = w,
                    .o = o,
                    .path = path};
    const struct batch_source source = {piece_next, eval_flow_place, &j};
    int rc = lens_check(w->m, e);
    if (!rc && w->m->cfg.bidirectional)
        rc = err_set(e, ERR_BAD_INPUT,
                     "eval --choices · is of causal models, this one sees the "
                     "tokens that it should expect");
    v->edited = w->target->n_edits > 0, v->choices = true;
    if (!rc)
        rc = open_file(&j, e);
    if (!rc)
        rc = seek(&j, &v->place, e);
    if (!rc)
        rc = eval_flow_run(&j.flow, &source, piece_done, e);
    if (!rc && !v->texts && !ranks_rank(w->ranks))
        rc = err_set(e, ERR_BAD_INPUT, "%s · no question · a line for each: %s", path,
                     "{\"question\": \"…\", \"choices\": [\"…\", …], \"answer\": 0}");
    question_free(&j.question);
    text_file_close(j.file);
    free(j.tokens), free(j.next);
    return rc;
}
