/* attribute_parts.h - what the files attribute*.c share; nobody else includes it. */
#ifndef ATTRIBUTE_PARTS_H
#define ATTRIBUTE_PARTS_H

#include "measure/attribute.h"
#include "measure/grad.h"
#include "run/pair_edits.h"

/* What is put in place of values: edits that are resolved, with the runs that they read, but act on
 * copies of another run's values.  Zero-initialised is none. */
struct attribute_put {
    struct edit **edits;
    int n_edits;
    struct pair_edits resolved;
    struct edit_program *program;
    struct reference_means *means;
    struct run **reads;      /* [program->n_sources]; those but the base are its own */
    struct run *base, *fork; /* fork: never computed, it holds the edits */
};

/* The edit "HOOK = with" (or HOOK with, where `with` brings its operator) for each of hooks[n]. */
int attribute_put_open(struct attribute_put *u, struct pair *p, const struct pair_target *t,
                       const char *const *hooks, int n, const struct attribute_options *o,
                       struct err *e);
void attribute_put_close(struct attribute_put *u);
/* Does it read values of a run of another prompt? */
bool attribute_put_reads_run(const struct attribute_put *u);
/* Rows [row0, row1) of a site of r, and what the edits of `fork` (put.fork) would put there:
 * without gaps, canonical. */
int attribute_put_values(struct run *fork, struct run *r, struct site_ref s, int32_t row0,
                         int32_t row1, float *value, float *put, struct err *e);

/* Gradients at some sites while the values of one site are moved towards others. */
struct attribute_path {
    struct pair *pair;
    const struct pair_target *target;
    const struct metric *metric;
    struct site_ref site;
    const float *x, *put; /* the whole site, canonical */
};
/* With x + at * (put - x) there. */
int attribute_path_grad(const struct attribute_path *w, double at, const struct site_ref *sites,
                        int32_t n_sites, grad_fn *fn, void *user, struct err *e);
/* The pair as it was. */
int attribute_path_end(struct pair *p, const struct pair_target *t, struct err *e);

/* Memory for values, zeros, after the axes are set. */
int attribution_alloc(struct attribution *a, struct err *e);
/* Labels for an axis. */
int attribute_axis_labels(struct attribute_axis *x, struct err *e);

/* One function per group of methods. */
int attribute_edges(struct attribution *out, struct pair *p, const struct pair_target *t,
                    const struct metric *m, const struct attribute_options *o, struct err *e);

#endif
