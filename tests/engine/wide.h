/* wide.h - test support: a model's block program in double precision, with plain loops and no code
 * of the kernels.
 *
 * The program (plan.h) is the engine's own; its arithmetic here is a second one.  Every site is
 * there at once, on-request ones included, in canonical axis order; something outside may change a
 * value when its last step has run. */
#ifndef WIDE_H
#define WIDE_H

#include "edit/edit.h"
#include "measure/metric.h"

struct wide;

/* Something that changes values. */
struct wide_hook {
    bool (*changes)(void *user,
                    struct site_ref s); /* steps that only edits of on-request sites switch on */
    void (*call)(void *user, struct site_ref s, double *values);
    void *user;
};

/* The edits of weights in `edits` (or NULL) are in force; those of sites are the hook's. */
struct wide *wide_create(const struct model *m, const int32_t *tokens, int32_t n,
                         const struct edit_program *edits);
void wide_free(struct wide *w);
/* Compute the steps from `order` on (plan_order); those before keep their values. */
void wide_run(struct wide *w, int32_t order, const struct wide_hook *hook);
double *wide_value(struct wide *w, struct site_ref s);
int64_t wide_count(const struct wide *w, enum site_id s); /* elements of a site */
/* The metric on w; base is what kl compares with. */
double wide_metric(struct wide *w, struct wide *base, const struct metric *m);

#endif
