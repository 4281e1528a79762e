/* capture.h - tensors of a run kept by name: which, cut to which positions or heads, their values
 * and gradients.
 *
 * A list is filled by name and then read.  Reading goes from stage to stage, there from one block
 * of rows to the next, and there through all tensors, so that what the run does not keep is
 * computed once.  For the commands (`run -c`) and the library's caches.  One thread, the one that
 * owns the run.  Tested in tests/engine/test_capture.c. */
#ifndef CAPTURE_H
#define CAPTURE_H

#include "measure/metric.h"
#include "model/tensor_write.h"
#include "names/alias.h"

/* Elements of an axis, in the order they were asked for. */
struct capture_slice {
    int32_t *index; /* [n] */
    int32_t n;
    bool drop; /* a single element: the axis goes */
};

/* One tensor to keep. */
struct capture {
    struct alias_value value;
    char name[LIMIT_NAME + 8];
    bool gradient;     /* "NAME_grad" */
    int32_t collected; /* the value after so many edits of the list; -1: after all of them */
    int axis; /* of the tensor without its batch: the one that is cut, at first that of rows */
    const struct capture_slice *cut; /* borrowed; NULL = all of the axis */
    float *values;                   /* [capture_count], or NULL */
};

struct capture_list {
    const struct model *m;
    struct run *run;         /* that is read */
    int32_t columns;         /* positions of the tensors: the run's, or with `position` more */
    const int32_t *position; /* [columns] where the run has them, -1: nowhere; NULL: as they are */
    struct capture *item;
    int n;
};

/* What to keep. */
struct capture_want {
    const char *const *names; /* names and patterns of any library; NULL: all that fires, if match
                                 (or NULL) says so */
    int n_names;
    bool (*match)(const char *name, void *user);
    void *user;
    int32_t first, end; /* stages that are computed; a name of another one is an error, a pattern
                           leaves it out */
};

/* What a name or pattern means, as alias_select has it; refused where this model refuses a site of
 * it. */
int capture_picks(const struct config *cfg, const char *name, struct alias_pick **out,
                  struct err *e);
/* Append what is wanted: TransformerLens' names in firing order, then those of other libraries as
 * they were asked for, each once. */
int captures_select(struct capture_list *l, const struct capture_want *want, struct err *e);
/* Append one tensor under a name of its own; one that is there under that name is replaced.
 * collected: struct capture. */
int captures_add(struct capture_list *l, const char *of, const char *name, int32_t collected,
                 struct err *e);
/* Append NAME_grad for each of the first n but token ids.  A name that cannot be edited has none:
 * refused. */
int captures_add_gradients(struct capture_list *l, int n, struct err *e);
/* Frees the list and its values. */
void captures_close(struct capture_list *l);

bool capture_holds_ids(const struct capture *c);
/* Shape without the batch, with its cut; the rank.  With `whole` a dropped axis stays, as 1. */
int capture_shape(const struct capture_list *l, const struct capture *c, bool whole,
                  int64_t shape[ALIAS_RANK_MAX]);
int64_t capture_count(const struct capture_list *l, const struct capture *c);

/* Fill the values of item[first..end) but gradients.  Elements whose position the run has not are
 * left alone. */
int captures_read(struct capture_list *l, int first, int end, struct err *e);
/* Fill the values of all gradients, zeros where there is memory already, in one backward pass.
 * base: what kl compares with. */
int captures_differentiate(struct capture_list *l, struct run *base, const struct metric *m,
                           struct err *e);
/* Make item[i] have values: it and what follows it in the same stage, up to LIMIT_CAPTURE_BYTES. */
int captures_load(struct capture_list *l, int i, struct err *e);
/* Forget an item's values, which are not a gradient's. */
void capture_drop(struct capture *c);
/* The tensors, with a batch of one, to a file (tensor_write.h); dropped as they are written. */
int captures_write(struct capture_list *l, const char *path, const struct tensor_meta *meta,
                   size_t n_meta, struct err *e);

/* Elements of a host view to the places of another of its shape. */
void capture_move(const struct kn_view *to, const struct kn_view *from);
/* Those of a host view, `cut` of one axis, to contiguous memory. */
void capture_copy(const struct kn_view *v, int axis, const struct capture_slice *cut, float *to);

#endif
